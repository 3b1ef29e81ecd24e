/* Appending: the batch of a turn, log after log.
 *
 *      run      an append joins its log's list, the log joins the dirty ones
 *      commit   1. every dirty log: blocks into one buffer, large payloads from where they are, one pwritev; a full segment is synced,
 *                  sealed, followed by a new one
 *               2. every dirty log: fdatasync (or later, if that is so agreed), move `length` and `next`, settle
 *
 * The blocks of an encrypted log are built whole and sealed in their place (seglog_sealed.h).
 *
 * A batch that would not fit into its segment begins a new one, so that it needs one sync and not two. The new file's head and name
 * are synced with its first records; nothing else depends on them.
 *
 * After a failed write the file is cut back to what is synced: no half record stays, and the numbers are given again. After
 * a failed sync the kernel may have dropped the pages and call them clean, so nothing can be said about that file any more
 * ("fsyncgate", 2018): it is left as it is, the log continues in a new file, and the numbers are not given again, because
 * the records may be there after all. The head of the new file says so.
 */
#include "store/seglog_log.h"

#include "base/log.h"
#include "store/seglog_block.h"
#include "store/seglog_record.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

enum {
    PREALLOCATE = 1024 * 1024, /* ahead of the end: fewer extents, and less to journal at a sync */
    LARGE = 2048,              /* a payload from this size on is written from where it is */
    PARTS_A_BLOCK = 2 * (SEGLOG_BLOCK_BYTES / LARGE) + 3,
    LARGE_BATCH = 512 * 1024,
    BATCHES_A_SEGMENT = 8,
    PAGE = 4096,           /* a medium writes no less */
    RESERVE_PART_MAX = 16, /* of a small file system no more than a sixteenth is reserved */
};

static void join_dirty(struct seglogs *logs, struct seglog *log)
{
    if (!list_is_linked(&log->dirty))
        list_append(&logs->dirty, &log->dirty);
    if (log->wants_packing)
        list_append(&logs->to_pack, &log->to_pack);
    log->wants_packing = false;
}

static int complain(struct seglog *log, const char *doing, int r)
{
    if (!log->complained)
        log_error("stream log %s: %s: %s", log->name, doing, strerror(-r));
    log->complained = true;
    return r;
}

/* ---- run --------------------------------------------------------------------------------------------------------- */

/* What the log may grow by for this record: all of a block, or a part of the block of those that wait already. */
static uint64_t share_of(struct seglog *log, const struct seglog_record *record)
{
    enum { AND_MORE = 32 }; /* so that a block of very small records is not thought to be without end */
    uint64_t share =
        seglog_block_share(record->topic_len, record->payload_len) + (log->encrypt ? SEALED_HEAD : 0);
    if (!list_is_empty(&log->waiting) && log->asked_block + share <= SEGLOG_BLOCK_BYTES / 2)
        share = seglog_block_part(&list_entry(log->waiting.prev, struct seglog_append, link)->record, record);
    else
        log->asked_block = 0;
    log->asked_block += share + AND_MORE;
    return share;
}

void seglog_append_run(struct work *work, void *resource)
{
    struct seglogs *logs = resource;
    struct seglog_append *append = container_of(work, struct seglog_append, work);
    struct seglog *log = append->log;
    const struct seglog_record *record = &append->record;

    if (record->topic_len > SEGLOG_TOPIC_MAX || record->payload_len > SEGLOG_RECORD_MAX ||
        seglog_block_share(record->topic_len, record->payload_len) > SEGLOG_RECORD_MAX) {
        work->r = -EMSGSIZE;
        return;
    }
    uint64_t size = share_of(log, record);
    if (log->max_bytes && log->bytes + log->asked + size > log->max_bytes) {
        work->r = SEGLOG_FULL;
        return;
    }
    work->r = 0;
    log->asked += size;
    log->about += SEGLOG_BLOCK_RECORD_HEAD + 4 + record->payload_len;
    list_append(&log->waiting, &append->link);
    join_dirty(logs, log);
}

