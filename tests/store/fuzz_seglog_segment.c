/* Arbitrary bytes as a segment file: the scan ends, believes only intact records, and finds the same again after the
 * tail has been cut off. An input of odd length has its sums made right first, so that what is behind them is reached
 * too. Sealed blocks are "sealed" with a sum: what is behind a tag is to be reached, not guessed. */
#include "store/crc32c.h"
#include "store/fuzz_seal.h"
#include "store/seglog_file.h"
#include "store/seglog_record.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void expect(bool holds)
{
    if (!holds)
        abort();
}

/* The tag and the sum of a sealed head; what it seals has been made right before, behind it. */
static void make_sealed_right(uint8_t *bytes, size_t len, uint64_t at)
{
    enum { TAG = 56 };
    uint8_t where[8], bound[TAG + 8], nonce[SEAL_NONCE] = {0};
    uint32_t size =
        bytes[8] | (uint32_t)bytes[9] << 8 | (uint32_t)bytes[10] << 16 | (uint32_t)bytes[11] << 24;
    if (len < SEALED_HEAD || !sealed_head_is_possible(bytes) || size > len - SEALED_HEAD)
        return;
    for (int i = 0; i < 8; i++)
        where[i] = (uint8_t)(at >> 8 * i);
    memcpy(bytes + 24, fuzz_vault.id, SEAL_ID);
    memcpy(bound, bytes, TAG);
    memset(bound + 4, 0, 4);
    memcpy(bound + TAG, where, 8);
    memcpy(nonce, bytes + 48, 4);
    fuzz_put_sum(bytes + TAG, fuzz_tag(nonce, bound, sizeof bound, bytes + SEALED_HEAD, size));
    fuzz_put_sum(bytes + 4, crc32c(crc32c(0, where, 8), bytes + 8, SEALED_HEAD - 8));
}

/* ---- sums -------------------------------------------------------------------------------------------------------- */

static void make_record_right(uint8_t *bytes, size_t len)
{
    size_t size = seglog_record_peek(bytes);
    size_t topic_len = bytes[28] | (size_t)bytes[29] << 8;
    size_t payload_len = bytes[24] | (size_t)bytes[25] << 8 | (size_t)bytes[26] << 16;
    if (size && size <= len)
        fuzz_put_sum(bytes + 4, crc32c(0, bytes + 8, SEGLOG_RECORD_HEAD_SIZE - 8 + topic_len + payload_len));
}

/* The sum of a head, those of its records, and that of the copy, if there is one that begins like it. */
static void make_block_right(uint8_t *bytes, size_t len, uint64_t at)
{
    static struct seglog_block block;
    size_t head;
    uint64_t begin;
    uint8_t where[8];
    if (seglog_block_peek(bytes, &head) != SEGLOG_BLOCK_HEAD || head > len)
        return;
    for (int i = 0; i < 8; i++)
        where[i] = (uint8_t)(at >> 8 * i);
    uint32_t crc = crc32c(crc32c(0, where, 8), bytes + 8, head - 8);
    fuzz_put_sum(bytes + 4, crc);
    if (seglog_block_decode(bytes, head, at, &block, &begin) < 0)
        return;
    for (uint32_t i = 0; i < block.count; i++) {
        size_t from = head + block.entries[i].offset;
        if (from + 4 + block.entries[i].len > len)
            return;
        uint8_t what[8];
        fuzz_put_sum(what, crc);
        fuzz_put_sum(what + 4, i);
        fuzz_put_sum(bytes + from, crc32c(crc32c(0, what, 8), bytes + from + 4, block.entries[i].len));
    }
    size_t copy = (head + block.data_size + 7) & ~(size_t)7;
    if (block.count > 1 && copy + head <= len && memcmp(bytes + copy, "GHE2", 4) == 0)
        memcpy(bytes + copy + 4, bytes + 4, head - 4);
}

