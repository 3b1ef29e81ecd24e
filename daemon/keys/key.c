#include "keys/key.h"

#include "keys/key_engine.h"
#include "keys/key_far.h"
#include "keys/key_pin.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <stdatomic.h>
#include <string.h>

static int failed(char **why, const char *name, const char *expected)
{
    unsigned long code = ERR_peek_error(); /* the deepest one */
    const char *reason = !code                    ? NULL
                         : ERR_SYSTEM_ERROR(code) ? strerror(ERR_GET_REASON(code))
                                                  : ERR_reason_error_string(code);
    *why = str_printf("%s: expected %s%s%s", name, expected, reason ? ": " : "", reason ? reason : "");
    ERR_clear_error();
    return -EINVAL;
}

/* OpenSSL would ask for the passphrase at the terminal, and we would wait there. */
static int no_passphrase(char *ret, int size, int writing, void *data)
{
    (void)ret, (void)size, (void)writing, (void)data;
    return 0;
}

/* Did a TPM wrap it? */
static bool is_wrapped(BIO *bio)
{
    char head[64 * 1024];
    int n = BIO_read(bio, head, sizeof head - 1);
    head[n > 0 ? n : 0] = '\0';
    bool wrapped = strstr(head, "-----BEGIN TSS2 PRIVATE KEY-----");
    OPENSSL_cleanse(head, sizeof head);
    (void)BIO_seek(bio, 0);
    return wrapped;
}

static int from_file(EVP_PKEY **ret, const char *path, char **why)
{
    BIO *bio = BIO_new_file(path, "r");
    if (bio && is_wrapped(bio)) {
        BIO_free(bio);
        return key_far_load(ret, "tpm2", path, "", why);
    }
    EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL) : NULL;
    BIO_free(bio);
    if (!key)
        return failed(why, path, "a private key in PEM form, without a passphrase");
    *ret = key;
    return 0;
}

/* PINs that a token has refused: a token that is asked a few times with a wrong one locks itself, and a gateway tries again for ever. A
 * process remembers so many, by a part of a digest with a number that it made up; the first one is forgotten for one more. Links' threads
 * load keys, too. */
enum { REFUSED_MAX = 16 };
static _Atomic(uint64_t) refused[REFUSED_MAX];
static atomic_uint refused_count;
static _Atomic(uint64_t) made_up;

/* Never 0. */
static uint64_t sum_of(const char *name, const char *pin)
{
    uint64_t random = 0, none = 0, sum[EVP_MAX_MD_SIZE / sizeof(uint64_t)] = {0};
    if (!atomic_load(&made_up) && RAND_bytes((unsigned char *)&random, sizeof random) == 1)
        (void)atomic_compare_exchange_strong(&made_up, &none, random);
    char *text = str_printf("%016lx %s\n%s", (unsigned long)atomic_load(&made_up), name, pin);
    (void)EVP_Digest(text, strlen(text), (unsigned char *)sum, NULL, EVP_sha256(), NULL);
    OPENSSL_cleanse(text, strlen(text));
    free(text);
    return sum[0] | 1;
}

static bool was_refused(uint64_t sum)
{
    for (size_t i = 0; i < REFUSED_MAX; i++)
        if (atomic_load(&refused[i]) == sum)
            return true;
    return false;
}

static int from_engine(EVP_PKEY **ret, const struct key_uri *uri, const char *pin, char **why)
{
    uint64_t sum = sum_of(uri->name, pin);
    if (was_refused(sum)) {
        *why = str_printf(
            "%s: expected another PIN in the file of pin-source: the token has refused this one, and would lock "
            "itself if it were tried again",
            uri->name);
        return -EINVAL;
    }
    int r = key_engine_load(ret, uri->name, uri->module, pin, why);
    if (r != -EACCES)
        return r;
    atomic_store(&refused[atomic_fetch_add(&refused_count, 1) % REFUSED_MAX], sum);
    return -EINVAL;
}

static int from_token(EVP_PKEY **ret, const struct key_uri *uri, const char *pin, char **why)
{
    if (key_engine_is_there())
        return from_engine(ret, uri, pin, why);
    if (!uri->module && key_far_is_there("pkcs11"))
        return key_far_load(ret, "pkcs11", uri->name, pin, why);
    *why = str_printf(
        "%s: expected OpenSSL to have an engine for PKCS#11 tokens (Debian: libengine-pkcs11-openssl)%s",
        uri->name, uri->module ? "" : ", or a provider");
    return -EINVAL;
}

int key_load(EVP_PKEY **ret, const char *text, char **why)
{
    struct key_uri uri;
    char pin[KEY_PIN_MAX + 1];
    int r = key_uri_parse(&uri, text, why);
    if (r < 0)
        return r;
    r = key_pin_read(pin, uri.pin, why);
    if (r >= 0 && uri.where == KEY_IN_FILE)
        r = from_file(ret, uri.name, why);
    else if (r >= 0 && uri.where == KEY_IN_TOKEN)
        r = from_token(ret, &uri, pin, why);
    else if (r >= 0)
        r = key_far_load(ret, "tpm2", uri.name, pin, why);
    OPENSSL_cleanse(pin, sizeof pin);
    key_uri_done(&uri);
    ERR_clear_error();
    return r;
}
