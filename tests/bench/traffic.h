/* Runs a plan against a broker and says what became of every message. */
#pragma once

#include "bench/plan.h"
#include "bench/tally.h"

struct outcome {
    uint64_t sent, expected; /* published; deliveries that must follow from it */
    uint64_t acked;          /* QoS 1 and 2: by the broker */
    uint64_t delivered;      /* different ones that came */
    uint64_t doubled, reordered;
    uint64_t redelivered;  /* QoS 1, again and marked DUP: allowed */
    uint64_t astray;       /* at somebody, or under a topic, that should not have had it */
    uint64_t damaged;      /* another length, content or QoS than was sent */
    uint64_t unacked;      /* QoS 1 and 2 */
    double began, seconds; /* from the first publish, on the monotonic clock, to the last delivery */
    double broker_cpu_s, generator_cpu_s;
    struct delays delays;

    /* idle only */
    double opening_s, opening_cpu_s;
    long pss_before, pss_open, pss_after; /* bytes: no connection, all idle, all gone again */
    double hold_cpu_s;

    /* of those who were away, after they came back */
    unsigned sessions_lost;
    double recovery_cpu_s; /* what the broker had spent when they came */
};

struct traffic;

/* What goes wrong ends the program with a message: the broker refuses, disappears, or the time limit is reached. */
struct traffic *traffic_new(const struct plan *plan, struct outcome *ret);
void traffic_run(struct traffic *traffic);
/* For a plan whose receivers are away: traffic_run() ends when all is acknowledged, `seconds` and costs are those of
 * queueing, and no connection is left. The broker may be ended now and started again. Then they come back and get what
 * was kept; `seconds` and costs are anew. uri must stay. */
void traffic_come_back(struct traffic *traffic, const char *uri, pid_t pid);
void traffic_free(struct traffic *traffic);
