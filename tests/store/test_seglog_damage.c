/* What a log makes of files that were torn, garbled, renamed or lost. Nothing that was acknowledged and is intact may be
 * missing, and opening always succeeds. */
#include "store/crc32c.h"
#include "store/old_segment.h"
#include "store/seglog_record.h"
#include "store/seglog_rig.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static off_t size_of(const char *path)
{
    struct stat st;
    CHECK_INT(stat(path, &st), 0);
    return st.st_size;
}

static uint8_t *load(const char *path, size_t *len)
{
    *len = (size_t)size_of(path);
    uint8_t *bytes = mem_new_bytes(*len + 1);
    cleanup(fd_close_p) int fd = open(path, O_RDONLY | O_CLOEXEC);
    CHECK_INT(pread(fd, bytes, *len, 0), (ssize_t)*len);
    return bytes;
}

static void store_bytes(const char *path, const uint8_t *bytes, size_t len)
{
    cleanup(fd_close_p) int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    CHECK(fd >= 0);
    CHECK_INT(write(fd, bytes, len), (ssize_t)len);
}

static void overwrite(const char *path, off_t at, const void *bytes, size_t len)
{
    cleanup(fd_close_p) int fd = open(path, O_WRONLY | O_CLOEXEC);
    CHECK_INT(pwrite(fd, bytes, len, at), (ssize_t)len);
}

static void flip(const char *path, const uint8_t *whole, uint64_t at)
{
    uint8_t bad = whole[at] ^ 0x10;
    overwrite(path, (off_t)at, &bad, 1);
}

/* Reads everything: exactly these `count` of the numbers below `next` are missing, each told once. */
static void check_missing(struct seglog_rig *rig, uint64_t next, uint64_t from, uint64_t count)
{
    struct seglog_read read = {0};
    CHECK_INT(seglog_next(rig->log), next);
    CHECK_INT(rig_read(rig, rig->log, 0, 1000, &read), (int)(next - count));
    CHECK_INT(seglog_damaged(rig->log), count);
    for (uint64_t i = 0; i < next - count; i++) {
        uint64_t seq = i < from ? i : i + count;
        CHECK_INT(read.records[i].seq, seq);
        CHECK(payload_is(&read.records[i], seq, 43));
    }
    CHECK_INT(rig_read(rig, rig->log, 0, 1000, &read), (int)(next - count));
    CHECK_INT(seglog_damaged(rig->log), count); /* seen twice, counted once */
    CHECK_INT(rig_errors, count > 0);
    seglog_read_done(&read);
}

TEST(a_segment_cut_at_any_byte_of_its_last_two_blocks_opens_with_all_before)
{
    struct seglog_rig rig;
    rig_init(&rig, WORKER_INLINE, 0, 0);
    for (uint64_t i = 0; i < 5; i++)
        CHECK_INT(rig_append(&rig, rig.log, i, 1, 43), 0);
    rig_close(&rig);
    cleanup_free char *path = rig_last_segment(&rig);
    size_t len;
    cleanup_free uint8_t *whole = load(path, &len);
    struct segment_found found[5];
    for (uint64_t i = 0; i < 5; i++)
        found[i] = rig_find(path, i);
    CHECK_INT(len, found[4].block_end);

    for (size_t cut = found[3].block; cut < len; cut++) {
        store_bytes(path, whole, cut);
        rig_open(&rig);
        uint64_t left = 3;
        while (left < 5 && found[left].offset + found[left].size <= cut)
            left++;
        CHECK_INT(seglog_next(rig.log), left);
        CHECK_INT(seglog_damaged(rig.log), 0);
        CHECK_INT(rig_append(&rig, rig.log, left, 2, 43), 0);
        rig_check_records(&rig, 0, left + 2, 43);
        rig_reopen(&rig);
        rig_check_records(&rig, 0, left + 2, 43);
        rig_close(&rig);
    }
    CHECK_INT(rig_errors, 0);
    rig_done(&rig);
}

