/* One head says it all:   major type, 3 bits │ 5 bits: the argument, or how many bytes of it follow, or "until break" */
#include "base/cbor.h"

#include "base/json_write.h"
#include "base/utf8.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

enum major { UINT, NEGATIVE, BYTES, TEXT, ARRAY, MAP, TAG, SIMPLE };
enum {
    FALSE = 20,
    TRUE = 21,
    NULL_VALUE = 22,
    HALF = 25,
    FLOAT = 26,
    DOUBLE = 27,
    INDEFINITE = 31,
    BREAK = 0xFF
};

/* ---- reading -------------------------------------------------------------------------------------------------------- */

struct reader {
    struct arena *arena;
    const uint8_t *start, *at, *end;
    const char *expected;
    int r;
};

struct head {
    enum major major;
    uint8_t info;
    uint64_t argument;
};

static bool refuse(struct reader *reader, const uint8_t *at, const char *expected)
{
    reader->at = at;
    reader->expected = expected;
    reader->r = CBOR_INVALID;
    return false;
}

static bool read_head(struct reader *reader, struct head *head)
{
    const uint8_t *at = reader->at;
    if (at == reader->end)
        return refuse(reader, at, "an item");
    *head = (struct head){.major = (enum major)(*at >> 5), .info = *at & 31, .argument = *at & 31};
    reader->at++;
    if (head->info < 24)
        return true;
    if (head->info == INDEFINITE) {
        bool may = head->major >= BYTES && head->major <= MAP;
        return may || refuse(reader, at, "an item");
    }
    if (head->info > 27)
        return refuse(reader, at, "an item");
    size_t n = (size_t)1 << (head->info - 24);
    if ((size_t)(reader->end - reader->at) < n)
        return refuse(reader, reader->end, "more bytes");
    head->argument = 0;
    for (size_t i = 0; i < n; i++)
        head->argument = head->argument << 8 | *reader->at++;
    return true;
}

static bool at_break(struct reader *reader)
{
    if (reader->at == reader->end || *reader->at != BREAK)
        return false;
    reader->at++;
    return true;
}

/* Text or bytes, *text in the input; or in the arena, if they came in pieces. */
static bool read_string(struct reader *reader, const struct head *head, const char **text, size_t *len)
{
    if (head->info != INDEFINITE) {
        *text = (const char *)reader->at;
        if (head->argument > (size_t)(reader->end - reader->at))
            return refuse(reader, reader->end, "more bytes");
        *len = (size_t)head->argument;
        if (head->major == TEXT && !utf8_is_valid(*text, *len))
            return refuse(reader, reader->at, "UTF-8");
        reader->at += *len;
        return true;
    }
    char *all = NULL;
    size_t size = 0;
    *len = 0;
    while (!at_break(reader)) {
        const uint8_t *at = reader->at;
        struct head piece;
        const char *bytes;
        size_t count;
        if (!read_head(reader, &piece))
            return false;
        if (piece.major != head->major || piece.info == INDEFINITE)
            return refuse(reader, at, "a piece of the string, of definite length");
        if (!read_string(reader, &piece, &bytes, &count))
            return false;
        if (count > size - *len) {
            size_t larger = size_max(size * 2, *len + count); /* doubled: pieces may be many and small */
            all = arena_grow(reader->arena, all, size, larger);
            size = larger;
        }
        if (count)
            memcpy(all + *len, bytes, count);
        *len += count;
    }
    *text = all ? all : "";
    return true;
}

static struct json *integer(struct arena *arena, const struct head *head)
{
    const char *text;
    if (head->major == UINT)
        text = arena_printf(arena, "%" PRIu64, head->argument);
    else if (head->argument == UINT64_MAX)
        text = "-18446744073709551616";
    else
        text = arena_printf(arena, "-%" PRIu64, head->argument + 1);
    return json_new_number(arena, text, strlen(text));
}

static double half(uint64_t bits)
{
    int exponent = (int)(bits >> 10 & 31);
    double mantissa = (double)(bits & 1023), value;
    if (exponent == 0)
        value = ldexp(mantissa, -24);
    else if (exponent != 31)
        value = ldexp(mantissa + 1024, exponent - 25);
    else
        value = mantissa == 0 ? (double)INFINITY : (double)NAN;
    return bits & 0x8000 ? -value : value;
}

