/* Runs a plan against a broker and says what became of every message. */
#pragma once

#include "bench/plan.h"
#include "bench/tally.h"

struct outcome {
    uint64_t sent, expected; /* published; deliveries that must follow from it */
    uint64_t delivered;      /* different ones that came */
    uint64_t doubled, reordered;
    uint64_t astray;  /* at somebody, or under a topic, that should not have had it */
    uint64_t damaged; /* another length, content or QoS than was sent */
    uint64_t unacked; /* QoS 1 and 2 */
    double seconds;   /* from the first publish to the last delivery */
    double broker_cpu_s, generator_cpu_s;
    struct delays delays;

    /* idle only */
    double opening_s, opening_cpu_s;
    long pss_before, pss_open, pss_after; /* bytes: no connection, all idle, all gone again */
    double hold_cpu_s;
};

/* Ends the program with a message if the broker refuses, disappears, or the time limit is reached. */
void traffic_run(const struct plan *plan, struct outcome *ret);
