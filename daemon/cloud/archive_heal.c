#include "cloud/archive_heal.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

enum { BLOCK = 64 * 1024, HEAD = 4 };

/* Sectors of what was not synced reach the medium in any order, so zeros may be there in place of a part of it: JSON has
 * none. In lines of anything they cannot be told from what was meant. */
static off_t whole_lines(int fd, bool no_zeros)
{
    char *block = malloc(BLOCK);
    off_t at = 0, whole = 0;
    ssize_t n = 0;
    while (block && (n = pread(fd, block, BLOCK, at)) > 0) {
        size_t len = (size_t)n;
        const char *zero = no_zeros ? memchr(block, '\0', len) : NULL;
        if (zero)
            len = (size_t)(zero - block);
        const char *end = memrchr(block, '\n', len);
        if (end)
            whole = at + (end - block) + 1;
        if (zero)
            break;
        at += n;
    }
    int r = !block ? -ENOMEM : n < 0 ? -errno : 0;
    free(block);
    return r < 0 ? r : whole;
}

static off_t whole_frames(int fd)
{
    off_t size = lseek(fd, 0, SEEK_END), at = 0;
    while (at + HEAD <= size) {
        uint8_t head[HEAD];
        ssize_t n = pread(fd, head, HEAD, at);
        if (n < 0)
            return -errno;
        off_t len =
            (off_t)((uint32_t)head[0] << 24 | (uint32_t)head[1] << 16 | (uint32_t)head[2] << 8 | head[3]);
        if (n < HEAD || at + HEAD + len > size)
            break;
        at += HEAD + len;
    }
    return size < 0 ? -errno : at;
}

off_t archive_whole(int fd, enum archive_format format)
{
    switch (format) {
    case ARCHIVE_NDJSON: return whole_lines(fd, true);
    case ARCHIVE_LINES: return whole_lines(fd, false);
    case ARCHIVE_LENGTH: break;
    }
    return whole_frames(fd);
}
