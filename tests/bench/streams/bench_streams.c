/* bench_streams: what a record costs on its way to the disk.
 *
 *      bench_streams [--records N] [--repeat N] [--recovery SIZE] [--check] FOLDER
 *
 * The log, a bare loop of pwrite and fdatasync with the same bytes (the limit), and SQLite with the same rows take turns, for
 * payloads of 64, 256 and 4096 bytes in batches of 1, 10, 100 and 1000, each synced; of several rounds the median counts. CPU is the
 * process's, all threads. Bytes are what the system says was sent to the disk (/proc/self/io, whole pages), per byte of payload;
 * in brackets what the log handed to it.
 *
 * --recovery makes a log of that size (its sealed segments are sparse) and opens it. --check: exit status 1 if a goal is missed.
 */
#include "bench/streams/peers.h"

#include "store/seglog.h"
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

static const struct peer *const peers[] = {&log_peer, &bare_peer, &sqlite_peer};
enum { LOG, BARE, SQLITE, PEERS };

struct figures {
    double rate, cpu_us, bytes; /* records a second; of a record; of a byte of payload */
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
    double wall = seconds(CLOCK_MONOTONIC), cpu = seconds(CLOCK_PROCESS_CPUTIME_ID), sent = bytes_sent();
    for (size_t done = 0; done < n; done += batch)
        peer->take(self, bytes, payload, batch);
    struct figures figures = {(double)n / (seconds(CLOCK_MONOTONIC) - wall),
                              (seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu) * 1e6 / (double)n,
                              (bytes_sent() - sent) / (double)(n * payload)};
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
    for (size_t round = 0; round < rounds; round++)
        for (size_t k = 0; k < PEERS; k++) {
            size_t who = (k + round) % PEERS;
            figures[who][round] = measure(peers[who], folder, payload, batch, n);
        }
    for (size_t who = 0; who < PEERS; who++)
        middle[who] = (struct figures){median(figures[who], rounds, offsetof(struct figures, rate)),
                                       median(figures[who], rounds, offsetof(struct figures, cpu_us)),
                                       median(figures[who], rounds, offsetof(struct figures, bytes))};
    double share = middle[LOG].rate / middle[BARE].rate;
    double handed = (double)seglog_record_size(TOPIC_LEN, payload) / (double)payload;
    printf("%7zu %6zu %10.0f %10.0f %10.0f %6.0f%% %7.2f %7.2f %7.2f %7.2f [%.2f] %7.2f %7.2f\n", payload,
           batch, middle[LOG].rate, middle[BARE].rate, middle[SQLITE].rate, share * 100, middle[LOG].cpu_us,
           middle[BARE].cpu_us, middle[SQLITE].cpu_us, middle[LOG].bytes, handed, middle[BARE].bytes,
           middle[SQLITE].bytes);
    goal(share >= 0.8, "at least 80 % of the bare loop's rate", payload, batch);
    if (batch >= 100)
        goal(middle[LOG].bytes <= 1.2, "at most 1.2 bytes written per byte of payload", payload, batch);
}

/* ---- recovery ---------------------------------------------------------------------------------------------------- */

static void make_segment(const char *folder, uint64_t first)
{
    uint8_t head[SEGLOG_HEAD_SIZE];
    cleanup_free char *path = str_printf("%s/%020" PRIu64 ".seg", folder, first);
    cleanup(fd_close_p) int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    seglog_head_encode(head, &(struct seglog_head){.first = first});
    if (fd < 0 || write(fd, head, sizeof head) != sizeof head || ftruncate(fd, SEGMENT) < 0)
        give_up(path);
}

static void recover(const char *folder, uint64_t size)
{
    enum { RECORDS = SEGMENT / 304 };
    cleanup_free char *path = str_printf("%s/big", folder);
    cleanup_free char *log_path = str_printf("%s/bench", path);
    static const uint8_t payload[256];
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
    uint8_t bytes[512] = {0};
    seglog_head_encode(bytes, &(struct seglog_head){.first = first});
    if (fd < 0 || write(fd, bytes, SEGLOG_HEAD_SIZE) != SEGLOG_HEAD_SIZE)
        give_up(last);
    for (uint64_t i = 0; i + 1 < RECORDS; i++) { /* nearly full */
        const struct seglog_record record = {.seq = first + i,
                                             .topic = TOPIC,
                                             .topic_len = TOPIC_LEN,
                                             .payload = payload,
                                             .payload_len = sizeof payload};
        memset(bytes, 0, sizeof bytes);
        seglog_record_encode_head(bytes, &record);
        memcpy(bytes + SEGLOG_RECORD_HEAD_SIZE, TOPIC, TOPIC_LEN);
        if (write(fd, bytes, seglog_record_size(TOPIC_LEN, sizeof payload)) < 0)
            give_up(last);
    }
    double from = seconds(CLOCK_MONOTONIC);
    if (loop_new(&loop, NULL) < 0 || seglogs_open(&logs, loop, path, WORKER_INLINE) < 0 ||
        seglog_open(&log, logs, "bench", NULL) < 0)
        give_up("open");
    double ms = (seconds(CLOCK_MONOTONIC) - from) * 1000;
    bool whole = seglog_next(log) == first + RECORDS - 1 && seglog_bytes(log) > size;
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
    size_t records = 100000, rounds = 3;
    uint64_t recovery = 0;
    bool check = false;
    int i = 1;
    for (; i < argc && argv[i][0] == '-'; i++) {
        if (strcmp(argv[i], "--check") == 0)
            check = true;
        else if (strcmp(argv[i], "--records") == 0 && i + 1 < argc)
            records = strtoul(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--repeat") == 0 && i + 1 < argc)
            rounds = strtoul(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--recovery") == 0 && i + 1 < argc)
            recovery = size_of(argv[++i]);
        else
            i = argc;
    }
    if (i + 1 != argc || !records || !rounds || rounds > ROUNDS_MAX) {
        (void)fprintf(stderr,
                      "usage: bench_streams [--records N] [--repeat N] [--recovery SIZE] [--check] FOLDER\n");
        return 2;
    }
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    printf("%14s %32s %7s %23s %32s\n", "", "records a second", "log of", "CPU us a record",
           "bytes a byte of payload");
    printf("%7s %6s %10s %10s %10s %7s %7s %7s %7s %14s %7s %7s\n", "payload", "batch", "log", "bare",
           "sqlite", "bare", "log", "bare", "sqlite", "log", "bare", "sqlite");
    for (size_t p = 0; p < array_size(payloads); p++)
        for (size_t batch = 1; batch <= BATCH_MAX; batch *= 10)
            row(argv[i], payloads[p], batch, records, rounds);
    if (recovery)
        recover(argv[i], recovery);
    return check && missed ? 1 : 0;
}
