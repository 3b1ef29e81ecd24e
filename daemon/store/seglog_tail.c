/* Where to begin looking for the end of the last segment.
 *
 *      DIR/NAME/.tail      [u64 segment][u64 offset][u64 number][u32 CRC-32C][u32 0]
 *
 * A segment may be a gigabyte, and a start should not read it. So every few megabytes the log notes, behind a sync, where in
 * the file it is: a record of that number begins there, or the file ends there. It is only a hint, and is not synced: what it says
 * is looked at before it is believed, and without it the segment is read from its beginning. Holes before it were
 * synced over; whoever reads there meets them.
 */
#include "store/seglog_log.h"

#include "store/crc32c.h"

#include <endian.h>
#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

enum { EVERY = 4 * 1024 * 1024 };

struct hint {
    uint64_t segment, offset, number;
    uint32_t crc, zero;
};

void seglog_note_tail(struct seglog *log)
{
    if (log->memory || log->written < log->noted + EVERY)
        return;
    log->noted = log->written;
    struct hint hint = {htole64(seglog_active(log)->first), htole64(log->written), htole64(log->next), 0, 0};
    hint.crc = htole32(crc32c(0, &hint, 24));
    cleanup(fd_close_p) int fd = openat(log->folder, ".tail", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    int r = fd < 0 ? -1 : segment_write(fd, &(struct iovec){&hint, sizeof hint}, 1, 0);
    (void)r; /* then a start takes longer */
}

bool seglog_find_tail(struct seglog *log, struct segment_reader *reader, uint64_t *offset, uint64_t *number)
{
    struct hint hint;
    struct segment_found found;
    cleanup(fd_close_p) int fd = openat(log->folder, ".tail", O_RDONLY | O_CLOEXEC);
    if (fd < 0 || read(fd, &hint, sizeof hint) != sizeof hint || le32toh(hint.crc) != crc32c(0, &hint, 24) ||
        le64toh(hint.segment) != seglog_active(log)->first)
        return false;
    uint64_t at = le64toh(hint.offset), seq = le64toh(hint.number);
    if (at < SEGLOG_HEAD_SIZE || at % 8 || at > reader->length || seq < seglog_active(log)->first)
        return false;
    /* Nothing behind it is fine; something else than that record is not. */
    if (at < reader->length && (segment_find(reader, at, seq, seq + 1, &found) <= 0 || found.block != at))
        return false;
    *offset = at;
    *number = seq;
    return true;
}
