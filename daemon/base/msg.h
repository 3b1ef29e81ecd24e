/* A message: a topic and bytes, immutable once published, shared by reference.
 *
 * One allocation holds all of it:
 *
 *      struct msg | record | topic NUL | properties | payload NUL
 *
 * The properties are the MQTT 5 ones that travel with a message, as the wire writes them and in the order they came:
 * whoever forwards them copies bytes. The two that services need have pointers into them.
 *
 * Whoever keeps a message refs it; no function eats a reference. Reference counts are plain integers: messages live on
 * the loop's thread. A worker may read one whose reference its work item holds.
 */
#pragma once

#include "base/base.h"

/* Who publishes: one for all messages of a connection, shared by reference. */
struct publisher {
    unsigned refs;
    const char *principal; /* who he has proven to be; NULL: nobody asked */
    bool is_uplink;        /* the message came from a cloud, through the uplink whose name client_id is */
    char client_id[];
};

/* Which record of a stream a message is, for those at the other end who have to know one again. */
struct msg_record {
    const char *stream;
    uint64_t seq;
    int64_t wall; /* of its arrival, ms since 1970 as best known */
};

struct msg {
    unsigned refs;
    uint8_t qos;        /* 0, 1, 2: as published */
    uint8_t hops;       /* how often it was republished on the way here */
    bool retain;        /* as published */
    bool is_will;       /* published by the broker for a client that went away */
    bool is_secret;     /* its payload is wiped with it */
    bool is_repetition; /* QoS 2, again after a restart: durable sessions have it, nobody else is known to */
    uint32_t expiry_s;  /* Message Expiry Interval, MSG_NO_EXPIRY for none */
    int64_t born;       /* monotonic ms of its arrival: what is left of the expiry is counted from here */
    uint64_t origin;    /* number of the session that published it, 0 for the house */
    uint64_t
        only_for; /* origin of the one subscriber that gets it, if it subscribes; 0: whoever subscribes */
    struct publisher *from; /* referenced; NULL: the house */
    uint16_t packet_id;     /* of a QoS 2 publisher whose repetition must be known after a restart; else 0 */
    const char *topic;      /* no U+0000 inside, NUL-terminated */
    const struct msg_record *record; /* NULL: it is none */
    const uint8_t *props;            /* forwardable MQTT 5 properties, without their length */
    const uint8_t *payload;          /* NUL-terminated for those who print it; may hold any byte */
    const char *response_topic;      /* into props, NOT terminated; NULL when absent */
    const uint8_t *correlation;      /* into props; NULL when absent */
    uint16_t response_topic_len, correlation_len;
    uint16_t topic_len;
    uint32_t props_len, payload_len;
};

#define MSG_NO_EXPIRY UINT32_MAX

/* Who is republished more often goes round in a loop, and is dropped by the bus. A way through a cloud, from one of its clients to another, counts as
 * several. */
enum { MSG_HOPS_MAX = 16, MSG_HOPS_CLOUD = 4 };

/* What a message may be at most; the broker's packet limit is smaller. */
enum { MSG_TOPIC_MAX = 65535, MSG_PAYLOAD_MAX = 256 * 1024 * 1024 };

/* A new message with one reference, QoS 0; NULL when there is no memory for it. */
struct msg *msg_new(const char *topic, size_t topic_len, const void *payload, size_t payload_len);
/* The same with MQTT 5 properties; response_at/correlation_at are offsets of the values in props or SIZE_MAX. */
struct msg_props {
    const uint8_t *bytes;
    size_t len;
    size_t response_at, response_len;
    size_t correlation_at, correlation_len;
};
struct msg *msg_new_props(const char *topic, size_t topic_len, const struct msg_props *props,
                          const void *payload, size_t payload_len);
/* A record on its way out; what it says of its stream is copied. */
struct msg *msg_new_record(const char *topic, size_t topic_len, const struct msg_record *record,
                           const void *payload, size_t payload_len);
struct msg *msg_ref(struct msg *msg);
struct msg *msg_unref(struct msg *msg);
define_cleanup(struct msg *, msg_unref)

/* What the message costs a queue that keeps it, in bytes. */
size_t msg_cost(const struct msg *msg);

/* Seconds left of its expiry at `now` (monotonic ms): 0 when it is over, MSG_NO_EXPIRY when there is none. */
uint32_t msg_expiry_left(const struct msg *msg, int64_t now);

/* principal may be NULL. */
struct publisher *publisher_new(const char *client_id, size_t len, const char *principal);
struct publisher *publisher_ref(struct publisher *publisher);
struct publisher *publisher_unref(struct publisher *publisher);
/* Did it come through that uplink? Then it is not sent back there. */
bool msg_came_from(const struct msg *msg, const char *uplink);
/* The name to write down: what was proven, else what he calls himself; "" for NULL. */
const char *publisher_name(const struct publisher *publisher);
