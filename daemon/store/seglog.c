#include "store/seglog.h"

#include "base/log.h"
#include "store/seglog_log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* The loop's side, and what the parts share. A log is made on the loop and first seen by the thread with its first work;
 * from then on the loop reads the seen_ numbers only. */

enum {
    SEGMENT_BYTES = 4 * 1024 * 1024,
    SEGMENT_BYTES_MIN = 4096,
    SEGMENT_MAX = 64 * 1024 * 1024,
    SEGMENTS_MIN = 4, /* of a log with a limit: at most so much of it may be released and still on disk */
    NAME_MAX_LEN = 64,
    ENOUGH = 512 * 1024, /* of a batch this large a sync is a small part */
    HEAD_ABOUT = 16,
};

/* ---- shared ------------------------------------------------------------------------------------------------------ */

struct segment *seglog_add_segment(struct seglog *log, uint64_t first, uint64_t length)
{
    const struct segment segment = {.first = first, .length = length, .unused = UNUSED_UNKNOWN, .fd = -1};
    if (log->count && seglog_active(log)->first == first) { /* made anew, because nothing was in it */
        fd_close_p(&seglog_active(log)->fd);
        *seglog_active(log) = segment;
        return seglog_active(log);
    }
    if (log->count == log->room) {
        log->room = size_max(16, log->room * 2);
        struct segment *grown = mem_new_bytes(log->room * sizeof *grown);
        if (log->count)
            memcpy(grown, log->segments, log->count * sizeof *grown);
        free(log->segments);
        log->segments = grown;
    }
    log->segments[log->count++] = segment;
    return seglog_active(log);
}

void seglog_publish(struct seglog *log)
{
    atomic_store_explicit(&log->seen_first, log->segments[0].first, memory_order_relaxed);
    atomic_store_explicit(&log->seen_next, log->next, memory_order_relaxed);
    atomic_store_explicit(&log->seen_bytes, log->bytes, memory_order_relaxed);
    atomic_store_explicit(&log->seen_unused, log->unused + log->torn_total, memory_order_relaxed);
    atomic_store_explicit(&log->seen_synced, log->synced, memory_order_relaxed);
}

uint64_t seglog_unused_before(struct seglog *log, size_t i)
{
    struct segment *segment = &log->segments[i];
    if (!log->unused)
        return 0;
    if (segment->unused == UNUSED_UNKNOWN) {
        char name[SEGMENT_PACKED_NAME_SIZE];
        struct seglog_head head = {0};
        seglog_file_name(name, segment);
        cleanup(fd_close_p) int fd = openat(log->folder, name, O_RDONLY | O_CLOEXEC);
        bool known = fd >= 0 && segment_read_head(fd, &head) == 0 && head.unused <= segment->first;
        segment->unused = known ? head.unused : 0; /* then what is missing there is damage */
    }
    return segment->unused;
}

bool seglog_note_hole(struct seglog *log, uint64_t from, uint64_t to)
{
    for (size_t i = 0; i < HOLES; i++)
        if (log->holes[i].from <= from && to <= log->holes[i].to)
            return false;
    log->holes[log->hole_next++ % HOLES] = (struct hole){from, to};
    return true;
}

bool seglog_report_hole(struct seglog *log, uint64_t from, uint64_t to)
{
    if (!seglog_note_hole(log, from, to))
        return false;
    atomic_fetch_add_explicit(&log->seen_damaged, to - from, memory_order_relaxed);
    log_error("stream log %s: records %" PRIu64 " to %" PRIu64
              " are missing: damaged, or torn by a power cut before they "
              "were acknowledged; those before and after are served, the file is kept",
              log->name, from, to - 1);
    return true;
}

void seglog_trim(struct seglog *log)
{
    bool is_longer = log->preallocated != UINT64_MAX && log->preallocated > log->written;
    int r = log->fd >= 0 && is_longer ? ftruncate(log->fd, (off_t)log->written) : 0;
    (void)r; /* costs space, no more */
}

