/* The node on a scripted stream: its life, and the promises of its header. */
#include "nodes/desk.h"

#include <stdio.h>

#define DELTA "$aws/things/pump/shadow/update/delta"

TEST(a_node_connects_subscribes_and_says_what_it_is)
{
    struct desk desk;
    desk_init(&desk);
    desk.config.info = "{\"model\":\"sim\"}";
    CHECK_INT(desk_restart(&desk), 0);
    desk_poll(&desk);
    CHECK_STR(desk_next(&desk), "CONNECT pump clean=0 keepalive=60 will=gh/nodes/pump/online:0:q1:retain");
    CHECK_STR(desk_next(&desk), "");
    desk_connack(&desk, false, 0);
    desk_poll(&desk);
    CHECK_STR(desk_next(&desk), "SUBSCRIBE 1 q1 $aws/things/pump/shadow/update/delta");
    CHECK_STR(desk_next(&desk), "PUBLISH 2 q1 retain gh/nodes/pump/online 1");
    CHECK_STR(desk_next(&desk), "");
    desk_ack(&desk, WIRE_SUBACK, 1);
    desk_ack(&desk, WIRE_PUBACK, 2);
    desk_poll(&desk);
    CHECK_STR(desk_next(&desk), "SUBSCRIBE 3 q1 $aws/things/pump/shadow/update/accepted");
    CHECK_STR(desk_next(&desk), "PUBLISH 4 q1 retain gh/nodes/pump/info {\"model\":\"sim\"}");
    desk_ack(&desk, WIRE_SUBACK, 3);
    desk_ack(&desk, WIRE_PUBACK, 4);
    desk_poll(&desk);
    CHECK_STR(desk_next(&desk), "SUBSCRIBE 5 q1 $aws/things/pump/shadow/update/rejected");
    desk_ack(&desk, WIRE_SUBACK, 5);
    desk_poll(&desk);
    CHECK_STR(desk_next(&desk), "SUBSCRIBE 6 q1 $aws/things/pump/shadow/get/accepted");
    desk_ack(&desk, WIRE_SUBACK, 6);
    desk_poll(&desk);
    CHECK(!ghn_ready(&desk.node));
    CHECK_STR(desk_next(&desk), "SUBSCRIBE 7 q1 $aws/things/pump/shadow/get/rejected");
    desk_ack(&desk, WIRE_SUBACK, 7);
    desk_poll(&desk);
    CHECK(ghn_ready(&desk.node));
    CHECK_STR(desk_events(&desk), "connected 0; ready 0");
    CHECK_STR(desk_next(&desk), "PUBLISH 8 q1 $aws/things/pump/shadow/get ");
    desk_ack(&desk, WIRE_PUBACK, 8);
    desk_poll(&desk);
    CHECK_STR(desk_next(&desk),
              "PUBLISH 9 q1 $aws/things/pump/shadow/update "
              "{\"clientToken\":\"ffffffff-00000001\",\"state\":{\"reported\":{\"interval\":1000}}}");
    CHECK_STR(desk_next(&desk), "");
    desk_ack(&desk, WIRE_PUBACK, 9);
    desk_poll(&desk);
    CHECK_STR(desk_events(&desk), "reported 0");
    CHECK_STR(desk_next(&desk), "");
}

TEST(a_node_without_a_shadow_is_ready_at_once)
{
    struct desk desk;
    desk_init(&desk);
    desk.config.reported = NULL;
    CHECK_INT(desk_restart(&desk), 0);
    CHECK_INT(ghn_report(&desk.node, "{}"), GHN_INVALID);
    desk_poll(&desk);
    desk_connack(&desk, true, 0);
    desk_poll(&desk);
    CHECK_STR(desk_events(&desk), "connected 1; ready 0");
}

