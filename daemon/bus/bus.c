#include "bus/bus.h"

#include "base/log.h"
#include "base/map.h"
#include "bus/retain.h"
#include "bus/retain_store.h"
#include "bus/route.h"
#include "bus/share.h"
#include "bus/trie.h"
#include "store/store.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

/* Two structures carry the speed. The queue is a ring of (message, receipt): publishing is two stores. The routes (route.h)
 * are finished lists of who gets a topic.
 *
 * While a route is being walked, its subscribers may go: bus_unsubscribe() blanks them in the route under way. */

enum {
    QUEUE_FIRST = 256,
    REASON_QUOTA_EXCEEDED = 0x97,
    REASON_UNSPECIFIED = 0x80,
};

struct queued {
    struct msg *msg;
    struct receipt *receipt;
    bool keep_in_memory; /* retained, but not stored */
};

struct bus {
    struct loop *loop;
    struct store *store;
    struct bus_counters counters;
    uint64_t last_origin;

    struct queued *queue; /* a ring; size is a power of two */
    size_t head, queued, queue_size;
    struct task drain;

    struct trie_node trie;
    struct routes routes;
    struct route *walking;

    struct retain retain;
};

static void on_drain(struct task *task);

static int64_t wall_minus_mono(const struct bus *bus)
{
    return loop_wall(bus->loop) - loop_now(bus->loop);
}

static int on_loaded(void *self, struct msg *msg)
{
    struct bus *bus = self;
    int r = retain_put(&bus->retain, msg);
    if (r == -ENOBUFS)
        log_warning("retained messages: more are stored than the limit of %zu allows; %s is left on disk",
                    bus->retain.count_max, msg->topic);
    (void)msg_unref(msg);
    return 0;
}

int bus_new(struct bus **ret, struct loop *loop, const struct bus_options *options)
{
    struct bus *bus = mem_new(struct bus);
    bus->loop = loop;
    bus->store = options->store;
    bus->drain.run = on_drain;
    trie_init(&bus->trie);
    bus->routes.trie = &bus->trie;
    retain_init(&bus->retain, options->retained_max ? options->retained_max : 100000,
                options->retained_bytes_max ? options->retained_bytes_max : (size_t)64 << 20);
    if (bus->store) {
        struct retain_store_load load = {bus, on_loaded, wall_minus_mono(bus), loop_now(loop)};
        int r = store_run_now(bus->store, retain_store_load, &load);
        if (r < 0) {
            (void)bus_free(bus);
            return r;
        }
    }
    *ret = bus;
    return 0;
}

struct bus *bus_free(struct bus *bus)
{
    if (!bus)
        return NULL;
    loop_forget(&bus->drain);
    for (; bus->queued; bus->queued--) {
        (void)msg_unref(bus->queue[bus->head].msg);
        bus->head = (bus->head + 1) & (bus->queue_size - 1);
    }
    free(bus->queue);
    routes_done(&bus->routes);
    trie_done(&bus->trie);
    retain_done(&bus->retain);
    free(bus);
    return NULL;
}

struct loop *bus_loop(const struct bus *bus)
{
    return bus->loop;
}

const struct bus_counters *bus_counters(const struct bus *bus)
{
    ((struct bus *)bus)->counters.retained = bus->retain.count;
    ((struct bus *)bus)->counters.retained_bytes = bus->retain.bytes;
    return &bus->counters;
}

uint64_t bus_new_origin(struct bus *bus)
{
    return ++bus->last_origin;
}

/* ---- the queue -------------------------------------------------------------------------------------------------- */

static void grow_queue(struct bus *bus)
{
    size_t size = bus->queue_size ? 2 * bus->queue_size : QUEUE_FIRST;
    struct queued *queue = mem_new_bytes(size * sizeof *queue);
    for (size_t i = 0; i < bus->queued; i++)
        queue[i] = bus->queue[(bus->head + i) & (bus->queue_size - 1)];
    free(bus->queue);
    bus->queue = queue;
    bus->queue_size = size;
    bus->head = 0;
}

static void enqueue(struct bus *bus, struct msg *msg, struct receipt *receipt, bool keep_in_memory)
{
    if (bus->queued == bus->queue_size)
        grow_queue(bus);
    receipt_hold(receipt);
    bus->queue[(bus->head + bus->queued++) & (bus->queue_size - 1)] =
        (struct queued){msg_ref(msg), receipt, keep_in_memory};
    bus->counters.published++;
    loop_at(bus->loop, LOOP_ROUTE, &bus->drain);
}

void bus_publish(struct bus *bus, struct msg *msg, struct receipt *receipt)
{
    enqueue(bus, msg, receipt, false);
}

void bus_say(struct bus *bus, const char *topic, const char *text, enum bus_retain retain)
{
    cleanup(msg_unref_p) struct msg *msg = msg_new(topic, strlen(topic), text, strlen(text));
    if (!msg)
        return;
    msg->qos = 1;
    msg->retain = retain != BUS_PASS;
    msg->born = loop_now(bus->loop);
    enqueue(bus, msg, NULL, retain == BUS_KEEP);
}

