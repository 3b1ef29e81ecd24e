/* Logs that an older program wrote, in version 1: they are read for ever, whatever has happened to them, and go on in
 * segments of today. */
#include "store/old_segment.h"
#include "store/seglog_rig.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SIZE = 43, RECORD = 32 + 13 + SIZE, BATCH = 10 };

static char *path_of(const struct seglog_rig *rig, uint64_t first)
{
    return str_printf("%s/telemetry/%020llu.seg", rig->path, (unsigned long long)first);
}

/* A segment of `count` records in batches of BATCH. */
static void write_old(const struct seglog_rig *rig, uint64_t first, uint64_t count)
{
    cleanup_free char *path = path_of(rig, first);
    cleanup(fd_close_p) int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    CHECK(fd >= 0);
    uint8_t bytes[RECORD];
    seglog_head_encode(bytes, &(struct seglog_head){.first = first, .version = SEGLOG_VERSION_RECORDS});
    CHECK_INT(write(fd, bytes, SEGLOG_HEAD_SIZE), SEGLOG_HEAD_SIZE);
    for (uint64_t i = 0; i < count; i++) {
        struct put put;
        put_init(&put, first + i, SIZE);
        put.append.record.seq = first + i;
        put.append.record.batch = i % BATCH;
        CHECK_INT(old_record_encode(bytes, &put.append.record), RECORD);
        CHECK_INT(write(fd, bytes, RECORD), RECORD);
        put_done(&put);
    }
}

/* A log of two old segments: 0 to 99, and 100 to 149. */
static void init(struct seglog_rig *rig)
{
    rig_init(rig, WORKER_INLINE, 0, 0);
    rig_close(rig);
    write_old(rig, 0, 100);
    write_old(rig, 100, 50);
}

static off_t size_of(const struct seglog_rig *rig, uint64_t first)
{
    cleanup_free char *path = path_of(rig, first);
    struct stat st;
    CHECK_INT(stat(path, &st), 0);
    return st.st_size;
}

static void overwrite(const struct seglog_rig *rig, uint64_t first, off_t at, const char *text)
{
    cleanup_free char *path = path_of(rig, first);
    cleanup(fd_close_p) int fd = open(path, O_WRONLY | O_CLOEXEC);
    CHECK_INT(pwrite(fd, text, strlen(text), at), (ssize_t)strlen(text));
}

TEST(an_old_log_is_read_and_goes_on_in_a_segment_of_today)
{
    struct seglog_rig rig;
    init(&rig);
    rig_open(&rig);
    CHECK_INT(seglog_next(rig.log), 150);
    rig_check_records(&rig, 0, 150, SIZE);
    CHECK_INT(rig_segments(&rig), 2);
    CHECK_INT(rig_append(&rig, rig.log, 150, 20, SIZE), 0);
    CHECK_INT(rig_segments(&rig), 3);
    for (int round = 0; round < 2; round++) {
        CHECK_INT(size_of(&rig, 0), 32 + 100 * RECORD);
        CHECK_INT(size_of(&rig, 100), 32 + 50 * RECORD);
        for (uint64_t from = 0; from < 170; from += 13)
            rig_check_records(&rig, from, 170 - from, SIZE);
        rig_reopen(&rig);
    }
    CHECK_INT(rig_append(&rig, rig.log, 170, 5, SIZE), 0);
    CHECK_INT(rig_segments(&rig), 3);
    rig_release(&rig, 120);
    CHECK_INT(seglog_first(rig.log), 100);
    rig_check_records(&rig, 100, 75, SIZE);
    CHECK_INT(rig_errors, 0);
    CHECK_INT(seglog_damaged(rig.log) + seglog_unused(rig.log), 0);
    rig_done(&rig);
}

TEST(an_old_segment_without_a_record_makes_room_for_one_of_today)
{
    struct seglog_rig rig;
    init(&rig);
    write_old(&rig, 150, 0);
    rig_open(&rig);
    CHECK_INT(seglog_next(rig.log), 150);
    CHECK_INT(rig_append(&rig, rig.log, 150, 20, SIZE), 0);
    CHECK_INT(rig_segments(&rig), 3);
    rig_reopen(&rig);
    rig_check_records(&rig, 0, 170, SIZE);
    CHECK_INT(rig_append(&rig, rig.log, 170, 1, SIZE), 0);
    CHECK_INT(rig_segments(&rig), 3);
    CHECK_INT(seglog_unused(rig.log), 0);
    rig_done(&rig);
}

TEST(an_old_segment_cut_at_any_byte_of_its_last_two_records_opens_with_all_before)
{
    struct seglog_rig rig;
    init(&rig);
    for (off_t cut = 32 + 48 * RECORD; cut < 32 + 50 * RECORD; cut++) {
        write_old(&rig, 100, 50);
        cleanup_free char *path = path_of(&rig, 100);
        CHECK_INT(truncate(path, cut), 0);
        rig_open(&rig);
        uint64_t next = 100 + (uint64_t)(cut - 32) / RECORD;
        CHECK_INT(seglog_next(rig.log), next);
        CHECK_INT(rig_append(&rig, rig.log, next, 3, SIZE), 0);
        rig_check_records(&rig, 0, next + 3, SIZE);
        rig_reopen(&rig);
        rig_check_records(&rig, 0, next + 3, SIZE);
        rig_close(&rig);
        cleanup_free char *new_path = path_of(&rig, next);
        CHECK_INT(unlink(new_path), 0);
    }
    CHECK_INT(rig_errors, 0);
    rig_done(&rig);
}

