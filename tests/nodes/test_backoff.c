#include "ghn/backoff.h"

#include "rig/test.h"

TEST(waits_double_from_a_second_to_five_minutes)
{
    static const uint32_t longest[] = {1000,  2000,   4000,   8000,   16000, 32000,
                                       64000, 128000, 256000, 300000, 300000};
    ghn_backoff backoff = {0};
    for (size_t i = 0; i < sizeof longest / sizeof longest[0]; i++)
        CHECK_INT(ghn_backoff_next(&backoff, UINT16_MAX), longest[i]);
}

TEST(chance_takes_at_most_half_of_a_wait)
{
    ghn_backoff backoff = {0};
    CHECK_INT(ghn_backoff_next(&backoff, 0), 500);
    CHECK_INT(ghn_backoff_next(&backoff, 0), 1000);
    CHECK_INT(ghn_backoff_next(&backoff, 0x8000), 3000); /* the middle */
    for (int i = 0; i < 20; i++)
        (void)ghn_backoff_next(&backoff, 0);
    CHECK_INT(ghn_backoff_next(&backoff, 0), 150000);
    CHECK_INT(ghn_backoff_next(&backoff, 0x8000), 225018);
}

TEST(a_minute_of_connection_forgives_what_was_before)
{
    ghn_backoff backoff = {0};
    (void)ghn_backoff_next(&backoff, 0);
    (void)ghn_backoff_next(&backoff, 0);
    ghn_backoff_after(&backoff, 59999);
    CHECK_INT(ghn_backoff_next(&backoff, UINT16_MAX), 4000);
    ghn_backoff_after(&backoff, 60000);
    CHECK_INT(ghn_backoff_next(&backoff, UINT16_MAX), 1000);
}
