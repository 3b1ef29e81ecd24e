/* Streams: what must not be lost on its way to the cloud.
 *
 *      route:  a message that matches its filter  ─┐
 *      $gatehouse/streams/NAME/append             ─┴▶ segment log ──▶ exporter ──▶ $gatehouse/cloud/UPLINK/publish/TOPIC
 *                    receipt held … settled when synced                   receipt settled: the cursor moves
 *
 * Whoever's message goes into a stream is acknowledged when the record is on disk. The record carries the topic it will
 * have at the cloud, made from the route's template on arrival: a later configuration does not change what is stored.
 *
 * A stream has an exporter for each of its uplinks, at its own pace, with a place: all records below it are settled. It moves in
 * order and is stored a moment later, so a record is sent again after a crash but never skipped: at least once, in order. A
 * segment goes when all exporters have had it. Whose record goes next over an uplink is the scheduler's word
 * (schedule/schedule.h): priorities, weights, deadlines, rates, budgets, times of the day. At most 64 records are under way to
 * one uplink, or as many as its status says ("window", up to 1000), and 8 MiB of them. While the uplink's status (retained on
 * $gatehouse/status/cloud/UPLINK) is not "up", nothing is read or sent.
 *
 * With a live share, an exporter that is half a minute behind opens a second lane at the end of the log: new records go at once,
 * beside the old ones, each lane in order, until the old one has come to where the new one began.
 *
 * A stream that is full refuses: the publisher gets 0x97 and keeps the message. A full disk refuses with its fault. Both
 * are counted and logged once a minute. A stream that overwrites lets its oldest segments go instead, whoever has not had
 * them yet; what comes waits for the room.
 *
 * Besides the exporter there are cursors: readers with a name and a place, of which some hold records back from being
 * released until they have had them. $gatehouse/streams/NAME/read answers with records from a number or a cursor on.
 *
 * What becomes of every record is in the books of each reader (stream_ledger.h), in state.db, in one commit with its place.
 * Before a segment leaves the disk, the books say why it goes; a crash in between makes it go again. Books that do not agree
 * with the log are an alarm: on $gatehouse/status/streams/NAME and in the log.
 *
 * A record that an uplink does not take is tried again, with a growing pause, for ever; one that it will never take
 * (stream_result.h) goes to the stream for dead letters, with the reason, and then counts as dead.
 *
 * Commands: $gatehouse/ctl/stream/list, describe, create, delete, verify; requests: $gatehouse/streams/NAME/read, cursor.
 */
#pragma once

#include "bus/bus.h"
#include "schedule/schedule.h"
#include "store/seglog.h"
#include "store/store.h"

struct streams;

struct stream_options {
    const char *name;   /* 1 to 64 of [a-zA-Z0-9_-] */
    const char *uplink; /* one, or several with commas between them; NULL: local only */
    const char
        *dead_letter;       /* the stream for what an uplink will never take, or "none"; NULL: dead-letters */
    unsigned priority;      /* 1 (first) to 10; 0 for the default of 5 */
    uint64_t segment_bytes; /* 0: the log's default */
    uint64_t max_bytes;     /* 0: unlimited */
    bool keep;      /* records stay when all have had them, until the stream is full; else segments go then */
    uint64_t ttl_s; /* records that are older may go, whoever has not had them yet; 0: for ever */
    bool overwrite; /* when it is full the oldest go; else what comes is refused */
    bool memory;    /* not on disk, and gone with the daemon */
    unsigned sync_ms;            /* acknowledged when written, synced so much later; 0: synced first */
    bool compress;               /* segments that are full */
    bool encrypt;                /* with the device key, from now on */
    struct schedule_rules rules; /* at its uplinks; priority 0: the one above */
};

struct route_options {
    const char *name;
    const char *filter; /* valid; what is on its way to an uplink is not matched, whatever the filter says */
    const char *stream;
    const char *topic; /* at the cloud: text with ${topic}, ${stream}, ${seq}; NULL for "${topic}" */
};

/* Opens the logs and reads the cursors: blocks. Texts are copied. Bad options (-EINVAL) and faults have been logged.
 * `logs` and `store` outlive the streams. */
int streams_new(struct streams **ret, struct bus *bus, struct seglogs *logs, struct store *store,
                const struct stream_options *streams, size_t stream_count, const struct route_options *routes,
                size_t route_count) must_check;
/* All logs on disk together may have so many bytes; 0: no limit. Beyond it a stream is full. */
void streams_set_quota(struct streams *streams, uint64_t disk_bytes);
/* What the link of an uplink can take, and what it may cost. Without: no limits. */
void streams_set_link(struct streams *streams, const char *uplink, const struct schedule_link *link);
/* Waits for what is with the workers and stores the cursors. Before it, whoever may hold a record's receipt is freed (the
 * uplinks), and afterwards the bus does not turn any more: records it still has queued would come back to nobody. */
struct streams *streams_free(struct streams *streams);
define_cleanup(struct streams *, streams_free)
