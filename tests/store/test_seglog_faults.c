/* Disks that are full, cannot sync, or cannot be read (disk.h). With SEALED all of it once more for a log that is encrypted. */
#include "identity/aead.h"
#include "store/disk.h"
#include "store/seglog_rig.h"
#include "store/seglog_sealed.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#ifndef SEALED
#define SEALED false
#endif

static void init(struct seglog_rig *rig, uint64_t segment_bytes)
{
    static char key[256];
    static struct seal_source source;
    disk_reset();
    rig_init(rig, WORKER_INLINE, segment_bytes, 0);
    if (!SEALED)
        return;
    rig_close(rig);
    cleanup_free char *first = rig_last_segment(rig);
    CHECK_INT(unlink(first), 0);
    (void)snprintf(key, sizeof key, "%s/device.key", rig->folder);
    source = (struct seal_source){.file = key, .may_make = true, .load = aead_functions};
    rig->seal = &source;
    rig->options.encrypt = true;
    rig_open(rig);
    disk_reset(); /* the mark was synced */
}

static off_t size_of_last(struct seglog_rig *rig)
{
    cleanup_free char *path = rig_last_segment(rig);
    struct stat st;
    CHECK_INT(stat(path, &st), 0);
    return st.st_size;
}

/* ---- groups ------------------------------------------------------------------------------------------------------ */

TEST(a_turn_is_one_write_and_one_sync_a_log_however_many_records)
{
    struct seglog_rig rig;
    init(&rig, 0);
    struct seglog *alarms;
    CHECK_INT(seglog_open(&alarms, rig.logs, "alarms", NULL), 0);
    struct put puts[200];
    disk_reset();
    for (size_t i = 0; i < 200; i++) {
        put_init(&puts[i], i, 100);
        seglog_append(i % 2 ? rig.log : alarms, &puts[i].append);
    }
    seglogs_quiesce(rig.logs);
    CHECK_INT(disk.syncs, 2);
    CHECK_INT(disk.writes, 2);
    for (size_t i = 0; i < 200; i++) {
        CHECK_INT(puts[i].append.work.r, 0);
        put_done(&puts[i]);
    }
    rig_done(&rig);
}

TEST(a_turn_of_reads_alone_syncs_nothing)
{
    struct seglog_rig rig;
    init(&rig, 0);
    CHECK_INT(rig_append(&rig, rig.log, 0, 3, 100), 0);
    disk_reset();
    rig_check_records(&rig, 0, 3, 100);
    CHECK_INT(disk.syncs + disk.writes, 0);
    rig_done(&rig);
}

TEST(a_start_waits_for_no_disk_and_its_first_record_syncs_the_folders)
{
    struct seglog_rig rig;
    init(&rig, 0);
    CHECK_INT(disk.syncs + disk.file_syncs, 0);
    CHECK_INT(rig_append(&rig, rig.log, 0, 1, 100), 0);
    CHECK_INT(disk.syncs, 1);
    CHECK_INT(disk.file_syncs, 3); /* the log's, that of all logs, and what it is in */
    CHECK_INT(rig_append(&rig, rig.log, 1, 1, 100), 0);
    CHECK_INT(disk.file_syncs, 3);

    rig_reopen(&rig); /* the start before may have ended too early for that: once more */
    disk_reset();
    CHECK_INT(rig_append(&rig, rig.log, 2, 1, 100), 0);
    CHECK_INT(disk.file_syncs, 3);
    rig_done(&rig);
}

TEST(a_record_whose_folders_cannot_be_synced_is_not_acknowledged)
{
    struct seglog_rig rig;
    init(&rig, 0);
    disk.fsync = EIO;
    CHECK_INT(rig_append(&rig, rig.log, 0, 1, 100), -EIO);
    CHECK_INT(seglog_next(rig.log), 0);
    disk_reset();
    CHECK_INT(rig_append(&rig, rig.log, 0, 1, 100), 0);
    CHECK(disk.file_syncs >= 3);
    rig_done(&rig);
}

TEST(what_was_written_is_counted)
{
    struct seglog_rig rig;
    init(&rig, 0);
    uint64_t before = seglog_written(rig.log);
    off_t size = size_of_last(&rig);
    CHECK_INT(rig_append(&rig, rig.log, 0, 10, 43), 0);
    CHECK_INT(seglog_written(rig.log) - before, size_of_last(&rig) - size);
    rig_done(&rig);
}

