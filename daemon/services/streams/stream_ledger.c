#include "services/streams/stream_ledger.h"

#include <assert.h>

void ledger_settle(struct ledger *ledger, uint64_t to, enum ledger_end end, struct ledger_gaps gaps)
{
    assert(to >= ledger->next && gaps.missing + gaps.unused <= to - ledger->next);
    uint64_t records = to - ledger->next - gaps.missing - gaps.unused;
    switch (end) {
    case LEDGER_DELIVERED: ledger->delivered += records; break;
    case LEDGER_EXPIRED: ledger->expired += records; break;
    case LEDGER_EVICTED: ledger->evicted += records; break;
    case LEDGER_DEAD: ledger->dead += records; break;
    }
    ledger->missing += gaps.missing;
    ledger->unused += gaps.unused;
    ledger->next = to;
}

static uint64_t take(uint64_t *from, uint64_t count)
{
    uint64_t taken = count < *from ? count : *from;
    *from -= taken;
    return count - taken;
}

bool ledger_rewind(struct ledger *ledger, uint64_t to, struct ledger_gaps gaps)
{
    if (to < ledger->start || to > ledger->next || gaps.missing + gaps.unused > ledger->next - to)
        return false;
    struct ledger after = *ledger;
    uint64_t records = ledger->next - to - gaps.missing - gaps.unused;
    /* What was found damaged when it was passed need not be known as such now: then it was counted as missing. */
    uint64_t left = take(&after.missing, gaps.missing) + take(&after.unused, gaps.unused);
    left = take(&after.delivered, records + left);
    left = take(&after.dead, left);
    left = take(&after.missing, left);
    left = take(&after.evicted, left); /* which were given up and are still there */
    if (left)
        return false;
    after.next = to;
    *ledger = after;
    return true;
}

struct ledger ledger_join(const struct ledger *first, const struct ledger *second)
{
    assert(first->next == second->start);
    return (struct ledger){
        .start = first->start,
        .base = first->base,
        .next = second->next,
        .delivered = first->delivered + second->delivered,
        .expired = first->expired + second->expired,
        .evicted = first->evicted + second->evicted,
        .dead = first->dead + second->dead,
        .missing = first->missing + second->missing,
        .unused = first->unused + second->unused,
    };
}

bool ledger_adds_up(const struct ledger *ledger)
{
    return ledger->next >= ledger->start &&
           ledger->next - ledger->start == ledger->delivered + ledger->expired + ledger->evicted +
                                               ledger->dead + ledger->missing + ledger->unused;
}

uint64_t ledger_total(const struct ledger *ledger, uint64_t pending)
{
    return ledger->delivered + ledger->expired + ledger->evicted + ledger->dead + pending;
}
