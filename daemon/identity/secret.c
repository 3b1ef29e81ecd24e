#include "identity/secret.h"

#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <string.h>

enum { SCRYPT_MEMORY_MAX = 80 << 20, RSA_BITS_MIN = 2048, P256_BYTES = 32, ED25519_BYTES = 32 };

bool secret_ready(char **why)
{
    (void)why;
    return true;
}

/* ---- passwords ------------------------------------------------------------------------------------------------------ */

bool secret_scrypt(struct secret_cost cost, const void *password, size_t len, const uint8_t *salt,
                   size_t salt_len, uint8_t *ret, size_t ret_len)
{
    bool good = cost.log_n >= 1 && cost.log_n < 32 &&
                EVP_PBE_scrypt(password, len, salt, salt_len, UINT64_C(1) << cost.log_n, cost.r, cost.p,
                               SCRYPT_MEMORY_MAX, ret, ret_len) == 1;
    ERR_clear_error();
    return good;
}

bool secret_pbkdf2_sha512(unsigned rounds, const void *password, size_t len, const uint8_t *salt,
                          size_t salt_len, uint8_t *ret, size_t ret_len)
{
    bool good = PKCS5_PBKDF2_HMAC(password, (int)len, salt, (int)salt_len, (int)rounds, EVP_sha512(),
                                  (int)ret_len, ret) == 1;
    ERR_clear_error();
    return good;
}

bool secret_hmac(const void *key, size_t key_len, const void *bytes, size_t len,
                 uint8_t ret[SECRET_HMAC_BYTES])
{
    bool good = HMAC(EVP_sha256(), key, (int)key_len, bytes, len, ret, NULL) != NULL;
    ERR_clear_error();
    return good;
}

/* ---- keys ----------------------------------------------------------------------------------------------------------- */

struct secret_key {
    EVP_PKEY *key;
    enum secret_algorithm algorithm;
};

static int wrong(char **why, const char *expected)
{
    ERR_clear_error();
    *why = str_copy(expected);
    return -EINVAL;
}

static bool is_p256(const EVP_PKEY *key)
{
    char group[32] = "";
    return EVP_PKEY_get_utf8_string_param(key, OSSL_PKEY_PARAM_GROUP_NAME, group, sizeof group, NULL) == 1 &&
           strcmp(group, "prime256v1") == 0;
}

/* Takes the key over. */
static int key_new(struct secret_key **ret, EVP_PKEY *key, char **why)
{
    enum secret_algorithm algorithm = SECRET_HS256;
    if (EVP_PKEY_is_a(key, "RSA") && EVP_PKEY_get_bits(key) >= RSA_BITS_MIN)
        algorithm = SECRET_RS256;
    else if (EVP_PKEY_is_a(key, "EC") && is_p256(key))
        algorithm = SECRET_ES256;
    else if (EVP_PKEY_is_a(key, "ED25519"))
        algorithm = SECRET_EDDSA;
    if (algorithm == SECRET_HS256) {
        EVP_PKEY_free(key);
        return wrong(why, "expected a public key of RSA with 2048 bits or more, P-256 or Ed25519");
    }
    struct secret_key *secret = mem_new(struct secret_key);
    secret->key = key;
    secret->algorithm = algorithm;
    *ret = secret;
    return 0;
}

int secret_key_from_pem(struct secret_key **ret, const char *pem, size_t len, char **why)
{
    BIO *bio = BIO_new_mem_buf(pem, (int)len);
    EVP_PKEY *key = bio ? PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL) : NULL;
    BIO_free(bio);
    return key ? key_new(ret, key, why)
               : wrong(why, "expected a public key as PEM text (BEGIN PUBLIC KEY), found none");
}

static EVP_PKEY *key_of_params(const char *type, OSSL_PARAM_BLD *build)
{
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(build);
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    EVP_PKEY *key = NULL;
    if (!params || !context || EVP_PKEY_fromdata_init(context) != 1 ||
        EVP_PKEY_fromdata(context, &key, EVP_PKEY_PUBLIC_KEY, params) != 1)
        key = NULL;
    EVP_PKEY_CTX_free(context);
    OSSL_PARAM_free(params);
    return key;
}

