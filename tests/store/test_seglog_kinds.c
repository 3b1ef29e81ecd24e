/* Logs in memory, logs that are synced a moment later, numbers that were used up, and what could be released. */
#include "store/seglog_rig.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum { SIZE = 43 };

int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);

int __real_fstatvfs(int fd, struct statvfs *fs);
int __wrap_fstatvfs(int fd, struct statvfs *fs);

static uint64_t free_bytes = UINT64_MAX; /* of the file system; else as it is */

int __wrap_fstatvfs(int fd, struct statvfs *fs)
{
    int r = __real_fstatvfs(fd, fs);
    if (free_bytes != UINT64_MAX) {
        fs->f_frsize = 4096;
        fs->f_bavail = free_bytes / 4096;
        fs->f_blocks = (1 << 30) / 4096;
    }
    return r;
}

static unsigned syncs;
static int sync_fault; /* of the next one */

int __wrap_fdatasync(int fd)
{
    syncs++;
    if (!sync_fault)
        return __real_fdatasync(fd);
    errno = sync_fault;
    sync_fault = 0;
    return -1;
}

static void init(struct seglog_rig *rig, const struct seglog_options *options)
{
    syncs = 0;
    sync_fault = 0;
    rig_init(rig, WORKER_INLINE, 4096, 0);
    rig_close(rig);
    rig->options = *options;
    rig_open(rig);
    syncs = 0;
}

static void wait_ms(struct seglog_rig *rig, int64_t ms)
{
    clock_move(&rig->clock, ms);
    for (int i = 0; i < 4; i++)
        CHECK(loop_turn(rig->loop, 0) >= 0);
}

static void nothing(struct work *work)
{
    (void)work;
}

static struct seglog_survey survey(struct seglog_rig *rig, struct seglog_survey asked)
{
    asked.work.done = nothing;
    seglog_survey(rig->log, &asked);
    seglogs_quiesce(rig->logs);
    CHECK_INT(asked.work.r, 0);
    return asked;
}

/* ---- memory ------------------------------------------------------------------------------------------------------ */

TEST(a_log_in_memory_is_read_and_released_like_any_other_and_writes_no_file)
{
    struct seglog_rig rig;
    init(&rig, &(struct seglog_options){.segment_bytes = 4096, .memory = true});
    for (uint64_t i = 0; i < 10; i++)
        CHECK_INT(rig_append(&rig, rig.log, i * 50, 50, SIZE), 0);
    rig_check_records(&rig, 0, 500, SIZE);
    rig_check_records(&rig, 123, 377, SIZE);
    CHECK_INT(syncs, 0);
    CHECK_INT(seglog_synced(rig.log), 500);
    uint64_t bytes = seglog_bytes(rig.log);
    rig_release(&rig, 300);
    CHECK(seglog_first(rig.log) > 200 && seglog_first(rig.log) <= 300);
    CHECK(seglog_bytes(rig.log) < bytes);
    rig_check_records(&rig, 300, 200, SIZE);
    cleanup_free char *folder = str_printf("%s/telemetry2", rig.path);
    struct seglog *other;
    CHECK_INT(seglog_open(&other, rig.logs, "telemetry2", &rig.options), 0);
    CHECK(access(folder, F_OK) < 0);
    rig_reopen(&rig);
    CHECK_INT(seglog_next(rig.log), 0);
    rig_done(&rig);
}

TEST(a_log_in_memory_keeps_its_limit)
{
    struct seglog_rig rig;
    init(&rig, &(struct seglog_options){.segment_bytes = 4096, .max_bytes = 16384, .memory = true});
    uint64_t n = 0;
    int r = 0;
    while (n < 1000 && (r = rig_append(&rig, rig.log, n, 1, SIZE)) == 0)
        n++;
    CHECK_INT(r, SEGLOG_FULL);
    CHECK(n > 100 && seglog_bytes(rig.log) <= 16384);
    rig_check_records(&rig, 0, n, SIZE);
    rig_done(&rig);
}

