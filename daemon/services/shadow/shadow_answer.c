#include "services/shadow/shadow_answer.h"

#include "services/shadow/shadow_stamps.h"

static struct shadow_text text_of(struct json_writer *writer)
{
    struct shadow_text text;
    text.text = json_writer_text(writer, &text.len);
    return text;
}

static void begin(struct json_writer *writer, struct arena *arena)
{
    json_writer_init(writer, arena);
    json_begin_object(writer);
}

static void put_timestamp(struct json_writer *writer, int64_t now_s)
{
    json_key(writer, "timestamp");
    json_put_int(writer, now_s);
}

static void put_version(struct json_writer *writer, uint64_t version)
{
    json_key(writer, "version");
    json_put_uint(writer, version);
}

/* The end of every document but errors and documents without a version. */
static struct shadow_text end(struct json_writer *writer, const struct json *token)
{
    if (token) {
        json_key(writer, "clientToken");
        json_put(writer, token);
    }
    json_end_object(writer);
    return text_of(writer);
}

static void put_member(struct json_writer *writer, const char *key, const struct json *value)
{
    if (!value)
        return;
    json_key(writer, key);
    json_put(writer, value);
}

void shadow_put_sections(struct json_writer *writer, const struct json *desired, const struct json *reported)
{
    json_begin_object(writer);
    put_member(writer, "desired", desired);
    put_member(writer, "reported", reported);
    json_end_object(writer);
}

static void put_stamps(struct json_writer *writer, const char *key, const struct json *section)
{
    if (!section)
        return;
    json_key(writer, key);
    shadow_put_metadata(writer, section);
}

static void put_metadata(struct json_writer *writer, const struct json *desired, const struct json *reported)
{
    json_key(writer, "metadata");
    json_begin_object(writer);
    put_stamps(writer, "desired", desired);
    put_stamps(writer, "reported", reported);
    json_end_object(writer);
}

struct shadow_text shadow_answer_accepted(struct arena *arena, const struct shadow_update *update,
                                          uint64_t version)
{
    struct json_writer writer;
    begin(&writer, arena);
    json_key(&writer, "state");
    if (update->clears) {
        json_put_null(&writer);
        json_key(&writer, "metadata");
        json_begin_object(&writer);
        put_timestamp(&writer, update->now_s);
        json_end_object(&writer);
    } else {
        shadow_put_sections(&writer, update->desired, update->reported);
        put_metadata(&writer, update->desired, update->reported);
    }
    put_version(&writer, version);
    put_timestamp(&writer, update->now_s);
    return end(&writer, update->token);
}

struct shadow_text shadow_answer_delta(struct arena *arena, const struct shadow_doc *doc,
                                       const struct json *token, int64_t now_s)
{
    const struct json *delta = shadow_doc_delta(arena, doc);
    if (!delta)
        return (struct shadow_text){0};
    struct json_writer writer;
    begin(&writer, arena);
    put_version(&writer, doc->version);
    put_timestamp(&writer, now_s);
    put_member(&writer, "state", delta);
    put_stamps(&writer, "metadata", delta);
    return end(&writer, token);
}

static void put_doc(struct json_writer *writer, const char *key, const struct shadow_doc *doc)
{
    json_key(writer, key);
    if (!doc->exists) {
        json_put_null(writer);
        return;
    }
    json_begin_object(writer);
    json_key(writer, "state");
    json_put_raw(writer, doc->text, doc->text_len);
    put_metadata(writer, doc->desired, doc->reported);
    put_version(writer, doc->version);
    json_end_object(writer);
}

struct shadow_text shadow_answer_documents(struct arena *arena, const struct shadow_doc *previous,
                                           const struct shadow_doc *current, const struct json *token,
                                           int64_t now_s)
{
    struct json_writer writer;
    begin(&writer, arena);
    put_doc(&writer, "previous", previous);
    put_doc(&writer, "current", current);
    put_timestamp(&writer, now_s);
    return end(&writer, token);
}

struct shadow_text shadow_answer_document(struct arena *arena, const struct shadow_doc *doc,
                                          const struct json *token, int64_t now_s)
{
    struct json_writer writer;
    begin(&writer, arena);
    json_key(&writer, "state");
    json_begin_object(&writer);
    put_member(&writer, "desired", doc->desired);
    put_member(&writer, "reported", doc->reported);
    put_member(&writer, "delta", shadow_doc_delta(arena, doc));
    json_end_object(&writer);
    put_metadata(&writer, doc->desired, doc->reported);
    put_version(&writer, doc->version);
    put_timestamp(&writer, now_s);
    return end(&writer, token);
}

struct shadow_text shadow_answer_deleted(struct arena *arena, uint64_t version, const struct json *token,
                                         int64_t now_s)
{
    struct json_writer writer;
    begin(&writer, arena);
    put_version(&writer, version);
    put_timestamp(&writer, now_s);
    return end(&writer, token);
}

struct shadow_text shadow_answer_rejected(struct arena *arena, const struct shadow_refusal *refusal,
                                          const struct json *token, int64_t now_s)
{
    struct json_writer writer;
    begin(&writer, arena);
    json_key(&writer, "code");
    json_put_int(&writer, refusal->code);
    json_key(&writer, "message");
    json_put_string(&writer, refusal->message);
    if (refusal->code != 404)
        put_timestamp(&writer, now_s);
    return end(&writer, token);
}
