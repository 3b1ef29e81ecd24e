#include "store/late_zstd.h"

#include "base/log.h"

#include <dlfcn.h>
#include <pthread.h>

static struct late_zstd functions;
static bool is_there;

static void load(void)
{
    static const struct {
        const char *name;
        void *to;
    } symbols[] = {
        {"ZSTD_createDCtx", &functions.create_dctx},    {"ZSTD_freeDCtx", &functions.free_dctx},
        {"ZSTD_decompressDCtx", &functions.decompress}, {"ZSTD_createCCtx", &functions.create_cctx},
        {"ZSTD_freeCCtx", &functions.free_cctx},        {"ZSTD_compressCCtx", &functions.compress},
        {"ZSTD_isError", &functions.is_error},
    };
    void *library = dlopen("libzstd.so.1", RTLD_NOW | RTLD_LOCAL);
    is_there = library != NULL;
    for (size_t i = 0; i < array_size(symbols) && is_there; i++) {
        void *symbol = dlsym(library, symbols[i].name);
        __builtin_memcpy(symbols[i].to, &symbol, sizeof symbol);
        is_there = symbol != NULL;
    }
    if (!is_there)
        log_error("zstd: expected libzstd.so.1, which packed segments need: %s", dlerror());
}

const struct late_zstd *late_zstd(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, load);
    return is_there ? &functions : NULL;
}
