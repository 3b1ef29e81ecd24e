#include "services/shadowsync/sync_pair.h"

#include "base/log.h"

#include <assert.h>
#include <string.h>

/* What has to happen with a pair follows from how it is: pair_consider() is asked whenever something about it has changed,
 * and no event is remembered but as a difference. Everything that goes to a cloud goes through cloud_pump(). */

static void on_timer(struct timer *timer);

static struct loop *loop_of(const struct sync_pair *pair)
{
    return pair->group->all->loop;
}

/* ---- by name ----------------------------------------------------------------------------------------------------- */

enum { KEY_MAX = SYNC_THING_MAX + 1 + SYNC_NAME_MAX };

static size_t key_of(char text[KEY_MAX], const struct topic_piece *thing, const struct topic_piece *name)
{
    assert(thing->len <= SYNC_THING_MAX && name->len <= SYNC_NAME_MAX);
    memcpy(text, thing->text, thing->len);
    text[thing->len] = '/';
    if (name->len)
        memcpy(text + thing->len + 1, name->text, name->len);
    return thing->len + 1 + name->len;
}

struct sync_pair *pair_find(const struct sync_group *group, const struct topic_piece *thing,
                            const struct topic_piece *name)
{
    char text[KEY_MAX];
    struct map_key *key = map_get(&group->pairs, text, key_of(text, thing, name));
    return key ? container_of(key, struct sync_pair, key) : NULL;
}

static bool is_plain(const struct sync_group *group, const struct topic_piece *thing,
                     const struct topic_piece *name)
{
    for (int i = 0; i < group->pattern_count; i++)
        if (sync_pattern_is_plain(&group->patterns[i]) &&
            sync_pattern_matches(&group->patterns[i], thing, name))
            return true;
    return false;
}

struct sync_pair *pair_of(struct sync_group *group, const struct topic_piece *thing,
                          const struct topic_piece *name)
{
    struct sync_pair *pair = pair_find(group, thing, name);
    if (pair)
        return pair;
    if (group->all->pair_count == SYNC_PAIRS_MAX) {
        if (group->refused++ == 0)
            log_warning("sync %s: more than %d shadows; %.*s and what comes later stays as it is",
                        group->name, SYNC_PAIRS_MAX, (int)thing->len, thing->text);
        return NULL;
    }
    char text[KEY_MAX];
    size_t len = key_of(text, thing, name);
    pair = mem_new_bytes(sizeof *pair + len + thing->len + 2);
    char *key = (char *)(pair + 1), *own_thing = key + len + 1;
    memcpy(key, text, len);
    memcpy(own_thing, thing->text, thing->len);
    pair->key = (struct map_key){.text = key, .len = (uint32_t)len};
    pair->thing = own_thing;
    pair->name = key + thing->len + 1;
    pair->group = group;
    pair->is_plain = is_plain(group, thing, name);
    pair->timer.fire = on_timer;
    pair->pause = PAUSE_MIN;
    sync_bucket_init(&pair->bucket, group->rate, group->burst, loop_now(group->all->loop));
    map_put(&group->pairs, &pair->key);
    group->all->pair_count++;
    return pair;
}

struct sync_pair **pairs_of(const struct sync_group *group)
{
    struct sync_pair **list = mem_new_bytes((group->pairs.count + 1) * sizeof(struct sync_pair *));
    size_t count = 0;
    map_for_each(i, key, &group->pairs) list[count++] = container_of(key, struct sync_pair, key);
    return list;
}

void pair_free(struct sync_pair *pair)
{
    timer_stop(loop_of(pair), &pair->timer);
    list_remove(&pair->link);
    map_remove(&pair->group->pairs, &pair->key);
    pair->group->all->pair_count--;
    free(pair->problem);
    free(pair);
}

/* ---- what to do next --------------------------------------------------------------------------------------------- */

static bool may_differ(const struct sync_pair *pair)
{
    return pair->has_changed || !pair->cloud_is_same;
}

static void note_behind(struct sync_pair *pair)
{
    bool is_behind = may_differ(pair) || pair->problem;
    if (is_behind && !pair->is_behind)
        pair->behind_since = loop_now(loop_of(pair));
    pair->is_behind = is_behind;
}

/* Into the queue, if there is something to do and nothing that forbids it. */
static void pair_consider(struct sync_pair *pair)
{
    struct sync_cloud *cloud = pair->group->cloud;
    note_behind(pair);
    if (pair->state != PAIR_EQUAL || !may_differ(pair) || !cloud->is_up)
        return;
    timer_stop(loop_of(pair), &pair->timer);
    pair->state = PAIR_QUEUED;
    list_append(&cloud->queue, &pair->link);
    cloud_pump(cloud);
}

static void pair_pause(struct sync_pair *pair, int64_t ms)
{
    pair->state = PAIR_PAUSED;
    timer_start(loop_of(pair), &pair->timer, ms);
}

/* A round reads the cloud's document when it does not know it, and writes it perhaps. */
static int64_t cost_of_round(const struct sync_pair *pair)
{
    return pair->cloud_is_same ? 1 : 2;
}

