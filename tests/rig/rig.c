#include "rig/rig.h"

#include "base/topic.h"

#include <stdlib.h>

enum { TURNS_MAX = 10000 };

struct rig_listener {
    struct subscriber subscriber;
    struct subscription all, reserved, aws;
    struct msg **heard;
    size_t count, size;
};

static void on_message(struct subscriber *subscriber, struct msg *msg, const struct delivery *delivery,
                       struct receipt *receipt)
{
    (void)delivery, (void)receipt;
    struct rig_listener *listener = container_of(subscriber, struct rig_listener, subscriber);
    if (listener->count == listener->size) {
        listener->size = listener->size ? 2 * listener->size : 64;
        listener->heard = realloc(listener->heard, listener->size * sizeof *listener->heard);
    }
    listener->heard[listener->count++] = msg_ref(msg);
}

struct rig *rig_new(void)
{
    return rig_new_at(":memory:");
}

struct rig *rig_new_at(const char *db)
{
    struct rig *rig = mem_new(struct rig);
    rig->clock = (struct clock){.by_hand = true, .mono = 1000000, .wall = 1760000000000};
    CHECK_INT(loop_new(&rig->loop, &rig->clock), 0);
    CHECK_INT(store_open(&rig->store, rig->loop, db, WORKER_INLINE), 0);
    CHECK_INT(bus_new(&rig->bus, rig->loop, &(struct bus_options){.store = rig->store}), 0);
    rig->listener = mem_new(struct rig_listener);
    rig->listener->subscriber.deliver = on_message;
    bus_subscribe_to(rig->bus, &rig->listener->all, &rig->listener->subscriber, "#");
    bus_subscribe_to(rig->bus, &rig->listener->reserved, &rig->listener->subscriber, "$gatehouse/#");
    bus_subscribe_to(rig->bus, &rig->listener->aws, &rig->listener->subscriber, "$aws/#");
    return rig;
}

struct rig *rig_free(struct rig *rig)
{
    if (!rig)
        return NULL;
    store_quiesce(rig->store);
    rig_forget(rig);
    bus_unsubscribe(rig->bus, &rig->listener->all);
    bus_unsubscribe(rig->bus, &rig->listener->reserved);
    bus_unsubscribe(rig->bus, &rig->listener->aws);
    rig->bus = bus_free(rig->bus);
    rig->store = store_close(rig->store);
    rig->loop = loop_free(rig->loop);
    free(rig->listener->heard);
    free(rig->listener);
    free(rig);
    return NULL;
}

void rig_turn(struct rig *rig)
{
    for (int i = 0; i < TURNS_MAX; i++)
        if (loop_turn(rig->loop, 0) <= 0)
            return;
    FAIL("the loop does not come to rest");
}

void rig_wait(struct rig *rig, int64_t ms)
{
    rig_turn(rig);
    for (int64_t step; ms > 0; ms -= step) { /* small steps, so that timers fire in order and re-arm */
        step = ms > 1000000 ? ms / 1000 : (ms > 1000 ? 100 : 1);
        if (step > ms)
            step = ms;
        clock_move(&rig->clock, step);
        rig_turn(rig);
    }
}

void rig_publish(struct rig *rig, const char *topic, const char *payload)
{
    cleanup(msg_unref_p) struct msg *msg = msg_new(topic, strlen(topic), payload, strlen(payload));
    msg->qos = 1;
    msg->born = loop_now(rig->loop);
    bus_publish(rig->bus, msg, NULL);
}

struct asked {
    struct receipt receipt;
    int *settled;
};

static void on_settled(struct receipt *receipt, int r)
{
    struct asked *asked = container_of(receipt, struct asked, receipt);
    *asked->settled = r;
    free(asked);
}

void rig_publish_receipt(struct rig *rig, const char *topic, const char *payload, int *settled)
{
    struct asked *asked = mem_new(struct asked);
    receipt_init(&asked->receipt, on_settled);
    asked->settled = settled;
    *settled = RIG_UNSETTLED;
    cleanup(msg_unref_p) struct msg *msg = msg_new(topic, strlen(topic), payload, strlen(payload));
    msg->qos = 1;
    msg->born = loop_now(rig->loop);
    bus_publish(rig->bus, msg, &asked->receipt);
}

const char *rig_request(struct rig *rig, const char *topic, const char *payload)
{
    static const char answer_topic[] = "rig/answer";
    struct msg_props props = {
        (const uint8_t *)answer_topic, strlen(answer_topic), 0, strlen(answer_topic), SIZE_MAX, 0};
    cleanup(msg_unref_p) struct msg *msg =
        msg_new_props(topic, strlen(topic), &props, payload, strlen(payload));
    msg->qos = 1;
    msg->born = loop_now(rig->loop);
    size_t before = rig_count(rig, answer_topic);
    bus_publish(rig->bus, msg, NULL);
    rig_turn(rig);
    return rig_count(rig, answer_topic) > before ? rig_last(rig, answer_topic) : NULL;
}

static const struct msg *find(const struct rig *rig, const char *filter, size_t i)
{
    for (size_t at = 0; at < rig->listener->count; at++) {
        const struct msg *msg = rig->listener->heard[at];
        if (topic_matches(filter, strlen(filter), msg->topic, msg->topic_len) && i-- == 0)
            return msg;
    }
    return NULL;
}

size_t rig_count(const struct rig *rig, const char *topic)
{
    size_t n = 0;
    while (find(rig, topic, n))
        n++;
    return n;
}

const char *rig_last(const struct rig *rig, const char *topic)
{
    size_t n = rig_count(rig, topic);
    return n ? rig_payload(rig, topic, n - 1) : NULL;
}

const char *rig_topic(const struct rig *rig, const char *filter, size_t i)
{
    const struct msg *msg = find(rig, filter, i);
    return msg ? msg->topic : NULL;
}

const char *rig_payload(const struct rig *rig, const char *filter, size_t i)
{
    const struct msg *msg = find(rig, filter, i);
    return msg ? (const char *)msg->payload : NULL;
}

void rig_forget(struct rig *rig)
{
    for (size_t i = 0; i < rig->listener->count; i++)
        (void)msg_unref(rig->listener->heard[i]);
    rig->listener->count = 0;
}

void rig_check_message(const struct rig *rig, const char *topic, const char *text, const char *file, int line)
{
    size_t n = rig_count(rig, topic);
    for (size_t i = 0; i < n; i++)
        if (strstr(rig_payload(rig, topic, i), text))
            return;
    print_error("no message on %s contains %s; there %s %zu on it\n", topic, text, n == 1 ? "is" : "are", n);
    for (size_t i = 0; i < n; i++)
        print_error("    %s\n", rig_payload(rig, topic, i));
    _fail(file, line);
}
