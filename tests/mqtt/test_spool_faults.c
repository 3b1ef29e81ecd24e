/* Disks that are full or cannot sync: whoever waits is told, nothing else is lost, and it works again when the cause is
 * gone. The program is linked with --wrap, so that the system's calls fail when a test says so. */
#include "mqtt/session.h"
#include "mqtt/spool_rig.h"

#include "base/log.h"

#include <errno.h>
#include <sys/uio.h>
#include <unistd.h>

int __real_fdatasync(int fd);
ssize_t __real_pwritev(int fd, const struct iovec *parts, int count, off_t offset);
int __wrap_fdatasync(int fd);
ssize_t __wrap_pwritev(int fd, const struct iovec *parts, int count, off_t offset);

static struct {
    bool full;  /* nothing more can be written */
    int sync;   /* errno of the next sync, once */
    int64_t ok; /* writes that still work before it is full; -1: all */
    unsigned syncs;
} disk;

static int errors;

int __wrap_fdatasync(int fd)
{
    disk.syncs++;
    if (!disk.sync)
        return __real_fdatasync(fd);
    errno = disk.sync;
    disk.sync = 0;
    return -1;
}

ssize_t __wrap_pwritev(int fd, const struct iovec *parts, int count, off_t offset)
{
    if (disk.ok > 0 && --disk.ok == 0)
        disk.full = true;
    if (!disk.full)
        return __real_pwritev(fd, parts, count, offset);
    errno = ENOSPC;
    return -1;
}

static void count_errors(enum log_level level, const char *line)
{
    (void)line;
    errors += level == LOG_LEVEL_ERROR;
}

static void init(struct spool_rig *rig, const struct spool_options *options)
{
    memset(&disk, 0, sizeof disk);
    errors = 0;
    log_capture(count_errors);
    spool_rig_init(rig, options);
}

static void done(struct spool_rig *rig)
{
    spool_rig_done(rig);
    log_capture(NULL);
}

static const struct spool_options defaults;
static const struct spool_options small = {.segment_bytes = 4096, .waste_max = 8192};

/* As sessions do it: what has failed is dropped. */
static size_t drop_failed(struct spool_rig *rig)
{
    size_t count = 0;
    for (size_t i = rig->held_count; i-- > 0;)
        if (spool_has_failed(rig->held[i].mail)) {
            rig_done_with(rig, rig->held[i].session, rig->held[i].index);
            count++;
        }
    return count;
}

/* ---- messages -------------------------------------------------------------------------------------------------------- */

static void check_fails(void (*fault)(void), int r)
{
    struct spool_rig rig;
    init(&rig, &defaults);
    struct promise before, failed, after;
    rig_publish(&rig, "before", 1, &before, "12");
    rig_turn(&rig);
    fault();
    rig_publish(&rig, "failed", 2, &failed, "12");
    rig_turn(&rig);
    CHECK_INT(before.r, 0);
    CHECK_INT(failed.r, r);
    CHECK(!spool_has_failed(rig_mail(&rig, 1, 0)));
    CHECK(spool_has_failed(rig_mail(&rig, 1, 1)));
    CHECK(!spool_is_synced(rig_mail(&rig, 1, 1)));
    CHECK_INT((int64_t)rig_counters(&rig).failed, 1);
    CHECK_INT((int64_t)rig_counters(&rig).messages, 1);
    CHECK_INT(errors, 1);
    CHECK_INT((int64_t)drop_failed(&rig), 2);
    CHECK_STR(rig_state(&rig), "1/0 before, 2/0 before");

    disk.full = false;
    rig_publish(&rig, "after", 1, &after, "1");
    rig_turn(&rig);
    CHECK_INT(after.r, 0);
    CHECK_STR(rig_state(&rig), "1/0 before, 1/2 after, 2/0 before");
    if (r == -ENOSPC) { /* after a sync that failed, what was written may be there after all */
        rig_restart(&rig);
        CHECK_STR(rig_state(&rig), "1/0 before, 1/2 after, 2/0 before");
    }
    done(&rig);
}

static void make_full(void)
{
    disk.full = true;
}

