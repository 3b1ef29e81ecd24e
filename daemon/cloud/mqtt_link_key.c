#include "cloud/mqtt_link_key.h"

#include "keys/key.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* The word is the object's own address behind something that no passphrase begins with; nobody else sets one. */

static const char word_begins[] = "gatehouse-link-key ";

struct link_key {
    char *cert;
    EVP_PKEY *key;
    int fd; /* of the stand-in */
    char file[32], word[48];
};

static bool write_stand_in(BIO *bio)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *certificate = X509_new();
    bool good = key && certificate && ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1) == 1 &&
                X509_gmtime_adj(X509_getm_notBefore(certificate), 0) &&
                X509_gmtime_adj(X509_getm_notAfter(certificate), 60) &&
                X509_set_pubkey(certificate, key) == 1 && X509_sign(certificate, key, EVP_sha256()) > 0 &&
                PEM_write_bio_X509(bio, certificate) == 1 &&
                PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1;
    X509_free(certificate);
    EVP_PKEY_free(key);
    return good;
}

static int make_stand_in(struct link_key *key)
{
    char *bytes;
    BIO *bio = BIO_new(BIO_s_mem());
    key->fd = memfd_create("stand-in", MFD_CLOEXEC);
    long len = bio && write_stand_in(bio) ? BIO_get_mem_data(bio, &bytes) : 0;
    bool good = key->fd >= 0 && len > 0 && write(key->fd, bytes, (size_t)len) == len;
    BIO_free(bio);
    (void)snprintf(key->file, sizeof key->file, "/proc/self/fd/%d", key->fd);
    (void)snprintf(key->word, sizeof key->word, "%s%p", word_begins, (void *)key);
    return good ? 0 : -EINVAL;
}

/* The handshake would only fail, without a word. */
static int check_certificate(const struct link_key *key, char why[LINK_KEY_WHY_BYTES])
{
    BIO *bio = BIO_new_file(key->cert, "r");
    X509 *certificate = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
    bool fits = certificate && X509_check_private_key(certificate, key->key) == 1;
    if (!fits)
        (void)snprintf(why, LINK_KEY_WHY_BYTES,
                       certificate ? "%s: expected the certificate of the key"
                                   : "%s: expected a certificate in PEM form",
                       key->cert);
    X509_free(certificate);
    BIO_free(bio);
    ERR_clear_error();
    return fits ? 0 : -EINVAL;
}

int link_key_new(struct link_key **ret, const char *cert, const char *key, char why[LINK_KEY_WHY_BYTES])
{
    struct link_key *new = mem_new(struct link_key);
    char *reason = NULL;
    new->fd = -1;
    new->cert = str_copy(cert);
    int r = key_load(&new->key, key, &reason);
    if (r < 0)
        (void)snprintf(why, LINK_KEY_WHY_BYTES, "%s", reason);
    free(reason);
    if (r >= 0)
        r = check_certificate(new, why);
    if (r >= 0 && (r = make_stand_in(new)) < 0)
        (void)snprintf(why, LINK_KEY_WHY_BYTES, "no memory for the key");
    if (r < 0) {
        (void)link_key_free(new);
        return r;
    }
    *ret = new;
    return 0;
}

struct link_key *link_key_free(struct link_key *key)
{
    if (!key)
        return NULL;
    EVP_PKEY_free(key->key);
    fd_close_p(&key->fd);
    free(key->cert);
    free(key);
    return NULL;
}

const char *link_key_file(const struct link_key *key)
{
    return key->file;
}

const char *link_key_word(const struct link_key *key)
{
    return key->word;
}

void link_key_show(SSL *ssl)
{
    const char *word = SSL_CTX_get_default_passwd_cb_userdata(SSL_get_SSL_CTX(ssl));
    void *found = NULL;
    if (!word || strncmp(word, word_begins, strlen(word_begins)) != 0 ||
        sscanf(word + strlen(word_begins), "%p", &found) != 1 || !found)
        return;
    const struct link_key *key = found;
    if (SSL_use_certificate_chain_file(ssl, key->cert) != 1 || SSL_use_PrivateKey(ssl, key->key) != 1)
        SSL_certs_clear(ssl); /* rather none than the stand-in's; it was good when it was loaded */
}
