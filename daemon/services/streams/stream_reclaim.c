/* What leaves the disk, and why.
 *
 *      released   everybody who holds records has had them            unless they are to be kept, until there is no room
 *      expired    older than the stream's ttl                         whoever has not had them yet
 *      evicted    the stream overwrites and is full, or the disk is   whoever has not had them yet
 *
 * One drop at a time, in this order, of whole segments:
 *
 *      survey ──▶ the books move on, in memory ──▶ commit ──▶ unlink ──▶ look again
 *      (log)                                       (state.db)  (log)
 *
 * The books are changed before the files: after a crash in between, what is below the stored floor is unlinked again. If the
 * commit fails it is tried until it succeeds; the readers' places stay moved, so what memory says is true and is only stored
 * later.
 */
#include "services/streams/stream.h"

#include "base/log.h"

#include <inttypes.h>
#include <string.h>

enum { AGE_LOOK_MIN = 1000, AGE_LOOK_MAX = 3600 * 1000, RETRY_AFTER = 1000 };

/* ---- what is wanted ---------------------------------------------------------------------------------------------- */

/* Below it, everybody who holds records has had them, does not want them again, and state.db knows. 0: nobody holds any. */
static uint64_t released_to(const struct stream *stream)
{
    uint64_t to = UINT64_MAX;
    readers_for_each (reader, stream)
        if (reader->holds) {
            uint64_t next = reader->ledger.next; /* it may have been moved back, and that is on its way */
            if (stream_is_stored(stream) && reader->stored.next < next)
                next = reader->stored.next;
            to = next < to ? next : to;
        }
    return to == UINT64_MAX ? 0 : to;
}

static bool wants_release(const struct stream *stream)
{
    return (!stream->definition.keep || stream->wants_room) &&
           released_to(stream) > seglog_first(stream->log);
}

static int64_t too_old(const struct stream *stream)
{
    int64_t wall = loop_wall(stream_loop(stream));
    return stream->definition.ttl_s && clock_was_set(wall) ? wall - stream->definition.ttl_s * 1000 : 0;
}

/* Bytes that must go for what waits. */
static uint64_t wants_bytes(const struct stream *stream)
{
    const struct stream_definition *definition = &stream->definition;
    if (!definition->overwrite)
        return 0;
    uint64_t bytes = seglog_bytes(stream->log) + stream->appending_size + stream->waiting_size;
    uint64_t max = (uint64_t)definition->max_bytes, quota = stream->streams->quota;
    uint64_t all = stream->streams->bytes + stream->appending_size + stream->waiting_size;
    uint64_t wanted = max && bytes > max ? bytes - max : 0;
    if (quota && !definition->memory && all > quota && all - quota > wanted)
        wanted = all - quota;
    return stream->wants_disk && !wanted ? 1 : wanted;
}

/* ---- the drop ---------------------------------------------------------------------------------------------------- */

static void next_end(struct stream *stream, enum ledger_end end);

static void look_again_for_age(struct stream *stream, int64_t oldest)
{
    if (!stream->definition.ttl_s || stream->streams->closing)
        return;
    int64_t ttl = stream->definition.ttl_s * 1000;
    int64_t wait = oldest ? oldest + ttl - loop_wall(stream_loop(stream)) + 1 : ttl;
    wait = wait < AGE_LOOK_MIN ? AGE_LOOK_MIN : wait > AGE_LOOK_MAX ? AGE_LOOK_MAX : wait;
    timer_start(stream_loop(stream), &stream->age, wait);
}

static void finish(struct stream *stream)
{
    stream->drop.active = false;
    stream_weigh(stream);
    if (!stream->deleting)
        stream_admit(stream, false);
}

static void on_released(struct work *work)
{
    struct stream *stream = container_of(work, struct stream, drop.release.work);
    if (work->r < 0) { /* the log has said why; what stays goes at the next look, or the next start */
        finish(stream);
        return;
    }
    stream->wants_room = false;
    if (stream->drop.end != LEDGER_DELIVERED)
        stream->wants_disk = false;
    finish(stream);
    stream_reclaim(stream);
}

static void submit_commit(struct stream *stream);

/* What readers have now, as far as that is synced. One that has gone, or is going, must not come back: what takes its row away may be
 * on its way to state.db already, and its name with it. */
static void renew_rows(struct stream *stream)
{
    struct drop *drop = &stream->drop;
    size_t count = 0;
    for (size_t i = 0; i < drop->row_count; i++) {
        struct reader *reader = drop->row_readers[i];
        if (!reader || reader->going)
            continue;
        bool is_synced = reader->ledger.next <= seglog_synced(stream->log);
        drop->rows[count] = is_synced ? reader_row(reader) : drop->rows[i];
        drop->row_readers[count++] = reader;
    }
    drop->row_count = count;
}

static void on_synced(struct work *work)
{
    struct stream *stream = container_of(work, struct stream, drop.sync.work);
    if (work->r < 0 && !stream->streams->closing && !stream->deleting) {
        timer_start(stream_loop(stream), &stream->drop.retry, RETRY_AFTER);
    } else if (work->r < 0 || stream->deleting) {
        finish(stream);
    } else {
        renew_rows(stream);
        submit_commit(stream);
    }
}

