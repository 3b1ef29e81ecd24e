#include "net/conn.h"

#include "base/log.h"
#include "net/channel.h"
#include "net/output.h"
#include "net/psk_gate.h"
#include "net/tail.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

/* Input goes to the user straight from the shared buffer. What is left over is kept in one of two ways:
 *
 *      small or of unknown size     tail │half│               the next read goes behind a copy of it:
 *                                                             shared │half│ rest, next packets … │
 *      large, size known            tail │ha··············│   the next read fills it and goes on in the shared buffer,
 *                                        ▲ allocated once     with one recvmsg
 *
 * So a packet costs one copy at most, however small the pieces are in which it comes.
 *
 * The end has one way: end() takes the descriptor out of the loop and leaves closed() to a task, so that it never comes
 * from inside a conn_ function.
 *
 * There is one task, since what is to be done in ROUTE (reading on, the end) and in FLUSH follow from each other: each of
 * the two looks whether the other is needed when it is through.
 *
 * Gateways have thousands of idle connections, so the struct is kept small: what only some need some of the time is
 * allocated then. */

enum {
    SHARED_BYTES = 64 * 1024,
    GATHER_MIN = 4 * 1024, /* smaller ones are joined in the shared buffer */
    COPY_MAX = 1024,       /* output by reference begins above this */
    HANDSHAKE_LIMIT_MS = 10000,
    CLOSE_LIMIT_MS = 5000,
    LINGER_LIMIT_MS = 1000,

};

/* Connections live on one thread, and received() cannot lead to another read: one buffer serves all of them. */
static uint8_t shared[SHARED_BYTES];

/* The time that the handshake or closing may take. */
struct limit {
    struct timer timer;
    struct conn *conn;
};

enum state {
    CONN_HANDSHAKE,
    CONN_UP,
    CONN_CLOSING,   /* nothing is read and nothing new is written */
    CONN_LINGERING, /* the last words are out; what still comes is read away until the peer closes, too */

    CONN_ENDED /* closed() is under way */
};

struct conn {
    struct loop *loop;
    struct conn_user *user;
    const struct conn_limits *limits;
    struct channel channel;
    struct task task;
    struct limit *limit; /* NULL: neither shakes hands nor closes */
    struct output output;
    struct tail *tail;
    uint32_t expect;
    int why;
    uint16_t paused;
    uint8_t state; /* enum state */
    bool routes;   /* the task is for ROUTE: there is input that epoll does not know of, or the end */
    bool unfed;    /* the tail was kept because of a pause: the user may be able to use it as it is */
    bool above;    /* output has been above the high-water mark */
};

static void on_ready(struct watch *watch, unsigned events);
static void on_task(struct task *task);
static void on_limit(struct timer *timer);
static void shake_hands(struct conn *conn);
static void flush(struct conn *conn);

/* ---- life ---------------------------------------------------------------------------------------------------------- */

static bool reads(const struct conn *conn)
{
    return conn->state == CONN_UP && !conn->paused;
}

static bool has_input(const struct conn *conn)
{
    return reads(conn) && (conn->unfed || conn->channel.more);
}

static bool has_output(const struct conn *conn)
{
    return output_len(&conn->output) || channel_owes(&conn->channel);
}

/* Linked already, the task sees by itself that this is to be done, too; at the latest in the next turn. */
static void route(struct conn *conn)
{
    if (list_is_linked(&conn->task.link))
        return;
    conn->routes = true;
    loop_at(conn->loop, LOOP_ROUTE, &conn->task);
}

static void flush_later(struct conn *conn)
{
    if (list_is_linked(&conn->task.link))
        return;
    conn->routes = false;
    loop_at(conn->loop, LOOP_FLUSH, &conn->task);
}

static void limit_start(struct conn *conn, int64_t ms)
{
    if (!conn->limit) {
        conn->limit = mem_new(struct limit);
        *conn->limit = (struct limit){.timer.fire = on_limit, .conn = conn};
    }
    timer_start(conn->loop, &conn->limit->timer, ms);
}

static void limit_stop(struct conn *conn)
{
    if (!conn->limit)
        return;
    timer_stop(conn->loop, &conn->limit->timer);
    free(steal(conn->limit));
}

static void ask_events(struct conn *conn)
{
    if (conn->state == CONN_ENDED)
        return;
    unsigned events = conn->channel.write_wants;
    if (conn->state == CONN_LINGERING)
        events = EPOLLIN;
    else if (conn->state == CONN_HANDSHAKE || reads(conn))
        events |= conn->channel.read_wants;
    int r = loop_watch(conn->loop, &conn->channel.watch, events);
    if (r < 0)
        conn_abort(conn, r);
}

