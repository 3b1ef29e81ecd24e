/* An update over a stored document: the first line of the input is the one that makes the document, the rest the one
 * that is then applied. Whatever they are, what comes out is consistent. */
#include "services/shadow/shadow_answer.h"
#include "services/shadow/shadow_record.h"

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
    const struct json *delta = shadow_doc_delta(arena, doc);
    if (!delta)
        return;
    must(delta->len);
    struct shadow_update report = {.reported = delta};
    struct shadow_limits none = {SIZE_MAX, 0};
    struct shadow_doc after;
    struct shadow_refusal refusal;
    must(shadow_doc_update(&after, arena, doc, &report, &none, &refusal) == 0);
    must(!shadow_doc_delta(arena, &after));
    must(after.version == doc->version + 1);
}

/* Stored and read, a document is the same, and so are its times. */
static void check_stored(struct arena *arena, const struct shadow_doc *doc)
{
    size_t stamps_len, again_len;
    char *stamps = shadow_doc_stamps(arena, doc, &stamps_len);
    struct shadow_doc read;
    must(shadow_doc_read(&read, arena, doc->version, doc->text, doc->text_len, stamps, stamps_len) == 0);
    char *again = shadow_doc_stamps(arena, &read, &again_len);
    must(again_len == stamps_len && memcmp(again, stamps, stamps_len) == 0);
    size_t size =
        (doc->desired ? json_size(doc->desired) : 0) + (doc->reported ? json_size(doc->reported) : 0);
    must(shadow_doc_size(doc) == size && size <= limits.bytes);
}

/* The record of a change leads back to what was before it, byte for byte but for the order of members. */
static void check_record(struct arena *arena, const struct shadow_doc *old, const struct shadow_doc *now)
{
    struct json_writer records;
    size_t len;
    json_writer_init(&records, arena);
    shadow_record_put(&records, old, now, 1, "somebody \"else\"");
    const char *text = json_writer_text(&records, &len);
    struct shadow_past past;
    const struct json *state = must_parse(arena, now->text, now->text_len);
    shadow_past_init(&past, arena, now->version, state, text, len, (struct shadow_span){0});
    must(shadow_past_back(&past) && past.version == now->version && past.at_s == 1 && !past.deleted);
    must(!old->exists == !past.was);
    if (past.was)
        must(json_equal(past.was, must_parse(arena, old->text, old->text_len)));
    must(!shadow_past_back(&past));
}

static void apply(struct arena *arena, struct shadow_doc *doc, const char *payload, size_t len)
{
    struct shadow_update update;
    struct shadow_refusal refusal;
    struct shadow_doc next;
    int r = shadow_update_parse(&update, arena, payload, len, 1, &limits, &refusal);
    if (r == 0)
        r = shadow_doc_update(&next, arena, doc, &update, &limits, &refusal);
    if (r != 0) {
        must(r == refusal.code && refusal.message);
        must_be_json(arena, shadow_answer_rejected(arena, &refusal, update.token, 1));
        return;
    }
    must_be_json(arena, shadow_answer_delta(arena, &next, update.token, 1));
    must_be_json(arena, shadow_answer_documents(arena, doc, &next, update.token, 1));
    must_be_json(arena, shadow_answer_accepted(arena, &update, next.version));
    must_be_json(arena, shadow_answer_document(arena, &next, update.token, 1));
    check_stored(arena, &next);
    check_delta(arena, &next);
    check_record(arena, doc, &next);
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
