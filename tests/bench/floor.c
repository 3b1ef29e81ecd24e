/* The floor: a forwarder without MQTT logic, the physical limit for any broker on one epoll loop.
 *
 * It touches what no broker can leave out and nothing else: one recv per ready socket, every frame once, one send per
 * destination and turn of the loop. There is no topic tree: a connection's first PUBLISH finds the list of those who
 * subscribed to exactly that topic, and all its later frames are copied to them byte by byte, packet ids included.
 * There is no state: acknowledgements are answered from the frame at hand.
 *
 *      publisher ── PUBLISH ──▶ route ──▶ out of every subscriber      PUBLISH 1 → PUBACK    PUBREC → PUBREL
 *                ◀─ PUBACK ───                                         PUBLISH 2 → PUBREC    PUBREL → PUBCOMP
 *
 * So it is a broker for the load generator only: a connection publishes to one topic, filters are compared as they
 * are, everybody speaks the same version, and QoS 1 and 2 have one publisher per subscriber.
 *
 * With mqtts:// it does the same inside TLS, so that what remains above it is MQTT there, too.
 *
 * Told to, it commits faults (every Nth message of a connection): they show that the generator finds them.
 */
#include "bench/link.h"
#include "bench/secure.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { TOPIC_MAX = 128, TURN_EVENTS = 512 };

struct route {
    struct route *next;
    char topic[TOPIC_MAX];
    struct client **to;
    size_t n;
};

struct client {
    struct link link;
    struct floor *floor;
    unsigned version;
    struct route *route;  /* of what it publishes, once it has */
    struct bytes swapped; /* a frame held back until the next has gone */
    unsigned long published;
    struct client *next_gone;
};

struct floor {
    struct hub hub;
    struct link listener;
    struct ssl_ctx_st *secure; /* NULL: plain */
    struct route *routes;
    struct client *gone;
    unsigned long drop_every, double_every, swap_every;
};

static struct route *route_get(struct floor *floor, const uint8_t *topic, size_t len)
{
    if (len >= TOPIC_MAX)
        return NULL;
    for (struct route *route = floor->routes; route; route = route->next)
        if (strlen(route->topic) == len && memcmp(route->topic, topic, len) == 0)
            return route;

    struct route *route = calloc(1, sizeof(*route));
    if (!route)
        return NULL;
    memcpy(route->topic, topic, len);
    route->next = floor->routes;
    floor->routes = route;
    return route;
}

static int route_add(struct route *route, struct client *client)
{
    struct client **to = realloc(route->to, (route->n + 1) * sizeof(struct client *));

    if (!to)
        return -ENOMEM;
    route->to = to;
    route->to[route->n++] = client;
    return 0;
}

static void route_remove(struct route *route, const struct client *client)
{
    size_t kept = 0;

    for (size_t i = 0; i < route->n; i++)
        if (route->to[i] != client)
            route->to[kept++] = route->to[i];
    route->n = kept;
}

static void forward(struct client *from, const uint8_t *frame, size_t size)
{
    for (size_t i = 0; i < from->route->n; i++)
        bytes_add(link_out(&from->floor->hub, &from->route->to[i]->link), frame, size);
}

static bool every(unsigned long n, unsigned long i)
{
    return n > 0 && i % n == 0;
}

static void forward_with_faults(struct client *from, const uint8_t *frame, size_t size)
{
    const struct floor *floor = from->floor;
    unsigned long i = ++from->published;

    if (every(floor->drop_every, i))
        return;
    if (every(floor->swap_every, i) && from->swapped.len == 0) {
        bytes_add(&from->swapped, frame, size);
        return;
    }
    forward(from, frame, size);
    if (every(floor->double_every, i))
        forward(from, frame, size);
    if (from->swapped.len) {
        forward(from, from->swapped.data, from->swapped.len);
        from->swapped.len = 0;
    }
}

