/* Arbitrary bytes as a segment file: the scan ends, believes only intact records, and finds the same again after the
 * tail has been cut off. An input of odd length has its sums made right first, so that what is behind them is reached
 * too. */
#include "store/crc32c.h"
#include "store/seglog_file.h"
#include "store/seglog_record.h"

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

static void make_sums_right(uint8_t *bytes, size_t len)
{
    for (size_t at = SEGLOG_HEAD_SIZE; at + SEGLOG_RECORD_HEAD_SIZE <= len; at += 8) {
        size_t size = seglog_record_peek(bytes + at);
        size_t topic_len = bytes[at + 28] | (size_t)bytes[at + 29] << 8;
        size_t payload_len = bytes[at + 24] | (size_t)bytes[at + 25] << 8 | (size_t)bytes[at + 26] << 16;
        if (size == 0 || size > len - at)
            continue;
        uint32_t crc = crc32c(0, bytes + at + 8, SEGLOG_RECORD_HEAD_SIZE - 8 + topic_len + payload_len);
        for (int i = 0; i < 4; i++)
            bytes[at + 4 + (size_t)i] = (uint8_t)(crc >> 8 * i);
    }
}

static uint64_t first_of(const uint8_t *data, size_t len)
{
    struct seglog_head head;
    return seglog_head_decode(data, len, &head) < 0 ? 0 : head.first;
}

static void walk(struct segment_reader *reader, uint64_t first, const struct segment_scan *scan)
{
    struct segment_found found;
    uint64_t seq = first, offset = SEGLOG_HEAD_SIZE, sum = 0;
    while (segment_find(reader, offset, seq, UINT64_MAX, &found) > 0) {
        expect(found.record.seq >= seq && found.offset >= offset && found.offset % 8 == 0);
        for (size_t i = 0; i < found.record.payload_len; i++) /* every byte of it is there */
            sum += found.record.payload[i];
        seq = found.record.seq + 1;
        offset = found.offset + found.size;
    }
    expect(seq == scan->next && offset == scan->length && (sum || !sum));
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
    expect(segment_scan(&reader, first, &scan) == 0);
    expect(scan.next >= first && scan.length >= SEGLOG_HEAD_SIZE);
    expect(scan.length <= len || scan.length == SEGLOG_HEAD_SIZE);
    walk(&reader, first, &scan);

    segment_reader_set(&reader, fd, scan.length);
    expect(segment_scan(&reader, first, &again) == 0);
    expect(again.next == scan.next && again.length == scan.length);
    segment_reader_done(&reader);
    (void)close(fd);
    return 0;
}
