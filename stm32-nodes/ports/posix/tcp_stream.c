#include "tcp_stream.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

uint32_t posix_port_speed = 1;

static uint32_t now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint32_t)(((uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000) * posix_port_speed /
                      1000);
}

struct timespec posix_port_timeout(int32_t ms)
{
    int64_t us = (int64_t)ms * 1000 / posix_port_speed;
    return (struct timespec){us / 1000000, us % 1000000 * 1000};
}

static int random_bytes(uint8_t *p, size_t n)
{
    return getrandom(p, n, 0) == (ssize_t)n ? 0 : -1;
}

const ghn_port posix_port = {.now_ms = now_ms, .random = random_bytes};

void tcp_stream_init(struct tcp_stream *tcp, const struct tcp_faults *faults)
{
    *tcp = (struct tcp_stream){.fd = -1, .faults = *faults};
}

static int connect_to(const struct addrinfo *address)
{
    int one = 1;
    int fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(fd, address->ai_addr, address->ai_addrlen) < 0 && errno != EINPROGRESS) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

static int tcp_open(void *ctx, const char *host, uint16_t port)
{
    struct tcp_stream *tcp = ctx;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
    char service[8];
    uint16_t chance = 0;
    (void)snprintf(service, sizeof service, "%u", port);
    if (getaddrinfo(host, service, &hints, &found) != 0)
        return -1;
    /* A name may have several addresses and the gateway listen on one: each attempt tries the next. */
    const struct addrinfo *address = found;
    for (unsigned i = tcp->attempts++; i; i--)
        address = address->ai_next ? address->ai_next : found;
    tcp->fd = connect_to(address);
    freeaddrinfo(found);
    (void)random_bytes((uint8_t *)&chance, sizeof chance);
    tcp->up = tcp->arrived = false;
    tcp->drop_at =
        now_ms() + tcp->faults.drop / 2 + (uint32_t)((uint64_t)tcp->faults.drop * chance / UINT16_MAX);
    return tcp->fd < 0 ? -1 : 0;
}

static int tcp_state(void *ctx)
{
    struct tcp_stream *tcp = ctx;
    int error = 0;
    socklen_t len = sizeof error;
    struct pollfd pfd = {.fd = tcp->fd, .events = POLLOUT};
    if (tcp->up)
        return 1;
    if (poll(&pfd, 1, 0) <= 0)
        return 0;
    if (getsockopt(tcp->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0 || error)
        return -1;
    tcp->up = true;
    return 1;
}

static bool drops_now(const struct tcp_stream *tcp)
{
    return tcp->faults.drop && (int32_t)(now_ms() - tcp->drop_at) >= 0;
}

static int tcp_send(void *ctx, const uint8_t *p, size_t n)
{
    struct tcp_stream *tcp = ctx;
    if (drops_now(tcp))
        return -1;
    ssize_t sent = send(tcp->fd, p, n, MSG_NOSIGNAL);
    if (sent < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -1;
    return (int)sent;
}

/* With a delay, bytes are left with the kernel until they are due. */
static bool is_due(struct tcp_stream *tcp)
{
    uint8_t byte;
    if (!tcp->faults.delay)
        return true;
    if (!tcp->arrived) {
        if (recv(tcp->fd, &byte, 1, MSG_PEEK) < 0)
            return errno != EAGAIN && errno != EINTR;
        tcp->arrived = true;
        tcp->arrived_at = now_ms();
    }
    return now_ms() - tcp->arrived_at >= tcp->faults.delay;
}

static int tcp_recv(void *ctx, uint8_t *p, size_t n)
{
    struct tcp_stream *tcp = ctx;
    if (drops_now(tcp))
        return -1;
    if (!is_due(tcp))
        return 0;
    ssize_t got = recv(tcp->fd, p, n, 0);
    if (got < 0) {
        tcp->arrived = false; /* all that was due is read */
        return errno == EAGAIN || errno == EINTR ? 0 : -1;
    }
    return got ? (int)got : -1; /* 0 is the end of a TCP stream, and "none now" to a node */
}

static void tcp_close(void *ctx)
{
    struct tcp_stream *tcp = ctx;
    (void)close(tcp->fd);
    tcp->fd = -1;
    tcp->up = false;
}

ghn_stream tcp_stream_of(struct tcp_stream *tcp)
{
    return (ghn_stream){tcp_open, tcp_state, tcp_send, tcp_recv, tcp_close, tcp};
}

static int milliseconds_until(uint32_t at)
{
    int32_t left = (int32_t)(at - now_ms());
    return left > 0 ? left : 0;
}

int tcp_stream_wait(const struct tcp_stream *tcp)
{
    int wait = -1;
    if (tcp->fd < 0)
        return -1;
    if (tcp->faults.drop)
        wait = milliseconds_until(tcp->drop_at);
    if (tcp->arrived) {
        int until_due = milliseconds_until(tcp->arrived_at + tcp->faults.delay);
        wait = wait < 0 || until_due < wait ? until_due : wait;
    }
    return wait;
}

short tcp_stream_events(const struct tcp_stream *tcp)
{
    if (!tcp->up)
        return POLLOUT;
    return tcp->arrived ? 0 : POLLIN; /* what is delayed would wake us up all the time */
}
