/* A small MQTT client: a state machine without I/O, heap, clock or globals.
 *
 *      bytes from the peer ─▶ wire_client_received() ─▶ events
 *      wire_client_publish(), subscribe(), … ─▶ wire_client_output() ─▶ bytes to the peer
 *                                               wire_client_poll(now): keep-alive; when to be called next
 *
 * All memory is the caller's: buffers for input and output, and a slot with a buffer for every QoS 1 or 2 message that may
 * be under way at once. The transport is the caller's too: he says when it is up (wire_client_begin) and gone
 * (wire_client_end), and moves bytes. A packet is in the output whole or not at all, and a send may be partial.
 *
 * A message under way stays in its slot until its last acknowledgement and is sent again, with DUP and the same packet id,
 * on the next connection, in the order it was first sent. A packet longer than the input buffer is read away, counted and
 * reported once; the connection stays. If it is a PUBLISH of QoS 1 or 2 it is acknowledged (MQTT 5: refused with "quota
 * exceeded"), or the server would send it again for ever.
 *
 * Publishing cannot fill the output so that acknowledgements have no place, and what has come is only taken while they
 * have: then wire_client_room() becomes 0 sooner or later, and the caller must send before he can read.
 *
 * The command line, the plugin host and the nodes use it. Times are milliseconds that may wrap.
 */
#pragma once

#include "wire/mqtt.h"

struct wire_client;

enum wire_client_state { WIRE_CLIENT_DOWN, WIRE_CLIENT_CONNECTING, WIRE_CLIENT_UP };

/* Why a connection is of no more use; the caller closes the transport and calls wire_client_end(). */
enum wire_client_loss {
    WIRE_LOST_REFUSED = 1,  /* reason: of CONNACK (3.1.1: what MQTT 5 would have said) */
    WIRE_LOST_PROTOCOL,     /* the peer sent something that is not MQTT; reason: which fault */
    WIRE_LOST_SILENCE,      /* nothing came for one and a half keep-alives, or no CONNACK */
    WIRE_LOST_DISCONNECTED, /* the server said DISCONNECT; reason: its */
    WIRE_LOST_MEMORY        /* CONNECT or a late acknowledgement did not fit into the output */
};

/* Each may be NULL. They may call every function of the client but received, sent, begin and end. */
struct wire_client_events {
    void (*connected)(struct wire_client *client, bool session_present);
    /* A PUBLISH. true: acknowledge it now; false: wire_client_acknowledge() comes later, in the order of the messages
     * [MQTT-4.6.0-2]. QoS 2 messages come once and are acknowledged by the client itself. Pointers are valid during the
     * call. */
    bool (*message)(struct wire_client *client, const struct wire_packet *publish);
    /* A publication of QoS 1 or 2 has reached the server, or was refused (reason >= 0x80). */
    void (*published)(struct wire_client *client, uint16_t packet_id, uint8_t reason);
    /* SUBACK or UNSUBACK: a code per filter. */
    void (*subscribed)(struct wire_client *client, uint16_t packet_id, const uint8_t *codes, uint32_t count);
    void (*too_long)(struct wire_client *client, uint32_t packet_len);
    void (*lost)(struct wire_client *client, enum wire_client_loss why, uint8_t reason);
};

/* A place for one QoS 1 or 2 message under way. */
struct wire_slot {
    uint8_t *buffer; /* the whole packet must fit */
    uint32_t size;
    uint32_t len;   /* private, as what follows; 0: free */
    uint32_t order; /* of first sending */
    uint16_t packet_id;
    bool released; /* QoS 2: PUBREL was sent */
    bool resend;   /* not sent on this connection yet */
};

struct wire_client_config {
    /* version is WIRE_MQTT311 or WIRE_MQTT5; the type is set by the client. Texts stay the caller's. Under MQTT 5, Receive
     * Maximum is received_size if it is not given, and so many acknowledgements always have room in the output; Topic
     * Alias Maximum must not be given. */
    struct wire_packet connect;
    struct wire_client_events events;
    uint8_t *in, *out;
    uint32_t in_size, out_size;
    struct wire_slot *slots; /* may be none: QoS 0 only */
    uint16_t slot_count;
    uint16_t *received; /* QoS 2 ids from the server that were not released; none: QoS 2 is a fault */
    uint16_t received_size;
    uint32_t connack_ms; /* how long to wait for CONNACK; 0: 10 s */
};

struct wire_client {
    struct wire_client_config config;
    enum wire_client_state state;
    uint32_t in_len, out_len;
    uint32_t skip;     /* bytes of a packet that is too long, still to be read away */
    uint32_t too_long; /* how many such packets there were */
    uint32_t now, heard, sent, keepalive;
    uint32_t packet_max; /* what the server takes */
    uint32_t reserve;    /* bytes of the output that are for acknowledgements only */
    uint32_t order;
    uint16_t last_id, received_count, window, in_window;
    bool taking;           /* inside an event of what has come */
    bool ping_waits, lost; /* ping_waits: nothing was heard since the last PINGREQ */
};

/* The config is copied; what it points to is not. */
void wire_client_init(struct wire_client *client, const struct wire_client_config *config);

/* The transport is up: CONNECT goes into the output. It is gone: what waits to be sent is dropped, slots are kept. */
void wire_client_begin(struct wire_client *client, uint32_t now);
void wire_client_end(struct wire_client *client);

/* Where received bytes may be put, and how many: 0 says not to read now. Then how many came. */
uint8_t *wire_client_room(struct wire_client *client, uint32_t *size);
void wire_client_received(struct wire_client *client, uint32_t len, uint32_t now);
/* What is to be sent; then how many bytes were, upon which there may be more to send. */
const uint8_t *wire_client_output(const struct wire_client *client, uint32_t *len);
void wire_client_sent(struct wire_client *client, uint32_t len);
/* Does what is due; returns in how many ms it wants to be called again. */
uint32_t wire_client_poll(struct wire_client *client, uint32_t now);

/* topic, qos, retain, payload, payload_len, props (Message Expiry, Response Topic, Correlation Data, extra) of `publish`
 * count. Returns the packet id (QoS 0: 0), or negative: WIRE_BUSY no slot, window or room now; WIRE_TOO_LONG it will never
 * fit. QoS 1 and 2 are taken while the connection is down, too, and sent when it is up. */
enum { WIRE_BUSY = -1, WIRE_TOO_LONG = -2, WIRE_IS_DOWN = -3 };
int wire_client_publish(struct wire_client *client, const struct wire_packet *publish);
/* Packet id, or negative as above; of no filters there is no packet: WIRE_TOO_LONG. */
int wire_client_subscribe(struct wire_client *client, const struct wire_filter *filters, unsigned count);
int wire_client_unsubscribe(struct wire_client *client, const struct wire_filter *filters, unsigned count);
/* For message() that returned false, on the connection the message came by: the next has packet ids of its own, and there
 * the message comes again. reason: 0, or under MQTT 5 a refusal. */
void wire_client_acknowledge(struct wire_client *client, uint16_t packet_id, uint8_t reason);
/* Says goodbye if there is room for it; the caller sends the output and closes. */
void wire_client_disconnect(struct wire_client *client, uint8_t reason);
