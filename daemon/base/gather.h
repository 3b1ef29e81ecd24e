/* When a batch waits for company. Pure: bytes and times are given.
 *
 * A sync costs nearly the same for a few records as for many, and who has been answered by one often comes back at once. A batch that
 * begins with the first of them makes those behind it wait for a sync of their own, and so on for ever: half as much is
 * stored with twice as many syncs, which a flash wears by. So a batch waits until as many bytes have come as were under way when the one
 * before ended: those it had answered, and those that waited already.
 *
 *      ├── batch, 650 ──┤   350 wait       wanted 1000, no later than │
 *                       ├── took ─────────────────────────────────────┤
 *                           answers, 650 come again ─▶ all 1000 in one
 *
 * It waits no longer than the last batch took, and never once so much has come that a sync more is little. Whoever has
 * nothing under way does not wait, nor does what comes later than that. A wait that was in vain is not repeated for a while.
 */
#pragma once

#include "base/base.h"

struct gather {
    uint64_t enough;   /* bytes beyond which nobody waits; 0: never */
    uint64_t wanted;   /* bytes that the next batch waits for; 0: it does not */
    int64_t until_ns;  /* no longer than that */
    unsigned in_vain;  /* waits in a row */
    unsigned skipping; /* batches that do not wait because of that */
};

/* A batch of so many bytes has ended; `queued` have come meanwhile. */
void gather_ended(struct gather *gather, uint64_t bytes, uint64_t queued, int64_t began_ns, int64_t ended_ns);
/* Is there reason to wait, with so many bytes in the queue, until gather->until_ns? */
bool gather_waits(const struct gather *gather, uint64_t queued, int64_t now_ns);
/* It waited, and so much has come of it. */
void gather_waited(struct gather *gather, uint64_t queued);
