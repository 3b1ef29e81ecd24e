/* The node and a link that is slow, cut, silent or full of rubbish: section by section what its header promises. */
#include "nodes/desk.h"

#include <stdio.h>

TEST(nothing_to_read_is_not_the_end)
{
    struct desk desk;
    desk_init(&desk);
    desk_make_ready(&desk);
    for (int i = 0; i < 50; i++)
        desk_after(&desk, 100);
    CHECK(ghn_ready(&desk.node));
    CHECK_INT(desk.opens, 1);
}

TEST(a_packet_may_come_byte_by_byte)
{
    struct desk desk;
    desk_init(&desk);
    desk.recv_limit = 1;
    desk_make_ready(&desk);
    desk_send_publish(&desk, 1, 9, "$aws/things/pump/shadow/update/delta",
                      "{\"version\":1,\"state\":{\"interval\":3}}");
    desk_poll(&desk);
    CHECK_INT(desk.interval, 3);
}

TEST(packets_go_out_whole_through_a_stream_that_takes_a_byte_at_a_time)
{
    struct desk desk;
    desk_init(&desk);
    desk_make_ready(&desk);
    CHECK_INT(ghn_telemetry(&desk.node, "env", "{\"a\":1}", 1), 0);
    CHECK_INT(ghn_telemetry(&desk.node, "env", "{\"a\":2}", 0), 0);
    desk.send_budget = 0;
    desk_poll(&desk);
    desk_send_publish(&desk, 1, 40, "x", "y");
    for (int i = 0; i < 200; i++) {
        desk.send_budget = 1; /* and then nothing until the next turn */
        (void)ghn_poll(&desk.node);
    }
    desk.send_budget = SIZE_MAX;
    desk_ack(&desk, WIRE_PUBACK, 9);
    desk_poll(&desk);
    CHECK_STR(desk_next(&desk), "PUBLISH 9 q1 dt/pump/env {\"seq\":1,\"a\":1}");
    CHECK_STR(desk_next(&desk), "PUBACK 40");
    CHECK_STR(desk_next(&desk), "PUBLISH 0 q0 dt/pump/env {\"seq\":2,\"a\":2}");
    CHECK_STR(desk_next(&desk), "");
}

TEST(half_a_packet_is_not_continued_on_the_next_connection)
{
    struct desk desk;
    desk_init(&desk);
    desk_make_ready(&desk);
    desk.send_budget = 7;
    CHECK_INT(ghn_telemetry(&desk.node, "env", "{}", 0), 0);
    (void)ghn_poll(&desk.node);
    desk.send_budget = 0;
    CHECK_STR(desk_next(&desk), "part");
    desk.broken = true;
    desk_poll(&desk);
    desk.send_budget = SIZE_MAX;
    desk_after(&desk, (uint32_t)desk.wait);
    CHECK(strncmp(desk_next(&desk), "CONNECT pump ", 13) == 0);
    CHECK_STR(desk_next(&desk), "");
}

/* A PUBLISH of QoS 1 whose payload is longer than the node's receive buffer, in a row with what follows. */
static void send_too_long(struct desk *desk, uint16_t id)
{
    char payload[600];
    memset(payload, 'x', sizeof payload - 1);
    payload[sizeof payload - 1] = '\0';
    desk_send_publish(desk, 1, id, "$aws/things/pump/shadow/update/delta", payload);
}

TEST(a_packet_that_is_too_long_is_read_away_and_said_once)
{
    struct desk desk;
    desk_init(&desk);
    desk_make_ready(&desk);
    send_too_long(&desk, 44);
    desk_send_publish(&desk, 1, 45, "$aws/things/pump/shadow/update/delta",
                      "{\"version\":9,\"state\":{\"interval\":3}}");
    desk.recv_limit = 100; /* it comes in pieces */
    desk_poll(&desk);
    CHECK_STR(desk_events(&desk), "too long 642; desired 9");
    CHECK_INT(desk.interval, 3);
    CHECK_INT(desk.opens, 1);
}

TEST(a_packet_that_is_too_long_is_acknowledged_or_it_would_come_for_ever)
{
    struct desk desk;
    desk_init(&desk);
    desk_make_ready(&desk);
    send_too_long(&desk, 44);
    desk_poll(&desk);
    CHECK_STR(desk_next(&desk), "PUBACK 44");
    CHECK_STR(desk_next(&desk), "");
}

