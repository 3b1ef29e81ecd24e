/* What a link is made of; shared by mqtt_link.c, which runs it, and mqtt_link_new.c, which makes it. Private. */
#pragma once

#include "cloud/backoff.h"
#include "cloud/mqtt_link_name.h"
#include "cloud/mqtt_link_paho.h"

enum mqtt_link_state { LINK_OFF, LINK_WAITING, LINK_OPENING, LINK_UP, LINK_CLOSING };

struct mqtt_links {
    struct loop *loop;
    struct worker *worker;
    struct inbox *inbox;
};

struct mqtt_link {
    struct mqtt_links *links;
    struct mqtt_link_events events;
    void *self;
    struct paho paho;

    enum mqtt_link_state state;
    bool wanted;            /* started, not stopped */
    bool at_once;           /* started while it was closing: no pause */
    bool probing;           /* the worker has been asked whether the connection is stuck */
    char *host;             /* whose name Paho will ask for: the proxy's, or the broker's */
    struct link_name *name; /* being asked for; OPENING, and Paho knows nothing yet */
    struct work open, close, probe;
    struct timer
        pause; /* WAITING: until the next attempt; OPENING: how long a name is waited for, or an attempt that began just before the network came */
    struct backoff backoff;
    int64_t verify_time_s;
    int64_t up_since, opened; /* when it came up; when the attempt began */

    unsigned window_asked, window;
    struct list waiting, with_broker, subscribing;
    size_t waiting_count, waiting_bytes, with_broker_count;
    struct link_window bytes; /* with the broker */
};

/* What paho and its owner's work call back. */
void mqtt_link_init(struct mqtt_link *link);
