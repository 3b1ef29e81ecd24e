/* Pairing: a node that has only the key of its sticker gets one of its own from the gateway (schema/topics.md, Pairing).
 *
 *      ghn_pair_init(&pair, &config, &port, &secure, &keys);
 *      while (pair.state == GHN_PAIR_TRYING)
 *          sleep_until_bytes_come_or(ghn_pair_poll(&pair));
 *      if (pair.state == GHN_PAIR_DONE) …                      keys has the new key: ghn_init() with it
 *
 * It tries every five seconds for ten minutes: until a person types the code at the gateway, every handshake fails. Then it is
 * connected as pair:SERIAL (by a cable: cable:SERIAL), says hello, keeps the key it is offered, and says so. Nothing blocks, nothing is allocated.
 */
#pragma once

#include "ghn/keys.h"
#include "ghn/secure.h"
#include "wire/client.h"

enum { GHN_PAIR_EVERY = 5000, GHN_PAIR_TIME = 600000, GHN_PAIR_RX_MIN = 512, GHN_PAIR_TX_MIN = 768 };

typedef enum ghn_pair_event {
    GHN_PAIR_ASKS,      /* an attempt begins; detail: its number */
    GHN_PAIR_CONNECTED, /* the gateway knows the code */
    GHN_PAIR_FAILED,    /* the attempt is over; detail: 1 when the handshake had been through */
    GHN_PAIR_OFFERED,   /* detail: the generation */
    GHN_PAIR_KEPT,      /* the key is stored, and the gateway has been told */
    GHN_PAIR_REFUSED    /* the key could not be stored; detail: enum ghn_result */
} ghn_pair_event;

typedef struct ghn_pair_config {
    const ghn_identity *identity;
    bool cable;           /* it hangs on one: a person at the gateway approves it, and no code is needed */
    const char *firmware; /* its version */
    const char *host;     /* of the gateway */
    uint16_t port;
    uint8_t *rx, *tx; /* GHN_PAIR_RX_MIN and GHN_PAIR_TX_MIN bytes at least */
    size_t rx_size, tx_size;
    void *ctx;
    void (*on_event)(void *ctx, ghn_pair_event event, int32_t detail); /* may be NULL */
} ghn_pair_config;

typedef enum ghn_pair_state { GHN_PAIR_TRYING, GHN_PAIR_DONE, GHN_PAIR_GIVEN_UP } ghn_pair_state;

/* All fields but state are the library's. */
typedef struct ghn_pair {
    struct wire_client mqtt;   /* first: its callbacks find this by it */
    struct wire_slot slots[2]; /* the offer may come before the hello is acknowledged */
    const ghn_pair_config *config;
    const ghn_port *port;
    const ghn_secure *secure;
    ghn_keys *keys;
    ghn_pair_state state;
    uint8_t step;           /* of an attempt */
    bool lost, was_through; /* the attempt is to be given up; its handshake had been through */
    bool committed;
    int telling;        /* packet id of the commit, or of the refusal */
    uint32_t begun, at; /* when it all began; when the present step has to be over */
    uint32_t attempts;
    char client_id[5 + GHN_SERIAL_MAX + 1];
} ghn_pair;

/* 0, GHN_INVALID, GHN_TOO_LONG: a buffer is too small. */
int ghn_pair_init(ghn_pair *pair, const ghn_pair_config *config, const ghn_port *port,
                  const ghn_secure *secure, ghn_keys *keys);
/* Does what can be done now; returns in how many milliseconds it wants to be called again. */
int ghn_pair_poll(ghn_pair *pair);
void ghn_pair_stop(ghn_pair *pair);

/* {"v":1,"gen":…,"id":…,"key":…,"thing":…,"host":…,"port":…}, or the same of key/next without what stays. 0, or GHN_INVALID. */
int ghn_offer_read(ghn_credentials *ret, const char *serial, const char *text, size_t len);
