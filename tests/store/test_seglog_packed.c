/* Packed segments: read like any other, smaller, and whole whatever comes in between. */
#include "store/seglog_packed.h"
#include "store/seglog_rig.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SIZE = 400, SEGMENT = 400 * 1000 };

static void init(struct seglog_rig *rig, bool compress)
{
    rig_init(rig, WORKER_INLINE, SEGMENT, 0);
    rig_close(rig);
    rig->options.compress = compress;
    rig_open(rig);
}

/* Records that can be packed: rig_append() makes noise. Not too many at once, or the segments would be larger. */
static void append(struct seglog_rig *rig, uint64_t number, size_t count)
{
    enum { A_TURN = 1000 };
    for (; count > A_TURN; count -= A_TURN, number += A_TURN)
        append(rig, number, A_TURN);
    struct put *puts = mem_new_bytes(count * sizeof *puts);
    for (size_t i = 0; i < count; i++) {
        put_init(&puts[i], number + i, SIZE);
        memset(puts[i].payload, (int)('a' + (number + i) % 26), SIZE);
        seglog_append(rig->log, &puts[i].append);
    }
    seglogs_quiesce(rig->logs);
    for (size_t i = 0; i < count; i++) {
        CHECK_INT(puts[i].append.work.r, 0);
        put_done(&puts[i]);
    }
    free(puts);
}

static void check(struct seglog_rig *rig, uint64_t from, uint64_t to)
{
    struct seglog_read read = {.max_bytes = 50000};
    uint64_t seq = from;
    for (int n; (n = rig_read(rig, rig->log, seq, 1000, &read)) > 0;)
        for (int i = 0; i < n; i++, seq++) {
            CHECK_INT(read.records[i].seq, seq);
            CHECK_INT(read.records[i].payload_len, SIZE);
            for (size_t k = 0; k < SIZE; k++)
                CHECK(read.records[i].payload[k] == 'a' + seq % 26);
        }
    CHECK_INT(seq, to);
    seglog_read_done(&read);
}

static size_t count(struct seglog_rig *rig, const char *ending)
{
    cleanup_free char *folder = str_printf("%s/telemetry", rig->path);
    DIR *dir = opendir(folder);
    size_t found = 0;
    CHECK(dir);
    for (struct dirent *entry; (entry = readdir(dir));) {
        size_t len = strlen(entry->d_name), end = strlen(ending);
        found += len > end && strcmp(entry->d_name + len - end, ending) == 0;
    }
    (void)closedir(dir);
    return found;
}

TEST(sealed_segments_are_packed_and_read_like_any_other)
{
    struct seglog_rig rig;
    init(&rig, true);
    append(&rig, 0, 4000); /* four and a half segments */
    CHECK_INT(count(&rig, ".segz"), 4);
    CHECK_INT(count(&rig, ".seg"), 1);
    CHECK(seglog_bytes(rig.log) < SEGMENT); /* all of them */
    check(&rig, 0, 4000);
    for (uint64_t from = 1; from < 4000; from += 371)
        check(&rig, from, 4000);
    rig_reopen(&rig);
    CHECK_INT(seglog_next(rig.log), 4000);
    CHECK(seglog_bytes(rig.log) < SEGMENT);
    check(&rig, 1234, 4000);
    append(&rig, 4000, 1000);
    rig.options.compress = false; /* what is packed stays so, and is read */
    rig_reopen(&rig);
    append(&rig, 5000, 1000);
    check(&rig, 0, 6000);
    CHECK_INT(count(&rig, ".tmp"), 0);
    rig_release(&rig, 2000);
    CHECK(seglog_first(rig.log) > 1000 && seglog_first(rig.log) <= 2000);
    check(&rig, 2000, 6000);
    CHECK_INT(rig_errors, 0);
    rig_done(&rig);
}

