/* Places by topic: named cursors and, by command, exporters. Cursors are made, moved, deleted; each is answered when state.db has it.
 *
 * Where a cursor is, is counted: how many of the numbers it passes are records (survey, on the log's thread), then its books
 * are changed and stored. In between the stream's floor or the cursor may move; then it begins again.
 */
#include "services/streams/stream.h"

#include "base/log.h"
#include "bus/topics.h"
#include "services/streams/streams_store.h"

#include <inttypes.h>
#include <string.h>

enum action { ACTION_CREATE, ACTION_MOVE, ACTION_DELETE };
enum { CURSORS_MAX = 256 };

static const char *const actions[] = {"create", "move", "delete"};
static const char gone[] = "ResourceNotFound: the cursor is gone";

struct request {
    struct seglog_survey survey;
    struct seglog_range range;
    struct seglog_sync sync;
    struct work commit;
    struct stream *stream;
    struct msg *msg;
    char *name;
    enum action action;
    bool first, last; /* at the oldest; behind the newest; else at `at` */
    uint64_t at;
    bool holds;
    bool is_exporter; /* its place; what it passes is given up, not had */
    bool making;
    struct reader *made; /* not among the others yet */
    struct cursor_row row;
    struct ledger before;
};

static void request_free(struct request *request)
{
    struct stream *stream = request->stream;
    (void)msg_unref(request->msg);
    if (request->made) {
        free(request->made->name);
        free(request->made);
    }
    if (request->making) {
        stream->making--;
        stream_reclaim(stream);
    }
    free(request->name);
    free(request);
    stream_idles(stream);
}

static void refuse(struct request *request, int code, const char *message)
{
    stream_refuse(request->stream->streams, request->msg, code, message);
    request_free(request);
}

static void answer(struct request *request, const struct reader *reader)
{
    if (request->is_exporter) {
        exporter_answer(reader_exporter(reader), request->msg);
        request_free(request);
        return;
    }
    struct arena arena = {0};
    struct json_writer w;
    json_writer_init(&w, &arena);
    json_begin_object(&w);
    json_key(&w, "stream");
    json_put_string(&w, request->stream->name);
    json_key(&w, "cursor");
    json_put_string(&w, request->name);
    if (reader) {
        json_key(&w, "holds");
        json_put_bool(&w, reader->holds);
        stream_put_number(&w, "next", reader->ledger.next);
        stream_put_number(&w, "pending", seglog_next(request->stream->log) - reader->ledger.next);
        stream_put_ledger(&w, &reader->ledger);
    }
    json_end_object(&w);
    bus_reply(request->stream->streams->bus, request->msg, json_writer_text(&w, NULL));
    arena_done(&arena);
    request_free(request);
}

/* Its lane goes on from the new place. */
static void tell_lane(const struct request *request, const struct reader *reader)
{
    struct exporter *exporter = request->is_exporter ? reader_exporter(reader) : NULL;
    if (!exporter)
        return;
    lane_passed(exporter->main);
    exporter_moved(exporter);
}

/* ---- storing ----------------------------------------------------------------------------------------------------- */

static void commit_run(struct work *work, void *db)
{
    struct request *request = container_of(work, struct request, commit);
    work->r = request->action == ACTION_DELETE ? cursor_delete(db, request->row.stream, request->row.reader)
                                               : cursors_save(db, &request->row, 1);
}

static void on_committed(struct work *work)
{
    struct request *request = container_of(work, struct request, commit);
    struct stream *stream = request->stream;
    struct reader *reader = stream_reader(stream, request->name);
    if (work->r < 0) {
        log_error("state.db: cursor %s of stream %s: %s", request->name, stream->name, strerror(-work->r));
        if (request->action == ACTION_MOVE && reader &&
            memcmp(&reader->ledger, &request->row.ledger, sizeof reader->ledger) == 0) {
            reader->ledger = request->before;
            tell_lane(request, reader);
        }
        if (reader)
            reader->going = false;
        refuse(request, 500, "it could not be stored; nothing has changed");
        return;
    }
    if (request->action == ACTION_MOVE && !reader) {
        refuse(request, 404, gone);
        return;
    }
    if (request->action == ACTION_DELETE) {
        if (reader)
            reader_remove(reader);
        stream_reclaim(stream);
        answer(request, NULL);
        return;
    }
    if (request->made) {
        list_append(&stream->readers, &request->made->link);
        reader = request->made;
        request->made = NULL;
    }
    if (reader) {
        reader_is_in_db(reader, &request->row);
    }
    stream_reclaim(stream);
    answer(request, reader);
}

