/* bench_batches, a library to be preloaded: writes down how many bytes a program syncs at a time.
 *
 *      LD_PRELOAD=libbench_batches.so BENCH_BATCHES=FILE gatehoused …
 *
 * Every fdatasync() of a file that pwritev() has written to becomes a line in FILE (batches.h), which is mapped: that costs
 * nanoseconds beside a sync. The daemon's logs are written with pwritev(), its database is not.
 */
#include "bench/batches.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { FILES_MAX = 65536 };

#define EXPORT __attribute__((visibility("default")))

static struct batches *batches;
static _Atomic uint64_t written[FILES_MAX];
static ssize_t (*real_pwritev)(int, const struct iovec *, int, off_t);
static int (*real_fdatasync)(int);

/* dlsym() gives an object pointer for a function. */
static void find(void *ret, const char *name)
{
    *(void **)ret = dlsym(RTLD_NEXT, name);
}

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("BENCH_BATCHES");

    find(&real_pwritev, "pwritev");
    find(&real_fdatasync, "fdatasync");
    int fd = path ? open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600) : -1;
    if (fd < 0)
        return;
    if (ftruncate(fd, sizeof(*batches)) == 0)
        batches = mmap(NULL, sizeof(*batches), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (batches == MAP_FAILED)
        batches = NULL;
    (void)close(fd);
}

EXPORT ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset)
{
    ssize_t n = real_pwritev(fd, parts, count, offset);

    if (n > 0 && fd >= 0 && fd < FILES_MAX)
        written[fd] += (uint64_t)n;
    return n;
}

EXPORT int fdatasync(int fd)
{
    uint64_t bytes = fd >= 0 && fd < FILES_MAX ? atomic_exchange(&written[fd], 0) : 0;

    if (batches && bytes) {
        uint64_t i = batches->count++;
        struct timespec t;
        (void)clock_gettime(CLOCK_MONOTONIC, &t);
        if (i < BATCHES_MAX)
            batches->batch[i] = (struct batch){
                .ns = (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec,
                .bytes = bytes,
            };
    }
    return real_fdatasync(fd);
}
