#include "serial_stream.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

static struct serial_stream *of(struct wire_serial *link)
{
    return (struct serial_stream *)(void *)link;
}

static bool on_data(struct wire_serial *link, const uint8_t *bytes, size_t len)
{
    struct serial_stream *stream = of(link);
    if (stream->in_len)
        return false;
    memcpy(stream->in, bytes, len);
    stream->in_len = len;
    return true;
}

static void on_closed(struct wire_serial *link, enum wire_serial_reason reason)
{
    (void)reason;
    of(link)->lost = true;
}

/* Whatever can be read and written now. */
static void move(struct serial_stream *stream)
{
    uint8_t bytes[256];
    size_t len;
    if (stream->fd < 0)
        return;
    ssize_t n = read(stream->fd, bytes, sizeof bytes);
    if (n > 0)
        wire_serial_input(&stream->link, bytes, (size_t)n, stream->port->now_ms());
    else if (n == 0 || (errno != EAGAIN && errno != EINTR))
        stream->lost = true;
    for (const uint8_t *out; (out = wire_serial_output(&stream->link, &len, stream->port->now_ms()));) {
        n = write(stream->fd, out, len);
        if (n <= 0)
            break;
        wire_serial_wrote(&stream->link, (size_t)n, stream->port->now_ms());
    }
}

static int open_stream(void *ctx, const char *host, uint16_t port)
{
    struct serial_stream *stream = ctx;
    const struct wire_serial_events events = {.data = on_data, .closed = on_closed};
    struct termios how;
    uint8_t nonce[WIRE_SERIAL_NONCE];
    (void)host, (void)port;
    stream->fd = open(stream->device, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    if (stream->fd < 0)
        return -1;
    if (tcgetattr(stream->fd, &how) < 0 || stream->port->random(nonce, sizeof nonce) < 0) {
        (void)close(stream->fd);
        return stream->fd = -1;
    }
    cfmakeraw(&how);
    (void)cfsetspeed(&how, B115200);
    (void)tcsetattr(stream->fd, TCSANOW, &how);
    stream->lost = false;
    stream->in_len = 0;
    wire_serial_init(&stream->link, &events, stream->serial);
    wire_serial_open(&stream->link, nonce, stream->port->now_ms());
    move(stream);
    return 0;
}

static int state_of(void *ctx)
{
    struct serial_stream *stream = ctx;
    move(stream);
    return stream->lost ? -1 : stream->link.up;
}

static int send_bytes(void *ctx, const uint8_t *p, size_t n)
{
    struct serial_stream *stream = ctx;
    move(stream);
    if (stream->lost)
        return -1;
    size_t sent = wire_serial_send(&stream->link, p, n, stream->port->now_ms());
    move(stream);
    return (int)sent;
}

static int receive_bytes(void *ctx, uint8_t *p, size_t n)
{
    struct serial_stream *stream = ctx;
    move(stream);
    size_t len = n < stream->in_len ? n : stream->in_len;
    memcpy(p, stream->in, len);
    stream->in_len -= len;
    memmove(stream->in, stream->in + len, stream->in_len);
    return len ? (int)len : stream->lost ? -1 : 0;
}

static void close_stream(void *ctx)
{
    struct serial_stream *stream = ctx;
    wire_serial_close(&stream->link);
    move(stream);
    (void)close(stream->fd);
    stream->fd = -1;
}

void serial_stream_init(struct serial_stream *stream, const char *device, const char *serial,
                        const ghn_port *port)
{
    *stream = (struct serial_stream){.fd = -1, .device = device, .port = port};
    size_t len = strlen(serial);
    memcpy(stream->serial, serial, len < sizeof stream->serial ? len : sizeof stream->serial - 1);
}

ghn_stream serial_stream_of(struct serial_stream *stream)
{
    return (ghn_stream){open_stream, state_of, send_bytes, receive_bytes, close_stream, stream};
}

int serial_stream_wait(const struct serial_stream *stream)
{
    if (stream->fd < 0)
        return -1;
    uint32_t wait = wire_serial_wait(&stream->link, stream->port->now_ms());
    return wait == UINT32_MAX ? -1 : (int)wait;
}
