/* Opening a log: what the folder holds, and where the last segment really ends.
 *
 * Segments but the last were synced before their successor was made, so only the last is looked through; how long that takes
 * does not depend on the backlog. What was written but not acknowledged may be there or not, and is kept when it is:
 * synced now, so that nobody is shown a record that a power cut could still take.
 *
 *      last segment            what it means                            what is done
 *      head torn, no more      power cut while it was made              the head is written again
 *      head zero, blocks       power cut before its first sync          the same
 *      blocks, then rubbish    power cut during an append               cut off after the last block with a record
 *      a block without its     power cut, or the process was killed     it stays, as long as its head says; the numbers are used up
 *      last records            while it was written                     (seglog_unused.c)
 *      a hole between records  damage; or a torn batch, whose sectors   left as it is, counted, reported
 *                              may reach the medium in any order
 *      head damaged            damage                                   left as it is; a new segment, beyond all numbers
 *                                                                       that the rest of the file may have used
 *      a whole block at the    damage, if the power cannot have gone    it stays and is counted; else it is cut off like rubbish
 *      end without a record
 *      version 1               an older program wrote it                read for ever; the first append begins a new segment
 *      version 3               it is encrypted                          the same if the log is not, any more, and the other way round
 *      another key, or none    somebody lost or changed it              nothing is touched, the log is not opened
 */
#include "store/seglog_log.h"

#include "base/log.h"
#include "store/seglog_record.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int by_number(const void *a, const void *b)
{
    const struct segment *x = a, *y = b;
    return x->first < y->first ? -1 : x->first > y->first;
}

/* Both files are there when a power cut came between: the packed one is whole. */
static bool is_packed_too(struct seglog *log, uint64_t first)
{
    char name[SEGMENT_PACKED_NAME_SIZE];
    segment_packed_name(name, first);
    if (faccessat(log->folder, name, F_OK, 0) < 0)
        return false;
    segment_name(name, first);
    (void)unlinkat(log->folder, name, 0);
    return true;
}

static void take_file(struct seglog *log, uint64_t first, bool packed, const struct stat *st)
{
    struct segment *segment = seglog_add_segment(log, first, packed ? 0 : (uint64_t)st->st_size);
    segment->packed = packed;
    segment->disk = (uint64_t)st->st_size;
    segment->wall = (int64_t)st->st_mtim.tv_sec * 1000 + st->st_mtim.tv_nsec / 1000000;
}

static int list_segments(struct seglog *log)
{
    int fd = openat(log->folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir) {
        int r = -errno;
        fd_close_p(&fd);
        return r;
    }
    int r = 0;
    for (struct dirent *entry; r == 0 && (entry = readdir(dir));) {
        uint64_t first;
        bool packed;
        struct stat st;
        size_t len = strlen(entry->d_name);
        if (len > 9 && strcmp(entry->d_name + len - 9, ".segz.tmp") == 0)
            (void)unlinkat(log->folder, entry->d_name, 0); /* of a packing that was interrupted */
        if (!segment_name_parse(entry->d_name, &first, &packed) || (!packed && is_packed_too(log, first)))
            continue;
        if (fstatat(log->folder, entry->d_name, &st, 0) < 0)
            r = -errno;
        else
            take_file(log, first, packed, &st);
    }
    (void)closedir(dir);
    if (log->count)
        qsort(log->segments, log->count, sizeof *log->segments, by_number);
    return r;
}

static int create(struct seglog *log, uint64_t first, uint64_t unused)
{
    log->unused += unused;
    const struct seglog_head head = {first, (uint32_t)unused, (uint32_t)log->unused, seglog_version(log)};
    log->sealed = log->encrypt;
    int r = log->memory ? segment_create_in_memory(&head, &log->fd)
                        : segment_create_lazily(log->folder, &head, &log->fd);
    if (r < 0)
        return r;
    seglog_add_segment(log, first, SEGLOG_HEAD_SIZE)->unused = (uint32_t)unused;
    log->written = SEGLOG_HEAD_SIZE;
    log->next = first;
    return 0;
}

