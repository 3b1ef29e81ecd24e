#include "services/pairing/pair_inside.h"

#include "base/log.h"
#include "bus/topics.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>

/* A node in memory is what holds; its row on disk follows, one write at a time, always the whole row:
 *
 *      change ─▶ save ─▶ (a write is under way: the next takes it) ─▶ on disk: whoever waits for it goes on
 *
 * A write that fails is told to who waits and tried again; nothing is taken back, since what memory allows beyond the disk is
 * known to nobody yet, and what it forbids is better forbidden. */

enum { RETRY_MS = 30000 };

static void on_saved(struct work *work);

static void node_free(struct pair_node *node)
{
    explicit_bzero(&node->row, sizeof node->row);
    explicit_bzero(&node->save.row, sizeof node->save.row);
    free(node);
}

static struct pair_node *node_new(struct pairing *pairing, const struct pair_row *row)
{
    struct pair_node *node = mem_new(struct pair_node);
    node->pairing = pairing;
    node->row = *row;
    node->key = (struct map_key){.text = node->row.serial, .len = (uint32_t)strlen(node->row.serial)};
    node->save.work = (struct work){.run = pair_store_save, .done = on_saved};
    list_init(&node->to_settle);
    list_init(&node->under_way);
    map_put(&pairing->nodes, &node->key);
    return node;
}

static void on_found(void *self, const struct pair_row *row)
{
    (void)node_new(self, row);
}

int pair_nodes_open(struct pairing *pairing)
{
    struct pair_load load = {.self = pairing, .found = on_found};
    return store_run_now(pairing->store, pair_store_load, &load);
}

static void wait_free(struct pair_wait *wait)
{
    list_remove(&wait->link);
    (void)msg_unref(wait->request);
    free(wait);
}

void pair_nodes_close(struct pairing *pairing)
{
    struct pair_node **all = pair_nodes_sorted(pairing);
    size_t count = pairing->nodes.count;
    for (size_t i = 0; i < count; i++) {
        list_for_each_safe (link, &all[i]->to_settle)
            wait_free(list_entry(link, struct pair_wait, link));
        node_free(all[i]);
    }
    free(all);
    map_done(&pairing->nodes);
}

/* ---- finding -------------------------------------------------------------------------------------------------------- */

static struct pair_node *node_of(struct map_key *key)
{
    return key ? container_of(key, struct pair_node, key) : NULL;
}

struct pair_node *pair_node_get(const struct pairing *pairing, const char *serial)
{
    return node_of(map_get(&pairing->nodes, serial, strlen(serial)));
}

struct pair_node *pair_node_of_thing(const struct pairing *pairing, const char *thing)
{
    map_for_each(i, key,
                 &pairing->nodes) if (strcmp(node_of(key)->row.thing, thing) == 0) return node_of(key);
    return NULL;
}

struct pair_node *pair_node_named(const struct pairing *pairing, const char *name, size_t len)
{
    struct pair_node *node = node_of(map_get(&pairing->nodes, name, len));
    if (node)
        return node;
    cleanup_free char *thing = str_copy_n(name, len);
    return pair_node_of_thing(pairing, thing);
}

struct pair_node *pair_node_add(struct pairing *pairing, const char *serial, const char *thing)
{
    struct pair_row row = {0};
    (void)snprintf(row.serial, sizeof row.serial, "%s", serial);
    (void)snprintf(row.thing, sizeof row.thing, "%s", thing);
    return node_new(pairing, &row);
}

static int by_serial(const void *a, const void *b)
{
    return strcmp((*(struct pair_node *const *)a)->row.serial, (*(struct pair_node *const *)b)->row.serial);
}

struct pair_node **pair_nodes_sorted(const struct pairing *pairing)
{
    struct pair_node **all = mem_new_bytes((pairing->nodes.count + 1) * sizeof *all);
    size_t count = 0;
    map_for_each(i, key, &pairing->nodes) all[count++] = node_of(key);
    qsort(all, count, sizeof *all, by_serial);
    return all;
}

/* ---- the disk -------------------------------------------------------------------------------------------------------- */

