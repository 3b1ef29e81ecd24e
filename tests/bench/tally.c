#include "bench/tally.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void grow(struct tally *tally, uint32_t word)
{
    uint32_t words = tally->words ? tally->words : 2;

    while (words <= word)
        words *= 2;
    tally->seen = realloc(tally->seen, words * sizeof(*tally->seen));
    if (!tally->seen) {
        fputs("bench: out of memory\n", stderr);
        exit(1);
    }
    memset(tally->seen + tally->words, 0, (words - tally->words) * sizeof(*tally->seen));
    tally->words = words;
}

enum arrival tally_add(struct tally *tally, uint32_t seq)
{
    uint32_t word = seq / 64;
    uint64_t bit = UINT64_C(1) << seq % 64;

    if (word >= tally->words)
        grow(tally, word);
    if (tally->seen[word] & bit)
        return DOUBLED;
    tally->seen[word] |= bit;
    tally->distinct++;
    if (seq < tally->next)
        return REORDERED;
    tally->next = seq + 1;
    return ARRIVED;
}

void tally_done(struct tally *tally)
{
    free(tally->seen);
    *tally = (struct tally){0};
}

/* Below 32 a bucket a value; above, the top five bits behind the leading one choose among 32 a power of two. */
static unsigned bucket_of(uint64_t ns)
{
    if (ns < 32)
        return (unsigned)ns;
    unsigned shift = 58 - (unsigned)__builtin_clzll(ns);
    return (shift + 1) * 32 + (unsigned)(ns >> shift & 31);
}

static double bucket_middle(unsigned bucket)
{
    if (bucket < 32)
        return bucket;
    unsigned shift = bucket / 32 - 1;
    return ((double)(32 + bucket % 32) + 0.5) * (double)(UINT64_C(1) << shift);
}

void delays_add(struct delays *delays, uint64_t ns)
{
    delays->bucket[bucket_of(ns)]++;
    delays->n++;
    if (ns > delays->max)
        delays->max = ns;
}

double delays_us(const struct delays *delays, double percentile)
{
    double below = (double)delays->n * percentile / 100;
    uint64_t n = 0;

    if (percentile < 100)
        for (unsigned i = 0; i < sizeof(delays->bucket) / sizeof(delays->bucket[0]); i++) {
            n += delays->bucket[i];
            if ((double)n > below)
                return bucket_middle(i) / 1000;
        }
    return (double)delays->max / 1000;
}
