/* bench_certificates FOLDER: makes an authority, and certificates by it for a server and a client.
 *
 *      ca.pem    server.pem server.key    client.pem client.key          ECDSA P-256, valid for a day
 *
 * They are made for every run, so that nothing secret is kept and nothing expires.
 */
#include <fcntl.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct identity {
    EVP_PKEY *key;
    X509 *certificate;
};

static void need(bool done, const char *what)
{
    if (done)
        return;
    fprintf(stderr, "bench_certificates: %s: ", what);
    ERR_print_errors_fp(stderr);
    exit(1);
}

static void extend(const struct identity *made, const struct identity *issuer, int nid, const char *value)
{
    X509V3_CTX context = {0};

    X509V3_set_ctx(&context, issuer->certificate, made->certificate, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    need(extension && X509_add_ext(made->certificate, extension, -1), value);
    X509_EXTENSION_free(extension);
}

static struct identity make(const struct identity *issuer, const char *name, long serial)
{
    enum { HOUR = 3600 };
    struct identity made = {.key = EVP_EC_gen("P-256"), .certificate = X509_new()};

    need(made.key && made.certificate, name);
    if (!issuer)
        issuer = &made;
    X509_NAME *subject = X509_get_subject_name(made.certificate);
    need(X509_set_version(made.certificate, X509_VERSION_3) &&
             ASN1_INTEGER_set(X509_get_serialNumber(made.certificate), serial) &&
             X509_gmtime_adj(X509_getm_notBefore(made.certificate), -HOUR) &&
             X509_gmtime_adj(X509_getm_notAfter(made.certificate), 24L * HOUR) &&
             X509_set_pubkey(made.certificate, made.key) &&
             X509_NAME_add_entry_by_NID(subject, NID_commonName, MBSTRING_ASC, (const unsigned char *)name,
                                        (int)strlen(name), -1, 0) &&
             X509_set_issuer_name(made.certificate, X509_get_subject_name(issuer->certificate)),
         name);
    extend(&made, issuer, NID_basic_constraints, issuer == &made ? "critical,CA:TRUE" : "critical,CA:FALSE");
    extend(&made, issuer, NID_subject_key_identifier, "hash");
    if (issuer != &made) {
        extend(&made, issuer, NID_authority_key_identifier, "keyid");
        extend(&made, issuer, NID_subject_alt_name, "IP:127.0.0.1");
    }
    need(X509_sign(made.certificate, issuer->key, EVP_sha256()) > 0, name);
    return made;
}

static FILE *create(const char *folder, const char *name, const char *ending)
{
    char path[PATH_MAX];

    (void)snprintf(path, sizeof(path), "%s/%s%s", folder, name, ending);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    FILE *file = fd < 0 ? NULL : fdopen(fd, "w");
    if (!file) {
        perror(path);
        exit(1);
    }
    return file;
}

static void save(const struct identity *identity, const char *folder, const char *name, bool with_key)
{
    FILE *file = create(folder, name, ".pem");

    need(PEM_write_X509(file, identity->certificate) && fclose(file) == 0, name);
    if (!with_key)
        return;
    file = create(folder, name, ".key");
    need(PEM_write_PrivateKey(file, identity->key, NULL, NULL, 0, NULL, NULL) && fclose(file) == 0, name);
}

static void done(struct identity *identity)
{
    EVP_PKEY_free(identity->key);
    X509_free(identity->certificate);
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fputs("usage: bench_certificates FOLDER\n", stderr);
        return 2;
    }
    struct identity ca = make(NULL, "bench authority", 1);
    struct identity server = make(&ca, "bench-broker", 2), client = make(&ca, "bench", 3);

    save(&ca, argv[1], "ca", false);
    save(&server, argv[1], "server", true);
    save(&client, argv[1], "client", true);
    done(&client);
    done(&server);
    done(&ca);
    return 0;
}
