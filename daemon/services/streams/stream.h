/* What the files of this service share: streams, and the uplinks as streams see them.
 *
 *      streams ──▶ stream ──▶ log                    stream_append.c    messages become records
 *         │           ├─────▶ exporters              stream_exporter.c  one stream at one uplink: its lanes and its state
 *         │           │           └──▶ lanes         stream_lane.c      records become messages to the cloud, in order
 *         │           ├─────▶ readers                stream_cursor.c    the books of all who read, in state.db
 *         │           └─────▶ reads                  stream_read.c      records become answers
 *         ├──▶ outlet ◀── status                     stream_outlet.c    an uplink: whose record goes next, and when
 *         └──▶ route ──▶ stream                      stream_letter.c    what an uplink will never take
 *                                                    stream_reclaim.c   what leaves the disk, and why
 *                                                    stream_verify.c    do the books agree with the log?
 *                                                    stream_ctl.c       commands
 * In a stream's log, oldest first, for each lane of each exporter:
 *
 *      floor ≤ first ≤ saved ≤ place ≤ sent ≤ end
 *        │       │       │       │      └── read ahead from here
 *        │       │       │       └── settled below; from here up to sent: under way
 *        │       │       └── the place that is in state.db: segments below everybody's may go
 *        │       └── oldest record kept
 *        └── what is below is gone, or is going: its end is in the books
 *
 * A failure sets sent back to the place. (When damaged records are skipped, saved may be below first for a moment.) The end is
 * the log's; or, for the main lane while there is a live one, where that one began.
 */
#pragma once

#include "base/slab.h"
#include "cloud/backoff.h"
#include "cloud/link_window.h"
#include "services/streams/stream_definition.h"
#include "services/streams/stream_ledger.h"
#include "services/streams/streams.h"
#include "services/streams/streams_store.h"

enum {
    STREAM_WINDOW = 64, /* records under way to one uplink, unless its status says more */
    STREAM_WINDOW_MAX = 1000,
    STREAM_SCRATCH = 65536,
};

/* Names of readers that nobody made. No cursor can be called so, and none of them like another. */
#define READER_OWN             "@"   /* the stream's own books */
#define READER_OLD             "@?"  /* its exporter's, from when a stream had one and that had no name */
#define READER_EXPORTER_FORMAT "@%s" /* of the exporter to that uplink */
#define READER_LIVE_FORMAT     "@%s+live" /* of its live lane */
#define READER_RETRY_FORMAT    "@>%s"     /* how far the dead letters of that stream were taken back */

/* Who reads a stream, and the books of that. */
struct reader {
    struct list link; /* in stream->readers */
    struct stream *stream;
    char *name;
    bool holds;                   /* what it has not had is not released */
    struct ledger ledger, stored; /* as it is, and as it is in state.db */
    bool in_db;
    bool going;             /* its row is being deleted */
    bool embedded;          /* name and memory are somebody else's */
    const char *instead_of; /* another row, which goes when this one is stored; NULL: none */
};

struct drop {
    bool active;
    enum ledger_end end;
    struct seglog_survey survey;
    struct seglog_range *ranges;      /* of the readers at that moment, in their order */
    size_t range_count, reader_count; /* more ranges follow those of readers: of where live lanes begin */
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
    bool updating, retrying;
    unsigned busy; /* requests that look at it over several turns */
    struct seglog *log;

    /* taking */
    struct subscriber direct; /* $gatehouse/streams/NAME/append */
    struct subscription direct_subscription;
    char *direct_topic; /* of the records that came by it, as it is stored */
    size_t direct_topic_len;
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
    struct reader own;
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
    struct list exporters; /* in the order of the definition */

    /* alarms */
    uint64_t damaged_told;
    char *alarm; /* NULL: fine */
    int64_t alarm_since;
};

enum shipment_state {
    SHIPMENT_SENT,
    SHIPMENT_ACKNOWLEDGED,
    SHIPMENT_FAILED,  /* it will be sent again */
    SHIPMENT_REFUSED, /* for ever; when all before it are settled a letter is written */
    SHIPMENT_BURYING, /* which is on its way to the disk */
    SHIPMENT_DEAD,    /* which is on disk */
};

/* A record under way. */
struct shipment {
    struct receipt receipt;
    struct lane *lane;
    uint64_t seq;
    int64_t wall;
    struct ledger_gaps gap; /* just before it */
    enum shipment_state state;
    int code;        /* why it was refused */
    struct msg *msg; /* until its state says that it is not needed any more */
    size_t bytes;
    struct link_window_mark mark;
    struct receipt letter;
    struct seglog_sync letter_sync;
    struct list link; /* in lane->under_way or outlet->idle */
};

