/* The bytes of a block. */
#include "base/base.h"
#include "rig/test.h"
#include "store/seglog_block.h"
#include "store/seglog_record.h"

#include <errno.h>
#include <stdlib.h>

enum { ROOM = 1 << 20, OFFSET = 4096 };

static struct seglog_block_writer writer;
static struct seglog_block block;

static struct seglog_record record_of(const char *topic, const char *payload, int64_t wall)
{
    return (struct seglog_record){.wall = wall,
                                  .topic = topic,
                                  .topic_len = strlen(topic),
                                  .payload = (const uint8_t *)payload,
                                  .payload_len = strlen(payload)};
}

/* All of a block as it is in a file: how many bytes. */
static size_t write_block(uint8_t *bytes, const struct seglog_record *records, size_t count, uint64_t offset)
{
    size_t len = seglog_block_head(&writer, offset, bytes), head = len;
    for (unsigned i = 0; i < count; i++) {
        seglog_block_guard(&writer, i, records[i].payload, records[i].payload_len, bytes + len);
        memcpy(bytes + len + 4, records[i].payload, records[i].payload_len);
        len += 4 + records[i].payload_len;
    }
    while (len % 8)
        bytes[len++] = 0;
    if (count > 1) {
        memcpy(bytes + len, bytes, head);
        seglog_block_make_copy(bytes + len);
        len += head;
    }
    while (len % 8)
        bytes[len++] = 0;
    return len;
}

static size_t make(uint8_t *bytes, const struct seglog_record *records, size_t count)
{
    seglog_block_begin(&writer, 258, 3);
    for (size_t i = 0; i < count; i++)
        CHECK(seglog_block_add(&writer, &records[i], ROOM));
    size_t size = write_block(bytes, records, count, OFFSET);
    CHECK_INT(seglog_block_length(&writer), size);
    return size;
}

static void check_record(const uint8_t *bytes, unsigned i, const struct seglog_record *expected)
{
    struct seglog_record record;
    const uint8_t *at = bytes + block.head_size + block.entries[i].offset;
    CHECK_INT(seglog_block_record(&block, bytes, i, at, &record), 0);
    CHECK_INT(record.seq, 258 + i);
    CHECK_INT(record.batch, 3 + i);
    CHECK_INT(record.wall, expected->wall);
    CHECK_MEM(record.topic, record.topic_len, expected->topic, expected->topic_len);
    CHECK_MEM(record.payload, record.payload_len, expected->payload, expected->payload_len);
}

TEST(a_block_of_two_records_has_these_bytes)
{
    enum { HEAD = 33, DATA = 4 + 5 + 4 + 3, COPY = 56 };
    uint8_t bytes[256];
    const struct seglog_record records[] = {record_of("a/b", "hello", 1700000000123),
                                            record_of("c", "you", 1700000000122)};
    CHECK_INT(make(bytes, records, 2), COPY + HEAD + 7);
    static const uint8_t head[] = {
        HEAD, 0,    0,    0,                     /* its length */
        0x82, 2,                                 /* 258 */
        0xf6, 0xa1, 0xab, 0xfe, 0xf9, 0x62,      /* twice 1700000000123 */
        3,                                       /* of the batch before it */
        2,                                       /* records */
        2,    3,    'a',  '/',  'b',  1,    'c', /* topics */
        10,   7,    1,    1,                     /* five bytes; three, of topic 1, a millisecond before */
    };
    CHECK_MEM(bytes, 4, "GHB2", 4);
    CHECK_MEM(bytes + 8, HEAD - 8, head, sizeof head);
    CHECK_MEM(bytes + HEAD + 4, 5, "hello", 5);
    CHECK_MEM(bytes + HEAD + 4 + 5 + 4, 3, "you", 3);
    CHECK_MEM(bytes + COPY, 4, "GHE2", 4);
    CHECK_MEM(bytes + COPY + 4, HEAD - 4, bytes + 4, HEAD - 4);
}

TEST(a_record_alone_has_no_copy_of_its_head)
{
    uint8_t bytes[256];
    const struct seglog_record record = record_of("dt/plant1/env", "21.5", 1700000000123);
    size_t size = make(bytes, &record, 1);
    CHECK_INT(size, 48);
    CHECK(!memmem(bytes, size, "GHE2", 4));
}

