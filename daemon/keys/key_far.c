#define OPENSSL_SUPPRESS_DEPRECATED /* a key with a method of its own */
#include "keys/key_far.h"

#include <errno.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/provider.h>
#include <openssl/store.h>
#include <openssl/ui.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

/* A provider's key must not go into an SSL_CTX of the default library context: OpenSSL then asks the device for every digest, or
 * signs with the public half. So it lives in a library context of its own, and what is given away is an ordinary EC key with
 * the same public half, whose method signs there:
 *
 *      TLS, X.509 ─▶ EC key ─ EC_KEY_METHOD.sign ─▶ EVP_PKEY_sign() in the provider's context ─▶ TPM
 *
 * RSA would need another method; nothing here needs RSA. A provider that could not be loaded is tried again with the next key:
 * its package, or its device, may have come since. */

static struct library {
    const char *provider, *package, *wish;
    _Atomic(OSSL_LIB_CTX *) context; /* NULL: not loaded */
} libraries[] = {{"tpm2", "tpm2-openssl", "?provider=tpm2", NULL},
                 {"pkcs11", "pkcs11-provider", "?provider=pkcs11", NULL}};

struct far {
    EVP_PKEY *key;
    const struct library *library;
};

static pthread_once_t once = PTHREAD_ONCE_INIT; /* uplinks' workers load keys, too */
static int far_index;                           /* of an EC key's data */
static EC_KEY_METHOD *method;

/* ---- signing -------------------------------------------------------------------------------------------------------------- */

static const EVP_MD *digest_of(int len)
{
    return len == 32 ? EVP_sha256() : len == 48 ? EVP_sha384() : len == 64 ? EVP_sha512() : NULL;
}

static int on_sign(int type, const unsigned char *digest, int digest_len, unsigned char *signature,
                   unsigned *len, const BIGNUM *kinv, const BIGNUM *r, EC_KEY *key)
{
    (void)type, (void)kinv, (void)r;
    const struct far *far = EC_KEY_get_ex_data(key, far_index);
    const EVP_MD *md = digest_of(digest_len);
    size_t room = (size_t)ECDSA_size(key);
    EVP_PKEY_CTX *context =
        far && md ? EVP_PKEY_CTX_new_from_pkey(far->library->context, far->key, far->library->wish) : NULL;
    bool good = context && EVP_PKEY_sign_init(context) == 1 &&
                EVP_PKEY_CTX_set_signature_md(context, md) == 1 &&
                EVP_PKEY_sign(context, signature, &room, digest, (size_t)digest_len) == 1;
    EVP_PKEY_CTX_free(context);
    *len = good ? (unsigned)room : 0;
    return good;
}

static void on_key_gone(void *key, void *data, CRYPTO_EX_DATA *all, int index, long number, void *arg)
{
    (void)key, (void)all, (void)index, (void)number, (void)arg;
    struct far *far = data;
    if (!far)
        return;
    EVP_PKEY_free(far->key);
    free(far);
}

static void prepare(void)
{
    int (*setup)(EC_KEY *, BN_CTX *, BIGNUM **, BIGNUM **);
    ECDSA_SIG *(*sign_sig)(const unsigned char *, int, const BIGNUM *, const BIGNUM *, EC_KEY *);
    far_index = EC_KEY_get_ex_new_index(0, NULL, NULL, NULL, on_key_gone);
    method = far_index < 0 ? NULL : EC_KEY_METHOD_new(EC_KEY_OpenSSL());
    if (!method)
        return;
    EC_KEY_METHOD_get_sign(method, NULL, &setup, &sign_sig);
    EC_KEY_METHOD_set_sign(method, on_sign, setup, sign_sig);
}

/* ---- the key that is given away --------------------------------------------------------------------------------------------- */

/* The same public half, as a key of the default context's. */
static EC_KEY *public_half(EVP_PKEY *far)
{
    unsigned char *der = NULL;
    int len = i2d_PUBKEY(far, &der);
    const unsigned char *at = der;
    EC_KEY *key = len > 0 ? d2i_EC_PUBKEY(NULL, &at, len) : NULL;
    OPENSSL_free(der);
    return key;
}