static double floating(const struct head *head)
{
    if (head->info == HALF)
        return half(head->argument);
    if (head->info == FLOAT) {
        uint32_t bits = (uint32_t)head->argument;
        float value;
        memcpy(&value, &bits, sizeof value);
        return (double)value;
    }
    double value;
    memcpy(&value, &head->argument, sizeof value);
    return value;
}

static bool read_simple(struct reader *reader, const uint8_t *at, const struct head *head, struct json **ret)
{
    struct json_writer writer;
    size_t len;
    switch (head->info) {
    case FALSE: *ret = json_new(reader->arena, JSON_FALSE); return true;
    case TRUE: *ret = json_new(reader->arena, JSON_TRUE); return true;
    case NULL_VALUE: *ret = json_new(reader->arena, JSON_NULL); return true;
    case HALF:
    case FLOAT:
    case DOUBLE: break;
    default: return refuse(reader, at, "a value that JSON has");
    }
    double value = floating(head);
    if (!isfinite(value))
        return refuse(reader, at, "a finite number");
    json_writer_init(&writer, reader->arena);
    json_put_double(&writer, value);
    const char *text = json_writer_text(&writer, &len);
    *ret = json_new_number(reader->arena, text, len);
    return true;
}

static bool read_item(struct reader *reader, unsigned depth, struct json **ret);

static bool too_deep(struct reader *reader)
{
    (void)refuse(reader, reader->at, "less depth");
    reader->r = CBOR_TOO_DEEP;
    return false;
}

static bool read_array(struct reader *reader, const struct head *head, unsigned depth, struct json *array)
{
    for (uint64_t i = 0; head->info == INDEFINITE ? !at_break(reader) : i < head->argument; i++) {
        struct json *element;
        if (!read_item(reader, depth, &element))
            return false;
        json_push(array, element);
    }
    return true;
}

static bool read_map(struct reader *reader, const struct head *head, unsigned depth, struct json *map)
{
    for (uint64_t i = 0; head->info == INDEFINITE ? !at_break(reader) : i < head->argument; i++) {
        const uint8_t *at = reader->at;
        struct head key;
        const char *text;
        size_t len;
        struct json *value;
        if (!read_head(reader, &key))
            return false;
        if (key.major != TEXT)
            return refuse(reader, at, "a text string as key");
        if (!read_string(reader, &key, &text, &len) || !read_item(reader, depth, &value))
            return false;
        json_append(map, text, len, value);
    }
    /* Afterwards, so that a long map costs one table. */
    struct json_index index;
    json_index_init(&index, reader->arena, map->len);
    json_for_each (member, map)
        if (json_index_add(&index, member))
            return refuse(reader, reader->at, "every key once in a map");
    return true;
}

static bool read_item(struct reader *reader, unsigned depth, struct json **ret)
{
    const uint8_t *at = reader->at;
    struct head head;
    const char *text;
    size_t len;
    if (!read_head(reader, &head))
        return false;
    switch (head.major) {
    case UINT:
    case NEGATIVE: *ret = integer(reader->arena, &head); return true;
    case BYTES:
    case TEXT:
        if (!read_string(reader, &head, &text, &len))
            return false;
        *ret = json_new_string(reader->arena, text, len);
        (*ret)->tag = head.major == BYTES ? CBOR_BYTES : 0;
        return true;
    case SIMPLE: return read_simple(reader, at, &head, ret);
    case ARRAY:
    case MAP:
    case TAG: break;
    }
    if (depth == CBOR_DEPTH_MAX)
        return too_deep(reader);
    if (head.major == TAG)
        return read_item(reader, depth + 1, ret);
    *ret = json_new(reader->arena, head.major == ARRAY ? JSON_ARRAY : JSON_OBJECT);
    return head.major == ARRAY ? read_array(reader, &head, depth + 1, *ret)
                               : read_map(reader, &head, depth + 1, *ret);
}

int cbor_parse(struct json **ret, struct arena *arena, const void *bytes, size_t len,
               struct cbor_error *error)
{
    const uint8_t *start = len ? bytes : (const uint8_t *)"";
    struct reader reader = {.arena = arena, .start = start, .at = start, .end = start + len};
    struct json *json;
    if (read_item(&reader, 0, &json) && (reader.at == reader.end || refuse(&reader, reader.at, "the end"))) {
        *ret = json;
        return 0;
    }
    if (error)
        *error = (struct cbor_error){(size_t)(reader.at - start), reader.expected};
    return reader.r;
}

