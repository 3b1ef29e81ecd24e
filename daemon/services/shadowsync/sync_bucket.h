/* A token bucket: `burst` messages at once, and `rate` a minute on average.
 *
 * In any time T no more than burst + rate × T are taken. Counted in 60,000ths of a message, so that a millisecond adds
 * `rate` and nothing is rounded.
 */
#pragma once

#include "base/base.h"

enum { SYNC_MESSAGE = 60 * 1000 };

struct sync_bucket {
    int64_t rate, burst; /* messages; both above 0 */
    int64_t level;       /* 60,000ths of a message that may be taken */
    int64_t at;          /* when that was so, ms */
};

static inline void sync_bucket_init(struct sync_bucket *bucket, int64_t rate, int64_t burst, int64_t now)
{
    *bucket = (struct sync_bucket){rate, burst, burst * SYNC_MESSAGE, now};
}

static inline void sync_bucket_fill(struct sync_bucket *bucket, int64_t now)
{
    int64_t full = bucket->burst * SYNC_MESSAGE, passed = now - bucket->at;
    bucket->at = now;
    if (passed > (full - bucket->level) / bucket->rate)
        bucket->level = full;
    else
        bucket->level += passed * bucket->rate;
}

/* How long until n messages may be taken, ms; 0: now. n is at most burst. */
static inline int64_t sync_bucket_wait(struct sync_bucket *bucket, int64_t n, int64_t now)
{
    sync_bucket_fill(bucket, now);
    int64_t missing = n * SYNC_MESSAGE - bucket->level;
    return missing <= 0 ? 0 : (missing + bucket->rate - 1) / bucket->rate;
}

static inline void sync_bucket_take(struct sync_bucket *bucket, int64_t now)
{
    sync_bucket_fill(bucket, now);
    bucket->level -= SYNC_MESSAGE;
}
