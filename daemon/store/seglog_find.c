/* Looking through a file that may have been torn or may have rotted.
 *
 *      head │ 41 42 43 │▒▒▒▒ 45 46 ┊│ 47 ▒▒ 49 ┊│ 5░░
 *                       ▲          ▲     ▲        ▲ no block from here on: a torn tail
 *                       │          │     └ a record whose CRC is wrong: its head knows where the next one is
 *                       │          └ the copy of the head: so 44 and its sisters are found again
 *                       └ no head where one should begin
 *
 * A head counts only with its magic, its CRC, which says that it was written just there, and a possible number: as many may be
 * missing as the bytes that were skipped had room for. The same goes for records of version 1, whose CRC knows no place:
 * the number keeps a payload that contains the image of a record from being taken for one, should the search ever pass through it.
 */
#include "store/seglog_file.h"

#include "base/log.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

enum {
    WINDOW = 64 * 1024,
    SECTOR = 4096, /* what is given up when the medium cannot read */
};

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
    reader->loaded = reader->knows_version = false;
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
    free(reader->block);
    free(reader->head);
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

/* ---- records ----------------------------------------------------------------------------------------------------- */

/* A file whose head says what it holds is not looked through for anything else. */
static uint32_t version_of(struct segment_reader *reader)
{
    if (!reader->knows_version) {
        uint8_t bytes[SEGLOG_HEAD_SIZE];
        struct seglog_head head;
        ssize_t n = read_some(reader, bytes, sizeof bytes, 0);
        reader->version = n > 0 && seglog_head_decode(bytes, (size_t)n, &head) == 0 ? head.version : 0;
        reader->knows_version = true;
    }
    return reader->version;
}

/* What is looked for: the next record from `expected` on and below `end`, by somebody who came from `offset`. */
struct search {
    uint64_t offset, expected, end;
    bool in_chain; /* one is where something should begin */
};

static bool is_possible(const struct search *search, uint64_t at, uint64_t seq, size_t least)
{
    return seq < search->end &&
           (seq <= search->expected || seq - search->expected <= (at - search->offset) / least);
}

/* The record of version 1 at `at`: 1, 0 when there is none, −errno. */
static int find_record(struct segment_reader *reader, const struct search *search, uint64_t at,
                       struct segment_found *ret)
{
    int r = 0;
    const uint8_t *bytes = bytes_at(reader, at, SEGLOG_RECORD_HEAD_SIZE, &r);
    size_t size = bytes ? seglog_record_peek(bytes) : 0;
    if (size > SEGLOG_RECORD_HEAD_SIZE)
        bytes = bytes_at(reader, at, size, &r);
    if (!bytes || !size)
        return r;
    struct seglog_record record;
    if (seglog_record_decode(bytes, size, &record) < 0 || record.seq < search->expected ||
        !is_possible(search, at, record.seq, SEGLOG_RECORD_HEAD_SIZE))
        return 0;
    *ret = (struct segment_found){.version = SEGLOG_VERSION_RECORDS,
                                  .offset = at,
                                  .size = size,
                                  .record = record,
                                  .look_on = at + size,
                                  .block = at,
                                  .block_end = at + size,
                                  .block_next = record.seq + 1};
    return 1;
}

/* Makes the block of the head, or the copy of one, at `at` the reader's. 1; 0 when there is none; −errno. */
static int load_block(struct segment_reader *reader, uint64_t at)
{
    if (reader->loaded && reader->block_begin == at)
        return 1;
    int r = 0;
    size_t size = 0;
    const uint8_t *bytes = bytes_at(reader, at, SEGLOG_BLOCK_PEEK, &r);
    if (!bytes || seglog_block_peek(bytes, &size) == SEGLOG_BLOCK_NONE)
        return r;
    bytes = bytes_at(reader, at, size, &r);
    if (!bytes)
        return r;
    if (!reader->block)
        reader->block = malloc(sizeof *reader->block);
    if (size > reader->head_room) {
        free(reader->head);
        reader->head_room = size_max(size, 4096);
        reader->head = malloc(reader->head_room);
    }
    reader->loaded = false;
    if (!reader->block || !reader->head) {
        reader->head_room = reader->head ? reader->head_room : 0;
        return -ENOMEM;
    }
    if (seglog_block_decode(bytes, size, at, reader->block, &reader->block_begin) < 0)
        return 0;
    memcpy(reader->head, bytes, size);
    reader->loaded = true;
    return 1;
}

