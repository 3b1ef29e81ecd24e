/* What is no record any more, kept for whoever can make something of it.
 *
 *      DIR/NAME/quarantine/00000000000000000521-1048608.bytes      from that byte of that segment on
 *
 * The segment itself stays as it is, but it goes when nobody needs its records any more; and a torn tail is cut off. The
 * bytes are copied once, when they are found: at most a megabyte of each place, and of the first 64 places.
 */
#include "store/seglog_log.h"

#include "base/log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { PLACES_MAX = 64, PIECE = 4096, BYTES_MAX = 1024 * 1024 };

/* How many there are already. */
static size_t count_places(int folder)
{
    int fd = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    size_t count = 0;
    if (!dir) {
        fd_close_p(&fd);
        return PLACES_MAX;
    }
    for (struct dirent *entry; (entry = readdir(dir));)
        count += *entry->d_name != '.';
    (void)closedir(dir);
    return count;
}

/* Sectors that cannot be read are left as holes in the copy. */
static int copy(int to, int from, uint64_t begin, uint64_t end)
{
    uint8_t piece[PIECE];
    for (uint64_t at = begin; at < end;) {
        size_t len = end - at < PIECE ? (size_t)(end - at) : PIECE;
        ssize_t n = pread(from, piece, len, (off_t)at);
        if (n == 0)
            break;
        if (n > 0) {
            int r = segment_write(to, &(struct iovec){piece, (size_t)n}, 1, at - begin);
            if (r < 0)
                return r;
        }
        at += n > 0 ? (size_t)n : len;
    }
    return fdatasync(to) < 0 ? -errno : 0;
}

void seglog_quarantine(struct seglog *log, const struct segment *segment, int fd, uint64_t begin,
                       uint64_t end)
{
    char name[64];
    if (log->memory || begin >= end)
        return;
    if (end - begin > BYTES_MAX)
        end = begin + BYTES_MAX;
    if (mkdirat(log->folder, "quarantine", 0700) < 0 && errno != EEXIST)
        return;
    cleanup(fd_close_p) int folder = openat(log->folder, "quarantine", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0 || count_places(folder) >= PLACES_MAX)
        return;
    if (segment->packed) { /* a block of it is damaged: all of the file is kept, by another name */
        segment_packed_name(name, segment->first);
        if (linkat(log->folder, name, folder, name, 0) == 0)
            log_notice("stream log %s: a file with damage is kept as quarantine/%s", log->name, name);
        return;
    }
    (void)snprintf(name, sizeof name, "%020" PRIu64 "-%" PRIu64 ".bytes", segment->first, begin);
    cleanup(fd_close_p) int to = openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (to < 0)
        return; /* it is there already, or cannot be: what matters is served and told anyway */
    int r = copy(to, fd, begin, end);
    if (r < 0) {
        (void)unlinkat(folder, name, 0);
        return;
    }
    log_notice("stream log %s: %" PRIu64 " bytes that are no record are kept as quarantine/%s", log->name,
               end - begin, name);
}
