#include "net/mdns.h"

#include "base/log.h"
#include "net/address.h"
#include "net/mdns_link.h"
#include "net/netwatch.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

/* Two sockets, one for each family, hear all interfaces; each message says by which it came. netwatch says when to look at
 * the interfaces again: links whose addresses are as before go on as they are, the others begin anew. */

enum {
    LINKS_MAX = 32,
    NETWORKS_MAX = 8,
    MESSAGES_A_TURN = 16,
    BEGIN_MS = 20, /* the start of the daemon waits for none of it */
    NAMES_AT_ONCE = 15,
    NAME_PAUSE_MS = 5000, /* RFC 6762, 8.1 */
    HOPS = 255            /* 11 */
};

static const char group_in[] = "224.0.0.251", group_in6[] = "ff02::fb";

struct interface {
    struct mdns_link link;
    unsigned index;
    char name[IF_NAMESIZE];
    bool in, in6; /* the families it has */
    bool seen;    /* while looking */
    struct address_range networks[NETWORKS_MAX];
    size_t network_count;
};

struct mdns {
    struct loop *loop;
    struct mdns_options options;
    struct mdns_user user;
    struct mdns_service service;
    struct watch in, in6;
    struct netwatch *watch;
    struct timer begin;
    unsigned number; /* of the name, 1 at first */
    char *where;
    struct address only; /* AF_UNSPEC: every address of the wanted families */
    bool wants_in, wants_in6;
    struct interface *interfaces[LINKS_MAX];
    size_t count;
    struct mdns_addresses machine[LINKS_MAX];
};

/* ---- sockets -------------------------------------------------------------------------------------------------------------- */

static void bind_address(struct sockaddr_storage *ret, int family)
{
    *ret = (struct sockaddr_storage){.ss_family = (sa_family_t)family};
    if (family == AF_INET)
        ((struct sockaddr_in *)(void *)ret)->sin_port = htons(MDNS_PORT);
    else
        ((struct sockaddr_in6 *)(void *)ret)->sin6_port = htons(MDNS_PORT);
}

static int set(int fd, int level, int option, int value)
{
    return setsockopt(fd, level, option, &value, sizeof value) < 0 ? -errno : 0;
}

static int open_socket(int family, bool shared)
{
    int fd = socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    struct sockaddr_storage at;
    bind_address(&at, family);
    int r = shared ? set(fd, SOL_SOCKET, SO_REUSEADDR, 1) : 0;
    if (!r && family == AF_INET) {
        r = set(fd, IPPROTO_IP, IP_PKTINFO, 1);
        (void)set(fd, IPPROTO_IP, IP_MULTICAST_ALL, 0);
        (void)set(fd, IPPROTO_IP, IP_MULTICAST_TTL, HOPS);
        (void)set(fd, IPPROTO_IP, IP_TTL, HOPS);
    } else if (!r) {
        r = set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
        r = r ? r : set(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
        (void)set(fd, IPPROTO_IPV6, IPV6_MULTICAST_ALL, 0);
        (void)set(fd, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, HOPS);
        (void)set(fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS, HOPS);
    }
    if (!r && bind(fd, (const struct sockaddr *)&at,
                   family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6)) < 0)
        r = -errno;
    if (!r)
        return fd;
    (void)close(fd);
    return r;
}

/* Whoever answers on this machine has the port, whether he would share it or not. */
static bool is_taken(void)
{
    int fd = open_socket(AF_INET, false);
    if (fd >= 0)
        (void)close(fd);
    return fd == -EADDRINUSE;
}

static void join(const struct mdns *mdns, const struct interface *interface, bool wanted)
{
    struct ip_mreqn in = {.imr_ifindex = (int)interface->index};
    struct ipv6_mreq in6 = {.ipv6mr_interface = interface->index};
    (void)inet_pton(AF_INET, group_in, &in.imr_multiaddr);
    (void)inet_pton(AF_INET6, group_in6, &in6.ipv6mr_multiaddr);
    int r = 0;
    if (interface->in)
        r = setsockopt(mdns->in.fd, IPPROTO_IP, wanted ? IP_ADD_MEMBERSHIP : IP_DROP_MEMBERSHIP, &in,
                       sizeof in);
    if (r < 0 && wanted && errno != EADDRINUSE)
        log_warning("mDNS: %s: cannot join %s: %s", interface->name, group_in, strerror(errno));
    if (interface->in6 && mdns->in6.fd >= 0)
        (void)setsockopt(mdns->in6.fd, IPPROTO_IPV6, wanted ? IPV6_JOIN_GROUP : IPV6_LEAVE_GROUP, &in6,
                         sizeof in6);
}

