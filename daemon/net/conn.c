#include "net/conn.h"

#include "base/log.h"
#include "net/output.h"
#include "net/tls.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

/* Input is read into one buffer for everybody, behind what a connection has kept from last time. A packet too large for
 * that is gathered in a buffer of its own, as large as the user said it will be (conn_expect).
 *
 * The end has one way: end() takes the descriptor out of the loop and leaves closed() to a task, so that it never comes
 * from inside a conn_ function. */

enum { CLOSE_LIMIT_MS = 5000, LINGER_MS = 1000, PIECES_MAX = 64, NAME_MAX_BYTES = 256 };

/* The loop is one thread and nobody reads inside a read, so one buffer serves all connections of the process. */
static uint8_t shared[128 * 1024];

struct conn {
    struct loop *loop;
    struct conn_user *user;
    struct ssl_st *tls;
    struct watch watch;
    struct task flush, ending, reading;
    struct timer close_timer;
    struct conn_limits limits;
    struct output output;
    uint8_t *tail; /* input that was not used yet */
    size_t tail_len, tail_size, expect;
    unsigned paused;
    int why;
    bool blocked; /* the kernel took less than we had: EPOLLOUT is asked for */
    bool read_wants_write;
    bool above;     /* output has been above the high-water mark */
    bool closing;   /* output goes out, input is not for anybody */
    bool lingering; /* all is out; what still comes is read away */
    bool ended;
    char peer[128];
    char *certificate_name;
};

static void on_ready(struct watch *watch, unsigned events);
static void on_flush(struct task *task);
static void on_ending(struct task *task);
static void on_reading(struct task *task);
static void on_close_limit(struct timer *timer);

/* ---- life ---------------------------------------------------------------------------------------------------------- */

static void ask_events(struct conn *conn)
{
    if (conn->ended)
        return;
    unsigned events = (conn->paused ? 0u : (unsigned)EPOLLIN) |
                      (conn->blocked || conn->read_wants_write ? (unsigned)EPOLLOUT : 0u);
    int r = loop_watch(conn->loop, &conn->watch, events);
    if (r < 0)
        conn_abort(conn, r);
}

int conn_new(struct conn **ret, struct loop *loop, int fd, struct ssl_st *tls,
             const struct conn_limits *limits, struct conn_user *user)
{
    struct conn *conn = mem_new(struct conn);
    conn->loop = loop;
    conn->user = user;
    conn->tls = tls;
    conn->limits = *limits;
    conn->watch = (struct watch){.fd = fd, .ready = on_ready};
    conn->flush.run = on_flush;
    conn->ending.run = on_ending;
    conn->reading.run = on_reading;
    conn->close_timer.fire = on_close_limit;
    output_init(&conn->output);
    int one = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one); /* not TCP: no harm */
    int r = loop_watch(loop, &conn->watch, EPOLLIN);
    if (r < 0) {
        (void)conn_free(conn);
        return r;
    }
    *ret = conn;
    return 0;
}

struct conn *conn_free(struct conn *conn)
{
    if (!conn)
        return NULL;
    loop_unwatch(conn->loop, &conn->watch);
    loop_forget(&conn->flush);
    loop_forget(&conn->ending);
    loop_forget(&conn->reading);
    timer_stop(conn->loop, &conn->close_timer);
    (void)tls_free(conn->tls);
    (void)close(conn->watch.fd);
    output_done(&conn->output);
    free(conn->tail);
    free(conn->certificate_name);
    free(conn);
    return NULL;
}

void conn_set_user(struct conn *conn, struct conn_user *user)
{
    conn->user = user;
}

static void end(struct conn *conn, int why)
{
    if (conn->ended)
        return;
    conn->ended = true;
    conn->why = why;
    loop_unwatch(conn->loop, &conn->watch);
    loop_forget(&conn->flush);
    loop_forget(&conn->reading);
    loop_at(conn->loop, LOOP_ROUTE, &conn->ending);
}