TEST(names_and_buffers_are_checked_before_anything_else)
{
    char longest[GHN_THING_MAX + 2];
    struct desk desk;
    desk_init(&desk);
    memset(longest, 'a', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';

    static const char *const bad[] = {"", "a/b", "a+", "a b", "\xC3\xA4", NULL};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        desk.config.thing = bad[i];
        CHECK_INT(desk_restart(&desk), GHN_INVALID);
    }
    desk.config.thing = longest;
    CHECK_INT(desk_restart(&desk), GHN_INVALID);
    desk.config.thing = longest + 1;
    desk.config.tx_size = 2 * (35 + 2 * GHN_THING_MAX) - 2;
    CHECK_INT(desk_restart(&desk), GHN_TOO_LONG);
    desk.config.tx_size = sizeof desk.tx;
    CHECK_INT(desk_restart(&desk), 0);
    desk.config.rx_size = GHN_RX_MIN - 1;
    CHECK_INT(desk_restart(&desk), GHN_TOO_LONG);
    desk.config.rx_size = GHN_RX_MIN;
    desk.config.on_desired = NULL;
    CHECK_INT(desk_restart(&desk), GHN_INVALID);
}

TEST(the_longest_name_connects_with_the_smallest_buffers_that_are_allowed)
{
    char longest[GHN_THING_MAX + 1];
    struct desk desk;
    desk_init(&desk);
    memset(longest, 'a', GHN_THING_MAX);
    longest[GHN_THING_MAX] = '\0';
    desk.config.thing = longest;
    desk.config.rx_size = GHN_RX_MIN;
    desk.interval = 7;
    desk.config.tx_size = 2;
    int r;
    while ((r = ghn_init(&desk.node, &desk.config, desk.node.port, &desk.stream)) == GHN_TOO_LONG)
        desk.config.tx_size += 2;
    CHECK_INT(r, 0);
    desk_serve(&desk);
    CHECK(ghn_ready(&desk.node));
}

/* ---- telemetry --------------------------------------------------------------------------------------------------------- */

TEST(telemetry_is_numbered_and_goes_out)
{
    struct desk desk;
    desk_init(&desk);
    desk_make_ready(&desk);
    CHECK_INT(ghn_telemetry(&desk.node, "env", " {\"temperature\":2150} ", 0), 0);
    CHECK_INT(ghn_telemetry(&desk.node, "env", "{ }", 1), 0);
    desk_poll(&desk);
    CHECK_STR(desk_next(&desk), "PUBLISH 0 q0 dt/pump/env {\"seq\":1,\"temperature\":2150}");
    CHECK_STR(desk_next(&desk), "PUBLISH 9 q1 dt/pump/env {\"seq\":2}");
    CHECK_STR(desk_events(&desk), "");
}

TEST(telemetry_that_is_wrong_is_refused_and_takes_no_number)
{
    char json[GHN_TELEMETRY_MAX + 32];
    struct desk desk;
    desk_init(&desk);
    desk_make_ready(&desk);
    CHECK_INT(ghn_telemetry(&desk.node, "env", "[1]", 0), GHN_INVALID);
    CHECK_INT(ghn_telemetry(&desk.node, "env", "{\"a\":", 0), GHN_INVALID);
    CHECK_INT(ghn_telemetry(&desk.node, "en/v", "{}", 0), GHN_INVALID);
    CHECK_INT(ghn_telemetry(&desk.node, "", "{}", 0), GHN_INVALID);
    CHECK_INT(ghn_telemetry(&desk.node, "env", "{}", 2), GHN_INVALID);
    (void)snprintf(json, sizeof json, "{\"a\":\"%0*d\"}", GHN_TELEMETRY_MAX, 0);
    CHECK_INT(ghn_telemetry(&desk.node, "env", json, 0), GHN_TOO_LONG);
    CHECK_INT(ghn_telemetry(&desk.node, "env", "{}", 0), 0);
    desk_poll(&desk);
    CHECK_STR(desk_next(&desk), "PUBLISH 0 q0 dt/pump/env {\"seq\":1}");
    CHECK_STR(desk_next(&desk), "");
}

