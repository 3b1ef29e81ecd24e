#include "keys/key.h"

#include "keys/key_engine.h"
#include "keys/key_far.h"
#include "keys/key_pin.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
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

static int from_token(EVP_PKEY **ret, const struct key_uri *uri, const char *pin, char **why)
{
    if (key_engine_is_there())
        return key_engine_load(ret, uri->name, uri->module, pin, why);
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
