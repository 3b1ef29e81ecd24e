#include "net/tls.h"

#include "base/log.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <string.h>

static const char *reason(void)
{
    unsigned long code = ERR_peek_last_error();
    const char *text = code ? ERR_reason_error_string(code) : NULL;
    return text ? text : "unknown reason";
}

/* ---- contexts ------------------------------------------------------------------------------------------------------ */

static int no_file(char **why, const char *path, const char *expected)
{
    *why = str_printf("%s: expected %s: %s", path, expected, reason());
    ERR_clear_error();
    return -EINVAL;
}

static int load_files(SSL_CTX *context, const char *cert, const char *key, const char *ca, char **why)
{
    if (SSL_CTX_use_certificate_chain_file(context, cert) != 1)
        return no_file(why, cert, "a certificate chain in PEM form");
    if (SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) != 1)
        return no_file(why, key, "a private key in PEM form that belongs to the certificate");
    if (SSL_CTX_check_private_key(context) != 1)
        return no_file(why, key, "the private key of the certificate");
    if (!ca)
        return 0;
    if (SSL_CTX_load_verify_file(context, ca) != 1)
        return no_file(why, ca, "certificates of authorities in PEM form");
    STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(ca);
    if (!names)
        return no_file(why, ca, "certificates of authorities in PEM form");
    SSL_CTX_set_client_CA_list(context, names);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    return 0;
}

int tls_server_context(struct ssl_ctx_st **ret, const char *cert, const char *key, const char *ca, char **why)
{
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    if (!context) {
        *why = str_printf("TLS: %s", reason());
        return -ENOMEM;
    }
    static const unsigned char id[] = "gatehouse";
    (void)SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
    (void)SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE |
                                           SSL_OP_PRIORITIZE_CHACHA | SSL_OP_IGNORE_UNEXPECTED_EOF);
    (void)SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                        SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    (void)SSL_CTX_set_session_id_context(context, id,
                                         sizeof id - 1); /* without it, client certificates cannot resume */
    (void)SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_read_ahead(context, 1); /* several records with one read */
    int r = load_files(context, cert, key, ca, why);
    if (r < 0) {
        SSL_CTX_free(context);
        return r;
    }
    *ret = context;
    return 0;
}

struct ssl_ctx_st *tls_context_free(struct ssl_ctx_st *context)
{
    SSL_CTX_free(context);
    return NULL;
}

/* ---- connections --------------------------------------------------------------------------------------------------- */

struct ssl_st *tls_accept(struct ssl_ctx_st *context, int fd)
{
    SSL *tls = SSL_new(context);
    if (!tls)
        return NULL;
    if (SSL_set_fd(tls, fd) != 1)
        return tls_free(tls);
    SSL_set_accept_state(tls);
    return tls;
}

struct ssl_st *tls_free(struct ssl_st *tls)
{
    SSL_free(tls);
    return NULL;
}

static ssize_t failure(SSL *tls, int r, bool *want_write, const char *peer)
{
    int error = SSL_get_error(tls, r);
    switch (error) {
    case SSL_ERROR_WANT_READ: *want_write = false; return -EAGAIN;
    case SSL_ERROR_WANT_WRITE: *want_write = true; return -EAGAIN;
    case SSL_ERROR_ZERO_RETURN: return 0;
    case SSL_ERROR_SYSCALL: {
        int fault = errno;
        ERR_clear_error();
        return fault && fault != EAGAIN ? -fault : -ECONNRESET;
    }
    default: break;
    }
    log_info("%s: TLS: %s", peer, reason());
    ERR_clear_error();
    return -EPROTO;
}

ssize_t tls_read(struct ssl_st *tls, void *bytes, size_t size, bool *want_write, const char *peer)
{
    size_t total = 0;
    while (total < size) {
        size_t n;
        ERR_clear_error();
        errno = 0;
        int r = SSL_read_ex(tls, (char *)bytes + total, size - total, &n);
        if (r != 1) {
            ssize_t why = failure(tls, r, want_write, peer);
            return total ? (ssize_t)total : why; /* an end or a fault will show again */
        }
        total += n;
    }
    return (ssize_t)total;
}

ssize_t tls_write(struct ssl_st *tls, const struct iovec *pieces, int count, bool *want_write,
                  const char *peer)
{
    size_t total = 0;
    for (int i = 0; i < count; i++) {
        size_t done = 0;
        while (done < pieces[i].iov_len) {
            size_t n;
            ERR_clear_error();
            errno = 0;
            int r = SSL_write_ex(tls, (char *)pieces[i].iov_base + done, pieces[i].iov_len - done, &n);
            if (r != 1) {
                ssize_t why = failure(tls, r, want_write, peer);
                if (total || why == -EAGAIN)
                    return total ? (ssize_t)total : -EAGAIN;
                return why ? why : -EPIPE;
            }
            done += n;
            total += n;
        }
    }
    return (ssize_t)total;
}

bool tls_has_pending(const struct ssl_st *tls)
{
    return SSL_has_pending(tls);
}

void tls_say_goodbye(struct ssl_st *tls)
{
    if (SSL_is_init_finished(tls))
        (void)SSL_shutdown(tls);
    ERR_clear_error();
}

bool tls_peer_name(const struct ssl_st *tls, char *name, size_t size)
{
    X509 *certificate = SSL_get1_peer_certificate(tls);
    if (!certificate)
        return false;
    bool found = false;
    if (SSL_get_verify_result(tls) == X509_V_OK) {
        const X509_NAME *subject = X509_get_subject_name(certificate);
        int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
        const X509_NAME_ENTRY *entry = at < 0 ? NULL : X509_NAME_get_entry(subject, at);
        unsigned char *utf8 = NULL;
        int len = entry ? ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(entry)) : -1;
        /* A name with a zero byte in it would be read as another. */
        found = len > 0 && (size_t)len < size && !memchr(utf8, 0, (size_t)len);
        if (found) {
            memcpy(name, utf8, (size_t)len);
            name[len] = '\0';
        }
        OPENSSL_free(utf8);
    }
    X509_free(certificate);
    return found;
}