/* ---- full -------------------------------------------------------------------------------------------------------- */

static void check_full(int full, int64_t room, size_t count, size_t size, uint64_t segment_bytes)
{
    struct seglog_rig rig;
    init(&rig, segment_bytes);
    CHECK_INT(rig_append(&rig, rig.log, 0, 3, size), 0);
    off_t before = size_of_last(&rig);
    disk.room = room;
    disk.full = full;
    CHECK_INT(rig_append(&rig, rig.log, 3, count, size), -ENOSPC);
    CHECK_INT(rig_errors, 1);
    CHECK_INT(rig_append(&rig, rig.log, 3, count, size), -ENOSPC);
    CHECK_INT(rig_errors, 1); /* said once */
    uint64_t next = seglog_next(rig.log);
    if (!segment_bytes) {
        CHECK_INT(next, 3);
        CHECK_INT(size_of_last(&rig), before); /* no half record stays */
    }
    rig_check_records(&rig, 0, next, size);

    disk_reset();
    CHECK_INT(rig_append(&rig, rig.log, next, count, size), 0);
    rig_check_records(&rig, 0, next + count, size);
    rig_reopen(&rig);
    rig_check_records(&rig, 0, next + count, size);
    CHECK_INT(seglog_damaged(rig.log), 0);
    rig_done(&rig);
}

TEST(a_full_disk_fails_the_batch_and_works_again_with_space)
{
    check_full(ENOSPC, 0, 5, 100, 0);
}

TEST(a_disk_that_becomes_full_within_a_record_leaves_no_half_of_it)
{
    for (int64_t room = 1; room < 5 * 110; room += 37)
        check_full(ENOSPC, room, 5, 100, 0);
}

TEST(a_disk_that_becomes_full_within_a_large_record_leaves_no_half_of_it)
{
    check_full(ENOSPC, 100000, 3, 200000, 0);
    check_full(ENOSPC, 250000, 3, 200000, 0);
}

TEST(a_quota_is_a_full_disk)
{
    check_full(EDQUOT, 200, 5, 100, 0);
    check_full(EFBIG, 200, 5, 100, 0);
}

TEST(a_disk_that_becomes_full_among_segments_keeps_what_was_acknowledged)
{
    for (int64_t room = 0; room < 12000; room += 997)
        check_full(ENOSPC, room, 200, 100, 4096);
}

TEST(the_appends_before_a_full_segment_change_are_acknowledged_and_the_others_are_not)
{
    struct seglog_rig rig;
    init(&rig, 4096);
    struct put puts[40];
    disk.full = ENOSPC;
    disk.room = 4096 - 32;
    for (size_t i = 0; i < 40; i++) {
        put_init(&puts[i], i, 43 + 64);
        seglog_append(rig.log, &puts[i].append);
    }
    seglogs_quiesce(rig.logs);
    uint64_t next = seglog_next(rig.log);
    CHECK(next > 10 && next < 40);
    for (size_t i = 0; i < 40; i++) {
        CHECK_INT(puts[i].append.work.r, i < next ? 0 : -ENOSPC);
        put_done(&puts[i]);
    }
    rig_check_records(&rig, 0, next, 43 + 64);
    rig_done(&rig);
}

TEST(another_log_is_not_disturbed_by_a_full_one)
{
    struct seglog_rig rig;
    init(&rig, 0);
    struct seglog *alarms;
    CHECK_INT(seglog_open(&alarms, rig.logs, "alarms", NULL), 0);
    struct put small, large;
    put_init(&large, 0, 1000);
    put_init(&small, 0, 10);
    disk.room = 100;
    disk.full = ENOSPC;
    seglog_append(alarms, &small.append);
    seglog_append(rig.log, &large.append);
    seglogs_quiesce(rig.logs);
    CHECK_INT(small.append.work.r, 0);
    CHECK_INT(large.append.work.r, -ENOSPC);
    put_done(&small);
    put_done(&large);
    rig_done(&rig);
}