static int on_publish(struct client *client, const struct frame *frame)
{
    const struct floor *floor = client->floor;
    unsigned qos = frame->flags >> 1 & 3;
    struct publish m;

    if (!client->route || qos > 0) {
        int r = frame_publish(&m, frame, client->version);
        if (r < 0)
            return r;
        if (!client->route)
            client->route = route_get(client->floor, m.topic, m.topic_len);
        if (!client->route)
            return -ENOBUFS;
    }
    if (floor->drop_every || floor->double_every || floor->swap_every)
        forward_with_faults(client, frame->start, frame->size);
    else
        forward(client, frame->start, frame->size);
    if (qos > 0)
        put_ack(link_out(&client->floor->hub, &client->link), qos == 1 ? PUBACK : PUBREC, m.id);
    return 0;
}

static int on_subscribe(struct client *client, const struct frame *frame)
{
    const uint8_t *p = frame->body, *end = p + frame->len;
    struct bytes codes = {0};
    int r = 0;

    if (end - p < 2 + (client->version == MQTT_5))
        return -EPROTO;
    uint16_t id = (uint16_t)(p[0] << 8 | p[1]);
    p += 2;
    if (client->version == MQTT_5)
        p += 1 + *p; /* the generator sends no properties, so their length is one byte */
    while (r == 0 && end - p > 2) {
        size_t len = (size_t)(p[0] << 8 | p[1]);
        if ((size_t)(end - p) < 2 + len + 1) {
            r = -EPROTO;
            break;
        }
        struct route *route = route_get(client->floor, p + 2, len);
        r = route ? route_add(route, client) : -ENOBUFS;
        bytes_add(&codes, p + 2 + len, 1); /* granted as asked */
        p += 2 + len + 1;
    }
    if (r == 0)
        put_suback(link_out(&client->floor->hub, &client->link), client->version, id, codes.data, codes.len);
    free(codes.data);
    return r;
}

static int on_ack(struct client *client, const struct frame *frame, enum frame_type answer)
{
    struct ack ack;

    int r = frame_ack(&ack, frame);
    if (r == 0)
        put_ack(link_out(&client->floor->hub, &client->link), answer, ack.id);
    return r;
}

static int on_frame(struct link *link, const struct frame *frame)
{
    struct client *client = (struct client *)link;
    struct hub *hub = &client->floor->hub;

    switch (frame->type) {
    case CONNECT:
        if (frame->len < 10)
            return -EPROTO;
        client->version = frame->body[6];
        put_connack(link_out(hub, link), client->version);
        return 0;
    case PUBLISH: return on_publish(client, frame);
    case SUBSCRIBE: return on_subscribe(client, frame);
    case PUBREC: return on_ack(client, frame, PUBREL);
    case PUBREL: return on_ack(client, frame, PUBCOMP);
    case PUBACK:
    case PUBCOMP: return 0;
    case PINGREQ: put_empty(link_out(hub, link), PINGRESP); return 0;
    case DISCONNECT: return -EPIPE;
    default: return -EPROTO;
    }
}

/* Freed at the end of the turn: the list of dirty links may still name it. */
static void on_error(struct link *link, int r)
{
    struct client *client = (struct client *)link;
    struct floor *floor = client->floor;

    if (link->fd < 0)
        return;
    if (r != -EPIPE && r != -ECONNRESET)
        fprintf(stderr, "bench_floor: a connection ends: %s\n", strerror(-r));
    for (struct route *route = floor->routes; route; route = route->next)
        route_remove(route, client);
    link_close(link);
    client->next_gone = floor->gone;
    floor->gone = client;
}

static void free_gone(struct floor *floor)
{
    while (floor->gone) {
        struct client *client = floor->gone;
        floor->gone = client->next_gone;
        free(client->swapped.data);
        free(client);
    }
}