/* A reader's place that is stored is never beyond what is synced. */
static void store_books(struct stream *stream)
{
    if (!stream->definition.sync_ms) {
        renew_rows(stream);
        submit_commit(stream);
        return;
    }
    stream->drop.sync.work.done = on_synced;
    seglog_sync(stream->log, &stream->drop.sync);
}

static void on_retry(struct timer *timer)
{
    struct stream *stream = container_of(timer, struct stream, drop.retry);
    if (stream->deleting) /* its books go, and nothing may come behind that */
        finish(stream);
    else
        store_books(stream);
}

static void on_committed(struct work *work)
{
    struct stream *stream = container_of(work, struct stream, drop.commit);
    struct drop *drop = &stream->drop;
    if (work->r < 0 && !stream->streams->closing && !stream->deleting) {
        timer_start(stream_loop(stream), &drop->retry, RETRY_AFTER);
        return;
    }
    for (size_t i = 0; i < drop->row_count && work->r == 0; i++)
        if (drop->row_readers[i])
            reader_is_in_db(drop->row_readers[i], &drop->rows[i]);
    if (work->r < 0) {
        finish(stream);
        return;
    }
    drop->release.before = drop->survey.before;
    drop->release.work.done = on_released;
    seglog_release(stream->log, &drop->release);
}

static void commit_run(struct work *work, void *db)
{
    const struct drop *drop = container_of(work, struct drop, commit);
    work->r = cursors_save(db, drop->rows, drop->row_count);
}

static void submit_commit(struct stream *stream)
{
    struct drop *drop = &stream->drop;
    if (!stream_is_stored(stream)) {
        drop->row_count = 0;
        drop->commit.r = 0;
        on_committed(&drop->commit);
        return;
    }
    drop->commit.run = commit_run;
    drop->commit.done = on_committed;
    store_submit(stream->streams->store, &drop->commit);
}

/* Were those who have not come so far at their places all the time? Else they are counted anew. */
static bool is_current(const struct stream *stream)
{
    const struct drop *drop = &stream->drop;
    size_t i = 0;
    readers_for_each (reader, stream) {
        if (i == drop->reader_count)
            return false;
        uint64_t from = drop->ranges[i++].from;
        if (reader->ledger.next < drop->survey.before && from != reader->ledger.next)
            return false;
    }
    if (i != drop->reader_count)
        return false;
    exporters_for_each(exporter, stream)
    {
        if (i == drop->range_count ||
            drop->ranges[i].from != (exporter->live ? exporter->ahead.ledger.start : UINT64_MAX))
            return false;
        i++;
    }
    return i == drop->range_count;
}

/* The gaps that are the reader's, before it or another one ends. A main lane ends where the live one of its exporter began; the
 * range that begins there is the one after those of all readers, in the exporters' order. */
static struct ledger_gaps gaps_of(const struct stream *stream, const struct reader *reader, size_t i)
{
    const struct drop *drop = &stream->drop;
    struct ledger_gaps gaps = {drop->ranges[i].damaged, drop->ranges[i].unused};
    size_t k = drop->reader_count;
    exporters_for_each(exporter, stream)
    {
        const struct seglog_range *beyond = &drop->ranges[k++];
        if (&exporter->place != reader || !exporter->live ||
            exporter->ahead.ledger.start >= drop->survey.before)
            continue;
        gaps.missing -= beyond->damaged;
        gaps.unused -= beyond->unused;
    }
    return gaps;
}

static uint64_t end_of(const struct stream *stream, const struct reader *reader)
{
    exporters_for_each(exporter, stream) if (&exporter->place == reader &&
                                             exporter->live) return exporter->ahead.ledger.start;
    return UINT64_MAX;
}

static void mark_lane(struct stream *stream, const struct reader *reader)
{
    exporters_for_each(exporter, stream) for (size_t i = 0; i < array_size(exporter->lanes); i++)
        exporter->lanes[i]
            .passed |= exporter->lanes[i].reader == reader;
}

static void add_row(struct drop *drop, struct reader *reader)
{
    drop->row_readers[drop->row_count] = reader;
    drop->rows[drop->row_count++] = reader_row(reader);
}

/* The lanes whose place was moved. */
static void tell_exporters(struct stream *stream)
{
    exporters_for_each(exporter, stream)
    {
        for (size_t i = 0; i < array_size(exporter->lanes); i++) {
            struct lane *lane = &exporter->lanes[i];
            if (lane->passed)
                lane_passed(lane);
        }
        exporter_moved(exporter);
    }
}

