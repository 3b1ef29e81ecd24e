/* The secure layer: a stream that protects another with a key that node and gateway share (TLS-PSK). A port gives one; the node
 * does not know which library it is.
 *
 *      node ─▶ secure.stream ─▶ TLS ─▶ the board's stream (TCP, serial line)
 *
 * stream.state() is 1 when the handshake is through: then the other side has proved that it has the key, too.
 */
#pragma once

#include "ghn/stream.h"

typedef struct ghn_secure {
    ghn_stream stream;
    /* For connections opened from now on; both are copied. The key has 32 bytes. 0, or negative: no memory. */
    int (*use)(void *ctx, const char *identity, const uint8_t *key);
    void *ctx;
} ghn_secure;
