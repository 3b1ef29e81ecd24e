/* What waits to be sent in batches, and what becomes of it: the part that all links have in common which send batches.
 *
 *      publish ─▶ waiting ─▶ a batch ─▶ the carrier ─▶ an answer ─▶ done
 *                               ▲                         │
 *                               └──────── ready ◀─────────┘  refused as a whole: two halves; in part: what is left
 *
 * Batches leave in order, `lanes` of them at once: with one lane everything arrives in order. A batch that is refused for
 * good is halved until the record that is to blame is alone, and only that one is refused.
 *
 *      OFF ──start──▶ UP ──again, stuck──▶ DOWN ──the pause is over──▶ PROBING ──taken──▶ UP
 *                                            ▲                            │
 *                                            └────────────────────────────┘
 *
 * Down means: everything that waits is done with -ENOTCONN and its publishers, who are told before, publish it again when
 * they hear that it is probed. Nothing is sent by itself: while nobody has anything to send, nothing is tried. A batch of
 * which a part was taken is a success for the link, and the rest is sent again after a pause.
 *
 * On the loop. While a batch is with the carrier, its items may be read on another thread.
 */
#pragma once

#include "base/list.h"
#include "base/loop.h"
#include "cloud/backoff.h"
#include "cloud/link.h"

enum outbox_verdict {
    OUTBOX_TAKEN,
    OUTBOX_AGAIN, /* it did not work this time */
    OUTBOX_STUCK, /* it will not work until somebody changes a configuration, here or there: tried rarely */
    OUTBOX_NEVER, /* of what it is about: this content is not wanted */
    OUTBOX_TOO_LARGE, /* the same, and batches of that size are not sent again */
    OUTBOX_EACH,      /* of an answer: every item has a verdict of its own, one of those above */
};

/* What publications of such a link begin with: .publish_size = sizeof(struct outbox_item), or more. */
struct outbox_item {
    struct link_publish publish; /* first */
    struct list place;
    enum outbox_verdict verdict; /* set by the carrier for OUTBOX_EACH */
};

struct outbox_batch {
    struct list items; /* of struct outbox_item */
    unsigned count;
    size_t bytes; /* of topics and payloads */
    struct list place;
    uint64_t epoch;
};

/* What came of a batch. */
struct outbox_answer {
    enum outbox_verdict verdict;
    const char *reason; /* a sentence; NULL for OUTBOX_TAKEN */
    int64_t pause;      /* the other side asked for one at least so long, ms; 0: it did not */
};

struct outbox;

struct outbox_carrier {
    /* Begins; outbox_answered() for that lane follows, also from inside. */
    void (*carry)(struct outbox *outbox, unsigned lane, struct outbox_batch *batch);
    /* Ends it sooner: the answer still comes, or comes from inside. NULL: it comes soon anyhow. */
    void (*abort)(struct outbox *outbox, unsigned lane);
    /* May both be in one batch? NULL: always. */
    bool (*fit)(const struct outbox *outbox, const struct outbox_item *a, const struct outbox_item *b);
};

enum outbox_state { OUTBOX_OFF, OUTBOX_UP, OUTBOX_DOWN, OUTBOX_PROBING };
enum { OUTBOX_LANES_MAX = 8 };

struct outbox_options {
    unsigned records;             /* of a batch, at most; 0: 1 */
    size_t bytes;                 /* of a batch, at most, and one record whatever its size */
    int64_t interval;             /* ms that a batch which is not full waits for more; 0: it does not */
    unsigned lanes;               /* 1 to OUTBOX_LANES_MAX */
    int64_t pause_min, pause_max; /* after a failure, ms */
};

struct outbox {
    struct loop *loop;
    const struct outbox_carrier *carrier;
    struct link_events events;
    void *self;
    struct outbox_options options;

    enum outbox_state state;
    struct list waiting; /* items */
    size_t waiting_count, waiting_bytes;
    struct list ready; /* batches that were with the carrier before, before everything that waits */
    struct outbox_batch *lanes[OUTBOX_LANES_MAX];
    size_t bytes_limit; /* what the other side takes, as far as is known */
    bool due;           /* what waits has waited long enough */
    uint64_t epoch;     /* failures so far: what was sent before the last one proves nothing */
    struct backoff backoff;
    struct timer interval, pause;
    struct task pump;
};

void outbox_init(struct outbox *outbox, struct loop *loop, const struct outbox_options *options,
                 const struct outbox_carrier *carrier, const struct link_events *events, void *self);
/* It has been stopped and every lane has answered. */
void outbox_done(struct outbox *outbox);

void outbox_start(struct outbox *outbox);
void outbox_stop(struct outbox *outbox);
bool outbox_is_up(const struct outbox *outbox);

/* Takes the item until its done(): as link_kind's publish(). */
int outbox_publish(struct outbox *outbox, struct outbox_item *item) must_check;
void outbox_answered(struct outbox *outbox, unsigned lane, const struct outbox_answer *answer);

/* Enough for a batch in every lane, and for the next ones to be there when an answer comes. */
unsigned outbox_window(const struct outbox *outbox);

/* The bytes of an item that count. */
size_t outbox_item_bytes(const struct outbox_item *item);
