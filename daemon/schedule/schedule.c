#include "schedule/schedule.h"

#include <string.h>

/* Two devices make all shares.
 *
 * Two who are not equal: the first goes, and with every byte of it the second earns its percentage of one; when it has
 * earned its next record, it goes. So the first never waits longer than for one record, and over time bytes are as said.
 *
 *      floor 13 %:   h h h h h h h l h h h h h h l …      with records of one size
 *
 * Many by weight: start-time fair queueing. Each has a tag, the virtual time (bytes by weight) at which its next record
 * begins; the smallest goes, and the group's time is its tag. Who had nothing for a while begins at the group's time.
 *
 *      tag = max(own tag, group's time)      after it: own tag = tag + bytes / weight
 *
 * A lane belongs to the group of its kind (live, backlog) and priority, and its tag means something there only. Deadlines
 * charge nobody's tag: a lane that they have helped for an hour would have to wait an hour afterwards.
 */

enum {
    GROUPS = 2 * SCHEDULE_PRIORITIES, /* live ones, then backlogs */
    TAG_SCALE = 256,                  /* of a byte at weight 1 */
    DEADLINE_PERCENT = 50,
    MINUTE = 60 * 1000,
    DAY = 24 * 60 * MINUTE,
};

/* ---- settings ---------------------------------------------------------------------------------------------------- */

static unsigned priority_of(const struct schedule_lane *lane)
{
    unsigned priority = lane->flow->rules.priority;
    return priority == 0 ? 5 : priority > SCHEDULE_PRIORITIES ? SCHEDULE_PRIORITIES : priority;
}

static unsigned weight_of(const struct schedule_lane *lane)
{
    return lane->flow->rules.weight ? lane->flow->rules.weight : 10;
}

static unsigned group_of(const struct schedule_lane *lane)
{
    return priority_of(lane) - 1 + (lane->backlog ? SCHEDULE_PRIORITIES : 0);
}

static bool group_is_backlog(unsigned group)
{
    return group >= SCHEDULE_PRIORITIES;
}

static unsigned floor_of(const struct schedule *schedule)
{
    return schedule->link.floor ? schedule->link.floor : SCHEDULE_FLOOR;
}

static unsigned live_of(const struct schedule *schedule)
{
    return schedule->link.live ? schedule->link.live : SCHEDULE_LIVE;
}

/* ---- the rate ---------------------------------------------------------------------------------------------------- */

static int64_t in_bucket(uint64_t bytes)
{
    enum { BITS = 8, THOUSANDTHS = 1000 };
    const uint64_t most = INT64_MAX / (4 * BITS * THOUSANDTHS);
    return (int64_t)((bytes < most ? bytes : most) * BITS * THOUSANDTHS);
}

static int64_t tokens_at(const struct schedule *schedule, int64_t now)
{
    int64_t missing = schedule->full - schedule->tokens;
    int64_t passed = now - schedule->filled_at, rate = (int64_t)schedule->link.rate;
    if (passed <= 0)
        return schedule->tokens;
    return passed > missing / rate ? schedule->full : schedule->tokens + passed * rate;
}

/* When so many bytes may go; not after `now` when they may go now. */
static int64_t rate_allows_at(const struct schedule *schedule, uint64_t cost, int64_t now)
{
    if (!schedule->link.rate)
        return now;
    int64_t need = in_bucket(cost), have = tokens_at(schedule, now), rate = (int64_t)schedule->link.rate;
    int64_t burst = schedule->full - rate;
    if (need > burst)
        need = burst;
    return have >= need ? now : now + (need - have + rate - 1) / rate;
}

