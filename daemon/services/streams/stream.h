/* What the files of this service share: streams, and the uplinks as streams see them.
 *
 *      streams ──▶ stream ──▶ log                    stream_append.c   messages become records
 *         │           ├─────▶ outlet ◀── status      stream_export.c   records become messages to the cloud
 *         │           ├─────▶ readers                stream_cursor.c   named cursors, and the books of all, in state.db
 *         │           └─────▶ reads                  stream_read.c     records become answers
 *         └──▶ route ──▶ stream                      stream_reclaim.c  what leaves the disk, and why
 *                                                    stream_verify.c   do the books agree with the log?
 *                                                    stream_ctl.c      commands
 * In a stream's log, oldest first:
 *
 *      floor ≤ first ≤ saved ≤ cursor ≤ sent ≤ next
 *        │       │       │       │       └── read ahead from here
 *        │       │       │       └── acknowledged below; from here up to sent: under way
 *        │       │       └── the cursor that is in state.db: segments below it may go
 *        │       └── oldest record kept
 *        └── what is below is gone, or is going: its end is in the books
 *
 * A failure sets sent back to the cursor. (When damaged records are skipped, saved may be below first for a moment.)
 */
#pragma once

#include "cloud/backoff.h"
#include "services/streams/stream_definition.h"
#include "services/streams/stream_ledger.h"
#include "services/streams/stream_schedule.h"
#include "services/streams/streams.h"

enum { STREAM_WINDOW = 64, STREAM_SCRATCH = 65536 };

/* Names of readers that nobody made: the stream's own books, and the exporter's. No cursor can be called so. */
#define READER_OWN    "@stream"
#define READER_UPLINK "@uplink"

/* Who reads a stream, and the books of that. */
struct reader {
    struct list link; /* in stream->readers */
    struct stream *stream;
    char *name;
    bool holds;                   /* what it has not had is not released */
    struct ledger ledger, stored; /* as it is, and as it is in state.db */
    bool in_db;
    bool going; /* its row is being deleted */
};

struct drop {
    bool active;
    enum ledger_end end;
    struct seglog_survey survey;
    struct seglog_range *ranges; /* of the readers at that moment, in their order */
    size_t range_count;
    struct seglog_sync sync;
    struct work commit;
    struct cursor_row *rows;
    struct reader **row_readers;
    size_t row_count;
    struct seglog_release release;
    struct timer retry; /* of a commit that failed */
};

struct stream {
    struct list link; /* in streams->all */
    struct streams *streams;
    struct stream_definition definition;
    char *name;
    bool configured; /* by gatehouse.conf: it cannot be deleted here */
    bool deleting;   /* or not created yet */
    struct deletion *deletion;
    unsigned busy; /* requests that look at it over several turns */
    struct seglog *log;

    /* taking */
    struct subscriber direct; /* $gatehouse/streams/NAME/append */
    struct subscription direct_subscription;
    size_t appending, appending_bytes; /* with the log's thread */
    uint64_t appending_size;           /* of their records */
    uint64_t appended, refused, faults;
    int64_t complain_after; /* monotonic ms: silent until then */
    struct list waiting;    /* for room, oldest first */
    size_t waiting_count;
    uint64_t waiting_size;
    uint64_t bytes_seen; /* in streams->bytes */

    /* books */
    struct list readers; /* the own one first */
    struct reader own, uplink;
    struct drop drop;
    unsigned making; /* cursors: nothing leaves the disk meanwhile */
    bool wants_room; /* what is kept after export may go */
    bool wants_disk; /* the disk is full: the oldest must go */
    struct timer age;
    struct seglog_sync sync; /* before a cursor is stored that is beyond what is synced */
    bool syncing;

    /* reading */
    struct list reads;
    size_t read_count_now;

    /* exporting */
    struct outlet *outlet; /* NULL: local only */
    uint64_t sent;
    struct ledger_gaps gap;  /* between the last shipment and sent */
    struct seglog_read read; /* read ahead: records [read_at, read_count) */
    size_t read_at, read_count;
    bool reading;
    struct list under_way; /* shipments, oldest first */
    size_t under_way_count, unsettled;
    bool passed; /* its cursor was moved over some of them, which is waited for, too */
    bool failed; /* one of those under way was not taken: no more is sent until all are settled */
    struct timer retry;
    struct backoff backoff;
    uint64_t retries;

    /* alarms */
    uint64_t damaged_told;
    char *alarm; /* NULL: fine */
    int64_t alarm_since;
};

enum shipment_state { SHIPMENT_SENT, SHIPMENT_ACKNOWLEDGED, SHIPMENT_FAILED };

/* A record under way. */
struct shipment {
    struct receipt receipt;
    struct stream *stream;
    uint64_t seq;
    struct ledger_gaps gap; /* just before it */
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
    char *name, *pattern;
    struct subscriber subscriber;
    struct subscription subscription;
};

struct streams {
    struct bus *bus;
    struct seglogs *logs;
    struct store *store;
    bool closing;
    struct list all;
    uint64_t bytes, quota; /* of all logs on disk; 0: no limit */
    struct route *routes;
    size_t route_count;
    struct outlet **outlets;
    size_t outlet_count;
    struct subscriber list_commands, describe_commands, create_commands, delete_commands, verify_commands;
    struct subscriber read_requests, cursor_requests;
    struct subscription list, describe, create, delete, verify, read, cursor;
    char *scratch; /* STREAM_SCRATCH bytes, for a topic */
    int64_t started;

