/* The room that the spool takes: what nobody needs goes, what somebody needs stays, and who stays away for long does not
 * keep what is not his. */
#include "mqtt/spool_rig.h"

static const struct spool_options small = {.segment_bytes = 4096, .waste_max = 8192};

enum { PAYLOAD = 1000, PER_SEGMENT = 3 };

static const char *payload(char letter)
{
    static char text[PAYLOAD + 1];
    memset(text, letter, PAYLOAD);
    return text;
}

/* One at a time: a message comes, is delivered, the next one comes. */
static void pass_through(struct spool_rig *rig, const char *session, int count)
{
    uint64_t number = (uint64_t)(*session - '0');
    for (int i = 0; i < count; i++) {
        uint64_t index = rig->next_index[number];
        rig_publish(rig, payload('p'), 1, NULL, session);
        rig_turn(rig);
        rig_done_with(rig, number, index);
        rig_turn(rig);
    }
}

/* ---- released -------------------------------------------------------------------------------------------------------- */

TEST(segments_go_when_nobody_needs_them)
{
    struct spool_rig rig;
    spool_rig_init(&rig, &small);
    for (int i = 0; i < 10 * PER_SEGMENT; i++)
        rig_publish(&rig, payload('a'), 1, NULL, "1");
    rig_turn(&rig);
    CHECK(rig_segments(&rig) >= 10);
    for (uint64_t i = 0; i < 5 * PER_SEGMENT; i++)
        rig_done_with(&rig, 1, i);
    rig_turn(&rig);
    CHECK(rig_segments(&rig) >= 5);
    CHECK(rig_segments(&rig) <= 7);
    for (uint64_t i = 5 * PER_SEGMENT; i < 10 * PER_SEGMENT; i++)
        rig_done_with(&rig, 1, i);
    rig_turn(&rig);
    CHECK_INT((int64_t)rig_segments(&rig), 1);
    spool_rig_done(&rig);
}

TEST(messages_that_come_one_at_a_time_leave_nothing_behind)
{
    struct spool_rig rig;
    spool_rig_init(&rig, &small);
    for (int i = 0; i < 20; i++) {
        pass_through(&rig, "1", PER_SEGMENT);
        CHECK(rig_segments(&rig) <= 3);
    }
    CHECK_INT((int64_t)rig_counters(&rig).moved, 0);
    spool_rig_done(&rig);
}

TEST(a_segment_stays_while_one_of_many_needs_it)
{
    struct spool_rig rig;
    spool_rig_init(&rig, &(struct spool_options){.segment_bytes = 4096, .waste_max = 1 << 20});
    for (int i = 0; i < 5 * PER_SEGMENT; i++)
        rig_publish(&rig, payload('a'), 1, NULL, i ? "1" : "12");
    rig_turn(&rig);
    for (uint64_t i = 0; i < 5 * PER_SEGMENT; i++)
        rig_done_with(&rig, 1, i);
    rig_turn(&rig);
    CHECK(rig_segments(&rig) >= 5);
    rig_done_with(&rig, 2, 0);
    rig_turn(&rig);
    CHECK_INT((int64_t)rig_segments(&rig), 1);
    spool_rig_done(&rig);
}

TEST(a_packet_id_that_is_not_released_keeps_its_segment)
{
    struct spool_rig rig;
    spool_rig_init(&rig, &(struct spool_options){.segment_bytes = 4096, .waste_max = 1 << 20});
    struct promise taken, released;
    rig_take(&rig, 5, 7, &taken);
    rig_turn(&rig);
    pass_through(&rig, "1", 5 * PER_SEGMENT);
    CHECK(rig_segments(&rig) >= 5);
    rig_restart(&rig);
    CHECK_STR(rig_state(&rig), "taken 5:7");
    rig_release(&rig, 5, 7, &released);
    rig_turn(&rig);
    CHECK_INT((int64_t)rig_segments(&rig), 1);
    spool_rig_done(&rig);
}

/* All mails are forgotten then, which is not to say that they are not needed. */
TEST(closing_gives_nothing_back)
{
    struct spool_rig rig;
    spool_rig_init(&rig, &small);
    for (int i = 0; i < 5 * PER_SEGMENT; i++)
        rig_publish(&rig, payload('a'), 1, NULL, "1");
    rig_turn(&rig);
    for (int i = 0; i < 3; i++) {
        rig_restart(&rig);
        CHECK_INT((int64_t)rig.held_count, 5 * PER_SEGMENT);
        rig_turn(&rig);
    }
    CHECK_INT((int64_t)rig.held_count, 5 * PER_SEGMENT);
    spool_rig_done(&rig);
}

TEST(what_nobody_wants_any_more_goes_at_the_next_start)
{
    struct spool_rig rig;
    spool_rig_init(&rig, &small);
    for (int i = 0; i < 5 * PER_SEGMENT; i++)
        rig_publish(&rig, payload('a'), 1, NULL, "1");
    rig_turn(&rig);
    rig_close(&rig);
    rig.nobody_is_known = true;
    rig_open(&rig);
    rig_turn(&rig);
    CHECK_INT((int64_t)rig_segments(&rig), 1);
    spool_rig_done(&rig);
}

/* ---- moved ------------------------------------------------------------------------------------------------------------ */

