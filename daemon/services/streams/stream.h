/* What the files of this service share: streams, and the uplinks as streams see them.
 *
 *      streams ──▶ stream ──▶ log                    stream_append.c   messages become records
 *         │           └─────▶ outlet ◀── status      stream_export.c   records become messages to the cloud
 *         └──▶ route ──▶ stream                      stream_cursor.c   how far they have come, in state.db
 *
 * In a stream's log, oldest first:
 *
 *      first ≤ saved ≤ cursor ≤ sent ≤ next
 *        │       │       │       └── read ahead from here
 *        │       │       └── acknowledged below; from here up to sent: under way
 *        │       └── the cursor that is in state.db: segments below it may go
 *        └── oldest record kept
 *
 * A failure sets sent back to the cursor. (When damaged records are skipped, saved may be below first for a moment.)
 */
#pragma once

#include "cloud/backoff.h"
#include "services/streams/stream_schedule.h"
#include "services/streams/streams.h"

enum { STREAM_WINDOW = 64, STREAM_NAME_MAX = 64, STREAM_SCRATCH = 65536 };

struct stream {
    struct streams *streams;
    char *name;
    unsigned priority;
    bool keep;
    uint64_t max_bytes;
    struct seglog *log;

    /* taking */
    struct subscriber direct; /* $gatehouse/streams/NAME/append */
    struct subscription direct_subscription;
    size_t appending, appending_bytes; /* with the log's thread */
    uint64_t appended, refused, faults;
    int64_t complain_after; /* monotonic ms: silent until then */

    /* exporting */
    struct outlet *outlet; /* NULL: local only */
    uint64_t cursor, sent, saved;
    struct seglog_read read; /* read ahead: records [read_at, read_count) */
    size_t read_at, read_count;
    bool reading;
    struct list under_way; /* shipments, oldest first */
    size_t under_way_count, unsettled;
    bool failed; /* one of those under way was not taken: no more is sent until all are settled */
    struct timer retry;
    struct backoff backoff;
    uint64_t retries;
    struct seglog_release release;
    bool releasing;
};

enum shipment_state { SHIPMENT_SENT, SHIPMENT_ACKNOWLEDGED, SHIPMENT_FAILED };

/* A record under way. */
struct shipment {
    struct receipt receipt;
    struct stream *stream;
    uint64_t seq;
    enum shipment_state state;
    struct list link; /* in stream->under_way or outlet->idle */
};

/* An uplink and the streams that share it. */
struct outlet {
    struct streams *streams;
    char *name;
    struct subscriber status;
    struct subscription status_subscription;
    bool up;
    struct stream **users;
    struct schedule_stream *candidates; /* beside users */
    size_t user_count;
    struct schedule schedule;
    struct task pump;
    struct shipment shipments[STREAM_WINDOW];
    struct list idle;
};

struct route {
    struct stream *stream;
    char *pattern;
    struct subscriber subscriber;
    struct subscription subscription;
};

struct streams {
    struct bus *bus;
    struct seglogs *logs;
    struct store *store;
    bool closing;
    struct stream *all;
    size_t count;
    struct route *routes;
    size_t route_count;
    struct outlet **outlets;
    size_t outlet_count;
    struct subscriber commands;
    struct subscription list;
    char *scratch; /* STREAM_SCRATCH bytes, for a topic */

    /* the cursors' way into state.db */
    struct timer save;
    struct work saving;
    bool is_saving, complained;
    struct cursor_row *rows;
    struct stream **row_streams;
    size_t row_count;
};

/* stream_append.c: appends the message, whose receipt waits for that. The pattern makes its topic at the cloud. */
void stream_take(struct stream *stream, const char *pattern, struct msg *msg, struct receipt *receipt);

/* stream_export.c: outlets, and the exporter of each stream that has one. */
void outlet_init(struct outlet *outlet, struct streams *streams, const char *name, size_t users_max);
void outlet_done(struct outlet *outlet);
void stream_export_init(struct stream *stream, struct outlet *outlet);
void stream_export_done(struct stream *stream);
/* There may be something to send: looks in this turn. */
void outlet_wake(struct outlet *outlet);

/* stream_cursor.c: reads every stream's stored cursor, which may lie anywhere; stores those that have moved a second
 * after the first did; and releases what is below them. */
int cursors_begin(struct streams *streams) must_check;
void cursor_moved(struct stream *stream);
/* Exported records are in the way of new ones. */
void stream_make_room(struct stream *stream);
/* Stores what is not stored yet and waits for it. */
void cursors_end(struct streams *streams);
