/* The descriptor of a connection together with its filter, nothing or TLS: bytes in, bytes out, never blocking. For net's
 * own files.
 *
 * Each direction says what it waits for. Plain, that is EPOLLIN for reading and EPOLLOUT for writing; TLS may have to
 * write before it can read, and the other way round.
 */
#pragma once

#include "net/address.h"

#include <sys/uio.h>

struct ssl_st;

struct channel {
    int fd;
    struct ssl_st *tls; /* NULL: plain */
    struct address peer;
    uint8_t read_wants;  /* EPOLLIN or EPOLLOUT */
    uint8_t write_wants; /* the same; 0 when writing does not wait for anything */
    bool more; /* TLS holds input that epoll does not know of, or the end comes with the next read */
};

/* Takes the descriptor and the TLS over, also when it fails. */
int channel_init(struct channel *channel, int fd, struct ssl_st *tls) must_check;
void channel_done(struct channel *channel);

/* A step of the TLS handshake: 0 when it is done, -EAGAIN, or the fault, logged with the peer's address. */
int channel_handshake(struct channel *channel) must_check;

/* Reads into the pieces: how many bytes, 0 at the end, -EAGAIN, or the fault. */
ssize_t channel_read(struct channel *channel, const struct iovec *pieces, int count);
/* Writes the pieces, which are len bytes: how many went, fewer than all when write_wants is set; or the fault. What was
 * left comes first in the next call. */
ssize_t channel_write(struct channel *channel, const struct iovec *pieces, int count, size_t len);
/* Nothing more will be written: says so to the peer, after everything that was. */
void channel_finish(struct channel *channel);

/* Common name of the peer's verified certificate into name; false without one. */
bool channel_certificate_name(const struct channel *channel, char *name, size_t size);
