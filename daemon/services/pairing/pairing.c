#include "services/pairing/pair_inside.h"

#include "base/log.h"
#include "bus/topics.h"

#include <stdio.h>
#include <string.h>

/* What nodes say on their topics, and what their handshakes say about them. A message counts only if its publisher has proven
 * with his key that it is about himself. */

enum { HOUR_MS = 3600000 };

/* ---- small things --------------------------------------------------------------------------------------------------- */

static void on_expel(struct task *task)
{
    struct pairing *pairing = container_of(task, struct pairing, expel);
    for (struct list *link; (link = list_pop(&pairing->expelled));) {
        struct pair_expelled *expelled = list_entry(link, struct pair_expelled, link);
        if (pairing->options.expel)
            pairing->options.expel(pairing->options.ctx, expelled->principal, expelled->why);
        free(expelled->principal);
        free(expelled);
    }
}

/* Later, because this may be a handshake of the one it is about. */
void pair_expel(struct pairing *pairing, const char *role, const char *serial, const char *why)
{
    struct pair_expelled *expelled = mem_new(struct pair_expelled);
    expelled->principal = str_printf("%s:%s", role, serial);
    expelled->why = why;
    list_append(&pairing->expelled, &expelled->link);
    loop_at(pairing->loop, LOOP_ROUTE, &pairing->expel);
}

void pair_note(struct pairing *pairing, const char *who, const char *what, const char *serial,
               const char *reason)
{
    if (pairing->options.note)
        pairing->options.note(pairing->options.ctx, who, what, serial, reason);
}

static bool is_from(const struct msg *msg, const char *role, const char *serial)
{
    cleanup_free char *name = str_printf("%s:%s", role, serial);
    return msg->from && msg->from->principal && strcmp(msg->from->principal, name) == 0;
}

/* ---- hello ------------------------------------------------------------------------------------------------------------ */

static void send_offer(struct pair_node *node, uint64_t origin)
{
    const struct pair_row *row = &node->row;
    struct pairing *pairing = node->pairing;
    struct arena arena;
    arena_init(&arena);
    struct json_writer w;
    json_writer_init(&w, &arena);
    json_begin_object(&w);
    json_key(&w, "v");
    json_put_int(&w, 1);
    pair_put_key(&w, row->next_generation, row->serial, row->next_key);
    json_key(&w, "thing");
    json_put_string(&w, row->thing);
    if (pairing->host) {
        json_key(&w, "host");
        json_put_string(&w, pairing->host);
    }
    if (pairing->port) {
        json_key(&w, "port");
        json_put_uint(&w, pairing->port);
    }
    if (clock_was_set(loop_wall(pairing->loop))) {
        json_key(&w, "time");
        json_put_int(&w, loop_wall(pairing->loop) / 1000);
    }
    json_end_object(&w);
    size_t len;
    char *text = json_writer_text(&w, &len);
    cleanup_free char *topic = str_printf(TOPIC_PAIR_OFFER_FORMAT, row->serial);
    cleanup(msg_unref_p) struct msg *msg = msg_new(topic, strlen(topic), text, len);
    if (msg) {
        msg->only_for = origin;
        bus_publish(pairing->bus, msg, NULL);
    }
    explicit_bzero(text, len);
    arena_done(&arena);
}

static void on_offered(struct pair_node *node, struct pair_wait *wait, int r)
{
    node->offering = false;
    if (r < 0 || !node->row.next_generation || !pair_window_get(node->pairing, node->row.serial))
        return; /* it will say hello again */
    pair_event(node->pairing, node->row.serial, "offered", NULL, false);
    send_offer(node, wait->origin);
}

