/* Cryptography for who comes with a password or a token: slow hashes, keyed hashes, and the keys that tokens are signed with.
 *
 * Knows OpenSSL. The daemon loads it with the rest of TLS (lazy/): a function that is added here is added there, too.
 * Everything but secret_ready() may be called on every thread.
 */
#pragma once

#include "base/base.h"

/* Before anything else, on the loop's thread. false: it cannot be loaded, and *why (free it) says why. */
bool secret_ready(char **why);

/* scrypt (RFC 7914) with N = 2^log_n; it takes N * r * 128 bytes of memory. */
struct secret_cost {
    uint8_t log_n, r, p;
};

/* false: no memory, or a cost that cannot be. */
bool secret_scrypt(struct secret_cost cost, const void *password, size_t len, const uint8_t *salt,
                   size_t salt_len, uint8_t *ret, size_t ret_len);
bool secret_pbkdf2_sha512(unsigned rounds, const void *password, size_t len, const uint8_t *salt,
                          size_t salt_len, uint8_t *ret, size_t ret_len);
enum { SECRET_HMAC_BYTES = 32 };
bool secret_hmac(const void *key, size_t key_len, const void *bytes, size_t len,
                 uint8_t ret[SECRET_HMAC_BYTES]); /* SHA-256 */

/* What a token may be signed with. The algorithm belongs to the key, whatever the token says. */
enum secret_algorithm { SECRET_HS256, SECRET_RS256, SECRET_ES256, SECRET_EDDSA };

struct secret_key;
/* A public key as PEM text: RSA of 2048 bits or more, P-256, or Ed25519. -EINVAL: *why (free it) says what was expected. */
int secret_key_from_pem(struct secret_key **ret, const char *pem, size_t len, char **why) must_check;
/* The same from the numbers in a JWK; of an RSA key modulus and exponent, of P-256 x and y, of Ed25519 x. */
struct secret_number {
    const uint8_t *bytes;
    size_t len;
};
int secret_key_from_numbers(struct secret_key **ret, enum secret_algorithm algorithm, struct secret_number a,
                            struct secret_number b, char **why) must_check;
struct secret_key *secret_key_free(struct secret_key *key);
enum secret_algorithm secret_key_algorithm(const struct secret_key *key);
/* A signature as JWS has it (of ES256: r and s, 32 bytes each). */
bool secret_key_verify(const struct secret_key *key, const void *bytes, size_t len, const uint8_t *signature,
                       size_t signature_len);
