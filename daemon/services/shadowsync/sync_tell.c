/* What people are told: each section's counters, and how a thing's shadows were merged. */
#include "services/shadowsync/sync_pair.h"

#include "base/json_write.h"

#include <string.h>

enum { PROBLEMS_TOLD = 20, ASK_MAX = 1024 };

static void put_text(struct json_writer *w, const char *key, const char *text)
{
    json_key(w, key);
    json_put_string(w, text);
}

static void put_number(struct json_writer *w, const char *key, uint64_t value)
{
    json_key(w, key);
    json_put_uint(w, value);
}

/* ---- how it was decided ------------------------------------------------------------------------------------------ */

char *sync_merge_text(struct arena *arena, const struct sync_merge *merge)
{
    static const char *const from[] = {
        [SYNC_FROM_HERE] = "local", [SYNC_FROM_THERE] = "cloud", [SYNC_FROM_BOTH] = "both"};
    static const char *const why[] = {
        [SYNC_ONLY_CHANGE] = "only change", [SYNC_BY_RULE] = "rule",         [SYNC_BY_DEFAULT] = "default",
        [SYNC_BY_DIRECTION] = "direction",  [SYNC_BY_SURVIVAL] = "survival",
    };
    struct json_writer w;
    json_writer_init(&w, arena);
    json_begin_object(&w);
    json_key(&w, "choices");
    json_begin_array(&w);
    for (size_t i = 0; i < merge->choice_count; i++) {
        const struct sync_choice *choice = &merge->choices[i];
        bool has_rule = choice->why == SYNC_BY_RULE || choice->why == SYNC_BY_DEFAULT;
        json_begin_object(&w);
        put_text(&w, "path", choice->path);
        put_text(&w, "from", from[choice->from]);
        put_text(&w, "why", why[choice->why]);
        put_text(&w, "rule", has_rule ? sync_rule_name(choice->rule) : NULL);
        json_end_object(&w);
    }
    json_end_array(&w);
    put_number(&w, "more", merge->more);
    put_number(&w, "conflicts", merge->conflicts);
    json_end_object(&w);
    return json_writer_text(&w, NULL);
}

/* ---- sections ---------------------------------------------------------------------------------------------------- */

static int64_t lag_of(const struct sync_pair *pair)
{
    return pair->is_behind ? loop_now(pair->group->all->loop) - pair->behind_since : 0;
}

static void put_counters(struct json_writer *w, const struct sync_counters *counters)
{
    put_number(w, "rounds", counters->rounds);
    put_number(w, "messages", counters->messages);
    put_number(w, "conflicts", counters->conflicts);
    put_number(w, "failures", counters->failures);
}

static void put_problems(struct json_writer *w, const struct sync_group *group)
{
    int told = 0;
    json_key(w, "problems");
    json_begin_array(w);
    map_for_each(i, key, &group->pairs)
    {
        const struct sync_pair *pair = container_of(key, struct sync_pair, key);
        if (!pair->problem || told++ >= PROBLEMS_TOLD)
            continue;
        json_begin_object(w);
        put_text(w, "thing", pair->thing);
        put_text(w, "name", *pair->name ? pair->name : NULL);
        put_text(w, "problem", pair->problem);
        json_end_object(w);
    }
    json_end_array(w);
}

static void put_group(struct json_writer *w, const struct sync_group *group)
{
    int64_t lag = 0;
    uint64_t behind = 0;
    map_for_each(i, key, &group->pairs)
    {
        const struct sync_pair *pair = container_of(key, struct sync_pair, key);
        behind += pair->is_behind;
        lag = lag_of(pair) > lag ? lag_of(pair) : lag;
    }
    json_begin_object(w);
    put_text(w, "name", group->name);
    put_text(w, "uplink", group->cloud->uplink);
    put_text(w, "shadow", group->shadow);
    put_text(w, "direction", sync_direction_name(group->direction));
    json_key(w, "connected");
    json_put_bool(w, group->cloud->is_up);
    put_text(w, "problem", group->cloud->problem);
    put_number(w, "shadows", group->pairs.count);
    put_number(w, "behind", behind);
    put_number(w, "lag", (uint64_t)lag);
    put_counters(w, &group->counters);
    put_number(w, "refused", group->refused);
    put_problems(w, group);
    json_end_object(w);
}

void sync_tell_list(struct shadowsync *all, const struct msg *msg)
{
    struct arena arena = {0};
    struct json_writer w;
    json_writer_init(&w, &arena);
    json_begin_object(&w);
    json_key(&w, "syncs");
    json_begin_array(&w);
    for (size_t i = 0; i < all->group_count; i++)
        put_group(&w, &all->groups[i]);
    json_end_array(&w);
    json_end_object(&w);
    bus_reply(all->bus, msg, json_writer_text(&w, NULL));
    arena_done(&arena);
}

/* ---- a thing's shadows ------------------------------------------------------------------------------------------- */

struct explaining {
    struct sync_telling telling;
    struct shadowsync *all;
    struct msg *msg;
};

