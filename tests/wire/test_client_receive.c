/* What the client receives: messages, in any pieces, too long ones, and what is not MQTT. */
#include "wire/notation.h"
#include "wire/talk.h"

#include <stdio.h>

TEST(a_message_is_handed_over_and_acknowledged_by_its_qos)
{
    struct talk talk;
    talk_init(&talk, WIRE_MQTT5);
    talk_up(&talk);
    talk_server(&talk, "31 {['a'] {} 'x'}");
    CHECK_STR(talk_events(&talk), "message a q0 retain = x; ");
    CHECK_STR(talk_next(&talk), "");
    talk_server(&talk, "32 {['a'] 0005 {0b 07 26 ['k'] ['v']} 'y'}");
    CHECK_STR(talk_events(&talk), "message a q1 id=5 subscription-id=7 user:k=v = y; ");
    CHECK_STR(talk_next(&talk), "PUBACK id=5 00");
    talk_server(&talk, "34 {['a'] 0005 {} 'z'}");
    CHECK_STR(talk_events(&talk), "message a q2 id=5 = z; ");
    CHECK_STR(talk_next(&talk), "PUBREC id=5 00");
    talk_server(&talk, "62 {0005}");
    CHECK_STR(talk_next(&talk), "PUBCOMP id=5 00");
    CHECK_STR(talk_next(&talk), "");
}

TEST(a_message_of_qos_2_is_handed_over_once_until_it_is_released)
{
    struct talk talk;
    talk_init(&talk, WIRE_MQTT311);
    talk_up(&talk);
    talk_server(&talk, "34 {['a'] 0005 'x'}");
    CHECK_STR(talk_next(&talk), "PUBREC id=5 00");
    talk_server(&talk, "3c {['a'] 0005 'x'}"); /* [MQTT-4.3.3-10] */
    CHECK_STR(talk_next(&talk), "PUBREC id=5 00");
    CHECK_STR(talk_events(&talk), "message a q2 id=5 = x; ");
    talk_server(&talk, "62 {0005} 62 {0005}");
    CHECK_STR(talk_next(&talk), "PUBCOMP id=5 00");
    CHECK_STR(talk_next(&talk), "PUBCOMP id=5 00");
    talk_server(&talk, "34 {['a'] 0005 'y'}"); /* [MQTT-4.3.3-12]: the id is a new message's */
    CHECK_STR(talk_events(&talk), "message a q2 id=5 = y; ");
}

TEST(what_was_handed_over_once_is_remembered_as_long_as_the_session)
{
    struct talk talk;
    talk_init(&talk, WIRE_MQTT5);
    talk_up(&talk);
    talk_server(&talk, "34 {['a'] 0005 {} 'x'}");
    talk_end(&talk);
    talk_up_with(&talk, true, "");
    talk_server(&talk, "3c {['a'] 0005 {} 'x'}");
    CHECK_STR(talk_events(&talk), "");
    CHECK_STR(talk_next(&talk), "PUBREC id=5 00");
    talk_end(&talk);
    talk_up_with(&talk, false, "");
    talk_server(&talk, "34 {['a'] 0005 {} 'another'}");
    CHECK_STR(talk_events(&talk), "message a q2 id=5 = another; ");
}

TEST(messages_of_qos_2_may_be_released_in_any_order)
{
    struct talk talk;
    talk_init(&talk, WIRE_MQTT5);
    talk_up(&talk);
    talk_server(&talk,
                "34 {['a'] 0005 {} 'x'} 34 {['a'] 0006 {} 'y'} 62 {0006} 3c {['a'] 0005 {} 'x'} 62 {0005}");
    CHECK_STR(talk_events(&talk), "message a q2 id=5 = x; message a q2 id=6 = y; ");
    CHECK_STR(talk_next(&talk), "PUBREC id=5 00");
    CHECK_STR(talk_next(&talk), "PUBREC id=6 00");
    CHECK_STR(talk_next(&talk), "PUBCOMP id=6 00");
    CHECK_STR(talk_next(&talk), "PUBREC id=5 00");
    CHECK_STR(talk_next(&talk), "PUBCOMP id=5 00");
}

TEST(a_pubrel_of_nothing_is_answered)
{
    struct talk talk;
    talk_init(&talk, WIRE_MQTT5);
    talk_up(&talk);
    talk_server(&talk, "62 {0009}");
    CHECK_STR(talk_next(&talk), "PUBCOMP id=9 92");
}

