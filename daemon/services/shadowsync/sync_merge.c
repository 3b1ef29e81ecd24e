#include "services/shadowsync/sync_merge.h"

#include <string.h>

bool sync_equal(const struct json *a, const struct json *b)
{
    return a && b ? json_equal(a, b) : a == b;
}

static bool is_object(const struct json *json)
{
    return json_is(json, JSON_OBJECT);
}

/* Is it an object, or nothing, which is an object without members here? */
static bool is_like_object(const struct json *json)
{
    return !json || json->type == JSON_OBJECT;
}

/* ---- members by name --------------------------------------------------------------------------------------------- */

/* Objects of fewer members are searched by walking. */
enum { INDEX_FROM = 16 };

struct lookup {
    const struct json *object; /* or NULL */
    struct json_index index;
};

static struct lookup lookup_in(struct arena *arena, const struct json *json)
{
    struct lookup lookup = {.object = is_object(json) ? json : NULL};
    if (lookup.object && json->len >= INDEX_FROM)
        json_index_init_from(&lookup.index, arena, json);
    return lookup;
}

static const struct json *look_up(const struct lookup *lookup, const struct json *member)
{
    return lookup->index.slots ? json_index_get(&lookup->index, member->key, member->key_len)
                               : json_get_n(lookup->object, member->key, member->key_len);
}

static void put(struct arena *arena, struct json *object, const struct json *name, const struct json *value)
{
    if (value)
        json_append(object, name->key, name->key_len, json_share(arena, value));
}

/* ---- what decided ------------------------------------------------------------------------------------------------ */

static void note(struct sync_merge *m, const char *path, size_t len, int from, int why, enum sync_rule rule)
{
    if (why == SYNC_BY_RULE || why == SYNC_BY_DEFAULT || why == SYNC_BY_SURVIVAL)
        m->conflicts++;
    if (m->choice_count == SYNC_CHOICES_MAX) {
        m->more++;
        return;
    }
    struct sync_choice *choice = &m->choices[m->choice_count++];
    choice->path = arena_copy(m->arena, path, len);
    choice->from = (unsigned)from;
    choice->why = (unsigned)why;
    choice->rule = rule;
}

/* ---- both have changed it ---------------------------------------------------------------------------------------- */

/* The last moment at which something of the value was written, by its metadata; -1: not known. Both are walked together: a
 * member may be called "timestamp" itself. */
static int64_t written(const struct json *value, const struct json *metadata)
{
    int64_t last = -1, at;
    if (!value || !metadata)
        return last;
    if (value->type < JSON_ARRAY)
        return json_int(json_get(metadata, "timestamp"), 0, INT64_MAX, &at) ? at : last;
    const struct json *beside = value->type == JSON_ARRAY ? json_first(metadata) : NULL;
    json_for_each (below, value) {
        at = written(below,
                     value->type == JSON_OBJECT ? json_get_n(metadata, below->key, below->key_len) : beside);
        last = at > last ? at : last;
        beside = beside ? beside->next : NULL;
    }
    return last;
}

static int compare_scalars(const struct json *a, const struct json *b)
{
    if (a->type != b->type)
        return a->type < b->type ? -1 : 1;
    if (a->type == JSON_NUMBER)
        return json_number_compare(a, b);
    if (a->type != JSON_STRING)
        return 0;
    size_t len = size_min(a->len, b->len);
    int r = len ? memcmp(a->text, b->text, len) : 0;
    return r ? r : (a->len > b->len) - (a->len < b->len);
}

/* An element of one of the three arrays of a union. */
struct element {
    const struct json *value;
    size_t order; /* where it would stand in the result */
    enum { IN_BASE, IN_HERE, IN_THERE } set;
};

static int compare_elements(const void *a, const void *b)
{
    const struct element *x = a, *y = b;
    int r = compare_scalars(x->value, y->value);
    return r ? r : (x->order > y->order) - (x->order < y->order);
}

/* False: it is no array of scalars. */
static bool add_elements(struct element *list, size_t *count, const struct json *array, int set)
{
    if (!json_is(array, JSON_ARRAY))
        return false;
    json_for_each (at, array) {
        if (at->type >= JSON_ARRAY)
            return false;
        list[*count] = (struct element){.value = at, .order = *count, .set = (unsigned)set};
        ++*count;
    }
    return true;
}

/* What both have, and what one of them has added: in the order here, then what is only there. An element that was in the
 * base and is missing on one side was removed. NULL: the values are no sets. */