static void on_synced(struct work *work)
{
    struct request *request = container_of(work, struct request, sync.work);
    const struct reader *reader = stream_reader(request->stream, request->name);
    if (request->action == ACTION_MOVE && (!reader || reader->going)) {
        refuse(request, 404, gone); /* what deletes it is before us, and its row must not come back */
        return;
    }
    if (work->r == 0) {
        store_submit(request->stream->streams->store, &request->commit);
        return;
    }
    request->commit.r = work->r;
    on_committed(&request->commit);
}

static void commit(struct request *request, const struct reader *reader)
{
    struct stream *stream = request->stream;
    request->row = reader_row(reader);
    request->row.reader = request->name;
    request->commit.run = commit_run;
    request->commit.done = on_committed;
    if (stream_is_stored(stream) && request->row.ledger.next > seglog_synced(stream->log)) {
        request->sync.work.done = on_synced; /* a place that is stored is never beyond what is synced */
        seglog_sync(stream->log, &request->sync);
        return;
    }
    if (stream_is_stored(stream)) {
        store_submit(stream->streams->store, &request->commit);
        return;
    }
    request->commit.r = 0;
    on_committed(&request->commit);
}

/* ---- counting ---------------------------------------------------------------------------------------------------- */

static void count(struct request *request);

static void make(struct request *request)
{
    struct stream *stream = request->stream;
    struct ledger ledger = {.start = request->at,
                            .base = request->at - (request->survey.unused - request->range.unused),
                            .next = request->at};
    request->making = true;
    stream->making++;
    request->made = mem_new(struct reader);
    *request->made = (struct reader){
        .stream = stream, .name = str_copy(request->name), .holds = request->holds, .ledger = ledger};
    commit(request, request->made);
}

static void move(struct request *request, struct reader *reader)
{
    const struct ledger_gaps gaps = {request->range.damaged, request->range.unused};
    request->before = reader->ledger;
    const struct exporter *exporter = request->is_exporter ? reader_exporter(reader) : NULL;
    if (exporter && request->at > lane_end(exporter->main)) { /* a live lane has begun meanwhile */
        request->at = lane_end(exporter->main);
        count(request);
        return;
    }
    enum ledger_end end = request->is_exporter ? LEDGER_EVICTED : LEDGER_DELIVERED;
    if (request->at >= reader->ledger.next)
        ledger_settle(&reader->ledger, request->at, end, gaps);
    else if (!ledger_rewind(&reader->ledger, request->at, gaps)) {
        refuse(request, 409, "at: it began behind that record; delete it and create another one");
        return;
    }
    tell_lane(request, reader);
    commit(request, reader);
}

static void on_counted(struct work *work)
{
    struct request *request = container_of(work, struct request, survey.work);
    struct stream *stream = request->stream;
    struct reader *reader = stream_reader(stream, request->name);
    uint64_t floor = stream->own.ledger.next;
    if (stream->deleting || stream->streams->closing)
        refuse(request, 503, "the stream is going");
    else if (request->action == ACTION_CREATE && stream->drop.active)
        refuse(request, 503, "records are leaving the disk just now: try again");
    else if (request->action == ACTION_CREATE && reader)
        refuse(request, 409, "there is a cursor of that name already");
    else if (request->action == ACTION_MOVE && (!reader || reader->going))
        refuse(request, 404, gone);
    else if (request->at < floor && !request->first)
        refuse(request, 409, "at: that record is not kept any more");
    else if (request->at < floor || (reader && request->before.next != reader->ledger.next))
        count(request);
    else if (reader)
        move(request, reader);
    else
        make(request);
}

static void count(struct request *request)
{
    struct stream *stream = request->stream;
    const struct reader *reader = stream_reader(stream, request->name);
    uint64_t next = seglog_next(stream->log);
    if (request->first)
        request->at = stream->own.ledger.next;
    else if (request->last)
        request->at = next;
    uint64_t from = reader ? reader->ledger.next : request->at, to = reader ? request->at : next;
    if (reader)
        request->before = reader->ledger;
    request->range = (struct seglog_range){.from = from < to ? from : to, .to = from < to ? to : from};
    request->survey =
        (struct seglog_survey){.work.done = on_counted, .ranges = &request->range, .range_count = 1};
    seglog_survey(stream->log, &request->survey);
}

static void unmake(struct request *request, struct reader *reader)
{
    reader->going = true;
    commit(request, reader);
}

/* ---- the request ------------------------------------------------------------------------------------------------- */

static const char *const members[] = {"cursor", "action", "at", "holds", NULL};