TEST(what_a_straggler_waits_for_is_copied_forward_and_the_rest_goes)
{
    struct spool_rig rig;
    spool_rig_init(&rig, &small);
    rig_publish(&rig, "his", 1, NULL, "9"); /* the first record there is */
    rig_turn(&rig);
    pass_through(&rig, "1", 100);
    CHECK(rig_counters(&rig).moved >= 5);
    CHECK(rig_segments(&rig) <= 5);
    CHECK_STR(rig_state(&rig), "9/0 his");
    rig_restart(&rig);
    CHECK_STR(rig_state(&rig), "9/0 his");
    pass_through(&rig, "1", 100);
    CHECK(rig_segments(&rig) <= 5);
    CHECK_STR(rig_state(&rig), "9/0 his");
    spool_rig_done(&rig);
}

TEST(a_packet_id_is_copied_forward_too)
{
    struct spool_rig rig;
    spool_rig_init(&rig, &small);
    struct promise taken, released;
    rig_take(&rig, 5, 7, &taken);
    rig_turn(&rig);
    pass_through(&rig, "1", 100);
    CHECK(rig_segments(&rig) <= 5);
    rig_restart(&rig);
    CHECK_STR(rig_state(&rig), "taken 5:7");
    rig_release(&rig, 5, 7, &released);
    rig_turn(&rig);
    rig_restart(&rig);
    CHECK_STR(rig_state(&rig), "");
    spool_rig_done(&rig);
}

TEST(while_most_of_the_log_is_alive_nothing_is_moved)
{
    struct spool_rig rig;
    spool_rig_init(&rig, &small);
    for (int i = 0; i < 30 * PER_SEGMENT; i++)
        rig_publish(&rig, payload('a'), 1, NULL, "1");
    rig_turn(&rig);
    for (uint64_t i = 0; i < 30 * PER_SEGMENT; i += 3)
        rig_done_with(&rig, 1, i);
    rig_turn(&rig);
    CHECK_INT((int64_t)rig_counters(&rig).moved, 0);
    spool_rig_done(&rig);
}

/* Every third is left, which is less than half: they are moved, until what is not alive is little enough. */
TEST(moving_ends_when_it_has_done_enough)
{
    enum { COUNT = 30 * PER_SEGMENT };
    struct spool_rig rig;
    spool_rig_init(&rig, &small);
    for (int i = 0; i < COUNT; i++)
        rig_publish(&rig, payload('a'), 1, NULL, "1");
    rig_turn(&rig);
    for (uint64_t i = 0; i < COUNT; i++)
        if (i % 3)
            rig_done_with(&rig, 1, i);
    rig_turn(&rig); /* comes to an end */
    struct spool_counters counters = rig_counters(&rig);
    CHECK(counters.moved > 0);
    CHECK(counters.moved <= COUNT / 3);
    CHECK(counters.bytes < 2 * counters.alive + small.waste_max + 2 * small.segment_bytes);
    rig_restart(&rig);
    CHECK_INT((int64_t)rig.held_count, COUNT / 3);
    for (uint64_t i = 0; i < COUNT; i += 3)
        CHECK(rig_mail(&rig, 1, i));
    spool_rig_done(&rig);
}

/* With segments that are larger than the waste that is allowed, moving could go on for ever. */
TEST(a_limit_that_cannot_be_kept_is_not_tried)
{
    struct spool_rig rig;
    spool_rig_init(&rig, &(struct spool_options){.segment_bytes = 64 * 1024, .waste_max = 1});
    rig_publish(&rig, "his", 1, NULL, "9");
    pass_through(&rig, "1", 300);
    CHECK(rig_counters(&rig).moved <= 10);
    CHECK(rig_counters(&rig).bytes < 5 * 64 * 1024);
    CHECK_STR(rig_state(&rig), "9/0 his");
    spool_rig_done(&rig);
}

/* A turn at a time: the mover has begun, and what it moves is delivered before that is written. */
TEST(what_is_delivered_while_it_is_moved_stays_delivered)
{
    for (int turns = 0; turns < 6; turns++) {
        struct spool_rig rig;
        spool_rig_init(&rig, &small);
        rig_publish(&rig, "one", 2, NULL, "89");
        rig_publish(&rig, "two", 2, NULL, "89");
        struct promise received, taken, released;
        rig_publish_from(&rig, "three", &taken, "8", 5, 3);
        rig_turn(&rig);
        for (int i = 0; i < 8; i++) {
            uint64_t index = rig.next_index[1];
            rig_publish(&rig, payload('p'), 1, NULL, "1");
            rig_turn(&rig);
            rig_done_with(&rig, 1, index); /* the last of these sets it going */
            if (i < 7)
                rig_turn(&rig);
        }
        uint64_t before = rig_counters(&rig).moved;
        for (int i = 0; i < turns; i++)
            CHECK(loop_turn(rig.loop, 0) >= 0);
        rig_receive(&rig, 8, 0, &received);
        rig_done_with(&rig, 8, 1);
        rig_done_with(&rig, 9, 0);
        rig_release(&rig, 5, 3, &released);
        rig_turn(&rig);
        pass_through(&rig, "1", 20);
        CHECK(rig_counters(&rig).moved > before);
        CHECK_STR(rig_state(&rig), "8/0 one twice received, 8/2 three twice, 9/1 two twice");
        cleanup_free char *copy = rig_state_of_copy(&rig);
        CHECK_STR(copy, rig_state(&rig));
        spool_rig_done(&rig);
    }
}