static const struct sync_told *told_of(const struct sync_telling *telling, const struct sync_pair *pair)
{
    for (size_t i = 0; i < telling->count; i++)
        if (strcmp(telling->rows[i].name, pair->name) == 0 &&
            strcmp(telling->rows[i].uplink, pair->group->cloud->uplink) == 0)
            return &telling->rows[i];
    return NULL;
}

static const char *state_of(const struct sync_pair *pair)
{
    if (pair->problem)
        return "failed";
    if (!pair->group->cloud->is_up)
        return "disconnected";
    switch (pair->state) {
    case PAIR_EQUAL: return "equal";
    case PAIR_PAUSED: return "paused";
    case PAIR_QUEUED: return "queued";
    case PAIR_IN_ROUND: return "merging";
    }
    return NULL;
}

static void put_pair(struct json_writer *w, const struct sync_pair *pair, const struct sync_told *told)
{
    json_begin_object(w);
    put_text(w, "name", *pair->name ? pair->name : NULL);
    put_text(w, "sync", pair->group->name);
    put_text(w, "uplink", pair->group->cloud->uplink);
    put_text(w, "state", state_of(pair));
    put_text(w, "problem", pair->problem);
    put_number(w, "lag", (uint64_t)lag_of(pair));
    put_counters(w, &pair->counters);
    put_number(w, "localVersion", told ? (uint64_t)told->local_version : 0);
    put_number(w, "cloudVersion", told ? (uint64_t)told->cloud_version : 0);
    json_key(w, "merged");
    if (told && told->merge) {
        json_put_int(w, told->merged);
        json_key(w, "merge");
        json_put_raw(w, told->merge, strlen(told->merge));
    } else {
        json_put_null(w);
        json_key(w, "merge");
        json_put_null(w);
    }
    json_end_object(w);
}

static void put_refusal(struct json_writer *w, int code, const char *message)
{
    json_begin_object(w);
    json_key(w, "code");
    json_put_int(w, code);
    put_text(w, "message", message);
    json_end_object(w);
}

static void put_pairs(struct json_writer *w, const struct shadowsync *all, const struct sync_telling *telling)
{
    size_t count = 0;
    json_begin_object(w);
    put_text(w, "thing", telling->thing);
    json_key(w, "shadows");
    json_begin_array(w);
    for (size_t g = 0; g < all->group_count; g++)
        map_for_each(i, key, &all->groups[g].pairs)
        {
            const struct sync_pair *pair = container_of(key, struct sync_pair, key);
            if (strcmp(pair->thing, telling->thing) == 0 && count++ < SYNC_TOLD_MAX)
                put_pair(w, pair, told_of(telling, pair));
        }
    json_end_array(w);
    json_end_object(w);
}

static bool is_known(const struct shadowsync *all, const char *thing)
{
    for (size_t g = 0; g < all->group_count; g++)
        map_for_each(i, key,
                     &all->groups[g].pairs) if (strcmp(container_of(key, struct sync_pair, key)->thing,
                                                       thing) == 0) return true;
    return false;
}

static void on_told(struct work *work)
{
    struct explaining *explaining =
        container_of(container_of(work, struct sync_telling, work), struct explaining, telling);
    struct shadowsync *all = explaining->all;
    struct arena arena = {0};
    struct json_writer w;
    json_writer_init(&w, &arena);
    if (work->r < 0)
        put_refusal(&w, 500, strerror(-work->r));
    else if (!is_known(all, explaining->telling.thing))
        put_refusal(&w, 404,
                    arena_printf(&arena, "no [sync] section has met a shadow of \"%s\" yet",
                                 explaining->telling.thing));
    else
        put_pairs(&w, all, &explaining->telling);
    bus_reply(all->bus, explaining->msg, json_writer_text(&w, NULL));
    all->explaining--;
    arena_done(&arena);
    (void)msg_unref(explaining->msg);
    sync_telling_done(&explaining->telling);
    free(explaining);
}

static void refuse(struct shadowsync *all, const struct msg *msg, int code, const char *message)
{
    struct arena arena = {0};
    struct json_writer w;
    json_writer_init(&w, &arena);
    put_refusal(&w, code, message);
    bus_reply(all->bus, msg, json_writer_text(&w, NULL));
    arena_done(&arena);
}

void sync_tell_explain(struct shadowsync *all, struct msg *msg)
{
    struct arena arena = {0};
    struct json *request;
    const char *thing;
    bool is_good = msg->payload_len <= ASK_MAX &&
                   json_parse(&request, &arena, (const char *)msg->payload, msg->payload_len, NULL) == 0 &&
                   json_text(json_get(request, "thing"), &arena, &thing);
    if (!is_good) {
        refuse(all, msg, 400, "expected {\"thing\":\"…\"}, the name of a thing");
    } else if (all->explaining == SYNC_EXPLAINING_MAX) {
        refuse(all, msg, 429, "too many requests at once");
    } else {
        struct explaining *explaining = mem_new(struct explaining);
        explaining->all = all;
        explaining->msg = msg_ref(msg);
        explaining->telling.thing = str_copy(thing);
        explaining->telling.work = (struct work){.run = sync_store_tell, .done = on_told};
        all->explaining++;
        store_submit(all->store, &explaining->telling.work);
    }
    arena_done(&arena);
}
