/* How long to wait before the next attempt to connect: 1 s doubling to 5 min, half of it by chance, so that a thousand
 * nodes do not come back in the same second after a power cut. A link that held for a minute forgets what was before.
 */
#pragma once

#include <stdint.h>

enum { GHN_BACKOFF_FIRST = 1000, GHN_BACKOFF_MAX = 300 * 1000, GHN_BACKOFF_FORGIVEN = 60 * 1000 };

typedef struct ghn_backoff {
    uint32_t wait; /* the next wait without chance; 0 means GHN_BACKOFF_FIRST */
} ghn_backoff;

/* The next wait: between half of the present step and the whole of it, as `random` says. The step after it is twice as
 * long. */
uint32_t ghn_backoff_next(ghn_backoff *backoff, uint16_t random);

/* The link was up for this long and is gone. */
void ghn_backoff_after(ghn_backoff *backoff, uint32_t up);
