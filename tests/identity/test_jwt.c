/* Tokens: signatures of the standards' examples, what must be in one, and what is refused whatever it says of itself. */
#include "identity/jwt.h"

#include "base/base64.h"
#include "rig/test.h"

#include <errno.h>

static const int64_t now_s = 1760000000;
static const char secret[] = "0123456789abcdef0123456789abcdef";

/* RFC 7515, appendix A, and RFC 8037, appendix A. */
static const char jwks[] =
    "{\"keys\":["
    "{\"kty\":\"oct\",\"k\":\"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow\"},"
    "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
    "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"},"
    "{\"kty\":\"EC\",\"crv\":\"P-521\",\"x\":\"AA\",\"y\":\"AA\"},{\"kty\":\"of the future\"},"
    "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"use\":\"sig\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}";

#define JOE "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"

static const char *const examples[] = {
    "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9." JOE ".dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
    "eyJhbGciOiJFUzI1NiJ9." JOE
    ".DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
    "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc."
    "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
};

static struct jwt *jwt_of(enum jwt_source source, const char *text, const char *issuer)
{
    const struct jwt_options options = {
        .audience = "plant", .issuer = issuer, .claim = "sub", .leeway_s = 60};
    struct jwt *jwt = NULL;
    char *why = NULL;
    int r = jwt_new(&jwt, &options, source, text, strlen(text), &why);
    if (r < 0)
        FAIL("%s", why);
    return jwt;
}

TEST(signatures_of_the_standards_examples_are_good_and_no_others)
{
    struct jwt *jwt = jwt_of(JWT_JWKS, jwks, "");
    for (size_t i = 0; i < array_size(examples); i++) {
        struct jwt_claims claims;
        bool is_ours;
        cleanup_free char *text = str_copy(examples[i]);
        size_t len = strlen(text);
        CHECK(jwt_check(jwt, text, len, now_s, &claims, &is_ours)); /* they are for nobody, and old */
        CHECK(is_ours);
        for (size_t at = 0; at < len; at += 7) {
            char before = text[at];
            text[at] = before == 'A' ? 'Q' : 'A';
            CHECK(jwt_check(jwt, text, len, now_s, &claims, &is_ours));
            CHECK(!is_ours || before == '.');
            text[at] = before;
        }
    }
    (void)jwt_free(jwt);
}

static char *part(const char *json)
{
    size_t len = strlen(json);
    char *text = mem_new_bytes(base64_size(len) + 1);
    base64_write(text, json, len);
    for (char *c = text; *c; c++)
        *c = (char)(*c == '+' ? '-' : *c == '/' ? '_' : *c == '=' ? '\0' : *c);
    return text;
}

/* Signed with the secret, whatever the header says; ' stands for ". */
static char *token_of(const char *header, const char *payload)
{
    cleanup_free char *h = str_copy(header), *p = str_copy(payload);
    for (char *c = h; *c; c++)
        *c = (char)(*c == '\'' ? '"' : *c);
    for (char *c = p; *c; c++)
        *c = (char)(*c == '\'' ? '"' : *c);
    cleanup_free char *first = part(h), *second = part(p), *said = str_printf("%s.%s", first, second);
    uint8_t mac[SECRET_HMAC_BYTES];
    char signature[45] = "";
    CHECK(secret_hmac(secret, strlen(secret), said, strlen(said), mac));
    base64_write(signature, mac, sizeof mac);
    for (char *c = signature; *c; c++)
        *c = (char)(*c == '+' ? '-' : *c == '/' ? '_' : *c == '=' ? '\0' : *c);
    return str_printf("%s.%s", said, signature);
}

static const char *verdict(const struct jwt *jwt, const char *header, const char *payload,
                           struct jwt_claims *claims)
{
    cleanup_free char *token = token_of(header, payload);
    bool is_ours;
    return jwt_check(jwt, token, strlen(token), now_s, claims, &is_ours);
}

