#include "store/power.h"

#include "rig/test.h"
#include "store/folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { SECTOR = 512 };

int __real_fdatasync(int fd);
int __real_fsync(int fd);
int __real_ftruncate(int fd, off_t length);
ssize_t __real_pwritev(int fd, const struct iovec *parts, int count, off_t offset);
int __real_openat(int folder, const char *path, int flags, mode_t mode);
int __real_unlinkat(int folder, const char *path, int flags);
int __real_renameat(int from_folder, const char *from, int to_folder, const char *to);
int __wrap_fdatasync(int fd);
int __wrap_fsync(int fd);
int __wrap_ftruncate(int fd, off_t length);
ssize_t __wrap_pwritev(int fd, const struct iovec *parts, int count, off_t offset);
int __wrap_openat(int folder, const char *path, int flags, mode_t mode);
int __wrap_unlinkat(int folder, const char *path, int flags);
int __wrap_renameat(int from_folder, const char *from, int to_folder, const char *to);

void (*power_before)(void);
int power_bad_sync;
unsigned power_bad_write;

/* Something that was done and is not synced, newest first. */
struct change {
    struct change *next;
    enum { WRITTEN, CUT, MADE, REMOVED, RENAMED } kind;
    char *path;       /* of the file; RENAMED: the new one */
    char *from;       /* RENAMED: the old one */
    off_t at, length; /* WRITTEN: where; CUT: the length before */
    size_t len;
    uint8_t *before; /* bytes that were there, or all of a file that was removed */
    size_t before_len;
    struct change *removed; /* the file it was done to has gone by this; another one may have its name */
    bool undone;            /* by the cut */
};

static struct change *changes;

