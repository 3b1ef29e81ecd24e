/* The bus: everything that talks is a subscriber, what happens is a message on a topic.
 *
 * bus_publish() only queues; delivery is in the turn's ROUTE phase, oldest first. A subscriber may publish, subscribe
 * and unsubscribe from inside its delivery. One publisher's messages stay in order. A message that was republished too
 * often (hops) is dropped and counted.
 *
 * A subscriber gets one copy of a message, however many of its subscriptions match: at the highest QoS among them, with
 * all their identifiers. Which subscribers a topic has is cached per topic, and the cache is dropped whenever somebody
 * subscribes or unsubscribes.
 *
 * Retained messages live here too: the last message of every topic, durable when the bus has a store.
 */
#pragma once

#include "base/loop.h"
#include "base/msg.h"
#include "base/receipt.h"

struct bus;
struct store;
struct share;
struct subscriber;

/* How a message reaches this subscriber. Valid during the call. */
struct delivery {
    uint8_t qos; /* min(message's, highest granted among the matching subscriptions) */
    bool retain; /* the RETAIN flag to forward: retained message on subscribing, or Retain As Published */
    unsigned id_count; /* subscription identifiers of all that matched */
    const uint32_t *ids;
    struct share *share; /* the shared subscription this one was chosen for; NULL: an ordinary one */
};

/* Whether a subscriber can take a message now, for choosing among those who share a subscription. BUS_FORBIDDEN: never, so
 * it is another's. */
enum bus_readiness { BUS_FORBIDDEN, BUS_AWAY, BUS_BUSY, BUS_READY };

struct subscriber {
    /* Called in ROUTE, and from bus_send_retained(). Refs the message to keep it; holds the receipt (which may be NULL)
     * to make the publisher's acknowledgement wait, and settles it later. */
    void (*deliver)(struct subscriber *subscriber, struct msg *msg, const struct delivery *delivery,
                    struct receipt *receipt);
    enum bus_readiness (*readiness)(const struct subscriber *subscriber,
                                    const struct msg *msg); /* NULL: always ready */
    uint64_t origin;                                        /* its own messages carry this; for No Local */
    unsigned mark;                                          /* private */
};

struct subscription {
    struct subscriber *subscriber;
    uint8_t qos;
    bool no_local;
    bool retain_as_published;
    bool no_parent;         /* "a/#" does not match "a", as at AWS IoT */
    uint32_t id;            /* MQTT 5 Subscription Identifier, 0 for none */
    const char *filter;     /* private: set by bus_subscribe(), a copy */
    struct trie_node *node; /* private */
    struct share *share;    /* private: the group of a shared subscription */
    struct list link;       /* private: in the node, or among the group's members */
};

struct bus_options {
    struct store *store;       /* NULL: retained messages are forgotten at the end */
    size_t retained_max;       /* messages; 0 for the default of 100,000 */
    size_t retained_bytes_max; /* 0 for the default of 64 MiB */
};

struct bus_counters {
    uint64_t published, delivered, unmatched, hops_exceeded, retained_refused;
    size_t subscriptions, retained, retained_bytes;
};

/* Reads the retained messages back when there is a store (before the loop turns: this may block). */
int bus_new(struct bus **ret, struct loop *loop, const struct bus_options *options) must_check;
struct bus *bus_free(struct bus *bus);
define_cleanup(struct bus *, bus_free)

struct loop *bus_loop(const struct bus *bus);
const struct bus_counters *bus_counters(const struct bus *bus);

/* Numbers for struct subscriber.origin; never 0, never twice. */
uint64_t bus_new_origin(struct bus *bus);

/* Queues a message; the receipt is held until it has been routed. Takes its own reference. */
void bus_publish(struct bus *bus, struct msg *msg, struct receipt *receipt);

/* Does anybody get what is published there now? For those who would have to compose it first. */
bool bus_is_heard(struct bus *bus, const char *topic, size_t topic_len);

/* Delivers what is queued now rather than in ROUTE: whoever subscribes has not asked for what was published before. Not from
 * inside a delivery. */
void bus_route(struct bus *bus);

/* The house says something: QoS 1 from origin 0. Text is JSON mostly. retain: the last word is kept for later
 * subscribers (an empty text takes it back). Status that is said again at every start is better not stored:
 * BUS_KEEP retains in memory only. */
enum bus_retain { BUS_PASS, BUS_KEEP, BUS_STORE };
void bus_say(struct bus *bus, const char *topic, const char *text, enum bus_retain retain);
/* The house asks: the same as a request, whose answer is to be published at `answer_topic`. */
void bus_ask(struct bus *bus, const char *topic, const char *text, const char *answer_topic);
/* The same at QoS 0, so that what is asked is in no queue on disk. */
void bus_ask_in_passing(struct bus *bus, const char *topic, const char *text, const char *answer_topic);
/* Answers a request at its response topic, with its correlation data. Without response topic: nothing happens. */
void bus_reply(struct bus *bus, const struct msg *request, const char *text);
/* The same at QoS 0: a secret in it is in no queue on disk. */
void bus_reply_in_passing(struct bus *bus, const struct msg *request, const char *text);

/* The filter must be valid; what is in the options of `subscription` must be set. A subscription is in one place.
 * "$share/NAME/FILTER" joins the group of those who share it: each message goes to one of them. */
void bus_subscribe(struct bus *bus, struct subscription *subscription, const char *filter, size_t filter_len);
void bus_unsubscribe(struct bus *bus, struct subscription *subscription);
/* For services: a subscription to a fixed filter at QoS 1. */
void bus_subscribe_to(struct bus *bus, struct subscription *subscription, struct subscriber *subscriber,
                      const char *filter);

/* Delivers the retained messages that match, now; to a shared subscription none [MQTT 5, 4.8.2]. */
void bus_send_retained(struct bus *bus, struct subscription *subscription);

/* What a member of a group could not finish goes to another one: delivers to a member that is connected or, if that does
 * not matter, any but `except`; false: there is none. The group is that of a delivery, referenced by who keeps it. */
bool bus_share_again(struct bus *bus, struct share *share, struct msg *msg, const struct subscriber *except,
                     bool connected);
struct share *bus_share_ref(struct share *share);
struct share *bus_share_unref(struct share *share);
