/* Who sends its next record over a link that several share, and when to look again if it is nobody.
 *
 *      link: rate, bytes a day ─┬─ floor, 13 % ──▶ the classes below the best one, in turn ─▶ lanes by weight
 *                               └─ the rest ─┬─ at most half ─▶ what is close to its deadline, the earliest first
 *                                            └─ the rest ─┬─ live, 70 %    ─▶ the best class ─▶ lanes by weight
 *                                                         └─ backlog, 30 % ─▶ the best class ─▶ lanes by weight
 *
 * A lane is a row of records that are sent in order: a stream has one to each of its uplinks, and a second one while new
 * records pass its old ones. All shares are of bytes, hold while both sides have something, and leave nothing unused: who
 * is alone has all of it. A class is a priority; 1 is the best. What one side did not use yesterday it cannot ask for today.
 *
 * How much room a record needs is its cost (schedule_cost()). A record that is larger than the burst goes when the bucket is
 * full, and one that is larger than a day's budget on a day on which nothing has gone: neither waits for ever.
 *
 * A record is close to its deadline from three quarters of it on, until it is late by as much again: then it has missed it, and
 * goes with its priority.
 *
 * A clock that is not known (1970) stops nothing: windows count as open, and a day is 24 hours of running. When it becomes known, what has
 * gone counts for the day that it says (schedule_date()).
 *
 * Pure: no clock, no memory but the caller's, one pass over the lanes a decision. schedule_next() changes nothing; what has
 * really been sent is told with schedule_sent(). The same calls give the same answers, so that it can be simulated
 * (simulate.h).
 */
#pragma once

#include "base/base.h"

enum {
    SCHEDULE_PRIORITIES = 10,
    SCHEDULE_WEIGHT_MAX = 100,
    SCHEDULE_WINDOWS = 4,
    SCHEDULE_FLOOR = 13, /* percent: at least one byte in eight */
    SCHEDULE_LIVE = 70,
    SCHEDULE_SPLIT = 128, /* records: with fewer waiting, a second lane would not help */
};

/* Minutes of the local day; from 22:00 to 06:00 is 1320 to 360. Never equal. */
struct schedule_window {
    unsigned from, to;
};

/* What a stream's section says. */
struct schedule_rules {
    unsigned priority;  /* 1 to 10; 0: 5 */
    unsigned weight;    /* 1 to 100, among those of the same priority; 0: 10 */
    int64_t deadline;   /* ms from accepted to sent; 0: none */
    uint64_t day_bytes; /* costs a day; 0: no limit */
    unsigned
        live_share; /* percent, 1 to 90: new records may pass old ones, and what they have of the link; 0: never pass */
    struct schedule_window windows[SCHEDULE_WINDOWS]; /* it sends in any of them */
    size_t window_count;                              /* 0: always */
};

/* What an uplink's section says. */
struct schedule_link {
    uint64_t rate;        /* bit/s; 0: no limit */
    uint64_t burst_bytes; /* 0: what the rate sends in a quarter of a second, at least 1500 */
    unsigned floor;       /* percent, 1 to 50; 0: 13 */
    unsigned live;        /* percent, 1 to 99, for live lanes of streams that say nothing; 0: 70 */
    uint64_t day_bytes;   /* costs a day, all together; 0: no limit */
    uint64_t class_day_bytes[SCHEDULE_PRIORITIES + 1]; /* and of one priority; 0: no limit */
    unsigned day_begins;                               /* minute of the local day */
    bool tls;                                          /* for schedule_cost() */
};

struct schedule_time {
    int64_t now;   /* monotonic, ms */
    int64_t local; /* ms since 1970-01-01 00:00 of the local time; SCHEDULE_NO_CLOCK when it is not known */
};
#define SCHEDULE_NO_CLOCK INT64_MIN

/* What has gone today. Whoever wants budgets to outlive a restart keeps day and bytes, and sets since to now; without a day also how long ago
 * since was, or somebody who is switched off every evening waits for ever. */
struct schedule_day {
    int64_t day;   /* its number, or SCHEDULE_NO_CLOCK */
    int64_t since; /* monotonic */
    uint64_t bytes;
};

/* A stream at an uplink, whose lanes share rules and budget. Begins as zeros and rules. */
struct schedule_flow {
    struct schedule_rules rules;
    struct schedule_day day;
};

/* Begins as zeros and its flow. Said by its owner before each decision: what waits. */
struct schedule_lane {
    struct schedule_flow *flow;
    bool ready;    /* has something to send, and may */
    bool backlog;  /* old records, which new ones need not wait for */
    uint64_t cost; /* of the next record; 0: not read yet, so that its owner is told to read it */
    int64_t age;   /* of that record, ms */

    /* the schedule's */
    uint64_t tag;
    unsigned group; /* that it was in when it got the tag */
};

enum schedule_why {
    SCHEDULE_BY_FLOOR, /* somebody's turn */
    SCHEDULE_BY_DEADLINE,
    SCHEDULE_BY_LIVE,
    SCHEDULE_BY_BACKLOG,
    SCHEDULE_IDLE, /* nobody's: nobody has anything */
    SCHEDULE_WAITS_FOR_RATE,
    SCHEDULE_WAITS_FOR_DAY, /* its budget is used up */
    SCHEDULE_WAITS_FOR_WINDOW,
};

struct schedule_turn {
    int lane; /* index; -1: nobody's */
    int64_t
        at; /* nobody's: when to look again (monotonic), unless a lane changes earlier; INT64_MAX: only then */
    enum schedule_why why;

    /* for schedule_sent() */
    bool others_wait, backlog_waits, live_waits, over_deadline;
    unsigned live_share;
};

/* One per link. Zeros are one without limits. */
struct schedule {
    struct schedule_link link;
    struct schedule_day day, class_day[SCHEDULE_PRIORITIES + 1];
    int64_t tokens, filled_at;                            /* thousandths of a bit */
    int64_t full;                                         /* the burst and one millisecond */
    uint64_t floor_earned, backlog_earned, normal_earned; /* bytes × percent */
    uint64_t lane_time[2 * SCHEDULE_PRIORITIES];          /* of each group, in bytes by weight */
    uint64_t floor_tag[2 * SCHEDULE_PRIORITIES], floor_time;
};

/* The bucket is full. */
void schedule_init(struct schedule *schedule, const struct schedule_link *link, int64_t now);
/* Other settings, while it runs: what has gone today stays gone. */
void schedule_configure(struct schedule *schedule, const struct schedule_link *link, int64_t now);

/* Before others look at a day: of one without a date that began today by the clock, now that there is one; of a date that no clock has
 * confirmed for ten minutes it is only known how long ago it was. */
void schedule_date(const struct schedule *schedule, struct schedule_day *day, struct schedule_time time);

struct schedule_turn schedule_next(const struct schedule *schedule, struct schedule_lane *const *lanes,
                                   size_t count, struct schedule_time time);
/* The record of the lane whose turn it was has been sent. Its cost is what it was when it was decided. */
void schedule_sent(struct schedule *schedule, const struct schedule_turn *turn, struct schedule_lane *lane,
                   struct schedule_time time);

/* Bytes on the wire of one PUBLISH with QoS 1 alone in its packet: MQTT's head, TLS's record, TCP and IP's heads. */
uint64_t schedule_cost(const struct schedule_link *link, size_t topic_len, size_t payload_len);

/* How a lane that had been caught up comes to be a backlog and stops being one: by the age of its oldest record. */
bool schedule_is_backlog(bool was, bool waits, int64_t age);

/* "live", "the day's budget is used up", … */
const char *schedule_why_text(enum schedule_why why);