static void ask(struct bus *bus, const char *topic, const char *text, const char *answer_topic, uint8_t qos)
{
    /* Response Topic: one property, 0x08 and a length of two bytes [MQTT 5, 3.3.2.3.5]. */
    size_t len = strlen(answer_topic);
    assert(len <= MSG_TOPIC_MAX);
    cleanup_free uint8_t *bytes = mem_new_bytes(len + 3);
    bytes[0] = 0x08;
    bytes[1] = (uint8_t)(len >> 8);
    bytes[2] = (uint8_t)len;
    memcpy(bytes + 3, answer_topic, len);
    struct msg_props props = {bytes, len + 3, 3, len, SIZE_MAX, 0};
    cleanup(msg_unref_p) struct msg *msg = msg_new_props(topic, strlen(topic), &props, text, strlen(text));
    if (!msg)
        return;
    msg->qos = qos;
    msg->is_secret = !qos;
    msg->born = loop_now(bus->loop);
    enqueue(bus, msg, NULL, false);
}

void bus_ask(struct bus *bus, const char *topic, const char *text, const char *answer_topic)
{
    ask(bus, topic, text, answer_topic, 1);
}

void bus_ask_in_passing(struct bus *bus, const char *topic, const char *text, const char *answer_topic)
{
    ask(bus, topic, text, answer_topic, 0);
}

static void reply(struct bus *bus, const struct msg *request, const char *text, uint8_t qos)
{
    if (!request->response_topic)
        return;
    /* Correlation Data goes back as it came: one property, 0x09 and a length of two bytes [MQTT 5, 3.3.2.3.6]. */
    size_t len = request->correlation ? 3u + request->correlation_len : 0;
    cleanup_free uint8_t *bytes = len ? malloc(len) : NULL;
    if (len && !bytes)
        return;
    if (len) {
        bytes[0] = 0x09;
        bytes[1] = (uint8_t)(request->correlation_len >> 8);
        bytes[2] = (uint8_t)request->correlation_len;
        memcpy(bytes + 3, request->correlation, request->correlation_len);
    }
    struct msg_props props = {bytes, len, SIZE_MAX, 0, len ? 3 : SIZE_MAX, request->correlation_len};
    cleanup(msg_unref_p) struct msg *msg =
        msg_new_props(request->response_topic, request->response_topic_len, &props, text, strlen(text));
    if (!msg)
        return;
    msg->qos = qos;
    msg->hops = (uint8_t)(request->hops + 1);
    msg->born = loop_now(bus->loop);
    enqueue(bus, msg, NULL, false);
}

void bus_reply(struct bus *bus, const struct msg *request, const char *text)
{
    reply(bus, request, text, 1);
}

void bus_reply_in_passing(struct bus *bus, const struct msg *request, const char *text)
{
    reply(bus, request, text, 0);
}

/* Makes no route: topics that nobody hears would push others out of the cache. */
bool bus_is_heard(struct bus *bus, const char *topic, size_t topic_len)
{
    return routes_has_listener(&bus->routes, topic, topic_len);
}

/* ---- routing ---------------------------------------------------------------------------------------------------- */

struct retain_put {
    struct work work;
    struct bus *bus;
    struct msg *msg;
    struct receipt *receipt;
    int64_t wall_minus_mono;
};

static void retain_put_run(struct work *work, void *db)
{
    struct retain_put *put = container_of(work, struct retain_put, work);
    work->r = retain_store_put(db, put->msg, put->wall_minus_mono);
}

static void retain_put_done(struct work *work)
{
    struct retain_put *put = container_of(work, struct retain_put, work);
    if (work->r < 0)
        log_error("state.db: retained message on %s: %s", put->msg->topic, strerror(-work->r));
    receipt_settle(put->receipt, work->r);
    (void)msg_unref(put->msg);
    free(put);
}

static void retain_message(struct bus *bus, struct msg *msg, struct receipt *receipt, bool keep_in_memory)
{
    int r = retain_put(&bus->retain, msg);
    if (r < 0) {
        bus->counters.retained_refused++;
        receipt_hold(receipt);
        receipt_settle(receipt, REASON_QUOTA_EXCEEDED);
        return;
    }
    if (!bus->store || keep_in_memory)
        return;
    struct retain_put *put = mem_new(struct retain_put);
    *put = (struct retain_put){.work = {.run = retain_put_run, .done = retain_put_done},
                               .bus = bus,
                               .msg = msg_ref(msg),
                               .receipt = receipt,
                               .wall_minus_mono = wall_minus_mono(bus)};
    receipt_hold(receipt);
    store_submit(bus->store, &put->work);
}

static bool deliver_shared(struct bus *bus, struct share *share, struct msg *msg, struct receipt *receipt,
                           const struct subscriber *except, enum bus_readiness wanted)
{
    struct subscription *member = share_choose(share, msg, except, wanted);
    if (!member)
        return false;
    uint32_t id = member->id;
    struct delivery delivery = {
        .qos = member->qos < msg->qos ? member->qos : msg->qos,
        .retain = msg->retain && member->retain_as_published,
        .id_count = id != 0,
        .ids = &id,
        .share = share,
    };
    bus->counters.delivered++;
    member->subscriber->deliver(member->subscriber, msg, &delivery, receipt);
    return true;
}

