/* Commands about one exporter: it is paused, resumed, or moved to another place.
 *
 * Paused means that nothing more is sent; what is under way is settled, and the books go on saying what is pending. It is
 * answered when state.db has it, so that a restart resumes nothing.
 */
#include "services/streams/stream.h"

#include "base/log.h"
#include "bus/topics.h"

#include <inttypes.h>
#include <string.h>

enum action { ACTION_PAUSE, ACTION_RESUME, ACTION_MOVE };

static const char *const actions[] = {"pause", "resume", "move"};

/* A pause, or its end, on its way into state.db. */
struct request {
    struct work work;
    struct allowance_row row;
    struct stream *stream;
    struct msg *msg;
    char *uplink;
};

void exporter_answer(const struct exporter *exporter, const struct msg *msg)
{
    struct arena arena = {0};
    struct json_writer w;
    json_writer_init(&w, &arena);
    json_begin_object(&w);
    json_key(&w, "stream");
    json_put_string(&w, exporter->stream->name);
    json_key(&w, "exporter");
    exporter_put(&w, exporter);
    json_end_object(&w);
    bus_reply(exporter->stream->streams->bus, msg, json_writer_text(&w, NULL));
    arena_done(&arena);
}

static void request_run(struct work *work, void *db)
{
    work->r = allowances_save(db, &container_of(work, struct request, work)->row, 1);
}

static void on_stored(struct work *work)
{
    struct request *request = container_of(work, struct request, work);
    struct stream *stream = request->stream;
    struct exporter *exporter = stream_exporter(stream, request->uplink);
    if (exporter && exporter->pausing)
        exporter->pausing--;
    if (work->r < 0)
        log_error("state.db: stream %s: uplink %s: %s", stream->name, request->uplink, strerror(-work->r));
    if (exporter && work->r == 0) {
        exporter->paused = request->row.value.paused;
        exporter->stored = request->row.value;
        log_notice("stream %s: uplink %s: %s", stream->name, request->uplink,
                   exporter->paused ? "paused" : "resumed");
        exporter_answer(exporter, request->msg);
        outlet_wake(exporter->outlet);
    } else {
        stream_refuse(stream->streams, request->msg, exporter ? 500 : 404,
                      exporter ? "it could not be stored; nothing has changed" : "the exporter is gone");
    }
    (void)msg_unref(request->msg);
    free(request->uplink);
    free(request);
    stream_idles(stream);
}

static void set_paused(struct exporter *exporter, struct msg *msg, bool paused)
{
    struct stream *stream = exporter->stream;
    struct request *request = mem_new(struct request);
    request->stream = stream;
    request->msg = msg_ref(msg);
    request->uplink = str_copy(exporter->outlet->name);
    request->row = (struct allowance_row){
        .stream = stream->name, .uplink = request->uplink, .value = allowance_of(exporter)};
    request->row.value.paused = paused;
    request->work.run = request_run;
    request->work.done = on_stored;
    stream->busy++;
    exporter->pausing++; /* nothing that was true before may be stored behind it */
    if (stream_is_stored(stream)) {
        store_submit(stream->streams->store, &request->work);
        return;
    }
    on_stored(&request->work);
}

/* NULL, or why it is none. */
static const char *parse(const struct json *json, struct arena *arena, const char **name, const char **uplink,
                         enum action *action)
{
    size_t i = 0;
    if (!json_text(json_get(json, "name"), arena, name))
        return "name: expected the name of a stream";
    if (!json_text(json_get(json, "uplink"), arena, uplink))
        return "uplink: expected the name of one of the stream's uplinks";
    while (i < array_size(actions) && !json_text_is(json_get(json, "action"), actions[i]))
        i++;
    if (i == array_size(actions))
        return "action: expected pause, resume or move";
    *action = (enum action)i;
    if ((json_get(json, "at") != NULL) != (*action == ACTION_MOVE))
        return "at: expected first, next, or the number of a record, to move";
    return NULL;
}

static void on_command(struct subscriber *subscriber, struct msg *msg, const struct delivery *delivery,
                       struct receipt *receipt)
{
    (void)delivery, (void)receipt;
    static const char *const members[] = {"name", "uplink", "action", "at", NULL};
    struct streams *streams = container_of(subscriber, struct streams, exporter_commands);
    struct arena arena = {0};
    const char *name = NULL, *uplink = NULL;
    enum action action = ACTION_PAUSE;
    struct json *json = stream_request(streams, &arena, msg);
    if (json && stream_members_are_known(streams, &arena, msg, json, members)) {
        const char *why = parse(json, &arena, &name, &uplink, &action);
        struct stream *stream = why ? NULL : streams_find(streams, name);
        struct exporter *exporter = stream && !stream->deleting ? stream_exporter(stream, uplink) : NULL;
        if (why)
            stream_refuse(streams, msg, 400, why);
        else if (!stream || stream->deleting)
            stream_refuse(streams, msg, 404, arena_printf(&arena, "there is no stream \"%s\"", name));
        else if (!exporter || exporter->place.going)
            stream_refuse(streams, msg, 404,
                          arena_printf(&arena, "stream %s has no uplink \"%s\"", name, uplink));
        else if (action == ACTION_MOVE)
            exporter_move(exporter, msg, json_get(json, "at"));
        else
            set_paused(exporter, msg, action == ACTION_PAUSE);
    }
    arena_done(&arena);
}

void streams_exporter_init(struct streams *streams)
{
    streams->exporter_commands.deliver = on_command;
    bus_subscribe_to(streams->bus, &streams->exporter, &streams->exporter_commands,
                     TOPIC_CTL_STREAM_EXPORTER);
}

void streams_exporter_done(struct streams *streams)
{
    bus_unsubscribe(streams->bus, &streams->exporter);
}
