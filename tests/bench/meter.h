/* What another process costs: processor time and memory, as the kernel counts them. */
#pragma once

#include <stdint.h>
#include <sys/types.h>

/* The monotonic clock. */
double meter_now(void);
uint64_t meter_now_ns(void);

/* Processor seconds of all its threads, user and system, to the nanosecond; pid 0 means ourselves. -1 if there is no
 * such process. */
double meter_cpu(pid_t pid);

/* Proportional set size in bytes; -1 if it cannot be read. */
long meter_pss(pid_t pid);
