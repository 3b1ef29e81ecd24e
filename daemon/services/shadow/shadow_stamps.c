#include "services/shadow/shadow_stamps.h"

#include <string.h>

uint32_t shadow_stamp_of(int64_t now_s)
{
    return now_s < 0 ? 0 : now_s > UINT32_MAX ? UINT32_MAX : (uint32_t)now_s;
}

/* ---- writing ------------------------------------------------------------------------------------------------------ */

struct runs {
    char *at;
    int64_t before; /* the stamp of the run before this one */
    uint32_t stamp, count;
    bool first;
};

static char *put_number(char *to, uint64_t value)
{
    char digits[20];
    size_t n = 0;
    do
        digits[n++] = (char)('0' + value % 10);
    while (value /= 10);
    while (n)
        *to++ = digits[--n];
    return to;
}

static void end_run(struct runs *runs)
{
    if (!runs->count)
        return;
    if (!runs->first)
        *runs->at++ = ',';
    int64_t difference = (int64_t)runs->stamp - runs->before;
    if (difference < 0)
        *runs->at++ = '-';
    runs->at = put_number(runs->at, (uint64_t)(difference < 0 ? -difference : difference));
    if (runs->count > 1) {
        *runs->at++ = 'x';
        runs->at = put_number(runs->at, runs->count);
    }
    runs->before = runs->stamp;
    runs->first = false;
}

static void take(struct runs *runs, const struct json *value)
{
    if (value->type >= JSON_ARRAY) {
        json_for_each (below, value)
            take(runs, below);
        return;
    }
    if (runs->count && value->tag == runs->stamp) {
        runs->count++;
        return;
    }
    end_run(runs);
    runs->stamp = value->tag;
    runs->count = 1;
}

static size_t count_scalars(const struct json *value)
{
    if (value->type < JSON_ARRAY)
        return 1;
    size_t n = 0;
    json_for_each (below, value)
        n += count_scalars(below);
    return n;
}

enum { RUN_MAX = 24 }; /* a comma, a sign, ten digits, x, ten digits */

char *shadow_stamps_write(struct arena *arena, const struct json *const *sections, size_t count, size_t *len)
{
    size_t scalars = 0;
    for (size_t i = 0; i < count; i++)
        scalars += sections[i] ? count_scalars(sections[i]) : 0;
    char *text = arena_alloc(arena, scalars * RUN_MAX + 1);
    struct runs runs = {.at = text, .first = true};
    for (size_t i = 0; i < count; i++)
        if (sections[i])
            take(&runs, sections[i]);
    end_run(&runs);
    *runs.at = '\0';
    *len = (size_t)(runs.at - text);
    return text;
}

/* ---- reading ------------------------------------------------------------------------------------------------------ */

struct reader {
    const char *at, *end;
    int64_t stamp;
    uint32_t left; /* of the run */
    bool begun;
};

static bool read_number(struct reader *reader, int64_t *ret)
{
    const char *begin = reader->at;
    int64_t value = 0;
    while (reader->at < reader->end && *reader->at >= '0' && *reader->at <= '9' && value <= UINT32_MAX)
        value = value * 10 + (*reader->at++ - '0');
    *ret = value;
    return reader->at > begin && value <= UINT32_MAX;
}

static bool is_next(struct reader *reader, char c)
{
    bool is = reader->at < reader->end && *reader->at == c;
    reader->at += is;
    return is;
}

static bool next_run(struct reader *reader)
{
    int64_t difference, count = 1;
    if (reader->begun && !is_next(reader, ','))
        return false;
    reader->begun = true;
    bool negative = is_next(reader, '-');
    if (!read_number(reader, &difference))
        return false;
    reader->stamp += negative ? -difference : difference;
    if (is_next(reader, 'x') && !read_number(reader, &count))
        return false;
    reader->left = (uint32_t)count;
    return count > 0 && reader->stamp >= 0 && reader->stamp <= UINT32_MAX;
}

static bool give(struct reader *reader, struct json *value)
{
    if (value->type >= JSON_ARRAY) {
        json_for_each (below, value)
            if (!give(reader, below))
                return false;
        return true;
    }
    if (!reader->left && !next_run(reader))
        return false;
    reader->left--;
    value->tag = (uint32_t)reader->stamp;
    return true;
}

bool shadow_stamps_read(struct json *const *sections, size_t count, const char *text, size_t len)
{
    struct reader reader = {.at = text, .end = text + len};
    for (size_t i = 0; i < count; i++)
        if (sections[i] && !give(&reader, sections[i]))
            return false;
    return !reader.left && reader.at == reader.end;
}

/* ---- metadata ----------------------------------------------------------------------------------------------------- */

/* Most leaves of a document have a neighbour's time. */
struct leaf {
    uint32_t stamp;
    size_t len; /* 0: none yet */
    char text[32];
};

static void put_leaf(struct json_writer *writer, struct leaf *leaf, uint32_t stamp)
{
    static const char begin[] = "{\"timestamp\":";
    if (!leaf->len || leaf->stamp != stamp) {
        memcpy(leaf->text, begin, sizeof begin - 1);
        char *end = put_number(leaf->text + sizeof begin - 1, stamp);
        *end++ = '}';
        leaf->len = (size_t)(end - leaf->text);
        leaf->stamp = stamp;
    }
    json_put_raw(writer, leaf->text, leaf->len);
}

static void put_leaves(struct json_writer *writer, struct leaf *leaf, const struct json *value)
{
    switch (value->type) {
    case JSON_ARRAY:
        json_begin_array(writer);
        json_for_each (element, value)
            put_leaves(writer, leaf, element);
        json_end_array(writer);
        break;
    case JSON_OBJECT:
        json_begin_object(writer);
        json_for_each (member, value) {
            json_key_n(writer, member->key, member->key_len);
            put_leaves(writer, leaf, member);
        }
        json_end_object(writer);
        break;
    case JSON_NULL:
    case JSON_FALSE:
    case JSON_TRUE:
    case JSON_NUMBER:
    case JSON_STRING: put_leaf(writer, leaf, value->tag); break;
    }
}

void shadow_put_metadata(struct json_writer *writer, const struct json *value)
{
    struct leaf leaf = {0};
    put_leaves(writer, &leaf, value);
}
