#include "net/net_rig.h"

#include "base/log.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

enum { TURNS_MAX = 20000 };

const struct conn_limits net_limits = {.tail_max = 1024 * 1024, .high_water = 64 * 1024};
struct log_lines log_lines;

/* ---- the loop ------------------------------------------------------------------------------------------------------ */

struct net_rig *net_rig_new(void)
{
    struct net_rig *rig = mem_new(struct net_rig);
    /* It starts at the real time: net_turn_until() lets the system's clock go on. */
    static const struct clock system_clock;
    rig->clock = (struct clock){.by_hand = true, .mono = clock_mono(&system_clock), .wall = 1760000000000};
    CHECK_INT(loop_new(&rig->loop, &rig->clock), 0);
    return rig;
}

struct net_rig *net_rig_free(struct net_rig *rig)
{
    if (rig)
        rig->loop = loop_free(rig->loop);
    free(rig);
    log_capture(NULL);
    return NULL;
}

void net_turn(struct net_rig *rig)
{
    for (int i = 0; i < TURNS_MAX; i++) {
        int n = loop_turn(rig->loop, 0);
        CHECK(n >= 0);
        if (n == 0)
            return;
    }
    FAIL("the loop does not come to rest");
}

void net_turn_until(struct net_rig *rig, const unsigned *what)
{
    rig->clock.by_hand = false; /* so that the loop waits */
    for (int i = 0; i < TURNS_MAX && !*what; i++)
        CHECK(loop_turn(rig->loop, 10000) > 0);
    rig->clock.by_hand = true;
    CHECK(*what);
}

void net_wait(struct net_rig *rig, int64_t ms)
{
    clock_move(&rig->clock, ms);
    net_turn(rig);
}

/* ---- recorders ----------------------------------------------------------------------------------------------------- */

static ssize_t on_received(struct conn_user *user, const uint8_t *bytes, size_t len)
{
    struct recorder *recorder = container_of(user, struct recorder, user);
    CHECK_INT(recorder->closed, 0);
    recorder->received++;
    recorder->offered = len;
    ssize_t used = recorder->take ? recorder->take(recorder, bytes, len) : (ssize_t)len;
    if (used <= 0)
        return used;
    recorder->bytes = realloc(recorder->bytes, recorder->len + (size_t)used);
    memcpy(recorder->bytes + recorder->len, bytes, (size_t)used);
    recorder->len += (size_t)used;
    return used;
}

static void on_drained(struct conn_user *user)
{
    struct recorder *recorder = container_of(user, struct recorder, user);
    CHECK_INT(recorder->closed, 0);
    recorder->drained++;
    if (recorder->on_drained)
        recorder->on_drained(recorder);
}

static void on_closed(struct conn_user *user, int why)
{
    struct recorder *recorder = container_of(user, struct recorder, user);
    CHECK(!recorder->inside);
    CHECK_INT(recorder->closed, 0);
    recorder->closed++;
    recorder->why = why;
    (void)snprintf(recorder->peer, sizeof recorder->peer, "%s", conn_peer(recorder->conn));
    recorder->conn = NULL;
}

void recorder_init(struct recorder *recorder)
{
    static const struct conn_events events = {
        .received = on_received, .drained = on_drained, .closed = on_closed};
    recorder->user.on = &events;
}

void recorder_done(struct recorder *recorder)
{
    recorder->conn = conn_free(recorder->conn);
    recorder_forget(recorder);
}

void recorder_forget(struct recorder *recorder)
{
    free(steal(recorder->bytes));
    recorder->len = 0;
}

void net_endpoint(struct net_rig *rig, struct recorder *recorder, const struct endpoint *endpoint)
{
    recorder_init(recorder);
    recorder->rig = rig;
    CHECK_INT(conn_new(&recorder->conn, rig->loop, endpoint, &net_limits, &recorder->user), 0);
}

void net_conn(struct net_rig *rig, struct recorder *recorder, int fd, struct ssl_st *tls)
{
    net_endpoint(rig, recorder, &(struct endpoint){.fd = fd, .tls = tls});
}

int net_pair(struct net_rig *rig, struct recorder *recorder)
{
    int fds[2];
    CHECK_INT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
    net_conn(rig, recorder, fds[0], NULL);
    return fds[1];
}

/* ---- the other side ------------------------------------------------------------------------------------------------ */

void raw_write(int fd, const void *bytes, size_t len)
{
    CHECK_INT(send(fd, bytes, len, MSG_NOSIGNAL), (int64_t)len);
}

ssize_t raw_read(int fd, void *bytes, size_t size)
{
    ssize_t n = recv(fd, bytes, size, MSG_DONTWAIT);
    return n < 0 ? -errno : n;
}

int tcp_pair(int *peer)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    cleanup(fd_close_p) int door = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(door >= 0);
    CHECK_INT(bind(door, (struct sockaddr *)&address, sizeof address), 0);
    CHECK_INT(listen(door, 1), 0);
    CHECK_INT(getsockname(door, (struct sockaddr *)&address, &len), 0);
    *peer = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(*peer >= 0);
    CHECK_INT(connect(*peer, (struct sockaddr *)&address, sizeof address), 0);
    int fd = accept4(door, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    CHECK(fd >= 0);
    return fd;
}

void send_buffer(int fd, int bytes)
{
    CHECK_INT(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes), 0);
}

/* ---- bytes --------------------------------------------------------------------------------------------------------- */

void pattern(uint8_t *bytes, size_t len, uint32_t seed)
{
    uint32_t random = seed * 2654435761u + 1;
    for (size_t i = 0; i < len; i++) {
        random = random * 1664525 + 1013904223;
        bytes[i] = (uint8_t)(random >> 24);
    }
}

size_t packet_put(uint8_t *to, size_t len)
{
    uint32_t head = htonl((uint32_t)len);
    memcpy(to, &head, sizeof head);
    pattern(to + sizeof head, len, (uint32_t)len);
    return sizeof head + len;
}

ssize_t take_packets(struct recorder *recorder, const uint8_t *bytes, size_t len)
{
    size_t used = 0;
    while (len - used >= 4) {
        uint32_t head;
        memcpy(&head, bytes + used, sizeof head);
        size_t total = 4 + (size_t)ntohl(head);
        if (len - used < total) {
            conn_expect(recorder->conn, total);
            break;
        }
        used += total;
    }
    return (ssize_t)used;
}

ssize_t take_nothing(struct recorder *recorder, const uint8_t *bytes, size_t len)
{
    (void)recorder, (void)bytes, (void)len;
    return 0;
}

/* ---- the log ------------------------------------------------------------------------------------------------------- */

static void on_line(enum log_level level, const char *line)
{
    (void)level;
    log_lines.count++;
    (void)snprintf(log_lines.last, sizeof log_lines.last, "%s", line);
}

void log_listen(void)
{
    log_lines = (struct log_lines){0};
    log_capture(on_line);
}
