/* One MQTT connection to a cloud broker, as the loop sees it: up or down, publish, acknowledged or not.
 *
 *      struct mqtt_links      the thread on which Paho is called; one for the process
 *      struct mqtt_link       one connection: connects, stays connected, and after a loss connects again by itself
 *
 *                     stop                           the timer, start
 *            OFF ◀──────────── any        WAITING ──────────────────▶ OPENING ──▶ UP
 *             │                              ▲                           │        │  refused, lost
 *             └── start ──▶ OPENING          └──── CLOSING ◀─────────────┴────────┘
 *
 * The pause between attempts grows from one second to a minute, with jitter, and begins anew after a connection that
 * held. A link that waits has no thread, no socket and no timer but the one. Whoever hears that the network came back
 * says so (mqtt_link_network_came()), and nothing is waited for.
 *
 * Publishing is QoS 0 or 1. `window` messages are with the broker at once (fewer when it asks for fewer, when the
 * link is slow (link_window.h), or when they are large: half a MiB, and one message whatever its size), some more wait inside the link, and what exceeds that is refused. A message is done when the broker has acknowledged it (QoS 0: when
 * it was written). When the link goes down everything that was not acknowledged is done with -ENOTCONN, oldest first, and
 * it may have arrived all the same: whoever needs it there publishes it again.
 *
 * Subscribing is QoS 1, one filter at a time, and holds for this connection: whoever wants it still subscribes again in
 * on_up(). What arrives is taken by Paho's thread, acknowledged to the broker at once, and given to on_message() in a
 * later turn: MQTTAsync 1.3.12 sends PUBACK as soon as its callback returns and has no other way to acknowledge. So a
 * message from the broker is promised to nobody: it is lost when the process dies in between, and when 1,000 messages or
 * 8 MiB wait for the loop what comes then is dropped and counted (mqtt_link_lost()). Whoever must not miss anything
 * compares and asks again.
 *
 * A message that was republished before (msg.hops) carries how often, as the MQTT 5 user property "gatehouse-hops", and one that arrives with it
 * has as many hops, and MSG_HOPS_CLOUD more for the way. MQTT 3.1.1 has no words for that.
 *
 * No Paho function is called on the loop: it holds a process-wide lock while it resolves names (paho.mqtt.c issues 915,
 * 1016, 1125).
 */
#pragma once

#include "base/loop.h"
#include "base/msg.h"
#include "base/worker.h"
#include "cloud/link_window.h"

struct mqtt_links;
struct mqtt_link;

#define MQTT_LINK_HOPS "gatehouse-hops"
enum { MQTT_LINK_HOPS_SIZE = 1 + 2 + sizeof MQTT_LINK_HOPS - 1 + 2 + 3 }; /* of the property, at most */

/* NULL, or what was expected instead of this URI. Pure. */
const char *mqtt_link_uri_check(const char *uri);

struct mqtt_link_options {
    const char *name; /* for the log, and the client id when there is none */
    const char *uri;  /* mqtt://HOST[:PORT] or mqtts://HOST[:PORT] */
    const char *client_id;
    const char *ca, *cert,
        *key;          /* PEM files; NULL: the system's CAs, no certificate, key in the certificate's file */
    const char *alpn;  /* the one protocol that is offered in TLS; NULL: none is */
    const char *proxy; /* http://[USER@]HOST:PORT: asked to CONNECT; NULL: none */
    const char *proxy_password;      /* of its USER; NULL: none */
    const char *username, *password; /* NULL: none */
    unsigned keepalive_s;            /* 0 for the default of 60 */
    unsigned connect_timeout_s;      /* for the name, and again for the connection until CONNACK; 0: 20 */
    int protocol;                    /* 4: MQTT 3.1.1; 5, and 0: MQTT 5 */
    unsigned window;                 /* 0 for the default of 64 */
    /* The session at the broker outlives the connection, MQTT 5: for so many seconds (0 for the default of a day). What
     * it queues for us arrives after the next connection. */
    bool persistent;
    uint32_t session_expiry_s;
    /* What the broker says when we are gone without a word, QoS 1; NULL: nothing. */
    const char *will_topic, *will_message;
    bool will_retain;
    const char *receive_prefix;   /* put before the topic of what is received; NULL: nothing is taken */
    int64_t pause_min, pause_max; /* 0 for the defaults of 1 s and 60 s */
};

/* NULL, or what was expected instead of this proxy. Pure. */
const char *mqtt_link_proxy_check(const char *proxy);

