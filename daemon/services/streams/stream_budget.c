/* What exporters and uplinks have had of their day, and which exporters are paused, in state.db: a restart does not begin the day
 * anew. A row of the stream "@" is an uplink's day, all streams together; one of "@5" that of its priority 5.
 *
 * They are stored with the cursors, in the same commit; only those that a budget counts, or that somebody has paused. Without a clock
 * the day's number is how long ago it began, in steps of ten minutes from SCHEDULE_NO_CLOCK on: a gateway that nobody tells the time
 * and that is switched off every evening has its 24 hours of running in the end.
 */
#include "services/streams/stream.h"

#include "services/streams/streams_store.h"

#include <stdio.h>
#include <string.h>

static bool has_budget(const struct schedule_link *link)
{
    bool has = link->day_bytes != 0;
    for (size_t i = 1; i <= SCHEDULE_PRIORITIES; i++)
        has |= link->class_day_bytes[i] != 0;
    return has;
}

static bool is_same(const struct allowance *a, const struct allowance *b)
{
    return a->paused == b->paused && a->day == b->day && a->bytes == b->bytes;
}

/* ---- days -------------------------------------------------------------------------------------------------------- */

enum { STEP = 10 * 60 * 1000, STEPS = 24 * 6 };

static int64_t stored_day(const struct outlet *outlet, const struct schedule_day *day)
{
    if (day->day != SCHEDULE_NO_CLOCK || !day->bytes)
        return day->day;
    int64_t steps = (loop_now(bus_loop(outlet->streams->bus)) - day->since) / STEP;
    return SCHEDULE_NO_CLOCK + (steps < STEPS ? steps : STEPS);
}

void allowances_date(struct outlet *outlet)
{
    struct schedule_time time = outlet_time(outlet);
    struct schedule *schedule = &outlet->schedule;
    schedule_date(schedule, &schedule->day, time);
    for (size_t class = 1; class <= SCHEDULE_PRIORITIES; class ++)
        schedule_date(schedule, &schedule->class_day[class], time);
    for (size_t i = 0; i < outlet->lane_count; i++)
        schedule_date(schedule, &outlet->lanes[i]->exporter->flow.day, time);
}

struct allowance allowance_of(const struct exporter *exporter)
{
    bool counts = exporter->flow.rules.day_bytes != 0;
    return (struct allowance){.paused = exporter->paused,
                              .day = counts ? stored_day(exporter->outlet, &exporter->flow.day) : 0,
                              .bytes = counts ? exporter->flow.day.bytes : 0};
}

static struct allowance allowance_of_class(const struct outlet *outlet, size_t class)
{
    const struct schedule_day *day = class ? &outlet->schedule.class_day[class] : &outlet->schedule.day;
    return (struct allowance){.day = stored_day(outlet, day), .bytes = day->bytes};
}

static const char *allowance_name(size_t class)
{
    static const char *const names[] = {"@", "@1", "@2", "@3", "@4", "@5", "@6", "@7", "@8", "@9", "@10"};
    return names[class];
}

/* ---- storing ----------------------------------------------------------------------------------------------------- */

static void add(struct allowance_row *rows, size_t *count, const char *stream, const char *uplink,
                struct allowance now, struct allowance *stored)
{
    if (is_same(&now, stored))
        return;
    if (rows)
        rows[*count] =
            (struct allowance_row){.stream = stream, .uplink = uplink, .value = now, .stored = stored};
    ++*count;
}

size_t allowances_take(struct streams *streams, struct allowance_row *rows)
{
    size_t count = 0;
    streams_for_each (stream, streams)
        exporters_for_each(exporter, stream) if (stream_is_stored(stream) && !stream->deleting &&
                                                 !exporter->place.going && !exporter->pausing)
            add(rows, &count, stream->name, exporter->outlet->name, allowance_of(exporter),
                &exporter->stored);
    for (size_t i = 0; i < streams->outlet_count; i++) {
        struct outlet *outlet = streams->outlets[i];
        for (size_t class = 0; class <= SCHEDULE_PRIORITIES && has_budget(&outlet->schedule.link); class ++)
            add(rows, &count, allowance_name(class), outlet->name, allowance_of_class(outlet, class),
                &outlet->stored[class]);
    }
    return count;
}

void allowance_forget(struct streams *streams, const struct allowance *stored)
{
    for (size_t i = 0; i < streams->allowance_count; i++)
        if (streams->allowances[i].stored == stored)
            streams->allowances[i].stored = NULL;
}

/* ---- at the start ------------------------------------------------------------------------------------------------ */

static void take_day(struct outlet *outlet, struct schedule_day *day, const struct allowance *value)
{
    int64_t now = loop_now(bus_loop(outlet->streams->bus));
    int64_t steps = value->day <= SCHEDULE_NO_CLOCK + STEPS ? value->day - SCHEDULE_NO_CLOCK : 0;
    *day =
        (struct schedule_day){.day = value->day - steps, .bytes = value->bytes, .since = now - steps * STEP};
}

static void take_class(struct outlet *outlet, const struct allowance_row *row)
{
    for (size_t class = 0; class <= SCHEDULE_PRIORITIES; class ++)
        if (strcmp(row->stream, allowance_name(class)) == 0) {
            take_day(outlet, class ? &outlet->schedule.class_day[class] : &outlet->schedule.day, &row->value);
            outlet->stored[class] = row->value;
        }
}

void allowances_load(struct streams *streams, const struct allowance_row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct allowance_row *row = &rows[i];
        for (size_t k = 0; k < streams->outlet_count && *row->stream == '@'; k++)
            if (strcmp(streams->outlets[k]->name, row->uplink) == 0)
                take_class(streams->outlets[k], row);
        struct stream *stream = *row->stream == '@' ? NULL : streams_find(streams, row->stream);
        struct exporter *exporter = stream ? stream_exporter(stream, row->uplink) : NULL;
        if (!exporter)
            continue;
        exporter->paused = row->value.paused;
        exporter->stored = row->value;
        if (exporter->flow.rules.day_bytes)
            take_day(exporter->outlet, &exporter->flow.day, &row->value);
    }
}
