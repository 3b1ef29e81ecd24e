#include "identity/jwt.h"

#include "base/base64.h"
#include "base/json.h"

#include <errno.h>
#include <string.h>

struct jwt_key {
    enum secret_algorithm algorithm;
    char *kid;               /* NULL: it has none */
    struct secret_key *pair; /* of all but HS256 */
    uint8_t *secret;
    size_t secret_len;
};

struct jwt {
    char *audience, *issuer, *claim;
    int64_t leeway_s;
    struct jwt_key keys[JWT_KEYS_MAX];
    size_t count;
};

static const char *const algorithm_names[] = {
    [SECRET_HS256] = "HS256", [SECRET_RS256] = "RS256", [SECRET_ES256] = "ES256", [SECRET_EDDSA] = "EdDSA"};

static const int64_t never_s = INT64_C(4102444800); /* 2100: whoever says more means for ever */

static int wrong(char **why, const char *sentence)
{
    *why = str_copy(sentence);
    return -EINVAL;
}

/* ---- keys --------------------------------------------------------------------------------------------------------------- */

static int take_pair(struct jwt *jwt, struct secret_key *pair, const char *kid)
{
    jwt->keys[jwt->count++] =
        (struct jwt_key){.algorithm = secret_key_algorithm(pair), .kid = str_copy(kid), .pair = pair};
    return 0;
}

static int take_secret(struct jwt *jwt, const void *bytes, size_t len, const char *kid, char **why)
{
    if (len < JWT_SECRET_MIN)
        return wrong(why, "expected a secret of 32 bytes or more"); /* RFC 7518, 3.2 */
    jwt->keys[jwt->count++] = (struct jwt_key){
        .algorithm = SECRET_HS256,
        .kid = str_copy(kid),
        .secret = (uint8_t *)str_copy_n(bytes, len),
        .secret_len = len,
    };
    return 0;
}

/* A member's bytes, in the arena; len 0: there is none, or it is no base64url. */
static struct secret_number number_of(const struct json *key, const char *name, struct arena *arena)
{
    const struct json *member = json_get(key, name);
    struct secret_number number = {0};
    if (!json_is(member, JSON_STRING))
        return number;
    uint8_t *bytes = arena_alloc(arena, member->len + 1);
    size_t len;
    if (base64url_read(bytes, member->len, &len, member->text, member->len))
        number = (struct secret_number){bytes, len};
    return number;
}

/* One of a JWKS. Keys for something else, or of a kind that is not known here, are passed over. */
static int take_jwk(struct jwt *jwt, const struct json *key, struct arena *arena, char **why)
{
    const struct json *use = json_get(key, "use"), *algorithm = json_get(key, "alg"),
                      *kty = json_get(key, "kty"), *crv = json_get(key, "crv");
    const char *kid = NULL;
    struct secret_key *pair = NULL;
    enum secret_algorithm found;
    if (json_text_is(kty, "RSA"))
        found = SECRET_RS256;
    else if (json_text_is(kty, "EC") && json_text_is(crv, "P-256"))
        found = SECRET_ES256;
    else if (json_text_is(kty, "OKP") && json_text_is(crv, "Ed25519"))
        found = SECRET_EDDSA;
    else if (json_text_is(kty, "oct"))
        found = SECRET_HS256;
    else
        return 0;
    if ((use && !json_text_is(use, "sig")) || (algorithm && !json_text_is(algorithm, algorithm_names[found])))
        return 0;
    if (json_get(key, "kid") && !json_text(json_get(key, "kid"), arena, &kid))
        return wrong(why, "expected a text as kid of a key");
    if (jwt->count == JWT_KEYS_MAX)
        return wrong(why, "expected at most 32 keys");
    if (found == SECRET_HS256) {
        struct secret_number k = number_of(key, "k", arena);
        return take_secret(jwt, k.bytes, k.len, kid, why);
    }
    int r = secret_key_from_numbers(&pair, found, number_of(key, found == SECRET_RS256 ? "n" : "x", arena),
                                    number_of(key, found == SECRET_RS256 ? "e" : "y", arena), why);
    return r < 0 ? r : take_pair(jwt, pair, kid);
}

