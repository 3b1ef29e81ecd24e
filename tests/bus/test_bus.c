#include "bus/bus.h"

#include "bus/route.h"
#include "rig/rig.h"

#include <errno.h>
#include <stdio.h>

struct ear {
    struct subscriber subscriber;
    struct subscription subscriptions[4];
    struct rig *rig;
    int heard;
    uint8_t qos;
    bool retain;
    unsigned ids;
    uint32_t first_id;
    char last[64];
    struct receipt *held; /* holds what it gets */
    bool hold;
    struct ear *silence; /* unsubscribes that one when it hears something */
    const char *answer;  /* publishes on this topic when it hears something */
};

static void on_heard(struct subscriber *subscriber, struct msg *msg, const struct delivery *delivery,
                     struct receipt *receipt)
{
    struct ear *ear = container_of(subscriber, struct ear, subscriber);
    ear->heard++;
    ear->qos = delivery->qos;
    ear->retain = delivery->retain;
    ear->ids = delivery->id_count;
    ear->first_id = delivery->id_count ? delivery->ids[0] : 0;
    (void)snprintf(ear->last, sizeof ear->last, "%s", (const char *)msg->payload);
    if (ear->hold) {
        receipt_hold(receipt);
        ear->held = receipt;
    }
    if (ear->silence)
        bus_unsubscribe(ear->rig->bus, &ear->silence->subscriptions[0]);
    if (ear->answer) {
        cleanup(msg_unref_p) struct msg *answer = msg_new(ear->answer, strlen(ear->answer), "again", 5);
        answer->hops = (uint8_t)(msg->hops + 1);
        bus_publish(ear->rig->bus, answer, NULL);
    }
}

static struct ear ear_of(struct rig *rig)
{
    return (struct ear){.subscriber = {.deliver = on_heard}, .rig = rig};
}

static void listen(struct ear *ear, int i, const char *filter, struct subscription options)
{
    options.subscriber = &ear->subscriber;
    ear->subscriptions[i] = options;
    bus_subscribe(ear->rig->bus, &ear->subscriptions[i], filter, strlen(filter));
}

static void deafen(struct ear *ear)
{
    for (size_t i = 0; i < array_size(ear->subscriptions); i++)
        bus_unsubscribe(ear->rig->bus, &ear->subscriptions[i]);
}

TEST(publishing_only_queues_and_delivery_is_in_the_turn)
{
    cleanup(rig_free_p) struct rig *rig = rig_new();
    struct ear ear = ear_of(rig);
    listen(&ear, 0, "a/+", (struct subscription){.qos = 1});
    rig_publish(rig, "a/b", "1");
    CHECK_INT(ear.heard, 0);
    rig_turn(rig);
    CHECK_INT(ear.heard, 1);
    CHECK_STR(ear.last, "1");
    deafen(&ear);
    rig_publish(rig, "a/b", "2");
    rig_turn(rig);
    CHECK_INT(ear.heard, 1);
}

TEST(overlapping_subscriptions_give_one_copy_at_the_highest_qos_with_all_identifiers)
{
    cleanup(rig_free_p) struct rig *rig = rig_new();
    struct ear ear = ear_of(rig);
    listen(&ear, 0, "a/#", (struct subscription){.qos = 0, .id = 7});
    listen(&ear, 1, "a/+", (struct subscription){.qos = 1, .id = 8});
    listen(&ear, 2, "a/c", (struct subscription){.qos = 2, .id = 9});
    rig_publish(rig, "a/b", "1");
    rig_turn(rig);
    CHECK_INT(ear.heard, 1);
    CHECK_INT(ear.qos, 1);
    CHECK_INT(ear.ids, 2);
    deafen(&ear);
}