/* ---- writing -------------------------------------------------------------------------------------------------------- */

struct writer {
    struct arena *arena;
    uint8_t *bytes;
    size_t len, size;
};

static void put_bytes(struct writer *writer, const void *bytes, size_t len)
{
    if (writer->size - writer->len < len) {
        size_t size = size_max(writer->size * 2, writer->len + len);
        writer->bytes = arena_grow(writer->arena, writer->bytes, writer->size, size);
        writer->size = size;
    }
    if (len)
        memcpy(writer->bytes + writer->len, bytes, len);
    writer->len += len;
}

static void put_head(struct writer *writer, enum major major, uint64_t argument)
{
    unsigned n = argument < 24            ? 0
                 : argument <= UINT8_MAX  ? 1
                 : argument <= UINT16_MAX ? 2
                 : argument <= UINT32_MAX ? 4
                                          : 8;
    uint8_t head[9] = {(uint8_t)(major << 5 | (n == 0   ? argument
                                               : n == 1 ? 24
                                               : n == 2 ? 25
                                               : n == 4 ? 26
                                                        : 27))};
    for (unsigned i = 0; i < n; i++)
        head[1 + i] = (uint8_t)(argument >> 8 * (n - 1 - i));
    put_bytes(writer, head, 1 + n);
}

static void put_string(struct writer *writer, enum major major, const char *text, size_t len)
{
    put_head(writer, major, len);
    put_bytes(writer, text, len);
}

/* Digits alone, without a sign: a value of up to 2^64 - 1; false: it is none. */
static bool digits(const char *text, size_t len, uint64_t *ret)
{
    uint64_t value = 0;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9' || __builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(text[i] - '0'), &value))
            return false;
    }
    *ret = value;
    return len > 0;
}

static void put_number(struct writer *writer, const struct json *json)
{
    int64_t integer_value;
    uint64_t value;
    if (json_int(json, INT64_MIN, INT64_MAX, &integer_value)) {
        if (integer_value >= 0)
            put_head(writer, UINT, (uint64_t)integer_value);
        else
            put_head(writer, NEGATIVE, (uint64_t) - (integer_value + 1));
        return;
    }
    /* What is beyond an int64_t, and in CBOR still an integer. */
    bool negative = *json->text == '-';
    if (digits(json->text + negative, json->len - negative, &value)) {
        put_head(writer, negative ? NEGATIVE : UINT, value - negative);
        return;
    }
    static const char lowest[] = "-18446744073709551616";
    if (json->len == sizeof lowest - 1 && memcmp(json->text, lowest, json->len) == 0) {
        put_head(writer, NEGATIVE, UINT64_MAX);
        return;
    }
    double number = *json->text == '-' ? (double)-INFINITY : (double)INFINITY;
    uint8_t head[9] = {SIMPLE << 5 | DOUBLE};
    (void)json_double(json, &number);
    memcpy(&value, &number, sizeof value);
    for (unsigned i = 0; i < 8; i++)
        head[1 + i] = (uint8_t)(value >> 8 * (7 - i));
    put_bytes(writer, head, sizeof head);
}

static void put_item(struct writer *writer, const struct json *json)
{
    switch (json->type) {
    case JSON_NULL: put_head(writer, SIMPLE, NULL_VALUE); return;
    case JSON_FALSE: put_head(writer, SIMPLE, FALSE); return;
    case JSON_TRUE: put_head(writer, SIMPLE, TRUE); return;
    case JSON_NUMBER: put_number(writer, json); return;
    case JSON_STRING:
        put_string(writer, json->tag == CBOR_BYTES ? BYTES : TEXT, json->text, json->len);
        return;
    case JSON_ARRAY: put_head(writer, ARRAY, json->len); break;
    case JSON_OBJECT: put_head(writer, MAP, json->len); break;
    }
    json_for_each (at, json) {
        if (json->type == JSON_OBJECT)
            put_string(writer, TEXT, at->key, at->key_len);
        put_item(writer, at);
    }
}

uint8_t *cbor_write(struct arena *arena, const struct json *json, size_t *len)
{
    struct writer writer = {.arena = arena, .size = 64};
    writer.bytes = arena_alloc(arena, writer.size);
    put_item(&writer, json);
    *len = writer.len;
    return writer.bytes;
}
