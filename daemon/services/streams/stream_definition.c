#include "services/streams/stream_definition.h"

#include "schedule/schedule_text.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* One row a member. Adding one is adding a row here, one to schema/gatehouse.conf.md, and one to config.c. */

enum { WEIGHT_DEFAULT = 10 }; /* schedule.h: what 0 means */

enum kind { KIND_NAME, KIND_NAMES, KIND_NUMBER, KIND_BYTES, KIND_SECONDS, KIND_SYNC, KIND_RULE, KIND_CHOICE };

struct row {
    const char *member, *key; /* in JSON, in gatehouse.conf */
    enum kind kind;
    size_t offset;
    int64_t min, max;
    const char *choices[2]; /* for 0 and for 1 */
    const char *expected;
};

#define AT(member) offsetof(struct stream_definition, member)
#define KIB(n)     ((int64_t)(n) << 10)
#define MIB(n)     ((int64_t)(n) << 20)
#define GIB(n)     ((int64_t)(n) << 30)
#define TIB(n)     ((int64_t)(n) << 40)

static const struct row rows[] = {
    {"name", "name", KIND_NAME, AT(name), 1, 0, {0}, "1 to 64 letters, digits, _ or -"},
    {"uplink",
     "uplink",
     KIND_NAMES,
     AT(uplink),
     0,
     STREAM_UPLINKS_MAX,
     {0},
     "the name of an uplink, or of up to 8 with commas between them"},
    {"priority", "priority", KIND_NUMBER, AT(priority), 1, 10, {0}, "a whole number from 1 to 10"},
    {"maxSize",
     "max-size",
     KIND_BYTES,
     AT(max_bytes),
     MIB(1),
     TIB(8),
     {0},
     "a size (in bytes, or with K, M, G or T) from 1M to 8T"},
    {"segmentSize",
     "segment-size",
     KIND_BYTES,
     AT(segment_bytes),
     KIB(64),
     GIB(1),
     {0},
     "a size (in bytes, or with K, M, G or T) from 64K to 1G"},
    {"ttl",
     "ttl",
     KIND_SECONDS,
     AT(ttl_s),
     60,
     3153600000,
     {0},
     "a time (in seconds, or with s, m, h or d) from 1m to 36500d, or 0 for ever"},
    {"onFull", "on-full", KIND_CHOICE, AT(overwrite), 0, 1, {"reject", "overwrite"}, "reject or overwrite"},
    {"persistence", "persistence", KIND_CHOICE, AT(memory), 0, 1, {"file", "memory"}, "file or memory"},
    {"sync", "sync", KIND_SYNC, AT(sync_ms), 10, 60000, {0}, "always, or an interval from 10ms to 60s"},
    {"deadLetter",
     "dead-letter",
     KIND_NAME,
     AT(dead_letter),
     1,
     0,
     {0},
     "none, or the name of a stream: 1 to 64 letters, digits, _ or -"},
    {"keep", "keep", KIND_CHOICE, AT(keep), 0, 1, {"no", "yes"}, "yes or no"},
    {"compress", "compress", KIND_CHOICE, AT(compress), 0, 1, {"no", "yes"}, "yes or no"},
    {"encrypt", "encrypt", KIND_CHOICE, AT(encrypt), 0, 1, {"no", "yes"}, "yes or no"},
    {"weight", "weight", KIND_RULE, 0, 0, 0, {0}, NULL},
    {"deadline", "deadline", KIND_RULE, 0, 0, 0, {0}, NULL},
    {"dayBudget", "day-budget", KIND_RULE, 0, 0, 0, {0}, NULL},
    {"window", "window", KIND_RULE, 0, 0, 0, {0}, NULL},
    {"liveShare", "live-share", KIND_RULE, 0, 0, 0, {0}, NULL},
};

struct unit {
    const char *suffix;
    int64_t factor;
};

static const struct unit none[] = {{"", 1}, {0}};
static const struct unit bytes[] = {{"", 1}, {"K", KIB(1)}, {"M", MIB(1)}, {"G", GIB(1)}, {"T", TIB(1)}, {0}};
static const struct unit seconds[] = {{"", 1}, {"s", 1}, {"m", 60}, {"h", 3600}, {"d", 86400}, {0}};
static const struct unit milliseconds[] = {{"ms", 1}, {"s", 1000}, {0}};

static bool parse_number(const char *text, const struct unit *units, int64_t *ret)
{
    if (*text < '0' || *text > '9') /* strtoll() would take blanks and signs */
        return false;
    char *end;
    errno = 0;
    long long number = strtoll(text, &end, 10);
    if (errno)
        return false;
    for (const struct unit *unit = units; unit->suffix; unit++)
        if (strcmp(end, unit->suffix) == 0)
            return !__builtin_mul_overflow(number, unit->factor, ret);
    return false;
}

#define NAME_CHARACTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-"

static bool is_listed(const char *list, size_t len, const char *name, size_t name_len)
{
    for (size_t at = 0; at < len;) {
        const char *comma = memchr(list + at, ',', len - at);
        size_t one = comma ? (size_t)(comma - list) - at : len - at;
        if (one == name_len && memcmp(list + at, name, one) == 0)
            return true;
        at += one + 2;
    }
    return false;
}