TEST(no_local_holds_for_what_came_from_oneself_unless_another_subscription_wants_it)
{
    cleanup(rig_free_p) struct rig *rig = rig_new();
    struct ear ear = ear_of(rig);
    ear.subscriber.origin = bus_new_origin(rig->bus);
    listen(&ear, 0, "a/b", (struct subscription){.qos = 1, .no_local = true});
    cleanup(msg_unref_p) struct msg *own = msg_new("a/b", 3, "own", 3);
    own->origin = ear.subscriber.origin;
    bus_publish(rig->bus, own, NULL);
    rig_turn(rig);
    CHECK_INT(ear.heard, 0);
    rig_publish(rig, "a/b", "other");
    rig_turn(rig);
    CHECK_INT(ear.heard, 1);
    listen(&ear, 1, "a/+", (struct subscription){.qos = 1});
    bus_publish(rig->bus, own, NULL);
    rig_turn(rig);
    CHECK_INT(ear.heard, 2);
    deafen(&ear);
}

TEST(a_subscriber_unsubscribed_in_the_middle_of_a_delivery_is_not_called)
{
    cleanup(rig_free_p) struct rig *rig = rig_new();
    struct ear first = ear_of(rig), second = ear_of(rig);
    first.silence = &second;
    second.silence = &first;
    listen(&first, 0, "a", (struct subscription){.qos = 1});
    listen(&second, 0, "a", (struct subscription){.qos = 1});
    rig_publish(rig, "a", "1");
    rig_turn(rig);
    CHECK_INT(first.heard + second.heard, 1);
    deafen(&first);
    deafen(&second);
}

TEST(a_message_that_goes_in_circles_is_dropped_and_counted)
{
    cleanup(rig_free_p) struct rig *rig = rig_new();
    struct ear ear = ear_of(rig);
    ear.answer = "circle";
    listen(&ear, 0, "circle", (struct subscription){.qos = 1});
    rig_publish(rig, "circle", "1");
    rig_turn(rig);
    CHECK(ear.heard > 1 && ear.heard < 100);
    CHECK_INT(bus_counters(rig->bus)->hops_exceeded, 1);
    deafen(&ear);
}

TEST(a_receipt_settles_when_the_last_who_holds_it_lets_go)
{
    cleanup(rig_free_p) struct rig *rig = rig_new();
    struct ear one = ear_of(rig), two = ear_of(rig);
    one.hold = two.hold = true;
    listen(&one, 0, "a", (struct subscription){.qos = 1});
    listen(&two, 0, "a", (struct subscription){.qos = 1});
    int settled;
    rig_publish_receipt(rig, "a", "1", &settled);
    rig_turn(rig);
    CHECK_INT(settled, RIG_UNSETTLED);
    receipt_settle(one.held, 0x97);
    CHECK_INT(settled, RIG_UNSETTLED);
    receipt_settle(two.held, -EIO);
    CHECK_INT(settled, -EIO); /* a fault outranks a refusal */

    rig_publish_receipt(rig, "nobody/there", "1", &settled);
    rig_turn(rig);
    CHECK_INT(settled, 0);
    deafen(&one);
    deafen(&two);
}

static void publish_retained(struct rig *rig, const char *topic, const char *payload, int *settled)
{
    (void)settled;
    cleanup(msg_unref_p) struct msg *msg = msg_new(topic, strlen(topic), payload, strlen(payload));
    msg->qos = 1;
    msg->retain = true;
    msg->born = loop_now(rig->loop);
    bus_publish(rig->bus, msg, NULL);
    rig_turn(rig);
}

TEST(a_retained_message_reaches_those_who_come_later_and_only_then_says_so)
{
    cleanup(rig_free_p) struct rig *rig = rig_new();
    struct ear before = ear_of(rig), after = ear_of(rig), published = ear_of(rig);
    listen(&before, 0, "r/+", (struct subscription){.qos = 1});
    listen(&published, 0, "r/+", (struct subscription){.qos = 1, .retain_as_published = true});
    publish_retained(rig, "r/x", "1", NULL);
    CHECK(!before.retain);   /* [MQTT-3.3.1-12] */
    CHECK(published.retain); /* [MQTT-3.3.1-13] */
    listen(&after, 0, "r/#", (struct subscription){.qos = 0, .id = 3});
    bus_send_retained(rig->bus, &after.subscriptions[0]);
    CHECK_INT(after.heard, 1);
    CHECK(after.retain);
    CHECK_INT(after.qos, 0);
    CHECK_INT(after.first_id, 3);
    deafen(&before);
    deafen(&after);
    deafen(&published);
}

