#include "services/shadow/shadow_record.h"

#include "services/shadow/shadow_patch.h"

#include <string.h>

/* ---- writing ------------------------------------------------------------------------------------------------------ */

/* A state as a tree; the nodes are the caller's, the sections are shared. */
struct state {
    struct json object, desired, reported;
};

static const struct json *state_of(struct state *state, const struct shadow_doc *doc)
{
    if (!doc->exists)
        return NULL;
    *state = (struct state){.object.type = JSON_OBJECT};
    if (doc->desired) {
        state->desired = *doc->desired;
        json_append(&state->object, "desired", strlen("desired"), &state->desired);
    }
    if (doc->reported) {
        state->reported = *doc->reported;
        json_append(&state->object, "reported", strlen("reported"), &state->reported);
    }
    return &state->object;
}

void shadow_record_put(struct json_writer *writer, const struct shadow_doc *old, const struct shadow_doc *now,
                       int64_t now_s, const char *by)
{
    struct state before, after;
    writer->comma = false; /* records are lines, not elements */
    json_begin_array(writer);
    json_put_uint(writer, now->version);
    json_put_int(writer, now_s);
    json_put_string(writer, by);
    shadow_patch_put(writer, state_of(&after, now), state_of(&before, old));
    if (!now->exists)
        json_put_bool(writer, true);
    json_end_array(writer);
    writer->comma = false;
    json_put_raw(writer, "\n", 1);
}

/* ---- walking back ------------------------------------------------------------------------------------------------- */

void shadow_past_init(struct shadow_past *past, struct arena *arena, uint64_t version,
                      const struct json *state, const char *records, size_t len, struct shadow_span span)
{
    *past = (struct shadow_past){
        .arena = arena,
        .records = records,
        .end = records + len,
        .span = span,
        .next = version,
        .was = state, /* the first step back begins where today is */
    };
}

/* The last line of those that are left. */
static const char *last_line(struct shadow_past *past, size_t *len)
{
    const char *end = past->end;
    if (end == past->records || end[-1] != '\n')
        return NULL;
    const char *begin = --end;
    while (begin > past->records && begin[-1] != '\n')
        begin--;
    past->end = begin;
    *len = (size_t)(end - begin);
    return begin;
}

static const char *name_of(struct arena *arena, const struct json *by)
{
    char *name = arena_copy(arena, by->text, by->len);
    for (char *at = name; at < name + by->len; at++)
        if (!*at)
            *at = ' ';
    return name;
}

bool shadow_past_back(struct shadow_past *past)
{
    size_t len;
    const char *line = last_line(past, &len);
    struct json *record;
    if (!line || json_parse(&record, past->arena, line, len, NULL) != 0 || !json_is(record, JSON_ARRAY) ||
        record->len < 4 || record->len > 5)
        return false;
    const struct json *version = record->first, *at_s = version->next, *by = at_s->next, *undo = by->next;
    int64_t number, seconds;
    if (!json_int(version, 1, INT64_MAX, &number) || !json_int(at_s, INT64_MIN, INT64_MAX, &seconds) ||
        !json_is(by, JSON_STRING) || (undo->type != JSON_OBJECT && undo->type != JSON_NULL))
        return false;
    bool is_old = seconds >= SHADOW_CLOCK_IS_SET_S && seconds < past->span.first_s;
    if ((uint64_t)number != past->next || (uint64_t)number < past->span.first || is_old)
        return false;

    past->version = (uint64_t)number;
    past->at_s = seconds;
    past->by = name_of(past->arena, by);
    past->deleted = record->len == 5;
    past->now = past->was;
    past->was = shadow_patch_apply(past->arena, past->now, undo);
    past->next = past->version - 1;
    return true;
}
