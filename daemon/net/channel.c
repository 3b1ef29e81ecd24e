#include "net/channel.h"

#include "base/log.h"
#include "net/tls.h"
#include "net/websocket.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

void endpoint_close(struct endpoint *endpoint)
{
    endpoint->tls = tls_free(endpoint->tls);
    endpoint->websocket = websocket_free(endpoint->websocket);
    fd_close_p(&endpoint->fd);
}

int channel_init(struct channel *channel, const struct endpoint *endpoint)
{
    int fd = endpoint->fd;
    *channel = (struct channel){
        .watch.fd = fd, .tls = endpoint->tls, .websocket = endpoint->websocket, .read_wants = EPOLLIN};
    channel->peer = endpoint->from;
    if (channel->peer.family == AF_UNSPEC)
        address_of_peer(&channel->peer, fd);
    if (channel->peer.family == AF_INET || channel->peer.family == AF_INET6) {
        int one = 1;
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    }
    int r = channel->tls ? tls_set_fd(channel->tls, fd) : 0;
    if (r < 0)
        channel_done(channel);
    return r;
}

void channel_done(struct channel *channel)
{
    channel->tls = tls_free(channel->tls);
    channel->websocket = websocket_free(channel->websocket);
    fd_close_p(&channel->watch.fd);
}

static ssize_t read_plain(int fd, const struct iovec *pieces, int count)
{
    struct msghdr message = {.msg_iov = (struct iovec *)pieces, .msg_iovlen = (size_t)count};
    ssize_t n = count == 1 ? recv(fd, pieces->iov_base, pieces->iov_len, MSG_DONTWAIT)
                           : recvmsg(fd, &message, MSG_DONTWAIT);
    return n < 0 ? -errno : n;
}

static ssize_t read_tls(struct channel *channel, const struct iovec *pieces, int count)
{
    ssize_t n = 0;
    for (int i = 0; i < count && (i == 0 || channel->more); i++) {
        ssize_t got = tls_read(channel->tls, pieces[i].iov_base, pieces[i].iov_len, &channel->more,
                               &channel->read_wants, &channel->peer);
        if (got <= 0) {
            channel->more = n && got != -EAGAIN; /* the end or the fault comes again with the next read */
            return n ? n : got;
        }
        n += got;
    }
    return n;
}

static ssize_t read_below(struct channel *channel, const struct iovec *pieces, int count)
{
    channel->more = false;
    channel->read_wants = EPOLLIN;
    ssize_t n =
        channel->tls ? read_tls(channel, pieces, count) : read_plain(channel->watch.fd, pieces, count);
    channel->settled |= channel->secured && n > 0;
    if (channel->write_wants == EPOLLIN)
        channel->write_wants =
            0; /* what writing waits for may have been read just now: it has to try again */
    return n == -EINTR ? -EAGAIN : n;
}

static ssize_t write_below(struct channel *channel, const struct iovec *pieces, int count, size_t len)
{
    ssize_t n;
    uint8_t wants = EPOLLOUT;
    if (channel->tls) {
        n = tls_write(channel->tls, pieces, count, &wants, &channel->peer);
    } else {
        struct msghdr message = {.msg_iov = (struct iovec *)pieces, .msg_iovlen = (size_t)count};
        n = count == 1
                ? send(channel->watch.fd, pieces->iov_base, pieces->iov_len, MSG_NOSIGNAL | MSG_DONTWAIT)
                : sendmsg(channel->watch.fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0)
            n = -errno;
    }
    if (n == -EAGAIN || n == -EINTR)
        n = 0;
    channel->write_wants = n >= 0 && (size_t)n < len ? wants : 0;
    return n;
}

/* ---- WebSocket above it -------------------------------------------------------------------------------------------- */

static void log_broken(const struct channel *channel)
{
    char text[ADDRESS_TEXT_BYTES];
    address_text(&channel->peer, text);
    log_info("%s: WebSocket: %s", text, websocket_why(channel->websocket));
}

ssize_t channel_read(struct channel *channel, const struct iovec *pieces, int count)
{
    struct websocket *websocket = channel->websocket;
    if (!websocket)
        return read_below(channel, pieces, count);
    ssize_t n = 0;
    if (!websocket_is_over(websocket)) {
        n = (ssize_t)websocket_early(websocket, pieces);
        if (n)
            channel->more = channel->tls && tls_has_pending(channel->tls);
        else
            n = read_below(channel, pieces, count);
        if (n == 0)
            websocket_lost(websocket);
        if (n < 0)
            return n;
    }
    n = websocket_read(websocket, pieces, (size_t)n);
    if (websocket_is_over(websocket))
        channel->more = n > 0; /* whatever comes behind it */
    if (n == -EPROTO)
        log_broken(channel);
    return n;
}

