/* Two writers on both sides of a link that is cut, loses and repeats messages, and a gateway that is restarted and whose
 * database fails now and then: whatever the order of things, both sides end with the same document, and it is the one the
 * policy declares.
 *
 * A trial is a shadow. First everything happens in any order; what must be true then is less than a value for each field,
 * as when exactly the two sides agreed is not known:
 *      - it is the last word of one of the two sides, never an older one;
 *      - cloud: when the cloud had the last word of all, it is that one; local: the other way round; newest: the last word of
 *        all, when both are values of different seconds. (A deletion may have found nothing, and is no word then.)
 * Then the link is cut for a while, both write, and every field is known exactly.
 *
 * SYNC_TRIALS and SYNC_SEED in the environment make it longer, or the same again. */
#include "services/shadowsync/sync_rig.h"

#include "base/json_write.h"
#include "services/shadowsync/sync_policy.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { TRIALS = 2000, TRIALS_OF_A_RIG = 50, STEPS = 60, EPOCHS = 2, WORDS = 4096 };
enum { HERE, THERE };
enum { ABSENT = 0 }; /* of a value; of a set: -1 */

static const struct field {
    const char *section, *object, *name;
    enum sync_rule rule;
} fields[] = {
    {"desired", NULL, "c", SYNC_CLOUD},   {"desired", NULL, "l", SYNC_LOCAL},
    {"desired", NULL, "n", SYNC_NEWEST},  {"desired", "o", "a", SYNC_CLOUD},
    {"desired", "o", "b", SYNC_NEWEST},   {"desired", NULL, "s", SYNC_UNION},
    {"reported", NULL, "c", SYNC_CLOUD},  {"reported", NULL, "l", SYNC_LOCAL},
    {"reported", NULL, "n", SYNC_NEWEST}, {"reported", NULL, "x", SYNC_MAX},
    {"reported", NULL, "i", SYNC_MIN},    {"reported", "o", "a", SYNC_LOCAL},
};
enum { FIELDS = array_size(fields) };
static const char policy[] = "desired.l: local desired.n: newest desired.o.b: newest desired.s: union "
                             "reported.c: cloud reported.n: newest reported.x: max reported.i: min";

/* What a writer has said about a field, when the service has taken it. */
struct word {
    int64_t value;
    int64_t second;
    uint64_t order; /* of all words on both sides; 0: as it was in the beginning */
};

struct update {
    int side;
    bool named[FIELDS];
    int64_t values[FIELDS];
};

struct trial {
    struct sync_rig *rig;
    char thing[32];
    struct update updates[WORDS];
    size_t update_count;
    struct word last[2][FIELDS];
    uint64_t words;
    int64_t next_value;
};

static uint64_t state;

static unsigned below(unsigned n)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (unsigned)((state >> 16) % n);
}

static bool is_set(int field)
{
    return fields[field].rule == SYNC_UNION;
}

static int64_t absent(int field)
{
    return is_set(field) ? -1 : ABSENT;
}

/* ---- writing ----------------------------------------------------------------------------------------------------- */

static struct json *value_of(struct arena *arena, int field, int64_t value)
{
    if (value == absent(field))
        return json_new(arena, JSON_NULL);
    if (!is_set(field))
        return json_new_int(arena, value);
    struct json *array = json_new(arena, JSON_ARRAY);
    for (int64_t i = 0; i < 12; i++)
        if (value >> i & 1)
            json_push(array, json_new_int(arena, i));
    return array;
}

static struct json *member(struct arena *arena, struct json *object, const char *name)
{
    struct json *found = json_get(object, name);
    if (!found) {
        found = json_new(arena, JSON_OBJECT);
        json_append(object, name, strlen(name), found);
    }
    return found;
}

