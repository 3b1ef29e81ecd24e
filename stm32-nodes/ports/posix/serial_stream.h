/* A ghn_stream over a serial line (wire/serial.h), as a board has it at its UART. */
#pragma once

#include "ghn/stream.h"
#include "wire/serial.h"

struct serial_stream {
    struct wire_serial link; /* first: its callbacks find this by it */
    const ghn_port *port;
    const char *device;
    int fd; /* -1: closed */
    bool lost;
    uint8_t in[WIRE_SERIAL_PAYLOAD_MAX]; /* what has come and was not read */
    size_t in_len;
    char serial[WIRE_SERIAL_NAME_MAX + 1];
};

void serial_stream_init(struct serial_stream *stream, const char *device, const char *serial,
                        const ghn_port *port);
ghn_stream serial_stream_of(struct serial_stream *stream);
/* In how many milliseconds it wants to be looked at although the line is quiet; -1: not at all. */
int serial_stream_wait(const struct serial_stream *stream);