/* A part of a stream's log on its way to an uplink, in order. */
struct lane {
    struct exporter *exporter;
    struct reader *reader; /* its place and books; NULL: not in use, or about to be */
    uint64_t sent;
    struct ledger_gaps gap;  /* between the last shipment and sent */
    struct seglog_read read; /* read ahead: records [read_at, read_count) */
    size_t read_at, read_count;
    bool reading;
    bool fresh; /* what was read has not been before the scheduler yet, and stays until then */
    struct {
        uint64_t sent; /* what `sent` was then */
        size_t topic_len, payload_len;
        int64_t wall;
    } next; /* the record that was seen there last: who is next must not depend on whose records are in memory */
    struct seglog_survey survey; /* of what cannot be read just before its end */
    struct seglog_range range;
    struct list under_way; /* shipments, oldest first */
    size_t under_way_count;
    size_t unsettled; /* of these; a letter that is being written is not settled either */
    bool passed;      /* its place was moved over some of them, which is waited for, too */
    bool failed;      /* one of those under way was not taken: no more is sent until all are settled */
    struct timer retry;
    int64_t retry_at; /* monotonic ms */
    struct backoff backoff;
    struct schedule_lane slot;
};

/* A stream's way to one uplink: books, and one lane or two. */
struct exporter {
    struct list link; /* in stream->exporters; or, when it leaves, in streams->leaving */
    struct stream *stream;
    struct outlet *outlet;
    bool leaving;
    struct reader place,
        ahead; /* of the main lane; of the live one, which is among the readers while there is one */
    struct lane lanes[2];
    struct lane *main, *live; /* which is which; live: NULL when there is none */
    struct schedule_flow flow;
    bool paused;
    unsigned pausing;        /* requests to pause it, or not to, on their way to state.db */
    struct allowance stored; /* as state.db has it */
    uint64_t retries, sent_bytes;
    int64_t throttled_ms, throttled_since; /* held up by a limit; monotonic, 0: it is not now */
    int64_t attempted, succeeded, failed;  /* wall time of the last; 0: never */
    char *error;                           /* of the last attempt; NULL: it succeeded */
    int64_t complain_after;                /* of dead letters; monotonic ms */
};

/* An uplink and the exporters that share it. */
struct outlet {
    struct streams *streams;
    char *name;
    struct subscriber status;
    struct subscription status_subscription;
    bool up;
    char *state, *reason; /* as its status has them */
    struct lane **lanes;
    struct schedule_lane **slots; /* of these */
    size_t lane_count;
    struct schedule schedule;
    struct task pump;
    struct timer again;       /* when the scheduler wants to be asked */
    size_t window, under_way; /* shipments that there may be; that there are */
    size_t bytes;             /* of these */
    struct link_window line;  /* those that are not settled: as many as the link is wide */
    struct list idle;
    struct allowance
        stored[SCHEDULE_PRIORITIES + 1]; /* as state.db has it: the day, and those of priorities */
};

struct locked;

struct route {
    struct stream *stream;
    struct locked *locked; /* in its place, if it could not be opened */
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
    struct list locked;    /* that could not be opened */
    uint64_t bytes, quota; /* of all logs on disk; 0: no limit */
    struct route *routes;
    size_t route_count;
    struct outlet **outlets;
    size_t outlet_count;
    struct subscriber list_commands, describe_commands, create_commands, delete_commands, verify_commands;
    struct subscriber read_requests, cursor_requests, exporter_commands, retry_commands, update_commands;
    struct subscription list, describe, create, delete, verify, read, cursor, exporter, retry, update;
    bool no_letters;     /* the stream for them could just now not be made */
    struct list leaving; /* exporters that wait for what they have under way */
    struct task sweep;   /* frees them */
    char *scratch;       /* STREAM_SCRATCH bytes, for a topic */
    struct slab takings; /* messages that become records */
    int64_t started;

    /* the cursors' way into state.db */
    struct timer save;
    struct work saving;
    bool is_saving, complained;
    struct cursor_row *rows;
    struct reader **row_readers;
    size_t row_count;
    struct allowance_row *allowances;
    size_t allowance_count;
};

#define streams_for_each(stream, streams)                                                                    \
    for (struct stream *stream = list_entry((streams)->all.next, struct stream, link);                       \
         &stream->link != &(streams)->all; stream = list_entry(stream->link.next, struct stream, link))
#define exporters_for_each(exporter, stream)                                                                 \
    for (struct exporter *exporter = list_entry((stream)->exporters.next, struct exporter, link);            \
         &exporter->link != &(stream)->exporters;                                                            \
         exporter = list_entry(exporter->link.next, struct exporter, link))
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
struct seglog_options stream_log_options(const struct stream_definition *definition);
/* Everything of it that is in memory. */
void stream_free(struct stream *stream);

