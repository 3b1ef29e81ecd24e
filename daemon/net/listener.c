#include "net/listener.h"

#include "base/log.h"
#include "net/tls.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* A turn accepts a bounded number, so that a flood of connections does not keep those that are there from being served.
 * When descriptors run out, accepting rests for a second instead of spinning: the backlog keeps those who knock. */

enum { ACCEPTS_A_TURN = 64, BACKLOG = 1024, REST_MS = 1000, NAME_BYTES = 300 };

struct listener {
    struct loop *loop;
    struct listener_uri uri;
    struct listener_user *user;
    struct ssl_ctx_st *tls;
    struct watch watch;
    struct timer rest;
    bool made_file; /* the Unix socket's file is ours to remove */
    char name[NAME_BYTES];
};

static void on_knock(struct watch *watch, unsigned events);
static void on_rested(struct timer *timer);

static int fault(const struct listener *listener, char **why, int r)
{
    *why = str_printf("%s: %s", listener->name, strerror(-r));
    return r;
}

static int bind_tcp(struct listener *listener, char **why)
{
    char port[8];
    (void)snprintf(port, sizeof port, "%u", listener->uri.port);
    struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *addresses;
    int r = getaddrinfo(listener->uri.host, port, &hints, &addresses);
    if (r != 0) {
        *why = str_printf("%s: expected an address or a name of this machine, found \"%s\": %s",
                          listener->name, listener->uri.host, gai_strerror(r));
        return -EADDRNOTAVAIL;
    }
    int fd = socket(addresses->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int one = 1;
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) < 0 ||
        bind(fd, addresses->ai_addr, addresses->ai_addrlen) < 0)
        r = -errno;
    freeaddrinfo(addresses);
    listener->watch.fd = fd;
    return r < 0 ? fault(listener, why, r) : 0;
}

/* Is there a socket file that nobody listens on any more? Then it may be replaced; anything else may not. */
static int remove_stale(const struct sockaddr_un *address)
{
    struct stat st;
    if (lstat(address->sun_path, &st) < 0)
        return errno == ENOENT ? 0 : -errno;
    if (!S_ISSOCK(st.st_mode))
        return -EEXIST;
    /* Non-blocking: somebody with a full backlog would keep us waiting. He is alive then. */
    cleanup(fd_close_p) int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (probe < 0)
        return -errno;
    if (connect(probe, (const struct sockaddr *)address, sizeof *address) == 0 || errno != ECONNREFUSED)
        return -EADDRINUSE;
    return unlink(address->sun_path) < 0 ? -errno : 0;
}

static int bind_unix(struct listener *listener, char **why)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", listener->uri.host);
    int r = remove_stale(&address);
    if (r < 0)
        return fault(listener, why, r);
    int fd = listener->watch.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    /* bind() gives the file the descriptor's mode without what umask forbids, so it is never more open than asked; and
     * chmod() then grants what umask took. umask itself belongs to all threads. */
    if (fd < 0 || fchmod(fd, listener->uri.mode) < 0 ||
        bind(fd, (struct sockaddr *)&address, sizeof address) < 0)
        return fault(listener, why, -errno);
    listener->made_file = true;
    return chmod(address.sun_path, listener->uri.mode) < 0 ? fault(listener, why, -errno) : 0;
}

static const char *scheme_name(enum listener_scheme scheme)
{
    switch (scheme) {
    case LISTENER_MQTT: return "mqtt";
    case LISTENER_MQTTS: return "mqtts";
    case LISTENER_UNIX: break;
    }
    return "unix";
}

static void set_name(struct listener *listener)
{
    const struct listener_uri *uri = &listener->uri;
    if (uri->scheme == LISTENER_UNIX) {
        (void)snprintf(listener->name, sizeof listener->name, "unix://%s", uri->host);
        return;
    }
    struct sockaddr_storage address = {0};
    socklen_t len = sizeof address;
    unsigned port = uri->port;
    if (getsockname(listener->watch.fd, (struct sockaddr *)&address, &len) == 0)
        port = ntohs(address.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&address)->sin6_port
                                                   : ((struct sockaddr_in *)&address)->sin_port);
    bool v6 = strchr(uri->host, ':');
    (void)snprintf(listener->name, sizeof listener->name, "%s://%s%s%s:%u", scheme_name(uri->scheme),
                   v6 ? "[" : "", uri->host, v6 ? "]" : "", port);
}

static void copy_uri(struct listener_uri *to, const struct listener_uri *from)
{
    *to = *from;
    to->host = str_copy(from->host);
    to->cert = str_copy(from->cert);
    to->key = str_copy(from->key);
    to->ca = str_copy(from->ca);
}

int listener_open(struct listener **ret, struct loop *loop, const struct listener_uri *uri,
                  struct listener_user *user, char **why)
{
    struct listener *listener = mem_new(struct listener);
    listener->loop = loop;
    listener->user = user;
    listener->watch = (struct watch){.fd = -1, .ready = on_knock};
    listener->rest.fire = on_rested;
    copy_uri(&listener->uri, uri);

    int r = 0;
    if (uri->scheme == LISTENER_MQTTS)
        r = tls_server_context(&listener->tls, uri->cert, uri->key, uri->ca, why);
    set_name(listener);
    if (r >= 0)
        r = uri->scheme == LISTENER_UNIX ? bind_unix(listener, why) : bind_tcp(listener, why);
    if (r >= 0) {
        set_name(listener); /* the real port is known now */
        r = listen(listener->watch.fd, BACKLOG) < 0 ? -errno : loop_watch(loop, &listener->watch, EPOLLIN);
        if (r < 0)
            (void)fault(listener, why, r);
    }
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
    if (listener->made_file)
        (void)unlink(listener->uri.host);
    listener->tls = tls_context_free(listener->tls);
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

static void rest(struct listener *listener, int r)
{
    log_warning("%s: accept: %s; trying again in a second", listener->name, strerror(-r));
    loop_unwatch(listener->loop, &listener->watch);
    timer_start(listener->loop, &listener->rest, REST_MS);
}

static void on_knock(struct watch *watch, unsigned events)
{
    (void)events;
    struct listener *listener = container_of(watch, struct listener, watch);
    for (int i = 0; i < ACCEPTS_A_TURN; i++) {
        int fd = accept4(watch->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0) {
            if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
                rest(listener, -errno);
            else if (errno == EINTR || errno == ECONNABORTED)
                continue;
            return;
        }
        struct ssl_st *tls = NULL;
        if (listener->tls && !(tls = tls_accept(listener->tls))) {
            (void)close(fd);
            continue;
        }
        listener->user->accepted(listener->user, listener, fd, tls);
    }
}

const struct listener_uri *listener_uri(const struct listener *listener)
{
    return &listener->uri;
}

const char *listener_name(const struct listener *listener)
{
    return listener->name;
}

int listener_reload(struct listener *listener, char **why)
{
    if (listener->uri.scheme != LISTENER_MQTTS)
        return 0;
    struct ssl_ctx_st *fresh;
    int r = tls_server_context(&fresh, listener->uri.cert, listener->uri.key, listener->uri.ca, why);
    if (r < 0)
        return r;
    listener->tls = tls_context_free(listener->tls); /* live connections hold a reference of their own */
    listener->tls = fresh;
    return 0;
}
