/* The simulator's log against the real one, append by append. */
#include "schedule/simulate_log.h"

#include "base/loop.h"
#include "rig/test.h"
#include "store/folder.h"
#include "store/seglog.h"

struct pair {
    char *folder;
    struct clock clock;
    struct loop *loop;
    struct seglogs *logs;
    struct seglog *real;
    struct simulate_log model;
    uint64_t written; /* of a new one */
};

static void pair_init(struct pair *pair, uint64_t segment_bytes, uint64_t max_bytes)
{
    *pair = (struct pair){.clock = {.by_hand = true, .wall = 1700000000000}};
    pair->folder = folder_new();
    CHECK_INT(loop_new(&pair->loop, &pair->clock), 0);
    CHECK_INT(seglogs_open(&pair->logs, pair->loop, pair->folder, WORKER_INLINE), 0);
    struct seglog_options options = {.segment_bytes = segment_bytes, .max_bytes = max_bytes};
    CHECK_INT(seglog_open(&pair->real, pair->logs, "log", &options), 0);
    pair->model.segment_bytes = segment_bytes;
    pair->model.max_bytes = max_bytes;
    simulate_log_init(&pair->model);
    pair->written = pair->model.written - seglog_written(pair->real);
}

static void pair_done(struct pair *pair)
{
    simulate_log_done(&pair->model);
    pair->real = seglog_close(pair->real);
    pair->logs = seglogs_close(pair->logs);
    pair->loop = loop_free(pair->loop);
    folder_free(pair->folder);
}

enum { BATCHES = 8, BLOCKS = 8000 }; /* records of two batches; their bytes */

static void check_near(uint64_t model, uint64_t real, uint64_t slack)
{
    uint64_t apart = model > real ? model - real : real - model;
    CHECK(apart <= real / 20 + slack); /* five percent */
}

/* The model knows neither numbers nor topics, so that it is near, and not the same. */
static void pair_check(const struct pair *pair)
{
    check_near(pair->model.next, seglog_next(pair->real), BATCHES);
    check_near(pair->model.bytes, seglog_bytes(pair->real), BLOCKS);
    check_near(pair->model.written - pair->written, seglog_written(pair->real), BLOCKS);
    check_near(pair->model.flash, seglog_flash(pair->real), BLOCKS);
}

static uint8_t payload[70000];

static void nothing(struct work *work)
{
    (void)work;
}

/* The next one gives the work back. */
static void two_turns(struct pair *pair)
{
    loop_turn(pair->loop, 0);
    loop_turn(pair->loop, 0);
}

/* One turn with so many records of that size. */
static void pair_append(struct pair *pair, size_t count, size_t size)
{
    static struct seglog_append appends[64];
    CHECK(count <= array_size(appends) && size <= sizeof payload + 3);
    for (size_t i = 0; i < count; i++) {
        appends[i] = (struct seglog_append){.work.done = nothing,
                                            .record = {.wall = pair->clock.wall,
                                                       .topic = "a/b",
                                                       .topic_len = 3,
                                                       .payload = payload,
                                                       .payload_len = size - 3}};
        seglog_append(pair->real, &appends[i]);
        (void)simulate_log_append(&pair->model, pair->clock.wall, size);
    }
    simulate_log_sync(&pair->model);
    two_turns(pair);
    for (size_t i = 0; i < count; i++)
        CHECK(appends[i].work.r == 0 || appends[i].work.r == SEGLOG_FULL);
}

TEST(appends_of_all_sizes_and_batches_weigh_write_and_wear_the_same)
{
    struct pair pair;
    uint32_t random = 5;
    pair_init(&pair, 64 * 1024, 0);
    for (unsigned turn = 0; turn < 600; turn++) {
        random = random * 1664525 + 1013904223;
        size_t count = 1 + (random >> 8) % (turn % 7 ? 3 : 40),
               size = 3 + (random >> 16) % (turn % 5 ? 300 : 9000);
        pair_append(&pair, turn % 97 ? count : 1, turn % 97 ? size : 70000);
        pair_check(&pair);
    }
    pair_done(&pair);
}

TEST(a_full_log_refuses_and_what_is_released_makes_the_same_room)
{
    struct pair pair;
    pair_init(&pair, 0, 256 * 1024);
    for (unsigned turn = 0; turn < 400; turn++) {
        pair_append(&pair, 4, 900);
        if (turn % 50 == 49) {
            struct seglog_survey survey = {.work.done = nothing, .bytes = 100000};
            seglog_survey(pair.real, &survey);
            two_turns(&pair);
            uint64_t before = simulate_log_survey(&pair.model, 0, INT64_MIN, 100000);
            check_near(before, survey.before, BATCHES);
            struct seglog_release release = {.work.done = nothing, .before = survey.before + 1};
            seglog_release(pair.real, &release);
            simulate_log_release(&pair.model, before + 1);
            two_turns(&pair);
        }
        pair_check(&pair);
    }
    CHECK(pair.model.next < 1600); /* some were refused */
    pair_done(&pair);
}