static size_t decode(const uint8_t *bytes, uint64_t offset)
{
    size_t head;
    uint64_t begin;
    CHECK_INT(seglog_block_peek(bytes, &head), SEGLOG_BLOCK_HEAD);
    CHECK_INT(seglog_block_decode(bytes, head, offset, &block, &begin), 0);
    CHECK_INT(begin, offset);
    return head;
}

TEST(a_block_comes_back_as_it_was_from_its_head_and_from_the_copy)
{
    uint8_t bytes[1024];
    const struct seglog_record records[] = {
        record_of("a/b", "hello", 5),       record_of("a/b", "", 5),   record_of("", "nowhere", INT64_MIN),
        record_of("c", "again", INT64_MAX), record_of("a/b", "x", -1), record_of("c", "y", -1)};
    size_t size = make(bytes, records, array_size(records));
    (void)decode(bytes, OFFSET);
    CHECK_INT(block.count, array_size(records));
    CHECK_INT(seglog_block_size(&block), size);
    for (unsigned i = 0; i < array_size(records); i++)
        check_record(bytes, i, &records[i]);

    size_t at = 8, head;
    uint64_t begin;
    while (seglog_block_peek(bytes + at, &head) != SEGLOG_BLOCK_COPY)
        at += 8;
    CHECK_INT(seglog_block_decode(bytes + at, head, OFFSET + at, &block, &begin), 0);
    CHECK_INT(begin, OFFSET);
    struct seglog_record record;
    for (unsigned i = 0; i < array_size(records); i++) {
        CHECK_INT(seglog_block_record(&block, bytes + at, i,
                                      bytes + block.head_size + block.entries[i].offset, &record),
                  0);
        CHECK_MEM(record.topic, record.topic_len, records[i].topic, records[i].topic_len);
    }
}

