/* What a connection keeps of input that its user did not use: some bytes, and how many they are to become. For conn.c. */
#pragma once

#include "base/base.h"

#include <errno.h>
#include <string.h>

struct tail {
    size_t len, size; /* bytes that have come; and that are to come */
    uint8_t bytes[];
};

static inline bool tail_must_gather(const struct tail *tail)
{
    return tail && tail->len < tail->size;
}

/* A tail of that size that begins with some bytes, instead of the present one, in which they may be. -ENOMEM. */
static inline int tail_set(struct tail **ret, size_t size, const uint8_t *bytes, size_t len)
{
    struct tail *tail = malloc(sizeof *tail + size);
    if (!tail)
        return -ENOMEM;
    tail->len = len;
    tail->size = size;
    memcpy(tail->bytes, bytes, len);
    free(*ret);
    *ret = tail;
    return 0;
}
