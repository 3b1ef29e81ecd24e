/* The broker's counters for whoever asks. */
#include "base/json_write.h"
#include "bus/topics.h"
#include "mqtt/peer.h"
#include "net/listener_status.h"

static const struct {
    const char *name;
    size_t offset;
} counters[] = {
    {"connects", offsetof(struct broker_counters, connects)},
    {"refused", offsetof(struct broker_counters, refused)},
    {"disconnects", offsetof(struct broker_counters, disconnects)},
    {"takeovers", offsetof(struct broker_counters, takeovers)},
    {"keepaliveTimeouts", offsetof(struct broker_counters, keepalive_timeouts)},
    {"protocolErrors", offsetof(struct broker_counters, protocol_errors)},
    {"received", offsetof(struct broker_counters, received)},
    {"sent", offsetof(struct broker_counters, sent)},
    {"unauthorized", offsetof(struct broker_counters, unauthorized)},
    {"droppedQos0", offsetof(struct broker_counters, dropped_qos0)},
    {"droppedQueueFull", offsetof(struct broker_counters, dropped_queue_full)},
    {"droppedTooLarge", offsetof(struct broker_counters, dropped_too_large)},
    {"droppedExpired", offsetof(struct broker_counters, dropped_expired)},
    {"refusedQueueFull", offsetof(struct broker_counters, refused_queue_full)},
    {"leftEarly", offsetof(struct broker_counters, left_early)},
    {"waits", offsetof(struct broker_counters, waits)},
};

static void put(struct json_writer *w, const char *key, uint64_t value)
{
    json_key(w, key);
    json_put_uint(w, value);
}

/* Of every door. */
static void put_doors(struct json_writer *w, const char *key, const struct broker *broker,
                      void (*put_one)(const struct listener *listener, struct json_writer *w))
{
    json_key(w, key);
    json_begin_array(w);
    list_for_each (link, &broker->doors)
        put_one(list_entry(link, struct door, link)->listener, w);
    json_end_array(w);
}

static void on_request(struct subscriber *subscriber, struct msg *msg, const struct delivery *delivery,
                       struct receipt *receipt)
{
    (void)delivery, (void)receipt;
    struct broker *broker = container_of(subscriber, struct broker, subscriber);
    struct arena arena;
    arena_init(&arena);
    struct json_writer w;
    json_writer_init(&w, &arena);
    json_begin_object(&w);
    put(&w, "connections", broker->counters.connections);
    put(&w, "sessions", broker->counters.sessions);
    put(&w, "queuedBytes", broker->queued_bytes);
    for (size_t i = 0; i < array_size(counters); i++)
        put(&w, counters[i].name, *(const uint64_t *)((const char *)&broker->counters + counters[i].offset));
    json_key(&w, "refusals");
    refusals_put(&broker->refusals, &w);
    put_doors(&w, "listeners", broker, listener_put_counters);
    put_doors(&w, "certificates", broker, listener_put_certificate);
    json_end_object(&w);
    bus_reply(broker->bus, msg, json_writer_text(&w, NULL));
    arena_done(&arena);
}

void broker_status_open(struct broker *broker)
{
    broker->subscriber.deliver = on_request;
    bus_subscribe_to(broker->bus, &broker->status, &broker->subscriber, TOPIC_CTL_BROKER_STATUS);
}

void broker_status_close(struct broker *broker)
{
    bus_unsubscribe(broker->bus, &broker->status);
}