TEST(every_flipped_bit_of_a_head_of_its_copy_and_of_a_record_is_noticed)
{
    uint8_t bytes[256];
    const struct seglog_record records[] = {record_of("a/b", "hello", 5), record_of("c", "you", 6)};
    struct seglog_record record;
    uint64_t begin;
    size_t size = make(bytes, records, 2), head = decode(bytes, OFFSET), copy = 8;
    while (memcmp(bytes + copy, "GHE2", 4) != 0)
        copy += 8;
    CHECK(copy + head <= size);
    for (size_t bit = 0; bit < head * 8; bit++)
        for (int k = 0; k < 2; k++) {
            size_t at = k ? copy : 0;
            bytes[at + bit / 8] ^= (uint8_t)(1 << bit % 8);
            CHECK_INT(seglog_block_decode(bytes + at, head, OFFSET + at, &block, &begin), -EUCLEAN);
            bytes[at + bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
    (void)decode(bytes, OFFSET);
    uint8_t *second = bytes + head + block.entries[1].offset;
    for (size_t bit = 0; bit < 7 * 8; bit++) {
        second[bit / 8] ^= (uint8_t)(1 << bit % 8);
        CHECK_INT(seglog_block_record(&block, bytes, 1, second, &record), -EUCLEAN);
        CHECK_INT(seglog_block_record(&block, bytes, 0, bytes + head, &record), 0);
        second[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}

TEST(a_block_at_another_place_is_none_and_a_record_of_another_head_is_none)
{
    uint8_t bytes[256], others[256];
    const struct seglog_record records[] = {record_of("a/b", "hello", 5), record_of("a/b", "world", 5)};
    struct seglog_record record;
    uint64_t begin;
    (void)make(bytes, records, 2);
    size_t head = decode(bytes, OFFSET);
    CHECK_INT(seglog_block_decode(bytes, head, OFFSET + 8, &block, &begin), -EUCLEAN);
    CHECK_INT(seglog_block_decode(bytes, head, 0, &block, &begin), -EUCLEAN);

    seglog_block_begin(&writer, 259, 3);
    CHECK(seglog_block_add(&writer, &records[0], ROOM) && seglog_block_add(&writer, &records[1], ROOM));
    (void)write_block(others, records, 2, OFFSET);
    (void)decode(bytes, OFFSET);
    CHECK_INT(seglog_block_record(&block, bytes, 0, others + head, &record), -EUCLEAN);
    CHECK_INT(seglog_block_record(&block, bytes, 0, bytes + head, &record), 0);
}

TEST(a_block_ends_when_it_is_full)
{
    struct seglog_record record = record_of("a/b", "", 5);
    seglog_block_begin(&writer, 0, 0);
    for (unsigned i = 0; i < SEGLOG_BLOCK_RECORDS; i++)
        CHECK(seglog_block_add(&writer, &record, ROOM));
    CHECK(!seglog_block_add(&writer, &record, ROOM));

    static uint8_t large[SEGLOG_BLOCK_BYTES + 1];
    record.payload = large;
    record.payload_len = sizeof large;
    seglog_block_begin(&writer, 0, 0);
    CHECK(seglog_block_add(&writer, &record, ROOM)); /* the first is taken */
    CHECK(!seglog_block_add(&writer, &record, ROOM));
    record.payload_len = SEGLOG_BLOCK_BYTES / 2;
    seglog_block_begin(&writer, 0, 0);
    CHECK(seglog_block_add(&writer, &record, 0));
    record.payload_len = 100;
    CHECK(!seglog_block_add(&writer, &record, seglog_block_length(&writer)));
    CHECK(seglog_block_add(&writer, &record, ROOM));
    record.payload_len = SEGLOG_BLOCK_BYTES / 2;
    CHECK(!seglog_block_add(&writer, &record, ROOM));
}

TEST(topics_of_any_length_fit_and_long_ones_end_a_block)
{
    static char topic[SEGLOG_TOPIC_MAX + 1];
    static uint8_t bytes[4 * SEGLOG_BLOCK_HEAD_MAX];
    memset(topic, 't', SEGLOG_TOPIC_MAX);
    struct seglog_record record = record_of(topic, "x", 5);
    seglog_block_begin(&writer, 258, 3);
    CHECK(seglog_block_add(&writer, &record, ROOM));
    CHECK(!seglog_block_add(&writer, &record, ROOM));
    CHECK_INT(write_block(bytes, &record, 1, OFFSET), seglog_block_length(&writer));
    (void)decode(bytes, OFFSET);
    check_record(bytes, 0, &record);
}

/* Whatever the records are: the length is known before, no share is too small, and everything comes back. */
TEST(blocks_of_anything_come_back)
{
    static char topics[40][40];
    static uint8_t bytes[4 * SEGLOG_BLOCK_HEAD_MAX];
    static struct seglog_record records[SEGLOG_BLOCK_RECORDS];
    unsigned seed = 11;
    for (size_t i = 0; i < 40; i++) {
        size_t len = (size_t)rand_r(&seed) % 39;
        for (size_t k = 0; k < len; k++)
            topics[i][k] = (char)('a' + rand_r(&seed) % 3);
    }
    for (int round = 0; round < 300; round++) {
        size_t count = 0, most = 1 + (size_t)rand_r(&seed) % 100, share = 0;
        seglog_block_begin(&writer, 258, 3);
        for (; count < most; count++) {
            records[count] = record_of(topics[rand_r(&seed) % 40], topics[rand_r(&seed) % 40],
                                       rand_r(&seed) % 4 ? 1700000000000 + round
                                                         : (int64_t)((uint64_t)rand_r(&seed) << 33));
            if (!seglog_block_add(&writer, &records[count], ROOM))
                break;
            share += count ? seglog_block_part(&records[count - 1], &records[count])
                           : seglog_block_share(records[count].topic_len, records[count].payload_len);
        }
        size_t size = write_block(bytes, records, count, OFFSET);
        CHECK_INT(seglog_block_length(&writer), size);
        CHECK(size <= share);
        (void)decode(bytes, OFFSET);
        CHECK_INT(seglog_block_size(&block), size);
        for (unsigned i = 0; i < count; i++)
            check_record(bytes, i, &records[i]);
    }
}

TEST(a_record_costs_less_than_ten_bytes_beside_its_payload)
{
    char payload[65];
    memset(payload, 'x', 64);
    payload[64] = '\0';
    const struct seglog_record record = record_of("dt/plant1/env", payload, 1700000000123);
    seglog_block_begin(&writer, 123456789, 0);
    for (int i = 0; i < 100; i++)
        CHECK(seglog_block_add(&writer, &record, ROOM));
    CHECK(seglog_block_length(&writer) <= 100 * (64 + 10));
}
