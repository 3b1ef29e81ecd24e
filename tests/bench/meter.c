#include "bench/meter.h"

#include <stdio.h>
#include <time.h>

static double seconds(clockid_t clock)
{
    struct timespec t;

    if (clock_gettime(clock, &t) < 0)
        return -1;
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

double meter_now(void)
{
    return seconds(CLOCK_MONOTONIC);
}

uint64_t meter_now_ns(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

double meter_cpu(pid_t pid)
{
    clockid_t clock;

    if (clock_getcpuclockid(pid, &clock) != 0)
        return -1;
    return seconds(clock);
}

long meter_pss(pid_t pid)
{
    char path[64], line[128];
    long kib = -1;

    (void)snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", (int)pid);
    FILE *file = fopen(path, "re");
    if (!file)
        return -1;
    while (kib < 0 && fgets(line, sizeof(line), file))
        if (sscanf(line, "Pss: %ld", &kib) != 1)
            kib = -1;
    (void)fclose(file);
    return kib < 0 ? -1 : kib * 1024;
}
