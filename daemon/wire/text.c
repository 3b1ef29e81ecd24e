/* Strings as MQTT allows them: UTF-8, topic names, topic filters. */
#include "wire/mqtt.h"

#include <string.h>

/* Length of the UTF-8 sequence at p of at most `left` bytes, and its code point; 0 when it is ill-formed. */
static size_t utf8_sequence(const uint8_t *p, size_t left, uint32_t *code)
{
    static const uint32_t smallest[5] = {0, 0, 0x80, 0x800, 0x10000};
    size_t len = p[0] >= 0xF0 ? 4 : p[0] >= 0xE0 ? 3 : 2;
    if (p[0] < 0xC2 || p[0] > 0xF4 || left < len)
        return 0;
    uint32_t value = p[0] & (0x7Fu >> len);
    for (size_t i = 1; i < len; i++) {
        if ((p[i] & 0xC0) != 0x80)
            return 0;
        value = value << 6 | (p[i] & 0x3Fu);
    }
    if (value < smallest[len] || value > 0x10FFFF || (value >= 0xD800 && value <= 0xDFFF))
        return 0;
    *code = value;
    return len;
}

static bool is_non_character(uint32_t code)
{
    return (code & 0xFFFE) == 0xFFFE || (code >= 0xFDD0 && code <= 0xFDEF);
}

/* Are all eight bytes printable ASCII? */
static bool is_plain(uint64_t word)
{
    const uint64_t ones = 0x0101010101010101u, high = 0x8080808080808080u;
    uint64_t below_space = (word - ones * 0x20) & ~word;
    uint64_t word_xor = word ^ ones * 0x7F;
    uint64_t is_del = (word_xor - ones) & ~word_xor;
    return !((word | below_space | is_del) & high);
}

bool wire_utf8_is_valid(const char *text, size_t len)
{
    const uint8_t *p = (const uint8_t *)text, *end = p + len;
    while (p < end) {
        uint64_t word;
        if (end - p >= 8) {
            memcpy(&word, p, 8);
            if (is_plain(word)) {
                p += 8;
                continue;
            }
        }
        if (*p < 0x80) {
            if (*p < 0x20 || *p == 0x7F)
                return false;
            p++;
            continue;
        }
        uint32_t code;
        size_t n = utf8_sequence(p, (size_t)(end - p), &code);
        if (!n || code < 0xA0 || is_non_character(code))
            return false;
        p += n;
    }
    return true;
}

bool wire_topic_is_valid(const char *topic, size_t len)
{
    return len >= 1 && len <= WIRE_TEXT_MAX && !memchr(topic, '+', len) && !memchr(topic, '#', len) &&
           !memchr(topic, '\0', len);
}

static bool plain_filter_is_valid(const char *filter, size_t len)
{
    if (len < 1 || len > WIRE_TEXT_MAX)
        return false;
    for (size_t i = 0; i < len; i++) {
        bool begins = i == 0 || filter[i - 1] == '/';
        bool last = i + 1 == len;
        if (filter[i] == '\0')
            return false;
        if (filter[i] == '#' && !(begins && last))
            return false;
        if (filter[i] == '+' && !(begins && (last || filter[i + 1] == '/')))
            return false;
    }
    return true;
}

static const char share[] = "$share/";

bool wire_filter_is_shared(const char *filter, size_t len, struct wire_text *name, struct wire_text *inner)
{
    size_t prefix = sizeof share - 1;
    if (len < prefix || memcmp(filter, share, prefix) != 0)
        return false;
    const char *begin = filter + prefix;
    const char *slash = memchr(begin, '/', len - prefix);
    size_t name_len = slash ? (size_t)(slash - begin) : len - prefix;
    *name = (struct wire_text){begin, (uint16_t)name_len};
    *inner = slash ? (struct wire_text){slash + 1, (uint16_t)(len - prefix - name_len - 1)}
                   : (struct wire_text){0};
    return true;
}