static EVP_PKEY *rsa_of(struct secret_number n, struct secret_number e)
{
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    BIGNUM *modulus = BN_bin2bn(n.bytes, (int)n.len, NULL), *exponent = BN_bin2bn(e.bytes, (int)e.len, NULL);
    EVP_PKEY *key = NULL;
    if (build && modulus && exponent && OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, modulus) == 1 &&
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, exponent) == 1)
        key = key_of_params("RSA", build);
    BN_free(modulus);
    BN_free(exponent);
    OSSL_PARAM_BLD_free(build);
    return key;
}

static EVP_PKEY *p256_of(struct secret_number x, struct secret_number y)
{
    uint8_t point[1 + 2 * P256_BYTES] = {POINT_CONVERSION_UNCOMPRESSED};
    if (x.len != P256_BYTES || y.len != P256_BYTES)
        return NULL;
    memcpy(point + 1, x.bytes, P256_BYTES);
    memcpy(point + 1 + P256_BYTES, y.bytes, P256_BYTES);
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    EVP_PKEY *key = NULL;
    if (build && OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, "prime256v1", 0) == 1 &&
        OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof point) == 1)
        key = key_of_params("EC", build);
    OSSL_PARAM_BLD_free(build);
    return key;
}

int secret_key_from_numbers(struct secret_key **ret, enum secret_algorithm algorithm, struct secret_number a,
                            struct secret_number b, char **why)
{
    EVP_PKEY *key = NULL;
    switch (algorithm) {
    case SECRET_RS256: key = rsa_of(a, b); break;
    case SECRET_ES256: key = p256_of(a, b); break;
    case SECRET_EDDSA:
        key = a.len == ED25519_BYTES ? EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, a.bytes, a.len)
                                     : NULL;
        break;
    case SECRET_HS256: break;
    }
    return key ? key_new(ret, key, why) : wrong(why, "expected the numbers of a public key");
}

struct secret_key *secret_key_free(struct secret_key *key)
{
    if (key)
        EVP_PKEY_free(key->key);
    free(key);
    return NULL;
}

enum secret_algorithm secret_key_algorithm(const struct secret_key *key)
{
    return key->algorithm;
}

/* OpenSSL wants r and s in DER. */
static uint8_t *der_of(const uint8_t *signature, int *len)
{
    ECDSA_SIG *pair = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(signature, P256_BYTES, NULL),
           *s = BN_bin2bn(signature + P256_BYTES, P256_BYTES, NULL);
    uint8_t *der = NULL;
    if (pair && r && s && ECDSA_SIG_set0(pair, r, s) == 1) {
        r = s = NULL; /* the pair's */
        *len = i2d_ECDSA_SIG(pair, &der);
    }
    BN_free(r);
    BN_free(s);
    ECDSA_SIG_free(pair);
    return der;
}

bool secret_key_verify(const struct secret_key *key, const void *bytes, size_t len, const uint8_t *signature,
                       size_t signature_len)
{
    uint8_t *der = NULL;
    int der_len = 0;
    if (key->algorithm == SECRET_ES256) {
        der = signature_len == 2 * P256_BYTES ? der_of(signature, &der_len) : NULL;
        if (!der)
            return false;
        signature = der;
        signature_len = (size_t)der_len;
    }
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    const EVP_MD *digest = key->algorithm == SECRET_EDDSA ? NULL : EVP_sha256();
    bool good = context && EVP_DigestVerifyInit(context, NULL, digest, NULL, key->key) == 1 &&
                EVP_DigestVerify(context, signature, signature_len, bytes, len) == 1;
    EVP_MD_CTX_free(context);
    OPENSSL_free(der);
    ERR_clear_error();
    return good;
}
