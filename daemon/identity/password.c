#include "identity/password.h"

#include "base/base64.h"

#include <stdio.h>
#include <string.h>

enum {
    ROUNDS_MAX = 1000000,
    LOG_N_MIN = 4,
    LOG_N_MAX = 16,
    HASH_MIN = 16,
    BASE64_MAX = (PASSWORD_HASH_MAX + 2) / 3 * 4 + 1
};
_Static_assert((int)PASSWORD_SALT_MAX == (int)PASSWORD_HASH_MAX, "both fit");

const struct secret_cost password_cost = {13, 8, 1};

static const char scrypt_mark[] = "$scrypt$", pbkdf2_mark[] = "$7$";

/* What is left of a text. */
struct rest {
    const char *at, *end;
};

static bool take(struct rest *rest, const char *expected)
{
    size_t len = strlen(expected);
    if ((size_t)(rest->end - rest->at) < len || memcmp(rest->at, expected, len) != 0)
        return false;
    rest->at += len;
    return true;
}

static bool take_number(struct rest *rest, unsigned min, unsigned max, unsigned *ret)
{
    const char *begin = rest->at;
    unsigned value = 0;
    for (; rest->at < rest->end && *rest->at >= '0' && *rest->at <= '9' && value <= max; rest->at++)
        value = value * 10 + (unsigned)(*rest->at - '0');
    *ret = value;
    return rest->at > begin && *begin != '0' && value >= min && value <= max;
}

/* Up to the next $ or the end. */
static bool take_bytes(struct rest *rest, uint8_t *ret, size_t size, size_t *len)
{
    const char *end = memchr(rest->at, '$', (size_t)(rest->end - rest->at));
    const char *begin = rest->at;
    rest->at = end ? end : rest->end;
    return base64_read(ret, size, len, begin, (size_t)(rest->at - begin)) && *len > 0;
}

static bool take_cost(struct password *password, struct rest *rest)
{
    unsigned log_n, r, p;
    bool good = take(rest, "ln=") && take_number(rest, LOG_N_MIN, LOG_N_MAX, &log_n) && take(rest, ",r=") &&
                take_number(rest, 1, 8, &r) && take(rest, ",p=") && take_number(rest, 1, 4, &p);
    if (good)
        password->cost = (struct secret_cost){(uint8_t)log_n, (uint8_t)r, (uint8_t)p};
    return good;
}

bool password_parse(struct password *ret, const char *text, size_t len)
{
    struct password password = {0};
    struct rest rest = {text, text + len};
    bool good;
    if (take(&rest, scrypt_mark)) {
        password.kind = PASSWORD_SCRYPT;
        good = take_cost(&password, &rest);
    } else {
        password.kind = PASSWORD_PBKDF2_SHA512;
        good = take(&rest, pbkdf2_mark) && take_number(&rest, 1, ROUNDS_MAX, &password.rounds);
    }
    good = good && take(&rest, "$") &&
           take_bytes(&rest, password.salt, sizeof password.salt, &password.salt_len) && take(&rest, "$") &&
           take_bytes(&rest, password.hash, sizeof password.hash, &password.hash_len) &&
           rest.at == rest.end && password.hash_len >= HASH_MIN;
    if (good)
        *ret = password;
    return good;
}

void password_write(const struct password *password, char ret[PASSWORD_TEXT_MAX])
{
    char salt[BASE64_MAX], hash[BASE64_MAX];
    base64_write(salt, password->salt, password->salt_len);
    salt[base64_size(password->salt_len)] = '\0';
    base64_write(hash, password->hash, password->hash_len);
    hash[base64_size(password->hash_len)] = '\0';
    if (password->kind == PASSWORD_SCRYPT)
        (void)snprintf(ret, PASSWORD_TEXT_MAX, "%sln=%u,r=%u,p=%u$%s$%s", scrypt_mark, password->cost.log_n,
                       password->cost.r, password->cost.p, salt, hash);
    else
        (void)snprintf(ret, PASSWORD_TEXT_MAX, "%s%u$%s$%s", pbkdf2_mark, password->rounds, salt, hash);
}