TEST(a_file_that_cannot_be_cut_back_is_left_for_a_new_segment)
{
    struct seglog_rig rig;
    init(&rig, 0);
    CHECK_INT(rig_append(&rig, rig.log, 0, 3, 100), 0);
    disk.room = 200;
    disk.full = ENOSPC;
    disk.ftruncate = EIO;
    CHECK_INT(rig_append(&rig, rig.log, 3, 5, 100), -ENOSPC);
    disk_reset();
    CHECK_INT(rig_segments(&rig), 1);
    uint64_t next = 0;
    CHECK_INT(rig_append(&rig, rig.log, 8, 1, 100), 0);
    next = seglog_next(rig.log);
    CHECK(next >= 4);
    CHECK_INT(rig_segments(&rig), 2);
    rig_reopen(&rig);
    CHECK_INT(seglog_next(rig.log), next);
    struct seglog_read read = {0};
    CHECK(rig_read(&rig, rig.log, 0, 3, &read) == 3);
    CHECK(payload_is(&read.records[2], 2, 100));
    CHECK_INT(rig_read(&rig, rig.log, next - 1, 3, &read), 1);
    CHECK(payload_is(&read.records[0], 8, 100));
    seglog_read_done(&read);
    rig_done(&rig);
}

TEST(an_empty_segment_that_cannot_be_cut_back_is_left_for_another)
{
    struct seglog_rig rig;
    init(&rig, 0);
    disk.room = 70000; /* within the payload, which is written from where it is */
    disk.full = ENOSPC;
    disk.ftruncate = EIO;
    CHECK_INT(rig_append(&rig, rig.log, 0, 1, 100000), -ENOSPC);
    disk_reset();
    CHECK_INT(rig_append(&rig, rig.log, 1, 2, 100), 0);
    CHECK_INT(rig_segments(&rig), 2);
    rig_check_records(&rig, 1, 2, 100);
    rig_reopen(&rig);
    rig_check_records(&rig, 1, 2, 100);
    CHECK_INT(seglog_unused(rig.log), 1);
    CHECK_INT(seglog_damaged(rig.log), 0);
    rig_done(&rig);
}

/* A real file system, small and full, where we may mount one. */
TEST(a_small_file_system_fills_and_empties)
{
    struct seglog_rig rig;
    disk_reset();
    cleanup(folder_free_p) char *mountpoint = folder_new();
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("gatehouse-test", mountpoint, "tmpfs", 0, "size=1m") < 0)
        SKIP("this user may not mount a file system");
    init(&rig, 64 * 1024);
    rig_close(&rig);
    char *own_path = rig.path;
    rig.path = str_printf("%s/streams", mountpoint);
    rig_open(&rig);
    uint64_t n = 0;
    int r;
    while ((r = rig_append(&rig, rig.log, n, 10, 1000)) == 0)
        n += 10;
    CHECK_INT(r, -ENOSPC);
    uint64_t next = seglog_next(rig.log);
    CHECK(next > 500);
    rig_check_records(&rig, 0, next, 1000);
    CHECK_INT(rig_append(&rig, rig.log, next, 1000, 1000), -ENOSPC);
    next = seglog_next(rig.log);
    rig_reopen(&rig); /* starts with a full disk, too */
    CHECK_INT(seglog_next(rig.log), next);
    rig_check_records(&rig, 0, next, 1000);

    rig_release(&rig, next);
    uint64_t first = seglog_first(rig.log);
    CHECK(first > 0);
    for (int i = 0; i < 50; i++, next += 10)
        CHECK_INT(rig_append(&rig, rig.log, next, 10, 1000), 0);
    rig_check_records(&rig, first, next - first, 1000);
    rig_close(&rig);
    free(rig.path);
    rig.path = own_path;
    CHECK_INT(umount2(mountpoint, MNT_DETACH), 0);
    rig_open(&rig);
    rig_done(&rig);
}

/* ---- syncs ------------------------------------------------------------------------------------------------------- */

TEST(a_failed_sync_is_the_fault_of_its_appends_and_the_log_goes_on_in_another_file)
{
    struct seglog_rig rig;
    init(&rig, 0);
    CHECK_INT(rig_append(&rig, rig.log, 0, 3, 100), 0);
    disk.fdatasync = EIO;
    CHECK_INT(rig_append(&rig, rig.log, 3, 2, 100), -EIO);
    CHECK_INT(seglog_next(rig.log), 3);
    rig_check_records(&rig, 0, 3, 100);

    CHECK_INT(rig_append(&rig, rig.log, 5, 2, 100), 0); /* 3 and 4 may be on the disk: not given again */
    CHECK_INT(rig_segments(&rig), 2);
    CHECK_INT(seglog_next(rig.log), 7);
    struct seglog_read read = {0};
    CHECK_INT(rig_read(&rig, rig.log, 0, 100, &read), 5);
    CHECK_INT(read.records[3].seq, 5);
    CHECK(payload_is(&read.records[3], 5, 100));
    CHECK_INT(read.skipped, 2);
    CHECK_INT(seglog_damaged(rig.log), 0);
    seglog_read_done(&read);

    rig_reopen(&rig);
    CHECK_INT(seglog_next(rig.log), 7);
    rig_done(&rig);
}

