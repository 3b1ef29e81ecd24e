/* Keep-alive and deadlines, on a clock of 32 bits that wraps. Every test runs at several hours of that clock. */
#include "wire/talk.h"

static const uint32_t hours[] = {0,
                                 1,
                                 5000,
                                 UINT32_MAX - 100000,
                                 UINT32_MAX - 60000,
                                 UINT32_MAX - 30000,
                                 UINT32_MAX - 1,
                                 UINT32_MAX,
                                 INT32_MAX,
                                 (uint32_t)INT32_MAX + 1};

#define for_hours(talk)                                                                                      \
    for (size_t hour = 0; hour < sizeof hours / sizeof hours[0]; hour++)                                     \
        if (talk_init(&(talk), WIRE_MQTT5), (talk).now = hours[hour], true)

TEST(a_silent_client_pings_after_half_its_keep_alive)
{
    struct talk talk;
    for_hours(talk)
    {
        talk_up(&talk);
        talk_after(&talk, 0);
        CHECK_INT(talk.wait, 30000);
        talk_after(&talk, 29999);
        CHECK_STR(talk_next(&talk), "");
        CHECK_INT(talk.wait, 1);
        talk_after(&talk, 1);
        CHECK_STR(talk_next(&talk), "PINGREQ");
        CHECK_INT(talk.wait, 30000);
        talk_server(&talk, "d0 {}");
        talk_after(&talk, 30000);
        CHECK_STR(talk_next(&talk), "PINGREQ");
        CHECK_STR(talk_next(&talk), "");
    }
}

TEST(whoever_sends_something_need_not_ping_while_he_is_answered)
{
    struct talk talk;
    for_hours(talk)
    {
        talk_up(&talk);
        for (unsigned i = 0; i < 20; i++) {
            talk_after(&talk, 20000);
            CHECK_INT(talk_publish(&talk, 0, "a", "x"), 0);
            CHECK_STR(talk_next(&talk), "PUBLISH a q0 = x");
            talk_server(&talk, "30 {['a'] {} 'x'}");
        }
        CHECK_STR(talk_next(&talk), "");
        CHECK(!strstr(talk_events(&talk), "lost"));
    }
}

TEST(whoever_sends_but_hears_nothing_asks_whether_somebody_is_there)
{
    struct talk talk;
    for_hours(talk)
    {
        talk_up(&talk);
        for (unsigned i = 0; i < 5; i++) {
            talk_after(&talk, 10000);
            CHECK_INT(talk_publish(&talk, 0, "a", "x"), 0);
            CHECK_STR(talk_next(&talk), "PUBLISH a q0 = x");
        }
        talk_after(&talk, 10000);
        CHECK_STR(talk_next(&talk), "PINGREQ");
        for (unsigned i = 0; i < 2; i++) { /* once is enough */
            CHECK_INT(talk_publish(&talk, 0, "a", "x"), 0);
            CHECK_STR(talk_next(&talk), "PUBLISH a q0 = x");
            talk_after(&talk, 10000);
            CHECK_STR(talk_next(&talk), "");
        }
        CHECK_STR(talk_events(&talk), "");
        talk_after(&talk, 10000);
        CHECK_STR(talk_events(&talk), "lost silence 00; ");
    }
}

TEST(after_one_and_a_half_keep_alives_of_silence_the_connection_is_lost)
{
    struct talk talk;
    for_hours(talk)
    {
        talk_up(&talk);
        talk_after(&talk, 89999);
        CHECK_STR(talk_events(&talk), "");
        CHECK_INT(talk.wait, 1);
        talk_after(&talk, 1);
        CHECK_STR(talk_events(&talk), "lost silence 00; ");
        CHECK_INT(talk.client.state, WIRE_CLIENT_DOWN);
        talk_after(&talk, 1000);
        CHECK_INT(talk.wait, UINT32_MAX);
        CHECK_STR(talk_events(&talk), "");
    }
}

TEST(any_byte_from_the_server_says_that_it_is_there)
{
    struct talk talk;
    for_hours(talk)
    {
        talk_up(&talk);
        uint8_t beginning[] = {0x30, 40, 0, 1};
        for (size_t i = 0; i < sizeof beginning; i++) {
            talk_after(&talk, 80000);
            CHECK_INT((int64_t)talk_server_bytes(&talk, beginning + i, 1), 0);
        }
        CHECK_STR(talk_events(&talk), "");
    }
}

