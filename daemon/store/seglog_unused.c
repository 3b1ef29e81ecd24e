/* Numbers that a power cut tore out of a batch.
 *
 * Sectors reach a medium in any order, so of a batch that was being written when the power went, the last records may be
 * there and some before them not. They were never acknowledged, and nothing is cut off for that: what is there is served. But
 * what is not there is not damage, either, and the books would miss it for ever. So when a log is opened and finds such a
 * hole, it notes it in a small file beside the segments, once:
 *
 *      DIR/NAME/unused      [u64 from][u64 to][u32 CRC-32C of both][u32 0] …
 *
 * Which batch a record belongs to is in the record: how many numbers were written and not synced before it (seglog_record.h).
 * Only a power cut tears, so a hole that is found in the same boot in which the log was opened last is damage: the file
 * `.boot` knows. Nobody waits for it to be on disk: when the power takes it, it has gone.
 */
#include "store/seglog_log.h"

#include "base/log.h"
#include "store/crc32c.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

struct entry {
    uint64_t from, to;
    uint32_t crc, zero;
};

static void keep(struct seglog *log, uint64_t from, uint64_t to)
{
    struct hole *grown = realloc(log->torn, (log->torn_count + 1) * sizeof *grown);
    if (!grown)
        abort();
    log->torn = grown;
    log->torn[log->torn_count++] = (struct hole){from, to};
    log->torn_total += to - from;
}

int seglog_load_torn(struct seglog *log)
{
    cleanup(fd_close_p) int fd = openat(log->folder, "unused", O_RDONLY | O_CLOEXEC);
    struct entry entry;
    if (fd < 0)
        return errno == ENOENT ? 0 : -errno;
    for (off_t at = 0; pread(fd, &entry, sizeof entry, at) == sizeof entry; at += sizeof entry) {
        uint64_t from = le64toh(entry.from), to = le64toh(entry.to);
        if (le32toh(entry.crc) == crc32c(0, &entry, 16) && from < to)
            keep(log, from, to);
    }
    return 0;
}

int seglog_note_torn(struct seglog *log, uint64_t from, uint64_t to)
{
    if (seglog_torn_within(log, from, to) == to - from)
        return 0;
    cleanup(fd_close_p) int fd = openat(log->folder, "unused", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0)
        return -errno;
    struct entry entry = {.from = htole64(from), .to = htole64(to)};
    entry.crc = htole32(crc32c(0, &entry, 16));
    uint64_t at =
        (uint64_t)st.st_size / sizeof entry * sizeof entry; /* over the rest of one that was torn itself */
    int r = segment_write(fd, &(struct iovec){&entry, sizeof entry}, 1, at);
    if (r < 0)
        return r;
    if (fsync(fd) < 0 || fsync(log->folder) < 0)
        return -errno;
    keep(log, from, to);
    log_warning("stream log %s: records %" PRIu64 " to %" PRIu64
                " were torn by a power cut before anybody was told that they are there",
                log->name, from, to - 1);
    return 0;
}

uint64_t seglog_torn_within(const struct seglog *log, uint64_t from, uint64_t to)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < log->torn_count; i++) {
        uint64_t low = log->torn[i].from > from ? log->torn[i].from : from;
        uint64_t high = log->torn[i].to < to ? log->torn[i].to : to;
        sum += low < high ? high - low : 0;
    }
    return sum;
}

/* ---- boots ------------------------------------------------------------------------------------------------------- */

enum { BOOT_ID_SIZE = 36 };

static bool read_text(int folder, const char *path, char text[BOOT_ID_SIZE])
{
    cleanup(fd_close_p) int fd = openat(folder, path, O_RDONLY | O_CLOEXEC);
    return fd >= 0 && read(fd, text, BOOT_ID_SIZE) == BOOT_ID_SIZE;
}

static bool read_boot_id(char text[BOOT_ID_SIZE])
{
    return read_text(AT_FDCWD, "/proc/sys/kernel/random/boot_id", text);
}

bool seglog_is_same_boot(const struct seglog *log)
{
    char now[BOOT_ID_SIZE], then[BOOT_ID_SIZE];
    return read_boot_id(now) && read_text(log->folder, ".boot", then) && memcmp(now, then, BOOT_ID_SIZE) == 0;
}

void seglog_note_boot(const struct seglog *log)
{
    char now[BOOT_ID_SIZE];
    if (seglog_is_same_boot(log) || !read_boot_id(now))
        return;
    cleanup(fd_close_p) int fd = openat(log->folder, ".boot", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    ssize_t n = fd < 0 ? -1 : write(fd, now, BOOT_ID_SIZE);
    (void)n; /* without it damage may be taken for torn; nothing is lost */
}
