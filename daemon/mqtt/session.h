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
 * A session that outlives its connection is durable when the broker has a disk: it has a number, and what is above is
 * kept by durable.h and spool.h. Then
 *      a publisher's acknowledgement waits until its message is synced for everybody who is to get it;
 *      a QoS 2 message is sent when it is synced, PUBREL when PUBREC is, PUBCOMP when PUBREL is: what a client may forget,
 *      we have on disk, and nothing is delivered twice.
 *
 * A full mailbox: while the client is there, publishers wait (their receipt is held), so a slow reader slows its
 * senders; while it is away, they are refused or wait, as options.queue_full says. Nothing is acknowledged and dropped.
 */
#pragma once

#include "base/list.h"
#include "base/map.h"
#include "bus/mailbox.h"
#include "mqtt/broker.h"

struct peer;
struct spooled;

#define SESSION_DURABLE (UINT64_C(1) << 63) /* in a subscriber's origin: the rest is the session's number */

/* Bits of struct mail.state. */
enum {
    MAIL_RECEIVED = 1,  /* QoS 2: PUBREC came and is on disk, PUBREL was sent */
    MAIL_IN_WINDOW = 2, /* counts against the client's Receive Maximum on this connection */
    MAIL_RECEIVING = 4, /* PUBREC came and is on its way to the disk */
    MAIL_READ_BACK = 8, /* from before a restart: it may have been sent already */
};

struct session_subscription {
    struct map_key key; /* the filter, as the subscription keeps it */
    struct subscription subscription;
};

/* Something to be sent to the client when its receipt has settled: PUBACK and PUBREC for a message of his, in the order
 * the messages came; PUBREL and PUBCOMP, in any. */
struct ack {
    struct list link; /* in session->acks or session->promises */
    struct receipt receipt;
    struct session *session; /* NULL: ended */
    struct peer *peer;       /* who is to hear of it; NULL: gone */
    int r;
    uint16_t packet_id;
    uint8_t type; /* enum wire_type */
    bool settled;
};

/* A QoS 2 message of the client that is not released. */
struct received {
    uint16_t packet_id;
    bool releasing;          /* PUBREL came and is on its way to the disk */
    bool is_uncertain;       /* from before a restart: who is not a durable session may not have it */
    struct spooled *spooled; /* where the id is on disk */
};

/* What a session has while messages come and go; one that has never had any has none. */
struct traffic {
    struct mailbox mailbox;
    struct list again;     /* under way from an earlier connection, not sent again yet: before all others */
    struct list under_way; /* sent on this connection */
    unsigned under_way_count, in_window;
    uint32_t received_count, received_size;
    struct received *received;
    struct list acks, promises;
    uint16_t last_id; /* given, of a session that is not durable */
};

/* What a durable session has besides. */
struct on_disk {
    struct map_key key; /* the number, in struct durable */
    uint64_t number;
    uint64_t next_index;
    int64_t away_since;  /* wall, of a session read back, when the clock was set; 0: not known */
    struct list waiting; /* for the disk, in struct durable */
    struct session *session;
};

struct will {
    struct msg *msg;
    struct session *session;
    uint64_t number; /* on disk; 0: not there */
    uint32_t delay_s;
    struct timer timer;
};

struct session {
    struct map_key key; /* client id */
    struct subscriber subscriber;
    struct broker *broker;
    struct peer *peer; /* NULL while away */
    struct map subscriptions;
    size_t filter_bytes;     /* of all of them */
    struct traffic *traffic; /* NULL: none yet */
    struct on_disk *disk;    /* NULL: not durable */
    struct will *will;
    char *owner; /* the name that its client has proven; NULL: nobody was asked */
    struct timer expiry_timer;
    uint32_t expiry_s; /* UINT32_MAX: never */
    bool is_v5;        /* of the last connection */
};

/* Makes it if there is none yet. */
struct traffic *session_traffic(struct session *session);

