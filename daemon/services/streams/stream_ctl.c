/* Commands: list, describe, create, delete.
 *
 * A stream that is created exists when state.db has it: its log is opened first, which is undone if the commit fails.
 * Deleting goes the other way: the commit that deletes the books marks the stream as deleted, then its files go, then the
 * mark; a crash in between leaves the mark, and the next start goes on from there.
 */
#include "services/streams/stream.h"

#include "base/log.h"
#include "bus/topics.h"
#include "services/streams/streams_store.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

/* ---- list and describe ------------------------------------------------------------------------------------------- */

static void put_text(struct json_writer *w, const char *key, const char *text)
{
    json_key(w, key);
    json_put_string(w, text);
}

/* Of all exporters: how far the last one is, and what they have done together. */
static void put_export(struct json_writer *w, const struct stream *stream)
{
    uint64_t cursor = UINT64_MAX, pending = 0, retries = 0, under_way = 0;
    exporters_for_each(exporter, stream)
    {
        uint64_t next = exporter->place.ledger.next, left = exporter_pending(exporter);
        cursor = next < cursor ? next : cursor;
        pending = left > pending ? left : pending;
        retries += exporter->retries;
        under_way += exporter_under_way(exporter);
    }
    stream_put_number(w, "cursor", cursor);
    stream_put_number(w, "pending", pending);
    stream_put_number(w, "underWay", under_way);
    stream_put_number(w, "retries", retries);
}

static void put_exporters(struct json_writer *w, const struct stream *stream)
{
    json_key(w, "exporters");
    json_begin_array(w);
    exporters_for_each(exporter, stream) exporter_put(w, exporter);
    json_end_array(w);
}

/* What a flash would have to take in a day at this rate, once there is one: a burst at the start says nothing of a year. */
static void put_flash_a_day(struct json_writer *w, const struct stream *stream)
{
    enum { DAY = 24 * 3600 * 1000, KNOWN_AFTER = 600 * 1000 };
    int64_t up = loop_now(stream_loop(stream)) - stream->streams->started;
    if (up < KNOWN_AFTER) {
        json_key(w, "flashDay");
        json_put_null(w);
        json_key(w, "flashYear");
        json_put_null(w);
        return;
    }
    uint64_t a_day = (uint64_t)((double)seglog_flash(stream->log) / (double)up * DAY);
    stream_put_number(w, "flashDay", a_day);
    stream_put_number(w, "flashYear", a_day * 365);
}

static void put_stream(struct json_writer *w, const struct stream *stream)
{
    json_begin_object(w);
    put_text(w, "name", stream->name);
    stream_put_number(w, "priority", (uint64_t)stream->definition.priority);
    bool is_local = list_is_empty(&stream->exporters);
    put_text(w, "uplink", is_local ? NULL : stream->definition.uplink);
    stream_put_number(w, "first", seglog_first(stream->log));
    stream_put_number(w, "next", seglog_next(stream->log));
    if (!is_local)
        put_export(w, stream);
    stream_put_number(w, "bytes", seglog_bytes(stream->log));
    stream_put_number(w, "maxBytes", (uint64_t)stream->definition.max_bytes);
    stream_put_number(w, "appended", stream->appended);
    stream_put_number(w, "refused", stream->refused);
    stream_put_number(w, "faults", stream->faults);
    stream_put_number(w, "damaged", seglog_damaged(stream->log));
    stream_put_number(w, "written", seglog_written(stream->log));
    stream_put_number(w, "flash", seglog_flash(stream->log));
    put_flash_a_day(w, stream);
    put_exporters(w, stream);
    put_text(w, "alarm", stream->alarm);
    json_end_object(w);
}

