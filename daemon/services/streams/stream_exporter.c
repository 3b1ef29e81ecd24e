/* A stream at one uplink: its books, its lanes, and how it is doing.
 *
 *      one lane:    settled ────────▶ place ······················▶ end of the log
 *
 *      two lanes:   settled ──▶ place ··········▶│ settled ──▶ place ···▶ end of the log
 *                       main lane                │    live lane
 *                                           where it began
 *
 * The books of two lanes are two rows; what lies between the main lane's place and the live one's beginning is the main lane's,
 * whatever a crash leaves of the live one's. When the main lane comes to that beginning, the live lane is the main lane, with the
 * sum of both books, and one commit stores that and takes the live lane's row away.
 */
#include "services/streams/stream.h"

#include "base/log.h"
#include "services/streams/stream_result.h"

#include <inttypes.h>
#include <string.h>

/* Fewer are sent before a second lane would help. */
enum { SPLIT_RECORDS = SCHEDULE_SPLIT };

struct exporter *stream_exporter(const struct stream *stream, const char *uplink)
{
    exporters_for_each(exporter, stream) if (strcmp(exporter->outlet->name, uplink) == 0) return exporter;
    return NULL;
}

struct exporter *reader_exporter(const struct reader *reader)
{
    exporters_for_each(exporter, reader->stream) if (reader == &exporter->place ||
                                                     reader == &exporter->ahead) return exporter;
    return NULL;
}

void exporters_wake(struct stream *stream)
{
    exporters_for_each(exporter, stream) outlet_wake(exporter->outlet);
}

void exporter_split(struct exporter *exporter, const struct ledger *ledger, bool is_stored)
{
    struct lane *live = exporter->main == &exporter->lanes[0] ? &exporter->lanes[1] : &exporter->lanes[0];
    exporter->ahead.ledger = *ledger;
    exporter->ahead.stored = is_stored ? *ledger : (struct ledger){0};
    exporter->ahead.in_db = is_stored;
    list_append(&exporter->stream->readers, &exporter->ahead.link);
    exporter->live = live;
    lane_begin(live, &exporter->ahead);
}

/* Where the live lane would begin, how many numbers have been given that are no records is not known without asking the log; its
 * books need only what comes after. */
void exporter_consider_split(struct exporter *exporter)
{
    const struct lane *main = exporter->main;
    uint64_t next = seglog_next(exporter->stream->log);
    if (!exporter->flow.rules.live_share || exporter->live || exporter->place.instead_of ||
        !main->slot.backlog || next - main->sent < SPLIT_RECORDS)
        return;
    const struct lane *other = main == &exporter->lanes[0] ? &exporter->lanes[1] : &exporter->lanes[0];
    if (other->unsettled || other->reading ||
        other->passed) /* it was the main lane, and is not put away yet */
        return;
    exporter_split(exporter, &(struct ledger){.start = next, .base = next, .next = next}, false);
}

void exporter_moved(struct exporter *exporter)
{
    struct lane *main = exporter->main, *live = exporter->live;
    if (!live || exporter->place.ledger.next < exporter->ahead.ledger.start)
        return;
    exporter->place.ledger = ledger_join(&exporter->place.ledger, &exporter->ahead.ledger);
    exporter->place.instead_of = exporter->ahead.name;
    reader_remove(&exporter->ahead);
    live->reader = &exporter->place;
    exporter->main = live;
    exporter->live = NULL;
    main->reader =
        NULL; /* what it still has under way is settled in the books; when it comes back it is put away */
    if (main->unsettled == 0)
        lane_passed(main);
    cursor_moved(exporter->stream);
}

struct ledger exporter_books(const struct exporter *exporter)
{
    struct ledger books = exporter->place.ledger;
    const struct ledger *live = &exporter->ahead.ledger;
    if (exporter->live) {
        books.delivered += live->delivered;
        books.expired += live->expired;
        books.evicted += live->evicted;
        books.dead += live->dead;
        books.missing += live->missing;
        books.unused += live->unused;
    }
    return books;
}

uint64_t exporter_pending(const struct exporter *exporter)
{
    uint64_t next = seglog_next(exporter->stream->log);
    const struct ledger *main = &exporter->place.ledger, *live = &exporter->ahead.ledger;
    return exporter->live ? live->start - main->next + next - live->next : next - main->next;
}

size_t exporter_under_way(const struct exporter *exporter)
{
    return exporter->lanes[0].under_way_count + exporter->lanes[1].under_way_count;
}

bool stream_is_settled(const struct stream *stream)
{
    exporters_for_each(exporter,
                       stream) if (exporter->lanes[0].unsettled || exporter->lanes[1].unsettled) return false;
    return true;
}

