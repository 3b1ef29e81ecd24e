#include "store/disk.h"

#include "base/base.h"

#include <errno.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

int __real_fdatasync(int fd);
int __real_fsync(int fd);
int __real_ftruncate(int fd, off_t length);
ssize_t __real_pwritev(int fd, const struct iovec *parts, int count, off_t offset);
ssize_t __real_pread(int fd, void *bytes, size_t len, off_t offset);

int __wrap_fdatasync(int fd);
int __wrap_fsync(int fd);
int __wrap_ftruncate(int fd, off_t length);
ssize_t __wrap_pwritev(int fd, const struct iovec *parts, int count, off_t offset);
ssize_t __wrap_pread(int fd, void *bytes, size_t len, off_t offset);

struct disk disk;

void disk_reset(void)
{
    memset(&disk, 0, sizeof disk);
    disk.room = -1;
    disk.bad_from = disk.bad_to = -1;
}

static bool fails(int *once)
{
    if (!*once)
        return false;
    errno = *once;
    *once = 0;
    return true;
}

int __wrap_fdatasync(int fd)
{
    disk.syncs++;
    return fails(&disk.fdatasync) ? -1 : __real_fdatasync(fd);
}

int __wrap_fsync(int fd)
{
    disk.file_syncs++;
    return fails(&disk.fsync) ? -1 : __real_fsync(fd);
}

int __wrap_ftruncate(int fd, off_t length)
{
    return fails(&disk.ftruncate) ? -1 : __real_ftruncate(fd, length);
}

/* Writes what there is room for, as the system does, and fails when there is none. */
ssize_t __wrap_pwritev(int fd, const struct iovec *parts, int count, off_t offset)
{
    disk.writes++;
    if (disk.room < 0)
        return __real_pwritev(fd, parts, count, offset);
    size_t len = 0;
    for (int i = 0; i < count; i++)
        len += parts[i].iov_len;
    if (disk.room == 0) {
        errno = disk.full;
        return -1;
    }
    if (len <= (size_t)disk.room) {
        disk.room -= (int64_t)len;
        return __real_pwritev(fd, parts, count, offset);
    }
    struct iovec part = {parts[0].iov_base, size_min(parts[0].iov_len, (size_t)disk.room)};
    disk.room -= (int64_t)part.iov_len;
    return __real_pwritev(fd, &part, 1, offset);
}

ssize_t __wrap_pread(int fd, void *bytes, size_t len, off_t offset)
{
    if (disk.bad_from >= 0 && offset < disk.bad_to && offset + (off_t)len > disk.bad_from) {
        if (offset >= disk.bad_from) {
            errno = EIO;
            return -1;
        }
        len = (size_t)(disk.bad_from - offset);
    }
    return __real_pread(fd, bytes, len, offset);
}
