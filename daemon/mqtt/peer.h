/* A peer: one network connection, from accept to its end.
 *
 *      NEW ──CONNECT──▶ ACCEPTED ──CONNACK──▶ CONNECTED ──DISCONNECT, fault, take-over──▶ CLOSING ──▶ gone when nobody
 *                                                                                                holds a receipt of it
 *
 * Its socket is not read while too many of its messages are unsettled: a slow disk slows the sender through TCP. QoS 1
 * and 2 messages have a receipt each (struct ack, in the session). QoS 0 messages share one, `flow`: it settles when
 * all of them have.
 */
#pragma once

#include "mqtt/session.h"
#include "net/conn.h"
#include "wire/mqtt.h"

enum peer_state {
    PEER_NEW,
    PEER_ACCEPTED, /* CONNACK waits for the disk */
    PEER_CONNECTED,
    PEER_CLOSING
};

/* A CONNECT, SUBSCRIBE or UNSUBSCRIBE whose answer waits until what it changed is on disk. The peer is not read from
 * meanwhile, so it has one at most. */
struct control {
    struct receipt receipt;
    struct peer *peer;                              /* NULL: gone */
    void (*finish)(struct control *control, int r); /* frees it */
};

struct peer {
    struct conn_user user;
    struct conn *conn; /* NULL when the connection is gone */
    struct broker *broker;
    struct door *door;
    struct principal *principal;
    struct session *session; /* from CONNECT on */
    struct list link;        /* in broker->peers */
    struct timer timer;      /* CONNECT must come, then keep-alive */
    int64_t last_heard;
    uint32_t packet_max; /* the client's Maximum Packet Size */
    uint32_t keepalive;  /* ms of silence that end it (1.5 times what was agreed); 0: never */
    unsigned window;     /* the client's Receive Maximum or our inflight_max */
    unsigned unsettled;  /* of its QoS 1 and 2 messages */
    unsigned
        under_way; /* those without PUBACK, PUBCOMP or a PUBREC that refuses: our Receive Maximum counts them */

    uint16_t alias_max; /* topic aliases we offered */
    char **aliases;     /* [alias - 1] */
    enum wire_version version;
    enum peer_state state;
    bool paused;       /* not read because of unsettled messages */
    bool problem_info; /* wants Reason Strings [MQTT-3.1.2-29] */
    bool will_wanted;  /* the will is published when this ends */
    struct control *control;
    struct receipt flow;
};

/* The broker as its own files see it. */
struct broker {
    struct bus *bus;
    struct loop *loop;
    struct broker_options options;
    struct broker_counters counters;
    struct map sessions;
    struct durable *durable; /* NULL: no disk */
    size_t queued_bytes;     /* waiting in mailboxes */
    struct list peers, doors;
    struct subscriber subscriber; /* answers status requests */
    struct subscription status;
    bool stopping;
    bool closing; /* nobody will hear anything any more */
};

struct door {
    struct listener_user user;
    struct listener *listener;
    struct broker *broker;
    struct principal *everybody; /* NULL: by certificate or access */
    struct list link;
};

/* peer.c */
int peer_new(struct broker *broker, struct door *door, int fd, struct ssl_st *tls) must_check;
bool peer_is_congested(const struct peer *peer);
/* Ends the connection: MQTT 5 clients are told why (a reason of 0 says nothing). why is for the log, NULL: not logged. */
void peer_close(struct peer *peer, uint8_t reason, const char *why);
/* What it sent broke the protocol: counted, logged at info, closed. Returns -EPROTO for the receiver to pass up. */
int peer_fault(struct peer *peer, uint8_t reason, const char *why) must_check;
const char *peer_name(const struct peer *peer); /* client id, or its address before CONNECT */
void peer_pause_if_needed(struct peer *peer);
void peer_resume_if_possible(struct peer *peer);
/* Frees it if the connection is gone and nothing holds a receipt of it. */
void peer_release(struct peer *peer);
/* Lets go of the session, which may end with it; will: publish it. */
void peer_leave(struct peer *peer, bool will);
/* At once and silently, for shutdown. */
struct peer *peer_free(struct peer *peer);

/* Begins a control and holds its receipt once; peer_control_wait() gives that hold back. When nobody else holds it
 * then, it finishes at once. */
void peer_control_begin(struct peer *peer, struct control *control,
                        void (*finish)(struct control *control, int r));
void peer_control_wait(struct control *control);

/* publish.c */
int peer_on_publish(struct peer *peer, const struct wire_packet *packet) must_check;
int peer_on_ack(struct peer *peer, const struct wire_packet *packet) must_check;
void peer_send_qos0(struct peer *peer, struct msg *msg, const struct delivery *delivery);
bool peer_send_mail(struct peer *peer, const struct mail *mail,
                    bool again); /* false: too large for the client */
void peer_send_pubrel(struct peer *peer, uint16_t packet_id);

/* status.c: answers requests for the broker's counters. */
void broker_status_open(struct broker *broker);
void broker_status_close(struct broker *broker);

/* connect.c */
int peer_on_connect(struct peer *peer, const struct wire_packet *packet) must_check;
int peer_refuse_connect(struct peer *peer, uint8_t reason, const char *why) must_check;
/* A message of what a client sent, with the properties that travel and the expiry; NULL: no memory. */
struct msg *peer_msg_of(struct peer *peer, struct wire_text topic, const struct wire_props *props,
                        const void *payload, size_t payload_len);

/* subscribe.c */
int peer_on_subscribe(struct peer *peer, const struct wire_packet *packet) must_check;
int peer_on_unsubscribe(struct peer *peer, const struct wire_packet *packet) must_check;
