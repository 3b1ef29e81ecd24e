/* What older programs wrote: a record of version 1, as seglog_record.h describes it. */
#pragma once

#include "store/seglog_record.h"

static inline size_t old_record_size(size_t topic_len, size_t payload_len)
{
    return (SEGLOG_RECORD_HEAD_SIZE + topic_len + payload_len + 7) & ~(size_t)7;
}

/* The whole record, zeros behind it included: how many bytes. */
size_t old_record_encode(uint8_t *bytes, const struct seglog_record *record);