TEST(retained_messages_survive_in_the_store_and_kept_ones_do_not)
{
    cleanup(rig_free_p) struct rig *rig = rig_new();
    publish_retained(rig, "r/stored", "1", NULL);
    publish_retained(rig, "r/removed", "1", NULL);
    publish_retained(rig, "r/removed", "", NULL);
    bus_say(rig->bus, "r/status", "up", BUS_KEEP);
    rig_turn(rig);
    CHECK_INT(bus_counters(rig->bus)->retained, 2);

    struct bus *second = NULL; /* what a restart would read */
    CHECK_INT(bus_new(&second, rig->loop, &(struct bus_options){.store = rig->store}), 0);
    CHECK_INT(bus_counters(second)->retained, 1);
    second = bus_free(second);
}

static unsigned count_after_restart(struct rig *rig, const char *filter)
{
    struct bus *second = NULL;
    CHECK_INT(bus_new(&second, rig->loop, &(struct bus_options){.store = rig->store}), 0);
    struct ear ear = ear_of(rig);
    struct subscription *subscription = &ear.subscriptions[0];
    bus_subscribe_to(second, subscription, &ear.subscriber, filter);
    bus_send_retained(second, subscription);
    bus_unsubscribe(second, subscription);
    second = bus_free(second);
    return (unsigned)ear.heard;
}

TEST(a_retained_message_that_came_before_the_clock_was_set_is_not_over_when_it_is)
{
    cleanup(rig_free_p) struct rig *rig = rig_new();
    int64_t today = rig->clock.wall;
    cleanup(msg_unref_p) struct msg *msg = msg_new("r", 1, "1", 1);
    msg->retain = true;
    msg->expiry_s = 3600;
    msg->born = loop_now(rig->loop);
    rig->clock.wall = 5000; /* 1970 */
    rig_turn(rig);
    bus_publish(rig->bus, msg, NULL);
    rig_turn(rig);
    rig->clock.wall = today;
    rig_turn(rig);
    CHECK_INT(count_after_restart(rig, "r"), 1);

    bus_publish(rig->bus, msg, NULL); /* now it is known when */
    rig_turn(rig);
    CHECK_INT(count_after_restart(rig, "r"), 1);
    rig->clock.wall = today + 3600 * 1000; /* switched off meanwhile */
    rig_turn(rig);
    CHECK_INT(count_after_restart(rig, "r"), 0);
}

static void on_settled_int(struct receipt *receipt, int r);
struct asked {
    struct receipt receipt;
    int r;
};
static void on_settled_int(struct receipt *receipt, int r)
{
    container_of(receipt, struct asked, receipt)->r = r;
}

TEST(a_retained_message_is_acknowledged_only_when_it_is_on_disk)
{
    cleanup(rig_free_p) struct rig *rig = rig_new();
    struct asked asked = {.r = RIG_UNSETTLED};
    receipt_init(&asked.receipt, on_settled_int);
    cleanup(msg_unref_p) struct msg *msg = msg_new("r", 1, "1", 1);
    msg->retain = true;
    store_fail_next_commit(rig->store, -ENOSPC);
    bus_publish(rig->bus, msg, &asked.receipt);
    rig_turn(rig);
    CHECK_INT(asked.r, -ENOSPC);

    asked.r = RIG_UNSETTLED;
    receipt_init(&asked.receipt, on_settled_int);
    bus_publish(rig->bus, msg, &asked.receipt);
    (void)loop_turn(rig->loop, 0); /* routed and stored, but the result is the next turn's */
    CHECK_INT(asked.r, RIG_UNSETTLED);
    rig_turn(rig);
    CHECK_INT(asked.r, 0);
}

