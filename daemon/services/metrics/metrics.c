#include "services/metrics/metrics.h"

#include "base/json_write.h"
#include "bus/bus.h"
#include "bus/topics.h"
#include "services/metrics/metrics_text.h"

enum {
    COLLECT_MS = 500, /* who has not answered by then is left out */
    WAITING_MAX = 16  /* requests, which are kept with their payloads; further ones are refused */
};

struct part {
    struct subscriber ear;
    struct subscription answers;
    struct metrics *metrics;
    struct msg *answer;
};

struct metrics {
    struct bus *bus;
    struct subscriber ear;
    struct subscription requests;
    struct part parts[METRICS_PARTS];
    struct timer timer; /* runs while answers are awaited */
    struct msg *waiting[WAITING_MAX];
    size_t waiting_count;
};

static const char *const asked[METRICS_PARTS] = {
    [METRICS_GATEWAY] = TOPIC_CTL_GATEWAY_STATUS, [METRICS_BROKER] = TOPIC_CTL_BROKER_STATUS,
    [METRICS_HTTP] = TOPIC_CTL_HTTP_STATUS,       [METRICS_STREAMS] = TOPIC_CTL_STREAM_LIST,
    [METRICS_UPLINKS] = TOPIC_CTL_UPLINK_LIST,    [METRICS_PLUGINS] = TOPIC_CTL_PLUGIN_LIST,
    [METRICS_SYNCS] = TOPIC_CTL_SYNC_LIST,        [METRICS_PROVISIONING] = TOPIC_CTL_PROVISIONING_STATUS,
};

static void forget_answers(struct metrics *metrics)
{
    for (int i = 0; i < METRICS_PARTS; i++)
        metrics->parts[i].answer = msg_unref(metrics->parts[i].answer);
}

static void answer(struct metrics *metrics)
{
    struct arena arena;
    arena_init(&arena);
    const struct json *answers[METRICS_PARTS] = {0};
    for (int i = 0; i < METRICS_PARTS; i++) {
        const struct msg *msg = metrics->parts[i].answer;
        struct json *json;
        if (msg && json_parse(&json, &arena, (const char *)msg->payload, msg->payload_len, NULL) == 0)
            answers[i] = json;
    }
    const char *text = metrics_text(&arena, answers);
    for (size_t i = 0; i < metrics->waiting_count; i++) {
        bus_reply(metrics->bus, metrics->waiting[i], text);
        (void)msg_unref(metrics->waiting[i]);
    }
    metrics->waiting_count = 0;
    forget_answers(metrics);
    arena_done(&arena);
}

static void on_time(struct timer *timer)
{
    answer(container_of(timer, struct metrics, timer));
}

static bool all_have_answered(const struct metrics *metrics)
{
    for (int i = 0; i < METRICS_PARTS; i++) {
        if (!metrics->parts[i].answer)
            return false;
    }
    return true;
}

static void on_answer(struct subscriber *subscriber, struct msg *msg, const struct delivery *delivery,
                      struct receipt *receipt)
{
    (void)delivery, (void)receipt;
    struct part *part = container_of(subscriber, struct part, ear);
    struct metrics *metrics = part->metrics;
    if (msg->origin != 0 || !timer_is_running(&metrics->timer))
        return; /* not the house, or too late */
    (void)msg_unref(part->answer);
    part->answer = msg_ref(msg);
    if (!all_have_answered(metrics))
        return;
    timer_stop(bus_loop(metrics->bus), &metrics->timer);
    answer(metrics);
}

static void on_request(struct subscriber *subscriber, struct msg *msg, const struct delivery *delivery,
                       struct receipt *receipt)
{
    (void)delivery, (void)receipt;
    struct metrics *metrics = container_of(subscriber, struct metrics, ear);
    if (!msg->response_topic)
        return; /* nobody would hear it */
    if (metrics->waiting_count == WAITING_MAX) {
        bus_reply(metrics->bus, msg, "{\"code\":429,\"message\":\"too many requests at once\"}");
        return;
    }
    metrics->waiting[metrics->waiting_count++] = msg_ref(msg);
    if (timer_is_running(&metrics->timer))
        return;
    timer_start(bus_loop(metrics->bus), &metrics->timer, COLLECT_MS);
    for (int i = 0; i < METRICS_PARTS; i++)
        bus_ask(metrics->bus, asked[i], "{}", metrics->parts[i].answers.filter);
}

int metrics_new(struct metrics **ret, struct bus *bus)
{
    struct metrics *metrics = mem_new(struct metrics);
    metrics->bus = bus;
    metrics->timer.fire = on_time;
    metrics->ear.deliver = on_request;
    for (int i = 0; i < METRICS_PARTS; i++) {
        struct part *part = &metrics->parts[i];
        cleanup_free char *who = str_printf("metrics-%d", i);
        cleanup_free char *topic = str_printf(TOPIC_CTL_ANSWER_FORMAT, who);
        part->metrics = metrics;
        part->ear.deliver = on_answer;
        bus_subscribe_to(bus, &part->answers, &part->ear, topic);
    }
    bus_subscribe_to(bus, &metrics->requests, &metrics->ear, TOPIC_CTL_GATEWAY_METRICS);
    *ret = metrics;
    return 0;
}

struct metrics *metrics_free(struct metrics *metrics)
{
    if (!metrics)
        return NULL;
    timer_stop(bus_loop(metrics->bus), &metrics->timer);
    bus_unsubscribe(metrics->bus, &metrics->requests);
    for (int i = 0; i < METRICS_PARTS; i++)
        bus_unsubscribe(metrics->bus, &metrics->parts[i].answers);
    forget_answers(metrics);
    for (size_t i = 0; i < metrics->waiting_count; i++)
        (void)msg_unref(metrics->waiting[i]);
    free(metrics);
    return NULL;
}
