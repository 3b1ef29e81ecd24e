#include "identity/password.h"

#include <string.h>
#include <sys/random.h>

static bool compute(const struct password *password, const void *text, size_t len, uint8_t *ret)
{
    return password->kind == PASSWORD_SCRYPT
               ? secret_scrypt(password->cost, text, len, password->salt, password->salt_len, ret,
                               password->hash_len)
               : secret_pbkdf2_sha512(password->rounds, text, len, password->salt, password->salt_len, ret,
                                      password->hash_len);
}

bool password_make(struct password *ret, const void *text, size_t len)
{
    *ret = (struct password){.kind = PASSWORD_SCRYPT,
                             .cost = password_cost,
                             .salt_len = PASSWORD_SALT_BYTES,
                             .hash_len = PASSWORD_HASH_BYTES};
    return getrandom(ret->salt, ret->salt_len, 0) == (ssize_t)ret->salt_len &&
           compute(ret, text, len, ret->hash);
}

bool password_is(const struct password *password, const void *text, size_t len)
{
    uint8_t hash[PASSWORD_HASH_MAX];
    bool good = compute(password, text, len, hash);
    uint8_t differs = 0;
    for (size_t i = 0; good && i < password->hash_len; i++)
        differs |= hash[i] ^ password->hash[i];
    explicit_bzero(hash, sizeof hash);
    return good && differs == 0;
}

bool password_is_weak(const struct password *password)
{
    return password->kind != PASSWORD_SCRYPT || password->cost.log_n < password_cost.log_n ||
           password->cost.r < password_cost.r;
}
