/* The bytes of a segment file: its head, and a record. Pure: pointers and lengths, no files.
 *
 *      head    0  "GHSEGLOG"               record  0  u32 'G','H','R','1'
 *              8  u32 version: 1                   4  u32 CRC-32C of all that follows, without the padding
 *             12  u32 unused numbers before it     8  u64 sequence number
 *             16  u64 first sequence number       16  i64 wall time, ms since 1970
 *             24  u32 those of all the log so far 24  u32 length of the payload
 *             28  u32 CRC-32C of the above        28  u16 length of the topic
 *                                                 30  u16 numbers of its batch before it, at most 65535
 *                                                 32  topic, payload, zeros up to a multiple of 8
 *
 * All little-endian. Records begin at multiples of 8, which is where one looks for the next after damage.
 */
#pragma once

#include "store/seglog.h"

enum {
    SEGLOG_VERSION = 1,
    SEGLOG_HEAD_SIZE = 32,
    SEGLOG_RECORD_HEAD_SIZE = 32,
    SEGLOG_TOPIC_MAX = UINT16_MAX,
};

struct seglog_head {
    uint64_t first;
    uint32_t unused;       /* so many numbers just before `first` were used up and never acknowledged */
    uint32_t unused_total; /* in this log so far, with those */
};

void seglog_head_encode(uint8_t bytes[SEGLOG_HEAD_SIZE], const struct seglog_head *head);
/* 0; -EUCLEAN; -EPROTONOSUPPORT for an intact head of another version. */
int seglog_head_decode(const uint8_t *bytes, size_t len, struct seglog_head *ret) must_check;

/* Bytes in the file, padding included. */
size_t seglog_record_size(size_t topic_len, size_t payload_len);

/* The head of a record whose topic and payload are elsewhere. */
void seglog_record_encode_head(uint8_t bytes[SEGLOG_RECORD_HEAD_SIZE], const struct seglog_record *record);

/* How many bytes the record at `bytes` has, according to its head, which is not believed yet: 0 when there cannot be a
 * record. len >= SEGLOG_RECORD_HEAD_SIZE. */
size_t seglog_record_peek(const uint8_t *bytes);

/* Decodes a whole record of seglog_record_peek() bytes, pointing into them. 0, or -EUCLEAN. */
int seglog_record_decode(const uint8_t *bytes, size_t len, struct seglog_record *ret) must_check;
