/* When a batch waits for company. */
#include "base/gather.h"

#include "rig/test.h"

enum { MS = 1000 * 1000 };

/* A batch of 650 bytes that took two milliseconds has ended at 10 ms, and 350 more wait. */
static struct gather after_a_batch(void)
{
    struct gather gather = {.enough = 4096};
    gather_ended(&gather, 650, 350, 8 * MS, 10 * MS);
    return gather;
}

TEST(a_batch_waits_until_as_much_has_come_as_was_under_way)
{
    struct gather gather = after_a_batch();
    CHECK(gather_waits(&gather, 350, 10 * MS));
    CHECK(gather_waits(&gather, 999, 11 * MS));
    CHECK(!gather_waits(&gather, 1000, 11 * MS));
}

TEST(a_batch_waits_no_longer_than_the_last_one_took)
{
    struct gather gather = after_a_batch();
    CHECK(gather_waits(&gather, 350, 12 * MS - 1));
    CHECK(!gather_waits(&gather, 350, 12 * MS));
}

TEST(after_a_slow_medium_a_batch_waits_ten_milliseconds_at_most)
{
    struct gather gather = {.enough = 4096};
    gather_ended(&gather, 650, 0, 1000 * MS, 2000 * MS);
    CHECK(gather_waits(&gather, 100, 2010 * MS - 1));
    CHECK(!gather_waits(&gather, 100, 2010 * MS));
}

TEST(nobody_waits_when_there_is_enough)
{
    struct gather gather = {.enough = 4096};
    gather_ended(&gather, 650, 100000, 8 * MS, 10 * MS);
    CHECK(gather_waits(&gather, 4095, 10 * MS));
    CHECK(!gather_waits(&gather, 4096, 10 * MS));
}

TEST(who_stores_nothing_or_does_not_want_it_never_waits)
{
    struct gather gather = {.enough = 4096};
    gather_ended(&gather, 0, 350, 8 * MS, 10 * MS);
    CHECK(!gather_waits(&gather, 1, 10 * MS));
    struct gather unwanted = {.enough = 0};
    gather_ended(&unwanted, 650, 350, 8 * MS, 10 * MS);
    CHECK(!gather_waits(&unwanted, 1, 10 * MS));
}

TEST(a_single_message_after_a_single_message_does_not_wait)
{
    struct gather gather = {.enough = 4096};
    gather_ended(&gather, 100, 0, 8 * MS, 10 * MS);
    CHECK(!gather_waits(&gather, 100, 10 * MS));
}

/* How many of so many batches wait, when what is waited for never comes. */
static unsigned waits_of(struct gather *gather, unsigned batches)
{
    unsigned waits = 0;
    for (unsigned i = 0; i < batches; i++) {
        gather_ended(gather, 650, 0, 8 * MS, 10 * MS);
        if (!gather_waits(gather, 1, 10 * MS))
            continue;
        waits++;
        gather_waited(gather, 1);
    }
    return waits;
}

TEST(waiting_in_vain_becomes_rare_and_does_not_end)
{
    struct gather gather = {.enough = 4096};
    CHECK_INT(waits_of(&gather, 1 + 3 + 5 + 9 + 17 + 33), 6);
    CHECK_INT(waits_of(&gather, 650), 10);
}

TEST(one_wait_that_was_worth_it_makes_up_for_all_in_vain)
{
    struct gather gather = {.enough = 4096};
    CHECK_INT(waits_of(&gather, 1), 1);
    CHECK_INT(waits_of(&gather, 2), 0);
    gather_ended(&gather, 650, 0, 8 * MS, 10 * MS);
    gather_waited(&gather, 650);
    CHECK_INT(waits_of(&gather, 1), 1);
    CHECK_INT(waits_of(&gather, 2), 0);
    CHECK_INT(waits_of(&gather, 1), 1);
}