TEST(what_is_not_worth_it_stays_as_it_is)
{
    struct seglog_rig rig;
    init(&rig, true);
    for (uint64_t i = 0; i < 20; i++) {
        struct put put;
        put_init(&put, i, 100 * 1000);
        unsigned seed = (unsigned)i + 1;
        for (size_t k = 0; k < put.size; k++)
            put.payload[k] = (uint8_t)(rand_r(&seed) >> 7);
        seglog_append(rig.log, &put.append);
        seglogs_quiesce(rig.logs);
        CHECK_INT(put.append.work.r, 0);
        put_done(&put);
    }
    CHECK_INT(count(&rig, ".segz"), 0);
    CHECK_INT(count(&rig, ".tmp"), 0);
    CHECK_INT(rig_errors, 0);
    rig_done(&rig);
}

TEST(the_rest_of_an_interrupted_packing_is_in_nobody_s_way)
{
    struct seglog_rig rig;
    init(&rig, true);
    append(&rig, 0, 2000);
    rig_close(&rig);
    cleanup_free char *tmp = str_printf("%s/telemetry/%020d.segz.tmp", rig.path, 0);
    cleanup_free char *plain = str_printf("%s/telemetry/%020d.seg", rig.path, 0);
    cleanup(fd_close_p) int a = open(tmp, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    cleanup(fd_close_p) int b = open(plain, O_WRONLY | O_CREAT | O_CLOEXEC, 0600); /* both are there */
    CHECK(a >= 0 && b >= 0);
    rig_open(&rig);
    CHECK_INT(count(&rig, ".tmp"), 0);
    CHECK(access(plain, F_OK) < 0);
    check(&rig, 0, 2000);
    rig_done(&rig);
}

TEST(a_damaged_block_costs_its_records_and_no_other)
{
    struct seglog_rig rig;
    for (int where = 0; where < 3; where++) { /* the head of the file, of a block, and a frame */
        init(&rig, true);
        append(&rig, 0, 2000);
        rig_close(&rig);
        cleanup_free char *path = str_printf("%s/telemetry/%020d.segz", rig.path, 0);
        cleanup(fd_close_p) int fd = open(path, O_RDWR | O_CLOEXEC);
        uint8_t head[PACKED_BLOCK_HEAD_SIZE];
        CHECK_INT(pread(fd, head, sizeof head, PACKED_HEAD_SIZE), sizeof head);
        off_t second = (PACKED_HEAD_SIZE + PACKED_BLOCK_HEAD_SIZE + (head[12] | head[13] << 8) + 7) & ~7;
        CHECK_INT(pwrite(fd, "?", 1, where == 0 ? 3 : where == 1 ? second + 1 : second + 30), 1);
        rig_open(&rig);
        struct seglog_read read = {.max_bytes = 4 << 20};
        int n = rig_read(&rig, rig.log, 0, 3000, &read);
        CHECK_INT(n + (int)read.skipped, 2000);
        CHECK(where == 0 ? read.skipped == 0 : read.skipped > 300 && read.skipped < 330);
        for (int i = 0; i < n; i++)
            CHECK(read.records[i].payload[SIZE - 1] == 'a' + read.records[i].seq % 26);
        seglog_read_done(&read);
        CHECK_INT(count(&rig, ".segz"), 2);
        cleanup_free char *kept = str_printf("%s/telemetry/quarantine/%020d.segz", rig.path, 0);
        CHECK_INT(access(kept, F_OK) == 0, where != 0);
        rig_done(&rig);
    }
}

TEST(with_a_thread_packing_goes_on_between_appends_and_closing_ends_it)
{
    struct seglog_rig rig;
    rig_init(&rig, WORKER_THREAD, SEGMENT, 0);
    rig_close(&rig);
    rig.options.compress = true;
    for (int round = 0; round < 5; round++) {
        rig_open(&rig);
        for (uint64_t i = 0; i < 40; i++)
            append(&rig, (uint64_t)round * 4000 + i * 100, 100);
        check(&rig, 0, (uint64_t)(round + 1) * 4000);
        rig_close(&rig);
    }
    rig_open(&rig);
    check(&rig, 0, 20000);
    CHECK_INT(rig_errors, 0);
    rig_done(&rig);
}
