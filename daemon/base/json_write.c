#include "base/json_write.h"

#include "base/utf8.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* What a byte needs inside a string: nothing (1 byte), a short escape (2), \u00XX (6); 0: part of a longer sequence. */
static const uint8_t cost_of[256] = {
    [0 ... 7] = 6,     ['\b'] = 2, ['\t'] = 2, ['\n'] = 2, [11] = 6,          ['\f'] = 2, ['\r'] = 2,
    [14 ... 0x1F] = 6, [' '] = 1,  ['!'] = 1,  ['"'] = 2,  ['#' ... '['] = 1, ['\\'] = 2, [']' ... 0x7F] = 1,
};
#define REPLACEMENT "\xEF\xBF\xBD" /* U+FFFD */

/* ---- the buffer ------------------------------------------------------------------------------------------------- */

enum { FIRST_SIZE = 256 };

void json_writer_init(struct json_writer *writer, struct arena *arena)
{
    *writer = (struct json_writer){.arena = arena};
}

static char *grow(struct json_writer *writer, size_t n)
{
    size_t size = size_max(FIRST_SIZE, 2 * writer->size);
    while (size - writer->len < n)
        size *= 2;
    writer->text = arena_grow(writer->arena, writer->text, writer->size, size);
    writer->size = size;
    return writer->text + writer->len;
}

static inline char *reserve(struct json_writer *writer, size_t n)
{
    return writer->size - writer->len < n ? grow(writer, n) : writer->text + writer->len;
}

static inline void put_bytes(struct json_writer *writer, const char *bytes, size_t n)
{
    memcpy(reserve(writer, n), bytes, n);
    writer->len += n;
}

static inline void put_char(struct json_writer *writer, char c)
{
    *reserve(writer, 1) = c;
    writer->len++;
}

char *json_writer_text(struct json_writer *writer, size_t *len)
{
    assert(writer->depth == 0);
    *reserve(writer, 1) = '\0';
    if (len)
        *len = writer->len;
    return writer->text;
}

/* ---- strings ---------------------------------------------------------------------------------------------------- */

static void put_escape(struct json_writer *writer, uint8_t c)
{
    static const char hex[] = "0123456789abcdef";
    char text[6] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};
    switch (c) {
    case '\b': text[1] = 'b'; break;
    case '\f': text[1] = 'f'; break;
    case '\n': text[1] = 'n'; break;
    case '\r': text[1] = 'r'; break;
    case '\t': text[1] = 't'; break;
    case '"':
    case '\\': text[1] = (char)c; break;
    default: break;
    }
    put_bytes(writer, text, cost_of[c]);
}

/* Bytes at the beginning that may stand as they are. */
static inline size_t plain_run(const char *at, const char *end)
{
    const char *begin = at;
    while (at < end) {
        uint8_t cost = cost_of[(uint8_t)*at];
        size_t n = cost ? 1 : utf8_sequence(at, end);
        if (cost > 1 || !n)
            break;
        at += n;
    }
    return (size_t)(at - begin);
}

static void put_rest_quoted(struct json_writer *writer, const char *at, const char *end)
{
    while (at < end) {
        if (cost_of[(uint8_t)*at])
            put_escape(writer, (uint8_t)*at);
        else
            put_bytes(writer, REPLACEMENT, 3);
        at++;
        size_t plain = plain_run(at, end);
        put_bytes(writer, at, plain);
        at += plain;
    }
}

/* Are these eight bytes printable ASCII without " and \? If not, the lowest that is not sets the high bit of its place. */
static inline bool is_plain_word(uint64_t word)
{
    const uint64_t ones = 0x0101010101010101, highs = ones * 0x80;
    uint64_t quote = word ^ ones * '"', backslash = word ^ ones * '\\';
    return !((word | (word - ones * ' ') | (quote - ones) | (backslash - ones)) & highs);
}

static inline uint64_t word_at(const char *at)
{
    uint64_t word;
    memcpy(&word, at, sizeof word);
    return word;
}

/* Can all of it be copied? No is also said of what is not ASCII. The last word overlaps the one before it. */
static inline bool is_plain(const char *text, size_t len)
{
    if (len >= 8) {
        for (size_t i = 0; i < len - 8; i += 8)
            if (!is_plain_word(word_at(text + i)))
                return false;
        return is_plain_word(word_at(text + len - 8));
    }
    if (len >= 4) {
        uint32_t halves[2];
        memcpy(&halves[0], text, 4);
        memcpy(&halves[1], text + len - 4, 4);
        return is_plain_word((uint64_t)halves[0] << 32 | halves[1]);
    }
    for (size_t i = 0; i < len; i++)
        if (cost_of[(uint8_t)text[i]] != 1)
            return false;
    return true;
}

/* Most strings have nothing to escape: they are one copy. */
static void put_quoted(struct json_writer *writer, const char *text, size_t len)
{
    if (is_plain(text, len)) {
        char *to = reserve(writer, len + 2);
        *to++ = '"';
        if (len)
            memcpy(to, text, len);
        to[len] = '"';
        writer->len += len + 2;
        return;
    }
    size_t plain = plain_run(text, text + len);
    put_char(writer, '"');
    put_bytes(writer, text, plain);
    put_rest_quoted(writer, text + plain, text + len);
    put_char(writer, '"');
}