static const struct json *unite(struct arena *arena, const struct json *base, const struct json *here,
                                const struct json *there)
{
    size_t most = (json_is(base, JSON_ARRAY) ? base->len : 0) + here->len + there->len + 1, count = 0;
    struct element *list = arena_alloc(arena, most * sizeof *list);
    if (!add_elements(list, &count, here, IN_HERE) || !add_elements(list, &count, there, IN_THERE))
        return NULL;
    size_t before = count;
    if (!add_elements(list, &count, base, IN_BASE))
        count = before; /* it was something else: nothing was removed from it */

    qsort(list, count, sizeof *list, compare_elements);
    const struct json **kept = arena_zero(arena, (count + 1) * sizeof(struct json *));
    for (size_t i = 0, end; i < count; i = end) {
        bool in[3] = {false};
        for (end = i; end < count && compare_scalars(list[i].value, list[end].value) == 0; end++)
            in[list[end].set] = true;
        if ((in[IN_HERE] && in[IN_THERE]) || (!in[IN_BASE] && (in[IN_HERE] || in[IN_THERE])))
            kept[list[i].order] = list[i].value;
    }
    struct json *result = json_new(arena, JSON_ARRAY);
    for (size_t i = 0; i < count; i++)
        if (kept[i])
            json_push(result, json_share(arena, kept[i]));
    return result;
}

/* One of the two if the rule can say so; NULL: it cannot. At least one is there. */
static const struct json *by_rule(enum sync_rule rule, const struct sync_doc *here,
                                  const struct sync_doc *there)
{
    const struct json *a = here->state, *b = there->state;
    if (!a || !b)
        return a ? a : b;
    bool are_numbers = a->type == JSON_NUMBER && b->type == JSON_NUMBER;
    int r = are_numbers ? json_number_compare(a, b) : 0;
    if (rule == SYNC_NEWEST) {
        int64_t when_a = written(a, here->metadata), when_b = written(b, there->metadata);
        r = (when_a > when_b) - (when_a < when_b);
    }
    if (rule == SYNC_MIN)
        r = -r;
    return r == 0 ? NULL : (r > 0 ? a : b);
}

static const struct json *decide(struct sync_merge *m, const char *path, size_t len, const struct json *base,
                                 const struct sync_doc *here, const struct sync_doc *there)
{
    enum sync_rule rule = sync_policy_rule(m->policy, path, len), used = rule;
    const struct json *value = NULL;
    int why = SYNC_BY_RULE;
    if (rule == SYNC_UNION && here->state && there->state) {
        value = unite(m->arena, base, here->state, there->state);
        if (value) {
            note(m, path, len, SYNC_FROM_BOTH, why, rule);
            return value;
        }
    } else if (rule != SYNC_CLOUD && rule != SYNC_LOCAL) {
        value = by_rule(rule, here, there);
    }
    if (!value && rule != SYNC_CLOUD && rule != SYNC_LOCAL) {
        why = SYNC_BY_DEFAULT;
        used = sync_policy_default(path, len);
    }
    bool from_here = value ? value == here->state : used == SYNC_LOCAL;
    note(m, path, len, from_here ? SYNC_FROM_HERE : SYNC_FROM_THERE, why, rule);
    return from_here ? here->state : there->state;
}

/* ---- merging ----------------------------------------------------------------------------------------------------- */

static const struct json *merge_value(struct sync_merge *m, const char *path, size_t len,
                                      const struct json *base, const struct sync_doc *here,
                                      const struct sync_doc *there);

static struct sync_doc member_of(const struct lookup *state, const struct lookup *metadata,
                                 const struct json *name)
{
    return (struct sync_doc){look_up(state, name), look_up(metadata, name)};
}

static const struct json *merge_members(struct sync_merge *m, const char *path, size_t len,
                                        const struct json *base, const struct sync_doc *here,
                                        const struct sync_doc *there)
{
    struct json *merged = json_new(m->arena, JSON_OBJECT);
    struct lookup bases = lookup_in(m->arena, base);
    struct lookup heres = lookup_in(m->arena, here->state), here_times = lookup_in(m->arena, here->metadata);
    struct lookup theres = lookup_in(m->arena, there->state),
                  there_times = lookup_in(m->arena, there->metadata);
    for (int pass = 0; pass < 2; pass++)
        json_for_each (name, pass ? there->state : here->state) {
            if (pass && look_up(&heres, name))
                continue;
            struct sync_doc a = member_of(&heres, &here_times, name),
                            b = member_of(&theres, &there_times, name);
            const struct json *value = a.state;
            if (!sync_equal(a.state, b.state)) {
                const char *below = arena_printf(m->arena, "%.*s%s%.*s", (int)len, path, len ? "." : "",
                                                 (int)name->key_len, name->key_len ? name->key : "");
                value = merge_value(m, below, strlen(below), look_up(&bases, name), &a, &b);
            }
            put(m->arena, merged, name, value);
        }
    return merged->len || (here->state && there->state) ? merged : NULL;
}

static const struct json *merge_value(struct sync_merge *m, const char *path, size_t len,
                                      const struct json *base, const struct sync_doc *here,
                                      const struct sync_doc *there)
{
    const struct json *a = here->state, *b = there->state;
    if (sync_equal(a, b))
        return a;
    if (is_object(a) && is_object(b))
        return merge_members(m, path, len, base, here, there);
    if (sync_equal(base, a) || sync_equal(base, b)) {
        bool is_theirs = sync_equal(base, a);
        note(m, path, len, is_theirs ? SYNC_FROM_THERE : SYNC_FROM_HERE, SYNC_ONLY_CHANGE, SYNC_CLOUD);
        return is_theirs ? b : a;
    }
    if (is_object(base) && is_like_object(a) && is_like_object(b))
        return merge_members(m, path, len, base, here, there);
    return decide(m, path, len, base, here, there);
}

