#include "store/late_zstd.h"

#include "base/log.h"

#include <dlfcn.h>
#include <stdatomic.h>

/* Two threads may load it at the same time: then one of them was in vain. A library that is not there may be there later. */

static _Atomic(const struct late_zstd *) loaded;
static atomic_bool missed;

static const struct late_zstd *load(void)
{
    struct late_zstd *functions = mem_new(struct late_zstd);
    const struct {
        const char *name;
        void *to;
    } symbols[] = {
        {"ZSTD_createDCtx", &functions->create_dctx},    {"ZSTD_freeDCtx", &functions->free_dctx},
        {"ZSTD_decompressDCtx", &functions->decompress}, {"ZSTD_createCCtx", &functions->create_cctx},
        {"ZSTD_freeCCtx", &functions->free_cctx},        {"ZSTD_compressCCtx", &functions->compress},
        {"ZSTD_isError", &functions->is_error},
    };
    void *library = dlopen("libzstd.so.1", RTLD_NOW | RTLD_LOCAL);
    bool is_there = library != NULL;
    for (size_t i = 0; i < array_size(symbols) && is_there; i++) {
        void *symbol = dlsym(library, symbols[i].name);
        __builtin_memcpy(symbols[i].to, &symbol, sizeof symbol);
        is_there = symbol != NULL;
    }
    const struct late_zstd *none = NULL;
    if (!is_there) {
        const char *why = dlerror();
        if (!atomic_exchange(&missed, true))
            log_error(
                "zstd: expected libzstd.so.1, which packed segments need (Debian's package libzstd1): %s; what is packed "
                "stays as it is and is read when the library is there",
                why ? why : "it cannot be loaded");
    } else if (atomic_compare_exchange_strong(&loaded, &none, functions)) {
        if (atomic_exchange(&missed, false))
            log_notice("zstd: libzstd.so.1 is there now");
        return functions;
    }
    free(functions);
    return atomic_load(&loaded);
}

const struct late_zstd *late_zstd(void)
{
    const struct late_zstd *functions = atomic_load(&loaded);
    return functions ? functions : load();
}