static void break_sync(void)
{
    disk.sync = EIO;
}

TEST(a_full_disk_is_told_and_works_again_with_space)
{
    check_fails(make_full, -ENOSPC);
}

TEST(a_sync_that_fails_is_told_and_works_again_afterwards)
{
    check_fails(break_sync, -EIO);
}

TEST(nobody_is_told_before_the_sync)
{
    struct spool_rig rig;
    init(&rig, &defaults);
    struct promise promise;
    rig_publish(&rig, "a", 1, &promise, "1");
    unsigned before = disk.syncs;
    while (promise.r == RIG_UNSETTLED) {
        CHECK_INT(disk.syncs, before);
        CHECK(loop_turn(rig.loop, 0) >= 0);
        if (promise.r == RIG_UNSETTLED && disk.syncs > before)
            break; /* synced in this turn, told in the next */
    }
    CHECK_INT(promise.r, RIG_UNSETTLED);
    CHECK_INT(disk.syncs, before + 1);
    CHECK(loop_turn(rig.loop, 0) >= 0);
    CHECK_INT(promise.r, 0);
    done(&rig);
}

TEST(a_turn_is_one_sync_however_much_happens_in_it)
{
    struct spool_rig rig;
    init(&rig, &defaults);
    struct promise taken[20];
    rig_publish(&rig, "a", 1, NULL, "9"); /* the first write makes the file */
    rig_turn(&rig);
    for (uint16_t i = 0; i < 20; i++) {
        rig_publish(&rig, "a", 1, NULL, "123");
        rig_take(&rig, 5, (uint16_t)(i + 1), &taken[i]);
        rig_done_with(&rig, 1, i);
    }
    disk.syncs = 0;
    rig_turn(&rig);
    CHECK_INT(disk.syncs, 1);
    done(&rig);
}

TEST(a_message_that_is_too_large_for_a_record_fails_alone)
{
    struct spool_rig rig;
    init(&rig, &defaults);
    struct promise large, other;
    size_t size = SEGLOG_RECORD_MAX + 1;
    cleanup_free char *payload = mem_new_bytes(size);
    struct msg *msg = msg_new("a", 1, payload, size);
    CHECK(msg);
    rig_publish_msg(&rig, msg, 1, &large, "1");
    msg = msg_unref(msg);
    rig_publish(&rig, "other", 1, &other, "1");
    rig_turn(&rig);
    CHECK_INT(large.r, -EMSGSIZE);
    CHECK_INT(other.r, 0);
    CHECK_INT((int64_t)drop_failed(&rig), 1);
    rig_restart(&rig);
    CHECK_STR(rig_state(&rig), "1/1 other");
    done(&rig);
}

/* Its places are gone, and its publisher forgets the packet id when told: nobody needs the record after that. */
TEST(a_message_that_nobody_has_any_more_may_fail)
{
    struct spool_rig rig;
    init(&rig, &defaults);
    struct promise taken;
    rig_publish_from(&rig, "a", &taken, "12", 3, 7);
    rig_done_with(&rig, 1, 0);
    rig_done_with(&rig, 2, 0);
    disk.full = true;
    rig_turn(&rig);
    CHECK_INT(taken.r, -ENOSPC);
    CHECK_STR(rig_state(&rig), "");
    disk.full = false;
    rig_restart(&rig);
    CHECK_STR(rig_state(&rig), "");
    done(&rig);
}

TEST(a_packet_id_of_a_message_that_failed_is_free)
{
    struct spool_rig rig;
    init(&rig, &defaults);
    struct promise taken;
    disk.full = true;
    rig_publish_from(&rig, "a", &taken, "1", 3, 7);
    rig_turn(&rig);
    CHECK_INT(taken.r, -ENOSPC);
    CHECK_INT((int64_t)drop_failed(&rig), 1);
    CHECK_STR(rig_state(&rig), "");
    disk.full = false;
    rig_publish_from(&rig, "again", &taken, "1", 3, 7);
    rig_turn(&rig);
    CHECK_INT(taken.r, 0);
    rig_restart(&rig);
    CHECK_STR(rig_state(&rig), "1/1 again twice, taken 3:7");
    done(&rig);
}

