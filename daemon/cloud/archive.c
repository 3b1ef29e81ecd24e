#include "cloud/archive.h"

#include "base/log.h"
#include "cloud/archive_heal.h"
#include "cloud/archive_name.h"
#include "cloud/record.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* Growing files are in a list, the one used last at its end. Few of them are open, and not too many are there: the one
 * that was not used for the longest time is closed, or finished. */

enum { OPEN_MAX = 32, GROWING_MAX = 512, DEPTH_MAX = 140, NAMES_MAX = 1000 };

static const char *const extensions[] = {
    [ARCHIVE_NDJSON] = "ndjson", [ARCHIVE_LINES] = "txt", [ARCHIVE_LENGTH] = "bin"};

struct growing {
    struct list link;
    char *series; /* what the pattern made, below the folder */
    char *name;   /* of the finished file; with .part now */
    int fd;       /* -1: not open */
    off_t size;   /* of what was settled */
    bool uncut;   /* there may be more in it, which does not count */
    bool is_new;  /* its folder's entry is not on the medium yet */
    int64_t begun;
    struct {
        char *bytes;
        size_t len, size;
    } pending; /* of this batch */
};

struct archive {
    char *dir, *pattern, *gateway, *uplink;
    enum archive_format format;
    uint64_t rotate_bytes, bytes_max, bytes;
    int64_t rotate_ms;
    int fd; /* of the folder; -1: not opened yet */
    struct list growing;
    unsigned growing_count, open_count;
};

static char *part_name(const char *name)
{
    return str_printf("%s.part", name);
}

