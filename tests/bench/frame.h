/* MQTT as the bench speaks it: frames in and out, 3.1.1 and 5.0, and nothing else of the protocol.
 *
 * It is written apart from the daemon's codec on purpose: a witness that shares the codec shares its mistakes, and a
 * load generator must cost less than what it measures.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum frame_type {
    CONNECT = 1,
    CONNACK,
    PUBLISH,
    PUBACK,
    PUBREC,
    PUBREL,
    PUBCOMP,
    SUBSCRIBE,
    SUBACK,
    UNSUBSCRIBE,
    UNSUBACK,
    PINGREQ,
    PINGRESP,
    DISCONNECT,
    AUTH,
};

enum { MQTT_311 = 4, MQTT_5 = 5 };

struct frame {
    enum frame_type type;
    unsigned flags;
    const uint8_t *body;  /* behind the length */
    size_t len;           /* of the body */
    const uint8_t *start; /* the whole frame, for those who pass it on */
    size_t size;
};

/* Takes the first frame of p[0..n): returns 1, or 0 if it is not complete yet, or -EPROTO if it cannot become one. */
int frame_read(struct frame *ret, const uint8_t *p, size_t n);

/* The parts of a PUBLISH. Returns 0 or -EPROTO. `id` is 0 at QoS 0. */
struct publish {
    const uint8_t *topic, *payload;
    size_t topic_len, payload_len;
    uint16_t id;
    unsigned qos;
    bool dup;
};
int frame_publish(struct publish *ret, const struct frame *f, unsigned version);

/* What a CONNACK says: `code` 0 is accepted; how many QoS 1 and 2 messages the server takes at once. */
struct connack {
    unsigned code;
    bool session_present;
    unsigned receive_maximum;
};
int frame_connack(struct connack *ret, const struct frame *f, unsigned version);

/* Packet id and reason code (0 where none is given) of PUBACK, PUBREC, PUBREL and PUBCOMP. */
struct ack {
    uint16_t id;
    unsigned code;
};
int frame_ack(struct ack *ret, const struct frame *f);

/* The length of a variable byte integer's number that begins at p, and how many bytes it takes; 0 or -EPROTO. */
int frame_varint(size_t *ret, size_t *ret_size, const uint8_t *p, size_t n);

/* Bytes that wait to be sent. Grows; out of memory ends the program, which is a tool and not a service. */
struct bytes {
    uint8_t *data;
    size_t len, capacity;
};

uint8_t *bytes_room(struct bytes *b,
                    size_t n); /* the caller writes n bytes there and adds what it used to len */
void bytes_add(struct bytes *b, const void *data, size_t n);

/* durable: the session outlives the connection, by an hour with MQTT 5. */
void put_connect(struct bytes *b, unsigned version, const char *client_id, bool durable);
void put_connack(struct bytes *b, unsigned version);
void put_subscribe(struct bytes *b, unsigned version, uint16_t id, const char *const *filters, size_t n,
                   unsigned qos);
void put_suback(struct bytes *b, unsigned version, uint16_t id, const uint8_t *codes, size_t n);
void put_ack(struct bytes *b, enum frame_type type, uint16_t id);
void put_empty(struct bytes *b, enum frame_type type); /* PINGREQ, PINGRESP, DISCONNECT */

/* Everything of a PUBLISH but its payload, for which room is made behind it: returns where the payload goes. */
uint8_t *put_publish(struct bytes *b, unsigned version, unsigned qos, const char *topic, uint16_t id,
                     size_t payload_len);
