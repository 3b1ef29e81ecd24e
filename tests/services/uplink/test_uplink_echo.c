/* What went to a cloud is known again when it comes back, for a minute. */
#include "services/uplink/uplink_echo.h"

#include "rig/test.h"

#include <stdio.h>

static struct msg *make(const char *payload, uint8_t hops)
{
    struct msg *msg = msg_new("here", 4, payload, strlen(payload));
    CHECK(msg);
    msg->hops = hops;
    return msg;
}

TEST(the_same_topic_and_payload_have_the_hops_that_they_went_with_for_a_minute)
{
    struct uplink_echo echo = {0};
    cleanup(msg_unref_p) struct msg *one = make("1", 3);
    cleanup(msg_unref_p) struct msg *two = make("2", 9);
    CHECK_INT(uplink_echo_hops(&echo, "x", one, 0), 0);
    uplink_echo_sent(&echo, "x", one, 1000);
    CHECK_INT(uplink_echo_hops(&echo, "x", one, 1001), 3);
    CHECK_INT(uplink_echo_hops(&echo, "y", one, 1001), 0);
    CHECK_INT(uplink_echo_hops(&echo, "x", two, 1001), 0);
    one->hops = 7;
    uplink_echo_sent(&echo, "x", one, 2000);
    CHECK_INT(uplink_echo_hops(&echo, "x", one, 60999), 7); /* the one that came furthest */
    CHECK_INT(uplink_echo_hops(&echo, "x", one, 61999), 7);
    CHECK_INT(uplink_echo_hops(&echo, "x", one, 62000), 0);
    uplink_echo_done(&echo);
}

TEST(a_thousand_are_remembered_and_the_oldest_makes_room)
{
    struct uplink_echo echo = {0};
    for (int i = 0; i < 1025; i++) {
        char payload[16];
        (void)snprintf(payload, sizeof payload, "%d", i);
        cleanup(msg_unref_p) struct msg *msg = make(payload, 1);
        uplink_echo_sent(&echo, "x", msg, 0);
    }
    cleanup(msg_unref_p) struct msg *oldest = make("0", 0);
    cleanup(msg_unref_p) struct msg *next = make("1", 0);
    CHECK_INT(uplink_echo_hops(&echo, "x", oldest, 1), 0);
    CHECK_INT(uplink_echo_hops(&echo, "x", next, 1), 1);
    uplink_echo_done(&echo);
}