static size_t quoted_size(const char *text, size_t len)
{
    const char *at = text, *end = text + len;
    size_t size = 2;
    while (at < end) {
        size_t cost = cost_of[(uint8_t)*at], n = 1;
        if (!cost) {
            n = utf8_sequence(at, end);
            cost = n ? n : 3;
            n = n ? n : 1;
        }
        size += cost;
        at += n;
    }
    return size;
}

/* ---- values ----------------------------------------------------------------------------------------------------- */

static inline void begin_value(struct json_writer *writer)
{
    if (writer->comma)
        put_char(writer, ',');
    writer->comma = true;
}

static void begin_container(struct json_writer *writer, char c)
{
    begin_value(writer);
    put_char(writer, c);
    writer->comma = false;
    writer->depth++;
}

static void end_container(struct json_writer *writer, char c)
{
    assert(writer->depth > 0);
    put_char(writer, c);
    writer->comma = true;
    writer->depth--;
}

void json_begin_object(struct json_writer *writer)
{
    begin_container(writer, '{');
}

void json_end_object(struct json_writer *writer)
{
    end_container(writer, '}');
}

void json_begin_array(struct json_writer *writer)
{
    begin_container(writer, '[');
}

void json_end_array(struct json_writer *writer)
{
    end_container(writer, ']');
}

void json_key_n(struct json_writer *writer, const char *key, size_t key_len)
{
    json_put_string_n(writer, key, key_len);
    put_char(writer, ':');
    writer->comma = false;
}

void json_key(struct json_writer *writer, const char *key)
{
    json_key_n(writer, key, strlen(key));
}

void json_put_raw(struct json_writer *writer, const char *text, size_t len)
{
    begin_value(writer);
    put_bytes(writer, text, len);
}

void json_put_null(struct json_writer *writer)
{
    json_put_raw(writer, "null", 4);
}

void json_put_bool(struct json_writer *writer, bool value)
{
    json_put_raw(writer, value ? "true" : "false", value ? 4 : 5);
}

enum { INTEGER_MAX = 20 }; /* digits, or 19 and a sign */

/* Written backwards: returns where the first digit is. */
static char *digits_before(char *end, uint64_t value)
{
    do
        *--end = (char)('0' + value % 10);
    while (value /= 10);
    return end;
}

void json_put_int(struct json_writer *writer, int64_t value)
{
    char text[INTEGER_MAX], *end = text + sizeof text;
    char *begin = digits_before(end, value < 0 ? -(uint64_t)value : (uint64_t)value);
    if (value < 0)
        *--begin = '-';
    json_put_raw(writer, begin, (size_t)(end - begin));
}

void json_put_uint(struct json_writer *writer, uint64_t value)
{
    char text[INTEGER_MAX], *end = text + sizeof text;
    char *begin = digits_before(end, value);
    json_put_raw(writer, begin, (size_t)(end - begin));
}

void json_put_double(struct json_writer *writer, double value)
{
    if (!isfinite(value)) {
        json_put_null(writer);
        return;
    }
    char text[32];
    int n = 0;
    for (int precision = 15; precision <= 17; precision++) {
        n = snprintf(text, sizeof text, "%.*g", precision, value);
        if (strtod(text, NULL) == value)
            break;
    }
    json_put_raw(writer, text, (size_t)n);
}

void json_put_string_n(struct json_writer *writer, const char *text, size_t len)
{
    begin_value(writer);
    put_quoted(writer, text, len);
}

void json_put_string(struct json_writer *writer, const char *text)
{
    if (text)
        json_put_string_n(writer, text, strlen(text));
    else
        json_put_null(writer);
}

void json_put(struct json_writer *writer, const struct json *json)
{
    if (!json) {
        json_put_null(writer);
        return;
    }
    switch (json->type) {
    case JSON_NULL: json_put_null(writer); break;
    case JSON_FALSE: json_put_bool(writer, false); break;
    case JSON_TRUE: json_put_bool(writer, true); break;
    case JSON_NUMBER: json_put_raw(writer, json->text, json->len); break;
    case JSON_STRING: json_put_string_n(writer, json->text, json->len); break;
    case JSON_ARRAY:
        json_begin_array(writer);
        json_for_each (element, json)
            json_put(writer, element);
        json_end_array(writer);
        break;
    case JSON_OBJECT:
        json_begin_object(writer);
        json_for_each (member, json) {
            json_key_n(writer, member->key, member->key_len);
            json_put(writer, member);
        }
        json_end_object(writer);
        break;
    }
}

char *json_write(struct arena *arena, const struct json *json, size_t *len)
{
    struct json_writer writer;
    json_writer_init(&writer, arena);
    json_put(&writer, json);
    return json_writer_text(&writer, len);
}

size_t json_size(const struct json *json)
{
    switch (json->type) {
    case JSON_NULL:
    case JSON_TRUE: return 4;
    case JSON_FALSE: return 5;
    case JSON_NUMBER: return json->len;
    case JSON_STRING: return quoted_size(json->text, json->len);
    case JSON_ARRAY:
    case JSON_OBJECT: break;
    }
    size_t size = 2 + (json->len ? json->len - 1 : 0);
    json_for_each (at, json)
        size += json_size(at) + (json->type == JSON_OBJECT ? quoted_size(at->key, at->key_len) + 1 : 0);
    return size;
}
