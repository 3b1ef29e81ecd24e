#include "bench/plan.h"

#include "bench/frame.h"
#include "bench/link.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { MATCHES = 3, WILDCARD_SUBSCRIBERS = 99, LANES = WILDCARD_SUBSCRIBERS / MATCHES };

static const struct plan works[] = {
    {.work = "fan-in", .shape = FAN_IN, .clients = 50, .window = 20, .size = 64},
    {.work = "fan-out", .shape = FAN_OUT, .clients = 100, .window = 20, .size = 64},
    {.work = "pairs", .shape = PAIRS, .clients = 50, .window = 20, .size = 256},
    {.work = "open-loop", .shape = PAIRS, .clients = 50, .rate = 10000, .size = 256},
    {.work = "round-trip", .shape = ROUND_TRIP, .clients = 1, .rate = 1000, .size = 64},
    {.work = "wildcards", .shape = WILDCARDS, .clients = 10, .window = 20, .size = 64, .filters = 50000},
    {.work = "idle", .shape = IDLE, .clients = 10000, .size = 64},
    {.work = "offline",
     .shape = PAIRS,
     .clients = 10,
     .window = 100,
     .size = 256,
     .qos = 1,
     .durable = true,
     .away = true},
    {.work = "append", .shape = APPEND, .clients = 1, .window = 1000, .size = 64, .qos = 1},
};

enum { WORKS = sizeof(works) / sizeof(works[0]) };

int plan_init(struct plan *plan, const char *work)
{
    for (size_t i = 0; i < WORKS; i++)
        if (strcmp(works[i].work, work) == 0) {
            *plan = works[i];
            plan->version = MQTT_311;
            return 0;
        }
    return -ENOENT;
}

void plan_names(char *ret, size_t size)
{
    size_t used = 0;

    for (size_t i = 0; i < WORKS && used < size; i++)
        used += (size_t)snprintf(ret + used, size - used, "%s%s", i ? " | " : "", works[i].work);
}

const char *plan_lay_out(struct plan *plan)
{
    if (plan->clients == 0)
        return "at least one client is needed";
    if (plan->size < PAYLOAD_MIN || plan->size > PAYLOAD_MAX)
        return "the payload has 16 to 65536 bytes";
    if (plan->qos > 2)
        return "QoS is 0, 1 or 2";
    if (plan->away && plan->qos == 0)
        return "nothing is kept for those who are away at QoS 0";
    if (plan->shape == APPEND && plan->qos == 0)
        return "nothing is acknowledged at QoS 0";
    if (address_is_secure(plan->uri) && !plan->tls)
        return "mqtts:// needs --tls";
    if (plan->shape != IDLE && (plan->window > 0) == (plan->rate > 0))
        return "give either a window or a rate";
    if (plan->window > 65535)
        return "a window has at most 65535 messages";
    if (plan->seconds <= 0 && plan->messages == 0)
        return "give seconds or messages";

    plan->fan = 1;
    plan->flows = plan->publishers = plan->subscribers = plan->clients;
    switch (plan->shape) {
    case FAN_IN: plan->subscribers = 1; break;
    case FAN_OUT:
        plan->fan = plan->clients;
        plan->flows = plan->publishers = 1;
        break;
    case PAIRS:
    case ROUND_TRIP: break;
    case WILDCARDS:
        plan->fan = MATCHES;
        plan->flows = plan->filters / MATCHES;
        plan->subscribers = WILDCARD_SUBSCRIBERS;
        if (plan->flows < plan->publishers)
            return "a topic has three filters, and every publisher needs a topic of its own";
        break;
    case IDLE: plan->publishers = plan->flows = 0; break;
    case APPEND: plan->fan = plan->subscribers = 0; break;
    }
    return NULL;
}

void plan_topic(const struct plan *plan, unsigned flow, char ret[PLAN_TOPIC_MAX])
{
    switch (plan->shape) {
    case FAN_IN: (void)snprintf(ret, PLAN_TOPIC_MAX, "bench/in"); return;
    case FAN_OUT: (void)snprintf(ret, PLAN_TOPIC_MAX, "bench/out"); return;
    case PAIRS: (void)snprintf(ret, PLAN_TOPIC_MAX, "bench/pair/%u", flow); return;
    case ROUND_TRIP: (void)snprintf(ret, PLAN_TOPIC_MAX, "bench/ask/%u", flow); return;
    case WILDCARDS:
        (void)snprintf(ret, PLAN_TOPIC_MAX, "plant/%u/line/%u/temp", flow / 100, flow % 100);
        return;
    case APPEND: (void)snprintf(ret, PLAN_TOPIC_MAX, "$gatehouse/streams/bench/append"); return;
    case IDLE: ret[0] = '\0'; return;
    }
}

void plan_answer_topic(unsigned flow, char ret[PLAN_TOPIC_MAX])
{
    (void)snprintf(ret, PLAN_TOPIC_MAX, "bench/answer/%u", flow);
}

/* Subscriber s has the (s mod 3)rd kind of filter for every 33rd topic, so that a topic's three go to three clients. */
static bool wildcard_filter(const struct plan *plan, unsigned subscriber, unsigned i,
                            char ret[PLAN_TOPIC_MAX])
{
    unsigned flow = subscriber / MATCHES + LANES * i;

    if (flow >= plan->flows)
        return false;
    switch (subscriber % MATCHES) {
    case 0: (void)snprintf(ret, PLAN_TOPIC_MAX, "plant/%u/line/%u/+", flow / 100, flow % 100); break;
    case 1: (void)snprintf(ret, PLAN_TOPIC_MAX, "plant/%u/+/%u/temp", flow / 100, flow % 100); break;
    case 2: (void)snprintf(ret, PLAN_TOPIC_MAX, "+/%u/line/%u/#", flow / 100, flow % 100); break;
    }
    return true;
}

bool plan_filter(const struct plan *plan, unsigned client, unsigned i, char ret[PLAN_TOPIC_MAX])
{
    unsigned subscriber = client - plan->publishers; /* if it is one */

    switch (plan->shape) {
    case FAN_IN:
    case FAN_OUT:
    case PAIRS:
        if (client < plan->publishers || i > 0)
            return false;
        plan_topic(plan, subscriber, ret);
        return true;
    case ROUND_TRIP:
        if (i > 0)
            return false;
        if (client < plan->publishers)
            plan_answer_topic(client, ret);
        else
            plan_topic(plan, subscriber, ret);
        return true;
    case WILDCARDS: return client >= plan->publishers && wildcard_filter(plan, subscriber, i, ret);
    case IDLE:
        if (i >= plan->filters / plan->clients)
            return false;
        (void)snprintf(ret, PLAN_TOPIC_MAX, "bench/idle/%u/%u", client, i);
        return true;
    case APPEND: return false;
    }
    return false;
}

unsigned plan_first_receiver(const struct plan *plan, unsigned flow)
{
    switch (plan->shape) {
    case PAIRS:
    case ROUND_TRIP: return flow;
    case WILDCARDS: return flow % LANES * MATCHES;
    case FAN_IN:
    case FAN_OUT:
    case IDLE:
    case APPEND: break;
    }
    return 0;
}

int plan_receiver_of(const struct plan *plan, unsigned client)
{
    if (plan->shape == ROUND_TRIP)
        return client < plan->publishers ? (int)client : -1;
    return client < plan->publishers ? -1 : (int)(client - plan->publishers);
}

bool plan_is_echo(const struct plan *plan, unsigned client)
{
    return plan->shape == ROUND_TRIP && client >= plan->publishers;
}