static void on_ending(struct task *task)
{
    struct conn *conn = container_of(task, struct conn, ending);
    conn->user->closed(conn->user, conn->why);
    (void)conn_free(conn);
}

void conn_abort(struct conn *conn, int why)
{
    end(conn, why);
}

/* Everything is out: say so, and read away what the peer has under way. Closing with unread input would make the kernel
 * reset the connection, and the peer might never see our last words. */
static void finish(struct conn *conn)
{
    if (conn->tls)
        tls_say_goodbye(conn->tls);
    if (shutdown(conn->watch.fd, SHUT_WR) < 0) {
        end(conn, 0);
        return;
    }
    conn->lingering = true;
    conn->paused = 0;
    conn->blocked = conn->read_wants_write = false;
    ask_events(conn);
    timer_start(conn->loop, &conn->close_timer, LINGER_MS);
}

static void read_away(struct conn *conn)
{
    ssize_t n = recv(conn->watch.fd, shared, sizeof shared, MSG_DONTWAIT);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
        end(conn, 0);
}

void conn_close(struct conn *conn)
{
    if (conn->closing || conn->ended)
        return;
    conn->closing = true;
    conn->paused++; /* what comes now is not for anybody */
    if (!output_len(&conn->output)) {
        finish(conn);
        return;
    }
    ask_events(conn);
    loop_at(conn->loop, LOOP_FLUSH, &conn->flush);
    timer_start(conn->loop, &conn->close_timer, CLOSE_LIMIT_MS);
}

static void on_close_limit(struct timer *timer)
{
    struct conn *conn = container_of(timer, struct conn, close_timer);
    end(conn, conn->lingering ? 0 : -ETIMEDOUT);
}

/* ---- in ------------------------------------------------------------------------------------------------------------ */

static ssize_t read_some(struct conn *conn, uint8_t *into, size_t size)
{
    if (conn->tls)
        return tls_read(conn->tls, into, size, &conn->read_wants_write, conn_peer(conn));
    ssize_t n = recv(conn->watch.fd, into, size, MSG_DONTWAIT);
    return n < 0 ? -errno : n;
}

/* Keeps what the user did not use. It may lie in the shared buffer or in the tail itself. */
static int keep(struct conn *conn, const uint8_t *rest, size_t len)
{
    if (!len) {
        free(conn->tail);
        conn->tail = NULL;
        conn->tail_len = conn->tail_size = conn->expect = 0;
        return 0;
    }
    if (len > conn->limits.tail_max)
        return -EMSGSIZE;
    size_t want = conn->expect > len ? conn->expect : len;
    if (want <= sizeof shared / 2)
        want = len; /* it will be joined with what follows in the shared buffer */
    if (want > conn->tail_size || rest != conn->tail) {
        uint8_t *tail = malloc(want);
        if (!tail)
            return -ENOMEM;
        memcpy(tail, rest, len);
        free(conn->tail);
        conn->tail = tail;
        conn->tail_size = want;
    }
    conn->tail_len = len;
    return 0;
}

/* Gives bytes to the user; what he leaves is kept. */
static int feed(struct conn *conn, const uint8_t *bytes, size_t len)
{
    conn->expect = 0;
    ssize_t used = conn->user->received(conn->user, bytes, len);
    if (used < 0)
        return (int)used;
    if (conn->ended || conn->closing)
        return 0;
    assert((size_t)used <= len);
    return keep(conn, bytes + used, len - (size_t)used);
}

static bool gathers_alone(const struct conn *conn)
{
    return conn->tail && conn->tail_size > sizeof shared / 2;
}

