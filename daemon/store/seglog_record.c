#include "store/seglog_record.h"

#include "store/crc32c.h"

#include <errno.h>
#include <string.h>

static const uint8_t HEAD_MAGIC[8] = {'G', 'H', 'S', 'E', 'G', 'L', 'O', 'G'};
static const uint8_t RECORD_MAGIC[4] = {'G', 'H', 'R', '1'};

static void put(uint8_t *p, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        p[i] = (uint8_t)(value >> 8 * i);
}

static uint64_t get(const uint8_t *p, unsigned bytes)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < bytes; i++)
        value |= (uint64_t)p[i] << 8 * i;
    return value;
}

void seglog_head_encode(uint8_t bytes[SEGLOG_HEAD_SIZE], const struct seglog_head *head)
{
    memset(bytes, 0, SEGLOG_HEAD_SIZE);
    memcpy(bytes, HEAD_MAGIC, sizeof HEAD_MAGIC);
    put(bytes + 8, head->version ? head->version : SEGLOG_VERSION, 4);
    put(bytes + 12, head->unused, 4);
    put(bytes + 16, head->first, 8);
    put(bytes + 24, head->unused_total, 4);
    put(bytes + 28, crc32c(0, bytes, 28), 4);
}

int seglog_head_decode(const uint8_t *bytes, size_t len, struct seglog_head *ret)
{
    if (len < SEGLOG_HEAD_SIZE || memcmp(bytes, HEAD_MAGIC, sizeof HEAD_MAGIC) != 0 ||
        get(bytes + 28, 4) != crc32c(0, bytes, 28))
        return -EUCLEAN;
    uint32_t version = (uint32_t)get(bytes + 8, 4);
    if (version < SEGLOG_VERSION_RECORDS || version > SEGLOG_VERSION_SEALED)
        return -EPROTONOSUPPORT;
    *ret = (struct seglog_head){.first = get(bytes + 16, 8),
                                .unused = (uint32_t)get(bytes + 12, 4),
                                .unused_total = (uint32_t)get(bytes + 24, 4),
                                .version = version};
    return 0;
}

size_t seglog_record_peek(const uint8_t *bytes)
{
    if (memcmp(bytes, RECORD_MAGIC, sizeof RECORD_MAGIC) != 0)
        return 0;
    size_t size = (SEGLOG_RECORD_HEAD_SIZE + get(bytes + 28, 2) + get(bytes + 24, 4) + 7) & ~(size_t)7;
    return size <= SEGLOG_RECORD_MAX ? size : 0;
}

int seglog_record_decode(const uint8_t *bytes, size_t len, struct seglog_record *ret)
{
    if (len < SEGLOG_RECORD_HEAD_SIZE || seglog_record_peek(bytes) != len)
        return -EUCLEAN;
    size_t topic_len = get(bytes + 28, 2), payload_len = get(bytes + 24, 4);
    if (get(bytes + 4, 4) != crc32c(0, bytes + 8, SEGLOG_RECORD_HEAD_SIZE - 8 + topic_len + payload_len))
        return -EUCLEAN;
    *ret = (struct seglog_record){
        .seq = get(bytes + 8, 8),
        .batch = get(bytes + 30, 2),
        .wall = (int64_t)get(bytes + 16, 8),
        .topic = (const char *)bytes + SEGLOG_RECORD_HEAD_SIZE,
        .topic_len = topic_len,
        .payload = bytes + SEGLOG_RECORD_HEAD_SIZE + topic_len,
        .payload_len = payload_len,
    };
    return 0;
}