TEST(what_is_in_a_token_must_hold)
{
    struct jwt *jwt = jwt_of(JWT_SECRET, secret, "https://idp.example");
    static const struct {
        const char *payload, *why;
    } cases[] = {
        {"{'iss':'https://idp.example','aud':'plant','sub':'press-07','exp':1760000600}", NULL},
        {"{'iss':'https://idp.example','aud':['x','plant'],'sub':'press-07','exp':1760000600.5,'nbf':1760000000,"
         "'iat':1759999999,'other':{}}",
         NULL},
        {"{'iss':'https://idp.example','aud':'plant','sub':'press-07','exp':1759999950}",
         NULL}, /* the leeway */
        {"{'iss':'https://idp.example','aud':'plant','sub':'press-07','exp':1759999940}",
         "its token has expired"},
        {"{'iss':'https://idp.example','aud':'plant','sub':'press-07'}",
         "its token does not say when it expires"},
        {"{'iss':'https://idp.example','aud':'plant','sub':'press-07','exp':'1760000600'}",
         "its token does not say when it expires"},
        {"{'iss':'https://idp.example','aud':'plant','sub':'press-07','exp':-1}",
         "its token does not say when it expires"},
        {"{'iss':'https://idp.example','aud':'plant','sub':'press-07','exp':1760000600,'nbf':1760000061}",
         "its token is not valid yet"},
        {"{'iss':'https://idp.example','aud':'plant','sub':'press-07','exp':1760000600,'iat':1760000061}",
         "its token was made in the future"},
        {"{'iss':'https://idp.example','aud':'plant','sub':'press-07','exp':1760000600,'nbf':true}",
         "its token has a time that is none"},
        {"{'iss':'https://idp.example','aud':'plants','sub':'press-07','exp':1760000600}",
         "its token is for another audience"},
        {"{'iss':'https://idp.example','aud':[],'sub':'press-07','exp':1760000600}",
         "its token is for another audience"},
        {"{'iss':'https://idp.example','sub':'press-07','exp':1760000600}",
         "its token is for another audience"},
        {"{'iss':'https://idp.example/','aud':'plant','sub':'press-07','exp':1760000600}",
         "its token is by another issuer"},
        {"{'aud':'plant','sub':'press-07','exp':1760000600}", "its token is by another issuer"},
        {"{'iss':'https://idp.example','aud':'plant','exp':1760000600}",
         "its token does not say whose it is"},
        {"{'iss':'https://idp.example','aud':'plant','sub':'','exp':1760000600}",
         "its token does not say whose it is"},
        {"{'iss':'https://idp.example','aud':'plant','sub':'a b','exp':1760000600}",
         "its token's subject has blanks or control characters in it"},
        {"{'iss':'https://idp.example','aud':'plant','sub':'a\\u0000b','exp':1760000600}",
         "its token's subject has blanks or control characters in it"},
        {"[]", "its token cannot be read"},
        {"{", "its token cannot be read"},
    };
    for (size_t i = 0; i < array_size(cases); i++) {
        struct jwt_claims claims;
        const char *why = verdict(jwt, "{'alg':'HS256'}", cases[i].payload, &claims);
        if (!why != !cases[i].why || (why && strcmp(why, cases[i].why) != 0))
            FAIL("%s: %s", cases[i].payload, why ? why : "is taken");
        if (!why)
            CHECK_STR(claims.subject, "press-07");
    }
    struct jwt_claims claims;
    CHECK(!verdict(jwt, "{'alg':'HS256'}", cases[0].payload, &claims));
    CHECK_INT(claims.expires_s, 1760000660);
    CHECK(!verdict(jwt, "{'alg':'HS256'}",
                   "{'iss':'https://idp.example','aud':'plant','sub':'x','exp':1e300}", &claims));
    CHECK(claims.expires_s < INT64_C(5000000000));
    (void)jwt_free(jwt);
}

TEST(the_algorithm_is_the_keys)
{
    static const char payload[] = "{'aud':'plant','sub':'press-07','exp':1760000600}";
    struct jwt *jwt = jwt_of(JWT_SECRET, secret, ""), *others = jwt_of(JWT_JWKS, jwks, "");
    struct jwt_claims claims;
    CHECK(!verdict(jwt, "{'alg':'HS256','kid':'whatever','typ':'JWT'}", payload, &claims));
    static const char *const headers[] = {"{'alg':'none'}",
                                          "{'alg':'HS512'}",
                                          "{'alg':'hs256'}",
                                          "{'alg':''}",
                                          "{'alg':null}",
                                          "{}",
                                          "{'alg':'ES256'}",
                                          "{'alg':['HS256']}",
                                          "{'alg':'RS256'}",
                                          "[]",
                                          "{'alg':'HS256','crit':['exp']}"};
    for (size_t i = 0; i < array_size(headers); i++)
        if (!verdict(jwt, headers[i], payload, &claims))
            FAIL("%s is taken", headers[i]);
    CHECK_STR(verdict(others, "{'alg':'HS256'}", payload, &claims), "its token's signature is wrong");
    (void)jwt_free(jwt);
    (void)jwt_free(others);
}

