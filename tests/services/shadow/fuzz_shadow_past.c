/* Questions about a past that may be damaged: the first line of the input is the state of today, the second a path, the
 * rest are records as they stand in the database. Whatever they are, an answer is valid JSON or a refusal with a reason,
 * and what is told of one version does not depend on the way it was asked for. */
#include "services/shadow/shadow_history.h"
#include "services/shadow/shadow_patch.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

enum { VERSIONS = 12 };

static void must(bool is_so)
{
    if (!is_so)
        abort();
}

/* Cuts the next line off. */
static const char *line_of(struct arena *arena, const char **text, size_t *len, size_t *line_len)
{
    const char *begin = *text, *end = memchr(begin, '\n', *len);
    *line_len = end ? (size_t)(end - begin) : *len;
    *text = begin + *line_len + (end != NULL);
    *len -= *line_len + (end != NULL);
    return arena_copy(arena, begin, *line_len);
}

static struct json *answer(struct json_writer *writer)
{
    size_t len;
    struct json *json;
    json_end_object(writer);
    const char *text = json_writer_text(writer, &len);
    must(json_parse(&json, writer->arena, text, len, NULL) == 0 && json_is(json, JSON_OBJECT));
    return json;
}

static struct json_writer *begin(struct json_writer *writer, struct arena *arena)
{
    json_writer_init(writer, arena);
    json_begin_object(writer);
    return writer;
}

/* NULL when it is refused. */
static const struct json *state_at(const struct shadow_history *history, uint64_t version)
{
    struct json_writer writer;
    struct shadow_refusal refusal = {0};
    int r = shadow_history_at(history, begin(&writer, history->arena), version, &refusal);
    must(r == 0 || (r == refusal.code && refusal.message));
    return r == 0 ? json_get(answer(&writer), "state") : NULL;
}

/* `now` makes the second of the first, `was` the first of the second, and a revert the old one of today's. */
static void check_pair(const struct shadow_history *history, uint64_t from, uint64_t to)
{
    struct json_writer writer;
    struct shadow_refusal refusal = {0};
    const struct json *old = state_at(history, from), *new = state_at(history, to);
    int r = shadow_history_diff(history, begin(&writer, history->arena), from, to, &refusal);
    must((r == 0) == (old && new));
    if (r == 0 && old->type == JSON_OBJECT && new->type == JSON_OBJECT) {
        struct json *both = answer(&writer);
        must(json_equal(shadow_patch_apply(history->arena, old, json_get(both, "now")), new));
        must(json_equal(shadow_patch_apply(history->arena, new, json_get(both, "was")), old));
    }
    r = shadow_history_revert(history, begin(&writer, history->arena), from, &refusal);
    must((r == 0) == (old && old->type == JSON_OBJECT));
    if (r == 0) {
        const struct json *patch = json_get(answer(&writer), "state");
        must(json_equal(shadow_patch_apply(history->arena, history->state, patch), old));
    }
}

static void ask_all(const struct shadow_history *history, const char *path)
{
    struct json_writer writer;
    struct shadow_refusal refusal = {0};
    for (uint64_t before = 0; before < VERSIONS; before += 4) {
        must(shadow_history_log(history, begin(&writer, history->arena), before, 5, &refusal) == 0);
        must(json_get(answer(&writer), "changes")->len <= 5);
    }
    for (uint64_t version = 1; version <= VERSIONS; version++)
        check_pair(history, version, VERSIONS - version);
    int r = shadow_history_blame(history, begin(&writer, history->arena), path, &refusal);
    must(r == 0 || (r == 404 && refusal.message));
    if (r == 0)
        (void)answer(&writer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct arena arena;
    arena_init(&arena);
    const char *rest = (const char *)data;
    size_t state_len, path_len;
    const char *state = line_of(&arena, &rest, &len, &state_len);
    const char *path = line_of(&arena, &rest, &len, &path_len);
    struct json *today = NULL;
    if (json_parse(&today, &arena, state, state_len, NULL) != 0 || !json_is(today, JSON_OBJECT))
        today = NULL; /* deleted */
    if (today)
        today = shadow_patch_apply(&arena, NULL, today); /* no state has a null in it */
    struct shadow_history history = {
        .arena = &arena, .version = VERSIONS - 2, .state = today, .records = rest, .records_len = len};
    ask_all(&history, path);
    history.span = (struct shadow_span){.first = 4, .first_s = SHADOW_CLOCK_IS_SET_S + 10};
    ask_all(&history, path);
    arena_done(&arena);
    return 0;
}
