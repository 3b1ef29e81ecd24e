#include "base/gather.h"

enum {
    WAIT_MAX_NS = 10 * 1000 * 1000, /* what a slow medium takes longer for is not the clients' way here */
    IN_VAIN_MAX = 6,                /* so that at least every 64th batch tries again */
};

void gather_ended(struct gather *gather, uint64_t bytes, uint64_t queued, int64_t began_ns, int64_t ended_ns)
{
    gather->wanted = 0;
    if (!bytes || !gather->enough)
        return;
    if (gather->skipping) {
        gather->skipping--;
        return;
    }
    uint64_t under_way = bytes + queued;
    int64_t took = ended_ns - began_ns;
    gather->wanted = under_way < gather->enough ? under_way : gather->enough;
    gather->until_ns = ended_ns + (took < WAIT_MAX_NS ? took : WAIT_MAX_NS);
}

bool gather_waits(const struct gather *gather, uint64_t queued, int64_t now_ns)
{
    return queued < gather->wanted && now_ns < gather->until_ns;
}

void gather_waited(struct gather *gather, uint64_t queued)
{
    bool in_vain = queued < gather->wanted;
    gather->wanted = 0;
    if (!in_vain) {
        gather->in_vain = 0;
        return;
    }
    if (gather->in_vain < IN_VAIN_MAX)
        gather->in_vain++;
    gather->skipping = 1u << gather->in_vain;
}
