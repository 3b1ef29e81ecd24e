#include "store/seglog_block.h"

#include "store/crc32c.h"
#include "store/seglog_record.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

static const uint8_t HEAD_MAGIC[4] = {'G', 'H', 'B', '2'};
static const uint8_t COPY_MAGIC[4] = {'G', 'H', 'E', '2'};

enum {
    NUMBER_MAX = 10,      /* bytes of a variable-length number */
    FULL_HEAD = 16 * 1024 /* a head that has become as long as this ends its block */
};

static void put32(uint8_t *p, uint32_t value)
{
    for (unsigned i = 0; i < 4; i++)
        p[i] = (uint8_t)(value >> 8 * i);
}

static uint32_t get32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint32_t sum_of_head(const uint8_t *bytes, size_t len, uint64_t begin)
{
    uint8_t where[8];
    put32(where, (uint32_t)begin);
    put32(where + 4, (uint32_t)(begin >> 32));
    return crc32c(crc32c(0, where, sizeof where), bytes + 8, len - 8);
}

static uint32_t sum_of_record(uint32_t head_crc, unsigned i, const uint8_t *payload, size_t len)
{
    uint8_t what[8];
    put32(what, head_crc);
    put32(what + 4, i);
    return crc32c(crc32c(0, what, sizeof what), payload, len);
}

static uint64_t zigzag(int64_t value)
{
    return (uint64_t)value << 1 ^ (value < 0 ? UINT64_MAX : 0);
}

static int64_t from_zigzag(uint64_t value)
{
    return (int64_t)(value >> 1 ^ (value & 1 ? UINT64_MAX : 0));
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

struct input {
    const uint8_t *at, *end;
    bool bad; /* it has ended, or a number is none */
};

static uint64_t take(struct input *in)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64 && in->at < in->end; shift += 7) {
        uint8_t byte = *in->at++;
        if (shift == 63 && byte > 1)
            break;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80))
            return value;
    }
    in->bad = true;
    return 0;
}

static void take_topics(struct input *in, const uint8_t *bytes, unsigned count, struct seglog_block *block)
{
    for (unsigned i = 0; i < count && !in->bad; i++) {
        uint64_t len = take(in);
        if (len > SEGLOG_TOPIC_MAX || len > (uint64_t)(in->end - in->at)) {
            in->bad = true;
            return;
        }
        block->topics[i].offset = (uint32_t)(in->at - bytes);
        block->topics[i].len = (uint32_t)len;
        in->at += len;
    }
}

static void take_entries(struct input *in, unsigned topics, int64_t wall, struct seglog_block *block)
{
    uint64_t topic = 0, offset = 0;
    for (unsigned i = 0; i < block->count && !in->bad; i++) {
        uint64_t what = take(in);
        if (what & 1) {
            topic = take(in);
            /* Times may be anything, and wrap as the writer's difference did. */
            wall = (int64_t)((uint64_t)wall + (uint64_t)from_zigzag(take(in)));
        }
        if (what / 2 > SEGLOG_RECORD_MAX || topic >= topics)
            in->bad = true;
        block->entries[i] =
            (struct seglog_entry){wall, (uint32_t)offset, (uint32_t)(what / 2), (uint32_t)topic};
        offset += SEGLOG_BLOCK_RECORD_HEAD + what / 2;
        if (offset > SEGLOG_BLOCK_BYTES && block->count > 1)
            in->bad = true;
    }
    block->data_size = (size_t)offset;
}

enum seglog_block_part seglog_block_peek(const uint8_t *bytes, size_t *head_size)
{
    bool is_head = memcmp(bytes, HEAD_MAGIC, sizeof HEAD_MAGIC) == 0;
    if (!is_head && memcmp(bytes, COPY_MAGIC, sizeof COPY_MAGIC) != 0)
        return SEGLOG_BLOCK_NONE;
    *head_size = get32(bytes + 8);
    if (*head_size <= SEGLOG_BLOCK_PEEK || *head_size > SEGLOG_BLOCK_HEAD_MAX)
        return SEGLOG_BLOCK_NONE;
    return is_head ? SEGLOG_BLOCK_HEAD : SEGLOG_BLOCK_COPY;
}

/* The records' first byte to the copy's. */
static uint64_t data_and_padding(const struct seglog_block *block)
{
    return block->data_size + seglog_block_padding(block->head_size + block->data_size);
}