TEST(a_message_without_puback_is_sent_again_with_dup_while_the_session_lives)
{
    struct desk desk;
    desk_init(&desk);
    desk_make_ready(&desk);
    CHECK_INT(ghn_telemetry(&desk.node, "env", "{}", 1), 0);
    CHECK_INT(ghn_telemetry(&desk.node, "env", "{}", 1), 0);
    desk_poll(&desk);
    CHECK_STR(desk_next(&desk), "PUBLISH 9 q1 dt/pump/env {\"seq\":1}");
    desk.broken = true;
    desk_poll(&desk);
    CHECK_STR(desk_events(&desk), "lost 1; waiting 1000");

    desk_after(&desk, 1000);
    CHECK(strncmp(desk_next(&desk), "CONNECT pump ", 13) == 0);
    desk_connack(&desk, true, 0);
    desk_poll(&desk);
    CHECK_STR(desk_next(&desk), "PUBLISH 9 q1 dup dt/pump/env {\"seq\":1}");
    desk_ack(&desk, WIRE_PUBACK, 9);
    desk_serve(&desk);
    CHECK_STR(desk_events(&desk), "connected 1; delivered 1; ready 0; reported 0; delivered 2");
}

TEST(a_message_without_puback_is_sent_as_new_when_the_session_is_gone)
{
    struct desk desk;
    desk_init(&desk);
    desk_make_ready(&desk);
    CHECK_INT(ghn_telemetry(&desk.node, "env", "{}", 1), 0);
    desk_poll(&desk);
    CHECK_STR(desk_next(&desk), "PUBLISH 9 q1 dt/pump/env {\"seq\":1}");
    desk.broken = true;
    desk_poll(&desk);
    desk_after(&desk, 1000);
    CHECK(strncmp(desk_next(&desk), "CONNECT pump ", 13) == 0);
    desk_connack(&desk, false, 0);
    desk_poll(&desk);
    CHECK_STR(desk_next(&desk), "PUBLISH 9 q1 dt/pump/env {\"seq\":1}");
}

TEST(after_a_reconnect_everything_is_subscribed_and_told_anew)
{
    struct desk desk;
    desk_init(&desk);
    desk_make_ready(&desk);
    desk.broken = true;
    desk_poll(&desk);
    desk_now += 1000;
    desk_serve(&desk);
    CHECK_STR(desk_events(&desk), "lost 1; waiting 1000; connected 0; ready 0; reported 0");
    CHECK_INT(desk.opens, 2);
    CHECK_INT(desk.closes, 1);
}

TEST(a_node_that_is_silent_pings_after_half_its_keep_alive)
{
    struct desk desk;
    desk_init(&desk);
    desk_make_ready(&desk);
    CHECK_INT(desk.wait, 30000);
    desk_after(&desk, 29999);
    CHECK_STR(desk_next(&desk), "");
    desk_after(&desk, 1);
    CHECK_STR(desk_next(&desk), "PINGREQ");
    CHECK_STR(desk_next(&desk), "");
    desk_send_bytes(&desk, "\xD0\x00", 2);
    desk_after(&desk, 30000);
    CHECK_STR(desk_next(&desk), "PINGREQ");
}

TEST(sending_puts_the_ping_off)
{
    struct desk desk;
    desk_init(&desk);
    desk_make_ready(&desk);
    desk_after(&desk, 20000);
    CHECK_INT(ghn_telemetry(&desk.node, "env", "{}", 0), 0);
    desk_poll(&desk);
    CHECK(strncmp(desk_next(&desk), "PUBLISH", 7) == 0);
    desk_after(&desk, 29999);
    CHECK_STR(desk_next(&desk), "");
    desk_after(&desk, 1);
    CHECK_STR(desk_next(&desk), "PINGREQ");
}

TEST(a_gateway_that_is_silent_for_one_and_a_half_keep_alives_is_lost)
{
    struct desk desk;
    desk_init(&desk);
    desk_make_ready(&desk);
    desk_after(&desk, 30000);
    desk_after(&desk, 59999);
    CHECK(ghn_ready(&desk.node));
    desk_after(&desk, 1);
    CHECK_STR(desk_events(&desk), "lost 4; waiting 1000");
    CHECK_INT(desk.closes, 1);
}

