/* Base64 as RFC 4648 has it, with padding. Pure. */
#pragma once

#include "base/base.h"

static inline size_t base64_size(size_t len)
{
    return (len + 2) / 3 * 4;
}

/* Writes base64_size(len) bytes and no NUL. */
void base64_write(char *to, const void *bytes, size_t len);