TEST(no_keep_alive_means_no_pings_and_no_end)
{
    struct talk talk;
    for_hours(talk)
    {
        talk.config.connect.keepalive_s = 0;
        talk_restart(&talk);
        talk_up(&talk);
        for (unsigned i = 0; i < 10; i++) {
            talk_after(&talk, 500000000);
            CHECK_INT(talk.wait, UINT32_MAX);
        }
        CHECK_STR(talk_next(&talk), "");
        CHECK_STR(talk_events(&talk), "");
    }
}

TEST(the_keep_alive_of_the_server_counts)
{
    struct talk talk;
    for_hours(talk)
    {
        talk_up_with(&talk, false, "13 000a"); /* [MQTT-3.2.2-21] */
        talk_after(&talk, 5000);
        CHECK_STR(talk_next(&talk), "PINGREQ");
        talk_after(&talk, 10000);
        CHECK_STR(talk_events(&talk), "lost silence 00; ");
        talk_end(&talk);
        talk_up_with(&talk, false, ""); /* and for that connection only */
        talk_after(&talk, 15000);
        CHECK_STR(talk_events(&talk), "");
        talk_up_with(&talk, false, "13 0000");
        talk_after(&talk, 1000000);
        CHECK_INT(talk.wait, UINT32_MAX);
    }
}

TEST(the_longest_keep_alive_does_not_overflow)
{
    struct talk talk;
    for_hours(talk)
    {
        talk.config.connect.keepalive_s = UINT16_MAX;
        talk_restart(&talk);
        talk_up(&talk);
        talk_after(&talk, 0);
        CHECK_INT(talk.wait, 32767500);
        talk_after(&talk, 98302499);
        CHECK_STR(talk_events(&talk), "");
        talk_after(&talk, 1);
        CHECK_STR(talk_events(&talk), "lost silence 00; ");
    }
}

TEST(the_wait_for_connack_ends)
{
    struct talk talk;
    for_hours(talk)
    {
        talk_begin(&talk);
        (void)talk_next(&talk);
        talk_after(&talk, 1);
        CHECK_INT(talk.wait, 9999);
        talk_after(&talk, 9998);
        CHECK_STR(talk_events(&talk), "");
        talk_after(&talk, 1);
        CHECK_STR(talk_events(&talk), "lost silence 00; ");

        talk.config.connack_ms = 500;
        talk_restart(&talk);
        talk_begin(&talk);
        talk_after(&talk, 500);
        CHECK_STR(talk_events(&talk), "lost silence 00; ");
    }
}

TEST(while_connecting_nothing_but_connack_is_waited_for)
{
    struct talk talk;
    for_hours(talk)
    {
        talk.config.connect.keepalive_s = 2;
        talk_restart(&talk);
        talk_begin(&talk);
        (void)talk_next(&talk);
        talk_after(&talk, 9000);
        CHECK_STR(talk_next(&talk), "");
        CHECK_STR(talk_events(&talk), "");
        talk_server(&talk, "20 {00 00 {}}");
        CHECK_STR(talk_events(&talk), "connected 0; ");
        talk_after(&talk, 1);
        CHECK_STR(talk_events(&talk), "");
        CHECK_STR(talk_next(&talk), "PINGREQ"); /* CONNECT is long ago */
    }
}

TEST(a_ping_waits_for_room_in_the_output)
{
    struct talk talk;
    for_hours(talk)
    {
        talk_up(&talk);
        talk.server_reads = 0;
        CHECK_INT(talk_publish(&talk, 0, "a", "1234"),
                  0); /* with it, the others fill the output to the last byte */
        while (talk_publish(&talk, 0, "a", "") == 0)
            ;
        talk_after(&talk, 30000);
        CHECK_INT(talk.wait, 60000);
        talk.server_reads = SIZE_MAX;
        while (*talk_next(&talk))
            ;
        talk_after(&talk, 50000);
        CHECK_STR(talk_next(&talk), "PINGREQ");
        CHECK_INT(talk.wait, 10000); /* not half a keep-alive: 80 s of silence have gone already */
    }
}

TEST(whoever_is_down_waits_for_nothing)
{
    struct talk talk;
    for_hours(talk)
    {
        talk_after(&talk, 100);
        CHECK_INT(talk.wait, UINT32_MAX);
        talk_up(&talk);
        talk_end(&talk);
        talk_after(&talk, 100);
        CHECK_INT(talk.wait, UINT32_MAX);
    }
}
