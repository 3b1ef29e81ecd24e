/* A peer: one network connection, from accept to its end.
 *
 *      NEW ──CONNECT──▶ (PROVING) ──▶ ACCEPTED ──CONNACK──▶ CONNECTED ──DISCONNECT, fault, take-over──▶ CLOSING ──▶ gone when nobody
 *                                                                                                holds a receipt of it
 *
 * Its socket is not read while too many of its messages are unsettled: a slow disk slows the sender through TCP. QoS 1
 * and 2 messages have a receipt each (struct ack, in the session). QoS 0 messages share one, `flow`: it settles when
 * all of them have.
 */
#pragma once

#include "base/slab.h"
#include "identity/registry.h"
#include "mqtt/alias.h"
#include "mqtt/auth.h"
#include "mqtt/peak.h"
#include "mqtt/refusals.h"
#include "mqtt/session.h"
#include "net/conn.h"
#include "wire/mqtt.h"

enum peer_state {
    PEER_NEW,
    PEER_PROVING,  /* an authentication exchange is going on, or a password is being looked at */
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
    struct publisher *publisher; /* for his messages; NULL: he has not published yet */
    struct session *session;     /* from CONNECT on */
    struct list link;            /* in broker->peers */
    struct timer timer;          /* CONNECT must come, then keep-alive */
    int64_t last_heard;
    struct receipt flow;
    struct control *control;
    struct aliases *aliases;
    struct auth *auth;        /* an authentication method was given in CONNECT */
    struct peer_login *login; /* waits to be told who it is; NULL: it does not */
    struct peer_end *end;     /* when its principal ends; NULL: never */
    uint32_t packet_max;      /* the client's Maximum Packet Size */
    uint32_t keepalive;       /* ms of silence that end it (1.5 times what was agreed); 0: never */
    uint64_t number;          /* of its CONNECT, from 1; 0: not accepted yet */
    unsigned unsettled;       /* of its QoS 1 and 2 messages */
    unsigned
        under_way; /* those without PUBACK, PUBCOMP or a PUBREC that refuses: our Receive Maximum counts them */
    uint16_t window;        /* the client's Receive Maximum or our inflight_max */
    uint16_t alias_max_in;  /* topic aliases we offered */
    uint16_t alias_max_out; /* and those it offered */
    uint8_t version : 4;    /* enum wire_version */
    uint8_t state : 4;      /* enum peer_state */
    uint8_t gone : 4;       /* enum presence_reason, when it is known */
    bool paused : 1;        /* not read because of unsettled messages */
    bool problem_info : 1;  /* wants Reason Strings [MQTT-3.1.2-29] */
    bool will_wanted : 1;   /* the will is published when this ends */
};

/* The broker as its own files see it. */
struct broker {
    struct bus *bus;
    struct loop *loop;
    struct broker_options options;
    struct conn_limits conn_limits;
    struct broker_counters counters;
    struct refusals refusals;
    struct map sessions;
    struct durable *durable; /* NULL: no disk */
    struct sys *sys;         /* NULL: nobody has ever subscribed to $SYS */
    size_t queued_bytes;     /* waiting in mailboxes */
    size_t will_bytes;       /* of sessions' wills */
    struct peak peak;        /* of connections */

    struct list peers, doors;
    struct list last_words; /* wills that are being published */
    struct slab acks;

    uint64_t connections;             /* ever accepted by CONNECT */
    uint64_t seed;                    /* of session identifiers */
    struct registry_watcher registry; /* who may not stay any more */
    struct subscriber subscriber;     /* answers status requests */
    struct subscription status;
    bool stopping;
    bool closing;    /* nobody will hear anything any more */
    bool passing_on; /* what is delivered has been acknowledged: it is taken, whether there is room or not */
};

struct door {
    struct listener_user user;
    struct listener *listener;
    struct broker *broker;
    struct principal *everybody; /* NULL: by certificate or access */
    struct list link;
};

/* peer.c */
int peer_new(struct broker *broker, struct door *door, const struct endpoint *endpoint) must_check;
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

/* Longer, or of more levels, than the broker allows. */
bool peer_topic_is_too_large(const struct peer *peer, struct wire_text topic);
/* Of $SYS: nobody may speak there in its place [4.7.2]. */
bool peer_topic_is_the_brokers(struct wire_text topic);

