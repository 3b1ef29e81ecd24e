/* The spool as its own files see it: private to spool*.c.
 *
 *      kept   record ⇄ record ⇄ record ⇄ …     by number; everything below the first may go
 *      gathering: the record whose targets are still coming, at most one
 */
#pragma once

#include "mqtt/spool.h"

enum spooled_state {
    SPOOLED_GATHERING,
    SPOOLED_WRITING,
    SPOOLED_KEPT,
    SPOOLED_MOVING, /* kept where it is, and being written again */
    SPOOLED_FAILED
};

struct spooled {
    struct spool *spool;
    struct list link;   /* in kept */
    struct list places; /* struct spool_place.link */
    struct msg *msg;    /* NULL: only a packet id is kept */
    uint64_t seq;
    uint64_t from_session; /* 0: no packet id, or released */
    uint16_t from_id;
    bool is_released; /* its PUBREL has come: not to be written again */
    uint8_t state;    /* enum spooled_state */
    unsigned writes;  /* under way */
};

/* A growing piece of memory that is used again. */
struct spool_buffer {
    uint8_t *bytes;
    size_t len, size;
};

struct spool {
    struct loop *loop;
    struct seglogs *logs;
    struct seglog *log;
    struct spool_options options;
    struct spool_user *user;
    struct task hand_over;
    struct list kept;
    uint64_t alive;
    int64_t wall_minus_mono;

    struct spooled *gathering;
    struct receipt *receipt;     /* of what is being gathered */
    struct spool_buffer targets; /* of it */
    uint32_t target_count;

    struct spool_buffer facts;
    struct list waiting; /* struct wait: who waits for the facts */

    struct seglog_release release;
    bool releasing;
    size_t under_way; /* records */
    uint64_t released;
    size_t moving;
    struct spool_counters counters;
};

/* Room for so many bytes more at the end. */
uint8_t *spool_buffer_room(struct spool_buffer *buffer, size_t len);

/* Frees the record when nobody needs it any more. */
void spooled_release(struct spooled *spooled);
struct spooled *spooled_new(struct spool *spool, struct msg *msg);
/* The record has a number now: it is the last of those kept. */
void spooled_keep(struct spooled *spooled, uint64_t seq);
