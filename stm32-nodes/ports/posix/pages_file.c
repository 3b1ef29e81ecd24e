#include "pages_file.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static int on_read(void *ctx, unsigned page, uint8_t *bytes, size_t n)
{
    const struct pages_file *file = ctx;
    int fd = open(file->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    ssize_t got = pread(fd, bytes, n, (off_t)page * GHN_PAGE_SIZE);
    (void)close(fd);
    return got == (ssize_t)n ? 0 : -1;
}

static int on_write(void *ctx, unsigned page, const uint8_t *bytes, size_t n)
{
    const struct pages_file *file = ctx;
    uint8_t back[GHN_PAGE_SIZE];
    int fd = open(file->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return -1;
    bool good = pwrite(fd, bytes, n, (off_t)page * GHN_PAGE_SIZE) == (ssize_t)n && fsync(fd) == 0 &&
                pread(fd, back, n, (off_t)page * GHN_PAGE_SIZE) == (ssize_t)n && memcmp(bytes, back, n) == 0;
    ghn_wipe(back, sizeof back);
    (void)close(fd);
    return good ? 0 : -1;
}

void pages_file_init(struct pages_file *file, const char *path)
{
    *file = (struct pages_file){.path = path, .pages = {on_read, on_write, file}};
}

int pages_file_identity(const char *path, ghn_identity *ret)
{
    uint8_t page[GHN_PAGE_SIZE];
    struct pages_file file = {.path = path};
    int r = on_read(&file, 0, page, sizeof page) < 0 ? GHN_INVALID : ghn_identity_read(ret, page);
    ghn_wipe(page, sizeof page);
    return r;
}
