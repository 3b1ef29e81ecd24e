/* Time, from the system or moved by hand.
 *
 * Everything that asks for the time asks a clock, so that a test can stand at 23:59 or wait a week in no time at all.
 * Monotonic time runs from an arbitrary start and never jumps: timers use it. Wall time is what is written into
 * documents; it may be 1970 at boot and may jump. Both in milliseconds.
 */
#pragma once

#include "base/base.h"

struct clock {
    bool by_hand; /* false: the two below are not used, the system is asked */
    int64_t mono;
    int64_t wall;
};

int64_t clock_mono(const struct clock *clock);
int64_t clock_wall(const struct clock *clock);

/* Wall time before 2020 is that of a clock nobody has set. How long ago that was cannot be said. */
static inline bool clock_was_set(int64_t wall)
{
    return wall >= INT64_C(1577836800000);
}

/* Moves a clock that is moved by hand; negative milliseconds move the wall only, as a correction does. */
void clock_move(struct clock *clock, int64_t ms);
