/* A disk that fails when a test says so: the program is linked with --wrap for the calls that disk.c has (CMakeLists.txt). */
#pragma once

#include <stdint.h>

struct disk {
    int fdatasync, fsync, ftruncate;    /* errno of the next call, once */
    int64_t room;                       /* bytes that may still be written; -1: no limit */
    int full;                           /* what a write says without room */
    int64_t bad_from, bad_to;           /* offsets that cannot be read */
    unsigned syncs, writes, file_syncs; /* the last: fsync() */
};
extern struct disk disk;

/* All is well. */
void disk_reset(void);
