/* The client's life: connecting, being refused, subscribing, saying goodbye. */
#include "wire/talk.h"

TEST(connect_is_the_first_packet)
{
    struct talk talk;
    talk_init(&talk, WIRE_MQTT311);
    talk_begin(&talk);
    CHECK_STR(talk_next(&talk), "CONNECT v4 keepalive=60 id=c");
    CHECK_STR(talk_next(&talk), "");
    CHECK_STR(talk_events(&talk), "");
    talk_server(&talk, "20 {01 00}");
    CHECK_STR(talk_events(&talk), "connected 1; ");
    CHECK_INT(talk.client.state, WIRE_CLIENT_UP);
}

TEST(in_version_5_it_takes_no_more_messages_at_once_than_it_can_remember)
{
    struct talk talk;
    talk_init(&talk, WIRE_MQTT5);
    talk_begin(&talk);
    CHECK_STR(talk_next(&talk), "CONNECT v5 keepalive=60 id=c receive-max=2");
    talk.config.connect.props.receive_max = 1;
    wire_set(&talk.config.connect.props, WIRE_RECEIVE_MAX);
    talk_restart(&talk);
    talk_begin(&talk);
    CHECK_STR(talk_next(&talk), "CONNECT v5 keepalive=60 id=c receive-max=1");
}

TEST(nothing_follows_connect_before_it_is_answered)
{
    struct talk talk;
    talk_init(&talk, WIRE_MQTT5);
    talk_begin(&talk);
    CHECK_INT(talk_publish(&talk, 0, "a", "x"), WIRE_IS_DOWN);
    CHECK_INT(talk_publish(&talk, 1, "a", "y"), 1);
    CHECK_INT(talk_subscribe(&talk, "#"), WIRE_IS_DOWN);
    wire_client_disconnect(&talk.client, 0);
    CHECK(strncmp(talk_next(&talk), "CONNECT", 7) == 0);
    CHECK_STR(talk_next(&talk), "");
    talk_server(&talk, "20 {00 00 {}}");
    CHECK_STR(talk_next(&talk), "PUBLISH a q1 id=1 = y");
}

TEST(a_refused_connection_is_lost_with_the_reason)
{
    static const struct {
        enum wire_version version;
        const char *connack, *events;
    } refusals[] = {
        {WIRE_MQTT5, "20 {00 87 {}}", "lost refused 87; "},
        {WIRE_MQTT5, "20 {00 86 {1f ['who?']}}", "lost refused 86; "},
        {WIRE_MQTT5, "20 {00 9f {}}", "lost refused 9f; "},
        {WIRE_MQTT311, "20 {00 01}", "lost refused 84; "},
        {WIRE_MQTT311, "20 {00 02}", "lost refused 85; "},
        {WIRE_MQTT311, "20 {00 03}", "lost refused 88; "},
        {WIRE_MQTT311, "20 {00 04}", "lost refused 86; "},
        {WIRE_MQTT311, "20 {00 05}", "lost refused 87; "},
        {WIRE_MQTT311, "20 {00 77}", "lost refused 80; "},
    };
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        struct talk talk;
        talk_init(&talk, refusals[i].version);
        talk_begin(&talk);
        talk_server(&talk, refusals[i].connack);
        CHECK_STR(talk_events(&talk), refusals[i].events);
        CHECK_INT(talk.client.state, WIRE_CLIENT_DOWN);
        CHECK_INT(talk_publish(&talk, 0, "a", "x"), WIRE_IS_DOWN);
    }
}

TEST(a_server_that_begins_with_something_else_is_lost)
{
    static const char *const beginnings[] = {
        "d0 {}", "30 {['a'] {} 'x'}", "40 {0001}", "90 {0001 {} 00}", "e0 {87}", "f0 {18 {15 ['m']}}",
    };
    for (size_t i = 0; i < sizeof beginnings / sizeof beginnings[0]; i++) {
        struct talk talk;
        talk_init(&talk, WIRE_MQTT5);
        talk_begin(&talk);
        talk_server(&talk, beginnings[i]);
        CHECK_STR(talk_events(&talk), "lost protocol 82; "); /* [MQTT-3.2.0-1] */
    }
}

TEST(a_second_connack_is_a_protocol_error)
{
    struct talk talk;
    talk_init(&talk, WIRE_MQTT5);
    talk_up(&talk);
    talk_server(&talk, "20 {00 00 {}}"); /* [MQTT-3.2.0-2] */
    CHECK_STR(talk_events(&talk), "lost protocol 82; ");
}

TEST(a_session_that_was_to_be_new_and_is_not_is_a_protocol_error)
{
    struct talk talk;
    talk_init(&talk, WIRE_MQTT5);
    talk.config.connect.clean_start = true;
    talk_restart(&talk);
    talk_begin(&talk);
    talk_server(&talk, "20 {01 00 {}}"); /* [MQTT-3.2.2-2, -4] */
    CHECK_STR(talk_events(&talk), "lost protocol 82; ");
}

