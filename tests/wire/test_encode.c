/* Packets to bytes: what is encoded decodes to the same, in exactly the room it says it needs. */
#include "wire/gen.h"
#include "wire/notation.h"
#include "wire/rows.h"

#include <stdlib.h>

enum { SEEDS = 250, LINE = 5 * GEN_STORAGE + 1000 };

static void for_random_packets(void (*visit)(const struct wire_packet *packet, enum wire_side side))
{
    static struct gen gen;
    static const enum wire_version versions[] = {WIRE_MQTT31, WIRE_MQTT311, WIRE_MQTT5};
    struct wire_packet packet;
    gen_seed(&gen, 1);
    for (size_t v = 0; v < 3; v++)
        for (unsigned side = WIRE_FROM_CLIENT; side <= WIRE_FROM_SERVER; side++)
            for (unsigned type = WIRE_CONNECT; type <= WIRE_AUTH; type++)
                for (unsigned n = 0; n < SEEDS && gen_may_come(type, versions[v], side); n++) {
                    gen_packet(&gen, &packet, (enum wire_type)type, versions[v], (enum wire_side)side);
                    visit(&packet, (enum wire_side)side);
                }
}

static uint8_t *exactly(size_t len)
{
    uint8_t *bytes = malloc(len);
    CHECK(bytes != NULL);
    return bytes;
}

static void check_round_trip(const struct wire_packet *packet, enum wire_side side)
{
    static char before[LINE];
    (void)notation_line(packet, before, sizeof before);
    size_t size = wire_size(packet);
    uint8_t *bytes = exactly(size); /* the sanitizer sees what is written beyond */
    CHECK_INT((int64_t)wire_encode(bytes, size, packet), (int64_t)size);
    const char *after = row_result(bytes, size, packet->version, side);
    if (strcmp(before, after) != 0)
        FAIL("version %d\n    %s\nbecomes\n    %s", packet->version, before, after);
    free(bytes);
}

TEST(what_is_encoded_decodes_to_the_same_packet)
{
    for_random_packets(check_round_trip);
}

static void check_one_less(const struct wire_packet *packet, enum wire_side side)
{
    (void)side;
    size_t size = wire_size(packet);
    uint8_t *bytes = exactly(size);
    memset(bytes, 0xA5, size);
    CHECK_INT((int64_t)wire_encode(bytes, size - 1, packet), 0);
    for (size_t i = 0; i < size; i++)
        CHECK_INT(bytes[i], 0xA5);
    free(bytes);
    CHECK_INT((int64_t)wire_encode(NULL, 0, packet), 0);
}

TEST(with_one_byte_less_nothing_is_written)
{
    for_random_packets(check_one_less);
}

static void check_publish_head(const struct wire_packet *packet, enum wire_side side)
{
    (void)side;
    if (packet->type != WIRE_PUBLISH)
        return;
    size_t size = wire_size(packet), head = size - packet->payload_len, id_at = 77;
    uint8_t *whole = exactly(size), *bytes = exactly(head);
    (void)wire_encode(whole, size, packet);
    CHECK(wire_publish_head_max(packet) >= head && wire_publish_head_max(packet) <= head + 3);
    memset(bytes, 0xA5, head);
    CHECK_INT((int64_t)wire_encode_publish_head(bytes, head - 1, packet, &id_at), 0);
    for (size_t i = 0; i < head; i++)
        CHECK_INT(bytes[i], 0xA5);
    CHECK_INT((int64_t)wire_encode_publish_head(bytes, head, packet, &id_at), (int64_t)head);
    CHECK_MEM(bytes, head, whole, head);
    CHECK_INT(id_at != 0, packet->qos != 0);
    if (packet->qos)
        CHECK_INT(bytes[id_at] << 8 | bytes[id_at + 1], packet->packet_id);
    free(bytes);
    free(whole);
}

TEST(the_head_of_a_publish_is_the_front_of_the_whole)
{
    for_random_packets(check_publish_head);
}

