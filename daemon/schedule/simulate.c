#include "schedule/simulate.h"

#include "schedule/simulate_log.h"

#include <string.h>

/* One turn of run() is one moment: cuts, arrivals, acknowledgements, what is stored and what leaves the disk, then sending. It
 * goes to the next moment at which any of them happens.
 *
 * A stream's records that are not delivered are in a circle by their numbers, from the lowest place of its lanes on:
 *
 *      place ─▶ [ under way ][ waiting ]│ begins ─▶ [ delivered ][ under way ][ waiting ] ◀─ log.next
 *               main lane               │           live lane
 */

enum {
    STORE_AFTER = 1000, /* a place that moved, until it is stored and segments may go */
    UNDER_WAY_BYTES_MAX = 8 * 1024 * 1024,
    BUCKETS = 60 * 16,
};

struct lane {
    struct schedule_lane slot;
    bool used;
    uint64_t place, sent;
};

struct flow {
    struct simulate_stream *stream;
    struct schedule_flow flow;
    struct simulate_log log;
    struct simulate_record *records; /* a circle of `room`, a power of two */
    size_t room;
    uint64_t produced;
    struct lane lanes[2];
    struct lane *main, *live; /* live: NULL when there is none */
    uint64_t live_begins;
    int64_t store_at, sync_at;     /* INT64_MAX: nothing to */
    uint32_t waits[BUCKETS];       /* how many records waited so long */
    uint32_t waits_after[BUCKETS]; /* of those that came after the last cut */
};

struct shipment {
    struct flow *flow;
    struct lane *lane;
    uint64_t seq;
    uint64_t bytes;
    int64_t arrives, settles;
};

struct run {
    struct simulate *simulate;
    struct schedule schedule;
    struct flow *flows;
    struct schedule_lane **slots;
    struct lane **lanes;
    size_t lane_count;
    struct shipment *under_way; /* a circle of `window` */
    size_t front, count, window;
    uint64_t under_way_bytes;
    int64_t now, again;
    uint64_t link_free_us;
    size_t cut;
    bool up;
};

static void *room_for(size_t count, size_t size)
{
    void *memory = calloc(count ? count : 1, size);
    if (!memory)
        abort();
    return memory;
}

/* ---- what waits -------------------------------------------------------------------------------------------------- */

static struct simulate_record *record_of(const struct flow *flow, uint64_t seq)
{
    return &flow->records[seq & (flow->room - 1)];
}

static uint64_t end_of(const struct flow *flow, const struct lane *lane)
{
    return flow->live && lane == flow->main ? flow->live_begins : flow->log.next;
}

static void keep_record(struct flow *flow, struct simulate_record record)
{
    enum { FIRST_ROOM = 1024 };
    uint64_t seq = flow->log.next - 1, first = flow->main->place;
    if (seq - first >= flow->room) {
        size_t room = flow->room ? 2 * flow->room : FIRST_ROOM;
        struct simulate_record *records = room_for(room, sizeof *records);
        for (uint64_t i = first; i < seq; i++)
            records[i & (room - 1)] = *record_of(flow, i);
        free(flow->records);
        flow->records = records;
        flow->room = room;
    }
    *record_of(flow, seq) = record;
}

static uint64_t pending_of(const struct flow *flow)
{
    uint64_t pending = end_of(flow, flow->main) - flow->main->place;
    return pending + (flow->live ? flow->log.next - flow->live->place : 0);
}

static void join(struct flow *flow)
{
    if (!flow->live || flow->main->place < flow->live_begins)
        return;
    flow->main->used = false;
    flow->main = flow->live;
    flow->live = NULL;
}

/* Segments below it leave, whoever has not had them. */
static uint64_t lose(struct flow *flow, uint64_t before)
{
    uint64_t lost = 0;
    for (size_t i = 0; i < array_size(flow->lanes); i++) {
        struct lane *lane = &flow->lanes[i];
        uint64_t end = lane->used ? end_of(flow, lane) : 0;
        uint64_t to = before < end ? before : end;
        if (!lane->used || to <= lane->place)
            continue;
        lost += to - lane->place;
        lane->place = to;
        lane->sent = lane->sent > to ? lane->sent : to;
    }
    join(flow);
    simulate_log_release(&flow->log, before);
    return lost;
}

/* ---- the log ----------------------------------------------------------------------------------------------------- */

static bool make_room(struct flow *flow, uint64_t bytes)
{
    struct simulate_log *log = &flow->log;
    uint64_t first = simulate_log_first(log), end = log->bytes + simulate_log_record(bytes);
    if (flow->stream->overwrite)
        flow->stream->result.evicted += lose(
            flow, simulate_log_survey(log, 0, INT64_MIN, end > log->max_bytes ? end - log->max_bytes : 0));
    else if (flow->stream->keep)
        simulate_log_release(log, flow->main->place);
    return simulate_log_first(log) > first;
}

