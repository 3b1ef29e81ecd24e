/* A segment log through its header: order, groups, limits, in both modes of the worker. */
#include "store/seglog_rig.h"

#include <errno.h>
#include <sys/stat.h>

#define BOTH_MODES(name)                                                                                     \
    static void name(enum worker_mode mode);                                                                 \
    TEST(name##_inline)                                                                                      \
    {                                                                                                        \
        name(WORKER_INLINE);                                                                                 \
    }                                                                                                        \
    TEST(name##_with_a_thread)                                                                               \
    {                                                                                                        \
        name(WORKER_THREAD);                                                                                 \
    }                                                                                                        \
    static void name(enum worker_mode mode)

BOTH_MODES(what_was_appended_is_read_in_order)
{
    struct seglog_rig rig;
    rig_init(&rig, mode, 0, 0);
    CHECK_INT(seglog_next(rig.log), 0);
    CHECK_INT(rig_append(&rig, rig.log, 0, 100, 50), 0);
    CHECK_INT(rig_append(&rig, rig.log, 100, 1, 50), 0);
    CHECK_INT(seglog_first(rig.log), 0);
    CHECK_INT(seglog_next(rig.log), 101);
    rig_check_records(&rig, 0, 101, 50);
    rig_check_records(&rig, 77, 24, 50);
    CHECK_INT(rig_errors, 0);
    rig_done(&rig);
}

BOTH_MODES(records_and_numbers_survive_reopening)
{
    struct seglog_rig rig;
    rig_init(&rig, mode, 0, 0);
    CHECK_INT(rig_append(&rig, rig.log, 0, 10, 50), 0);
    uint64_t bytes = seglog_bytes(rig.log);
    rig_reopen(&rig);
    CHECK_INT(seglog_next(rig.log), 10);
    CHECK_INT(seglog_bytes(rig.log), bytes);
    CHECK_INT(rig_append(&rig, rig.log, 10, 10, 50), 0);
    rig_reopen(&rig);
    rig_check_records(&rig, 0, 20, 50);
    rig_done(&rig);
}

BOTH_MODES(a_log_of_many_segments_reads_as_one)
{
    struct seglog_rig rig;
    rig_init(&rig, mode, 4096, 0);
    for (uint64_t i = 0; i < 20; i++)
        CHECK_INT(rig_append(&rig, rig.log, i * 10, 10, 300), 0);
    CHECK(rig_segments(&rig) > 10);
    rig_check_records(&rig, 0, 200, 300);
    rig_reopen(&rig);
    CHECK_INT(seglog_next(rig.log), 200);
    rig_check_records(&rig, 0, 200, 300);
    rig_check_records(&rig, 123, 77, 300);
    rig_done(&rig);
}

TEST(one_batch_may_be_larger_than_a_segment)
{
    struct seglog_rig rig;
    rig_init(&rig, WORKER_INLINE, 4096, 0);
    CHECK_INT(rig_append(&rig, rig.log, 0, 500, 100), 0);
    CHECK(rig_segments(&rig) > 10);
    rig_check_records(&rig, 0, 500, 100);
    rig_reopen(&rig);
    rig_check_records(&rig, 0, 500, 100);
    rig_done(&rig);
}

TEST(one_batch_may_be_larger_than_the_write_buffer)
{
    struct seglog_rig rig;
    rig_init(&rig, WORKER_INLINE, 0, 0);
    CHECK_INT(rig_append(&rig, rig.log, 0, 50, 30000), 0);
    rig_reopen(&rig);
    rig_check_records(&rig, 0, 50, 30000);
    rig_done(&rig);
}

TEST(records_of_every_size_keep_their_bytes)
{
    static const size_t sizes[] = {0, 1, 7, 8, 9, 4095, 65535, 65536, 65537, 300001, 5 << 20};
    struct seglog_rig rig;
    rig_init(&rig, WORKER_INLINE, 0, 0);
    for (size_t i = 0; i < array_size(sizes); i++)
        CHECK_INT(rig_append(&rig, rig.log, i, 1, sizes[i]), 0);
    rig_reopen(&rig);
    struct seglog_read read = {.max_bytes = 1000};
    for (size_t i = 0; i < array_size(sizes); i++) {
        CHECK_INT(rig_read(&rig, rig.log, i, 1, &read), 1);
        CHECK_INT(read.records[0].seq, i);
        CHECK(payload_is(&read.records[0], i, sizes[i]));
    }
    seglog_read_done(&read);
    rig_done(&rig);
}

TEST(an_empty_record_without_topic_is_a_record)
{
    struct seglog_rig rig;
    rig_init(&rig, WORKER_INLINE, 0, 0);
    struct put put;
    put_init(&put, 0, 0);
    put.append.record = (struct seglog_record){.wall = -1};
    seglog_append(rig.log, &put.append);
    seglogs_quiesce(rig.logs);
    CHECK_INT(put.append.work.r, 0);
    struct seglog_read read = {0};
    CHECK_INT(rig_read(&rig, rig.log, 0, 1, &read), 1);
    CHECK_INT(read.records[0].topic_len + read.records[0].payload_len, 0);
    CHECK_INT(read.records[0].wall, -1);
    seglog_read_done(&read);
    put_done(&put);
    rig_done(&rig);
}

TEST(a_record_that_is_too_large_is_refused_alone)
{
    struct seglog_rig rig;
    rig_init(&rig, WORKER_INLINE, 0, 0);
    struct put small, large;
    put_init(&small, 0, 10);
    put_init(&large, 1, 10);
    large.append.record.payload_len = SEGLOG_RECORD_MAX;
    seglog_append(rig.log, &large.append);
    seglog_append(rig.log, &small.append);
    seglogs_quiesce(rig.logs);
    CHECK_INT(large.append.work.r, -EMSGSIZE);
    CHECK_INT(small.append.work.r, 0);
    rig_check_records(&rig, 0, 1, 10);
    put_done(&small);
    put_done(&large);
    rig_done(&rig);
}

BOTH_MODES(an_append_learns_its_number)
{
    struct seglog_rig rig;
    rig_init(&rig, mode, 0, 0);
    CHECK_INT(rig_append(&rig, rig.log, 0, 5, 10), 0);
    struct put put;
    put_init(&put, 5, 10);
    seglog_append(rig.log, &put.append);
    seglogs_quiesce(rig.logs);
    CHECK_INT(put.append.record.seq, 5);
    put_done(&put);
    rig_done(&rig);
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

TEST(a_read_stops_at_max_records_and_at_max_bytes_but_gives_one)
{
    struct seglog_rig rig;
    rig_init(&rig, WORKER_INLINE, 0, 0);
    CHECK_INT(rig_append(&rig, rig.log, 0, 100, 1000), 0);
    struct seglog_read read = {.max_bytes = 10130};
    CHECK_INT(rig_read(&rig, rig.log, 0, 7, &read), 7);
    CHECK_INT(rig_read(&rig, rig.log, 0, 100, &read), 10); /* of 1013 bytes each */
    read.max_bytes = 1;
    CHECK_INT(rig_read(&rig, rig.log, 3, 100, &read), 1);
    CHECK_INT(read.records[0].seq, 3);
    seglog_read_done(&read);
    rig_done(&rig);
}

TEST(reading_at_the_end_gives_nothing_and_is_no_fault)
{
    struct seglog_rig rig;
    rig_init(&rig, WORKER_INLINE, 0, 0);
    struct seglog_read read = {0};
    CHECK_INT(rig_read(&rig, rig.log, 0, 10, &read), 0);
    CHECK_INT(rig_append(&rig, rig.log, 0, 3, 10), 0);
    CHECK_INT(rig_read(&rig, rig.log, 3, 10, &read), 0);
    CHECK_INT(rig_read(&rig, rig.log, 4711, 10, &read), 0);
    CHECK_INT(read.skipped, 0);
    seglog_read_done(&read);
    rig_done(&rig);
}

static void nothing(struct work *work)
{
    (void)work;
}

TEST(a_read_in_the_same_turn_does_not_see_what_is_not_synced_yet)
{
    struct seglog_rig rig;
    rig_init(&rig, WORKER_INLINE, 4096, 0);
    CHECK_INT(rig_append(&rig, rig.log, 0, 3, 10), 0);
    struct put put;
    put_init(&put, 3, 10);
    struct seglog_read read = {.work.done = nothing, .from = 0, .max_records = 100, .max_bytes = 10000};
    seglog_append(rig.log, &put.append);
    seglog_read(rig.log, &read);
    seglogs_quiesce(rig.logs);
    CHECK_INT(put.append.work.r, 0);
    CHECK_INT(read.work.r, 3);
    put_done(&put);
    seglog_read_done(&read);
    rig_done(&rig);
}

BOTH_MODES(several_readers_at_different_places_do_not_disturb_each_other)
{
    struct seglog_rig rig;
    rig_init(&rig, mode, 4096, 0);
    CHECK_INT(rig_append(&rig, rig.log, 0, 300, 100), 0);
    uint64_t at[12];
    struct seglog_read reads[12] = {0};
    for (size_t i = 0; i < 12; i++)
        at[i] = i * 20;
    for (int round = 0; round < 10; round++)
        for (size_t i = 0; i < 12; i++) {
            CHECK_INT(rig_read(&rig, rig.log, at[i], i + 1, &reads[i]), (int)size_min(i + 1, 300 - at[i]));
            for (int k = 0; k < reads[i].work.r; k++, at[i]++) {
                CHECK_INT(reads[i].records[k].seq, at[i]);
                CHECK(payload_is(&reads[i].records[k], at[i], 100));
            }
        }
    for (size_t i = 0; i < 12; i++)
        seglog_read_done(&reads[i]);
    rig_done(&rig);
}

/* ---- space ------------------------------------------------------------------------------------------------------- */

BOTH_MODES(released_segments_go_and_the_rest_is_still_there)
{
    struct seglog_rig rig;
    rig_init(&rig, mode, 4096, 0);
    for (uint64_t i = 0; i < 10; i++)
        CHECK_INT(rig_append(&rig, rig.log, i * 10, 10, 300), 0);
    size_t segments = rig_segments(&rig);
    uint64_t bytes = seglog_bytes(rig.log);

    rig_release(&rig, 50);
    CHECK(seglog_first(rig.log) > 0 && seglog_first(rig.log) <= 50);
    CHECK(rig_segments(&rig) < segments);
    CHECK(seglog_bytes(rig.log) < bytes);
    uint64_t first = seglog_first(rig.log);
    rig_check_records(&rig, first, 100 - first, 300);

    struct seglog_read read = {0};
    CHECK(rig_read(&rig, rig.log, 0, 1, &read) == 1);
    CHECK_INT(read.records[0].seq, first);
    CHECK_INT(read.skipped, first);
    seglog_read_done(&read);

    rig_reopen(&rig);
    CHECK_INT(seglog_first(rig.log), first);
    rig_check_records(&rig, first, 100 - first, 300);
    CHECK_INT(rig_errors, 0);
    rig_done(&rig);
}

TEST(numbers_are_not_given_again_when_everything_was_released)
{
    struct seglog_rig rig;
    rig_init(&rig, WORKER_INLINE, 4096, 0);
    for (uint64_t i = 0; i < 10; i++)
        CHECK_INT(rig_append(&rig, rig.log, i * 10, 10, 300), 0);
    rig_release(&rig, UINT64_MAX);
    CHECK_INT(rig_segments(&rig), 1);
    CHECK_INT(seglog_next(rig.log), 100);
    rig_reopen(&rig);
    CHECK_INT(seglog_next(rig.log), 100);
    CHECK_INT(rig_append(&rig, rig.log, 100, 1, 300), 0);
    rig_check_records(&rig, 100, 1, 300);
    rig_done(&rig);
}

BOTH_MODES(a_full_log_refuses_and_takes_again_what_fits_after_a_release)
{
    struct seglog_rig rig;
    rig_init(&rig, mode, 0, 64 * 1024);
    uint64_t n = 0;
    int r;
    while ((r = rig_append(&rig, rig.log, n, 1, 1000)) == 0)
        n++;
    CHECK_INT(r, SEGLOG_FULL);
    CHECK_INT(seglog_next(rig.log), n);
    CHECK(seglog_bytes(rig.log) <= 64 * 1024);
    CHECK(seglog_bytes(rig.log) > 62 * 1024);
    rig_check_records(&rig, 0, n, 1000);

    rig_release(&rig, n); /* at least three quarters come back */
    CHECK(seglog_bytes(rig.log) <= 16 * 1024);
    for (int i = 0; i < 40; i++, n++)
        CHECK_INT(rig_append(&rig, rig.log, n, 1, 1000), 0);
    CHECK_INT(rig_errors, 0);
    rig_done(&rig);
}

TEST(a_batch_that_does_not_fit_is_taken_as_far_as_it_fits)
{
    struct seglog_rig rig;
    rig_init(&rig, WORKER_INLINE, 0, 64 * 1024);
    CHECK_INT(rig_append(&rig, rig.log, 0, 100, 1000), SEGLOG_FULL);
    uint64_t n = seglog_next(rig.log);
    CHECK(n > 58 && n < 66);
    CHECK(seglog_bytes(rig.log) <= 64 * 1024 + 4 * 32);
    rig_check_records(&rig, 0, n, 1000);
    rig_done(&rig);
}

/* ---- several logs ------------------------------------------------------------------------------------------------ */

BOTH_MODES(logs_have_numbers_and_records_of_their_own)
{
    struct seglog_rig rig;
    rig_init(&rig, mode, 4096, 0);
    struct seglog *alarms;
    CHECK_INT(seglog_open(&alarms, rig.logs, "alarms", NULL), 0);
    for (uint64_t i = 0; i < 10; i++) {
        CHECK_INT(rig_append(&rig, rig.log, i * 20, 20, 100), 0);
        CHECK_INT(rig_append(&rig, alarms, 1000 + i, 1, 40), 0);
    }
    rig_check_records(&rig, 0, 200, 100);
    struct seglog_read read = {0};
    CHECK_INT(rig_read(&rig, alarms, 0, 100, &read), 10);
    for (uint64_t i = 0; i < 10; i++)
        CHECK(read.records[i].seq == i && payload_is(&read.records[i], 1000 + i, 40));
    seglog_read_done(&read);

    alarms = seglog_close(alarms);
    rig_check_records(&rig, 0, 200, 100);
    rig_done(&rig);
}

TEST(names_that_are_no_names_are_refused)
{
    static const char *const names[] = {
        "", "a/b", "..", "a b", "ä", "01234567890123456789012345678901234567890123456789012345678901234"};
    struct seglog_rig rig;
    rig_init(&rig, WORKER_INLINE, 0, 0);
    struct seglog *log;
    for (size_t i = 0; i < array_size(names); i++)
        CHECK_INT(seglog_open(&log, rig.logs, names[i], NULL), -EINVAL);
    CHECK_INT(seglog_open(&log, rig.logs, "telemetry", NULL), -EBUSY);
    rig_done(&rig);
}

TEST(the_folder_is_one_process_s_alone)
{
    struct seglog_rig rig;
    rig_init(&rig, WORKER_INLINE, 0, 0);
    struct seglogs *second;
    CHECK_INT(seglogs_open(&second, rig.loop, rig.path, WORKER_INLINE), -EBUSY);
    CHECK(strstr(rig_last_error, "in use"));
    rig_done(&rig);
}

TEST(a_missing_parent_folder_is_named)
{
    struct seglog_rig rig;
    rig_init(&rig, WORKER_INLINE, 0, 0);
    cleanup_free char *path = str_printf("%s/not/there", rig.folder);
    struct seglogs *logs;
    CHECK_INT(seglogs_open(&logs, rig.loop, path, WORKER_INLINE), -ENOENT);
    CHECK(strstr(rig_last_error, path));
    rig_done(&rig);
}

TEST(segments_are_for_their_owner_only)
{
    struct seglog_rig rig;
    rig_init(&rig, WORKER_INLINE, 0, 0);
    cleanup_free char *segment = rig_last_segment(&rig);
    struct stat st;
    CHECK_INT(stat(segment, &st), 0);
    CHECK_INT(st.st_mode & 0777, 0600);
    CHECK_INT(stat(rig.path, &st), 0);
    CHECK_INT(st.st_mode & 0777, 0700);
    rig_done(&rig);
}
