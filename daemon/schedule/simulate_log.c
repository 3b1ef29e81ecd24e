#include "schedule/simulate_log.h"

#include <string.h>

enum {
    SEGMENT_HEAD = 32,
    BLOCK_HEAD = 28, /* with an entry */
    BLOCK_COPY = 32, /* the same again, aligned */
    BLOCK_BYTES = 64 * 1024,
    BLOCK_RECORDS = 1024,
    RECORD_HEAD = 4,
    ENTRIES = 4, /* of a record, in the head and its copy */
    ALIGN = 8,
    PAGE = 4096,
    SEGMENT_DEFAULT = 4 * 1024 * 1024,
    SEGMENT_MIN = 4096,
    SEGMENTS_MIN = 4, /* of a log with a limit */
};

static struct simulate_segment *segment(const struct simulate_log *log, size_t i)
{
    return &log->segments[(log->front + i) % log->room];
}

static struct simulate_segment *active(const struct simulate_log *log)
{
    return segment(log, log->count - 1);
}

static void grow(struct simulate_log *log)
{
    enum { FIRST_ROOM = 16 };
    size_t room = log->room ? 2 * log->room : FIRST_ROOM;
    struct simulate_segment *segments = calloc(room, sizeof *segments);
    if (!segments)
        abort();
    for (size_t i = 0; i < log->count; i++)
        segments[i] = *segment(log, i);
    free(log->segments);
    log->segments = segments;
    log->room = room;
    log->front = 0;
}

static void add(struct simulate_log *log, uint64_t bytes)
{
    log->bytes += bytes;
    log->written += log->memory ? 0 : bytes;
    active(log)->bytes += bytes;
    log->dirty = true;
    if (log->bytes > log->peak)
        log->peak = log->bytes;
}

static void roll(struct simulate_log *log, int64_t now)
{
    if (log->count == log->room)
        grow(log);
    log->count++;
    *active(log) = (struct simulate_segment){.first = log->next, .last = now};
    log->worn = log->block = 0;
    add(log, SEGMENT_HEAD);
    log->dirty = false;
}

void simulate_log_init(struct simulate_log *log)
{
    if (!log->segment_bytes)
        log->segment_bytes = SEGMENT_DEFAULT;
    if (log->max_bytes && log->segment_bytes > log->max_bytes / SEGMENTS_MIN)
        log->segment_bytes = log->max_bytes / SEGMENTS_MIN;
    if (log->segment_bytes < SEGMENT_MIN)
        log->segment_bytes = SEGMENT_MIN;
    roll(log, 0);
}

void simulate_log_done(struct simulate_log *log)
{
    free(log->segments);
    log->segments = NULL;
}

uint64_t simulate_log_record(uint64_t bytes)
{
    return (BLOCK_HEAD + RECORD_HEAD + bytes + ALIGN - 1) / ALIGN * ALIGN;
}

/* What the file grows by for it: a block, or a part of the one that is being made. */
static uint64_t share(const struct simulate_log *log, uint64_t bytes)
{
    if (!log->block || log->block + RECORD_HEAD + bytes > BLOCK_BYTES || log->block_count == BLOCK_RECORDS)
        return simulate_log_record(bytes);
    return RECORD_HEAD + bytes + ENTRIES + (log->block_count == 1 ? BLOCK_COPY : 0);
}

static void join_block(struct simulate_log *log, uint64_t bytes, bool is_first)
{
    log->block = (is_first ? 0 : log->block) + RECORD_HEAD + bytes;
    log->block_count = (is_first ? 0 : log->block_count) + 1;
}

bool simulate_log_append(struct simulate_log *log, int64_t now, uint64_t bytes)
{
    uint64_t size = share(log, bytes), alone = simulate_log_record(bytes), end = active(log)->bytes;
    if (log->max_bytes && log->bytes + size > log->max_bytes)
        return false;
    if (end > SEGMENT_HEAD && end + size > log->segment_bytes) {
        simulate_log_sync(log);
        roll(log, now);
        size = alone;
    }
    join_block(log, bytes, size == alone);
    add(log, size);
    active(log)->last = now;
    log->next++;
    return true;
}

void simulate_log_sync(struct simulate_log *log)
{
    if (log->dirty && !log->memory) {
        uint64_t end = active(log)->bytes;
        log->flash += ((end + PAGE - 1) / PAGE - log->worn / PAGE) * PAGE;
        log->worn = end;
    }
    log->dirty = false;
    log->block = 0;
}

uint64_t simulate_log_survey(const struct simulate_log *log, uint64_t before, int64_t older_than,
                             uint64_t bytes)
{
    uint64_t freed = 0;
    size_t k = 0;
    while (k + 1 < log->count &&
           (segment(log, k)->last < older_than || segment(log, k + 1)->first <= before || freed < bytes))
        freed += segment(log, k++)->bytes;
    return segment(log, k)->first;
}

void simulate_log_release(struct simulate_log *log, uint64_t before)
{
    while (log->count > 1 && segment(log, 1)->first <= before) {
        log->bytes -= segment(log, 0)->bytes;
        log->front = (log->front + 1) % log->room;
        log->count--;
    }
}

uint64_t simulate_log_first(const struct simulate_log *log)
{
    return segment(log, 0)->first;
}

int64_t simulate_log_oldest(const struct simulate_log *log)
{
    return log->count > 1 ? segment(log, 0)->last : INT64_MAX;
}
