/* bench_streams: what a record costs on its way to the disk.
 *
 *      bench_streams [--records N] [--repeat N] [--recovery SIZE] [--only PAYLOAD[,BATCH]] [--encrypted] [--check] FOLDER
 *
 * The log, a bare loop of pwrite and fdatasync of the payloads alone (the limit), and SQLite with the same rows take turns, for
 * payloads of 64, 256 and 4096 bytes in batches of 1, 10, 100 and 1000, each synced. Of several rounds the median counts; the log's share
 * of the bare loop is that of the rounds' own shares, so that what disturbs the machine disturbs both. In the column "alone" nothing is
 * given to the log before the batch before has been acknowledged (log_peer.c). CPU is the process's, all
 * threads. Bytes, per byte of payload, are those handed to the system, and behind them what it says was sent to the disk
 * (/proc/self/io): whole pages.
 *
 * --recovery makes a log of that size (its sealed segments are sparse) and opens it. --check: exit status 1 if a goal is missed.
 */
#include "bench/streams/peers.h"

#include "store/seglog.h"
#include "store/seglog_block.h"
#include "store/seglog_record.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { ROUNDS_MAX = 99, SYNCS_MAX = 300, SEGMENT = 4 * 1024 * 1024 };

static const struct peer *const peers[] = {&log_peer, &alone_peer, &bare_peer, &sqlite_peer};
enum { LOG, ALONE, BARE, SQLITE, PEERS };

struct figures {
    double rate, cpu_us;  /* records a second; of a record */
    double handed, bytes; /* of a byte of payload: to the system, to the disk */
    double share;         /* of the bare loop's rate in the same round */
    double syncs;         /* of a batch; the log's */
};

static bool missed; /* a goal */

/* ---- measuring --------------------------------------------------------------------------------------------------- */

