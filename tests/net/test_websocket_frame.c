#include "net/websocket_frame.h"

#include "net/net_rig.h"

#include <errno.h>

/* ---- heads that come ----------------------------------------------------------------------------------------------- */

static const struct {
    uint8_t bytes[WEBSOCKET_CLIENT_HEAD_MAX];
    int len;
    enum websocket_opcode opcode;
    bool fin;
    uint64_t payload;
} good[] = {
    {{0x82, 0x80, 1, 2, 3, 4}, 6, WEBSOCKET_BINARY, true, 0},
    {{0x82, 0xfd, 1, 2, 3, 4}, 6, WEBSOCKET_BINARY, true, 125},
    {{0x02, 0xfe, 0, 126, 1, 2, 3, 4}, 8, WEBSOCKET_BINARY, false, 126},
    {{0x00, 0xfe, 0xff, 0xff, 1, 2, 3, 4}, 8, WEBSOCKET_CONTINUATION, false, 65535},
    {{0x80, 0xff, 0, 0, 0, 0, 0, 1, 0, 0, 1, 2, 3, 4}, 14, WEBSOCKET_CONTINUATION, true, 65536},
    {{0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4},
     14,
     WEBSOCKET_BINARY,
     true,
     INT64_MAX},
    {{0x81, 0x81, 1, 2, 3, 4}, 6, WEBSOCKET_TEXT, true, 1},
    {{0x88, 0x82, 1, 2, 3, 4}, 6, WEBSOCKET_CLOSE, true, 2},
    {{0x89, 0xfd, 1, 2, 3, 4}, 6, WEBSOCKET_PING, true, 125},
    {{0x8a, 0x80, 1, 2, 3, 4}, 6, WEBSOCKET_PONG, true, 0},
};

/* From memory that ends where the bytes end. */
static int decode(struct websocket_frame *frame, const uint8_t *bytes, size_t len, const char **why)
{
    cleanup_free uint8_t *copy = malloc(len ? len : 1);
    memcpy(copy, bytes, len);
    return websocket_frame_decode(frame, copy, len, why);
}

TEST(the_head_of_a_frame_is_known_when_it_is_complete)
{
    for (size_t i = 0; i < array_size(good); i++) {
        struct websocket_frame frame;
        const char *why = NULL;
        for (int n = 0; n < good[i].len; n++)
            CHECK_INT(decode(&frame, good[i].bytes, (size_t)n, &why), 0);
        for (int n = good[i].len; n <= (int)sizeof good[i].bytes; n++) {
            CHECK_INT(decode(&frame, good[i].bytes, (size_t)n, &why), good[i].len);
            CHECK_INT(frame.opcode, good[i].opcode);
            CHECK_INT(frame.fin, good[i].fin);
            CHECK(frame.len == good[i].payload);
            CHECK_MEM(&frame.mask, 4, good[i].bytes + good[i].len - 4, 4);
        }
        CHECK(!why);
    }
}