static void on_hello(struct pairing *pairing, const struct msg *msg, const char *serial)
{
    struct pair_window *window = pair_window_get(pairing, serial);
    if (!window || !is_from(msg, "pair", serial))
        return;
    struct pair_hello hello = {0};
    const char *expected = pair_hello_read((const char *)msg->payload, msg->payload_len, &hello);
    if (expected) {
        log_info("node %s: hello: %s", serial, expected);
        return;
    }
    struct pair_node *node = pair_node_get(pairing, serial);
    if (!node)
        node = pair_node_add(pairing, serial, window->thing);
    if (node->offering)
        return; /* the same, twice */
    if (!node->row.generation)
        (void)snprintf(node->row.thing, sizeof node->row.thing, "%s", window->thing);
    (void)snprintf(node->row.model, sizeof node->row.model, "%s", hello.model);
    (void)snprintf(node->row.firmware, sizeof node->row.firmware, "%s", hello.firmware);
    if (!pair_node_make_next(node)) {
        log_error("node %s: there are no random numbers for a key", serial);
        return;
    }
    node->offering = true;
    struct pair_wait *wait = pair_wait_new(on_offered, NULL);
    wait->origin = msg->origin;
    pair_node_save(node, wait);
}

/* ---- what else nodes say ------------------------------------------------------------------------------------------------ */

static void on_commit(struct pairing *pairing, const struct msg *msg, const char *serial)
{
    struct pair_node *node = pair_node_get(pairing, serial);
    int64_t generation = pair_commit_read((const char *)msg->payload, msg->payload_len);
    if (!node || !is_from(msg, "pair", serial) || generation != node->row.next_generation || !generation)
        return;
    log_info("node %s: has kept its key of generation %lld", serial, (long long)generation);
}

static void on_refuse(struct pairing *pairing, const struct msg *msg, const char *serial)
{
    char reason[PAIR_WORD_MAX + 1];
    if (!is_from(msg, "pair", serial) || !pair_window_get(pairing, serial))
        return;
    pair_refuse_read((const char *)msg->payload, msg->payload_len, reason);
    pair_event(pairing, serial, "refused", *reason ? reason : "the node does not say why", true);
}

/* The thing's name in gh/nodes/THING/…: the node that is it, if it is he who says it. */
static struct pair_node *speaker(struct pairing *pairing, const struct msg *msg)
{
    static const char head[] = "gh/nodes/", prefix[] = "psk:";
    const char *name = msg->from ? msg->from->principal : NULL;
    if (!name || strncmp(name, prefix, sizeof prefix - 1) != 0)
        return NULL;
    struct pair_node *node = pair_node_get(pairing, name + sizeof prefix - 1);
    size_t len = node ? strlen(node->row.thing) : 0;
    return node && msg->topic_len > sizeof head + len &&
                   memcmp(msg->topic + sizeof head - 1, node->row.thing, len) == 0 &&
                   msg->topic[sizeof head - 1 + len] == '/'
               ? node
               : NULL;
}

static void on_online(struct pairing *pairing, const struct msg *msg)
{
    struct pair_node *node = speaker(pairing, msg);
    if (!node)
        return;
    if (msg->payload_len == 1 && *msg->payload == '1') {
        node->origin = msg->origin;
        pair_node_send_next(node);
    } else if (node->origin == msg->origin) {
        node->origin = 0;
    }
}

static void on_kept(struct pairing *pairing, const struct msg *msg)
{
    struct pair_node *node = speaker(pairing, msg);
    int64_t generation = pair_commit_read((const char *)msg->payload, msg->payload_len);
    if (node && generation && generation == node->row.next_generation)
        node->next_kept = true; /* it need not be told again; that it uses it is what counts */
}

static bool topic_ends(const struct msg *msg, const char *end)
{
    size_t len = strlen(end);
    return msg->topic_len > len && memcmp(msg->topic + msg->topic_len - len, end, len) == 0;
}

static void on_message(struct subscriber *subscriber, struct msg *msg, const struct delivery *delivery,
                       struct receipt *receipt)
{
    (void)delivery, (void)receipt;
    struct pairing *pairing = container_of(subscriber, struct pairing, subscriber);
    char serial[PAIR_SERIAL_MAX + 1];
    if (topic_ends(msg, "/online"))
        on_online(pairing, msg);
    else if (topic_ends(msg, "/key/commit"))
        on_kept(pairing, msg);
    else if (!pair_topic_serial(msg->topic, msg->topic_len, serial))
        return;
    else if (topic_ends(msg, "/hello"))
        on_hello(pairing, msg, serial);
    else if (topic_ends(msg, "/commit"))
        on_commit(pairing, msg, serial);
    else if (topic_ends(msg, "/refuse"))
        on_refuse(pairing, msg, serial);
}