TEST(more_messages_of_qos_2_than_can_be_remembered_are_a_fault_of_the_server)
{
    struct talk talk;
    talk_init(&talk, WIRE_MQTT5);
    talk_up(&talk);
    talk_server(&talk, "34 {['a'] 0001 {}} 34 {['a'] 0002 {}}");
    (void)talk_events(&talk);
    talk_server(&talk, "34 {['a'] 0003 {}}");
    CHECK_STR(talk_events(&talk), "lost protocol 93; ");
    talk_init(&talk, WIRE_MQTT5);
    talk.config.received_size = 0;
    talk_restart(&talk);
    talk_up(&talk);
    talk_server(&talk, "34 {['a'] 0001 {}}");
    CHECK_STR(talk_events(&talk), "lost protocol 93; ");
}

TEST(an_alias_that_was_not_offered_is_a_fault_of_the_server)
{
    struct talk talk;
    talk_init(&talk, WIRE_MQTT5);
    talk_up(&talk);
    talk_server(&talk, "30 {['a'] {23 0001} 'x'}");
    CHECK_STR(talk_events(&talk), "lost protocol 94; ");
}

/* ---- acknowledging later -------------------------------------------------------------------------------------------- */

TEST(a_message_may_be_acknowledged_or_refused_later)
{
    struct talk talk;
    talk_init(&talk, WIRE_MQTT5);
    talk.acknowledges = false;
    talk_up(&talk);
    talk_server(&talk, "32 {['a'] 0005 {} 'x'} 32 {['a'] 0006 {} 'y'}");
    CHECK_STR(talk_next(&talk), "");
    wire_client_acknowledge(&talk.client, 5, 0);
    wire_client_acknowledge(&talk.client, 6, WIRE_QUOTA_EXCEEDED);
    CHECK_STR(talk_next(&talk), "PUBACK id=5 00");
    CHECK_STR(talk_next(&talk), "PUBACK id=6 97");
}

TEST(an_acknowledgement_is_for_the_connection_of_its_message_only)
{
    struct talk talk;
    talk_init(&talk, WIRE_MQTT5);
    talk.acknowledges = false;
    talk_up(&talk);
    talk_server(&talk, "32 {['a'] 0005 {} 'x'}");
    talk_end(&talk);
    wire_client_acknowledge(&talk.client, 5, 0);
    talk_begin(&talk);
    (void)talk_next(&talk);
    wire_client_acknowledge(&talk.client, 5, 0);
    CHECK_STR(talk_next(&talk), "");
}

TEST(late_acknowledgements_have_room_whatever_is_published)
{
    struct talk talk;
    talk_init(&talk, WIRE_MQTT5);
    talk.acknowledges = false;
    talk_up(&talk);
    talk_server(&talk, "32 {['a'] 0005 {} 'x'} 32 {['a'] 0006 {} 'y'}");
    talk.server_reads = 0;
    while (talk_publish(&talk, 0, "a", "0123456789") == 0)
        ;
    while (talk_publish(&talk, 0, "a", "") == 0)
        ;
    CHECK_INT(talk_subscribe(&talk, "a"), WIRE_BUSY);
    wire_client_acknowledge(&talk.client, 5, WIRE_QUOTA_EXCEEDED);
    wire_client_acknowledge(&talk.client, 6, WIRE_QUOTA_EXCEEDED);
    CHECK_STR(talk_events(&talk), "message a q1 id=5 = x; message a q1 id=6 = y; ");
    talk.server_reads = SIZE_MAX;
    const char *line;
    while (strncmp(line = talk_next(&talk), "PUBLISH", 7) == 0)
        ;
    CHECK_STR(line, "PUBACK id=5 97");
    CHECK_STR(talk_next(&talk), "PUBACK id=6 97");
}

TEST(a_message_is_taken_as_long_as_its_acknowledgement_just_fits)
{
    struct talk talk;
    talk_init(&talk, WIRE_MQTT311);
    talk_up(&talk);
    talk.server_reads = 0;
    CHECK_INT(talk_publish(&talk, 0, "a", "12345678"), 0);
    for (unsigned i = 0; i < 22; i++)
        CHECK_INT(talk_publish(&talk, 0, "a", ""), 0);
    uint32_t len;
    (void)wire_client_output(&talk.client, &len);
    CHECK_INT(len, TALK_OUT - WIRE_ACK_MAX);
    talk_server(&talk, "32 {['a'] 0005 'x'} 32 {['a'] 0006 'y'}");
    CHECK_STR(talk_events(&talk), "message a q1 id=5 = x; ");
}

