/* Workers: threads that own one blocking resource each (a database, the logs, a client library).
 *
 *      loop:    submit ─┐ (nothing allocated, cannot fail; handed over once a turn)
 *      thread:          └▶ begin ▶ run run run ▶ commit ─┐      one batch, one sync
 *      loop:                                              └▶ done done done      (start of a later turn)
 *
 * Work is a member of what it works for and belongs to the worker from submit to done: its owner must outlive that, so
 * shutdown quiesces first and frees afterwards. run() sees its own item and the resource, nothing else. When commit
 * fails, every item of the batch whose run succeeded gets commit's fault as its own: nothing of it is durable.
 *
 * Outside worker.c there is no mutex.
 */
#pragma once

#include "base/loop.h"

struct worker;

struct work {
    /* On the worker's thread. Sets work->r: 0, −errno, or a refusal of its own. */
    void (*run)(struct work *work, void *resource);
    /* On the loop. The item is the owner's again; it may be submitted anew from here. */
    void (*done)(struct work *work);
    int r;
    unsigned bytes;   /* that it adds to what the batch stores: worth waiting for, after worker_gather() */
    struct list link; /* private */
};

/* What a worker does around a batch, on its thread; each may be NULL. */
struct worker_ops {
    int (*begin)(void *resource); /* a fault is every item's; none is run */
    void (*run)(void *resource,
                struct work *work); /* surrounds work->run() when an item needs that; NULL: just it */
    int (*commit)(void *resource);  /* 0 or −errno: nothing of the batch was kept */
    void (*idle)(void *resource);   /* the queue went empty: time for what can wait */
    /* the same, in small pieces: called until it says that there is no more, and work comes first */
    bool (*rest)(void *resource);
};

enum worker_mode {
    WORKER_THREAD, /* which begins with the first work that the loop hands over; before, quiescing runs it right there */
    WORKER_INLINE /* in tests: the batch runs in HAND_OVER on the loop itself, done comes in the next turn */
};

int worker_new(struct worker **ret, struct loop *loop, const char *name, const struct worker_ops *ops,
               void *resource, enum worker_mode mode) must_check;
/* Quiesces, ends the thread, frees. The resource is the caller's to close, afterwards. */
struct worker *worker_free(struct worker *worker);
define_cleanup(struct worker *, worker_free)

/* Before the first work: a batch may wait for company from now on (gather.h), unless it has as many bytes as that. Else it begins with
 * what there is. */
void worker_gather(struct worker *worker, uint64_t enough);

void worker_submit(struct worker *worker, struct work *work);

/* Waits until everything submitted has run and calls every done, including those of work that a done submits. The only
 * waiting there is; for shutdown. */
void worker_quiesce(struct worker *worker);

/* Items submitted and not yet done. */
size_t worker_pending(const struct worker *worker);

/* For resources with threads of their own (Paho): runs run(arg) on the loop, in a later turn. May be called from every
 * thread while the loop lives. `note` belongs to the loop until run() is called. */
struct note {
    void (*run)(struct note *note);
    struct list link; /* private */
};
struct inbox;
int inbox_new(struct inbox **ret, struct loop *loop) must_check;
struct inbox *inbox_free(struct inbox *inbox);
define_cleanup(struct inbox *, inbox_free)
void inbox_post(struct inbox *inbox, struct note *note);
/* Runs what has been posted, now; on the loop's thread. */
void inbox_drain(struct inbox *inbox);
