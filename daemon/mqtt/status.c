/* The broker's counters for whoever asks. */
#include "base/json_write.h"
#include "bus/topics.h"
#include "mqtt/peer.h"

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

};

static void put_certificates(struct json_writer *w, const struct broker *broker)
{
    json_key(w, "certificates");
    json_begin_array(w);
    list_for_each (link, &broker->doors) {
        const struct door *door = list_entry(link, struct door, link);
        int64_t expires = listener_expires(door->listener);
        if (!expires)
            continue;
        json_begin_object(w);
        json_key(w, "listener");
        json_put_string(w, door_name(door));
        json_key(w, "expires");
        json_put_int(w, expires);
        json_end_object(w);
    }
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
    json_key(&w, "connections");
    json_put_uint(&w, broker->counters.connections);
    json_key(&w, "sessions");
    json_put_uint(&w, broker->counters.sessions);
    for (size_t i = 0; i < array_size(counters); i++) {
        json_key(&w, counters[i].name);
        json_put_uint(&w, *(const uint64_t *)((const char *)&broker->counters + counters[i].offset));
    }
    json_key(&w, "listeners");
    json_begin_array(&w);
    list_for_each (link, &broker->doors)
        json_put_string(&w, door_name(list_entry(link, struct door, link)));
    json_end_array(&w);
    put_certificates(&w, broker);
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
