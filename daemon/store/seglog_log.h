/* A log as its thread sees it. Private to seglog*.c.
 *
 *      segments  [0 … 520]  [521 … 1007]  [1008 … ]◀ active, fd
 *                                          ├── length: synced ──┤── written, not synced yet ──┤ buffered │
 *                                                          next ▲                                   next_write ▲
 *
 * Readers see what is below `length` and `next`. Both move when a sync has succeeded, and only then.
 *
 * An append waits in `waiting` from its run, goes to `written` when it has been encoded, and leaves at the sync or at a
 * fault, with its result.
 */
#pragma once

#include "store/seglog.h"
#include "store/seglog_file.h"

#include <stdatomic.h>
#include <sys/uio.h>

enum { UNUSED_UNKNOWN = UINT32_MAX };

struct segment {
    uint64_t first;
    uint64_t length; /* as one reads it; of a packed one known when it is read */
    uint64_t disk;   /* bytes of its file, when it is packed */
    int64_t wall;    /* when it was written last, ms since 1970 */
    uint32_t
        unused; /* numbers before `first` that were never acknowledged; UNUSED_UNKNOWN: its head says it */
    bool packed;
    bool plain; /* not worth packing */
    int fd;     /* of a log in memory, once it is not the active one; else -1 */
};

/* Numbers whose record is damaged, which has been counted and told. Readers meet them again and again. */
struct hole {
    uint64_t from, to;
};

/* Where the medium could not be read. */
struct bad_spot {
    uint64_t segment, seq; /* the record that was looked for */
    unsigned tries;        /* 0: none */
};

/* Where to look for a record, remembered for the reader that will continue there. */
struct bookmark {
    uint64_t seq;
    uint64_t segment;
    uint64_t offset; /* of its block; 0: none */
    uint64_t end;    /* of the record before it */
};

enum { BOOKMARKS = 8, HOLES = 256, BAD_SPOTS = 16, OUT_SIZE = 256 * 1024, PARTS = 512 };

struct seglog {
    struct list link; /* in seglogs->logs; the loop's */
    struct seglogs *logs;
    char *name;
    uint64_t segment_bytes, segment_max, max_bytes;
    uint64_t limit; /* of the active segment, for the batch that is being written */
    bool memory, compress;
    bool encrypt;     /* what begins from now on */
    bool sealed;      /* the active segment is */
    struct seal seal; /* for its blocks, from here on; without a key: none was written yet */
    uint32_t seal_count;
    bool unmarked;       /* at its start: no mark that can be read says with which key */
    bool wants_packing;  /* since it was opened: the thread has not heard of it yet */
    struct list to_pack; /* in seglogs->to_pack */
    unsigned sync_every;

    int folder; /* -1 in memory */
    int fd;     /* of the active segment; -1 when a sync failed and it is not trusted any more */
    bool
        unsynced; /* perhaps the folders are not on disk: a start does not wait for that, the first record does */
    bool unnamed;             /* the active segment's name is not on disk: its first record waits for that */
    struct segment *segments; /* by number, the active one last; never empty */
    size_t count, room;
    uint64_t next, next_write;
    uint64_t unused;       /* numbers that never were a record's, since ever */
    uint64_t synced;       /* all below it are on the medium: next, unless that is for later (sync_every) */
    bool lagging;          /* something visible is not synced */
    uint64_t written;      /* end of what is in the active file */
    uint64_t worn;         /* up to here its pages have been counted */
    uint64_t noted;        /* here .tail points to */
    uint64_t checked;      /* so far the file system had room; only without preallocation */
    uint64_t preallocated; /* UINT64_MAX: the file system does not do that */
    uint64_t bytes;        /* synced, of all segments */
    uint64_t asked;        /* what the records in `waiting` and `written` may need at most */
    uint64_t asked_block;  /* of that, in what may be one block */
    uint64_t about;        /* what they roughly will need */
    struct list waiting, written_list, syncs;
    struct list dirty; /* in seglogs->dirty while it has appends in this batch */
    bool complained;   /* a fault was logged and nothing has succeeded since */
    struct bookmark bookmarks[BOOKMARKS];
    unsigned bookmark_next;
    struct hole *torn; /* never acknowledged, and told from damage by the file that says so */
    size_t torn_count;
    uint64_t torn_total;
    struct bad_spot bad[BAD_SPOTS];
    unsigned bad_next;
    struct hole holes[HOLES]; /* a ring: whoever has more is told of some of them twice */
    unsigned hole_next;