/* stream_append.c: could a record with a payload of that length be taken, if there were nothing else? One that hardly could is said not to. */
bool stream_can_hold(const struct stream *stream, size_t len);
/* Appends the message, whose receipt waits for that. The pattern makes its topic at the cloud. */
void stream_take(struct stream *stream, const char *pattern, struct msg *msg, struct receipt *receipt,
                 bool answers);
void stream_taking_init(struct streams *streams);
/* There is room again, or there will be none: what waits is appended, or refused. */
void stream_admit(struct stream *stream, bool none);
/* The log has got smaller or larger. */
void stream_weigh(struct stream *stream);

/* stream_outlet.c */
struct outlet *outlet_of(struct streams *streams, const char *name);
void outlet_free(struct outlet *outlet);
void outlet_limit(struct outlet *outlet, const struct schedule_link *link);
void streams_put_links(struct json_writer *w, const struct streams *streams);
struct schedule_time outlet_time(const struct outlet *outlet);
/* What its lanes have to say before a decision, and one of them alone. */
void outlet_describe(struct outlet *outlet);
void lane_describe(struct lane *lane);
bool outlet_has_room(const struct outlet *outlet);
void outlet_add(struct outlet *outlet, struct lane *lane);
void outlet_remove(struct outlet *outlet, struct lane *lane);
/* There may be something to send: looks in this turn. */
void outlet_wake(struct outlet *outlet);
/* A shipment that is idle, or NULL; and back. */
struct shipment *outlet_take(struct outlet *outlet);
void outlet_give(struct outlet *outlet, struct shipment *shipment);

/* stream_lane.c */
void lane_init(struct lane *lane, struct exporter *exporter);
void lane_done(struct lane *lane);
uint64_t lane_end(const struct lane *lane);
/* Has it something to send now? */
bool lane_is_ready(const struct lane *lane);
/* What it sends next; NULL: it has yet to be read. */
const struct seglog_record *lane_record(const struct lane *lane);
void lane_read(struct lane *lane);
/* Sends that record. False when there is no memory for it. */
bool lane_ship(struct lane *lane) must_check;
void lane_pause(struct lane *lane);
/* What it has read and not sent. */
void lane_forget_read(struct lane *lane);
/* Its place was moved by somebody else. */
void lane_passed(struct lane *lane);
/* Something under way was settled, or has become possible. */
void lane_look(struct lane *lane);
/* It begins at its reader's place. */
void lane_begin(struct lane *lane, struct reader *reader);

/* stream_exporter.c */
struct exporter *exporter_new(struct stream *stream, const char *uplink);
void exporter_free(struct exporter *exporter);
/* It sends nothing more and holds nothing; it is freed when what it has under way is settled. */
void exporter_leave(struct exporter *exporter);
void exporters_sweep(struct task *sweep);
/* Something of a lane has come back from the log's thread or the uplink. */
void exporter_is_back(struct exporter *exporter);
/* The stream's definition has changed. */
void exporter_configure(struct exporter *exporter);
/* New records may pass the old ones from here on, if that is wanted and it is far behind. */
void exporter_consider_split(struct exporter *exporter);
struct exporter *stream_exporter(const struct stream *stream, const char *uplink);
void exporters_wake(struct stream *stream);
/* Whose it is; NULL: no exporter's. */
struct exporter *reader_exporter(const struct reader *reader);
/* Begins a live lane with those books, which begin where it does. */
void exporter_split(struct exporter *exporter, const struct ledger *ledger, bool is_stored);
/* A place of one of its lanes has changed: if the main lane has come to where the live one began, they become one. */
void exporter_moved(struct exporter *exporter);
/* The record of a shipment is put aside: an operator should know. */
void exporter_note_letter(struct exporter *exporter, const struct shipment *shipment);
/* An attempt has ended; `error` NULL: well. */
void exporter_tell(struct exporter *exporter, const char *error);
/* Both lanes' together. */
struct ledger exporter_books(const struct exporter *exporter);
/* Records that it has not settled. */
uint64_t exporter_pending(const struct exporter *exporter);
size_t exporter_under_way(const struct exporter *exporter);
bool stream_is_settled(const struct stream *stream);

/* stream_waits.c: what it says of itself; and why nothing moves. */
void exporter_put(struct json_writer *w, const struct exporter *exporter);

/* stream_letter.c: writes a letter about a shipment that was refused; its state says how it goes on. NULL; or why it cannot. */
const char *letter_write(struct shipment *shipment);
/* The stream for them has come or gone: what waits for it looks again. */
void letters_look(struct streams *streams);