TEST(telemetry_of_every_length_up_to_the_longest_keeps_its_bounds)
{
    char json[GHN_TELEMETRY_MAX + 32];
    struct desk desk;
    desk_init(&desk);
    desk_make_ready(&desk);
    int taken = 0;
    for (int digits = 1; digits < GHN_TELEMETRY_MAX + 10; digits++) {
        (void)snprintf(json, sizeof json, "{\"a\":\"%0*d\"}", digits, 0);
        int r = ghn_telemetry(&desk.node, "e", json, 0);
        CHECK(r == 0 || r == GHN_TOO_LONG);
        taken += r == 0;
        desk_poll(&desk);
        CHECK_INT(desk_next(&desk)[0], r == 0 ? 'P' : '\0');
    }
    CHECK(taken > GHN_TELEMETRY_MAX - 40 && taken < GHN_TELEMETRY_MAX);
}

TEST(telemetry_carries_the_time_once_the_node_knows_it)
{
    struct desk desk;
    desk_init(&desk);
    desk_make_ready(&desk);
    ghn_set_time(&desk.node, 1795378000);
    desk_after(&desk, 2500); /* of a clock that wraps in between */
    desk_after(&desk, 2600);
    CHECK_INT(ghn_telemetry(&desk.node, "env", "{\"a\":1}", 0), 0);
    desk_poll(&desk);
    CHECK_STR(desk_next(&desk), "PUBLISH 0 q0 dt/pump/env {\"seq\":1,\"ts\":1795378005,\"a\":1}");
}

TEST(the_time_is_learned_from_the_shadow_service)
{
    struct desk desk;
    desk_init(&desk);
    desk_make_ready(&desk);
    desk_send_publish(&desk, 0, 0, "$aws/things/pump/shadow/get/accepted",
                      "{\"state\":{},\"version\":3,\"timestamp\":1760000000}");
    desk_poll(&desk);
    CHECK_INT(ghn_telemetry(&desk.node, "env", "{}", 0), 0);
    desk_poll(&desk);
    CHECK_STR(desk_next(&desk), "PUBLISH 0 q0 dt/pump/env {\"seq\":1,\"ts\":1760000000}");
}

TEST(one_message_is_under_way_at_a_time)
{
    struct desk desk;
    desk_init(&desk);
    desk_make_ready(&desk);
    CHECK_INT(ghn_telemetry(&desk.node, "env", "{}", 1), 0);
    CHECK_INT(ghn_telemetry(&desk.node, "env", "{}", 1), 0);
    desk_poll(&desk);
    CHECK_STR(desk_next(&desk), "PUBLISH 9 q1 dt/pump/env {\"seq\":1}");
    CHECK_STR(desk_next(&desk), "");
    desk_ack(&desk, WIRE_PUBACK, 77); /* not ours */
    desk_poll(&desk);
    CHECK_STR(desk_next(&desk), "");
    desk_ack(&desk, WIRE_PUBACK, 9);
    desk_poll(&desk);
    CHECK_STR(desk_events(&desk), "delivered 1");
    CHECK_STR(desk_next(&desk), "PUBLISH 10 q1 dt/pump/env {\"seq\":2}");
}

TEST(telemetry_waits_in_the_ring_while_the_link_is_away)
{
    struct desk desk;
    desk_init(&desk);
    CHECK_INT(ghn_telemetry(&desk.node, "env", "{\"a\":1}", 1), 0);
    CHECK_INT(ghn_telemetry(&desk.node, "alarm", "{\"a\":2}", 0), 0);
    desk_make_ready(&desk);
    CHECK_INT(desk.node.seq, 2);
    CHECK_INT(ghn_ring_first(&desk.node.ring), 0);
}

TEST(a_full_ring_keeps_the_newest_and_says_how_many_were_dropped)
{
    struct desk desk;
    desk_init(&desk);
    for (int i = 0; i < 60; i++)
        CHECK_INT(ghn_telemetry(&desk.node, "env", "{}", 1), 0);
    desk_poll(&desk);
    desk_connack(&desk, false, 0);
    desk_poll(&desk);
    char expected[64];
    (void)snprintf(expected, sizeof expected, "dropped %d; connected 0", (int)desk.node.ring.dropped);
    CHECK(desk.node.ring.dropped > 30);
    CHECK_STR(desk_events(&desk), expected);
}