/* One read and what comes of it; -EAGAIN: nothing there. */
static int take_input(struct conn *conn)
{
    ssize_t n;
    if (gathers_alone(conn)) {
        n = read_some(conn, conn->tail + conn->tail_len, conn->tail_size - conn->tail_len);
        if (n > 0) {
            conn->tail_len += (size_t)n;
            if (conn->tail_len < conn->tail_size)
                return 0;
            uint8_t *whole = conn->tail; /* feed() may keep a rest of it: then it becomes a new tail */
            size_t len = conn->tail_len;
            conn->tail = NULL;
            conn->tail_size = 0;
            int r = feed(conn, whole, len);
            free(whole);
            return r;
        }
    } else {
        size_t kept = conn->tail_len;
        if (kept)
            memcpy(shared, conn->tail, kept);
        n = read_some(conn, shared + kept, sizeof shared - kept);
        if (n > 0)
            return feed(conn, shared, kept + (size_t)n);
    }
    return n == 0 ? -EPIPE : (int)n;
}

static void on_input(struct conn *conn)
{
    if (conn->paused || conn->ended)
        return;
    bool wanted_write = conn->read_wants_write;
    conn->read_wants_write = false;
    int r = take_input(conn);
    if (r == -EPIPE)
        end(conn,
            conn->tail_len ? -ECONNRESET : 0); /* the peer has closed, perhaps in the middle of a packet */
    else if (r < 0 && r != -EAGAIN && r != -EINTR)
        end(conn, r);
    else if (!conn->ended && conn->tls && !conn->paused && tls_has_pending(conn->tls) && r != -EAGAIN)
        loop_at(conn->loop, LOOP_ROUTE, &conn->reading); /* epoll does not know of it */
    if (wanted_write != conn->read_wants_write)
        ask_events(conn);
}

static void on_reading(struct task *task)
{
    on_input(container_of(task, struct conn, reading));
}

void conn_expect(struct conn *conn, size_t bytes)
{
    conn->expect = bytes;
}

void conn_pause(struct conn *conn)
{
    if (!conn->closing && !conn->ended && !conn->paused++)
        ask_events(conn);
}

void conn_resume(struct conn *conn)
{
    if (conn->closing || conn->ended)
        return;
    assert(conn->paused);
    if (--conn->paused)
        return;
    ask_events(conn);
    if (conn->tls && tls_has_pending(conn->tls))
        loop_at(conn->loop, LOOP_ROUTE, &conn->reading);
}

static void on_ready(struct watch *watch, unsigned events)
{
    struct conn *conn = container_of(watch, struct conn, watch);
    if (conn->lingering) {
        read_away(conn);
        return;
    }
    if (conn->paused && events & (EPOLLHUP | EPOLLERR)) {
        /* Gone in both directions. What it sent and we have not read was not acknowledged; waiting for it would spin. */
        end(conn, -ECONNRESET);
        return;
    }
    if (events & EPOLLOUT) {
        conn->blocked = false;
        on_flush(&conn->flush);
    }
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR) || (events & EPOLLOUT && conn->read_wants_write))
        on_input(conn);
}

/* ---- out ----------------------------------------------------------------------------------------------------------- */

