#include "net/tls.h"

#include "net/tls_certificate.h"
#include "net/tls_psk.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* A server's context, one for each set of names. The first is the listener's; it owns the others and hands a handshake to
 * the one whose certificates are for the name that the client asks for:
 *
 *      context ── hosts ─┬─ plant1.example
 *                        └─ *.plant2.example      an ECDSA certificate, and an RSA one for clients that know no other
 *
 * OpenSSL takes tickets, ALPN and what is asked of the client from the first or from both, so all are set up alike.
 *
 * A ticket holds what was found out about the client. It is worth something only with the same authorities: they are the
 * session id context, so that tickets can outlive a reload and yet nobody resumes who would not be let in any more
 * because his authority is not listed. */

enum { TICKET_KEYS_BYTES = 128 };

struct hosts {
    SSL_CTX **contexts;
    size_t count;
};

/* The protocols that a listener speaks, as ALPN writes them. */
static const struct protocols {
    const unsigned char *names;
    unsigned len;
} protocols[] = {
    [TLS_MQTT] = {(const unsigned char *)"\4mqtt\16x-amzn-mqtt-ca", 20},
    [TLS_HTTP] = {(const unsigned char *)"\10http/1.1", 9},
    [TLS_REST] = {(const unsigned char *)"\10http/1.1\16x-amzn-http-ca", 24},
};

const char *tls_reason(unsigned long code)
{
    if (ERR_SYSTEM_ERROR(code))
        return strerror(ERR_GET_REASON(code));
    const char *text = code ? ERR_reason_error_string(code) : NULL;
    return text ? text : "unknown reason";
}

/* ---- authorities --------------------------------------------------------------------------------------------------- */

/* What all authorities and their lists look like, in the order in which the store keeps them. */
static bool digest_of(X509_STORE *store, unsigned char digest[EVP_MAX_MD_SIZE], unsigned *len)
{
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    bool good = md && EVP_DigestInit_ex(md, EVP_sha256(), NULL);
    STACK_OF(X509_OBJECT) *objects = X509_STORE_get0_objects(store);
    for (int i = 0; good && i < sk_X509_OBJECT_num(objects); i++) {
        const X509 *authority = X509_OBJECT_get0_X509(sk_X509_OBJECT_value(objects, i));
        unsigned char one[EVP_MAX_MD_SIZE];
        unsigned n;
        const X509_CRL *revoked = X509_OBJECT_get0_X509_CRL(sk_X509_OBJECT_value(objects, i));
        if (authority)
            good = X509_digest(authority, EVP_sha256(), one, &n) && EVP_DigestUpdate(md, one, n);
        else if (revoked)
            good = X509_CRL_digest(revoked, EVP_sha256(), one, &n) && EVP_DigestUpdate(md, one, n);
    }
    good = good && EVP_DigestFinal_ex(md, digest, len);
    EVP_MD_CTX_free(md);
    return good;
}

static bool load_revoked(X509_STORE *store, const char *crl)
{
    X509_LOOKUP *lookup = X509_STORE_add_lookup(store, X509_LOOKUP_file());
    (void)X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK);
    return lookup && X509_load_crl_file(lookup, crl, X509_FILETYPE_PEM) >= 1;
}

static int load_authorities(SSL_CTX *context, const struct tls_options *options, char **why)
{
    const char *ca = options->ca;
    static const char expected[] = "certificates of authorities in PEM form";
    unsigned char digest[EVP_MAX_MD_SIZE] = "gatehouse";
    unsigned len = 9;
    if (ca) {
        STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(ca);
        if (!names)
            return tls_certificate_wrong(why, ca, expected);
        SSL_CTX_set_client_CA_list(context, names);
        if (SSL_CTX_load_verify_file(context, ca) != 1)
            return tls_certificate_wrong(why, ca, expected);
        if (options->crl && !load_revoked(SSL_CTX_get_cert_store(context), options->crl))
            return tls_certificate_wrong(why, options->crl, "lists of revoked certificates in PEM form");
        if (!digest_of(SSL_CTX_get_cert_store(context), digest, &len))
            return tls_certificate_wrong(why, ca, expected);
    }
    if (options->ca || options->gate)
        SSL_CTX_set_verify(context,
                           SSL_VERIFY_PEER | (options->optional ? 0 : SSL_VERIFY_FAIL_IF_NO_PEER_CERT), NULL);
    (void)SSL_CTX_set_session_id_context(context, digest, size_min(len, SSL_MAX_SID_CTX_LENGTH));
    return 0;
}

/* ---- one context --------------------------------------------------------------------------------------------------- */