/* The process was killed while it wrote: the block's head says more records than the file has. */
TEST(a_block_cut_at_any_byte_keeps_its_records_and_the_numbers_of_the_others_are_used_up)
{
    struct seglog_rig rig;
    rig_init(&rig, WORKER_INLINE, 0, 0);
    CHECK_INT(rig_append(&rig, rig.log, 0, 2, 43), 0);
    CHECK_INT(rig_append(&rig, rig.log, 2, 5, 43), 0);
    rig_close(&rig);
    cleanup_free char *path = rig_last_segment(&rig);
    cleanup_free char *unused = str_printf("%s/telemetry/unused", rig.path);
    size_t len;
    cleanup_free uint8_t *whole = load(path, &len);
    struct segment_found found[7];
    for (uint64_t i = 0; i < 7; i++)
        found[i] = rig_find(path, i);
    for (size_t cut = found[2].block; cut < len; cut++) {
        store_bytes(path, whole, cut);
        (void)unlink(unused);
        rig_open(&rig);
        uint64_t left = 2;
        while (left < 7 && found[left].offset + found[left].size <= cut)
            left++;
        uint64_t next = left == 2 ? 2 : 7; /* without a record it goes altogether */
        CHECK_INT(seglog_next(rig.log), next);
        CHECK_INT(seglog_unused(rig.log), next - left);
        for (int round = 0; round < 2; round++) {
            CHECK_INT(rig_append(&rig, rig.log, next + 2 * (uint64_t)round, 2, 43), 0);
            struct seglog_read read = {0};
            CHECK_INT(rig_read(&rig, rig.log, 0, 100, &read), (int)left + 2 + 2 * round);
            for (uint64_t i = 0; i < left + 2; i++) {
                uint64_t seq = i < left ? i : next + i - left;
                CHECK_INT(read.records[i].seq, seq);
                CHECK(payload_is(&read.records[i], seq, 43));
            }
            CHECK_INT(read.skipped, next - left);
            CHECK_INT(read.unused, next - left);
            seglog_read_done(&read);
            rig_reopen(&rig);
        }
        CHECK_INT(seglog_next(rig.log), next + 4);
        CHECK_INT(seglog_damaged(rig.log), 0);
        rig_close(&rig);
    }
    CHECK_INT(rig_errors, 0);
    rig_done(&rig);
}

TEST(a_block_garbled_from_any_byte_of_its_last_two_records_opens_with_all_before)
{
    struct seglog_rig rig;
    rig_init(&rig, WORKER_INLINE, 0, 0);
    CHECK_INT(rig_append(&rig, rig.log, 0, 5, 43), 0);
    rig_close(&rig);
    cleanup_free char *path = rig_last_segment(&rig);
    size_t len;
    cleanup_free uint8_t *whole = load(path, &len);
    struct segment_found fourth = rig_find(path, 3), fifth = rig_find(path, 4);

    for (size_t from = fourth.offset; from < len; from++) {
        cleanup_free uint8_t *garbled = mem_new_bytes(len + 100);
        memcpy(garbled, whole, from);
        for (size_t i = from; i < len + 100; i++)
            garbled[i] = (uint8_t) ~(i < len ? whole[i] : i);
        store_bytes(path, garbled, len + 100);
        rig_errors = 0;
        rig_open(&rig);
        uint64_t left = from >= fifth.offset + fifth.size ? 5 : from >= fourth.offset + fourth.size ? 4 : 3;
        check_missing(&rig, 5, left, 5 - left); /* its head knows that they were there */
        rig_close(&rig);
        CHECK_INT(size_of(path), len);
    }
    rig_done(&rig);
}

TEST(a_flipped_bit_in_any_byte_of_the_last_block_but_one_loses_no_other)
{
    struct seglog_rig rig;
    rig_init(&rig, WORKER_INLINE, 0, 0);
    for (uint64_t i = 0; i < 5; i++)
        CHECK_INT(rig_append(&rig, rig.log, i, 1, 43), 0);
    rig_close(&rig);
    cleanup_free char *path = rig_last_segment(&rig);
    size_t len;
    cleanup_free uint8_t *whole = load(path, &len);
    struct segment_found found = rig_find(path, 3);
    for (uint64_t at = found.block; at < found.offset + found.size; at++) {
        store_bytes(path, whole, len);
        flip(path, whole, at);
        rig_errors = 0;
        rig_open(&rig);
        check_missing(&rig, 5, 3, 1);
        rig_close(&rig);
        CHECK_INT(size_of(path), (off_t)len);
    }
    rig_done(&rig);
}