void exporter_tell(struct exporter *exporter, const char *error)
{
    struct stream *stream = exporter->stream;
    int64_t wall = loop_wall(stream_loop(stream));
    if (!error) {
        exporter->succeeded = wall;
        if (exporter->error)
            log_notice("stream %s: uplink %s: records are taken again", stream->name, exporter->outlet->name);
    } else {
        exporter->failed = wall;
        if (!exporter->error && exporter->outlet->up)
            log_warning("stream %s: uplink %s: %s: it is tried until it succeeds", stream->name,
                        exporter->outlet->name, error);
    }
    free(exporter->error);
    exporter->error = str_copy(error);
}

void exporter_note_letter(struct exporter *exporter, const struct shipment *shipment)
{
    enum { COMPLAIN_EVERY = 60 * 1000 };
    struct stream *stream = exporter->stream;
    int64_t now = loop_now(stream_loop(stream));
    char reason[RESULT_TEXT_MAX];
    if (now < exporter->complain_after)
        return;
    exporter->complain_after = now + COMPLAIN_EVERY;
    log_warning("stream %s: uplink %s: record %" PRIu64 " will never be taken: %s: it goes to stream %s",
                stream->name, exporter->outlet->name, shipment->seq,
                result_text(reason, shipment->code, NULL), stream->definition.dead_letter);
}

/* ---- life -------------------------------------------------------------------------------------------------------- */

void exporter_configure(struct exporter *exporter)
{
    const struct stream_definition *definition = &exporter->stream->definition;
    exporter->flow.rules = definition->rules;
    exporter->flow.rules.priority = (unsigned)definition->priority;
    outlet_wake(exporter->outlet);
}

struct exporter *exporter_new(struct stream *stream, const char *uplink)
{
    struct exporter *exporter = mem_new(struct exporter);
    cleanup_free char *place = str_printf(READER_EXPORTER_FORMAT, uplink);
    exporter->stream = stream;
    exporter->outlet = outlet_of(stream->streams, uplink);
    reader_init(&exporter->place, stream, place, true);
    reader_init(&exporter->ahead, stream, NULL, true);
    exporter->ahead.name = str_printf(READER_LIVE_FORMAT, uplink);
    exporter->place.embedded = exporter->ahead.embedded = true;
    list_append(&stream->readers, &exporter->place.link);
    list_append(&stream->exporters, &exporter->link);
    for (size_t i = 0; i < array_size(exporter->lanes); i++) {
        lane_init(&exporter->lanes[i], exporter);
        outlet_add(exporter->outlet, &exporter->lanes[i]);
    }
    exporter_configure(exporter);
    exporter->main = &exporter->lanes[0];
    exporter->main->reader = &exporter->place;
    return exporter;
}

static void remove_readers(struct exporter *exporter)
{
    reader_remove(&exporter->place);
    if (exporter->live)
        reader_remove(&exporter->ahead);
}

void exporters_sweep(struct task *sweep)
{
    struct streams *streams = container_of(sweep, struct streams, sweep);
    list_for_each_safe (link, &streams->leaving) {
        struct exporter *exporter = list_entry(link, struct exporter, link);
        struct stream *stream = exporter->stream;
        bool is_busy = false;
        for (size_t i = 0; i < array_size(exporter->lanes); i++)
            is_busy |= exporter->lanes[i].unsettled || exporter->lanes[i].reading;
        if (is_busy)
            continue;
        exporter_free(exporter);
        stream_idles(stream);
    }
}

void exporter_is_back(struct exporter *exporter)
{
    struct streams *streams = exporter->stream->streams;
    if (exporter->leaving && !streams->closing)
        loop_at(bus_loop(streams->bus), LOOP_ROUTE, &streams->sweep);
    outlet_wake(exporter->outlet);
}

void exporter_leave(struct exporter *exporter)
{
    struct streams *streams = exporter->stream->streams;
    exporter->stream->busy++;
    remove_readers(exporter);
    exporter->leaving = true;
    exporter->live = NULL;
    list_remove(&exporter->link);
    list_append(&streams->leaving, &exporter->link);
    for (size_t i = 0; i < array_size(exporter->lanes); i++) {
        exporter->lanes[i].reader = NULL;
        lane_passed(&exporter->lanes[i]);
    }
    exporter_is_back(exporter);
}

void exporter_free(struct exporter *exporter)
{
    for (size_t i = 0; i < array_size(exporter->lanes); i++) {
        outlet_remove(exporter->outlet, &exporter->lanes[i]);
        lane_done(&exporter->lanes[i]);
    }
    outlet_wake(exporter->outlet); /* there may be more room now */
    allowance_forget(exporter->stream->streams, &exporter->stored);
    if (!exporter->leaving)
        remove_readers(exporter);
    list_remove(&exporter->link);
    free(exporter->place.name);
    free(exporter->ahead.name);
    free(exporter->error);
    free(exporter);
}