void seglog_forget_reader(struct seglog *log)
{
    struct seglogs *logs = log->logs;
    if (logs->reader_log != log)
        return;
    (void)close(logs->reader.fd);
    segment_reader_set(&logs->reader, -1, 0);
    logs->reader_log = NULL;
}

/* ---- the thread and its folder ----------------------------------------------------------------------------------- */

/* Opens a folder, made when it is missing; then the first record that is written in it syncs what it is in. */
static int open_folder(int parent, const char *path, int *ret)
{
    if (mkdirat(parent, path, 0700) < 0 && errno != EEXIST)
        return -errno;
    int fd = openat(parent, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    *ret = fd;
    return 0;
}

static void free_logs(struct seglogs *logs)
{
    segment_reader_done(&logs->reader);
    seal_vault_done(&logs->vault);
    fd_close_p(&logs->folder);
    free(logs->out);
    free(logs->writer);
    free(logs->path);
    free(logs);
}

int seglogs_open(struct seglogs **ret, struct loop *loop, const char *dir, enum worker_mode mode)
{
    static const struct worker_ops ops = {.commit = seglogs_commit, .rest = seglogs_rest};

    struct seglogs *logs = mem_new(struct seglogs);
    logs->folder = logs->reader.fd = logs->pack_reader.fd = -1;
    logs->loop = loop;
    logs->path = str_copy(dir);
    logs->out = mem_new_buffer(OUT_SIZE);
    logs->writer = mem_new_buffer(sizeof *logs->writer); /* each block begins it */
    list_init(&logs->logs);
    list_init(&logs->dirty);
    list_init(&logs->to_pack);
    int r = open_folder(AT_FDCWD, dir, &logs->folder);
    if (r == 0 && flock(logs->folder, LOCK_EX | LOCK_NB) < 0)
        r = errno == EWOULDBLOCK ? -EBUSY : -errno;
    if (r < 0)
        log_error("%s: %s", dir, r == -EBUSY ? "is in use by another gatehoused" : strerror(-r));
    else
        r = worker_new(&logs->worker, loop, "seglogs", &ops, logs, mode);
    if (r < 0) {
        free_logs(logs);
        return r;
    }
    *ret = logs;
    return 0;
}

struct seglogs *seglogs_close(struct seglogs *logs)
{
    if (!logs)
        return NULL;
    logs->worker = worker_free(logs->worker);
    while (!list_is_empty(&logs->logs))
        (void)seglog_close(list_entry(logs->logs.next, struct seglog, link));
    free_logs(logs);
    return NULL;
}

void seglogs_set_reserve(struct seglogs *logs, uint64_t bytes)
{
    logs->reserve = bytes;
}

void seglogs_set_seal(struct seglogs *logs, const struct seal_source *source)
{
    seal_vault_init(&logs->vault, source);
}

/* Has anything been sealed in the folder of all logs? */
static bool is_any_sealed(const struct seglogs *logs)
{
    int fd = openat(logs->folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir) {
        fd_close_p(&fd);
        return true; /* as far as one knows */
    }
    bool found = false;
    for (struct dirent *entry; !found && (entry = readdir(dir));) {
        cleanup_free char *mark = str_printf("%s/.sealed", entry->d_name);
        found = *entry->d_name != '.' && faccessat(logs->folder, mark, F_OK, 0) == 0;
    }
    (void)closedir(dir);
    return found;
}

int seglogs_need_key(struct seglogs *logs, const char *name)
{
    if (seal_vault_is_ready(&logs->vault))
        return 0;
    char *why = NULL;
    int r = seal_vault_load(&logs->vault, is_any_sealed(logs), &why);
    if (r < 0)
        log_error("stream log %s: it is encrypted, or is to be: %s", name, why);
    free(why);
    return r;
}

/* The key that the folder's mark names, or that what comes will be sealed with. If the mark is damaged, torn or lost, the blocks say
 * themselves which key they want, and it is made again. */
static int find_key(struct seglog *log)
{
    uint8_t id[SEAL_ID];
    int marked = log->memory ? 0 : sealed_mark_read(log->folder, id);
    if (marked < 0 && marked != -EUCLEAN)
        return marked;
    if (!marked && !log->encrypt)
        return 0;
    log->unmarked = marked <= 0;
    int r = seglogs_need_key(log->logs, log->name);
    return r == 0 && marked > 0 && memcmp(id, log->logs->vault.id, SEAL_ID) != 0 ? -EKEYREJECTED : r;
}

void seglogs_gather(struct seglogs *logs)
{
    worker_gather(logs->worker, ENOUGH);
}

void seglogs_quiesce(struct seglogs *logs)
{
    worker_quiesce(logs->worker);
}

/* ---- a log ------------------------------------------------------------------------------------------------------- */

static bool name_is_valid(const char *name)
{
    size_t len = strlen(name);
    return len >= 1 && len <= NAME_MAX_LEN &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") == len;
}

static bool is_open(const struct seglogs *logs, const char *name)
{
    list_for_each (link, &logs->logs)
        if (strcmp(list_entry(link, struct seglog, link)->name, name) == 0)
            return true;
    return false;
}

static void free_log(struct seglog *log)
{
    for (size_t i = 0; i < log->count; i++)
        fd_close_p(&log->segments[i].fd);
    fd_close_p(&log->fd);
    fd_close_p(&log->folder);
    seal_done(&log->seal);
    free(log->segments);
    free(log->torn);
    free(log->name);
    free(log);
}

static void set_limits(struct seglog *log, const struct seglog_options *options)
{
    log->memory = options && options->memory;
    log->compress = log->wants_packing = options && options->compress && !log->memory;
    log->encrypt = options && options->encrypt && !log->memory;
    log->sync_every = options && !log->memory ? options->sync_every : 0;
    log->max_bytes = options ? options->max_bytes : 0;
    log->segment_bytes = options && options->segment_bytes ? options->segment_bytes : SEGMENT_BYTES;
    if (log->max_bytes && log->segment_bytes > log->max_bytes / SEGMENTS_MIN)
        log->segment_bytes = log->max_bytes / SEGMENTS_MIN;
    if (log->segment_bytes < SEGMENT_BYTES_MIN)
        log->segment_bytes = SEGMENT_BYTES_MIN;
    log->segment_max = options && options->segment_max ? options->segment_max : SEGMENT_MAX;
    if (log->max_bytes && log->segment_max > log->max_bytes / SEGMENTS_MIN)
        log->segment_max = log->max_bytes / SEGMENTS_MIN;
}

struct change {
    struct work work;
    struct seglog *log;
    const struct seglog_options *options;
};

static void begin_encrypting(struct seglog *log)
{
    int r = log->encrypt ? sealed_mark_make(log->folder, log->logs->vault.id) : 0;
    if (r < 0) /* the blocks say it, too */
        log_warning("stream log %s: .sealed: %s", log->name, strerror(-r));
}

static void change_run(struct work *work, void *resource)
{
    (void)resource;
    struct change *change = container_of(work, struct change, work);
    struct seglog_options options = *change->options;
    options.memory = change->log->memory;
    set_limits(change->log, &options);
    begin_encrypting(change->log);
}

static void on_changed(struct work *work)
{
    (void)work;
}

void seglog_change(struct seglog *log, const struct seglog_options *options)
{
    struct change change = {.work = {.run = change_run, .done = on_changed}, .log = log, .options = options};
    worker_submit(log->logs->worker, &change.work);
    seglogs_quiesce(log->logs);
    log->encrypts = options->encrypt;
}

static void encrypt_run(struct work *work, void *resource)
{
    (void)resource;
    struct seglog *log = container_of(work, struct seglog, encrypting);
    log->encrypt = !log->memory;
    begin_encrypting(log);
}

void seglog_encrypt(struct seglog *log)
{
    if (log->encrypts)
        return;
    log->encrypts = true;
    log->encrypting = (struct work){.run = encrypt_run, .done = on_changed};
    worker_submit(log->logs->worker, &log->encrypting);
}

static void on_time_synced(struct work *work)
{
    struct seglog *log = container_of(work, struct seglog, sync.work);
    log->syncing = false;
    if (work->r < 0 && !timer_is_running(&log->sync_timer))
        timer_start(log->logs->loop, &log->sync_timer, log->sync_every);
}

static void on_sync_time(struct timer *timer)
{
    struct seglog *log = container_of(timer, struct seglog, sync_timer);
    if (log->syncing) { /* the disk needs longer than the interval */
        timer_start(log->logs->loop, &log->sync_timer, log->sync_every);
        return;
    }
    log->syncing = true;
    log->sync.work.done = on_time_synced;
    seglog_sync(log, &log->sync);
}

int seglog_open(struct seglog **ret, struct seglogs *logs, const char *name,
                const struct seglog_options *options)
{
    int r = !name_is_valid(name) ? -EINVAL : is_open(logs, name) ? -EBUSY : 0;
    if (r < 0) {
        log_error("stream log \"%s\": %s", name,
                  r == -EINVAL ? "a name has 1 to 64 letters, digits, _ and -" : "is open already");
        return r;
    }
    struct seglog *log = mem_new(struct seglog);
    log->logs = logs;
    log->name = str_copy(name);
    log->folder = log->fd = -1;
    list_init(&log->link);
    list_init(&log->waiting);
    list_init(&log->written_list);
    list_init(&log->syncs);
    list_init(&log->to_pack);
    log->sync_timer.fire = on_sync_time;
    set_limits(log, options);
    log->encrypts = log->encrypt;

    r = log->memory ? 0 : open_folder(logs->folder, name, &log->folder);
    if (r == 0)
        r = find_key(log);
    if (r == 0)
        r = seglog_recover(log);
    if (r == 0 && log->unmarked) /* before anything is sealed */
        r = sealed_mark_make(log->folder, logs->vault.id);
    if (r == -EKEYREJECTED)
        log_error("stream log %s: it was encrypted with another key than %s; nothing was changed", name,
                  logs->vault.file);
    if (r < 0) {
        log_error("stream log %s: open %s/%s: %s", name, logs->path, name, seglog_fault_text(r));
        free_log(log);
        return r;
    }
    list_append(&logs->logs, &log->link);
    seglog_publish(log);
    *ret = log;
    return 0;
}

/* The thread's part of closing: it may be at work on the log even when nobody has asked for anything. */
struct leaving {
    struct work work;
    struct seglog *log;
};

static void leave_thread(struct seglog *log)
{
    list_remove(&log->to_pack);
    seglog_stop_packing(log, UINT64_MAX);
    seglog_forget_reader(log);
}

static void on_leave(struct work *work, void *resource)
{
    (void)resource;
    leave_thread(container_of(work, struct leaving, work)->log);
    work->r = 0;
}

static void on_left(struct work *work)
{
    (void)work;
}

struct seglog *seglog_close(struct seglog *log)
{
    if (!log)
        return NULL;
    timer_stop(log->logs->loop, &log->sync_timer);
    struct work leave = {.run = on_leave, .done = on_left};
    struct leaving leaving = {leave, log};
    if (log->logs->worker) {
        worker_submit(log->logs->worker, &leaving.work);
        worker_quiesce(log->logs->worker);
    } else {
        leave_thread(log);
    }
    if (log->lagging && log->fd >= 0 && fdatasync(log->fd) < 0)
        log_error("stream log %s: fdatasync: %s", log->name, strerror(errno));
    seglog_trim(log);
    list_remove(&log->link);
    free_log(log);
    return NULL;
}

/* A folder of a log, with nothing in it but files. */
static int remove_folder(int parent, const char *name)
{
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir) {
        int r = -errno;
        fd_close_p(&fd);
        return r == -ENOENT ? 0 : r;
    }
    int r = 0;
    for (struct dirent *entry; r == 0 && (entry = readdir(dir));)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
            unlinkat(fd, entry->d_name, 0) < 0)
            r = errno == EISDIR ? remove_folder(fd, entry->d_name) : -errno;
    (void)closedir(dir);
    return r == 0 && unlinkat(parent, name, AT_REMOVEDIR) < 0 ? -errno : r;
}