static void write_somewhere(struct trial *t, int side)
{
    struct arena arena = {0};
    struct json *request = json_new(&arena, JSON_OBJECT), *state_tree = member(&arena, request, "state");
    CHECK(t->update_count < WORDS);
    struct update *update = &t->updates[t->update_count];
    *update = (struct update){.side = side};
    for (unsigned n = 1 + below(3); n > 0; n--) {
        int i = (int)below(FIELDS);
        if (update->named[i])
            continue;
        bool is_gone = !is_set(i) && below(6) == 0;
        update->named[i] = true;
        update->values[i] = is_gone ? ABSENT : (is_set(i) ? (int64_t)below(4096) : ++t->next_value);
        if (fields[i].rule == SYNC_MIN && !is_gone)
            update->values[i] = 1000000 - t->next_value; /* the later one is not always the larger one */
        struct json *parent = member(&arena, state_tree, fields[i].section);
        if (fields[i].object)
            parent = member(&arena, parent, fields[i].object);
        json_set(parent, fields[i].name, strlen(fields[i].name), value_of(&arena, i, update->values[i]));
    }
    const char *token = arena_printf(&arena, "w%zu", t->update_count++);
    json_append(request, "clientToken", 11, json_new_string(&arena, token, strlen(token)));
    const char *topic = arena_printf(&arena, "$aws/things/%s/shadow/update", t->thing);
    rig_publish(side == HERE ? t->rig->here : t->rig->there, topic, json_write(&arena, request, NULL));
    arena_done(&arena);
}

/* A writer's update was taken: only now it is its word. */
static void on_answer(struct trial *t, int side, const struct msg *msg)
{
    if (!strstr(msg->topic, "/update/accepted") || !strstr(msg->topic, t->thing))
        return;
    struct arena arena = {0};
    struct json *answer;
    const char *token;
    CHECK_INT(json_parse(&answer, &arena, (const char *)msg->payload, msg->payload_len, NULL), 0);
    if (json_text(json_get(answer, "clientToken"), &arena, &token) && token[0] == 'w') {
        const struct update *update = &t->updates[strtoul(token + 1, NULL, 10)];
        int64_t second = 0;
        (void)json_int(json_get(answer, "timestamp"), 0, INT64_MAX, &second);
        for (int i = 0; i < (int)FIELDS; i++)
            if (update->named[i])
                t->last[side][i] = (struct word){update->values[i], second, ++t->words};
    }
    arena_done(&arena);
}

static void on_here(void *self, const struct msg *msg)
{
    on_answer(self, HERE, msg);
}

