/* What the client publishes, and how it sees it through. */
#include "wire/notation.h"
#include "wire/talk.h"

TEST(a_message_of_qos_0_is_sent_and_forgotten)
{
    struct talk talk;
    talk_init(&talk, WIRE_MQTT5);
    talk_up(&talk);
    CHECK_INT(talk_publish(&talk, 0, "a/b", "x"), 0);
    CHECK_STR(talk_next(&talk), "PUBLISH a/b q0 = x");
    CHECK_STR(talk_events(&talk), "");
}

TEST(a_message_of_qos_1_is_under_way_until_its_puback)
{
    struct talk talk;
    talk_init(&talk, WIRE_MQTT5);
    talk_up(&talk);
    CHECK_INT(talk_publish(&talk, 1, "a", "x"), 1);
    CHECK_STR(talk_next(&talk), "PUBLISH a q1 id=1 = x");
    CHECK_STR(talk_events(&talk), "");
    talk_server(&talk, "40 {0001}");
    CHECK_STR(talk_events(&talk), "published 1 00; ");
    talk_server(&talk, "40 {0001}");
    CHECK_STR(talk_events(&talk), "");
    CHECK_INT(talk_publish(&talk, 1, "a", "y"), 2);
    talk_server(&talk, "40 {0002 97}");
    CHECK_STR(talk_events(&talk), "published 2 97; ");
}

TEST(a_message_of_qos_2_is_under_way_until_its_pubcomp)
{
    struct talk talk;
    talk_init(&talk, WIRE_MQTT5);
    talk_up(&talk);
    CHECK_INT(talk_publish(&talk, 2, "a", "x"), 1);
    CHECK_STR(talk_next(&talk), "PUBLISH a q2 id=1 = x");
    talk_server(&talk, "50 {0001}");
    CHECK_STR(talk_next(&talk), "PUBREL id=1 00");
    CHECK_STR(talk_events(&talk), "");
    talk_server(&talk, "50 {0001}"); /* again: only PUBREL again */
    CHECK_STR(talk_next(&talk), "PUBREL id=1 00");
    talk_server(&talk, "70 {0001}");
    CHECK_STR(talk_events(&talk), "published 1 00; ");
    talk_server(&talk, "70 {0001}");
    CHECK_STR(talk_events(&talk), "");
    CHECK_STR(talk_next(&talk), "");
}

TEST(a_pubrec_that_refuses_ends_the_message_without_pubrel)
{
    struct talk talk;
    talk_init(&talk, WIRE_MQTT5);
    talk_up(&talk);
    CHECK_INT(talk_publish(&talk, 2, "a", "x"), 1);
    (void)talk_next(&talk);
    talk_server(&talk, "50 {0001 87}");
    CHECK_STR(talk_events(&talk), "published 1 87; ");
    CHECK_STR(talk_next(&talk), "");
    talk_server(&talk, "50 {0001 87}"); /* [MQTT-4.3.3-4]: PUBREL follows a PUBREC below 0x80 only */
    CHECK_STR(talk_next(&talk), "");
}

TEST(a_pubrec_of_nothing_is_released)
{
    struct talk talk;
    talk_init(&talk, WIRE_MQTT5);
    talk_up(&talk);
    talk_server(&talk, "50 {0009}");
    CHECK_STR(talk_next(&talk), "PUBREL id=9 92");
    talk_init(&talk, WIRE_MQTT311);
    talk_up(&talk);
    talk_server(&talk, "50 {0009}");
    CHECK_STR(talk_next(&talk), "PUBREL id=9 00");
}

TEST(acknowledgements_in_the_wrong_order_or_of_the_wrong_kind_change_nothing)
{
    struct talk talk;
    talk_init(&talk, WIRE_MQTT5);
    talk_up(&talk);
    CHECK_INT(talk_publish(&talk, 1, "a", "x"), 1);
    CHECK_INT(talk_publish(&talk, 2, "a", "y"), 2);
    (void)talk_next(&talk);
    (void)talk_next(&talk);
    talk_server(&talk, "70 {0001} 70 {0002} 40 {0002} 40 {0003} 70 {0004}");
    CHECK_STR(talk_events(&talk), "");
    CHECK_STR(talk_next(&talk), "");
    talk_server(&talk, "50 {0001}"); /* as if it were of QoS 2: unknown */
    CHECK_STR(talk_next(&talk), "PUBREL id=1 92");
    talk_server(&talk, "40 {0001} 50 {0002} 70 {0002}");
    CHECK_STR(talk_next(&talk), "PUBREL id=2 00");
    CHECK_STR(talk_events(&talk), "published 1 00; published 2 00; ");
}