TEST(a_late_acknowledgement_without_room_ends_the_connection)
{
    struct talk talk;
    talk_init(&talk, WIRE_MQTT311); /* without Receive Maximum no room is kept */
    talk.acknowledges = false;
    talk_up(&talk);
    talk_server(&talk, "32 {['a'] 0005 'x'}");
    talk.server_reads = 0;
    CHECK_INT(talk_publish(&talk, 0, "a", "12345678"), 0); /* 13 bytes, and 23 times 5 */
    while (talk_publish(&talk, 0, "a", "") == 0)
        ;
    (void)talk_events(&talk);
    wire_client_acknowledge(&talk.client, 5, 0);
    CHECK_STR(talk_events(&talk), "lost memory 00; ");
}

/* ---- pieces --------------------------------------------------------------------------------------------------------- */

TEST(bytes_may_come_in_any_pieces)
{
    static const char stream[] =
        "20 {00 00 {}} 32 {['a'] 0005 {} 'x'} d0 {} 30 {['a'] {} 31*50} 34 {['a'] 0006 {} 'y'} "
        "32 {['a'] 0007 {} 32*90} 62 {0006}";
    static const char events[] = "connected 0; message a q1 id=5 = x; "
                                 "message a q0 = 11111111111111111111111111111111111111111111111111; "
                                 "message a q2 id=6 = y; too long 98; ";
    uint8_t bytes[512];
    size_t len = notation_bytes(stream, bytes, sizeof bytes);
    for (size_t piece = 1; piece <= len; piece++) {
        struct talk talk;
        talk_init(&talk, WIRE_MQTT5);
        talk_begin(&talk);
        (void)talk_next(&talk);
        for (size_t at = 0; at < len; at += piece)
            CHECK_INT((int64_t)talk_server_bytes(&talk, bytes + at, len - at < piece ? len - at : piece), 0);
        CHECK_STR(talk_events(&talk), events);
        CHECK_STR(talk_next(&talk), "PUBACK id=5 00");
        CHECK_STR(talk_next(&talk), "PUBREC id=6 00");
        CHECK_STR(talk_next(&talk), "PUBACK id=7 97");
        CHECK_STR(talk_next(&talk), "PUBCOMP id=6 00");
        CHECK_STR(talk_next(&talk), "");
    }
}

static void echo(struct talk *talk)
{
    CHECK(talk_publish(talk, 0, "echo", "e") == 0);
    CHECK(talk_subscribe(talk, "more") > 0);
}

TEST(a_message_may_be_answered_while_it_is_handed_over)
{
    struct talk talk;
    talk_init(&talk, WIRE_MQTT5);
    talk.on_message = echo;
    talk_up(&talk);
    talk_server(&talk, "32 {['a'] 0005 {} 'x'}");
    CHECK_STR(talk_next(&talk), "PUBLISH echo q0 = e");
    CHECK_STR(talk_next(&talk), "SUBSCRIBE id=1; more q1");
    CHECK_STR(talk_next(&talk), "PUBACK id=5 00");
}

static void publish_all(struct talk *talk)
{
    while (talk_publish(talk, 0, "echo", "") == 0)
        ;
}

TEST(what_is_published_while_a_message_is_handed_over_leaves_room_to_acknowledge_it)
{
    struct talk talk;
    talk_init(&talk, WIRE_MQTT311); /* which has no window of ours, so nothing else is kept free */
    talk.on_message = publish_all;
    talk_up(&talk);
    talk.server_reads = 0;
    talk_server(&talk, "32 {['a'] 0005 'x'}");
    CHECK_STR(talk_events(&talk), "message a q1 id=5 = x; ");
    talk.server_reads = SIZE_MAX;
    const char *line;
    while (strncmp(line = talk_next(&talk), "PUBLISH", 7) == 0)
        ;
    CHECK_STR(line, "PUBACK id=5 00");
}