static const struct {
    uint8_t bytes[WEBSOCKET_CLIENT_HEAD_MAX];
    int certain; /* after so many bytes */
    const char *why;
} bad[] = {
    {{0xc2, 0x80}, 1, "reserved bits are set, and no extension was agreed on"},
    {{0xa2, 0x80}, 1, "reserved bits are set, and no extension was agreed on"},
    {{0x92, 0x80}, 1, "reserved bits are set, and no extension was agreed on"},
    {{0x83, 0x80}, 1, "a frame with a reserved opcode"},
    {{0x87, 0x80}, 1, "a frame with a reserved opcode"},
    {{0x8b, 0x80}, 1, "a frame with a reserved opcode"},
    {{0x8f, 0x80}, 1, "a frame with a reserved opcode"},
    {{0x08, 0x80}, 1, "a control frame in fragments"},
    {{0x09, 0x80}, 1, "a control frame in fragments"},
    {{0x0a, 0x80}, 1, "a control frame in fragments"},
    {{0x82, 0x00}, 2, "a frame without a mask"},
    {{0x82, 0x7f}, 2, "a frame without a mask"},
    {{0x88, 0x02}, 2, "a frame without a mask"},
    {{0x89, 0xfe, 0, 126}, 2, "a control frame of more than 125 bytes"},
    {{0x88, 0xff}, 2, "a control frame of more than 125 bytes"},
    {{0x82, 0xfe, 0, 125}, 4, "a length in more bytes than it needs"},
    {{0x82, 0xfe, 0, 0}, 4, "a length in more bytes than it needs"},
    {{0x82, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff}, 10, "a length in more bytes than it needs"},
    {{0x82, 0xff, 0x80}, 3, "a length with its highest bit set"},
    {{0x82, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, 3, "a length with its highest bit set"},
};

TEST(a_head_that_no_client_may_send_is_refused_as_soon_as_that_is_certain)
{
    for (size_t i = 0; i < array_size(bad); i++) {
        struct websocket_frame frame;
        for (int n = 0; n <= (int)sizeof bad[i].bytes; n++) {
            const char *why = NULL;
            CHECK_INT(decode(&frame, bad[i].bytes, (size_t)n, &why), n < bad[i].certain ? 0 : -EPROTO);
            if (n >= bad[i].certain)
                CHECK_STR(why, bad[i].why);
        }
    }
}

/* ---- heads that go ------------------------------------------------------------------------------------------------- */

TEST(a_head_of_ours_says_its_length_in_as_few_bytes_as_possible)
{
    static const struct {
        uint64_t payload;
        size_t len;
        uint8_t bytes[WEBSOCKET_SERVER_HEAD_MAX];
    } heads[] = {
        {0, 2, {0x82, 0}},
        {125, 2, {0x82, 125}},
        {126, 4, {0x82, 126, 0, 126}},
        {65535, 4, {0x82, 126, 0xff, 0xff}},
        {65536, 10, {0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0}},
        {0x0102030405060708, 10, {0x82, 127, 1, 2, 3, 4, 5, 6, 7, 8}},
    };
    for (size_t i = 0; i < array_size(heads); i++) {
        uint8_t head[WEBSOCKET_SERVER_HEAD_MAX];
        size_t len = websocket_frame_encode(head, WEBSOCKET_BINARY, heads[i].payload);
        CHECK_MEM(head, len, heads[i].bytes, heads[i].len);
    }
}

/* ---- the mask ------------------------------------------------------------------------------------------------------ */

TEST(bytes_are_unmasked_wherever_they_lie_and_come_to_lie)
{
    enum { LEN_MAX = 70, SHIFT_MAX = 14, SIZE = 128 };
    static const uint8_t mask[4] = {0x01, 0x20, 0x03, 0xf0};
    uint8_t plain[LEN_MAX], bytes[SIZE];
    pattern(plain, sizeof plain, 7);
    for (size_t len = 0; len <= LEN_MAX; len++)
        for (size_t shift = 0; shift <= SHIFT_MAX; shift++)
            for (size_t at = 0; at < 8; at++) {
                memset(bytes, 0xee, sizeof bytes);
                for (size_t i = 0; i < len; i++)
                    bytes[at + shift + i] = plain[i] ^ mask[i % 4];
                uint32_t word, rotated;
                memcpy(&word, mask, 4);
                rotated = websocket_unmask(bytes + at, bytes + at + shift, len, word);
                CHECK_MEM(bytes + at, len, plain, len);
                CHECK(bytes[at + shift + len] == 0xee && (at == 0 || bytes[at - 1] == 0xee));
                for (size_t i = 0; i < 4; i++)
                    CHECK_INT(((uint8_t *)&rotated)[i], mask[(len + i) % 4]);
            }
}

TEST(codes_that_a_peer_may_not_say_are_known)
{
    static const struct {
        unsigned code;
        bool valid;
    } codes[] = {{0, false},    {999, false}, {1000, true},  {1003, true},  {1004, false}, {1005, false},
                 {1006, false}, {1007, true}, {1014, true},  {1015, false}, {1016, false}, {2999, false},
                 {3000, true},  {4999, true}, {5000, false}, {65535, false}};
    for (size_t i = 0; i < array_size(codes); i++)
        CHECK_INT(websocket_code_is_valid(codes[i].code), codes[i].valid);
}
