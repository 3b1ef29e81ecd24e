#include "store/old_segment.h"

#include "store/crc32c.h"

#include <string.h>

static void put(uint8_t *p, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        p[i] = (uint8_t)(value >> 8 * i);
}

size_t old_record_encode(uint8_t *bytes, const struct seglog_record *record)
{
    size_t len = SEGLOG_RECORD_HEAD_SIZE, size = old_record_size(record->topic_len, record->payload_len);
    memset(bytes, 0, size);
    memcpy(bytes, "GHR1", 4);
    put(bytes + 8, record->seq, 8);
    put(bytes + 16, (uint64_t)record->wall, 8);
    put(bytes + 24, record->payload_len, 4);
    put(bytes + 28, record->topic_len, 2);
    put(bytes + 30, record->batch < UINT16_MAX ? record->batch : UINT16_MAX, 2);
    if (record->topic_len)
        memcpy(bytes + len, record->topic, record->topic_len);
    len += record->topic_len;
    if (record->payload_len)
        memcpy(bytes + len, record->payload, record->payload_len);
    len += record->payload_len;
    put(bytes + 4, crc32c(0, bytes + 8, len - 8), 4);
    return size;
}
