#include "wire/rows.h"

#include "wire/notation.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    PACKET_MAX = 140000,
    LINE_MAX = 5 * PACKET_MAX + 1000,
    CUT_MAX = 400 /* cutting everywhere is quadratic */
};

/* Bytes in a block of their own, which ends where they do; shift moves them off alignment. */
struct block {
    uint8_t *memory, *bytes;
};

static struct block block_of(const uint8_t *bytes, size_t len, size_t shift)
{
    struct block b = {.memory = malloc(len + shift + (len + shift == 0))};
    CHECK(b.memory != NULL);
    b.bytes = b.memory + shift;
    if (len)
        memcpy(b.bytes, bytes, len);
    return b;
}

static const char *decoded_line(const struct wire_frame *frame, enum wire_version version,
                                enum wire_side side, struct wire_packet *packet)
{
    static char line[LINE_MAX];
    const char *why = "(no reason was given)";
    uint8_t reason = wire_decode(packet, frame, version, side, &why);
    if (!reason)
        return notation_line(packet, line, sizeof line);
    packet->type = 0;
    (void)snprintf(line, sizeof line, "%02x %s", reason, why);
    return line;
}

static const char *result_of(const uint8_t *bytes, size_t len, enum wire_version version, enum wire_side side,
                             struct wire_frame *frame, struct wire_packet *packet)
{
    static char line[32];
    packet->type = 0;
    int r = wire_frame(bytes, len, SIZE_MAX, frame);
    if (r == 1 && frame->total == len)
        return decoded_line(frame, version, side, packet);
    if (r == 1)
        return "frame shorter than the row";
    if (r == 0)
        return "frame incomplete";
    (void)snprintf(line, sizeof line, "frame %02x", (unsigned)-r);
    return line;
}

const char *row_result(const uint8_t *bytes, size_t len, enum wire_version version, enum wire_side side)
{
    struct wire_frame frame;
    struct wire_packet packet;
    return result_of(bytes, len, version, side, &frame, &packet);
}

/* ---- what is true of every packet that is accepted ------------------------------------------------------------------ */

static bool is_end_of_filter(const struct wire_packet *p, uint32_t len)
{
    struct wire_filter filter;
    uint32_t at = 0;
    while (at < len && wire_filter_next(p, &at, &filter))
        ;
    return len && at == len;
}

/* May a body end after so many bytes of this packet's? */
static bool may_end(const struct wire_packet *p, uint32_t body_len, uint32_t len, enum wire_side side)
{
    uint32_t strings = 0;
    switch (p->type) {
    case WIRE_PUBLISH: return len >= body_len - p->payload_len;
    case WIRE_PUBACK:
    case WIRE_PUBREC:
    case WIRE_PUBREL:
    case WIRE_PUBCOMP: return p->version == WIRE_MQTT5 && (len == 2 || len == 3);
    case WIRE_DISCONNECT: return p->version == WIRE_MQTT5 && len <= 1;
    case WIRE_AUTH: return side == WIRE_FROM_SERVER && (len == 0 || (len == 1 && p->reason == WIRE_SUCCESS));
    case WIRE_SUBSCRIBE:
    case WIRE_UNSUBSCRIBE:
        return len >= body_len - p->list_len && is_end_of_filter(p, len - (body_len - p->list_len));
    case WIRE_SUBACK:
    case WIRE_UNSUBACK: return p->list_len && len > body_len - p->list_len;
    case WIRE_CONNECT: /* MQTT 3.1, section 3.1: the flags may promise a user name and password that are not there */
        if (p->version != WIRE_MQTT31)
            return false;
        strings += p->has_password ? 2u + p->password.len : 0;
        if (p->has_password && len == body_len - strings)
            return true;
        strings += p->has_username ? 2u + p->username.len : 0;
        return p->has_username && len == body_len - strings;
    case WIRE_CONNACK:
    case WIRE_PINGREQ:
    case WIRE_PINGRESP: break;
    }
    return false;
}