TEST(a_full_ring_may_keep_the_oldest)
{
    struct desk desk;
    desk_init(&desk);
    desk.config.ring_keeps_oldest = true;
    CHECK_INT(desk_restart(&desk), 0);
    int taken = 0;
    while (ghn_telemetry(&desk.node, "env", "{}", 1) == 0)
        taken++;
    CHECK(taken > 10);
    CHECK_INT(ghn_telemetry(&desk.node, "env", "{}", 1), GHN_BUSY);
    desk_make_ready(&desk); /* acknowledges all of them */
    CHECK_INT(desk.node.flight_seq, taken);
}

TEST(without_a_ring_telemetry_is_taken_only_when_it_can_go)
{
    struct desk desk;
    desk_init(&desk);
    desk.config.ring = NULL;
    CHECK_INT(desk_restart(&desk), 0);
    CHECK_INT(ghn_telemetry(&desk.node, "env", "{}", 1), GHN_BUSY);
    desk_make_ready(&desk);
    CHECK_INT(ghn_telemetry(&desk.node, "env", "{}", 1), 0);
    CHECK_INT(ghn_telemetry(&desk.node, "env", "{}", 1), GHN_BUSY);
    desk_poll(&desk);
    CHECK_STR(desk_next(&desk), "PUBLISH 9 q1 dt/pump/env {\"seq\":1}");
}

TEST(what_the_stream_does_not_take_is_not_taken_from_the_application_for_ever)
{
    struct desk desk;
    desk_init(&desk);
    desk.config.ring = NULL;
    CHECK_INT(desk_restart(&desk), 0);
    desk_make_ready(&desk);
    desk.send_budget = 0;
    int taken = 0;
    while (ghn_telemetry(&desk.node, "env", "{}", 0) == 0)
        taken++;
    CHECK(taken > 5);
    CHECK_INT(ghn_telemetry(&desk.node, "env", "{}", 0), GHN_BUSY);
    desk_poll(&desk);
    CHECK(desk.wait > 0 && desk.wait < 100); /* it looks again soon */
    desk.send_budget = SIZE_MAX;
    desk_poll(&desk);
    for (int i = 0; i < taken; i++)
        CHECK(strncmp(desk_next(&desk), "PUBLISH 0 q0 dt/pump/env", 24) == 0);
    CHECK_STR(desk_next(&desk), "");
}

/* ---- the shadow -------------------------------------------------------------------------------------------------------- */

TEST(a_delta_is_applied_acknowledged_and_reported)
{
    struct desk desk;
    desk_init(&desk);
    desk_make_ready(&desk);
    desk_send_publish(&desk, 1, 300, DELTA, "{\"version\":12,\"state\":{\"interval\":250}}");
    desk_poll(&desk);
    CHECK_INT(desk.interval, 250);
    CHECK_STR(desk_next(&desk), "PUBACK 300");
    CHECK_STR(desk_next(&desk),
              "PUBLISH 9 q1 $aws/things/pump/shadow/update "
              "{\"clientToken\":\"ffffffff-00000002\",\"state\":{\"reported\":{\"interval\":250}}}");
    desk_ack(&desk, WIRE_PUBACK, 9);
    desk_send_publish(&desk, 0, 0, "$aws/things/pump/shadow/update/accepted",
                      "{\"version\":13,\"timestamp\":5,\"clientToken\":\"ffffffff-00000002\"}");
    desk_poll(&desk);
    CHECK_STR(desk_events(&desk), "desired 12; reported 0; taken 13");
}