/* ---- facts ----------------------------------------------------------------------------------------------------------- */

TEST(facts_that_cannot_be_written_are_told)
{
    struct spool_rig rig;
    init(&rig, &defaults);
    struct promise taken, received, released, alone;
    rig_publish_from(&rig, "a", &taken, "1", 3, 7);
    rig_turn(&rig);
    disk.full = true;
    rig_receive(&rig, 1, 0, &received);
    rig_release(&rig, 3, 7, &released);
    rig_take(&rig, 4, 8, &alone);
    rig_turn(&rig);
    CHECK_INT(received.r, -ENOSPC);
    CHECK_INT(released.r, -ENOSPC);
    CHECK_INT(alone.r, -ENOSPC);
    CHECK_STR(rig_state(&rig), "1/0 a twice, taken 3:7");
    cleanup_free char *copy = rig_state_of_copy(&rig);
    CHECK_STR(copy, "1/0 a twice, taken 3:7");

    disk.full = false; /* and once more, as their clients would */
    rig_receive(&rig, 1, 0, &received);
    rig_release(&rig, 3, 7, &released);
    rig_take(&rig, 4, 8, &alone);
    rig_turn(&rig);
    CHECK_INT(received.r, 0);
    CHECK_INT(released.r, 0);
    CHECK_INT(alone.r, 0);
    CHECK_STR(rig_state(&rig), "1/0 a twice received, taken 4:8");
    rig_restart(&rig);
    CHECK_STR(rig_state(&rig), "1/0 a twice received, taken 4:8");
    done(&rig);
}

TEST(a_delivery_that_cannot_be_written_is_repeated_after_a_restart)
{
    struct spool_rig rig;
    init(&rig, &defaults);
    rig_publish(&rig, "a", 1, NULL, "12");
    rig_turn(&rig);
    disk.full = true;
    rig_done_with(&rig, 1, 0);
    rig_turn(&rig);
    CHECK_STR(rig_state(&rig), "2/0 a");
    disk.full = false;
    rig_restart(&rig);
    CHECK_STR(rig_state(&rig), "1/0 a, 2/0 a");
    rig_done_with(&rig, 1, 0);
    rig_turn(&rig);
    rig_restart(&rig);
    CHECK_STR(rig_state(&rig), "2/0 a");
    done(&rig);
}

/* ---- moving ---------------------------------------------------------------------------------------------------------- */

static void pass_through(struct spool_rig *rig, int count)
{
    static char payload[1001];
    memset(payload, 'p', sizeof payload - 1);
    for (int i = 0; i < count; i++) {
        uint64_t index = rig->next_index[1];
        rig_publish(rig, payload, 1, NULL, "1");
        rig_turn(rig);
        if (rig_mail(rig, 1, index))
            rig_done_with(rig, 1, index);
        rig_turn(rig);
    }
}

/* Lets the first writes go through, then the disk is full: sooner or later that is the write of a copy. */
TEST(what_cannot_be_moved_stays_where_it_is)
{
    int failed_moves = 0;
    for (int64_t ok = 14; ok < 40; ok++) {
        struct spool_rig rig;
        init(&rig, &small);
        struct promise with, alone;
        rig_publish(&rig, "his", 2, NULL, "89");
        rig_publish_from(&rig, "hers", &with, "8", 5, 3);
        rig_take(&rig, 5, 4, &alone);
        rig_turn(&rig);
        disk.ok = ok;
        pass_through(&rig, 20); /* comes to rest although it cannot go on */
        CHECK(disk.full);
        (void)drop_failed(&rig);
        const char *expected = "8/0 his twice, 8/1 hers twice, 9/0 his twice, taken 5:3, taken 5:4";
        CHECK_STR(rig_state(&rig), expected);
        CHECK(spool_is_synced(rig_mail(&rig, 8, 0)));
        cleanup_free char *copy = rig_state_of_copy(&rig);
        const char *rest = strstr(copy, expected); /* behind what is repeated of session 1 */
        CHECK(rest && strcmp(rest, expected) == 0);

        disk.full = false;
        disk.ok = 0;
        uint64_t before = rig_counters(&rig).moved;
        pass_through(&rig, 30);
        failed_moves += rig_counters(&rig).moved > before;
        CHECK(rig_segments(&rig) <= 5);
        CHECK_STR(rig_state(&rig), expected);
        rig_restart(&rig);
        CHECK_STR(rig_state(&rig), expected);
        done(&rig);
    }
    CHECK(failed_moves > 0);
}

