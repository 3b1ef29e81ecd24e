/* Non-blocking MQTT connections on one epoll: what the load generator and the floor have in common.
 *
 * The rule of both is one recv per ready socket and one send per connection and turn: what is written during a turn
 * waits in the link's `out`, and hub_flush() at the end of the turn sends it. One large buffer is shared by all for
 * reading; a link keeps only the unfinished tail. EPOLLOUT is armed after a short send and disarmed when it is done.
 *
 * A link may be secure (secure.h): then recv and send are OpenSSL's.
 */
#pragma once

#include "bench/frame.h"

#include <stdbool.h>

struct ssl_ctx_st;
struct ssl_st;

struct link {
    int fd;             /* -1 once closed */
    struct ssl_st *tls; /* NULL: plain */
    bool dirty, blocked;
    struct link *next_dirty;
    struct bytes out;
    size_t out_sent;
    struct bytes tail;
};

struct hub {
    int epoll;
    struct link *dirty;
    uint8_t *in;
};

int hub_init(struct hub *hub);

/* Takes the socket over, makes it non-blocking and watches it; epoll's data is the link. */
int link_open(struct hub *hub, struct link *link, int fd);
/* Directly after link_open(): all that goes through is TLS. */
int link_secure(struct link *link, struct ssl_ctx_st *context);
void link_close(struct link *link);

/* The bytes to add to; whoever calls it adds some. */
struct bytes *link_out(struct hub *hub, struct link *link);

/* One recv (of a secure link: as many as there is to read), and `on_frame` for every frame that became complete; it returns 0 or -errno, which ends the reading.
 * Returns 0, -EPIPE when the peer has closed, or another -errno. */
int link_receive(struct hub *hub, struct link *link, int (*on_frame)(struct link *, const struct frame *));

/* Sends what waits on this link; 0 or -errno. */
int link_flush(struct hub *hub, struct link *link);

/* Sends what waits on all; `on_error` hears of the links that failed. */
void hub_flush(struct hub *hub, void (*on_error)(struct link *, int r));

/* Addresses are "mqtt://HOST:PORT" or "mqtts://HOST:PORT" with a numeric HOST, or "unix:///PATH". Blocking; returns a
 * descriptor or -errno. */
bool address_is_secure(const char *uri);
int address_connect(const char *uri);
int address_connect_later(const char *uri); /* non-blocking: it is writable when it is there */
int address_listen(const char *uri);
