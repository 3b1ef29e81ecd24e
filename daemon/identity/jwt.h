/* Tokens: JSON Web Tokens (RFC 7519) with a signature, from whoever the configuration trusts.
 *
 *      base64url({"alg":"ES256","kid":"2026"}) . base64url({"sub":"press-07","aud":"plant","exp":1760003600}) . base64url(signature)
 *
 * The algorithm is the key's: HS256 of a secret, RS256, ES256 and EdDSA of a public key. A token that names another one, or
 * none, is refused. A key with a kid is only asked about tokens with that one. exp must be there; nbf and iat must not be in
 * the future; aud must be or have the audience.
 *
 * What has been made does not change and may be asked on every thread.
 */
#pragma once

#include "identity/secret.h"

enum { JWT_MAX = 8192, JWT_KEYS_MAX = 32, JWT_SUBJECT_MAX = 128, JWT_SECRET_MIN = 32 };

/* What the keys are read from: a PEM public key, the bytes of a secret (line ends behind it do not count), a JWKS document. */
enum jwt_source { JWT_KEY, JWT_SECRET, JWT_JWKS };

struct jwt_options {
    const char *audience;
    const char *issuer; /* "": nobody looks */
    const char *claim;  /* that says who it is: "sub" */
    int64_t leeway_s;
};

struct jwt_claims {
    char subject[JWT_SUBJECT_MAX + 1];
    int64_t expires_s; /* with the leeway */
};

struct jwt;
/* -EINVAL: *why (free it) says what was expected. */
int jwt_new(struct jwt **ret, const struct jwt_options *options, enum jwt_source source, const char *text,
            size_t len, char **why) must_check;
struct jwt *jwt_free(struct jwt *jwt);
define_cleanup(struct jwt *, jwt_free)

/* Three parts, the first of which begins as a JSON object does. */
bool jwt_is_like_a_token(const char *text, size_t len);

/* NULL: it is good, and *ret is what it says. Else why not (a constant); *is_ours: it is signed with a key of these, so no other
 * need be asked. */
const char *jwt_check(const struct jwt *jwt, const char *token, size_t len, int64_t now_s,
                      struct jwt_claims *ret, bool *is_ours);
