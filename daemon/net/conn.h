/* A connection: a non-blocking byte pipe with filters, one read buffer for all, and one write a turn.
 *
 * Reading: one recv per readiness into a buffer that all connections of the loop share. What the user did not take
 * (an unfinished packet) is kept for this connection alone until the rest has come, so an idle connection owns no
 * buffers. Writing: conn_write() copies small pieces, conn_write_msg() references a message's payload; everything goes
 * out in the turn's FLUSH phase with one gathered write. EPOLLOUT is asked for only after a short write. TCP_NODELAY is
 * always on.
 *
 * Filters sit between this and the descriptor: TLS or nothing, above it WebSocket or nothing. (A serial line is a pair of sockets here: cable.h.) Their
 * handshakes happen inside and have 10 s together; the user hears of a connection that failed them by closed() only.
 *
 * A peer that has closed its side still gets what is queued then, like after conn_close().
 */
#pragma once

#include "base/loop.h"
#include "base/msg.h"
#include "net/address.h"

#include <sys/types.h>

struct conn;

struct conn_user;

/* What happens to a connection: one constant for all users of a kind. */
struct conn_events {
    /* Bytes have come. Returns how many were used; the rest is kept and given again together with what follows, or
     * after conn_resume(), or at once to the user that conn_set_user() named. -errno ends the connection. May call
     * every conn_ function but conn_free(). */
    ssize_t (*received)(struct conn_user *user, const uint8_t *bytes, size_t len);
    /* The output has gone below half of the high-water mark after having been above it. May be NULL. */
    void (*drained)(struct conn_user *user);
    /* The end, called once, from the loop and never from inside a conn_ function; why is 0 (peer closed, or
     * conn_close() is through) or −errno. The conn still says who was there, and is gone when this returns. */
    void (*closed)(struct conn_user *user, int why);
};

/* Whoever speaks through the connection embeds this and finds itself with container_of(). */
struct conn_user {
    const struct conn_events *on;
};

/* Stay their owner's and outlive the connections that keep to them. */
struct conn_limits {
    size_t tail_max;   /* unfinished input kept at most; more is -EMSGSIZE */
    size_t high_water; /* output above this is backlog: conn_is_congested() */
};

enum { CONN_UNEXPECTED_MAX = 32 * 1024 }; /* unfinished input without conn_expect(), whatever tail_max says */

/* What a connection is made of: a descriptor and the filters on it. Whoever carries it from where somebody came in to
 * conn_new() need not look into it. */
struct endpoint {
    int fd;
    struct address from;         /* who is at the other end; AF_UNSPEC: the kernel is asked */
    struct ssl_st *tls;          /* NULL: plain; accepting or connecting side */
    struct websocket *websocket; /* above it, accepting side; NULL: none */
};
void endpoint_close(struct endpoint *endpoint); /* for whoever does not want it */

/* Takes the endpoint over, also when it fails. */
int conn_new(struct conn **ret, struct loop *loop, const struct endpoint *endpoint,
             const struct conn_limits *limits, struct conn_user *user) must_check;
/* Another user from now on, for instance after sniffing. */
void conn_set_user(struct conn *conn, struct conn_user *user);
/* From inside received(): what is left unused is the beginning of so many bytes. The connection then gathers them where
 * they will stay and calls received() when they are complete. */
void conn_expect(struct conn *conn, size_t bytes);

/* Queue output. Faults show up as closed(); a connection that is closing takes nothing more. */
void conn_write(struct conn *conn, const void *bytes, size_t len);
/* Room for up to len bytes to be encoded in place, valid until the next conn_ call; NULL when output is not taken any
 * more. conn_wrote() says how many became output. Cheaper than a copy. */
uint8_t *conn_room(struct conn *conn, size_t len);
void conn_wrote(struct conn *conn, size_t len);
/* Bytes inside a message, by reference when they are worth it. */
void conn_write_msg(struct conn *conn, struct msg *msg, const uint8_t *bytes, size_t len);
size_t conn_pending(const struct conn *conn); /* bytes queued and not yet given to the kernel */
bool conn_is_congested(const struct conn *conn);

/* Back-pressure: stop and go on reading. Counted: as many resumes as pauses. */
void conn_pause(struct conn *conn);
void conn_resume(struct conn *conn);

/* Writes what is queued (for at most 5 s), waits a second for the peer to read it and close, then ends. */
void conn_close(struct conn *conn);
/* Ends without writing; closed(why) comes in this turn or the next. */
void conn_abort(struct conn *conn, int why);
/* Ends at once without any callback; for shutdown, not from inside a callback of this connection. */
struct conn *conn_free(struct conn *conn);

/* Frees what connections keep for each other, until it is wanted again. */
void conn_give_back(void);

/* Who is there: "127.0.0.1:51234", "unix:pid=12,uid=0". Valid until the fourth call after this one. */
const char *conn_peer(const struct conn *conn);
/* The same, for listener_left(). */
const struct address *conn_address(const struct conn *conn);
/* Peer credentials of a Unix socket; false elsewhere. */
bool conn_credentials(const struct conn *conn, pid_t *pid, uid_t *uid);
/* Common name of the verified client certificate, NULL without one. Valid as long as the conn; known once bytes come. */
const char *conn_certificate_name(const struct conn *conn);
/* The certificate itself in DER form, which the caller frees; NULL without one. */
uint8_t *conn_certificate(const struct conn *conn, size_t *len) must_check;
/* The host name that a TLS client asked for (SNI), NULL without one. Valid as long as the conn. */
const char *conn_server_name(const struct conn *conn);
