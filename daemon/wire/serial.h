/* A reliable stream of bytes over a serial line, between a node and its gateway. Both ends are here.
 *
 *      frame on the line:  COBS of { type seq ack sid  payload(0..240)  CRC-32, least significant byte first }  0x00
 *
 *      OPEN    ─▶  version nonce(8) mtu serial     the node begins, and again every 500 ms; a nonce that is new ends what was
 *      OPENOK  ◀─  version nonce(8) mtu            up; sid is the first byte of the nonce
 *      DATA   ◀─▶  bytes                           seq counts from 0; one is under way each way, and is sent again
 *      ACK    ◀─▶                                  ack is the seq that is expected next
 *      CLOSE  ◀─▶  reason                          the end, and the answer to a frame of a session that is not known
 *      LOG     ─▶  text                            not acknowledged
 *
 * Whatever else is on the line, a boot loader's greeting for instance, is no frame and is passed over. Whoever was silent for
 * a second ends that with a 0x00 first. Nothing is allocated, nothing waits: bytes from the line are given to
 * wire_serial_input(), what is to be written on it is in wire_serial_output(), and `now` is in milliseconds and may wrap.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    WIRE_SERIAL_PAYLOAD_MAX = 240,
    WIRE_SERIAL_RAW_MAX = 4 + WIRE_SERIAL_PAYLOAD_MAX + 4,
    WIRE_SERIAL_FRAME_MAX = 1 + WIRE_SERIAL_RAW_MAX + 1 + 1, /* a 0x00 before, COBS's byte, the 0x00 behind */
    WIRE_SERIAL_NAME_MAX = 24,
    WIRE_SERIAL_NONCE = 8,
    WIRE_SERIAL_RETRIES = 20,
};

enum wire_serial_reason {
    WIRE_SERIAL_DONE = 0,    /* the user wanted it so */
    WIRE_SERIAL_UNKNOWN = 1, /* there is no such session */
    WIRE_SERIAL_SILENT = 2,  /* nobody acknowledges */
    WIRE_SERIAL_ANOTHER = 3, /* a new session has begun; is not sent */
};

struct wire_serial;

/* Members may be NULL, but for data. */
struct wire_serial_events {
    /* serial: of the node, for the gateway; "" for the node. */
    void (*opened)(struct wire_serial *link, const char *serial);
    /* False: not now. The other side sends it again. */
    bool (*data)(struct wire_serial *link, const uint8_t *bytes, size_t len);
    /* It was up, or was to be. */
    void (*closed)(struct wire_serial *link, enum wire_serial_reason reason);
    void (*log)(struct wire_serial *link, const char *text, size_t len);
};

/* All members are the link's own. */
struct wire_serial {
    struct wire_serial_events events;
    bool is_node, opening, up;
    char serial[WIRE_SERIAL_NAME_MAX + 1];
    uint8_t nonce[WIRE_SERIAL_NONCE], mtu;
    uint8_t in[WIRE_SERIAL_RAW_MAX + 1];
    uint16_t in_len; /* more than fits: it is no frame */
    uint8_t expected, seq;
    bool ack_due, open_ok_due, close_due, under_way;
    uint8_t close_sid, close_reason, tries;
    uint8_t data[WIRE_SERIAL_PAYLOAD_MAX], data_len;
    uint32_t again; /* when what is under way, or OPEN, is sent again */
    uint8_t out[WIRE_SERIAL_FRAME_MAX];
    uint16_t out_len, out_at;
    uint32_t wrote; /* when something was written last */
    bool has_written;
};

/* serial: of the node; NULL: this is the gateway. */
void wire_serial_init(struct wire_serial *link, const struct wire_serial_events *events, const char *serial);
/* The node begins a session, with a nonce it never used before. */
void wire_serial_open(struct wire_serial *link, const uint8_t nonce[WIRE_SERIAL_NONCE], uint32_t now);
void wire_serial_close(struct wire_serial *link); /* nothing is said about it by closed() */

/* How many of the bytes were taken: 0 while others are under way. */
size_t wire_serial_send(struct wire_serial *link, const void *bytes, size_t len, uint32_t now);
static inline bool wire_serial_can_send(const struct wire_serial *link)
{
    return link->up && !link->under_way;
}

void wire_serial_input(struct wire_serial *link, const uint8_t *bytes, size_t len, uint32_t now);
/* What is to be written on the line now; NULL: nothing. May call closed(). wire_serial_wrote() says how much was. */
const uint8_t *wire_serial_output(struct wire_serial *link, size_t *len, uint32_t now);
void wire_serial_wrote(struct wire_serial *link, size_t len, uint32_t now);
/* In how many ms there may be output although nothing came in; UINT32_MAX: not until something does. */
uint32_t wire_serial_wait(const struct wire_serial *link, uint32_t now);