static bool cut_is_incomplete(const uint8_t *bytes, size_t total)
{
    bool fine = true;
    for (size_t len = 0; len < total && fine; len++) {
        struct block b = block_of(bytes, len, 0);
        struct wire_frame frame;
        fine = wire_frame(b.bytes, len, SIZE_MAX, &frame) == 0 && (frame.total == 0 || frame.total == total);
        free(b.memory);
    }
    return fine;
}

/* The first length at which the decoder is wrong about a packet that was cut, or -1. */
static int64_t wrong_cut(const struct wire_frame *whole, const struct wire_packet *packet,
                         enum wire_version version, enum wire_side side)
{
    for (uint32_t len = 0; len < whole->body_len; len++) {
        struct block b = block_of(whole->body, len, len % 8);
        struct wire_frame cut = {.header = whole->header,
                                 .body = b.bytes,
                                 .body_len = len,
                                 .total = 1 + (len < 128 ? 1 : 2) + len};
        struct wire_packet ignored;
        const char *why;
        bool accepted = !wire_decode(&ignored, &cut, version, side, &why);
        free(b.memory);
        if (accepted != may_end(packet, whole->body_len, len, side))
            return len;
    }
    return -1;
}

static bool survives_encoding(const struct wire_packet *packet, enum wire_version version,
                              enum wire_side side)
{
    static uint8_t bytes[PACKET_MAX];
    static char before[LINE_MAX];
    (void)notation_line(packet, before, sizeof before);
    size_t len = notation_encode(bytes, sizeof bytes, packet);
    const char *after = row_result(bytes, len, version, side);
    if (strcmp(before, after) == 0)
        return true;
    print_error("encoded again it is\n        %s\n", after);
    return false;
}

/* ---- rows ---------------------------------------------------------------------------------------------------------- */

static bool row_holds(const struct row *row, size_t number, enum wire_version version, enum wire_side side)
{
    static uint8_t bytes[PACKET_MAX];
    size_t len = notation_bytes(row->bytes, bytes, sizeof bytes);
    struct block b = block_of(bytes, len, number % 8);
    struct wire_frame frame;
    struct wire_packet packet;
    const char *result = result_of(b.bytes, len, version, side, &frame, &packet);
    const char *wrong = strcmp(result, row->expect) == 0 ? NULL : "is not what was expected";
    if (wrong)
        print_error("is       %s\nexpected %s\n", result, row->expect);
    if (!wrong && packet.type) {
        int64_t cut;
        if (!survives_encoding(&packet, version, side))
            wrong = "does not survive encoding";
        else if (len <= CUT_MAX && !cut_is_incomplete(bytes, len))
            wrong = "is not incomplete when it is cut off";
        else if (len <= CUT_MAX && (cut = wrong_cut(&frame, &packet, version, side)) >= 0) {
            print_error("a body of %d bytes\n", (int)cut);
            wrong = "is judged wrongly when its body is cut";
        }
    }
    if (wrong)
        print_error("row %zu (%s), version %d, from the %s: %.200s\n    %s\n", number, row->statement,
                    version, side == WIRE_FROM_CLIENT ? "client" : "server", row->bytes, wrong);
    free(b.memory);
    return !wrong;
}

void check_rows(const struct row *rows, size_t count, const char *file, int line)
{
    size_t wrong = 0, tried = 0;
    for (size_t i = 0; i < count; i++)
        for (unsigned version = WIRE_MQTT31; version <= WIRE_MQTT5; version++)
            for (unsigned side = WIRE_FROM_CLIENT; side <= WIRE_FROM_SERVER; side++)
                if (rows[i].versions >> version & 1 && rows[i].sides >> side & 1) {
                    tried++;
                    wrong += !row_holds(&rows[i], i, (enum wire_version)version, (enum wire_side)side);
                }
    if (!wrong && tried)
        return;
    print_error("%zu of %zu are wrong\n", wrong, tried);
    _fail(file, line);
}