void schedule_configure(struct schedule *schedule, const struct schedule_link *link, int64_t now)
{
    enum { QUARTERS = 4, BITS = 8, BURST_MIN = 1500 };
    bool was_limited = schedule->link.rate != 0;
    int64_t missing =
        was_limited ? schedule->full - (int64_t)schedule->link.rate - tokens_at(schedule, now) : 0;
    uint64_t burst = link->burst_bytes ? link->burst_bytes : link->rate / (QUARTERS * BITS);
    if (!link->burst_bytes && burst < BURST_MIN)
        burst = BURST_MIN;
    schedule->link = *link;
    /* One millisecond more than the burst: who waits for a full bucket is told to come a part of one too late. */
    schedule->full = in_bucket(burst) + (int64_t)link->rate;
    schedule->tokens =
        in_bucket(burst) - (missing > 0 ? missing : 0); /* what was sent too much is not forgiven */
    schedule->filled_at = now;
}

void schedule_init(struct schedule *schedule, const struct schedule_link *link, int64_t now)
{
    *schedule = (struct schedule){0};
    schedule_configure(schedule, link, now);
}

/* ---- days and windows -------------------------------------------------------------------------------------------- */

static bool clock_is_known(struct schedule_time time)
{
    return time.local != SCHEDULE_NO_CLOCK;
}

static int64_t since_day_began(const struct schedule *schedule, struct schedule_time time)
{
    int64_t since = (time.local - (int64_t)schedule->link.day_begins * MINUTE) % DAY;
    return since < 0 ? since + DAY : since;
}

static int64_t day_of(const struct schedule *schedule, struct schedule_time time)
{
    return (time.local - (int64_t)schedule->link.day_begins * MINUTE - since_day_began(schedule, time)) / DAY;
}

/* Is what the books of a day say about today? A clock that is put back over midnight, by an hour of summer or a second of
 * correction, has not begun another day; one that is put back from 2099 has. */
static bool is_today(const struct schedule *schedule, const struct schedule_day *day,
                     struct schedule_time time)
{
    if (!clock_is_known(time) || day->day == SCHEDULE_NO_CLOCK)
        return time.now - day->since < DAY;
    int64_t today = day_of(schedule, time);
    return today == day->day || today == day->day - 1;
}

void schedule_date(const struct schedule *schedule, struct schedule_day *day, struct schedule_time time)
{
    enum { DOUBTFUL = 10 * MINUTE };
    bool dated = day->day != SCHEDULE_NO_CLOCK;
    if (!day->bytes || time.now - day->since >= DAY)
        return;
    if (!dated && clock_is_known(time))
        day->day = day_of(schedule, time);
    else if (dated && !clock_is_known(time) && time.now - day->since >= DOUBTFUL)
        day->day = SCHEDULE_NO_CLOCK;
}

static uint64_t gone_today(const struct schedule *schedule, const struct schedule_day *day,
                           struct schedule_time time)
{
    return day->bytes && is_today(schedule, day, time) ? day->bytes : 0;
}

static void day_add(const struct schedule *schedule, struct schedule_day *day, uint64_t bytes,
                    struct schedule_time time)
{
    uint64_t gone = gone_today(schedule, day, time);
    bool same = gone && (!clock_is_known(time) || day->day == day_of(schedule, time) + 1);
    if (!gone)
        day->since = time.now;
    if (!same)
        day->day = clock_is_known(time) ? day_of(schedule, time) : SCHEDULE_NO_CLOCK;
    day->bytes = gone + bytes;
}

/* When the day is another one; `now` when the record may go today. */
static int64_t day_allows_at(const struct schedule *schedule, const struct schedule_day *day, uint64_t budget,
                             uint64_t cost, struct schedule_time time)
{
    uint64_t gone = gone_today(schedule, day, time);
    if (!budget || !gone || (gone < budget && cost <= budget - gone))
        return time.now;
    if (clock_is_known(time) && day->day != SCHEDULE_NO_CLOCK)
        return time.now + DAY - since_day_began(schedule, time);
    return day->since + DAY;
}