void cloud_pump(struct sync_cloud *cloud)
{
    while (cloud->is_up && cloud->rounds < ROUNDS_AT_ONCE) {
        struct list *link = list_pop(&cloud->queue);
        if (!link)
            return;
        struct sync_pair *pair = list_entry(link, struct sync_pair, link);
        int64_t wait = sync_bucket_wait(&pair->bucket, cost_of_round(pair), loop_now(cloud->all->loop));
        if (wait > 0) {
            pair_pause(pair, wait);
            continue;
        }
        cloud->rounds++;
        pair->state = PAIR_IN_ROUND;
        pair->counters.rounds++;
        pair->group->counters.rounds++;
        round_begin(pair);
    }
}

static void on_timer(struct timer *timer)
{
    struct sync_pair *pair = container_of(timer, struct sync_pair, timer);
    switch (pair->state) {
    case PAIR_IN_ROUND: round_late(pair->round); return;
    case PAIR_QUEUED: return;
    case PAIR_PAUSED: pair->state = PAIR_EQUAL; break;
    case PAIR_EQUAL:
        pair->has_changed = true;
        pair->cloud_is_same = false;
        break; /* whatever was heard: look again */
    }
    timer_start(loop_of(pair), &pair->timer, pair->group->every);
    pair_consider(pair);
}

/* A change may be what was missing: the pause after a failure is over. The bucket still has its say. */
static void pair_touch(struct sync_pair *pair)
{
    if (pair->state == PAIR_PAUSED) {
        pair->state = PAIR_EQUAL;
        timer_start(loop_of(pair), &pair->timer, pair->group->every);
    }
    pair_consider(pair);
}

void pair_changed_here(struct sync_pair *pair)
{
    pair->has_changed = true;
    pair_touch(pair);
}

void pair_changed_there(struct sync_pair *pair, int64_t version)
{
    if (pair->round)
        round_cloud_changed(pair->round, version);
    if (version >= 0 && pair->cloud_is_same && version <= pair->cloud_version)
        return; /* it is known already */
    pair->cloud_is_same = false;
    pair_touch(pair);
}

/* ---- the cloud comes and goes ------------------------------------------------------------------------------------ */

void cloud_lost_sight(struct sync_cloud *cloud)
{
    for (size_t g = 0; g < cloud->all->group_count; g++) {
        struct sync_group *group = &cloud->all->groups[g];
        if (group->cloud != cloud)
            continue;
        struct sync_pair **list = pairs_of(group);
        for (size_t i = 0; list[i]; i++) {
            struct sync_pair *pair = list[i];
            pair->cloud_is_same = false;
            if (pair->state == PAIR_QUEUED) {
                list_remove(&pair->link);
                pair->state = PAIR_EQUAL;
                timer_start(loop_of(pair), &pair->timer, group->every);
            }
            note_behind(pair);
            if (pair->round)
                round_cut(pair->round);
        }
        free(list);
    }
}

void cloud_connected(struct sync_cloud *cloud)
{
    for (size_t g = 0; g < cloud->all->group_count; g++) {
        if (cloud->all->groups[g].cloud != cloud)
            continue;
        struct sync_pair **list = pairs_of(&cloud->all->groups[g]);
        for (size_t i = 0; list[i]; i++) {
            list[i]->has_changed = true;
            pair_touch(list[i]);
        }
        free(list);
    }
}

/* ---- the end of a round ------------------------------------------------------------------------------------------ */

static void set_problem(struct sync_pair *pair, const char *problem)
{
    if (problem && (!pair->problem || strcmp(pair->problem, problem) != 0))
        log_warning("sync %s: %s%s%s: %s", pair->group->name, pair->thing, *pair->name ? "/" : "", pair->name,
                    problem);
    char *copy = str_copy(problem);
    free(pair->problem);
    pair->problem = copy;
}

static void leave_round(struct sync_pair *pair)
{
    assert(pair->state == PAIR_IN_ROUND && !pair->round);
    pair->group->cloud->rounds--;
    pair->state = PAIR_EQUAL;
    timer_start(loop_of(pair), &pair->timer, pair->group->every);
}

void pair_round_done(struct sync_pair *pair, int64_t cloud_version, bool cloud_is_same, bool exists)
{
    struct sync_cloud *cloud = pair->group->cloud;
    leave_round(pair);
    set_problem(pair, NULL);
    pair->pause = PAUSE_MIN;
    pair->cloud_version = cloud_version;
    pair->cloud_is_same = cloud_is_same && cloud->is_up;
    if (!exists && !pair->is_plain && !may_differ(pair))
        pair_free(pair);
    else
        pair_consider(pair);
    cloud_pump(cloud);
}

void pair_round_failed(struct sync_pair *pair, const char *problem)
{
    struct sync_cloud *cloud = pair->group->cloud;
    leave_round(pair);
    pair->counters.failures++;
    pair->group->counters.failures++;
    pair->cloud_is_same = false;
    pair->has_changed = true;
    set_problem(pair, problem);
    note_behind(pair);
    pair_pause(pair, pair->pause);
    pair->pause = pair->pause > pair->group->every / 2 ? pair->group->every : 2 * pair->pause;
    cloud_pump(cloud);
}

void pair_round_again(struct sync_pair *pair)
{
    struct sync_cloud *cloud = pair->group->cloud;
    leave_round(pair);
    pair->cloud_is_same = false;
    pair->has_changed = true;
    pair_consider(pair);
    cloud_pump(cloud);
}
