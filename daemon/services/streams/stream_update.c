/* A stream is changed while it works: {"name":NAME, and the members that are to be different}.
 *
 *      check ──▶ commit: the definition, and the books of exporters that go ──▶ the log, the exporters, the answer
 *
 * What is in gatehouse.conf is changed there. Persistence stays what it is. A new uplink begins with the oldest record that is
 * kept; the books of one that is not named any more are forgotten, and it holds nothing up from then on. What it has under way is
 * waited for aside.
 */
#include "services/streams/stream.h"

#include "base/log.h"
#include "bus/topics.h"

#include <inttypes.h>
#include <string.h>

struct update {
    struct work work;
    struct stream *stream; /* busy */
    struct msg *request;
    struct stream_definition definition;
    char *text, *name;
    struct gone { /* exporters that go; their names are theirs, and they stay until this is stored */
        const char *place, *ahead, *uplink;
    } gone[STREAM_UPLINKS_MAX];
    size_t gone_count;
};

static bool has_uplink(const struct stream_definition *definition, const char *uplink)
{
    char name[STREAM_NAME_MAX + 1];
    for (size_t i = 0; stream_definition_uplink(definition, i, name); i++)
        if (strcmp(name, uplink) == 0)
            return true;
    return false;
}

/* Rows of exporters that go are not stored any more; or they are, after all. */
static void set_going(struct update *update, bool going)
{
    update->gone_count = 0;
    exporters_for_each(exporter, update->stream)
    {
        if (has_uplink(&update->definition, exporter->outlet->name))
            continue;
        exporter->place.going = exporter->ahead.going = going;
        update->gone[update->gone_count++] =
            (struct gone){exporter->place.name, exporter->ahead.name, exporter->outlet->name};
    }
}

static void update_free(struct update *update)
{
    struct stream *stream = update->stream;
    (void)msg_unref(update->request);
    free(update->text);
    free(update->name);
    free(update);
    stream->updating = false;
    stream_idles(stream);
}

/* ---- what changes ------------------------------------------------------------------------------------------------ */

static void change_exporters(struct stream *stream)
{
    char name[STREAM_NAME_MAX + 1];
    for (struct list *link = stream->exporters.next, *next; link != &stream->exporters; link = next) {
        struct exporter *exporter = list_entry(link, struct exporter, link);
        next = link->next;
        if (has_uplink(&stream->definition, exporter->outlet->name))
            exporter_configure(exporter);
        else
            exporter_leave(exporter);
    }
    for (size_t i = 0; stream_definition_uplink(&stream->definition, i, name); i++) {
        if (stream_exporter(stream, name))
            continue;
        struct exporter *exporter = exporter_new(stream, name);
        reader_begin(&exporter->place);
        lane_begin(exporter->main, &exporter->place);
        bus_send_retained(stream->streams->bus, &exporter->outlet->status_subscription);
        outlet_wake(exporter->outlet);
    }
}

static void apply(struct update *update)
{
    struct stream *stream = update->stream;
    stream->definition = update->definition;
    if (stream_is_stored(stream)) {
        struct seglog_options options = stream_log_options(&stream->definition);
        seglog_change(stream->log, &options);
    }
    change_exporters(stream);
    stream_reclaim_changed(stream);
    cursor_moved(stream); /* a new exporter's place */
}

static void on_stored(struct work *work)
{
    struct update *update = container_of(work, struct update, work);
    struct stream *stream = update->stream;
    if (work->r < 0) {
        log_error("state.db: stream %s: %s", stream->name, strerror(-work->r));
        set_going(update, false);
        stream_refuse(stream->streams, update->request, 500, "it could not be stored; nothing has changed");
    } else if (stream->deleting || stream->streams->closing) {
        stream_refuse(stream->streams, update->request, 503, "the stream is going");
    } else {
        apply(update);
        log_notice("stream %s: changed", stream->name);
        stream_answer_description(stream, update->request);
    }
    update_free(update);
}