bool wire_filter_is_valid(const char *filter, size_t len)
{
    struct wire_text name, inner;
    if (!wire_filter_is_shared(filter, len, &name, &inner))
        return plain_filter_is_valid(filter, len) &&
               !(len == sizeof share - 2 && memcmp(filter, share, len) == 0);
    return len <= WIRE_TEXT_MAX && name.len && !memchr(name.text, '+', name.len) &&
           !memchr(name.text, '#', name.len) && plain_filter_is_valid(inner.text, inner.len);
}

static const struct {
    uint8_t reason;
    const char *text;
} reasons[] = {
    {WIRE_SUCCESS, "success"},
    {WIRE_DISCONNECT_WITH_WILL, "disconnect with will message"},
    {WIRE_NO_MATCHING_SUBSCRIBERS, "no matching subscribers"},
    {WIRE_NO_SUBSCRIPTION_EXISTED, "no subscription existed"},
    {WIRE_CONTINUE_AUTHENTICATION, "continue authentication"},
    {WIRE_REAUTHENTICATE, "re-authenticate"},
    {WIRE_UNSPECIFIED, "unspecified error"},
    {WIRE_MALFORMED, "malformed packet"},
    {WIRE_PROTOCOL_ERROR, "protocol error"},
    {WIRE_IMPLEMENTATION_ERROR, "implementation specific error"},
    {WIRE_UNSUPPORTED_VERSION, "unsupported protocol version"},
    {WIRE_CLIENT_ID_INVALID, "client identifier not valid"},
    {WIRE_BAD_CREDENTIALS, "bad user name or password"},
    {WIRE_NOT_AUTHORIZED, "not authorized"},
    {WIRE_SERVER_UNAVAILABLE, "server unavailable"},
    {WIRE_SERVER_BUSY, "server busy"},
    {WIRE_BANNED, "banned"},
    {WIRE_SHUTTING_DOWN, "server shutting down"},
    {WIRE_BAD_AUTH_METHOD, "bad authentication method"},
    {WIRE_KEEPALIVE_TIMEOUT, "keep alive timeout"},
    {WIRE_TAKEN_OVER, "session taken over"},
    {WIRE_FILTER_INVALID, "topic filter invalid"},
    {WIRE_TOPIC_INVALID, "topic name invalid"},
    {WIRE_ID_IN_USE, "packet identifier in use"},
    {WIRE_ID_NOT_FOUND, "packet identifier not found"},
    {WIRE_RECEIVE_MAX_EXCEEDED, "receive maximum exceeded"},
    {WIRE_ALIAS_INVALID, "topic alias invalid"},
    {WIRE_TOO_LARGE, "packet too large"},
    {WIRE_RATE_TOO_HIGH, "message rate too high"},
    {WIRE_QUOTA_EXCEEDED, "quota exceeded"},
    {WIRE_ADMINISTRATIVE, "administrative action"},
    {WIRE_FORMAT_INVALID, "payload format invalid"},
    {WIRE_RETAIN_UNSUPPORTED, "retain not supported"},
    {WIRE_QOS_UNSUPPORTED, "QoS not supported"},
    {WIRE_SHARED_UNSUPPORTED, "shared subscriptions not supported"},
    {WIRE_CONNECT_RATE, "connection rate exceeded"},
    {WIRE_SUBSCRIPTION_IDS_UNSUPPORTED, "subscription identifiers not supported"},
    {WIRE_WILDCARDS_UNSUPPORTED, "wildcard subscriptions not supported"},
};

const char *wire_reason_text(uint8_t reason)
{
    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++)
        if (reasons[i].reason == reason)
            return reasons[i].text;
    return "unknown reason";
}

uint8_t wire_connack_code(uint8_t reason)
{
    switch (reason) {
    case WIRE_SUCCESS: return 0;
    case WIRE_UNSUPPORTED_VERSION: return 1;
    case WIRE_CLIENT_ID_INVALID: return 2;
    case WIRE_BAD_CREDENTIALS: return 4;
    case WIRE_NOT_AUTHORIZED:
    case WIRE_BANNED: return 5;
    default: return 3; /* server unavailable */
    }
}
