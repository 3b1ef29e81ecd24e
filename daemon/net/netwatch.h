/* Tells when the way into a network comes or goes: an interface, an address, a default route.
 *
 * The kernel says that something changed (one netlink socket, which needs no privilege), a moment later it is looked at what
 * there is, and what is new or missing is told once: a cable that is put in is a dozen of the kernel's messages. An address
 * whose lifetime is renewed is nothing new.
 */
#pragma once

#include "base/loop.h"

struct netwatch;

struct netwatch_news {
    bool came, went; /* an address on an interface that runs, or a default route */
    bool online;     /* there is such an address now, the loopback's and link-local ones aside */
    const char *
        what; /* the first of them that came or went: "eth0 192.0.2.7", "default route"; NULL at the beginning */
};

typedef void netwatch_changed(void *self, const struct netwatch_news *news);

/* changed() is called for what there is first in the next turn of the loop. */
int netwatch_new(struct netwatch **ret, struct loop *loop, netwatch_changed *changed, void *self) must_check;
struct netwatch *netwatch_free(struct netwatch *watch);
define_cleanup(struct netwatch *, netwatch_free)

/* One message of the kernel's: 1 a default route came, -1 one went, 0 anything else. Pure; for who tests it. */
struct nlmsghdr;
int netwatch_route_news(const struct nlmsghdr *message);