static const struct json *without_empty_sections(struct arena *arena, const struct json *state)
{
    if (!state)
        return NULL;
    struct json *clean = json_new(arena, JSON_OBJECT);
    json_for_each (section, state)
        if (!is_object(section) || section->len)
            put(arena, clean, section, section);
    return clean;
}

/* Documents that are not both there. */
static const struct json *survivor(struct sync_merge *m, const struct json *base, const struct json *here,
                                   const struct json *there)
{
    const struct json *left = here ? here : there;
    bool was_deleted = base && json_equal(base, left);
    if (was_deleted)
        note(m, "", 0, here ? SYNC_FROM_THERE : SYNC_FROM_HERE, SYNC_ONLY_CHANGE, SYNC_CLOUD);
    else
        note(m, "", 0, here ? SYNC_FROM_HERE : SYNC_FROM_THERE, base ? SYNC_BY_SURVIVAL : SYNC_ONLY_CHANGE,
             SYNC_CLOUD);
    return was_deleted ? NULL : left;
}

/* The one that leads has to have had a document before its missing one is a deletion: a gateway that has lost its state
 * must not take the cloud's with it. */
static const struct json *follow(struct sync_merge *m, const struct json *base, const struct json *leader,
                                 const struct json *other, int from)
{
    m->stays = !leader && !base && other;
    if (m->stays)
        return other;
    if (!sync_equal(leader, other))
        note(m, "", 0, from, SYNC_BY_DIRECTION, SYNC_CLOUD);
    return leader;
}

const struct json *sync_merge(struct sync_merge *m, const struct json *base, const struct sync_doc *here,
                              const struct sync_doc *there)
{
    m->choice_count = m->more = m->conflicts = 0;
    m->stays = false;
    if (m->direction == SYNC_UP)
        return follow(m, base, here->state, there->state, SYNC_FROM_HERE);
    if (m->direction == SYNC_DOWN)
        return follow(m, base, there->state, here->state, SYNC_FROM_THERE);
    if (!here->state && !there->state)
        return NULL;
    if (!here->state || !there->state)
        return survivor(m, base, here->state, there->state);
    return without_empty_sections(m->arena, merge_members(m, "", 0, base, here, there));
}

/* ---- what an update has to say ----------------------------------------------------------------------------------- */

static struct json *patch_members(struct arena *arena, const struct json *from, const struct json *to)
{
    struct json *patch = json_new(arena, JSON_OBJECT);
    struct lookup before = lookup_in(arena, from), after = lookup_in(arena, to);
    json_for_each (old, from)
        if (!look_up(&after, old))
            json_append(patch, old->key, old->key_len, json_new(arena, JSON_NULL));
    json_for_each (value, to) {
        const struct json *old = look_up(&before, value);
        if (is_object(old) && is_object(value)) {
            const struct json *below = patch_members(arena, old, value);
            if (below->len)
                put(arena, patch, value, below);
        } else if (!sync_equal(old, value)) {
            put(arena, patch, value, value);
        }
    }
    return patch;
}

const struct json *sync_patch(struct arena *arena, const struct json *from, const struct json *to)
{
    const struct json *patch = patch_members(arena, from, to);
    return patch->len ? patch : NULL;
}

/* ---- a write of which nobody knows whether it happened ----------------------------------------------------------- */

static const struct json *rebase(struct arena *arena, const struct json *base, const struct json *intended,
                                 const struct json *then, const struct json *seen)
{
    if (sync_equal(seen, intended))
        return then;
    if (!is_object(seen) || !is_object(intended))
        return base;
    struct json *result = json_new(arena, JSON_OBJECT);
    const struct json *const from[] = {seen, intended, then};
    struct lookup at[] = {lookup_in(arena, seen), lookup_in(arena, intended), lookup_in(arena, then)};
    struct lookup bases = lookup_in(arena, base);
    for (size_t pass = 0; pass < array_size(from); pass++) {
        if (!is_object(from[pass]))
            continue;
        json_for_each (name, from[pass])
            if (!(pass > 0 && look_up(&at[0], name)) && !(pass > 1 && look_up(&at[1], name)))
                put(arena, result, name,
                    rebase(arena, look_up(&bases, name), look_up(&at[1], name), look_up(&at[2], name),
                           look_up(&at[0], name)));
    }
    return result->len || is_object(base) || is_object(then) ? result : base;
}

const struct json *sync_rebase(struct arena *arena, const struct json *base, const struct json *intended,
                               const struct json *then, const struct json *seen)
{
    return rebase(arena, base, intended, then, seen);
}