static EVP_PKEY *near_key(EVP_PKEY *far_key, const struct library *library)
{
    (void)pthread_once(&once, prepare);
    EC_KEY *key = method ? public_half(far_key) : NULL;
    EVP_PKEY *ret = key ? EVP_PKEY_new() : NULL;
    struct far *far = mem_new(struct far);
    *far = (struct far){far_key, library};
    bool good = ret && EC_KEY_set_method(key, method) == 1 && EC_KEY_set_ex_data(key, far_index, far) == 1;
    if (!good) {
        free(far);
        EVP_PKEY_free(far_key);
    }
    good = good && EVP_PKEY_set1_EC_KEY(ret, key) == 1;
    EC_KEY_free(key);
    if (good)
        return ret;
    EVP_PKEY_free(ret);
    return NULL;
}

/* ---- loading ---------------------------------------------------------------------------------------------------------------- */

/* Takes what the device says, and leaves nothing behind: a PIN is asked for once. */
static int on_ask(UI *ui, UI_STRING *question)
{
    const char *pin = UI_get0_user_data(ui);
    bool secret = UI_get_string_type(question) == UIT_PROMPT || UI_get_string_type(question) == UIT_VERIFY;
    return !secret || (pin && *pin && UI_set_result(ui, question, pin) == 0);
}

static struct library *library_of(const char *provider)
{
    for (size_t i = 0; i < array_size(libraries); i++)
        if (strcmp(libraries[i].provider, provider) == 0)
            return &libraries[i];
    return NULL;
}

static bool open_library(struct library *library)
{
    if (atomic_load(&library->context))
        return true;
    OSSL_LIB_CTX *context = OSSL_LIB_CTX_new(), *none = NULL;
    bool good =
        context && OSSL_PROVIDER_load(context, "default") && OSSL_PROVIDER_load(context, library->provider);
    if (!good || !atomic_compare_exchange_strong(&library->context, &none, context))
        OSSL_LIB_CTX_free(context); /* and what was loaded in it; or somebody was quicker */
    return good;
}

static EVP_PKEY *load(const struct library *library, const char *name, const char *pin)
{
    EVP_PKEY *key = NULL;
    UI_METHOD *asks = UI_create_method("gatehouse");
    if (!asks || UI_method_set_reader(asks, on_ask) != 0)
        return NULL;
    bool is_file = *name == '/' || !strchr(name, ':');
    cleanup_free char *uri =
        str_printf("%s%s", name, !is_file && *pin && strncmp(name, "handle:", 7) == 0 ? "?pass" : "");
    OSSL_STORE_CTX *store = OSSL_STORE_open_ex(uri, library->context, library->wish, asks,
                                               (void *)(uintptr_t)pin, NULL, NULL, NULL);
    while (store && !key && !OSSL_STORE_eof(store)) {
        OSSL_STORE_INFO *info = OSSL_STORE_load(store);
        if (info && OSSL_STORE_INFO_get_type(info) == OSSL_STORE_INFO_PKEY)
            key = OSSL_STORE_INFO_get1_PKEY(info);
        OSSL_STORE_INFO_free(info);
        if (!info)
            break;
    }
    (void)OSSL_STORE_close(store);
    UI_destroy_method(asks);
    return key;
}

static int failed(char **why, const char *name, const char *expected)
{
    unsigned long code = ERR_peek_error(); /* the deepest one */
    const char *reason = code ? ERR_reason_error_string(code) : NULL;
    const char *more = code ? ERR_lib_error_string(code) : NULL;
    reason = reason ? reason : more;
    *why = str_printf("%s: expected %s%s%s", name, expected, reason ? ": " : "", reason ? reason : "");
    return -EINVAL;
}

bool key_far_is_there(const char *provider)
{
    bool there = open_library(library_of(provider));
    ERR_clear_error();
    return there;
}

int key_far_load(EVP_PKEY **ret, const char *provider, const char *name, const char *pin, char **why)
{
    struct library *library = library_of(provider);
    if (!open_library(library)) {
        cleanup_free char *expected =
            str_printf("OpenSSL to have the provider %s (Debian: %s)", library->provider, library->package);
        return failed(why, name, expected);
    }
    EVP_PKEY *far = load(library, name, pin);
    if (!far)
        return failed(why, name, "a key there, and a device that answers");
    if (!EVP_PKEY_is_a(far, "EC")) {
        EVP_PKEY_free(far);
        return failed(why, name, "an EC key (P-256, P-384 or P-521) in the device");
    }
    EVP_PKEY *key = near_key(far, library);
    if (!key)
        return failed(why, name, "an EC key that OpenSSL knows the group of");
    *ret = key;
    return 0;
}