int seglogs_remove(struct seglogs *logs, const char *name)
{
    int r = name_is_valid(name) ? remove_folder(logs->folder, name) : -EINVAL;
    if (r < 0)
        log_error("stream log %s: remove %s/%s: %s", name, logs->path, name, strerror(-r));
    return r;
}

int seglog_remove(struct seglog *log)
{
    struct seglogs *logs = log->logs;
    bool memory = log->memory;
    cleanup_free char *name = str_copy(log->name);
    (void)seglog_close(log);
    return memory ? 0 : seglogs_remove(logs, name);
}

const char *seglog_fault_text(int r)
{
    return r == -ELIBACC
               ? "it needs libzstd: what is packed there can be read with libzstd.so.1 only, which is not here"
               : strerror(-r);
}

uint64_t seglog_first(const struct seglog *log)
{
    return atomic_load_explicit(&log->seen_first, memory_order_relaxed);
}

uint64_t seglog_next(const struct seglog *log)
{
    return atomic_load_explicit(&log->seen_next, memory_order_relaxed);
}

uint64_t seglog_bytes(const struct seglog *log)
{
    return atomic_load_explicit(&log->seen_bytes, memory_order_relaxed);
}

uint64_t seglog_damaged(const struct seglog *log)
{
    return atomic_load_explicit(&log->seen_damaged, memory_order_relaxed);
}