static bool parse_name(const struct row *row, char *into, const char *text)
{
    size_t len = strspn(text, NAME_CHARACTERS);
    if (text[len] || len > STREAM_NAME_MAX || len < (size_t)row->min)
        return false;
    memcpy(into, text, len + 1);
    return true;
}

/* "a,b" or "a, b" into "a, b"; none twice. */
static bool parse_names(char *into, size_t max, const char *text)
{
    size_t count = 0, len = 0;
    char list[STREAM_UPLINKS_MAX * (STREAM_NAME_MAX + 2)];
    if (!*text) {
        *into = '\0';
        return true;
    }
    for (const char *at = text;; at++) {
        at += strspn(at, " \t");
        size_t name = strspn(at, NAME_CHARACTERS);
        if (!name || name > STREAM_NAME_MAX || count == max || is_listed(list, len, at, name))
            return false;
        if (count++) {
            memcpy(list + len, ", ", 2);
            len += 2;
        }
        memcpy(list + len, at, name);
        len += name;
        at += name;
        at += strspn(at, " \t");
        if (*at != ',' && *at)
            return false;
        if (!*at)
            break;
    }
    memcpy(into, list, len);
    into[len] = '\0';
    return true;
}

bool stream_definition_uplink(const struct stream_definition *definition, size_t i,
                              char name[static STREAM_NAME_MAX + 1])
{
    const char *at = definition->uplink;
    for (; i && *at; i--) {
        at += strcspn(at, ",");
        at += strspn(at, ", ");
    }
    size_t len = strcspn(at, ",");
    memcpy(name, at, len);
    name[len] = '\0';
    return len != 0;
}

static bool parse_value(const struct row *row, const char *text, int64_t *ret)
{
    switch (row->kind) {
    case KIND_NAME:
    case KIND_NAMES:
    case KIND_RULE: return false;
    case KIND_NUMBER: return parse_number(text, none, ret);
    case KIND_BYTES: return parse_number(text, bytes, ret);
    case KIND_SECONDS: return parse_number(text, seconds, ret);
    case KIND_SYNC: return parse_number(text, milliseconds, ret);
    case KIND_CHOICE:
        *ret = strcmp(text, row->choices[1]) == 0;
        return *ret || strcmp(text, row->choices[0]) == 0;
    }
    return false;
}

static bool set_own(struct stream_definition *definition, const struct row *row, const char *text)
{
    void *member = (char *)definition + row->offset;
    int64_t value;
    if (row->kind == KIND_NAME)
        return parse_name(row, member, text);
    if (row->kind == KIND_NAMES)
        return parse_names(member, (size_t)row->max, text);
    if (row->kind == KIND_SYNC && strcmp(text, "always") == 0) {
        *(int64_t *)member = 0;
        return true;
    }
    if (!parse_value(row, text, &value))
        return false;
    bool is_for_ever = row->kind == KIND_SECONDS && value == 0;
    if (!is_for_ever && (value < row->min || value > row->max))
        return false;
    *(int64_t *)member = value;
    return true;
}

/* NULL, or what was expected. A text that is NULL is not good. */
static const char *set(struct stream_definition *definition, const struct row *row, const char *text)
{
    if (row->kind == KIND_RULE)
        return schedule_rules_set(&definition->rules, row->key, text ? text : "null");
    return text && set_own(definition, row, text) ? NULL : row->expected;
}

struct stream_definition stream_definition_default(void)
{
    return (struct stream_definition){
        .priority = 5,
        .max_bytes = MIB(256),
        .segment_bytes = MIB(4),
        .dead_letter = STREAM_LETTERS,
        .rules.weight = WEIGHT_DEFAULT,
    };
}

const char *stream_definition_set(struct stream_definition *definition, const char *key, const char *text)
{
    for (size_t i = 0; i < array_size(rows); i++)
        if (strcmp(rows[i].key, key) == 0)
            return set(definition, &rows[i], text);
    return "a key of [stream NAME]";
}

/* ---- JSON -------------------------------------------------------------------------------------------------------- */

static const struct row *row_of(const struct json *member)
{
    for (size_t i = 0; i < array_size(rows); i++)
        if (json_key_is(member, rows[i].member, strlen(rows[i].member)))
            return &rows[i];
    return NULL;
}

/* A value as it would be written in gatehouse.conf; NULL when it cannot be one. */
static const char *text_of(struct arena *arena, const struct json *value)
{
    const char *text;
    switch (value->type) {
    case JSON_TRUE: return "yes";
    case JSON_FALSE: return "no";
    case JSON_NUMBER: return arena_printf(arena, "%.*s", (int)value->len, value->text);
    case JSON_STRING: return json_text(value, arena, &text) ? text : NULL;
    case JSON_NULL:
    case JSON_ARRAY:
    case JSON_OBJECT: break;
    }
    return NULL;
}

