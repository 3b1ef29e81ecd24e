/* What an uplink subscribes to at the cloud, and for whom.
 *
 * Everybody who wants something is known by a name and has one list of filters; naming another list replaces it, an empty
 * one takes it back. So saying it twice is saying it once, and nobody has to count. A filter is subscribed to once,
 * however many want it, and until the last of them has gone.
 *
 *      WAITING ──▶ ASKING ──▶ STANDING         the link came up; the broker answered
 *         ▲           │  └──▶ REFUSED          not asked again on this connection
 *         └───────────┴─────────┘              the link went down
 *
 * Which way a filter has to go follows from its state and from whether anybody wants it: consider() is asked after every
 * change and no event is remembered. At most ASKED_AT_ONCE requests are with the broker.
 */
#pragma once

#include "base/json_write.h"
#include "base/list.h"
#include "base/map.h"
#include "cloud/link.h"

enum {
    UPLINK_FILTERS_MAX = 1000, /* different ones, of all */
    UPLINK_USERS_MAX = 100,
    UPLINK_USER_NAME_MAX = 64,
};

struct uplink_filters {
    struct link *link; /* NULL: there is none now. Another one may be of another kind */
    size_t ask_size;   /* of the largest kind's part of an ask */
    const char *name;  /* the uplink's, for the log; not owned */
    /* Nothing is under way any more: what stands stands. */
    void (*settled)(struct uplink_filters *filters);
    struct map filters, users;
    struct list queue; /* that have to be asked for, or given back */
    unsigned asking;
    bool is_up, changed;
};

/* ask_size: the largest subscribe_size of all kinds that it may have. */
void uplink_filters_init(struct uplink_filters *filters, struct link *link, size_t ask_size, const char *name,
                         void (*settled)(struct uplink_filters *filters));
/* The link has been stopped and has nothing of it any more. */
void uplink_filters_done(struct uplink_filters *filters);

/* The list of `user`: a JSON array of filters, or nothing at all. 0, or what is wrong with it (an MQTT 5 reason code), and
 * then the list is what it was. */
int uplink_filters_set(struct uplink_filters *filters, const char *user, const char *text, size_t len)
    must_check;

void uplink_filters_up(struct uplink_filters *filters);
void uplink_filters_down(struct uplink_filters *filters);

/* An array with an object for each who wants something: {"for","filters","standing","refused"}. */
void uplink_filters_put(struct json_writer *w, const struct uplink_filters *filters);
