/* What an uplink is made of; shared by uplink.c (status, sending, receiving), uplink_ctl.c (commands) and uplink_set.c (which
 * uplinks there are). Private. */
#pragma once

#include "cloud/link.h"
#include "services/uplink/uplink.h"
#include "services/uplink/uplink_echo.h"
#include "services/uplink/uplink_filters.h"
#include "services/uplink/uplink_maps.h"

enum { UPLINK_REASON_LEN = 200, UPLINK_KINDS_MAX = 8 };

enum uplink_state { UPLINK_CONNECTING, UPLINK_UP, UPLINK_DOWN, UPLINK_PROBING };

struct uplink {
    struct uplinks *uplinks;
    char *name, *uri, *status_topic;
    char *written;               /* all of its options, to see whether they have changed */
    struct link *link;           /* NULL: it is not configured any more, and refuses */
    struct link *next;           /* takes the link's place when that has gone */
    struct publisher *publisher; /* of what is received */
    struct subscriber sender, asker;
    struct subscription messages, requests;
    size_t prefix_len;         /* of the messages' topics, up to the cloud's topic */
    size_t request_prefix_len; /* of the requests', up to who asks */
    struct uplink_filters filters;
    struct uplink_maps maps;
    struct uplink_echo echo;
    enum uplink_state state;
    bool cut;        /* on request */
    bool needs_time; /* it has certificates to look at */
    bool trusts_floor;
    bool waits_for_time;
    struct timer swap; /* the link has gone: outside of its own callbacks */
    int64_t since;     /* wall ms */
    char reason[UPLINK_REASON_LEN];
    bool told_loop; /* to the log */
    uint64_t sent, failed, refused, received, looped, bytes, in_flight;
    int64_t last_success;            /* wall ms; 0: none yet */
    char refusal[UPLINK_REASON_LEN]; /* why the last one was refused for good */
};

struct uplinks {
    struct bus *bus;
    void *shared[UPLINK_KINDS_MAX]; /* by links of a kind; NULL: there is none yet */
    struct subscriber commands, listener;
    struct subscription list, cut, restore, network, clock;
    bool time_unknown; /* the clock's status says so */
    int64_t floor;     /* ms */
    struct uplink **all;
    size_t count;
};

/* uplink.c */
extern const struct link_kind *const uplink_kinds[];
size_t uplink_kind_count(void);
void uplink_init_topics(struct uplink *uplink);
struct link_events uplink_link_events(const char *receive_prefix);
void uplink_say_state(struct uplink *uplink, enum uplink_state state, const char *reason);
void uplink_put(struct json_writer *w, const struct uplink *uplink);
/* Connects, or says what it waits for. */
void uplink_begin(struct uplink *uplink);
/* Ends the connection; the status has said it, or says it now with that reason. */
void uplink_end(struct uplink *uplink, const char *reason);

/* uplink_ctl.c */
void uplink_ctl_init(struct uplinks *uplinks);
void uplink_ctl_done(struct uplinks *uplinks);
/* NULL: there is none that is configured. */
struct uplink *uplink_find(struct uplinks *uplinks, const char *name);
