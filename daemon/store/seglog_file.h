/* One segment file: how it is named, made, looked through.
 *
 * Private to the log. A reader is a window on one file at a time; it believes nothing beyond `length` and hands out
 * records that point into its buffers and stay until the next call.
 */
#pragma once

#include "store/seglog_block.h"
#include "store/seglog_packed.h"
#include "store/seglog_record.h"
#include "store/seglog_sealed.h"

#include <errno.h>

enum {
    SEGMENT_NAME_SIZE = 25,
    SEGMENT_PACKED_NAME_SIZE = 26
}; /* twenty digits, ".seg" or ".segz", the end */

void segment_name(char name[SEGMENT_NAME_SIZE], uint64_t first);
void segment_packed_name(char name[SEGMENT_PACKED_NAME_SIZE], uint64_t first);
/* Is this a segment's name, and of which? */
bool segment_name_parse(const char *name, uint64_t *first, bool *packed);

int segment_write_head(int fd, const struct seglog_head *head) must_check;

/* Makes a segment that survives a power cut, empty but for its head. A file of that name can only be one without records, or the rest of
 * an attempt that failed, and becomes it. */
int segment_create(int folder, const struct seglog_head *head, int *fd) must_check;
/* The same, not synced: before a record of it is acknowledged, the file and the folder are to be. */
int segment_create_lazily(int folder, const struct seglog_head *head, int *fd) must_check;
/* The same without a folder: a file in memory, which goes with its descriptor. */
int segment_create_in_memory(const struct seglog_head *head, int *fd) must_check;
/* 0; -EUCLEAN, -EPROTONOSUPPORT as seglog_head_decode(); what reading it says. */
int segment_read_head(int fd, struct seglog_head *ret) must_check;

/* Writes all of it, or fails: -ENOSPC for every kind of "no more room here". */
struct iovec;
int segment_write(int fd, struct iovec *parts, int count, uint64_t offset) must_check;

/* A fault that says nothing about the medium, nor about what is on it: trying again at once or going on without it helps nobody. -ELIBACC: a
 * packed segment, and no libzstd. */
static inline bool segment_is_foreign_fault(int r)
{
    return r == -ENOMEM || r == -ELIBACC || seal_is_key_fault(r);
}

/* A block whose head is intact, and none of its records. */
struct bare_block {
    uint64_t first, next; /* numbers; next = 0: there was none */
    uint64_t end;         /* in the file */
};

struct segment_reader {
    int fd; /* the caller's */
    uint64_t length;
    struct packed_file packed; /* blocks: it is one, and offsets are those of the plain file */
    bool is_packed;
    uint8_t *buffer;
    size_t buffer_size;
    uint64_t at; /* where in the file buffer[0] is */
    size_t have;
    bool give_up;    /* what cannot be read is taken for zeros; else it is a fault: -EIO */
    bool unreadable; /* that has been done since it was set */
    bool knows_version;
    uint32_t version;           /* 0: its head does not say */
    struct seglog_block *block; /* that was looked at last */
    uint8_t *head;              /* its head's bytes, and all of its content if it was sealed */
    size_t head_room;
    uint64_t block_begin, block_size;
    bool loaded, sealed;
    struct seal seal;
    struct bare_block bare;
};

/* Another file: a new window. */
void segment_reader_set(struct segment_reader *reader, int fd, uint64_t length);
/* The same for a packed one of that size; `length` is then the plain file's. */
int segment_reader_set_packed(struct segment_reader *reader, int fd, uint64_t size) must_check;
/* After one of them: with what sealed blocks are opened. The name is the caller's. */
void segment_reader_unseal(struct segment_reader *reader, const struct seal_vault *vault, const char *log,
                           uint64_t segment);
void segment_reader_done(struct segment_reader *reader);

struct segment_found {
    uint32_t version; /* of the format */
    uint64_t offset;  /* in the file */
    size_t size;
    struct seglog_record record;
    uint64_t look_on;          /* from here on the record after it is to be looked for */
    uint64_t block, block_end; /* the block that it is in; it may be longer than the file */
    uint64_t block_next;       /* number after the block's last */
};

/* The next intact record from `offset` on, where a block begins, that can be number `expected` or, when bytes were skipped to find
 * it, a later one below `end`. 1; 0 when there is none; -ENOMEM; -ENOKEY and -EKEYREJECTED; -EIO and the like when the medium could not
 * be read just there. What stands in reader->bare from then on was passed. */
int segment_find(struct segment_reader *reader, uint64_t offset, uint64_t expected, uint64_t end,
                 struct segment_found *ret) must_check;

/* A part of the file with its sealed blocks opened (seglog_sealed.h), each part behind the one before. The count, less at the end; −errno. */
ssize_t segment_read_opened(struct segment_reader *reader, uint8_t *bytes, size_t len, uint64_t offset)
    must_check;

/* What a segment holds, for the one that was last written. */
struct segment_scan {
    void (*on_hole)(struct segment_scan *scan, uint64_t from, uint64_t to); /* may be NULL; the caller's */
    uint64_t next;                                                          /* number after the last block */
    uint64_t hole_begin, hole_end; /* in on_hole(): where in the file the hole is */
    uint64_t batch;                /* first number of the batch that the last record belongs to */
    uint64_t length;               /* end of the last block with a record; the file may be shorter */
    uint32_t version;              /* of the last record; 0: there is none */
    struct bare_block bare;        /* behind the last record */
};
int segment_scan(struct segment_reader *reader, uint64_t first, struct segment_scan *scan) must_check;
/* The same from a place on where that number is expected. */
int segment_scan_from(struct segment_reader *reader, uint64_t offset, uint64_t number,
                      struct segment_scan *scan) must_check;