static void on_list(struct subscriber *subscriber, struct msg *msg, const struct delivery *delivery,
                    struct receipt *receipt)
{
    (void)delivery, (void)receipt;
    struct streams *streams = container_of(subscriber, struct streams, list_commands);
    struct arena arena = {0};
    struct json_writer w;
    json_writer_init(&w, &arena);
    json_begin_object(&w);
    json_key(&w, "streams");
    json_begin_array(&w);
    streams_for_each (stream, streams)
        put_stream(&w, stream);
    json_end_array(&w);
    locked_put(&w, streams);
    streams_put_links(&w, streams);
    json_end_object(&w);
    bus_reply(streams->bus, msg, json_writer_text(&w, NULL));
    arena_done(&arena);
}

static void put_readers(struct json_writer *w, const struct stream *stream)
{
    json_key(w, "readers");
    json_begin_array(w);
    readers_for_each (reader, stream) {
        if (reader == &stream->own)
            continue;
        const struct exporter *exporter = reader_exporter(reader);
        if (exporter && reader == &exporter->ahead)
            continue; /* in the books of its exporter */
        struct ledger books = exporter ? exporter_books(exporter) : reader->ledger;
        json_begin_object(w);
        put_text(w, "name", exporter ? NULL : reader->name);
        put_text(w, "uplink", exporter ? exporter->outlet->name : NULL);
        json_key(w, "holds");
        json_put_bool(w, reader->holds);
        stream_put_number(w, "next", reader->ledger.next);
        stream_put_number(w, "pending",
                          exporter ? exporter_pending(exporter) : seglog_next(stream->log) - books.next);
        stream_put_ledger(w, &books);
        json_end_object(w);
    }
    json_end_array(w);
}

static void put_description(struct json_writer *w, const struct stream *stream)
{
    const struct ledger *own = &stream->own.ledger;
    json_begin_object(w);
    json_key(w, "definition");
    json_begin_object(w);
    stream_definition_put(&stream->definition, w);
    json_end_object(w);
    json_key(w, "configured");
    json_put_bool(w, stream->configured);
    json_key(w, "status");
    put_stream(w, stream);
    json_key(w, "gone"); /* what has left the disk */
    json_begin_object(w);
    stream_put_number(w, "start", own->start);
    stream_put_number(w, "released", own->delivered);
    stream_put_number(w, "expired", own->expired);
    stream_put_number(w, "evicted", own->evicted);
    stream_put_number(w, "missing", own->missing);
    json_end_object(w);
    put_readers(w, stream);
    json_end_object(w);
}

void stream_answer_description(struct stream *stream, const struct msg *msg)
{
    struct arena arena = {0};
    struct json_writer w;
    json_writer_init(&w, &arena);
    put_description(&w, stream);
    bus_reply(stream->streams->bus, msg, json_writer_text(&w, NULL));
    arena_done(&arena);
}

/* The stream that a request with {"name":…} is about; NULL: refused. */
struct stream *stream_named(struct streams *streams, const struct msg *msg)
{
    static const char *const names[] = {"name", NULL};
    struct arena arena = {0};
    struct stream *stream = NULL;
    struct json *request = stream_request(streams, &arena, msg);
    const char *name;
    if (request && stream_members_are_known(streams, &arena, msg, request, names)) {
        if (!json_text(json_get(request, "name"), &arena, &name)) {
            stream_refuse(streams, msg, 400, "name: expected the name of a stream");
        } else {
            stream = streams_find(streams, name);
            if (!stream || stream->deleting) {
                stream = NULL;
                stream_refuse_unknown(streams, msg, name);
            }
        }
    }
    arena_done(&arena);
    return stream;
}

static void on_describe(struct subscriber *subscriber, struct msg *msg, const struct delivery *delivery,
                        struct receipt *receipt)
{
    (void)delivery, (void)receipt;
    struct stream *stream = stream_named(container_of(subscriber, struct streams, describe_commands), msg);
    if (stream)
        stream_answer_description(stream, msg);
}

/* ---- create ------------------------------------------------------------------------------------------------------ */

enum { LETTERS_BYTES = 16 * 1024 * 1024 };

struct creation {
    struct work work;
    struct stream *stream;
    struct msg *request;
    char *definition;
};

static void creation_run(struct work *work, void *db)
{
    struct creation *creation = container_of(work, struct creation, work);
    work->r = stream_insert(db, creation->stream->name, creation->definition);
}