static void update_run(struct work *work, void *db)
{
    struct update *update = container_of(work, struct update, work);
    work->r = stream_insert(db, update->name, update->text);
    for (size_t i = 0; i < update->gone_count && work->r >= 0; i++) {
        const struct gone *gone = &update->gone[i];
        work->r = cursor_delete(db, update->name, gone->place);
        if (work->r >= 0)
            work->r = cursor_delete(db, update->name, gone->ahead);
        if (work->r >= 0)
            work->r = allowance_delete(db, update->name, gone->uplink);
    }
}

/* ---- the command ------------------------------------------------------------------------------------------------- */

/* NULL, or why it cannot be. */
static const char *check(const struct stream *stream, struct arena *arena,
                         const struct stream_definition *definition, int *code)
{
    *code = 409;
    if (stream->configured)
        return "it is in gatehouse.conf: change it there";
    if (stream->updating)
        return "it is being changed already";
    if (definition->memory != stream->definition.memory)
        return "persistence: it cannot be changed; delete the stream and create another one";
    if (definition->memory && definition->max_bytes != stream->definition.max_bytes)
        return "maxSize: of a stream in memory it cannot be changed";
    *code = 400;
    if (!definition->memory && (uint64_t)definition->max_bytes < seglog_bytes(stream->log))
        return arena_printf(arena, "maxSize: expected at least the %" PRIu64 " bytes that it has now",
                            seglog_bytes(stream->log));
    *code = 500;
    if (definition->encrypt && seglogs_need_key(stream->streams->logs, stream->name) < 0)
        return "encrypt: there is no key for it; the gateway's log says why";
    *code = 400;
    return stream_check_uplinks(stream->streams, arena, definition, code, stream);
}

static void begin(struct stream *stream, struct msg *msg, struct arena *arena,
                  const struct stream_definition *definition)
{
    struct json_writer w;
    json_writer_init(&w, arena);
    json_begin_object(&w);
    stream_definition_put(definition, &w);
    json_end_object(&w);
    struct update *update = mem_new(struct update);
    update->stream = stream;
    update->request = msg_ref(msg);
    update->definition = *definition;
    update->text = str_copy(json_writer_text(&w, NULL));
    update->name = str_copy(stream->name);
    update->work.run = update_run;
    update->work.done = on_stored;
    stream->busy++;
    stream->updating = true;
    set_going(update, true);
    store_submit(stream->streams->store, &update->work);
}

static void on_command(struct subscriber *subscriber, struct msg *msg, const struct delivery *delivery,
                       struct receipt *receipt)
{
    (void)delivery, (void)receipt;
    struct streams *streams = container_of(subscriber, struct streams, update_commands);
    struct arena arena = {0};
    const char *name, *why = NULL;
    struct json *json = stream_request(streams, &arena, msg);
    int code = 400;
    if (!json) {
        arena_done(&arena);
        return;
    }
    struct stream *stream = NULL;
    struct stream_definition definition;
    if (!json_text(json_get(json, "name"), &arena, &name)) {
        why = "name: expected the name of a stream";
    } else {
        stream = streams_find(streams, name);
        if (!stream || stream->deleting) {
            code = 404;
            why = arena_printf(&arena, "there is no stream \"%s\"", name);
        }
    }
    if (!why) {
        definition = stream->definition;
        int r = stream_definition_change(&definition, &arena, json, &why);
        if (r < 0)
            why = strerror(-r);
        if (!why)
            why = check(stream, &arena, &definition, &code);
    }
    if (why)
        stream_refuse(streams, msg, code, why);
    else
        begin(stream, msg, &arena, &definition);
    arena_done(&arena);
}

void streams_update_init(struct streams *streams)
{
    streams->update_commands.deliver = on_command;
    bus_subscribe_to(streams->bus, &streams->update, &streams->update_commands, TOPIC_CTL_STREAM_UPDATE);
}

void streams_update_done(struct streams *streams)
{
    bus_unsubscribe(streams->bus, &streams->update);
}