/* stream_locked.c: one that could not be opened, for what −errno says. Publishers are refused. */
void locked_add(struct streams *streams, const char *name, int r);
struct locked *locked_find(const struct streams *streams, const char *name);
void locked_refuse(const struct locked *locked, struct receipt *receipt);
/* "locked":[{"name","reason"}] */
void locked_put(struct json_writer *w, const struct streams *streams);
/* A request names a stream that is not there, or is not open. */
void stream_refuse_unknown(struct streams *streams, const struct msg *msg, const char *name);
void locked_done(struct streams *streams);

/* stream_cursor.c: reads every stream's stored books, which may say anything; stores those that have changed a second after
 * the first did; and has what is below them released. */
int cursors_begin(struct streams *streams) must_check;
/* The books of one that is new. Blocks. */
void stream_books_begin(struct stream *stream);
void cursor_moved(struct stream *stream);
/* Stores what is not stored yet and waits for it. */
void cursors_end(struct streams *streams);
struct reader *stream_reader(struct stream *stream, const char *name);
void reader_init(struct reader *reader, struct stream *stream, const char *name, bool holds);
/* New books, from the oldest record on. Blocks. */
void reader_begin(struct reader *reader);
/* Out of the readers, and freed unless it is embedded. */
void reader_remove(struct reader *reader);
void streams_cursor_init(struct streams *streams);
void streams_cursor_done(struct streams *streams);
bool reader_is_unsaved(const struct reader *reader);
struct cursor_row reader_row(const struct reader *reader);
void reader_is_in_db(struct reader *reader, const struct cursor_row *row);
bool stream_is_stored(const struct stream *stream);

/* stream_budget.c: what has changed since it was stored, into rows that are enough for all, or only counted (NULL). */
size_t allowances_take(struct streams *streams, struct allowance_row *rows);
/* What clocks say now about the days that are counted. */
void allowances_date(struct outlet *outlet);
/* stream_cursor.c: they are stored in a moment, if they are not yet. */
void allowances_changed(struct streams *streams);
struct allowance allowance_of(const struct exporter *exporter);
void allowances_load(struct streams *streams, const struct allowance_row *rows, size_t count);
void allowance_forget(struct streams *streams, const struct allowance *stored);

/* stream_cursor_request.c: to `at`, as a cursor would be; answers the message. What is passed is given up. */
void exporter_move(struct exporter *exporter, struct msg *msg, const struct json *at);

/* stream_exporter_request.c */
void streams_exporter_init(struct streams *streams);
void streams_exporter_done(struct streams *streams);
void exporter_answer(const struct exporter *exporter, const struct msg *msg);

/* stream_retry.c */
void streams_retry_init(struct streams *streams);
void streams_retry_done(struct streams *streams);

/* stream_update.c */
void streams_update_init(struct streams *streams);
void streams_update_done(struct streams *streams);

/* stream_reclaim.c: looks whether something may or must leave the disk. */
void stream_reclaim(struct stream *stream);
void stream_reclaim_init(struct stream *stream);
/* The stream's definition has changed. */
void stream_reclaim_changed(struct stream *stream);
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

void stream_answer_description(struct stream *stream, const struct msg *msg);
/* The stream that a request with {"name":…} is about; NULL: refused. */
struct stream *stream_named(struct streams *streams, const struct msg *msg);
/* Its uplinks and its size; it may replace another one. NULL, or what is wrong. */
const char *stream_check_uplinks(struct streams *streams, struct arena *arena,
                                 const struct stream_definition *definition, int *code,
                                 const struct stream *instead_of);
/* Has the stream for dead letters made; NULL: it cannot be. It is `deleting` until it is stored. */
struct stream *streams_make_letters(struct streams *streams);

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
void stream_put_ledger(struct json_writer *w, const struct ledger *ledger);
void stream_put_payload(struct json_writer *w, const uint8_t *bytes, size_t len); /* "payload", or "base64" */
void stream_put_number(struct json_writer *w, const char *key, uint64_t number);
/* The stream's name is the level behind "$gatehouse/streams/" of a topic; NULL when there is none (refused). */
struct stream *stream_of_topic(struct streams *streams, const struct msg *msg);
/* The request's object; NULL: refused. An empty payload is {}. */
struct json *stream_request(struct streams *streams, struct arena *arena, const struct msg *msg);
/* Names a member that is none of those (NULL-terminated); false, and it has been refused. */
bool stream_members_are_known(struct streams *streams, struct arena *arena, const struct msg *msg,
                              const struct json *json, const char *const *names);