/* ---- sending --------------------------------------------------------------------------------------------------------------- */

union control {
    struct cmsghdr head;
    char bytes[CMSG_SPACE(sizeof(struct in6_pktinfo)) + CMSG_SPACE(sizeof(struct in_pktinfo))];
};

/* Over that interface, whatever the routes say. Lost, it is asked for or said again. */
static void send_over(const struct mdns *mdns, const struct interface *interface,
                      const struct mdns_writer *message, const struct sockaddr_storage *to)
{
    bool in = to->ss_family == AF_INET;
    union control control = {0};
    struct iovec part = {.iov_base = (void *)message->bytes, .iov_len = message->len};
    struct msghdr head = {.msg_name = (void *)to,
                          .msg_namelen = in ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6),
                          .msg_iov = &part,
                          .msg_iovlen = 1,
                          .msg_control = control.bytes,
                          .msg_controllen = in ? CMSG_SPACE(sizeof(struct in_pktinfo))
                                               : CMSG_SPACE(sizeof(struct in6_pktinfo))};
    struct cmsghdr *at = CMSG_FIRSTHDR(&head);
    if (in) {
        const struct in_pktinfo info = {.ipi_ifindex = (int)interface->index};
        *at = (struct cmsghdr){CMSG_LEN(sizeof info), IPPROTO_IP, IP_PKTINFO};
        memcpy(CMSG_DATA(at), &info, sizeof info);
    } else {
        const struct in6_pktinfo info = {.ipi6_ifindex = interface->index};
        *at = (struct cmsghdr){CMSG_LEN(sizeof info), IPPROTO_IPV6, IPV6_PKTINFO};
        memcpy(CMSG_DATA(at), &info, sizeof info);
    }
    (void)sendmsg(in ? mdns->in.fd : mdns->in6.fd, &head, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void on_send(struct mdns_user *user, struct mdns_link *link, const struct mdns_writer *message,
                    const struct sockaddr_storage *to)
{
    const struct mdns *mdns = container_of(user, struct mdns, user);
    const struct interface *interface = container_of(link, struct interface, link);
    struct sockaddr_storage group;
    if (to) {
        send_over(mdns, interface, message, to);
        return;
    }
    if (interface->in) {
        bind_address(&group, AF_INET);
        (void)inet_pton(AF_INET, group_in, &((struct sockaddr_in *)(void *)&group)->sin_addr);
        send_over(mdns, interface, message, &group);
    }
    if (interface->in6 && mdns->in6.fd >= 0) {
        bind_address(&group, AF_INET6);
        (void)inet_pton(AF_INET6, group_in6, &((struct sockaddr_in6 *)(void *)&group)->sin6_addr);
        send_over(mdns, interface, message, &group);
    }
}

/* ---- what comes in ---------------------------------------------------------------------------------------------------------- */

static struct interface *find(const struct mdns *mdns, unsigned index)
{
    for (size_t i = 0; i < mdns->count; i++)
        if (mdns->interfaces[i]->index == index)
            return mdns->interfaces[i];
    return NULL;
}

/* From the interface's own network? Nobody else is answered, whatever address he has written down for himself. */
static bool is_near(const struct interface *interface, const struct sockaddr_storage *from)
{
    struct address address;
    if (from->ss_family == AF_INET6 &&
        IN6_IS_ADDR_LINKLOCAL(&((const struct sockaddr_in6 *)(const void *)from)->sin6_addr))
        return true;
    if (!address_of_sockaddr(&address, from))
        return false;
    for (size_t i = 0; i < interface->network_count; i++)
        if (address_is_in(&address, &interface->networks[i]))
            return true;
    return false;
}

static unsigned index_of(struct msghdr *head)
{
    for (struct cmsghdr *at = CMSG_FIRSTHDR(head); at; at = CMSG_NXTHDR(head, at)) {
        struct in_pktinfo in;
        struct in6_pktinfo in6;
        if (at->cmsg_level == IPPROTO_IP && at->cmsg_type == IP_PKTINFO) {
            memcpy(&in, CMSG_DATA(at), sizeof in);
            return (unsigned)in.ipi_ifindex;
        }
        if (at->cmsg_level == IPPROTO_IPV6 && at->cmsg_type == IPV6_PKTINFO) {
            memcpy(&in6, CMSG_DATA(at), sizeof in6);
            return in6.ipi6_ifindex;
        }
    }
    return 0;
}

static void hear(struct mdns *mdns, int fd)
{
    uint8_t bytes[MDNS_READ_MAX];
    for (int i = 0; i < MESSAGES_A_TURN; i++) {
        union control control;
        struct sockaddr_storage from;
        struct iovec part = {.iov_base = bytes, .iov_len = sizeof bytes};
        struct msghdr head = {.msg_name = &from,
                              .msg_namelen = sizeof from,
                              .msg_iov = &part,
                              .msg_iovlen = 1,
                              .msg_control = control.bytes,
                              .msg_controllen = sizeof control.bytes};
        ssize_t n = recvmsg(fd, &head, MSG_DONTWAIT);
        if (n < 0)
            return;
        struct interface *interface = head.msg_flags & MSG_TRUNC ? NULL : find(mdns, index_of(&head));
        if (interface && is_near(interface, &from))
            mdns_link_hear(&interface->link, bytes, (size_t)n, &from);
    }
}

/* Before something else is said: our own words from before would be a dispute. */
static void hear_all(struct mdns *mdns)
{
    hear(mdns, mdns->in.fd);
    if (mdns->in6.fd >= 0)
        hear(mdns, mdns->in6.fd);
}

static void on_in(struct watch *watch, unsigned events)
{
    (void)events;
    hear(container_of(watch, struct mdns, in), watch->fd);
}

static void on_in6(struct watch *watch, unsigned events)
{
    (void)events;
    hear(container_of(watch, struct mdns, in6), watch->fd);
}

/* Somebody has the name: the next number, everywhere. */
static void on_disputed(struct mdns_user *user, struct mdns_link *link)
{
    struct mdns *mdns = container_of(user, struct mdns, user);
    mdns->number++;
    if (mdns->number <= NAMES_AT_ONCE)
        log_notice("mDNS: %s: another has the name already; this gateway is number %u",
                   container_of(link, struct interface, link)->name, mdns->number);
    for (size_t i = 0; i < mdns->count; i++)
        mdns_link_goodbye(&mdns->interfaces[i]->link);
    mdns_service_name(&mdns->service, mdns->where, mdns->number);
    for (size_t i = 0; i < mdns->count; i++)
        mdns_link_start(&mdns->interfaces[i]->link, mdns->number > NAMES_AT_ONCE ? NAME_PAUSE_MS : 0);
}

/* ---- interfaces ---------------------------------------------------------------------------------------------------------------- */

/* What an interface is, while it is looked at. */
struct view {
    unsigned index;
    char name[IF_NAMESIZE];
    struct mdns_addresses addresses;
    struct in6_addr local; /* link-local: said only if there is no other */
    bool in, in6;
    struct address_range networks[NETWORKS_MAX];
    size_t network_count;
};

/* An address may have a label of its own, eth0:1, which is no interface. */
static struct view *view_of(struct view *views, size_t *count, const char *label)
{
    char name[IF_NAMESIZE] = "";
    memcpy(name, label, size_min(strcspn(label, ":"), sizeof name - 1));
    for (size_t i = 0; i < *count; i++)
        if (strcmp(views[i].name, name) == 0)
            return &views[i];
    if (*count == LINKS_MAX)
        return NULL;
    struct view *view = &views[(*count)++];
    *view = (struct view){.index = if_nametoindex(name)};
    memcpy(view->name, name, sizeof name);
    return view;
}

static unsigned bits_of(const struct sockaddr *mask)
{
    if (!mask)
        return 128; /* itself alone */
    const uint8_t *bytes = mask->sa_family == AF_INET
                               ? (const void *)&((const struct sockaddr_in *)(const void *)mask)->sin_addr
                               : (const void *)&((const struct sockaddr_in6 *)(const void *)mask)->sin6_addr;
    unsigned bits = 0;
    for (size_t i = 0; i < (mask->sa_family == AF_INET ? 4u : 16u); i++)
        bits += (unsigned)__builtin_popcount(bytes[i]);
    return bits;
}

static bool counts(const struct ifaddrs *at)
{
    const unsigned wanted = IFF_UP | IFF_RUNNING | IFF_MULTICAST, unwanted = IFF_LOOPBACK | IFF_POINTOPOINT;
    return at->ifa_addr && (at->ifa_flags & wanted) == wanted && !(at->ifa_flags & unwanted) &&
           (at->ifa_addr->sa_family == AF_INET || at->ifa_addr->sa_family == AF_INET6);
}

/* In order of their bytes, as probes are compared [RFC 6762, 8.2]. */
static void add_sorted(void *list, size_t *count, const void *address, size_t size)
{
    char *at = list;
    size_t i = *count;
    if (i == MDNS_ADDRESSES_MAX)
        return;
    for (; i && memcmp(at + (i - 1) * size, address, size) > 0; i--)
        memcpy(at + i * size, at + (i - 1) * size, size);
    memcpy(at + i * size, address, size);
    ++*count;
}

static void add_address(const struct mdns *mdns, struct view *view, const struct ifaddrs *at)
{
    struct sockaddr_storage storage = {0};
    struct address_range network = {0};
    bool in = at->ifa_addr->sa_family == AF_INET;
    memcpy(&storage, at->ifa_addr, in ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6));
    if (!address_of_sockaddr(&network.first, &storage))
        return;
    network.bits = (unsigned)size_min(bits_of(at->ifa_netmask), in ? 32 : 128);
    if (view->network_count < NETWORKS_MAX)
        view->networks[view->network_count++] = network;
    *(in ? &view->in : &view->in6) = true;
    const struct address_range only = {.first = mdns->only, .bits = in ? 32 : 128};
    if (!(in ? mdns->wants_in : mdns->wants_in6) ||
        (mdns->only.family != AF_UNSPEC && !address_is_in(&network.first, &only)))
        return;
    if (in)
        add_sorted(view->addresses.in, &view->addresses.in_count, &network.first.in, sizeof(struct in_addr));
    else if (IN6_IS_ADDR_LINKLOCAL(&network.first.in6))
        view->local = network.first.in6;
    else
        add_sorted(view->addresses.in6, &view->addresses.in6_count, &network.first.in6,
                   sizeof(struct in6_addr));
}

