/* For tests of connections: a loop with a clock moved by hand, and a recorder that uses a connection and writes down what
 * happens to it. The other side is a raw descriptor in the test's hands.
 *
 *      cleanup(net_rig_free_p) struct net_rig *rig = net_rig_new();
 *      cleanup(recorder_done) struct recorder recorder = {0};
 *      cleanup(fd_close_p) int raw = net_pair(rig, &recorder);
 *      raw_write(raw, "abc", 3);
 *      net_turn(rig);
 *      CHECK_MEM(recorder.bytes, recorder.len, "abc", 3);
 *
 * Pairs are Unix sockets, whose bytes are there as soon as they are written: nothing waits in these tests. */
#pragma once

#include "net/conn.h"
#include "rig/test.h"

struct net_rig {
    struct clock clock;
    struct loop *loop;
};

struct net_rig *net_rig_new(void);
struct net_rig *net_rig_free(struct net_rig *rig);
define_cleanup(struct net_rig *, net_rig_free)

/* Turns until nothing more happens by itself; that it goes on for ever is a failure. */
void net_turn(struct net_rig *rig);
/* Turns, waiting for the kernel where it must, until *what is not zero. For TCP. */
void net_turn_until(struct net_rig *rig, const unsigned *what);
void net_wait(struct net_rig *rig, int64_t ms); /* moves the clock, then net_turn() */

struct recorder {
    struct conn_user user;
    struct conn *conn; /* NULL once it is closed */
    /* Uses bytes; NULL: all of them. */
    ssize_t (*take)(struct recorder *recorder, const uint8_t *bytes, size_t len);
    void (*on_drained)(struct recorder *recorder);
    uint8_t *bytes; /* what was used, in order */
    size_t len;
    size_t offered; /* with the last received() */
    unsigned received, drained, closed;
    int why;
    char peer[64];            /* as closed() could still ask for it */
    bool inside;              /* a conn_ function: closed() must not come now */
    struct recorder *another; /* for take() and on_drained() of a test */
    struct net_rig *rig;
};

void recorder_done(struct recorder *recorder);
void recorder_forget(struct recorder *recorder); /* the bytes */
void recorder_init(struct recorder *recorder);   /* the callbacks, for conn_set_user(); net_conn() does it */

extern const struct conn_limits net_limits; /* 1 MiB of tail, 64 KiB of high water */
/* A connection on a descriptor, its user is the recorder. */
void net_conn(struct net_rig *rig, struct recorder *recorder, int fd, struct ssl_st *tls);
void net_endpoint(struct net_rig *rig, struct recorder *recorder, const struct endpoint *endpoint);
/* A connection on one end of a pair; returns the other, which does not block. */
int net_pair(struct net_rig *rig, struct recorder *recorder);

/* The same from inside a conn_ function's call: INSIDE(&recorder, conn_close(recorder.conn)). */
#define INSIDE(recorder, call) ((recorder)->inside = true, (call), (recorder)->inside = false)

/* All of it or a failed test. */
void raw_write(int fd, const void *bytes, size_t len);
/* Up to size bytes that are there now: how many, 0 at the end, -errno. */
ssize_t raw_read(int fd, void *bytes, size_t size);
/* A TCP connection over loopback: the accepted end and, in *peer, the connecting one. */
int tcp_pair(int *peer);
void send_buffer(int fd, int bytes); /* how much the kernel takes before it says "later" */

/* Bytes that are recognised when they come at the wrong place. */
void pattern(uint8_t *bytes, size_t len, uint32_t seed);
/* A packet: its length in 4 bytes, most significant first, then a pattern of len bytes; returns 4 + len. */
size_t packet_put(uint8_t *to, size_t len);
/* take(): whole packets; says what it expects. */
ssize_t take_packets(struct recorder *recorder, const uint8_t *bytes, size_t len);
ssize_t take_nothing(struct recorder *recorder, const uint8_t *bytes, size_t len);

/* The log from now on: how many lines, and the last. */
struct log_lines {
    unsigned count;
    char last[512];
};
extern struct log_lines log_lines;
void log_listen(void);
