/* Segment logs: append-only files, one CRC a record, one sync a batch, and the thread that owns them all.
 *
 *      DIR/NAME/00000000000000000000.seg   [head][record][record]…      sealed
 *      DIR/NAME/00000000000000052341.seg   [head][record][rec           active: the tail may be torn by a power cut
 *      DIR/NAME/00000000000000041877.segz                              sealed and packed (seglog_packed.h)
 *
 * A record has a sequence number that grows by one and is never used again, the wall time of its arrival, a topic and a
 * payload. Appends of one turn, over all logs, are written with one pwritev per log and synced once per log: when an append's done()
 * says 0, the record survives a power cut. Opening scans the tail of the last segment only. A torn tail is cut off (it
 * was never acknowledged); a damaged record in the middle is skipped, counted and reported, and everything before and
 * after it is served. Nothing is ever "repaired" by deleting.
 *
 * A number may be used up without a record: those of a batch whose sync failed are not given again, since its records may
 * be on the medium after all. They were never acknowledged and are never served, and the next segment's head says which
 * they are, so that they are told from damage for ever. accepted = next - unused.
 *
 * Reading does not consume. Space comes back a whole segment at a time, by seglog_release() of what nobody needs.
 */
#pragma once

#include "base/worker.h"
#include "store/seal.h"

struct seglogs; /* the thread and the directory */
struct seglog;  /* one log */

struct seglog_options {
    uint64_t
        segment_bytes; /* 0: 4 MiB; never more than a quarter of max_bytes, since space comes back in segments */
    uint64_t
        segment_max; /* while batches of half a megabyte and more come, a segment takes eight of them, up to
                           * this; 0: 64 MiB, or a quarter of max_bytes */
    uint64_t max_bytes; /* 0: unlimited. An append beyond it is refused with SEGLOG_FULL, nothing is lost */
    bool memory;        /* in memory: nothing is written to disk, and it is empty when it is opened */
    bool compress;      /* segments that are full */
    bool encrypt;       /* segments from now on, with the device key (seal.h); older ones stay as they are */
    unsigned
        sync_every; /* ms: an append is done when it is written, and synced so much later; 0: synced first */
};

enum { SEGLOG_FULL = 1, SEGLOG_RECORD_MAX = 16 * 1024 * 1024 };

struct seglog_record {
    uint64_t seq;
    int64_t wall; /* ms since 1970 as best known on arrival */
    const char *topic;
    size_t topic_len;
    const uint8_t *payload;
    size_t payload_len;
    uint64_t batch; /* set by the log: how many numbers before this one were written since the last sync */
    uint64_t
        unused; /* of a read: how many of the numbers left out just before this one never were a record's */
};

/* DIR is created when missing, in a folder that exists, and is this process's alone: -EBUSY. Faults have been logged. */
int seglogs_open(struct seglogs **ret, struct loop *loop, const char *dir, enum worker_mode mode) must_check;
struct seglogs *seglogs_close(struct seglogs *logs);
define_cleanup(struct seglogs *, seglogs_close)
void seglogs_quiesce(struct seglogs *logs);
/* So many bytes of the file system, at most a sixteenth of it, stay free: a log that would go on into them is out of space (-ENOSPC), so that a
 * database beside the logs can go on. Before the first work. */
void seglogs_set_reserve(struct seglogs *logs, uint64_t bytes);
/* From now on a batch may wait for company (base/gather.h). Before anything is appended. */
void seglogs_gather(struct seglogs *logs);

/* Where the key for logs that are encrypted comes from, when it is needed. Before the first log is opened. */
void seglogs_set_seal(struct seglogs *logs, const struct seal_source *source);
/* Is there a key, now? Blocks the first time. 0; −errno, logged for `name`. What is sealed in no log yet may have one made. */
int seglogs_need_key(struct seglogs *logs, const char *name) must_check;

/* Opens or creates a log; blocks, so at start-up or by a control command only. NAME: 1 to 64 of [a-zA-Z0-9_-]. Closing
 * quiesces. Faults have been logged; besides the system's own: -EINVAL, the name; -EBUSY, open already;
 * -EPROTONOSUPPORT, written by a newer program; -ENOKEY, -EKEYREJECTED and others of seglogs_need_key(): it is encrypted, or is to be, and the
 * key is missing or another one; -ELIBACC, its newest segment is packed, and there is no libzstd. Then nothing has been changed. */
int seglog_open(struct seglog **ret, struct seglogs *logs, const char *name,
                const struct seglog_options *options) must_check;
struct seglog *seglog_close(struct seglog *log);
/* Other limits from now on; what is in memory stays there. To encrypt needs seglogs_need_key() before. Blocks for what the thread has to do. What was to be synced later is
 * synced with the next append, or by seglog_sync(). */
