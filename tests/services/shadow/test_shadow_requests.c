/* What is a request, what is not, and what the shadow service says to it. */
#include "shadow_rig.h"

#include <stdio.h>

#define UPDATE "$aws/things/pump/shadow/update"
#define GET    "$aws/things/pump/shadow/get"
#define DELETE "$aws/things/pump/shadow/delete"
#define ON     "{\"state\":{\"desired\":{\"on\":true}}}"

TEST(an_update_is_told_in_the_order_delta_documents_accepted)
{
    cleanup(shadow_rig_free_p) struct shadow_rig *rig = shadow_rig_new(NULL);
    ask(rig, UPDATE, ON);
    rig_turn(rig->house);
    CHECK_STR(rig_topic(rig->house, "$aws/#", 1), UPDATE "/delta");
    CHECK_STR(rig_topic(rig->house, "$aws/#", 2), UPDATE "/documents");
    CHECK_STR(rig_topic(rig->house, "$aws/#", 3), UPDATE "/accepted");
    CHECK(!rig_topic(rig->house, "$aws/#", 4));
}

TEST(a_name_outside_of_what_is_allowed_is_rejected_and_leaves_nothing)
{
    cleanup(shadow_rig_free_p) struct shadow_rig *rig = shadow_rig_new(NULL);
    static const char *const things[] = {"$aws/things//shadow/update", "$aws/things/a b/shadow/update",
                                         "$aws/things/a.b/shadow/update",
                                         "$aws/things/\xC3\xA4/shadow/update"};
    for (size_t i = 0; i < array_size(things); i++)
        CHECK_HAS(answer_to(rig, things[i], ON), "\"code\":400,\"message\":\"Invalid thing name\"");
    CHECK_HAS(answer_to(rig, "$aws/things/pump/shadow/name//update", ON), "Invalid shadow name");
    CHECK_HAS(answer_to(rig, "$aws/things/pump/shadow/name/a$/update", ON), "Invalid shadow name");
    CHECK_INT(number_in_store(rig, "SELECT count(*) FROM shadow"), 0);
    CHECK_INT((int64_t)shadow_counters(rig->shadow)->cached, 0);
}

TEST(names_may_be_as_long_as_allowed_and_no_longer)
{
    cleanup(shadow_rig_free_p) struct shadow_rig *rig = shadow_rig_new(NULL);
    char thing[129], name[65], topic[512];
    memset(thing, 't', 128);
    memset(name, 'n', 64);
    thing[128] = name[64] = '\0';
    (void)snprintf(topic, sizeof topic, "$aws/things/%s/shadow/name/%s/update", thing, name);
    CHECK_HAS(answer_to(rig, topic, ON), "\"version\":1");
    (void)snprintf(topic, sizeof topic, "$aws/things/%st/shadow/update", thing);
    CHECK_HAS(answer_to(rig, topic, ON), "Invalid thing name");
    (void)snprintf(topic, sizeof topic, "$aws/things/%s/shadow/name/%sn/update", thing, name);
    CHECK_HAS(answer_to(rig, topic, ON), "Invalid shadow name");
    CHECK_HAS(answer_to(rig, "$aws/things/A:b_c-9/shadow/update", ON), "\"version\":1");
}

TEST(a_name_that_begins_with_a_dollar_is_for_the_house)
{
    cleanup(shadow_rig_free_p) struct shadow_rig *rig = shadow_rig_new(NULL);
    ask_as(rig, 5, "$aws/things/pump/shadow/name/$package/update", ON, NULL);
    rig_turn(rig->house);
    CHECK_MESSAGE(rig->house, "$aws/things/pump/shadow/name/$package/update/rejected", "Invalid shadow name");
    CHECK_HAS(answer_to(rig, "$aws/things/pump/shadow/name/$package/update", ON), "\"version\":1");
    CHECK_HAS(answer_to(rig, "$aws/things/pump/shadow/name/$/update", ON), "Invalid shadow name");
}

TEST(what_is_not_a_request_topic_is_an_ordinary_message)
{
    cleanup(shadow_rig_free_p) struct shadow_rig *rig = shadow_rig_new(NULL);
    static const char *const topics[] = {UPDATE "/accepted",
                                         UPDATE "/rejected",
                                         UPDATE "/delta",
                                         UPDATE "/documents",
                                         GET "/accepted",
                                         DELETE "/accepted",
                                         "$aws/things/pump/shadow",
                                         "$aws/things/pump/shadow/list",
                                         "$aws/things/pump/shadow/cfg/update",
                                         "$aws/things/pump/shadow/name/cfg",
                                         "$aws/things/pump/shadow/name/cfg/x/update",
                                         "$aws/things/pump/update",
                                         "things/pump/shadow/update"};
    for (size_t i = 0; i < array_size(topics); i++)
        ask(rig, topics[i], ON);
    rig_turn(rig->house);
    CHECK_INT((int64_t)rig_count(rig->house, "$aws/#"), (int64_t)array_size(topics) - 1);
    CHECK_INT((int64_t)shadow_counters(rig->shadow)->requests, 0);
}