struct session *session_find(struct broker *broker, const char *client_id, size_t len);
/* number: of a session read back; 0 for a new one. It is durable when it expires later than its connection. */
struct session *session_new(struct broker *broker, const char *client_id, size_t len, uint32_t expiry_s,
                            uint64_t number);
/* Ends it: subscriptions, queues and a will that still waits (which is published) go. What came by shared subscriptions
 * goes to others. On disk it ends too, unless the broker is closing; that has happened when the receipt settles. */
struct session *session_end(struct session *session, struct receipt *receipt);

/* A connection takes the session, or leaves it. Attaching sends nothing: session_pump() does, after CONNACK. Detaching
 * ends the session when its time is zero. */
void session_attach(struct session *session, struct peer *peer);
void session_detach(struct session *session);
/* The will that is to be published when the connection ends without DISCONNECT. Takes a reference. */
struct will *session_set_will(struct session *session, struct msg *msg, uint32_t delay_s);

void session_forget_will(struct session *session);
/* Of a session read back whose client is not there: `waited` ms have passed since he left. May end the session. */
void session_restore(struct session *session, int64_t waited);
/* Publishes a will; on disk it goes when it has been kept by everybody who gets it. */
void session_publish_will(struct broker *broker, const char *client_id, size_t len, struct msg *will,
                          uint64_t number);
/* The bus does not turn any more: those it still has queued are published at the next start. */
void session_forget_last_words(struct broker *broker);

/* A mail read back, the oldest first: it waits, or was under way. is_new: it came when the client was away. */
void session_take_back(struct session *session, struct mail *mail, bool is_new);

/* Sends while there is a window: first what was under way on an earlier connection, then from the mailbox. */
void session_pump(struct session *session);

/* Acknowledgements from the client. false: that packet id is not under way (in that state). session_pubrec() sends
 * PUBREL. */
bool session_puback(struct session *session, uint16_t packet_id);
bool session_pubrec(struct session *session, uint16_t packet_id, bool accepted);
bool session_pubcomp(struct session *session, uint16_t packet_id);
/* That PUBREC has come is on disk, or could not be kept. */
void session_received_is_kept(struct session *session, uint16_t packet_id, bool kept);

/* QoS 2 from the client. session_receive() is false when the id is known: a repetition. */
bool session_receive(struct session *session, uint16_t packet_id);
uint32_t session_unreleased(const struct session *session); /* how many are known */

struct received *session_received(struct session *session, uint16_t packet_id);
void session_forget_received(struct session *session, uint16_t packet_id);
/* That PUBREL has come is on disk, and the id is free; or it could not be kept, and PUBREL will come again. */
void session_released_is_kept(struct session *session, uint16_t packet_id, bool kept);

/* Adds or replaces; true when the filter is new. Not on disk: whoever subscribes has seen to that. */
bool session_subscribe(struct session *session, const char *filter, size_t len,
                       const struct subscription *options, struct subscription **ret);
bool session_unsubscribe(struct session *session, const char *filter, size_t len);

/* A promise that waits for the disk: hand its receipt to the spool. publish.c sends it. */
struct ack *session_promise(struct session *session, uint8_t type, uint16_t packet_id);
/* One that is waiting is for this connection now. */
void session_promise_again(struct session *session, uint8_t type, uint16_t packet_id);

/* session_out.c, for session.c */
bool session_may_send(const struct session *session);
void session_on_deliver(struct subscriber *subscriber, struct msg *msg, const struct delivery *delivery,
                        struct receipt *receipt);
enum bus_readiness session_how_ready(const struct subscriber *subscriber, const struct msg *msg);
/* Takes a mail that is under way out of it; it is delivered, or given to somebody else. */
void session_finish_mail(struct session *session, struct mail *mail);
struct mail *session_take_from_mailbox(struct session *session, struct mail *mail);
/* The session ends: all mails go. */
void session_drop_mails(struct session *session);