TEST(a_flipped_bit_in_any_byte_of_a_block_costs_at_most_the_record_it_is_in)
{
    struct seglog_rig rig;
    rig_init(&rig, WORKER_INLINE, 0, 0);
    for (uint64_t i = 0; i < 12; i += 4)
        CHECK_INT(rig_append(&rig, rig.log, i, 4, 43), 0);
    rig_close(&rig);
    cleanup_free char *path = rig_last_segment(&rig);
    size_t len;
    cleanup_free uint8_t *whole = load(path, &len);
    struct segment_found found[4];
    for (uint64_t i = 0; i < 4; i++)
        found[i] = rig_find(path, 4 + i);
    for (uint64_t at = found[0].block; at < found[0].block_end; at++) {
        store_bytes(path, whole, len);
        flip(path, whole, at);
        rig_errors = 0;
        rig_open(&rig);
        uint64_t hit = 0;
        while (hit < 4 && !(at >= found[hit].offset && at < found[hit].offset + found[hit].size))
            hit++;
        check_missing(&rig, 12, 4 + hit, hit < 4);
        rig_close(&rig);
        CHECK_INT(size_of(path), (off_t)len);
    }
    rig_done(&rig);
}

TEST(a_head_that_is_damaged_with_its_copy_costs_its_block_and_no_other)
{
    struct seglog_rig rig;
    rig_init(&rig, WORKER_INLINE, 0, 0);
    for (uint64_t i = 0; i < 12; i += 4)
        CHECK_INT(rig_append(&rig, rig.log, i, 4, 43), 0);
    rig_close(&rig);
    cleanup_free char *path = rig_last_segment(&rig);
    struct segment_found found = rig_find(path, 4);
    overwrite(path, (off_t)found.block + 9, "?", 1);
    overwrite(path, (off_t)found.block_end - 20, "?", 1);
    rig_open(&rig);
    check_missing(&rig, 12, 4, 4);
    rig_done(&rig);
}

TEST(a_hole_in_the_last_batch_does_not_cost_the_records_after_it)
{
    struct seglog_rig rig;
    rig_init(&rig, WORKER_INLINE, 0, 0);
    CHECK_INT(rig_append(&rig, rig.log, 0, 3, 43), 0);
    CHECK_INT(rig_append(&rig, rig.log, 3, 4, 43), 0);
    rig_close(&rig);
    cleanup_free char *path = rig_last_segment(&rig);
    static const uint8_t zeros[100];
    struct segment_found found = rig_find(path, 4);
    overwrite(path, (off_t)found.offset, zeros, found.size); /* a sector that had not reached the medium */
    rig_open(&rig);
    check_missing(&rig, 7, 4, 1);
    rig_done(&rig);
}

TEST(damage_in_an_older_segment_is_skipped_counted_and_reported_when_it_is_read)
{
    struct seglog_rig rig;
    rig_init(&rig, WORKER_INLINE, 4096, 0);
    for (uint64_t i = 0; i < 200; i++)
        CHECK_INT(rig_append(&rig, rig.log, i, 1, 43), 0);
    rig_close(&rig);
    cleanup_free char *path = rig_segment(&rig, 1);
    uint64_t first = strtoull(strrchr(path, '/') + 1, NULL, 10);
    uint8_t rubbish[1000];
    memset(rubbish, 0xa5, sizeof rubbish);
    struct segment_found from = rig_find(path, first + 10), to = rig_find(path, first + 12);
    overwrite(path, (off_t)from.offset + 5, rubbish, to.offset - from.offset); /* touches three */
    off_t size = size_of(path);

    rig_open(&rig);
    CHECK_INT(seglog_damaged(rig.log),
              0); /* nobody has looked yet: starting does not depend on the backlog */
    struct seglog_read read = {0};
    CHECK_INT(rig_read(&rig, rig.log, 0, 1000, &read), 197);
    CHECK_INT(read.skipped, 3);
    CHECK_INT(seglog_damaged(rig.log), 3);
    CHECK_INT(rig_errors, 1);
    for (uint64_t i = 0; i < 197; i++) {
        uint64_t seq = i < first + 10 ? i : i + 3;
        CHECK_INT(read.records[i].seq, seq);
        CHECK(payload_is(&read.records[i], seq, 43));
    }
    CHECK_INT(rig_read(&rig, rig.log, 0, 1000, &read), 197);
    CHECK_INT(seglog_damaged(rig.log), 3);
    CHECK_INT(rig_errors, 1);
    seglog_read_done(&read);
    CHECK_INT(size_of(path), size);
    rig_done(&rig);
}