TEST(a_will_is_not_a_request)
{
    cleanup(shadow_rig_free_p) struct shadow_rig *rig = shadow_rig_new(NULL);
    cleanup(msg_unref_p) struct msg *will = msg_new(UPDATE, strlen(UPDATE), ON, strlen(ON));
    will->is_will = true;
    bus_publish(rig->house->bus, will, NULL);
    rig_turn(rig->house);
    CHECK_INT((int64_t)rig_count(rig->house, "$aws/#"), 1);
}

TEST(a_retained_request_is_done_once_and_its_answers_are_not_retained)
{
    cleanup(shadow_rig_free_p) struct shadow_rig *rig = shadow_rig_new(NULL);
    bus_say(rig->house->bus, UPDATE, ON, BUS_STORE);
    rig_turn(rig->house);
    CHECK_INT((int64_t)bus_counters(rig->house->bus)->retained, 1);
    shadow_rig_restart(rig, NULL);
    CHECK_HAS(answer_to(rig, GET, ""), "\"version\":1");
}

struct echo {
    struct subscriber subscriber;
    struct subscription subscription;
    struct bus *bus;
};

static void on_accepted(struct subscriber *subscriber, struct msg *msg, const struct delivery *delivery,
                        struct receipt *receipt)
{
    (void)delivery, (void)receipt;
    struct echo *echo = container_of(subscriber, struct echo, subscriber);
    cleanup(msg_unref_p) struct msg *again = msg_new(UPDATE, strlen(UPDATE), ON, strlen(ON));
    again->hops = (uint8_t)(msg->hops + 1);
    bus_publish(echo->bus, again, NULL);
}

TEST(a_rule_that_answers_every_update_with_an_update_is_stopped)
{
    cleanup(shadow_rig_free_p) struct shadow_rig *rig = shadow_rig_new(NULL);
    struct echo echo = {.subscriber.deliver = on_accepted, .bus = rig->house->bus};
    bus_subscribe_to(rig->house->bus, &echo.subscription, &echo.subscriber, UPDATE "/accepted");
    ask(rig, UPDATE, ON);
    rig_turn(rig->house);
    CHECK(rig_count(rig->house, UPDATE "/accepted") > 1);
    CHECK(bus_counters(rig->house->bus)->hops_exceeded > 0);
    bus_unsubscribe(rig->house->bus, &echo.subscription);
}

TEST(a_payload_larger_than_a_message_may_be_is_refused_with_413)
{
    cleanup(shadow_rig_free_p) struct shadow_rig *rig = shadow_rig_new(NULL);
    enum { SIZE = 128 * 1024 };
    cleanup_free char *payload = mem_new_bytes(SIZE + 2);
    memset(payload, ' ', SIZE + 1);
    CHECK_HAS(answer_to(rig, UPDATE, payload), "\"code\":413");
    payload[SIZE] = '\0';
    CHECK_HAS(answer_to(rig, UPDATE, payload), "\"code\":400,\"message\":\"Invalid JSON\"");
}

TEST(get_and_delete_take_any_payload_and_echo_a_token)
{
    cleanup(shadow_rig_free_p) struct shadow_rig *rig = shadow_rig_new(NULL);
    CHECK_HAS(answer_to(rig, GET, "{\"clientToken\":\"t1\"}"), "\"code\":404,");
    CHECK_HAS(rig_last(rig->house, GET "/rejected"), "\"clientToken\":\"t1\"");
    CHECK_HAS(rig_last(rig->house, GET "/rejected"), "No shadow exists with name: 'pump'");
    (void)answer_to(rig, UPDATE, ON);
    CHECK_HAS(answer_to(rig, GET, "not JSON"), "\"delta\":{\"on\":true}");
    CHECK_HAS(answer_to(rig, GET, "{\"clientToken\":\"t2\"}"), "\"clientToken\":\"t2\"");
    CHECK_HAS(answer_to(rig, DELETE, "{\"clientToken\":\"t3\"}"), "{\"version\":1,\"timestamp\":1760000000,");
    CHECK_HAS(rig_last(rig->house, DELETE "/accepted"), "\"clientToken\":\"t3\"");
}