static void take(struct flow *flow, struct simulate_record record)
{
    struct simulate_result *result = &flow->stream->result;
    result->produced++;
    while (!simulate_log_append(&flow->log, record.at, record.bytes))
        if (!make_room(flow, record.bytes)) {
            result->refused++;
            return;
        }
    result->accepted++;
    keep_record(flow, record);
    if (flow->sync_at == INT64_MAX)
        flow->sync_at = record.at + flow->stream->sync_every;
}

/* What was there before: on disk, and written before. */
static void take_backlog(struct flow *flow)
{
    enum { AGE = 60 * 1000 };
    for (uint64_t i = 0; i < flow->stream->backlog; i++)
        take(flow, (struct simulate_record){-AGE, flow->stream->backlog_bytes});
    simulate_log_sync(&flow->log);
    flow->log.written = flow->log.flash = 0;
    flow->sync_at = INT64_MAX;
}

/* When the next record comes; INT64_MAX: none. */
static struct simulate_record coming(const struct flow *flow)
{
    const struct simulate_stream *stream = flow->stream;
    if (stream->count)
        return flow->produced < stream->count ? stream->records[flow->produced]
                                              : (struct simulate_record){INT64_MAX, 0};
    if (!stream->interval_us)
        return (struct simulate_record){INT64_MAX, 0};
    uint64_t at_us = flow->produced * stream->interval_us + stream->interval_us / 2;
    return (struct simulate_record){(int64_t)(at_us / 1000), stream->bytes};
}

static void arrive(struct flow *flow, int64_t now)
{
    for (struct simulate_record record; (record = coming(flow)).at <= now; flow->produced++)
        take(flow, record);
}

static int64_t expires_at(const struct flow *flow)
{
    int64_t oldest = flow->stream->ttl ? simulate_log_oldest(&flow->log) : INT64_MAX;
    return oldest == INT64_MAX ? INT64_MAX : oldest + flow->stream->ttl + 1;
}

static void look_after_log(struct flow *flow, int64_t now)
{
    if (flow->sync_at <= now) {
        simulate_log_sync(&flow->log);
        flow->sync_at = INT64_MAX;
    }
    if (flow->store_at <= now) {
        flow->store_at = INT64_MAX;
        if (!flow->stream->keep)
            simulate_log_release(&flow->log, flow->main->place);
    }
    if (expires_at(flow) <= now)
        flow->stream->result.expired +=
            lose(flow, simulate_log_survey(&flow->log, 0, now - flow->stream->ttl, 0));
}

/* ---- how long records waited ------------------------------------------------------------------------------------- */

/* Sixteen steps a power of two. */
static size_t bucket_of(uint64_t ms)
{
    if (ms < 16)
        return ms;
    unsigned power = 63 - (unsigned)__builtin_clzll(ms);
    size_t bucket = 16 * (power - 3) + (ms >> (power - 4)) - 16;
    return bucket < BUCKETS ? bucket : BUCKETS - 1;
}

static int64_t most_in(size_t bucket)
{
    if (bucket < 16)
        return (int64_t)bucket;
    size_t power = bucket / 16 + 3;
    return (int64_t)(((bucket % 16 + 17) << (power - 4)) - 1);
}

static int64_t percentile(const uint32_t waits[BUCKETS], unsigned percent, int64_t longest)
{
    uint64_t seen = 0, wanted = 0;
    for (size_t i = 0; i < BUCKETS; i++)
        wanted += waits[i];
    wanted = (wanted * percent + 99) / 100;
    for (size_t i = 0; i < BUCKETS; i++) {
        seen += waits[i];
        if (seen >= wanted && seen)
            return most_in(i) < longest ? most_in(i) : longest;
    }
    return 0;
}

/* ---- sending ----------------------------------------------------------------------------------------------------- */

static void describe(const struct run *run, struct flow *flow, struct lane *lane)
{
    struct schedule_lane *slot = &lane->slot;
    bool waits = lane->used && lane->sent < end_of(flow, lane);
    slot->ready = waits;
    slot->age = 0;
    if (waits) {
        const struct simulate_record *record = record_of(flow, lane->sent);
        slot->cost = schedule_cost(&run->schedule.link, 0, record->bytes);
        slot->age = run->now - record->at;
    }
    slot->backlog =
        (flow->live && lane == flow->main) || schedule_is_backlog(slot->backlog, waits, slot->age);
}

