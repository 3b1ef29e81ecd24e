/* A folder that takes records away: files that grow, one for each name that the pattern makes, and are finished by size or
 * by age.
 *
 *      DIR/dt/plant1/env.20261127T101500.123Z.ndjson.part     grows; what was settled is on the medium
 *      DIR/dt/plant1/env.20261127T091500.004Z.ndjson          finished: never touched again, take it away
 *
 * A batch is written whole or not at all: what was not written to the end is cut off again, at once or, after a crash,
 * before anything else is written. One sync a batch and file. Files that an earlier life left unfinished are finished when
 * the folder is used first.
 *
 * On the link's worker. The link gives the time.
 */
#pragma once

#include "cloud/outbox.h"

enum archive_format {
    ARCHIVE_NDJSON, /* record.h's objects, a line each */
    ARCHIVE_LINES,  /* payloads, a line each; one with a line break in it is refused */
    ARCHIVE_LENGTH, /* a length of four bytes, the first one the highest, and the payload */
};

struct archive_options {
    const char *dir;     /* its last level is made when it is missing */
    const char *pattern; /* with words of record.h */
    const char *gateway, *uplink;
    enum archive_format format;
    uint64_t rotate_bytes; /* a file that has so many is finished */
    int64_t rotate_ms;     /* and one that was begun so long ago; 0: never */
    uint64_t bytes_max;    /* of all files in the folder; 0: no limit */
};

struct archive;

struct archive *archive_new(const struct archive_options *options);
/* Finishes all files. */
struct archive *archive_free(struct archive *archive);
define_cleanup(struct archive *, archive_free)

struct archive_answer {
    enum outbox_verdict verdict; /* OUTBOX_EACH: the items have theirs */
    char reason[200];
};

/* Writes a list of struct outbox_item. mono and wall: the time, ms. */
void archive_write(struct archive *archive, const struct list *items, int64_t mono, int64_t wall,
                   struct archive_answer *answer);
/* Finishes what is old enough, and at first what an earlier life left. Returns the ms until there is more to do, -1 when there is not. */
int64_t archive_tidy(struct archive *archive, int64_t mono);