static ssize_t write_some(struct conn *conn, const struct iovec *pieces, int count)
{
    if (conn->tls) {
        bool want_write = true;
        return tls_write(conn->tls, pieces, count, &want_write, conn_peer(conn));
    }
    struct msghdr message = {.msg_iov = (struct iovec *)pieces, .msg_iovlen = (size_t)count};
    ssize_t n = sendmsg(conn->watch.fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    return n < 0 ? -errno : n;
}

static void on_flush(struct task *task)
{
    struct conn *conn = container_of(task, struct conn, flush);
    if (conn->ended || conn->blocked)
        return;
    bool was_blocked = conn->watch.events & EPOLLOUT;
    while (output_len(&conn->output)) {
        struct iovec pieces[PIECES_MAX];
        size_t offered;
        int count = output_pieces(&conn->output, pieces, PIECES_MAX, &offered);
        ssize_t n = write_some(conn, pieces, count);
        if (n < 0 && n != -EAGAIN && n != -EINTR) {
            end(conn, (int)n);
            return;
        }
        if (n > 0)
            output_take(&conn->output, (size_t)n);
        if (n < 0 || (size_t)n < offered) {
            conn->blocked = true;
            break;
        }
    }
    if (conn->blocked || was_blocked)
        ask_events(conn);
    if (conn->above && output_len(&conn->output) <= conn->limits.high_water / 2) {
        conn->above = false;
        if (conn->user->drained && !conn->closing)
            conn->user->drained(conn->user);
    }
    if (conn->closing && !output_len(&conn->output))
        finish(conn);
}

/* Is output taken at all? Then it will be flushed. */
static bool takes_output(struct conn *conn)
{
    if (conn->closing || conn->ended)
        return false;
    if (!conn->blocked)
        loop_at(conn->loop, LOOP_FLUSH, &conn->flush);
    return true;
}

static void note_level(struct conn *conn)
{
    conn->above |= output_len(&conn->output) > conn->limits.high_water;
}

uint8_t *conn_room(struct conn *conn, size_t len)
{
    return takes_output(conn) ? output_room(&conn->output, len) : NULL;
}

void conn_wrote(struct conn *conn, size_t len)
{
    output_wrote(&conn->output, len);
    note_level(conn);
}

void conn_write(struct conn *conn, const void *bytes, size_t len)
{
    uint8_t *room = conn_room(conn, len);
    if (!room)
        return;
    memcpy(room, bytes, len);
    conn_wrote(conn, len);
}

void conn_write_msg(struct conn *conn, struct msg *msg, const uint8_t *bytes, size_t len)
{
    if (!takes_output(conn))
        return;
    output_add_msg(&conn->output, msg, bytes, len);
    note_level(conn);
}

size_t conn_pending(const struct conn *conn)
{
    return output_len(&conn->output);
}

bool conn_is_congested(const struct conn *conn)
{
    return output_len(&conn->output) > conn->limits.high_water;
}

/* ---- who ----------------------------------------------------------------------------------------------------------- */

bool conn_credentials(const struct conn *conn, pid_t *pid, uid_t *uid)
{
    struct ucred credentials;
    socklen_t len = sizeof credentials;
    struct sockaddr_storage address;
    socklen_t address_len = sizeof address;
    if (getsockname(conn->watch.fd, (struct sockaddr *)&address, &address_len) < 0 ||
        address.ss_family != AF_UNIX)
        return false;
    if (getsockopt(conn->watch.fd, SOL_SOCKET, SO_PEERCRED, &credentials, &len) < 0)
        return false;
    *pid = credentials.pid;
    *uid = credentials.uid;
    return true;
}

const char *conn_peer(const struct conn *conn)
{
    char *text = ((struct conn *)conn)->peer; /* found once */
    size_t size = sizeof conn->peer;
    if (*text)
        return text;
    struct sockaddr_storage address = {0};
    socklen_t len = sizeof address;
    char host[INET6_ADDRSTRLEN] = "?";
    pid_t pid;
    uid_t uid;
    (void)getpeername(conn->watch.fd, (struct sockaddr *)&address, &len);
    if (conn_credentials(conn, &pid, &uid)) {
        (void)snprintf(text, size, "unix:pid=%d,uid=%u", (int)pid, (unsigned)uid);
    } else if (address.ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)&address;
        (void)inet_ntop(AF_INET, &in->sin_addr, host, sizeof host);
        (void)snprintf(text, size, "%s:%u", host, ntohs(in->sin_port));
    } else if (address.ss_family == AF_INET6) {
        const struct sockaddr_in6 *in = (const struct sockaddr_in6 *)&address;
        (void)inet_ntop(AF_INET6, &in->sin6_addr, host, sizeof host);
        (void)snprintf(text, size, "[%s]:%u", host, ntohs(in->sin6_port));
    } else {
        (void)snprintf(text, size, "unknown peer");
    }
    return text;
}

const char *conn_certificate_name(const struct conn *conn)
{
    struct conn *found = (struct conn *)conn;
    char name[NAME_MAX_BYTES];
    if (!conn->certificate_name && conn->tls && tls_peer_name(conn->tls, name, sizeof name))
        found->certificate_name = str_copy(name);
    return conn->certificate_name;
}
