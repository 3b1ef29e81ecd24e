#include "identity/x509_private.h"

#include "keys/key.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <string.h>

/* OpenSSL would ask for the passphrase at the terminal, and we would wait there. */
static int no_passphrase(char *ret, int size, int writing, void *data)
{
    (void)ret, (void)size, (void)writing, (void)data;
    return 0;
}

static EVP_PKEY *key_from_pem(const char *pem)
{
    BIO *bio = BIO_new_mem_buf(pem, (int)strlen(pem));
    EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL) : NULL;
    BIO_free(bio);
    return key;
}

static int take_key(struct x509_signer *signer, const char *key, char **why)
{
    bool text = strstr(key, "-----BEGIN");
    char *reason = NULL;
    if (text)
        signer->key = key_from_pem(key);
    else if (key_load(&signer->key, key, &reason) < 0) {
        if (why)
            *why = steal(reason);
        free(reason);
        return -EINVAL;
    }
    if (!signer->key || X509_check_private_key(signer->certificate, signer->key) != 1)
        return x509_wrong(why, text ? "the private key of the authority's certificate, without a passphrase"
                                    : "the private key of the authority's certificate");
    return 0;
}

int x509_signer_open(struct x509_signer **ret, const char *cert, const char *key, char **why)
{
    struct x509_signer *signer = mem_new(struct x509_signer);
    int r = x509_from_pem(&signer->der, &signer->der_len, cert, strlen(cert), why);
    if (r >= 0) {
        signer->certificate = x509_parse(signer->der, signer->der_len);
        if (!signer->certificate || X509_check_ca(signer->certificate) != 1)
            r = x509_wrong(why, "the certificate of an authority (CA:TRUE)");
    }
    if (r >= 0)
        r = take_key(signer, key, why);
    if (r < 0) {
        (void)x509_signer_close(signer);
        return r;
    }
    if (X509_check_issued(signer->certificate, signer->certificate) != X509_V_OK)
        signer->chain = str_copy(cert); /* an intermediate: clients need it to get to the root */
    *ret = signer;
    return 0;
}

struct x509_signer *x509_signer_close(struct x509_signer *signer)
{
    if (!signer)
        return NULL;
    X509_free(signer->certificate);
    EVP_PKEY_free(signer->key);
    free(signer->chain);
    free(signer->der);
    free(signer);
    return NULL;
}

const uint8_t *x509_signer_der(const struct x509_signer *signer, size_t *len)
{
    *len = signer->der_len;
    return signer->der;
}

bool x509_is_of_key(const uint8_t *der, size_t len, const char *key_at, char **why)
{
    EVP_PKEY *key = NULL;
    if (key_load(&key, key_at, why) < 0)
        return false;
    X509 *certificate = x509_parse(der, len);
    bool good = certificate && X509_check_private_key(certificate, key) == 1;
    X509_free(certificate);
    EVP_PKEY_free(key);
    ERR_clear_error();
    return good;
}
