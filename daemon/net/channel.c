#include "net/channel.h"

#include "net/tls.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

int channel_init(struct channel *channel, int fd, struct ssl_st *tls)
{
    *channel = (struct channel){.fd = fd, .tls = tls, .read_wants = EPOLLIN};
    address_of_peer(&channel->peer, fd);
    if (channel->peer.family == AF_INET || channel->peer.family == AF_INET6) {
        int one = 1;
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    }
    int r = tls ? tls_set_fd(tls, fd) : 0;
    if (r < 0)
        channel_done(channel);
    return r;
}

void channel_done(struct channel *channel)
{
    channel->tls = tls_free(channel->tls);
    fd_close_p(&channel->fd);
}

int channel_handshake(struct channel *channel)
{
    int r = tls_handshake(channel->tls, &channel->read_wants, &channel->peer);
    if (r == 0) {
        channel->read_wants = EPOLLIN;
        channel->more = tls_has_pending(channel->tls); /* what came in the same segment */
    }
    return r;
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

ssize_t channel_read(struct channel *channel, const struct iovec *pieces, int count)
{
    channel->more = false;
    channel->read_wants = EPOLLIN;
    ssize_t n = channel->tls ? read_tls(channel, pieces, count) : read_plain(channel->fd, pieces, count);
    if (channel->write_wants == EPOLLIN)
        channel->write_wants =
            0; /* what writing waits for may have been read just now: it has to try again */
    return n == -EINTR ? -EAGAIN : n;
}

ssize_t channel_write(struct channel *channel, const struct iovec *pieces, int count, size_t len)
{
    ssize_t n;
    uint8_t wants = EPOLLOUT;
    if (channel->tls) {
        n = tls_write(channel->tls, pieces, count, &wants, &channel->peer);
    } else {
        struct msghdr message = {.msg_iov = (struct iovec *)pieces, .msg_iovlen = (size_t)count};
        n = sendmsg(channel->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0)
            n = -errno;
    }
    if (n == -EAGAIN || n == -EINTR)
        n = 0;
    channel->write_wants = n >= 0 && (size_t)n < len ? wants : 0;
    return n;
}

void channel_finish(struct channel *channel)
{
    enum { UNREAD_BYTES = 4096, UNREAD_READS = 64 };
    if (channel->tls)
        tls_say_goodbye(channel->tls);
    (void)shutdown(channel->fd, SHUT_WR);
    /* Closing with input unread would send a reset, and a reset takes from the peer what it has not read yet: perhaps
     * the packet that says why. */
    uint8_t unread[UNREAD_BYTES];
    for (int i = 0; i < UNREAD_READS && recv(channel->fd, unread, sizeof unread, MSG_DONTWAIT) > 0; i++)
        ;
}

bool channel_certificate_name(const struct channel *channel, char *name, size_t size)
{
    return channel->tls && tls_peer_name(channel->tls, name, size);
}
