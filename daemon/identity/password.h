/* Passwords as they are kept: hashes with what they were made with, so that the cost can rise.
 *
 *      $scrypt$ln=13,r=8,p=1$SALT$HASH     ours: 8 MiB for some tens of milliseconds (RFC 7914); base64
 *      $7$101$SALT$HASH                    Mosquitto's: PBKDF2 with HMAC-SHA-512 and so many rounds
 *
 * Reading and writing them is pure; making one and comparing with one is secret.h's work and slow on purpose: on a worker's
 * thread.
 */
#pragma once

#include "identity/secret.h"

enum {
    PASSWORD_MAX = 1024, /* bytes of a password */
    PASSWORD_TEXT_MAX = 256,
    PASSWORD_SALT_MAX = 64,
    PASSWORD_HASH_MAX = 64,
    PASSWORD_SALT_BYTES = 16, /* of those made here */
    PASSWORD_HASH_BYTES = 32,
};

enum password_kind { PASSWORD_SCRYPT, PASSWORD_PBKDF2_SHA512 };

struct password {
    enum password_kind kind;
    struct secret_cost cost; /* scrypt */
    unsigned rounds;         /* PBKDF2 */
    uint8_t salt[PASSWORD_SALT_MAX], hash[PASSWORD_HASH_MAX];
    size_t salt_len, hash_len;
};

/* scrypt with N = 8192: the smallest gateways have 64 MiB for everything. */
extern const struct secret_cost password_cost;

/* false: it is none, or one that would take more memory or time than anybody has (64 MiB, a million rounds). */
bool password_parse(struct password *ret, const char *text, size_t len);
void password_write(const struct password *password, char ret[PASSWORD_TEXT_MAX]);

/* password_check.c. A hash with a random salt; false: no memory. */
bool password_make(struct password *ret, const void *text, size_t len);
/* Is it that one? Takes as long whatever differs. */
bool password_is(const struct password *password, const void *text, size_t len);
/* Should another be made of it when somebody has come with it? */
bool password_is_weak(const struct password *password);
