/* Whose record is next. */
#include "rig/test.h"
#include "services/streams/stream_schedule.h"

/* Who has the next `count` slots, as letters: "aab" is 0, 0, 1. */
static const char *slots(struct schedule *schedule, const struct schedule_stream *streams,
                         size_t stream_count, size_t count)
{
    static char letters[256];
    CHECK(count < sizeof letters);
    for (size_t i = 0; i < count; i++) {
        int next = schedule_next(schedule, streams, stream_count);
        letters[i] = next < 0 ? '-' : (char)('a' + next);
    }
    letters[count] = '\0';
    return letters;
}

TEST(nobody_who_is_not_ready_is_next)
{
    struct schedule schedule = {0};
    const struct schedule_stream none[] = {{1, false}, {2, false}};
    CHECK_STR(slots(&schedule, none, 2, 3), "---");
    CHECK_INT(schedule.slot, 0);
    CHECK_STR(slots(&schedule, NULL, 0, 1), "-");
    const struct schedule_stream one[] = {{1, false}, {2, true}};
    CHECK_STR(slots(&schedule, one, 2, 20), "bbbbbbbbbbbbbbbbbbbb");
}

TEST(every_eighth_slot_is_a_lower_priority_s)
{
    struct schedule schedule = {0};
    const struct schedule_stream streams[] = {{1, true}, {5, true}};
    CHECK_STR(slots(&schedule, streams, 2, 24), "aaaaaaabaaaaaaabaaaaaaab");
}

TEST(the_others_share_their_slots_whatever_their_priority)
{
    struct schedule schedule = {0};
    const struct schedule_stream streams[] = {{1, true}, {5, true}, {10, true}};
    CHECK_STR(slots(&schedule, streams, 3, 32), "aaaaaaabaaaaaaacaaaaaaabaaaaaaac");
}

TEST(streams_of_one_priority_take_turns)
{
    struct schedule schedule = {0};
    const struct schedule_stream streams[] = {{3, true}, {3, true}, {3, true}};
    CHECK_STR(slots(&schedule, streams, 3, 9), "bcabcabca");
    const struct schedule_stream mixed[] = {{3, true}, {9, true}, {3, true}};
    struct schedule other = {0};
    CHECK_STR(slots(&other, mixed, 3, 16), "cacacacbacacacab");
}

TEST(a_lower_priority_has_all_when_the_first_has_nothing)
{
    struct schedule schedule = {0};
    struct schedule_stream streams[] = {{1, false}, {5, true}};
    CHECK_STR(slots(&schedule, streams, 2, 10), "bbbbbbbbbb");
    streams[0].ready = true; /* and the first does not wait for its turn for long */
    const char *next = slots(&schedule, streams, 2, 2);
    CHECK(strchr(next, 'a'));
}

TEST(nobody_starves_for_longer_than_the_others_times_eight)
{
    struct schedule schedule = {0};
    const struct schedule_stream streams[] = {{1, true}, {2, true}, {3, true}, {4, true}, {4, true}};
    unsigned waited[5] = {0};
    for (int i = 0; i < 10000; i++) {
        int next = schedule_next(&schedule, streams, 5);
        CHECK(next >= 0);
        for (int k = 0; k < 5; k++)
            waited[k] = k == next ? 0 : waited[k] + 1;
        for (int k = 0; k < 5; k++)
            CHECK(waited[k] <= 4 * SCHEDULE_SLOTS);
        CHECK(waited[0] <= 1);
    }
}
