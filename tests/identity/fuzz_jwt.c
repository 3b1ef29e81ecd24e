/* Tokens and key sets as strangers write them. The first byte: "0" is a JWKS document, else a token. What is refused has a reason,
 * and nothing of a token is believed without a signature. */
#include "identity/jwt.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool is_so)
{
    if (!is_so)
        abort();
}

static const struct jwt_options options = {.audience = "plant", .issuer = "", .claim = "sub", .leeway_s = 60};

static void read_keys(const char *text, size_t len)
{
    struct jwt *jwt;
    char *why = NULL;
    if (jwt_new(&jwt, &options, JWT_JWKS, text, len, &why) == 0)
        (void)jwt_free(jwt);
    else
        must(why && *why);
    free(why);
}

static void read_token(const char *text, size_t len)
{
    static const char secret[] = "0123456789abcdef0123456789abcdef";
    static struct jwt *jwt;
    char *why = NULL;
    if (!jwt)
        must(jwt_new(&jwt, &options, JWT_SECRET, secret, strlen(secret), &why) == 0);
    struct jwt_claims claims;
    bool is_ours;
    (void)jwt_is_like_a_token(text, len);
    const char *wrong = jwt_check(jwt, text, len, 1760000000, &claims, &is_ours);
    must(!wrong || *wrong);
    must(is_ours || (wrong && !claims.subject[0]));
    must(wrong || (claims.subject[0] && claims.expires_s > 1760000000));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!size)
        return 0;
    if (*data == '0')
        read_keys((const char *)data + 1, size - 1);
    else
        read_token((const char *)data + 1, size - 1);
    return 0;
}
