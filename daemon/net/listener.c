#include "net/listener.h"

#include "base/log.h"
#include "net/cable.h"
#include "net/greeter.h"
#include "net/listener_socket.h"
#include "net/psk_gate.h"
#include "net/visitors.h"
#include "net/websocket.h"
#include "net/websocket_frame.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

/* A turn accepts a bounded number, so that a flood of connections does not keep those that are there from being served.
 * When descriptors run out, accepting rests for a second instead of spinning: the backlog keeps those who knock. The same
 * when more come than connect-rate allows: after a power cut, a plant's nodes then come in one after the other instead of
 * being sent away and trying again all at once, and what a flood costs is what the kernel does for it. */

enum {
    ACCEPTS_A_TURN = 64,
    SECURE_ACCEPTS_A_TURN =
        2, /* fewer than the steps of a turn: those who are in are done with first, and their handshakes lie together in memory */
    BACKLOG = 1024,
    REST_MS = 1000,
    REST_MIN_MS = 10,
    NAME_BYTES = 300,
    US_A_SECOND = 1000000
};

struct listener {
    struct loop *loop;
    struct listener_uri uri;
    struct listener_user *user;
    struct ssl_ctx_st *tls;
    struct psk_gate *gate; /* NULL: no shared keys */
    struct cable *cable;   /* in place of a socket */
    struct cable_user at_cable;
    struct websocket_site *site;
    struct watch watch;
    struct timer rest;
    struct greeter greeter;
    struct visitors visitors;
    int64_t full_at_us; /* see time_to_next() */
    struct listener_counters counters;
    bool made_file; /* the Unix socket's file is ours to remove */
    char name[NAME_BYTES];
};

static void on_knock(struct watch *watch, unsigned events);
static void on_rested(struct timer *timer);
static void on_introduced(struct greeter *greeter, struct endpoint *endpoint);
static void on_came(struct cable_user *user, int fd, const char *serial);

static void set_name(struct listener *listener)
{
    const struct listener_uri *uri = &listener->uri;
    if (uri->scheme == LISTENER_UNIX || uri->scheme == LISTENER_SERIAL) {
        (void)snprintf(listener->name, sizeof listener->name, "%s://%s", listener_scheme_name(uri->scheme),
                       uri->host);
        return;
    }
    struct sockaddr_storage address = {0};
    socklen_t len = sizeof address;
    unsigned port = uri->port;
    if (getsockname(listener->watch.fd, (struct sockaddr *)&address, &len) == 0)
        port = ntohs(address.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&address)->sin6_port
                                                   : ((struct sockaddr_in *)&address)->sin_port);
    bool v6 = strchr(uri->host, ':');
    (void)snprintf(listener->name, sizeof listener->name, "%s://%s%s%s:%u%s",
                   listener_scheme_name(uri->scheme), v6 ? "[" : "", uri->host, v6 ? "]" : "", port,
                   uri->path ? uri->path : "");
}

static int make_gate(struct listener *listener, char **why)
{
    if (!listener_has_psk(&listener->uri))
        return 0;
    if (!listener->user->keys) {
        *why = str_printf("%s: expected a gateway that pairs nodes, for it needs their keys", listener->name);
        return -EINVAL;
    }
    listener->gate = psk_gate_new(listener->loop, listener->user->keys);
    return 0;
}

static bool asks_for_certificates(const struct listener_uri *uri)
{
    return (uri->ca || uri->access == LISTENER_POLICY) &&
           (!uri->auth || uri->auth & LISTENER_AUTH_CERTIFICATE);
}

/* NULL where there is no TLS. before: the context until now, NULL at first. */
static int make_tls(const struct listener *listener, struct ssl_ctx_st **ret, struct ssl_ctx_st *before,
                    char **why)
{
    const struct listener_uri *uri = &listener->uri;
    const struct tls_options options = {
        .files = uri->certs,
        .count = uri->cert_count,
        .folder = uri->folder,
        .ca = uri->ca,
        .crl = uri->crl,
        .gate = asks_for_certificates(uri) ? listener->user->gate : NULL,
        .optional = listener_has_login(uri),
        .speaks = listener_has_websocket(uri) ? TLS_HTTP
                  : listener_has_http(uri)    ? TLS_REST
                                              : TLS_MQTT,
        .psk = listener->gate ? &listener->gate->tls : NULL,
        .psk_tls12 = uri->tls12,
    };
    return listener_has_tls(uri) ? tls_server_context(ret, &options, before, why) : 0;
}

