/* Pairing: from a code on a sticker to a key of its own for a node, and what becomes of that key.
 *
 *      code typed ─▶ window: the pairing key, in memory, for 10 minutes or 5 failures
 *      node, with it ─▶ hello ─▶ a new key, on disk ─▶ offer ─▶ node keeps it ─▶ commit
 *      node, with the new key ─▶ paired; the pairing key and the old key are forgotten
 *
 * Keys of nodes are in memory and in state.db and nowhere else: in no log, no list, no answer. The one message with a key goes to
 * the session that asked for it and to nobody who listens (msg.only_for), at QoS 0: it is kept nowhere.
 *
 * The first handshake with a new key is the commit, whatever became of the message of that name; until then the old one is good,
 * too. What was written down late does no harm: both keys are on disk until it is.
 */
#pragma once

#include "bus/bus.h"
#include "identity/principal.h"
#include "store/store.h"

struct pairing;

enum { PAIRING_KEY_BYTES = 32 };

struct pairing_options {
    void *ctx; /* of what follows */
    /* Ends the connections of a principal ("psk:SERIAL", "pair:SERIAL"). Not called from inside pairing_…(). */
    void (*expel)(void *ctx, const char *principal, const char *why);
    /* For the audit log; NULL: nobody writes it. */
    void (*note)(void *ctx, const char *who, const char *what, const char *object, const char *reason);
    /* A node is paired: what else has to be known of it is made known. NULL: nothing. */
    void (*paired)(void *ctx, const char *serial, const char *thing, const char *model, const char *firmware);
    bool (*sha256)(const void *bytes, size_t len, uint8_t ret[32]);
    /* scrypt with N = 32768, r = 8, p = 1: half a second and 32 MiB, on a worker's thread. */
    bool (*scrypt)(const char *password, const char *salt, uint8_t ret[32]);
    enum worker_mode mode;
    int64_t key_age_s; /* after which a node is given another key; 0: never */
};

/* Reads the nodes (before the loop turns: this blocks). */
int pairing_new(struct pairing **ret, struct bus *bus, struct store *store,
                const struct pairing_options *options) must_check;
/* After the store is quiet. Connections that could ask for keys are gone. */
struct pairing *pairing_free(struct pairing *pairing);
define_cleanup(struct pairing *, pairing_free)

/* There is a listener for nodes: what an offer says of where it is. host NULL: where the node is already; port 0: at a cable.
 * Without any, no code is taken. */
void pairing_listens(struct pairing *pairing, const char *host, uint16_t port);

/* How somebody comes. By a cable that is his proof he may come without a code: when a person has approved it, on a bench at once. */
enum pairing_way { PAIRING_NETWORK, PAIRING_CABLE, PAIRING_BENCH };

/* What a listener for nodes asks. From inside a handshake. */
bool pairing_find(struct pairing *pairing, enum pairing_way way, const char *identity,
                  uint8_t key[PAIRING_KEY_BYTES]);
void pairing_tried(struct pairing *pairing, enum pairing_way way, const char *identity, const char *from,
                   bool known, bool good);
/* A reference; NULL: he is nobody any more. */
struct principal *pairing_who(struct pairing *pairing, const char *identity);