static int64_t window_opens_at(const struct schedule_rules *rules, struct schedule_time time)
{
    if (!rules->window_count || !clock_is_known(time))
        return time.now;
    int64_t of_day = time.local % DAY;
    if (of_day < 0)
        of_day += DAY;
    int64_t soonest = DAY;
    for (size_t i = 0; i < rules->window_count; i++) {
        int64_t from = (int64_t)rules->windows[i].from * MINUTE, to = (int64_t)rules->windows[i].to * MINUTE;
        bool over_midnight = from > to;
        if (over_midnight ? of_day >= from || of_day < to : of_day >= from && of_day < to)
            return time.now;
        int64_t wait = from - of_day + (from > of_day ? 0 : DAY);
        if (wait < soonest)
            soonest = wait;
    }
    return time.now + soonest;
}

/* ---- who waits --------------------------------------------------------------------------------------------------- */

/* What one pass over the lanes finds; indices, -1: none. */
struct waiting {
    int first[GROUPS]; /* of each group the lane with the smallest tag */
    uint64_t tag[GROUPS];
    int urgent;
    int64_t urgent_left;
    unsigned live_share;
    int64_t later; /* when one that may not send now may */
    enum schedule_why later_why;
};

static uint64_t tag_of(const struct schedule *schedule, const struct schedule_lane *lane, unsigned group)
{
    uint64_t begin = schedule->lane_time[group];
    return lane->group == group && lane->tag > begin ? lane->tag : begin;
}

static bool may_send(const struct schedule *schedule, const struct schedule_lane *lane,
                     struct schedule_time time, struct waiting *waiting)
{
    const struct schedule_flow *flow = lane->flow;
    unsigned class = priority_of(lane);
    int64_t opens = window_opens_at(&flow->rules, time);
    const int64_t days[] = {
        day_allows_at(schedule, &flow->day, flow->rules.day_bytes, lane->cost, time),
        day_allows_at(schedule, &schedule->class_day[class], schedule->link.class_day_bytes[class],
                      lane->cost, time),
        day_allows_at(schedule, &schedule->day, schedule->link.day_bytes, lane->cost, time),
    };
    int64_t at = opens;
    for (size_t i = 0; i < array_size(days); i++)
        if (days[i] > at)
            at = days[i];
    if (at > time.now && at < waiting->later) {
        waiting->later = at;
        waiting->later_why = at == opens ? SCHEDULE_WAITS_FOR_WINDOW : SCHEDULE_WAITS_FOR_DAY;
    }
    return at <= time.now;
}

static void note(const struct schedule *schedule, const struct schedule_lane *lane, int index,
                 struct waiting *waiting)
{
    const struct schedule_rules *rules = &lane->flow->rules;
    unsigned group = group_of(lane);
    uint64_t tag = tag_of(schedule, lane, group);
    if (waiting->first[group] < 0 || tag < waiting->tag[group]) {
        waiting->first[group] = index;
        waiting->tag[group] = tag;
    }
    unsigned share = rules->live_share ? rules->live_share : live_of(schedule);
    if (!lane->backlog && share > waiting->live_share)
        waiting->live_share = share;
    /* What is late by as much again has missed it: it would take the place of what can still make it. */
    int64_t left = rules->deadline - lane->age;
    bool is_urgent = rules->deadline && left <= rules->deadline / 4 && left >= -rules->deadline;
    if (is_urgent && (waiting->urgent < 0 || left < waiting->urgent_left)) {
        waiting->urgent = index;
        waiting->urgent_left = left;
    }
}

static int best_of(const struct waiting *waiting, unsigned from)
{
    for (unsigned group = from; group < from + SCHEDULE_PRIORITIES; group++)
        if (waiting->first[group] >= 0)
            return (int)group;
    return -1;
}

/* ---- whose turn -------------------------------------------------------------------------------------------------- */

static bool has_earned(uint64_t earned, uint64_t cost, unsigned percent)
{
    return earned >= cost * (100 - percent);
}

static uint64_t floor_tag_of(const struct schedule *schedule, unsigned group)
{
    return schedule->floor_tag[group] > schedule->floor_time ? schedule->floor_tag[group]
                                                             : schedule->floor_time;
}

