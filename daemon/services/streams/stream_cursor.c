/* Cursors in state.db.
 *
 * A cursor that is a second old costs, after a crash, a second's records sent again; one commit for every acknowledgement
 * would cost the disk more than the records themselves. So the first that moves starts a second, and what has moved by
 * then is stored in one commit. Only what is below the stored cursor is released.
 */
#include "services/streams/stream.h"

#include "base/log.h"
#include "services/streams/streams_store.h"

#include <inttypes.h>
#include <string.h>

enum { SAVE_AFTER = 1000 };

static void save_run(struct work *work, void *db)
{
    struct streams *streams = container_of(work, struct streams, saving);
    const struct cursor_rows rows = {streams->rows, streams->row_count};
    work->r = cursors_save(db, &rows);
}

static void on_released(struct work *work)
{
    container_of(work, struct stream, release.work)->releasing = false;
}

static void release(struct stream *stream)
{
    if (stream->releasing || seglog_first(stream->log) >= stream->saved)
        return;
    stream->releasing = true;
    stream->release.before = stream->saved;
    stream->release.work.done = on_released;
    seglog_release(stream->log, &stream->release);
}

void stream_make_room(struct stream *stream)
{
    if (stream->outlet)
        release(stream);
}

static bool is_any_unsaved(const struct streams *streams)
{
    for (size_t i = 0; i < streams->count; i++)
        if (streams->all[i].outlet && streams->all[i].cursor != streams->all[i].saved)
            return true;
    return false;
}

static void save_later(struct streams *streams)
{
    if (!streams->closing && !streams->is_saving && !timer_is_running(&streams->save))
        timer_start(bus_loop(streams->bus), &streams->save, SAVE_AFTER);
}

/* It is tried again every second; that is worth one line. */
static void tell(struct streams *streams, int r)
{
    if (r < 0 && !streams->complained)
        log_error("state.db: streams' cursors: %s", strerror(-r));
    if (r == 0 && streams->complained)
        log_notice("state.db: streams' cursors are stored again");
    streams->complained = r < 0;
}

static void on_saved(struct work *work)
{
    struct streams *streams = container_of(work, struct streams, saving);
    streams->is_saving = false;
    tell(streams, work->r);
    for (size_t i = 0; i < streams->row_count && work->r == 0; i++) {
        struct stream *stream = streams->row_streams[i];
        stream->saved = streams->rows[i].next;
        if (!stream->keep)
            release(stream);
    }
    if (is_any_unsaved(streams))
        save_later(streams);
}

static void take_unsaved(struct streams *streams)
{
    streams->row_count = 0;
    for (size_t i = 0; i < streams->count; i++) {
        struct stream *stream = &streams->all[i];
        if (!stream->outlet || stream->cursor == stream->saved)
            continue;
        streams->rows[streams->row_count] =
            (struct cursor_row){.stream = stream->name, .next = stream->cursor};
        streams->row_streams[streams->row_count++] = stream;
    }
}

static void save_now(struct streams *streams)
{
    if (streams->is_saving || !is_any_unsaved(streams))
        return;
    take_unsaved(streams);
    streams->is_saving = true;
    streams->saving.run = save_run;
    streams->saving.done = on_saved;
    store_submit(streams->store, &streams->saving);
}

static void on_save(struct timer *timer)
{
    save_now(container_of(timer, struct streams, save));
}

void cursor_moved(struct stream *stream)
{
    save_later(stream->streams);
}

/* Where the export of a log begins whose stored cursor is `row`. */
static uint64_t begin_at(const struct stream *stream, const struct cursor_row *row)
{
    uint64_t first = seglog_first(stream->log), next = seglog_next(stream->log);
    if (!row->found)
        return first;
    if (row->next > next) {
        log_warning("stream %s: %" PRIu64 " records were exported, but the log ends at %" PRIu64
                    ": it is another log; all of it is exported",
                    stream->name, row->next, next);
        return first;
    }
    if (row->next < first) {
        log_warning("stream %s: records %" PRIu64 " to %" PRIu64 " are gone without having been exported",
                    stream->name, row->next, first - 1);
        return first;
    }
    return row->next;
}

static int save_at_start(struct store_db *db, void *self)
{
    struct streams *streams = self;
    const struct cursor_rows rows = {streams->rows, streams->row_count};
    return cursors_save(db, &rows);
}

/* A stored cursor that does not belong to the log is replaced before the log grows: once the log has passed it, it would
 * look right. A disk that cannot take it now keeps nobody from starting. */
static void correct_stored(struct streams *streams)
{
    if (!is_any_unsaved(streams))
        return;
    take_unsaved(streams);
    int r = store_run_now(streams->store, save_at_start, streams);
    tell(streams, r);
    for (size_t i = 0; i < streams->row_count; i++)
        streams->row_streams[i]->saved = r < 0 ? 0 : streams->rows[i].next;
    if (is_any_unsaved(streams))
        save_later(streams);
}

int cursors_begin(struct streams *streams)
{
    struct cursor_rows rows = {streams->rows, streams->count};
    streams->save.fire = on_save;
    for (size_t i = 0; i < streams->count; i++)
        streams->rows[i] = (struct cursor_row){.stream = streams->all[i].name};
    int r = store_run_now(streams->store, cursors_load, &rows);
    if (r < 0) {
        log_error("state.db: read the streams' cursors: %s", strerror(-r));
        return r;
    }
    for (size_t i = 0; i < streams->count; i++) {
        struct stream *stream = &streams->all[i];
        if (!stream->outlet)
            continue;
        stream->cursor = stream->sent = begin_at(stream, &streams->rows[i]);
        stream->saved = streams->rows[i].found ? streams->rows[i].next : 0;
    }
    correct_stored(streams);
    return 0;
}

void cursors_end(struct streams *streams)
{
    if (!streams->save.fire)
        return;
    timer_stop(bus_loop(streams->bus), &streams->save);
    store_quiesce(streams->store); /* one may be under way */
    save_now(streams);
    store_quiesce(streams->store);
}