int conn_new(struct conn **ret, struct loop *loop, const struct endpoint *endpoint,
             const struct conn_limits *limits, struct conn_user *user)
{
    struct conn *conn = mem_new(struct conn);
    conn->loop = loop;
    conn->user = user;
    conn->limits = limits;
    conn->task.run = on_task;
    conn->state = endpoint->tls || endpoint->websocket ? CONN_HANDSHAKE : CONN_UP;
    int r = channel_init(&conn->channel, endpoint);
    conn->channel.watch.ready = on_ready;
    if (r >= 0)
        r = loop_watch(loop, &conn->channel.watch, EPOLLIN);
    if (r < 0) {
        (void)conn_free(conn);
        return r;
    }
    if (conn->state == CONN_HANDSHAKE) {
        limit_start(conn, HANDSHAKE_LIMIT_MS);
        route(conn); /* the connecting side speaks first */
    }
    *ret = conn;
    return 0;
}

struct conn *conn_free(struct conn *conn)
{
    if (!conn)
        return NULL;
    loop_unwatch(conn->loop, &conn->channel.watch);
    loop_forget(&conn->task);
    limit_stop(conn);
    channel_done(&conn->channel);
    output_done(&conn->output);
    free(conn->tail);
    free(conn);
    return NULL;
}

void conn_set_user(struct conn *conn, struct conn_user *user)
{
    conn->user = user;
}

static void end(struct conn *conn, int why)
{
    if (conn->state == CONN_ENDED)
        return;
    conn->state = CONN_ENDED;
    conn->why = why;
    loop_unwatch(conn->loop, &conn->channel.watch);
    limit_stop(conn);
    loop_forget(&conn->task); /* nothing more is flushed */
    route(conn);
}

/* Everything is out. Who was told something is given the time to read it. */
static void finish(struct conn *conn, bool told)
{
    if (!channel_finish(&conn->channel) || !told) {
        end(conn, conn->why);
        return;
    }
    conn->state = CONN_LINGERING;
    limit_stop(conn);
    limit_start(conn, LINGER_LIMIT_MS);
    ask_events(conn);
}

/* No more reading; ends with `why` as soon as the output is written. */
static void wind_up(struct conn *conn, int why)
{
    if (conn->state >= CONN_CLOSING)
        return;
    if (conn->state == CONN_HANDSHAKE) /* before it is through nothing can be said */
        output_done(&conn->output);
    else
        channel_leave(&conn->channel, why);
    conn->state = CONN_CLOSING;
    conn->why = why;
    if (!has_output(conn)) {
        finish(conn, false);
        return;
    }
    limit_start(conn, CLOSE_LIMIT_MS);
    flush_later(conn);
    ask_events(conn);
}

/* Whoever came has broken the rules, or is refused. */
static void turn_away(struct conn *conn, int why)
{
    if (channel_can_tell(&conn->channel, why))
        wind_up(conn, why);
    else
        end(conn, why);
}

void conn_close(struct conn *conn)
{
    wind_up(conn, 0);
}

void conn_abort(struct conn *conn, int why)
{
    end(conn, why);
}

static void on_limit(struct timer *timer)
{
    struct conn *conn = container_of(timer, struct limit, timer)->conn;
    if (conn->state == CONN_HANDSHAKE && !conn->channel.read_wants) { /* it has waited for its answer */
        limit_start(conn, HANDSHAKE_LIMIT_MS);
        shake_hands(conn);
        return;
    }
    if (conn->state == CONN_HANDSHAKE)
        log_info("%s: %s: no handshake within %d s", conn_peer(conn), channel_filter_name(&conn->channel),
                 HANDSHAKE_LIMIT_MS / 1000);
    end(conn, conn->state == CONN_LINGERING ? conn->why : -ETIMEDOUT);
}

/* ---- in: what is kept ---------------------------------------------------------------------------------------------- */

/* Keeps what the user did not use, after he has said what he expects. */
static int keep(struct conn *conn, const uint8_t *rest, size_t len)
{
    if (!len)
        return 0;
    if (conn->paused) { /* maybe whole packets: no more than one read, and he gets it again as it is */
        conn->unfed = true;
        return tail_set(&conn->tail, len, rest, len);
    }
    size_t size = size_max(len, conn->expect);
    if (size > conn->limits->tail_max || (len > CONN_UNEXPECTED_MAX && conn->expect <= len))
        return -EMSGSIZE;
    return tail_set(&conn->tail, size > GATHER_MIN ? size : len, rest, len);
}

