#include "bench/link.h"

#include "bench/secure.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { IN_SIZE = 256 * 1024, TAIL_MAX = 128 * 1024 };

int hub_init(struct hub *hub)
{
    *hub = (struct hub){.epoll = epoll_create1(EPOLL_CLOEXEC), .in = malloc(IN_SIZE)};
    if (hub->epoll < 0)
        return -errno;
    return hub->in ? 0 : -ENOMEM;
}

int link_open(struct hub *hub, struct link *link, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = link};
    int on = 1;

    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)); /* a Unix socket has no such thing */
    if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
        return -errno;
    link->fd = fd;
    return epoll_ctl(hub->epoll, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

int link_secure(struct link *link, struct ssl_ctx_st *context)
{
    link->tls = secure_open(context, link->fd);
    return link->tls ? 0 : -ENOMEM;
}

void link_close(struct link *link)
{
    secure_close(link->tls);
    link->tls = NULL;
    if (link->fd >= 0)
        (void)close(link->fd);
    link->fd = -1;
    free(link->out.data);
    free(link->tail.data);
    link->out = link->tail = (struct bytes){0};
    link->out_sent = 0;
    link->blocked = false;
}

struct bytes *link_out(struct hub *hub, struct link *link)
{
    if (!link->dirty && !link->blocked) {
        link->dirty = true;
        link->next_dirty = hub->dirty;
        hub->dirty = link;
    }
    return &link->out;
}

/* Bytes, 0 at the end, -EAGAIN, or another -errno. */
static ssize_t receive(struct link *link, uint8_t *to, size_t size)
{
    if (link->tls)
        return secure_read(link->tls, to, size);
    ssize_t n = recv(link->fd, to, size, 0);
    if (n >= 0)
        return n;
    return errno == EINTR ? -EAGAIN : -errno;
}

static int receive_once(struct hub *hub, struct link *link,
                        int (*on_frame)(struct link *, const struct frame *))
{
    size_t kept = link->tail.len;

    if (kept)
        memcpy(hub->in, link->tail.data, kept);
    ssize_t n = receive(link, hub->in + kept, IN_SIZE - kept);
    if (n <= 0)
        return n == 0 ? -EPIPE : (int)n;

    const uint8_t *p = hub->in, *end = p + kept + (size_t)n;
    struct frame frame;
    int r;
    while ((r = frame_read(&frame, p, (size_t)(end - p))) > 0) {
        r = on_frame(link, &frame);
        if (r < 0)
            return r;
        p += frame.size;
    }
    if (r < 0)
        return r;
    if (end - p > TAIL_MAX)
        return -EMSGSIZE;
    link->tail.len = 0;
    if (p < end)
        bytes_add(&link->tail, p, (size_t)(end - p));
    return 0;
}

int link_receive(struct hub *hub, struct link *link, int (*on_frame)(struct link *, const struct frame *))
{
    int r;

    do
        r = receive_once(hub, link, on_frame);
    while (r == 0 && link->tls);
    if (link->tls && link->out.len > link->out_sent)
        (void)link_out(hub, link); /* it may have waited for the handshake */
    return r == -EAGAIN ? 0 : r;
}

static int watch(struct hub *hub, struct link *link, bool blocked)
{
    struct epoll_event event = {.events = EPOLLIN | (blocked ? EPOLLOUT : 0), .data.ptr = link};

    if (link->blocked == blocked)
        return 0;
    link->blocked = blocked;
    return epoll_ctl(hub->epoll, EPOLL_CTL_MOD, link->fd, &event) < 0 ? -errno : 0;
}

/* Bytes, or -errno. *full: the socket takes no more for now. */
static ssize_t transmit(struct link *link, const uint8_t *bytes, size_t len, bool *full)
{
    if (link->tls)
        return secure_write(link->tls, bytes, len, full);
    ssize_t n = send(link->fd, bytes, len, MSG_NOSIGNAL);
    *full = n < (ssize_t)len;
    if (n >= 0)
        return n;
    return errno == EINTR ? -EAGAIN : -errno;
}

int link_flush(struct hub *hub, struct link *link)
{
    size_t left = link->out.len - link->out_sent;
    bool full = false;

    while (left && !full) {
        ssize_t n = transmit(link, link->out.data + link->out_sent, left, &full);
        if (n == -EAGAIN)
            break;
        if (n < 0)
            return (int)n;
        link->out_sent += (size_t)n;
        left -= (size_t)n;
    }
    if (left == 0)
        link->out.len = link->out_sent = 0;
    return watch(hub, link, full);
}

void hub_flush(struct hub *hub, void (*on_error)(struct link *, int r))
{
    while (hub->dirty) {
        struct link *link = hub->dirty;
        hub->dirty = link->next_dirty;
        link->dirty = false;
        int r = link->fd < 0 ? 0 : link_flush(hub, link);
        if (r < 0)
            on_error(link, r);
    }
}

union address {
    struct sockaddr any;
    struct sockaddr_in in;
    struct sockaddr_un un;
};

bool address_is_secure(const char *uri)
{
    return strncmp(uri, "mqtts://", 8) == 0;
}

static int address_parse(union address *ret, socklen_t *ret_len, const char *uri)
{
    char host[64];
    unsigned port;

    *ret = (union address){0};
    if (strncmp(uri, "unix://", 7) == 0) {
        size_t len = strlen(uri + 7);
        if (len >= sizeof(ret->un.sun_path))
            return -ENAMETOOLONG;
        ret->un.sun_family = AF_UNIX;
        memcpy(ret->un.sun_path, uri + 7, len);
        *ret_len = sizeof(ret->un);
        return 0;
    }
    if (sscanf(uri, address_is_secure(uri) ? "mqtts://%63[0-9.]:%u" : "mqtt://%63[0-9.]:%u", host, &port) !=
            2 ||
        port > 65535)
        return -EINVAL;
    if (inet_pton(AF_INET, host, &ret->in.sin_addr) != 1)
        return -EINVAL;
    ret->in.sin_family = AF_INET;
    ret->in.sin_port = htons((uint16_t)port);
    *ret_len = sizeof(ret->in);
    return 0;
}

static int connect_by(const char *uri, int flags)
{
    union address address;
    socklen_t len;

    int r = address_parse(&address, &len, uri);
    if (r < 0)
        return r;
    int fd = socket(address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
    if (fd < 0)
        return -errno;
    if (connect(fd, &address.any, len) < 0 && errno != EINPROGRESS) {
        r = -errno;
        (void)close(fd);
        return r;
    }
    return fd;
}

int address_connect(const char *uri)
{
    return connect_by(uri, 0);
}

int address_connect_later(const char *uri)
{
    return connect_by(uri, SOCK_NONBLOCK);
}

int address_listen(const char *uri)
{
    union address address;
    socklen_t len;
    int on = 1;

    int r = address_parse(&address, &len, uri);
    if (r < 0)
        return r;
    int fd = socket(address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(fd, &address.any, len) < 0 || listen(fd, 1024) < 0) {
        r = -errno;
        (void)close(fd);
        return r;
    }
    return fd;
}