static int get_socket(struct listener *listener, char **why)
{
    struct listener_socket got;
    if (listener->uri.scheme == LISTENER_SERIAL)
        return cable_open(&listener->cable, listener->loop, listener->uri.host, listener->uri.baud,
                          &listener->at_cable);
    int r = listener_socket_get(&got, &listener->uri, listener->name, why);
    listener->watch.fd = got.fd;
    listener->made_file = got.made_file;
    if (r < 0)
        return r;
    set_name(listener); /* the real port is known now */
    if (listen(got.fd, BACKLOG) < 0 || (r = loop_watch(listener->loop, &listener->watch, EPOLLIN)) < 0) {
        r = r < 0 ? r : -errno;
        *why = str_printf("%s: %s", listener->name, strerror(-r));
    }
    return r;
}

int listener_open(struct listener **ret, struct loop *loop, const struct listener_uri *uri,
                  struct listener_user *user, char **why)
{
    struct listener *listener = mem_new(struct listener);
    listener->loop = loop;
    listener->user = user;
    listener->watch = (struct watch){.fd = -1, .ready = on_knock};
    listener->rest.fire = on_rested;
    listener->at_cable.came = on_came;
    listener->visitors.max = uri->connections_per_address;
    listener_uri_copy(&listener->uri, uri);
    set_name(listener);
    greeter_init(&listener->greeter, loop, listener->name, on_introduced);
    if (listener_has_websocket(uri)) {
        listener->site = websocket_site_new(uri->path, uri->origins, address_name_is_loopback(uri->host));
        listener->site->cut = websocket_cut_mqtt;
    }
    int r = make_gate(listener, why);
    if (r >= 0)
        r = make_tls(listener, &listener->tls, NULL, why);
    if (r < 0) /* no context has it */
        listener->gate = psk_gate_free(listener->gate);
    if (r >= 0)
        r = get_socket(listener, why);
    if (r < 0) {
        (void)listener_close(listener);
        return r;
    }
    *ret = listener;
    return 0;
}

struct listener *listener_close(struct listener *listener)
{
    if (!listener)
        return NULL;
    timer_stop(listener->loop, &listener->rest);
    loop_unwatch(listener->loop, &listener->watch);
    fd_close_p(&listener->watch.fd);
    listener->cable = cable_close(listener->cable);
    greeter_done(&listener->greeter);
    visitors_done(&listener->visitors);
    if (listener->made_file)
        (void)unlink(listener->uri.host);
    listener->tls = tls_context_free(listener->tls);
    if (listener->site)
        listener->site->closed = true;
    listener->site = websocket_site_unref(listener->site);
    listener_uri_done(&listener->uri);
    free(listener);
    return NULL;
}

static void on_rested(struct timer *timer)
{
    struct listener *listener = container_of(timer, struct listener, rest);
    int r = loop_watch(listener->loop, &listener->watch, EPOLLIN);
    if (r < 0)
        timer_start(listener->loop, timer, REST_MS);
}

static void rest(struct listener *listener, int64_t ms)
{
    loop_unwatch(listener->loop, &listener->watch);
    timer_start(listener->loop, &listener->rest, ms);
}

/* ---- who comes ------------------------------------------------------------------------------------------------------ */

/* The rate is a bucket that holds what may come in a second, kept as the moment when it is full again: each connection
 * moves that on by its share. */
static int64_t share_of_one(const struct listener *listener)
{
    return listener->uri.connect_rate ? US_A_SECOND / listener->uri.connect_rate : 0;
}

/* How many ms it takes until there is room for one more; 0: there is. */
static int64_t time_to_next(const struct listener *listener)
{
    if (!listener->uri.connect_rate)
        return 0;
    int64_t over =
        listener->full_at_us - loop_now(listener->loop) * 1000 - (US_A_SECOND - share_of_one(listener));
    return over > 0 ? (over + 999) / 1000 : 0;
}

static void count_rate(struct listener *listener)
{
    int64_t now = loop_now(listener->loop) * 1000;
    if (listener->full_at_us < now)
        listener->full_at_us = now;
    listener->full_at_us += share_of_one(listener);
}

static void turn_away(struct listener *listener, int fd, const struct address *from, const char *why)
{
    if (why) {
        char text[ADDRESS_TEXT_BYTES];
        address_text(from, text);
        log_info("%s: %s: refused: %s", listener->name, text, why);
    }
    (void)close(fd);
}

