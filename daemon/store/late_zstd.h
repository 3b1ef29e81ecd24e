/* zstd, loaded when a segment is first packed or read packed: most gateways pack nothing, and every start would pay for it. */
#pragma once

#include <zstd.h>

struct late_zstd {
    __typeof__(ZSTD_createDCtx) *create_dctx;
    __typeof__(ZSTD_freeDCtx) *free_dctx;
    __typeof__(ZSTD_decompressDCtx) *decompress;
    __typeof__(ZSTD_createCCtx) *create_cctx;
    __typeof__(ZSTD_freeCCtx) *free_cctx;
    __typeof__(ZSTD_compressCCtx) *compress;
    __typeof__(ZSTD_isError) *is_error;
};

/* From any thread. NULL: it cannot be loaded, which is logged once; it is tried again with every call. */
const struct late_zstd *late_zstd(void);
