/* The bytes of heads, and of the records that older programs wrote, and the sum that guards them. */
#include "rig/test.h"
#include "store/crc32c.h"
#include "store/old_segment.h"
#include "store/seglog_record.h"

#include <errno.h>

/* RFC 3720, B.4 */
TEST(crc32c_gives_the_sums_of_the_rfc)
{
    uint8_t zeros[32] = {0}, ones[32], rising[32], falling[32];
    memset(ones, 0xff, sizeof ones);
    for (uint8_t i = 0; i < 32; i++) {
        rising[i] = i;
        falling[i] = 31 - i;
    }
    CHECK_INT(crc32c(0, zeros, 32), 0x8a9136aa);
    CHECK_INT(crc32c(0, ones, 32), 0x62a8ab43);
    CHECK_INT(crc32c(0, rising, 32), 0x46dd794e);
    CHECK_INT(crc32c(0, falling, 32), 0x113fdb5c);
    CHECK_INT(crc32c(0, "123456789", 9), 0xe3069283);
    CHECK_INT(crc32c_by_table(0, "123456789", 9), 0xe3069283);
    CHECK_INT(crc32c(0, "", 0), 0);
}

TEST(the_instruction_and_the_table_agree_at_every_length_and_alignment)
{
    uint8_t bytes[96];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 197 + 13);
    for (size_t from = 0; from < 9; from++)
        for (size_t len = 0; from + len <= sizeof bytes; len++)
            CHECK_INT(crc32c(0x1234, bytes + from, len), crc32c_by_table(0x1234, bytes + from, len));
    static uint8_t many[10000];
    for (size_t i = 0; i < sizeof many; i++)
        many[i] = (uint8_t)(i * i >> 3);
    for (size_t len = 1400; len < sizeof many - 8; len += len < 1700 ? 1 : 119)
        CHECK_INT(crc32c(0x1234, many + len % 8, len), crc32c_by_table(0x1234, many + len % 8, len));
}

TEST(a_sum_in_pieces_is_the_sum_of_the_whole)
{
    CHECK_INT(crc32c(crc32c(0, "1234", 4), "56789", 5), crc32c(0, "123456789", 9));
    CHECK_INT(crc32c_by_table(crc32c_by_table(0, "1", 1), "23456789", 8), crc32c(0, "123456789", 9));
}

TEST(the_head_of_a_segment_has_these_bytes)
{
    uint8_t bytes[SEGLOG_HEAD_SIZE];
    seglog_head_encode(bytes, &(struct seglog_head){0x0102030405060708, 0x090a0b0c, 0x0d0e0f10, 0});
    static const uint8_t expected[28] = {'G', 'H', 'S', 'E', 'G', 'L', 'O', 'G', 2, 0, 0,  0,  12, 11,
                                         10,  9,   8,   7,   6,   5,   4,   3,   2, 1, 16, 15, 14, 13};
    CHECK_MEM(bytes, 28, expected, 28);
    struct seglog_head head;
    CHECK_INT(seglog_head_decode(bytes, sizeof bytes, &head), 0);
    CHECK_INT(head.first, 0x0102030405060708);
    CHECK_INT(head.unused, 0x090a0b0c);
    CHECK_INT(head.unused_total, 0x0d0e0f10);
    CHECK_INT(head.version, SEGLOG_VERSION);
}

TEST(every_flipped_bit_of_a_head_is_noticed)
{
    uint8_t bytes[SEGLOG_HEAD_SIZE];
    struct seglog_head head;
    seglog_head_encode(bytes, &(struct seglog_head){.first = 42});
    for (size_t bit = 0; bit < sizeof bytes * 8; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        CHECK_INT(seglog_head_decode(bytes, sizeof bytes, &head), -EUCLEAN);
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    for (size_t len = 0; len < sizeof bytes; len++)
        CHECK_INT(seglog_head_decode(bytes, len, &head), -EUCLEAN);
}

TEST(a_head_of_the_version_before_is_read)
{
    uint8_t bytes[SEGLOG_HEAD_SIZE];
    struct seglog_head head;
    seglog_head_encode(bytes, &(struct seglog_head){.first = 42, .version = SEGLOG_VERSION_RECORDS});
    CHECK_INT(bytes[8], 1);
    CHECK_INT(seglog_head_decode(bytes, sizeof bytes, &head), 0);
    CHECK_INT(head.version, SEGLOG_VERSION_RECORDS);
    CHECK_INT(head.first, 42);
}

TEST(an_intact_head_of_another_version_is_told_from_damage)
{
    uint8_t bytes[SEGLOG_HEAD_SIZE];
    struct seglog_head head;
    seglog_head_encode(bytes, &(struct seglog_head){.first = 42});
    bytes[8] = SEGLOG_VERSION_SEALED + 1;
    uint32_t crc = crc32c(0, bytes, 28);
    for (int i = 0; i < 4; i++)
        bytes[28 + i] = (uint8_t)(crc >> 8 * i);
    CHECK_INT(seglog_head_decode(bytes, sizeof bytes, &head), -EPROTONOSUPPORT);
}

static size_t encode(uint8_t *bytes)
{
    const struct seglog_record record = {.seq = 258,
                                         .wall = 1700000000123,
                                         .topic = "a/b",
                                         .topic_len = 3,
                                         .payload = (const uint8_t *)"hello",
                                         .payload_len = 5};
    return old_record_encode(bytes, &record);
}

TEST(an_old_record_has_these_bytes)
{
    uint8_t bytes[64];
    CHECK_INT(encode(bytes), 40);
    CHECK_MEM(bytes, 4, "GHR1", 4);
    static const uint8_t rest[] = {2, 1, 0, 0, 0, 0, 0, 0, 0x7b, 0x68, 0xe5, 0xcf, 0x8b, 1,   0,   0,
                                   5, 0, 0, 0, 3, 0, 0, 0, 'a',  '/',  'b',  'h',  'e',  'l', 'l', 'o'};
    CHECK_MEM(bytes + 8, 32, rest, sizeof rest);
}

TEST(an_old_record_comes_back_as_it_was)
{
    uint8_t bytes[64];
    size_t size = encode(bytes);
    struct seglog_record record;
    CHECK_INT(seglog_record_peek(bytes), size);
    CHECK_INT(seglog_record_decode(bytes, size, &record), 0);
    CHECK_INT(record.seq, 258);
    CHECK_INT(record.wall, 1700000000123);
    CHECK_MEM(record.topic, record.topic_len, "a/b", 3);
    CHECK_MEM(record.payload, record.payload_len, "hello", 5);
}

TEST(every_flipped_bit_of_an_old_record_is_noticed)
{
    uint8_t bytes[64];
    size_t size = encode(bytes);
    struct seglog_record record;
    for (size_t bit = 0; bit < size * 8; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        CHECK_INT(seglog_record_decode(bytes, size, &record), -EUCLEAN);
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    CHECK_INT(seglog_record_decode(bytes, size - 8, &record), -EUCLEAN);
    CHECK_INT(seglog_record_decode(bytes, 8, &record), -EUCLEAN);
}

TEST(an_old_record_that_claims_to_be_beyond_the_maximum_is_none)
{
    uint8_t bytes[64];
    (void)encode(bytes);
    memset(bytes + 24, 0xff, 4);
    CHECK_INT(seglog_record_peek(bytes), 0);
}
