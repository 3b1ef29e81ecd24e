/* A session: what a client has with the broker beyond one connection.
 *
 *      bus ─▶ deliver ─▶ [ mailbox: waiting ] ─▶ [ under way: sent, not acknowledged ] ─▶ acknowledged: gone
 *                              oldest first           in the order they were sent
 *
 * QoS 1 and 2 messages go through both queues; QoS 0 goes straight out or is dropped when nobody is there or the client
 * does not read. The window (Receive Maximum) limits what is under way. A message under way keeps its packet id until
 * its last acknowledgement; after a reconnect all of them are sent again in the same order with the same ids
 * [MQTT-4.4.0-1].
 *
 * A full mailbox: while the client is there, publishers who wait for an acknowledgement wait (their receipt is held),
 * so a slow reader slows its senders; while it is away, what is new is dropped and counted.
 */
#pragma once

#include "base/list.h"
#include "base/map.h"
#include "bus/mailbox.h"
#include "mqtt/broker.h"

struct peer;

/* Bits of struct mail.state, once it is under way. */
enum {
    MAIL_RECEIVED = 1,  /* QoS 2: PUBREC came, PUBREL was sent */
    MAIL_IN_WINDOW = 2, /* counts against the client's Receive Maximum on this connection */
};

struct session_subscription {
    struct map_key key; /* the filter, as the subscription keeps it */
    struct subscription subscription;
};

/* A PUBLISH of the client whose receipt has not settled, or whose acknowledgement waits for an older one's. */
struct ack {
    struct list link;
    struct receipt receipt;
    struct broker *broker;
    struct session *session; /* NULL: ended */
    struct peer *peer;       /* who is to hear of it; NULL: gone */
    int r;
    uint16_t packet_id;
    uint8_t qos;
    bool settled;
};

struct session {
    struct map_key key; /* client id */
    struct subscriber subscriber;
    struct broker *broker;
    struct peer *peer; /* NULL while away */
    struct map subscriptions;
    struct mailbox mailbox;
    struct list again;     /* under way from an earlier connection, not sent again yet: before all others */
    struct list under_way; /* sent on this connection */
    struct mail **by_id;   /* [packet id - 1]; as long as needed */
    unsigned by_id_size, under_way_count, in_window;
    uint16_t last_id;
    uint32_t received_count, received_size; /* QoS 2 ids received and not released */
    uint16_t *received;
    struct list acks;
    uint32_t expiry_s; /* UINT32_MAX: never */
    uint32_t will_delay_s;
    struct msg *will;
    struct timer expiry_timer, will_timer;
};

struct session *session_find(struct broker *broker, const char *client_id, size_t len);
struct session *session_new(struct broker *broker, const char *client_id, size_t len);
/* Ends it: subscriptions, queues and a will that still waits (which is published) go. */
struct session *session_end(struct session *session);

/* A connection takes the session, or leaves it. Attaching sends nothing: session_pump() does, after CONNACK. Detaching
 * ends the session when its time is zero. */
void session_attach(struct session *session, struct peer *peer);
void session_detach(struct session *session);

/* Sends while there is a window: first what was under way on an earlier connection, then from the mailbox. */
void session_pump(struct session *session);

/* Acknowledgements from the client. false: that packet id is not under way (in that state). */
bool session_puback(struct session *session, uint16_t packet_id);
bool session_pubrec(struct session *session, uint16_t packet_id, bool accepted);
bool session_pubcomp(struct session *session, uint16_t packet_id);

/* QoS 2 from the client. session_receive() is false when the id is known: a repetition. */
bool session_receive(struct session *session, uint16_t packet_id);
bool session_release(struct session *session, uint16_t packet_id);

/* Adds or replaces; true when the filter is new. */
bool session_subscribe(struct session *session, const char *filter, size_t len,
                       const struct subscription *options, struct subscription **ret);
bool session_unsubscribe(struct session *session, const char *filter, size_t len);
