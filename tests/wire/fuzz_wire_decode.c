/* Arbitrary bytes as packets, in every version and from both sides. What decodes is encoded again, in exactly the room that
 * it says it needs, and decodes to the same; strings are what a slow reading of the standard says they are.
 *
 * The first byte chooses version, side and whether the rest is a stream of packets or one packet: a byte of header and all
 * else its body, so that lengths need not be guessed. */
#include "wire/mqtt.h"
#include "wire/notation.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

enum { INPUT_MAX = 4096, LINE_MAX = 5 * INPUT_MAX + 1000 };

static void must(bool holds)
{
    if (!holds)
        abort();
}

/* ---- strings ------------------------------------------------------------------------------------------------------- */

static bool slow_utf8(const uint8_t *p, size_t len)
{
    while (len) {
        unsigned n = *p < 0x80 ? 1 : *p >> 5 == 6 ? 2 : *p >> 4 == 14 ? 3 : *p >> 3 == 30 ? 4 : 0;
        static const uint32_t first[] = {0, 0, 0x80, 0x800, 0x10000};
        if (!n || n > len)
            return false;
        uint32_t code = n == 1 ? *p : *p & (0x3Fu >> (n - 1));
        for (unsigned i = 1; i < n; i++) {
            if (p[i] >> 6 != 2)
                return false;
            code = code << 6 | (p[i] & 0x3F);
        }
        bool surrogate = code >> 11 == 0x1B, control = code < 0x20 || (code >= 0x7F && code < 0xA0);
        bool nothing = (code & 0xFFFE) == 0xFFFE || (code >= 0xFDD0 && code <= 0xFDEF);
        if (code < first[n] || code > 0x10FFFF || surrogate || control || nothing)
            return false;
        p += n;
        len -= n;
    }
    return true;
}

/* Level by level, as MQTT 5 section 4.7.1 has it. */
static bool slow_filter(const char *p, size_t len)
{
    if (!len || memchr(p, 0, len))
        return false;
    for (const char *end = p + len, *level = p; level <= end;) {
        const char *slash = memchr(level, '/', (size_t)(end - level));
        size_t n = (size_t)((slash ? slash : end) - level);
        if (n > 1 && (memchr(level, '#', n) || memchr(level, '+', n)))
            return false;
        if (n == 1 && *level == '#' && slash)
            return false;
        level += n + 1;
    }
    return true;
}

static void check_text(const uint8_t *bytes, size_t len)
{
    const char *text = (const char *)bytes;
    struct wire_text name, inner;
    must(wire_utf8_is_valid(text, len) == slow_utf8(bytes, len));
    bool wild = len && (memchr(text, '+', len) || memchr(text, '#', len) || memchr(text, 0, len));
    must(wire_topic_is_valid(text, len) == (len && !wild));
    if (!wire_filter_is_shared(text, len, &name, &inner)) {
        must(wire_filter_is_valid(text, len) == slow_filter(text, len));
        return;
    }
    must(name.len + inner.len + sizeof "$share/" - 1 <= len);
    bool named = name.len && !memchr(name.text, '+', name.len) && !memchr(name.text, '#', name.len);
    must(wire_filter_is_valid(text, len) == (named && inner.len && slow_filter(inner.text, inner.len)));
}

/* ---- packets ------------------------------------------------------------------------------------------------------- */

static void check_forwardable(const struct wire_props *props)
{
    uint8_t *out = malloc(props->len + 1u);
    size_t response_at, correlation_at;
    must(out != NULL);
    size_t len = wire_props_forwardable(props, out, &response_at, &correlation_at);
    must(len <= props->len);
    must((response_at != SIZE_MAX) == wire_has(props, WIRE_RESPONSE_TOPIC));
    must((correlation_at != SIZE_MAX) == wire_has(props, WIRE_CORRELATION));
    if (response_at != SIZE_MAX)
        must(response_at + props->response_topic.len <= len &&
             !memcmp(out + response_at, props->response_topic.text, props->response_topic.len));
    if (correlation_at != SIZE_MAX)
        must(correlation_at + props->correlation.len <= len &&
             !memcmp(out + correlation_at, props->correlation.text, props->correlation.len));
    free(out);
}

static void check_again(const struct wire_packet *packet, enum wire_version version, enum wire_side side)
{
    static char before[LINE_MAX], after[LINE_MAX];
    static uint8_t whole[INPUT_MAX + 16];
    (void)notation_line(packet, before, sizeof before);
    size_t len = notation_encode(whole, sizeof whole, packet);
    must(len != 0 && notation_encode(whole, len - 1, packet) == 0);
    uint8_t *bytes = malloc(len);
    must(bytes != NULL && notation_encode(bytes, len, packet) == len);

    struct wire_frame frame;
    struct wire_packet again;
    const char *why;
    must(wire_frame(bytes, len, len, &frame) == 1 && frame.total == len);
    must(wire_frame(bytes, len - 1, len, &frame) == 0);
    must(wire_frame(bytes, len, len, &frame) == 1);
    must(wire_decode(&again, &frame, version, side, &why) == 0);
    must(strcmp(before, notation_line(&again, after, sizeof after)) == 0);
    free(bytes);
}

static void check_packet(const struct wire_frame *frame, enum wire_version version, enum wire_side side)
{
    struct wire_packet packet;
    const char *why = NULL;
    uint8_t reason = wire_decode(&packet, frame, version, side, &why);
    if (reason) {
        must(reason >= 0x80 && why && *why);
        return;
    }
    if (packet.type == WIRE_PUBLISH)
        check_forwardable(&packet.props);
    if (packet.type == WIRE_CONNECT && packet.has_will)
        check_forwardable(&packet.will.props);
    check_again(&packet, version, side);
}

static void check_stream(const uint8_t *bytes, size_t len, enum wire_version version, enum wire_side side)
{
    struct wire_frame frame;
    for (int r; (r = wire_frame(bytes, len, INPUT_MAX, &frame)) != 0;) {
        if (r < 0) {
            must(r == -WIRE_MALFORMED || (r == -WIRE_TOO_LARGE && frame.total > INPUT_MAX));
            return;
        }
        must(frame.total <= len && frame.body + frame.body_len == bytes + frame.total);
        check_packet(&frame, version, side);
        bytes += frame.total;
        len -= frame.total;
    }
    must(frame.total == 0 || frame.total > len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static const enum wire_version versions[] = {WIRE_MQTT31, WIRE_MQTT311, WIRE_MQTT5, WIRE_MQTT5};
    if (len < 2 || len > INPUT_MAX)
        return 0;
    enum wire_version version = versions[data[0] & 3];
    enum wire_side side = data[0] & 4 ? WIRE_FROM_SERVER : WIRE_FROM_CLIENT;
    uint32_t body_len = (uint32_t)len - 2;
    struct wire_frame frame = {.header = data[1],
                               .body = data + 2,
                               .body_len = body_len,
                               .total = 1 + (body_len < 128 ? 1 : 2) + body_len};
    check_text(data + 1, len - 1);
    if (data[0] & 8)
        check_stream(data + 1, len - 1, version, side);
    else if (data[1] >> 4)
        check_packet(&frame, version, side);
    return 0;
}
