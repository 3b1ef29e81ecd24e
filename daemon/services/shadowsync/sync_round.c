/* A round: both documents are read, become one, and each side is made to have it.
 *
 *      READING ─────▶ merge ─┬─▶ WRITING here ─┬─▶ WRITING there ─┬─▶ SAVING ─▶ done
 *      row, here, there      │                 │                  │
 *         ▲                  └─ it has it ─────┴─ it has it ──────┘
 *         └── somebody wrote here meanwhile: read again           there: another round
 *
 * Before a write goes out the row says what it is to lead to, so that whatever happens to it (no answer, a lost
 * connection, a power cut) the next round can tell our own words, heard back, from somebody's change: sync_rebase(). After
 * a write both sides agree on what the other side has: it has been taken in.
 *
 *      base B, here L, there C, merged M          agreed on      here   there
 *      before                                     B              L      C
 *      after here was written                     C              M      C
 *      after there was written                    M              M      M
 *
 * Writes name the version that was read. One side that is written all the time would never let us in: after RACES_MAX lost
 * races a write names none. It says no more than what was decided for the other side's changes, so what a fast writer may
 * lose to it is one value of a field that the other side has changed in the same moment; afterwards that side is read again.
 */
#include "services/shadowsync/sync_pair.h"

#include "bus/topics.h"

#include <assert.h>
#include <string.h>

enum step { READING, WRITING, SAVING };
enum outcome { GOES_ON, DONE, FAILED, AGAIN };

struct side {
    uint64_t number; /* of our request that is not answered yet; 0: there is none */
    bool is_known;
    struct sync_doc doc;
    int64_t version; /* 0: no document */
};

struct sync_round {
    struct sync_pair *pair;
    struct arena arena;
    struct sync_io io;
    bool io_busy, row_is_known;
    bool trusts_row;     /* for the cloud's document: it was not asked for */
    bool intent_is_kept; /* the row in state.db names a write that is decided by now */
    enum step step;
    enum sync_side writing;
    bool without_version;
    struct side sides[2];
    const struct json *base, *merged;
    struct sync_merge merge;
    int64_t cloud_heard; /* highest version somebody else has made there meanwhile */
    bool cloud_deleted;
    enum outcome outcome; /* how it ends when the store has given the item back */
    char *problem;
};

static struct shadowsync *all_of(const struct sync_round *round)
{
    return round->pair->group->all;
}

static enum sync_side other(enum sync_side side)
{
    return side == SYNC_HERE ? SYNC_THERE : SYNC_HERE;
}

/* ---- its end ----------------------------------------------------------------------------------------------------- */

static void release(struct sync_round *round)
{
    sync_row_done(&round->io.row);
    arena_done(&round->arena);
    free(round->problem);
    free(round);
}

static void end(struct sync_round *round, enum outcome outcome, const char *problem)
{
    struct sync_pair *pair = round->pair;
    if (round->io_busy) {
        if (round->outcome == GOES_ON) {
            round->outcome = outcome;
            round->problem = str_copy(problem);
        }
        timer_stop(all_of(round)->loop, &pair->timer);
        return;
    }
    const struct side *there = &round->sides[SYNC_THERE];
    bool cloud_is_same = !round->cloud_deleted && round->cloud_heard <= there->version;
    int64_t version = there->version;
    bool exists = round->merged != NULL;
    cleanup_free char *why = str_copy(problem);
    pair->round = NULL;
    release(round);
    switch (outcome) {
    case GOES_ON: assert(false); break;
    case DONE: pair_round_done(pair, version, cloud_is_same, exists); break;
    case FAILED: pair_round_failed(pair, why); break;
    case AGAIN: pair_round_again(pair); break;
    }
}

void round_cut(struct sync_round *round)
{
    end(round, AGAIN, NULL);
}

void round_late(struct sync_round *round)
{
    end(round, FAILED, round->sides[SYNC_THERE].number ? "the cloud does not answer" : "no answer here");
}

/* ---- asking ------------------------------------------------------------------------------------------------------ */

static void ask(struct sync_round *round, enum sync_side side, enum sync_verb verb, const struct json *state,
                int64_t version)
{
    struct sync_pair *pair = round->pair;
    struct shadowsync *all = all_of(round);
    uint64_t number = round->sides[side].number = ++all->last_number;
    const char *topic = sync_topic_request(&round->arena, pair->thing, pair->name, verb);
    const char *payload = verb == SYNC_UPDATE
                              ? sync_request_update(&round->arena, all->token_prefix, number, state, version)
                              : sync_request(&round->arena, all->token_prefix, number);
    if (side == SYNC_THERE || verb != SYNC_GET)
        sync_bucket_take(&pair->bucket, loop_now(all->loop)); /* here too: whoever fights us does it slowly */
    if (side == SYNC_THERE) {
        topic = arena_printf(&round->arena, TOPIC_CLOUD_PUBLISH_FORMAT, pair->group->cloud->uplink, topic);
        pair->counters.messages++;
        pair->group->counters.messages++;
    }
    bus_say(all->bus, topic, payload, BUS_PASS);
    timer_start(all->loop, &pair->timer, ANSWER_LIMIT);
}

