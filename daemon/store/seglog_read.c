/* Reading and releasing.
 *
 * A reader usually continues where it stopped. The log remembers where its last few readers stopped; whoever comes from
 * elsewhere is led there through the segment from its beginning, block by block. A segment is small enough for that.
 */
#include "store/seglog_log.h"

#include "base/log.h"
#include "store/seglog_record.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

/* The last segment that does not begin after `seq`. */
static size_t segment_of(const struct seglog *log, uint64_t seq)
{
    size_t low = 0, high = log->count;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (log->segments[middle].first <= seq)
            low = middle;
        else
            high = middle;
    }
    return low;
}

/* The number after a segment's last possible record. What lies behind it, in the file or not, was never acknowledged. */
static uint64_t end_of(struct seglog *log, size_t i)
{
    return i + 1 < log->count ? log->segments[i + 1].first - seglog_unused_before(log, i + 1) : log->next;
}

static int open_segment(struct seglog *log, const struct segment *segment)
{
    if (log->memory)
        return fcntl(segment->fd < 0 ? log->fd : segment->fd, F_DUPFD_CLOEXEC, 0);
    char name[SEGMENT_PACKED_NAME_SIZE];
    seglog_file_name(name, segment);
    return openat(log->folder, name, O_RDONLY | O_CLOEXEC);
}

static int point_reader(struct seglog *log, struct segment *segment)
{
    struct seglogs *logs = log->logs;
    if (logs->reader_log == log && logs->reader_segment == segment->first) {
        logs->reader.length = segment->length;
        return 0;
    }
    int fd = open_segment(log, segment);
    if (fd < 0)
        return -errno;
    if (logs->reader_log)
        (void)close(logs->reader.fd);
    logs->reader_log = log;
    logs->reader_segment = segment->first;
    if (!segment->packed) {
        segment_reader_set(&logs->reader, fd, segment->length);
        segment_reader_unseal(&logs->reader, &logs->vault, log->name, segment->first);
        return 0;
    }
    int r = segment_reader_set_packed(&logs->reader, fd, segment->disk);
    segment_reader_unseal(&logs->reader, &logs->vault, log->name, segment->first);
    segment->length = logs->reader.length;
    if (r < 0)
        seglog_forget_reader(log);
    return r;
}

/* ---- a place in the log ------------------------------------------------------------------------------------------ */

struct place {
    size_t segment;
    uint64_t offset; /* where to look for it: of its block */
    uint64_t end;    /* of the record before it, or as `offset` */
    uint64_t seq;    /* expected there */
    uint64_t unused; /* numbers on the way that never were a record's */
};

static struct place place_of(const struct seglog *log, uint64_t seq)
{
    struct place place = {
        .segment = segment_of(log, seq), .offset = SEGLOG_HEAD_SIZE, .end = SEGLOG_HEAD_SIZE};
    const struct segment *segment = &log->segments[place.segment];
    place.seq = segment->first;
    for (size_t i = 0; i < BOOKMARKS; i++) {
        const struct bookmark *mark = &log->bookmarks[i];
        if (mark->offset && mark->segment == segment->first && mark->seq <= seq && mark->seq >= place.seq) {
            place.offset = mark->offset;
            place.end = mark->end;
            place.seq = mark->seq;
        }
    }
    return place;
}

static void remember(struct seglog *log, const struct place *place)
{
    const struct bookmark mark = {place->seq, log->segments[place->segment].first, place->offset, place->end};
    log->bookmarks[log->bookmark_next++ % BOOKMARKS] = mark;
}

/* Has one been there often enough to believe that it stays so? */
static bool is_given_up(struct seglog *log, uint64_t segment, uint64_t seq)
{
    enum { TRIES = 5 };
    for (size_t i = 0; i < BAD_SPOTS; i++) {
        struct bad_spot *spot = &log->bad[i];
        if (spot->tries && spot->segment == segment && spot->seq == seq)
            return spot->tries >= TRIES || ++spot->tries >= TRIES;
    }
    log->bad[log->bad_next++ % BAD_SPOTS] = (struct bad_spot){segment, seq, 1};
    return false;
}

/* The next record of the segment. A medium that cannot be read may be readable a moment later: a bus that was disturbed, a
 * card that was busy. Damage is what stays. */