TEST(a_connect_that_does_not_fit_into_the_output_is_said_at_once)
{
    struct talk talk;
    talk_init(&talk, WIRE_MQTT5);
    talk.config.out_size = 16;
    talk_restart(&talk);
    talk_begin(&talk);
    CHECK_STR(talk_events(&talk), "lost memory 00; ");
    CHECK_STR(talk_next(&talk), "");
    CHECK_INT(talk.client.state, WIRE_CLIENT_DOWN);
}

TEST(a_server_may_say_goodbye_in_version_5)
{
    struct talk talk;
    talk_init(&talk, WIRE_MQTT5);
    talk_up(&talk);
    talk_server(&talk, "e0 {8e {1f ['elsewhere']}} 30 {['a'] {} 'x'} ff");
    CHECK_STR(talk_events(&talk), "lost disconnected 8e; "); /* and what follows is nothing to us */
    talk_init(&talk, WIRE_MQTT311);
    talk_up(&talk);
    talk_server(&talk, "e0 {}");
    CHECK_STR(talk_events(&talk), "lost protocol 82; ");
}

TEST(what_is_lost_stays_lost_until_the_next_beginning)
{
    struct talk talk;
    talk_init(&talk, WIRE_MQTT5);
    talk_up(&talk);
    talk_server(&talk, "00");
    CHECK_STR(talk_events(&talk), "lost protocol 81; ");
    talk_server(&talk, "30 {['a'] {} 'x'} 00");
    talk_after(&talk, 1000000);
    CHECK_INT(talk.wait, UINT32_MAX);
    wire_client_acknowledge(&talk.client, 7, 0);
    CHECK_STR(talk_next(&talk), "");
    CHECK_STR(talk_events(&talk), "");
    talk_end(&talk);
    talk_up(&talk);
    talk_server(&talk, "30 {['a'] {} 'x'}");
    CHECK_STR(talk_events(&talk), "message a q0 = x; ");
}

/* ---- goodbye -------------------------------------------------------------------------------------------------------- */

TEST(nothing_follows_disconnect)
{
    struct talk talk;
    talk_init(&talk, WIRE_MQTT5);
    talk_up(&talk);
    CHECK_INT(talk_publish(&talk, 0, "a", "last"), 0);
    wire_client_disconnect(&talk.client, WIRE_DISCONNECT_WITH_WILL);
    CHECK_INT(talk_publish(&talk, 0, "a", "x"), WIRE_IS_DOWN);
    CHECK_INT(talk_publish(&talk, 1, "a", "kept"), 1);
    CHECK_INT(talk_subscribe(&talk, "#"), WIRE_IS_DOWN);
    wire_client_acknowledge(&talk.client, 5, 0);
    wire_client_disconnect(&talk.client, 0);
    CHECK_STR(talk_next(&talk), "PUBLISH a q0 = last");
    CHECK_STR(talk_next(&talk), "DISCONNECT 04");
    CHECK_STR(talk_next(&talk), ""); /* [MQTT-3.14.4-1] */
    CHECK_STR(talk_events(&talk), "");
    talk_end(&talk);
    talk_up(&talk);
    CHECK_STR(talk_next(&talk), "PUBLISH a q1 id=1 = kept");
}

TEST(disconnect_has_no_reason_in_3_1_1)
{
    struct talk talk;
    talk_init(&talk, WIRE_MQTT311);
    talk_up(&talk);
    wire_client_disconnect(&talk.client, WIRE_DISCONNECT_WITH_WILL);
    CHECK_STR(talk_next(&talk), "DISCONNECT 00");
    talk_init(&talk, WIRE_MQTT5);
    talk_up(&talk);
    wire_client_disconnect(&talk.client, 0);
    CHECK_STR(talk_next(&talk), "DISCONNECT 00");
}

static void leave(struct talk *talk)
{
    wire_client_disconnect(&talk->client, 0);
}

TEST(who_says_goodbye_while_a_message_is_handed_over_does_not_acknowledge_it_afterwards)
{
    static const char *const messages[] = {"32 {['a'] 0005 {} 'x'}", "34 {['a'] 0005 {} 'x'}"};
    for (size_t i = 0; i < 2; i++) {
        struct talk talk;
        talk_init(&talk, WIRE_MQTT5);
        talk.on_message = leave;
        talk_up(&talk);
        talk_server(&talk, messages[i]);
        CHECK_STR(talk_next(&talk), "DISCONNECT 00");
        CHECK_STR(talk_next(&talk), ""); /* [MQTT-3.14.4-1] */
    }
}

TEST(who_says_goodbye_as_soon_as_he_is_connected_sends_nothing_that_waited)
{
    struct talk talk;
    talk_init(&talk, WIRE_MQTT5);
    talk.on_connected = leave;
    CHECK_INT(talk_publish(&talk, 1, "a", "x"), 1);
    talk_begin(&talk);
    (void)talk_next(&talk);
    talk_server(&talk, "20 {00 00 {}}");
    CHECK_STR(talk_next(&talk), "DISCONNECT 00");
    CHECK_STR(talk_next(&talk), "");
}

