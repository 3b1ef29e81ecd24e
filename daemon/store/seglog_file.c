#include "store/seglog_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

/* ---- names and files --------------------------------------------------------------------------------------------- */

void segment_name(char name[SEGMENT_NAME_SIZE], uint64_t first)
{
    (void)snprintf(name, SEGMENT_NAME_SIZE, "%020" PRIu64 ".seg", first);
}

void segment_packed_name(char name[SEGMENT_PACKED_NAME_SIZE], uint64_t first)
{
    (void)snprintf(name, SEGMENT_PACKED_NAME_SIZE, "%020" PRIu64 ".segz", first);
}

bool segment_name_parse(const char *name, uint64_t *first, bool *packed)
{
    if (strlen(name) < 20 || (strcmp(name + 20, ".seg") != 0 && strcmp(name + 20, ".segz") != 0))
        return false;
    *packed = name[24] == 'z';
    uint64_t number = 0;
    for (int i = 0; i < 20; i++) {
        unsigned digit = (unsigned char)name[i] - '0';
        if (digit > 9 || __builtin_mul_overflow(number, 10, &number) ||
            __builtin_add_overflow(number, digit, &number))
            return false;
    }
    if (number > INT64_MAX) /* not one of ours: numbers grow by one */
        return false;
    *first = number;
    return true;
}

static int no_room(int error)
{
    return error == EDQUOT || error == EFBIG ? -ENOSPC : -error;
}

int segment_write(int fd, struct iovec *parts, int count, uint64_t offset)
{
    while (count > 0) {
        ssize_t n = pwritev(fd, parts, count, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n == 0 ? -EIO : no_room(errno);
        offset += (uint64_t)n;
        for (; count > 0 && (size_t)n >= parts->iov_len; parts++, count--)
            n -= (ssize_t)parts->iov_len;
        if (count > 0) {
            parts->iov_base = (uint8_t *)parts->iov_base + n;
            parts->iov_len -= (size_t)n;
        }
    }
    return 0;
}

int segment_write_head(int fd, const struct seglog_head *head)
{
    uint8_t bytes[SEGLOG_HEAD_SIZE];
    seglog_head_encode(bytes, head);
    return segment_write(fd, &(struct iovec){bytes, sizeof bytes}, 1, 0);
}

int segment_read_head(int fd, struct seglog_head *ret)
{
    uint8_t bytes[PACKED_HEAD_SIZE];
    struct packed_head packed;
    ssize_t n = pread(fd, bytes, sizeof bytes, 0);
    if (n < 0)
        return -errno;
    if (packed_head_decode(bytes, (size_t)n, &packed) != 0)
        return seglog_head_decode(bytes, (size_t)n, ret);
    *ret = packed.plain;
    return 0;
}

int segment_create_in_memory(const struct seglog_head *head, int *ret)
{
    int fd = memfd_create("segment", MFD_CLOEXEC);
    int r = fd < 0 ? -errno : segment_write_head(fd, head);
    if (r < 0) {
        fd_close_p(&fd);
        return r;
    }
    *ret = fd;
    return 0;
}

/* The file of that name, which may be there: with a head and nothing else, or the rest of an attempt. It is not removed first, since a
 * power cut could leave none, and its head may say which numbers were used up. A head is within one sector. */
static int open_new(int folder, const struct seglog_head *head, int *ret, bool *is_made)
{
    char name[SEGMENT_NAME_SIZE];
    segment_name(name, head->first);
    int fd = openat(folder, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    *is_made = fd >= 0;
    if (fd < 0 && errno == EEXIST)
        fd = openat(folder, name, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return no_room(errno);

    int r = !*is_made && ftruncate(fd, SEGLOG_HEAD_SIZE) < 0 ? -errno : segment_write_head(fd, head);
    if (r < 0) {
        (void)close(fd);
        if (*is_made)
            (void)unlinkat(folder, name, 0);
        return r;
    }
    *ret = fd;
    return 0;
}

int segment_create_lazily(int folder, const struct seglog_head *head, int *ret)
{
    bool is_made;
    return open_new(folder, head, ret, &is_made);
}

int segment_create(int folder, const struct seglog_head *head, int *ret)
{
    int fd = -1;
    bool is_made;
    int r = open_new(folder, head, &fd, &is_made);
    if (r < 0)
        return r;
    if (fsync(fd) < 0 || fsync(folder) < 0) {
        char name[SEGMENT_NAME_SIZE];
        r = no_room(errno);
        segment_name(name, head->first);
        (void)close(fd);
        if (is_made)
            (void)unlinkat(folder, name, 0);
        return r;
    }
    *ret = fd;
    return 0;
}
