/* The broker: MQTT clients on the bus.
 *
 *      door ──▶ peer ◀──▶ session ──▶ bus
 *      where    one       what outlives the connection:
 *      they     connec-   subscriptions, messages waiting
 *      come in  tion      and under way, the will
 *
 * A door is a listener together with who comes in by it. A peer is one network connection from CONNECT to DISCONNECT. A
 * session is a subscriber of the bus; it stays when its client goes, for as long as the client asked.
 *
 * What is acknowledged: PUBACK and PUBREC are sent when the message's receipt has settled, in the order the messages
 * came. A message that could not be kept is refused with a reason code under MQTT 5; under 3.1.1, which has no words
 * for it, the connection is closed without acknowledging, so that the client sends it again.
 */
#pragma once

#include "base/map.h"
#include "bus/bus.h"
#include "identity/principal.h"
#include "net/listener.h"

struct admission;
struct authenticator;
struct login;
struct broker;
struct door;
struct seglogs;
struct store;

/* What happens to a message for a client that is away and whose queue is full. Either way nothing is acknowledged and
 * dropped. */
enum broker_queue_full {
    BROKER_QUEUE_REFUSE, /* its publisher is refused: 0x97 Quota exceeded; 3.1.1: the connection is closed */
    BROKER_QUEUE_WAIT,   /* its publisher waits until there is room */
};

/* What the filters of a client may have on average, and 64 KiB more in all: few that are very long hold as much memory as
 * many. */
enum { BROKER_FILTER_BYTES = 256 };

/* Who comes by a listener with shared keys (net/psk.h). */
struct broker_nodes {
    struct psk_keys *keys;
    struct psk_keys *cable, *bench; /* by a serial line with pair=ask, pair=auto */
    /* Who has shown that identity, in his handshake: a reference; NULL: nobody any more. */
    struct principal *(*who)(struct broker_nodes *nodes, const char *identity);
};

struct broker_options {
    /* Of one client. */
    size_t packet_max;          /* bytes of a packet we accept; larger is refused with 0x95 */
    unsigned inflight_max;      /* QoS 1 and 2 messages under way to it, and from it when it speaks MQTT 5 */
    size_t queue_max;           /* messages waiting for it */
    size_t queue_bytes_max;     /* and their bytes */
    unsigned unsettled_max;     /* messages of it that are not kept yet; beyond, it is not read from */
    unsigned subscriptions_max; /* and groups it shares; BROKER_FILTER_BYTES is about their filters */
    unsigned filters_max;       /* of them in one SUBSCRIBE; further ones are refused with 0x97 */
    unsigned topic_levels_max;
    size_t topic_len_max;     /* bytes */
    unsigned connect_timeout; /* ms from accept to CONNECT, and to the end of its authentication */

    /* Of all. */
    unsigned connections_max;
    size_t queued_bytes_max; /* of messages waiting; wills may have a quarter as much besides */
    enum broker_queue_full queue_full;

    /* What a client may ask for; MQTT 5 clients are told what they get. */
    uint32_t session_expiry_s;     /* of MQTT 3 sessions without Clean Session */
    uint32_t session_expiry_max_s; /* of MQTT 5 sessions */
    unsigned
        keepalive_max_s; /* 0: no limit. MQTT 3 clients cannot be told and keep theirs, unless keepalive_forced */
    unsigned keepalive_min_s;
    uint16_t alias_max; /* topic aliases, from and to it */

    /* Where AWS IoT departs from OASIS (broker_options_aws()). */
    uint8_t qos_max;              /* 1: QoS 2 is refused */
    bool keepalive_forced;        /* on MQTT 3 clients, too */
    bool no_subscription_ids;     /* they are refused */
    bool no_parent;               /* "a/#" does not match "a" */
    bool no_retained_by_wildcard; /* a filter with wildcards gets no retained messages */
    bool no_retain_on_dollar;     /* RETAIN on topics that begin with $ is refused */
    bool no_dollar_client_ids;    /* and client ids that begin with it */
    bool
        versions_share_no_session; /* one begun with MQTT 3 is not resumed with MQTT 5, and the other way round */

    struct authenticator *const
        *authenticators;         /* enhanced authentication (auth.h), NULL at the end; NULL: none */
    struct admission *admission; /* who a certificate is; NULL: by its common name */
    struct tls_gate *gate;       /* asked in handshakes; NULL: nobody */
    struct login
        *login; /* who a user name and a password are; NULL: listeners that take them cannot be opened */
    struct broker_nodes *nodes; /* NULL: listeners with shared keys cannot be opened */
    struct store *store;        /* where durable sessions are kept; NULL: they end with the daemon */
    struct seglogs *logs;       /* the same */
    uint64_t spool_bytes_max;   /* of their messages on disk; 0: spool.h's default */
};
/* The defaults; change what you like afterwards. */
struct broker_options broker_options(void);
/* Limits and refusals of AWS IoT Core, for testing devices against them. */
void broker_options_aws(struct broker_options *options);

struct broker_counters {
    uint64_t connects, refused, disconnects, takeovers, keepalive_timeouts, protocol_errors;
    uint64_t received, sent; /* PUBLISH packets */
    uint64_t unauthorized;   /* PUBLISH and SUBSCRIBE refused by policy */
    uint64_t dropped_qos0, dropped_queue_full, dropped_too_large, dropped_expired;
    uint64_t refused_queue_full;
    uint64_t
        left_early; /* connections that ended before CONNECT: handshakes that failed, and those who only knock */
    uint64_t
        waits; /* times that nothing was read from a client for a while: the disk or a receiver was behind */
    size_t connections, sessions;
};

int broker_new(struct broker **ret, struct bus *bus, const struct broker_options *options) must_check;
/* Says DISCONNECT (0x8B, server shutting down) to everybody and closes the doors; what is written goes out in the turns
 * to come. */
void broker_shutdown(struct broker *broker);
bool broker_is_quiet(const struct broker *broker); /* no connection is left */
struct broker *broker_free(struct broker *broker);
define_cleanup(struct broker *, broker_free)

/* Ends the connections of a principal: who he was is not good any more. How many there were. */
unsigned broker_expel(struct broker *broker, enum principal_kind kind, const char *name, const char *why);

const struct broker_counters *broker_counters(const struct broker *broker);

/* Opens a door. everybody: who all that come in by it are; NULL: as the URI's access says. On failure *why (free it)
 * says what could not be done. */
int broker_open(struct broker *broker, struct door **ret, const struct listener_uri *uri,
                struct principal *everybody, char **why) must_check;
/* Closes it, and the connections that came by it. */
struct door *door_close(struct door *door);
const char *door_name(const struct door *door);
int door_reload(struct door *door, char **why) must_check;