TEST(properties_travel_with_a_message_of_version_5)
{
    struct talk talk;
    talk_init(&talk, WIRE_MQTT5);
    talk_up(&talk);
    uint8_t extra[32];
    struct wire_packet publish = {.qos = 1, .retain = true, .dup = true, .packet_id = 77, .topic = {"a", 1}};
    publish.props.message_expiry = 60;
    publish.props.correlation = (struct wire_text){"\1", 1};
    wire_set(&publish.props, WIRE_MESSAGE_EXPIRY);
    wire_set(&publish.props, WIRE_CORRELATION);
    publish.props.extra = extra;
    publish.props.extra_len = (uint32_t)wire_put_user(extra, 0, sizeof extra, (struct wire_text){"k", 1},
                                                      (struct wire_text){"v", 1});
    CHECK_INT(wire_client_publish(&talk.client, &publish),
              1); /* DUP and packet id are the client's business */
    CHECK_STR(talk_next(&talk), "PUBLISH a q1 retain id=1 message-expiry=60 correlation=\\01 user:k=v = ");
}

/* ---- packet identifiers --------------------------------------------------------------------------------------------- */

TEST(packet_identifiers_go_round_and_leave_out_0_and_those_in_use)
{
    struct talk talk;
    talk_init(&talk, WIRE_MQTT311);
    talk_up(&talk);
    CHECK_INT(talk_publish(&talk, 1, "a", "stays"), 1);
    (void)talk_next(&talk);
    for (uint32_t n = 0; n < 2 * 65535; n++) {
        int id = talk_publish(&talk, 1, "a", "x");
        uint8_t puback[] = {0x40, 2, (uint8_t)(id >> 8), (uint8_t)id};
        CHECK(id == (int)(2 + n % 65534)); /* [MQTT-2.2.1-3] */
        (void)talk_next(&talk);
        CHECK_INT((int64_t)talk_server_bytes(&talk, puback, sizeof puback), 0);
        (void)talk_events(&talk);
    }
}

TEST(the_identifiers_of_the_two_directions_have_nothing_to_do_with_each_other)
{
    struct talk talk;
    talk_init(&talk, WIRE_MQTT5);
    talk_up(&talk);
    CHECK_INT(talk_publish(&talk, 2, "a", "ours"), 1);
    CHECK_STR(talk_next(&talk), "PUBLISH a q2 id=1 = ours");
    talk_server(&talk, "34 {['a'] 0001 {} 'theirs'} 50 {0001}");
    CHECK_STR(talk_next(&talk), "PUBREC id=1 00");
    CHECK_STR(talk_next(&talk), "PUBREL id=1 00");
    talk_server(&talk, "62 {0001}");
    CHECK_STR(talk_next(&talk), "PUBCOMP id=1 00");
    CHECK_STR(talk_events(&talk), "message a q2 id=1 = theirs; ");
    talk_server(&talk, "70 {0001}");
    CHECK_STR(talk_events(&talk), "published 1 00; ");
}

/* ---- limits --------------------------------------------------------------------------------------------------------- */

TEST(without_a_free_slot_a_message_has_to_wait)
{
    struct talk talk;
    talk_init(&talk, WIRE_MQTT5);
    talk_up(&talk);
    for (int id = 1; id <= TALK_SLOTS; id++)
        CHECK_INT(talk_publish(&talk, 1, "a", "x"), id);
    CHECK_INT(talk_publish(&talk, 1, "a", "x"), WIRE_BUSY);
    CHECK_INT(talk_publish(&talk, 0, "a", "x"), 0);
    talk_server(&talk, "40 {0002}");
    CHECK_INT(talk_publish(&talk, 1, "a", "x"), 4);
    talk.config.slot_count = 0;
    talk_restart(&talk);
    talk_up(&talk);
    CHECK_INT(talk_publish(&talk, 1, "a", "x"), WIRE_TOO_LONG);
    CHECK_INT(talk_publish(&talk, 0, "a", "x"), 0);
}