void seglog_sync_run(struct work *work, void *resource)
{
    struct seglog_sync *sync = container_of(work, struct seglog_sync, work);
    work->r = 0;
    list_append(&sync->log->syncs, &sync->link);
    join_dirty(resource, sync->log);
}

/* ---- commit ------------------------------------------------------------------------------------------------------ */

static void settle(struct list *appends, int r)
{
    for (struct list *link; (link = list_pop(appends));)
        list_entry(link, struct seglog_append, link)->work.r = r;
}

/* Would `bytes` more touch what is reserved? */
static bool is_reserved(const struct seglog *log, uint64_t bytes)
{
    struct statvfs fs;
    if (log->memory || !log->logs->reserve || fstatvfs(log->folder, &fs) < 0)
        return false;
    uint64_t reserve = log->logs->reserve, part = (uint64_t)fs.f_blocks * fs.f_frsize / RESERVE_PART_MAX;
    return (uint64_t)fs.f_bavail * fs.f_frsize < (reserve < part ? reserve : part) + bytes;
}

static void preallocate(struct seglog *log, uint64_t step)
{
    if (log->preallocated == UINT64_MAX)
        return; /* this file system does not do that */
    if (fallocate(log->fd, FALLOC_FL_KEEP_SIZE, (off_t)log->written, (off_t)step) == 0)
        log->preallocated = log->written + step;
    else if (errno == EOPNOTSUPP || errno == ENOSYS)
        log->preallocated = UINT64_MAX;
}

/* How much to preallocate: a part of the segment, or what will come of a large batch; no more, since it would have to be given back when
 * the segment is sealed. */
static uint64_t size_ahead(struct seglog *log)
{
    uint64_t rest = log->limit > log->written ? log->limit - log->written : 0;
    uint64_t step = PREALLOCATE;
    if (log->about > PREALLOCATE) {
        uint64_t done = log->written - seglog_active(log)->length;
        step = done < log->about ? log->about - done : 0;
    }
    return step < rest ? step : rest;
}

static int write_parts(struct seglog *log, struct iovec *parts, int count, size_t len)
{
    uint64_t end = log->written + len;
    if (log->preallocated == UINT64_MAX ? end > log->checked : end > log->preallocated) {
        /* Beyond that, whether there is room is for the write to say. */
        uint64_t step = size_ahead(log);
        if (step < len)
            step = len;
        if (is_reserved(log, step))
            return complain(log, "write into the reserve", -ENOSPC);
        log->checked = log->written + step;
        preallocate(log, step);
    }
    int r = segment_write(log->fd, parts, count, log->written);
    if (r < 0)
        return complain(log, "write", r);
    log->written = end;
    atomic_fetch_add_explicit(&log->seen_written, len, memory_order_relaxed);
    return 0;
}

/* ---- what is to be written --------------------------------------------------------------------------------------- */

/* Ends the part that `out` is growing. */
static void end_part(struct seglogs *logs)
{
    if (logs->out_len > logs->out_from)
        logs->parts[logs->part_count++] =
            (struct iovec){logs->out + logs->out_from, logs->out_len - logs->out_from};
    logs->out_from = logs->out_len;
}

static void forget_parts(struct seglogs *logs)
{
    logs->out_len = logs->out_from = logs->pending = 0;
    logs->part_count = 0;
}

static int flush(struct seglog *log)
{
    struct seglogs *logs = log->logs;
    end_part(logs);
    size_t len = logs->pending;
    int r = len ? write_parts(log, logs->parts, logs->part_count, len) : 0;
    forget_parts(logs);
    return r;
}

static uint8_t *grow(struct seglogs *logs, size_t len)
{
    uint8_t *bytes = logs->out + logs->out_len;
    logs->out_len += len;
    logs->pending += len;
    return bytes;
}

static void take_zeros(struct seglogs *logs, size_t len)
{
    memset(grow(logs, len), 0, len);
}

static void take_payload(struct seglogs *logs, const uint8_t *payload, size_t len)
{
    if (len >= LARGE) {
        end_part(logs);
        logs->parts[logs->part_count++] = (struct iovec){(void *)(uintptr_t)payload, len};
        logs->pending += len;
    } else if (len) {
        memcpy(grow(logs, len), payload, len);
    }
}