/* ---- anything -------------------------------------------------------------------------------------------------------- */

static uint64_t seed;

static uint64_t below(uint64_t limit)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed % limit;
}

static struct promise promises[4];

static void do_something(struct spool_rig *rig, uint64_t number, struct promise *promise)
{
    static char payload[1501];
    char sessions[3] = {(char)('1' + below(6)), '7', '\0'};
    memset(payload, (int)('a' + number % 26), sizeof payload - 1);
    payload[10 + below(1490)] = '\0';
    const struct held *held = rig->held_count ? &rig->held[below(rig->held_count)] : NULL;
    const struct taken *taken = rig->taken_count ? &rig->taken[below(rig->taken_count)] : NULL;
    switch (below(7)) {
    case 0:
    case 1: rig_publish(rig, payload, 2, promise, sessions); break;
    case 2:
        if (rig->taken_count < array_size(rig->taken) / 2)
            rig_publish_from(rig, payload, promise, sessions, 8, (uint16_t)(1 + number));
        break;
    case 3:
        if (taken)
            rig_release(rig, taken->session, taken->packet_id, promise);
        break;
    case 4:
        if (held && !held->mail->state && spool_is_synced(held->mail))
            rig_receive(rig, held->session, held->index, promise);
        break;
    default:
        if (held)
            rig_done_with(rig, held->session, held->index);
    }
    memset(payload, 'x', sizeof payload - 1);
}

/* A PUBREL that was not answered comes again. */
static void release_again(struct spool_rig *rig, struct promise *promise)
{
    if (promise->what != PROMISED_RELEASED || promise->r == 0)
        return;
    for (size_t i = 0; i < rig->taken_count; i++)
        if (rig->taken[i].session == promise->session && rig->taken[i].packet_id == promise->value) {
            rig_release(rig, promise->session, (uint16_t)promise->value, promise);
            return;
        }
}

/* Every item of one state is in the other, which may say more. */
static void check_contains(const char *there, const char *expected)
{
    for (const char *at = expected; *at;) {
        size_t len = strcspn(at, ",");
        cleanup_free char *item = str_copy_n(at, len);
        bool found = false;
        for (const char *hit = there; !found && (hit = strstr(hit, item)); hit++)
            found = hit == there || hit[-1] == ' ';
        if (!found)
            FAIL("\"%s\" is not among\n    \"%s\"", item, there);
        at += len;
        at += strspn(at, ", ");
    }
}

TEST(whatever_fails_what_was_promised_is_there)
{
    unsigned faults = 0;
    for (uint64_t round = 1; round <= 8; round++) {
        struct spool_rig rig;
        init(&rig, &small);
        seed = round * 6151;
        for (uint64_t i = 0; i < 60; i++) {
            disk.full = below(4) == 0;
            disk.sync = below(8) == 0 ? EIO : 0;
            memset(promises, 0, sizeof promises);
            for (uint64_t k = 0; k < 4; k++)
                do_something(&rig, i * 4 + k, &promises[k]);
            rig_turn(&rig);
            faults += drop_failed(&rig) > 0;
            disk.full = false;
            disk.sync = 0;
            for (size_t k = 0; k < 4; k++)
                release_again(&rig, &promises[k]);
            rig_turn(&rig);
            cleanup_free char *copy = rig_state_of_copy(&rig);
            check_contains(copy, rig_state(&rig));
        }
        rig_turn(&rig);
        cleanup_free char *before = str_copy(rig_state(&rig));
        rig_restart(&rig);
        check_contains(rig_state(&rig), before);
        done(&rig);
    }
    CHECK(faults > 50);
}
