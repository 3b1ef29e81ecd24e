/* bench_storm: many clients with TLS that lose their connections and come back all at once.
 *
 *      connect, a few at a time ─▶ "ready" ─▶ (a line on the input) ─▶ drop all ─▶ connect all ─▶ drop all ─▶ … ─▶ a line of JSON
 *
 * A client is back when its CONNECT is accepted. What others notice of it is measured by others: bench_load, at the same time.
 */
#include "bench/frame.h"
#include "bench/link.h"
#include "bench/meter.h"
#include "bench/secure.h"

#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { EVENTS = 256, FEW = 64, LIMIT_S = 120, WAIT_MS = 1000 };

struct visitor {
    int fd; /* -1: not there */
    struct ssl_st *tls;
    struct ssl_session_st *session;
    unsigned number;
    bool asked, back;
};

struct storm {
    const char *uri, *folder;
    unsigned clients, rounds, at_once;
    bool resumes;
    pid_t pid;

    struct ssl_ctx_st *secure;
    struct visitor *visitors;
    int epoll;
    unsigned opened, back, resumed;
};

static void give_up(const char *what, int r)
{
    fprintf(stderr, "bench_storm: %s%s%s\n", what, r < 0 ? ": " : "", r < 0 ? strerror(-r) : "");
    exit(1);
}

static void drop(struct storm *storm, struct visitor *visitor)
{
    if (visitor->fd < 0)
        return;
    secure_drop(visitor->tls, &visitor->session);
    if (!storm->resumes) {
        secure_session_free(visitor->session);
        visitor->session = NULL;
    }
    (void)close(visitor->fd);
    visitor->fd = -1;
    visitor->tls = NULL;
    visitor->asked = visitor->back = false;
}

static void open_one(struct storm *storm, struct visitor *visitor)
{
    int on = 1;

    visitor->fd = address_connect_later(storm->uri);
    if (visitor->fd < 0)
        give_up("connect", visitor->fd);
    (void)setsockopt(visitor->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    visitor->tls = secure_open(storm->secure, visitor->fd);
    if (!visitor->tls)
        give_up("no memory", 0);
    secure_begin_with(visitor->tls, visitor->session);
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = visitor};
    if (epoll_ctl(storm->epoll, EPOLL_CTL_ADD, visitor->fd, &event) < 0)
        give_up("epoll", -errno);
}

/* Shakes hands as far as it goes, and says CONNECT behind that. */
static void ask(const struct storm *storm, struct visitor *visitor)
{
    struct bytes packet = {0};
    char id[48];
    bool full;

    (void)snprintf(id, sizeof(id), "storm-%d-%u", (int)getpid(), visitor->number);
    put_connect(&packet, MQTT_311, id, false);
    ssize_t n = secure_write(visitor->tls, packet.data, packet.len, &full);
    if (n < 0 && n != -EAGAIN)
        give_up("the broker ends a handshake", (int)n);
    visitor->asked = n > 0;
    free(packet.data);
    (void)storm;
}

static void listen_to(struct storm *storm, struct visitor *visitor)
{
    uint8_t bytes[64];
    struct frame frame;
    struct connack connack;
    ssize_t n;

    while ((n = secure_read(visitor->tls, bytes, sizeof(bytes))) > 0) {
        if (visitor->back || frame_read(&frame, bytes, (size_t)n) != 1 || frame.type != CONNACK ||
            frame_connack(&connack, &frame, MQTT_311) < 0 || connack.code != 0)
            give_up("the broker does not accept a client", 0);
        visitor->back = true;
        storm->back++;
        storm->resumed += secure_was_resumed(visitor->tls);
    }
    if (n != -EAGAIN)
        give_up("the broker has closed a connection", n < 0 ? (int)n : 0);
}

static void on_event(struct storm *storm, struct visitor *visitor, unsigned events)
{
    int fault = 0;
    socklen_t len = sizeof(fault);

    if (events & (EPOLLERR | EPOLLHUP)) {
        (void)getsockopt(visitor->fd, SOL_SOCKET, SO_ERROR, &fault, &len);
        give_up("a connection broke", fault ? -fault : -ECONNRESET);
    }
    if (!visitor->asked)
        ask(storm, visitor);
    if (visitor->asked)
        listen_to(storm, visitor);
}

