/* The spool with the log's thread, and a disk that takes its time: a sync lasts until the test lets it go, so that what
 * happens meanwhile happens while it is under way. */
#include "mqtt/spool_rig.h"

#include <semaphore.h>
#include <stdatomic.h>
#include <unistd.h>

int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);

static struct {
    atomic_bool closed;
    sem_t entered, open;
} gate;

int __wrap_fdatasync(int fd)
{
    if (atomic_load(&gate.closed)) {
        (void)sem_post(&gate.entered);
        while (sem_wait(&gate.open) < 0)
            ;
    }
    return __real_fdatasync(fd);
}

static const struct spool_options small = {.segment_bytes = 4096, .waste_max = 8192};

static void init(struct spool_rig *rig)
{
    atomic_store(&gate.closed, false);
    CHECK_INT(sem_init(&gate.entered, 0, 0), 0);
    CHECK_INT(sem_init(&gate.open, 0, 0), 0);
    spool_rig_init_with(rig, &small, WORKER_THREAD);
}

static void done(struct spool_rig *rig)
{
    spool_rig_done(rig);
    (void)sem_destroy(&gate.entered);
    (void)sem_destroy(&gate.open);
}

static void turn(struct spool_rig *rig)
{
    CHECK(loop_turn(rig->loop, 0) >= 0);
}

/* What has been said until now is written, and waits for the sync. */
static void hold_the_sync(struct spool_rig *rig)
{
    atomic_store(&gate.closed, true);
    turn(rig);
    while (sem_wait(&gate.entered) < 0)
        ;
}

static void let_it_go(void)
{
    atomic_store(&gate.closed, false);
    (void)sem_post(&gate.open);
}

TEST(while_the_sync_lasts_nobody_is_told)
{
    struct spool_rig rig;
    init(&rig);
    struct promise promise;
    rig_publish(&rig, "a", 2, &promise, "1");
    hold_the_sync(&rig);
    for (int i = 0; i < 10; i++)
        turn(&rig);
    CHECK_INT(promise.r, RIG_UNSETTLED);
    CHECK(!spool_is_synced(rig_mail(&rig, 1, 0)));
    let_it_go();
    rig_turn(&rig);
    CHECK_INT(promise.r, 0);
    CHECK(spool_is_synced(rig_mail(&rig, 1, 0)));
    done(&rig);
}

TEST(what_is_given_up_while_the_sync_lasts_stays_given_up)
{
    struct spool_rig rig;
    init(&rig);
    struct promise promise;
    rig_publish_from(&rig, "a", &promise, "12", 3, 7);
    hold_the_sync(&rig);
    rig_done_with(&rig, 1, 0);
    turn(&rig);
    rig_done_with(&rig, 2, 0);
    let_it_go();
    rig_turn(&rig);
    CHECK_INT(promise.r, 0);
    CHECK_STR(rig_state(&rig), "taken 3:7");
    rig_restart(&rig);
    CHECK_STR(rig_state(&rig), "taken 3:7");
    done(&rig);
}

/* What session 1 waits for is most of the log; when it has got it, what is older is written again. */
static void fill_the_log(struct spool_rig *rig)
{
    static char payload[15001];
    memset(payload, 'p', sizeof payload - 1);
    rig_publish(rig, payload, 1, NULL, "1");
    rig_turn(rig);
}

/* The facts that have been said are under way when the copies are handed over, behind them. */
static void move_while_facts_are_under_way(struct spool_rig *rig, const struct promise *promise)
{
    hold_the_sync(rig);
    rig_done_with(rig, 1, 0);
    turn(rig);
    if (promise)
        CHECK_INT(promise->r, RIG_UNSETTLED);
    let_it_go();
    rig_turn(rig);
    if (promise)
        CHECK_INT(promise->r, 0);
    CHECK(rig_counters(rig).moved > 0);
}

static void check_state(struct spool_rig *rig, const char *expected)
{
    CHECK_STR(rig_state(rig), expected);
    cleanup_free char *copy = rig_state_of_copy(rig);
    CHECK_STR(copy, expected);
    rig_restart(rig);
    CHECK_STR(rig_state(rig), expected);
}