/* ---- handshakes ---------------------------------------------------------------------------------------------------------- */

static bool find_node_key(const struct pairing *pairing, const struct pair_identity *identity,
                          uint8_t key[PAIR_KEY_BYTES])
{
    const struct pair_node *node = pair_node_get(pairing, identity->serial);
    if (!node)
        return false;
    bool is_next = identity->generation == node->row.next_generation;
    if (!is_next && identity->generation != node->row.generation)
        return false;
    memcpy(key, is_next ? node->row.next_key : node->row.key, PAIR_KEY_BYTES);
    return true;
}

/* A window that was opened for a cable has a key that everybody knows: it is none for the network. */
bool pairing_find(struct pairing *pairing, enum pairing_way way, const char *text,
                  uint8_t key[PAIRING_KEY_BYTES])
{
    struct pair_identity identity;
    if (!pair_identity_read(text, strlen(text), &identity))
        return false;
    if (identity.role == PAIR_ROLE_NODE)
        return find_node_key(pairing, &identity, key);
    bool at_cable = identity.role == PAIR_ROLE_CABLE;
    if (at_cable && way == PAIRING_NETWORK)
        return false;
    const struct pair_window *window = pair_window_get(pairing, identity.serial);
    if (at_cable && way == PAIRING_BENCH && !window)
        window = pair_window_at_bench(pairing, identity.serial);
    if (!window || window->at_cable != at_cable)
        return false;
    memcpy(key, window->key, PAIR_KEY_BYTES);
    return true;
}

static void node_tried(struct pairing *pairing, const struct pair_identity *identity, const char *from,
                       bool known, bool good)
{
    struct pair_node *node = pair_node_get(pairing, identity->serial);
    if (!good) {
        cleanup_free char *reason =
            str_printf("%s: n:%s:%lld: %s", from, identity->serial, (long long)identity->generation,
                       known ? "its key is wrong" : "there is no such key");
        pair_note(pairing, from, "refused/connect", identity->serial, reason);
        return;
    }
    if (!node || identity->generation != node->row.next_generation)
        return;
    pair_node_promote(node);
    struct pair_window *window = pair_window_get(pairing, identity->serial);
    if (window)
        pair_window_close(window);
}

void pairing_tried(struct pairing *pairing, enum pairing_way way, const char *text, const char *from,
                   bool known, bool good)
{
    struct pair_identity identity;
    if (!pair_identity_read(text, strlen(text), &identity)) {
        pair_note(pairing, from, "refused/connect", text, "no node has such an identity");
        return;
    }
    if (identity.role == PAIR_ROLE_NODE) {
        node_tried(pairing, &identity, from, known, good);
        return;
    }
    struct pair_window *window = pair_window_get(pairing, identity.serial);
    bool at_cable = identity.role == PAIR_ROLE_CABLE;
    if (at_cable && way == PAIRING_NETWORK)
        pair_note(pairing, from, "refused/connect", identity.serial, "this identity is for a cable");
    else if (at_cable && known && !good)
        pair_note(pairing, from, "refused/connect", identity.serial, "its key is not the one for cables");
    else if (good && window)
        pair_window_used(window);
    else if (known && !good && window)
        pair_window_failed(window, from);
    else if (!known)
        pair_asked(pairing, identity.serial, from, at_cable);
}

struct principal *pairing_who(struct pairing *pairing, const char *text)
{
    struct pair_identity identity;
    if (!pair_identity_read(text, strlen(text), &identity))
        return NULL;
    const struct pair_node *node = pair_node_get(pairing, identity.serial);
    const struct pair_window *window = pair_window_get(pairing, identity.serial);
    switch (identity.role) {
    case PAIR_ROLE_PAIRING:
    case PAIR_ROLE_CABLE:
        return window && window->at_cable == (identity.role == PAIR_ROLE_CABLE)
                   ? principal_new_pairing(identity.serial)
                   : NULL;
    case PAIR_ROLE_NODE:
        return node && node->row.generation == identity.generation
                   ? principal_new_paired(node->row.serial, node->row.thing)
                   : NULL;
    }
    return NULL;
}

