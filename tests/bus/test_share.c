#include "bus/share.h"

#include "rig/rig.h"

#include <stdio.h>

struct member {
    struct subscriber subscriber;
    struct subscription subscription;
    enum bus_readiness readiness;
    int heard;
    uint8_t qos;
    uint32_t id;
    struct share *share; /* a reference, when it keeps one */
    bool keeps;
    bool is_outsider; /* may have no secrets */
};

static void on_heard(struct subscriber *subscriber, struct msg *msg, const struct delivery *delivery,
                     struct receipt *receipt)
{
    (void)msg, (void)receipt;
    struct member *member = container_of(subscriber, struct member, subscriber);
    member->heard++;
    member->qos = delivery->qos;
    member->id = delivery->id_count ? delivery->ids[0] : 0;
    if (member->keeps && !member->share)
        member->share = bus_share_ref(delivery->share);
}

static enum bus_readiness how_ready(const struct subscriber *subscriber, const struct msg *msg)
{
    if (strncmp(msg->topic, "secret", 6) == 0 &&
        container_of(subscriber, struct member, subscriber)->is_outsider)
        return BUS_FORBIDDEN;
    return container_of(subscriber, struct member, subscriber)->readiness;
}

static void join(struct rig *rig, struct member *member, const char *filter)
{
    member->subscriber = (struct subscriber){.deliver = on_heard, .readiness = how_ready};
    member->subscription.subscriber = &member->subscriber;
    bus_subscribe(rig->bus, &member->subscription, filter, strlen(filter));
}

static void publish(struct rig *rig, const char *topic, int times)
{
    for (int i = 0; i < times; i++)
        rig_publish(rig, topic, "x");
    rig_turn(rig);
}

TEST(members_of_a_group_take_turns)
{
    cleanup(rig_free_p) struct rig *rig = rig_new();
    struct member a = {.readiness = BUS_READY}, b = a, c = a;
    join(rig, &a, "$share/g/t/+");
    join(rig, &b, "$share/g/t/+");
    join(rig, &c, "$share/g/t/+");
    publish(rig, "t/1", 9);
    CHECK_INT(a.heard, 3);
    CHECK_INT(b.heard, 3);
    CHECK_INT(c.heard, 3);
}

TEST(groups_of_another_name_or_filter_get_copies_of_their_own)
{
    cleanup(rig_free_p) struct rig *rig = rig_new();
    struct member a = {.readiness = BUS_READY}, b = a, c = a, plain = a;
    join(rig, &a, "$share/g/t/+");
    join(rig, &b, "$share/h/t/+");
    join(rig, &c, "$share/g/t/#");
    join(rig, &plain, "t/1");
    publish(rig, "t/1", 2);
    CHECK_INT(a.heard, 2);
    CHECK_INT(b.heard, 2);
    CHECK_INT(c.heard, 2);
    CHECK_INT(plain.heard, 2);
}

TEST(a_subscriber_with_a_shared_and_an_ordinary_subscription_gets_both)
{
    cleanup(rig_free_p) struct rig *rig = rig_new();
    struct member a = {.readiness = BUS_READY};
    join(rig, &a, "$share/g/t");
    struct subscription ordinary = {.subscriber = &a.subscriber};
    bus_subscribe(rig->bus, &ordinary, "t", 1);
    publish(rig, "t", 1);
    CHECK_INT(a.heard, 2);
    bus_unsubscribe(rig->bus, &a.subscription);
    publish(rig, "t", 1);
    CHECK_INT(a.heard, 3);
}

TEST(who_is_busy_or_away_is_passed_over_while_somebody_is_ready)
{
    cleanup(rig_free_p) struct rig *rig = rig_new();
    struct member away = {.readiness = BUS_AWAY}, busy = {.readiness = BUS_BUSY},
                  ready = {.readiness = BUS_READY};
    join(rig, &away, "$share/g/t");
    join(rig, &busy, "$share/g/t");
    join(rig, &ready, "$share/g/t");
    publish(rig, "t", 5);
    CHECK_INT(ready.heard, 5);
    bus_unsubscribe(rig->bus, &ready.subscription);
    publish(rig, "t", 5);
    CHECK_INT(busy.heard, 5);
    bus_unsubscribe(rig->bus, &busy.subscription);
    publish(rig, "t", 5);
    CHECK_INT(away.heard, 5);
}