static const char *members(struct arena *arena)
{
    const char *list = rows[0].member;
    for (size_t i = 1; i < array_size(rows); i++)
        list = arena_printf(arena, "%s%s%s", list, i + 1 < array_size(rows) ? ", " : " or ", rows[i].member);
    return list;
}

static int bad(const char **why, const char *sentence)
{
    *why = sentence;
    return STREAM_DEFINITION_BAD;
}

static int set_member(struct stream_definition *definition, struct arena *arena, const struct json *member,
                      const char **why)
{
    enum { SHOWN = 100 };
    const struct row *row = row_of(member);
    if (!row)
        return bad(why, arena_printf(arena, "expected %s, found a member \"%.*s\"", members(arena),
                                     (int)size_min(member->key_len, SHOWN), member->key));
    const char *expected = set(definition, row, text_of(arena, member));
    if (!expected)
        return 0;
    return bad(why, arena_printf(arena, "%s: expected %s, found %.*s", row->member, expected, SHOWN,
                                 json_write(arena, member, NULL)));
}

static int check(const struct stream_definition *definition, const char **why)
{
    if (!*definition->name)
        return bad(why, "name: expected 1 to 64 letters, digits, _ or -, found none");
    if (definition->segment_bytes > definition->max_bytes)
        return bad(why, "segmentSize: expected at most maxSize");
    if (definition->memory && definition->max_bytes > STREAM_MEMORY_MAX)
        return bad(why, "maxSize: expected at most 64M for a stream in memory");
    if (definition->memory && definition->sync_ms)
        return bad(why, "sync: a stream in memory has none");
    if (definition->memory && definition->encrypt)
        return bad(why, "encrypt: a stream in memory leaves nothing to be encrypted");
    return 0;
}

int stream_definition_change(struct stream_definition *definition, struct arena *arena,
                             const struct json *json, const char **why)
{
    bool sized = false, in_segments = false, is_new = !*definition->name;
    json_for_each (member, json) {
        sized |= json_key_is(member, "maxSize", 7);
        in_segments |= json_key_is(member, "segmentSize", 11);
        int r = set_member(definition, arena, member, why);
        if (r)
            return r;
    }
    if (definition->memory && !sized && is_new)
        definition->max_bytes = MIB(16);
    if (!in_segments && definition->segment_bytes > definition->max_bytes / 4)
        definition->segment_bytes = definition->max_bytes / 4;
    return check(definition, why);
}

int stream_definition_parse(struct stream_definition *ret, struct arena *arena, const char *text, size_t len,
                            const char **why)
{
    enum { TEXT_MAX = 64 * 1024 };
    struct stream_definition definition = stream_definition_default();
    struct json_error error;
    struct json *json;
    if (len > TEXT_MAX)
        return bad(why, "expected a definition of at most 64 KiB");
    int r = json_parse(&json, arena, text, len, &error);
    if (r < 0)
        return r;
    if (r > 0)
        return bad(why, arena_printf(arena, "line %u, column %u: expected %s", error.line, error.column,
                                     error.expected));
    if (!json_is(json, JSON_OBJECT))
        return bad(why, "expected an object");
    r = stream_definition_change(&definition, arena, json, why);
    if (r == 0)
        *ret = definition;
    return r;
}

static void put_sync(struct json_writer *writer, int64_t ms)
{
    char text[32] = "always";
    if (ms)
        (void)snprintf(text, sizeof text, "%" PRId64 "ms", ms);
    json_put_string(writer, text);
}

static void put_rule(struct json_writer *writer, const struct schedule_rules *rules, const char *key)
{
    char windows[SCHEDULE_WINDOWS_TEXT];
    if (strcmp(key, "weight") == 0)
        json_put_uint(writer, rules->weight ? rules->weight : WEIGHT_DEFAULT);
    else if (strcmp(key, "deadline") == 0)
        json_put_int(writer, rules->deadline / 1000);
    else if (strcmp(key, "day-budget") == 0)
        json_put_uint(writer, rules->day_bytes);
    else if (strcmp(key, "live-share") == 0)
        json_put_uint(writer, rules->live_share);
    else {
        schedule_windows_write(rules, windows);
        json_put_string(writer, windows);
    }
}

void stream_definition_put(const struct stream_definition *definition, struct json_writer *writer)
{
    for (size_t i = 0; i < array_size(rows); i++) {
        const struct row *row = &rows[i];
        const void *member = (const char *)definition + row->offset;
        bool is_switch = row->kind == KIND_CHOICE && strcmp(row->choices[0], "no") == 0;
        json_key(writer, row->member);
        if (row->kind == KIND_NAME || row->kind == KIND_NAMES)
            json_put_string(writer, member);
        else if (row->kind == KIND_SYNC)
            put_sync(writer, *(const int64_t *)member);
        else if (row->kind == KIND_RULE)
            put_rule(writer, &definition->rules, row->key);
        else if (is_switch)
            json_put_bool(writer, *(const int64_t *)member != 0);
        else if (row->kind == KIND_CHOICE)
            json_put_string(writer, row->choices[*(const int64_t *)member != 0]);
        else
            json_put_int(writer, *(const int64_t *)member);
    }
}
