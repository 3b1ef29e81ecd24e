/* What batches.c writes down and disk.c reads: a file of these, as many as `count` says. */
#pragma once

#include <stdatomic.h>
#include <stdint.h>

enum { BATCHES_MAX = 1000000 };

struct batch {
    uint64_t ns;    /* CLOCK_MONOTONIC, before the sync */
    uint64_t bytes; /* written since the file's last sync */
};

struct batches {
    _Atomic uint64_t count; /* may be beyond BATCHES_MAX: the rest is not there */
    struct batch batch[BATCHES_MAX];
};