static int find(struct seglog *log, const struct place *place, uint64_t end, bool patient,
                struct segment_found *ret)
{
    struct segment_reader *reader = &log->logs->reader;
    uint64_t segment = log->segments[place->segment].first;
    int r = segment_find(reader, place->offset, place->seq, end, ret);
    while (r < 0 && !segment_is_foreign_fault(r) && !is_given_up(log, segment, place->seq))
        if (patient)
            return r;
        else
            r = segment_find(reader, place->offset, place->seq, end, ret);
    if (r >= 0 || segment_is_foreign_fault(r))
        return r;
    reader->give_up = true;
    r = segment_find(reader, place->offset, place->seq, end, ret);
    reader->give_up = false;
    return r;
}

/* The next record at or after *place, which moves behind it. 1; 0 at the end of the log; −errno. */
static int step(struct seglog *log, struct place *place, uint64_t from, bool patient,
                struct segment_found *ret)
{
    for (;;) {
        struct segment *segment = &log->segments[place->segment];
        uint64_t end = end_of(log, place->segment);
        int r = point_reader(log, segment);
        if (r == 0)
            r = find(log, place, end, patient, ret);
        if (r == -ENOENT)
            r = 0; /* somebody removed it: its records are lost, the others are not */
        if (r < 0)
            return r;
        uint64_t found = r > 0 ? ret->record.seq : end;
        if (found > place->seq)
            place->unused += seglog_torn_within(log, place->seq > from ? place->seq : from, found);
        if (found > place->seq && seglog_torn_within(log, place->seq, found) < found - place->seq &&
            seglog_report_hole(log, place->seq, found) && log->logs->reader_segment == segment->first)
            seglog_quarantine(log, segment, log->logs->reader.fd, place->end,
                              r > 0 ? ret->offset : segment->length);
        if (r > 0) {
            place->seq = found + 1;
            place->offset = ret->look_on;
            place->end = ret->offset + ret->size;
            return 1;
        }
        if (place->segment + 1 == log->count) {
            place->seq = end;
            place->offset = place->end = segment->length;
            return 0;
        }
        place->segment++;
        place->seq = log->segments[place->segment].first;
        place->unused += place->seq - (end > from ? end : from < place->seq ? from : place->seq);
        place->offset = place->end = SEGLOG_HEAD_SIZE;
    }
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

/* Room for one more record in the reader's memory. 1; 0 when it must wait for the next read; -ENOMEM. */
static int make_room(struct seglog_read *read, size_t count, size_t used, size_t need)
{
    if (count == read->records_size) {
        size_t size = size_min(size_max(16, count * 2), size_max(read->max_records, 1));
        struct seglog_record *grown = realloc(read->records, size * sizeof *grown);
        if (!grown)
            return -ENOMEM;
        read->records = grown;
        read->records_size = size;
    }
    if (read->buffer && need <= read->buffer_size - used && used + need <= size_max(read->max_bytes, need))
        return 1;
    if (count > 0) /* growing would move what the records point to */
        return 0;
    size_t size = size_max(size_max(need, read->max_bytes), 1);
    uint8_t *grown = realloc(read->buffer, size);
    if (!grown)
        return -ENOMEM;
    read->buffer = grown;
    read->buffer_size = size;
    return 1;
}

static void keep(struct seglog_read *read, size_t count, size_t used, const struct seglog_record *record,
                 uint64_t unused)
{
    uint8_t *p = read->buffer + used;
    if (record->topic_len)
        memcpy(p, record->topic, record->topic_len);
    if (record->payload_len)
        memcpy(p + record->topic_len, record->payload, record->payload_len);
    read->records[count] = *record;
    read->records[count].unused = unused;
    read->records[count].topic = (const char *)p;
    read->records[count].payload = p + record->topic_len;
}

static int read_records(struct seglog *log, struct seglog_read *read)
{
    size_t count = 0, used = 0;
    uint64_t wanted = read->from; /* the number after the last one kept */
    uint64_t first = log->segments[0].first;
    read->skipped = read->unused = 0;
    if (read->from >= log->next)
        return 0;
    struct place place = place_of(log, read->from > first ? read->from : first);
    while (count < read->max_records) {
        struct place before = place;
        struct segment_found found;
        int r = step(log, &place, read->from, read->patient, &found);
        if (r < 0)
            return count ? (int)count : r;
        if (r == 0) {
            if (count == 0) {
                read->skipped = log->next - read->from;
                read->unused = place.unused;
            }
            break;
        }
        const struct seglog_record *record = &found.record;
        if (record->seq < read->from)
            continue;
        r = make_room(read, count, used, record->topic_len + record->payload_len);
        if (r < 0)
            return count ? (int)count : r;
        if (r == 0) {
            place = before;
            break;
        }
        keep(read, count++, used, record, place.unused - read->unused);
        used += record->topic_len + record->payload_len;
        read->skipped += record->seq - wanted;
        read->unused = place.unused;
        wanted = record->seq + 1;
    }
    remember(log, &place);
    return (int)count;
}

void seglog_read_run(struct work *work, void *resource)
{
    (void)resource;
    struct seglog_read *read = container_of(work, struct seglog_read, work);
    work->r = read_records(read->log, read);
    if (work->r < 0)
        log_error("stream log %s: read from %" PRIu64 ": %s", read->log->name, read->from,
                  seglog_fault_text(work->r));
    seglog_publish(read->log);
}

/* ---- releasing --------------------------------------------------------------------------------------------------- */

void seglog_release_run(struct work *work, void *resource)
{
    (void)resource;
    struct seglog_release *release = container_of(work, struct seglog_release, work);
    struct seglog *log = release->log;
    size_t gone = 0;
    work->r = 0;
    /* The active segment stays whatever happens: its name is what knows the next number. The folder is not synced: should a
     * power cut bring a file back, it will be released again. */
    while (gone + 1 < log->count && log->segments[gone + 1].first <= release->before) {
        char name[SEGMENT_PACKED_NAME_SIZE];
        seglog_file_name(name, &log->segments[gone]);
        seglog_stop_packing(log, log->segments[gone].first);
        if (log->logs->reader_log == log && log->logs->reader_segment == log->segments[gone].first)
            seglog_forget_reader(log);
        if (log->memory)
            fd_close_p(&log->segments[gone].fd);
        else if (unlinkat(log->folder, name, 0) < 0 && errno != ENOENT) {
            work->r = -errno;
            log_error("stream log %s: remove %s: %s", log->name, name, strerror(errno));
            break;
        }
        log->bytes -= segment_disk(&log->segments[gone]);
        gone++;
    }
    log->count -= gone;
    memmove(log->segments, log->segments + gone, log->count * sizeof *log->segments);
    seglog_publish(log);
}

/* ---- how far one could go ---------------------------------------------------------------------------------------- */

static uint64_t overlap(uint64_t from, uint64_t to, uint64_t a, uint64_t b)
{
    uint64_t low = from > a ? from : a, high = to < b ? to : b;
    return low < high ? high - low : 0;
}

static void count_range(struct seglog *log, uint64_t before, struct seglog_range *range)
{
    uint64_t to = range->to == UINT64_MAX ? before : range->to;
    range->unused = range->damaged = 0;
    for (size_t i = 1; log->unused && i < log->count && log->segments[i - 1].first < to; i++)
        range->unused += overlap(range->from, to, log->segments[i].first - seglog_unused_before(log, i),
                                 log->segments[i].first);
    range->unused += seglog_torn_within(log, range->from, to);
    for (size_t i = 0; i < HOLES; i++)
        range->damaged += overlap(range->from, to, log->holes[i].from, log->holes[i].to);
}

/* How many of the oldest segments are too old. One whose time says nothing is older than those after it. */
static size_t count_old(const struct seglog *log, int64_t older_than)
{
    size_t old = 0;
    for (size_t k = 0; k + 1 < log->count; k++)
        if (clock_was_set(log->segments[k].wall) && log->segments[k].wall < older_than)
            old = k + 1;
    return old;
}

void seglog_survey_run(struct work *work, void *resource)
{
    (void)resource;
    struct seglog_survey *survey = container_of(work, struct seglog_survey, work);
    struct seglog *log = survey->log;
    uint64_t freed = 0;
    size_t old = count_old(log, survey->older_than), k = 0;
    while (k + 1 < log->count &&
           (k < old || log->segments[k + 1].first <= survey->before || freed < survey->bytes))
        freed += segment_disk(&log->segments[k++]);
    survey->before = log->segments[k].first;
    survey->oldest = k + 1 < log->count ? log->segments[k].wall : 0;
    survey->first = log->segments[0].first;
    survey->next = log->next;
    survey->unused = log->unused + log->torn_total;
    for (size_t i = 0; i < survey->range_count; i++)
        count_range(log, survey->before, &survey->ranges[i]);
    work->r = 0;
}
