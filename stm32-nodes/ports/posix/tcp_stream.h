/* A ghn_stream over a TCP socket that never blocks (except while a host name is resolved, which a simulator may), with
 * faults on command.
 *
 * drop:  the connection is cut about every so many milliseconds.
 * delay: what arrives reaches the node so many milliseconds later.
 */
#pragma once

#include "ghn/stream.h"

#include <stdbool.h>
#include <time.h>

struct tcp_faults {
    uint32_t drop, delay; /* ms; 0: none */
};

struct tcp_stream {
    int fd; /* -1: closed */
    bool up;
    unsigned attempts;
    struct tcp_faults faults;
    uint32_t drop_at;
    uint32_t arrived_at; /* counts while something waits */
    bool arrived;
};

void tcp_stream_init(struct tcp_stream *tcp, const struct tcp_faults *faults);
/* The node's view of it; tcp must stay where it is. */
ghn_stream tcp_stream_of(struct tcp_stream *tcp);
/* In how many milliseconds the stream wants to be looked at although its socket is quiet; -1: not at all. */
int tcp_stream_wait(const struct tcp_stream *tcp);
/* What poll() should wait for on tcp->fd. */
short tcp_stream_events(const struct tcp_stream *tcp);

/* The port's other two functions. */
extern const ghn_port posix_port;
/* How many times as fast as ours the nodes' clock runs, for all of them and from the beginning; 1. */
extern uint32_t posix_port_speed;
/* So many milliseconds of theirs, as long as they last here. */
struct timespec posix_port_timeout(int32_t ms);