static size_t look(const struct mdns *mdns, struct view views[LINKS_MAX])
{
    struct ifaddrs *list;
    size_t count = 0, kept = 0;
    if (getifaddrs(&list) < 0)
        return 0;
    for (const struct ifaddrs *at = list; at; at = at->ifa_next) {
        struct view *view = counts(at) ? view_of(views, &count, at->ifa_name) : NULL;
        if (view)
            add_address(mdns, view, at);
    }
    freeifaddrs(list);
    for (size_t i = 0; i < count; i++) {
        struct mdns_addresses *addresses = &views[i].addresses;
        if (!addresses->in6_count && !IN6_IS_ADDR_UNSPECIFIED(&views[i].local))
            addresses->in6[addresses->in6_count++] = views[i].local;
        if (views[i].index && (addresses->in_count || addresses->in6_count))
            views[kept++] = views[i];
    }
    return kept;
}

static bool is_as_before(const struct interface *interface, const struct view *view)
{
    const struct mdns_addresses *a = &interface->link.addresses, *b = &view->addresses;
    return a->in_count == b->in_count && a->in6_count == b->in6_count && interface->in == view->in &&
           interface->in6 == view->in6 && memcmp(a->in, b->in, a->in_count * sizeof *a->in) == 0 &&
           memcmp(a->in6, b->in6, a->in6_count * sizeof *a->in6) == 0;
}

