/* A desk for one node: a stream with a gateway's hands at the other end, a clock that is moved by hand, chance that is
 * what the test says, and an application with one shadow key ("interval", up to 5000).
 *
 *      struct desk desk;
 *      desk_init(&desk);
 *      desk_make_ready(&desk);
 *      ghn_telemetry(&desk.node, "env", "{}", 1);
 *      CHECK_STR(desk_next(&desk), "PUBLISH 6 q1 dt/pump/env {\"seq\":1}");
 *
 * What the node sends is read as lines of text, one a packet: desk_next(). What happened to it, as lines too: events.
 */
#pragma once

#include "ghn/node.h"
#include "rig/test.h"

struct desk {
    ghn_node node;
    ghn_config config;
    ghn_stream stream;
    uint8_t rx[256], tx[640], ring[400];
    char reported[160];
    int64_t interval;

    uint8_t to_node[4096], from_node[8192];
    size_t to_node_len, from_node_len;
    size_t send_budget; /* bytes that send() will still take */
    size_t recv_limit;  /* bytes that one recv() gives */
    int opens, closes;
    int open_result;  /* of open() */
    int stream_state; /* of state() */
    bool broken;      /* send and recv say that it is closed */
    int wait;         /* what ghn_poll() returned last */
    char events[2048], line[1024];
};

/* The clock and chance of the port, which has no context. */
extern uint32_t desk_now;
extern int desk_random_byte; /* every byte; negative: no entropy */

void desk_init(struct desk *desk);   /* a node with ring and shadow that reports {"interval":1000} */
int desk_restart(struct desk *desk); /* ghn_init() again, after a change of config */
void desk_poll(struct desk *desk);   /* until it does not want to be called at once */
void desk_after(struct desk *desk, uint32_t ms); /* moves the clock and polls */
const char *desk_next(struct desk *desk);   /* the node's next packet; "" when there is none, "part" if cut */
const char *desk_events(struct desk *desk); /* since the last call, "connected 0; ready 0; …" */
void desk_send(struct desk *desk, const struct wire_packet *packet);
void desk_send_bytes(struct desk *desk, const void *bytes, size_t len);
void desk_send_publish(struct desk *desk, unsigned qos, uint16_t id, const char *topic, const char *payload);
void desk_connack(struct desk *desk, bool session_present, uint8_t reason);
void desk_ack(struct desk *desk, enum wire_type type, uint16_t id); /* PUBACK, SUBACK (granted 1) */
/* Answers what the node asks, as a gateway would, until it is quiet; desk_next() then finds nothing old. */
void desk_serve(struct desk *desk);
void desk_make_ready(struct desk *desk);