    /* For the loop. */
    _Atomic uint64_t seen_first, seen_next, seen_bytes, seen_damaged, seen_written, seen_flash, seen_unused,
        seen_synced;

    /* The loop's. */
    struct timer sync_timer;
    struct seglog_sync sync;
    bool syncing;
    struct work encrypting;
    bool encrypts;
};

struct seglogs {
    struct loop *loop;
    struct worker *worker;
    int folder; /* holds the lock */
    char *path;
    struct seal_vault vault;
    uint64_t reserve; /* free bytes of the file system that are not for us */
    struct list logs;

    /* The thread's. */
    struct list dirty;
    struct list to_pack; /* logs with sealed segments that are not packed */
    struct packer packer;
    struct segment_reader pack_reader; /* of what is packed, when it is sealed */
    struct seal pack_seal;
    struct seglog *pack_log; /* whose segment is being packed; NULL: none is */
    uint64_t pack_segment;
    uint8_t *out; /* of what will be written next, to the log that is being written: what is not elsewhere */
    size_t out_len, out_from; /* where the last part of it begins */
    struct iovec parts[PARTS];
    int part_count;
    size_t pending; /* bytes of all that */
    struct seglog_block_writer *writer;
    uint8_t *box; /* a sealed block that is too large for `out` */
    struct segment_reader reader;
    struct seglog *reader_log; /* whose segment the reader is at; NULL for none */
    uint64_t reader_segment;
};

static inline void seglog_file_name(char name[SEGMENT_PACKED_NAME_SIZE], const struct segment *segment)
{
    if (segment->packed)
        segment_packed_name(name, segment->first);
    else
        segment_name(name, segment->first);
}

static inline uint64_t segment_disk(const struct segment *segment)
{
    return segment->packed ? segment->disk : segment->length;
}

static inline struct segment *seglog_active(struct seglog *log)
{
    return &log->segments[log->count - 1];
}

struct segment *seglog_add_segment(struct seglog *log, uint64_t first, uint64_t length);
/* Tells the loop. */
void seglog_publish(struct seglog *log);
/* Is this hole new? It is known from now on. */
bool seglog_note_hole(struct seglog *log, uint64_t from, uint64_t to);
/* Counts and reports a hole that is new: true. */
bool seglog_report_hole(struct seglog *log, uint64_t from, uint64_t to);
/* How many numbers just before a segment were never acknowledged; looks into its head once. */
uint64_t seglog_unused_before(struct seglog *log, size_t segment);
/* The version that a segment which begins now has. */
static inline uint32_t seglog_version(const struct seglog *log)
{
    return log->encrypt ? SEGLOG_VERSION_SEALED : SEGLOG_VERSION;
}
/* Gives back what was preallocated behind the end of the active segment. */
void seglog_trim(struct seglog *log);
/* The reader must not keep a file that goes away. */
void seglog_forget_reader(struct seglog *log);

/* Copies what is no record of a segment, from begin to end. seglog_quarantine.c */
void seglog_quarantine(struct seglog *log, const struct segment *segment, int fd, uint64_t begin,
                       uint64_t end);

/* seglog_unused.c: reads the file; adds to it; how many of these numbers are in it. */
int seglog_load_torn(struct seglog *log) must_check;
/* Is this the boot of the log's last opening, so that the power has not gone since? Notes that it is. */
bool seglog_is_same_boot(const struct seglog *log);
void seglog_note_boot(const struct seglog *log);
int seglog_note_torn(struct seglog *log, uint64_t from, uint64_t to) must_check;
uint64_t seglog_torn_within(const struct seglog *log, uint64_t from, uint64_t to);

/* seglog_tail.c: now and then, behind a sync; and what was noted, if that is so. */
void seglog_note_tail(struct seglog *log);
bool seglog_find_tail(struct seglog *log, struct segment_reader *reader, uint64_t *offset, uint64_t *number);

/* seglog_pack.c: a piece of packing, true if there may be more; and no more of that segment (UINT64_MAX: of any). */
bool seglogs_rest(void *resource);
void seglog_stop_packing(struct seglog *log, uint64_t segment);

/* seglog_write.c */
void seglog_append_run(struct work *work, void *resource);
void seglog_sync_run(struct work *work, void *resource);
int seglogs_commit(void *resource);
/* seglog_read.c */
void seglog_read_run(struct work *work, void *resource);
void seglog_release_run(struct work *work, void *resource);
void seglog_survey_run(struct work *work, void *resource);
/* seglog_recover.c: reads the folder, mends the tail; on the loop, before the thread sees the log. */
int seglog_recover(struct seglog *log) must_check;