static void read_side(struct sync_round *round, enum sync_side side)
{
    round->step = READING;
    round->sides[side].is_known = false;
    ask(round, side, SYNC_GET, NULL, 0);
}

static void submit(struct sync_round *round, void (*run)(struct work *work, void *db),
                   void (*done)(struct work *work))
{
    round->io.work = (struct work){.run = run, .done = done};
    round->io_busy = true;
    store_submit(all_of(round)->store, &round->io.work);
}

/* The round of an item that came back; NULL: it has ended by now. */
static struct sync_round *came_back(struct work *work)
{
    struct sync_round *round = container_of(container_of(work, struct sync_io, work), struct sync_round, io);
    round->io_busy = false;
    if (round->outcome != GOES_ON) {
        cleanup_free char *why = steal(round->problem);
        end(round, round->outcome, why);
        return NULL;
    }
    if (work->r < 0) {
        end(round, FAILED, arena_printf(&round->arena, "state.db: %s", strerror(-work->r)));
        return NULL;
    }
    return round;
}

/* ---- writing ----------------------------------------------------------------------------------------------------- */

static void set_text(char **text, const char *value)
{
    char *copy = str_copy(value);
    free(*text);
    *text = copy;
}

static void set_state(struct sync_round *round, char **text, const struct json *state)
{
    set_text(text, sync_state_write(&round->arena, state));
}

static void set_merge(struct sync_round *round)
{
    if (round->merge.choice_count) {
        set_text(&round->io.row.merge, sync_merge_text(&round->arena, &round->merge));
        round->io.row.merged = loop_wall(all_of(round)->loop);
    }
}

static void on_intent_saved(struct work *work)
{
    struct sync_round *round = came_back(work);
    if (!round)
        return;
    struct side *side = &round->sides[round->writing];
    round->io.row.exists = round->intent_is_kept = true;
    round->without_version = round->pair->races[round->writing] >= RACES_MAX;
    if (!round->merged) {
        ask(round, round->writing, SYNC_DELETE, NULL, 0);
        return;
    }
    const struct json *nothing = json_new(&round->arena, JSON_OBJECT);
    const struct json *patch =
        sync_patch(&round->arena, side->doc.state ? side->doc.state : nothing, round->merged);
    ask(round, round->writing, SYNC_UPDATE, patch ? patch : nothing,
        round->without_version ? -1 : side->version);
}

static void begin_write(struct sync_round *round, enum sync_side side)
{
    struct sync_row *row = &round->io.row;
    round->step = WRITING;
    round->writing = side;
    set_state(round, &row->base, round->base);
    set_state(round, &row->intended, round->merged);
    set_state(round, &row->agreed, round->sides[other(side)].doc.state);
    row->writing = side == SYNC_HERE ? SYNC_WRITING_HERE : SYNC_WRITING_THERE;
    set_merge(round);
    submit(round, sync_store_save, on_intent_saved);
}

static void on_finished(struct work *work)
{
    struct sync_round *round = came_back(work);
    if (round)
        end(round, DONE, NULL);
}