static void remove_now(struct stream *stream)
{
    struct streams *streams = stream->streams;
    cleanup_free char *name = str_copy(stream->name);
    bool stored = stream_is_stored(stream);
    stream_unsay_status(stream);
    stream_free(stream);
    if (stored)
        (void)seglogs_remove(streams->logs, name);
}

static void on_created(struct work *work)
{
    struct creation *creation = container_of(work, struct creation, work);
    struct stream *stream = creation->stream;
    struct streams *streams = stream->streams;
    if (work->r < 0) {
        log_error("state.db: stream %s: %s", stream->name, strerror(-work->r));
        if (creation->request)
            stream_refuse(streams, creation->request, 500, "the definition could not be stored");
        remove_now(stream);
        streams->no_letters = true; /* who waits for it pauses, and does not ask for it again at once */
    } else {
        log_notice("stream %s: created", stream->name);
        stream->deleting = false;
        stream_say_status(stream);
        if (creation->request)
            stream_answer_description(stream, creation->request);
    }
    letters_look(streams);
    streams->no_letters = false;
    (void)msg_unref(creation->request);
    free(creation->definition);
    free(creation);
}

/* What all that are on disk may need. */
static uint64_t promised(const struct streams *streams)
{
    uint64_t sum = 0;
    streams_for_each (stream, streams)
        if (stream_is_stored(stream))
            sum += (uint64_t)stream->definition.max_bytes;
    return sum;
}

struct question {
    struct subscriber subscriber;
    bool answered;
};

static void on_heard(struct subscriber *subscriber, struct msg *msg, const struct delivery *delivery,
                     struct receipt *receipt)
{
    (void)delivery, (void)receipt;
    container_of(subscriber, struct question, subscriber)->answered |= !msg->origin && msg->payload_len;
}

/* An uplink has a status. */
static bool uplink_is_known(struct streams *streams, const char *name)
{
    struct question question = {.subscriber.deliver = on_heard};
    struct subscription subscription;
    cleanup_free char *topic = str_printf(TOPIC_STATUS_CLOUD_FORMAT, name);
    bus_subscribe_to(streams->bus, &subscription, &question.subscriber, topic);
    bus_send_retained(streams->bus, &subscription);
    bus_unsubscribe(streams->bus, &subscription);
    return question.answered;
}

const char *stream_check_uplinks(struct streams *streams, struct arena *arena,
                                 const struct stream_definition *definition, int *code,
                                 const struct stream *instead_of)
{
    char uplink[STREAM_NAME_MAX + 1];
    *code = 400;
    for (size_t i = 0; stream_definition_uplink(definition, i, uplink); i++)
        if (!uplink_is_known(streams, uplink))
            return arena_printf(arena, "uplink: expected the name of an [uplink], found \"%s\"", uplink);
    *code = 413;
    uint64_t all = promised(streams) + (definition->memory ? 0 : (uint64_t)definition->max_bytes);
    if (instead_of && stream_is_stored(instead_of))
        all -= (uint64_t)instead_of->definition.max_bytes;
    if (streams->quota && all > streams->quota)
        return arena_printf(arena,
                            "maxSize: with it all streams might need %" PRIu64
                            " bytes: expected at most %" PRIu64 " (streams-disk)",
                            all, streams->quota);
    return NULL;
}

/* NULL, or why it cannot be. */
static const char *check_creation(struct streams *streams, struct arena *arena,
                                  const struct stream_definition *definition, int *code)
{
    *code = 409;
    if (streams_find(streams, definition->name) || locked_find(streams, definition->name))
        return arena_printf(arena, "there is a stream \"%s\" already", definition->name);
    return stream_check_uplinks(streams, arena, definition, code, NULL);
}

