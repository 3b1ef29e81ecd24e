/* A workload: who publishes what to whom.
 *
 * Messages belong to numbered sequences, the flows. A flow has one topic, one publisher, and `fan` receivers side by
 * side, so that everything an arriving message must satisfy can be computed from its flow number:
 *
 *      fan-in      50 publishers, 50 flows, one topic, 1 receiver           flow f  →  receiver 0
 *      fan-out      1 publisher,   1 flow,             100 receivers        flow 0  →  receivers 0…99
 *      pairs       50 publishers, 50 flows, 50 topics, 50 receivers         flow f  →  receiver f
 *      round-trip   as pairs; an echo answers, and the publisher itself is the receiver
 *      wildcards   10 publishers, a flow a topic, 3 of 99 receivers         flow f  →  receivers 3(f mod 33)…+2
 *      idle         nobody publishes
 *      append       to a stream of the broker's, so that nobody receives: what counts is what is acknowledged
 *      offline      as pairs, 10 of them; the receivers have subscribed and left, and come back for all of it in the end
 *
 * Clients are numbered publishers first, then subscribers.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum shape { FAN_IN, FAN_OUT, PAIRS, ROUND_TRIP, WILDCARDS, IDLE, APPEND };

enum { PLAN_TOPIC_MAX = 64, PAYLOAD_MIN = 16, PAYLOAD_MAX = 65536 };

struct plan {
    const char *work;
    enum shape shape;
    unsigned clients; /* the number that varies: publishers, receivers, pairs, connections */
    unsigned window;  /* messages a publisher may have on the way; 0 with a rate */
    double rate;      /* messages a second of all publishers together; 0: as the windows allow */
    unsigned size;    /* of the payload */
    unsigned filters; /* of all subscribers together: wildcards and idle */
    unsigned qos, version;
    bool durable;      /* the subscribers' sessions outlive their connections */
    bool away;         /* and they are not there while it is published: pairs only */
    const char *tls;   /* folder with certificates; NULL: plain */
    uint64_t messages; /* 0: as many as `seconds` allow */
    double seconds, limit_s;
    pid_t pid; /* of the broker, or 0 */
    const char *uri;

    unsigned publishers, subscribers, flows, fan; /* plan_lay_out() */
};

/* Fills in the defaults of a workload; -ENOENT if there is none of that name. */
int plan_init(struct plan *plan, const char *work);
void plan_names(char *ret, size_t size); /* of all workloads */

/* Computes the layout from what was asked. Returns NULL, or what is wrong with it. */
const char *plan_lay_out(struct plan *plan);

void plan_topic(const struct plan *plan, unsigned flow, char ret[PLAN_TOPIC_MAX]);
void plan_answer_topic(unsigned flow, char ret[PLAN_TOPIC_MAX]); /* of round trips */

/* The i-th filter of a client; false behind the last. */
bool plan_filter(const struct plan *plan, unsigned client, unsigned i, char ret[PLAN_TOPIC_MAX]);

unsigned plan_first_receiver(const struct plan *plan, unsigned flow);
int plan_receiver_of(const struct plan *plan, unsigned client); /* its receiver number, or -1 */
bool plan_is_echo(const struct plan *plan, unsigned client);
