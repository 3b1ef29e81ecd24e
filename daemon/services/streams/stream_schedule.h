/* Which stream sends its next record: strict priority that starves nobody.
 *
 *      slot   1 2 3 4 5 6 7 8 9 …
 *      who    h h h h h h h l h …      h: the smallest priority number that has something to send
 *                                      l: the others, in turn
 *
 * Weights would need tuning, and strict order keeps the last waiting for ever behind a stream that is never empty. One
 * slot in eight bounds the wait and needs no setting. Streams of the same priority take turns.
 *
 * Pure: no clock, no memory but the caller's.
 */
#pragma once

#include "base/base.h"

enum { SCHEDULE_SLOTS = 8 };

struct schedule {
    unsigned slot;            /* since the last one that was the others' */
    size_t last, last_others; /* who had the last slot of each kind */
};

struct schedule_stream {
    unsigned priority; /* 1 goes first */
    bool ready;        /* has something to send */
};

/* The index of who is next, and the slot is given; -1 when nobody is ready, and nothing changes. */
int schedule_next(struct schedule *schedule, const struct schedule_stream *streams, size_t count);