/* ---- synced later ------------------------------------------------------------------------------------------------ */

TEST(with_an_interval_an_append_is_done_when_it_is_written_and_synced_when_the_time_has_come)
{
    struct seglog_rig rig;
    init(&rig, &(struct seglog_options){.sync_every = 100});
    CHECK_INT(rig_append(&rig, rig.log, 0, 5, SIZE), 0);
    CHECK_INT(rig_append(&rig, rig.log, 5, 5, SIZE), 0);
    CHECK_INT(syncs, 0);
    CHECK_INT(seglog_next(rig.log), 10);
    CHECK_INT(seglog_synced(rig.log), 0);
    rig_check_records(&rig, 0, 10, SIZE);
    wait_ms(&rig, 99);
    CHECK_INT(syncs, 0);
    wait_ms(&rig, 1);
    CHECK_INT(syncs, 1);
    CHECK_INT(seglog_synced(rig.log), 10);
    wait_ms(&rig, 10000); /* nothing new: nothing to do */
    CHECK_INT(syncs, 1);
    rig_reopen(&rig);
    rig_check_records(&rig, 0, 10, SIZE);
    rig_done(&rig);
}

TEST(with_an_interval_a_full_segment_is_synced_before_the_next_is_begun)
{
    struct seglog_rig rig;
    init(&rig, &(struct seglog_options){.segment_bytes = 4096, .sync_every = 1000});
    CHECK_INT(rig_append(&rig, rig.log, 0, 100, SIZE), 0); /* one is full, the other is begun */
    CHECK_INT(syncs, 1);
    cleanup_free char *path = rig_last_segment(&rig);
    CHECK_INT(seglog_synced(rig.log), strtoull(strrchr(path, '/') + 1, NULL, 10));
    CHECK(seglog_synced(rig.log) > 70 && seglog_synced(rig.log) < 100);
    CHECK_INT(seglog_next(rig.log), 100);
    rig_done(&rig);
}

TEST(a_sync_that_is_asked_for_covers_what_was_acknowledged_and_what_comes_with_it)
{
    struct seglog_rig rig;
    init(&rig, &(struct seglog_options){.sync_every = 100});
    CHECK_INT(rig_append(&rig, rig.log, 0, 5, SIZE), 0);
    struct put put;
    put_init(&put, 5, SIZE);
    struct seglog_sync sync = {.work.done = nothing};
    seglog_append(rig.log, &put.append);
    seglog_sync(rig.log, &sync);
    seglogs_quiesce(rig.logs);
    CHECK_INT(sync.work.r, 0);
    CHECK_INT(seglog_synced(rig.log), 6);
    sync_fault = EIO;
    CHECK_INT(rig_append(&rig, rig.log, 6, 1, SIZE), 0);
    seglog_sync(rig.log, &sync);
    seglogs_quiesce(rig.logs);
    CHECK_INT(sync.work.r, -EIO);
    CHECK_INT(rig_errors, 1);
    CHECK_INT(rig_append(&rig, rig.log, 7, 1, SIZE), 0);
    rig_check_records(&rig, 0, 8, SIZE);
    put_done(&put);
    rig_done(&rig);
}

/* ---- numbers without a record ------------------------------------------------------------------------------------ */

