#include "services/ctl/ctl.h"

#include "base/json_write.h"
#include "bus/topics.h"

#include <string.h>
#include <unistd.h>

struct ctl {
    struct subscriber subscriber;
    struct subscription status;
    struct bus *bus;
    struct store *store;
    char *name, *version;
    int64_t started; /* monotonic ms */
};

static void put(struct json_writer *w, const char *key, uint64_t value)
{
    json_key(w, key);
    json_put_uint(w, value);
}

static void put_bus(struct json_writer *w, const struct bus_counters *bus)
{
    json_key(w, "bus");
    json_begin_object(w);
    put(w, "published", bus->published);
    put(w, "delivered", bus->delivered);
    put(w, "unmatched", bus->unmatched);
    put(w, "hopsExceeded", bus->hops_exceeded);
    put(w, "subscriptions", bus->subscriptions);
    put(w, "retained", bus->retained);
    put(w, "retainedBytes", bus->retained_bytes);
    put(w, "retainedRefused", bus->retained_refused);
    json_end_object(w);
}

/* A report is a file that somebody may have edited. */
static void put_report(void *self, const char *report)
{
    struct json_writer *w = self;
    struct json *json;
    if (json_parse(&json, w->arena, report, strlen(report), NULL) == 0 && json_is(json, JSON_OBJECT))
        json_put(w, json);
}

static void put_store(struct json_writer *w, const struct store *store)
{
    struct store_counters counters;
    store_counters(store, &counters);
    json_key(w, "store");
    json_begin_object(w);
    put(w, "commits", counters.batches);
    put(w, "writes", counters.items);
    put(w, "failures", counters.failures);
    put(w, "bytes", counters.bytes);
    json_key(w, "damaged");
    json_put_bool(w, counters.damaged);
    json_key(w, "salvaged");
    json_begin_array(w);
    store_reports(store, put_report, w);
    json_end_array(w);
    json_end_object(w);
}

static void on_request(struct subscriber *subscriber, struct msg *msg, const struct delivery *delivery,
                       struct receipt *receipt)
{
    (void)delivery, (void)receipt;
    struct ctl *ctl = container_of(subscriber, struct ctl, subscriber);
    const struct loop *loop = bus_loop(ctl->bus);
    struct arena arena;
    arena_init(&arena);
    struct json_writer w;
    json_writer_init(&w, &arena);
    json_begin_object(&w);
    json_key(&w, "name");
    json_put_string(&w, ctl->name);
    json_key(&w, "version");
    json_put_string(&w, ctl->version);
    put(&w, "pid", (uint64_t)getpid());
    put(&w, "uptime", (uint64_t)((loop_now(loop) - ctl->started) / 1000));
    put(&w, "turns", loop_turns(loop));
    put(&w, "slowCallbacks", loop_slow_callbacks(loop));
    put_bus(&w, bus_counters(ctl->bus));
    put_store(&w, ctl->store);
    json_end_object(&w);
    bus_reply(ctl->bus, msg, json_writer_text(&w, NULL));
    arena_done(&arena);
}

int ctl_new(struct ctl **ret, struct bus *bus, struct store *store, const char *name, const char *version)
{
    struct ctl *ctl = mem_new(struct ctl);
    ctl->subscriber.deliver = on_request;
    ctl->bus = bus;
    ctl->store = store;
    ctl->name = str_copy(name);
    ctl->version = str_copy(version);
    ctl->started = loop_now(bus_loop(bus));
    bus_subscribe_to(bus, &ctl->status, &ctl->subscriber, TOPIC_CTL_GATEWAY_STATUS);
    *ret = ctl;
    return 0;
}

struct ctl *ctl_free(struct ctl *ctl)
{
    if (!ctl)
        return NULL;
    bus_unsubscribe(ctl->bus, &ctl->status);
    free(ctl->name);
    free(ctl->version);
    free(ctl);
    return NULL;
}