static int take_jwks(struct jwt *jwt, const char *text, size_t len, char **why)
{
    struct arena arena;
    struct json *document = NULL;
    int r = 0;
    arena_init(&arena);
    if (json_parse(&document, &arena, text, len, NULL) != 0 ||
        !json_is(json_get(document, "keys"), JSON_ARRAY))
        r = wrong(why, "expected a JWKS document, {\"keys\":[…]}");
    for (struct json *key = json_first(json_get(document, "keys")); r == 0 && key; key = key->next)
        r = take_jwk(jwt, key, &arena, why);
    if (r == 0 && !jwt->count)
        r = wrong(why, "expected a key for signatures: RSA, P-256, Ed25519 or oct");
    arena_done(&arena);
    return r;
}

static int take_keys(struct jwt *jwt, enum jwt_source source, const char *text, size_t len, char **why)
{
    struct secret_key *pair;
    int r = 0;
    switch (source) {
    case JWT_KEY:
        r = secret_key_from_pem(&pair, text, len, why);
        return r < 0 ? r : take_pair(jwt, pair, NULL);
    case JWT_SECRET:
        while (len && (text[len - 1] == '\n' || text[len - 1] == '\r'))
            len--;
        return take_secret(jwt, text, len, NULL, why);
    case JWT_JWKS: return take_jwks(jwt, text, len, why);
    }
    return r;
}

int jwt_new(struct jwt **ret, const struct jwt_options *options, enum jwt_source source, const char *text,
            size_t len, char **why)
{
    cleanup(jwt_free_p) struct jwt *jwt = mem_new(struct jwt);
    jwt->audience = str_copy(options->audience);
    jwt->issuer = str_copy(options->issuer);
    jwt->claim = str_copy(options->claim);
    jwt->leeway_s = options->leeway_s;
    int r = take_keys(jwt, source, text, len, why);
    if (r == 0)
        *ret = steal(jwt);
    return r;
}

struct jwt *jwt_free(struct jwt *jwt)
{
    if (!jwt)
        return NULL;
    for (size_t i = 0; i < jwt->count; i++) {
        struct jwt_key *key = &jwt->keys[i];
        (void)secret_key_free(key->pair);
        if (key->secret)
            explicit_bzero(key->secret, key->secret_len);
        free(key->secret);
        free(key->kid);
    }
    free(jwt->audience);
    free(jwt->issuer);
    free(jwt->claim);
    free(jwt);
    return NULL;
}

/* ---- a token -------------------------------------------------------------------------------------------------------------- */

/* header.payload.signature; `said`: what is signed, the first two with their dot. */
struct parts {
    const char *header, *payload, *signature;
    size_t header_len, payload_len, signature_len, said_len;
};

static bool split(struct parts *ret, const char *token, size_t len)
{
    const char *first = memchr(token, '.', len);
    const char *second = first ? memchr(first + 1, '.', len - (size_t)(first + 1 - token)) : NULL;
    if (!second || memchr(second + 1, '.', len - (size_t)(second + 1 - token)))
        return false;
    *ret = (struct parts){
        .header = token,
        .payload = first + 1,
        .signature = second + 1,
        .header_len = (size_t)(first - token),
        .payload_len = (size_t)(second - first - 1),
        .signature_len = len - (size_t)(second + 1 - token),
        .said_len = (size_t)(second - token),
    };
    return ret->header_len && ret->payload_len && ret->signature_len;
}

bool jwt_is_like_a_token(const char *text, size_t len)
{
    struct parts parts;
    return len > 3 && memcmp(text, "eyJ", 3) == 0 && split(&parts, text, len); /* {" */
}

static const struct json *object_of(const char *text, size_t len, struct arena *arena)
{
    char *bytes = arena_alloc(arena, len + 1);
    struct json *object = NULL;
    size_t n;
    return base64url_read((uint8_t *)bytes, len, &n, text, len) &&
                   json_parse(&object, arena, bytes, n, NULL) == 0 && json_is(object, JSON_OBJECT)
               ? object
               : NULL;
}

static bool is_signed_with(const struct jwt_key *key, const struct parts *parts, const uint8_t *signature,
                           size_t len)
{
    uint8_t expected[SECRET_HMAC_BYTES], differs = 0;
    if (key->pair)
        return secret_key_verify(key->pair, parts->header, parts->said_len, signature, len);
    if (len != sizeof expected ||
        !secret_hmac(key->secret, key->secret_len, parts->header, parts->said_len, expected))
        return false;
    for (size_t i = 0; i < sizeof expected; i++)
        differs |= expected[i] ^ signature[i];
    return differs == 0;
}

