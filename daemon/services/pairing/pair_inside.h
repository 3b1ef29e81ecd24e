/* Pairing as its own files see it.
 *
 *      pairing.c      what nodes and handshakes say
 *      pair_node.c    nodes, their keys, and the disk
 *      pair_window.c  who asks, who may, and who waits for what becomes of it
 *      pair_ctl.c     what people ask
 */
#pragma once

#include "base/json_write.h"
#include "base/map.h"
#include "services/pairing/pair_store.h"
#include "services/pairing/pairing.h"

enum {
    PAIR_WINDOW_MS = 600000, /* a typed code is good for so long */
    PAIR_FAILURES_MAX = 5,   /* and for so many wrong keys */
    PAIR_SESSION_MS = 120000,
    PAIR_WINDOWS_MAX = 16,
    PAIR_ASKING_MAX = 16,
    PAIR_WATCHES_MAX = 16,
    PAIR_JOBS_MAX = 4,
    PAIR_FROM_BYTES = 64,
};

struct pair_node {
    struct map_key key; /* its serial */
    struct pairing *pairing;
    struct pair_row row; /* as it is; the disk follows */
    struct pair_save save;
    bool saving, unsaved;
    struct list to_settle, under_way; /* struct pair_wait: of the next save, and of this one */
    bool offering;                    /* an offer waits for the disk */
    bool next_kept;                   /* it has said that it has stored the next key */
    uint64_t origin;                  /* of its session; 0: it is not here */
    int64_t repair_until;             /* loop time until which it may be paired again */
};

/* Called when what a node is now is on disk, or cannot be (r < 0). The wait is freed afterwards. */
struct pair_wait {
    struct list link;
    void (*settled)(struct pair_node *node, struct pair_wait *wait, int r);
    struct msg *request; /* referenced; NULL: none */
    uint64_t origin;     /* who is to hear of it */
    const char *state;   /* a word for what has happened */
};

struct pair_window {
    struct list link;
    struct pairing *pairing;
    char serial[PAIR_SERIAL_MAX + 1], thing[PAIR_THING_MAX + 1];
    uint8_t key[PAIR_KEY_BYTES];
    unsigned failures;
    bool at_cable;   /* it was approved, and its key is the one for cables */
    int64_t expires; /* loop time */
    struct timer timer, session;
};

struct pair_asking {
    char serial[PAIR_SERIAL_MAX + 1], from[PAIR_FROM_BYTES];
    bool at_cable;
    unsigned attempts;
    int64_t first, last; /* loop time; attempts 0: free */
};

/* A request that is answered when something has happened. */
struct pair_watch {
    struct list link;
    struct pairing *pairing;
    struct msg *request;
    char serial[PAIR_SERIAL_MAX + 1]; /* "": whoever asks */
    struct timer timer;
};

struct pair_job; /* a code that is being made a key */

struct pair_expelled {
    struct list link;
    char *principal;
    const char *why;
};

struct pairing {
    struct bus *bus;
    struct loop *loop;
    struct store *store;
    struct worker *worker; /* NULL: no code was typed yet */
    struct pairing_options options;
    struct subscriber subscriber, asker;
    struct subscription hello, commit, refuse, kept, online;
    struct subscription ctl[9];
    bool listens; /* there is a listener for nodes */
    char *host;
    uint16_t port; /* 0: none on a network */
    struct map nodes;
    struct list windows, watches, expelled;
    size_t window_count, watch_count, job_count;
    struct pair_asking asking[PAIR_ASKING_MAX];
    struct task expel;
    struct timer hourly, retry;
};

/* pair_node.c */
int pair_nodes_open(struct pairing *pairing) must_check;
void pair_nodes_close(struct pairing *pairing);
struct pair_node *pair_node_get(const struct pairing *pairing, const char *serial);
/* By serial or thing. */
struct pair_node *pair_node_named(const struct pairing *pairing, const char *name, size_t len);
struct pair_node *pair_node_of_thing(const struct pairing *pairing, const char *thing);
struct pair_node *pair_node_add(struct pairing *pairing, const char *serial, const char *thing);
/* wait may be NULL. */
void pair_node_save(struct pair_node *node, struct pair_wait *wait);
struct pair_wait *pair_wait_new(void (*settled)(struct pair_node *, struct pair_wait *, int),
                                struct msg *request);
/* A new key, in the place of one that was offered and never used. False: there are no random numbers. */
bool pair_node_make_next(struct pair_node *node);
/* The next key was used: it is the key. */
void pair_node_promote(struct pair_node *node);
void pair_node_revoke(struct pair_node *node);
/* A new key is made, and sent when it is on disk. False as above. */
bool pair_node_rotate(struct pair_node *node, struct msg *request);
void pair_node_send_next(struct pair_node *node);
const char *pair_node_state(const struct pair_node *node);
struct pair_node **
pair_nodes_sorted(const struct pairing *pairing); /* count: pairing->nodes.count; free it */
bool pair_node_may_be_paired(const struct pair_node *node);
void pair_put_node(struct json_writer *w, const struct pair_node *node);
void pair_put_key(struct json_writer *w, int64_t generation, const char *serial, const uint8_t *key);

/* pair_window.c */
struct pair_window *pair_window_get(const struct pairing *pairing, const char *serial);
struct pair_window *pair_window_open(struct pairing *pairing, const char *serial, const char *thing,
                                     const uint8_t key[PAIR_KEY_BYTES]);
/* Without a code, by a cable. NULL: it may not be paired, as that thing or at all. */
struct pair_window *pair_window_at_cable(struct pairing *pairing, const char *serial, const char *thing);
struct pair_window *pair_window_at_bench(struct pairing *pairing, const char *serial);
/* Another serial whose code is to make it that thing. */
const struct pair_window *pair_window_rival(const struct pairing *pairing, const char *serial,
                                            const char *thing);
void pair_window_failed(struct pair_window *window, const char *from);
void pair_window_used(struct pair_window *window); /* a session has begun */
void pair_window_close(struct pair_window *window);
void pair_windows_close(struct pairing *pairing);
void pair_asked(struct pairing *pairing, const char *serial, const char *from, bool at_cable);
bool pair_asks_by_cable(const struct pairing *pairing, const char *serial);
void pair_asking_forget(struct pairing *pairing, const char *serial);
void pair_put_asking(struct json_writer *w, const struct pairing *pairing);
void pair_put_windows(struct json_writer *w, const struct pairing *pairing);
/* Something has happened to a serial: told on its status topic, to the log, the audit log, and to who waits for it. `is_end`: pairing
 * is over, whichever way. */
void pair_event(struct pairing *pairing, const char *serial, const char *state, const char *reason,
                bool is_end);
/* Answers when it has happened; false: there are too many. */
bool pair_watch(struct pairing *pairing, struct msg *request, const char *serial, int64_t timeout);

/* pairing.c */
void pair_expel(struct pairing *pairing, const char *role, const char *serial, const char *why);
void pair_note(struct pairing *pairing, const char *who, const char *what, const char *serial,
               const char *reason);

/* pair_ctl.c */
void pair_ctl_open(struct pairing *pairing);
void pair_ctl_close(struct pairing *pairing); /* codes that are being worked on are waited for */