bool bus_share_again(struct bus *bus, struct share *share, struct msg *msg, const struct subscriber *except,
                     bool connected)
{
    return deliver_shared(bus, share, msg, NULL, except, connected ? BUS_BUSY : BUS_AWAY);
}

static void deliver_all(struct bus *bus, struct route *route, struct msg *msg, struct receipt *receipt)
{
    bus->walking = route;
    for (size_t i = 0; i < route->count; i++) {
        const struct target *target = &route->targets[i];
        struct subscriber *subscriber = target->subscriber;
        if (msg->only_for && (!subscriber || subscriber->origin != msg->only_for))
            continue;
        if (target->share)
            (void)deliver_shared(bus, target->share, msg, receipt, NULL, BUS_AWAY);
        const struct terms *terms =
            subscriber && msg->origin && msg->origin == subscriber->origin ? &target->own : &target->all;
        if (!subscriber || !terms->any) /* [MQTT-3.8.3-3] */
            continue;
        struct delivery delivery = {
            .qos = terms->qos < msg->qos ? terms->qos : msg->qos,
            .retain = msg->retain && terms->retain_as_published,
            .id_count = terms->id_count,
            .ids = terms->id_count ? route->ids + target->first_id : NULL,
        };
        bus->counters.delivered++;
        subscriber->deliver(subscriber, msg, &delivery, receipt);
    }
    bus->walking = NULL;
}

static void route_one(struct bus *bus, struct queued *queued)
{
    struct msg *msg = queued->msg;
    if (msg->hops > MSG_HOPS_MAX) {
        bus->counters.hops_exceeded++;
        log_warning("a message on %s was republished more than %d times: dropped, there is a loop",
                    msg->topic, MSG_HOPS_MAX);
        receipt_settle(queued->receipt, REASON_UNSPECIFIED);
        return;
    }
    if (msg->retain)
        retain_message(bus, msg, queued->receipt, queued->keep_in_memory);
    struct route *route = routes_find(&bus->routes, msg);
    if (route->count)
        deliver_all(bus, route, msg, queued->receipt);
    else
        bus->counters.unmatched++;
    receipt_settle(queued->receipt, 0);
}

static void on_drain(struct task *task)
{
    bus_route(container_of(task, struct bus, drain));
}

void bus_route(struct bus *bus)
{
    assert(!bus->walking);
    while (bus->queued) {
        struct queued queued = bus->queue[bus->head]; /* the ring may move while it is being delivered */
        bus->head = (bus->head + 1) & (bus->queue_size - 1);
        bus->queued--;
        route_one(bus, &queued);
        (void)msg_unref(queued.msg);
    }
    if (bus->queue_size > 64 * QUEUE_FIRST) { /* give a peak's memory back */
        free(bus->queue);
        bus->queue = NULL;
        bus->queue_size = bus->head = 0;
    }
}

/* ---- subscribing ------------------------------------------------------------------------------------------------ */

void bus_subscribe(struct bus *bus, struct subscription *subscription, const char *filter, size_t filter_len)
{
    assert(!subscription->node);
    subscription->filter = str_copy_n(filter, filter_len);
    trie_add(&bus->trie, subscription, filter, filter_len);
    bus->routes.generation++;
    bus->counters.subscriptions++;
}

void bus_subscribe_to(struct bus *bus, struct subscription *subscription, struct subscriber *subscriber,
                      const char *filter)
{
    *subscription = (struct subscription){.subscriber = subscriber, .qos = 1};
    bus_subscribe(bus, subscription, filter, strlen(filter));
}

void bus_unsubscribe(struct bus *bus, struct subscription *subscription)
{
    if (!subscription->node)
        return;
    for (size_t i = 0; bus->walking && !subscription->share && i < bus->walking->count; i++)
        if (bus->walking->targets[i].subscriber == subscription->subscriber)
            bus->walking->targets[i].subscriber = NULL;
    trie_remove(subscription);
    free((char *)subscription->filter);
    subscription->filter = NULL;
    bus->routes.generation++;
    bus->counters.subscriptions--;
}

static void on_retained(void *self, struct msg *msg)
{
    struct subscription *subscription = self;
    struct delivery delivery = {
        .qos = subscription->qos < msg->qos ? subscription->qos : msg->qos,
        .retain = true,
        .id_count = subscription->id != 0,
        .ids = &subscription->id,
    };
    subscription->subscriber->deliver(subscription->subscriber, msg, &delivery, NULL);
}

void bus_send_retained(struct bus *bus, struct subscription *subscription)
{
    if (subscription->share)
        return;
    retain_match(&bus->retain, subscription->filter, strlen(subscription->filter), loop_now(bus->loop),
                 on_retained, subscription);
}
