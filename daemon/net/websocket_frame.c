#include "net/websocket_frame.h"

#include <errno.h>
#include <string.h>

/*       0               1               2 …
 *      ┌─┬─────┬───────┬─┬─────────────┬───────────────────┬────────────────┬─────────┐
 *      │F│ RSV │ opcode│M│ length      │ length, 0, 2 or 8 │ mask, 0 or 4   │ payload │
 *      └─┴─────┴───────┴─┴─────────────┴───────────────────┴────────────────┴─────────┘
 */
enum {
    FIN = 0x80,
    RESERVED = 0x70,
    OPCODE = 0x0f,
    MASKED = 0x80,
    LENGTH = 0x7f,
    LENGTH_16 = 126,
    LENGTH_64 = 127
};

static int wrong(const char **why, const char *sentence)
{
    *why = sentence;
    return -EPROTO;
}

static bool opcode_is_known(unsigned opcode)
{
    return opcode <= WEBSOCKET_BINARY || (opcode >= WEBSOCKET_CLOSE && opcode <= WEBSOCKET_PONG);
}

static int check_first(uint8_t first, const char **why)
{
    if (first & RESERVED)
        return wrong(why, "reserved bits are set, and no extension was agreed on");
    if (!opcode_is_known(first & OPCODE))
        return wrong(why, "a frame with a reserved opcode");
    if ((first & OPCODE) >= WEBSOCKET_CLOSE && !(first & FIN))
        return wrong(why, "a control frame in fragments");
    return 0;
}

static int check_second(uint8_t first, uint8_t second, const char **why)
{
    if (!(second & MASKED))
        return wrong(why, "a frame without a mask"); /* section 5.1 */
    if ((first & OPCODE) >= WEBSOCKET_CLOSE && (second & LENGTH) > WEBSOCKET_CONTROL_MAX)
        return wrong(why, "a control frame of more than 125 bytes");
    return 0;
}

static uint64_t big_endian(const uint8_t *bytes, size_t len)
{
    uint64_t n = 0;
    for (size_t i = 0; i < len; i++)
        n = n << 8 | bytes[i];
    return n;
}

int websocket_frame_decode(struct websocket_frame *ret, const uint8_t *bytes, size_t len, const char **why)
{
    int r = len > 0 ? check_first(bytes[0], why) : 0;
    if (r == 0 && len > 1)
        r = check_second(bytes[0], bytes[1], why);
    if (r < 0 || len < 2)
        return r;
    unsigned length = bytes[1] & LENGTH;
    size_t size = length == LENGTH_16 ? 2 : length == LENGTH_64 ? 8 : 0;
    if (size == 8 && len > 2 && bytes[2] & 0x80)
        return wrong(why, "a length with its highest bit set");
    if (len < 2 + size)
        return 0;
    uint64_t n = size ? big_endian(bytes + 2, size) : length;
    if ((size == 2 && n < LENGTH_16) || (size == 8 && n <= UINT16_MAX))
        return wrong(why, "a length in more bytes than it needs");
    if (len < 2 + size + 4)
        return 0;
    *ret = (struct websocket_frame){
        .opcode = (enum websocket_opcode)(bytes[0] & OPCODE), .fin = bytes[0] & FIN, .len = n};
    memcpy(&ret->mask, bytes + 2 + size, 4);
    return (int)(2 + size + 4);
}

size_t websocket_frame_encode(uint8_t head[WEBSOCKET_SERVER_HEAD_MAX], enum websocket_opcode opcode,
                              uint64_t len)
{
    size_t size = len < LENGTH_16 ? 0 : len <= UINT16_MAX ? 2 : 8;
    head[0] = (uint8_t)(FIN | opcode);
    head[1] = (uint8_t)(size == 0 ? len : size == 2 ? LENGTH_16 : LENGTH_64);
    for (size_t i = 0; i < size; i++)
        head[2 + i] = (uint8_t)(len >> 8 * (size - 1 - i));
    return 2 + size;
}

uint32_t websocket_unmask(uint8_t *to, const uint8_t *from, size_t len, uint32_t mask)
{
    uint64_t wide = (uint64_t)mask << 32 | mask;
    size_t i = 0;
    for (; len - i >= sizeof wide; i += sizeof wide) { /* read before it is written: they may overlap */
        uint64_t eight;
        memcpy(&eight, from + i, sizeof eight);
        eight ^= wide;
        memcpy(to + i, &eight, sizeof eight);
    }
    uint8_t bytes[8];
    memcpy(bytes, &mask, 4);
    memcpy(bytes + 4, &mask, 4);
    size_t rest = len - i;
    for (size_t k = 0; k < rest; k++)
        to[i + k] = from[i + k] ^ bytes[k];
    memcpy(&mask, bytes + rest % 4, 4);
    return mask;
}

size_t websocket_cut_mqtt(const uint8_t *bytes, size_t len)
{
    enum { LENGTH_BYTES = 4 };
    size_t n = 0;
    for (size_t i = 1; i < len && i <= LENGTH_BYTES; i++) {
        n |= (size_t)(bytes[i] & 0x7f) << 7 * (i - 1);
        if (!(bytes[i] & 0x80))
            return 1 + i + n;
    }
    return 0;
}

bool websocket_code_is_valid(unsigned code)
{
    /* 1004 is reserved; 1005, 1006 and 1015 are never sent. From 3000 they belong to libraries and applications. */
    return (code >= 1000 && code <= 1014 && code != 1004 && code != 1005 && code != 1006) ||
           (code >= 3000 && code <= 4999);
}