static int choose_protocol(SSL *tls, const unsigned char **ret, unsigned char *len,
                           const unsigned char *asked, unsigned asked_len, void *arg)
{
    (void)tls;
    const struct protocols *ours = arg;
    unsigned char *chosen;
    if (SSL_select_next_proto(&chosen, len, ours->names, ours->len, asked, asked_len) !=
        OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *ret = chosen;
    return SSL_TLSEXT_ERR_OK;
}

/* With the gateway's own idea of the time: before 2024 the clock was never set, and nobody's certificate is too young. */
static int dates_of(const X509 *certificate)
{
    static const time_t clock_floor = 1704067200;
    time_t now = time(NULL);
    if (now >= clock_floor && X509_cmp_time(X509_get0_notBefore(certificate), &now) > 0)
        return X509_V_ERR_CERT_NOT_YET_VALID;
    if (X509_cmp_time(X509_get0_notAfter(certificate), &now) <= 0)
        return X509_V_ERR_CERT_HAS_EXPIRED;
    return X509_V_OK;
}

static bool ask_gate(struct tls_gate *gate, const X509 *certificate, int error)
{
    unsigned char *der = NULL;
    int len = certificate ? i2d_X509(certificate, &der) : -1;
    bool good = len > 0 && gate->judge(gate, der, (size_t)len,
                                       error == X509_V_OK ? NULL : X509_verify_cert_error_string(error));
    OPENSSL_free(der);
    return good;
}

/* Authorities decide, or else the gate; where both are there, the gate hears of what the authorities refuse. The chain that
 * was found is not kept: nobody asks for it, and idle connections are many. */
static int verify(X509_STORE_CTX *store, void *arg)
{
    struct tls_gate *gate = arg;
    const X509 *leaf = X509_STORE_CTX_get0_cert(store);
    bool by_authorities = sk_X509_OBJECT_num(X509_STORE_get0_objects(X509_STORE_CTX_get0_store(store))) > 0;
    int error;
    if (by_authorities) {
        int good = X509_verify_cert(store);
        X509_STORE_CTX_set0_verified_chain(store, NULL);
        error = good == 1 ? X509_V_OK : X509_STORE_CTX_get_error(store);
    } else {
        error = leaf ? dates_of(leaf) : X509_V_ERR_UNSPECIFIED;
    }
    bool asks = gate && (error != X509_V_OK || !by_authorities);
    if (asks && !ask_gate(gate, leaf, error) && error == X509_V_OK)
        error = X509_V_ERR_CERT_REJECTED;
    X509_STORE_CTX_set_error(store, error);
    return error == X509_V_OK;
}

static int context_new(SSL_CTX **ret, const struct tls_options *options, const struct tls_files *files,
                       char **why)
{
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    if (!context) {
        *why = str_printf("TLS: %s", tls_reason(ERR_peek_last_error()));
        ERR_clear_error();
        return -ENOMEM;
    }
    (void)SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
    (void)SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE |
                                           SSL_OP_PRIORITIZE_CHACHA | SSL_OP_IGNORE_UNEXPECTED_EOF);
    (void)SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    (void)SSL_CTX_set_num_tickets(context, 1); /* whoever comes back gets another */
    SSL_CTX_set_alpn_select_cb(context, choose_protocol, (void *)&protocols[options->speaks]);
    SSL_CTX_set_cert_verify_callback(context, verify, options->gate);
    int r = tls_certificate_load(context, files, why);
    if (r >= 0)
        r = load_authorities(context, options, why);
    if (r < 0) {
        SSL_CTX_free(context);
        return r;
    }
    *ret = context;
    return 0;
}

/* ---- several -------------------------------------------------------------------------------------------------------- */

static bool is_for(const SSL_CTX *context, const char *name)
{
    return X509_check_host(SSL_CTX_get0_certificate(context), name, 0, 0, NULL) == 1;
}

static int choose_host(SSL *tls, int *alert, void *arg)
{
    (void)alert;
    const struct hosts *hosts = arg;
    const char *name = SSL_get_servername(tls, TLSEXT_NAMETYPE_host_name);
    if (!name)
        return SSL_TLSEXT_ERR_NOACK;
    if (is_for(SSL_get_SSL_CTX(tls), name))
        return SSL_TLSEXT_ERR_OK;
    for (size_t i = 0; i < hosts->count; i++)
        if (is_for(hosts->contexts[i], name)) {
            (void)SSL_set_SSL_CTX(tls, hosts->contexts[i]);
            return SSL_TLSEXT_ERR_OK;
        }
    return SSL_TLSEXT_ERR_NOACK; /* the first one's certificate */
}

static void hosts_free(struct hosts *hosts)
{
    for (size_t i = 0; i < hosts->count; i++)
        SSL_CTX_free(hosts->contexts[i]);
    free(hosts->contexts);
    free(hosts);
}

static void on_context_gone(void *context, void *data, CRYPTO_EX_DATA *all, int index, long number, void *arg)
{
    (void)context, (void)all, (void)index, (void)number, (void)arg;
    if (data)
        hosts_free(data);
}

static int hosts_index = -1; /* of a context's data */

/* Connections hold contexts, also after a reload: the others live as long as the first one. */
static void give_hosts(SSL_CTX *first, struct hosts *hosts)
{
    if (hosts_index < 0)
        hosts_index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, on_context_gone);
    if (!SSL_CTX_set_ex_data(first, hosts_index, hosts))
        abort(); /* a pointer in a list: the rule of mem_new() */
    (void)SSL_CTX_set_tlsext_servername_callback(first, choose_host);
    (void)SSL_CTX_set_tlsext_servername_arg(first, hosts);
}

