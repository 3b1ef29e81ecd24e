/* What is left of a batch whose sectors reached the medium in no order, when the power went. */
#include "store/seglog_rig.h"

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

/* The power goes while a batch is being written: of the sectors since the last sync any subset is on the medium, and the
 * file's length is anything in between. */
TEST(a_power_cut_takes_nothing_that_was_acknowledged)
{
    enum { SECTOR_SIZE = 512 };
    for (unsigned round = 0; round < 60; round++) {
        struct seglog_rig rig;
        rig_init(&rig, WORKER_INLINE, round % 3 ? 0 : 4096, 0);
        unsigned seed = round * 7919 + 1;
        uint64_t n = 0;
        for (int batch = 0; batch < 4; batch++) {
            size_t count = 1 + (size_t)rand_r(&seed) % 20;
            CHECK_INT(rig_append(&rig, rig.log, n, count, 100), 0);
            n += count;
        }
        cleanup_free char *path = rig_last_segment(&rig);
        off_t synced = size_of(path);
        size_t torn = round % 3 ? 30 : 3, segments = rig_segments(&rig);
        CHECK_INT(rig_append(&rig, rig.log, n, torn, 100), 0);
        if (rig_segments(&rig) >
            segments) { /* which was synced before the next one was made: nothing to tear here */
            rig_done(&rig);
            continue;
        }
        rig_close(&rig);

        cleanup(fd_close_p) int fd = open(path, O_RDWR | O_CLOEXEC);
        struct stat st;
        CHECK_INT(fstat(fd, &st), 0);
        static const uint8_t zeros[SECTOR_SIZE];
        for (off_t at = synced; at < st.st_size; at = (at / SECTOR_SIZE + 1) * SECTOR_SIZE) {
            off_t end = (at / SECTOR_SIZE + 1) * SECTOR_SIZE;
            if (rand_r(&seed) % 2)
                CHECK(pwrite(fd, zeros, (size_t)(end < st.st_size ? end - at : st.st_size - at), at) > 0);
        }
        CHECK_INT(ftruncate(fd, synced + rand_r(&seed) % (st.st_size - synced + 1)), 0);

        rig_boot(&rig);
        rig_open(&rig);
        CHECK_INT(seglog_damaged(rig.log), 0); /* what was torn is no damage */
        CHECK(seglog_next(rig.log) >= n && seglog_next(rig.log) <= n + torn);
        struct seglog_read read = {0};
        CHECK(rig_read(&rig, rig.log, 0, n, &read) == (int)n);
        for (uint64_t i = 0; i < n; i++)
            CHECK(read.records[i].seq == i && payload_is(&read.records[i], i, 100));
        CHECK_INT(read.skipped, 0);
        seglog_read_done(&read);
        uint64_t next = seglog_next(rig.log);
        CHECK_INT(rig_append(&rig, rig.log, next, 3, 100), 0);
        rig_reopen(&rig);
        rig_check_records(&rig, next, 3, 100);
        CHECK_INT(rig_read(&rig, rig.log, 0, 1000, &read), (int)(next + 3 - seglog_unused(rig.log)));
        CHECK_INT(read.skipped, seglog_unused(rig.log));
        CHECK_INT(read.unused, seglog_unused(rig.log));
        seglog_read_done(&read);
        CHECK_INT(seglog_damaged(rig.log), 0);
        rig_done(&rig);
    }
}

/* Everything that was acknowledged, and nothing else is missing but numbers that are known to be none. */
static void check_whole(struct seglog_rig *rig, uint64_t acknowledged)
{
    struct seglog_read read = {0};
    int n = rig_read(rig, rig->log, 0, 1000, &read);
    CHECK(n >= (int)acknowledged);
    for (int i = 0; i < n; i++)
        CHECK(i >= (int)acknowledged || read.records[i].seq == (uint64_t)i);
    for (int i = 0; i < n; i++)
        CHECK(payload_is(&read.records[i], read.records[i].seq, 100));
    CHECK_INT(read.skipped, read.unused);
    CHECK_INT(seglog_damaged(rig->log), 0);
    CHECK_INT(rig_errors, 0);
    seglog_read_done(&read);
}

/* A new file's head, name and first records are synced together, so any of them may be missing. */
TEST(a_power_cut_before_a_new_segment_s_first_sync_takes_nothing_that_was_acknowledged)
{
    enum { SECTOR_SIZE = 512, SECTORS = 6 };
    for (unsigned kept = 0; kept < 1 << SECTORS; kept++) {
        struct seglog_rig rig;
        rig_init(&rig, WORKER_INLINE, 4096, 0);
        CHECK_INT(rig_append(&rig, rig.log, 0, 12, 100), 0);
        CHECK_INT(rig_append(&rig, rig.log, 12, 12, 100), 0);
        CHECK_INT(rig_segments(&rig), 1);
        CHECK_INT(rig_append(&rig, rig.log, 24, 20, 100), 0);
        CHECK_INT(rig_segments(&rig), 2);
        rig_close(&rig);
        cleanup_free char *path = rig_last_segment(&rig);
        cleanup(fd_close_p) int fd = open(path, O_WRONLY | O_CLOEXEC);
        off_t size = size_of(path);
        CHECK(size > (SECTORS - 2) * SECTOR_SIZE && size <= SECTORS * SECTOR_SIZE);
        static const uint8_t zeros[SECTOR_SIZE];
        for (off_t i = 0; i < SECTORS && i * SECTOR_SIZE < size; i++)
            if (!(kept >> i & 1))
                CHECK(pwrite(fd, zeros,
                             (size_t)(size - i * SECTOR_SIZE < SECTOR_SIZE ? size - i * SECTOR_SIZE
                                                                           : SECTOR_SIZE),
                             i * SECTOR_SIZE) > 0);
        rig_boot(&rig);
        rig_open(&rig);
        check_whole(&rig, 24);
        uint64_t next = seglog_next(rig.log);
        CHECK(next >= 24 && next <= 44);
        CHECK_INT(rig_append(&rig, rig.log, next, 3, 100), 0);
        check_whole(&rig, 24);
        rig_reopen(&rig);
        check_whole(&rig, 24);
        rig_check_records(&rig, next, 3, 100);
        rig_done(&rig);
    }
}