static void describe_all(struct run *run)
{
    for (size_t i = 0; i < run->simulate->count; i++) {
        struct flow *flow = &run->flows[i];
        struct simulate_result *result = &flow->stream->result;
        describe(run, flow, &flow->lanes[0]);
        describe(run, flow, &flow->lanes[1]);
        bool is_behind = flow->main->slot.backlog;
        result->was_behind |= is_behind;
        if (result->is_behind && !is_behind)
            result->caught_up = run->now;
        result->is_behind = is_behind;
    }
}

static void consider_live(struct flow *flow)
{
    struct lane *main = flow->main;
    if (!flow->stream->rules.live_share || flow->live || !main->slot.backlog ||
        flow->log.next - main->sent < SCHEDULE_SPLIT)
        return;
    flow->live = main == &flow->lanes[0] ? &flow->lanes[1] : &flow->lanes[0];
    flow->live->used = true;
    flow->live->place = flow->live->sent = flow->live_begins = flow->log.next;
}

static void ship(struct run *run, struct lane *lane, struct flow *flow)
{
    uint64_t cost = lane->slot.cost, capacity = run->simulate->capacity, now_us = (uint64_t)run->now * 1000;
    if (run->link_free_us < now_us)
        run->link_free_us = now_us;
    run->link_free_us += capacity ? (cost * 8 * 1000000 + capacity - 1) / capacity : 0;
    int64_t left = (int64_t)((run->link_free_us + 999) / 1000);
    struct shipment *shipment = &run->under_way[(run->front + run->count++) % run->window];
    *shipment = (struct shipment){.flow = flow,
                                  .lane = lane,
                                  .seq = lane->sent,
                                  .bytes = record_of(flow, lane->sent)->bytes,
                                  .arrives = left + run->simulate->rtt / 2,
                                  .settles = left + run->simulate->rtt};
    run->under_way_bytes += shipment->bytes;
    flow->stream->result.sent++;
    flow->stream->result.sent_bytes += cost;
    lane->sent++;
}

static void pump(struct run *run)
{
    struct schedule_time time = {run->now, run->simulate->local == SCHEDULE_NO_CLOCK
                                               ? SCHEDULE_NO_CLOCK
                                               : run->simulate->local + run->now};
    run->again = INT64_MAX;
    describe_all(run);
    while (run->up && run->count < run->window && run->under_way_bytes < UNDER_WAY_BYTES_MAX) {
        struct schedule_turn turn = schedule_next(&run->schedule, run->slots, run->lane_count, time);
        if (turn.lane < 0) {
            run->again = turn.at;
            return;
        }
        struct lane *lane = run->lanes[turn.lane];
        struct flow *flow = &run->flows[turn.lane / 2];
        ship(run, lane, flow);
        schedule_sent(&run->schedule, &turn, &lane->slot, time);
        consider_live(flow);
        describe(run, flow, &flow->lanes[0]);
        describe(run, flow, &flow->lanes[1]);
    }
}

static void deliver(const struct run *run, struct flow *flow, struct lane *lane,
                    const struct shipment *shipment)
{
    const struct simulate *simulate = run->simulate;
    int64_t last_cut = simulate->cut_count ? simulate->cuts[simulate->cut_count - 1].to : 0;
    struct simulate_result *result = &flow->stream->result;
    if (shipment->seq < lane->place) /* it left the disk meanwhile, and is in the books */
        return;
    const struct simulate_record *record = record_of(flow, shipment->seq);
    int64_t waited = shipment->arrives - record->at, deadline = flow->stream->rules.deadline;
    lane->place = shipment->seq + 1;
    result->delivered++;
    result->delivered_bytes += record->bytes;
    result->late += deadline && waited > deadline;
    size_t bucket = bucket_of(waited > 0 ? (uint64_t)waited : 0);
    flow->waits[bucket]++;
    flow->waits_after[bucket] += record->at >= last_cut;
    if (waited > result->wait_max)
        result->wait_max = waited;
    if (flow->store_at == INT64_MAX)
        flow->store_at = run->now + STORE_AFTER;
    join(flow);
}

static void settle(struct run *run)
{
    while (run->count && run->under_way[run->front].settles <= run->now) {
        const struct shipment *shipment = &run->under_way[run->front];
        run->front = (run->front + 1) % run->window;
        run->count--;
        run->under_way_bytes -= shipment->bytes;
        deliver(run, shipment->flow, shipment->lane, shipment);
    }
}

/* ---- cuts -------------------------------------------------------------------------------------------------------- */

