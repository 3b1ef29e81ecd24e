/* Where one packet ends and the next begins. */
#include "wire/notation.h"
#include "wire/rows.h"

#include <stdlib.h>

static int frame_of(const char *notation, size_t max, struct wire_frame *frame)
{
    static uint8_t bytes[1024];
    return wire_frame(bytes, notation_bytes(notation, bytes, sizeof bytes), max, frame);
}

TEST(the_remaining_length_takes_one_to_four_bytes)
{
    static const struct {
        const char *bytes;
        int result;
        uint32_t total;
    } frames[] = {
        {"", 0, 0},
        {"30", 0, 0},
        {"30 00", 1, 2},
        {"30 01", 0, 3},
        {"30 01 00", 1, 3},
        {"30 7f", 0, 129},
        {"30 80", 0, 0},
        {"30 8001", 0, 131},
        {"30 ff7f", 0, 16386},
        {"30 8080", 0, 0},
        {"30 808001", 0, 16388},
        {"30 ffff7f", 0, 2097155},
        {"30 808080", 0, 0},
        {"30 80808001", 0, 2097157},
        {"30 ffffff7f", 0, 268435460},
        {"30 80808080", -WIRE_MALFORMED, 0}, /* 311: 2.2.3, 5: 1.5.5: there is no fifth byte */
        {"30 ffffffff", -WIRE_MALFORMED, 0},
        {"30 8080808001", -WIRE_MALFORMED, 0},
        {"30 ffffffff7f", -WIRE_MALFORMED, 0},
        {"00", -WIRE_MALFORMED, 0}, /* type 0 is known to be wrong before anything else has come */
        {"0f 00", -WIRE_MALFORMED, 0},
    };
    for (size_t i = 0; i < sizeof frames / sizeof frames[0]; i++) {
        struct wire_frame frame;
        int r = frame_of(frames[i].bytes, SIZE_MAX, &frame);
        if (r != frames[i].result || frame.total != frames[i].total)
            FAIL("%s: %d, %u bytes", frames[i].bytes, r, (unsigned)frame.total);
    }
}

TEST(a_length_that_is_longer_than_need_be_is_malformed_in_version_5_only)
{
    static const struct row rows[] = {
        {"5: 1.5.5-1", V5, SERVER, "d0 8000", "81 the remaining length is longer than need be"},
        {"5: 1.5.5-1", V5, BOTH, "30 868000 ['a'] {} 'xx'", "81 the remaining length is longer than need be"},
        {"5: 1.5.5-1", ALL, CLIENT, "10 8e808000 ['MQTT'] 05 02 003c {} ['p']",
         "81 the remaining length is longer than need be"},
        {"311: 2.2.3 does not forbid it", V3, SERVER, "d0 80808000", "PINGRESP"},
        {"311: 2.2.3 does not forbid it", V3, BOTH, "30 858000 ['a'] 'xx'", "PUBLISH a q0 = xx"},
        {"311: 2.2.3 does not forbid it", ALL, CLIENT, "10 8d00 ['MQTT'] 04 02 003c ['p']",
         "CONNECT v4 clean keepalive=60 id=p"},
    };
    CHECK_ROWS(rows);
}

TEST(a_packet_longer_than_allowed_is_known_before_its_body_has_come)
{
    struct wire_frame frame;
    CHECK_INT(frame_of("30 03 00", 5, &frame), 0);
    CHECK_INT(frame_of("30 03 000161", 5, &frame), 1);
    CHECK_INT(frame_of("30 04", 5, &frame), -WIRE_TOO_LARGE);
    CHECK_INT(frame.total, 6);
    CHECK_INT(frame.header, 0x30);
    CHECK_INT(frame_of("30 ffffff7f", 1000, &frame), -WIRE_TOO_LARGE);
    CHECK_INT(frame.total, 268435460);
}

TEST(what_follows_a_packet_is_left_alone)
{
    struct wire_frame frame;
    uint8_t bytes[] = {0xC0, 0x00, 0xE0, 0x00, 0xFF};
    CHECK_INT(wire_frame(bytes, sizeof bytes, 100, &frame), 1);
    CHECK_INT(frame.total, 2);
    CHECK_INT(frame.body_len, 0);
    CHECK(frame.body == bytes + 2);
    CHECK_INT(wire_frame(bytes + frame.total, sizeof bytes - frame.total, 100, &frame), 1);
    CHECK_INT(frame.header, 0xE0);
}

TEST(type_15_is_a_packet_in_version_5_only)
{
    static const struct row rows[] = {
        {"5: 2.1.2", V5, SERVER, "f0 {}", "AUTH 00"},
        {"311: 2.2.1", V3, BOTH, "f0 {}", "82 a packet that does not come from this side"},
        {"2.1.2", ALL, BOTH, "00 00", "frame 81"},
    };
    CHECK_ROWS(rows);
}

TEST(the_longest_strings_and_payloads_are_read)
{
    enum { TEXT = 65535, PAYLOAD = 2097152 }; /* the remaining length takes four bytes */
    size_t len = 1 + 4 + 2 + TEXT + 1 + PAYLOAD;
    uint8_t *bytes = malloc(len);
    CHECK(bytes != NULL);
    memset(bytes, 'a', len);
    struct wire_packet packet = {.type = WIRE_PUBLISH,
                                 .version = WIRE_MQTT5,
                                 .topic = {(const char *)bytes, TEXT},
                                 .payload = bytes,
                                 .payload_len = PAYLOAD};
    uint8_t *out = malloc(len);
    CHECK(out != NULL);
    CHECK_INT((int64_t)wire_encode(out, len, &packet), (int64_t)len);
    struct wire_frame frame;
    const char *why;
    CHECK_INT(wire_frame(out, len - 1, SIZE_MAX, &frame), 0);
    CHECK_INT(wire_frame(out, len, SIZE_MAX, &frame), 1);
    struct wire_packet again;
    CHECK_INT(wire_decode(&again, &frame, WIRE_MQTT5, WIRE_FROM_CLIENT, &why), 0);
    CHECK_INT(again.topic.len, TEXT);
    CHECK_INT(again.payload_len, PAYLOAD);
    free(out);
    free(bytes);
}
