/* Things that are taken and given back. */
#include "base/slab.h"

#include "rig/test.h"

enum { THINGS = 1000, SIZE = 72 };

static bool is_zero(const uint8_t *bytes)
{
    for (size_t i = 0; i < SIZE; i++)
        if (bytes[i])
            return false;
    return true;
}

/* Takes so many, each of which is zeroed, and writes its number all over it. */
static void take_all(struct slab *slab, uint8_t **things, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        things[i] = slab_take(slab);
        CHECK(is_zero(things[i]));
        memset(things[i], (int)(i % 255 + 1), SIZE);
    }
}

static void check_all(uint8_t **things, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        for (size_t at = 0; things[i] && at < SIZE; at++)
            CHECK_INT(things[i][at], i % 255 + 1);
}

TEST(things_are_zeroed_and_do_not_overlap)
{
    static uint8_t *things[THINGS];
    struct slab slab;
    slab_init(&slab, SIZE);
    for (int round = 0; round < 3; round++) {
        take_all(&slab, things, THINGS);
        check_all(things, THINGS);
        for (unsigned i = 0; i < THINGS; i++)
            slab_give(things[i]);
    }
    slab_done(&slab);
}

TEST(things_that_stay_are_not_touched_when_others_come_and_go)
{
    static uint8_t *things[THINGS];
    struct slab slab;
    slab_init(&slab, SIZE);
    take_all(&slab, things, THINGS);
    for (unsigned step = 2; step < 7; step++) {
        for (unsigned i = 0; i < THINGS; i += step) {
            slab_give(things[i]);
            things[i] = NULL;
        }
        check_all(things, THINGS);
        for (unsigned i = 0; i < THINGS; i += 2 * step) {
            if (things[i])
                continue;
            things[i] = slab_take(&slab);
            CHECK(is_zero(things[i]));
            memset(things[i], (int)(i % 255 + 1), SIZE);
        }
        check_all(things, THINGS);
    }
    for (unsigned i = THINGS; i-- > 0;)
        slab_give(things[i]);
    slab_done(&slab);
}

TEST(what_was_given_back_is_taken_again)
{
    struct slab slab;
    slab_init(&slab, SIZE);
    void *first = slab_take(&slab), *second = slab_take(&slab);
    slab_give(first);
    void *again = slab_take(&slab);
    CHECK(SLAB_IS_WATCHED || again == first);
    slab_give(again);
    slab_give(second);
    slab_done(&slab);
}

TEST(a_slab_may_end_before_its_things)
{
    static uint8_t *things[THINGS];
    struct slab slab;
    slab_init(&slab, SIZE);
    take_all(&slab, things, THINGS);
    slab_give(things[THINGS - 1]);
    things[THINGS - 1] = NULL;
    slab_done(&slab);
    check_all(things, THINGS);
    for (unsigned i = 0; i < THINGS; i++)
        slab_give(things[i]);
}

TEST(a_thing_may_be_as_small_as_a_byte)
{
    struct slab slab;
    slab_init(&slab, 1);
    uint8_t *one = slab_take(&slab), *other = slab_take(&slab);
    *one = 1;
    *other = 2;
    slab_give(one);
    CHECK_INT(*other, 2);
    slab_give(other);
    slab_done(&slab);
}
