/* Cursors in state.db.
 *
 * A cursor that is a second old costs, after a crash, a second's records sent again; one commit for every acknowledgement
 * would cost the disk more than the records themselves. So the first that moves starts a second, and what has moved by
 * then is stored in one commit, with the books that say how. Only what is below the stored cursors is released.
 *
 * Where the log is synced later than it acknowledges, a cursor waits for the sync: else a power cut could leave a cursor
 * beyond the log's end, whose numbers would be given again, to records that nobody would read.
 */
#include "services/streams/stream.h"

#include "base/log.h"
#include "services/streams/streams_store.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

enum { SAVE_AFTER = 1000 };

bool stream_is_stored(const struct stream *stream)
{
    return !stream->definition.memory;
}

/* ---- readers ----------------------------------------------------------------------------------------------------- */

struct reader *stream_reader(struct stream *stream, const char *name)
{
    readers_for_each (reader, stream)
        if (strcmp(reader->name, name) == 0)
            return reader;
    return NULL;
}

void reader_init(struct reader *reader, struct stream *stream, const char *name, bool holds)
{
    *reader = (struct reader){.stream = stream, .name = str_copy(name), .holds = holds};
}

void reader_remove(struct reader *reader)
{
    struct stream *stream = reader->stream;
    struct streams *streams = stream->streams;
    for (size_t i = 0; i < streams->row_count; i++)
        if (streams->row_readers[i] == reader)
            streams->row_readers[i] = NULL;
    for (size_t i = 0; i < stream->drop.row_count; i++)
        if (stream->drop.row_readers[i] == reader)
            stream->drop.row_readers[i] = NULL;
    list_remove(&reader->link);
    if (reader->embedded)
        return;
    free(reader->name);
    free(reader);
}

/* A row of it is in state.db. */
void reader_is_in_db(struct reader *reader, const struct cursor_row *row)
{
    reader->stored = row->ledger;
    reader->in_db = true;
    if (row->instead_of == reader->instead_of)
        reader->instead_of = NULL;
}

struct cursor_row reader_row(const struct reader *reader)
{
    return (struct cursor_row){reader->stream->name, reader->name, reader->instead_of, reader->holds,
                               reader->ledger};
}

bool reader_is_unsaved(const struct reader *reader)
{
    return stream_is_stored(reader->stream) && !reader->going &&
           (memcmp(&reader->ledger, &reader->stored, sizeof reader->ledger) != 0 || reader->instead_of);
}

/* ---- storing ----------------------------------------------------------------------------------------------------- */

static void save_run(struct work *work, void *db)
{
    struct streams *streams = container_of(work, struct streams, saving);
    work->r = cursors_save(db, streams->rows, streams->row_count);
    if (work->r >= 0)
        work->r = allowances_save(db, streams->allowances, streams->allowance_count);
}

