/* The power goes while a log changes from one kind of segment to another: at every boundary between two writes what is acknowledged
 * is there and can be read, numbers that were used up are not given again, and nothing is called damaged. */
#include "identity/aead.h"
#include "store/power.h"
#include "store/seglog_rig.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CUTS = 2, SIZE = 100, SEGMENT = 4096, MANY = 60 };

static struct {
    struct seglog_rig rig;
    char *key;
    struct seal_source source;
    uint64_t numbers[MANY]; /* of what was acknowledged: the log's number of each payload, or UINT64_MAX */
    size_t count;
    unsigned boundaries, cuts; /* at each */
    uint64_t unused, next;     /* at least */
} run;

static struct seal_source source_in(const char *folder)
{
    return (struct seal_source){
        .file = str_printf("%s/device.key", folder), .may_make = true, .load = aead_functions};
}

static void begin(bool encrypt)
{
    memset(&run, 0, sizeof run);
    run.cuts = CUTS;
    power_reset();
    rig_init(&run.rig, WORKER_INLINE, SEGMENT, 0);
    rig_close(&run.rig);
    run.source = source_in(run.rig.folder);
    run.rig.seal = &run.source;
    run.rig.options.encrypt = encrypt;
    rig_open(&run.rig);
}

static void end(void)
{
    power_before = NULL;
    CHECK(run.boundaries > 3);
    rig_done(&run.rig);
    free((char *)(uintptr_t)run.source.file);
    power_reset();
}

/* One more payload; what it is told. */
static int append(void)
{
    struct put put;
    put_init(&put, run.count, SIZE);
    seglog_append(run.rig.log, &put.append);
    seglogs_quiesce(run.rig.logs);
    int r = put.append.work.r;
    CHECK(run.count < MANY);
    run.numbers[run.count++] = r == 0 ? put.append.record.seq : UINT64_MAX;
    put_done(&put);
    return r;
}

static void check_records(struct seglog_rig *rig)
{
    struct seglog_read read = {0};
    for (size_t i = 0; i < run.count; i++) {
        if (run.numbers[i] == UINT64_MAX)
            continue;
        CHECK_INT(rig_read(rig, rig->log, run.numbers[i], 1, &read), 1);
        CHECK_INT(read.records[0].seq, run.numbers[i]);
        CHECK(payload_is(&read.records[0], i, SIZE));
    }
    seglog_read_done(&read);
}

/* The number after all that are acknowledged. */
static uint64_t next_number(void)
{
    uint64_t next = run.next;
    for (size_t i = 0; i < run.count; i++)
        if (run.numbers[i] != UINT64_MAX && run.numbers[i] >= next)
            next = run.numbers[i] + 1;
    return next;
}

/* The same, from the beginning: all of it is read over, and holes are met. */
static void check_whole(struct seglog_rig *rig)
{
    struct seglog_read read = {.max_bytes = 1 << 20};
    CHECK(rig_read(rig, rig->log, 0, 1000, &read) >= 0);
    CHECK_INT(read.skipped, read.unused);
    CHECK_INT(seglog_damaged(rig->log), 0);
    CHECK(seglog_unused(rig->log) >= run.unused);
    seglog_read_done(&read);
}

static void look_at(char *copy)
{
    struct seglog_rig rig = run.rig;
    struct seal_source source = source_in(copy);
    rig.folder = copy;
    rig.path = str_printf("%s/streams", copy);
    rig.seal = &source;
    rig.logs = NULL;
    for (int i = 0; i < 2; i++) {
        rig_open(&rig);
        CHECK(seglog_next(rig.log) >= next_number());
        check_records(&rig);
        check_whole(&rig);
        CHECK_INT(rig_append(&rig, rig.log, 1000, 3, SIZE), 0);
        rig_close(&rig);
    }
    free((char *)(uintptr_t)source.file);
    free(rig.path);
    (void)folder_free(copy);
}

static void cut_here(void)
{
    power_before = NULL;
    for (unsigned i = 0; i < run.cuts; i++)
        look_at(power_cut(run.rig.folder, run.boundaries * 131 + i * 7919));
    run.boundaries++;
    power_before = cut_here;
}

/* A sync that fails uses numbers up, and the head of the next segment, which the disk then has no room to add to, is the only one who
 * knows. */