TEST(a_short_acknowledgement_is_what_the_long_way_gives)
{
    static const enum wire_version versions[] = {WIRE_MQTT31, WIRE_MQTT311, WIRE_MQTT5};
    static const uint8_t reasons[] = {WIRE_SUCCESS, WIRE_ID_NOT_FOUND, WIRE_QUOTA_EXCEEDED};
    for (unsigned type = WIRE_PUBACK; type <= WIRE_PUBCOMP; type++)
        for (size_t v = 0; v < 3; v++)
            for (size_t i = 0; i < 3; i++) {
                struct wire_packet packet = {
                    .type = type, .version = versions[v], .packet_id = 0x1234, .reason = reasons[i]};
                uint8_t whole[8], bytes[WIRE_ACK_MAX];
                size_t len = wire_encode(whole, sizeof whole, &packet);
                CHECK_MEM(bytes, wire_encode_ack(bytes, type, versions[v], 0x1234, reasons[i]), whole, len);
            }
}

/* The decoder takes several forms of some packets; this is the one that we write. */
TEST(the_shortest_form_is_written)
{
    static const struct {
        enum wire_version version;
        enum wire_side side;
        const char *bytes, *written;
    } forms[] = {
        {WIRE_MQTT5, WIRE_FROM_CLIENT, "40 {000a}", "40 {000a}"},
        {WIRE_MQTT5, WIRE_FROM_CLIENT, "40 {000a 00}", "40 {000a}"},
        {WIRE_MQTT5, WIRE_FROM_CLIENT, "40 {000a 00 {}}", "40 {000a}"},
        {WIRE_MQTT5, WIRE_FROM_CLIENT, "40 {000a 97 {}}", "40 {000a 97}"},
        {WIRE_MQTT5, WIRE_FROM_CLIENT, "40 {000a 00 {1f []}}", "40 {000a 00 {1f []}}"},
        {WIRE_MQTT5, WIRE_FROM_CLIENT, "40 {000a 00 {26 [] []}}", "40 {000a 00 {26 [] []}}"},
        {WIRE_MQTT5, WIRE_FROM_SERVER, "e0 {00 {}}", "e0 {}"},
        {WIRE_MQTT5, WIRE_FROM_SERVER, "e0 {8b {}}", "e0 {8b}"},
        {WIRE_MQTT5, WIRE_FROM_SERVER, "f0 {00}", "f0 {}"},
        {WIRE_MQTT5, WIRE_FROM_SERVER, "20 {00 00 {}}", "20 {00 00 {}}"},
        {WIRE_MQTT5, WIRE_FROM_SERVER, "30 {['a'] {02 00000001 01 01} 'x'}",
         "30 {['a'] {01 01 02 00000001} 'x'}"},
        {WIRE_MQTT31, WIRE_FROM_CLIENT, "8a {0001 ['a'] 00}", "82 {0001 ['a'] 00}"},
        {WIRE_MQTT31, WIRE_FROM_CLIENT, "10 {['MQIsdp'] 03 c2 003c ['p']}",
         "10 {['MQIsdp'] 03 02 003c ['p']}"},
        {WIRE_MQTT311, WIRE_FROM_SERVER, "30 848000 ['a'] 'x'", "30 04 ['a'] 'x'"},
    };
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        uint8_t bytes[128], written[128], expected[128];
        struct wire_frame frame;
        struct wire_packet packet;
        const char *why;
        size_t len = notation_bytes(forms[i].bytes, bytes, sizeof bytes);
        CHECK_INT(wire_frame(bytes, len, SIZE_MAX, &frame), 1);
        CHECK_INT(wire_decode(&packet, &frame, forms[i].version, forms[i].side, &why), 0);
        size_t wanted = notation_bytes(forms[i].written, expected, sizeof expected);
        CHECK_MEM(written, notation_encode(written, sizeof written, &packet), expected, wanted);
    }
}