static double seconds(clockid_t clock)
{
    struct timespec t;
    (void)clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double bytes_sent(void)
{
    char text[512] = "";
    cleanup(fd_close_p) int fd = open("/proc/self/io", O_RDONLY | O_CLOEXEC);
    if (fd >= 0 && read(fd, text, sizeof text - 1) > 0) {
        const char *at = strstr(text, "\nwrite_bytes: ");
        return at ? strtod(at + strlen("\nwrite_bytes: "), NULL) : 0;
    }
    return 0;
}

static struct figures measure(const struct peer *peer, const char *folder, size_t payload, size_t batch,
                              size_t n)
{
    static uint8_t bytes[4096];
    void *self = peer->open(folder, payload);
    peer->take(self, bytes, payload, batch); /* what is done once is not counted */
    if (peer->settle)
        peer->settle(self);
    unsigned long syncs = log_syncs();
    double handed = peer->handed ? peer->handed(self) : 0;
    double wall = seconds(CLOCK_MONOTONIC), cpu = seconds(CLOCK_PROCESS_CPUTIME_ID), sent = bytes_sent();
    for (size_t done = 0; done < n; done += batch)
        peer->take(self, bytes, payload, batch);
    if (peer->settle)
        peer->settle(self);
    struct figures figures = {.rate = (double)n / (seconds(CLOCK_MONOTONIC) - wall),
                              .cpu_us = (seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu) * 1e6 / (double)n,
                              .handed =
                                  peer->handed ? (peer->handed(self) - handed) / (double)(n * payload) : 0,
                              .bytes = (bytes_sent() - sent) / (double)(n * payload),
                              .syncs = (double)(log_syncs() - syncs) / ((double)n / (double)batch)};
    peer->close(self);
    return figures;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double median(const struct figures *of, size_t rounds, size_t member)
{
    double values[ROUNDS_MAX];
    for (size_t i = 0; i < rounds; i++)
        values[i] = *(const double *)((const char *)&of[i] + member);
    qsort(values, rounds, sizeof *values, by_value);
    return values[rounds / 2];
}

static void goal(bool holds, const char *what, size_t payload, size_t batch)
{
    if (holds)
        return;
    missed = true;
    printf("        missed with %zu bytes in batches of %zu: %s\n", payload, batch, what);
}

static void row(const char *folder, size_t payload, size_t batch, size_t records, size_t rounds)
{
    static struct figures figures[PEERS][ROUNDS_MAX];
    struct figures middle[PEERS];
    size_t n = records < SYNCS_MAX * batch ? records : SYNCS_MAX * batch;
    n = size_max(n / batch, 1) * batch;
    for (size_t round = 0; round < rounds; round++) {
        for (size_t k = 0; k < PEERS; k++) {
            size_t who = (k + round) % PEERS;
            figures[who][round] = measure(peers[who], folder, payload, batch, n);
        }
        for (size_t who = LOG; who <= ALONE; who++)
            figures[who][round].share = figures[who][round].rate / figures[BARE][round].rate;
    }
    for (size_t who = 0; who < PEERS; who++)
        middle[who] =
            (struct figures){.rate = median(figures[who], rounds, offsetof(struct figures, rate)),
                             .cpu_us = median(figures[who], rounds, offsetof(struct figures, cpu_us)),
                             .handed = median(figures[who], rounds, offsetof(struct figures, handed)),
                             .bytes = median(figures[who], rounds, offsetof(struct figures, bytes)),
                             .share = median(figures[who], rounds, offsetof(struct figures, share)),
                             .syncs = median(figures[who], rounds, offsetof(struct figures, syncs))};
    const struct figures *log = &middle[LOG], *bare = &middle[BARE], *sqlite = &middle[SQLITE];
    printf(
        "%7zu %6zu %10.0f %10.0f %10.0f %6.0f%% %6.0f%% %7.2f %7.2f %7.2f %7.2f [%5.2f] %7.2f [%5.2f] [%5.2f]\n",
        payload, batch, log->rate, bare->rate, sqlite->rate, log->share * 100, middle[ALONE].share * 100,
        log->cpu_us, bare->cpu_us, sqlite->cpu_us, log->handed, log->bytes, bare->handed, bare->bytes,
        sqlite->bytes);
    goal(log->share >= 0.8, "at least 80 % of the bare loop's rate", payload, batch);
    goal(log->syncs >= 0.95, "a sync for each batch: else they are larger than that", payload, batch);
    if (batch >= 100)
        goal(log->handed <= 1.2, "at most 1.2 bytes written per byte of payload", payload, batch);
}

/* ---- recovery ---------------------------------------------------------------------------------------------------- */

static void on_appended(struct work *work)
{
    errno = work->r < 0 ? -work->r : 0;
    if (work->r != 0)
        give_up("append");
}

static void make_segment(const char *folder, uint64_t first)
{
    uint8_t head[SEGLOG_HEAD_SIZE];
    cleanup_free char *path = str_printf("%s/%020" PRIu64 ".seg", folder, first);
    cleanup(fd_close_p) int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    seglog_head_encode(head, &(struct seglog_head){.first = first});
    if (fd < 0 || write(fd, head, sizeof head) != sizeof head || ftruncate(fd, SEGMENT) < 0)
        give_up(path);
}

/* Nearly full, by the log itself. */
static uint64_t fill_segment(const char *path)
{
    enum { BATCH = 100 };
    static const uint8_t payload[256];
    static struct seglog_append appends[BATCH];
    struct loop *loop;
    struct seglogs *logs;
    struct seglog *log;
    if (loop_new(&loop, NULL) < 0 || seglogs_open(&logs, loop, path, WORKER_INLINE) < 0 ||
        seglog_open(&log, logs, "bench", NULL) < 0)
        give_up("open");
    while (seglog_written(log) < SEGMENT - BATCH * 2 * sizeof payload) {
        for (size_t i = 0; i < BATCH; i++) {
            appends[i].work.done = on_appended;
            appends[i].record = (struct seglog_record){
                .topic = TOPIC, .topic_len = TOPIC_LEN, .payload = payload, .payload_len = sizeof payload};
            seglog_append(log, &appends[i]);
        }
        seglogs_quiesce(logs);
    }
    uint64_t next = seglog_next(log);
    logs = seglogs_close(logs);
    loop = loop_free(loop);
    return next;
}

static void recover(const char *folder, uint64_t size)
{
    enum { RECORDS = SEGMENT / 304 };
    cleanup_free char *path = str_printf("%s/big", folder);
    cleanup_free char *log_path = str_printf("%s/bench", path);
    cleanup_free char *hint = str_printf("%s/.tail", log_path);
    struct loop *loop;
    struct seglogs *logs;
    struct seglog *log;
    if ((mkdir(path, 0700) < 0 && errno != EEXIST) || (mkdir(log_path, 0700) < 0 && errno != EEXIST))
        give_up(log_path);
    uint64_t segments = size / SEGMENT, first = 0;
    for (uint64_t i = 0; i < segments; i++, first += RECORDS)
        make_segment(log_path, first);
    cleanup_free char *last = str_printf("%s/%020" PRIu64 ".seg", log_path, first);
    cleanup(fd_close_p) int fd = open(last, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        give_up(last);
    uint64_t next = fill_segment(path);
    (void)unlink(hint); /* all of it is to be looked through */
    double from = seconds(CLOCK_MONOTONIC);
    if (loop_new(&loop, NULL) < 0 || seglogs_open(&logs, loop, path, WORKER_INLINE) < 0 ||
        seglog_open(&log, logs, "bench", NULL) < 0)
        give_up("open");
    double ms = (seconds(CLOCK_MONOTONIC) - from) * 1000;
    bool whole = seglog_next(log) == next && seglog_bytes(log) > size;
    printf("\nrecovery of %.1f GiB in %" PRIu64 " segments: %.1f ms%s\n", (double)size / (1 << 30),
           segments + 1, ms, whole ? "" : ", BUT NOT ALL OF IT");
    if (!whole)
        missed = true;
    if (ms > 300) {
        missed = true;
        printf("        missed: within 300 ms\n");
    }
    (void)seglog_remove(log);
    logs = seglogs_close(logs);
    loop = loop_free(loop);
    (void)rmdir(path);
}

/* ---- the program ------------------------------------------------------------------------------------------------- */

static uint64_t size_of(const char *text)
{
    char *end;
    uint64_t size = strtoull(text, &end, 10);
    return *end == 'G' ? size << 30 : *end == 'M' ? size << 20 : size;
}

int main(int argc, char **argv)
{
    static const size_t payloads[] = {64, 256, 4096};
    size_t records = 100000, rounds = 3, only_payload = 0, only_batch = 0;
    uint64_t recovery = 0;
    bool check = false;
    int i = 1;
    for (; i < argc && argv[i][0] == '-'; i++) {
        if (strcmp(argv[i], "--check") == 0)
            check = true;
        else if (strcmp(argv[i], "--encrypted") == 0)
            log_is_encrypted = true;
        else if (strcmp(argv[i], "--records") == 0 && i + 1 < argc)
            records = strtoul(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--repeat") == 0 && i + 1 < argc)
            rounds = strtoul(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--only") == 0 && i + 1 < argc) {
            char *end;
            only_payload = strtoul(argv[++i], &end, 10);
            only_batch = *end == ',' ? strtoul(end + 1, NULL, 10) : 0;
        } else if (strcmp(argv[i], "--recovery") == 0 && i + 1 < argc)
            recovery = size_of(argv[++i]);
        else
            i = argc;
    }
    if (i + 1 != argc || !records || !rounds || rounds > ROUNDS_MAX) {
        (void)fprintf(
            stderr,
            "usage: bench_streams [--records N] [--repeat N] [--recovery SIZE] [--only PAYLOAD[,BATCH]] "
            "[--encrypted] [--check] FOLDER\n");
        return 2;
    }
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    printf("%14s %32s %15s %23s %41s\n", "", "records a second", "of bare", "CPU us a record",
           "bytes a byte of payload [whole pages]");
    printf("%7s %6s %10s %10s %10s %7s %7s %7s %7s %7s %15s %15s %7s\n", "payload", "batch", "log", "bare",
           "sqlite", "log", "alone", "log", "bare", "sqlite", "log", "bare", "sqlite");
    for (size_t p = 0; p < array_size(payloads); p++)
        for (size_t batch = 1; batch <= BATCH_MAX; batch *= 10)
            if ((!only_payload || only_payload == payloads[p]) && (!only_batch || only_batch == batch))
                row(argv[i], payloads[p], batch, records, rounds);
    if (recovery)
        recover(argv[i], recovery);
    return check && missed ? 1 : 0;
}
