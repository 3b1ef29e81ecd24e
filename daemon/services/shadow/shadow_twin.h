/* What the files of this service share: a twin is one shadow in memory.
 *
 *      shadow ──▶ twin ─┬─ row      what is on disk
 *                       ├─ queue    requests that wait, oldest first
 *                       └─ batch    requests whose commit is under way, with their answers
 *
 *                    slot free      read           changed
 *      request ─▶ COLD ─────▶ LOADING ────▶ RESTING ─────▶ SAVING
 *                                             │   ◀──────────┘ committed: row is the new one; failed: it is the old one
 *                                             ▼ evicted, when no request waits
 *
 *      shadow.c         requests come in, and whether there is room for them
 *      shadow_cache.c   which twins are in memory
 *      shadow_twin.c    what becomes of their requests
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
    struct msg *answers[3];  /* in order; NULL behind the last */
};

enum twin_state { TWIN_COLD, TWIN_LOADING, TWIN_RESTING, TWIN_SAVING };

struct twin {
    struct map_key key; /* thing NUL name: neither has a NUL */
    struct shadow *shadow;
    enum twin_state state;
    struct list link;       /* COLD: in shadow.cold; RESTING: in shadow.ready or shadow.resting */
    struct shadow_row *row; /* as on disk; NULL when there is none, or while it was not read */
    struct list queue, batch;
    struct shadow_io io; /* with the store while LOADING or SAVING */
    size_t composed;     /* bytes of what waits for the commit */
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
    struct shadow_counters counters;
    struct door doors[6];
    struct arena arena; /* of one piece of work */

    struct map twins, clients;
    struct list cold;    /* twins that wait to be read, oldest first */
    struct list ready;   /* resting twins with requests, oldest first */
    struct list resting; /* resting twins without, used longest ago first */
    struct task pump;
    size_t loading, composed;
    size_t waiting_bytes;
    int64_t complain_after; /* monotonic ms: silent about faults until then */

    struct timer purge_timer;
    struct shadow_purge purge;
};

/* ---- shadow_cache.c ---------------------------------------------------------------------------------------------- */

/* The twin of that name, made when it is not in memory: COLD then. */
struct twin *twin_of(struct shadow *shadow, const char *thing, size_t thing_len, const char *name,
                     size_t name_len);
const char *twin_thing(const struct twin *twin);
const char *twin_name(const struct twin *twin); /* "" for the classic shadow */
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
/* Publishes /rejected for a request that did not come to anything. */
void shadow_reject(struct shadow *shadow, const struct msg *request, const struct shadow_refusal *refusal);
/* Settles and frees the requests of a list. */
void shadow_settle_all(struct shadow *shadow, struct list *requests, int r);

/* ---- shadow.c ---------------------------------------------------------------------------------------------------- */

/* The end of a request: its answers that were not published, its receipt, its place in the limits. */
void request_done(struct shadow *shadow, struct request *request, int r);