/* A file that must not be changed: its head is damaged, or parts of it cannot be read now. */
static int set_aside(struct seglog *log, const struct segment_scan *scan, const char *what)
{
    struct segment *last = seglog_active(log);
    uint64_t rest = last->length > scan->length ? last->length - scan->length : 0;
    uint64_t beyond = scan->next + rest / SEGLOG_BLOCK_RECORD_HEAD + 1;
    log_error("stream log %s: segment %" PRIu64
              ": %s; the file is kept and read as far as possible, appending goes on at %" PRIu64,
              log->name, last->first, what, beyond);
    (void)close(log->fd);
    log->fd = -1;
    return create(log, beyond, beyond - scan->next);
}

/* How many numbers were never a record's, according to the last head that can be read. */
static void find_unused(struct seglog *log)
{
    for (size_t i = log->count; i-- > 0;) {
        char name[SEGMENT_PACKED_NAME_SIZE];
        struct seglog_head head;
        seglog_file_name(name, &log->segments[i]);
        cleanup(fd_close_p) int fd = openat(log->folder, name, O_RDONLY | O_CLOEXEC);
        if (fd < 0 || segment_read_head(fd, &head) != 0)
            continue;
        log->unused = head.unused_total;
        return;
    }
}

enum { SCAN_HOLES = 64 };

struct scan_hole {
    struct hole numbers;
    uint64_t begin, end; /* in the file */
};

/* Holes are judged at the end: only then it is known which batch was the last one. */
struct log_scan {
    struct segment_scan scan;
    struct seglog *log;
    struct scan_hole holes[SCAN_HOLES];
    size_t count;
};

static void on_hole(struct segment_scan *scan, uint64_t from, uint64_t to)
{
    struct log_scan *log_scan = container_of(scan, struct log_scan, scan);
    if (log_scan->count < SCAN_HOLES)
        log_scan->holes[log_scan->count++] = (struct scan_hole){{from, to}, scan->hole_begin, scan->hole_end};
    else
        (void)seglog_report_hole(log_scan->log, from, to);
}

/* What is missing of the last batch was torn, if the power may have gone since; or if the file has ended before it, because the
 * process was killed while it wrote. What is missing elsewhere is damage. */
static int judge_holes(struct log_scan *log_scan)
{
    struct seglog *log = log_scan->log;
    bool may_be_torn = !seglog_is_same_boot(log) || log_scan->scan.length > seglog_active(log)->length;
    for (size_t i = 0; i < log_scan->count; i++) {
        const struct scan_hole *hole = &log_scan->holes[i];
        uint64_t from = hole->numbers.from, to = hole->numbers.to;
        if (seglog_torn_within(log, from, to) == to - from)
            continue;
        if (may_be_torn && from >= log_scan->scan.batch) {
            int r = seglog_note_torn(log, from, to);
            if (r < 0)
                return r;
        } else if (seglog_report_hole(log, from, to)) {
            seglog_quarantine(log, seglog_active(log), log->fd, hole->begin, hole->end);
        }
    }
    return 0;
}

static int set_reader(const struct seglog *log, const struct segment *segment, int fd,
                      struct segment_reader *reader)
{
    int r = 0;
    if (segment->packed)
        r = segment_reader_set_packed(reader, fd, segment->disk);
    else
        segment_reader_set(reader, fd, segment->length);
    segment_reader_unseal(reader, &log->logs->vault, log->name, segment->first);
    return r;
}