TEST(syncs_that_go_on_failing_lose_nothing_that_was_acknowledged)
{
    struct seglog_rig rig;
    init(&rig, 4096);
    uint64_t acknowledged[100], n = 0;
    for (uint64_t i = 0; i < 100; i++) {
        if (i % 3 == 1)
            disk.fdatasync = EIO;
        if (i % 5 == 2)
            disk.fsync = EIO; /* of a new segment */
        struct put put;
        put_init(&put, i, 300);
        seglog_append(rig.log, &put.append);
        seglogs_quiesce(rig.logs);
        if (put.append.work.r == 0)
            acknowledged[n++] = put.append.record.seq << 32 | i;
        put_done(&put);
    }
    CHECK(n > 30);
    disk_reset();
    rig_reopen(&rig);
    struct seglog_read read = {0};
    for (uint64_t i = 0; i < n; i++) {
        CHECK_INT(rig_read(&rig, rig.log, acknowledged[i] >> 32, 1, &read), 1);
        CHECK_INT(read.records[0].seq, acknowledged[i] >> 32);
        CHECK(payload_is(&read.records[0], acknowledged[i] & 0xffffffff, 300));
    }
    seglog_read_done(&read);
    rig_done(&rig);
}

TEST(a_record_in_a_new_segment_whose_name_cannot_be_synced_is_not_acknowledged)
{
    struct seglog_rig rig;
    init(&rig, 4096);
    CHECK_INT(rig_append(&rig, rig.log, 0, 9, 400), 0);
    disk.fsync = EIO;
    CHECK_INT(rig_append(&rig, rig.log, 9, 1, 400), -EIO);
    CHECK_INT(seglog_next(rig.log), 9);
    CHECK_INT(rig_append(&rig, rig.log, 10, 1, 400), 0);
    for (int round = 0; round < 2; round++) {
        rig_check_records(&rig, 10, 1, 400);
        struct seglog_read read = {0};
        CHECK_INT(rig_read(&rig, rig.log, 0, 100, &read), 10);
        CHECK_INT(read.unused, 1);
        seglog_read_done(&read);
        CHECK_INT(seglog_damaged(rig.log), 0);
        rig_reopen(&rig);
    }
    rig_done(&rig);
}

TEST(a_new_segment_is_synced_with_its_first_records_and_nothing_else_is)
{
    struct seglog_rig rig;
    init(&rig, 4096);
    CHECK_INT(rig_append(&rig, rig.log, 0, 5, 400), 0);
    disk_reset();
    CHECK_INT(rig_append(&rig, rig.log, 5, 5, 400), 0); /* they would not fit into the first */
    CHECK_INT(rig_segments(&rig), 2);
    CHECK_INT(disk.syncs, 1);
    CHECK_INT(disk.file_syncs, 1); /* the folder */
    CHECK_INT(disk.writes, 2);     /* the head, the batch */
    CHECK_INT(rig_append(&rig, rig.log, 10, 1, 400), 0);
    CHECK_INT(disk.syncs, 2);
    CHECK_INT(disk.file_syncs, 1);
    rig_check_records(&rig, 0, 11, 400);
    rig_done(&rig);
}

/* ---- media ------------------------------------------------------------------------------------------------------- */

enum { RECORDS = 300, BLOCK = 30, BAD_FROM = 8192, BAD_TO = 12288 };

static bool is_bad(uint64_t offset, uint64_t size)
{
    return offset < BAD_TO && offset + size > BAD_FROM;
}

/* How many of the records lie where the medium will be bad; what is sealed is sealed as a whole. */
static int lies_in(struct seglog_rig *rig)
{
    cleanup_free char *path = rig_segment(rig, 0);
    int n = 0;
    for (uint64_t i = 0; !SEALED && i < RECORDS; i++) {
        struct segment_found found = rig_find(path, i);
        n += is_bad(found.offset, found.size);
    }
    cleanup(fd_close_p) int fd = open(path, O_RDONLY | O_CLOEXEC);
    uint8_t bytes[SEALED_HEAD];
    struct sealed_head head;
    for (uint64_t at = SEGLOG_HEAD_SIZE; SEALED && pread(fd, bytes, sizeof bytes, (off_t)at) == sizeof bytes;
         at += sealed_size(head.len)) {
        CHECK_INT(sealed_head_decode(bytes, at, &head), 0);
        n += is_bad(at, SEALED_HEAD + head.len) ? (int)head.records : 0;
    }
    return n;
}