TEST(the_window_of_the_server_is_kept_to)
{
    struct talk talk;
    talk_init(&talk, WIRE_MQTT5);
    talk_up_with(&talk, false, "21 0001");
    CHECK_INT(talk_publish(&talk, 1, "a", "1"), 1);
    CHECK_INT(talk_publish(&talk, 2, "a", "2"), 2);
    CHECK_INT(talk_publish(&talk, 2, "a", "3"), 3);
    CHECK_STR(talk_next(&talk), "PUBLISH a q1 id=1 = 1");
    CHECK_STR(talk_next(&talk), ""); /* [MQTT-4.9.0-2] */
    CHECK_INT(talk_publish(&talk, 0, "a", "0"), 0);
    CHECK_STR(talk_next(&talk), "PUBLISH a q0 = 0"); /* [MQTT-4.9.0-3] */
    talk_server(&talk, "40 {0001}");
    CHECK_STR(talk_next(&talk), "PUBLISH a q2 id=2 = 2");
    talk_server(&talk, "50 {0002}");
    CHECK_STR(talk_next(&talk), "PUBREL id=2 00");
    CHECK_STR(talk_next(&talk), "");
    talk_server(&talk, "70 {0002}");
    CHECK_STR(talk_next(&talk), "PUBLISH a q2 id=3 = 3");
    CHECK_INT(talk_publish(&talk, 1, "a", "4"), 4);
    talk_server(&talk, "50 {0003 97}"); /* a refusal frees the window, too */
    CHECK_STR(talk_next(&talk), "PUBLISH a q1 id=4 = 4");
    CHECK_STR(talk_events(&talk), "published 1 00; published 2 00; published 3 97; ");
}

TEST(a_message_that_never_fits_is_refused_at_once)
{
    struct talk talk;
    talk_init(&talk, WIRE_MQTT5);
    talk_up(&talk);
    char payload[2 * TALK_OUT] = "";
    memset(payload, 'x', TALK_SLOT_SIZE - 8); /* header 2, topic 3, id 2, properties 1 */
    CHECK_INT(talk_publish(&talk, 1, "a", payload), 1);
    memset(payload, 'x', TALK_SLOT_SIZE - 7);
    CHECK_INT(talk_publish(&talk, 1, "a", payload), WIRE_TOO_LONG);
    (void)talk_next(&talk);
    memset(payload, 'x', TALK_OUT - 6 - TALK_RECEIVED * WIRE_ACK_MAX); /* what is kept for acknowledgements */
    CHECK_INT(talk_publish(&talk, 0, "a", payload), 0);
    (void)talk_next(&talk);
    memset(payload, 'x', TALK_OUT - 5 - TALK_RECEIVED * WIRE_ACK_MAX);
    CHECK_INT(talk_publish(&talk, 0, "a", payload), WIRE_TOO_LONG);
}

TEST(a_message_that_fits_into_its_slot_but_not_into_the_output_is_refused_at_once)
{
    struct talk talk;
    talk_init(&talk, WIRE_MQTT311);
    talk.config.out_size = 40;
    talk_restart(&talk);
    char payload[TALK_SLOT_SIZE] = "";
    memset(payload, 'x', 33); /* header 2, topic 3, id 2 */
    CHECK_INT(talk_publish(&talk, 1, "a", payload), 1);
    memset(payload, 'x', 34);
    CHECK_INT(talk_publish(&talk, 1, "a", payload), WIRE_TOO_LONG);
}

