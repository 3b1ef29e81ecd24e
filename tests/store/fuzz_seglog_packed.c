/* Packed segments, plain and sealed: whatever is claimed in them, a scan ends and hands out only whole records, and every read stays
 * within the length that was found. What an input is, its length says:
 *
 *      4n      the bytes of a packed file
 *      4n+1    the same with the sums and seals of its blocks made right, so that what is behind them is reached
 *      4n+2    what was packed: it is packed first, comes back as it was, and then a byte of the file is damaged
 *      4n+3    the same, sealed
 */
#include "store/crc32c.h"
#include "store/fuzz_seal.h"
#include "store/seglog_file.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LEN_MAX = 64 * 1024, PLAIN_MAX = 4 * 1024 * 1024, AT_ID = 16, AT_TAG = 40 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void expect(bool holds)
{
    if (!holds)
        abort();
}

static int file_of(const uint8_t *bytes, size_t len)
{
    int fd = memfd_create("segment", MFD_CLOEXEC);
    expect(fd >= 0 && write(fd, bytes, len) == (ssize_t)len);
    return fd;
}

/* ---- sums and seals ---------------------------------------------------------------------------------------------- */

static void make_block_right(uint8_t *bytes, size_t room)
{
    bool sealed = memcmp(bytes, "GHZ2", 4) == 0;
    size_t head = sealed ? PACKED_SEALED_HEAD_SIZE : PACKED_BLOCK_HEAD_SIZE;
    if (room < head || (!sealed && memcmp(bytes, "GHZ1", 4) != 0))
        return;
    size_t len = bytes[12] | (size_t)bytes[13] << 8 | (size_t)bytes[14] << 16 | (size_t)bytes[15] << 24;
    if (len > room - head)
        return;
    if (sealed) {
        uint8_t bound[AT_TAG], nonce[SEAL_NONCE] = {0};
        memcpy(bytes + AT_ID, fuzz_vault.id, SEAL_ID);
        memcpy(bound, bytes, sizeof bound);
        memset(bound + 4, 0, 4);
        memcpy(nonce, bytes + 8, 4);
        fuzz_put_sum(bytes + AT_TAG, fuzz_tag(nonce, bound, sizeof bound, bytes + head, len));
    }
    fuzz_put_sum(bytes + 4, crc32c(0, bytes + 8, head + len - 8));
}

static void make_right(uint8_t *bytes, size_t len)
{
    for (size_t at = PACKED_HEAD_SIZE; at + PACKED_BLOCK_HEAD_SIZE <= len; at += 8)
        make_block_right(bytes + at, len - at);
}

/* ---- packing ----------------------------------------------------------------------------------------------------- */

/* The packed file; -1: it is not worth it. */
static int pack(const uint8_t *plain, size_t len, bool sealed)
{
    const struct packed_head head = {.plain = {.first = 0}, .length = len, .sealed = sealed};
    struct packer packer;
    struct seal seal = {0};
    int to = memfd_create("packed", MFD_CLOEXEC);
    expect(packer_begin(&packer, file_of(plain, len), dup(to), &head) == 0);
    if (sealed) {
        seal_init(&seal, &fuzz_vault, "fuzz", 0, SEALED_PURPOSE_PACKED);
        expect(seal_renew(&seal) == 0);
        packer.seal = &seal;
    }
    int r;
    while ((r = packer_go_on(&packer)) > 0)
        ;
    expect(r == 0 || r == -EUCLEAN);
    packer_done(&packer);
    seal_done(&seal);
    if (r == 0)
        return to;
    (void)close(to);
    return -1;
}

static void open_reader(struct segment_reader *reader, int fd)
{
    struct stat st;
    expect(fstat(fd, &st) == 0);
    expect(segment_reader_set_packed(reader, fd, (uint64_t)st.st_size) == 0);
    segment_reader_unseal(reader, &fuzz_vault, "fuzz", 0);
    expect(reader->packed.count <= (uint64_t)st.st_size / PACKED_BLOCK_HEAD_SIZE);
}

static void check_same(int fd, const uint8_t *plain, size_t len)
{
    struct segment_reader reader = {.fd = -1};
    uint8_t *again = malloc(len);
    open_reader(&reader, fd);
    expect(again && reader.length == len);
    expect(packed_read(&reader.packed, fd, again, len, 0) == (ssize_t)len);
    expect(memcmp(again, plain, len) == 0);
    free(again);
    segment_reader_done(&reader);
}

static void damage(int fd, uint64_t where)
{
    struct stat st;
    uint8_t byte;
    expect(fstat(fd, &st) == 0);
    off_t at = (off_t)(where % (uint64_t)st.st_size);
    expect(pread(fd, &byte, 1, at) == 1);
    byte ^= (uint8_t)(1 << where % 8);
    expect(pwrite(fd, &byte, 1, at) == 1);
}

/* Half of it is zeros, which makes it worth packing. */
static int pack_input(const uint8_t *data, size_t len, bool sealed)
{
    uint8_t *plain = calloc(2, len);
    expect(plain != NULL);
    memcpy(plain, data, len);
    int fd = pack(plain, 2 * len, sealed);
    if (fd >= 0) {
        check_same(fd, plain, 2 * len);
        damage(fd, data[0] | (uint64_t)data[1] << 8 | (uint64_t)data[len - 1] << 16);
    }
    free(plain);
    return fd;
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

static void look_through(int fd)
{
    struct segment_reader reader = {.fd = -1};
    struct segment_scan scan = {0};
    open_reader(&reader, fd);
    if (reader.length <= PLAIN_MAX) { /* a head may claim more than anybody wants to wait for */
        int r = segment_scan(&reader, 0, &scan);
        expect(r == -EKEYREJECTED || (r == 0 && scan.length >= SEGLOG_HEAD_SIZE));
    }
    uint8_t bytes[100];
    ssize_t n =
        packed_read(&reader.packed, fd, bytes, sizeof bytes, reader.length - (reader.length > 50 ? 50 : 0));
    expect(n == -EKEYREJECTED || (n >= 0 && (uint64_t)n <= reader.length));
    segment_reader_done(&reader);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    enum { AS_IT_IS, RIGHT, PACKED, SEALED, KINDS };
    if (len > LEN_MAX)
        return 0;
    int fd = -1;
    switch (len % KINDS) {
    case AS_IT_IS: fd = file_of(data, len); break;
    case RIGHT: {
        uint8_t *bytes = malloc(len);
        expect(bytes != NULL);
        memcpy(bytes, data, len);
        make_right(bytes, len);
        fd = file_of(bytes, len);
        free(bytes);
        break;
    }
    default: fd = pack_input(data, len, len % KINDS == SEALED);
    }
    if (fd >= 0)
        look_through(fd);
    (void)(fd >= 0 && close(fd));
    return 0;
}