static void on_connections(struct floor *floor)
{
    int fd;

    while ((fd = accept4(floor->listener.fd, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
        struct client *client = calloc(1, sizeof(*client));
        int r = client ? link_open(&floor->hub, &client->link, fd) : -ENOMEM;
        if (r == 0 && floor->secure)
            r = link_secure(&client->link, floor->secure);
        if (r < 0) {
            fprintf(stderr, "bench_floor: accept: %s\n", strerror(-r));
            free(client);
            (void)close(fd);
            continue;
        }
        client->floor = floor;
    }
}

static int run(struct floor *floor)
{
    struct epoll_event events[TURN_EVENTS];

    for (;;) {
        int n = epoll_wait(floor->hub.epoll, events, TURN_EVENTS, -1);
        if (n < 0 && errno != EINTR)
            return -errno;
        for (int i = 0; i < n; i++) {
            struct link *link = events[i].data.ptr;
            if (link == &floor->listener) {
                on_connections(floor);
                continue;
            }
            int r = 0;
            if (events[i].events & EPOLLOUT)
                r = link_flush(&floor->hub, link);
            if (r == 0 && events[i].events & ~(unsigned)EPOLLOUT)
                r = link_receive(&floor->hub, link, on_frame);
            if (r < 0)
                on_error(link, r);
        }
        hub_flush(&floor->hub, on_error);
        free_gone(floor);
    }
}

static void say_where(const char *uri, int fd)
{
    struct sockaddr_in in = {0};
    socklen_t len = sizeof(in);
    char host[INET_ADDRSTRLEN] = "";

    if (getsockname(fd, (struct sockaddr *)&in, &len) == 0 && in.sin_family == AF_INET &&
        inet_ntop(AF_INET, &in.sin_addr, host, sizeof(host)))
        fprintf(stderr, "listening on %s://%s:%u\n", address_is_secure(uri) ? "mqtts" : "mqtt", host,
                ntohs(in.sin_port));
    else
        fprintf(stderr, "listening on %s\n", uri);
}

static int usage(FILE *out)
{
    fputs("usage: bench_floor [--listen mqtt://HOST:PORT | mqtts://HOST:PORT | unix:///PATH] [--tls FOLDER]\n"
          "                   [--drop-every N] [--double-every N] [--swap-every N]\n",
          out);
    return out == stdout ? 0 : 2;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"listen", required_argument, NULL, 'l'},
        {"tls", required_argument, NULL, 't'},
        {"drop-every", required_argument, NULL, 'd'},
        {"double-every", required_argument, NULL, '2'},
        {"swap-every", required_argument, NULL, 's'},
        {"help", no_argument, NULL, 'h'},
        {0},
    };
    struct floor floor = {0};
    const char *uri = "mqtt://127.0.0.1:0", *tls = NULL, *why;
    struct rlimit files;
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1)
        switch (option) {
        case 'l': uri = optarg; break;
        case 't': tls = optarg; break;
        case 'd': floor.drop_every = strtoul(optarg, NULL, 10); break;
        case '2': floor.double_every = strtoul(optarg, NULL, 10); break;
        case 's': floor.swap_every = strtoul(optarg, NULL, 10); break;
        case 'h': return usage(stdout);
        default: return usage(stderr);
        }
    if (optind < argc || address_is_secure(uri) != (tls != NULL))
        return usage(stderr);
    if (tls) {
        floor.secure = secure_context(tls, true, &why);
        if (!floor.secure) {
            fprintf(stderr, "bench_floor: certificates in %s: %s\n", tls, why);
            return 1;
        }
    }

    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    int r = hub_init(&floor.hub);
    if (r == 0)
        r = address_listen(uri);
    if (r >= 0) {
        int fd = r;
        r = link_open(&floor.hub, &floor.listener, fd);
        if (r == 0) {
            say_where(uri, fd);
            r = run(&floor);
        }
    }
    fprintf(stderr, "bench_floor: %s: %s\n", uri, strerror(-r));
    return 1;
}