/* The record `i` of the reader's block. */
static int record_of(struct segment_reader *reader, unsigned i, struct segment_found *ret)
{
    const struct seglog_block *block = reader->block;
    uint64_t offset = reader->block_begin + block->head_size + block->entries[i].offset;
    size_t size = SEGLOG_BLOCK_RECORD_HEAD + block->entries[i].len;
    int r = 0;
    const uint8_t *bytes = bytes_at(reader, offset, size, &r);
    if (!bytes)
        return r;
    struct seglog_record record;
    if (seglog_block_record(block, reader->head, i, bytes, &record) < 0)
        return 0;
    uint64_t end = reader->block_begin + seglog_block_size(block);
    *ret = (struct segment_found){.version = SEGLOG_VERSION,
                                  .offset = offset,
                                  .size = size,
                                  .record = record,
                                  .look_on = i + 1 < block->count ? reader->block_begin : end,
                                  .block = reader->block_begin,
                                  .block_end = end,
                                  .block_next = block->first + block->count};
    return 1;
}

/* The first record looked for in the block whose head, or its copy, is at *at. 1; 0 when there is none: then *at is the last place that
 * need not be looked at; −errno. */
static int find_in_block(struct segment_reader *reader, struct search *search, uint64_t *at,
                         struct segment_found *ret)
{
    int r = load_block(reader, *at);
    if (r <= 0)
        return r;
    const struct seglog_block *block = reader->block;
    uint64_t first = block->first, expected = search->expected;
    if (reader->block_begin < search->offset || (!search->in_chain && first + block->count <= expected) ||
        !is_possible(search, reader->block_begin, first, SEGLOG_BLOCK_RECORD_HEAD))
        return 0;
    for (uint64_t i = expected > first ? expected - first : 0; i < block->count; i++) {
        if (first + i >= search->end)
            break;
        r = record_of(reader, (unsigned)i, ret);
        if (r != 0)
            return r;
    }
    *at = reader->block_begin + seglog_block_size(block) - 8;
    return 0;
}

int segment_find(struct segment_reader *reader, uint64_t offset, uint64_t expected, uint64_t end,
                 struct segment_found *ret)
{
    uint32_t version = version_of(reader);
    struct search search = {offset, expected, end, true};
    for (uint64_t at = offset; at < reader->length; at += 8) {
        uint64_t before = at;
        int r = version == SEGLOG_VERSION ? 0 : find_record(reader, &search, at, ret);
        if (r == 0 && version != SEGLOG_VERSION_RECORDS)
            r = find_in_block(reader, &search, &at, ret);
        if (r != 0)
            return r;
        search.in_chain = at != before;
    }
    return 0;
}

int segment_scan(struct segment_reader *reader, uint64_t first, struct segment_scan *scan)
{
    return segment_scan_from(reader, SEGLOG_HEAD_SIZE, first, scan);
}

static void tell_hole(struct segment_scan *scan, uint64_t to, uint64_t end)
{
    scan->hole_end = end;
    if (to > scan->next && scan->on_hole)
        scan->on_hole(scan, scan->next, to);
}

int segment_scan_from(struct segment_reader *reader, uint64_t offset, uint64_t number,
                      struct segment_scan *scan)
{
    struct segment_found found = {.block_next = number};
    uint64_t look_on = offset;
    int r;
    scan->next = scan->batch = number;
    scan->hole_begin = scan->length = offset;
    while ((r = segment_find(reader, look_on, scan->next, UINT64_MAX, &found)) > 0) {
        uint64_t seq = found.record.seq;
        tell_hole(scan, seq, found.offset);
        scan->next = seq + 1;
        scan->batch = seq - (found.record.batch < seq ? found.record.batch : seq);
        scan->hole_begin = found.offset + found.size;
        scan->length = found.block_end;
        scan->version = found.version;
        look_on = found.look_on;
    }
    if (r == 0 && found.block_next > scan->next) { /* the rest of the last block */
        tell_hole(scan, found.block_next, found.block_end);
        scan->next = found.block_next;
    }
    return r;
}