TEST(a_message_longer_than_the_server_takes_is_not_sent)
{
    struct talk talk;
    talk_init(&talk, WIRE_MQTT5);
    CHECK_INT(talk_publish(&talk, 1, "a", "123456"), 1); /* 14 bytes, the server is not known yet */
    CHECK_INT(talk_publish(&talk, 1, "a", "12345"), 2);
    talk_begin(&talk);
    (void)talk_next(&talk);
    talk_server(&talk, "20 {00 00 {27 0000000d}}");
    CHECK_STR(talk_events(&talk), "connected 0; published 1 95; "); /* [MQTT-3.2.2-15] */
    CHECK_STR(talk_next(&talk), "PUBLISH a q1 id=2 = 12345");
    CHECK_INT(talk_publish(&talk, 1, "a", "123456"), WIRE_TOO_LONG);
    CHECK_INT(talk_publish(&talk, 0, "a", "1234567"), 0);
    CHECK_INT(talk_publish(&talk, 0, "a", "12345678"), WIRE_TOO_LONG);
    CHECK_STR(talk_next(&talk), "PUBLISH a q0 = 1234567");
    CHECK_STR(talk_next(&talk), "");
}

TEST(when_the_output_is_full_qos_0_has_to_wait_and_qos_1_waits_by_itself)
{
    struct talk talk;
    talk_init(&talk, WIRE_MQTT311);
    talk_up(&talk);
    talk.server_reads = 0;
    char payload[TALK_OUT] = "";
    memset(payload, 'x', 50);
    CHECK_INT(talk_publish(&talk, 0, "a", payload), 0);
    CHECK_INT(talk_publish(&talk, 0, "a", payload), 0);
    CHECK_INT(talk_publish(&talk, 0, "a", payload), WIRE_BUSY);
    CHECK_INT(talk_publish(&talk, 1, "a", payload), 1);
    talk.server_reads = SIZE_MAX;
    CHECK(strncmp(talk_next(&talk), "PUBLISH a q0", 12) == 0);
    CHECK(strncmp(talk_next(&talk), "PUBLISH a q0", 12) == 0);
    CHECK(strncmp(talk_next(&talk), "PUBLISH a q1 id=1", 17) == 0);
}

TEST(a_send_may_take_a_part_of_a_packet)
{
    struct talk talk;
    talk_init(&talk, WIRE_MQTT5);
    talk_up(&talk);
    talk.server_reads = 0;
    CHECK_INT(talk_publish(&talk, 1, "a/b", "xyz"), 1);
    CHECK_INT(talk_publish(&talk, 0, "c", "0"), 0);
    for (int i = 0; i < 12; i++) {
        talk.server_reads = 1;
        CHECK_STR(talk_next(&talk), "a part");
    }
    talk.server_reads = 1;
    CHECK_STR(talk_next(&talk), "PUBLISH a/b q1 id=1 = xyz");
    talk.server_reads = SIZE_MAX;
    CHECK_STR(talk_next(&talk), "PUBLISH c q0 = 0");
}

/* ---- the next connection -------------------------------------------------------------------------------------------- */

static void publish_three(struct talk *talk)
{
    CHECK_INT(talk_publish(talk, 1, "a", "1"), 1);
    CHECK_INT(talk_publish(talk, 2, "a", "2"), 2);
    CHECK_INT(talk_publish(talk, 2, "a", "3"), 3);
    while (*talk_next(talk))
        ;
    talk_server(talk, "50 {0003}");
    CHECK_STR(talk_next(talk), "PUBREL id=3 00");
    talk_end(talk);
}

static void fill_output(struct talk *talk)
{
    while (talk_publish(talk, 0, "full", "") == 0)
        ;
}

TEST(with_its_session_everything_unfinished_is_sent_again_in_order)
{
    struct talk talk;
    talk_init(&talk, WIRE_MQTT5);
    talk_up(&talk);
    publish_three(&talk);
    talk_up_with(&talk, true, "");
    CHECK_STR(talk_next(&talk), "PUBLISH a q1 dup id=1 = 1"); /* [MQTT-4.4.0-1], [MQTT-3.3.1-1] */
    CHECK_STR(talk_next(&talk), "PUBLISH a q2 dup id=2 = 2");
    CHECK_STR(talk_next(&talk), "PUBREL id=3 00"); /* [MQTT-4.3.3-6]: never PUBLISH again behind PUBREL */
    CHECK_STR(talk_next(&talk), "");
    talk_server(&talk, "40 {0001} 50 {0002} 70 {0003}");
    CHECK_STR(talk_next(&talk), "PUBREL id=2 00");
    talk_server(&talk, "70 {0002}");
    CHECK_STR(talk_events(&talk), "published 1 00; published 3 00; published 2 00; ");
}

