/* What a segment log adds to a bare pwrite and fdatasync of the same bytes. Not a test.
 *
 *      bench_seglog FOLDER [RECORDS]
 *
 * Two things made the bare loop look dearer than the log that contains it, and are kept out: it preallocates as the log
 * does, and each line's files are gone before the next begins (in a virtual machine, page cache that was never touched
 * costs a multiple, and the second line got it). CPU is this process's, all threads; what the kernel's own threads do for
 * the file system is in neither line.
 */
#include "store/seglog.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { PAYLOAD = 256, BATCH_MAX = 1000, SYNCS_MAX = 2000, PREALLOCATE = 1024 * 1024 };

struct measure {
    double wall, cpu;
};

static double seconds(const struct timespec *t)
{
    return (double)t->tv_sec + (double)t->tv_nsec / 1e9;
}

static struct measure now(void)
{
    struct timespec wall, cpu;
    (void)clock_gettime(CLOCK_MONOTONIC, &wall);
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
    return (struct measure){seconds(&wall), seconds(&cpu)};
}

static void print(const char *what, size_t batch, size_t n, struct measure from, double bytes)
{
    struct measure to = now();
    printf("%-12s %6zu %12.0f %12.2f %12.0f\n", what, batch, (double)n / (to.wall - from.wall),
           (to.cpu - from.cpu) * 1e6 / (double)n, bytes / (double)n);
}

static size_t pending;

static void on_done(struct work *work)
{
    if (work->r != 0) {
        (void)fprintf(stderr, "append: %d\n", work->r);
        exit(1);
    }
    pending--;
}

static void on_released(struct work *work)
{
    (void)work;
}

static void bench_log(struct loop *loop, struct seglogs *logs, struct seglog *log, size_t batch, size_t n)
{
    static struct seglog_append appends[BATCH_MAX];
    static uint8_t payload[PAYLOAD];
    struct measure from = now();
    uint64_t written = seglog_written(log);
    for (size_t done = 0; done < n; done += batch) {
        for (size_t i = 0; i < batch; i++) {
            appends[i].work.done = on_done;
            appends[i].record = (struct seglog_record){
                .topic = "dt/plant1/env", .topic_len = 13, .payload = payload, .payload_len = PAYLOAD};
            seglog_append(log, &appends[i]);
        }
        for (pending = batch; pending;)
            if (loop_turn(loop, -1) < 0)
                exit(1);
    }
    print("seglog", batch, n, from, (double)(seglog_written(log) - written));
    struct seglog_release release = {.work.done = on_released, .before = seglog_next(log)};
    seglog_release(log, &release);
    seglogs_quiesce(logs);
}

static void bench_bare(const char *folder, size_t batch, size_t n)
{
    static uint8_t bytes[BATCH_MAX * (PAYLOAD + 48)];
    cleanup_free char *path = str_printf("%s/bare", folder);
    cleanup(fd_close_p) int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    struct measure from = now();
    off_t at = 0, preallocated = 0;
    for (size_t done = 0; done < n; done += batch) {
        size_t len = batch * (PAYLOAD + 48);
        if (at + (off_t)len > preallocated) {
            if (fallocate(fd, FALLOC_FL_KEEP_SIZE, at, PREALLOCATE) < 0)
                perror("fallocate"); /* then the comparison is not fair */
            preallocated = at + PREALLOCATE;
        }
        if (pwrite(fd, bytes, len, at) != (ssize_t)len || fdatasync(fd) < 0) {
            perror(path);
            exit(1);
        }
        at += (off_t)len;
    }
    print("bare", batch, n, from, (double)at);
    (void)unlink(path);
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        (void)fprintf(stderr, "usage: bench_seglog FOLDER [RECORDS]\n");
        return 2;
    }
    size_t records = argc > 2 ? strtoul(argv[2], NULL, 10) : 200000;
    struct loop *loop;
    struct seglogs *logs;
    struct seglog *log;
    cleanup_free char *path = str_printf("%s/bench-seglog", argv[1]);
    if (loop_new(&loop, NULL) < 0 || seglogs_open(&logs, loop, path, WORKER_THREAD) < 0 ||
        seglog_open(&log, logs, "bench", NULL) < 0)
        return 1;
    printf("%-12s %6s %12s %12s %12s\n", "", "batch", "records/s", "CPU us/rec", "bytes/rec");
    for (size_t batch = 1; batch <= BATCH_MAX; batch *= 10) {
        size_t n = size_max(size_min(records, SYNCS_MAX * batch) / batch, 1) * batch;
        bench_log(loop, logs, log, batch, n);
        bench_bare(argv[1], batch, n);
    }
    logs = seglogs_close(logs);
    loop = loop_free(loop);
    return 0;
}
