/* Acknowledged means kept: a process appends and is killed at some moment, again and again, on the same folder. What it had
 * acknowledged is there afterwards, in order, without a gap. The second log is encrypted. */
#include "identity/aead.h"
#include "store/seglog_rig.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ROUNDS = 40, LOGS = 2, IN_FLIGHT = 16, SIZE_MAX_PAYLOAD = 400 };

struct acknowledged {
    uint32_t log;
    uint32_t number; /* what the payload was made from */
    uint64_t seq;
};

struct slot {
    struct put put;
    struct appender *appender;
};

struct appender {
    struct seglog *logs[LOGS];
    struct slot slots[IN_FLIGHT];
    uint32_t number;
    int pipe;
};

static size_t size_of(uint32_t number)
{
    return number * 37 % SIZE_MAX_PAYLOAD;
}

static void on_appended(struct work *work);

static void append_next(struct slot *slot)
{
    struct appender *appender = slot->appender;
    uint32_t number = appender->number++;
    put_init(&slot->put, number, size_of(number));
    slot->put.append.work.done = on_appended;
    seglog_append(appender->logs[number % LOGS], &slot->put.append);
}

static void on_appended(struct work *work)
{
    struct slot *slot = container_of(work, struct slot, put.append.work);
    struct acknowledged done = {.log = slot->put.number % LOGS,
                                .number = (uint32_t)slot->put.number,
                                .seq = slot->put.append.record.seq};
    if (work->r != 0 || write(slot->appender->pipe, &done, sizeof done) != sizeof done)
        _exit(2);
    put_done(&slot->put);
    append_next(slot);
}

/* Appends until it is killed. */
static void run_child(const char *path, const struct seal_source *seal, uint32_t number, int pipe)
{
    static struct appender appender;
    struct loop *loop;
    struct seglogs *logs;
    struct seglog_options options = {.segment_bytes = 8192}, encrypted = options;
    encrypted.encrypt = true;
    appender.number = number;
    appender.pipe = pipe;
    if (loop_new(&loop, NULL) < 0 || seglogs_open(&logs, loop, path, WORKER_THREAD) < 0)
        _exit(1);
    seglogs_set_seal(logs, seal);
    if (seglog_open(&appender.logs[0], logs, "telemetry", &options) < 0 ||
        seglog_open(&appender.logs[1], logs, "alarms", &encrypted) < 0)
        _exit(1);
    for (int i = 0; i < IN_FLIGHT; i++) {
        appender.slots[i].appender = &appender;
        append_next(&appender.slots[i]);
    }
    for (;;)
        if (loop_turn(loop, -1) < 0)
            _exit(3);
}

static void read_all(int fd, struct acknowledged **list, size_t *count)
{
    struct acknowledged done;
    while (read(fd, &done, sizeof done) == sizeof done) {
        if ((*count & (*count - 1)) == 0) {
            *list = realloc(*list, size_max(*count * 2, 1) * sizeof **list);
            CHECK(*list != NULL);
        }
        (*list)[(*count)++] = done;
    }
}

static void check_all(struct seglog_rig *rig, const struct acknowledged *list, size_t count)
{
    struct seglog *logs[LOGS] = {rig->log};
    struct seglog_options encrypted = rig->options;
    encrypted.encrypt = true;
    CHECK_INT(seglog_open(&logs[1], rig->logs, "alarms", &encrypted), 0);
    for (uint32_t l = 0; l < LOGS; l++) {
        struct seglog_read read = {0};
        uint64_t seq = 0;
        size_t i = 0;
        int n;
        while ((n = rig_read(rig, logs[l], seq, 1000, &read)) > 0) {
            CHECK_INT(read.skipped, read.unused); /* numbers of a block that was not finished */
            for (int k = 0; k < n; k++, seq++) {
                seq += read.records[k].unused;
                CHECK_INT(read.records[k].seq, seq);
                while (i < count && list[i].log != l)
                    i++;
                if (i < count && list[i].seq == seq) {
                    CHECK(payload_is(&read.records[k], list[i].number, size_of(list[i].number)));
                    i++;
                } /* else it was written, but nobody was told */
            }
        }
        while (i < count && list[i].log != l)
            i++;
        CHECK_INT(i, count); /* every acknowledged record was met */
        CHECK_INT(seglog_damaged(logs[l]), 0);
        seglog_read_done(&read);
    }
}

TEST(whatever_was_acknowledged_is_kept_when_the_process_is_killed_at_any_moment)
{
    struct seglog_rig rig;
    rig_init(&rig, WORKER_INLINE, 8192, 0);
    cleanup_free char *key = str_printf("%s/device.key", rig.folder);
    const struct seal_source seal = {.file = key, .may_make = true, .load = aead_functions};
    rig.seal = &seal;
    struct acknowledged *list = NULL;
    size_t count = 0;
    unsigned seed = 4711;
    for (unsigned round = 0; round < ROUNDS; round++) {
        rig_close(&rig);
        int ends[2];
        CHECK_INT(pipe(ends), 0);
        pid_t pid = fork();
        CHECK(pid >= 0);
        if (pid == 0) {
            (void)close(ends[0]);
            run_child(rig.path, &seal, round * 1000000, ends[1]);
        }
        (void)close(ends[1]);
        /* Any moment: after some number of acknowledgements, in the middle of what comes next. */
        struct acknowledged done;
        unsigned wait_for = (unsigned)rand_r(&seed) % 150;
        for (unsigned i = 0; i < wait_for && read(ends[0], &done, sizeof done) == sizeof done; i++) {
            if ((count & (count - 1)) == 0) {
                list = realloc(list, size_max(count * 2, 1) * sizeof *list);
                CHECK(list != NULL);
            }
            list[count++] = done;
        }
        CHECK_INT(kill(pid, SIGKILL), 0);
        read_all(ends[0], &list, &count);
        (void)close(ends[0]);
        int status = 0;
        CHECK_INT(waitpid(pid, &status, 0), pid);
        CHECK(WIFSIGNALED(status));
        rig_open(&rig);
        check_all(&rig, list, count);
    }
    CHECK(count > ROUNDS * 50);
    CHECK_INT(rig_errors, 0);
    free(list);
    rig_done(&rig);
}
