/* A node: connects to the gateway, stays connected, sends telemetry, keeps its shadow.
 *
 * The application gives a port (time, chance), a stream (bytes in and out), a configuration and the memory; then it calls
 * ghn_poll() as often as it likes, at the latest after as many milliseconds as the last call returned, and once more when
 * it has bytes to read, something to report or telemetry taken. Nothing here blocks, allocates or recurses, and a node
 * holds all its state: there may be several.
 *
 *      ghn_init(&node, &config, &port, &stream);
 *      for (;;) {
 *          if (time_to_measure())
 *              ghn_telemetry(&node, "env", "{\"temperature\":2150}", 1);
 *          int ms = ghn_poll(&node);
 *          sleep_until_bytes_come_or(ms);
 *      }
 *
 * Everything is called from one thread or task. Callbacks are made from inside ghn_poll() and ghn_close(); they may call
 * ghn_report(), ghn_telemetry() and ghn_set_time().
 *
 * Topics, T being the thing's name:
 *
 *      gh/nodes/T/online   "1", retained; "0" by will when the link breaks
 *      gh/nodes/T/info     config.info, retained
 *      dt/T/CHANNEL        telemetry, with "seq" and, when the node knows the time, "ts" (seconds since 1970) added
 *      $aws/things/T/shadow/…
 *
 * What is promised of the connection: a packet goes out whole or the connection is dropped; one QoS 1 message is under way
 * at a time, kept until it is acknowledged and sent again on the next connection; a packet too long for rx is read away
 * and said once, the connection stays.
 */
#pragma once

#include "ghn/backoff.h"
#include "ghn/keys.h"
#include "ghn/result.h"
#include "ghn/ring.h"
#include "ghn/secure.h"
#include "ghn/shadow.h"
#include "ghn/stream.h"
#include "wire/client.h"

/* The longest telemetry payload, "seq" and "ts" included: so much stack is used while one is put together. */
#ifndef GHN_TELEMETRY_MAX
#define GHN_TELEMETRY_MAX 256
#endif

enum { GHN_THING_MAX = 128, GHN_CHANNEL_MAX = 32, GHN_RX_MIN = 64 };

typedef enum ghn_event {
    GHN_CONNECTED,       /* the gateway took us; detail: 1 when it still had our session */
    GHN_READY,           /* and subscribed */
    GHN_LOST,            /* a connection, or an attempt at one, ended; detail: why, an enum ghn_lost */
    GHN_WAITING,         /* detail: milliseconds until the next attempt */
    GHN_DELIVERED,       /* telemetry of QoS 1 was acknowledged; detail: its seq */
    GHN_DESIRED,         /* a delta was offered to the application; detail: the shadow's version */
    GHN_DESIRED_OLD,     /* a delta was passed over: not above the last version; detail: its version */
    GHN_REPORTED,        /* the gateway has acknowledged the reported state */
    GHN_REPORT_TAKEN,    /* the shadow service has it; detail: the shadow's version */
    GHN_REPORT_REFUSED,  /* detail: the service's code */
    GHN_PACKET_TOO_LONG, /* a packet longer than rx was read away; detail: its length */
    GHN_DROPPED /* the ring was full, old telemetry made room; detail: how many records since the start */
} ghn_event;

/* Why a connection ended. */
enum ghn_lost {
    GHN_NOT_LOST,
    GHN_LOST_STREAM,   /* the stream closed or could not be opened */
    GHN_LOST_ENTROPY,  /* the port gives no random numbers */
    GHN_LOST_REFUSED,  /* the gateway refused the connection or a subscription */
    GHN_LOST_SILENT,   /* nothing was heard in time */
    GHN_LOST_PROTOCOL, /* the gateway sent what it must not */
    GHN_LOST_CLOSED,   /* ghn_close() */
    GHN_LOST_REKEYED   /* the gateway gave us another key: it connects again with that */
};