TEST(a_node_that_only_sends_qos_0_asks_now_and_then_whether_somebody_is_there)
{
    struct desk desk;
    desk_init(&desk);
    desk_make_ready(&desk);
    int pings = 0;
    for (int s = 0; s < 600; s++) {
        CHECK_INT(ghn_telemetry(&desk.node, "env", "{}", 0), 0);
        desk_after(&desk, 1000);
        for (const char *line; (line = desk_next(&desk))[0];)
            if (strcmp(line, "PINGREQ") == 0) {
                pings++;
                desk_send_bytes(&desk, "\xD0\x00", 2);
            }
    }
    CHECK(ghn_ready(&desk.node));
    CHECK_INT(desk.opens, 1);
    CHECK(pings >= 9 && pings <= 20);
}

TEST(waits_between_attempts_double_to_five_minutes_and_a_minute_up_forgives)
{
    static const int waits[] = {1000, 2000, 4000, 8000, 16000, 32000, 64000, 128000, 256000, 300000, 300000};
    struct desk desk;
    desk_init(&desk);
    desk.open_result = -1;
    for (size_t i = 0; i < sizeof waits / sizeof waits[0]; i++) {
        desk_poll(&desk);
        CHECK_INT(desk.wait, waits[i]);
        desk_after(&desk, (uint32_t)waits[i] - 1);
        CHECK_INT(desk.wait, 1);
        desk_now++;
    }
    desk.open_result = 0;
    desk_make_ready(&desk);
    desk_now += 59000;
    desk.broken = true;
    desk_poll(&desk);
    CHECK_INT(desk.wait, 300000);

    desk_now += 300000;
    desk_make_ready(&desk);
    desk_now += 60000;
    desk.broken = true;
    desk_poll(&desk);
    CHECK_INT(desk.wait, 1000);
}

TEST(chance_shortens_a_wait_by_up_to_a_half)
{
    struct desk desk;
    desk_init(&desk);
    desk.open_result = -1;
    desk_random_byte = 0;
    desk_poll(&desk);
    CHECK_INT(desk.wait, 500);
    desk_random_byte = 0x80;
    desk_after(&desk, 500);
    CHECK_INT(desk.wait, 1502);
}

TEST(a_node_without_entropy_does_not_connect)
{
    struct desk desk;
    desk_init(&desk);
    desk_random_byte = -1;
    desk_poll(&desk);
    CHECK_INT(desk.opens, 0);
    CHECK_STR(desk_events(&desk), "lost 2; waiting 750");
    desk_random_byte = 7;
    desk_after(&desk, 750);
    CHECK_INT(desk.opens, 1);
}

TEST(a_stream_that_does_not_open_is_given_up_after_twenty_seconds)
{
    struct desk desk;
    desk_init(&desk);
    desk.stream_state = 0;
    desk_poll(&desk);
    CHECK_INT(desk.opens, 1);
    desk_after(&desk, 19999);
    CHECK_STR(desk_events(&desk), "");
    desk_after(&desk, 1);
    CHECK_STR(desk_events(&desk), "lost 4; waiting 1000");
    desk.stream_state = -1;
    desk_after(&desk, 1000);
    CHECK_STR(desk_events(&desk), "lost 1; waiting 2000");
}

TEST(a_gateway_that_does_not_answer_is_given_up_after_twenty_seconds)
{
    struct desk desk;
    desk_init(&desk);
    desk_poll(&desk);
    desk_after(&desk, 19999);
    CHECK_STR(desk_events(&desk), "");
    desk_after(&desk, 1);
    CHECK_STR(desk_events(&desk), "lost 4; waiting 1000");

    desk_after(&desk, 1000); /* CONNACK comes, SUBACK does not */
    desk_connack(&desk, false, 0);
    desk_poll(&desk);
    desk_after(&desk, 20000);
    CHECK_STR(desk_events(&desk), "connected 0; lost 4; waiting 2000");
}

TEST(a_refusal_is_told_as_one)
{
    struct desk desk;
    desk_init(&desk);
    desk_poll(&desk);
    desk_connack(&desk, false, 5);
    desk_poll(&desk);
    CHECK_STR(desk_events(&desk), "lost 3; waiting 1000");

    desk_after(&desk, 1000);
    desk_connack(&desk, false, 0);
    desk_poll(&desk);
    CHECK(strncmp(desk_next(&desk), "CONNECT", 7) == 0);
    unsigned id;
    CHECK_INT(sscanf(desk_next(&desk), "SUBSCRIBE %u", &id), 1);
    uint8_t suback[] = {0x90, 3, 0, (uint8_t)id, 0x80};
    desk_send_bytes(&desk, suback, sizeof suback);
    desk_poll(&desk);
    CHECK_STR(desk_events(&desk), "connected 0; lost 3; waiting 2000");
}

