#include "ghn/backoff.h"

uint32_t ghn_backoff_next(ghn_backoff *backoff, uint16_t random)
{
    uint32_t step = backoff->wait ? backoff->wait : GHN_BACKOFF_FIRST;
    backoff->wait = step * 2 < GHN_BACKOFF_MAX ? step * 2 : GHN_BACKOFF_MAX;
    uint32_t half = step / 2;
    /* Twelve bits of chance: 150000 * 4095 is still a 32-bit number, and 64-bit division is dear on a Cortex-M0. */
    return half + half * (random >> 4) / 4095;
}

void ghn_backoff_after(ghn_backoff *backoff, uint32_t up)
{
    if (up >= GHN_BACKOFF_FORGIVEN)
        backoff->wait = 0;
}
