/* Packed segments where libzstd is not: no damage, and they are read when it is there. */
#include "store/seglog_rig.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SIZE = 400, SEGMENT = 100 * 1000, RECORDS = 1000 };

void *__real_dlopen(const char *name, int flags);
void *__wrap_dlopen(const char *name, int flags);

static bool is_hidden;

void *__wrap_dlopen(const char *name, int flags)
{
    return is_hidden && name && strstr(name, "zstd") ? NULL : __real_dlopen(name, flags);
}

static void append(struct seglog_rig *rig, uint64_t number, size_t count)
{
    for (uint64_t i = number; i < number + count; i++) {
        struct put put;
        put_init(&put, i, SIZE);
        memset(put.payload, (int)('a' + i % 26), SIZE);
        seglog_append(rig->log, &put.append);
        seglogs_quiesce(rig->logs);
        CHECK_INT(put.append.work.r, 0);
        put_done(&put);
    }
}

/* The library is in this process for ever once it was needed: so another one packs. */
static void pack(struct seglog_rig *rig)
{
    rig_close(rig);
    pid_t child = fork();
    if (child == 0) {
        rig_open(rig);
        append(rig, 0, RECORDS);
        rig_close(rig);
        _exit(0);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static bool is_there(const struct seglog_rig *rig, const char *name)
{
    cleanup_free char *path = str_printf("%s/telemetry/%s", rig->path, name);
    return access(path, F_OK) == 0;
}

static void check(struct seglog_rig *rig, uint64_t from, uint64_t to)
{
    struct seglog_read read = {.max_bytes = 50000};
    uint64_t seq = from;
    for (int n; seq < to && (n = rig_read(rig, rig->log, seq, 1000, &read)) > 0;)
        for (int i = 0; i < n; i++, seq++) {
            CHECK_INT(read.records[i].seq, seq);
            CHECK(read.records[i].payload[SIZE - 1] == 'a' + seq % 26);
        }
    CHECK_INT(seq, to);
    seglog_read_done(&read);
}

static void check_untouched(struct seglog_rig *rig)
{
    CHECK_INT(seglog_damaged(rig->log), 0);
    CHECK(!is_there(rig, "quarantine"));
    CHECK(is_there(rig, "00000000000000000000.segz"));
}

/* Somebody took the newest file away, and where the log ends is known only to a packed one. */
static void check_refused(struct seglog_rig *rig, const char *last)
{
    cleanup_free char *aside = str_printf("%s/aside", rig->folder);
    struct seglog *log;
    CHECK_INT(rename(last, aside), 0);
    CHECK_INT(seglogs_open(&rig->logs, rig->loop, rig->path, rig->mode), 0);
    CHECK_INT(seglog_open(&log, rig->logs, "telemetry", &rig->options), -ELIBACC);
    CHECK(strstr(rig_last_error, "libzstd"));
    rig_close(rig);
    CHECK_INT(rename(aside, last), 0);
}

TEST(what_is_packed_is_no_damage_without_libzstd_and_is_read_when_that_is_there)
{
    struct seglog_rig rig;
    rig_init(&rig, WORKER_INLINE, SEGMENT, 0);
    rig.options.compress = true;
    pack(&rig);
    cleanup_free char *last = rig_last_segment(&rig);
    is_hidden = true;
    check_refused(&rig, last);
    rig_open(&rig);
    CHECK_INT(seglog_next(rig.log), RECORDS);
    uint64_t plain = strtoull(strrchr(last, '/') + 1, NULL, 10);
    CHECK(plain > 0 && plain < RECORDS);
    for (int i = 0; i < 12; i++) { /* longer than anybody waits for a medium */
        struct seglog_read read = {.patient = i % 2};
        CHECK_INT(rig_read(&rig, rig.log, 0, 1000, &read), -ELIBACC);
        seglog_read_done(&read);
    }
    CHECK(strstr(rig_last_error, "libzstd"));
    check_untouched(&rig);
    check(&rig, plain, RECORDS);
    append(&rig, RECORDS, 500); /* fills segments, which stay as they are */
    check(&rig, plain, RECORDS + 500);
    rig_reopen(&rig);
    check_untouched(&rig);

    is_hidden = false;
    check(&rig, 0, RECORDS + 500);
    check_untouched(&rig);
    rig_done(&rig);
}
