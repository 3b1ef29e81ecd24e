/* store_image_make OUTPUT: writes store_image.c, what the migrations make of an empty file. Runs when gatehoused is built. */
#include "store/migration.h"
#include "store/store_db.h"
#include "store/store_new.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { GAP = 16 }; /* zeros; fewer are cheaper to keep than another piece */

static bool is_gap(const uint8_t *bytes, size_t size)
{
    static const uint8_t zeros[GAP];
    return memcmp(bytes, zeros, size_min(size, sizeof zeros)) == 0;
}

static void write_source(FILE *to, const uint8_t *bytes, size_t size)
{
    struct store_image_piece *pieces = mem_new_bytes(size / GAP * sizeof *pieces + sizeof *pieces);
    uint32_t count = 0;
    (void)fputs("/* Made from schema/state by store_image_make.c. */\n#include \"store/store_new.h\"\n\n"
                "static const uint8_t bytes[] = {",
                to);
    for (size_t at = 0; at < size;) {
        if (is_gap(bytes + at, size - at)) {
            at++;
            continue;
        }
        size_t end = at;
        while (end < size && !is_gap(bytes + end, size - end))
            end++;
        for (size_t i = at; i < end; i++)
            (void)fprintf(to, "%s%u,", i % 32 ? "" : "\n    ", bytes[i]);
        pieces[count++] = (struct store_image_piece){(uint32_t)at, (uint32_t)(end - at)};
        at = end;
    }
    (void)fputs("\n};\n\nstatic const struct store_image_piece pieces[] = {\n", to);
    for (uint32_t i = 0; i < count; i++)
        (void)fprintf(to, "    {%u, %u},\n", pieces[i].at, pieces[i].size);
    (void)fprintf(to, "};\n\nconst struct store_image store_image = {%zu, %u, pieces, bytes};\n", size,
                  count);
    free(pieces);
}

/* A clock would make every build another program. */
static int forget_times(const char *path)
{
    sqlite3 *sqlite = NULL;
    int rc = sqlite3_open_v2(path, &sqlite, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_exec(sqlite, "UPDATE migration SET applied = 0", NULL, NULL, NULL);
    int r = store_fault(sqlite, rc);
    (void)sqlite3_close(sqlite);
    return r;
}

static int make(const char *output, const char *database)
{
    (void)unlink(database);
    int fd = open(database, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    int r = store_build(database);
    if (r == 0)
        r = forget_times(database);
    off_t size = lseek(fd, 0, SEEK_END);
    cleanup_free uint8_t *bytes = mem_new_bytes(size > 0 ? (size_t)size : 1);
    if (r == 0 && (size <= 0 || pread(fd, bytes, (size_t)size, 0) != size))
        r = -EIO;
    (void)close(fd);
    (void)unlink(database);
    FILE *to = r == 0 ? fopen(output, "we") : NULL;
    if (!to)
        return r < 0 ? r : -errno;
    write_source(to, bytes, (size_t)size);
    return fclose(to) == 0 ? 0 : -errno;
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        (void)fputs("store_image_make: expected one argument, the C file to write\n", stderr);
        return 2;
    }
    cleanup_free char *database = str_printf("%s.db", argv[1]);
    int r = make(argv[1], database);
    if (r < 0) {
        (void)fprintf(stderr, "store_image_make: %s: %s\n", argv[1], strerror(-r));
        (void)unlink(argv[1]);
        return 1;
    }
    return 0;
}