static bool has_kind(SSL_CTX *context, int kind)
{
    bool has = false;
    for (long at = SSL_CERT_SET_FIRST; SSL_CTX_set_current_cert(context, at) == 1; at = SSL_CERT_SET_NEXT)
        has = has || tls_certificate_kind(SSL_CTX_get0_certificate(context)) == kind;
    (void)SSL_CTX_set_current_cert(context, SSL_CERT_SET_FIRST);
    return has;
}

static bool fits_beside(SSL_CTX *context, const X509 *certificate)
{
    if (has_kind(context, tls_certificate_kind(certificate)))
        return false;
    cleanup_free char *names = tls_certificate_names(SSL_CTX_get0_certificate(context));
    cleanup_free char *wanted = tls_certificate_names(certificate);
    return *names && strcmp(names, wanted) == 0;
}

/* One of another kind for the same names goes beside the one that is there: OpenSSL shows the one that the client can check. */
static SSL_CTX *beside(SSL_CTX *first, const struct hosts *hosts, const X509 *certificate)
{
    if (first && fits_beside(first, certificate))
        return first;
    for (size_t i = 0; i < hosts->count; i++)
        if (fits_beside(hosts->contexts[i], certificate))
            return hosts->contexts[i];
    return NULL;
}

/* Adds a context for that certificate: the first one, or another host's. */
static int add(SSL_CTX **first, struct hosts *hosts, const struct tls_options *options,
               const struct tls_files *files, char **why)
{
    X509 *certificate = tls_certificate_read(files->cert, why);
    if (!certificate)
        return -EINVAL;
    SSL_CTX *context = beside(*first, hosts, certificate);
    X509_free(certificate);
    if (context)
        return tls_certificate_load(context, files, why);
    int r = context_new(&context, options, files, why);
    if (r < 0)
        return r;
    if (!*first) {
        *first = context;
        return 0;
    }
    hosts->contexts = realloc(hosts->contexts, (hosts->count + 1) * sizeof(SSL_CTX *));
    if (!hosts->contexts)
        abort();
    hosts->contexts[hosts->count++] = context;
    return 0;
}

static int add_folder(SSL_CTX **first, struct hosts *hosts, const struct tls_options *options, char **why)
{
    struct tls_files *files;
    size_t count;
    int r = tls_certificate_folder(&files, &count, options->folder, why);
    if (r < 0)
        return r;
    for (size_t i = 0; r >= 0 && i < count; i++)
        r = add(first, hosts, options, &files[i], why);
    tls_certificate_folder_free(files, count);
    return r;
}

/* The keys that tickets are sealed with. */
static void take_keys(SSL_CTX *context, SSL_CTX *before)
{
    unsigned char keys[TICKET_KEYS_BYTES];
    long len = SSL_CTX_get_tlsext_ticket_keys(before, NULL, 0);
    if (len > 0 && len <= TICKET_KEYS_BYTES && SSL_CTX_get_tlsext_ticket_keys(before, keys, len))
        (void)SSL_CTX_set_tlsext_ticket_keys(context, keys, len);
    OPENSSL_cleanse(keys, sizeof keys);
}

int tls_server_context(struct ssl_ctx_st **ret, const struct tls_options *options, struct ssl_ctx_st *before,
                       char **why)
{
    if (options->psk)
        return tls_psk_context(ret, options, why);
    SSL_CTX *first = NULL;
    struct hosts *hosts = mem_new(struct hosts);
    int r = 0;
    for (size_t i = 0; r >= 0 && i < options->count; i++)
        r = add(&first, hosts, options, &options->files[i], why);
    if (r >= 0 && options->folder)
        r = add_folder(&first, hosts, options, why);
    if (r < 0 || !hosts->count)
        hosts_free(hosts);
    else
        give_hosts(first, hosts);
    if (r < 0) {
        SSL_CTX_free(first);
        return r;
    }
    if (before)
        take_keys(first, before);
    *ret = first;
    return 0;
}

struct ssl_ctx_st *tls_context_free(struct ssl_ctx_st *context)
{
    SSL_CTX_free(context);
    return NULL;
}

static int64_t expires(SSL_CTX *context)
{
    int64_t first = 0;
    for (long at = SSL_CERT_SET_FIRST; SSL_CTX_set_current_cert(context, at) == 1; at = SSL_CERT_SET_NEXT) {
        struct tm end;
        const X509 *certificate = SSL_CTX_get0_certificate(context);
        int64_t one = ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &end) == 1 ? (int64_t)timegm(&end) : 0;
        first = !first || one < first ? one : first;
    }
    (void)SSL_CTX_set_current_cert(context, SSL_CERT_SET_FIRST);
    return first;
}

int64_t tls_context_expires(struct ssl_ctx_st *context)
{
    const struct hosts *hosts = hosts_index < 0 ? NULL : SSL_CTX_get_ex_data(context, hosts_index);
    int64_t first = expires(context);
    for (size_t i = 0; hosts && i < hosts->count; i++) {
        int64_t at = expires(hosts->contexts[i]);
        first = at < first ? at : first;
    }
    return first;
}