static char *path_of(int fd)
{
    char link[64], path[PATH_MAX];
    (void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    CHECK(n > 0);
    path[n] = '\0';
    return str_copy(path);
}

static void change_free(struct change *change)
{
    free(change->path);
    free(change->from);
    free(change->before);
    free(change);
}

void power_reset(void)
{
    while (changes) {
        struct change *next = changes->next;
        change_free(changes);
        changes = next;
    }
}

static struct change *note(int kind, char *path)
{
    struct change *change = mem_new(struct change);
    change->kind = kind;
    change->path = path;
    change->next = changes;
    changes = change;
    return change;
}

static void boundary(void)
{
    if (power_before)
        power_before();
}

static bool is_of_names(const struct change *change)
{
    return change->kind == MADE || change->kind == REMOVED || change->kind == RENAMED;
}

static bool is_in_folder(const char *path, const char *folder)
{
    size_t len = strlen(folder);
    return strncmp(path, folder, len) == 0 && path[len] == '/' && !strchr(path + len + 1, '/');
}

/* Forgets changes of a file, or of the names in a folder; and what was done to files that have gone for good. */
static void forget(const char *path, bool names)
{
    struct change *gone = NULL;
    for (struct change **at = &changes; *at;) {
        struct change *change = *at;
        bool is_there = names ? is_of_names(change) && is_in_folder(change->path, path)
                              : !is_of_names(change) && !change->removed && strcmp(change->path, path) == 0;
        for (struct change *g = gone; g && !is_there; g = g->next)
            is_there = change->removed == g;
        if (!is_there) {
            at = &change->next;
            continue;
        }
        *at = change->next;
        change->next = gone;
        gone = change;
    }
    while (gone) {
        struct change *next = gone->next;
        change_free(gone);
        gone = next;
    }
}

static void synced(int fd)
{
    cleanup_free char *path = path_of(fd);
    struct stat st;
    CHECK_INT(fstat(fd, &st), 0);
    forget(path, S_ISDIR(st.st_mode));
}

static bool is_bad_sync(void)
{
    errno = power_bad_sync;
    power_bad_sync = 0;
    return errno != 0;
}

int __wrap_fdatasync(int fd)
{
    boundary();
    if (is_bad_sync())
        return -1;
    int r = __real_fdatasync(fd);
    if (r == 0)
        synced(fd);
    return r;
}

int __wrap_fsync(int fd)
{
    boundary();
    if (is_bad_sync())
        return -1;
    int r = __real_fsync(fd);
    if (r == 0)
        synced(fd);
    return r;
}

static void remember_bytes(struct change *change, int fd, off_t at, size_t len)
{
    change->before = mem_new_bytes(len + 1);
    ssize_t n = pread(fd, change->before, len, at);
    change->before_len = n > 0 ? (size_t)n : 0;
}

int __wrap_ftruncate(int fd, off_t length)
{
    boundary();
    struct stat st;
    CHECK_INT(fstat(fd, &st), 0);
    if (length < st.st_size) {
        struct change *change = note(CUT, path_of(fd));
        change->length = st.st_size;
        change->at = length;
        remember_bytes(change, fd, length, (size_t)(st.st_size - length));
    }
    return __real_ftruncate(fd, length);
}

ssize_t __wrap_pwritev(int fd, const struct iovec *parts, int count, off_t offset)
{
    boundary();
    if (power_bad_write && --power_bad_write == 0) {
        errno = ENOSPC;
        return -1;
    }
    struct stat st;
    CHECK_INT(fstat(fd, &st), 0);
    struct change *change = note(WRITTEN, path_of(fd));
    change->at = offset;
    for (int i = 0; i < count; i++)
        change->len += parts[i].iov_len;
    change->length = st.st_size;
    int readable = open(change->path, O_RDONLY | O_CLOEXEC);
    CHECK(readable >= 0);
    remember_bytes(change, readable, offset, change->len);
    (void)close(readable);
    return __real_pwritev(fd, parts, count, offset);
}

/* Which files are made and removed matters in the folders of logs only, all of whose files are named by their folder. */
int __wrap_openat(int folder, const char *path, int flags, mode_t mode)
{
    struct stat st;
    bool makes = folder != AT_FDCWD && (flags & O_CREAT) && fstatat(folder, path, &st, 0) < 0;
    if (makes)
        boundary();
    int fd = __real_openat(folder, path, flags, mode);
    if (makes && fd >= 0)
        (void)note(MADE, path_of(fd));
    return fd;
}

static char *path_in(int folder, const char *name)
{
    cleanup_free char *path = path_of(folder);
    return str_printf("%s/%s", path, name);
}

int __wrap_unlinkat(int folder, const char *path, int flags)
{
    int fd = folder == AT_FDCWD || flags ? -1 : __real_openat(folder, path, O_RDONLY | O_CLOEXEC, 0);
    if (fd >= 0) {
        boundary();
        struct stat st;
        CHECK_INT(fstat(fd, &st), 0);
        struct change *removed = note(REMOVED, path_in(folder, path));
        remember_bytes(removed, fd, 0, (size_t)st.st_size);
        (void)close(fd);
        for (struct change *change = removed->next; change; change = change->next)
            if (!change->removed && strcmp(change->path, removed->path) == 0)
                change->removed = removed;
    }
    return __real_unlinkat(folder, path, flags);
}

/* Where there is no file of the new name yet. What was written to it and not synced goes with the file. */
int __wrap_renameat(int from_folder, const char *from, int to_folder, const char *to)
{
    boundary();
    int r = __real_renameat(from_folder, from, to_folder, to);
    if (r < 0)
        return r;
    struct change *renamed = note(RENAMED, path_in(to_folder, to));
    renamed->from = path_in(from_folder, from);
    for (struct change *change = renamed->next; change; change = change->next)
        if (!is_of_names(change) && !change->removed && strcmp(change->path, renamed->from) == 0) {
            free(change->path);
            change->path = str_copy(renamed->path);
        }
    return r;
}

/* ---- the cut ----------------------------------------------------------------------------------------------------- */

static void copy_file(const char *from, const char *to)
{
    cleanup(fd_close_p) int in = open(from, O_RDONLY | O_CLOEXEC);
    cleanup(fd_close_p) int out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    CHECK(in >= 0 && out >= 0);
    uint8_t piece[65536];
    for (ssize_t n; (n = read(in, piece, sizeof piece)) != 0;)
        CHECK(n > 0 && write(out, piece, (size_t)n) == n);
}

static void copy_folder(const char *from, const char *to)
{
    DIR *dir = opendir(from);
    CHECK(dir);
    CHECK(mkdir(to, 0700) == 0 || errno == EEXIST);
    for (struct dirent *entry; (entry = readdir(dir));) {
        cleanup_free char *a = str_printf("%s/%s", from, entry->d_name);
        cleanup_free char *b = str_printf("%s/%s", to, entry->d_name);
        struct stat st;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
            strcmp(entry->d_name, ".boot") == 0) /* which is never synced: another boot it is */
            continue;
        CHECK_INT(stat(a, &st), 0);
        if (S_ISDIR(st.st_mode))
            copy_folder(a, b);
        else
            copy_file(a, b);
    }
    (void)closedir(dir);
}