TEST(what_a_version_has_no_words_for_is_not_encoded)
{
    static const enum wire_version old[] = {WIRE_MQTT31, WIRE_MQTT311};
    uint8_t out[64];
    for (size_t i = 0; i < 2; i++) {
        struct wire_packet auth = {.type = WIRE_AUTH, .version = old[i]};
        CHECK_INT((int64_t)wire_size(&auth), 0);
        CHECK_INT((int64_t)wire_encode(out, sizeof out, &auth), 0);
        struct wire_packet connect = {
            .type = WIRE_CONNECT, .version = old[i], .has_password = true, .password = {"x", 1}};
        CHECK_INT((int64_t)wire_encode(out, sizeof out, &connect), 0); /* 311: 3.1.2-22 */
        connect.has_username = true;
        CHECK(wire_encode(out, sizeof out, &connect) > 0);
        /* properties and codes that it does not have are left out */
        struct wire_packet puback = {.type = WIRE_PUBACK, .version = old[i], .packet_id = 1, .reason = 0x87};
        puback.props.reason_string = (struct wire_text){"no", 2};
        wire_set(&puback.props, WIRE_REASON_STRING);
        CHECK_MEM(out, wire_encode(out, sizeof out, &puback), "\x40\x02\x00\x01", 4);
        struct wire_packet unsuback = {.type = WIRE_UNSUBACK,
                                       .version = old[i],
                                       .packet_id = 1,
                                       .list = (const uint8_t *)"",
                                       .list_len = 1};
        CHECK_MEM(out, wire_encode(out, sizeof out, &unsuback), "\xB0\x02\x00\x01", 4);
    }
    struct wire_packet connack = {.type = WIRE_CONNACK, .version = WIRE_MQTT31, .session_present = true};
    CHECK_MEM(out, wire_encode(out, sizeof out, &connack), "\x20\x02\x00\x00", 4);
}

TEST(a_packet_longer_than_mqtt_allows_is_not_encoded)
{
    uint8_t out[16];
    size_t id_at;
    struct wire_packet packet = {.type = WIRE_PUBLISH, .version = WIRE_MQTT311, .topic = {"a", 1}};
    packet.payload_len = WIRE_REMAINING_MAX - 3 + 1;
    CHECK_INT((int64_t)wire_size(&packet), 0);
    CHECK_INT((int64_t)wire_encode(out, SIZE_MAX, &packet), 0);
    CHECK_INT((int64_t)wire_encode_publish_head(out, sizeof out, &packet, &id_at), 0);
    packet.payload_len--;
    CHECK_INT((int64_t)wire_size(&packet), 268435460);
    CHECK_MEM(out, wire_encode_publish_head(out, sizeof out, &packet, &id_at),
              "\x30\xFF\xFF\xFF\x7F\x00\x01\x61", 8);
}

TEST(bits_of_properties_without_a_value_write_nothing)
{
    uint8_t out[16];
    struct wire_packet packet = {.type = WIRE_PUBLISH, .version = WIRE_MQTT5, .topic = {"a", 1}};
    packet.props.present = ~(uint64_t)0x7FFFFFFFFFF; /* above the last identifier */
    packet.props.present |= 1 << 0x00 | 1 << 0x04 | 1 << 0x14;
    wire_set(&packet.props, WIRE_USER_PROPERTY);
    CHECK_MEM(out, wire_encode(out, sizeof out, &packet), "\x30\x04\x00\x01\x61\x00", 6);
}

TEST(several_subscription_identifiers_stand_in_place_of_the_one)
{
    static const uint32_t ids[] = {5, 128};
    uint8_t out[32], expected[32];
    struct wire_packet packet = {.type = WIRE_PUBLISH, .version = WIRE_MQTT5, .topic = {"a", 1}};
    packet.props.subscription_id = 7;
    wire_set(&packet.props, WIRE_SUBSCRIPTION_ID);
    size_t len = notation_bytes("30 {['a'] {0b 07}}", expected, sizeof expected);
    CHECK_MEM(out, wire_encode(out, sizeof out, &packet), expected, len);
    packet.props.ids = ids;
    packet.props.id_count = 2;
    len = notation_bytes("30 {['a'] {0b 05 0b 8001}}", expected, sizeof expected);
    CHECK_MEM(out, wire_encode(out, sizeof out, &packet), expected, len);
    packet.props.present = 0;
    CHECK_MEM(out, wire_encode(out, sizeof out, &packet), expected, len);
}

TEST(a_list_may_stand_in_the_buffer_that_is_encoded_to)
{
    uint8_t out[24], expected[24];
    struct wire_filter filters[] = {{.filter = {"a/b", 3}, .qos = 1}, {.filter = {"#", 1}}};
    size_t need = 6 + 4, len = 0;
    uint8_t *list = out + sizeof out - need;
    for (size_t i = 0; i < 2; i++)
        len = wire_put_filter(list, len, need, WIRE_SUBSCRIBE, &filters[i]);
    CHECK_INT((int64_t)len, (int64_t)need);
    struct wire_packet packet = {.type = WIRE_SUBSCRIBE,
                                 .version = WIRE_MQTT5,
                                 .packet_id = 9,
                                 .list = list,
                                 .list_len = (uint32_t)len};
    size_t wanted = notation_bytes("82 {0009 {} ['a/b'] 01 ['#'] 00}", expected, sizeof expected);
    CHECK_MEM(out, wire_encode(out, sizeof out, &packet), expected, wanted);
}

