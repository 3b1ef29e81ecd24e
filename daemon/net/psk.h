/* Keys that the gateway shares with small nodes: TLS without certificates, by a listener of its own (mqtts+psk://).
 *
 *      TLS 1.3, external PSK with psk_dhe_ke, x25519, TLS_CHACHA20_POLY1305_SHA256 or TLS_AES_128_GCM_SHA256
 *      tls12=1: besides TLS 1.2 with ECDHE-PSK-CHACHA20-POLY1305, for libraries that have no PSK in 1.3
 *
 * Nothing is resumed: there are no tickets and no cache. Records to the node hold at most 512 bytes. Whoever says an
 * identity that is not known is treated with a random key, so that he is told what one with a wrong key is told, and as fast.
 */
#pragma once

#include "base/base.h"
#include "net/address.h"

enum { PSK_KEY_BYTES = 32, PSK_IDENTITY_MAX = 64 };

/* Letters, digits, ':', '_' and '-': what can be a name in a log. */
bool psk_identity_is_valid(const char *identity, size_t len);

/* Who has the keys. Both are called on the loop, from inside a handshake: nobody may be disconnected from there. */
struct psk_keys {
    /* False: not known. */
    bool (*find)(struct psk_keys *keys, const char *identity, uint8_t key[PSK_KEY_BYTES]);
    /* A handshake with a valid identity is through: good, or with a wrong key (known), or with one that is not known. */
    void (*tried)(struct psk_keys *keys, const char *identity, const struct address *from, bool known,
                  bool good);
};
