/* Sealing: what the logs need of somebody who can encrypt, and the device's key.
 *
 *      device key ──HKDF-SHA256, salt, "what for"──▶ a key for one file and one opening of it ──AES-256-GCM──▶ blocks
 *
 * The store links no cryptography and loads none: struct seal_functions comes from outside (identity/aead.h) when the first log
 * wants it. The device key is a file of 32 to 1024 bytes, all of which are the secret; a TPM or systemd may hand it over
 * ($CREDENTIALS_DIRECTORY/NAME). Where the owner said so and nothing has been sealed yet it is made: 32 random bytes,
 * mode 0600, on disk before anything is sealed with it. It is never made anew, and never logged.
 *
 * Whoever has the file has everything; whoever has lost it has lost what was sealed.
 */
#pragma once

#include "base/base.h"

#include <errno.h>
#include <stdatomic.h>

enum {
    SEAL_KEY = 32,
    SEAL_NONCE = 12,
    SEAL_TAG = 16,
    SEAL_SALT = 16,
    SEAL_ID = 8,
    SEAL_SECRET_MIN = 32,
    SEAL_SECRET_MAX = 1024,
};

struct seal_key; /* of AES-256-GCM, ready to use; one thread's at a time */

/* All but the last: false or NULL when there is no memory. */
struct seal_functions {
    /* HKDF-SHA256 of the secret, extract and expand, into `len` bytes, at most 64. */
    bool (*derive)(const uint8_t *secret, size_t secret_len, const uint8_t *salt, size_t salt_len,
                   const void *info, size_t info_len, uint8_t *ret, size_t len);
    struct seal_key *(*key_new)(const uint8_t key[SEAL_KEY]);
    struct seal_key *(*key_free)(struct seal_key *key);
    /* In place. `aad`: what is bound to it, and stays as it is. */
    bool (*seal)(struct seal_key *key, const uint8_t nonce[SEAL_NONCE], const void *aad, size_t aad_len,
                 uint8_t *bytes, size_t len, uint8_t tag[SEAL_TAG]);
    /* From bytes to ret, which may be the same. False: it is not what was sealed; ret is not to be used then. */
    bool (*open)(struct seal_key *key, const uint8_t nonce[SEAL_NONCE], const void *aad, size_t aad_len,
                 const uint8_t *bytes, size_t len, const uint8_t tag[SEAL_TAG], uint8_t *ret);
};

/* Where key and functions come from. */
struct seal_source {
    const char *file;                                 /* of the device key */
    bool may_make;                                    /* it, when it is missing */
    const struct seal_functions *(*load)(char **why); /* NULL: *why (free it) */
};

/* The device key, once it has been needed. Written by the loop before the logs' thread hears of anything that is sealed. */
struct seal_vault {
    char *file; /* NULL: this process seals nothing */
    bool may_make;
    const struct seal_functions *(*load)(char **why);
    atomic_bool ready;
    const struct seal_functions *functions;
    uint8_t secret[SEAL_SECRET_MAX];
    size_t secret_len;
    uint8_t id[SEAL_ID]; /* tells keys apart, and says nothing about them */
};

void seal_vault_init(struct seal_vault *vault, const struct seal_source *source);
void seal_vault_done(struct seal_vault *vault);
/* Blocks. `never_make`: something has been sealed, so that another key would not help. 0; -ENOKEY and what else the system
 * says; *why (free it) is a sentence. */
int seal_vault_load(struct seal_vault *vault, bool never_make, char **why) must_check;

static inline bool seal_vault_is_ready(const struct seal_vault *vault)
{
    return vault && atomic_load_explicit(&vault->ready, memory_order_acquire);
}

/* ---- what is sealed ---------------------------------------------------------------------------------------------- */

/* For blocks of one segment of one log. A key is made for each salt that is met, and the last one is kept. */
struct seal {
    const struct seal_vault *vault; /* NULL: nothing can be opened */
    const char *log;                /* its name, the owner's; in the key, as is the segment and the purpose */
    uint64_t segment;
    const char *purpose;
    uint8_t salt[SEAL_SALT];
    struct seal_key *key; /* for these; NULL: none yet */
};

void seal_init(struct seal *seal, const struct seal_vault *vault, const char *log, uint64_t segment,
               const char *purpose);
void seal_done(struct seal *seal);
/* A salt that was never used before: 0; -ENOMEM; -ENOKEY; what the system says when it has no random bytes. */
int seal_renew(struct seal *seal) must_check;
/* Number `counter` under the salt of seal_renew(): never the same one twice. 0; -ENOMEM. */
int seal_shut(struct seal *seal, uint32_t counter, const void *aad, size_t aad_len, uint8_t *bytes,
              size_t len, uint8_t tag[SEAL_TAG]) must_check;
/* 0; -EUCLEAN: it is not what was sealed; -ENOKEY: there is no key; -EKEYREJECTED: it was sealed with another one; -ENOMEM. */
int seal_open(struct seal *seal, const uint8_t id[SEAL_ID], const uint8_t salt[SEAL_SALT], uint32_t counter,
              const void *aad, size_t aad_len, const uint8_t *bytes, size_t len, const uint8_t tag[SEAL_TAG],
              uint8_t *ret) must_check;

/* A fault that says nothing about the medium: trying again or going on without it helps nobody. */
static inline bool seal_is_key_fault(int r)
{
    return r == -ENOKEY || r == -EKEYREJECTED;
}
