/* $SYS: the broker's figures as retained messages, for those who know them from other brokers.
 *
 * They are published while somebody subscribes to $SYS, every ten seconds, and only those that have changed: without a
 * listener there is no timer. The same figures, all at once, are the answer to $gatehouse/ctl/broker/status (status.c).
 */
#include "mqtt/peer.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { EVERY_MS = 10000, VALUE_BYTES = 32, TOPIC_BYTES = 64 };

static const struct {
    const char *topic;
    size_t offset; /* in struct broker_counters */
} figures[] = {
    {"$SYS/broker/messages/publish/received", offsetof(struct broker_counters, received)},
    {"$SYS/broker/messages/publish/sent", offsetof(struct broker_counters, sent)},
    {"$SYS/broker/clients/connects", offsetof(struct broker_counters, connects)},
    {"$SYS/broker/clients/refused", offsetof(struct broker_counters, refused)},
    {"$SYS/broker/clients/takeovers", offsetof(struct broker_counters, takeovers)},
    {"$SYS/broker/clients/keepalive-timeouts", offsetof(struct broker_counters, keepalive_timeouts)},
    {"$SYS/broker/clients/protocol-errors", offsetof(struct broker_counters, protocol_errors)},
    {"$SYS/broker/clients/unauthorized", offsetof(struct broker_counters, unauthorized)},
    {"$SYS/broker/messages/dropped/qos0", offsetof(struct broker_counters, dropped_qos0)},
    {"$SYS/broker/messages/dropped/queue-full", offsetof(struct broker_counters, dropped_queue_full)},
    {"$SYS/broker/messages/dropped/too-large", offsetof(struct broker_counters, dropped_too_large)},
    {"$SYS/broker/messages/dropped/expired", offsetof(struct broker_counters, dropped_expired)},
    {"$SYS/broker/messages/refused/queue-full", offsetof(struct broker_counters, refused_queue_full)},
    {"$SYS/broker/clients/left-early", offsetof(struct broker_counters, left_early)},
    {"$SYS/broker/clients/waits", offsetof(struct broker_counters, waits)},
};

/* Of all listeners together; one by one they are in the answer to the request. */
static const struct {
    const char *topic;
    size_t offset; /* in struct listener_counters */
} knocks[] = {
    {"$SYS/broker/connections/accepted", offsetof(struct listener_counters, accepted)},
    {"$SYS/broker/connections/held-back", offsetof(struct listener_counters, held_back)},
    {"$SYS/broker/connections/refused-per-address", offsetof(struct listener_counters, refused_per_address)},
    {"$SYS/broker/connections/refused-proxy", offsetof(struct listener_counters, refused_proxy)},
    {"$SYS/broker/connections/exhausted", offsetof(struct listener_counters, exhausted)},
};

enum { COUNTED = array_size(figures), KNOCKS = array_size(knocks), GAUGES = 5 };

struct sys {
    struct broker *broker;
    struct timer timer;
    unsigned listeners;
    uint64_t last[COUNTED + GAUGES + KNOCKS];
    struct refusals refusals;
    bool said; /* those are what was said last */
};

static void say(struct sys *sys, size_t i, const char *topic, uint64_t value)
{
    if (sys->said && sys->last[i] == value)
        return;
    sys->last[i] = value;
    char text[VALUE_BYTES];
    (void)snprintf(text, sizeof text, "%" PRIu64, value);
    bus_say(sys->broker->bus, topic, text, BUS_KEEP);
}

static void say_knocks(struct sys *sys, size_t at)
{
    for (size_t i = 0; i < KNOCKS; i++) {
        uint64_t sum = 0;
        list_for_each (link, &sys->broker->doors) {
            const struct door *door = list_entry(link, struct door, link);
            struct listener_counters counted;
            if (!door->listener)
                continue; /* closed already, we are stopping */
            listener_counters(door->listener, &counted);
            sum += *(const uint64_t *)((const char *)&counted + knocks[i].offset);
        }
        say(sys, at + i, knocks[i].topic, sum);
    }
}

/* "$SYS/broker/refused/subscribe/0x87": those that there are. */
static void say_refusals(struct sys *sys)
{
    const struct refusals *now = &sys->broker->refusals;
    for (int kind = 0; kind < REFUSED_KINDS; kind++) {
        for (unsigned i = 0; i < REFUSED_REASONS; i++) {
            uint32_t count = now->counts[kind][i];
            if (count == sys->refusals.counts[kind][i])
                continue;
            char topic[TOPIC_BYTES], text[VALUE_BYTES];
            (void)snprintf(topic, sizeof topic, "$SYS/broker/refused/%s/0x%02x", refused_text(kind),
                           0x80 + i);
            (void)snprintf(text, sizeof text, "%" PRIu32, count);
            bus_say(sys->broker->bus, topic, text, BUS_KEEP);
        }
    }
    sys->refusals = *now;
}

static void say_all(struct sys *sys)
{
    const struct broker *broker = sys->broker;
    const struct bus_counters *bus = bus_counters(broker->bus);
    for (size_t i = 0; i < COUNTED; i++)
        say(sys, i, figures[i].topic,
            *(const uint64_t *)((const char *)&broker->counters + figures[i].offset));
    say(sys, COUNTED, "$SYS/broker/clients/connected", broker->counters.connections);
    say(sys, COUNTED + 1, "$SYS/broker/clients/total", broker->counters.sessions);
    say(sys, COUNTED + 2, "$SYS/broker/subscriptions/count", bus->subscriptions);
    say(sys, COUNTED + 3, "$SYS/broker/retained messages/count", bus->retained);
    say(sys, COUNTED + 4, "$SYS/broker/store/messages/bytes", broker->queued_bytes);
    say_knocks(sys, COUNTED + GAUGES);
    say_refusals(sys);
    if (!sys->said)
        bus_say(broker->bus, "$SYS/broker/version", "gatehouse version " GATEHOUSE_VERSION, BUS_KEEP);
    sys->said = true;
}

static void on_time(struct timer *timer)
{
    struct sys *sys = container_of(timer, struct sys, timer);
    say_all(sys);
    timer_start(sys->broker->loop, timer, EVERY_MS);
}

static bool concerns(const char *filter, size_t len)
{
    struct wire_text name, inner = {filter, (uint16_t)len};
    (void)wire_filter_is_shared(filter, len, &name, &inner);
    return inner.len >= 4 && memcmp(inner.text, "$SYS", 4) == 0;
}

void sys_subscribed(struct broker *broker, const char *filter, size_t len)
{
    if (!concerns(filter, len))
        return;
    struct sys *sys = broker->sys;
    if (!sys) {
        sys = broker->sys = mem_new(struct sys);
        sys->broker = broker;
        sys->timer.fire = on_time;
    }
    if (!sys->listeners++)
        on_time(&sys->timer);
}

void sys_unsubscribed(struct broker *broker, const char *filter, size_t len)
{
    if (concerns(filter, len) && !--broker->sys->listeners)
        timer_stop(broker->loop, &broker->sys->timer);
}

void sys_done(struct broker *broker)
{
    if (broker->sys)
        timer_stop(broker->loop, &broker->sys->timer);
    free(broker->sys);
    broker->sys = NULL;
}
