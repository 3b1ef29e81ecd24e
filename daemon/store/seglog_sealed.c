#include "store/seglog_sealed.h"

#include "store/crc32c.h"
#include "store/seglog_file.h"

#include <fcntl.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

static const uint8_t SEALED_MAGIC[4] = {'G', 'H', 'S', '3'};
static const uint8_t OPENED_MAGIC[4] = {'G', 'H', 'O', '3'};
static const uint8_t MARK_MAGIC[8] = {'G', 'H', 'S', 'E', 'A', 'L', 'E', 'D'};

enum {
    CONTENT_MAX = SEGLOG_RECORD_MAX + SEGLOG_BLOCK_HEAD_MAX,
    AT_LEN = 8,
    AT_RECORDS = 12,
    AT_FIRST = 16,
    AT_ID = 24,
    AT_SALT = 32,
    AT_COUNTER = 48,
    AT_ZERO = 52,
    AT_TAG = 56,
    BOUND = AT_TAG + 8, /* the head without its tag, and where it is */
    MARK_SIZE = 24,
    MARK_CRC = 16,
};

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

static uint32_t sum_of(const uint8_t *bytes, uint64_t offset)
{
    uint8_t where[8];
    put(where, offset, 8);
    return crc32c(crc32c(0, where, sizeof where), bytes + AT_LEN, SEALED_HEAD - AT_LEN);
}

/* What is bound to the content: without the sum, which has the tag in it. */
static void bind_head(uint8_t bound[BOUND], const uint8_t *bytes, uint64_t offset)
{
    memcpy(bound, bytes, AT_TAG);
    memset(bound + 4, 0, 4);
    put(bound + AT_TAG, offset, 8);
}

bool sealed_head_is_possible(const uint8_t *bytes)
{
    return memcmp(bytes, SEALED_MAGIC, 4) == 0 || memcmp(bytes, OPENED_MAGIC, 4) == 0;
}

int sealed_head_decode(const uint8_t *bytes, uint64_t offset, struct sealed_head *ret)
{
    if (!sealed_head_is_possible(bytes) || get(bytes + 4, 4) != sum_of(bytes, offset))
        return -EUCLEAN;
    *ret = (struct sealed_head){
        .len = (size_t)get(bytes + AT_LEN, 4),
        .records = (uint32_t)get(bytes + AT_RECORDS, 4),
        .first = get(bytes + AT_FIRST, 8),
        .id = bytes + AT_ID,
        .salt = bytes + AT_SALT,
        .counter = (uint32_t)get(bytes + AT_COUNTER, 4),
        .tag = bytes + AT_TAG,
        .opened = memcmp(bytes, OPENED_MAGIC, 4) == 0,
    };
    bool right = ret->len && ret->len <= CONTENT_MAX && ret->records &&
                 ret->records <= SEGLOG_BLOCK_RECORDS &&
                 ret->first <= (uint64_t)INT64_MAX - SEGLOG_BLOCK_RECORDS;
    return right ? 0 : -EUCLEAN;
}

int sealed_open(struct seal *seal, const uint8_t *bytes, uint64_t offset, const struct sealed_head *head,
                uint8_t *ret)
{
    uint8_t bound[BOUND];
    bind_head(bound, bytes, offset);
    return seal_open(seal, head->id, head->salt, head->counter, bound, sizeof bound, bytes + SEALED_HEAD,
                     head->len, head->tag, ret);
}

int sealed_shut(struct seal *seal, uint32_t counter, uint64_t offset, uint64_t first, uint32_t records,
                uint8_t *bytes, size_t len)
{
    uint8_t bound[BOUND];
    memcpy(bytes, SEALED_MAGIC, 4);
    put(bytes + AT_LEN, len, 4);
    put(bytes + AT_RECORDS, records, 4);
    put(bytes + AT_FIRST, first, 8);
    memcpy(bytes + AT_ID, seal->vault->id, SEAL_ID);
    memcpy(bytes + AT_SALT, seal->salt, SEAL_SALT);
    put(bytes + AT_COUNTER, counter, 4);
    put(bytes + AT_ZERO, 0, 4);
    bind_head(bound, bytes, offset);
    int r = seal_shut(seal, counter, bound, sizeof bound, bytes + SEALED_HEAD, len, bytes + AT_TAG);
    put(bytes + 4, sum_of(bytes, offset), 4);
    return r;
}

void sealed_mark_opened(uint8_t *bytes, uint64_t offset)
{
    memcpy(bytes, OPENED_MAGIC, 4);
    memset(bytes + AT_SALT, 0, SEAL_SALT);
    memset(bytes + AT_TAG, 0, SEAL_TAG);
    put(bytes + 4, sum_of(bytes, offset), 4);
}

/* ---- the mark ---------------------------------------------------------------------------------------------------- */

int sealed_mark_read(int folder, uint8_t id[SEAL_ID])
{
    uint8_t bytes[MARK_SIZE];
    cleanup(fd_close_p) int fd = openat(folder, ".sealed", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? 0 : -errno;
    ssize_t n = pread(fd, bytes, sizeof bytes, 0);
    if (n < 0)
        return -errno;
    if (n != sizeof bytes || memcmp(bytes, MARK_MAGIC, sizeof MARK_MAGIC) != 0 ||
        get(bytes + MARK_CRC, 4) != crc32c(0, bytes, MARK_CRC))
        return -EUCLEAN;
    memcpy(id, bytes + sizeof MARK_MAGIC, SEAL_ID);
    return 1;
}

int sealed_mark_make(int folder, const uint8_t id[SEAL_ID])
{
    uint8_t bytes[MARK_SIZE] = {0};
    memcpy(bytes, MARK_MAGIC, sizeof MARK_MAGIC);
    memcpy(bytes + sizeof MARK_MAGIC, id, SEAL_ID);
    put(bytes + MARK_CRC, crc32c(0, bytes, MARK_CRC), 4);
    cleanup(fd_close_p) int fd = openat(folder, ".sealed", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    int r = fd < 0 ? -errno : segment_write(fd, &(struct iovec){bytes, sizeof bytes}, 1, 0);
    if (r == 0 && (fsync(fd) < 0 || fsync(folder) < 0))
        r = -errno;
    return r;
}