/* msg: who asks; NULL: nobody waits for an answer. */
static int create(struct streams *streams, struct msg *msg, const struct stream_definition *definition)
{
    struct stream *stream;
    int r = stream_add(streams, definition, false, &stream);
    if (r < 0)
        return r;
    stream_books_begin(stream);
    stream->deleting = true; /* until state.db has it, nothing is promised */
    exporters_for_each(exporter, stream)
        bus_send_retained(streams->bus, &exporter->outlet->status_subscription);
    struct arena arena = {0};
    struct json_writer w;
    json_writer_init(&w, &arena);
    json_begin_object(&w);
    stream_definition_put(definition, &w);
    json_end_object(&w);
    struct creation *creation = mem_new(struct creation);
    creation->stream = stream;
    creation->request = msg ? msg_ref(msg) : NULL;
    creation->definition = str_copy(json_writer_text(&w, NULL));
    creation->work.run = creation_run;
    creation->work.done = on_created;
    arena_done(&arena);
    store_submit(streams->store, &creation->work);
    return 0;
}

struct stream *streams_make_letters(struct streams *streams)
{
    struct stream_definition definition = stream_definition_default();
    memcpy(definition.name, STREAM_LETTERS, sizeof STREAM_LETTERS);
    definition.max_bytes = LETTERS_BYTES;
    definition.segment_bytes = LETTERS_BYTES / 16;
    definition.overwrite = true;
    return create(streams, NULL, &definition) < 0 ? NULL : streams_find(streams, STREAM_LETTERS);
}

static void on_create(struct subscriber *subscriber, struct msg *msg, const struct delivery *delivery,
                      struct receipt *receipt)
{
    (void)delivery, (void)receipt;
    struct streams *streams = container_of(subscriber, struct streams, create_commands);
    struct arena arena = {0};
    struct stream_definition definition;
    const char *why = NULL;
    int code = 400;
    int r = stream_definition_parse(&definition, &arena, (const char *)msg->payload, msg->payload_len, &why);
    if (r < 0)
        why = strerror(-r);
    if (r == 0)
        why = check_creation(streams, &arena, &definition, &code);
    if (!why && (r = create(streams, msg, &definition)) < 0) {
        code = 500;
        why = arena_printf(&arena, "the log cannot be opened: %s", strerror(-r));
    }
    if (why)
        stream_refuse(streams, msg, code, why);
    arena_done(&arena);
}

/* ---- delete ------------------------------------------------------------------------------------------------------ */

struct deletion {
    struct work work;
    struct streams *streams;
    struct stream *stream;
    char *name;
    struct msg *request;
};

static void deletion_free(struct deletion *deletion)
{
    (void)msg_unref(deletion->request);
    free(deletion->name);
    free(deletion);
}

static void forget_run(struct work *work, void *db)
{
    work->r = stream_forget(db, container_of(work, struct deletion, work)->name);
}

static void on_forgotten(struct work *work)
{
    struct deletion *deletion = container_of(work, struct deletion, work);
    if (work->r < 0)
        log_warning("state.db: stream %s: %s: it is forgotten at the next start", deletion->name,
                    strerror(-work->r));
    deletion_free(deletion);
}

static void deletion_run(struct work *work, void *db)
{
    work->r = stream_delete(db, container_of(work, struct deletion, work)->name);
}

/* It is not deleted, after all: everything goes on. */
static void stay(struct stream *stream)
{
    struct streams *streams = stream->streams;
    stream->deleting = false;
    stream->deletion = NULL;
    if (streams->closing)
        return;
    cleanup_free char *topic = str_printf(TOPIC_STREAM_APPEND_FORMAT, stream->name);
    bus_subscribe_to(streams->bus, &stream->direct_subscription, &stream->direct, topic);
    exporters_for_each(exporter, stream) for (size_t i = 0; i < array_size(exporter->lanes); i++)
        lane_look(&exporter->lanes[i]);
    stream_reclaim(stream);
    letters_look(streams);
}

