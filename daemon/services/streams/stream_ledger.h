/* What became of every record of a stream, as one who reads it sees it: the books of an exporter, of a named cursor, and of
 * the stream itself.
 *
 *      0 … start … next … end of the log
 *          └──┬──┘ └──┬──┘
 *       settled       pending
 *
 * Each number from start to next was settled in one way: delivered, expired or evicted before it was delivered, put aside as
 * a dead letter, missing (its record was acknowledged and cannot be read any more), or unused (it never was a record's).
 * They are counted one by one as it happens and stored in one row, in one commit with `next`, so that they cannot part:
 *
 *      next - start     = delivered + expired + evicted + dead + missing + unused      always, in memory and on disk
 *      accepted - base  = delivered + expired + evicted + dead + pending               unless something is missing
 *
 * accepted and pending are the log's own word: the first from its heads, the second by counting. So a row that is older than
 * the log after a crash is still right: what it had not been told is pending, and is delivered again.
 *
 * The stream's own books have everything that left the disk: `delivered` are those who went when all who hold them had them.
 *
 * Pure functions.
 */
#pragma once

#include "base/base.h"

struct ledger {
    uint64_t start; /* the first number it is about */
    uint64_t base;  /* records accepted before that one */
    uint64_t next;
    uint64_t delivered, expired, evicted, dead, missing, unused;
};

/* Numbers that are no records, among those that are passed. */
struct ledger_gaps {
    uint64_t missing, unused;
};

enum ledger_end { LEDGER_DELIVERED, LEDGER_EXPIRED, LEDGER_EVICTED, LEDGER_DEAD };

/* Everything from next to `to` ends that way, but for the gaps. to >= next, and the gaps are not more than that. */
void ledger_settle(struct ledger *ledger, uint64_t to, enum ledger_end end, struct ledger_gaps gaps);

/* Back to `to`, which is still on disk: what lies behind it is pending again. It was delivered, dead, a gap or given up by hand;
 * which of them each was nobody remembers, so it is taken in this order. False, and nothing changes: it began behind that. */
bool ledger_rewind(struct ledger *ledger, uint64_t to, struct ledger_gaps gaps) must_check;

/* The sum of the books of two that follow each other: the first has come to where the second began. */
struct ledger ledger_join(const struct ledger *first, const struct ledger *second);

/* Does the first equation hold? */
bool ledger_adds_up(const struct ledger *ledger);

/* Records that can be accounted for: the right side of the second. */
uint64_t ledger_total(const struct ledger *ledger, uint64_t pending);