static const char *parse_at(struct request *request, const struct json *at)
{
    int64_t number;
    if (json_text_is(at, "first"))
        request->first = true;
    else if (json_text_is(at, "next"))
        request->last = true;
    else if (json_int(at, 0, INT64_MAX, &number))
        request->at = (uint64_t)number;
    else
        return "InvalidRequest: at: expected first, next, or the number of a record";
    return NULL;
}

static bool is_name(const char *name)
{
    size_t len = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-");
    return len >= 1 && len <= STREAM_NAME_MAX && !name[len];
}

static size_t count_readers(const struct stream *stream)
{
    size_t count = 0;
    readers_for_each (reader, stream)
        count++;
    return count;
}

static const char *parse(struct request *request, struct arena *arena, const struct json *json, int *code)
{
    const struct json *action = json_get(json, "action"), *at = json_get(json, "at"),
                      *holds = json_get(json, "holds");
    const char *name;
    size_t i = 0;
    *code = 400;
    if (!json_text(json_get(json, "cursor"), arena, &name) || !is_name(name))
        return "InvalidRequest: cursor: expected a name of 1 to 64 letters, digits, _ or -";
    request->name = str_copy(name);
    while (i < array_size(actions) && !json_text_is(action, actions[i]))
        i++;
    if (i == array_size(actions))
        return "InvalidRequest: action: expected create, move or delete";
    request->action = (enum action)i;
    if (holds && (!json_bool(holds, &request->holds) || request->action != ACTION_CREATE))
        return "InvalidRequest: holds: expected true or false, to create a cursor";
    if (at && request->action == ACTION_DELETE)
        return "InvalidRequest: at: expected none to delete a cursor";
    if (!at && request->action == ACTION_MOVE)
        return "InvalidRequest: at: expected first, next, or the number of a record";
    request->first = !at;
    const char *why = at ? parse_at(request, at) : NULL;
    if (why)
        return why;
    if (request->at > seglog_next(request->stream->log))
        return "InvalidRequest: at: expected a number that is not beyond the next record's";
    bool is_there = stream_reader(request->stream, name) != NULL;
    *code = 409;
    if (request->action == ACTION_CREATE && is_there)
        return "there is a cursor of that name already";
    if (request->action == ACTION_CREATE && count_readers(request->stream) >= CURSORS_MAX)
        return "there are too many cursors of this stream";
    *code = 404;
    if (request->action != ACTION_CREATE && !is_there)
        return arena_printf(arena, "ResourceNotFound: there is no cursor \"%s\"", name);
    return NULL;
}

static void on_request(struct subscriber *subscriber, struct msg *msg, const struct delivery *delivery,
                       struct receipt *receipt)
{
    (void)delivery, (void)receipt;
    struct streams *streams = container_of(subscriber, struct streams, cursor_requests);
    struct stream *stream = stream_of_topic(streams, msg);
    struct arena arena = {0};
    struct json *json = stream ? stream_request(streams, &arena, msg) : NULL;
    if (json && stream_members_are_known(streams, &arena, msg, json, members)) {
        struct request *request = mem_new(struct request);
        int code;
        request->stream = stream;
        request->msg = msg_ref(msg);
        request->holds = true;
        stream->busy++;
        const char *why = parse(request, &arena, json, &code);
        if (why)
            refuse(request, code, why);
        else if (request->action == ACTION_DELETE)
            unmake(request, stream_reader(stream, request->name));
        else
            count(request);
    }
    arena_done(&arena);
}

void exporter_move(struct exporter *exporter, struct msg *msg, const struct json *at)
{
    struct stream *stream = exporter->stream;
    struct request *request = mem_new(struct request);
    request->stream = stream;
    request->msg = msg_ref(msg);
    request->name = str_copy(exporter->place.name);
    request->action = ACTION_MOVE;
    request->is_exporter = true;
    stream->busy++;
    uint64_t end = exporter->live ? exporter->ahead.ledger.start : seglog_next(stream->log);
    const char *why = parse_at(request, at);
    if (request->last) { /* as far as the lane goes */
        request->last = false;
        request->at = end;
    }
    if (why) {
        refuse(request, 400, why);
    } else if (request->at > end) {
        cleanup_free char *sentence =
            str_printf("at: expected at most %" PRIu64 ", %s", end,
                       exporter->live ? "where its live lane begins" : "the next record's number");
        refuse(request, 400, sentence);
    } else {
        count(request);
    }
}

void streams_cursor_init(struct streams *streams)
{
    streams->cursor_requests.deliver = on_request;
    bus_subscribe_to(streams->bus, &streams->cursor, &streams->cursor_requests, TOPIC_STREAM_CURSOR_FILTER);
}

void streams_cursor_done(struct streams *streams)
{
    bus_unsubscribe(streams->bus, &streams->cursor);
}
