/* bench_disk: the floor of durability. A loop of pwrite() and fdatasync() and nothing else, in batches that a program has
 * synced (batches.c) or in equal ones; prints one line of JSON.
 *
 * Space is allocated a mebibyte ahead, as a log does that wants to pay for its bytes and not for its inode.
 */
#include "bench/batches.h"
#include "bench/meter.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { AHEAD = 1024 * 1024 };

struct work {
    int fd;
    uint8_t *bytes;
    size_t size; /* of bytes */
    off_t at, allocated;
    uint64_t batches;
};

static int fail(const char *what)
{
    fprintf(stderr, "bench_disk: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void write_batch(struct work *work, size_t len)
{
    if (len > work->size) {
        work->bytes = realloc(work->bytes, len);
        if (!work->bytes)
            fail("memory");
        memset(work->bytes + work->size, 'x', len - work->size);
        work->size = len;
    }
    if (work->at + (off_t)len > work->allocated) {
        off_t ahead = len > AHEAD ? (off_t)len : AHEAD;
        if (fallocate(work->fd, FALLOC_FL_KEEP_SIZE, work->at, ahead) == 0)
            work->allocated = work->at + ahead;
    }
    for (size_t done = 0; done < len;) {
        ssize_t n = pwrite(work->fd, work->bytes + done, len - done, work->at + (off_t)done);
        if (n < 0 && errno != EINTR)
            fail("write");
        done += n > 0 ? (size_t)n : 0;
    }
    if (fdatasync(work->fd) < 0)
        fail("sync");
    work->at += (off_t)len;
    work->batches++;
}

static void replay(struct work *work, const char *path, double from, double to)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0)
        fail(path);
    errno = EINVAL;
    if (st.st_size < (off_t)sizeof(struct batches))
        fail(path);
    const struct batches *batches = mmap(NULL, sizeof(*batches), PROT_READ, MAP_SHARED, fd, 0);
    if (batches == MAP_FAILED)
        fail(path);
    for (uint64_t i = 0; i < batches->count && i < BATCHES_MAX; i++) {
        double when = (double)batches->batch[i].ns / 1e9;
        if (when >= from && when <= to)
            write_batch(work, batches->batch[i].bytes);
    }
    (void)close(fd);
}

static int usage(FILE *out)
{
    fputs("usage: bench_disk FILE --replay BATCHES --from S --to S    what was synced between two moments\n"
          "       bench_disk FILE --batches N --size BYTES            equal ones\n"
          "FILE is overwritten. Moments are those of the monotonic clock.\n",
          out);
    return out == stdout ? 0 : 2;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"replay", required_argument, NULL, 'r'},
        {"from", required_argument, NULL, 'f'},
        {"to", required_argument, NULL, 't'},
        {"batches", required_argument, NULL, 'n'},
        {"size", required_argument, NULL, 's'},
        {"help", no_argument, NULL, 'h'},
        {0},
    };
    const char *batches = NULL;
    double from = 0, to = 0;
    unsigned long n = 0, size = 0;
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1)
        switch (option) {
        case 'r': batches = optarg; break;
        case 'f': from = strtod(optarg, NULL); break;
        case 't': to = strtod(optarg, NULL); break;
        case 'n': n = strtoul(optarg, NULL, 10); break;
        case 's': size = strtoul(optarg, NULL, 10); break;
        case 'h': return usage(stdout);
        default: return usage(stderr);
        }
    if (optind != argc - 1 || (batches == NULL) == (n == 0) || (n > 0 && size == 0))
        return usage(stderr);

    struct work work = {.fd = open(argv[optind], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600)};
    if (work.fd < 0)
        fail(argv[optind]);
    double start = meter_now(), cpu = meter_cpu(0);
    if (batches)
        replay(&work, batches, from, to);
    for (unsigned long i = 0; i < n; i++)
        write_batch(&work, size);
    printf("{\"work\":\"disk\",\"batches\":%llu,\"bytes\":%llu,\"seconds\":%.4f,\"cpu_s\":%.6f}\n",
           (unsigned long long)work.batches, (unsigned long long)work.at, meter_now() - start,
           meter_cpu(0) - cpu);
    (void)close(work.fd);
    free(work.bytes);
    return 0;
}