/* On the loop. May call everything but mqtt_link_free(). */
struct mqtt_link_events {
    void (*on_up)(void *self);
    /* It was up and is no more, or an attempt failed. Not for mqtt_link_stop(). The text is valid during the call. */
    void (*on_down)(void *self, const char *reason);
    /* Received, maybe before the link went down. The receiver refs it to keep it. */
    void (*on_message)(void *self, struct msg *msg);
    /* mqtt_link_stop() has come to its end. */
    void (*on_off)(void *self);
};

int mqtt_links_new(struct mqtt_links **ret, struct loop *loop) must_check;
/* All links have been freed. */
struct mqtt_links *mqtt_links_free(struct mqtt_links *links);
define_cleanup(struct mqtt_links *, mqtt_links_free)

/* Options are copied. The link is OFF. -EINVAL when the URI is neither of the two kinds. */
int mqtt_link_new(struct mqtt_link **ret, struct mqtt_links *links, const struct mqtt_link_options *options,
                  const struct mqtt_link_events *events, void *self) must_check;
/* Says DISCONNECT, if the peer still listens, and waits until the connection is closed: about a second, also when the
 * peer hangs; as long as the system's resolver takes when it is just being asked. What is not done is done with
 * -ENOTCONN. Stopping all links before freeing them makes them wait together. */
struct mqtt_link *mqtt_link_free(struct mqtt_link *link);
define_cleanup(struct mqtt_link *, mqtt_link_free)

/* Connects, now. While it waits between attempts: tries now and begins with the shortest pause again. */
void mqtt_link_start(struct mqtt_link *link);
/* The network came back, or one more way into it: tries now instead of waiting on, gives up an attempt that has lasted for
 * long, and a connection on which what was sent is being repeated. */
void mqtt_link_network_came(struct mqtt_link *link);
/* When the broker's certificates are to be valid (seconds since 1970), from the next attempt on; 0: now, whatever the clock
 * says. It holds for all links of the process that are connecting at that time. */
void mqtt_link_set_verify_time(struct mqtt_link *link, int64_t time_s);
/* Disconnects, and stays so. */
void mqtt_link_stop(struct mqtt_link *link);
bool mqtt_link_is_up(const struct mqtt_link *link);
/* It is up, and the broker had kept the session of the connection before. */
bool mqtt_link_session_was_present(const struct mqtt_link *link);
/* How many messages may be with the broker: what was asked for, or what it allows on this connection if that is less. */
unsigned mqtt_link_window(const struct mqtt_link *link);
/* Received messages that were dropped: too many waited, no memory, or no valid topic. */
uint64_t mqtt_link_lost(const struct mqtt_link *link);

/* What is under way to the broker and back. Private. */
struct mqtt_link_ask {
    struct mqtt_link *link;
    struct inbox *inbox;
    struct list place; /* among those with the broker, or those that wait */
    struct work work;  /* handing it to Paho */
    struct note note;  /* Paho's answer */
    struct link_window_mark mark;
    void (*finish)(struct mqtt_link_ask *ask, int r);
    bool handing, answered;
    int answer;
};

struct mqtt_link_publish {
    struct msg *msg;   /* its payload and retain flag; the owner holds a reference until done */
    const char *topic; /* at the cloud, NUL-terminated; stays until done */
    uint8_t qos;       /* 0 or 1 */
    /* 0, a refusal of the broker's (an MQTT 5 reason code, 0x80 and above), −errno. Not called from inside
     * mqtt_link_publish(). May publish again. */
    void (*done)(struct mqtt_link_publish *publish, int r);
    struct mqtt_link_ask ask; /* private */
};

/* Takes the publish until done(). -ENOTCONN: not up; -ENOBUFS: too much is waiting (1,000 messages or 8 MiB);
 * -EMSGSIZE: the broker takes no packet of that size. */
int mqtt_link_publish(struct mqtt_link *link, struct mqtt_link_publish *publish) must_check;

struct mqtt_link_subscribe {
    const char *filter; /* NUL-terminated, valid; stays until done */
    bool off;           /* unsubscribe */
    /* As above: 0, a refusal, −errno. Not called from inside mqtt_link_subscribe(). */
    void (*done)(struct mqtt_link_subscribe *subscribe, int r);
    struct mqtt_link_ask ask; /* private */
};

/* Takes the item until done(). -ENOTCONN: not up. How many are under way at once is the caller's business. */
int mqtt_link_subscribe(struct mqtt_link *link, struct mqtt_link_subscribe *subscribe) must_check;
