/* What the port gives: a stream of bytes, time, chance. Three functions and a stream are all that a new board needs. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* A byte stream that never blocks. send and recv say how many bytes they moved: 0 = none now, negative = it is closed. A
 * recv that waits would keep the node from its keep-alive. */
typedef struct ghn_stream {
    int (*open)(void *ctx, const char *host, uint16_t port); /* 0 started, negative failed */
    int (*state)(void *ctx);                                 /* 0 opening, 1 up, negative closed */
    int (*send)(void *ctx, const uint8_t *p, size_t n);
    int (*recv)(void *ctx, uint8_t *p, size_t n);
    void (*close)(void *ctx); /* called once for each open() that returned 0 */
    void *ctx;
} ghn_stream;

typedef struct ghn_port {
    uint32_t (*now_ms)(void);            /* may wrap */
    int (*random)(uint8_t *p, size_t n); /* negative = no entropy: the node then refuses to connect */
} ghn_port;