TEST(a_key_with_an_id_is_for_tokens_with_that_id)
{
    static const char keys[] = "{\"keys\":[{\"kty\":\"oct\",\"kid\":\"2026\",\"alg\":\"HS256\",\"k\":"
                               "\"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY\"}]}"; /* the secret */
    static const char payload[] = "{'aud':'plant','sub':'press-07','exp':1760000600}";
    struct jwt *jwt = jwt_of(JWT_JWKS, keys, "");
    struct jwt_claims claims;
    CHECK(!verdict(jwt, "{'alg':'HS256','kid':'2026'}", payload, &claims));
    CHECK(!verdict(jwt, "{'alg':'HS256'}", payload, &claims));
    CHECK(verdict(jwt, "{'alg':'HS256','kid':'2025'}", payload, &claims));
    CHECK(verdict(jwt, "{'alg':'HS256','kid':2026}", payload, &claims));
    (void)jwt_free(jwt);
}

TEST(what_is_no_token_is_none)
{
    struct jwt *jwt = jwt_of(JWT_SECRET, secret, "");
    static const char *const texts[] = {"",
                                        ".",
                                        "..",
                                        "a.b",
                                        "a.b.c.d",
                                        "eyJ.eyJ.",
                                        "eyJhbGciOiJIUzI1NiJ9..",
                                        "eyJhbGciOiJIUzI1NiJ9.e30",
                                        "!.!.!",
                                        "eyJhbGciOiJIUzI1NiJ9.e30.A"};
    struct jwt_claims claims;
    bool is_ours;
    for (size_t i = 0; i < array_size(texts); i++) {
        CHECK(jwt_check(jwt, texts[i], strlen(texts[i]), now_s, &claims, &is_ours));
        CHECK(!is_ours);
    }
    CHECK(jwt_is_like_a_token(examples[0], strlen(examples[0])));
    CHECK(!jwt_is_like_a_token("secret", 6));
    CHECK(!jwt_is_like_a_token("eyJ", 3));
    (void)jwt_free(jwt);
}

TEST(keys_that_are_none_are_refused_with_what_was_expected)
{
    static const struct {
        enum jwt_source source;
        const char *text, *why;
    } cases[] = {
        {JWT_KEY, "nothing", "expected a public key as PEM text (BEGIN PUBLIC KEY), found none"},
        {JWT_SECRET, "short\n", "expected a secret of 32 bytes or more"},
        {JWT_JWKS, "{}", "expected a JWKS document, {\"keys\":[…]}"},
        {JWT_JWKS, "{\"keys\":[]}", "expected a key for signatures: RSA, P-256, Ed25519 or oct"},
        {JWT_JWKS, "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AA\",\"y\":\"AA\"}]}",
         "expected the numbers of a public key"},
        {JWT_JWKS, "{\"keys\":[{\"kty\":\"RSA\",\"n\":\"-_-_\",\"e\":\"AQAB\"}]}",
         "expected a public key of RSA with 2048 bits or more, P-256 or Ed25519"},
        {JWT_JWKS, "{\"keys\":[{\"kty\":\"RSA\",\"use\":\"enc\",\"n\":\"-_-_\",\"e\":\"AQAB\"}]}",
         "expected a key for signatures: RSA, P-256, Ed25519 or oct"},
    };
    const struct jwt_options options = {.audience = "a", .issuer = "", .claim = "sub"};
    for (size_t i = 0; i < array_size(cases); i++) {
        struct jwt *jwt;
        char *why = NULL;
        CHECK_INT(jwt_new(&jwt, &options, cases[i].source, cases[i].text, strlen(cases[i].text), &why),
                  -EINVAL);
        CHECK_STR(why, cases[i].why);
        free(why);
    }
}