TEST(numbers_of_a_failed_sync_are_told_from_damage_even_after_a_restart)
{
    struct seglog_rig rig;
    init(&rig, &(struct seglog_options){0});
    CHECK_INT(rig_append(&rig, rig.log, 0, 10, SIZE), 0);
    sync_fault = EIO;
    CHECK_INT(rig_append(&rig, rig.log, 10, 7, SIZE), -EIO);
    CHECK_INT(rig_append(&rig, rig.log, 17, 3, SIZE), 0);
    for (int round = 0; round < 2; round++) {
        CHECK_INT(seglog_next(rig.log), 20);
        CHECK_INT(seglog_unused(rig.log), 7);
        struct seglog_read read = {0};
        CHECK_INT(rig_read(&rig, rig.log, 0, 100, &read), 13);
        CHECK_INT(read.records[9].seq, 9);
        CHECK_INT(read.records[10].seq, 17); /* what was written of 10 to 16 is in the file, and not served */
        CHECK_INT(read.records[10].unused, 7);
        CHECK_INT(read.records[9].unused + read.records[11].unused, 0);
        CHECK_INT(read.skipped, 7);
        CHECK_INT(read.unused, 7);
        CHECK_INT(rig_read(&rig, rig.log, 12, 100, &read), 3);
        CHECK_INT(read.skipped, 5);
        CHECK_INT(read.unused, 5);
        CHECK_INT(rig_read(&rig, rig.log, 0, 10, &read), 10);
        CHECK_INT(read.unused, 0);
        seglog_read_done(&read);
        CHECK_INT(seglog_damaged(rig.log), 0);
        struct seglog_range range[] = {
            {.from = 0, .to = UINT64_MAX}, {.from = 14, .to = 20}, {.from = 0, .to = 12}};
        const struct seglog_survey found =
            survey(&rig, (struct seglog_survey){.before = 17, .ranges = range, .range_count = 3});
        CHECK_INT(found.before, 17);
        CHECK_INT(range[0].unused, 7);
        CHECK_INT(range[1].unused, 3);
        CHECK_INT(range[2].unused, 2);
        CHECK_INT(found.next, 20);
        CHECK_INT(found.unused, 7);
        rig_reopen(&rig);
    }
    rig_done(&rig);
}