/* Gives bytes to the user, and keeps what he leaves. There is no tail now; the bytes are not in it. */
static int feed(struct conn *conn, const uint8_t *bytes, size_t len)
{
    struct conn_user *user;
    do {
        user = conn->user;
        conn->expect = 0;
        ssize_t used = user->on->received(user, bytes, len);
        if (conn->state != CONN_UP)
            return 0; /* he has closed it, and what he wrote before is still to go out */
        if (used < 0)
            return (int)used;
        assert((size_t)used <= len);
        bytes += used;
        len -= (size_t)used;
    } while (len && user != conn->user && !conn->paused);
    return keep(conn, bytes, len);
}

static int feed_tail(struct conn *conn)
{
    struct tail *tail = steal(conn->tail);
    conn->unfed = false;
    int r = feed(conn, tail->bytes, tail->len);
    free(tail);
    return r;
}

/* What came behind a tail that is now complete. */
static int feed_behind(struct conn *conn, const uint8_t *bytes, size_t len)
{
    if (!len || conn->state != CONN_UP)
        return 0;
    if (!conn->tail && !conn->paused)
        return feed(conn, bytes, len);
    if (!conn->tail)
        return keep(conn, bytes, len);
    /* The user left something of what he had expected: rare, so join them with a copy. */
    struct tail *first = steal(conn->tail);
    int r = tail_set(&conn->tail, first->len + len, first->bytes, first->len);
    free(first);
    if (r < 0)
        return r;
    memcpy(conn->tail->bytes + conn->tail->len, bytes, len);
    conn->tail->len += len;
    return conn->paused ? 0 : feed_tail(conn);
}

/* ---- in ------------------------------------------------------------------------------------------------------------ */

/* One read and what comes of it. */
static int take_input(struct conn *conn)
{
    struct tail *tail = conn->tail;
    bool gathers = tail_must_gather(tail);
    size_t kept = tail && !gathers ? tail->len : 0; /* less than the shared buffer: keep() sees to it */
    size_t missing = gathers ? tail->size - tail->len : 0;
    struct iovec pieces[2] = {{shared + kept, sizeof shared - kept}};
    if (kept)
        memcpy(shared, tail->bytes, kept);
    if (gathers) {
        pieces[1] = pieces[0];
        pieces[0] = (struct iovec){tail->bytes + tail->len, missing};
    }
    ssize_t n = channel_read(&conn->channel, pieces, gathers ? 2 : 1);
    if (n == -EAGAIN)
        return 0;
    if (n < 0)
        return (int)n;
    if (n == 0) {
        wind_up(conn, tail ? -ECONNRESET : 0); /* in the middle of a packet nobody closes on purpose */
        return 0;
    }
    if (!gathers) {
        free(steal(conn->tail));
        return feed(conn, shared, kept + (size_t)n);
    }
    tail->len += size_min((size_t)n, missing);
    if (tail_must_gather(tail))
        return 0;
    int r = feed_tail(conn);
    return r < 0 ? r : feed_behind(conn, shared, (size_t)n - missing);
}

static void read_on(struct conn *conn)
{
    int r = !reads(conn) ? 0 : conn->unfed ? feed_tail(conn) : take_input(conn);
    if (r < 0)
        turn_away(conn, r);
    if (conn->state == CONN_ENDED)
        return;
    /* Output may be waiting because the task was for reading, or for what has been read now. */
    if (conn->channel.more || (has_output(conn) && !conn->channel.write_wants))
        flush_later(conn);
    ask_events(conn);
}

static void on_task(struct task *task)
{
    struct conn *conn = container_of(task, struct conn, task);
    if (conn->state == CONN_ENDED && !channel_may_leave(&conn->channel, loop_turns(conn->loop))) {
        conn->routes = !conn->routes; /* by way of FLUSH into the next turn */
        loop_at(conn->loop, conn->routes ? LOOP_ROUTE : LOOP_FLUSH, task);
    } else if (conn->state == CONN_ENDED) {
        conn->user->on->closed(conn->user, conn->why);
        (void)conn_free(conn);
    } else if (!conn->routes) {
        flush(conn);
    } else if (conn->state == CONN_HANDSHAKE) {
        shake_hands(conn);
    } else {
        read_on(conn);
    }
}

void conn_expect(struct conn *conn, size_t bytes)
{
    conn->expect = (uint32_t)size_min(bytes, UINT32_MAX);
}

void conn_pause(struct conn *conn)
{
    if (!conn->paused++)
        ask_events(conn);
}