ssize_t channel_write(struct channel *channel, const struct iovec *pieces, int count, size_t len)
{
    struct websocket *websocket = channel->websocket;
    if (!websocket)
        return write_below(channel, pieces, count, len);
    struct iovec framed[CHANNEL_PIECES_MAX + WEBSOCKET_PIECES];
    size_t framed_len;
    int n = websocket_frame(websocket, framed, pieces, len, &framed_len);
    ssize_t written = write_below(channel, framed, n, framed_len);
    return written < 0 ? written : (ssize_t)websocket_wrote(websocket, (size_t)written);
}

bool channel_owes(const struct channel *channel)
{
    return channel->websocket && websocket_owes(channel->websocket);
}

bool channel_can_tell(const struct channel *channel, int fault)
{
    return channel->websocket && (fault == -EPROTO || fault == -EMSGSIZE);
}

void channel_leave(struct channel *channel, int why)
{
    if (channel->websocket)
        websocket_leave(channel->websocket, why);
}

/* ---- the beginning and the end ------------------------------------------------------------------------------------- */

static int secure(struct channel *channel)
{
    if (!channel->tls || channel->secured)
        return 0;
    int r = tls_handshake(channel->tls, &channel->read_wants, &channel->peer);
    if (r == 0) {
        channel->secured = true;
        channel->read_wants = EPOLLIN;
        channel->more = tls_has_pending(channel->tls); /* what came in the same segment */
    }
    return r;
}

static int upgrade(struct channel *channel)
{
    struct websocket *websocket = channel->websocket;
    uint8_t bytes[WEBSOCKET_HELLO_MAX];
    int r;
    do {
        struct iovec piece = {bytes, websocket_hello_room(websocket)};
        ssize_t n = read_below(channel, &piece, 1);
        if (n <= 0)
            return n == 0 ? -ECONNRESET : (int)n;
        r = websocket_hello(websocket, bytes, (size_t)n);
    } while (r == -EAGAIN && channel->more);
    if (r == -EPROTO)
        log_broken(channel);
    channel->more |= r == 0 && websocket_has_early(websocket);
    return r;
}

static int64_t microseconds(void)
{
    struct timespec ts;
    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

bool channel_may_come_in(const struct channel *channel, uint64_t turn)
{
    /* A step of a handshake has a signature or its check; how long one takes is the processor's. */
    enum { STEPS_A_TURN = 8, STEPS_US = 2000 };
    static uint64_t counted;
    static unsigned count;
    static int64_t began;
    if (!channel->tls || channel->settled)
        return true;
    if (counted != turn) {
        counted = turn;
        count = 0;
        began = microseconds();
    }
    return count++ == 0 || (count <= STEPS_A_TURN && microseconds() - began < STEPS_US);
}

bool channel_may_leave(const struct channel *channel, uint64_t turn)
{
    enum { LEAVERS_A_TURN = 16 };
    static uint64_t counted;
    static unsigned count;
    if (counted != turn)
        count = 0;
    counted = turn;
    return !channel->tls || count++ < LEAVERS_A_TURN;
}

int channel_handshake(struct channel *channel)
{
    int r = secure(channel);
    return r == 0 && channel->websocket ? upgrade(channel) : r;
}

const char *channel_filter_name(const struct channel *channel)
{
    return channel->tls && !channel->secured ? "TLS" : "WebSocket";
}

bool channel_finish(struct channel *channel)
{
    if (channel->tls)
        tls_say_goodbye(channel->tls);
    (void)shutdown(channel->watch.fd, SHUT_WR);
    return channel_read_away(channel);
}

bool channel_read_away(struct channel *channel)
{
    enum { UNREAD_BYTES = 4096, UNREAD_READS = 64 };
    uint8_t unread[UNREAD_BYTES];
    ssize_t n = 1;
    for (int i = 0; i < UNREAD_READS && n > 0; i++)
        n = recv(channel->watch.fd, unread, sizeof unread, MSG_DONTWAIT);
    return n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));
}

const char *channel_certificate_name(const struct channel *channel)
{
    return channel->tls ? tls_peer_name(channel->tls) : NULL;
}

uint8_t *channel_certificate(const struct channel *channel, size_t *len)
{
    return channel->tls ? tls_peer_der(channel->tls, len) : NULL;
}

const char *channel_server_name(const struct channel *channel)
{
    return channel->tls ? tls_server_name(channel->tls) : NULL;
}
