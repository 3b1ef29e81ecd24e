#include "services/shadow/shadow_history.h"

#include "services/shadow/shadow_lookup.h"
#include "services/shadow/shadow_patch.h"

#include <inttypes.h>
#include <string.h>

static struct shadow_past past_of(const struct shadow_history *history)
{
    struct shadow_past past;
    shadow_past_init(&past, history->arena, history->version, history->state, history->records,
                     history->records_len, history->span);
    return past;
}

static int refuse(struct shadow_refusal *refusal, int code, const char *message)
{
    *refusal = (struct shadow_refusal){code, message};
    return code;
}

static void put_state(struct json_writer *writer, const char *key, const struct json *state)
{
    json_key(writer, key);
    json_put(writer, state);
}

static void put_version(struct json_writer *writer, const char *key, uint64_t version)
{
    json_key(writer, key);
    json_put_uint(writer, version);
}

/* Both patches between two states. */
static void put_both(struct json_writer *writer, const struct json *was, const struct json *now)
{
    json_key(writer, "was");
    shadow_patch_put(writer, now, was);
    json_key(writer, "now");
    shadow_patch_put(writer, was, now);
}

static void put_maker(struct json_writer *writer, const struct shadow_past *past)
{
    json_key(writer, "timestamp");
    json_put_int(writer, past->at_s);
    json_key(writer, "by");
    json_put_string(writer, past->by);
}

/* ---- log ---------------------------------------------------------------------------------------------------------- */

static void put_change(struct json_writer *writer, const struct shadow_past *past)
{
    json_begin_object(writer);
    put_version(writer, "version", past->version);
    put_maker(writer, past);
    if (past->deleted) {
        json_key(writer, "deleted");
        json_put_bool(writer, true);
    }
    put_both(writer, past->was, past->now);
    json_end_object(writer);
}

int shadow_history_log(const struct shadow_history *history, struct json_writer *writer, uint64_t before,
                       unsigned max, struct shadow_refusal *refusal)
{
    (void)refusal;
    struct shadow_past past = past_of(history);
    unsigned n = 0;
    bool more = false;
    put_version(writer, "version", history->version);
    json_key(writer, "exists");
    json_put_bool(writer, history->state != NULL);
    json_key(writer, "changes");
    json_begin_array(writer);
    while (shadow_past_back(&past)) {
        if (before && past.version >= before)
            continue;
        more = n == max || writer->len > SHADOW_ANSWER_MAX;
        if (more)
            break;
        put_change(writer, &past);
        n++;
    }
    json_end_array(writer);
    json_key(writer, "more");
    json_put_bool(writer, more);
    return 0;
}

/* ---- a version ---------------------------------------------------------------------------------------------------- */

/* The state of a version. past stands on its change, or, for the oldest state that is known, its `version` is another. */
static int find(const struct shadow_history *history, uint64_t version, struct shadow_past *past,
                const struct json **state, struct shadow_refusal *refusal)
{
    *past = past_of(history);
    if (version > history->version)
        return refuse(refusal, 404,
                      arena_printf(history->arena, "There is no version %" PRIu64 ": the newest is %" PRIu64,
                                   version, history->version));
    while (past->next >= version && shadow_past_back(past)) {
        if (past->version == version) {
            *state = past->now;
            return 0;
        }
    }
    if (past->next == version && version) { /* what the oldest record changed */
        *state = past->was;
        return 0;
    }
    return refuse(refusal, 404,
                  arena_printf(history->arena,
                               "Version %" PRIu64 " is not kept any more: the oldest is %" PRIu64, version,
                               past->next ? past->next : 1));
}

int shadow_history_at(const struct shadow_history *history, struct json_writer *writer, uint64_t version,
                      struct shadow_refusal *refusal)
{
    struct shadow_past past;
    const struct json *state;
    int r = find(history, version, &past, &state, refusal);
    if (r != 0)
        return r;
    put_version(writer, "version", version);
    if (past.version == version)
        put_maker(writer, &past);
    put_state(writer, "state", state);
    return 0;
}

int shadow_history_diff(const struct shadow_history *history, struct json_writer *writer, uint64_t from,
                        uint64_t to, struct shadow_refusal *refusal)
{
    struct shadow_past past;
    const struct json *was, *now;
    int r = find(history, from, &past, &was, refusal);
    if (r == 0)
        r = find(history, to, &past, &now, refusal);
    if (r != 0)
        return r;
    put_version(writer, "from", from);
    put_version(writer, "to", to);
    put_both(writer, was, now);
    return 0;
}

int shadow_history_revert(const struct shadow_history *history, struct json_writer *writer, uint64_t version,
                          struct shadow_refusal *refusal)
{
    struct shadow_past past;
    const struct json *state;
    int r = find(history, version, &past, &state, refusal);
    if (r != 0)
        return r;
    if (!state)
        return refuse(
            refusal, 400,
            arena_printf(history->arena, "There was no document in version %" PRIu64 ": delete it", version));
    json_key(writer, "state");
    shadow_patch_put(writer, history->state, state);
    if (history->state) /* somebody may change it in the meantime: then this is not what was asked for */
        put_version(writer, "version", history->version);
    return 0;
}