TEST(what_was_not_sent_when_the_transport_went_is_dropped)
{
    struct talk talk;
    talk_init(&talk, WIRE_MQTT5);
    talk_up(&talk);
    talk.server_reads = 0;
    CHECK_INT(talk_publish(&talk, 0, "a", "x"), 0);
    talk_end(&talk);
    uint32_t len;
    (void)wire_client_output(&talk.client, &len);
    CHECK_INT(len, 0);
    talk.server_reads = SIZE_MAX;
    talk_begin(&talk);
    CHECK(strncmp(talk_next(&talk), "CONNECT", 7) == 0);
    CHECK_STR(talk_next(&talk), "");
}

/* ---- subscribing ---------------------------------------------------------------------------------------------------- */

TEST(a_subscription_is_answered_filter_by_filter)
{
    struct talk talk;
    talk_init(&talk, WIRE_MQTT5);
    talk_up(&talk);
    struct wire_filter filters[] = {{.filter = {"a/#", 3}, .qos = 1},
                                    {.filter = {"b", 1}, .no_local = true, .retain_handling = 2}};
    CHECK_INT(wire_client_subscribe(&talk.client, filters, 2), 1);
    CHECK_STR(talk_next(&talk), "SUBSCRIBE id=1; a/# q1; b q0 no-local handling=2");
    talk_server(&talk, "90 {0001 {} 01 87}");
    CHECK_STR(talk_events(&talk), "subscribed 1 01 87; ");
    CHECK_INT(wire_client_unsubscribe(&talk.client, filters, 2), 2);
    CHECK_STR(talk_next(&talk), "UNSUBSCRIBE id=2; a/#; b");
    talk_server(&talk, "b0 {0002 {} 00 11}");
    CHECK_STR(talk_events(&talk), "subscribed 2 00 11; ");
}

TEST(an_unsuback_of_3_1_1_has_no_codes)
{
    struct talk talk;
    talk_init(&talk, WIRE_MQTT311);
    talk_up(&talk);
    CHECK_INT(talk_subscribe(&talk, "a"), 1);
    CHECK_STR(talk_next(&talk), "SUBSCRIBE id=1; a q1");
    talk_server(&talk, "90 {0001 80} b0 {0002}");
    CHECK_STR(talk_events(&talk), "subscribed 1 80; subscribed 2; ");
}

TEST(a_subscription_waits_for_room_and_never_goes_if_it_is_too_long)
{
    struct talk talk;
    talk_init(&talk, WIRE_MQTT311);
    talk_up(&talk);
    talk.server_reads = 0;
    char filter[TALK_OUT] = "";
    memset(filter, 'f', 80);
    CHECK_INT(talk_subscribe(&talk, filter), 1);
    CHECK_INT(talk_subscribe(&talk, filter), WIRE_BUSY);
    talk.server_reads = SIZE_MAX;
    CHECK(strncmp(talk_next(&talk), "SUBSCRIBE id=1", 14) == 0);
    CHECK(talk_subscribe(&talk, filter) > 0);
    CHECK(strncmp(talk_next(&talk), "SUBSCRIBE", 9) == 0);
    memset(filter, 'f', TALK_OUT - 7); /* header 2, id 2, length 2, options 1: just fits */
    CHECK(talk_subscribe(&talk, filter) > 0);
    CHECK(strncmp(talk_next(&talk), "SUBSCRIBE", 9) == 0);
    memset(filter, 'f', TALK_OUT - 6);
    CHECK_INT(talk_subscribe(&talk, filter), WIRE_TOO_LONG);
}

TEST(a_subscription_longer_than_the_server_takes_is_not_sent)
{
    struct talk talk;
    talk_init(&talk, WIRE_MQTT5);
    talk_up_with(&talk, false, "27 0000000c");
    CHECK_INT(talk_subscribe(&talk, "abcd"), 1);              /* 12 bytes */
    CHECK_INT(talk_subscribe(&talk, "abcde"), WIRE_TOO_LONG); /* [MQTT-3.2.2-15] */
    CHECK_STR(talk_next(&talk), "SUBSCRIBE id=1; abcd q1");
    CHECK_STR(talk_next(&talk), "");
}

TEST(subscribing_to_nothing_is_refused)
{
    struct talk talk;
    talk_init(&talk, WIRE_MQTT5);
    talk_up(&talk);
    CHECK_INT(wire_client_subscribe(&talk.client, NULL, 0), WIRE_TOO_LONG); /* [MQTT-3.8.3-2] */
    CHECK_INT(wire_client_unsubscribe(&talk.client, NULL, 0), WIRE_TOO_LONG);
    CHECK_STR(talk_next(&talk), "");
}