void conn_resume(struct conn *conn)
{
    assert(conn->paused);
    if (--conn->paused)
        return;
    ask_events(conn);
    if (has_input(conn))
        route(conn);
}

static void shake_hands(struct conn *conn)
{
    int r = channel_handshake(&conn->channel);
    if (r == 0) {
        conn->state = CONN_UP;
        limit_stop(conn);
        flush_later(conn); /* what was written before it could be */
    } else if (r != -EAGAIN) {
        turn_away(conn, r);
    } else if (!conn->channel.read_wants) {
        limit_start(conn, PSK_GATE_WAIT);
    }
    ask_events(conn);
    read_on(conn);
}

static void on_ready(struct watch *watch, unsigned events)
{
    struct conn *conn = container_of(watch, struct conn, channel.watch);
    if (conn->state == CONN_HANDSHAKE) {
        if (channel_may_come_in(&conn->channel, loop_turns(conn->loop)))
            shake_hands(conn);
        return;
    }
    if (conn->state == CONN_LINGERING) {
        if (!channel_read_away(&conn->channel))
            end(conn, conn->why);
        return;
    }
    if (events & (EPOLLHUP | EPOLLERR)) {
        if (conn->state == CONN_CLOSING) {
            end(conn, conn->why ? conn->why : -ECONNRESET); /* nobody is left to write to */
            return;
        }
        if (conn->paused && !conn->channel.write_wants) {
            /* epoll would say so again every turn; and what came before is still to be read, after conn_resume(). */
            loop_unwatch(conn->loop, &conn->channel.watch);
            return;
        }
        events |= EPOLLIN | EPOLLOUT; /* whichever direction waits finds out what it is */
    }
    if (conn->channel.write_wants & events) {
        conn->channel.write_wants = 0;
        flush(conn);
        ask_events(conn);
    }
    if ((conn->channel.read_wants & events) && channel_may_come_in(&conn->channel, loop_turns(conn->loop)))
        read_on(conn);
}

/* ---- out ----------------------------------------------------------------------------------------------------------- */

static void write_out(struct conn *conn)
{
    while (has_output(conn) && !conn->channel.write_wants) {
        struct iovec pieces[CHANNEL_PIECES_MAX];
        size_t len;
        int count = output_pieces(&conn->output, pieces, CHANNEL_PIECES_MAX, &len);
        ssize_t n = channel_write(&conn->channel, pieces, count, len);
        if (n < 0) {
            end(conn, (int)n);
            return;
        }
        output_take(&conn->output, (size_t)n);
    }
    if (conn->channel.write_wants)
        ask_events(conn);
    if (!output_len(&conn->output))
        output_take(&conn->output, 0); /* room that was asked for and not used */
    if (conn->above && output_len(&conn->output) <= conn->limits->high_water / 2) {
        conn->above = false;
        if (conn->user->on->drained && conn->state == CONN_UP)
            conn->user->on->drained(conn->user);
    }
    if (conn->state == CONN_CLOSING && !has_output(conn))
        finish(conn, true);
}

static void flush(struct conn *conn)
{
    if ((conn->state == CONN_UP || conn->state == CONN_CLOSING) && !conn->channel.write_wants)
        write_out(conn);
    if (has_input(conn)) /* in the next turn: others have input, too */
        route(conn);
}

/* Is output taken at all? Then it will be flushed. */
static bool takes_output(struct conn *conn)
{
    if (conn->state >= CONN_CLOSING)
        return false;
    if (!conn->channel.write_wants)
        flush_later(conn);
    return true;
}

uint8_t *conn_room(struct conn *conn, size_t len)
{
    if (!takes_output(conn))
        return NULL;
    uint8_t *room = output_room(&conn->output, len);
    if (!room)
        end(conn, -ENOMEM); /* a stream with a hole in it is worth nothing */
    return room;
}

void conn_wrote(struct conn *conn, size_t len)
{
    output_wrote(&conn->output, len);
    conn->above |= conn_is_congested(conn);
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
    if (len <= COPY_MAX) {
        conn_write(conn, bytes, len);
        return;
    }
    if (!takes_output(conn))
        return;
    output_add_msg(&conn->output, msg, bytes, len);
    conn->above |= conn_is_congested(conn);
}

void conn_give_back(void)
{
    output_give_back();
}

size_t conn_pending(const struct conn *conn)
{
    return output_len(&conn->output);
}

bool conn_is_congested(const struct conn *conn)
{
    return output_len(&conn->output) > conn->limits->high_water;
}

const struct channel *conn_channel(const struct conn *conn)
{
    return &conn->channel;
}