/* Undoes a write, by sectors. What lies behind the length it had before is zeros. */
static void drop_sectors(const struct change *change, const char *path, unsigned *seed)
{
    cleanup(fd_close_p) int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return;
    off_t end = change->at + (off_t)change->len;
    for (off_t at = change->at; at < end;) {
        off_t next = (at / SECTOR + 1) * SECTOR;
        next = next < end ? next : end;
        if (rand_r(seed) % 2) {
            uint8_t sector[SECTOR] = {0};
            size_t begin = (size_t)(at - change->at), len = (size_t)(next - at);
            if (begin < change->before_len)
                memcpy(sector, change->before + begin, size_min(len, change->before_len - begin));
            CHECK_INT(pwrite(fd, sector, len, at), (ssize_t)len);
        }
        at = next;
    }
    struct stat st;
    CHECK_INT(fstat(fd, &st), 0);
    if (st.st_size > change->length && rand_r(seed) % 2)
        CHECK_INT(__real_ftruncate(fd, change->length + rand_r(seed) % (st.st_size - change->length + 1)), 0);
}

static void put_back(const struct change *change, const char *path, off_t at)
{
    cleanup(fd_close_p) int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    CHECK(fd >= 0);
    CHECK_INT(pwrite(fd, change->before, change->before_len, at), (ssize_t)change->before_len);
}

/* Is the file there that this was done to? */
static bool has_file(const struct change *change)
{
    return !change->removed || change->removed->undone;
}

/* Newest first; and a name that another file has by now is not given back. */
static void undo(struct change *change, const char *path, const char *from, unsigned *seed)
{
    switch (change->kind) {
    case WRITTEN: drop_sectors(change, path, seed); return;
    case CUT:
        if (rand_r(seed) % 2)
            put_back(change, path, change->at);
        return;
    case MADE: change->undone = rand_r(seed) % 2 && unlink(path) == 0; return;
    case REMOVED:
        change->undone = rand_r(seed) % 2 && access(path, F_OK) < 0;
        if (change->undone)
            put_back(change, path, 0);
        return;
    case RENAMED: change->undone = rand_r(seed) % 2 && rename(path, from) == 0; return;
    }
}

/* The name that the change's file has in the copy, where the folder's renamings may have been undone. */
static const char *name_of(const struct change *change)
{
    const char *path = change->path;
    for (const struct change *at = changes; at != change; at = at->next)
        if (at->kind == RENAMED && at->undone && !is_of_names(change) && strcmp(at->path, path) == 0)
            path = at->from;
    return path;
}

/* Where nothing has to wait for a disk, if there is such a place: thousands of copies are made. */
static char *new_folder(void)
{
    const char *memory = "/dev/shm";
    if (getenv("TMPDIR") || access(memory, W_OK) < 0)
        return folder_new();
    char *folder = str_printf("%s/gatehouse-power-XXXXXX", memory);
    CHECK(mkdtemp(folder));
    return folder;
}

char *power_cut(const char *folder, unsigned seed)
{
    char *copy = new_folder();
    size_t len = strlen(folder);
    copy_folder(folder, copy);
    for (struct change *change = changes; change; change = change->next)
        change->undone = false;
    for (struct change *change = changes; change; change = change->next) {
        if (strncmp(change->path, folder, len) != 0 || !has_file(change))
            continue;
        cleanup_free char *path = str_printf("%s%s", copy, name_of(change) + len);
        cleanup_free char *from = str_printf("%s%s", copy, change->from ? change->from + len : "");
        undo(change, path, from, &seed);
    }
    return copy;
}