/* The number after the last record of a file that is not the active one. */
static int end_of_segment(struct seglog *log, const struct segment *segment, uint64_t *ret)
{
    struct segment_reader reader = {.fd = -1};
    struct segment_scan scan = {0};
    char name[SEGMENT_PACKED_NAME_SIZE];
    seglog_file_name(name, segment);
    cleanup(fd_close_p) int fd = openat(log->folder, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int r = set_reader(log, segment, fd, &reader);
    if (r == 0)
        r = segment_scan(&reader, segment->first, &scan);
    segment_reader_done(&reader);
    *ret = scan.next;
    return r;
}

/* If a failed sync had used up numbers just before this file was made, they are those behind the last record of the file
 * before. */
static int write_again(struct seglog *log, uint32_t version)
{
    struct segment *last = seglog_active(log);
    uint64_t end = last->first;
    if (log->count > 1) {
        int r = end_of_segment(log, &log->segments[log->count - 2], &end);
        if (r < 0)
            return r;
    }
    last->unused = end < last->first ? (uint32_t)(last->first - end) : 0;
    log->unused += last->unused;
    const struct seglog_head head = {last->first, last->unused, (uint32_t)log->unused, version};
    return segment_write_head(log->fd, &head);
}

/* A medium that cannot be read may be readable a moment later; a start does not wait for that long. */
static int scan_patiently(struct seglog *log, struct segment_reader *reader, struct segment_scan *scan)
{
    uint64_t offset = SEGLOG_HEAD_SIZE, number = seglog_active(log)->first;
    (void)seglog_find_tail(log, reader, &offset, &number);
    enum { TRIES = 5 };
    int r = -EIO;
    for (unsigned i = 0; i < TRIES && r < 0 && !segment_is_foreign_fault(r); i++)
        r = segment_scan_from(reader, offset, number, scan);
    if (r >= 0 || segment_is_foreign_fault(r))
        return r;
    reader->give_up = true;
    return segment_scan_from(reader, offset, number, scan);
}

/* Its sector has not reached the medium, so that nothing of the file was acknowledged? */
static bool head_is_missing(const struct seglog *log)
{
    static const uint8_t zeros[SEGLOG_HEAD_SIZE];
    uint8_t bytes[SEGLOG_HEAD_SIZE];
    return !seglog_is_same_boot(log) && pread(log->fd, bytes, sizeof bytes, 0) == sizeof bytes &&
           memcmp(bytes, zeros, sizeof bytes) == 0;
}

/* Nothing is added to a file of another version: an older one, or one that is encrypted where the log is not any more, or is not where
 * it is to be. */
static void retire(struct seglog *log, uint32_t version)
{
    fd_close_p(&log->fd);
    log_info("stream log %s: segment %" PRIu64 " %s; what comes now begins another one", log->name,
             seglog_active(log)->first,
             version < SEGLOG_VERSION ? "was written by an older gatehoused"
             : log->encrypt           ? "is not encrypted"
                                      : "is encrypted");
}

/* A block whose records are all damaged, at the end of a file in which the power cannot have torn anything since: it was
 * acknowledged. It stays, and its numbers are not given again. */
static void keep_bare(struct seglog *log, struct segment_scan *scan)
{
    const struct segment *last = seglog_active(log);
    const struct bare_block *bare = &scan->bare;
    if (bare->next <= scan->next || bare->end > last->length || !seglog_is_same_boot(log))
        return;
    if (seglog_report_hole(log, scan->next, bare->next))
        seglog_quarantine(log, last, log->fd, scan->length, bare->end);
    scan->next = bare->next;
    scan->length = bare->end;
}

static int mend_last(struct seglog *log)
{
    struct segment *last = seglog_active(log);
    char name[SEGMENT_NAME_SIZE];
    if (last->packed) { /* the one behind it is gone: nobody packs what is being written */
        uint64_t next;
        find_unused(log);
        int r = end_of_segment(log, last, &next);
        return r < 0 ? r : create(log, next, 0);
    }
    segment_name(name, last->first);
    log->fd = openat(log->folder, name, O_RDWR | O_CLOEXEC);
    if (log->fd < 0)
        return -errno;

    struct seglog_head head = {0};
    int head_r = segment_read_head(log->fd, &head);
    if (head_r == 0 && head.first != last->first)
        head_r = -EUCLEAN; /* renamed by somebody */
    find_unused(log);
    if (head_r == -EPROTONOSUPPORT) {
        log_error("stream log %s: was written by a newer gatehoused; nothing was changed", log->name);
        return head_r;
    }

    if (head.version == SEGLOG_VERSION_SEALED) {
        int r = seglogs_need_key(log->logs, log->name);
        if (r < 0)
            return r;
    }

    struct segment_reader reader = {.fd = -1};
    struct log_scan log_scan = {.scan.on_hole = on_hole, .log = log};
    const struct segment_scan *scan = &log_scan.scan;
    segment_reader_set(&reader, log->fd, last->length);
    segment_reader_unseal(&reader, &log->logs->vault, log->name, last->first);
    int r = scan_patiently(log, &reader, &log_scan.scan);
    bool unreadable = reader.unreadable;
    segment_reader_done(&reader);
    if (r == 0 && !unreadable)
        r = judge_holes(&log_scan);
    if (r == 0 && !unreadable)
        keep_bare(log, &log_scan.scan);
    if (r < 0)
        return r;
    bool torn = head_r == -EUCLEAN && (last->length <= SEGLOG_HEAD_SIZE ||
                                       (scan->version != SEGLOG_VERSION_RECORDS && head_is_missing(log)));
    if (unreadable)
        return set_aside(log, scan, "parts of it cannot be read");
    if (head_r < 0 && !torn)
        return set_aside(log, scan, "its head is damaged");
    uint32_t version = head_r == 0 ? head.version : scan->version ? scan->version : seglog_version(log);
    if (torn)
        r = write_again(log, version);
    else if (scan->length < last->length)
        log_info("stream log %s: %" PRIu64 " bytes after record %" PRIu64 " are no record and were cut off",
                 log->name, last->length - scan->length, scan->next - 1);
    if (scan->length < last->length && last->length > SEGLOG_HEAD_SIZE)
        seglog_quarantine(log, last, log->fd, scan->length, last->length);
    if (r == 0 && scan->length != last->length && ftruncate(log->fd, (off_t)scan->length) < 0)
        r = -errno;
    if (r == 0 && (fdatasync(log->fd) < 0 || fsync(log->folder) < 0))
        r = -errno;
    last->length = log->written = scan->length;
    log->next = scan->next;
    log->sealed = version == SEGLOG_VERSION_SEALED;
    if (r == 0 && version != seglog_version(log))
        retire(log, version);
    return r;
}

/* May something be sealed in it? */
static bool may_be_sealed(int fd)
{
    uint8_t bytes[PACKED_HEAD_SIZE];
    struct seglog_head plain;
    struct packed_head packed;
    ssize_t n = pread(fd, bytes, sizeof bytes, 0);
    if (n > 0 && packed_head_decode(bytes, (size_t)n, &packed) == 0)
        return packed.sealed;
    return n < 0 || seglog_head_decode(bytes, (size_t)n, &plain) != 0 ||
           plain.version == SEGLOG_VERSION_SEALED;
}

/* Without a mark: is the key that of what was sealed last? Before anything is changed. */
static int check_key(struct seglog *log)
{
    for (size_t i = log->count; i-- > 0;) {
        const struct segment *segment = &log->segments[i];
        struct segment_reader reader = {.fd = -1};
        struct segment_found found;
        char name[SEGMENT_PACKED_NAME_SIZE];
        seglog_file_name(name, segment);
        cleanup(fd_close_p) int fd = openat(log->folder, name, O_RDONLY | O_CLOEXEC);
        if (fd < 0 || !may_be_sealed(fd))
            continue;
        int r = set_reader(log, segment, fd, &reader);
        if (r == 0)
            r = segment_find(&reader, SEGLOG_HEAD_SIZE, segment->first, INT64_MAX, &found);
        bool sealed = r > 0 && reader.sealed;
        segment_reader_done(&reader);
        if (sealed || seal_is_key_fault(r))
            return r < 0 ? r : 0;
    }
    return 0;
}

int seglog_recover(struct seglog *log)
{
    int r = log->memory ? 0 : list_segments(log);
    if (r == 0 && log->unmarked)
        r = check_key(log);
    if (r == 0 && !log->memory)
        r = seglog_load_torn(log);
    if (r == 0)
        r = log->count ? mend_last(log) : create(log, 0, 0);
    if (r < 0)
        return r;
    log->bytes = 0;
    for (size_t i = 0; i < log->count; i++)
        log->bytes += segment_disk(&log->segments[i]);
    if (!log->memory)
        seglog_note_boot(log);
    log->unsynced = true;
    log->next_write = log->synced = log->next;
    log->worn = log->written;
    log->preallocated = log->written;
    return 0;
}