void pairing_listens(struct pairing *pairing, const char *host, uint16_t port)
{
    pairing->listens = true;
    if (pairing->port || !port)
        return; /* offers say the first */
    pairing->host = str_copy(host);
    pairing->port = port;
}

/* ---- life ----------------------------------------------------------------------------------------------------------------- */

/* Keys that are old are replaced. What is old says the wall's clock, so it has to be set. */
static void on_hour(struct timer *timer)
{
    struct pairing *pairing = container_of(timer, struct pairing, hourly);
    int64_t now = loop_wall(pairing->loop), age = pairing->options.key_age_s * 1000;
    timer_start(pairing->loop, timer, HOUR_MS);
    if (!age || !clock_was_set(now))
        return;
    map_for_each(i, key, &pairing->nodes)
    {
        struct pair_node *node = container_of(key, struct pair_node, key);
        const struct pair_row *row = &node->row;
        if (row->generation && !row->next_generation && clock_was_set(row->rotated) &&
            now - row->rotated >= age)
            (void)pair_node_rotate(node, NULL);
    }
}

static void on_retry(struct timer *timer)
{
    struct pairing *pairing = container_of(timer, struct pairing, retry);
    map_for_each(i, key, &pairing->nodes)
    {
        struct pair_node *node = container_of(key, struct pair_node, key);
        if (node->unsaved && !node->saving)
            pair_node_save(node, NULL);
    }
}

int pairing_new(struct pairing **ret, struct bus *bus, struct store *store,
                const struct pairing_options *options)
{
    struct pairing *pairing = mem_new(struct pairing);
    pairing->bus = bus;
    pairing->loop = bus_loop(bus);
    pairing->store = store;
    pairing->options = *options;
    pairing->subscriber.deliver = on_message;
    pairing->expel.run = on_expel;
    pairing->hourly.fire = on_hour;
    pairing->retry.fire = on_retry;
    list_init(&pairing->windows);
    list_init(&pairing->watches);
    list_init(&pairing->expelled);
    bus_subscribe_to(bus, &pairing->hello, &pairing->subscriber, TOPIC_PAIR_HELLO_FILTER);
    bus_subscribe_to(bus, &pairing->commit, &pairing->subscriber, TOPIC_PAIR_COMMIT_FILTER);
    bus_subscribe_to(bus, &pairing->refuse, &pairing->subscriber, TOPIC_PAIR_REFUSE_FILTER);
    bus_subscribe_to(bus, &pairing->kept, &pairing->subscriber, TOPIC_NODE_KEY_COMMIT_FILTER);
    bus_subscribe_to(bus, &pairing->online, &pairing->subscriber, TOPIC_NODE_ONLINE_FILTER);
    pair_ctl_open(pairing);
    timer_start(pairing->loop, &pairing->hourly, HOUR_MS);
    int r = pair_nodes_open(pairing);
    if (r < 0) {
        (void)pairing_free(pairing);
        return r;
    }
    *ret = pairing;
    return 0;
}

struct pairing *pairing_free(struct pairing *pairing)
{
    if (!pairing)
        return NULL;
    pair_ctl_close(pairing);
    timer_stop(pairing->loop, &pairing->hourly);
    timer_stop(pairing->loop, &pairing->retry);
    bus_unsubscribe(pairing->bus, &pairing->hello);
    bus_unsubscribe(pairing->bus, &pairing->commit);
    bus_unsubscribe(pairing->bus, &pairing->refuse);
    bus_unsubscribe(pairing->bus, &pairing->kept);
    bus_unsubscribe(pairing->bus, &pairing->online);
    pair_windows_close(pairing);
    loop_forget(&pairing->expel);
    pairing->options.expel = NULL; /* everybody is gone */
    on_expel(&pairing->expel);
    pair_nodes_close(pairing);
    free(pairing->host);
    free(pairing);
    return NULL;
}