static int sync_folder_of(const struct archive *archive, const char *name)
{
    const char *slash = strrchr(name, '/');
    cleanup_free char *folder = slash ? str_copy_n(name, (size_t)(slash - name)) : str_copy(".");
    cleanup(fd_close_p) int fd = openat(archive->fd, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

/* ---- one file ----------------------------------------------------------------------------------------------------- */

static void close_file(struct archive *archive, struct growing *file)
{
    if (file->fd < 0)
        return;
    fd_close_p(&file->fd);
    file->fd = -1;
    archive->open_count--;
}

static void forget(struct archive *archive, struct growing *file)
{
    close_file(archive, file);
    list_remove(&file->link);
    archive->growing_count--;
    free(file->series);
    free(file->name);
    free(file->pending.bytes);
    free(file);
}

static int open_file(struct archive *archive, struct growing *file, int flags)
{
    cleanup_free char *part = part_name(file->name);
    list_remove(&file->link);
    list_append(&archive->growing, &file->link);
    if (file->fd >= 0)
        return 0;
    list_for_each (at, &archive->growing) {
        if (archive->open_count < OPEN_MAX)
            break;
        close_file(archive, list_entry(at, struct growing, link));
    }
    file->fd = openat(archive->fd, part, O_WRONLY | O_CLOEXEC | O_NOFOLLOW | flags, 0640);
    if (file->fd < 0)
        return -errno;
    archive->open_count++;
    return 0;
}

static int cut_off(struct growing *file)
{
    if (!file->uncut)
        return 0;
    if (ftruncate(file->fd, file->size) < 0)
        return -errno;
    file->uncut = false;
    return 0;
}

/* An empty one is taken away. When it cannot be done it stays for the next time, or the next life. */
static int finish(struct archive *archive, struct growing *file)
{
    cleanup_free char *part = part_name(file->name);
    int r = file->uncut ? open_file(archive, file, 0) : 0;
    if (r >= 0)
        r = cut_off(file);
    if (r >= 0 && !file->size)
        r = unlinkat(archive->fd, part, 0) < 0 && errno != ENOENT ? -errno : 0;
    else if (r >= 0)
        r = renameat(archive->fd, part, archive->fd, file->name) < 0 ? -errno : 0;
    if (r >= 0)
        r = sync_folder_of(archive, file->name);
    if (r < 0 && r != -ENOENT) /* somebody was quicker */
        return r;
    forget(archive, file);
    return 0;
}

static int make_folders(const struct archive *archive, const char *name)
{
    for (const char *slash = strchr(name, '/'); slash; slash = strchr(slash + 1, '/')) {
        cleanup_free char *folder = str_copy_n(name, (size_t)(slash - name));
        if (mkdirat(archive->fd, folder, 0750) == 0) {
            int r = sync_folder_of(archive, folder);
            if (r < 0)
                return r;
        } else if (errno != EEXIST) {
            return -errno;
        }
    }
    return 0;
}

/* A name that nobody has. */
static int begin_file(struct archive *archive, struct growing *file, int64_t mono, int64_t wall)
{
    time_t seconds = (time_t)(wall / 1000);
    struct tm tm;
    char stamp[32] = "19700101T000000";
    int r = make_folders(archive, file->series);
    if (gmtime_r(&seconds, &tm))
        (void)strftime(stamp, sizeof stamp, "%Y%m%dT%H%M%S", &tm);
    for (unsigned i = 0; r >= 0 && i < NAMES_MAX; i++) {
        char number[16] = "";
        if (i)
            (void)snprintf(number, sizeof number, "-%u", i);
        free(file->name);
        file->name = str_printf("%s.%s.%03dZ%s.%s", file->series, stamp, (int)(wall % 1000), number,
                                extensions[archive->format]);
        if (faccessat(archive->fd, file->name, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
            continue;
        r = open_file(archive, file, O_CREAT | O_EXCL);
        if (r == -EEXIST) {
            r = 0;
            continue;
        }
        file->is_new = true;
        file->begun = mono;
        return r;
    }
    return r < 0 ? r : -EEXIST;
}

static struct growing *file_of(struct archive *archive, const char *series)
{
    list_for_each (at, &archive->growing) {
        struct growing *file = list_entry(at, struct growing, link);
        if (strcmp(file->series, series) == 0)
            return file;
    }
    struct growing *file = mem_new(struct growing);
    file->series = str_copy(series);
    file->fd = -1;
    list_append(&archive->growing, &file->link);
    archive->growing_count++;
    return file;
}

/* ---- what an earlier life left ------------------------------------------------------------------------------------- */

static int finish_left(struct archive *archive, const char *part, off_t *size)
{
    cleanup(fd_close_p) int fd = openat(archive->fd, part, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return -errno;
    off_t whole = archive_whole(fd, archive->format);
    if (whole < 0)
        return (int)whole;
    *size = whole;
    if (whole == 0)
        return unlinkat(archive->fd, part, 0) < 0 ? -errno : 0;
    cleanup_free char *name = str_copy_n(part, strlen(part) - strlen(".part"));
    if (ftruncate(fd, whole) < 0 || fdatasync(fd) < 0 || renameat(archive->fd, part, archive->fd, name) < 0)
        return -errno;
    return sync_folder_of(archive, name);
}

static bool ends_with(const char *text, const char *end)
{
    size_t len = strlen(text), n = strlen(end);
    return len > n && strcmp(text + len - n, end) == 0;
}

/* Is it one of ours that grew? Those of another format are, too, but cannot be judged. */
static bool is_left(const struct archive *archive, const char *name)
{
    cleanup_free char *end = str_printf(".%s.part", extensions[archive->format]);
    return ends_with(name, end);
}

/* Sums up the sizes below a folder; heals: finishes what grew. */
static int walk(struct archive *archive, const char *folder, unsigned depth, bool heal, uint64_t *bytes)
{
    int fd = openat(archive->fd, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC | (depth ? O_NOFOLLOW : 0));
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir) {
        int r = -errno;
        fd_close_p(&fd);
        return r;
    }
    int r = 0;
    for (struct dirent *entry; r >= 0 && (entry = readdir(dir));) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        cleanup_free char *name =
            depth ? str_printf("%s/%s", folder, entry->d_name) : str_copy(entry->d_name);
        struct stat st;
        if (fstatat(archive->fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
            continue; /* taken away meanwhile */
        if (S_ISDIR(st.st_mode) && depth < DEPTH_MAX)
            r = walk(archive, name, depth + 1, heal, bytes);
        else if (heal && S_ISREG(st.st_mode) && is_left(archive, name))
            r = finish_left(archive, name, &st.st_size);
        if (S_ISREG(st.st_mode))
            *bytes += (uint64_t)st.st_size;
    }
    (void)closedir(dir);
    return r;
}

static int open_folder(struct archive *archive)
{
    if (archive->fd >= 0)
        return 0;
    if (mkdir(archive->dir, 0750) < 0 && errno != EEXIST)
        return -errno;
    archive->fd = open(archive->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (archive->fd < 0)
        return -errno;
    archive->bytes = 0;
    int r = walk(archive, ".", 0, true, &archive->bytes);
    if (r < 0)
        fd_close_p(&archive->fd), archive->fd = -1;
    return r;
}

/* ---- writing ------------------------------------------------------------------------------------------------------ */

static void add_bytes(struct growing *file, const void *bytes, size_t len)
{
    if (file->pending.len + len > file->pending.size) {
        size_t size = 2 * file->pending.size + len;
        char *grown = realloc(file->pending.bytes, size);
        if (!grown)
            abort(); /* a batch is small: as mem_new() */
        file->pending.bytes = grown;
        file->pending.size = size;
    }
    memcpy(file->pending.bytes + file->pending.len, bytes, len);
    file->pending.len += len;
}

static void add_item(const struct archive *archive, struct growing *file, struct arena *arena,
                     const struct outbox_item *item)
{
    const struct msg *msg = item->publish.msg;
    struct json_writer w;
    const void *bytes = msg->payload;
    size_t len = msg->payload_len;
    const uint8_t head[4] = {(uint8_t)(len >> 24), (uint8_t)(len >> 16), (uint8_t)(len >> 8), (uint8_t)len};
    switch (archive->format) {
    case ARCHIVE_LENGTH: add_bytes(file, head, sizeof head); break;
    case ARCHIVE_NDJSON:
        json_writer_init(&w, arena);
        record_put(&w, &item->publish);
        bytes = json_writer_text(&w, &len);
        break;
    case ARCHIVE_LINES: break;
    }
    add_bytes(file, bytes, len);
    if (archive->format != ARCHIVE_LENGTH)
        add_bytes(file, "\n", 1);
}

/* Whether all of them fit the format; those that do are with their files. Two files of one batch may be the same one. */
static bool sort_items(struct archive *archive, const struct list *items, int64_t wall)
{
    const struct record_names names = {archive->gateway, archive->uplink, wall};
    bool all = true;
    list_for_each (at, items) {
        struct outbox_item *item = list_entry(at, struct outbox_item, place);
        const struct msg *msg = item->publish.msg;
        item->verdict = OUTBOX_TAKEN;
        if (archive->format == ARCHIVE_LINES && memchr(msg->payload, '\n', msg->payload_len)) {
            item->verdict = OUTBOX_NEVER;
            all = false;
            continue;
        }
        struct arena arena = {0};
        const char *series = record_fill(&arena, archive->pattern, &item->publish, &names, archive_name);
        add_item(archive, file_of(archive, series), &arena, item);
        arena_done(&arena);
    }
    return all;
}

static int write_all(struct growing *file)
{
    size_t done = 0;
    int r = cut_off(file);
    if (r < 0)
        return r;
    file->uncut = true;
    while (done < file->pending.len) {
        ssize_t n =
            pwrite(file->fd, file->pending.bytes + done, file->pending.len - done, file->size + (off_t)done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -EIO;
        done += (size_t)n;
    }
    return 0;
}

/* What is written into a file that somebody has deleted is nowhere. */
static int open_again(struct archive *archive, struct growing *file)
{
    struct stat st;
    int r = open_file(archive, file, 0);
    return r < 0 ? r : fstat(file->fd, &st) < 0 ? -errno : st.st_nlink ? 0 : -ENOENT;
}

static int write_file(struct archive *archive, struct growing *file, int64_t mono, int64_t wall)
{
    int r = file->name ? open_again(archive, file) : begin_file(archive, file, mono, wall);
    if (r == -ENOENT && file->name) { /* it has gone, or its folder */
        close_file(archive, file);
        free(file->name);
        file->name = NULL;
        file->size = 0;
        file->uncut = false;
        r = begin_file(archive, file, mono, wall);
    }
    if (r >= 0)
        r = write_all(file);
    if (r >= 0 && fdatasync(file->fd) < 0)
        r = -errno;
    if (r >= 0 && file->is_new)
        r = sync_folder_of(archive, file->name);
    return r;
}

static bool has_pending(const struct growing *file)
{
    return file->pending.len > 0;
}

static uint64_t pending_bytes(const struct archive *archive)
{
    uint64_t bytes = 0;
    list_for_each (at, &archive->growing)
        bytes += list_entry(at, struct growing, link)->pending.len;
    return bytes;
}

static int write_pending(struct archive *archive, int64_t mono, int64_t wall)
{
    struct list todo;
    list_init(&todo);
    list_splice(&todo, &archive->growing);
    int r = 0;
    for (struct list *at; (at = list_pop(&todo));) {
        struct growing *file = list_entry(at, struct growing, link);
        list_append(&archive->growing, &file->link);
        if (r >= 0 && has_pending(file))
            r = write_file(archive, file, mono, wall);
    }
    return r;
}

static void settle_pending(struct archive *archive, bool written)
{
    list_for_each_safe (at, &archive->growing) {
        struct growing *file = list_entry(at, struct growing, link);
        if (written && has_pending(file)) {
            file->size += (off_t)file->pending.len;
            archive->bytes += file->pending.len;
            file->uncut = file->is_new = false;
        }
        free(file->pending.bytes);
        file->pending.bytes = NULL;
        file->pending.len = file->pending.size = 0;
        if (!written && file->fd >= 0)
            (void)cut_off(file); /* or later */
        if (!file->name)
            forget(archive, file);
    }
}

static bool has_room(struct archive *archive)
{
    uint64_t more = pending_bytes(archive);
    if (!archive->bytes_max || archive->bytes + more <= archive->bytes_max)
        return true;
    uint64_t bytes = 0; /* files may have been taken away */
    if (walk(archive, ".", 0, false, &bytes) >= 0)
        archive->bytes = bytes;
    return archive->bytes + more <= archive->bytes_max;
}

static void say(struct archive_answer *answer, enum outbox_verdict verdict, const struct archive *archive,
                int r)
{
    answer->verdict = verdict;
    (void)snprintf(answer->reason, sizeof answer->reason, "%s: %s", archive->dir, strerror(-r));
}

static enum outbox_verdict verdict_of(int r)
{
    switch (r) {
    case -EACCES:
    case -EPERM:
    case -EROFS:
    case -ENOTDIR:
    case -EISDIR:
    case -ELOOP:
    case -ENOENT: return OUTBOX_STUCK;
    default: return OUTBOX_AGAIN; /* a full disk, a broken one, too many files */
    }
}

void archive_write(struct archive *archive, const struct list *items, int64_t mono, int64_t wall,
                   struct archive_answer *answer)
{
    *answer = (struct archive_answer){.verdict = OUTBOX_TAKEN};
    int r = open_folder(archive);
    if (r < 0) {
        say(answer, verdict_of(r), archive, r);
        return;
    }
    bool all = sort_items(archive, items, wall);
    if (!has_room(archive)) {
        answer->verdict = OUTBOX_AGAIN;
        (void)snprintf(answer->reason, sizeof answer->reason, "%s holds %llu bytes and may hold %llu",
                       archive->dir, (unsigned long long)archive->bytes,
                       (unsigned long long)archive->bytes_max);
        settle_pending(archive, false);
        return;
    }
    r = write_pending(archive, mono, wall);
    settle_pending(archive, r >= 0);
    if (r < 0) {
        say(answer, verdict_of(r), archive, r);
    } else if (!all) {
        answer->verdict = OUTBOX_EACH;
        (void)snprintf(answer->reason, sizeof answer->reason, "a payload with a line break is no line");
    }
}

int64_t archive_tidy(struct archive *archive, int64_t mono)
{
    int64_t next = -1;
    (void)open_folder(archive); /* whoever writes says why not */
    for (unsigned todo = archive->growing_count; todo; todo--) {
        /* Once round, whatever opening one of them does to their order. */
        struct growing *file = list_entry(list_pop(&archive->growing), struct growing, link);
        list_append(&archive->growing, &file->link);
        int64_t left = archive->rotate_ms ? file->begun + archive->rotate_ms - mono : INT64_MAX;
        if ((uint64_t)file->size >= archive->rotate_bytes || left <= 0 ||
            archive->growing_count > GROWING_MAX) {
            int r = finish(archive, file);
            if (r < 0)
                log_warning("%s/%s.part cannot be finished: %s", archive->dir, file->name, strerror(-r));
            if (r < 0)
                left = archive->rotate_ms ? archive->rotate_ms : INT64_MAX;
            else
                continue;
        }
        if (left != INT64_MAX && (next < 0 || left < next))
            next = left;
    }
    return next;
}

/* ---- life --------------------------------------------------------------------------------------------------------- */

struct archive *archive_new(const struct archive_options *options)
{
    struct archive *archive = mem_new(struct archive);
    archive->dir = str_copy(options->dir);
    archive->pattern = str_copy(options->pattern);
    archive->gateway = str_copy(options->gateway);
    archive->uplink = str_copy(options->uplink);
    archive->format = options->format;
    archive->rotate_bytes = options->rotate_bytes;
    archive->rotate_ms = options->rotate_ms;
    archive->bytes_max = options->bytes_max;
    archive->fd = -1;
    list_init(&archive->growing);
    return archive;
}

struct archive *archive_free(struct archive *archive)
{
    if (!archive)
        return NULL;
    list_for_each_safe (at, &archive->growing) {
        struct growing *file = list_entry(at, struct growing, link);
        if (finish(archive, file) < 0) /* the next life will */
            forget(archive, file);
    }
    fd_close_p(&archive->fd);
    free(archive->dir);
    free(archive->pattern);
    free(archive->gateway);
    free(archive->uplink);
    free(archive);
    return NULL;
}