/* What the node is told once. All that it points to must live as long as the node. */
typedef struct ghn_config {
    const char *thing; /* 1 to GHN_THING_MAX of [a-zA-Z0-9:_-]: client id, and level in every topic */
    const char *host;
    uint16_t port;
    uint16_t keepalive_s; /* 0: 60 */
    const char *info;     /* JSON for gh/nodes/T/info, read at each connect; NULL: none */

    uint8_t *rx; /* the longest packet that can be received, GHN_RX_MIN at least */
    size_t rx_size;
    uint8_t *
        tx; /* twice the longest packet that can be sent: one half is the message under way, one the bytes to go */
    size_t tx_size;
    char *reported; /* the reported state and GHN_SHADOW_ENVELOPE bytes; NULL: no shadow */
    size_t reported_size;
    uint8_t *ring; /* telemetry that cannot be sent now; NULL: ghn_telemetry() says GHN_BUSY then */
    size_t ring_size;
    bool ring_keeps_oldest; /* a full ring refuses new records, in place of dropping old ones */

    /* A paired node's (pair.h): the stream given to ghn_init() is secure->stream, and each connection uses a key of keys. NULL:
     * the stream as it is. */
    ghn_keys *keys;
    const ghn_secure *secure;
    const char *serial;

    void *ctx;                                                    /* for the callbacks */
    ghn_on_desired on_desired;                                    /* needed with a shadow */
    void (*on_state)(void *ctx, ghn_event event, int32_t detail); /* may be NULL */
} ghn_config;

enum ghn_state { GHN_STATE_WAITING, GHN_STATE_OPENING, GHN_STATE_TALKING, GHN_STATE_READY, GHN_STATE_CLOSED };
enum ghn_flight {
    GHN_FLIGHT_NONE,
    GHN_FLIGHT_STATUS,
    GHN_FLIGHT_GET,
    GHN_FLIGHT_REPORT,
    GHN_FLIGHT_TELEMETRY
};

/* All fields are the library's. */
typedef struct ghn_node {
    struct wire_client mqtt; /* first: its callbacks find the node by it */
    struct wire_slot slot;
    const ghn_config *config;
    const ghn_port *port;
    const ghn_stream *stream;
    ghn_shadow shadow;
    ghn_ring ring;
    ghn_backoff backoff;

    enum ghn_state state;
    enum ghn_lost lost; /* this connection is to be given up; GHN_NOT_LOST: it is not */
    uint32_t at;        /* WAITING: when to try; OPENING, TALKING: when to give up */
    uint32_t up_since;  /* CONNACK; counts while `connected` */
    bool connected;
    bool reading; /* inside a callback of the MQTT client: its output has to keep room for acknowledgements */

    uint8_t subscriptions;    /* acknowledged */
    uint16_t subscription_id; /* of the one under way; 0: none */
    bool online_due, info_due;
    bool rekeyed;     /* there is a new key to connect with */
    bool report_held; /* the service was busy: not before report_at */
    uint32_t report_at;

    enum ghn_flight flight; /* the QoS 1 message under way */
    uint32_t flight_seq;    /* of telemetry */
    uint32_t seq;           /* of the last telemetry taken */
    uint32_t dropped_told;

    int64_t time_s;   /* seconds since 1970 at time_at; 0: not known */
    uint32_t time_at; /* ms */
} ghn_node;

/* 0, GHN_INVALID (a name or a callback is missing or wrong) or GHN_TOO_LONG (tx or rx cannot hold what must be sent or
 * received to connect). The first attempt to connect is made by the first ghn_poll(). */
int ghn_init(ghn_node *node, const ghn_config *config, const ghn_port *port, const ghn_stream *stream);

/* Does what can be done now. Returns in how many milliseconds it wants to be called again. */
int ghn_poll(ghn_node *node);

/* Connected and subscribed? */
int ghn_ready(const ghn_node *node);

/* Telemetry on dt/THING/CHANNEL: a JSON object without "seq" and "ts". 0 when it was taken: into the connection, or into
 * the ring, from which it goes in order. GHN_BUSY when there is no room now; GHN_TOO_LONG, GHN_INVALID. */
int ghn_telemetry(ghn_node *node, const char *channel, const char *json, unsigned qos);

/* What the node is now, as a JSON object: the whole "reported" of its shadow. It is kept and sent when it has changed, after
 * each delta, and after each connect. 0, GHN_INVALID (no object, or no shadow configured) or GHN_TOO_LONG. */
int ghn_report(ghn_node *node, const char *json);

/* Tells the node the time, where the board knows it. Otherwise it learns it from the shadow service's answers. */
void ghn_set_time(ghn_node *node, int64_t seconds_since_1970);

/* Says goodbye as far as the stream takes it at once ("0" on gh/nodes/T/online), and closes. ghn_init() begins anew. */
void ghn_close(ghn_node *node);