TEST(what_a_member_may_not_have_goes_to_one_who_may)
{
    cleanup(rig_free_p) struct rig *rig = rig_new();
    struct member outsider = {.readiness = BUS_READY, .is_outsider = true}, away = {.readiness = BUS_AWAY};
    join(rig, &outsider, "$share/g/#");
    join(rig, &away, "$share/g/#");
    publish(rig, "secret", 3);
    CHECK_INT(outsider.heard, 0);
    CHECK_INT(away.heard, 3);
    publish(rig, "t", 2);
    CHECK_INT(outsider.heard, 2);
    bus_unsubscribe(rig->bus, &away.subscription);
    publish(rig, "secret", 3); /* as if nobody had subscribed */
    CHECK_INT(outsider.heard, 2);
    int settled = 7;
    rig_publish_receipt(rig, "secret", "x", &settled);
    rig_turn(rig);
    CHECK_INT(settled, 0);
}

TEST(each_member_hears_at_its_own_qos_with_its_own_identifier)
{
    cleanup(rig_free_p) struct rig *rig = rig_new();
    struct member a = {.readiness = BUS_READY, .subscription = {.qos = 1, .id = 7}};
    struct member b = {.readiness = BUS_READY};
    join(rig, &a, "$share/g/t");
    join(rig, &b, "$share/g/t");
    int settled;
    rig_publish_receipt(rig, "t", "x", &settled);
    rig_publish_receipt(rig, "t", "x", &settled);
    rig_turn(rig);
    CHECK_INT(a.qos, 1);
    CHECK_INT(a.id, 7);
    CHECK_INT(b.qos, 0);
    CHECK_INT(b.id, 0);
}

TEST(what_a_member_could_not_finish_goes_to_another)
{
    cleanup(rig_free_p) struct rig *rig = rig_new();
    struct member a = {.readiness = BUS_READY, .keeps = true}, b = {.readiness = BUS_AWAY};
    join(rig, &a, "$share/g/t");
    join(rig, &b, "$share/g/t");
    publish(rig, "t", 1);
    CHECK(a.share);
    cleanup(msg_unref_p) struct msg *msg = msg_new("t", 1, "x", 1);
    CHECK(!bus_share_again(rig->bus, a.share, msg, &a.subscriber, true)); /* b is away */
    CHECK(bus_share_again(rig->bus, a.share, msg, &a.subscriber, false));
    CHECK_INT(b.heard, 1);

    bus_unsubscribe(rig->bus, &b.subscription);
    bus_unsubscribe(rig->bus, &a.subscription);
    CHECK(!bus_share_again(rig->bus, a.share, msg, NULL, false)); /* the group is only remembered */
    a.share = bus_share_unref(a.share);
}

TEST(a_shared_subscription_gets_no_retained_messages)
{
    cleanup(rig_free_p) struct rig *rig = rig_new();
    bus_say(rig->bus, "t", "kept", BUS_KEEP);
    rig_turn(rig);
    struct member a = {.readiness = BUS_READY};
    join(rig, &a, "$share/g/t");
    bus_send_retained(rig->bus, &a.subscription);
    CHECK_INT(a.heard, 0);
}

TEST(a_share_needs_a_name_and_a_filter)
{
    static const struct {
        const char *filter, *name, *inner;
    } rows[] = {
        {"$share/g/a/b", "g", "a/b"}, {"$share/g//", "g", "/"},  {"$share/g/", NULL, NULL},
        {"$share/g", NULL, NULL},     {"$share//a", NULL, NULL}, {"$share/", NULL, NULL},
        {"$shared/g/a", NULL, NULL},
    };
    for (size_t i = 0; i < array_size(rows); i++) {
        struct share_text name, inner;
        bool is = share_split(rows[i].filter, strlen(rows[i].filter), &name, &inner);
        CHECK_INT(is, rows[i].name != NULL);
        if (!is)
            continue;
        CHECK_MEM(name.text, name.len, rows[i].name, strlen(rows[i].name));
        CHECK_MEM(inner.text, inner.len, rows[i].inner, strlen(rows[i].inner));
    }
}
