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

static uint64_t word_at(const uint8_t *p)
{
    uint64_t word;
    memcpy(&word, p, 8);
    return word;
}

/* How many bytes at p are surely fine without looking at them one by one. */
static size_t plain_run(const uint8_t *p, const uint8_t *begin, const uint8_t *end)
{
    if (end - p >= 8)
        return is_plain(word_at(p)) ? 8 : 0;
    /* The last word may reach back over bytes that were looked at already. */
    return end - begin >= 8 && is_plain(word_at(end - 8)) ? (size_t)(end - p) : 0;
}

bool wire_utf8_is_valid(const char *text, size_t len)
{
    if (!len)
        return true; /* also of no string at all */
    const uint8_t *begin = (const uint8_t *)text, *end = begin + len;
    for (const uint8_t *p = begin; p < end;) {
        size_t n = plain_run(p, begin, end);
        if (!n && *p < 0x80) {
            if (*p < 0x20 || *p == 0x7F)
                return false;
            n = 1;
        }
        uint32_t code;
        if (!n &&
            (!(n = utf8_sequence(p, (size_t)(end - p), &code)) || code < 0xA0 || is_non_character(code)))
            return false;
        p += n;
    }
    return true;
}

/* Is one of the eight bytes this one? */
static bool word_has(uint64_t word, uint8_t byte)
{
    const uint64_t ones = 0x0101010101010101u, high = 0x8080808080808080u;
    uint64_t zero_where = word ^ ones * byte;
    return (zero_where - ones) & ~zero_where & high;
}

bool wire_topic_is_valid(const char *topic, size_t len)
{
    if (len < 1 || len > WIRE_TEXT_MAX)
        return false;
    const char *end = topic + len;
    for (; end - topic >= 8; topic += 8) {
        uint64_t word = word_at((const uint8_t *)topic);
        if (word_has(word, '+') || word_has(word, '#') || word_has(word, 0))
            return false;
    }
    for (; topic < end; topic++)
        if (*topic == '+' || *topic == '#' || !*topic)
            return false;
    return true;
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
        return plain_filter_is_valid(filter, len);
    return len <= WIRE_TEXT_MAX && name.len && !memchr(name.text, '+', name.len) &&
           !memchr(name.text, '#', name.len) && plain_filter_is_valid(inner.text, inner.len);
}