static void save_now(struct pair_node *node)
{
    node->saving = true;
    node->unsaved = false;
    node->save.row = node->row;
    list_splice(&node->under_way, &node->to_settle);
    store_submit(node->pairing->store, &node->save.work);
}

static void on_saved(struct work *work)
{
    struct pair_node *node = container_of(work, struct pair_node, save.work);
    int r = work->r;
    node->saving = false;
    explicit_bzero(&node->save.row, sizeof node->save.row);
    if (r < 0) {
        log_error("node %s: cannot be stored: %s", node->row.serial, strerror(-r));
        node->unsaved = true;
        timer_start(node->pairing->loop, &node->pairing->retry, RETRY_MS);
    }
    struct list settled;
    list_init(&settled);
    list_splice(&settled, &node->under_way);
    while (!list_is_empty(&settled)) {
        struct pair_wait *wait = list_entry(settled.next, struct pair_wait, link);
        list_remove(&wait->link);
        wait->settled(node, wait, r);
        (void)msg_unref(wait->request);
        free(wait);
    }
    if (!node->saving && (!list_is_empty(&node->to_settle) || (node->unsaved && r >= 0)))
        save_now(node);
}

void pair_node_save(struct pair_node *node, struct pair_wait *wait)
{
    if (wait)
        list_append(&node->to_settle, &wait->link);
    if (node->saving)
        node->unsaved = true;
    else
        save_now(node);
}

struct pair_wait *pair_wait_new(void (*settled)(struct pair_node *, struct pair_wait *, int),
                                struct msg *request)
{
    struct pair_wait *wait = mem_new(struct pair_wait);
    wait->settled = settled;
    wait->request = request ? msg_ref(request) : NULL;
    return wait;
}

/* ---- keys ------------------------------------------------------------------------------------------------------------ */

static int64_t wall(const struct pairing *pairing)
{
    int64_t now = loop_wall(pairing->loop);
    return now > 0 ? now : 1; /* 0 is "never" */
}

bool pair_node_make_next(struct pair_node *node)
{
    struct pair_row *row = &node->row;
    uint8_t key[PAIR_KEY_BYTES];
    if (getrandom(key, sizeof key, 0) != (ssize_t)sizeof key)
        return false;
    memcpy(row->next_key, key, sizeof key);
    explicit_bzero(key, sizeof key);
    row->next_generation = ++row->last_generation;
    node->next_kept = false;
    return true;
}

static void on_promoted(struct pair_node *node, struct pair_wait *wait, int r)
{
    if (r < 0)
        return; /* both keys are on disk still, and memory knows which one it uses */
    pair_event(node->pairing, node->row.serial, wait->state, NULL, true);
}

void pair_node_promote(struct pair_node *node)
{
    struct pair_row *row = &node->row;
    struct pairing *pairing = node->pairing;
    bool rotated = row->generation != 0 && !pair_window_get(pairing, row->serial);
    memcpy(row->key, row->next_key, PAIR_KEY_BYTES);
    explicit_bzero(row->next_key, PAIR_KEY_BYTES);
    row->generation = row->next_generation;
    row->next_generation = 0;
    row->rotated = wall(pairing);
    row->revoked = 0;
    if (!rotated)
        row->paired = row->rotated;
    node->repair_until = 0;
    struct pair_wait *wait = pair_wait_new(on_promoted, NULL);
    wait->state = rotated ? "rotated" : "paired";
    pair_node_save(node, wait);
    if (!rotated && pairing->options.paired)
        pairing->options.paired(pairing->options.ctx, row->serial, row->thing, row->model, row->firmware);
}

void pair_node_revoke(struct pair_node *node)
{
    struct pair_row *row = &node->row;
    row->generation = row->next_generation = 0;
    explicit_bzero(row->key, PAIR_KEY_BYTES);
    explicit_bzero(row->next_key, PAIR_KEY_BYTES);
    row->revoked = wall(node->pairing);
    node->repair_until = 0;
    node->origin = 0;
}