/* Of the classes below the best; -1 when there is none. */
static int next_of_floor(const struct schedule *schedule, const struct waiting *waiting, unsigned best)
{
    int next = -1;
    for (unsigned group = 0; group < GROUPS; group++) {
        if (waiting->first[group] < 0 || group % SCHEDULE_PRIORITIES == best)
            continue;
        if (next < 0 || floor_tag_of(schedule, group) < floor_tag_of(schedule, (unsigned)next))
            next = (int)group;
    }
    return next;
}

/* Somebody waits. */
static struct schedule_turn turn_of(const struct schedule *schedule, const struct waiting *waiting,
                                    struct schedule_lane *const *lanes)
{
    struct schedule_turn turn = {.live_share = waiting->live_share};
    int live = best_of(waiting, 0), backlog = best_of(waiting, SCHEDULE_PRIORITIES);
    turn.live_waits = live >= 0;
    turn.backlog_waits = backlog >= 0;

    unsigned best_live = live >= 0 ? (unsigned)live : SCHEDULE_PRIORITIES;
    unsigned best_backlog = backlog >= 0 ? (unsigned)backlog - SCHEDULE_PRIORITIES : SCHEDULE_PRIORITIES;
    unsigned best = best_live < best_backlog ? best_live : best_backlog;
    int other = next_of_floor(schedule, waiting, best);
    turn.others_wait = other >= 0;
    if (other >= 0) {
        turn.lane = waiting->first[other];
        turn.why = SCHEDULE_BY_FLOOR;
        if (has_earned(schedule->floor_earned, lanes[turn.lane]->cost, floor_of(schedule)))
            return turn;
    }

    turn.lane = live >= 0 ? waiting->first[live] : -1;
    turn.why = SCHEDULE_BY_LIVE;
    if (backlog >= 0) {
        int lane = waiting->first[backlog];
        if (live < 0 || has_earned(schedule->backlog_earned, lanes[lane]->cost, 100 - turn.live_share)) {
            turn.lane = lane;
            turn.why = SCHEDULE_BY_BACKLOG;
        }
    }
    if (waiting->urgent < 0 || waiting->urgent == turn.lane)
        return turn;
    turn.over_deadline = true;
    if (has_earned(schedule->normal_earned, lanes[turn.lane]->cost, 100 - DEADLINE_PERCENT))
        return turn;
    turn.lane = waiting->urgent;
    turn.why = SCHEDULE_BY_DEADLINE;
    return turn;
}

struct schedule_turn schedule_next(const struct schedule *schedule, struct schedule_lane *const *lanes,
                                   size_t count, struct schedule_time time)
{
    struct waiting waiting = {.urgent = -1, .later = INT64_MAX, .later_why = SCHEDULE_IDLE};
    memset(waiting.first, 0xff, sizeof waiting.first);
    bool somebody = false;
    for (size_t i = 0; i < count; i++)
        if (lanes[i]->ready && may_send(schedule, lanes[i], time, &waiting)) {
            note(schedule, lanes[i], (int)i, &waiting);
            somebody = true;
        }
    if (!somebody)
        return (struct schedule_turn){.lane = -1, .at = waiting.later, .why = waiting.later_why};

    struct schedule_turn turn = turn_of(schedule, &waiting, lanes);
    /* Who is next waits for the rate, and nobody goes before it because it is smaller. */
    int64_t at = rate_allows_at(schedule, lanes[turn.lane]->cost, time.now);
    if (at > time.now)
        return (struct schedule_turn){.lane = -1, .at = at, .why = SCHEDULE_WAITS_FOR_RATE};
    turn.at = time.now;
    return turn;
}

/* ---- what has been sent ------------------------------------------------------------------------------------------ */

static void spend(uint64_t *earned, uint64_t cost, unsigned percent)
{
    uint64_t price = cost * (100 - percent);
    *earned = *earned > price ? *earned - price : 0;
}

static void tag_lane(struct schedule *schedule, struct schedule_lane *lane, unsigned group)
{
    uint64_t tag = tag_of(schedule, lane, group);
    schedule->lane_time[group] = tag;
    lane->group = group;
    lane->tag = tag + lane->cost * TAG_SCALE / weight_of(lane);
}

