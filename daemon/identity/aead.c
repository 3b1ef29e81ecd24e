#include "identity/aead.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>

/* A key is two contexts that have been given it, so that a block costs a nonce and its bytes. */

struct seal_key {
    EVP_CIPHER_CTX *to_seal, *to_open;
};

static bool derive(const uint8_t *secret, size_t secret_len, const uint8_t *salt, size_t salt_len,
                   const void *info, size_t info_len, uint8_t *ret, size_t len)
{
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
    EVP_KDF_CTX *context = kdf ? EVP_KDF_CTX_new(kdf) : NULL;
    OSSL_PARAM params[5], *p = params;
    char digest[] = "SHA256";
    *p++ = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0);
    *p++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)(uintptr_t)secret, secret_len);
    if (salt_len)
        *p++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, (void *)(uintptr_t)salt, salt_len);
    *p++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, (void *)(uintptr_t)info, info_len);
    *p = OSSL_PARAM_construct_end();
    bool done = context && EVP_KDF_derive(context, ret, len, params) > 0;
    EVP_KDF_CTX_free(context);
    EVP_KDF_free(kdf);
    return done;
}

static struct seal_key *key_free(struct seal_key *key)
{
    if (!key)
        return NULL;
    EVP_CIPHER_CTX_free(key->to_seal); /* which cleanse what they were given */
    EVP_CIPHER_CTX_free(key->to_open);
    free(key);
    return NULL;
}

static struct seal_key *key_new(const uint8_t bytes[SEAL_KEY])
{
    struct seal_key *key = mem_new(struct seal_key);
    key->to_seal = EVP_CIPHER_CTX_new();
    key->to_open = EVP_CIPHER_CTX_new();
    bool made = key->to_seal && key->to_open &&
                EVP_EncryptInit_ex(key->to_seal, EVP_aes_256_gcm(), NULL, bytes, NULL) == 1 &&
                EVP_DecryptInit_ex(key->to_open, EVP_aes_256_gcm(), NULL, bytes, NULL) == 1;
    return made ? key : key_free(key);
}

static bool seal(struct seal_key *key, const uint8_t nonce[SEAL_NONCE], const void *aad, size_t aad_len,
                 uint8_t *bytes, size_t len, uint8_t tag[SEAL_TAG])
{
    int n;
    EVP_CIPHER_CTX *context = key->to_seal;
    return EVP_EncryptInit_ex(context, NULL, NULL, NULL, nonce) == 1 &&
           EVP_EncryptUpdate(context, NULL, &n, aad, (int)aad_len) == 1 &&
           EVP_EncryptUpdate(context, bytes, &n, bytes, (int)len) == 1 &&
           EVP_EncryptFinal_ex(context, bytes + n, &n) == 1 &&
           EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, SEAL_TAG, tag) == 1;
}

static bool unseal(struct seal_key *key, const uint8_t nonce[SEAL_NONCE], const void *aad, size_t aad_len,
                   const uint8_t *bytes, size_t len, const uint8_t tag[SEAL_TAG], uint8_t *ret)
{
    int n;
    EVP_CIPHER_CTX *context = key->to_open;
    return EVP_DecryptInit_ex(context, NULL, NULL, NULL, nonce) == 1 &&
           EVP_DecryptUpdate(context, NULL, &n, aad, (int)aad_len) == 1 &&
           EVP_DecryptUpdate(context, ret, &n, bytes, (int)len) == 1 &&
           EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, SEAL_TAG, (void *)(uintptr_t)tag) == 1 &&
           EVP_DecryptFinal_ex(context, ret + n, &n) == 1;
}

const struct seal_functions *aead_functions(char **why)
{
    static const struct seal_functions functions = {
        .derive = derive, .key_new = key_new, .key_free = key_free, .seal = seal, .open = unseal};
    (void)why;
    return &functions;
}
