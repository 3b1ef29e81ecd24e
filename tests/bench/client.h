/* The clients of the load generator: how one connects, subscribes, publishes, and counts what reaches it.
 *
 * All belong to one struct traffic, which decides when (traffic.c); here is what a client does.
 */
#pragma once

#include "bench/link.h"
#include "bench/traffic.h"

enum phase {
    PHASE_CONNECTING,
    PHASE_RUNNING,
    PHASE_DRAINING,
    PHASE_PROVING,
    PHASE_HOLDING,
    PHASE_LEAVING,
    PHASE_DONE
};

struct client {
    struct link link;
    struct traffic *traffic;
    unsigned number;
    unsigned filters; /* asked for so far */
    unsigned asked;   /* in the SUBSCRIBE on its way */
    int receiver;     /* its number, or -1 */
    bool echo;
    bool leaving; /* has said DISCONNECT and waits for the broker to close */

    /* what it publishes */
    bool due; /* on the list of those that may have room */
    struct client *next_due;
    unsigned flow; /* of its next message */
    uint64_t sent, acked;
    uint64_t arrived; /* deliveries, counted as if none before them was missing */
    uint16_t last_id, acked_id;
    uint8_t *ids; /* enum id_state of every packet id */
};

struct flow {
    char topic[PLAN_TOPIC_MAX]; /* as it arrives */
    size_t topic_len;
    uint32_t sent;
    unsigned first_receiver;
};

struct traffic {
    const struct plan *plan;
    struct outcome *outcome;
    const char *uri; /* of the broker, and its pid; another after it was started again */
    pid_t pid;
    bool returned;             /* those who were away */
    struct ssl_ctx_st *secure; /* NULL: plain */
    struct hub hub;
    enum phase phase;
    struct client *clients;
    unsigned n_clients, opened, ready, pings, pongs;
    struct flow *flows;
    struct tally *tallies; /* flow × fan */
    struct client *due;
    unsigned next_publisher; /* by the clock */
    uint64_t acked;          /* of `sent` */
    uint64_t now_ns;         /* of this recv */
    double start, end, last_arrival, limit;
    double cpu, own_cpu; /* at the start of what is measured */
};

/* Ends the program with a message. */
__attribute__((format(printf, 1, 2), noreturn)) void die(const char *format, ...);

void *allocate(size_t n, size_t size); /* zeroed; does not return NULL */

const char *phase_name(enum phase phase);

/* Connects; subscribing follows by itself, and then traffic->ready counts it. */
void client_open(struct client *client);
void client_ping(struct client *client);
/* Closes after what was written before has been sent. */
void client_say_goodbye(struct client *client);

/* Frames and errors of a client's link. The end of one who said goodbye is none: he is ready. */
int client_on_frame(struct link *link, const struct frame *frame);
void client_on_error(struct link *link, int r);

/* Publishes its next message, which was due at that moment. */
void client_publish(struct client *client, uint64_t due_ns);

/* Closed loop: true if the window has room for one more; and putting it on the list of those to be asked. */
bool client_has_room(const struct client *client);
void client_push_due(struct client *client);