/* A log whose medium is bad within. How many records that costs. */
static int init_bad(struct seglog_rig *rig)
{
    init(rig, 0);
    for (uint64_t i = 0; i < RECORDS; i += SEALED ? BLOCK : RECORDS)
        CHECK_INT(rig_append(rig, rig->log, i, SEALED ? BLOCK : RECORDS, 43), 0);
    int bad = lies_in(rig);
    CHECK(SEALED ? bad % BLOCK == 0 && bad >= 2 * BLOCK && bad <= 5 * BLOCK : bad > 80 && bad < 100);
    rig_reopen(rig);
    disk.bad_from = BAD_FROM;
    disk.bad_to = BAD_TO;
    return bad;
}

TEST(sectors_that_cannot_be_read_cost_the_records_in_them_only)
{
    struct seglog_rig rig;
    int bad = init_bad(&rig);
    struct seglog_read read = {0};
    CHECK_INT(rig_read(&rig, rig.log, 0, 1000, &read), 300 - bad);
    CHECK_INT(read.skipped, bad);
    CHECK_INT(seglog_damaged(rig.log), bad);
    CHECK_INT(read.records[300 - bad - 1].seq, 299);
    seglog_read_done(&read);
    rig_done(&rig);
}

TEST(a_reader_that_can_wait_is_told_of_a_passing_fault_and_loses_nothing)
{
    struct seglog_rig rig;
    int bad = init_bad(&rig);
    struct seglog_read read = {.patient = true};
    int before = rig_read(&rig, rig.log, 0, 1000, &read);
    CHECK(before > (SEALED ? 120 : 130) && before < 300 - bad); /* those before it, first */
    for (int i = 0; i < 3; i++)
        CHECK_INT(rig_read(&rig, rig.log, (uint64_t)before, 1000, &read), -EIO);
    CHECK_INT(seglog_damaged(rig.log), 0);
    disk.bad_from = -1; /* it has passed */
    CHECK_INT(rig_read(&rig, rig.log, (uint64_t)before, 1000, &read), 300 - before);
    CHECK_INT(read.skipped, 0);
    CHECK_INT(seglog_damaged(rig.log), 0);
    seglog_read_done(&read);
    rig_done(&rig);
}

TEST(a_fault_that_stays_is_damage_for_a_reader_that_can_wait_too)
{
    struct seglog_rig rig;
    int bad = init_bad(&rig);
    struct seglog_read read = {.patient = true};
    int before = rig_read(&rig, rig.log, 0, 1000, &read), tries = 1, r; /* the first met it, too */
    while ((r = rig_read(&rig, rig.log, (uint64_t)before, 1000, &read)) == -EIO && tries < 20)
        tries++;
    CHECK(tries >= 3 && tries < 8);
    CHECK_INT(r, 300 - bad - before);
    CHECK_INT(read.skipped, bad);
    CHECK_INT(seglog_damaged(rig.log), bad);
    CHECK_INT(rig_read(&rig, rig.log, (uint64_t)before, 1000, &read),
              300 - bad - before); /* known from now on */
    CHECK_INT(seglog_damaged(rig.log), bad);
    seglog_read_done(&read);
    rig_done(&rig);
}

TEST(a_tail_that_cannot_be_read_at_the_start_is_not_cut_off)
{
    struct seglog_rig rig;
    init(&rig, 0);
    CHECK_INT(rig_append(&rig, rig.log, 0, 300, 43), 0);
    rig_close(&rig);
    cleanup_free char *path = rig_segment(&rig, 0);
    struct stat before, after;
    CHECK_INT(stat(path, &before), 0);
    disk.bad_from = 8192;
    disk.bad_to = before.st_size;
    rig_open(&rig);
    CHECK_INT(stat(path, &after), 0);
    CHECK_INT(after.st_size, before.st_size);
    CHECK(seglog_next(rig.log) >= 300); /* no number is given twice */
    uint64_t next = seglog_next(rig.log);
    CHECK_INT(rig_append(&rig, rig.log, next, 1, 43), 0);
    CHECK(rig_errors > 0);
    rig_done(&rig);
}
