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
int __wrap_fdatasync(int fd);
int __wrap_fsync(int fd);
int __wrap_ftruncate(int fd, off_t length);
ssize_t __wrap_pwritev(int fd, const struct iovec *parts, int count, off_t offset);
int __wrap_openat(int folder, const char *path, int flags, mode_t mode);
int __wrap_unlinkat(int folder, const char *path, int flags);

void (*power_before)(void);

/* Something that was done and is not synced, newest first. */
struct change {
    struct change *next;
    enum { WRITTEN, CUT, MADE, REMOVED } kind;
    char *path;       /* of the file */
    off_t at, length; /* WRITTEN: where; CUT: the length before */
    size_t len;
    uint8_t *before; /* bytes that were there, or all of a file that was removed */
    size_t before_len;
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

/* Forgets changes of a file, or of the names in a folder. */
static void forget(const char *path, bool names)
{
    size_t len = strlen(path);
    for (struct change **at = &changes; *at;) {
        struct change *change = *at;
        bool is_name = change->kind == MADE || change->kind == REMOVED;
        bool is_there = names ? is_name && strncmp(change->path, path, len) == 0 &&
                                    change->path[len] == '/' && !strchr(change->path + len + 1, '/')
                              : !is_name && strcmp(change->path, path) == 0;
        if (!is_there) {
            at = &change->next;
            continue;
        }
        *at = change->next;
        change_free(change);
    }
}

static void synced(int fd)
{
    cleanup_free char *path = path_of(fd);
    struct stat st;
    CHECK_INT(fstat(fd, &st), 0);
    forget(path, S_ISDIR(st.st_mode));
}

int __wrap_fdatasync(int fd)
{
    boundary();
    int r = __real_fdatasync(fd);
    if (r == 0)
        synced(fd);
    return r;
}

int __wrap_fsync(int fd)
{
    boundary();
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

int __wrap_openat(int folder, const char *path, int flags, mode_t mode)
{
    bool makes = (flags & O_CREAT) && strstr(path, ".seg");
    if (makes)
        boundary();
    int fd = __real_openat(folder, path, flags, mode);
    if (makes && fd >= 0)
        (void)note(MADE, path_of(fd));
    return fd;
}

int __wrap_unlinkat(int folder, const char *path, int flags)
{
    if (!strstr(path, ".seg"))
        return __real_unlinkat(folder, path, flags);
    boundary();
    int fd = __real_openat(folder, path, O_RDONLY | O_CLOEXEC, 0);
    if (fd >= 0) {
        struct stat st;
        CHECK_INT(fstat(fd, &st), 0);
        cleanup_free char *name = path_of(fd);
        struct change *change = note(REMOVED, str_copy(name));
        remember_bytes(change, fd, 0, (size_t)st.st_size);
        (void)close(fd);
    }
    return __real_unlinkat(folder, path, flags);
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
        if (rand_r(seed) % 2)
            for (off_t i = at; i < next; i++) {
                size_t k = (size_t)(i - change->at);
                uint8_t byte = k < change->before_len ? change->before[k] : 0;
                CHECK_INT(pwrite(fd, &byte, 1, i), 1);
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

char *power_cut(const char *folder, unsigned seed)
{
    char *copy = folder_new();
    size_t len = strlen(folder);
    copy_folder(folder, copy);
    for (const struct change *change = changes; change; change = change->next) {
        if (strncmp(change->path, folder, len) != 0)
            continue;
        cleanup_free char *path = str_printf("%s%s", copy, change->path + len);
        switch (change->kind) {
        case WRITTEN: drop_sectors(change, path, &seed); break;
        case CUT:
            if (rand_r(&seed) % 2)
                put_back(change, path, change->at);
            break;
        case MADE:
            if (rand_r(&seed) % 2)
                (void)unlink(path);
            break;
        case REMOVED:
            if (rand_r(&seed) % 2)
                put_back(change, path, 0);
            break;
        }
    }
    return copy;
}