/* ---- syncs ------------------------------------------------------------------------------------------------------- */

/* The log's folder, that of all logs, and what that is in: made at this start, or at one that ended before it got here. */
static int sync_folders(const struct seglog *log)
{
    cleanup_free char *above = str_printf("%s/..", log->logs->path);
    cleanup(fd_close_p) int fd = open(above, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 || fsync(log->folder) < 0 || fsync(log->logs->folder) < 0 || fsync(fd) < 0 ? -1 : 0;
}

static void count_pages(struct seglog *log)
{
    uint64_t pages = (log->written + PAGE - 1) / PAGE - log->worn / PAGE;
    log->worn = log->written;
    atomic_fetch_add_explicit(&log->seen_flash, pages * PAGE, memory_order_relaxed);
}

static int sync_file(struct seglog *log)
{
    if (log->memory)
        return 0;
    if (fdatasync(log->fd) < 0 || (log->unsynced && sync_folders(log) < 0) ||
        (log->unnamed && fsync(log->folder) < 0)) {
        int r = complain(log, "fdatasync", -errno);
        fd_close_p(&log->fd);
        return r;
    }
    log->unsynced = log->unnamed = log->lagging = false;
    count_pages(log);
    return 0;
}

/* Makes durable what has been written, now or, when that is agreed, later; and says that it is there. */
static int sync_written(struct seglog *log, bool now)
{
    if (log->fd < 0 || (list_is_empty(&log->written_list) && !(now && log->lagging)))
        return 0;
    if (now || !log->sync_every) {
        int r = sync_file(log);
        if (r < 0)
            return r;
    } else {
        log->lagging = true;
    }
    struct segment *active = seglog_active(log);
    if (!list_is_empty(&log->written_list))
        active->wall = list_entry(log->written_list.prev, struct seglog_append, link)->record.wall;
    log->bytes += log->written - active->length;
    active->length = log->written;
    log->next = log->next_write;
    if (!log->lagging) {
        log->synced = log->next;
        seglog_note_tail(log);
    }
    settle(&log->written_list, 0);
    if (log->complained)
        log_notice("stream log %s: works again", log->name);
    log->complained = false;
    return 0;
}

/* A new active segment. The one before has been synced, or is not trusted. */
static int roll(struct seglog *log)
{
    int fd;
    uint64_t unused =
        log->next_write - log->next; /* used up by a failed sync, never acknowledged: not damage */
    /* Nothing was in it: it is made anew, and goes on saying which numbers were used up before it. */
    bool is_anew = seglog_active(log)->first == log->next_write;
    uint64_t before = is_anew ? seglog_unused_before(log, log->count - 1) : unused;
    const struct seglog_head head = {log->next_write, (uint32_t)before, (uint32_t)(log->unused + unused),
                                     seglog_version(log)};
    /* Numbers that were used up are told to others before a record is behind them, so that head must not be lost. */
    int r = log->memory ? segment_create_in_memory(&head, &fd)
            : unused    ? segment_create(log->folder, &head, &fd)
                        : segment_create_lazily(log->folder, &head, &fd);
    if (r < 0)
        return complain(log, "new segment", r);
    log->unnamed = !log->memory;
    seglog_trim(log);
    if (log->memory)
        seglog_active(log)->fd = log->fd; /* its only name */
    else
        fd_close_p(&log->fd);
    log->fd = fd;
    log->sealed = log->encrypt;
    seal_done(&log->seal); /* each segment has a key of its own */
    log->unused += unused;
    if (log->compress && !list_is_linked(&log->to_pack))
        list_append(&log->logs->to_pack, &log->to_pack);
    if (is_anew)
        log->bytes -= seglog_active(log)->length;
    struct segment *active = seglog_add_segment(log, log->next_write, SEGLOG_HEAD_SIZE);
    active->unused = (uint32_t)before;
    active->wall = list_is_empty(&log->waiting)
                       ? 0
                       : list_entry(log->waiting.next, struct seglog_append, link)->record.wall;
    log->written = SEGLOG_HEAD_SIZE;
    log->worn = log->checked = log->noted = 0;
    log->lagging = false;
    log->preallocated = log->preallocated == UINT64_MAX ? UINT64_MAX : 0;
    log->next = log->next_write;
    log->bytes += SEGLOG_HEAD_SIZE;
    atomic_fetch_add_explicit(&log->seen_written, SEGLOG_HEAD_SIZE, memory_order_relaxed);
    return 0;
}

/* After a fault: the file as it was before, as far as it can be. */
static void take_back(struct seglog *log)
{
    forget_parts(log->logs);
    if (log->fd < 0)
        return;
    uint64_t length = seglog_active(log)->length;
    if (ftruncate(log->fd, (off_t)length) < 0) {
        /* Half a record may be in the way: not this file any more. */
        (void)complain(log, "ftruncate", -errno);
        fd_close_p(&log->fd);
        return;
    }
    log->written = length;
    log->checked = 0;
    log->preallocated = log->preallocated == UINT64_MAX ? UINT64_MAX : length;
    log->next_write = log->next;
}

/* Chooses the records of the next block: those that wait, as many as fit. How many bytes it has. */
static uint64_t choose(struct seglog *log, uint64_t end)
{
    struct seglog_block_writer *writer = log->logs->writer;
    uint64_t room = end < log->limit ? log->limit - end : 0;
    if (log->sealed)
        room = room > SEALED_HEAD ? room - SEALED_HEAD : 0;
    seglog_block_begin(writer, log->next_write, log->next_write - log->synced);
    list_for_each (link, &log->waiting)
        if (!seglog_block_add(writer, &list_entry(link, struct seglog_append, link)->record, room))
            break;
    return log->sealed ? sealed_size(seglog_block_content(writer)) : seglog_block_length(writer);
}

static struct seglog_append *take_record(struct seglog *log)
{
    struct seglog_append *append = list_entry(list_pop(&log->waiting), struct seglog_append, link);
    append->record.seq = log->next_write++;
    append->record.batch = append->record.seq - log->synced;
    list_append(&log->written_list, &append->link);
    return append;
}

/* The block of the chosen records, behind what is to be written already. */
static void take_block(struct seglog *log, uint64_t at)
{
    struct seglogs *logs = log->logs;
    struct seglog_block_writer *writer = logs->writer;
    uint8_t *head = logs->out + logs->out_len;
    size_t head_size = seglog_block_head(writer, at, head);
    (void)grow(logs, head_size);
    for (unsigned i = 0; i < writer->count; i++) {
        const struct seglog_record *record = &take_record(log)->record;
        seglog_block_guard(writer, i, record->payload, record->payload_len,
                           grow(logs, SEGLOG_BLOCK_RECORD_HEAD));
        take_payload(logs, record->payload, record->payload_len);
    }
    take_zeros(logs, seglog_block_padding(head_size + writer->data_size));
    if (writer->count > 1) {
        uint8_t *copy = grow(logs, head_size);
        memcpy(copy, head, head_size);
        seglog_block_make_copy(copy);
        take_zeros(logs, seglog_block_padding(head_size));
    }
}

/* A salt for this segment and this opening of it. */
static int renew_seal(struct seglog *log)
{
    if (log->seal.key && log->seal_count < UINT32_MAX)
        return 0;
    log->seal_count = 0;
    seal_init(&log->seal, &log->logs->vault, log->name, seglog_active(log)->first, SEALED_PURPOSE);
    return seal_renew(&log->seal);
}

/* The same, sealed: payloads are copied in any case. One that is larger than `out` has a box of its own, which is written at once. */
static int take_sealed(struct seglog *log, uint64_t at, size_t length)
{
    struct seglogs *logs = log->logs;
    struct seglog_block_writer *writer = logs->writer;
    int r = renew_seal(log);
    if (r < 0)
        return complain(log, "encrypt", r);
    bool boxed = length > OUT_SIZE - logs->out_len;
    uint8_t *bytes = boxed ? logs->box = malloc(length) : grow(logs, length);
    if (!bytes)
        return complain(log, "encrypt", -ENOMEM);
    size_t len = SEALED_HEAD + seglog_block_head(writer, at + SEALED_HEAD, bytes + SEALED_HEAD);
    for (unsigned i = 0; i < writer->count; i++) {
        const struct seglog_record *record = &take_record(log)->record;
        seglog_block_guard(writer, i, record->payload, record->payload_len, bytes + len);
        len += SEGLOG_BLOCK_RECORD_HEAD;
        if (record->payload_len)
            memcpy(bytes + len, record->payload, record->payload_len);
        len += record->payload_len;
    }
    memset(bytes + len, 0, length - len);
    r = sealed_shut(&log->seal, log->seal_count++, at, writer->first, writer->count, bytes,
                    len - SEALED_HEAD);
    if (r < 0)
        (void)complain(log, "encrypt", r);
    if (boxed) {
        logs->parts[logs->part_count++] = (struct iovec){bytes, length};
        logs->pending += length;
        r = r == 0 ? flush(log) : r;
        free(logs->box);
        logs->box = NULL;
    }
    return r;
}

static int begin_segment(struct seglog *log)
{
    int r = flush(log);
    if (r == 0)
        r = sync_written(log, true);
    return r == 0 ? roll(log) : r;
}

static int write_block(struct seglog *log)
{
    struct seglogs *logs = log->logs;
    uint64_t end = log->written + logs->pending;
    uint64_t length = choose(log, end);
    if (end > SEGLOG_HEAD_SIZE && end + length > log->limit) {
        int r = begin_segment(log);
        if (r < 0)
            return r;
        end = log->written;
        length = choose(log, end); /* one that is larger than a segment gets one of its own */
    }
    if (length > OUT_SIZE - logs->out_len || logs->part_count + PARTS_A_BLOCK > PARTS) {
        int r = flush(log);
        if (r < 0)
            return r;
    }
    if (log->sealed)
        return take_sealed(log, end, (size_t)length);
    take_block(log, end);
    return 0;
}

/* How long the segment may become. Making one costs a sync of its own, which is little unless there is one for every batch or two. */
static uint64_t limit_of(const struct seglog *log)
{
    uint64_t several = log->about < LARGE_BATCH ? 0 : BATCHES_A_SEGMENT * log->about;
    if (several > log->segment_max)
        several = log->segment_max;
    return several > log->segment_bytes ? several : log->segment_bytes;
}

static int write_log(struct seglog *log)
{
    if (list_is_empty(&log->waiting))
        return 0;
    log->limit = limit_of(log);
    uint64_t room = log->limit - SEGLOG_HEAD_SIZE;
    bool fits_elsewhere =
        log->written > SEGLOG_HEAD_SIZE && log->about <= room && log->written + log->about > log->limit;
    bool other = log->sealed != log->encrypt;
    int r = log->fd < 0 ? roll(log) : fits_elsewhere || other ? begin_segment(log) : 0;
    while (r == 0 && !list_is_empty(&log->waiting))
        r = write_block(log);
    return r == 0 ? flush(log) : r;
}

static void fail(struct seglog *log, int r)
{
    take_back(log);
    settle(&log->written_list, r);
    settle(&log->waiting, r);
}

int seglogs_commit(void *resource)
{
    struct seglogs *logs = resource;
    list_for_each (link, &logs->dirty) {
        struct seglog *log = list_entry(link, struct seglog, dirty);
        int r = write_log(log);
        if (r < 0)
            fail(log, r);
    }
    for (struct list *link; (link = list_pop(&logs->dirty));) {
        struct seglog *log = list_entry(link, struct seglog, dirty);
        int r = sync_written(log, !list_is_empty(&log->syncs));
        if (r < 0)
            fail(log, r);
        for (struct list *sync; (sync = list_pop(&log->syncs));)
            list_entry(sync, struct seglog_sync, link)->work.r = r;
        log->asked = log->about = 0;
        assert(list_is_empty(&log->waiting) && list_is_empty(&log->written_list));
        seglog_publish(log);
    }
    return 0; /* the results are each log's own */
}