TEST(rubbish_ends_the_connection)
{
    static const struct {
        const char *bytes;
        size_t len;
    } rubbish[] = {
        {"\x21\x02\x00\x00", 4},         /* reserved flags */
        {"\x00\x00", 2},                 /* type 0 */
        {"\xD0\xFF\xFF\xFF\xFF\x01", 6}, /* length in five bytes */
        {"\x30\x05\x00\x03"
         "a+b",
         7}, /* a wildcard in a topic */
        {"\x82\x06\x00\x01\x00\x01"
         "a\x00",
         8}, /* what only clients send */
    };
    for (size_t i = 0; i < sizeof rubbish / sizeof rubbish[0]; i++) {
        struct desk desk;
        desk_init(&desk);
        desk_make_ready(&desk);
        desk_send_bytes(&desk, rubbish[i].bytes, rubbish[i].len);
        desk_poll(&desk);
        CHECK_STR(desk_events(&desk), "lost 5; waiting 1000");
        CHECK_INT(desk.closes, 1);
    }
}

TEST(a_flood_of_messages_is_acknowledged_without_losing_the_connection)
{
    struct desk desk;
    desk_init(&desk);
    desk.config.tx_size = 240; /* half of it is 30 acknowledgements */
    CHECK_INT(desk_restart(&desk), 0);
    desk_make_ready(&desk);
    for (uint16_t id = 1; id <= 400; id++)
        desk_send_bytes(&desk, (uint8_t[]){0x32, 5, 0, 1, 'x', (uint8_t)(id >> 8), (uint8_t)id}, 7);
    char expected[32];
    for (int i = 0; i < 400; i++) {
        desk.send_budget = 3; /* less than one acknowledgement a turn */
        (void)ghn_poll(&desk.node);
    }
    desk.send_budget = SIZE_MAX;
    desk_poll(&desk);
    for (int id = 1; id <= 400; id++) {
        (void)snprintf(expected, sizeof expected, "PUBACK %d", id);
        CHECK_STR(desk_next(&desk), expected);
    }
    CHECK(ghn_ready(&desk.node));
}

/* A gateway that keeps the session: remembers which messages it has seen, and which of them it may see twice. */
struct memory {
    bool seen[6];
    bool unacknowledged[6];
};

/* Reads all that the node has sent. acknowledge: whether it hears of it. */
static void remember(struct desk *desk, struct memory *memory, bool acknowledge)
{
    for (const char *line; (line = desk_next(desk))[0] && strcmp(line, "part") != 0;) {
        unsigned id, seq = 0;
        bool dup = strstr(line, " dup ") != NULL;
        if (strncmp(line, "CONNECT", 7) == 0)
            desk_connack(desk, true, 0);
        else if (sscanf(line, "SUBSCRIBE %u", &id) == 1)
            desk_ack(desk, WIRE_SUBACK, (uint16_t)id);
        else if (sscanf(line, "PUBLISH %u", &id) == 1 && acknowledge)
            desk_ack(desk, WIRE_PUBACK, (uint16_t)id);
        const char *number = strstr(line, "{\"seq\":");
        if (!number)
            continue;
        CHECK_INT(sscanf(number, "{\"seq\":%u}", &seq), 1);
        CHECK(seq >= 1 && seq <= 5);
        CHECK(!memory->seen[seq] || (dup && memory->unacknowledged[seq]));
        memory->seen[seq] = true;
        memory->unacknowledged[seq] = !acknowledge;
    }
}

TEST(no_message_is_lost_or_doubled_wherever_the_link_breaks)
{
    for (size_t cut = 0; cut < 180; cut++) {
        struct desk desk;
        struct memory memory = {0};
        desk_init(&desk);
        desk_make_ready(&desk);
        for (int i = 1; i <= 5; i++)
            CHECK_INT(ghn_telemetry(&desk.node, "env", "{}", 1), 0);

        desk.send_budget = cut;
        for (int turns = 0; turns < 12; turns++) {
            desk_poll(&desk);
            remember(&desk, &memory, true);
        }
        desk_poll(&desk);
        remember(&desk, &memory, false); /* an acknowledgement that the break swallows */
        desk.broken = true;
        desk_poll(&desk);
        desk.send_budget = SIZE_MAX;
        desk_now += 1000;
        for (int turns = 0; turns < 20; turns++) {
            desk_poll(&desk);
            remember(&desk, &memory, true);
        }
        for (int seq = 1; seq <= 5; seq++)
            if (!memory.seen[seq])
                FAIL("cut after %zu bytes: message %d is missing", cut, seq);
    }
}