static void take(struct mdns *mdns, const struct view *view)
{
    struct interface *interface = find(mdns, view->index);
    bool same = interface && is_as_before(interface, view);
    if (!interface) {
        if (mdns->count == LINKS_MAX)
            return;
        interface = mem_new(struct interface);
        interface->index = view->index;
        mdns_link_init(&interface->link, mdns->loop, &mdns->user, &mdns->service);
        mdns->interfaces[mdns->count++] = interface;
    }
    interface->seen = true;
    memcpy(interface->name, view->name, sizeof interface->name);
    memcpy(interface->networks, view->networks, sizeof interface->networks);
    interface->network_count = view->network_count;
    if (same)
        return;
    interface->in = view->in;
    interface->in6 = view->in6;
    interface->link.addresses = view->addresses;
    join(mdns, interface, true);
    mdns_link_start(&interface->link, 0);
}

static void forget(struct mdns *mdns, size_t i)
{
    struct interface *interface = mdns->interfaces[i];
    join(mdns, interface, false);
    mdns_link_done(&interface->link);
    free(interface);
    mdns->interfaces[i] = mdns->interfaces[--mdns->count];
}

static void on_changed(void *self, const struct netwatch_news *news)
{
    struct mdns *mdns = self;
    cleanup_free struct view *views = mem_new_bytes(LINKS_MAX * sizeof *views);
    size_t count = look(mdns, views);
    (void)news;
    hear_all(mdns);
    for (size_t i = 0; i < mdns->count; i++)
        mdns->interfaces[i]->seen = false;
    for (size_t i = 0; i < count; i++)
        take(mdns, &views[i]);
    for (size_t i = mdns->count; i-- > 0;)
        if (!mdns->interfaces[i]->seen)
            forget(mdns, i);
    for (size_t i = 0; i < mdns->count; i++)
        mdns->machine[i] = mdns->interfaces[i]->link.addresses;
    mdns->user.machine_count = mdns->count;
}

