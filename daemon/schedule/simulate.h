/* What will become of streams that share a link: the scheduler that the gateway uses (schedule.h), over models of the rest.
 *
 *      traffic ──▶ log (simulate_log.h) ──▶ lanes ──▶ scheduler ──▶ window ──▶ link ──▶ the other side
 *                   │ full: refused,                                   ▲         │ capacity, round trip, cuts
 *                   │ evicted; old: expired                            └── acknowledged
 *
 * Events in milliseconds, records one by one, nothing random: the same input gives the same answer. Everything that a gateway
 * decides is decided here by the same rules: when a stream comes to be behind, when a second lane begins, what leaves the log.
 * Not modelled are the processor, packed segments, state.db's own writing, losses on the link, and a limit to all streams together.
 *
 * Times are ms from the beginning; the clock's own is `local` + time.
 */
#pragma once

#include "schedule/schedule.h"

enum {
    SIMULATE_STREAMS_MAX = 200,
    SIMULATE_WINDOW = 64, /* records under way, unless it is said */
    SIMULATE_RTT = 100,
    SIMULATE_BACKLOG_MAX = 20000000, /* records of all streams that wait at the beginning */
};

struct simulate_record {
    int64_t at;
    uint32_t bytes; /* topic and payload together */
};

struct simulate_result {
    uint64_t produced, refused, accepted; /* records; what is not refused is accepted */
    uint64_t delivered, expired, evicted, pending;
    uint64_t late;             /* delivered after the deadline, or waiting beyond it at the end */
    uint64_t sent, sent_bytes; /* once more for each time; bytes on the wire */
    uint64_t delivered_bytes;  /* topics and payloads */
    uint64_t disk_peak, disk, written, flash;
    int64_t wait_median, wait_p99,
        wait_max;               /* from accepted to arrived, of what was delivered; the first two to 6 % */
    int64_t wait_after_p99;     /* of those that came after the last cut; 0: none did */
    bool was_behind, is_behind; /* more than half a minute: ever, at the end */
    int64_t caught_up;          /* when it last was not any more; -1: never was behind, or still is */
};

struct simulate_stream {
    const char *name;
    struct schedule_rules rules;
    uint64_t segment_bytes, max_bytes; /* 0: the log's default, unlimited */
    int64_t ttl;                       /* 0: for ever */
    int64_t sync_every;                /* 0: every turn */
    bool overwrite, memory, keep;

    /* records in order of time; or, when there are none, one of `bytes` every `interval_us`, the first after half of it */
    const struct simulate_record *records;
    size_t count;
    uint64_t interval_us; /* 0: none */
    uint32_t bytes;

    /* records that wait at the beginning, a minute old, as large as that; they are among those that came */
    uint64_t backlog;
    uint32_t backlog_bytes;

    struct simulate_result result;
};

struct simulate_cut {
    int64_t from, to;
};

struct simulate {
    struct simulate_stream *streams;
    size_t count;
    struct schedule_link link;
    uint64_t capacity;               /* what it carries, bit/s; 0: no limit but link.rate */
    int64_t rtt;                     /* ms */
    unsigned window;                 /* 0: SIMULATE_WINDOW */
    const struct simulate_cut *cuts; /* in order, apart from each other */
    size_t cut_count;
    int64_t local; /* of time 0, as in struct schedule_time */
    int64_t until;
};

/* Fills the results. Takes memory for what waits (16 bytes a record); does not return when there is none. */
void simulate_run(struct simulate *simulate);