TEST(the_end_of_an_older_segment_may_be_missing)
{
    struct seglog_rig rig;
    rig_init(&rig, WORKER_INLINE, 4096, 0);
    for (uint64_t i = 0; i < 200; i++)
        CHECK_INT(rig_append(&rig, rig.log, i, 1, 43), 0);
    rig_close(&rig);
    cleanup_free char *path = rig_segment(&rig, 1);
    uint64_t first = strtoull(strrchr(path, '/') + 1, NULL, 10);
    CHECK_INT(truncate(path, (off_t)rig_find(path, first + 10).offset + 7), 0);
    rig_open(&rig);
    struct seglog_read read = {0};
    int n = rig_read(&rig, rig.log, 0, 1000, &read);
    CHECK_INT(n + (int)read.skipped, 200);
    CHECK_INT(seglog_damaged(rig.log), read.skipped);
    CHECK_INT(read.records[n - 1].seq, 199);
    seglog_read_done(&read);
    rig_done(&rig);
}

TEST(an_older_segment_may_be_missing_altogether)
{
    struct seglog_rig rig;
    rig_init(&rig, WORKER_INLINE, 4096, 0);
    for (uint64_t i = 0; i < 200; i++)
        CHECK_INT(rig_append(&rig, rig.log, i, 1, 43), 0);
    rig_close(&rig);
    cleanup_free char *path = rig_segment(&rig, 1);
    CHECK_INT(unlink(path), 0);
    rig_open(&rig);
    struct seglog_read read = {0};
    int n = rig_read(&rig, rig.log, 0, 1000, &read);
    CHECK(read.skipped > 0);
    CHECK_INT(n + (int)read.skipped, 200);
    seglog_read_done(&read);
    rig_done(&rig);
}

TEST(a_read_of_nothing_but_damage_says_how_much_will_never_come)
{
    struct seglog_rig rig;
    rig_init(&rig, WORKER_INLINE, 0, 0);
    CHECK_INT(rig_append(&rig, rig.log, 0, 10, 43), 0);
    cleanup_free char *path = rig_last_segment(&rig);
    struct segment_found from = rig_find(path, 6), to = rig_find(path, 9);
    uint8_t rubbish[1000];
    memset(rubbish, 0xa5, sizeof rubbish);
    overwrite(path, (off_t)from.offset, rubbish,
              to.offset + to.size - from.offset); /* while the log is open */
    struct seglog_read read = {0};
    CHECK_INT(rig_read(&rig, rig.log, 0, 100, &read), 6);
    CHECK_INT(rig_read(&rig, rig.log, 6, 100, &read), 0);
    CHECK_INT(read.skipped, 4);
    CHECK_INT(rig_append(&rig, rig.log, 10, 1, 43), 0);
    CHECK_INT(rig_read(&rig, rig.log, 6, 100, &read), 1);
    CHECK_INT(read.records[0].seq, 10);
    CHECK_INT(read.skipped, 4);
    seglog_read_done(&read);
    rig_done(&rig);
}

/* Appends a record whose payload is these bytes, at a multiple of 8 in the file. */
static void append_image(struct seglog_rig *rig, const uint8_t *bytes, size_t len)
{
    uint64_t seq = seglog_next(rig->log);
    for (size_t shift = 0; shift < 8; shift++) {
        struct put put;
        put_init(&put, seq + shift, len + shift);
        memcpy(put.payload + shift, bytes, len);
        seglog_append(rig->log, &put.append);
        seglogs_quiesce(rig->logs);
        CHECK_INT(put.append.work.r, 0);
        put_done(&put);
    }
}