TEST(a_thing_has_so_many_named_shadows_and_no_more)
{
    const struct shadow_options options = {.named_max = 2};
    cleanup(shadow_rig_free_p) struct shadow_rig *rig = shadow_rig_new(&options);
    CHECK_HAS(answer_to(rig, "$aws/things/pump/shadow/name/a/update", ON), "\"version\":1");
    CHECK_HAS(answer_to(rig, "$aws/things/pump/shadow/name/b/update", ON), "\"version\":1");
    CHECK_HAS(answer_to(rig, "$aws/things/pump/shadow/name/c/update", ON), "\"code\":429");
    CHECK_HAS(answer_to(rig, "$aws/things/pump/shadow/name/c/get", ""), "\"code\":404");
    CHECK_HAS(answer_to(rig, "$aws/things/pump/shadow/name/b/update", ON), "\"version\":2");
    CHECK_HAS(answer_to(rig, UPDATE, ON), "\"version\":1");
    CHECK_HAS(answer_to(rig, "$aws/things/fan/shadow/name/c/update", ON), "\"version\":1");
    CHECK_HAS(answer_to(rig, "$aws/things/pump/shadow/name/a/delete", ""), "\"version\":1");
    CHECK_HAS(answer_to(rig, "$aws/things/pump/shadow/name/c/update", ON), "\"version\":1");
}

/* ---- deleting ----------------------------------------------------------------------------------------------------- */

enum { HOUR = 3600 * 1000 };

static void delete_and_wait(struct shadow_rig *rig, int64_t ms, bool restart)
{
    CHECK_HAS(answer_to(rig, UPDATE, ON), "\"version\":1");
    CHECK_HAS(answer_to(rig, DELETE, ""), "\"version\":1");
    if (restart)
        shadow_rig_restart(rig, NULL);
    rig_wait(rig->house, ms);
    CHECK_HAS(answer_to(rig, GET, ""), "\"code\":404");
    CHECK_HAS(answer_to(rig, DELETE, ""), "\"code\":404");
}

TEST(a_shadow_made_again_within_48_hours_counts_on)
{
    for (int restart = 0; restart < 2; restart++) {
        cleanup(shadow_rig_free_p) struct shadow_rig *rig = shadow_rig_new(NULL);
        delete_and_wait(rig, 48 * HOUR - 1000, restart);
        CHECK_INT(number_in_store(rig, "SELECT version FROM shadow WHERE deleted_s IS NOT NULL"), 2);
        CHECK_HAS(answer_to(rig, UPDATE, ON), "\"version\":3");
    }
}

TEST(a_shadow_made_again_after_48_hours_is_a_new_one)
{
    for (int restart = 0; restart < 2; restart++) {
        cleanup(shadow_rig_free_p) struct shadow_rig *rig = shadow_rig_new(NULL);
        delete_and_wait(rig, 48 * HOUR, restart);
        CHECK_HAS(answer_to(rig, UPDATE, ON), "\"version\":1");
    }
}

TEST(tombstones_that_are_over_are_removed_and_nothing_else)
{
    cleanup(shadow_rig_free_p) struct shadow_rig *rig = shadow_rig_new(NULL);
    (void)answer_to(rig, "$aws/things/fan/shadow/update", ON);
    delete_and_wait(rig, 47 * HOUR, false);
    CHECK_INT(number_in_store(rig, "SELECT count(*) FROM shadow"), 2);
    rig_wait(rig->house, 2 * HOUR);
    CHECK_INT(number_in_store(rig, "SELECT count(*) FROM shadow"), 1);
    CHECK_HAS(answer_to(rig, "$aws/things/fan/shadow/get", ""), "\"version\":1");
}

TEST(many_tombstones_are_removed_little_by_little)
{
    cleanup(shadow_rig_free_p) struct shadow_rig *rig = shadow_rig_new(NULL);
    change_store(rig, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2500) "
                      "INSERT INTO shadow (thing, name, version, deleted_s) "
                      "SELECT 'thing' || i, '', 2, 1700000000 FROM n");
    CHECK_INT(number_in_store(rig, "SELECT count(*) FROM shadow"), 2500);
    rig_wait(rig->house, HOUR);
    CHECK_INT(number_in_store(rig, "SELECT count(*) FROM shadow"), 1500);
    rig_wait(rig->house, 1000);
    rig_wait(rig->house, 1000);
    CHECK_INT(number_in_store(rig, "SELECT count(*) FROM shadow"), 0);
}

TEST(a_tombstone_from_before_the_clock_was_set_is_kept)
{
    cleanup(shadow_rig_free_p) struct shadow_rig *rig = shadow_rig_new(NULL);
    rig->house->clock.wall = 5000;
    (void)answer_to(rig, UPDATE, ON);
    (void)answer_to(rig, DELETE, "");
    rig->house->clock.wall = 1760000000000;
    rig_wait(rig->house, 49 * HOUR);
    CHECK_HAS(answer_to(rig, UPDATE, ON), "\"version\":3");
}
