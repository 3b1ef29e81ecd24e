/* Looking through a file that may have been torn or may have rotted.
 *
 *      head │ 41 │ 42 │▒▒▒▒▒▒▒▒▒▒│ 45 │ 46 │ 4░░
 *                      ▲           ▲         ▲ no record from here on: a torn tail
 *                      │           └ the next intact one: bytes for two records were skipped, so it may be 43, 44 or 45
 *                      └ no record where one should begin
 *
 * A record counts only with its magic, its CRC and a possible number. The last keeps a payload that contains the image of
 * a record from being taken for one, should the search ever pass through it.
 */
#include "store/seglog_file.h"

#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

enum {
    WINDOW = 64 * 1024,
    SECTOR = 4096, /* what is given up when the medium cannot read */
};

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

int segment_create_lazily(int folder, const struct seglog_head *head, int *ret)
{
    char name[SEGMENT_NAME_SIZE];
    segment_name(name, head->first);
    int fd = openat(folder, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 && errno == EEXIST && unlinkat(folder, name, 0) == 0)
        fd = openat(folder, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return no_room(errno);

    int r = segment_write_head(fd, head);
    if (r < 0) {
        (void)close(fd);
        (void)unlinkat(folder, name, 0);
        return r;
    }
    *ret = fd;
    return 0;
}

int segment_create(int folder, const struct seglog_head *head, int *ret)
{
    int fd;
    int r = segment_create_lazily(folder, head, &fd);
    if (r < 0)
        return r;
    if (fsync(fd) < 0 || fsync(folder) < 0) {
        char name[SEGMENT_NAME_SIZE];
        r = no_room(errno);
        segment_name(name, head->first);
        (void)close(fd);
        (void)unlinkat(folder, name, 0);
        return r;
    }
    *ret = fd;
    return 0;
}

/* ---- the window -------------------------------------------------------------------------------------------------- */

void segment_reader_set(struct segment_reader *reader, int fd, uint64_t length)
{
    reader->fd = fd;
    reader->length = length;
    reader->at = 0;
    reader->have = 0;
    reader->give_up = reader->unreadable = false;
    packed_done(&reader->packed);
    reader->is_packed = false;
    if (reader->buffer_size > WINDOW) { /* one huge record should not be remembered for ever */
        free(reader->buffer);
        reader->buffer = NULL;
        reader->buffer_size = 0;
    }
}

int segment_reader_set_packed(struct segment_reader *reader, int fd, uint64_t size)
{
    segment_reader_set(reader, fd, 0);
    int r = packed_open(&reader->packed, fd, size);
    reader->is_packed = r == 0;
    reader->length = reader->packed.length;
    return r;
}

void segment_reader_done(struct segment_reader *reader)
{
    packed_done(&reader->packed);
    free(reader->buffer);
    *reader = (struct segment_reader){.fd = -1};
}

static ssize_t read_some(struct segment_reader *reader, uint8_t *bytes, size_t len, uint64_t offset)
{
    if (reader->is_packed)
        return packed_read(&reader->packed, reader->fd, bytes, len, offset);
    ssize_t n = pread(reader->fd, bytes, len, (off_t)offset);
    return n < 0 ? -errno : n;
}

/* Reads at most len bytes; less when the file is shorter than believed, or the medium cannot be read (*r). After giving up
 * what cannot be read becomes zeros: the records in it fail their CRC, and those before and after are served. */
static size_t read_at(struct segment_reader *reader, uint8_t *bytes, size_t len, uint64_t offset, int *r)
{
    size_t done = 0;
    while (done < len) {
        ssize_t n = read_some(reader, bytes + done, len - done, offset + done);
        if (n == -EINTR)
            continue;
        if (n == 0)
            break;
        if (n < 0 && (!reader->give_up || n == -ENOMEM)) {
            *r = (int)n;
            break;
        }
        if (n < 0) {
            if (!reader->unreadable)
                log_error("stream log: read at %" PRIu64 ": %s; skipping what cannot be read", offset + done,
                          strerror((int)-n));
            reader->unreadable = true;
            n = (ssize_t)size_min(len - done, SECTOR - (offset + done) % SECTOR);
            memset(bytes + done, 0, (size_t)n);
        }
        done += (size_t)n;
    }
    return done;
}

/* The `need` bytes at `offset`: NULL when the file has not that many, or (in *r) there is no memory or they cannot be read. */
static const uint8_t *bytes_at(struct segment_reader *reader, uint64_t offset, size_t need, int *r)
{
    if (offset > reader->length || need > reader->length - offset)
        return NULL;
    if (offset >= reader->at && offset + need <= reader->at + reader->have)
        return reader->buffer + (offset - reader->at);

    size_t want = size_max(need, WINDOW);
    if (want > reader->buffer_size) {
        uint8_t *grown = realloc(reader->buffer, want);
        if (!grown) {
            *r = -ENOMEM;
            return NULL;
        }
        reader->buffer = grown;
        reader->buffer_size = want;
    }
    size_t len = reader->length - offset < want ? (size_t)(reader->length - offset) : want;
    reader->at = offset;
    int fault = 0;
    reader->have = read_at(reader, reader->buffer, len, offset, &fault);
    if (reader->have >= need)
        return reader->buffer;
    *r = fault;
    return NULL;
}

/* The record at `offset`: 1, 0 when there is none, −errno. */
static int record_at(struct segment_reader *reader, uint64_t offset, struct segment_found *ret)
{
    int r = 0;
    const uint8_t *bytes = bytes_at(reader, offset, SEGLOG_RECORD_HEAD_SIZE, &r);
    size_t size = bytes ? seglog_record_peek(bytes) : 0;
    if (size > SEGLOG_RECORD_HEAD_SIZE)
        bytes = bytes_at(reader, offset, size, &r);
    if (!bytes || !size)
        return r;
    if (seglog_record_decode(bytes, size, &ret->record) < 0)
        return 0;
    ret->offset = offset;
    ret->size = size;
    return 1;
}

int segment_find(struct segment_reader *reader, uint64_t offset, uint64_t expected, uint64_t end,
                 struct segment_found *ret)
{
    for (uint64_t at = offset; at < reader->length; at += 8) {
        int r = record_at(reader, at, ret);
        if (r < 0)
            return r;
        uint64_t missing = (at - offset) / SEGLOG_RECORD_HEAD_SIZE; /* at most so many were there */
        if (r > 0 && ret->record.seq >= expected && ret->record.seq < end &&
            ret->record.seq - expected <= missing)
            return 1;
    }
    return 0;
}

int segment_scan(struct segment_reader *reader, uint64_t first, struct segment_scan *scan)
{
    return segment_scan_from(reader, SEGLOG_HEAD_SIZE, first, scan);
}

int segment_scan_from(struct segment_reader *reader, uint64_t offset, uint64_t number,
                      struct segment_scan *scan)
{
    struct segment_found found;
    int r;
    scan->next = scan->batch = number;
    scan->length = offset;
    while ((r = segment_find(reader, scan->length, scan->next, UINT64_MAX, &found)) > 0) {
        uint64_t seq = found.record.seq;
        scan->hole_end = found.offset;
        if (seq > scan->next && scan->on_hole)
            scan->on_hole(scan, scan->next, seq);
        scan->next = seq + 1;
        scan->batch = seq - (found.record.batch < seq ? found.record.batch : seq);
        scan->length = found.offset + found.size;
    }
    return r;
}
