#include "lazy/tls_table.h"

#include <errno.h>

/* secret_ready() and reading a key load the part, on the loop's thread; the others come after it, on any. */

static const struct tls_table *part;

static bool load(char **why)
{
    if (!part)
        part = lazy_tls(why);
    return part != NULL;
}

bool secret_ready(char **why)
{
    return load(why);
}

bool secret_scrypt(struct secret_cost cost, const void *password, size_t len, const uint8_t *salt,
                   size_t salt_len, uint8_t *ret, size_t ret_len)
{
    return part && part->secret_scrypt(cost, password, len, salt, salt_len, ret, ret_len);
}

bool secret_pbkdf2_sha512(unsigned rounds, const void *password, size_t len, const uint8_t *salt,
                          size_t salt_len, uint8_t *ret, size_t ret_len)
{
    return part && part->secret_pbkdf2_sha512(rounds, password, len, salt, salt_len, ret, ret_len);
}

bool secret_hmac(const void *key, size_t key_len, const void *bytes, size_t len,
                 uint8_t ret[SECRET_HMAC_BYTES])
{
    return part && part->secret_hmac(key, key_len, bytes, len, ret);
}

int secret_key_from_pem(struct secret_key **ret, const char *pem, size_t len, char **why)
{
    return load(why) ? part->secret_key_from_pem(ret, pem, len, why) : -ENOTSUP;
}

int secret_key_from_numbers(struct secret_key **ret, enum secret_algorithm algorithm, struct secret_number a,
                            struct secret_number b, char **why)
{
    return load(why) ? part->secret_key_from_numbers(ret, algorithm, a, b, why) : -ENOTSUP;
}

struct secret_key *secret_key_free(struct secret_key *key)
{
    return key ? part->secret_key_free(key) : NULL;
}

enum secret_algorithm secret_key_algorithm(const struct secret_key *key)
{
    return part->secret_key_algorithm(key);
}

bool secret_key_verify(const struct secret_key *key, const void *bytes, size_t len, const uint8_t *signature,
                       size_t signature_len)
{
    return part->secret_key_verify(key, bytes, len, signature, signature_len);
}