void pair_put_key(struct json_writer *w, int64_t generation, const char *serial, const uint8_t *key)
{
    char text[2 * PAIR_KEY_BYTES + 1];
    for (size_t i = 0; i < PAIR_KEY_BYTES; i++)
        (void)snprintf(text + 2 * i, 3, "%02x", key[i]);
    cleanup_free char *identity = str_printf("n:%s:%lld", serial, (long long)generation);
    json_key(w, "gen");
    json_put_int(w, generation);
    json_key(w, "id");
    json_put_string(w, identity);
    json_key(w, "key");
    json_put_string(w, text);
    explicit_bzero(text, sizeof text);
}

void pair_node_send_next(struct pair_node *node)
{
    const struct pair_row *row = &node->row;
    if (!node->origin || !row->generation || !row->next_generation || node->next_kept || node->saving)
        return;
    struct arena arena;
    arena_init(&arena);
    struct json_writer w;
    json_writer_init(&w, &arena);
    json_begin_object(&w);
    pair_put_key(&w, row->next_generation, row->serial, row->next_key);
    json_end_object(&w);
    size_t len;
    char *text = json_writer_text(&w, &len);
    cleanup_free char *topic = str_printf(TOPIC_NODE_KEY_NEXT_FORMAT, row->thing);
    cleanup(msg_unref_p) struct msg *msg = msg_new(topic, strlen(topic), text, len);
    if (msg) {
        msg->only_for = node->origin;
        bus_publish(node->pairing->bus, msg, NULL);
    }
    explicit_bzero(text, len);
    arena_done(&arena);
}

static void on_rotating(struct pair_node *node, struct pair_wait *wait, int r)
{
    if (wait->request && r < 0)
        bus_reply(node->pairing->bus, wait->request,
                  "{\"code\":500,\"message\":\"the new key could not be stored; the old one stays\"}");
    if (r < 0)
        return;
    pair_event(node->pairing, node->row.serial, "rotating", NULL, false);
    if (wait->request) {
        struct arena arena;
        arena_init(&arena);
        struct json_writer w;
        json_writer_init(&w, &arena);
        pair_put_node(&w, node);
        bus_reply(node->pairing->bus, wait->request, json_writer_text(&w, NULL));
        arena_done(&arena);
    }
    pair_node_send_next(node);
}

bool pair_node_rotate(struct pair_node *node, struct msg *request)
{
    /* One that is under way goes on. A node has room for two keys: a third would take the place of the one that it uses, and
     * beside it would be one that nobody knows here any more. */
    if (!node->row.next_generation && !pair_node_make_next(node))
        return false;
    pair_node_save(node, pair_wait_new(on_rotating, request));
    return true;
}

/* ---- telling ---------------------------------------------------------------------------------------------------------- */

const char *pair_node_state(const struct pair_node *node)
{
    const struct pair_row *row = &node->row;
    if (row->generation)
        return row->next_generation ? "rotating" : "paired";
    return row->next_generation ? "offered" : row->revoked ? "revoked" : "new";
}

bool pair_node_may_be_paired(const struct pair_node *node)
{
    bool was = node->row.generation || node->row.revoked;
    return !was || loop_now(node->pairing->loop) < node->repair_until;
}

static void put_time(struct json_writer *w, const char *key, int64_t at)
{
    json_key(w, key);
    if (at)
        json_put_int(w, at);
    else
        json_put_null(w);
}

static void put_word(struct json_writer *w, const char *key, const char *word)
{
    json_key(w, key);
    json_put_string(w, *word ? word : NULL);
}

void pair_put_node(struct json_writer *w, const struct pair_node *node)
{
    const struct pair_row *row = &node->row;
    json_begin_object(w);
    put_word(w, "serial", row->serial);
    put_word(w, "thing", row->thing);
    put_word(w, "state", pair_node_state(node));
    json_key(w, "connected");
    json_put_bool(w, node->origin != 0);
    json_key(w, "generation");
    json_put_int(w, row->generation);
    put_word(w, "model", row->model);
    put_word(w, "firmware", row->firmware);
    put_time(w, "paired", row->paired);
    put_time(w, "rotated", row->rotated);
    put_time(w, "revoked", row->revoked);
    json_key(w, "rePair");
    json_put_bool(w, loop_now(node->pairing->loop) < node->repair_until);
    json_end_object(w);
}