TEST(a_copy_does_not_take_back_a_pubrec_that_is_being_written)
{
    struct spool_rig rig;
    init(&rig);
    struct promise received;
    rig_publish(&rig, "his", 2, NULL, "9");
    fill_the_log(&rig);
    rig_receive(&rig, 9, 0, &received);
    move_while_facts_are_under_way(&rig, &received);
    check_state(&rig, "9/0 his twice received");
    done(&rig);
}

TEST(a_copy_does_not_take_again_what_is_being_released)
{
    struct spool_rig rig;
    init(&rig);
    struct promise with, alone, first, second;
    rig_publish_from(&rig, "his", &with, "9", 5, 7);
    rig_take(&rig, 5, 8, &alone);
    fill_the_log(&rig);
    rig_release(&rig, 5, 7, &first);
    rig_release(&rig, 5, 8, &second);
    move_while_facts_are_under_way(&rig, &first);
    CHECK_INT(second.r, 0);
    check_state(&rig, "9/0 his twice");
    done(&rig);
}

TEST(a_copy_does_not_bring_back_what_is_being_delivered)
{
    struct spool_rig rig;
    init(&rig);
    rig_publish(&rig, "his", 1, NULL, "89");
    fill_the_log(&rig);
    rig_done_with(&rig, 8, 0);
    move_while_facts_are_under_way(&rig, NULL);
    check_state(&rig, "9/0 his");
    done(&rig);
}

TEST(closing_waits_for_what_is_under_way)
{
    struct spool_rig rig;
    init(&rig);
    struct promise promise;
    rig_publish(&rig, "a", 1, &promise, "12");
    turn(&rig);
    rig_done_with(&rig, 1, 0);
    rig_restart(&rig);
    CHECK_INT(promise.r, 0);
    CHECK_STR(rig_state(&rig), "2/0 a");
    done(&rig);
}

/* ---- the thread at its own pace -------------------------------------------------------------------------------------- */

static uint64_t seed;

static uint64_t below(uint64_t limit)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed % limit;
}

static struct promise promises[2000];

static void do_something(struct spool_rig *rig, uint64_t number)
{
    static char payload[1001];
    struct promise *promise = &promises[number];
    const char sessions[] = {(char)('1' + below(6)), '8', '\0'};
    memset(payload, (int)('a' + number % 26), sizeof payload - 1);
    payload[10 + below(900)] = '\0';
    const struct held *held = rig->held_count ? &rig->held[below(rig->held_count)] : NULL;
    const struct taken *taken = rig->taken_count ? &rig->taken[below(rig->taken_count)] : NULL;
    switch (below(number % 400 < 200 ? 6 : 16)) { /* much comes, then most of it goes: the rest is moved */
    case 0:
    case 1: rig_publish(rig, payload, 2, promise, sessions); break;
    case 2:
        if (rig->taken_count < array_size(rig->taken) / 2)
            rig_publish_from(rig, payload, promise, sessions, 9, (uint16_t)(1 + number));
        break;
    case 3:
        if (taken)
            rig_release(rig, taken->session, taken->packet_id, promise);
        break;
    case 4:
        if (held && !held->mail->state)
            rig_receive(rig, held->session, held->index, promise);
        break;
    default:
        if (held)
            rig_done_with(rig, held->session, held->index);
    }
}

TEST(whatever_is_under_way_a_restart_changes_nothing)
{
    uint64_t moved = 0;
    for (uint64_t round = 1; round <= 5; round++) {
        struct spool_rig rig;
        init(&rig);
        seed = round * 15485863;
        for (uint64_t i = 0; i < array_size(promises); i++) {
            do_something(&rig, i);
            if (below(3) == 0)
                turn(&rig);
            if (i % 400 == 399) {
                rig_turn(&rig);
                moved += rig_counters(&rig).moved;
                cleanup_free char *before = str_copy(rig_state(&rig));
                rig_restart(&rig);
                CHECK_STR(rig_state(&rig), before);
            }
        }
        done(&rig);
    }
    CHECK(moved > 0);
}