TEST(a_delta_that_comes_again_is_acknowledged_and_passed_over)
{
    struct desk desk;
    desk_init(&desk);
    desk_make_ready(&desk);
    desk_send_publish(&desk, 1, 300, DELTA, "{\"version\":12,\"state\":{\"interval\":250}}");
    desk_serve(&desk);
    desk.interval = 1;
    desk_send_publish(&desk, 1, 301, DELTA, "{\"version\":12,\"state\":{\"interval\":250}}");
    desk_poll(&desk);
    CHECK_STR(desk_next(&desk), "PUBACK 301");
    CHECK_STR(desk_next(&desk), "");
    CHECK_INT(desk.interval, 1);
    CHECK_STR(desk_events(&desk), "desired 12; reported 0; desired old 12");
}

TEST(a_message_of_nobody_is_acknowledged_and_changes_nothing)
{
    struct desk desk;
    desk_init(&desk);
    desk_make_ready(&desk);
    desk_send_publish(&desk, 1, 5, "$aws/things/pumpe/shadow/update/delta",
                      "{\"version\":1,\"state\":{\"interval\":2}}");
    desk_send_publish(&desk, 1, 6, DELTA, "{\"version\":1,\"state\":");
    desk_poll(&desk);
    CHECK_STR(desk_next(&desk), "PUBACK 5");
    CHECK_STR(desk_next(&desk), "PUBACK 6");
    CHECK_INT(desk.interval, 1000);
    CHECK_STR(desk_events(&desk), "");
}

TEST(a_report_that_the_service_has_no_time_for_is_repeated_later)
{
    struct desk desk;
    desk_init(&desk);
    desk_make_ready(&desk);
    desk_send_publish(&desk, 0, 0, "$aws/things/pump/shadow/update/rejected",
                      "{\"code\":429,\"clientToken\":\"ffffffff-00000001\"}");
    desk_poll(&desk);
    CHECK_STR(desk_events(&desk), "refused 429");
    CHECK_STR(desk_next(&desk), "");
    desk_after(&desk, 9999);
    CHECK_STR(desk_next(&desk), "");
    CHECK_INT(desk.wait, 1);
    desk_after(&desk, 1);
    CHECK_STR(desk_next(&desk),
              "PUBLISH 9 q1 $aws/things/pump/shadow/update "
              "{\"clientToken\":\"ffffffff-00000002\",\"state\":{\"reported\":{\"interval\":1000}}}");
}

TEST(a_state_longer_than_can_be_sent_is_refused)
{
    char json[400];
    struct desk desk;
    desk_init(&desk);
    desk_make_ready(&desk);
    (void)snprintf(json, sizeof json, "{\"a\":\"%0350d\"}", 0);
    CHECK_INT(ghn_report(&desk.node, json), GHN_TOO_LONG);
    (void)snprintf(json, sizeof json, "{\"a\":\"%0120d\"}", 0);
    CHECK_INT(ghn_report(&desk.node, json), GHN_TOO_LONG); /* not in config.reported */
    CHECK_INT(ghn_report(&desk.node, "{"), GHN_INVALID);
    desk_poll(&desk);
    CHECK_STR(desk_next(&desk), "");
}

/* ---- the end ----------------------------------------------------------------------------------------------------------- */

TEST(a_node_that_is_closed_says_goodbye_and_rests)
{
    struct desk desk;
    desk_init(&desk);
    desk_make_ready(&desk);
    ghn_close(&desk.node);
    CHECK_STR(desk_next(&desk), "PUBLISH 0 q0 retain gh/nodes/pump/online 0");
    CHECK_STR(desk_next(&desk), "DISCONNECT");
    CHECK_INT(desk.closes, 1);
    CHECK_INT(ghn_poll(&desk.node), INT32_MAX);
    ghn_close(&desk.node);
    CHECK_STR(desk_events(&desk), "lost 6");
    CHECK_INT(desk.opens, 1);
}

TEST(a_node_that_never_connected_can_be_closed)
{
    struct desk desk;
    desk_init(&desk);
    ghn_close(&desk.node);
    CHECK_INT(desk.closes, 0);
    CHECK_STR(desk_events(&desk), "lost 6");
}
