#include "bench/secure.h"

#include <errno.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdio.h>

enum { READ_AHEAD = 64 * 1024 };

static const char *reason(void)
{
    const char *text = ERR_reason_error_string(ERR_peek_last_error());

    return text ? text : "TLS fails without a reason";
}

static bool load(SSL_CTX *context, const char *folder, bool accepts)
{
    const char *name = accepts ? "server" : "client";
    char ca[PATH_MAX], cert[PATH_MAX], key[PATH_MAX];

    (void)snprintf(ca, sizeof(ca), "%s/ca.pem", folder);
    (void)snprintf(cert, sizeof(cert), "%s/%s.pem", folder, name);
    (void)snprintf(key, sizeof(key), "%s/%s.key", folder, name);
    return SSL_CTX_load_verify_file(context, ca) == 1 &&
           SSL_CTX_use_certificate_chain_file(context, cert) == 1 &&
           SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) == 1;
}

struct ssl_ctx_st *secure_context(const char *folder, bool accepts, const char **why)
{
    SSL_CTX *context = SSL_CTX_new(accepts ? TLS_server_method() : TLS_client_method());

    if (!context || !load(context, folder, accepts)) {
        *why = reason();
        SSL_CTX_free(context);
        return NULL;
    }
    (void)signal(SIGPIPE, SIG_IGN); /* OpenSSL writes without MSG_NOSIGNAL */
    (void)SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION);
    (void)SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    (void)SSL_CTX_set_session_id_context(context, (const unsigned char *)"bench", 5);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER | (accepts ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0), NULL);
    (void)SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_read_ahead(context, 1);
    SSL_CTX_set_default_read_buffer_len(context, READ_AHEAD);
    return context;
}

void secure_context_free(struct ssl_ctx_st *context)
{
    SSL_CTX_free(context);
}

struct ssl_st *secure_open(struct ssl_ctx_st *context, int fd)
{
    SSL *tls = SSL_new(context);

    if (!tls || SSL_set_fd(tls, fd) != 1) {
        SSL_free(tls);
        return NULL;
    }
    if (SSL_is_server(tls))
        SSL_set_accept_state(tls);
    else
        SSL_set_connect_state(tls);
    return tls;
}

void secure_close(struct ssl_st *tls)
{
    if (tls && SSL_is_init_finished(tls))
        (void)SSL_shutdown(tls);
    ERR_clear_error();
    SSL_free(tls);
}

void secure_begin_with(struct ssl_st *tls, struct ssl_session_st *session)
{
    if (session)
        (void)SSL_set_session(tls, session);
}

bool secure_was_resumed(struct ssl_st *tls)
{
    return SSL_session_reused(tls);
}

void secure_drop(struct ssl_st *tls, struct ssl_session_st **session)
{
    if (!tls)
        return;
    SSL_SESSION_free(*session);
    *session = SSL_get1_session(tls);
    if (*session && !SSL_SESSION_is_resumable(*session)) {
        SSL_SESSION_free(*session);
        *session = NULL;
    }
    SSL_set_shutdown(tls,
                     SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN); /* else the session counts as broken, too */
    SSL_free(tls);
}

void secure_session_free(struct ssl_session_st *session)
{
    SSL_SESSION_free(session);
}

static ssize_t failure(SSL *tls, int r, bool *wants_write)
{
    int fault = errno;

    switch (SSL_get_error(tls, r)) {
    case SSL_ERROR_WANT_READ: return -EAGAIN;
    case SSL_ERROR_WANT_WRITE: *wants_write = true; return -EAGAIN;
    case SSL_ERROR_ZERO_RETURN: return 0;
    case SSL_ERROR_SYSCALL: ERR_clear_error(); return fault ? -fault : 0;
    default: break;
    }
    if (ERR_GET_REASON(ERR_peek_last_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING) {
        ERR_clear_error();
        return 0;
    }
    fprintf(stderr, "bench: TLS: %s\n", reason());
    ERR_clear_error();
    return -EPROTO;
}

/* A handshake that has to wait for room to write does not happen: its flights are smaller than a new socket's buffer. */
ssize_t secure_read(struct ssl_st *tls, void *bytes, size_t size)
{
    bool wants_write;
    size_t n;

    errno = 0;
    int r = SSL_read_ex(tls, bytes, size, &n);
    return r == 1 ? (ssize_t)n : failure(tls, r, &wants_write);
}

ssize_t secure_write(struct ssl_st *tls, const void *bytes, size_t len, bool *wants_write)
{
    size_t n;

    errno = 0;
    *wants_write = false;
    int r = SSL_write_ex(tls, bytes, len, &n);
    if (r == 1)
        return (ssize_t)n;
    ssize_t failed = failure(tls, r, wants_write);
    return failed ? failed : -EPIPE;
}
