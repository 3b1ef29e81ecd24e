/* Requests come in: which shadow they are for, and whether there is room for them.
 *
 *      bus ─▶ door (one a filter) ─▶ name valid? ─▶ room? ─▶ the twin's queue ─▶ … ─▶ request_done()
 *                                      no: 400       no: 429
 *
 * Only the six request topics are listened to, so an answer is never taken for a request.
 */
#include "services/shadow/shadow.h"

#include "base/topic.h"
#include "bus/topics.h"
#include "services/shadow/shadow_list.h"
#include "services/shadow/shadow_twin.h"

#include <errno.h>
#include <string.h>

enum { PURGE_EVERY = 3600 * 1000, PURGE_AGAIN = 1000 };

/* ---- names -------------------------------------------------------------------------------------------------------- */

/* [a-zA-Z0-9:_-]+ */
static bool is_name(const char *text, size_t len, size_t max)
{
    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == ':' ||
              c == '_' || c == '-'))
            return false;
    }
    return len >= 1 && len <= max;
}

bool shadow_thing_is_valid(const char *thing, size_t len)
{
    return is_name(thing, len, SHADOW_THING_MAX);
}

/* The house may use names that begin with $, like AWS IoT's own $package. */
bool shadow_name_is_valid(const char *name, size_t len, bool from_house)
{
    bool reserved = from_house && len && *name == '$';
    return is_name(name + reserved, len - reserved, SHADOW_NAME_MAX - reserved);
}

/* ---- room --------------------------------------------------------------------------------------------------------- */

/* The connection's requests to that thing. Without `make`, NULL when there are none; always for the house. */
static struct client *client_of(struct shadow *shadow, uint64_t origin, const struct topic_piece *thing,
                                bool make)
{
    if (!origin)
        return NULL;
    char text[sizeof origin + SHADOW_THING_MAX];
    size_t len = sizeof origin + thing->len;
    memcpy(text, &origin, sizeof origin);
    memcpy(text + sizeof origin, thing->text, thing->len);
    struct map_key *key = map_get(&shadow->clients, text, len);
    if (key)
        return container_of(key, struct client, key);
    if (!make)
        return NULL;
    struct client *client = mem_new_bytes(sizeof *client + len);
    memcpy(client + 1, text, len);
    client->key.text = (char *)(client + 1);
    client->key.len = (uint32_t)len;
    map_put(&shadow->clients, &client->key);
    return client;
}

static bool has_room(const struct shadow *shadow, const struct client *client, const struct msg *msg)
{
    const struct shadow_options *options = &shadow->options;
    return shadow->counters.waiting < options->requests_max &&
           shadow->waiting_bytes + msg_cost(msg) <= options->request_bytes_max &&
           (!client || client->waiting < options->requests_of_client_max);
}

void request_done(struct shadow *shadow, struct request *request, int r)
{
    shadow->counters.waiting--;
    shadow->waiting_bytes -= msg_cost(request->msg);
    if (request->client && --request->client->waiting == 0) {
        map_remove(&shadow->clients, &request->client->key);
        free(request->client);
    }
    for (size_t i = 0; i < array_size(request->answers); i++)
        (void)msg_unref(request->answers[i]);
    (void)msg_unref(request->msg);
    (void)msg_unref(request->asker);
    receipt_settle(request->receipt, r);
    free(request);
}

static struct request *new_request(struct shadow *shadow, enum shadow_verb verb, struct msg *msg)
{
    struct request *request = mem_new(struct request);
    request->verb = verb;
    request->msg = msg_ref(msg);
    shadow->counters.waiting++;
    shadow->waiting_bytes += msg_cost(msg);
    return request;
}

/* ---- the door ----------------------------------------------------------------------------------------------------- */

static void on_request(struct subscriber *subscriber, struct msg *msg, const struct delivery *delivery,
                       struct receipt *receipt)
{
    (void)delivery;
    static const struct shadow_refusal bad_thing = {400, "Invalid thing name"},
                                       bad_name = {400, "Invalid shadow name"},
                                       too_large = {413, "The payload exceeds the maximum size allowed"},
                                       too_many = {429, "Too many requests"};
    struct door *door = container_of(subscriber, struct door, subscriber);
    struct shadow *shadow = door->shadow;
    struct topic_piece pieces[2] = {{"", 0}, {"", 0}};
    int n = topic_pieces(door->filter, msg->topic, msg->topic_len, pieces, 2);
    if (msg->is_will) /* AWS IoT: a will is not a request */
        return;

    shadow->counters.requests++;
    const struct shadow_refusal *refusal = NULL;
    if (!shadow_thing_is_valid(pieces[0].text, pieces[0].len))
        refusal = &bad_thing;
    else if (n == 2 && !shadow_name_is_valid(pieces[1].text, pieces[1].len, msg->origin == 0))
        refusal = &bad_name;
    else if (msg->payload_len > SHADOW_REQUEST_MAX)
        refusal = &too_large;
    if (refusal) {
        shadow_reject(shadow, msg, refusal);
        return;
    }
    if (!has_room(shadow, client_of(shadow, msg->origin, &pieces[0], false), msg)) {
        shadow_reject(shadow, msg, &too_many);
        return;
    }

    struct request *request = new_request(shadow, door->verb, msg);
    request->receipt = receipt;
    receipt_hold(receipt);
    request->client = client_of(shadow, msg->origin, &pieces[0], true);
    if (request->client)
        request->client->waiting++;
    twin_enqueue(twin_of(shadow, pieces[0].text, pieces[0].len, pieces[1].text, pieces[1].len), request);
}

