/* Whatever a file holds: it is taken or refused with sentences, and what was taken apart can be written down and read
 * again without a change. */
#include "config/config.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void must(bool truth)
{
    if (!truth)
        abort();
}

struct counter {
    struct ini_faults faults;
    size_t count;
};

static void count_fault(struct ini_faults *faults, char *sentence)
{
    container_of(faults, struct counter, faults)->count++;
    must(strstr(sentence, "file:") != NULL);
    free(sentence);
}

static char *written(const struct ini *ini)
{
    char *text;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    must(out != NULL);
    for (size_t i = 0; i < ini->count; i++) {
        const struct ini_section *section = &ini->sections[i];
        (void)fprintf(out, "[%s%s%s]\n", section->kind, *section->name ? " " : "", section->name);
        for (size_t k = 0; k < section->count; k++)
            (void)fprintf(out, "%s = %s\n", section->entries[k].key, section->entries[k].value);
    }
    (void)fclose(out);
    return text;
}

static void check_text(const char *text, size_t len)
{
    struct ini first = {0}, second = {0};
    struct counter counter = {.faults = {count_fault}};
    ini_parse(&first, "file", text, len, &counter.faults);
    cleanup_free char *once = written(&first);
    counter.count = 0;
    ini_parse(&second, "file", once, strlen(once), &counter.faults);
    cleanup_free char *twice = written(&second);
    must(counter.count == 0 && strcmp(once, twice) == 0);
    ini_done(&first);
    ini_done(&second);
}

static void check_file(const uint8_t *data, size_t len)
{
    char path[64];
    struct config config;
    int fd = memfd_create("config", MFD_CLOEXEC);
    must(fd >= 0 && write(fd, data, len) == (ssize_t)len);
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int r = config_load(&config, path);
    must((r < 0) == (config.fault_count > 0));
    config_done(&config);
    (void)close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (len > 65536)
        return 0;
    check_text((const char *)data, len);
    check_file(data, len);
    return 0;
}