void seglog_change(struct seglog *log, const struct seglog_options *options);

/* To encrypt what comes, without waiting; seglogs_need_key() was before. */
void seglog_encrypt(struct seglog *log);

/* On the loop, no later than the done() of what changed them: first record kept, next number to be given (all below it
 * are synced), bytes in the files. */
uint64_t seglog_first(const struct seglog *log);
uint64_t seglog_next(const struct seglog *log);
uint64_t seglog_bytes(const struct seglog *log);
uint64_t seglog_damaged(const struct seglog *log); /* records found damaged so far */
uint64_t seglog_written(const struct seglog *log); /* bytes handed to the system since open */
uint64_t
seglog_flash(const struct seglog *log); /* of whole pages of 4 KiB, a sync each: what a flash wears by */
uint64_t seglog_unused(const struct seglog *log); /* numbers without a record, released ones included */
uint64_t seglog_synced(const struct seglog *log); /* all below it survive a power cut */

/* A sentence about a fault of a log (−errno); the caller's until the next call. */
const char *seglog_fault_text(int r);

/* One record to append. The topic and payload must stay until done (hold the message). A fault is that of all appends to
 * this log in the turn: -ENOSPC and -EIO leave nothing of them in the log, and later ones work when the cause is gone;
 * -EMSGSIZE (beyond SEGLOG_RECORD_MAX or a topic of 64 KiB) and SEGLOG_FULL are this one's alone. */
struct seglog_append {
    struct work work; /* work.r: 0, SEGLOG_FULL, −errno */
    struct seglog *log;
    struct seglog_record record; /* seq is set by the log */
    struct list link;            /* private */
};
void seglog_append(struct seglog *log, struct seglog_append *append); /* set record and work.done before */

/* Reads records from `from` on into a buffer of the reader's, until max_records, or the buffer is full (at least one
 * record whatever its size: the buffer grows). */
struct seglog_read {
    struct work
        work; /* work.r: number of records read (0: none there), or −errno. -ELIBACC: it is packed, and there is no
                       * libzstd; no damage, and it is read when that is there */
    struct seglog *log;
    uint64_t from;
    size_t max_records, max_bytes;
    bool
        patient; /* a medium that cannot be read there is the reader's fault (-EIO) the first times, so that it comes
                      * again later; else it is tried at once, and what cannot be read then is damage */
    uint8_t *buffer; /* owned by the reader: seglog_read_done() frees it */
    size_t buffer_size;
    struct seglog_record *records; /* into buffer */
    size_t records_size;
    uint64_t
        skipped; /* damaged or already released records between from and the last one returned; with r = 0, those
                       * from `from` on that will never come */
    uint64_t unused; /* numbers among these that never were a record's */
};
void seglog_read(struct seglog *log, struct seglog_read *read); /* set from, max_*, work.done before */
void seglog_read_done(struct seglog_read *read);

/* Makes durable what was acknowledged before its sync (sync_every). */
struct seglog_sync {
    struct work work; /* set work.done before */
    struct seglog *log;
    struct list link; /* private */
};
void seglog_sync(struct seglog *log, struct seglog_sync *sync);

/* How far could be released, in whole segments: those at least below `before`; those whose last record came before
 * older_than (wall time, ms; 0: none for their age; the time of a clock that was not set says nothing); and as
 * many more as make `bytes` free. Each range's numbers that are no records are counted: unused, or known to be damaged. */
struct seglog_range {
    uint64_t from, to; /* to = UINT64_MAX: as far as can be released */
    uint64_t unused, damaged;
};
struct seglog_survey {
    struct work work; /* set work.done before; r is 0 */
    struct seglog *log;
    int64_t older_than;
    uint64_t bytes;
    uint64_t before; /* answer: for seglog_release(); the first number kept when there is nothing */
    int64_t
        oldest; /* answer: when the last record of the first sealed segment that stays came; 0: there is none */
    uint64_t first, next, unused; /* answer: of the log at that moment */
    struct seglog_range *ranges;
    size_t range_count;
};
void seglog_survey(struct seglog *log, struct seglog_survey *survey);

/* Everything before seq is not needed any more: whole segments below it are unlinked. */
struct seglog_release {
    struct work work;
    struct seglog *log;
    uint64_t before;
};
void seglog_release(struct seglog *log, struct seglog_release *release);

/* Closes a log and removes its files; a power cut may leave some of them. Faults have been logged. */
int seglog_remove(struct seglog *log);
/* The same for one that is not open; nothing is there: 0. */
int seglogs_remove(struct seglogs *logs, const char *name);
