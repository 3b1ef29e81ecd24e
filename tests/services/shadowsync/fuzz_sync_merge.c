/* Documents of three lines and a policy on the first become one; whatever they are, what comes out is consistent: the
 * patches lead from both sides to it, and merging again changes nothing. An answer of a shadow service is read from any of
 * the lines. */
#include "services/shadowsync/sync_doc.h"

#include "base/json_write.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void must(bool is_so)
{
    if (!is_so)
        abort();
}

/* What a shadow service does with an update's state, by the rules of the reference. */
static struct json *apply(struct arena *arena, const struct json *old, const struct json *patch)
{
    struct json *result = json_new(arena, JSON_OBJECT);
    json_for_each (member, old) {
        const struct json *change = json_get_n(patch, member->key, member->key_len);
        if (change && change->type == JSON_NULL)
            continue;
        const struct json *value = change ? change : member;
        if (change && change->type == JSON_OBJECT)
            value = apply(arena, member->type == JSON_OBJECT ? member : NULL, change);
        json_append(result, member->key, member->key_len, json_share(arena, value));
    }
    json_for_each (change, patch)
        if (change->type != JSON_NULL && !json_get_n(old, change->key, change->key_len))
            json_append(result, change->key, change->key_len,
                        json_share(arena, change->type == JSON_OBJECT ? apply(arena, NULL, change) : change));
    return result;
}

static const struct json *without_empty_sections(struct arena *arena, const struct json *state)
{
    struct json *result = json_new(arena, JSON_OBJECT);
    json_for_each (section, state)
        if (section->len)
            json_append(result, section->key, section->key_len, json_share(arena, section));
    return result;
}

static void check_patch(struct arena *arena, const struct json *from, const struct json *to)
{
    const struct json *patch = sync_patch(arena, from, to);
    must((patch == NULL) == sync_equal(from, to));
    must(sync_equal(without_empty_sections(arena, apply(arena, from, patch)), to));
}

/* A document as the service has it; NULL: the line is none. */
static struct sync_doc read_doc(struct arena *arena, const char *line, size_t len)
{
    static const struct sync_topic topic = {
        .thing = {"t", 1}, .name = {"", 0}, .verb = SYNC_GET, .accepted = true};
    struct sync_answer answer;
    if (!sync_answer_read(&answer, arena, "gw-", &topic, line, len))
        return (struct sync_doc){0};
    const char *text = sync_state_write(arena, answer.doc.state);
    must(sync_equal(sync_state_read(arena, text), answer.doc.state));
    return answer.doc;
}

static void check_merge(struct arena *arena, const struct sync_policy *policy, enum sync_direction direction,
                        const struct json *base, const struct sync_doc *here, const struct sync_doc *there)
{
    struct sync_merge merge = {.arena = arena, .policy = policy, .direction = direction};
    const struct json *merged = sync_merge(&merge, base, here, there);
    must(merge.choice_count <= SYNC_CHOICES_MAX);
    if (merge.stays)
        return;
    const struct sync_doc both = {.state = merged};
    struct sync_merge again = {.arena = arena, .policy = policy, .direction = direction};
    must(sync_equal(sync_merge(&again, merged, &both, &both), merged));
    must(again.choice_count == 0 && again.conflicts == 0);
    if (merged && here->state)
        check_patch(arena, here->state, merged);
    if (merged && there->state)
        check_patch(arena, there->state, merged);
    must(sync_equal(sync_rebase(arena, base, merged, there->state, merged), there->state));
    (void)sync_rebase(arena, base, merged, there->state, here->state);
}

static size_t take_line(const char **at, const char *end)
{
    const char *line = *at, *newline = line < end ? memchr(line, '\n', (size_t)(end - line)) : NULL;
    const char *stop = newline ? newline : end;
    *at = newline ? newline + 1 : end;
    return (size_t)(stop - line);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (len > 64 * 1024)
        return 0;
    struct arena arena = {0};
    const char *at = (const char *)data, *end = at + len, *line = at;
    size_t line_len = take_line(&at, end);
    const char *text = arena_copy(&arena, line, line_len), *expected, *where;
    struct sync_policy policy = {0};
    if (sync_policy_parse(&policy, &arena, text, &expected, &where) < 0)
        must(expected && where >= text && where <= text + line_len);
    struct sync_doc docs[3];
    for (size_t i = 0; i < array_size(docs); i++) {
        line = at;
        line_len = take_line(&at, end);
        docs[i] = read_doc(&arena, line, line_len);
    }
    for (int direction = SYNC_BOTH; direction <= SYNC_DOWN; direction++)
        check_merge(&arena, &policy, (enum sync_direction)direction, docs[0].state, &docs[1], &docs[2]);
    struct sync_topic topic;
    (void)sync_topic_parse(&topic, text, strlen(text));
    struct sync_pattern patterns[SYNC_PATTERNS_MAX];
    (void)sync_patterns_parse(patterns, text);
    arena_done(&arena);
    return 0;
}
