#include "net/tls_certificate.h"

#include "keys/key.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* Every pair alone, then each with those before it. Only when nothing was found all is put together, which says what is wrong with
 * the authorities. */

static const int64_t clock_floor_s = 1704067200; /* 2024-01-01: before that the clock was never set */

struct check {
    int64_t now_s;
    tls_found *found;
    void *self;
    size_t problems;
    X509 *certificates[TLS_CERTIFICATES_MAX];
    const char *paths[TLS_CERTIFICATES_MAX];
    size_t count;
};

/* Takes the sentence. */
static void say(struct check *check, char *sentence)
{
    check->problems++;
    check->found(check->self, sentence);
    free(sentence);
}

static char *date_of(const ASN1_TIME *time)
{
    struct tm at;
    char text[32] = "?";
    if (ASN1_TIME_to_tm(time, &at) == 1)
        (void)strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &at);
    return str_copy(text);
}

static void check_dates(struct check *check, const X509 *certificate, const char *path)
{
    time_t now = (time_t)check->now_s;
    cleanup_free char *from = date_of(X509_get0_notBefore(certificate));
    cleanup_free char *to = date_of(X509_get0_notAfter(certificate));
    if (check->now_s < clock_floor_s)
        return;
    if (X509_cmp_time(X509_get0_notAfter(certificate), &now) <= 0)
        say(check,
            str_printf("%s: expected a certificate that is valid now: it has expired on %s", path, to));
    else if (X509_cmp_time(X509_get0_notBefore(certificate), &now) > 0)
        say(check, str_printf("%s: expected a certificate that is valid now: it is from %s on", path, from));
}

static void check_key(struct check *check, X509 *certificate, const struct tls_files *files)
{
    EVP_PKEY *key;
    char *why = NULL;
    if (key_load(&key, files->key, &why) < 0) {
        say(check, why);
        return;
    }
    if (X509_check_private_key(certificate, key) != 1)
        say(check, str_printf("%s: expected the private key of %s: %s", files->key, files->cert,
                              tls_reason(ERR_peek_error())));
    EVP_PKEY_free(key);
    ERR_clear_error();
}

/* A name that both are for; NULL: none. */
static char *common_name(const X509 *a, const X509 *b)
{
    cleanup_free char *names = tls_certificate_names(a), *others = tls_certificate_names(b);
    for (char *at = names; *at; at += strcspn(at, " ") + 1) {
        size_t len = strcspn(at, " ") + 1; /* with the blank behind it */
        for (const char *other = others; *other; other += strcspn(other, " ") + 1)
            if (strncmp(at, other, len) == 0)
                return str_copy_n(at, len - 1);
    }
    return NULL;
}

static void check_others(struct check *check, const X509 *certificate, const char *path)
{
    for (size_t i = 0; i < check->count; i++) {
        if (tls_certificate_kind(check->certificates[i]) != tls_certificate_kind(certificate))
            continue; /* for clients that can check the other kind */
        cleanup_free char *name = common_name(certificate, check->certificates[i]);
        if (!name || strncmp(name, "ip:", 3) == 0) /* nobody asks for an address */
            continue;
        say(check,
            str_printf(
                "%s: expected names that no other certificate with such a key is for: %s is shown for %s",
                path, check->paths[i], name));
        return;
    }
}

/* One that a certificate will be made for. */
static void check_key_alone(struct check *check, const char *path)
{
    EVP_PKEY *key;
    char *why = NULL;
    if (key_load(&key, path, &why) < 0)
        say(check, why);
    else
        EVP_PKEY_free(key);
}

static void check_pair(struct check *check, const struct tls_files *files)
{
    char *why = NULL;
    if (!files->cert) {
        check_key_alone(check, files->key);
        return;
    }
    X509 *certificate = tls_certificate_read(files->cert, &why);
    if (!certificate) {
        say(check, why);
        return;
    }
    check_dates(check, certificate, files->cert);
    check_key(check, certificate, files);
    check_others(check, certificate, files->cert);
    if (check->count == TLS_CERTIFICATES_MAX) {
        X509_free(certificate);
        return;
    }
    check->paths[check->count] = files->cert;
    check->certificates[check->count++] = certificate;
}

static void check_whole(struct check *check, const struct tls_options *options)
{
    SSL_CTX *context = NULL;
    char *why = NULL;
    if (tls_server_context(&context, options, NULL, &why) < 0)
        say(check, why);
    (void)tls_context_free(context);
}

size_t tls_check(const struct tls_options *options, int64_t now_s, tls_found *found, void *self)
{
    struct check *check = mem_new(struct check);
    struct tls_files *files = NULL;
    size_t count = 0;
    char *why = NULL;
    check->now_s = now_s;
    check->found = found;
    check->self = self;
    for (size_t i = 0; i < options->count; i++)
        check_pair(check, &options->files[i]);
    if (options->folder && tls_certificate_folder(&files, &count, options->folder, &why) < 0)
        say(check, why);
    for (size_t i = 0; i < count; i++)
        check_pair(check, &files[i]);
    if (!check->problems && (check->count || options->folder))
        check_whole(check, options);
    for (size_t i = 0; i < check->count; i++)
        X509_free(check->certificates[i]);
    size_t problems = check->problems;
    tls_certificate_folder_free(files, count);
    free(check);
    return problems;
}