int seglog_block_decode(const uint8_t *bytes, size_t head_size, uint64_t offset, struct seglog_block *ret,
                        uint64_t *begin)
{
    size_t size;
    if (head_size <= SEGLOG_BLOCK_PEEK)
        return -EUCLEAN;
    enum seglog_block_part part = seglog_block_peek(bytes, &size);
    if (part == SEGLOG_BLOCK_NONE || size != head_size)
        return -EUCLEAN;
    struct input in = {bytes + SEGLOG_BLOCK_PEEK, bytes + head_size, false};
    ret->head_size = head_size;
    ret->crc = get32(bytes + 4);
    ret->first = take(&in);
    int64_t wall = from_zigzag(take(&in));
    ret->batch = take(&in);
    uint64_t count = take(&in), topics = take(&in);
    if (in.bad || !count || count > SEGLOG_BLOCK_RECORDS || !topics || topics > count ||
        ret->first > (uint64_t)INT64_MAX - SEGLOG_BLOCK_RECORDS)
        return -EUCLEAN;
    ret->count = (unsigned)count;
    take_topics(&in, bytes, (unsigned)topics, ret);
    take_entries(&in, (unsigned)topics, wall, ret);
    if (in.bad || in.at != in.end)
        return -EUCLEAN;
    uint64_t before = part == SEGLOG_BLOCK_COPY ? head_size + data_and_padding(ret) : 0;
    if (before > offset || sum_of_head(bytes, head_size, offset - before) != ret->crc)
        return -EUCLEAN;
    *begin = offset - before;
    return 0;
}

uint64_t seglog_block_size(const struct seglog_block *block)
{
    uint64_t size = block->head_size + data_and_padding(block);
    if (block->count > 1)
        size += block->head_size + seglog_block_padding(block->head_size);
    return size;
}

int seglog_block_record(const struct seglog_block *block, const uint8_t *head, unsigned i,
                        const uint8_t *bytes, struct seglog_record *ret)
{
    const struct seglog_entry *entry = &block->entries[i];
    const uint8_t *payload = bytes + SEGLOG_BLOCK_RECORD_HEAD;
    if (get32(bytes) != sum_of_record(block->crc, i, payload, entry->len))
        return -EUCLEAN;
    *ret = (struct seglog_record){
        .seq = block->first + i,
        .batch = block->batch + i,
        .wall = entry->wall,
        .topic = (const char *)head + block->topics[entry->topic].offset,
        .topic_len = block->topics[entry->topic].len,
        .payload = payload,
        .payload_len = entry->len,
    };
    return 0;
}

/* ---- writing ----------------------------------------------------------------------------------------------------- */

static size_t put_number(uint8_t *p, uint64_t value)
{
    size_t n = 0;
    for (; value > 0x7f; value >>= 7)
        p[n++] = (uint8_t)(value | 0x80);
    p[n++] = (uint8_t)value;
    return n;
}

static size_t size_of_number(uint64_t value)
{
    size_t n = 1;
    for (; value > 0x7f; value >>= 7)
        n++;
    return n;
}

static bool is_topic(const char *a, size_t a_len, const char *b, size_t b_len)
{
    return a_len == b_len && (!a_len || a == b || memcmp(a, b, a_len) == 0);
}

size_t seglog_block_part(const struct seglog_record *before, const struct seglog_record *record)
{
    enum { NUMBER_OF_TOPIC = 2, NUMBER_OF_RECORDS = 1 };
    bool same = is_topic(before->topic, before->topic_len, record->topic, record->topic_len);
    size_t entry = size_of_number((uint64_t)record->payload_len << 1) + NUMBER_OF_RECORDS;
    if (!same || before->wall != record->wall)
        entry += NUMBER_OF_TOPIC +
                 size_of_number(zigzag((int64_t)((uint64_t)record->wall - (uint64_t)before->wall)));
    if (!same)
        entry += NUMBER_OF_TOPIC + size_of_number(record->topic_len) + record->topic_len;
    return SEGLOG_BLOCK_RECORD_HEAD + record->payload_len + 2 * entry;
}

void seglog_block_begin(struct seglog_block_writer *writer, uint64_t first, uint64_t batch)
{
    writer->first = first;
    writer->batch = batch;
    writer->count = writer->topic_count = writer->topic = 0;
    writer->data_size = writer->topics_len = writer->entries_len = 0;
    memset(writer->slots, 0, sizeof writer->slots);
}

/* Where a topic would be remembered. Its end is what tells topics of one plant apart. */
static unsigned slot_of(const char *topic, size_t len)
{
    uint64_t end = 0;
    memcpy(&end, topic + len - size_min(len, 8), size_min(len, 8));
    return (unsigned)((end ^ len) * 0x9e3779b97f4a7c15u >> 58) % SEGLOG_BLOCK_TOPIC_SLOTS;
}

/* The topic's number; that of one more when it is not remembered. */
static unsigned find_topic(const struct seglog_block_writer *writer, const struct seglog_record *record,
                           unsigned slot)
{
    if (writer->slots[slot].topic &&
        is_topic(writer->slots[slot].topic, writer->slots[slot].len, record->topic, record->topic_len))
        return writer->slots[slot].number;
    return writer->topic_count;
}