static void tag_group(struct schedule *schedule, unsigned group, uint64_t cost, unsigned live_share)
{
    uint64_t tag = floor_tag_of(schedule, group);
    unsigned live = live_share ? live_share : live_of(schedule);
    schedule->floor_time = tag;
    schedule->floor_tag[group] = tag + cost * TAG_SCALE / (group_is_backlog(group) ? 100 - live : live);
}

void schedule_sent(struct schedule *schedule, const struct schedule_turn *turn, struct schedule_lane *lane,
                   struct schedule_time time)
{
    unsigned group = group_of(lane), class = priority_of(lane), floor = floor_of(schedule);
    if (schedule->link.rate) {
        schedule->tokens = tokens_at(schedule, time.now) - in_bucket(lane->cost);
        schedule->filled_at = time.now;
    }
    day_add(schedule, &lane->flow->day, lane->cost, time);
    day_add(schedule, &schedule->class_day[class], lane->cost, time);
    day_add(schedule, &schedule->day, lane->cost, time);

    if (turn->why == SCHEDULE_BY_FLOOR) {
        spend(&schedule->floor_earned, lane->cost, floor);
        tag_group(schedule, group, lane->cost, turn->live_share);
        tag_lane(schedule, lane, group);
        return;
    }
    if (turn->others_wait)
        schedule->floor_earned += lane->cost * floor;
    if (turn->why == SCHEDULE_BY_DEADLINE) {
        schedule->normal_earned += lane->cost * (100 - DEADLINE_PERCENT);
        return;
    }
    if (turn->over_deadline)
        spend(&schedule->normal_earned, lane->cost, 100 - DEADLINE_PERCENT);
    if (turn->why == SCHEDULE_BY_LIVE && turn->backlog_waits)
        schedule->backlog_earned += lane->cost * (100 - turn->live_share);
    if (turn->why == SCHEDULE_BY_BACKLOG && turn->live_waits)
        spend(&schedule->backlog_earned, lane->cost, 100 - turn->live_share);
    tag_lane(schedule, lane, group);
}

/* ---- what a record costs ----------------------------------------------------------------------------------------- */

uint64_t schedule_cost(const struct schedule_link *link, size_t topic_len, size_t payload_len)
{
    enum {
        MQTT_HEAD = 1 + 2 + 2, /* fixed header without its length, topic's length, packet id */
        TLS_HEAD = 5 + 8 + 16 + 1,
        TLS_RECORD = 16 * 1024,
        TCP_IP_HEAD = 20 + 32, /* with timestamps */
        SEGMENT = 1400,
    };
    uint64_t body = MQTT_HEAD + topic_len + payload_len - 1;
    uint64_t bytes = body + (body < 128 ? 1 : body < 16384 ? 2 : body < 2097152 ? 3 : 4) + 1;
    if (link->tls)
        bytes += (bytes + TLS_RECORD - 1) / TLS_RECORD * TLS_HEAD;
    return bytes + (bytes + SEGMENT - 1) / SEGMENT * TCP_IP_HEAD;
}

bool schedule_is_backlog(bool was, bool waits, int64_t age)
{
    enum { FROM = 30 * 1000, UNTIL = 2 * 1000 };
    return waits && age >= (was ? UNTIL : FROM);
}

const char *schedule_why_text(enum schedule_why why)
{
    switch (why) {
    case SCHEDULE_BY_FLOOR: return "its share below the best priority";
    case SCHEDULE_BY_DEADLINE: return "its deadline";
    case SCHEDULE_BY_LIVE: return "live";
    case SCHEDULE_BY_BACKLOG: return "backlog";
    case SCHEDULE_IDLE: return "nothing to send";
    case SCHEDULE_WAITS_FOR_RATE: return "the link's rate";
    case SCHEDULE_WAITS_FOR_DAY: return "the day's budget is used up";
    case SCHEDULE_WAITS_FOR_WINDOW: return "outside its window";
    }
    return "";
}
