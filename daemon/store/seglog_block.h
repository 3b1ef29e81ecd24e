/* A block: records of one batch, one behind the other, under a head that says what each of them is. Pure.
 *
 *      head     0  u32 'G','H','B','2'
 *               4  u32 CRC-32C of where in the file the block begins (u64) and of all that follows
 *               8  u32 length of the head
 *              12  number of the first record
 *                  its wall time, ms since 1970, signed
 *                  numbers of its batch before it
 *                  how many records there are: 1 to 1024
 *                  how many topics; then each: its length, its bytes
 *                  of each record: twice the length of its payload, one more if topic or time are not those of the record before it (the first
 *                  topic, the first time); then these two follow: which of the topics, from 0; the time since the record before it, signed
 *
 *      record   0  u32 CRC-32C of the head's CRC (u32), which record it is (u32, from 0) and the payload
 *               4  payload
 *
 *      behind the records, from the next multiple of 8 on, if there is more than one: the head once more, with 'G','H','E','2'
 *      zeros up to a multiple of 8
 *
 * All little-endian; what has no size is a variable-length number, seven bits a byte, lowest first, all but the last with the highest
 * bit set; signed ones zigzag (0, -1, 1, -2, …).
 *
 * So a record costs six bytes to ten beside its payload, and a block about fifty. Numbers grow by one from the first on. A block is a part of one
 * batch, and ends at 64 KiB of records: whoever begins anywhere is not far from a place that says everything. A record that is damaged costs
 * nothing else, since it is the head that says where the next one begins; and a head that is damaged costs nothing as long as its copy is
 * intact. That the head's CRC takes in where it is keeps the image of a block in a payload from being taken for one, and that the
 * record's takes in the head's keeps a head and sectors that were written at another time apart.
 */
#pragma once

#include "store/seglog.h"

enum {
    SEGLOG_BLOCK_PEEK = 12,         /* so many bytes of a head say how long it is */
    SEGLOG_BLOCK_RECORDS = 1024,    /* at most */
    SEGLOG_BLOCK_BYTES = 64 * 1024, /* of records; more only for a single one */
    SEGLOG_BLOCK_HEAD_MAX = 96 * 1024,
    SEGLOG_BLOCK_RECORD_HEAD = 4,
};

/* What a block has at most with this record in it. */
static inline size_t seglog_block_share(size_t topic_len, size_t payload_len)
{
    return 96 + 2 * topic_len + payload_len;
}
/* What it grows by at most for one more behind that one. */
size_t seglog_block_part(const struct seglog_record *before, const struct seglog_record *record);

/* ---- reading ----------------------------------------------------------------------------------------------------- */

struct seglog_entry {
    int64_t wall;
    uint32_t offset; /* of the record, from the first one on */
    uint32_t len;    /* of the payload */
    uint32_t topic;
};

struct seglog_block {
    uint64_t first, batch;
    uint32_t crc;
    unsigned count;
    size_t head_size, data_size; /* of the records */
    struct seglog_entry entries[SEGLOG_BLOCK_RECORDS];
    struct {
        uint32_t offset, len; /* in the head */
    } topics[SEGLOG_BLOCK_RECORDS];
};

enum seglog_block_part { SEGLOG_BLOCK_NONE, SEGLOG_BLOCK_HEAD, SEGLOG_BLOCK_COPY };

/* What may begin at these SEGLOG_BLOCK_PEEK bytes, and how long it is: not believed yet. */
enum seglog_block_part seglog_block_peek(const uint8_t *bytes, size_t *head_size);
/* Decodes a whole head of that length. `offset`: where it lies, be it a head or a copy; *begin: where its block does. 0, or -EUCLEAN. */
int seglog_block_decode(const uint8_t *bytes, size_t head_size, uint64_t offset, struct seglog_block *ret,
                        uint64_t *begin) must_check;
/* The bytes of a block in the file, with copy and zeros. */
uint64_t seglog_block_size(const struct seglog_block *block);
/* The record `i`, whose bytes these are: as many as its payload has and four. `head`: the bytes that the block was decoded from.
 * 0, or -EUCLEAN. */
int seglog_block_record(const struct seglog_block *block, const uint8_t *head, unsigned i,
                        const uint8_t *bytes, struct seglog_record *ret) must_check;

/* ---- writing ----------------------------------------------------------------------------------------------------- */

enum { SEGLOG_BLOCK_TOPIC_SLOTS = 64 };

/* A head that is being made. The topics must stay until its end. */
struct seglog_block_writer {
    uint64_t first, batch;
    int64_t first_wall, wall;
    uint32_t crc;
    unsigned count, topic_count, topic;
    size_t data_size, topics_len, entries_len;
    const char *last_topic;
    size_t last_topic_len;
    struct {
        const char *topic;
        uint32_t len, number;
    } slots[SEGLOG_BLOCK_TOPIC_SLOTS];
    uint8_t topics[SEGLOG_BLOCK_HEAD_MAX];
    uint8_t entries[SEGLOG_BLOCK_RECORDS * 20];
};

void seglog_block_begin(struct seglog_block_writer *writer, uint64_t first, uint64_t batch);
/* Is this record the next one of the block? False, when the block is full, or would be longer than `room`: but the first is
 * taken in any case. The topic has at most SEGLOG_TOPIC_MAX bytes, the payload less than SEGLOG_RECORD_MAX. */
bool seglog_block_add(struct seglog_block_writer *writer, const struct seglog_record *record, uint64_t room);
/* The bytes of the block in the file, as it is now. */
uint64_t seglog_block_length(const struct seglog_block_writer *writer);
/* The same without the head's copy and zeros: what is sealed. */
size_t seglog_block_content(const struct seglog_block_writer *writer);
/* Its head for this place in the file: at most SEGLOG_BLOCK_HEAD_MAX bytes; how many. */
size_t seglog_block_head(struct seglog_block_writer *writer, uint64_t offset, uint8_t *bytes);
/* After it: what is written before the payload of record `i`. */
void seglog_block_guard(const struct seglog_block_writer *writer, unsigned i, const uint8_t *payload,
                        size_t len, uint8_t bytes[SEGLOG_BLOCK_RECORD_HEAD]);
/* Makes a copy out of these bytes of a head. */
void seglog_block_make_copy(uint8_t *bytes);
/* Zeros that follow so many bytes. */
static inline size_t seglog_block_padding(uint64_t len)
{
    return (size_t)(-len & 7);
}