/* ---- blame -------------------------------------------------------------------------------------------------------- */

/* The first value that a walk finds changed in a version is that version's. A leaf's tag is the number of its change in
 * `makers`, from 1; 0: nobody has been found yet. */
struct blame {
    struct arena *arena;
    struct shadow_past *makers;
    uint32_t count;
};

static bool is_leaf(const struct json *value)
{
    return value->type != JSON_OBJECT || !value->len;
}

static bool differ(const struct json *a, const struct json *b)
{
    if (!a || !b)
        return a != b;
    if (a->type == b->type && a->type >= JSON_ARRAY && a->first == b->first)
        return false; /* shared: the change did not touch it */
    return !json_equal(a, b);
}

/* now and was: what was there in two versions, NULL for nothing. The leaf that is there today is `value`. */
static void mark(struct blame *blame, struct json *value, const struct json *now, const struct json *was)
{
    if (!differ(now, was))
        return;
    if (is_leaf(value)) {
        if (!value->tag)
            value->tag = blame->count;
        return;
    }
    struct lookup nows = lookup_in(blame->arena, now), wases = lookup_in(blame->arena, was);
    json_for_each (member, value)
        mark(blame, member, look_up(&nows, member), look_up(&wases, member));
}

/* The next step of a path: a member's name. "/a~1b/c" [RFC 6901] or a.b.c */
static bool next_step(struct arena *arena, const char **path, const char **name, size_t *len)
{
    bool is_pointer = **path == '/';
    const char *begin = *path + (is_pointer || **path == '.');
    if (!**path)
        return false;
    size_t n = strcspn(begin, is_pointer ? "/" : ".");
    *path = begin + n;
    char *text = arena_copy(arena, begin, n), *to = text;
    for (const char *at = begin; at < begin + n; at++) {
        if (is_pointer && *at == '~' && (at[1] == '0' || at[1] == '1'))
            *to++ = *++at == '0' ? '~' : '/';
        else
            *to++ = *at;
    }
    *name = text;
    *len = (size_t)(to - text);
    return true;
}

static char *pointer_below(struct arena *arena, const char *above, const struct json *member)
{
    size_t len = strlen(above);
    char *pointer = arena_alloc(arena, len + 2 + 2 * (size_t)member->key_len), *to = pointer + len;
    memcpy(pointer, above, len);
    *to++ = '/';
    for (const char *at = member->key; at < member->key + member->key_len; at++) {
        if (*at == '~' || *at == '/')
            *to++ = '~';
        *to++ = *at == '~' ? '0' : *at == '/' ? '1' : *at ? *at : ' ';
    }
    *to = '\0';
    return pointer;
}

static void put_lines(struct json_writer *writer, const struct blame *blame, const struct json *value,
                      const char *pointer)
{
    if (!is_leaf(value)) {
        json_for_each (member, value)
            put_lines(writer, blame, member, pointer_below(blame->arena, pointer, member));
        return;
    }
    json_begin_object(writer);
    json_key(writer, "path");
    json_put_string(writer, pointer);
    put_state(writer, "value", value);
    if (value->tag) {
        const struct shadow_past *maker = &blame->makers[value->tag - 1];
        put_version(writer, "version", maker->version);
        put_maker(writer, maker);
    }
    json_end_object(writer);
}

/* Makers are kept by their number, so the walk is made twice: once to count them. */
static uint32_t count_changes(const struct shadow_history *history)
{
    struct shadow_past past = past_of(history);
    uint32_t n = 0;
    while (shadow_past_back(&past))
        n++;
    return n;
}

int shadow_history_blame(const struct shadow_history *history, struct json_writer *writer, const char *path,
                         struct shadow_refusal *refusal)
{
    struct arena *arena = history->arena;
    if (!history->state)
        return refuse(refusal, 404, "The shadow was deleted");
    struct json *state = json_copy(arena, history->state), *value = state;
    const char *rest = path, *name, *pointer = "";
    size_t len;
    while (value && next_step(arena, &rest, &name, &len)) {
        value = json_get_n(value, name, len);
        if (value)
            pointer = pointer_below(arena, pointer, value);
    }
    if (!value)
        return refuse(refusal, 404, arena_printf(arena, "There is nothing at '%s'", path));

    uint32_t count = count_changes(history);
    struct blame blame = {.arena = arena, .makers = arena_alloc(arena, count * sizeof *blame.makers)};
    struct shadow_past past = past_of(history);
    while (blame.count < count && shadow_past_back(&past)) {
        blame.makers[blame.count++] = past;
        mark(&blame, state, past.now, past.was);
    }
    put_version(writer, "version", history->version);
    put_version(writer, "oldest", past.next + 1);
    json_key(writer, "values");
    json_begin_array(writer);
    put_lines(writer, &blame, value, pointer);
    json_end_array(writer);
    return 0;
}
