/* Pauses between attempts. */
#include "cloud/backoff.h"
#include "rig/test.h"

TEST(a_pause_doubles_from_the_shortest_to_the_longest)
{
    static const int64_t pauses[] = {1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000, 60000};
    struct backoff backoff = {.min = 1000, .max = 60000};
    for (size_t i = 0; i < array_size(pauses); i++)
        CHECK_INT(backoff_pause(&backoff, 0), pauses[i]);
    backoff_reset(&backoff);
    CHECK_INT(backoff_pause(&backoff, 0), 1000);
}

TEST(jitter_takes_away_half_at_most)
{
    struct backoff backoff = {.min = 1000, .max = 60000};
    CHECK_INT(backoff_pause(&backoff, UINT32_MAX), 500);
    CHECK_INT(backoff_pause(&backoff, UINT32_MAX / 2), 2000 - 499);
    CHECK_INT(backoff_pause(&backoff, UINT32_MAX), 2000);
}

TEST(the_longest_pauses_do_not_overflow)
{
    struct backoff backoff = {.min = INT64_MAX / 4, .max = INT64_MAX / 2};
    for (int i = 0; i < 5; i++) {
        int64_t pause = backoff_pause(&backoff, 0);
        CHECK(pause >= INT64_MAX / 4 && pause <= INT64_MAX / 2);
    }
}

TEST(equal_limits_are_one_pause)
{
    struct backoff backoff = {.min = 50, .max = 50};
    for (int i = 0; i < 5; i++)
        CHECK_INT(backoff_pause(&backoff, 0), 50);
}