/* ---- life -------------------------------------------------------------------------------------------------------------------- */

static void ask_fingerprint(struct mdns *mdns)
{
    const char *found = mdns->options.fingerprint ? mdns->options.fingerprint(mdns->options.self) : NULL;
    mdns_service_text(&mdns->service, found);
}

static void on_begin(struct timer *timer)
{
    struct mdns *mdns = container_of(timer, struct mdns, begin);
    ask_fingerprint(mdns);
    int r = netwatch_new(&mdns->watch, mdns->loop, on_changed, mdns);
    if (r < 0)
        on_changed(mdns, NULL); /* a sandbox without netlink: what there is now, for ever */
}

void mdns_refresh(struct mdns *mdns)
{
    const struct mdns_service before = mdns->service;
    if (timer_is_running(&mdns->begin))
        return;
    hear_all(mdns);
    ask_fingerprint(mdns);
    if (before.text_len == mdns->service.text_len &&
        memcmp(before.text, mdns->service.text, before.text_len) == 0)
        return;
    for (size_t i = 0; i < mdns->count; i++)
        mdns_link_announce(&mdns->interfaces[i]->link);
}

static void set_host(struct mdns *mdns, const char *host)
{
    struct address_range range;
    bool everywhere = strcmp(host, "::") == 0 || strcmp(host, "0.0.0.0") == 0;
    mdns->wants_in = !strchr(host, ':') || everywhere;
    mdns->wants_in6 = strchr(host, ':');
    if (!everywhere && address_range_parse(&range, host, strlen(host)))
        mdns->only = range.first;
}

static int open_sockets(struct mdns *mdns)
{
    mdns->in = (struct watch){.fd = open_socket(AF_INET, true), .ready = on_in};
    if (mdns->in.fd < 0)
        return mdns->in.fd;
    mdns->in6 = (struct watch){.fd = open_socket(AF_INET6, true), .ready = on_in6}; /* where there is IPv6 */
    int r = loop_watch(mdns->loop, &mdns->in, EPOLLIN);
    return r >= 0 && mdns->in6.fd >= 0 ? loop_watch(mdns->loop, &mdns->in6, EPOLLIN) : r;
}

int mdns_open(struct mdns **ret, struct loop *loop, const struct mdns_options *options, char **why)
{
    if (!options->beside && is_taken())
        return MDNS_TAKEN;
    cleanup(mdns_close_p) struct mdns *mdns = mem_new(struct mdns);
    mdns->loop = loop;
    mdns->options = *options;
    mdns->user = (struct mdns_user){.send = on_send, .disputed = on_disputed, .machine = mdns->machine};
    mdns->number = 1;
    mdns->where = str_copy(options->where);
    mdns->begin.fire = on_begin;
    mdns->in6.fd = -1;
    mdns->service.port = options->port;
    mdns_service_name(&mdns->service, mdns->where, mdns->number);
    set_host(mdns, options->host);
    int r = open_sockets(mdns);
    if (r < 0) {
        *why = str_printf("UDP port %d: %s", MDNS_PORT, strerror(-r));
        return r;
    }
    timer_start(loop, &mdns->begin, BEGIN_MS);
    *ret = steal(mdns);
    return 0;
}

struct mdns *mdns_close(struct mdns *mdns)
{
    if (!mdns)
        return NULL;
    timer_stop(mdns->loop, &mdns->begin);
    for (size_t i = 0; i < mdns->count; i++)
        mdns_link_goodbye(&mdns->interfaces[i]->link);
    while (mdns->count)
        forget(mdns, mdns->count - 1);
    mdns->watch = netwatch_free(mdns->watch);
    if (mdns->in.fd >= 0)
        loop_unwatch(mdns->loop, &mdns->in);
    if (mdns->in6.fd >= 0)
        loop_unwatch(mdns->loop, &mdns->in6);
    fd_close_p(&mdns->in.fd);
    fd_close_p(&mdns->in6.fd);
    free(mdns->where);
    free(mdns);
    return NULL;
}