static void on_deleted(struct work *work)
{
    struct deletion *deletion = container_of(work, struct deletion, work);
    struct streams *streams = deletion->streams;
    struct stream *stream = deletion->stream;
    if (work->r < 0) {
        log_error("state.db: stream %s: %s", deletion->name, strerror(-work->r));
        stay(stream);
        stream_refuse(streams, deletion->request, 500, "it could not be deleted from the database");
        deletion_free(deletion);
        return;
    }
    /* What is with the log's thread comes back first. The books are gone: nothing of it is stored any more. */
    seglogs_quiesce(streams->logs);
    stream->deletion = NULL;
    remove_now(stream);
    log_notice("stream %s: deleted", deletion->name);
    letters_look(streams);
    struct arena arena = {0};
    struct json_writer w;
    json_writer_init(&w, &arena);
    json_begin_object(&w);
    put_text(&w, "name", deletion->name);
    json_end_object(&w);
    bus_reply(streams->bus, deletion->request, json_writer_text(&w, NULL));
    arena_done(&arena);
    if (streams->closing) {
        deletion_free(deletion);
        return;
    }
    deletion->work.run = forget_run;
    deletion->work.done = on_forgotten;
    store_submit(streams->store, &deletion->work);
}

void stream_is_idle(struct stream *stream)
{
    struct deletion *deletion = stream->deletion;
    if (!deletion || deletion->work.run || stream->busy || !stream_is_settled(stream) ||
        stream->streams->closing)
        return;
    deletion->work.run = deletion_run;
    deletion->work.done = on_deleted;
    store_submit(stream->streams->store, &deletion->work);
}

static const char *route_into(const struct streams *streams, const struct stream *stream)
{
    for (size_t i = 0; i < streams->route_count; i++)
        if (streams->routes[i].stream == stream)
            return streams->routes[i].name;
    return NULL;
}

static void on_delete(struct subscriber *subscriber, struct msg *msg, const struct delivery *delivery,
                      struct receipt *receipt)
{
    (void)delivery, (void)receipt;
    struct streams *streams = container_of(subscriber, struct streams, delete_commands);
    struct stream *stream = stream_named(streams, msg);
    if (!stream)
        return;
    const char *route = route_into(streams, stream);
    if (stream->configured || route) {
        cleanup_free char *why =
            route ? str_printf("[route %s] leads into it", route)
                  : str_printf("it is in gatehouse.conf: take [stream %s] out there first", stream->name);
        stream_refuse(streams, msg, 409, why);
        return;
    }
    struct deletion *deletion = mem_new(struct deletion);
    deletion->streams = streams;
    deletion->stream = stream;
    deletion->name = str_copy(stream->name);
    deletion->request = msg_ref(msg);
    stream->deletion = deletion;
    stream->deleting = true;
    bus_unsubscribe(streams->bus, &stream->direct_subscription);
    stream_admit(stream, true);
    stream_reads_end(stream, "the stream is being deleted");
    stream_is_idle(stream);
}

void stream_deletion_done(struct stream *stream)
{
    if (stream->deletion)
        deletion_free(stream->deletion);
    stream->deletion = NULL;
}

/* ---- life -------------------------------------------------------------------------------------------------------- */

void streams_ctl_init(struct streams *streams)
{
    streams->list_commands.deliver = on_list;
    streams->describe_commands.deliver = on_describe;
    streams->create_commands.deliver = on_create;
    streams->delete_commands.deliver = on_delete;
    bus_subscribe_to(streams->bus, &streams->list, &streams->list_commands, TOPIC_CTL_STREAM_LIST);
    bus_subscribe_to(streams->bus, &streams->describe, &streams->describe_commands,
                     TOPIC_CTL_STREAM_DESCRIBE);
    bus_subscribe_to(streams->bus, &streams->create, &streams->create_commands, TOPIC_CTL_STREAM_CREATE);
    bus_subscribe_to(streams->bus, &streams->delete, &streams->delete_commands, TOPIC_CTL_STREAM_DELETE);
}

void streams_ctl_done(struct streams *streams)
{
    bus_unsubscribe(streams->bus, &streams->list);
    bus_unsubscribe(streams->bus, &streams->describe);
    bus_unsubscribe(streams->bus, &streams->create);
    bus_unsubscribe(streams->bus, &streams->delete);
}