TEST(what_a_power_cut_tore_out_of_an_old_log_is_no_damage)
{
    struct seglog_rig rig;
    init(&rig);
    rig_boot(&rig);
    overwrite(&rig, 100, 32 + 43 * RECORD + 40, "????"); /* of the last batch */
    rig_open(&rig);
    CHECK_INT(seglog_next(rig.log), 150);
    CHECK_INT(seglog_unused(rig.log), 1);
    CHECK_INT(rig_append(&rig, rig.log, 150, 3, SIZE), 0);
    struct seglog_read read = {0};
    CHECK_INT(rig_read(&rig, rig.log, 0, 1000, &read), 152);
    CHECK_INT(read.unused, 1);
    CHECK_INT(seglog_damaged(rig.log), 0);
    seglog_read_done(&read);
    rig_done(&rig);
}

TEST(damage_in_either_kind_of_segment_costs_the_records_that_it_hits)
{
    struct seglog_rig rig;
    init(&rig);
    rig_open(&rig);
    CHECK_INT(rig_append(&rig, rig.log, 150, 20, SIZE), 0);
    cleanup_free char *path = path_of(&rig, 150);
    uint64_t at = rig_find(path, 155).offset;
    rig_close(&rig);
    overwrite(&rig, 0, 32 + 10 * RECORD + 50, "????");
    overwrite(&rig, 100, 32 + 20 * RECORD, "????????");
    overwrite(&rig, 150, (off_t)at + 2, "????");
    rig_open(&rig);
    CHECK_INT(seglog_next(rig.log), 170);
    struct seglog_read read = {0};
    CHECK_INT(rig_read(&rig, rig.log, 0, 1000, &read), 167);
    CHECK_INT(read.skipped, 3);
    for (int i = 0; i < 167; i++) {
        uint64_t seq = (uint64_t)i;
        seq += seq >= 10;
        seq += seq >= 120;
        seq += seq >= 155;
        CHECK_INT(read.records[i].seq, seq);
        CHECK(payload_is(&read.records[i], seq, SIZE));
    }
    CHECK_INT(seglog_damaged(rig.log), 3);
    seglog_read_done(&read);
    rig_done(&rig);
}

TEST(an_old_segment_whose_head_is_damaged_is_kept_and_read)
{
    for (int boot = 0; boot < 2; boot++) {
        struct seglog_rig rig;
        init(&rig);
        static const uint8_t zeros[SEGLOG_HEAD_SIZE];
        cleanup_free char *path = path_of(&rig, 100);
        cleanup(fd_close_p) int fd = open(path, O_WRONLY | O_CLOEXEC);
        CHECK_INT(pwrite(fd, zeros, sizeof zeros, 0), sizeof zeros);
        if (boot) /* as old programs synced heads before records, that is damage, too */
            rig_boot(&rig);
        rig_open(&rig);
        uint64_t next = seglog_next(rig.log);
        CHECK(next >= 150);
        CHECK_INT(rig_errors, 1);
        CHECK_INT(rig_append(&rig, rig.log, next, 3, SIZE), 0);
        struct seglog_read read = {0};
        CHECK_INT(rig_read(&rig, rig.log, 0, 1000, &read), 153);
        CHECK_INT(read.records[149].seq, 149);
        CHECK_INT(read.records[150].seq, next);
        seglog_read_done(&read);
        CHECK_INT(size_of(&rig, 100), 32 + 50 * RECORD);
        rig_done(&rig);
    }
}

TEST(a_segment_of_today_that_was_being_made_behind_an_old_one_is_made_again)
{
    for (off_t size = 0; size <= SEGLOG_HEAD_SIZE; size += 16) {
        struct seglog_rig rig;
        init(&rig);
        rig_boot(&rig);
        cleanup_free char *path = path_of(&rig, 150);
        cleanup(fd_close_p) int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        CHECK_INT(ftruncate(fd, size), 0);
        rig_open(&rig);
        CHECK_INT(seglog_next(rig.log), 150);
        CHECK_INT(rig_append(&rig, rig.log, 150, 3, SIZE), 0);
        rig_reopen(&rig);
        rig_check_records(&rig, 0, 153, SIZE);
        CHECK_INT(rig_errors, 0);
        CHECK_INT(seglog_unused(rig.log), 0);
        rig_done(&rig);
    }
}

TEST(old_segments_are_packed_like_any_other)
{
    struct seglog_rig rig;
    init(&rig);
    write_old(&rig, 100, 3000);
    rig.options.compress = true;
    rig_open(&rig);
    uint64_t before = seglog_bytes(rig.log);
    for (uint64_t n = 3100; n < 3110; n++)
        CHECK_INT(rig_append(&rig, rig.log, n, 1, SIZE), 0);
    CHECK_INT(rig_segments(&rig), 1); /* of plain ones */
    CHECK(seglog_bytes(rig.log) < before);
    rig_check_records(&rig, 0, 3110, SIZE);
    rig_reopen(&rig);
    rig_check_records(&rig, 2000, 1110, SIZE);
    CHECK_INT(rig_errors, 0);
    rig_done(&rig);
}