TEST(without_its_session_messages_are_new_and_what_was_released_is_done)
{
    struct talk talk;
    talk_init(&talk, WIRE_MQTT5);
    talk_up(&talk);
    publish_three(&talk);
    talk_begin(&talk);
    (void)talk_next(&talk);
    talk_server(&talk, "20 {00 00 {}}");
    CHECK_STR(talk_events(&talk), "published 3 00; connected 0; ");
    CHECK_STR(talk_next(&talk), "PUBLISH a q1 id=1 = 1");
    CHECK_STR(talk_next(&talk), "PUBLISH a q2 id=2 = 2");
    CHECK_STR(talk_next(&talk), "");
}

TEST(what_is_sent_again_waits_for_room)
{
    struct talk talk;
    talk_init(&talk, WIRE_MQTT5);
    talk_up(&talk);
    publish_three(&talk);
    talk_begin(&talk);
    (void)talk_next(&talk);
    talk.server_reads = 0;
    talk.on_connected = fill_output;
    talk_server(&talk, "20 {01 00 {}}");
    uint32_t len;
    (void)wire_client_output(&talk.client, &len);
    CHECK(len <= TALK_OUT);
    talk.server_reads = SIZE_MAX;
    const char *line;
    while (strncmp(line = talk_next(&talk), "PUBLISH full", 12) == 0)
        ;
    CHECK_STR(line, "PUBLISH a q1 dup id=1 = 1");
    CHECK_STR(talk_next(&talk), "PUBLISH a q2 dup id=2 = 2");
    CHECK_STR(talk_next(&talk), "PUBREL id=3 00");
    CHECK_STR(talk_next(&talk), "");
}

TEST(what_was_never_sent_goes_out_without_dup)
{
    struct talk talk;
    talk_init(&talk, WIRE_MQTT5);
    CHECK_INT(talk_publish(&talk, 1, "a", "early"), 1);
    talk_up_with(&talk, true, "21 0001");
    CHECK_INT(talk_publish(&talk, 1, "a", "outside the window"), 2);
    CHECK_STR(talk_next(&talk), "PUBLISH a q1 id=1 = early");
    CHECK_STR(talk_next(&talk), "");
    talk_end(&talk);
    CHECK_INT(talk_publish(&talk, 2, "a", "while down"), 3);
    talk_up_with(&talk, true, "");
    CHECK_STR(talk_next(&talk), "PUBLISH a q1 dup id=1 = early");
    CHECK_STR(talk_next(&talk), "PUBLISH a q1 id=2 = outside\\20the\\20window");
    CHECK_STR(talk_next(&talk), "PUBLISH a q2 id=3 = while\\20down");
}

TEST(an_acknowledgement_for_what_this_connection_has_not_sent_yet_changes_nothing)
{
    struct talk talk;
    talk_init(&talk, WIRE_MQTT5);
    talk_up_with(&talk, false, "21 0001");
    CHECK_INT(talk_publish(&talk, 1, "a", "1"), 1);
    CHECK_INT(talk_publish(&talk, 1, "a", "2"), 2);
    talk_server(&talk, "40 {0002}");
    CHECK_STR(talk_events(&talk), "");
    CHECK_STR(talk_next(&talk), "PUBLISH a q1 id=1 = 1");
    talk_server(&talk, "40 {0001}");
    CHECK_STR(talk_next(&talk), "PUBLISH a q1 id=2 = 2");
}

TEST(the_order_holds_when_its_counter_wraps)
{
    struct talk talk;
    talk_init(&talk, WIRE_MQTT5);
    talk.client.order = UINT32_MAX;
    CHECK_INT(talk_publish(&talk, 1, "a", "1"), 1);
    CHECK_INT(talk_publish(&talk, 1, "a", "2"), 2);
    talk_up(&talk);
    CHECK_STR(talk_next(&talk), "PUBLISH a q1 id=1 = 1");
    CHECK_STR(talk_next(&talk), "PUBLISH a q1 id=2 = 2");
}
