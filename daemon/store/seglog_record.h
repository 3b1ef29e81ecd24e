/* The bytes of a segment file: its head, then blocks of records. Pure: pointers and lengths, no files.
 *
 *      head    0  "GHSEGLOG"
 *              8  u32 version: 2; 3 when its blocks are sealed; 1 for files of older programs, which hold single records, not blocks
 *             12  u32 unused numbers before it
 *             16  u64 first sequence number
 *             24  u32 those of all the log so far
 *             28  u32 CRC-32C of the above
 *
 *      block   [head][record][record]…[zeros][head's copy][zeros]        of one batch or a part of it: seglog_block.h
 *
 * A record of version 1 is read for ever, and no longer written:
 *
 *              0  u32 'G','H','R','1'
 *              4  u32 CRC-32C of all that follows, without the padding
 *              8  u64 sequence number
 *             16  i64 wall time, ms since 1970
 *             24  u32 length of the payload
 *             28  u16 length of the topic
 *             30  u16 numbers of its batch before it, at most 65535
 *             32  topic, payload, zeros up to a multiple of 8
 *
 * All little-endian. Blocks, copies of their heads and records of version 1 begin at multiples of 8, which is where one looks for
 * the next after damage.
 */
#pragma once

#include "store/seglog.h"

enum {
    SEGLOG_VERSION = 2,
    SEGLOG_VERSION_RECORDS = 1, /* without blocks */
    SEGLOG_VERSION_SEALED = 3,  /* its blocks are sealed: seglog_sealed.h */
    SEGLOG_HEAD_SIZE = 32,
    SEGLOG_RECORD_HEAD_SIZE = 32,
    SEGLOG_TOPIC_MAX = UINT16_MAX,
};

struct seglog_head {
    uint64_t first;
    uint32_t unused;       /* so many numbers just before `first` were used up and never acknowledged */
    uint32_t unused_total; /* in this log so far, with those */
    uint32_t version;      /* 0: SEGLOG_VERSION, when it is encoded */
};

void seglog_head_encode(uint8_t bytes[SEGLOG_HEAD_SIZE], const struct seglog_head *head);
/* 0; -EUCLEAN; -EPROTONOSUPPORT for an intact head of a version that is not known. */
int seglog_head_decode(const uint8_t *bytes, size_t len, struct seglog_head *ret) must_check;

/* How many bytes the record of version 1 at `bytes` has, according to its head, which is not believed yet: 0 when there cannot be
 * a record. len >= SEGLOG_RECORD_HEAD_SIZE. */
size_t seglog_record_peek(const uint8_t *bytes);

/* Decodes a whole record of seglog_record_peek() bytes, pointing into them. 0, or -EUCLEAN. */
int seglog_record_decode(const uint8_t *bytes, size_t len, struct seglog_record *ret) must_check;
