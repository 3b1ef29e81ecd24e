/* Multicast DNS on one interface: when something is said there.
 *
 *      PROBING ─ three times in 750 ms: does anybody have these names? ─▶ ANNOUNCING ─ twice in 1 s ─▶ READY
 *         ▲  └─ somebody has: disputed(), and the names become others                                   │
 *         └──────────────────────── somebody says something else of our names ◀──────────────────────────┘
 *
 * In READY nothing is done until somebody asks. What all hear is said at most once a second for each record, and at most
 * MDNS_UNICAST_A_SECOND answers go to askers alone, so nobody is flooded by way of us. Who may be answered at all (the local
 * network) is decided by whoever calls mdns_link_hear().
 */
#pragma once

#include "base/loop.h"
#include "net/mdns_service.h"

#include <sys/socket.h>

enum { MDNS_UNICAST_A_SECOND = 20 };

enum mdns_state { MDNS_PROBING, MDNS_ANNOUNCING, MDNS_READY };

struct mdns_link;

struct mdns_user {
    /* to: NULL for the group. Whether it gets there is not known. */
    void (*send)(struct mdns_user *user, struct mdns_link *link, const struct mdns_writer *message,
                 const struct sockaddr_storage *to);
    /* Somebody has one of the names. The service's are to become others and every link is to be started again. */
    void (*disputed)(struct mdns_user *user, struct mdns_link *link);
    /* All of this machine, of all its interfaces. */
    const struct mdns_addresses *machine;
    size_t machine_count;
};

struct mdns_link {
    struct loop *loop;
    struct mdns_user *user;
    const struct mdns_service *service; /* of all links */
    struct mdns_addresses addresses;
    enum mdns_state state;
    unsigned step;
    struct timer turn, answer;
    unsigned pending;                /* bits that all are to hear */
    int64_t said[MDNS_SAYS_KINDS];   /* to all, last */
    struct sockaddr_storage goes_on; /* whose question is not complete; AF_UNSPEC: nobody's */
    int64_t second;                  /* that is being counted */
    unsigned answers;                /* to askers alone, in it */
};

void mdns_link_init(struct mdns_link *link, struct loop *loop, struct mdns_user *user,
                    const struct mdns_service *service);
void mdns_link_done(struct mdns_link *link);

/* Begins, also again with other names or addresses, after delay ms and a little. */
void mdns_link_start(struct mdns_link *link, int64_t delay);
/* What it says is another thing now. */
void mdns_link_announce(struct mdns_link *link);
/* What it said is not so any more, from now on. */
void mdns_link_goodbye(struct mdns_link *link);
void mdns_link_hear(struct mdns_link *link, const uint8_t *bytes, size_t len,
                    const struct sockaddr_storage *from);
