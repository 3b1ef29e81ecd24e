/* A stream's segment log without its bytes: what it weighs, what a medium wears by it, what can leave it.
 *
 *      [0 … 520]  [521 … 1007]  [1008 …      a record joins the last segment; whole ones leave at the front
 *
 * The sizes of heads, blocks and pages are those of store/seglog_block.h and of the log that writes them, as near as one gets without
 * numbers and topics: a topic counts with every record, and not once a block. A test holds the two against each other. Packing is
 * not modelled.
 */
#pragma once

#include "base/base.h"

struct simulate_segment {
    uint64_t first, bytes;
    int64_t last; /* when its last record came */
};

struct simulate_log {
    uint64_t segment_bytes, max_bytes; /* as in gatehouse.conf; 0: the default, unlimited */
    bool memory;                       /* nothing is written */

    struct simulate_segment *segments; /* a circle of `room`, `count` of them from `front` on */
    size_t front, count, room;
    uint64_t next;  /* number of the next record */
    uint64_t bytes; /* in all segments */
    uint64_t worn;  /* of the last segment's, in pages already counted */
    bool dirty;     /* something is written and not synced */
    uint64_t block; /* bytes of the records of the block that is being made; 0: none is */
    unsigned block_count;

    uint64_t peak, written, flash; /* bytes: most at a time, handed to the system, in whole pages a sync */
};

/* Set the options before. */
void simulate_log_init(struct simulate_log *log);
void simulate_log_done(struct simulate_log *log);

/* Bytes in the file of a record with topic and payload of so many bytes together, in a block of its own. */
uint64_t simulate_log_record(uint64_t bytes);
/* False: it is full. Its number is log->next - 1. */
bool simulate_log_append(struct simulate_log *log, int64_t now, uint64_t bytes);
/* As after every turn that appended, or later. */
void simulate_log_sync(struct simulate_log *log);

/* The number behind the whole segments at the front that are below `before`, whose last record came before `older_than`, and as
 * many more as make `bytes` free. */
uint64_t simulate_log_survey(const struct simulate_log *log, uint64_t before, int64_t older_than,
                             uint64_t bytes);
/* Segments below it leave. */
void simulate_log_release(struct simulate_log *log, uint64_t before);
uint64_t simulate_log_first(const struct simulate_log *log);
/* When the last record of the first segment came that could leave; INT64_MAX: there is only the one that is written. */
int64_t simulate_log_oldest(const struct simulate_log *log);
