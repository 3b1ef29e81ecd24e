/* The host: between one plugin and the gateway, in a process of their own.
 *
 *      CONNECTING ──CONNACK──▶ CONFIGURING ──its configuration has come──▶ STARTED ──SIGTERM──▶ STOPPING ─▶ gone
 *                                                                             │
 *                                                             SUBACKs are in: says "ready"
 *
 * Whatever goes wrong ends the process (FAILED) with a line in the log: the gateway starts another one. A
 * turn of the loop reads what has come into the inbox, then calls the plugin (HAND_OVER), then sends what the
 * plugin wanted and the acknowledgements (FLUSH).
 *
 *      host.c      its life: what comes from the link, when the plugin is called
 *      services.c  what the plugin may ask for: struct gh_host
 *      link.c      the connection
 *      inbox.c     messages that are not acknowledged
 *      records.c   what a connector is to deliver
 *      object.c    the shared object
 */
#pragma once

#include "base/arena.h"
#include "base/json.h"
#include "host/inbox.h"
#include "host/link.h"
#include "host/records.h"

struct host_options {
    const char *socket, *name;
    uint64_t memory_max; /* bytes; 0: no limit */
    unsigned attempt;    /* how many processes before this one ended too early, in a row */
};

enum host_state {
    HOST_CONNECTING,
    HOST_CONFIGURING,
    HOST_STARTING,
    HOST_STARTED,
    HOST_STOPPING,
    HOST_FAILED
};

/* A publication under way that somebody asks about. */
struct publication {
    bool used;
    uint16_t packet_id; /* 0: QoS 0, done when the output has gone */
    char *topic;        /* for the log; may be NULL */
    void (*done)(void *context, int32_t result);
    void *context;
    uint64_t acknowledges;
};

struct wanted { /* a subscription that was asked for */
    char *filter;
    uint16_t packet_id; /* until SUBACK has come, then 0 */
};

struct host {
    struct gh_host services; /* what the plugin sees */
    struct gh_plugin plugin;
    const struct host_options *options;
    struct loop *loop;
    struct link *link;
    struct link_user user;
    struct inbox inbox;
    struct records records;
    enum host_state state;
    char *config_topic, *state_topic, *will;

    struct arena arena;  /* for the configuration, as long as the process lives */
    char *config_text;   /* as it came */
    struct json *config; /* an object; points into config_text */

    struct publication publications[GH_PUBLISHING_MAX];
    unsigned publishing;
    struct wanted subscriptions[GH_SUBSCRIPTIONS_MAX + 1]; /* the first is the configuration's */
    unsigned subscription_count, suback_waits;

    struct task turn;   /* calls the plugin */
    struct timer go_on; /* asks for a turn */
    struct timer tick;
    uint32_t tick_ms;
    struct timer limit; /* of waiting for the configuration, and for the last words */
    bool said_ready;
    bool wants_ready;    /* publish() had no room */
    bool stalled;        /* a message was refused with GH_E_BUSY */
    bool first_was_seen; /* the first message of QoS 1 of this life was handed over */
    uint64_t failed;     /* messages that the plugin could not handle */
};

/* Connects; the loop does the rest and ends with the process's exit status. The plugin is a copy. -errno when
 * there is nobody to connect to. */
int host_new(struct host **ret, struct loop *loop, const struct gh_plugin *plugin,
             const struct host_options *options) must_check;
/* The end is wanted: stop(), last words, goodbye. */
void host_stop(struct host *host);
struct host *host_free(struct host *host);
define_cleanup(struct host *, host_free)

/* ---- between host.c and services.c --------------------------------------------------------------------- */

void services_init(struct host *host);
void services_done(struct host *host);
/* The gateway has answered a publication, or the output has gone. */
void services_published(struct host *host, uint16_t packet_id, uint8_t reason);
void services_idle(struct host *host);
/* Is there room for publishing again? */
bool services_have_room(const struct host *host);

void host_ask_for_turn(struct host *host);
/* result as message() returned it. */
void host_settle(struct host *host, struct inbox_item *item, int32_t result);
void host_fail(struct host *host); /* the caller has logged why */
