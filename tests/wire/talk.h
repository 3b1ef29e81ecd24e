/* A client at one end and the test at the other, as the server: what the client sends is read as lines (notation.h), what
 * the server says is written in the notation, what the client tells its owner is kept as text. The clock is a number.
 *
 *      struct talk talk;
 *      talk_init(&talk, WIRE_MQTT5);
 *      talk_up(&talk);
 *      talk_publish(&talk, 1, "a/b", "x");
 *      CHECK_STR(talk_next(&talk), "PUBLISH a/b q1 id=1 = x");
 *      talk_server(&talk, "40 {0001}");
 *      CHECK_STR(talk_events(&talk), "published 1 00; ");
 */
#pragma once

#include "rig/test.h"
#include "wire/client.h"

enum { TALK_SLOTS = 3, TALK_SLOT_SIZE = 64, TALK_RECEIVED = 2, TALK_IN = 64, TALK_OUT = 128 };

struct talk {
    struct wire_client client; /* first: events find the talk by it */
    struct wire_client_config config;
    uint32_t now, wait; /* wait: what wire_client_poll() returned last */

    uint8_t in[TALK_IN], out[TALK_OUT];
    struct wire_slot slots[TALK_SLOTS];
    uint8_t buffers[TALK_SLOTS][TALK_SLOT_SIZE];
    uint16_t received[TALK_RECEIVED];

    size_t server_reads; /* how many bytes the server still takes */
    uint8_t from_client[4096];
    size_t from_client_len;

    bool acknowledges;                     /* what message() answers */
    void (*on_message)(struct talk *talk); /* does more inside of message(), or of connected() */
    void (*on_connected)(struct talk *talk);
    char events[4096], told[4096];
};

/* Buffers of the sizes above, keep-alive 60 s, client id "c", no clean start, a server that reads everything. */
void talk_init(struct talk *talk, enum wire_version version);
/* Makes the client from talk->config again, after a change. */
void talk_restart(struct talk *talk);

void talk_begin(struct talk *talk);
void talk_end(struct talk *talk);
/* Begins, answers CONNECT with success, and forgets both. */
void talk_up(struct talk *talk);
/* The same, but the session is present or not, and the CONNACK says these properties (MQTT 5). */
void talk_up_with(struct talk *talk, bool session_present, const char *props);

/* Bytes from the server; returns how many the client had no room for. */
size_t talk_server_bytes(struct talk *talk, const uint8_t *bytes, size_t len);
void talk_server(struct talk *talk, const char *notation); /* and it must take them all */

/* The client's next packet as a line; "" when there is none. */
const char *talk_next(struct talk *talk);
/* What happened since the last call, "connected 0; message a q0 = x; published 1 00; …" */
const char *talk_events(struct talk *talk);

int talk_publish(struct talk *talk, uint8_t qos, const char *topic, const char *payload);
int talk_subscribe(struct talk *talk, const char *filter);
/* Moves the clock and polls. */
void talk_after(struct talk *talk, uint32_t ms);
