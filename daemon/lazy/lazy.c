#include "lazy/lazy.h"

#include "beside.h"

#include <dlfcn.h>
#include <string.h>

static void on_line(enum log_level level, const char *line)
{
    log_line(level, "%s", line);
}

const void *lazy_load(const char *file, const char *symbol, char **why)
{
    cleanup_free char *installed = str_printf("%s/%s", GATEHOUSE_LIB_DIR, file);
    cleanup_free char *path = find_beside(file, installed);
    void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    const struct lazy_part *part = handle ? dlsym(handle, symbol) : NULL;
    if (!part) {
        *why = str_printf("cannot be loaded: %s", dlerror());
        return NULL;
    }
    if (strcmp(part->version, GATEHOUSE_VERSION) != 0) {
        *why = str_printf("%s is of version %s, expected %s", path, part->version, GATEHOUSE_VERSION);
        return NULL;
    }
    part->log_to(on_line);
    part->set_log_level(LOG_LEVEL_DEBUG); /* the daemon decides what is written */
    return part;
}