bool shadow_update_for(struct shadow *shadow, struct msg *update, struct msg *asker, struct shadow_key key)
{
    if (!has_room(shadow, NULL, update))
        return false;
    struct request *request = new_request(shadow, SHADOW_UPDATE, update);
    request->asker = msg_ref(asker);
    twin_enqueue(twin_of(shadow, key.thing, strlen(key.thing), key.name, strlen(key.name)), request);
    return true;
}

/* ---- what is over ------------------------------------------------------------------------------------------------- */

static void on_purged(struct work *work)
{
    struct shadow *shadow = container_of(work, struct shadow, purge.work);
    timer_start(shadow->loop, &shadow->purge_timer,
                work->r == 0 && shadow->purge.again ? PURGE_AGAIN : PURGE_EVERY);
}

/* Tombstones that are over are taken for none when they are read, and records that are too old are not shown; removing
 * their rows only gives room back. */
static void on_purge_timer(struct timer *timer)
{
    struct shadow *shadow = container_of(timer, struct shadow, purge_timer);
    int64_t now_s = loop_wall(shadow->loop) / 1000;
    shadow->purge = (struct shadow_purge){
        .work = {.run = shadow_store_purge, .done = on_purged},
        .first_s = SHADOW_CLOCK_IS_SET_S,
        .tombstones_s = now_s - SHADOW_TOMBSTONE_S,
        .history_s = shadow->history.age_s ? now_s - shadow->history.age_s : INT64_MIN,
        .after = shadow->purge.again ? shadow->purge.after : 0,
    };
    store_submit(shadow->store, &shadow->purge.work);
}

/* ---- wiring ------------------------------------------------------------------------------------------------------- */

static const struct {
    const char *filter;
    enum shadow_verb verb;
} doors[] = {
    {TOPIC_SHADOW_GET_FILTER, SHADOW_GET},
    {TOPIC_SHADOW_UPDATE_FILTER, SHADOW_UPDATE},
    {TOPIC_SHADOW_DELETE_FILTER, SHADOW_DELETE},
    {TOPIC_SHADOW_NAMED_GET_FILTER, SHADOW_GET},
    {TOPIC_SHADOW_NAMED_UPDATE_FILTER, SHADOW_UPDATE},
    {TOPIC_SHADOW_NAMED_DELETE_FILTER, SHADOW_DELETE},
};

static void set_default(size_t *option, size_t value)
{
    if (!*option)
        *option = value;
}

static void set_options(struct shadow *shadow, const struct shadow_options *options)
{
    shadow->options = *options;
    set_default(&shadow->options.cache_bytes, 16 * 1024 * 1024);
    set_default(&shadow->options.requests_max, 16384);
    set_default(&shadow->options.request_bytes_max, 16 * 1024 * 1024);
    set_default(&shadow->options.requests_of_client_max, 10);
    set_default(&shadow->options.named_max, 64);
    set_default(&shadow->options.document_bytes_max, SHADOW_DOCUMENT_MAX);
    set_default(&shadow->options.history_count, SHADOW_HISTORY_COUNT);
    set_default(&shadow->options.history_age_s, SHADOW_HISTORY_AGE_S);
    set_default(&shadow->options.history_bytes, SHADOW_HISTORY_BYTES);
    shadow->history =
        (struct shadow_history_limits){shadow->options.no_history ? 0 : shadow->options.history_count,
                                       (int64_t)shadow->options.history_age_s, shadow->options.history_bytes};
    shadow->limits = (struct shadow_limits){shadow->options.document_bytes_max,
                                            options->levels_max ? options->levels_max : SHADOW_LEVELS_MAX};
}

int shadow_new(struct shadow **ret, struct bus *bus, struct store *store,
               const struct shadow_options *options)
{
    struct shadow *shadow = mem_new(struct shadow);
    shadow->bus = bus;
    shadow->loop = bus_loop(bus);
    shadow->store = store;
    set_options(shadow, options);
    list_init(&shadow->cold);
    list_init(&shadow->ready);
    list_init(&shadow->resting);
    shadow->pump.run = on_shadow_pump;
    shadow->rest.run = on_shadow_rest;
    shadow->purge_timer.fire = on_purge_timer;
    timer_start(shadow->loop, &shadow->purge_timer, PURGE_EVERY);
    for (size_t i = 0; i < array_size(doors); i++) {
        struct door *door = &shadow->doors[i];
        door->shadow = shadow;
        door->filter = doors[i].filter;
        door->verb = doors[i].verb;
        door->subscriber.deliver = on_request;
        bus_subscribe_to(bus, &door->subscription, &door->subscriber, door->filter);
    }
    shadow->ctl = shadow_ctl_new(shadow);
    shadow->list = shadow_list_new(bus, store);
    *ret = shadow;
    return 0;
}

struct shadow *shadow_free(struct shadow *shadow)
{
    if (!shadow)
        return NULL;
    for (size_t i = 0; i < array_size(doors); i++)
        bus_unsubscribe(shadow->bus, &shadow->doors[i].subscription);
    store_quiesce(shadow->store);
    shadow->ctl = shadow_ctl_free(shadow->ctl);
    shadow->list = shadow_list_free(shadow->list);
    loop_forget(&shadow->pump);
    loop_forget(&shadow->rest);
    timer_stop(shadow->loop, &shadow->purge_timer);
    struct list *lists[] = {&shadow->cold, &shadow->ready, &shadow->resting};
    for (size_t i = 0; i < array_size(lists); i++)
        while (!list_is_empty(lists[i])) {
            struct twin *twin = list_entry(lists[i]->next, struct twin, link);
            shadow_settle_all(shadow, &twin->queue, -ECANCELED);
            twin_forget(twin);
        }
    map_done(&shadow->twins);
    map_done(&shadow->clients);
    arena_done(&shadow->arena);
    free(shadow);
    return NULL;
}

const struct shadow_counters *shadow_counters(const struct shadow *shadow)
{
    return &shadow->counters;
}