TEST(filters_and_user_properties_are_appended_if_they_fit)
{
    uint8_t bytes[16], expected[16];
    struct wire_filter f = {.filter = {"a/b", 3}, .qos = 2, .no_local = true, .retain_as_published = true};
    f.retain_handling = 2;
    CHECK_INT((int64_t)wire_put_filter(bytes, 0, 5, WIRE_SUBSCRIBE, &f), 0);
    CHECK_INT((int64_t)wire_put_filter(bytes, 0, 6, WIRE_SUBSCRIBE, &f), 6);
    CHECK_MEM(bytes, 6, expected, notation_bytes("['a/b'] 2e", expected, sizeof expected));
    CHECK_INT((int64_t)wire_put_filter(bytes, 6, 10, WIRE_UNSUBSCRIBE, &f), 0);
    CHECK_INT((int64_t)wire_put_filter(bytes, 6, 11, WIRE_UNSUBSCRIBE, &f), 11);
    CHECK_MEM(bytes, 11, expected, notation_bytes("['a/b'] 2e ['a/b']", expected, sizeof expected));

    struct wire_text key = {"k", 1}, value = {"vw", 2};
    CHECK_INT((int64_t)wire_put_user(bytes, 0, 7, key, value), 0);
    CHECK_INT((int64_t)wire_put_user(bytes, 0, 8, key, value), 8);
    CHECK_INT((int64_t)wire_put_user(bytes, 8, 15, key, value), 0);
    CHECK_INT((int64_t)wire_put_user(bytes, 8, 16, key, value), 16);
    CHECK_MEM(bytes, 16, expected,
              notation_bytes("26 ['k'] ['vw'] 26 ['k'] ['vw']", expected, sizeof expected));
}

/* ---- answers that must not be longer than their receiver takes ------------------------------------------------------ */

static struct wire_packet long_answer(enum wire_type type, uint8_t extra[8])
{
    struct wire_packet packet = {
        .type = type, .version = WIRE_MQTT5, .packet_id = 1, .reason = WIRE_QUOTA_EXCEEDED};
    packet.props.reason_string = (struct wire_text){"full", 4};
    wire_set(&packet.props, WIRE_REASON_STRING);
    packet.props.extra = extra;
    packet.props.extra_len =
        (uint32_t)wire_put_user(extra, 0, 8, (struct wire_text){"k", 1}, (struct wire_text){"vw", 2});
    return packet;
}

TEST(an_answer_too_long_for_its_receiver_loses_user_properties_then_the_reason_string)
{
    static const struct {
        size_t max;
        bool fits;
        const char *bytes;
    } cases[] = {
        {21, true, "40 {0001 97 {1f ['full'] 26 ['k'] ['vw']}}"},
        {20, true, "40 {0001 97 {1f ['full']}}"},
        {13, true, "40 {0001 97 {1f ['full']}}"},
        {12, true, "40 {0001 97}"},
        {5, true, "40 {0001 97}"},
        {4, false, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint8_t extra[8], out[64], expected[64];
        struct wire_packet packet = long_answer(WIRE_PUBACK, extra);
        CHECK_INT(wire_shorten(&packet, cases[i].max), cases[i].fits);
        if (!cases[i].fits)
            continue;
        size_t len = notation_bytes(cases[i].bytes, expected, sizeof expected);
        CHECK_MEM(out, wire_encode(out, sizeof out, &packet), expected, len);
    }
}

TEST(what_cannot_be_said_at_all_does_not_fit_either)
{
    struct wire_packet packet = {.type = WIRE_AUTH, .version = WIRE_MQTT311};
    CHECK(!wire_shorten(&packet, 100));
}

TEST(a_publish_is_never_shortened)
{
    uint8_t extra[8];
    struct wire_packet packet = long_answer(WIRE_PUBLISH, extra);
    packet.props.present = 0;
    packet.topic = (struct wire_text){"a", 1};
    size_t size = wire_size(&packet);
    CHECK(wire_shorten(&packet, size));
    CHECK(!wire_shorten(&packet, size - 1)); /* [MQTT-3.3.2-17]: its user properties belong to the message */
    CHECK_INT((int64_t)wire_size(&packet), (int64_t)size);
}