static void on_there(void *self, const struct msg *msg)
{
    on_answer(self, THERE, msg);
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

static struct json *read_state(struct arena *arena, struct rig *house, const char *thing)
{
    cleanup_free char *text = state_of(house, thing);
    if (strcmp(text, "nothing") == 0)
        return NULL;
    char *copy = arena_copy(arena, text, strlen(text));
    for (char *at = copy; *at; at++)
        *at = *at == '\'' ? '"' : *at;
    struct json *json;
    CHECK_INT(json_parse(&json, arena, copy, strlen(copy), NULL), 0);
    return json;
}

static int64_t field_of(const struct json *tree, int i)
{
    const struct json *at = json_get(tree, fields[i].section);
    if (fields[i].object)
        at = json_get(at, fields[i].object);
    at = json_get(at, fields[i].name);
    int64_t value = absent(i), element;
    if (at && !is_set(i))
        CHECK(json_int(at, 1, INT64_MAX, &value));
    if (at && is_set(i)) {
        value = 0;
        json_for_each (e, at) {
            CHECK(json_int(e, 0, 11, &element));
            value |= (int64_t)1 << element;
        }
    }
    return value;
}

static void advance(struct sync_rig *rig, int64_t ms)
{
    clock_move(&rig->here->clock, ms);
    clock_move(&rig->there->clock, ms);
}

static bool are_equal(struct trial *t, int64_t values[FIELDS])
{
    struct arena arena = {0};
    const struct json *a = read_state(&arena, t->rig->here, t->thing),
                      *b = read_state(&arena, t->rig->there, t->thing);
    bool equal = a && b ? json_equal(a, b) : a == b;
    for (int i = 0; equal && i < (int)FIELDS; i++)
        values[i] = field_of(a, i);
    rig_forget(t->rig->here);
    rig_forget(t->rig->there);
    arena_done(&arena);
    return equal;
}

/* The link is there and nobody writes any more. */
static void settle(struct trial *t, int64_t values[FIELDS])
{
    sync_rig_connect(t->rig);
    for (int i = 0; i < 200; i++) {
        sync_rig_turn(t->rig);
        if (sync_number(t->rig, "behind") == 0 && are_equal(t, values))
            return;
        advance(t->rig, 1000);
    }
    FAIL("%s does not become equal: here %s\nthere %s\n%s", t->thing, state_of(t->rig->here, t->thing),
         state_of(t->rig->there, t->thing), sync_list(t->rig));
}

/* ---- anything in any order --------------------------------------------------------------------------------------- */

static void lose_one(struct sync_queue *queue)
{
    if (!queue->count)
        return;
    unsigned i = below((unsigned)queue->count);
    (void)msg_unref(queue->list[i]);
    queue->count--;
    memmove(queue->list + i, queue->list + i + 1, (queue->count - i) * sizeof(struct msg *));
}

/* QoS 1: the last one comes once more. */
static void repeat_one(struct sync_queue *queue)
{
    if (!queue->count || queue->count == queue->size)
        return;
    queue->list[queue->count] = msg_ref(queue->list[queue->count - 1]);
    queue->count++;
}

static void step(struct trial *t)
{
    struct sync_rig *rig = t->rig;
    unsigned dice = below(100);
    if (dice < 10)
        write_somewhere(t, HERE);
    else if (dice < 20)
        write_somewhere(t, THERE);
    else if (dice < 40)
        (void)loop_turn(rig->here->loop, 0);
    else if (dice < 52)
        (void)loop_turn(rig->there->loop, 0);
    else if (dice < 64)
        (void)sync_rig_move_up(rig);
    else if (dice < 76)
        (void)sync_rig_move_down(rig);
    else if (dice < 85)
        advance(rig, 100 + below(2900));
    else if (dice < 88)
        sync_rig_cut(rig);
    else if (dice < 92)
        sync_rig_connect(rig);
    else if (dice < 94)
        lose_one(below(2) ? &rig->up : &rig->down);
    else if (dice < 96)
        repeat_one(below(2) ? &rig->up : &rig->down);
    else if (dice < 97)
        sync_rig_restart(rig);
    else if (dice < 98)
        store_fail_next_commit(rig->here->store, -EIO);
    else
        sync_rig_turn(rig);
    rig_forget(rig->here);
    rig_forget(rig->there);
}

static bool is_last_of_all(const struct word *word, const struct word *other)
{
    return word->order > other->order;
}

static void check_words(const struct trial *t, const int64_t values[FIELDS])
{
    for (int i = 0; i < (int)FIELDS; i++) {
        const struct word *here = &t->last[HERE][i], *there = &t->last[THERE][i];
        const struct word *wanted = NULL;
        if (is_set(i))
            continue;
        if (values[i] != here->value && values[i] != there->value)
            FAIL("%s %s.%s: %lld, but the last words were %lld here and %lld there", t->thing,
                 fields[i].section, fields[i].name, (long long)values[i], (long long)here->value,
                 (long long)there->value);
        if (fields[i].rule == SYNC_CLOUD && is_last_of_all(there, here))
            wanted = there;
        if (fields[i].rule == SYNC_LOCAL && is_last_of_all(here, there))
            wanted = here;
        if (fields[i].rule == SYNC_NEWEST && here->value != ABSENT && there->value != ABSENT &&
            here->second != there->second && here->order && there->order)
            wanted = here->second > there->second ? here : there;
        if (wanted && wanted->value != ABSENT && values[i] != wanted->value)
            FAIL("%s %s.%s by %s: %lld; here %lld (%lld), there %lld (%lld)", t->thing, fields[i].section,
                 fields[i].name, sync_rule_name(fields[i].rule), (long long)values[i], (long long)here->value,
                 (long long)here->order, (long long)there->value, (long long)there->order);
    }
}

static void agree(struct trial *t, const int64_t values[FIELDS])
{
    for (int i = 0; i < (int)FIELDS; i++)
        t->last[HERE][i] = t->last[THERE][i] = (struct word){.value = values[i]};
}

/* ---- a cut, exactly ---------------------------------------------------------------------------------------------- */

static int64_t by_rule(int i, int64_t base, const struct word *here, const struct word *there)
{
    int64_t a = here->value, b = there->value;
    enum sync_rule fallback = strcmp(fields[i].section, "desired") == 0 ? SYNC_CLOUD : SYNC_LOCAL;
    if (fields[i].rule == SYNC_CLOUD)
        return b;
    if (fields[i].rule == SYNC_LOCAL)
        return a;
    if (a == absent(i) || b == absent(i))
        return a == absent(i) ? b : a;
    switch (fields[i].rule) {
    case SYNC_MAX: return a > b ? a : b;
    case SYNC_MIN: return a < b ? a : b;
    case SYNC_UNION: return (a & b) | ((a | b) & ~(base == -1 ? 0 : base));
    default: break;
    }
    if (here->second == there->second)
        return fallback == SYNC_CLOUD ? b : a;
    return here->second > there->second ? a : b;
}

static int64_t expected(int i, int64_t base, const struct word *here, const struct word *there)
{
    if (here->value == there->value || there->value == base)
        return here->value;
    return here->value == base ? there->value : by_rule(i, base, here, there);
}

static void cut_and_write(struct trial *t, int64_t values[FIELDS])
{
    int64_t base[FIELDS];
    memcpy(base, values, sizeof base);
    agree(t, values);
    sync_rig_cut(t->rig);
    for (unsigned n = 1 + below(8); n > 0; n--) {
        write_somewhere(t, (int)below(2));
        sync_rig_turn(t->rig);
        advance(t->rig, below(3) * 700);
    }
    if (below(4) == 0)
        sync_rig_restart(t->rig);
    settle(t, values);
    for (int i = 0; i < (int)FIELDS; i++) {
        int64_t wanted = expected(i, base[i], &t->last[HERE][i], &t->last[THERE][i]);
        if (values[i] != wanted)
            FAIL("%s %s.%s by %s: %lld, expected %lld of %lld, %lld here and %lld there", t->thing,
                 fields[i].section, fields[i].name, sync_rule_name(fields[i].rule), (long long)values[i],
                 (long long)wanted, (long long)base[i], (long long)t->last[HERE][i].value,
                 (long long)t->last[THERE][i].value);
    }
}

/* A shadow that is only at the cloud, and of which no word came through, is not known here until somebody says one more. */
static void meet(struct trial *t)
{
    sync_rig_connect(t->rig);
    sync_rig_turn(t->rig);
    if (sync_number(t->rig, "shadows") == 0)
        write_somewhere(t, THERE);
    sync_rig_turn(t->rig);
}

static void run_trial(struct trial *t, int number)
{
    int64_t values[FIELDS], nothing[FIELDS];
    (void)snprintf(t->thing, sizeof t->thing, "t%d", number);
    t->update_count = 0;
    for (int i = 0; i < (int)FIELDS; i++)
        nothing[i] = absent(i);
    agree(t, nothing);
    sync_rig_connect(t->rig);
    for (int i = 0; i < STEPS; i++)
        step(t);
    meet(t);
    settle(t, values);
    check_words(t, values);
    for (int i = 0; i < EPOCHS; i++)
        cut_and_write(t, values);
    if (below(2))
        delete_here(t->rig, t->thing);
    else
        delete_there(t->rig, t->thing);
    settle(t, values);
    CHECK(memcmp(values, nothing, sizeof values) == 0);
    CHECK_INT(sync_number(t->rig, "shadows"), 0);
}

static long number_from(const char *variable, long fallback)
{
    const char *text = getenv(variable);
    return text ? strtol(text, NULL, 10) : fallback;
}

TEST(two_writers_on_both_sides_of_a_bad_link_end_with_what_the_policy_declares)
{
    long trials = number_from("SYNC_TRIALS", TRIALS), seed = number_from("SYNC_SEED", 20251127);
    struct trial *t = mem_new(struct trial);
    for (long i = 0; i < trials; i++) {
        if (i % TRIALS_OF_A_RIG == 0) {
            t->rig = sync_rig_free(t->rig);
            t->rig = sync_rig_new(
                &(struct sync_options){
                    .shadow = "+", .policy = policy, .rate = 60000, .burst = 10000, .every = 60 * 1000},
                1);
            t->rig->on_here = on_here;
            t->rig->on_there = on_there;
            t->rig->self = t;
        }
        state = (uint64_t)(seed + i) * 0x9E3779B97F4A7C15u | 1;
        for (int k = 0; k < 8; k++)
            (void)below(2);
        run_trial(t, (int)i);
    }
    t->rig = sync_rig_free(t->rig);
    free(t);
}