static bool same_text(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

/* Both sides have what was merged. */
static void finish(struct sync_round *round)
{
    struct sync_row *row = &round->io.row;
    const char *base = sync_state_write(&round->arena, round->merged);
    int64_t here = round->sides[SYNC_HERE].version, there = round->sides[SYNC_THERE].version;
    bool is_saved = row->exists && !round->intent_is_kept && same_text(row->base, base) &&
                    row->local_version == here && row->cloud_version == there;
    round->step = SAVING;
    round->pair->counters.conflicts += round->merge.conflicts;
    round->pair->group->counters.conflicts += round->merge.conflicts;
    if (round->merged ? is_saved : !row->exists) {
        end(round, DONE, NULL);
        return;
    }
    set_text(&row->base, base);
    set_text(&row->intended, NULL);
    set_text(&row->agreed, NULL);
    row->writing = SYNC_WRITING_NOTHING;
    row->local_version = here;
    row->cloud_version = there;
    set_merge(round);
    submit(round, round->merged ? sync_store_save : sync_store_remove, on_finished);
}

static void next(struct sync_round *round)
{
    if (!sync_equal(round->sides[SYNC_HERE].doc.state, round->merged))
        begin_write(round, SYNC_HERE);
    else if (!sync_equal(round->sides[SYNC_THERE].doc.state, round->merged))
        begin_write(round, SYNC_THERE);
    else
        finish(round);
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

static void merge(struct sync_round *round)
{
    struct sync_pair *pair = round->pair;
    struct sync_row *row = &round->io.row;
    struct side *there = &round->sides[SYNC_THERE];
    if (!round->row_is_known || !round->sides[SYNC_HERE].is_known || !(there->is_known || round->trusts_row))
        return;
    round->base = sync_state_read(&round->arena, row->base);
    if (!there->is_known) { /* it has not changed since that was written down */
        there->is_known = true;
        there->doc = (struct sync_doc){.state = round->base};
        there->version = row->cloud_version;
    }
    if (row->writing) {
        round->intent_is_kept = true;
        enum sync_side side = row->writing == SYNC_WRITING_HERE ? SYNC_HERE : SYNC_THERE;
        round->base = sync_rebase(&round->arena, round->base, sync_state_read(&round->arena, row->intended),
                                  sync_state_read(&round->arena, row->agreed), round->sides[side].doc.state);
    }
    round->merge = (struct sync_merge){
        .arena = &round->arena, .policy = &pair->group->policy, .direction = pair->group->direction};
    round->merged = sync_merge(&round->merge, round->base, &round->sides[SYNC_HERE].doc, &there->doc);
    if (round->merge.stays)
        end(round, DONE, NULL);
    else
        next(round);
}

static void on_loaded(struct work *work)
{
    struct sync_round *round = came_back(work);
    if (!round)
        return;
    round->row_is_known = true;
    merge(round);
}

void round_begin(struct sync_pair *pair)
{
    struct sync_round *round = pair->round = mem_new(struct sync_round);
    round->pair = pair;
    round->io.uplink = pair->group->cloud->uplink;
    round->io.thing = pair->thing;
    round->io.name = pair->name;
    round->trusts_row = pair->cloud_is_same;
    submit(round, sync_store_load, on_loaded);
    read_side(round, SYNC_HERE);
    if (!round->trusts_row)
        read_side(round, SYNC_THERE);
}

/* ---- answers ----------------------------------------------------------------------------------------------------- */

bool round_awaits(const struct sync_round *round, enum sync_side side, uint64_t number)
{
    return round->outcome == GOES_ON && number && round->sides[side].number == number;
}

bool round_reads_cloud(const struct sync_round *round)
{
    return round->outcome == GOES_ON && round->step == READING && round->sides[SYNC_THERE].number;
}

void round_cloud_changed(struct sync_round *round, int64_t version)
{
    if (version < 0)
        round->cloud_deleted = true;
    else if (version > round->cloud_heard)
        round->cloud_heard = version;
}

static void refused(struct sync_round *round, enum sync_side side, const struct sync_answer *answer)
{
    end(round, FAILED,
        arena_printf(&round->arena, "%s: %d %s", side == SYNC_HERE ? "refused here" : "the cloud refuses",
                     answer->code, answer->message));
}

static void was_read(struct sync_round *round, enum sync_side side, const struct sync_topic *topic,
                     const struct sync_answer *answer)
{
    struct side *at = &round->sides[side];
    if (!topic->accepted && answer->code != 404) {
        refused(round, side, answer);
        return;
    }
    at->is_known = true;
    at->version = topic->accepted ? answer->version : 0;
    at->doc = (struct sync_doc){0};
    if (topic->accepted) {
        at->doc.state = json_copy(&round->arena, answer->doc.state);
        at->doc.metadata = answer->doc.metadata ? json_copy(&round->arena, answer->doc.metadata) : NULL;
    }
    if (side == SYNC_HERE)
        round->pair->has_changed = false; /* what was heard before is in it */
    else
        round->cloud_deleted = false;
    merge(round);
}

static void on_noted(struct work *work)
{
    struct sync_round *round = came_back(work);
    if (round)
        end(round, AGAIN, NULL);
}

/* Nobody knows what the document is now, only that it has taken in what we had to say. */
static void was_written_blindly(struct sync_round *round, enum sync_side side)
{
    struct sync_row *row = &round->io.row;
    set_state(round, &row->base, round->sides[other(side)].doc.state);
    row->writing = SYNC_WRITING_NOTHING;
    set_text(&row->intended, NULL);
    set_text(&row->agreed, NULL);
    if (side == SYNC_HERE) {
        read_side(round, side);
        return;
    }
    round->step = SAVING;
    submit(round, sync_store_save, on_noted);
}

static void was_written(struct sync_round *round, enum sync_side side, const struct sync_topic *topic,
                        const struct sync_answer *answer)
{
    struct side *at = &round->sides[side];
    bool is_gone = topic->verb == SYNC_DELETE && !topic->accepted && answer->code == 404;
    if (!topic->accepted && answer->code == 409) {
        round->pair->races[side]++;
        if (side == SYNC_HERE)
            read_side(round, side);
        else
            end(round, AGAIN, NULL);
        return;
    }
    if (!topic->accepted && !is_gone) {
        refused(round, side, answer);
        return;
    }
    round->pair->races[side] = 0;
    if (round->without_version && round->merged) {
        was_written_blindly(round, side);
        return;
    }
    at->doc = (struct sync_doc){.state = round->merged};
    at->version = round->merged ? answer->version : 0;
    round->base = round->sides[other(side)].doc.state;
    round->io.row.writing = SYNC_WRITING_NOTHING;
    next(round);
}

void round_answered(struct sync_round *round, enum sync_side side, const struct sync_topic *topic,
                    const struct sync_answer *answer)
{
    assert(round->outcome == GOES_ON && round->sides[side].number);
    round->sides[side].number = 0;
    if (round->step == READING)
        was_read(round, side, topic, answer);
    else
        was_written(round, side, topic, answer);
}