/* It is known who it is. */
static void welcome(struct listener *listener, struct endpoint *endpoint)
{
    enum visit visit = visitors_enter(&listener->visitors, &endpoint->from);
    if (visit != VISIT_WELCOME) {
        listener->counters.refused_per_address++;
        turn_away(listener, endpoint->fd, &endpoint->from,
                  visit == VISIT_FIRST_TOO_MANY ? "more connections than connections-per-address allows"
                                                : NULL);
        return;
    }
    if (listener->tls && !(endpoint->tls = tls_accept(listener->tls))) {
        visitors_leave(&listener->visitors, &endpoint->from);
        endpoint_close(endpoint);
        return;
    }
    if (listener->site)
        endpoint->websocket = websocket_accept(listener->site);
    listener->user->accepted(listener->user, listener, endpoint);
}

static void on_introduced(struct greeter *greeter, struct endpoint *endpoint)
{
    welcome(container_of(greeter, struct listener, greeter), endpoint);
}

static void on_came(struct cable_user *user, int fd, const char *serial)
{
    (void)serial; /* he says so; his key proves it */
    struct listener *listener = container_of(user, struct listener, at_cable);
    struct endpoint endpoint = {.fd = fd};
    listener->counters.accepted++;
    welcome(listener, &endpoint);
}

static bool is_proxy(const struct listener *listener, const struct address *from)
{
    for (size_t i = 0; i < listener->uri.proxy_from_count; i++)
        if (address_is_in(from, &listener->uri.proxy_from[i]))
            return true;
    return false;
}

static void let_in(struct listener *listener, int fd, const struct sockaddr_storage *peer)
{
    struct endpoint endpoint = {.fd = fd};
    (void)address_of_sockaddr(&endpoint.from, peer); /* of a Unix socket it is not known yet */
    listener->counters.accepted++;
    count_rate(listener);
    if (!listener->uri.proxy) {
        welcome(listener, &endpoint);
    } else if (is_proxy(listener, &endpoint.from)) {
        greeter_take(&listener->greeter, fd, &endpoint.from);
    } else {
        listener->counters.refused_proxy++;
        turn_away(listener, fd, &endpoint.from, "not in proxy-from");
    }
}

static void on_knock(struct watch *watch, unsigned events)
{
    (void)events;
    struct listener *listener = container_of(watch, struct listener, watch);
    int accepts = listener->tls ? SECURE_ACCEPTS_A_TURN : ACCEPTS_A_TURN;
    for (int i = 0; i < accepts; i++) {
        int64_t ms = time_to_next(listener);
        if (ms) {
            listener->counters.held_back++;
            rest(listener, ms < REST_MIN_MS ? REST_MIN_MS : ms);
            return;
        }
        struct sockaddr_storage peer = {0};
        socklen_t len = sizeof peer;
        int fd = accept4(watch->fd, (struct sockaddr *)&peer, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd >= 0) {
            let_in(listener, fd, &peer);
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            listener->counters.exhausted++;
            log_warning("%s: accept: %s; trying again in a second", listener->name, strerror(errno));
            rest(listener, REST_MS);
            return;
        } else if (errno != EINTR && errno != ECONNABORTED) {
            return;
        }
    }
}

void listener_left(struct listener *listener, const struct address *from)
{
    if (listener)
        visitors_leave(&listener->visitors, from);
}

void listener_counters(const struct listener *listener, struct listener_counters *ret)
{
    *ret = listener->counters;
    ret->refused_proxy += listener->greeter.refused;
}

const struct listener_uri *listener_uri(const struct listener *listener)
{
    return &listener->uri;
}

const char *listener_name(const struct listener *listener)
{
    return listener->name;
}

int64_t listener_expires(const struct listener *listener)
{
    return listener->tls ? tls_context_expires(listener->tls) : 0;
}

int listener_reload(struct listener *listener, char **why)
{
    if (!listener_has_tls(&listener->uri) || listener->gate)
        return 0; /* shared keys are looked up, not read */
    struct ssl_ctx_st *fresh;
    int r = make_tls(listener, &fresh, listener->tls, why);
    if (r < 0)
        return r;
    listener->tls = tls_context_free(listener->tls); /* live connections hold a reference of their own */
    listener->tls = fresh;
    return 0;
}