TEST(a_payload_that_looks_like_a_block_or_an_old_record_is_not_taken_for_one)
{
    struct seglog_rig rig, other;
    /* Of a block that would come just then, had the file not got to there already: from a copy of the log that went another way. */
    rig_init(&other, WORKER_INLINE, 0, 0);
    CHECK_INT(rig_append(&other, other.log, 0, 61, 43), 0);
    CHECK_INT(rig_append(&other, other.log, 61, 1, 43), 0);
    rig_close(&other);
    cleanup_free char *other_path = rig_last_segment(&other);
    size_t other_len;
    cleanup_free uint8_t *bytes = load(other_path, &other_len);
    struct segment_found block = rig_find(other_path, 61);
    uint8_t old[128];
    size_t old_size = old_record_encode(old, &(struct seglog_record){.seq = 61,
                                                                     .wall = 5,
                                                                     .topic = "x",
                                                                     .topic_len = 1,
                                                                     .payload = (const uint8_t *)"forged",
                                                                     .payload_len = 6});
    rig_done(&other);

    rig_init(&rig, WORKER_INLINE, 0, 0);
    CHECK_INT(rig_append(&rig, rig.log, 0, 60, 43), 0);
    rig_close(&rig);
    cleanup_free char *path = rig_last_segment(&rig);
    size_t len;
    cleanup_free uint8_t *whole = load(path, &len);

    for (int kind = 0; kind < 2; kind++) {
        store_bytes(path, whole, len);
        rig_open(&rig);
        CHECK_INT(seglog_next(rig.log), 60);
        if (kind)
            append_image(&rig, old, old_size);
        else
            append_image(&rig, bytes + block.block, block.block_end - block.block);
        CHECK_INT(rig_append(&rig, rig.log, 68, 1, 43), 0);
        rig_close(&rig);
        for (uint64_t seq = 60; seq < 68; seq++) {
            cleanup_free char *now = rig_last_segment(&rig);
            size_t now_len;
            cleanup_free uint8_t *good = load(now, &now_len);
            struct segment_found found = rig_find(now, seq);
            overwrite(now, (off_t)found.block, "XXXX", 4);
            rig_open(&rig);
            CHECK_INT(seglog_next(rig.log), 69);
            struct seglog_read read = {0};
            CHECK_INT(rig_read(&rig, rig.log, 58, 100, &read), 10);
            CHECK_INT(read.skipped, 1);
            for (int i = 0; i < 10; i++)
                CHECK_INT(read.records[i].seq, 58 + i + (58 + i >= (int)seq));
            seglog_read_done(&read);
            rig_close(&rig);
            store_bytes(now, good, now_len);
        }
    }
    rig_done(&rig);
}

/* ---- quarantine -------------------------------------------------------------------------------------------------- */

TEST(bytes_that_are_no_record_are_kept_apart_once)
{
    struct seglog_rig rig;
    rig_init(&rig, WORKER_INLINE, 0, 0);
    CHECK_INT(rig_append(&rig, rig.log, 0, 10, 43), 0);
    cleanup_free char *path = rig_last_segment(&rig);
    struct segment_found found = rig_find(path, 4);
    overwrite(path, (off_t)found.offset + 10, "??", 2);
    cleanup_free char *kept = str_printf("%s/telemetry/quarantine/00000000000000000000-%llu.bytes", rig.path,
                                         (unsigned long long)found.offset);
    for (int i = 0; i < 2; i++) {
        struct seglog_read read = {0};
        CHECK_INT(rig_read(&rig, rig.log, 0, 100, &read), 9);
        CHECK_INT(read.skipped, 1);
        seglog_read_done(&read);
        CHECK_INT(size_of(kept), (off_t)found.size);
        if (i == 0)
            CHECK_INT(unlink(kept), 0);
        if (i == 0)
            rig_reopen(&rig); /* which finds it anew */
    }
    rig_close(&rig);
    off_t size = size_of(path);
    cleanup(fd_close_p) int fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
    CHECK_INT(write(fd, "GHB2 and no more", 16), 16);
    rig_open(&rig);
    CHECK_INT(size_of(path), size);
    cleanup_free char *tail =
        str_printf("%s/telemetry/quarantine/00000000000000000000-%lld.bytes", rig.path, (long long)size);
    size_t len;
    cleanup_free uint8_t *bytes = load(tail, &len);
    CHECK_MEM(bytes, len, "GHB2 and no more", 16);
    rig_done(&rig);
}

/* ---- heads and names --------------------------------------------------------------------------------------------- */

TEST(a_segment_whose_making_was_interrupted_is_made_again)
{
    for (off_t size = 0; size <= 32; size += 4) {
        struct seglog_rig rig;
        rig_init(&rig, WORKER_INLINE, 4096, 0);
        CHECK_INT(rig_append(&rig, rig.log, 0, 30, 43), 0);
        uint64_t next = seglog_next(rig.log);
        rig_close(&rig);
        cleanup_free char *torn = str_printf("%s/telemetry/%020llu.seg", rig.path, (unsigned long long)next);
        static const uint8_t zeros[32];
        store_bytes(torn, zeros, (size_t)size);
        rig_open(&rig);
        CHECK_INT(seglog_next(rig.log), next);
        CHECK_INT(rig_append(&rig, rig.log, next, 5, 43), 0);
        rig_reopen(&rig);
        rig_check_records(&rig, 0, next + 5, 43);
        CHECK_INT(rig_errors, 0);
        rig_done(&rig);
    }
}