TEST(a_server_that_does_not_read_is_not_read_and_nothing_is_lost)
{
    struct talk talk;
    talk_init(&talk, WIRE_MQTT311);
    talk_up(&talk);
    talk.server_reads = 0;
    unsigned sent = 0;
    for (;; sent++) {
        uint8_t publish[] = {0x32, 6, 0, 1, 'a', (uint8_t)((sent + 1) >> 8), (uint8_t)(sent + 1), 'x'};
        size_t left = talk_server_bytes(&talk, publish, sizeof publish);
        if (!left)
            continue;
        talk.server_reads = SIZE_MAX; /* it reads again: the rest is taken */
        CHECK_STR(talk_next(&talk), "PUBACK id=1 00");
        CHECK_INT((int64_t)talk_server_bytes(&talk, publish + sizeof publish - left, left), 0);
        sent++;
        break;
    }
    CHECK(sent > TALK_OUT / 4 && sent < TALK_OUT / 4 + TALK_IN / 8 + 2);
    for (unsigned id = 2; id <= sent; id++) {
        char expected[32];
        (void)snprintf(expected, sizeof expected, "PUBACK id=%u 00", id);
        CHECK_STR(talk_next(&talk), expected);
    }
    CHECK_STR(talk_next(&talk), "");
    CHECK(!strstr(talk_events(&talk), "lost"));
}

/* ---- too long ------------------------------------------------------------------------------------------------------- */

TEST(a_packet_longer_than_the_input_is_read_away_and_acknowledged)
{
    static const struct {
        enum wire_version version;
        const char *packet, *answer;
    } packets[] = {
        {WIRE_MQTT5, "30 {['a'] {} 78*100}", ""},
        {WIRE_MQTT5, "32 {['a'] 0005 {} 78*100}", "PUBACK id=5 97"},
        {WIRE_MQTT5, "34 {['a'] 0005 {} 78*100}", "PUBREC id=5 97"},
        {WIRE_MQTT311, "32 {['a'] 0005 78*101}", "PUBACK id=5 00"},
        {WIRE_MQTT311, "34 {['a'] 0005 78*101}", "PUBREC id=5 00"},
        {WIRE_MQTT5, "32 {[61*40] 0005 {} 78*61}", "PUBACK id=5 97"},
        {WIRE_MQTT5, "32 {[61*80] 0005 {} 78*21}",
         ""}, /* its packet id does not fit into the input, either */
        {WIRE_MQTT5, "d0 {78*106}", ""},
    };
    for (size_t i = 0; i < sizeof packets / sizeof packets[0]; i++) {
        struct talk talk;
        talk_init(&talk, packets[i].version);
        talk_up(&talk);
        talk_server(&talk, packets[i].packet);
        CHECK(strncmp(talk_events(&talk), "too long 10", 11) == 0);
        CHECK_INT(talk.client.too_long, 1);
        CHECK_STR(talk_next(&talk), packets[i].answer);
        talk_server(&talk, "32 {['b'] 0006 00 'y'}");
        CHECK_STR(talk_next(&talk), "PUBACK id=6 00");
        CHECK_STR(talk_next(&talk), "");
    }
}

TEST(a_packet_just_as_long_as_the_input_is_not_too_long)
{
    struct talk talk;
    talk_init(&talk, WIRE_MQTT311);
    talk_up(&talk);
    talk_server(&talk, "32 {['a'] 0005 78*57}"); /* 64 bytes */
    CHECK_STR(talk_next(&talk), "PUBACK id=5 00");
    CHECK_INT(talk.client.too_long, 0);
    talk_server(&talk, "32 {['a'] 0005 78*58}");
    CHECK_INT(talk.client.too_long, 1);
}

TEST(a_packet_too_long_before_connack_says_that_this_is_no_broker)
{
    static const struct {
        const char *bytes, *events;
    } answers[] = {
        {"'HTTP/1.1 400 Bad Request' 0d0a0d0a",
         "lost protocol 82; "}, /* 86 bytes of PUBACK, to MQTT's eyes */
        {"32 {['a'] 0005 {} 78*100}", "lost protocol 82; "},
        {"20 {00 00 {1f [78*60]}} 20 {00 00 {}}", "too long 68; connected 0; "},
    };
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        struct talk talk;
        talk_init(&talk, WIRE_MQTT5);
        talk_begin(&talk);
        (void)talk_next(&talk);
        talk_server(&talk, answers[i].bytes);
        CHECK_STR(talk_events(&talk), answers[i].events);
        CHECK_STR(talk_next(&talk), "");
    }
}