/* All of them, at most so many under way at once. */
static void bring_back(struct storm *storm, unsigned at_once)
{
    struct epoll_event events[EVENTS];
    double limit = meter_now() + LIMIT_S;

    storm->opened = storm->back = storm->resumed = 0;
    while (storm->back < storm->clients) {
        while (storm->opened < storm->clients && storm->opened - storm->back < at_once)
            open_one(storm, &storm->visitors[storm->opened++]);
        int n = epoll_wait(storm->epoll, events, EVENTS, WAIT_MS);
        for (int i = 0; i < n; i++)
            on_event(storm, events[i].data.ptr, events[i].events);
        if (meter_now() > limit)
            give_up("the time limit was reached", 0);
    }
}

static void run(struct storm *storm)
{
    double seconds = 0, cpu = 0, own_cpu = 0;
    unsigned resumed = 0;
    char line[16];

    bring_back(storm, FEW);
    printf("ready\n");
    (void)fflush(stdout);
    if (!fgets(line, sizeof(line), stdin))
        give_up("a line was expected on the standard input", 0);
    for (unsigned round = 0; round < storm->rounds; round++) {
        for (unsigned i = 0; i < storm->clients; i++)
            drop(storm, &storm->visitors[i]);
        double began = meter_now(), before = meter_cpu(storm->pid), own_before = meter_cpu(0);
        bring_back(storm, storm->at_once);
        seconds += meter_now() - began;
        cpu += meter_cpu(storm->pid) - before;
        own_cpu += meter_cpu(0) - own_before;
        resumed += storm->resumed;
    }
    double connects = (double)storm->clients * storm->rounds;
    printf(
        "{\"work\":\"storm\",\"clients\":%u,\"rounds\":%u,\"resumed\":%u,\"seconds\":%.4f,\"per_second\":%.0f,"
        "\"broker_cpu_us_each\":%.1f,\"generator_cpu_us_each\":%.1f}\n",
        storm->clients, storm->rounds, resumed, seconds, connects / seconds, cpu * 1e6 / connects,
        own_cpu * 1e6 / connects);
}

static int usage(FILE *out)
{
    fputs(
        "usage: bench_storm --to mqtts://HOST:PORT --tls FOLDER --pid PID [--clients N] [--rounds N] [--at-once N]\n"
        "                   [--resume]\n"
        "  --clients N   (1000)\n"
        "  --rounds N    how often all of them come back (1)\n"
        "  --at-once N   so many under way at a time (all)\n"
        "  --resume      with the tickets of their last connections\n",
        out);
    return out == stdout ? 0 : 2;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"to", required_argument, NULL, 't'},
        {"tls", required_argument, NULL, 'T'},
        {"pid", required_argument, NULL, 'p'},
        {"clients", required_argument, NULL, 'c'},
        {"rounds", required_argument, NULL, 'r'},
        {"at-once", required_argument, NULL, 'a'},
        {"resume", no_argument, NULL, 'R'},
        {"help", no_argument, NULL, 'h'},
        {0},
    };
    struct storm storm = {.clients = 1000, .rounds = 1};
    struct rlimit files;
    const char *why;
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1)
        switch (option) {
        case 't': storm.uri = optarg; break;
        case 'T': storm.folder = optarg; break;
        case 'p': storm.pid = (pid_t)strtol(optarg, NULL, 10); break;
        case 'c': storm.clients = (unsigned)strtoul(optarg, NULL, 10); break;
        case 'r': storm.rounds = (unsigned)strtoul(optarg, NULL, 10); break;
        case 'a': storm.at_once = (unsigned)strtoul(optarg, NULL, 10); break;
        case 'R': storm.resumes = true; break;
        case 'h': return usage(stdout);
        default: return usage(stderr);
        }
    if (optind < argc || !storm.uri || !address_is_secure(storm.uri) || !storm.folder || !storm.clients ||
        !storm.rounds || storm.pid <= 0 || meter_cpu(storm.pid) < 0)
        return usage(stderr);
    if (!storm.at_once)
        storm.at_once = storm.clients;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    storm.secure = secure_context(storm.folder, false, &why);
    if (!storm.secure)
        give_up(why, 0);
    storm.epoll = epoll_create1(EPOLL_CLOEXEC);
    storm.visitors = calloc(storm.clients, sizeof(*storm.visitors));
    if (storm.epoll < 0 || !storm.visitors)
        give_up("no memory", 0);
    for (unsigned i = 0; i < storm.clients; i++)
        storm.visitors[i] = (struct visitor){.fd = -1, .number = i};
    run(&storm);
    for (unsigned i = 0; i < storm.clients; i++) {
        drop(&storm, &storm.visitors[i]);
        secure_session_free(storm.visitors[i].session);
    }
    free(storm.visitors);
    (void)close(storm.epoll);
    secure_context_free(storm.secure);
    return 0;
}