TEST(the_route_cache_follows_every_subscription_and_survives_many_topics)
{
    cleanup(rig_free_p) struct rig *rig = rig_new();
    struct ear ear = ear_of(rig);
    char topic[32];
    for (int i = 0; i < 10000; i++) {
        (void)snprintf(topic, sizeof topic, "many/%d", i);
        rig_publish(rig, topic, "x");
        if (i % 1000 == 999)
            rig_turn(rig);
    }
    rig_publish(rig, "many/1", "x");
    rig_turn(rig);
    CHECK_INT(ear.heard, 0);
    listen(&ear, 0, "many/1", (struct subscription){.qos = 1});
    rig_publish(rig, "many/1", "x");
    rig_turn(rig);
    CHECK_INT(ear.heard, 1);
    deafen(&ear);
}

static size_t bytes_after(struct routes *routes, unsigned count, size_t topic_len)
{
    cleanup_free char *topic = mem_new_bytes(topic_len + 1);
    memset(topic, 'x', topic_len);
    size_t highest = 0;
    for (unsigned i = 0; i < count; i++) {
        (void)snprintf(topic, 12, "%011u", i);
        topic[11] = 'x';
        cleanup(msg_unref_p) struct msg *msg = msg_new(topic, topic_len, "", 0);
        CHECK(routes_find(routes, msg)->key.len == topic_len);
        highest = size_max(highest, routes->bytes);
    }
    return highest;
}

TEST(the_route_cache_is_bounded_in_bytes_however_long_topics_are_and_however_many_listen)
{
    enum { LISTENERS = 2000, LIMIT = 9 << 20 };
    struct trie_node trie;
    trie_init(&trie);
    struct routes routes = {.trie = &trie};
    CHECK(bytes_after(&routes, 1000, 60000) < LIMIT);
    routes_done(&routes);
    CHECK(!routes.bytes);

    cleanup(rig_free_p) struct rig *rig = rig_new();
    struct ear *ears = mem_new_bytes(LISTENERS * sizeof *ears);
    for (unsigned i = 0; i < LISTENERS; i++) {
        ears[i] = ear_of(rig);
        ears[i].subscriptions[0].subscriber = &ears[i].subscriber;
        trie_add(&trie, &ears[i].subscriptions[0], "#", 1);
    }
    CHECK(bytes_after(&routes, 1000, 20) < LIMIT);
    routes_done(&routes);
    for (unsigned i = 0; i < LISTENERS; i++)
        trie_remove(&ears[i].subscriptions[0]);
    trie_done(&trie);
    free(ears);
}

TEST(an_answer_goes_to_the_response_topic_with_the_correlation_data)
{
    cleanup(rig_free_p) struct rig *rig = rig_new();
    static const uint8_t props[] = {0x08, 0, 3, 'r', '/', 't', 0x09, 0, 2, 0xAB, 0xCD};
    struct msg_props view = {props, sizeof props, 3, 3, 9, 2};
    cleanup(msg_unref_p) struct msg *request = msg_new_props("ask", 3, &view, "", 0);
    bus_reply(rig->bus, request, "{}");
    rig_turn(rig);
    CHECK_MESSAGE(rig, "r/t", "{}");
}

TEST(a_message_for_one_subscriber_reaches_nobody_else_who_listens)
{
    cleanup(rig_free_p) struct rig *rig = rig_new();
    struct ear asker = ear_of(rig), other = ear_of(rig), member = ear_of(rig);
    asker.subscriber.origin = bus_new_origin(rig->bus);
    other.subscriber.origin = bus_new_origin(rig->bus);
    listen(&asker, 0, "a/accepted", (struct subscription){.qos = 1});
    listen(&other, 0, "a/#", (struct subscription){.qos = 1});
    listen(&member, 0, "$share/g/a/+", (struct subscription){.qos = 1});
    cleanup(msg_unref_p) struct msg *msg = msg_new("a/accepted", 10, "secret", 6);
    msg->only_for = asker.subscriber.origin;
    bus_publish(rig->bus, msg, NULL);
    rig_turn(rig);
    CHECK_INT(asker.heard, 1);
    CHECK_STR(asker.last, "secret");
    CHECK_INT(other.heard, 0);
    CHECK_INT(member.heard, 0);
    deafen(&asker);
    bus_publish(rig->bus, msg, NULL);
    rig_turn(rig);
    CHECK_INT(asker.heard + other.heard + member.heard, 1);
    deafen(&other);
    deafen(&member);
}
