/* How long to wait before trying again: from min, doubled up to max, with jitter.
 *
 * The jitter takes away up to half, so that a thousand gateways whose cloud was restarted do not come back in one second.
 * Its randomness is an argument, so the pauses can be tested.
 */
#pragma once

#include "base/base.h"

#include <sys/random.h>

struct backoff {
    int64_t min, max; /* ms */
    int64_t next;     /* 0: begin with min */
};

static inline void backoff_reset(struct backoff *backoff)
{
    backoff->next = 0;
}

/* The pause before the next attempt, in ms: at least half of what is due, at most all of it. */
static inline int64_t backoff_pause(struct backoff *backoff, uint32_t random)
{
    int64_t due = backoff->next ? backoff->next : backoff->min;
    backoff->next = due > backoff->max / 2 ? backoff->max : 2 * due;
    return due - (int64_t)((uint64_t)due / 2 * random / UINT32_MAX);
}

/* For it: any number, or 0, which is the whole pause, while the system has no randomness yet. */
static inline uint32_t backoff_random(void)
{
    uint32_t random;
    return getrandom(&random, sizeof random, GRND_NONBLOCK) == (ssize_t)sizeof random ? random : 0;
}
