#include "store/store_new.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int write_all(int fd, const uint8_t *bytes, size_t size)
{
    while (size > 0) {
        ssize_t n = write(fd, bytes, size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -ENOSPC;
        bytes += n;
        size -= (size_t)n;
    }
    return 0;
}

/* A page after the other: to touch memory for the first time costs more than to write it. */
static int write_image(int fd)
{
    uint8_t page[4096];
    const struct store_image_piece *piece = store_image.pieces, *end = piece + store_image.count;
    const uint8_t *bytes = store_image.bytes;
    uint32_t taken = 0; /* of the piece: it may go on in the next page */
    int r = 0;
    for (uint32_t at = 0; at < store_image.size && r == 0; at += (uint32_t)sizeof page) {
        uint32_t size = (uint32_t)size_min(sizeof page, store_image.size - at);
        memset(page, 0, sizeof page);
        while (piece < end && piece->at + taken < at + size) {
            uint32_t from = piece->at + taken - at, n = (uint32_t)size_min(piece->size - taken, size - from);
            memcpy(page + from, bytes, n);
            bytes += n;
            taken += n;
            if (taken < piece->size)
                break;
            piece++;
            taken = 0;
        }
        r = write_all(fd, page, size);
    }
    return r;
}

int store_new(const char *path)
{
    cleanup_free char *beside = str_printf("%s.new", path);
    (void)unlink(beside); /* of a start that was cut short */
    int fd = open(beside, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOCTTY, 0600);
    if (fd < 0)
        return -errno;
    int r = store_image.size > 0 ? write_image(fd) : 0;
    (void)close(fd);
    if (r == 0 && store_image.size == 0)
        r = store_build(beside);
    if (r == 0 && rename(beside, path) < 0)
        r = -errno;
    if (r < 0)
        (void)unlink(beside);
    return r;
}