static void use_up_numbers(void)
{
    CHECK_INT(append(), 0);
    power_bad_sync = EIO;
    CHECK_INT(append(), -EIO);
    power_bad_write = 2;
    CHECK_INT(append(), -ENOSPC);
    run.unused = 1;
    run.next = 2;
    run.cuts = 4 * CUTS;
    CHECK_INT(seglog_next(run.rig.log), 2);
    CHECK_INT(seglog_unused(run.rig.log), 1);
}

TEST(an_empty_segment_that_is_made_anew_still_says_which_numbers_were_used_up)
{
    begin(false);
    use_up_numbers();
    run.rig.options.encrypt = true;
    CHECK_INT(seglogs_need_key(run.rig.logs, "telemetry"), 0);
    power_before = cut_here;
    seglog_change(run.rig.log, &run.rig.options);
    for (int i = 0; i < 3; i++)
        CHECK_INT(append(), 0);
    end();
}

TEST(and_so_it_does_after_a_start)
{
    begin(false);
    use_up_numbers();
    run.rig.options.encrypt = true;
    power_before = cut_here;
    rig_reopen(&run.rig);
    for (int i = 0; i < 3; i++)
        CHECK_INT(append(), 0);
    check_records(&run.rig);
    end();
}

TEST(a_log_that_is_encrypted_and_is_not_any_more_loses_nothing_at_any_boundary)
{
    begin(false);
    power_before = cut_here;
    for (int i = 0; i < 12; i++) {
        run.rig.options.encrypt = i % 4 >= 2;
        if (i % 2 == 0)
            rig_reopen(&run.rig);
        CHECK_INT(append(), 0);
    }
    end();
}

TEST(a_log_that_was_encrypted_from_the_beginning_loses_nothing_at_any_boundary)
{
    begin(true);
    power_before = cut_here;
    for (int i = 0; i < 33; i++) /* an end of a segment and more */
        CHECK_INT(append(), 0);
    end();
}

/* ---- the mark ---------------------------------------------------------------------------------------------------- */

static void save_mark(const void *bytes, size_t len)
{
    cleanup_free char *path = str_printf("%s/telemetry/.sealed", run.rig.path);
    (void)unlink(path);
    cleanup(fd_close_p) int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    CHECK_INT(write(fd, bytes, len), (ssize_t)len);
}

static size_t load_mark(uint8_t *bytes, size_t size)
{
    cleanup_free char *path = str_printf("%s/telemetry/.sealed", run.rig.path);
    cleanup(fd_close_p) int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = read(fd, bytes, size);
    CHECK(n > 0);
    return (size_t)n;
}

static int open_with_key(const char *text)
{
    struct seglog *log;
    cleanup_free char *file = str_printf("%s/other.key", run.rig.folder);
    cleanup(fd_close_p) int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    CHECK_INT(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    struct seal_source source = {.file = file, .load = aead_functions};
    CHECK_INT(seglogs_open(&run.rig.logs, run.rig.loop, run.rig.path, run.rig.mode), 0);
    seglogs_set_seal(run.rig.logs, &source);
    int r = seglog_open(&log, run.rig.logs, "telemetry", &run.rig.options);
    rig_close(&run.rig);
    return r;
}

TEST(a_mark_that_was_torn_or_lost_is_made_again_and_another_key_is_still_known_from_the_blocks)
{
    uint8_t whole[64], again[64];
    begin(true);
    for (int i = 0; i < 60 - 1; i++)
        CHECK_INT(append(), 0);
    run.rig.options.encrypt = false; /* the newest segment is not sealed, and says nothing of a key */
    rig_reopen(&run.rig);
    CHECK_INT(append(), 0);
    run.rig.options.encrypt = true;
    size_t len = load_mark(whole, sizeof whole);
    for (size_t left = 0; left < len; left += 5) {
        rig_close(&run.rig);
        save_mark(whole, left);
        CHECK_INT(open_with_key("another key, which is 32 bytes long or longer"), -EKEYREJECTED);
        rig_open(&run.rig);
        CHECK_INT(load_mark(again, sizeof again), len);
        CHECK(memcmp(again, whole, len) == 0);
        check_records(&run.rig);
    }
    run.boundaries = 4;
    end();
}