static int64_t next_change(const struct run *run)
{
    const struct simulate *simulate = run->simulate;
    if (run->cut >= simulate->cut_count)
        return INT64_MAX;
    return run->up ? simulate->cuts[run->cut].from : simulate->cuts[run->cut].to;
}

static void change(struct run *run)
{
    while (next_change(run) <= run->now) {
        run->up = !run->up;
        if (run->up) {
            run->cut++;
            continue;
        }
        run->count = 0;
        run->under_way_bytes = 0;
        run->link_free_us = 0;
        for (size_t i = 0; i < run->lane_count; i++)
            run->lanes[i]->sent = run->lanes[i]->place;
    }
}

/* ---- all of it --------------------------------------------------------------------------------------------------- */

static int64_t sooner(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t next_moment(const struct run *run)
{
    int64_t next = sooner(next_change(run), run->again);
    if (run->count)
        next = sooner(next, run->under_way[run->front].settles);
    for (size_t i = 0; i < run->simulate->count; i++) {
        const struct flow *flow = &run->flows[i];
        next = sooner(next, sooner(coming(flow).at, flow->store_at));
        next = sooner(next, sooner(flow->sync_at, expires_at(flow)));
    }
    return next > run->now ? next : run->now + 1;
}

static void begin(struct run *run, struct simulate *simulate)
{
    run->simulate = simulate;
    run->up = true;
    run->window = simulate->window ? simulate->window : SIMULATE_WINDOW;
    run->lane_count = 2 * simulate->count;
    run->flows = room_for(simulate->count, sizeof *run->flows);
    run->slots = room_for(run->lane_count, sizeof(struct schedule_lane *));
    run->lanes = room_for(run->lane_count, sizeof(struct lane *));
    run->under_way = room_for(run->window, sizeof *run->under_way);
    schedule_init(&run->schedule, &simulate->link, 0);
    for (size_t i = 0; i < simulate->count; i++) {
        struct flow *flow = &run->flows[i];
        struct simulate_stream *stream = &simulate->streams[i];
        stream->result = (struct simulate_result){.caught_up = -1};
        flow->stream = stream;
        flow->flow.rules = stream->rules;
        flow->log.segment_bytes = stream->segment_bytes;
        flow->log.max_bytes = stream->max_bytes;
        flow->log.memory = stream->memory;
        simulate_log_init(&flow->log);
        flow->store_at = flow->sync_at = INT64_MAX;
        flow->main = &flow->lanes[0];
        flow->main->used = true;
        for (size_t l = 0; l < array_size(flow->lanes); l++) {
            flow->lanes[l].slot.flow = &flow->flow;
            run->lanes[2 * i + l] = &flow->lanes[l];
            run->slots[2 * i + l] = &flow->lanes[l].slot;
        }
        take_backlog(flow);
    }
}

static void count_late(struct flow *flow, const struct lane *lane, int64_t now)
{
    int64_t deadline = flow->stream->rules.deadline;
    for (uint64_t seq = lane->place; lane->used && deadline && seq < end_of(flow, lane); seq++) {
        if (now - record_of(flow, seq)->at <= deadline)
            return; /* those behind it are younger */
        flow->stream->result.late++;
    }
}

static void finish(struct run *run)
{
    describe_all(run);
    for (size_t i = 0; i < run->simulate->count; i++) {
        struct flow *flow = &run->flows[i];
        struct simulate_result *result = &flow->stream->result;
        simulate_log_sync(&flow->log);
        result->pending = pending_of(flow);
        result->disk = flow->log.bytes;
        result->disk_peak = flow->log.peak;
        result->written = flow->log.written;
        result->flash = flow->log.flash;
        result->wait_median = percentile(flow->waits, 50, result->wait_max);
        result->wait_p99 = percentile(flow->waits, 99, result->wait_max);
        result->wait_after_p99 = percentile(flow->waits_after, 99, result->wait_max);
        result->caught_up = result->is_behind ? -1 : result->caught_up;
        count_late(flow, &flow->lanes[0], run->now);
        count_late(flow, &flow->lanes[1], run->now);
        simulate_log_done(&flow->log);
        free(flow->records);
    }
    free(run->flows);
    free(run->slots);
    free(run->lanes);
    free(run->under_way);
}

void simulate_run(struct simulate *simulate)
{
    struct run run = {0};
    begin(&run, simulate);
    for (;;) {
        change(&run);
        for (size_t i = 0; i < simulate->count; i++) {
            arrive(&run.flows[i], run.now);
            look_after_log(&run.flows[i], run.now);
        }
        settle(&run);
        pump(&run);
        int64_t next = next_moment(&run);
        if (next > simulate->until)
            break;
        run.now = next;
    }
    run.now = simulate->until;
    finish(&run);
}
