/* What a simulated node hangs on: TCP, or a serial line. */
#pragma once

#include "serial_stream.h"
#include "tcp_stream.h"

#include <poll.h>

struct line {
    bool is_serial;
    struct tcp_stream tcp;
    struct serial_stream serial;
};

static inline ghn_stream line_stream(struct line *line)
{
    return line->is_serial ? serial_stream_of(&line->serial) : tcp_stream_of(&line->tcp);
}

static inline int line_fd(const struct line *line)
{
    return line->is_serial ? line->serial.fd : line->tcp.fd;
}

/* As tcp_stream_wait(), tcp_stream_events(). */
static inline int line_wait(const struct line *line)
{
    return line->is_serial ? serial_stream_wait(&line->serial) : tcp_stream_wait(&line->tcp);
}

static inline short line_events(const struct line *line)
{
    return line->is_serial ? POLLIN : tcp_stream_events(&line->tcp);
}