    /* the cursors' way into state.db */
    struct timer save;
    struct work saving;
    bool is_saving, complained;
    struct cursor_row *rows;
    struct reader **row_readers;
    size_t row_count;
};

#define streams_for_each(stream, streams)                                                                    \
    for (struct stream *stream = list_entry((streams)->all.next, struct stream, link);                       \
         &stream->link != &(streams)->all; stream = list_entry(stream->link.next, struct stream, link))
#define readers_for_each(reader, stream)                                                                     \
    for (struct reader *reader = list_entry((stream)->readers.next, struct reader, link);                    \
         &reader->link != &(stream)->readers; reader = list_entry(reader->link.next, struct reader, link))

static inline struct loop *stream_loop(const struct stream *stream)
{
    return bus_loop(stream->streams->bus);
}

/* streams.c */
struct stream *streams_find(struct streams *streams, const char *name);
/* Opens it and puts it among the others; its books are not there yet. */
int stream_add(struct streams *streams, const struct stream_definition *definition, bool configured,
               struct stream **ret) must_check;
/* Everything of it that is in memory. */
void stream_free(struct stream *stream);

/* stream_append.c: appends the message, whose receipt waits for that. The pattern makes its topic at the cloud. */
void stream_take(struct stream *stream, const char *pattern, struct msg *msg, struct receipt *receipt,
                 bool answers);
/* There is room again, or there will be none: what waits is appended, or refused. */
void stream_admit(struct stream *stream, bool none);
/* The log has got smaller or larger. */
void stream_weigh(struct stream *stream);

/* stream_export.c: outlets, and the exporter of each stream that has one. */
void outlet_init(struct outlet *outlet, struct streams *streams, const char *name);
void outlet_done(struct outlet *outlet);
void stream_export_init(struct stream *stream, struct outlet *outlet);
void stream_export_done(struct stream *stream);
/* There may be something to send: looks in this turn. */
void outlet_wake(struct outlet *outlet);
/* The exporter's cursor was moved on over what is gone. */
void stream_export_passed(struct stream *stream);

/* stream_cursor.c: reads every stream's stored books, which may say anything; stores those that have changed a second after
 * the first did; and has what is below them released. */
int cursors_begin(struct streams *streams) must_check;
/* The books of one that is new. Blocks. */
void stream_books_begin(struct stream *stream);
void cursor_moved(struct stream *stream);
/* Stores what is not stored yet and waits for it. */
void cursors_end(struct streams *streams);
struct reader *stream_reader(struct stream *stream, const char *name);
void reader_add(struct stream *stream, struct reader *reader, const char *name, bool holds);
void reader_remove(struct reader *reader);
void streams_cursor_init(struct streams *streams);
void streams_cursor_done(struct streams *streams);
bool reader_is_unsaved(const struct reader *reader);
bool stream_is_stored(const struct stream *stream);

/* stream_reclaim.c: looks whether something may or must leave the disk. */
void stream_reclaim(struct stream *stream);
void stream_reclaim_init(struct stream *stream);
void stream_reclaim_done(struct stream *stream);

/* stream_read.c */
void streams_read_init(struct streams *streams);
void streams_read_done(struct streams *streams);
void stream_reads_wake(struct stream *stream);
void stream_reads_end(struct stream *stream, const char *why);

/* stream_verify.c: takes its own reference of the request. */
void streams_verify_init(struct streams *streams);
void streams_verify_done(struct streams *streams);

/* stream_ctl.c */
void streams_ctl_init(struct streams *streams);
void streams_ctl_done(struct streams *streams);

/* One that is being deleted may have nothing under way any more: then it goes. */
void stream_is_idle(struct stream *stream);
void stream_deletion_done(struct stream *stream);
static inline void stream_idles(struct stream *stream)
{
    if (--stream->busy == 0 && stream->deleting)
        stream_is_idle(stream);
}

/* stream_alarm.c: what an operator must know. NULL: nothing any more. Says it on the stream's status and in the log. */
void stream_alarm(struct stream *stream, const char *sentence);
/* Damage that the log has found since. */
void stream_look_for_damage(struct stream *stream);
void stream_say_status(struct stream *stream);
void stream_unsay_status(struct stream *stream);

/* stream_answer.c: what the commands and requests have in common. */
void stream_refuse(struct streams *streams, const struct msg *request, int code, const char *message);
void stream_put_ledger(struct json_writer *w, const struct reader *reader);
void stream_put_number(struct json_writer *w, const char *key, uint64_t number);
/* The stream's name is the level behind "$gatehouse/streams/" of a topic; NULL when there is none (refused). */
struct stream *stream_of_topic(struct streams *streams, const struct msg *msg);
/* The request's object; NULL: refused. An empty payload is {}. */
struct json *stream_request(struct streams *streams, struct arena *arena, const struct msg *msg);
/* Names a member that is none of those (NULL-terminated); false, and it has been refused. */
bool stream_members_are_known(struct streams *streams, struct arena *arena, const struct msg *msg,
                              const struct json *json, const char *const *names);
