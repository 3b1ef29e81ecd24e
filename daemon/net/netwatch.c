#include "net/netwatch.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SETTLE = 50, PIECE = 16384 };

/* What there is: "INTERFACE ADDRESS" each, as many as there are addresses. */
struct snapshot {
    char (*lines)[IF_NAMESIZE + INET6_ADDRSTRLEN];
    size_t count;
};

struct netwatch {
    struct loop *loop;
    netwatch_changed *changed;
    void *self;
    struct watch socket;
    struct timer settle;
    struct snapshot known;
    bool route_came, route_went;
    bool looked;
};

static bool counts(const struct ifaddrs *at)
{
    if (!at->ifa_addr || (at->ifa_flags & IFF_LOOPBACK) || !(at->ifa_flags & IFF_UP) ||
        !(at->ifa_flags & IFF_RUNNING))
        return false;
    if (at->ifa_addr->sa_family == AF_INET)
        return true;
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)at->ifa_addr;
    return at->ifa_addr->sa_family == AF_INET6 && !IN6_IS_ADDR_LINKLOCAL(&in6->sin6_addr);
}

static void add(struct snapshot *snapshot, const struct ifaddrs *at)
{
    char address[INET6_ADDRSTRLEN];
    const void *bytes =
        at->ifa_addr->sa_family == AF_INET
            ? (const void *)&((const struct sockaddr_in *)(const void *)at->ifa_addr)->sin_addr
            : &((const struct sockaddr_in6 *)(const void *)at->ifa_addr)->sin6_addr;
    void *grown = realloc(snapshot->lines, (snapshot->count + 1) * sizeof *snapshot->lines);
    if (!grown)
        abort();
    snapshot->lines = grown;
    (void)snprintf(snapshot->lines[snapshot->count++], sizeof *snapshot->lines, "%.*s %s", IF_NAMESIZE - 1,
                   at->ifa_name, inet_ntop(at->ifa_addr->sa_family, bytes, address, sizeof address));
}

static int take_snapshot(struct snapshot *ret)
{
    struct ifaddrs *list;
    *ret = (struct snapshot){0};
    if (getifaddrs(&list) < 0)
        return -errno;
    for (const struct ifaddrs *at = list; at; at = at->ifa_next)
        if (counts(at))
            add(ret, at);
    freeifaddrs(list);
    return 0;
}

static bool has(const struct snapshot *snapshot, const char *line)
{
    for (size_t i = 0; i < snapshot->count; i++)
        if (strcmp(snapshot->lines[i], line) == 0)
            return true;
    return false;
}

/* The first that is in `a` and not in `b`. */
static const char *first_new(const struct snapshot *a, const struct snapshot *b)
{
    for (size_t i = 0; i < a->count; i++)
        if (!has(b, a->lines[i]))
            return a->lines[i];
    return NULL;
}

static void look(struct netwatch *watch)
{
    struct snapshot now;
    bool first = !watch->looked;
    if (take_snapshot(&now) < 0)
        return; /* no memory, at most; the next change asks again */
    watch->looked = true;
    const char *came = first ? NULL : first_new(&now, &watch->known);
    const char *went = first ? NULL : first_new(&watch->known, &now);
    const struct netwatch_news news = {
        .came = came || watch->route_came,
        .went = went || watch->route_went,
        .online = now.count > 0,
        .what = came                                     ? came
                : went                                   ? went
                : watch->route_came || watch->route_went ? "default route"
                                                         : NULL,
    };
    watch->route_came = watch->route_went = false;
    if (first || news.came || news.went)
        watch->changed(watch->self, &news);
    free(watch->known.lines);
    watch->known = now;
}

int netwatch_route_news(const struct nlmsghdr *message)
{
    if (message->nlmsg_type != RTM_NEWROUTE && message->nlmsg_type != RTM_DELROUTE)
        return 0;
    if (message->nlmsg_len < NLMSG_LENGTH(sizeof(struct rtmsg)))
        return 0;
    const struct rtmsg *route = NLMSG_DATA(message);
    if (route->rtm_dst_len || route->rtm_type != RTN_UNICAST || route->rtm_table != RT_TABLE_MAIN)
        return 0;
    return message->nlmsg_type == RTM_NEWROUTE ? 1 : -1;
}

/* Whatever it is, and also when some of it was lost (ENOBUFS): it is looked at in a moment. */
static void on_socket(struct watch *socket_watch, unsigned events)
{
    struct netwatch *watch = container_of(socket_watch, struct netwatch, socket);
    _Alignas(struct nlmsghdr) char bytes[PIECE];
    (void)events;
    for (;;) {
        ssize_t n = recv(socket_watch->fd, bytes, sizeof bytes, MSG_DONTWAIT);
        if (n < 0 && errno != ENOBUFS && errno != EINTR)
            break;
        uint32_t len = n > 0 ? (uint32_t)n : 0;
        for (struct nlmsghdr *at = (struct nlmsghdr *)(void *)bytes; NLMSG_OK(at, len);
             at = NLMSG_NEXT(at, len)) {
            int news = netwatch_route_news(at);
            watch->route_came |= news > 0;
            watch->route_went |= news < 0;
        }
    }
    if (!timer_is_running(&watch->settle))
        timer_start(watch->loop, &watch->settle, SETTLE);
}

static void on_settled(struct timer *timer)
{
    look(container_of(timer, struct netwatch, settle));
}

int netwatch_new(struct netwatch **ret, struct loop *loop, netwatch_changed *changed, void *self)
{
    cleanup(netwatch_free_p) struct netwatch *watch = mem_new(struct netwatch);
    watch->loop = loop;
    watch->changed = changed;
    watch->self = self;
    watch->settle.fire = on_settled;
    watch->socket =
        (struct watch){.ready = on_socket, .fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE)};
    if (watch->socket.fd < 0)
        return -errno;
    const struct sockaddr_nl at = {.nl_family = AF_NETLINK,
                                   .nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR |
                                                RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE};
    if (bind(watch->socket.fd, (const struct sockaddr *)&at, sizeof at) < 0)
        return -errno;
    int r = loop_watch(loop, &watch->socket, EPOLLIN);
    if (r < 0)
        return r;
    timer_start(loop, &watch->settle, 0); /* not now: asking takes a tenth of a start */
    *ret = steal(watch);
    return 0;
}

struct netwatch *netwatch_free(struct netwatch *watch)
{
    if (!watch)
        return NULL;
    timer_stop(watch->loop, &watch->settle);
    loop_unwatch(watch->loop, &watch->socket);
    fd_close_p(&watch->socket.fd);
    free(watch->known.lines);
    free(watch);
    return NULL;
}