static void make_sums_right(uint8_t *bytes, size_t len)
{
    for (size_t at = SEGLOG_HEAD_SIZE; at + SEGLOG_RECORD_HEAD_SIZE <= len; at += 8) {
        make_record_right(bytes + at, len - at);
        make_block_right(bytes + at, len - at, at);
    }
    for (size_t at = SEGLOG_HEAD_SIZE; at + SEALED_HEAD <= len; at += 8)
        make_sealed_right(bytes + at, len - at, at);
}

static uint64_t first_of(const uint8_t *data, size_t len)
{
    struct seglog_head head;
    return seglog_head_decode(data, len, &head) < 0 ? 0 : head.first;
}

/* A seal that anybody can make hides nothing: unless the head says what blocks there are, one that is cut off shows what is in it. */
static bool hides_nothing(const uint8_t *data, size_t len)
{
    struct seglog_head head;
    return seglog_head_decode(data, len, &head) < 0 && memmem(data, len, "GHS3", 4);
}

static void walk(struct segment_reader *reader, uint64_t first, const struct segment_scan *scan)
{
    struct segment_found found;
    uint64_t seq = first, offset = SEGLOG_HEAD_SIZE, end = offset, next = first, sum = 0;
    while (segment_find(reader, offset, seq, UINT64_MAX, &found) > 0) {
        expect(found.record.seq >= seq && found.block >= offset && found.block % 8 == 0);
        expect(found.offset >= found.block && found.offset + found.size <= found.block_end);
        expect(found.offset + found.size <= reader->length && found.record.seq < found.block_next);
        for (size_t i = 0; i < found.record.payload_len; i++) /* every byte of it is there */
            sum += found.record.payload[i];
        for (size_t i = 0; i < found.record.topic_len; i++)
            sum += (uint8_t)found.record.topic[i];
        seq = found.record.seq + 1;
        offset = found.look_on;
        end = found.block_end;
        next = found.block_next;
    }
    expect((next > seq ? next : seq) == scan->next && end == scan->length && (sum || !sum));
}

/* What packing would read: as many bytes as the file has. */
static void open_all(struct segment_reader *reader)
{
    uint8_t bytes[1000];
    uint64_t at = 0;
    ssize_t n;
    while ((n = segment_read_opened(reader, bytes, sizeof bytes, at)) > 0)
        at += (uint64_t)n;
    expect((n == 0 && at == reader->length) || n == -EKEYREJECTED);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (len > 64 * 1024)
        return 0;
    uint8_t *bytes = malloc(len + 1);
    expect(bytes != NULL);
    memcpy(bytes, data, len);
    if (len % 2)
        make_sums_right(bytes, len);
    int fd = memfd_create("segment", MFD_CLOEXEC);
    expect(fd >= 0 && write(fd, bytes, len) == (ssize_t)len);
    free(bytes);

    uint64_t first = first_of(data, len);
    struct segment_reader reader = {.fd = -1};
    struct segment_scan scan = {0}, again = {0};
    segment_reader_set(&reader, fd, len);
    segment_reader_unseal(&reader, &fuzz_vault, "fuzz", first);
    open_all(&reader);
    segment_reader_set(&reader, fd, len);
    segment_reader_unseal(&reader, &fuzz_vault, "fuzz", first);
    int r = segment_scan(&reader, first, &scan);
    if (r == -EKEYREJECTED) { /* such a log is not opened */
        segment_reader_done(&reader);
        (void)close(fd);
        return 0;
    }
    expect(r == 0);
    expect(scan.next >= first && scan.length >= SEGLOG_HEAD_SIZE);
    walk(&reader, first, &scan);

    expect(ftruncate(fd, (off_t)scan.length) == 0); /* the last block may say that it is longer */
    segment_reader_set(&reader, fd, scan.length);
    segment_reader_unseal(&reader, &fuzz_vault, "fuzz", first);
    expect(segment_scan(&reader, first, &again) == 0);
    expect(hides_nothing(data, len) || (again.next == scan.next && again.length == scan.length));
    segment_reader_done(&reader);
    (void)close(fd);
    return 0;
}
