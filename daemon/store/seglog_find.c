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
    seal_init(&reader->seal, NULL, "", 0, "");
    if (reader->buffer_size > WINDOW) { /* one huge record should not be remembered for ever */
        free(reader->buffer);
        reader->buffer = NULL;
        reader->buffer_size = 0;
    }
    if (reader->head_room > SEGLOG_BLOCK_HEAD_MAX + SEGLOG_BLOCK_BYTES) {
        free(reader->head);
        reader->head = NULL;
        reader->head_room = 0;
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

void segment_reader_unseal(struct segment_reader *reader, const struct seal_vault *vault, const char *log,
                           uint64_t segment)
{
    if (reader->is_packed)
        seal_init(&reader->packed.seal, vault, log, segment, SEALED_PURPOSE_PACKED);
    else
        seal_init(&reader->seal, vault, log, segment, SEALED_PURPOSE);
}

void segment_reader_done(struct segment_reader *reader)
{
    packed_done(&reader->packed);
    seal_done(&reader->seal);
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
        if (n < 0 && (!reader->give_up || segment_is_foreign_fault((int)n))) {
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
        reader->knows_version = n >= 0;
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

static int make_room(struct segment_reader *reader, size_t size)
{
    reader->loaded = false;
    if (!reader->block)
        reader->block = malloc(sizeof *reader->block);
    if (size > reader->head_room) {
        free(reader->head);
        reader->head_room = size_max(size, 4096);
        reader->head = malloc(reader->head_room);
    }
    if (reader->block && reader->head)
        return 0;
    reader->head_room = reader->head ? reader->head_room : 0;
    return -ENOMEM;
}

enum load { LOAD_NONE, LOAD_DONE, LOAD_BARE };

/* Is what was opened the block that the head says it is? */
static bool decode_opened(struct segment_reader *reader, uint64_t at, const struct sealed_head *head)
{
    size_t size;
    uint64_t begin;
    struct seglog_block *block = reader->block;
    return head->len > SEGLOG_BLOCK_PEEK && seglog_block_peek(reader->head, &size) == SEGLOG_BLOCK_HEAD &&
           size <= head->len &&
           seglog_block_decode(reader->head, size, at + SEALED_HEAD, block, &begin) == 0 &&
           block->first == head->first && block->count == head->records &&
           block->head_size + block->data_size == head->len;
}

/* The same as load_block() for one that is sealed, or was. */
static int load_sealed(struct segment_reader *reader, uint64_t at)
{
    int r = 0;
    struct sealed_head head;
    const uint8_t *bytes = bytes_at(reader, at, SEALED_HEAD, &r);
    if (!bytes || sealed_head_decode(bytes, at, &head) < 0 || head.opened != reader->is_packed)
        return r;
    bytes = bytes_at(reader, at, SEALED_HEAD + head.len, &r);
    if (!bytes || sealed_head_decode(bytes, at, &head) < 0)
        return r;
    r = make_room(reader, head.len);
    if (r == 0 && head.opened)
        memcpy(reader->head, bytes + SEALED_HEAD, head.len);
    else if (r == 0)
        r = sealed_open(&reader->seal, bytes, at, &head, reader->head);
    if (r < 0 && r != -EUCLEAN)
        return r;
    reader->block_begin = at;
    reader->block_size = sealed_size(head.len);
    if (r < 0 || !decode_opened(reader, at, &head)) {
        reader->block->first = head.first;
        reader->block->count = head.records;
        return LOAD_BARE;
    }
    reader->loaded = reader->sealed = true;
    return LOAD_DONE;
}

/* Makes the block of the head, or the copy of one, at `at` the reader's; of a bare one only what its head says. −errno. */
static int load_block(struct segment_reader *reader, uint64_t at)
{
    if (reader->loaded && reader->block_begin == at)
        return LOAD_DONE;
    int r = 0;
    size_t size = 0;
    uint32_t version = version_of(reader);
    const uint8_t *bytes = bytes_at(reader, at, SEGLOG_BLOCK_PEEK, &r);
    if (bytes && version != SEGLOG_VERSION && sealed_head_is_possible(bytes))
        return load_sealed(reader, at);
    if (!bytes || version == SEGLOG_VERSION_SEALED || seglog_block_peek(bytes, &size) == SEGLOG_BLOCK_NONE)
        return r;
    bytes = bytes_at(reader, at, size, &r);
    if (!bytes)
        return r;
    r = make_room(reader, size);
    if (r < 0)
        return r;
    if (seglog_block_decode(bytes, size, at, reader->block, &reader->block_begin) < 0)
        return LOAD_NONE;
    memcpy(reader->head, bytes, size);
    reader->block_size = seglog_block_size(reader->block);
    reader->sealed = false;
    reader->loaded = true;
    return LOAD_DONE;
}

/* The record `i` of the reader's block. */
static int record_of(struct segment_reader *reader, unsigned i, struct segment_found *ret)
{
    const struct seglog_block *block = reader->block;
    size_t within = block->head_size + block->entries[i].offset;
    uint64_t offset = reader->block_begin + (reader->sealed ? SEALED_HEAD : 0) + within;
    size_t size = SEGLOG_BLOCK_RECORD_HEAD + block->entries[i].len;
    int r = 0;
    const uint8_t *bytes = reader->sealed ? reader->head + within : bytes_at(reader, offset, size, &r);
    if (!bytes)
        return r;
    struct seglog_record record;
    if (seglog_block_record(block, reader->head, i, bytes, &record) < 0)
        return 0;
    uint64_t end = reader->block_begin + reader->block_size;
    *ret = (struct segment_found){.version = reader->sealed ? SEGLOG_VERSION_SEALED : SEGLOG_VERSION,
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
    uint64_t first = block->first, expected = search->expected, next = first + block->count;
    if (reader->block_begin < search->offset || (!search->in_chain && next <= expected) ||
        !is_possible(search, reader->block_begin, first, SEGLOG_BLOCK_RECORD_HEAD))
        return 0;
    for (uint64_t i = expected > first ? expected - first : 0; r == LOAD_DONE && i < block->count; i++) {
        if (first + i >= search->end)
            break;
        int found = record_of(reader, (unsigned)i, ret);
        if (found != 0)
            return found;
    }
    uint64_t end = reader->block_begin + reader->block_size;
    if (first >= expected && next <= search->end)
        reader->bare = (struct bare_block){first, next, end};
    *at = end - 8;
    return 0;
}

int segment_find(struct segment_reader *reader, uint64_t offset, uint64_t expected, uint64_t end,
                 struct segment_found *ret)
{
    uint32_t version = version_of(reader);
    struct search search = {offset, expected, end, true};
    reader->bare.next = 0;
    for (uint64_t at = offset; at < reader->length; at += 8) {
        uint64_t before = at;
        int r = version >= SEGLOG_VERSION ? 0 : find_record(reader, &search, at, ret);
        if (r == 0 && version != SEGLOG_VERSION_RECORDS)
            r = find_in_block(reader, &search, &at, ret);
        if (r != 0)
            return r;
        search.in_chain = at != before;
    }
    return 0;
}

static bool is_in_sealed(const struct segment_reader *reader, uint64_t at)
{
    return reader->loaded && reader->sealed && at >= reader->block_begin &&
           at - reader->block_begin < reader->block_size;
}

/* Bytes of the reader's sealed block from `at` on, as they are when it is opened. */
static ssize_t read_block(struct segment_reader *reader, uint8_t *bytes, size_t len, uint64_t at)
{
    size_t within = (size_t)(at - reader->block_begin);
    size_t content = reader->block->head_size + reader->block->data_size;
    if (within >= SEALED_HEAD + content) { /* zeros */
        len = size_min(len, (size_t)reader->block_size - within);
        memset(bytes, 0, len);
    } else if (within >= SEALED_HEAD) {
        len = size_min(len, SEALED_HEAD + content - within);
        memcpy(bytes, reader->head + within - SEALED_HEAD, len);
    } else {
        int r = -EIO;
        uint8_t head[SEALED_HEAD];
        const uint8_t *sealed = bytes_at(reader, reader->block_begin, SEALED_HEAD, &r);
        if (!sealed)
            return r;
        memcpy(head, sealed, sizeof head);
        sealed_mark_opened(head, reader->block_begin);
        len = size_min(len, SEALED_HEAD - within);
        memcpy(bytes, head + within, len);
    }
    return (ssize_t)len;
}

ssize_t segment_read_opened(struct segment_reader *reader, uint8_t *bytes, size_t len, uint64_t offset)
{
    size_t done = 0;
    uint64_t left = offset < reader->length ? reader->length - offset : 0;
    if (len > left) /* the last block's zeros may be missing */
        len = (size_t)left;
    while (done < len) {
        uint64_t at = offset + done;
        int r = is_in_sealed(reader, at) || at < SEGLOG_HEAD_SIZE || at % 8 ? 0 : load_block(reader, at);
        if (r < 0)
            return r;
        ssize_t n;
        if (is_in_sealed(reader, at)) {
            n = read_block(reader, bytes + done, len - done, at);
        } else {
            r = -EIO;
            n = (ssize_t)size_min(size_min(len - done, 8 - at % 8), (size_t)(reader->length - at));
            const uint8_t *raw = bytes_at(reader, at, (size_t)n, &r);
            if (!raw)
                return r;
            memcpy(bytes + done, raw, (size_t)n);
        }
        if (n < 0)
            return n;
        done += (size_t)n;
    }
    return (ssize_t)done;
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
    scan->bare = reader->bare;
    return r;
}