static bool is_any_unsaved(const struct streams *streams)
{
    streams_for_each (stream, streams)
        readers_for_each (reader, stream)
            if (reader_is_unsaved(reader))
                return true;
    return allowances_take((struct streams *)streams, NULL) != 0;
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

static void take_rows(struct streams *streams, int r)
{
    for (size_t i = 0; i < streams->row_count && r == 0; i++)
        if (streams->row_readers[i])
            reader_is_in_db(streams->row_readers[i], &streams->rows[i]);
    for (size_t i = 0; i < streams->allowance_count && r == 0; i++)
        if (streams->allowances[i].stored)
            *streams->allowances[i].stored = streams->allowances[i].value;
}

static void on_saved(struct work *work)
{
    struct streams *streams = container_of(work, struct streams, saving);
    streams->is_saving = false;
    tell(streams, work->r);
    take_rows(streams, work->r);
    if (work->r == 0)
        streams_for_each (stream, streams)
            stream_reclaim(stream);
    if (is_any_unsaved(streams))
        save_later(streams);
}

static void on_synced(struct work *work)
{
    struct stream *stream = container_of(work, struct stream, sync.work);
    stream->syncing = false;
    save_later(stream->streams);
}

/* False: the log must be synced first, which is asked for. */
static bool is_synced(struct stream *stream, uint64_t next)
{
    if (next <= seglog_synced(stream->log))
        return true;
    if (!stream->syncing) {
        stream->syncing = true;
        stream->sync.work.done = on_synced;
        seglog_sync(stream->log, &stream->sync);
    }
    return false;
}

static void take_unsaved(struct streams *streams)
{
    size_t count = 0;
    free(streams->allowances);
    streams->allowances = mem_new_bytes((allowances_take(streams, NULL) + 1) * sizeof *streams->allowances);
    streams->allowance_count = allowances_take(streams, streams->allowances);
    streams_for_each (stream, streams)
        readers_for_each (reader, stream)
            count++;
    free(streams->rows);
    free(streams->row_readers);
    streams->rows = mem_new_bytes((count + 1) * sizeof *streams->rows);
    streams->row_readers = mem_new_bytes((count + 1) * sizeof(struct reader *));
    streams->row_count = 0;
    streams_for_each (stream, streams)
        readers_for_each (reader, stream) {
            if (stream->deleting || !reader_is_unsaved(reader) || !is_synced(stream, reader->ledger.next))
                continue;
            streams->rows[streams->row_count] = reader_row(reader);
            streams->row_readers[streams->row_count++] = reader;
        }
}

static void save_now(struct streams *streams)
{
    if (streams->is_saving || !is_any_unsaved(streams))
        return;
    take_unsaved(streams);
    if (!streams->row_count && !streams->allowance_count)
        return;
    streams->is_saving = true;
    streams->saving.run = save_run;
    streams->saving.done = on_saved;
    store_submit(streams->store, &streams->saving);
}

static void on_save(struct timer *timer)
{
    save_now(container_of(timer, struct streams, save));
}

void allowances_changed(struct streams *streams)
{
    save_later(streams);
}

void cursor_moved(struct stream *stream)
{
    save_later(stream->streams); /* the day of its uplinks, if nothing else */
    if (!stream_is_stored(stream))
        stream_reclaim(stream);
}

void cursors_end(struct streams *streams)
{
    if (!streams->save.fire)
        return;
    timer_stop(bus_loop(streams->bus), &streams->save);
    store_quiesce(streams->store); /* one may be under way */
    save_now(streams);
    seglogs_quiesce(streams->logs); /* some may have to be synced first */
    store_quiesce(streams->store);
    save_now(streams);
    store_quiesce(streams->store);
}

/* ---- at the start ------------------------------------------------------------------------------------------------ */

static void nothing(struct work *work)
{
    (void)work;
}

/* How many numbers before `at` never were a record's. Waits for the log's thread. */
static uint64_t unused_before(struct stream *stream, uint64_t at)
{
    struct seglog_range range = {.from = at, .to = seglog_next(stream->log)};
    struct seglog_survey survey = {.work.done = nothing, .ranges = &range, .range_count = 1};
    if (!seglog_unused(stream->log))
        return 0;
    seglog_survey(stream->log, &survey);
    seglogs_quiesce(stream->streams->logs);
    return survey.unused - range.unused;
}

/* New books, from the oldest record on. */
static struct ledger begin(struct stream *stream)
{
    uint64_t first = seglog_first(stream->log), floor = stream->own.ledger.next;
    first = floor > first ? floor : first;
    return (struct ledger){.start = first, .base = first - unused_before(stream, first), .next = first};
}

void reader_begin(struct reader *reader)
{
    reader->ledger = begin(reader->stream);
}

/* What a stored row of a reader means now that the log is what it is. */
static void take_reader(struct stream *stream, struct reader *reader, const struct cursor_row *row,
                        const char *who)
{
    uint64_t first = stream->own.ledger.next, next = seglog_next(stream->log);
    if (row)
        reader->ledger = reader->stored = row->ledger;
    reader->in_db = row != NULL;
    if (row && row->ledger.next >= first && row->ledger.next <= next)
        return;
    reader->ledger = begin(stream);
    if (row && row->ledger.next > next)
        log_warning("stream %s: %s is at record %" PRIu64 ", but the log ends at %" PRIu64
                    ": it is another log; all of it is pending",
                    stream->name, who, row->ledger.next, next);
    else if (row)
        log_warning("stream %s: records %" PRIu64 " to %" PRIu64 " are gone; %s has not had them",
                    stream->name, row->ledger.next, first - 1, who);
}

/* The books of what has left the disk. What is gone and is not in them is missing. */
static void take_own(struct stream *stream, const struct cursor_row *row)
{
    struct reader *own = &stream->own;
    uint64_t first = seglog_first(stream->log), next = seglog_next(stream->log);
    if (row)
        own->ledger = own->stored = row->ledger;
    own->in_db = row != NULL;
    if (!row || row->ledger.next > next) {
        own->ledger = (struct ledger){0};
        own->ledger = begin(stream);
        return;
    }
    if (row->ledger.next < first) {
        const struct ledger_gaps gone = {.missing = first - row->ledger.next};
        ledger_settle(&own->ledger, first, LEDGER_DELIVERED, gone);
        cleanup_free char *sentence = str_printf(
            "records %" PRIu64 " to %" PRIu64 " are gone, and nothing says why", row->ledger.next, first - 1);
        stream_alarm(stream, sentence);
    }
}

static const struct cursor_row *row_of(const struct stored_streams *stored, const char *stream,
                                       const char *name)
{
    for (size_t i = 0; i < stored->row_count; i++)
        if (strcmp(stored->rows[i].stream, stream) == 0 && strcmp(stored->rows[i].reader, name) == 0)
            return &stored->rows[i];
    return NULL;
}

/* A live lane's row is believed when it lies between its main lane and the end of the log. Else the main lane's covers it, or
 * has been joined with it, and it is taken away. */
static void take_live(struct exporter *exporter, const struct cursor_row *row)
{
    const struct ledger *live = &row->ledger, *main = &exporter->place.ledger;
    if (main->next < live->start && live->next <= seglog_next(exporter->stream->log) &&
        ledger_adds_up(live)) {
        exporter_split(exporter, live, true);
        return;
    }
    exporter->place.instead_of = exporter->ahead.name;
}

static void take_exporter(struct exporter *exporter, const struct stored_streams *stored)
{
    struct stream *stream = exporter->stream;
    const struct cursor_row *row = row_of(stored, stream->name, exporter->place.name),
                            *live = row_of(stored, stream->name, exporter->ahead.name),
                            *old = row_of(stored, stream->name, READER_OLD);
    cleanup_free char *who = str_printf("uplink %s", exporter->outlet->name);
    if (old && exporter == list_entry(stream->exporters.next, struct exporter, link)) {
        exporter->place.instead_of = READER_OLD;
        row = row ? row : old;
    }
    take_reader(stream, &exporter->place, row, who);
    if (row == old)
        exporter->place.in_db = false;
    if (live)
        take_live(exporter, live);
    lane_begin(exporter->main, &exporter->place);
}

static void take_books(struct stream *stream, const struct stored_streams *stored)
{
    take_own(stream, row_of(stored, stream->name, READER_OWN));
    for (size_t i = 0; i < stored->row_count; i++) {
        const struct cursor_row *row = &stored->rows[i];
        bool is_ours = *row->reader == '@' && row->reader[1] != '>';
        if (strcmp(row->stream, stream->name) != 0 || is_ours)
            continue;
        struct reader *reader = mem_new(struct reader);
        cleanup_free char *who = str_printf("cursor %s", row->reader);
        reader_init(reader, stream, row->reader, row->holds);
        list_append(&stream->readers, &reader->link);
        take_reader(stream, reader, row, who);
    }
    exporters_for_each(exporter, stream) take_exporter(exporter, stored);
}

void stream_books_begin(struct stream *stream)
{
    readers_for_each (reader, stream)
        reader_begin(reader);
    exporters_for_each(exporter, stream) lane_begin(exporter->main, &exporter->place);
}

/* Below the floor nothing is left, in the books: a crash was faster than the files. */
static void release_below_floor(struct stream *stream)
{
    uint64_t floor = stream->own.ledger.next;
    if (floor <= seglog_first(stream->log))
        return;
    struct seglog_release release = {.work.done = nothing, .before = floor};
    seglog_release(stream->log, &release);
    seglogs_quiesce(stream->streams->logs);
}

static int save_at_start(struct store_db *db, void *self)
{
    struct streams *streams = self;
    int r = cursors_save(db, streams->rows, streams->row_count);
    return r < 0 ? r : allowances_save(db, streams->allowances, streams->allowance_count);
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
    take_rows(streams, r);
    for (size_t i = 0; i < streams->row_count && r < 0; i++)
        streams->row_readers[i]->stored = (struct ledger){0};
    if (is_any_unsaved(streams))
        save_later(streams);
}

/* A stream that was made at run time. One that gatehouse.conf has, too, is what that says. */
static void add_defined(struct streams *streams, const struct definition_row *row)
{
    struct arena arena = {0};
    struct stream_definition definition;
    struct stream *stream;
    const char *why;
    if (row->deleted) {
        log_notice("stream %s: was deleted; removing what is left of it", row->name);
        if (!streams_find(streams, row->name) && !locked_find(streams, row->name))
            (void)seglogs_remove(streams->logs, row->name);
        return;
    }
    if (streams_find(streams, row->name) || locked_find(streams, row->name)) {
        log_notice("stream %s: is in gatehouse.conf, which counts, and was created by a command before",
                   row->name);
        return;
    }
    int r = stream_definition_parse(&definition, &arena, row->definition, strlen(row->definition), &why);
    if (r != 0)
        log_error("state.db: stream %s: %s; it is left alone", row->name, r < 0 ? strerror(-r) : why);
    else if ((r = stream_add(streams, &definition, false, &stream)) < 0)
        locked_add(streams, row->name, r);
    arena_done(&arena);
}

static int forget_deleted(struct store_db *db, void *arg)
{
    const struct stored_streams *stored = arg;
    for (size_t i = 0; i < stored->definition_count; i++)
        if (stored->definitions[i].deleted) {
            int r = stream_forget(db, stored->definitions[i].name);
            if (r < 0)
                return r;
        }
    return 0;
}

int cursors_begin(struct streams *streams)
{
    struct stored_streams stored = {0};
    streams->save.fire = on_save;
    int r = store_run_now(streams->store, streams_load, &stored);
    if (r < 0)
        log_error("state.db: read the streams' books: %s", strerror(-r));
    bool deleted = false;
    for (size_t i = 0; i < stored.definition_count && r == 0; i++) {
        add_defined(streams, &stored.definitions[i]);
        deleted |= stored.definitions[i].deleted;
    }
    if (deleted && store_run_now(streams->store, forget_deleted, &stored) < 0)
        log_warning("state.db: deleted streams are not forgotten yet");
    if (r == 0)
        streams_for_each (stream, streams)
            take_books(stream, &stored);
    if (r == 0)
        allowances_load(streams, stored.allowances, stored.allowance_count);
    stored_streams_done(&stored);
    if (r < 0)
        return r;
    correct_stored(streams);
    streams_for_each (stream, streams) {
        release_below_floor(stream);
        stream_look_for_damage(stream);
        stream_say_status(stream);
    }
    return 0;
}
