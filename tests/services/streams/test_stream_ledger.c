/* Books: what they say after every kind of move. */
#include "rig/test.h"
#include "services/streams/stream_ledger.h"

#include <stdlib.h>

TEST(every_number_that_is_passed_ends_in_one_way)
{
    struct ledger l = {.start = 100, .base = 90, .next = 100};
    CHECK(ledger_adds_up(&l));
    ledger_settle(&l, 110, LEDGER_DELIVERED, (struct ledger_gaps){0});
    ledger_settle(&l, 120, LEDGER_EXPIRED, (struct ledger_gaps){.missing = 2, .unused = 3});
    ledger_settle(&l, 125, LEDGER_EVICTED, (struct ledger_gaps){.unused = 1});
    ledger_settle(&l, 126, LEDGER_DEAD, (struct ledger_gaps){0});
    CHECK_INT((int64_t)l.delivered, 10);
    CHECK_INT((int64_t)l.expired, 5);
    CHECK_INT((int64_t)l.evicted, 4);
    CHECK_INT((int64_t)l.dead, 1);
    CHECK_INT((int64_t)l.missing, 2);
    CHECK_INT((int64_t)l.unused, 4);
    CHECK_INT((int64_t)l.next, 126);
    CHECK(ledger_adds_up(&l));
    CHECK_INT((int64_t)ledger_total(&l, 7), 27);
}

TEST(books_in_which_one_number_is_wrong_do_not_add_up)
{
    const struct ledger good = {.start = 1,
                                .next = 22,
                                .delivered = 6,
                                .expired = 5,
                                .evicted = 4,
                                .dead = 3,
                                .missing = 2,
                                .unused = 1};
    CHECK(ledger_adds_up(&good));
    for (size_t i = 0; i < sizeof good / sizeof(uint64_t); i++) {
        union {
            struct ledger ledger;
            uint64_t numbers[sizeof good / sizeof(uint64_t)];
        } bad = {good};
        bad.numbers[i]++;
        CHECK_INT(ledger_adds_up(&bad.ledger), i == 1); /* base is not part of it */
    }
    CHECK(!ledger_adds_up(&(struct ledger){.start = 2, .next = 1, .delivered = UINT64_MAX}));
}

TEST(going_back_takes_back_what_was_counted_on_the_way)
{
    struct ledger l = {.start = 10, .base = 10, .next = 10};
    ledger_settle(&l, 20, LEDGER_DELIVERED, (struct ledger_gaps){.missing = 2, .unused = 1});
    struct ledger before = l;
    CHECK(ledger_rewind(&l, 15, (struct ledger_gaps){.missing = 1, .unused = 1}));
    CHECK_INT((int64_t)l.delivered, 4);
    CHECK_INT((int64_t)l.missing, 1);
    CHECK_INT((int64_t)l.unused, 0);
    CHECK(ledger_adds_up(&l));
    ledger_settle(&l, 20, LEDGER_DELIVERED, (struct ledger_gaps){.missing = 1, .unused = 1});
    CHECK(memcmp(&l, &before, sizeof l) == 0);
    CHECK(!ledger_rewind(&l, 9, (struct ledger_gaps){0})); /* before its beginning */
    CHECK(!ledger_rewind(&l, 21, (struct ledger_gaps){0}));
    CHECK(memcmp(&l, &before, sizeof l) == 0);
}

TEST(damage_that_is_not_known_any_more_is_taken_back_from_what_is_missing)
{
    struct ledger l = {0};
    ledger_settle(&l, 10, LEDGER_DELIVERED, (struct ledger_gaps){.missing = 8});
    CHECK(ledger_rewind(&l, 0, (struct ledger_gaps){0})); /* after a restart nobody knows of the eight */
    CHECK(ledger_adds_up(&l));
    CHECK_INT((int64_t)(l.delivered + l.missing), 0);
}

TEST(what_was_given_up_is_taken_back_last)
{
    struct ledger l = {0};
    ledger_settle(&l, 10, LEDGER_EVICTED, (struct ledger_gaps){0});
    ledger_settle(&l, 15, LEDGER_DELIVERED, (struct ledger_gaps){0});
    CHECK(ledger_rewind(&l, 10, (struct ledger_gaps){0}));
    CHECK_INT((int64_t)l.evicted, 10);
    CHECK(ledger_rewind(&l, 7, (struct ledger_gaps){0}));
    CHECK_INT((int64_t)l.evicted, 7);
    CHECK(ledger_adds_up(&l));
}

TEST(two_that_follow_each_other_are_one)
{
    struct ledger first = {.start = 5, .base = 4, .next = 5}, second = {.start = 20, .base = 20, .next = 20},
                  whole = first;
    ledger_settle(&first, 20, LEDGER_DELIVERED, (struct ledger_gaps){.missing = 1});
    ledger_settle(&second, 30, LEDGER_DEAD, (struct ledger_gaps){.unused = 3});
    ledger_settle(&whole, 20, LEDGER_DELIVERED, (struct ledger_gaps){.missing = 1});
    ledger_settle(&whole, 30, LEDGER_DEAD, (struct ledger_gaps){.unused = 3});
    struct ledger joined = ledger_join(&first, &second);
    CHECK(memcmp(&joined, &whole, sizeof whole) == 0);
    CHECK(ledger_adds_up(&joined));
}

TEST(books_add_up_whatever_happens_in_any_order)
{
    unsigned seed = 1;
    struct ledger l = {0};
    for (int i = 0; i < 10000; i++) {
        uint64_t step = (uint64_t)rand_r(&seed) % 20;
        struct ledger_gaps gaps = {.missing = step / 5 * (uint64_t)(rand_r(&seed) % 2),
                                   .unused = step / 7 * (uint64_t)(rand_r(&seed) % 2)};
        if (rand_r(&seed) % 4)
            ledger_settle(&l, l.next + step, (enum ledger_end)(rand_r(&seed) % 4), gaps);
        else
            (void)!ledger_rewind(&l, l.next - (step < l.next ? step : l.next), gaps);
        CHECK(ledger_adds_up(&l));
    }
}
