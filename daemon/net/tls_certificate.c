#include "net/tls_certificate.h"

#include "keys/key.h"

#include <dirent.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

enum { NAMES_MAX = 1000 };

int tls_certificate_wrong(char **why, const char *path, const char *expected)
{
    *why =
        str_printf("%s: expected %s: %s", path, expected, tls_reason(ERR_peek_error())); /* the deepest one */
    ERR_clear_error();
    return -EINVAL;
}

/* OpenSSL would ask for the passphrase at the terminal, and we would wait there. */
static int no_passphrase(char *ret, int size, int writing, void *data)
{
    (void)ret, (void)size, (void)writing, (void)data;
    return 0;
}

static int use_key(SSL_CTX *context, const char *key, char **why)
{
    EVP_PKEY *loaded;
    int r = key_load(&loaded, key, why);
    if (r < 0)
        return r;
    bool good = SSL_CTX_use_PrivateKey(context, loaded) == 1 &&
                SSL_CTX_check_private_key(context) == 1; /* the first compares keys of the same kind only */
    EVP_PKEY_free(loaded);
    return good ? 0 : tls_certificate_wrong(why, key, "the certificate's private key");
}

int tls_certificate_load(SSL_CTX *context, const struct tls_files *files, char **why)
{
    SSL_CTX_set_default_passwd_cb(context, no_passphrase);
    if (SSL_CTX_use_certificate_chain_file(context, files->cert) != 1)
        return tls_certificate_wrong(why, files->cert, "a certificate chain in PEM form");
    return use_key(context, files->key, why);
}

X509 *tls_certificate_read(const char *path, char **why)
{
    BIO *bio = BIO_new_file(path, "r");
    X509 *certificate = bio ? PEM_read_bio_X509_AUX(bio, NULL, no_passphrase, NULL) : NULL;
    BIO_free(bio);
    if (!certificate)
        (void)tls_certificate_wrong(why, path, "a certificate chain in PEM form");
    return certificate;
}

int tls_certificate_kind(const X509 *certificate)
{
    return EVP_PKEY_get_base_id(X509_get0_pubkey(certificate));
}

/* ---- a folder ------------------------------------------------------------------------------------------------------------- */

static int is_certificate(const struct dirent *entry)
{
    const char *end = strrchr(entry->d_name, '.');
    return end && end != entry->d_name && strcmp(end, ".pem") == 0;
}

int tls_certificate_folder(struct tls_files **ret, size_t *count, const char *folder, char **why)
{
    struct dirent **entries;
    int n = scandir(folder, &entries, is_certificate, alphasort);
    if (n <= 0) {
        *why = str_printf("%s: expected a folder with NAME.pem and NAME.key: %s", folder,
                          n ? strerror(errno) : "there is no NAME.pem");
        return -EINVAL;
    }
    struct tls_files *files = mem_new_bytes((size_t)n * sizeof *files);
    for (int i = 0; i < n; i++) {
        files[i].cert = str_printf("%s/%s", folder, entries[i]->d_name);
        files[i].key =
            str_printf("%.*skey", (int)(strlen(files[i].cert) - 3), files[i].cert); /* beside NAME.pem */
        free(entries[i]);
    }
    free(entries);
    if (n > TLS_CERTIFICATES_MAX) {
        tls_certificate_folder_free(files, (size_t)n);
        *why = str_printf("%s: expected at most %d certificates", folder, TLS_CERTIFICATES_MAX);
        return -EINVAL;
    }
    *ret = files;
    *count = (size_t)n;
    return 0;
}

void tls_certificate_folder_free(struct tls_files *files, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(files[i].cert);
        free(files[i].key);
    }
    free(files);
}

/* ---- names -------------------------------------------------------------------------------------------------------------- */

struct names {
    char *all[NAMES_MAX];
    size_t count;
};

static void add(struct names *names, const char *text)
{
    if (names->count < NAMES_MAX)
        names->all[names->count++] = str_copy(text);
}

static void add_alternative(struct names *names, const GENERAL_NAME *name)
{
    int type;
    const ASN1_STRING *value = GENERAL_NAME_get0_value(name, &type);
    const unsigned char *bytes = type == GEN_DNS || type == GEN_IPADD ? ASN1_STRING_get0_data(value) : NULL;
    int len = bytes ? ASN1_STRING_length(value) : 0;
    char text[2 * 16 + 4] = "ip:";
    if (type == GEN_DNS) {
        cleanup_free char *dns = str_copy_n((const char *)bytes, (size_t)len);
        for (char *c = dns; *c; c++)
            *c = (char)(*c >= 'A' && *c <= 'Z' ? *c + 'a' - 'A' : *c);
        add(names, dns);
    } else if (type == GEN_IPADD && len <= 16) {
        for (int i = 0; i < len; i++)
            (void)snprintf(text + 3 + (size_t)(2 * i), 3, "%02x", bytes[i]);
        add(names, text);
    }
}

static void add_common_name(struct names *names, const X509 *certificate)
{
    char text[256];
    if (X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName, text, sizeof text) > 0)
        add(names, text);
}

static int in_order(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

char *tls_certificate_names(const X509 *certificate)
{
    struct names *names = mem_new(struct names);
    GENERAL_NAMES *alternatives = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    for (int i = 0; i < sk_GENERAL_NAME_num(alternatives); i++)
        add_alternative(names, sk_GENERAL_NAME_value(alternatives, i));
    GENERAL_NAMES_free(alternatives);
    if (!names->count)
        add_common_name(names, certificate);
    if (names->count)
        qsort(names->all, names->count, sizeof names->all[0], in_order);
    size_t len = 0;
    for (size_t i = 0; i < names->count; i++)
        len += strlen(names->all[i]) + 1;
    char *text = mem_new_bytes(len + 1), *at = text;
    for (size_t i = 0; i < names->count; i++) {
        at = stpcpy(stpcpy(at, names->all[i]), " ");
        free(names->all[i]);
    }
    free(names);
    return text;
}
