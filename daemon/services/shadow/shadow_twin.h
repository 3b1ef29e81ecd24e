/* What the files of this service share: a twin is one shadow in memory.
 *
 *      shadow ──▶ twin ─┬─ row      what is on disk
 *                       ├─ queue    requests that wait, oldest first
 *                       └─ job      reading or writing that is under way, with the requests whose commit it is
 *
 *                    slot free      read           changed
 *      request ─▶ COLD ─────▶ LOADING ────▶ RESTING ─────▶ SAVING
 *                                             │   ◀──────────┘ committed: row is the new one; failed: it is the old one
 *                                             ▼ evicted, when no request waits
 *
 *      shadow.c         requests come in, and whether there is room for them
 *      shadow_cache.c   which twins are in memory
 *      shadow_twin.c    what becomes of their requests
 *      shadow_ctl.c     questions about the past, and going back to it
 *      shadow_list.c    which shadows there are
 *      shadow_store.c   reading and writing rows, on the store's thread
 *
 * The row changes only when a commit has succeeded, so there is nothing to undo when one fails: the updates of a batch
 * are done one upon the other in the turn's arena, and the last document becomes the next row.
 *
 * Memory is bounded by: waiting requests, the cache, LOADS_MAX rows that were read and not yet used, and COMPOSED_MAX of
 * rows and answers that wait for their commit; beyond these twins wait.
 */
#pragma once

#include "base/list.h"
#include "base/loop.h"
#include "base/map.h"
#include "base/msg.h"
#include "bus/bus.h"
#include "services/shadow/shadow.h"
#include "services/shadow/shadow_doc.h"
#include "services/shadow/shadow_store.h"

enum { SHADOW_THING_MAX = 128, SHADOW_NAME_MAX = 64 }; /* bytes [AWS IoT] */

enum shadow_verb { SHADOW_GET, SHADOW_UPDATE, SHADOW_DELETE };

/* One connection's requests to one thing; exists while there are any. */
struct client {
    struct map_key key; /* the connection's origin, then the thing */
    size_t waiting;
};

struct request {
    struct list link;
    enum shadow_verb verb;
    struct msg *msg;
    struct receipt *receipt; /* held */
    struct client *client;   /* NULL: from the house */
    struct msg *answers[4];  /* in order; NULL behind the last */
    struct msg *asker; /* NULL, or who is told on his response topic, what he asked for having led to this */
    uint64_t version;  /* what he is told: the version it made, */
    int64_t at_s;      /* and when */
};

enum twin_state { TWIN_COLD, TWIN_LOADING, TWIN_RESTING, TWIN_SAVING };

/* With the store while LOADING or SAVING. */
struct twin_job {
    struct twin *twin;
    struct list batch; /* SAVING: the requests */
    size_t composed;   /* bytes of what waits for the commit */
    union {
        struct shadow_load load;
        struct shadow_save save;
    };
    char records[]; /* SAVING: for the history */
};

struct twin {
    struct map_key key; /* thing NUL name NUL: neither has a NUL */
    struct shadow *shadow;
    struct list link;       /* COLD: in shadow.cold; RESTING: in shadow.ready or shadow.resting */
    struct shadow_row *row; /* as on disk; NULL when there is none, or while it was not read */
    struct list queue;
    struct twin_job *job; /* NULL: none is under way */
    enum twin_state state;
};

/* One of the six filters and who listens there. */
struct door {
    struct subscriber subscriber;
    struct subscription subscription;
    struct shadow *shadow;
    const char *filter;
    enum shadow_verb verb;
};

struct shadow {
    struct bus *bus;
    struct loop *loop;
    struct store *store;
    struct shadow_options options;
    struct shadow_limits limits;
    struct shadow_history_limits history;
    struct shadow_counters counters;
    struct door doors[6];
    struct arena arena; /* of one piece of work */

    struct map twins, clients;
    struct list cold;    /* twins that wait to be read, oldest first */
    struct list ready;   /* resting twins with requests, oldest first */
    struct list resting; /* resting twins without, used longest ago first */
    struct task pump, rest;
    uint64_t turn;         /* in which the pump ran last, */
    unsigned done_in_turn; /* and what it did in it */
    size_t loading, composed;
    size_t waiting_bytes;
    int64_t complain_after; /* monotonic ms: silent about faults until then */

    struct timer purge_timer;
    struct shadow_purge purge;
    struct shadow_ctl *ctl;
    struct shadow_list *list;
};

/* ---- shadow_cache.c ---------------------------------------------------------------------------------------------- */

/* The twin of that name, made when it is not in memory: COLD then. */
struct twin *twin_of(struct shadow *shadow, const char *thing, size_t thing_len, const char *name,
                     size_t name_len);
struct shadow_key twin_key(const struct twin *twin);
bool twin_is_classic(const struct twin *twin);
/* Replaces what is on disk. Takes the row. */
void twin_set_row(struct twin *twin, struct shadow_row *row);
/* Nobody works on it: it may be evicted from now on. Evicts what is too much, maybe this one. */
void twin_rest(struct twin *twin);
/* Forgets a twin without requests. */
void twin_forget(struct twin *twin);

/* ---- shadow_twin.c ----------------------------------------------------------------------------------------------- */

/* Puts a request into its twin's queue. */
void twin_enqueue(struct twin *twin, struct request *request);
/* The pump: reads cold twins and does ready ones, one a call. */
void on_shadow_pump(struct task *task);
void on_shadow_rest(struct task *task);
/* Publishes /rejected for a request that did not come to anything. */
void shadow_reject(struct shadow *shadow, const struct msg *request, const struct shadow_refusal *refusal);
/* Settles and frees the requests of a list. */
void shadow_settle_all(struct shadow *shadow, struct list *requests, int r);

/* ---- shadow_ctl.c ------------------------------------------------------------------------------------------------ */

struct shadow_ctl *shadow_ctl_new(struct shadow *shadow);
struct shadow_ctl *shadow_ctl_free(struct shadow_ctl *ctl);

/* ---- shadow.c ---------------------------------------------------------------------------------------------------- */

bool shadow_thing_is_valid(const char *thing, size_t len);
bool shadow_name_is_valid(const char *name, size_t len, bool from_house);
/* An update of the house's own, which `asker` is told about. false: there is no room for it. */
bool shadow_update_for(struct shadow *shadow, struct msg *update, struct msg *asker, struct shadow_key key);

/* The end of a request: its answers that were not published, its receipt, its place in the limits. */
void request_done(struct shadow *shadow, struct request *request, int r);