TEST(a_damaged_head_costs_no_record_and_no_number_is_given_twice)
{
    struct seglog_rig rig;
    rig_init(&rig, WORKER_INLINE, 0, 0);
    CHECK_INT(rig_append(&rig, rig.log, 0, 10, 43), 0);
    rig_close(&rig);
    cleanup_free char *path = rig_last_segment(&rig);
    struct segment_found last = rig_find(path, 9);
    overwrite(path, 3, "?", 1);
    overwrite(path, (off_t)rig_find(path, 8).offset, "?", 1); /* and two records */
    overwrite(path, (off_t)last.offset, "?", 1);
    off_t size = size_of(path);
    rig_open(&rig);
    CHECK(seglog_next(rig.log) >= 10);
    CHECK(rig_errors > 0);
    uint64_t next = seglog_next(rig.log);
    CHECK_INT(rig_append(&rig, rig.log, next, 1, 43), 0);
    struct seglog_read read = {0};
    CHECK_INT(rig_read(&rig, rig.log, 0, 100, &read), 9);
    CHECK_INT(read.records[8].seq, next);
    seglog_read_done(&read);
    CHECK_INT(size_of(path), size);
    rig_done(&rig);
}

TEST(a_file_of_rubbish_is_kept_and_the_log_goes_on)
{
    struct seglog_rig rig;
    rig_init(&rig, WORKER_INLINE, 0, 0);
    rig_close(&rig);
    cleanup_free char *path = rig_last_segment(&rig);
    uint8_t rubbish[5000];
    for (size_t i = 0; i < sizeof rubbish; i++)
        rubbish[i] = (uint8_t)(i * 7 + i / 256);
    store_bytes(path, rubbish, sizeof rubbish);
    rig_open(&rig);
    uint64_t next = seglog_next(rig.log);
    CHECK(next > 5000 / 40);
    CHECK_INT(rig_append(&rig, rig.log, next, 3, 43), 0);
    rig_reopen(&rig);
    rig_check_records(&rig, next, 3, 43);
    CHECK_INT(size_of(path), sizeof rubbish);
    rig_done(&rig);
}

TEST(a_log_of_a_newer_program_is_left_alone)
{
    struct seglog_rig rig;
    rig_init(&rig, WORKER_INLINE, 0, 0);
    CHECK_INT(rig_append(&rig, rig.log, 0, 3, 43), 0);
    rig_close(&rig);
    cleanup_free char *path = rig_last_segment(&rig);
    uint8_t head[SEGLOG_HEAD_SIZE];
    seglog_head_encode(head, &(struct seglog_head){0});
    head[8] = SEGLOG_VERSION_SEALED + 1;
    uint32_t crc = crc32c(0, head, 28);
    for (int i = 0; i < 4; i++)
        head[28 + i] = (uint8_t)(crc >> 8 * i);
    overwrite(path, 0, head, sizeof head);
    off_t size = size_of(path);
    CHECK_INT(seglogs_open(&rig.logs, rig.loop, rig.path, WORKER_INLINE), 0);
    CHECK_INT(seglog_open(&rig.log, rig.logs, "telemetry", NULL), -EPROTONOSUPPORT);
    CHECK_INT(size_of(path), size);
    rig_done(&rig);
}

TEST(other_files_in_the_folder_are_none_of_ours)
{
    struct seglog_rig rig;
    rig_init(&rig, WORKER_INLINE, 0, 0);
    CHECK_INT(rig_append(&rig, rig.log, 0, 3, 43), 0);
    rig_close(&rig);
    static const char *const names[] = {"README", "00000000000000000001.seg~", "0000000000000000000x.seg",
                                        ".seg", "99999999999999999999.seg"};
    for (size_t i = 0; i < array_size(names); i++) {
        cleanup_free char *path = str_printf("%s/telemetry/%s", rig.path, names[i]);
        store_bytes(path, (const uint8_t *)"note", 4);
    }
    rig_open(&rig);
    rig_check_records(&rig, 0, 3, 43);
    rig_release(&rig, 3);
    for (size_t i = 0; i < array_size(names); i++) {
        cleanup_free char *path = str_printf("%s/telemetry/%s", rig.path, names[i]);
        CHECK_INT(size_of(path), 4);
    }
    rig_done(&rig);
}
