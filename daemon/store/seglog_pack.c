/* Sealed segments become packed ones, when the thread has nothing else to do.
 *
 *      NNN.seg ──a block at a time──▶ NNN.segz.tmp ──fsync, rename──▶ NNN.segz       then NNN.seg goes
 *
 * A power cut leaves a .tmp, which the next start removes, or both files, of which the packed one is whole. Between two blocks
 * (a millisecond or two) the thread looks for work, so nobody waits for this.
 */
#include "store/seglog_log.h"

#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct segment *find(struct seglog *log, uint64_t first)
{
    for (size_t i = 0; i < log->count; i++)
        if (log->segments[i].first == first)
            return &log->segments[i];
    return NULL;
}

static void remove_tmp(struct seglogs *logs)
{
    char name[SEGMENT_PACKED_NAME_SIZE + 4];
    segment_packed_name(name, logs->pack_segment);
    memcpy(name + SEGMENT_PACKED_NAME_SIZE - 1, ".tmp", 5);
    (void)unlinkat(logs->pack_log->folder, name, 0);
}

static void end(struct seglogs *logs)
{
    packer_done(&logs->packer);
    segment_reader_done(&logs->pack_reader);
    seal_done(&logs->pack_seal);
    logs->pack_log = NULL;
}

void seglog_stop_packing(struct seglog *log, uint64_t segment)
{
    struct seglogs *logs = log->logs;
    if (logs->pack_log != log || (segment != UINT64_MAX && logs->pack_segment != segment))
        return;
    remove_tmp(logs);
    end(logs);
}

static ssize_t read_opened(void *self, uint8_t *bytes, size_t len, uint64_t offset)
{
    return segment_read_opened(self, bytes, len, offset);
}

/* What is packed are blocks that have been opened, and what is written is sealed again. */
static int begin_sealed(struct seglogs *logs, struct seglog *log, const struct segment *segment)
{
    segment_reader_set(&logs->pack_reader, logs->packer.from, segment->length);
    segment_reader_unseal(&logs->pack_reader, &logs->vault, log->name, segment->first);
    logs->packer.read = read_opened;
    logs->packer.self = &logs->pack_reader;
    logs->packer.seal = &logs->pack_seal;
    seal_init(&logs->pack_seal, &logs->vault, log->name, segment->first, SEALED_PURPOSE_PACKED);
    return seal_renew(&logs->pack_seal);
}

static int begin(struct seglogs *logs, struct seglog *log, const struct segment *segment)
{
    char name[SEGMENT_PACKED_NAME_SIZE + 4];
    struct packed_head head = {.length = segment->length};
    segment_name(name, segment->first);
    cleanup(fd_close_p) int from = openat(log->folder, name, O_RDONLY | O_CLOEXEC);
    int r = from < 0 ? -errno : segment_read_head(from, &head.plain);
    if (r < 0)
        return r;
    head.sealed = log->encrypt || head.plain.version == SEGLOG_VERSION_SEALED;
    segment_packed_name(name, segment->first);
    memcpy(name + SEGMENT_PACKED_NAME_SIZE - 1, ".tmp", 5);
    int to = openat(log->folder, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (to < 0)
        return -errno;
    logs->pack_log = log;
    logs->pack_segment = segment->first;
    int taken = from;
    from = -1;
    r = packer_begin(&logs->packer, taken, to, &head);
    if (r == 0 && head.sealed)
        r = begin_sealed(logs, log, segment);
    if (r < 0)
        seglog_stop_packing(log, UINT64_MAX);
    return r;
}

/* The packed file takes the plain one's place, and its age. */
static int take_place(struct seglogs *logs, struct seglog *log, struct segment *segment)
{
    char plain[SEGMENT_NAME_SIZE], packed[SEGMENT_PACKED_NAME_SIZE], tmp[SEGMENT_PACKED_NAME_SIZE + 4];
    struct stat st;
    segment_name(plain, segment->first);
    segment_packed_name(packed, segment->first);
    (void)snprintf(tmp, sizeof tmp, "%s.tmp", packed);
    if (fstat(logs->packer.from, &st) == 0)
        (void)futimens(logs->packer.to, (struct timespec[]){st.st_mtim, st.st_mtim});
    if (renameat(log->folder, tmp, log->folder, packed) < 0 || fsync(log->folder) < 0)
        return -errno;
    (void)unlinkat(log->folder, plain, 0); /* if that fails, the next start does it */
    if (logs->reader_log == log && logs->reader_segment == segment->first)
        seglog_forget_reader(log);
    uint64_t size = logs->packer.end;
    log->bytes -= segment->length - size;
    segment->packed = true;
    segment->disk = size;
    atomic_fetch_add_explicit(&log->seen_written, size, memory_order_relaxed);
    atomic_fetch_add_explicit(&log->seen_flash, (size + 4095) / 4096 * 4096, memory_order_relaxed);
    seglog_publish(log);
    return 0;
}

static void go_on(struct seglogs *logs)
{
    struct seglog *log = logs->pack_log;
    struct segment *segment = find(log, logs->pack_segment);
    int r = packer_go_on(&logs->packer);
    if (r > 0)
        return;
    if (r == 0)
        r = take_place(logs, log, segment);
    if (r < 0) {
        segment->plain = true; /* until the next start */
        if (r != -EUCLEAN)
            log_warning("stream log %s: segment %llu is not packed: %s", log->name,
                        (unsigned long long)segment->first, strerror(-r));
        remove_tmp(logs);
    }
    end(logs);
}

static struct segment *choose(struct seglog *log)
{
    for (size_t i = 0; i + 1 < log->count; i++)
        if (!log->segments[i].packed && !log->segments[i].plain)
            return &log->segments[i];
    return NULL;
}

bool seglogs_rest(void *resource)
{
    struct seglogs *logs = resource;
    if (logs->pack_log) {
        go_on(logs);
        return true;
    }
    if (list_is_empty(&logs->to_pack))
        return false;
    struct seglog *log = list_entry(logs->to_pack.next, struct seglog, to_pack);
    struct segment *segment = choose(log);
    if (!segment)
        list_remove(&log->to_pack);
    else if (begin(logs, log, segment) < 0)
        segment->plain = true;
    return true;
}
