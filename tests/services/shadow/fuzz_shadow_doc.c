/* An update over a stored document: the first line of the input is the one that makes the document, the rest the one
 * that is then applied. Whatever they are, what comes out is consistent. */
#include "services/shadow/shadow_answer.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static const struct shadow_limits limits = {SHADOW_DOCUMENT_MAX, SHADOW_LEVELS_MAX};

static void must(bool is_so)
{
    if (!is_so)
        abort();
}

static struct json *must_parse(struct arena *arena, const char *text, size_t len)
{
    struct json *json;
    must(json_parse(&json, arena, text, len, NULL) == 0);
    return json;
}

static void must_be_json(struct arena *arena, struct shadow_text text)
{
    if (text.text)
        must(json_is(must_parse(arena, text.text, text.len), JSON_OBJECT));
}

/* A device that does what the delta says has no delta afterwards, unless the document grows too large. */
static void check_delta(struct arena *arena, const struct shadow_doc *doc)
{
    struct shadow_section delta = shadow_doc_delta(arena, doc);
    if (!delta.state)
        return;
    must(delta.state->len && delta.state->len == delta.metadata->len);
    struct shadow_update report = {.reported = delta.state};
    struct shadow_limits none = {SIZE_MAX, 0};
    struct shadow_doc after;
    struct shadow_refusal refusal;
    must(shadow_doc_update(&after, arena, doc, &report, 2, &none, &refusal) == 0);
    must(!shadow_doc_delta(arena, &after).state);
    must(after.version == doc->version + 1);
}

/* Stored and read, a document is the same: this also sees that the metadata mirror the state. */
static void check_stored(struct arena *arena, const struct shadow_doc *doc)
{
    size_t state_len, metadata_len, again_len;
    char *state = shadow_doc_state(arena, doc, &state_len);
    char *metadata = shadow_doc_metadata(arena, doc, &metadata_len);
    struct shadow_doc read;
    must(shadow_doc_read(&read, arena, doc->version, state, state_len, metadata, metadata_len) == 0);
    char *again = shadow_doc_state(arena, &read, &again_len);
    must(again_len == state_len && memcmp(again, state, state_len) == 0);
    must(shadow_doc_size(doc) == shadow_doc_size(&read) && shadow_doc_size(doc) <= limits.bytes);
}

static void apply(struct arena *arena, struct shadow_doc *doc, const char *payload, size_t len)
{
    struct shadow_update update;
    struct shadow_refusal refusal;
    struct shadow_doc next;
    int r = shadow_update_parse(&update, arena, payload, len, &limits, &refusal);
    if (r == 0)
        r = shadow_doc_update(&next, arena, doc, &update, 1, &limits, &refusal);
    if (r != 0) {
        must(r == refusal.code && refusal.message);
        must_be_json(arena, shadow_answer_rejected(arena, &refusal, update.token, 1));
        return;
    }
    must_be_json(arena, shadow_answer_delta(arena, &next, update.token, 1));
    must_be_json(arena, shadow_answer_documents(arena, doc, &next, update.token, 1));
    must_be_json(arena, shadow_answer_accepted(arena, &update, next.version, 1));
    must_be_json(arena, shadow_answer_document(arena, &next, update.token, 1));
    check_stored(arena, &next);
    check_delta(arena, &next);
    *doc = next;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct arena arena;
    arena_init(&arena);
    const char *text = (const char *)data, *line = memchr(text, '\n', len);
    size_t first = line ? (size_t)(line - text) : len;
    struct shadow_doc doc = {0};
    apply(&arena, &doc, text, first);
    if (line)
        apply(&arena, &doc, line + 1, len - first - 1);
    arena_done(&arena);
    return 0;
}