/* Without topics and entries. */
static size_t fixed_size(const struct seglog_block_writer *writer, unsigned count, unsigned topics)
{
    return SEGLOG_BLOCK_PEEK + size_of_number(writer->first) + size_of_number(zigzag(writer->first_wall)) +
           size_of_number(writer->batch) + size_of_number(count) + size_of_number(topics);
}

bool seglog_block_add(struct seglog_block_writer *writer, const struct seglog_record *record, uint64_t room)
{
    bool is_first = writer->count == 0;
    if (is_first)
        writer->first_wall = writer->wall = record->wall;
    unsigned topic = writer->topic, slot = 0;
    if (is_first || !is_topic(record->topic, record->topic_len, writer->last_topic, writer->last_topic_len)) {
        slot = record->topic_len ? slot_of(record->topic, record->topic_len) : 0;
        topic = find_topic(writer, record, slot);
    }
    bool is_new = topic == writer->topic_count;
    uint8_t entry[3 * NUMBER_MAX];
    bool differs = topic != writer->topic || record->wall != writer->wall;
    size_t entry_len = put_number(entry, (uint64_t)record->payload_len << 1 | differs);
    if (differs) {
        entry_len += put_number(entry + entry_len, topic);
        entry_len +=
            put_number(entry + entry_len, zigzag((int64_t)((uint64_t)record->wall - (uint64_t)writer->wall)));
    }
    size_t topics_len =
        writer->topics_len + (is_new ? size_of_number(record->topic_len) + record->topic_len : 0);
    if (!is_first) {
        size_t data = writer->data_size + SEGLOG_BLOCK_RECORD_HEAD + record->payload_len;
        size_t head = fixed_size(writer, writer->count + 1, writer->topic_count + is_new) + topics_len +
                      writer->entries_len + entry_len;
        if (writer->count == SEGLOG_BLOCK_RECORDS || data > SEGLOG_BLOCK_BYTES || head > FULL_HEAD ||
            2 * head + data + 14 > room)
            return false;
    }
    if (is_new) {
        writer->topics_len += put_number(writer->topics + writer->topics_len, record->topic_len);
        if (record->topic_len)
            memcpy(writer->topics + writer->topics_len, record->topic, record->topic_len);
        writer->topics_len += record->topic_len;
        writer->topic_count++;
        writer->slots[slot].topic = record->topic;
        writer->slots[slot].len = (uint32_t)record->topic_len;
        writer->slots[slot].number = topic;
    }
    memcpy(writer->entries + writer->entries_len, entry, entry_len);
    writer->entries_len += entry_len;
    writer->data_size += SEGLOG_BLOCK_RECORD_HEAD + record->payload_len;
    writer->topic = topic;
    writer->wall = record->wall;
    writer->last_topic = record->topic;
    writer->last_topic_len = record->topic_len;
    writer->count++;
    return true;
}

static size_t size_of_head(const struct seglog_block_writer *writer)
{
    return fixed_size(writer, writer->count, writer->topic_count) + writer->topics_len + writer->entries_len;
}

size_t seglog_block_content(const struct seglog_block_writer *writer)
{
    return size_of_head(writer) + writer->data_size;
}

uint64_t seglog_block_length(const struct seglog_block_writer *writer)
{
    size_t head = size_of_head(writer);
    uint64_t size = head + writer->data_size;
    size += seglog_block_padding(size);
    return writer->count > 1 ? size + head + seglog_block_padding(head) : size;
}

size_t seglog_block_head(struct seglog_block_writer *writer, uint64_t offset, uint8_t *bytes)
{
    size_t len = SEGLOG_BLOCK_PEEK;
    memcpy(bytes, HEAD_MAGIC, sizeof HEAD_MAGIC);
    len += put_number(bytes + len, writer->first);
    len += put_number(bytes + len, zigzag(writer->first_wall));
    len += put_number(bytes + len, writer->batch);
    len += put_number(bytes + len, writer->count);
    len += put_number(bytes + len, writer->topic_count);
    memcpy(bytes + len, writer->topics, writer->topics_len);
    len += writer->topics_len;
    memcpy(bytes + len, writer->entries, writer->entries_len);
    len += writer->entries_len;
    assert(len <= SEGLOG_BLOCK_HEAD_MAX);
    put32(bytes + 8, (uint32_t)len);
    writer->crc = sum_of_head(bytes, len, offset);
    put32(bytes + 4, writer->crc);
    return len;
}

void seglog_block_guard(const struct seglog_block_writer *writer, unsigned i, const uint8_t *payload,
                        size_t len, uint8_t bytes[SEGLOG_BLOCK_RECORD_HEAD])
{
    put32(bytes, sum_of_record(writer->crc, i, payload, len));
}

void seglog_block_make_copy(uint8_t *bytes)
{
    memcpy(bytes, COPY_MAGIC, sizeof COPY_MAGIC);
}