uint64_t seglog_written(const struct seglog *log)
{
    return atomic_load_explicit(&log->seen_written, memory_order_relaxed);
}

uint64_t seglog_flash(const struct seglog *log)
{
    return atomic_load_explicit(&log->seen_flash, memory_order_relaxed);
}

uint64_t seglog_unused(const struct seglog *log)
{
    return atomic_load_explicit(&log->seen_unused, memory_order_relaxed);
}

uint64_t seglog_synced(const struct seglog *log)
{
    return atomic_load_explicit(&log->seen_synced, memory_order_relaxed);
}

/* ---- work -------------------------------------------------------------------------------------------------------- */

void seglog_append(struct seglog *log, struct seglog_append *append)
{
    append->log = log;
    append->work.run = seglog_append_run;
    append->work.bytes = (unsigned)(append->record.topic_len + append->record.payload_len + HEAD_ABOUT);
    list_init(&append->link);
    worker_submit(log->logs->worker, &append->work);
    if (log->sync_every && !timer_is_running(&log->sync_timer))
        timer_start(log->logs->loop, &log->sync_timer, log->sync_every);
}

void seglog_sync(struct seglog *log, struct seglog_sync *sync)
{
    sync->log = log;
    sync->work.run = seglog_sync_run;
    list_init(&sync->link);
    worker_submit(log->logs->worker, &sync->work);
}

void seglog_survey(struct seglog *log, struct seglog_survey *survey)
{
    survey->log = log;
    survey->work.run = seglog_survey_run;
    worker_submit(log->logs->worker, &survey->work);
}

void seglog_read(struct seglog *log, struct seglog_read *read)
{
    read->log = log;
    read->work.run = seglog_read_run;
    worker_submit(log->logs->worker, &read->work);
}

void seglog_read_done(struct seglog_read *read)
{
    free(read->buffer);
    free(read->records);
    read->buffer = NULL;
    read->records = NULL;
    read->buffer_size = read->records_size = 0;
}

void seglog_release(struct seglog *log, struct seglog_release *release)
{
    release->log = log;
    release->work.run = seglog_release_run;
    worker_submit(log->logs->worker, &release->work);
}