static const char *check_signature(const struct jwt *jwt, const struct parts *parts, struct arena *arena)
{
    const struct json *header = object_of(parts->header, parts->header_len, arena);
    const struct json *kid = json_get(header, "kid"), *algorithm = json_get(header, "alg");
    uint8_t *signature = arena_alloc(arena, parts->signature_len);
    size_t len;
    if (!header || !json_is(algorithm, JSON_STRING) ||
        !base64url_read(signature, parts->signature_len, &len, parts->signature, parts->signature_len))
        return "its token cannot be read";
    if (json_get(header, "crit")) /* RFC 7515, 4.1.11 */
        return "its token demands an extension that is not known";
    bool fits = false;
    for (size_t i = 0; i < jwt->count; i++) {
        const struct jwt_key *key = &jwt->keys[i];
        if (!json_text_is(algorithm, algorithm_names[key->algorithm]) ||
            (kid && key->kid && !json_text_is(kid, key->kid)))
            continue;
        fits = true;
        if (is_signed_with(key, parts, signature, len))
            return NULL;
    }
    return fits ? "its token's signature is wrong"
                : "its token is signed with a key or an algorithm that is not known";
}

/* ---- what it says ---------------------------------------------------------------------------------------------------------- */

static bool is_for(const struct json *audience, const char *expected)
{
    if (json_text_is(audience, expected))
        return true;
    if (json_is(audience, JSON_ARRAY))
        json_for_each (one, audience)
            if (json_text_is(one, expected))
                return true;
    return false;
}

/* NumericDate: seconds, perhaps with a fraction. */
static bool time_of(const struct json *claim, int64_t *ret)
{
    double seconds;
    if (!json_double(claim, &seconds) || !(seconds >= 0))
        return false;
    *ret = seconds < (double)never_s ? (int64_t)seconds : never_s;
    return true;
}

static const char *check_times(const struct jwt *jwt, const struct json *payload, int64_t now_s,
                               struct jwt_claims *ret)
{
    const struct json *not_before = json_get(payload, "nbf"), *issued = json_get(payload, "iat");
    int64_t expires_s, at_s;
    if (!time_of(json_get(payload, "exp"), &expires_s))
        return "its token does not say when it expires";
    ret->expires_s = expires_s + jwt->leeway_s;
    if (now_s >= ret->expires_s)
        return "its token has expired";
    if ((not_before && !time_of(not_before, &at_s)) || (issued && !time_of(issued, &at_s)))
        return "its token has a time that is none";
    if (not_before && time_of(not_before, &at_s) && now_s < at_s - jwt->leeway_s)
        return "its token is not valid yet";
    if (issued && time_of(issued, &at_s) && now_s < at_s - jwt->leeway_s)
        return "its token was made in the future";
    return NULL;
}

static const char *check_subject(const struct json *subject, struct jwt_claims *ret)
{
    if (!json_is(subject, JSON_STRING) || !subject->len || subject->len > JWT_SUBJECT_MAX)
        return "its token does not say whose it is";
    for (size_t i = 0; i < subject->len; i++)
        if ((unsigned char)subject->text[i] <= ' ' || subject->text[i] == 0x7f)
            return "its token's subject has blanks or control characters in it";
    memcpy(ret->subject, subject->text, subject->len);
    ret->subject[subject->len] = '\0';
    return NULL;
}

const char *jwt_check(const struct jwt *jwt, const char *token, size_t len, int64_t now_s,
                      struct jwt_claims *ret, bool *is_ours)
{
    struct parts parts;
    struct arena arena;
    *ret = (struct jwt_claims){0};
    *is_ours = false;
    if (len > JWT_MAX || !split(&parts, token, len))
        return "its token cannot be read";
    arena_init(&arena);
    const char *why = check_signature(jwt, &parts, &arena);
    *is_ours = !why;
    const struct json *payload = why ? NULL : object_of(parts.payload, parts.payload_len, &arena);
    if (!why && !payload)
        why = "its token cannot be read";
    if (!why)
        why = check_subject(json_get(payload, jwt->claim), ret);
    if (!why && *jwt->issuer && !json_text_is(json_get(payload, "iss"), jwt->issuer))
        why = "its token is by another issuer";
    if (!why && !is_for(json_get(payload, "aud"), jwt->audience))
        why = "its token is for another audience";
    if (!why)
        why = check_times(jwt, payload, now_s, ret);
    arena_done(&arena);
    return why;
}