TEST(numbers_of_a_failed_sync_are_known_when_the_new_file_s_head_was_torn)
{
    struct seglog_rig rig;
    init(&rig, &(struct seglog_options){0});
    CHECK_INT(rig_append(&rig, rig.log, 0, 10, SIZE), 0);
    rig_close(&rig);
    cleanup_free char *torn = str_printf("%s/telemetry/%020d.seg", rig.path, 17);
    cleanup(fd_close_p) int fd = open(torn, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    CHECK(fd >= 0);
    rig_open(&rig);
    CHECK_INT(seglog_next(rig.log), 17);
    CHECK_INT(seglog_unused(rig.log), 7);
    CHECK_INT(rig_append(&rig, rig.log, 17, 1, SIZE), 0);
    rig_reopen(&rig);
    struct seglog_read read = {0};
    CHECK_INT(rig_read(&rig, rig.log, 0, 100, &read), 11);
    CHECK_INT(read.unused, 7);
    seglog_read_done(&read);
    CHECK_INT(seglog_damaged(rig.log), 0);
    rig_done(&rig);
}

/* ---- what could go ----------------------------------------------------------------------------------------------- */

/* Appends a record that came at that time. */
static void append_at(struct seglog_rig *rig, uint64_t number, int64_t wall)
{
    struct put put;
    put_init(&put, number, SIZE);
    put.append.record.wall = wall;
    seglog_append(rig->log, &put.append);
    seglogs_quiesce(rig->logs);
    CHECK_INT(put.append.work.r, 0);
    put_done(&put);
}

TEST(a_survey_says_how_far_could_be_released_for_age_and_for_room)
{
    enum { A = 46 }; /* records a segment */
    const int64_t day = 1760000000000;
    struct seglog_rig rig;
    init(&rig, &(struct seglog_options){.segment_bytes = 4096});
    for (uint64_t i = 0; i < 4 * A + 16; i++)
        append_at(&rig, i, day + (int64_t)i);
    CHECK_INT(survey(&rig, (struct seglog_survey){0}).before, 0);
    CHECK_INT(survey(&rig, (struct seglog_survey){.older_than = day + A - 1}).before, 0);
    struct seglog_survey found = survey(&rig, (struct seglog_survey){.older_than = day + A});
    CHECK_INT(found.before, A);
    CHECK_INT(found.oldest, day + 2 * A - 1);
    CHECK_INT(survey(&rig, (struct seglog_survey){.bytes = 1}).before, A);
    CHECK_INT(survey(&rig, (struct seglog_survey){.bytes = 4096}).before, 2 * A);
    found = survey(&rig, (struct seglog_survey){.older_than = INT64_MAX});
    CHECK_INT(found.before, 4 * A); /* not the file that is written */
    CHECK_INT(found.oldest, 0);
    CHECK_INT(survey(&rig, (struct seglog_survey){.before = 100}).before, 2 * A);
    CHECK_INT(found.first, 0);
    CHECK_INT(found.next, 4 * A + 16);
    rig_done(&rig);
}

TEST(a_time_that_cannot_be_makes_nothing_old)
{
    const int64_t day = 1760000000000;
    struct seglog_rig rig;
    init(&rig, &(struct seglog_options){.segment_bytes = 4096});
    uint64_t n = 0;
    while (rig_segments(&rig) < 3)
        append_at(&rig, n++, 1000);
    while (rig_segments(&rig) < 5) /* the clock was set meanwhile */
        append_at(&rig, n++, day);
    CHECK_INT(survey(&rig, (struct seglog_survey){.older_than = day}).before, 0);
    CHECK_INT(survey(&rig, (struct seglog_survey){.older_than = day + 1}).before, n - 1);
    rig_done(&rig);
}

TEST(pages_are_counted_as_a_medium_writes_them)
{
    struct seglog_rig rig;
    init(&rig, &(struct seglog_options){0});
    CHECK_INT(rig_append(&rig, rig.log, 0, 1, SIZE), 0);
    CHECK_INT(seglog_flash(rig.log), 4096);
    CHECK_INT(rig_append(&rig, rig.log, 1, 1, SIZE), 0);
    CHECK_INT(seglog_flash(rig.log), 8192); /* the same page again */
    CHECK_INT(rig_append(&rig, rig.log, 2, 1000, SIZE), 0);
    uint64_t end = SEGLOG_HEAD_SIZE + seglog_written(rig.log);
    CHECK_INT(seglog_flash(rig.log), 8192 + (end + 4095) / 4096 * 4096);
    cleanup_free char *path = rig_last_segment(&rig);
    struct stat st;
    CHECK_INT(stat(path, &st), 0);
    CHECK_INT(st.st_size, end);
    rig_done(&rig);
}

/* ---- large segments ---------------------------------------------------------------------------------------------- */

TEST(a_start_reads_the_tail_of_a_large_segment_and_not_all_of_it)
{
    struct seglog_rig rig;
    init(&rig, &(struct seglog_options){.segment_bytes = 64 << 20});
    uint64_t n = 0;
    for (; n < 120000; n += 10000)
        CHECK_INT(rig_append(&rig, rig.log, n, 10000, SIZE), 0); /* six megabytes */
    rig_close(&rig);
    cleanup_free char *path = rig_last_segment(&rig);
    cleanup(fd_close_p) int fd = open(path, O_RDWR | O_CLOEXEC);
    CHECK_INT(pwrite(fd, "????", 4, (off_t)rig_find(path, 1000).offset + 8),
              4); /* damage that only a whole scan would meet */
    rig_open(&rig);
    CHECK_INT(seglog_next(rig.log), n);
    CHECK_INT(seglog_damaged(rig.log), 0);
    struct seglog_read read = {0};
    CHECK_INT(rig_read(&rig, rig.log, 999, 2, &read), 2); /* a reader does */
    CHECK_INT(read.skipped, 1);
    CHECK_INT(seglog_damaged(rig.log), 1);
    seglog_read_done(&read);
    CHECK_INT(rig_append(&rig, rig.log, n, 10, SIZE), 0);
    rig_reopen(&rig);
    CHECK_INT(seglog_next(rig.log), n + 10);
    rig_done(&rig);
}

TEST(a_hint_that_is_wrong_is_not_believed)
{
    struct seglog_rig rig;
    init(&rig, &(struct seglog_options){.segment_bytes = 64 << 20});
    CHECK_INT(rig_append(&rig, rig.log, 0, 100000, SIZE), 0);
    CHECK_INT(rig_append(&rig, rig.log, 100000, 100, SIZE), 0);
    rig_close(&rig);
    cleanup_free char *path = rig_last_segment(&rig);
    struct segment_found found = rig_find(path, 1000);
    CHECK_INT(truncate(path, (off_t)found.block_end), 0); /* the file is shorter than it says */
    rig_open(&rig);
    CHECK_INT(seglog_next(rig.log), found.block_next);
    rig_check_records(&rig, 0, found.block_next, SIZE);
    CHECK_INT(rig_append(&rig, rig.log, found.block_next, 100000, SIZE), 0);
    rig_close(&rig);
    cleanup_free char *hint = str_printf("%s/telemetry/.tail", rig.path);
    cleanup(fd_close_p) int fd = open(hint, O_RDWR | O_CLOEXEC);
    CHECK_INT(pwrite(fd, "x", 1, 8), 1);
    rig_open(&rig);
    CHECK_INT(seglog_next(rig.log), found.block_next + 100000);
    rig_done(&rig);
}

/* ---- the reserve ------------------------------------------------------------------------------------------------- */

TEST(a_log_leaves_the_reserve_to_others_and_goes_on_when_there_is_room)
{
    enum { MIB = 1 << 20 };
    struct seglog_rig rig;
    init(&rig, &(struct seglog_options){0});
    seglogs_set_reserve(rig.logs, 16 * MIB);
    free_bytes = 18 * MIB;
    CHECK_INT(rig_append(&rig, rig.log, 0, 10, SIZE), 0); /* a mebibyte is allocated now */
    free_bytes = 16 * MIB + 4096;
    CHECK_INT(rig_append(&rig, rig.log, 10, 1000, SIZE), 0); /* and used */
    uint64_t n = 1010;
    int r = 0;
    while (r == 0 && n < 50000) {
        r = rig_append(&rig, rig.log, n, 1000, SIZE);
        n += r == 0 ? 1000 : 0;
    }
    CHECK_INT(r, -ENOSPC);
    CHECK(n > 10000 && n < 50000 && seglog_bytes(rig.log) <= MIB + 100 * 1000);
    CHECK_STR(rig_last_error, "stream log telemetry: write into the reserve: No space left on device");
    free_bytes = 20 * MIB;
    CHECK_INT(rig_append(&rig, rig.log, n, 1000, SIZE), 0);
    rig_check_records(&rig, 0, n + 1000, SIZE);
    free_bytes = 1 << 20; /* without one, what there is may be used */
    seglogs_set_reserve(rig.logs, 0);
    CHECK_INT(rig_append(&rig, rig.log, n + 1000, 30000, SIZE), 0);
    free_bytes = UINT64_MAX;
    rig_done(&rig);
}

/* ---- removing ---------------------------------------------------------------------------------------------------- */

TEST(a_log_that_is_removed_leaves_nothing_and_another_may_have_its_name)
{
    struct seglog_rig rig;
    init(&rig, &(struct seglog_options){.segment_bytes = 4096});
    CHECK_INT(rig_append(&rig, rig.log, 0, 100, SIZE), 0);
    cleanup_free char *folder = str_printf("%s/telemetry", rig.path);
    CHECK_INT(access(folder, F_OK), 0);
    CHECK_INT(seglog_remove(rig.log), 0);
    CHECK(access(folder, F_OK) < 0);
    CHECK_INT(seglogs_remove(rig.logs, "telemetry"), 0); /* nothing is there */
    CHECK_INT(seglogs_remove(rig.logs, "../x"), -EINVAL);
    CHECK_INT(seglog_open(&rig.log, rig.logs, "telemetry", &rig.options), 0);
    CHECK_INT(seglog_next(rig.log), 0);
    rig_done(&rig);
}
