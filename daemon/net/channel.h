/* The descriptor of a connection together with its filters: bytes in, bytes out, never blocking. For net's own files.
 *
 *      conn ─── WebSocket or nothing ─── TLS or nothing ─── descriptor
 *
 * Each direction says what it waits for. Plain, that is EPOLLIN for reading and EPOLLOUT for writing; TLS may have to
 * write before it can read, and the other way round.
 */
#pragma once

#include "net/address.h"
#include "net/conn.h"

#include <sys/uio.h>

struct channel {
    struct watch watch;          /* has the descriptor; the connection says what to do when it is ready */
    struct ssl_st *tls;          /* NULL: plain */
    struct websocket *websocket; /* NULL: none */
    struct address peer;
    uint8_t read_wants;  /* EPOLLIN or EPOLLOUT */
    uint8_t write_wants; /* the same; 0 when writing does not wait for anything */
    bool more; /* a filter holds input that epoll does not know of, or the end comes with the next read */
    bool secured : 1; /* the handshake of TLS is done */
    bool settled : 1; /* and the first bytes have come through it */
};

/* Takes the endpoint over, also when it fails. */
int channel_init(struct channel *channel, const struct endpoint *endpoint) must_check;
void channel_done(struct channel *channel);

/* A step of the filters' handshakes: 0 when they are done, -EAGAIN, or the fault, logged with the peer's address. After a
 * fault an answer may be owed. */
int channel_handshake(struct channel *channel) must_check;
/* May what comes be looked at in this turn of the loop? A thousand who come back at once would have everybody else wait for all their
 * signatures and first packets: a turn has a little time for newcomers, and those who are left are asked in the turns to come, since epoll
 * says again that they are ready. The same for those who leave. Without TLS all that costs little: always. */
bool channel_may_come_in(const struct channel *channel, uint64_t turn);
bool channel_may_leave(const struct channel *channel, uint64_t turn);
/* Whose handshake it is: "TLS", "WebSocket". */
const char *channel_filter_name(const struct channel *channel);

/* Reads into the pieces: how many bytes, 0 at the end, -EAGAIN, or the fault. */
ssize_t channel_read(struct channel *channel, const struct iovec *pieces, int count);
enum { CHANNEL_PIECES_MAX = 64 };

/* Writes the pieces, which are len bytes: how many went, fewer than all when write_wants is set; or the fault. What was
 * left comes first in the next call. len 0: writes what is owed. */
ssize_t channel_write(struct channel *channel, const struct iovec *pieces, int count, size_t len);
/* Do the filters have something to write, whether there is output or not? An answer, a pong, a close frame. */
bool channel_owes(const struct channel *channel);
/* Is there a filter that can tell the peer of that fault? */
bool channel_can_tell(const struct channel *channel, int fault);
/* Nothing more will come behind the output: a good-bye is owed that says why. */
void channel_leave(struct channel *channel, int why);
/* Nothing more will be written: says so to the peer, after everything that was. */
bool channel_finish(struct channel *channel);
/* Takes what the peer still sends, for nobody. Both: false when it has closed. Closing with input unread would send a reset,
 * and a reset takes from the peer what it has not read yet: perhaps the packet that says why. */
bool channel_read_away(struct channel *channel);

/* Common name of the peer's verified certificate, NULL without one. Valid as long as the channel. */
const char *channel_certificate_name(const struct channel *channel);
/* The certificate itself in DER form, which the caller frees; NULL without one. */
uint8_t *channel_certificate(const struct channel *channel, size_t *len) must_check;
/* The host name that a TLS client asked for; NULL: none. */
const char *channel_server_name(const struct channel *channel);

/* A connection's, for what is asked about it (conn_who.c). */
const struct channel *conn_channel(const struct conn *conn);
