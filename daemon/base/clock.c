#include "base/clock.h"

#include <assert.h>
#include <time.h>

static int64_t ask(clockid_t which)
{
    struct timespec ts;
    (void)clock_gettime(which, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int64_t clock_mono(const struct clock *clock)
{
    return clock->by_hand ? clock->mono : ask(CLOCK_MONOTONIC);
}

int64_t clock_wall(const struct clock *clock)
{
    return clock->by_hand ? clock->wall : ask(CLOCK_REALTIME);
}

void clock_move(struct clock *clock, int64_t ms)
{
    assert(clock->by_hand);
    if (ms > 0)
        clock->mono += ms;
    clock->wall += ms;
}
