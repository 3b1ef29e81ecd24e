/* Arbitrary bytes as a packed segment: whatever is claimed in them, a scan ends and hands out only whole records, and every read
 * stays within the length that was found. */
#include "store/seglog_file.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void expect(bool holds)
{
    if (!holds)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (len > 64 * 1024)
        return 0;
    int fd = memfd_create("segment", MFD_CLOEXEC);
    expect(fd >= 0 && write(fd, data, len) == (ssize_t)len);
    struct segment_reader reader = {.fd = -1};
    struct segment_scan scan = {0};
    expect(segment_reader_set_packed(&reader, fd, len) == 0);
    expect(reader.packed.count <= len / PACKED_BLOCK_HEAD_SIZE);
    if (reader.length <= 4 * 1024 * 1024) { /* a head may claim more than anybody wants to wait for */
        expect(segment_scan(&reader, 0, &scan) == 0);
        expect(scan.length >= SEGLOG_HEAD_SIZE);
    }
    uint8_t bytes[100];
    ssize_t n =
        packed_read(&reader.packed, fd, bytes, sizeof bytes, reader.length - (reader.length > 50 ? 50 : 0));
    expect(n >= 0 && (uint64_t)n <= reader.length);
    segment_reader_done(&reader);
    (void)close(fd);
    return 0;
}
