/* A pair: a shadow here and the one of the same name at the cloud; and what it belongs to.
 *
 *      struct shadowsync ── cloud (an uplink) ── the pairs that wait for their round
 *                       └── group (a section) ── pairs by name
 *
 *                                 something differs, or may
 *                       EQUAL ────────────────────────────────▶ QUEUED ──▶ IN_ROUND
 *                         ▲  ▲        PAUSED ──── the timer ──────▲  │        │
 *                         │  │          ▲──── not enough tokens ─────┘        │
 *                         │  │          └──── it failed ──────────────────────┤
 *                         │  └─────────────── no connection ──────────────────┤
 *                         └────────────────────────────────────────────────────┘
 *
 * The row in state.db belongs to the round, and is read by it; an idle pair is its names and a few numbers.
 */
#pragma once

#include "base/list.h"
#include "base/map.h"
#include "bus/bus.h"
#include "services/shadowsync/shadowsync.h"
#include "services/shadowsync/sync_bucket.h"
#include "services/shadowsync/sync_doc.h"
#include "services/shadowsync/sync_store.h"

enum {
    ROUNDS_AT_ONCE = 8,          /* AWS IoT: at most 10 unanswered requests of a connection for a thing */
    ANSWER_LIMIT = 20 * 1000,    /* ms: what has not been answered by then is not any more */
    PAUSE_MIN = 1000,            /* after a failure; doubled up to `every` */
    RACES_MAX = 4,               /* lost in a row, before a write names no version any more */
    SYNC_PAIRS_MAX = 100 * 1000, /* of all sections; more are not synchronised, and counted */
    SYNC_EXPLAINING_MAX = 16,    /* requests at once */
};

struct sync_counters {
    uint64_t rounds, messages, conflicts, failures;
};

struct sync_cloud {
    struct shadowsync *all;
    char *uplink;
    size_t prefix_len; /* of the topics it receives on */
    struct subscriber ear;
    struct subscription received, status;
    bool is_up;    /* and all of our subscriptions stand */
    char *problem; /* why not; NULL: there is nothing to say */
    struct list queue;
    unsigned rounds;
};

struct sync_group {
    struct shadowsync *all;
    struct sync_cloud *cloud;
    char *name, *shadow, *policy_text;
    struct arena arena; /* of the policy's list */
    struct sync_policy policy;
    struct sync_pattern *patterns;
    int pattern_count;
    enum sync_direction direction;
    int64_t rate, burst, every;
    struct subscriber ear;
    struct subscription *subscriptions; /* SYNC_FILTERS for every pattern */
    struct map pairs;
    struct sync_counters counters;
    uint64_t refused; /* pairs beyond the limit */
};

struct sync_finder {
    struct subscriber ear;
    struct subscription answers;
    struct timer again;
    char *thing, *name; /* how far it has come; NULL: not at all */
};

struct shadowsync {
    struct bus *bus;
    struct loop *loop;
    struct store *store;
    char token_prefix[SYNC_TOKEN_SIZE];
    uint64_t last_number;
    struct sync_cloud *clouds;
    struct sync_group *groups;
    size_t cloud_count, group_count, pair_count;
    struct subscriber commands;
    struct subscription list, explain;
    unsigned explaining;
    struct sync_finder finder;
};

enum pair_state { PAIR_EQUAL, PAIR_PAUSED, PAIR_QUEUED, PAIR_IN_ROUND };

struct sync_round;

struct sync_pair {
    struct map_key key; /* THING/NAME; NAME is empty for a classic shadow */
    struct sync_group *group;
    const char *thing, *name;
    struct list link; /* in the cloud's queue */
    struct timer timer;
    enum pair_state state;
    bool is_plain;      /* a pattern names it, so it stays when there is no document */
    bool has_changed;   /* here, since it was read */
    bool cloud_is_same; /* as the row says, at this version: it need not be read */
    int64_t cloud_version;
    bool is_behind;
    int64_t behind_since; /* monotonic ms */
    struct sync_bucket bucket;
    int64_t pause;
    unsigned races[2]; /* lost in a row, on each side */
    char *problem;     /* of the last round; NULL: it went well */
    struct sync_round *round;
    struct sync_counters counters;
};

/* ---- shadowsync.c -------------------------------------------------------------------------------------------------- */

/* The section whose shadow it is; NULL: there is none for that uplink. */
struct sync_group *cloud_group_of(const struct sync_cloud *cloud, const struct topic_piece *thing,
                                  const struct topic_piece *name);

/* ---- sync_find.c --------------------------------------------------------------------------------------------------- */

void sync_find_begin(struct shadowsync *all);
void sync_find_end(struct shadowsync *all);

/* ---- sync_pair.c -------------------------------------------------------------------------------------------------- */

struct sync_pair *pair_find(const struct sync_group *group, const struct topic_piece *thing,
                            const struct topic_piece *name);
/* Makes it when it is not there yet; NULL: there are too many. */
struct sync_pair *pair_of(struct sync_group *group, const struct topic_piece *thing,
                          const struct topic_piece *name);
/* All of a group, NULL behind the last: they may be freed while the list is walked. Free it. */
struct sync_pair **pairs_of(const struct sync_group *group) must_check;
/* It is in no round. */
void pair_free(struct sync_pair *pair);

/* The document here has been changed by somebody else. */
void pair_changed_here(struct sync_pair *pair);
/* The one at the cloud has; version -1: deleted, or not known. */
void pair_changed_there(struct sync_pair *pair, int64_t version);
/* The cloud's documents may have changed, all of them. */
void cloud_lost_sight(struct sync_cloud *cloud);
/* Begins what waits, as far as there is room. */
void cloud_pump(struct sync_cloud *cloud);
void cloud_connected(struct sync_cloud *cloud);

/* Ends of a round; the round is gone. `exists`: there is a document. */
void pair_round_done(struct sync_pair *pair, int64_t cloud_version, bool cloud_is_same, bool exists);
void pair_round_failed(struct sync_pair *pair, const char *problem);
/* There has to be another one: somebody was faster at the cloud, or the connection went. */
void pair_round_again(struct sync_pair *pair);

/* ---- sync_round.c ------------------------------------------------------------------------------------------------- */

void round_begin(struct sync_pair *pair);
/* Does it wait for the answer to this request of ours? */
bool round_awaits(const struct sync_round *round, enum sync_side side, uint64_t number);
/* … to a get at the cloud, whatever its number? */
bool round_reads_cloud(const struct sync_round *round);
/* The answer it waits for. */
void round_answered(struct sync_round *round, enum sync_side side, const struct sync_topic *topic,
                    const struct sync_answer *answer);
/* Somebody else has changed the cloud's document meanwhile; -1: deleted. */
void round_cloud_changed(struct sync_round *round, int64_t version);
/* The time for an answer is over. */
void round_late(struct sync_round *round);
/* The connection to the cloud is gone. */
void round_cut(struct sync_round *round);

/* ---- sync_tell.c -------------------------------------------------------------------------------------------------- */

char *sync_merge_text(struct arena *arena, const struct sync_merge *merge);
void sync_tell_list(struct shadowsync *all, const struct msg *msg);
void sync_tell_explain(struct shadowsync *all, struct msg *msg);
