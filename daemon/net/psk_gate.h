/* What stands between handshakes and the keys: counts failures by address (IPv6: /64) and by identity. From the fifth in a
 * minute on, the answer to the next attempt waits. Memory is fixed: of very many the oldest are forgotten. For net's own
 * files. */
#pragma once

#include "net/psk.h"
#include "net/tls.h"

#include "base/loop.h"

enum { PSK_GATE_WAIT = 2000, PSK_GATE_FAILURES = 5, PSK_GATE_WINDOW = 60000, PSK_GATE_COUNTED = 256 };

struct psk_failures {
    int64_t since; /* the first of them; 0: free */
    unsigned count;
    uint8_t len;
    char who[PSK_IDENTITY_MAX + 1];
};

struct psk_gate {
    struct tls_psk tls; /* what TLS asks */
    struct loop *loop;
    struct psk_keys *keys;
    struct psk_failures failures[PSK_GATE_COUNTED];
};

/* Given to a TLS context, it goes with the last connection of it; else psk_gate_free(). */
struct psk_gate *psk_gate_new(struct loop *loop, struct psk_keys *keys);
struct psk_gate *psk_gate_free(struct psk_gate *gate);
