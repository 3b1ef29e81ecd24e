/* Which messages of one numbered sequence have arrived: every number once, and exactly.
 *
 *      arrived   0 1 2 4 5 3 5          3 is reordered, the second 5 is doubled
 *      highest         ^ next = 6       whatever is missing below the number sent in the end is lost
 *
 * A bit per message and receiver: a few minutes at millions a second fit in memory, and no window has to be guessed.
 */
#pragma once

#include <stdint.h>

struct tally {
    uint64_t *seen;
    uint32_t words;
    uint32_t next;     /* one past the highest that has arrived */
    uint32_t distinct; /* how many different ones have */
};

enum arrival { ARRIVED, REORDERED, DOUBLED };

enum arrival tally_add(struct tally *tally, uint32_t seq);
void tally_done(struct tally *tally);

/* Delays in nanoseconds, kept in buckets a thirty-second of their value wide. */
struct delays {
    uint64_t bucket[64 * 32];
    uint64_t n, max;
};

void delays_add(struct delays *delays, uint64_t ns);
double delays_us(const struct delays *delays, double percentile); /* microseconds; 100 is the exact maximum */