TEST(a_packet_too_long_that_is_wrong_is_not_acknowledged)
{
    static const struct {
        const char *packet, *events;
    } packets[] = {
        {"36 {['a'] 0005 {} 78*100}", "lost protocol 81; "}, /* [MQTT-3.3.1-4] */
        {"32 {['a'] 0000 {} 78*100}", "lost protocol 82; "}, /* [MQTT-2.2.1-4] */
        {"32 {0050 78*70}", "lost protocol 81; "},           /* a topic longer than the packet */
    };
    for (size_t i = 0; i < sizeof packets / sizeof packets[0]; i++) {
        struct talk talk;
        talk_init(&talk, WIRE_MQTT5);
        talk_up(&talk);
        talk_server(&talk, packets[i].packet);
        CHECK_STR(talk_events(&talk), packets[i].events);
        CHECK_STR(talk_next(&talk), "");
    }
}

TEST(a_topic_that_reaches_beyond_its_packet_is_not_looked_for_in_the_next)
{
    struct talk talk;
    talk_init(&talk, WIRE_MQTT5);
    talk.config.in_size = 16; /* a packet of 17 bytes is too long */
    talk_restart(&talk);
    talk_up(&talk);
    talk_server(&talk, "32 {000d 78*13} d0 {} 30 {['a'] {}}");
    CHECK_STR(talk_events(&talk), "lost protocol 81; ");
    CHECK_STR(talk_next(&talk), "");
}

/* ---- not MQTT ------------------------------------------------------------------------------------------------------- */

TEST(what_is_not_mqtt_ends_the_connection)
{
    static const struct {
        const char *bytes, *events;
    } garbage[] = {
        {"00", "lost protocol 81; "},
        {"30 ffffffff7f", "lost protocol 81; "},
        {"30 {0005 'a'}", "lost protocol 81; "},
        {"30 {['a/#'] {} 'x'}", "lost protocol 90; "},
        {"36 {['a'] 0001 {}}", "lost protocol 81; "},
        {"32 {['a'] 0000 {}}", "lost protocol 82; "},
        {"30 {['a'] {ff 00}}", "lost protocol 81; "},
        {"40 {0000}", "lost protocol 82; "},
        {"40 {00}", "lost protocol 81; "},
        {"41 {0001}", "lost protocol 81; "},
        {"d0 {00}", "lost protocol 81; "},
        {"90 {0001 {} 03}", "lost protocol 81; "},
        {"10 {['MQTT'] 05 02 0000 {} ['c']}", "lost protocol 82; "},
        {"82 {0001 {} ['#'] 00}", "lost protocol 82; "},
        {"a2 {0001 {} ['#']}", "lost protocol 82; "},
        {"c0 {}", "lost protocol 82; "},
        {"f0 {18 {15 ['m']}}", "lost protocol 82; "}, /* [MQTT-4.12.0-6]: we named no method */
    };
    for (size_t i = 0; i < sizeof garbage / sizeof garbage[0]; i++) {
        struct talk talk;
        talk_init(&talk, WIRE_MQTT5);
        talk_up(&talk);
        talk_server(&talk, garbage[i].bytes);
        if (strcmp(talk_events(&talk), garbage[i].events) != 0)
            FAIL("%s: %s", garbage[i].bytes, talk.told);
        CHECK_STR(talk_next(&talk), "");
    }
}

TEST(events_that_nobody_wants_are_not_needed)
{
    struct talk talk;
    talk_init(&talk, WIRE_MQTT5);
    talk.config.events = (struct wire_client_events){0};
    talk_restart(&talk);
    talk_up(&talk);
    CHECK_INT(talk_publish(&talk, 1, "a", "x"), 1);
    (void)talk_next(&talk);
    talk_server(&talk, "40 {0001} 90 {0002 {} 00} 32 {['a'] 0005 {} 'x'} 30 {['a'] {} 78*100}");
    CHECK_STR(talk_next(&talk), "PUBACK id=5 00");
    talk_server(&talk, "e0 {}");
    CHECK_INT(talk.client.state, WIRE_CLIENT_DOWN);
}