/* The books of all who have not come so far yet, or not in state.db. */
static void settle_readers(struct stream *stream)
{
    struct drop *drop = &stream->drop;
    uint64_t before = drop->survey.before;
    size_t i = 0;
    readers_for_each (reader, stream) {
        uint64_t to = end_of(stream, reader) < before ? end_of(stream, reader) : before;
        if (reader->ledger.next < to) {
            ledger_settle(&reader->ledger, to, drop->end, gaps_of(stream, reader, i));
            mark_lane(stream, reader);
        }
        i++;
    }
    tell_exporters(stream); /* lanes that have met are one now */
    free(drop->rows);
    free(drop->row_readers);
    drop->rows = mem_new_bytes((drop->reader_count + 1) * sizeof *drop->rows);
    drop->row_readers = mem_new_bytes((drop->reader_count + 1) * sizeof(struct reader *));
    drop->row_count = 0;
    /* If one had come so far, state.db must not learn later of that than that the records are gone. */
    readers_for_each (reader, stream)
        if (!reader->going && (reader->stored.next < before || reader->instead_of))
            add_row(drop, reader);
}

static void on_surveyed(struct work *work)
{
    struct stream *stream = container_of(work, struct stream, drop.survey.work);
    struct drop *drop = &stream->drop;
    if (stream->streams->closing || stream->deleting) {
        finish(stream);
        return;
    }
    if (drop->survey.before <= stream->own.ledger.next) { /* nothing of that kind */
        if (drop->end == LEDGER_EXPIRED)
            look_again_for_age(stream, drop->survey.oldest);
        next_end(stream, drop->end + 1);
        return;
    }
    if (!is_current(stream)) {
        next_end(stream, drop->end);
        return;
    }
    settle_readers(stream);
    if (drop->end != LEDGER_DELIVERED)
        log_debug("stream %s: records below %" PRIu64 " %s", stream->name, drop->survey.before,
                  drop->end == LEDGER_EXPIRED ? "have expired" : "make room for new ones");
    store_books(stream);
}

static void survey(struct stream *stream)
{
    struct drop *drop = &stream->drop;
    size_t count = 0;
    readers_for_each (reader, stream)
        count++;
    exporters_for_each(exporter, stream) count++;
    free(drop->ranges);
    drop->ranges = mem_new_bytes(count * sizeof *drop->ranges);
    drop->range_count = 0;
    readers_for_each (reader, stream)
        drop->ranges[drop->range_count++] =
            (struct seglog_range){.from = reader->ledger.next, .to = UINT64_MAX};
    drop->reader_count = drop->range_count;
    exporters_for_each(exporter, stream) drop->ranges[drop->range_count++] = (struct seglog_range){
        .from = exporter->live ? exporter->ahead.ledger.start : UINT64_MAX, .to = UINT64_MAX};
    drop->survey.ranges = drop->ranges;
    drop->survey.range_count = drop->range_count;
    drop->survey.work.done = on_surveyed;
    seglog_survey(stream->log, &drop->survey);
}

/* Looks for what has that end, or the next one. */
static void next_end(struct stream *stream, enum ledger_end end)
{
    struct drop *drop = &stream->drop;
    drop->survey = (struct seglog_survey){0};
    if (end == LEDGER_DELIVERED && wants_release(stream)) {
        drop->survey.before = released_to(stream);
    } else if (end <= LEDGER_EXPIRED && too_old(stream)) {
        drop->survey.older_than = too_old(stream);
        end = LEDGER_EXPIRED;
    } else if (end <= LEDGER_EVICTED && wants_bytes(stream)) {
        drop->survey.bytes = wants_bytes(stream);
        end = LEDGER_EVICTED;
    } else {
        stream->wants_disk = false;
        finish(stream);
        if (end > LEDGER_EVICTED && !stream->appending)
            stream_admit(stream, true); /* nothing can go but the segment that is being written */
        return;
    }
    drop->active = true;
    drop->end = end;
    survey(stream);
}

void stream_reclaim(struct stream *stream)
{
    if (!stream->drop.active && !stream->making && !stream->streams->closing && !stream->deleting)
        next_end(stream, LEDGER_DELIVERED);
}

static void on_age(struct timer *timer)
{
    struct stream *stream = container_of(timer, struct stream, age);
    look_again_for_age(stream, 0); /* it is looked for now, and if the clock is not set, later */
    stream_reclaim(stream);
}

void stream_reclaim_init(struct stream *stream)
{
    stream->drop.retry.fire = on_retry;
    stream->age.fire = on_age;
    if (stream->definition.ttl_s)
        timer_start(stream_loop(stream), &stream->age, AGE_LOOK_MIN);
}

void stream_reclaim_changed(struct stream *stream)
{
    timer_stop(stream_loop(stream), &stream->age);
    if (stream->definition.ttl_s)
        timer_start(stream_loop(stream), &stream->age, AGE_LOOK_MIN);
    stream_reclaim(stream);
    stream_admit(stream, false);
}

void stream_reclaim_done(struct stream *stream)
{
    timer_stop(stream_loop(stream), &stream->age);
    timer_stop(stream_loop(stream), &stream->drop.retry);
    free(stream->drop.ranges);
    free(stream->drop.rows);
    free(stream->drop.row_readers);
    stream->drop.row_count = 0;
}