/* publish.c */
int peer_on_publish(struct peer *peer, const struct wire_packet *packet) must_check;
int peer_on_ack(struct peer *peer, const struct wire_packet *packet) must_check;

/* peer_out.c */
void peer_send_qos0(struct peer *peer, struct msg *msg, const struct delivery *delivery);
/* false: it is too large for the client. */
bool peer_send_mail(struct peer *peer, const struct mail *mail, bool again);
void peer_put_reason(struct wire_props *props, const char *why); /* a Reason String */
/* PUBACK, PUBREC, PUBREL, PUBCOMP; why: a Reason String, for MQTT 5 clients who want it; NULL: none. */
void peer_send_ack(struct peer *peer, enum wire_type type, uint16_t packet_id, uint8_t reason,
                   const char *why);

/* He was refused that: counted, and noted in the audit log when there is one. what: "refused/publish", … */
void peer_note_refusal(struct peer *peer, const char *what, struct wire_text object, const char *why);
/* May this be delivered to it? */
static inline bool peer_may_receive(const struct peer *peer, const struct msg *msg)
{
    return !peer->principal || peer->principal->everything ||
           policy_allows(peer->principal, POLICY_RECEIVE, msg->topic, msg->topic_len);
}

/* presence.c: $aws/events/presence/… and $aws/events/subscriptions/…, and what the registry knows of connections */
enum presence_reason {
    PRESENCE_LOST,
    PRESENCE_CLIENT,
    PRESENCE_CLIENT_ERROR,
    PRESENCE_DUPLICATE,
    PRESENCE_KEEPALIVE,
    PRESENCE_FORBIDDEN,
    PRESENCE_SERVER,
    PRESENCE_EXPIRED
};
void presence_connected(struct peer *peer);
void presence_failed(struct peer *peer, const char *client_id, size_t len);
/* Of one that is leaving its session. */
void presence_disconnected(struct peer *peer);
void presence_reason_of(struct peer *peer, uint8_t reason, const char *why);
void presence_subscribed(struct peer *peer, const char *const *filters, size_t count);
void presence_unsubscribed(struct peer *peer, const struct wire_packet *packet);
/* Closes the connections of who is not ACTIVE any more, or has another password. */
void presence_watch(struct broker *broker);

/* status.c: answers requests for the broker's counters. */
void broker_status_open(struct broker *broker);
void broker_status_close(struct broker *broker);

/* sys.c: a session's subscription has come, or is going. */
void sys_subscribed(struct broker *broker, const char *filter, size_t len);
void sys_unsubscribed(struct broker *broker, const char *filter, size_t len);
void sys_done(struct broker *broker);

/* connect.c */
int peer_on_connect(struct peer *peer, const struct wire_packet *packet, const struct wire_frame *frame)
    must_check;
/* The rest of it, when it is known who it is; answer: the last of an authentication exchange, NULL without one. */
int peer_accept(struct peer *peer, const struct wire_packet *packet, const struct auth_answer *answer)
    must_check;
int peer_refuse_connect(struct peer *peer, uint8_t reason, const char *why) must_check;
/* A message of what a client sent, with the properties that travel and the expiry; NULL: no memory. */
struct msg *peer_msg_of(struct peer *peer, struct wire_text topic, const struct wire_props *props,
                        const void *payload, size_t payload_len);

/* auth.c */
int auth_begin(struct peer *peer, const struct wire_packet *packet, const struct wire_frame *frame)
    must_check;
int peer_on_auth(struct peer *peer, const struct wire_packet *packet) must_check;
void auth_put(const struct peer *peer, struct wire_props *props, const uint8_t *data, size_t len);
struct auth *auth_free(struct auth *auth);

/* login.c: a CONNECT that says who it is by user name and password. false: it is another way's. */
bool login_is_wanted(const struct peer *peer);
int login_connect(struct peer *peer, const struct wire_packet *packet, const struct wire_frame *frame)
    must_check;
struct peer_login *peer_login_free(struct peer_login *login);
/* Its principal ends at some time, and the connection with him. */
void peer_end_begin(struct peer *peer);
struct peer_end *peer_end_free(struct peer_end *end);

/* subscribe.c */
int peer_on_subscribe(struct peer *peer, const struct wire_packet *packet) must_check;
int peer_on_unsubscribe(struct peer *peer, const struct wire_packet *packet) must_check;
