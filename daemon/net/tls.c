#include "net/tls.h"

#include "base/log.h"
#include "net/tls_psk.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

/* OpenSSL reads and writes through a BIO of our own instead of its socket BIO, for two reasons: send() with MSG_NOSIGNAL,
 * and one recv() a readiness. A recv() that returned less than was asked has emptied the socket; asking again would only
 * be told EAGAIN, so the BIO says it without asking, and epoll tells when there is more.
 *
 * A fault is kept: after it OpenSSL's answers depend on where it struck, and ours are to be the same. */

enum { RECORD_BYTES = 16 * 1024, NAME_MAX_BYTES = 256 };

struct stream {
    int fd;
    int fault;    /* -errno that every further call returns */
    bool emptied; /* recv() has got all there was */
    bool ended;   /* and it was the end */
    char *name;   /* of the peer's verified certificate; NULL: there is none */
};

/* ---- the socket ---------------------------------------------------------------------------------------------------- */

static int stream_read(BIO *bio, char *bytes, size_t size, size_t *ret)
{
    struct stream *stream = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (stream->emptied) {
        BIO_set_retry_read(bio);
        return 0;
    }
    ssize_t n = recv(stream->fd, bytes, size, MSG_DONTWAIT);
    if (n > 0) {
        stream->emptied = (size_t)n < size;
        *ret = (size_t)n;
        return 1;
    }
    if (n == 0)
        stream->ended = true;
    else if (errno == EAGAIN || errno == EINTR)
        BIO_set_retry_read(bio);
    return 0;
}

static int stream_write(BIO *bio, const char *bytes, size_t len, size_t *ret)
{
    struct stream *stream = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    ssize_t n = send(stream->fd, bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n >= 0) {
        *ret = (size_t)n;
        return 1;
    }
    if (errno == EAGAIN || errno == EINTR)
        BIO_set_retry_write(bio);
    return 0;
}

static long stream_ctrl(BIO *bio, int command, long number, void *pointer)
{
    (void)number;
    (void)pointer;
    const struct stream *stream = BIO_get_data(bio);
    switch (command) {
    case BIO_CTRL_FLUSH: return 1;
    case BIO_CTRL_EOF: return stream->ended;
    default: return 0;
    }
}

static int stream_destroy(BIO *bio)
{
    struct stream *stream = BIO_get_data(bio);
    free(stream->name);
    free(stream);
    return 1;
}

static const BIO_METHOD *stream_method(void)
{
    static BIO_METHOD *method;
    if (!method && (method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "connection"))) {
        (void)BIO_meth_set_read_ex(method, stream_read);
        (void)BIO_meth_set_write_ex(method, stream_write);
        (void)BIO_meth_set_ctrl(method, stream_ctrl);
        (void)BIO_meth_set_destroy(method, stream_destroy);
    }
    return method;
}

static struct stream *stream_of(const SSL *tls)
{
    return BIO_get_data(SSL_get_rbio(tls));
}

/* ---- connections --------------------------------------------------------------------------------------------------- */

struct ssl_st *tls_accept(struct ssl_ctx_st *context)
{
    SSL *tls = SSL_new(context);
    if (tls) {
        SSL_set_accept_state(tls);
        (void)tls_psk_begin(tls);
    }
    return tls;
}

struct ssl_st *tls_free(struct ssl_st *tls)
{
    SSL_free(tls);
    return NULL;
}

int tls_set_fd(struct ssl_st *tls, int fd)
{
    const BIO_METHOD *method = stream_method();
    BIO *bio = method ? BIO_new(method) : NULL;
    if (!bio) {
        ERR_clear_error();
        return -ENOMEM;
    }
    struct stream *stream = mem_new(struct stream);
    stream->fd = fd;
    BIO_set_data(bio, stream);
    BIO_set_init(bio, 1);
    SSL_set_bio(tls, bio, bio);
    (void)SSL_set_mode(tls, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_set_read_ahead(tls, 1); /* several records with one recv() */
    return 0;
}

static void log_failure(const SSL *tls, const struct address *peer, const char *what)
{
    char text[ADDRESS_TEXT_BYTES];
    address_text(peer, text);
    long verified = SSL_get_verify_result(tls);
    const struct tls_psk_try *try = tls_psk_of(tls);
    if (try && *try->identity)
        log_info("%s: TLS: %s: %s", text, try->identity, what);
    else if (verified == X509_V_OK)
        log_info("%s: TLS: %s", text, what);
    else
        log_info("%s: TLS: %s: %s", text, what, X509_verify_cert_error_string(verified));
}

/* Why an operation did not succeed: -EAGAIN, 0 at the peer's end, or the fault. */
static int failure(SSL *tls, int r, uint8_t *wants, const struct address *peer)
{
    int fault = errno;
    switch (SSL_get_error(tls, r)) {
    case SSL_ERROR_WANT_READ: *wants = EPOLLIN; return -EAGAIN;
    case SSL_ERROR_WANT_WRITE: *wants = EPOLLOUT; return -EAGAIN;
    case SSL_ERROR_WANT_CLIENT_HELLO_CB: *wants = 0; return -EAGAIN;
    case SSL_ERROR_ZERO_RETURN: return 0;
    case SSL_ERROR_SYSCALL: fault = fault ? -fault : -ECONNRESET; break;
    default: {
        struct tls_psk_try *try = tls_psk_of(tls);
        const char *why = try ? tls_psk_end(try, false) : NULL;
        log_failure(tls, peer, why ? why : tls_reason(ERR_peek_last_error()));
        fault = -EPROTO;
        break;
    }
    }
    ERR_clear_error();
    return stream_of(tls)->fault = fault;
}

/* OpenSSL looks at what an earlier operation, perhaps of another connection, has left behind. */
static void begin(void)
{
    ERR_clear_error();
    errno = 0;
}

/* The common name of the verified certificate; NULL: there is none that could be somebody's name. */
static char *name_of_peer(const SSL *tls)
{
    const X509 *certificate = SSL_get0_peer_certificate(tls);
    if (!certificate || SSL_get_verify_result(tls) != X509_V_OK)
        return NULL;
    const X509_NAME *subject = X509_get_subject_name(certificate);
    int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
    const X509_NAME_ENTRY *entry = at < 0 ? NULL : X509_NAME_get_entry(subject, at);
    unsigned char *utf8 = NULL;
    int len = entry ? ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(entry)) : -1;
    /* A name with a zero byte in it would be read as another. */
    char *name = len > 0 && len < NAME_MAX_BYTES && !memchr(utf8, 0, (size_t)len)
                     ? str_copy_n((const char *)utf8, (size_t)len)
                     : NULL;
    OPENSSL_free(utf8);
    return name;
}

/* What the client sent besides his own certificate has been looked at; a certificate takes 5 KB. */
static void drop_chain(const SSL *tls)
{
    STACK_OF(X509) *chain = SSL_get_peer_cert_chain(tls);
    while (chain && sk_X509_num(chain) > 0)
        X509_free(sk_X509_pop(chain));
}

int tls_handshake(struct ssl_st *tls, uint8_t *wants, const struct address *peer)
{
    struct stream *stream = stream_of(tls);
    if (stream->fault)
        return stream->fault;
    stream->emptied = false;
    struct tls_psk_try *try = tls_psk_of(tls);
    if (try)
        try->peer = peer;
    begin();
    int r = SSL_do_handshake(tls);
    if (r == 1 && try) {
        (void)tls_psk_end(try, true);
        stream->name = str_copy(try->identity);
        return 0;
    }
    if (r == 1) {
        stream->name = name_of_peer(tls);
        drop_chain(tls);
        return 0;
    }
    r = failure(tls, r, wants, peer);
    if (r == 0)
        r = stream->fault = -ECONNRESET;
    if (r == -ECONNRESET)
        log_failure(tls, peer, "closed during the handshake");
    return r;
}

ssize_t tls_read(struct ssl_st *tls, void *bytes, size_t size, bool *more, uint8_t *wants,
                 const struct address *peer)
{
    struct stream *stream = stream_of(tls);
    *more = false;
    if (stream->fault)
        return stream->fault;
    stream->emptied = false;
    size_t total = 0;
    while (total < size) {
        size_t n;
        begin();
        int r = SSL_read_ex(tls, (char *)bytes + total, size - total, &n);
        if (r != 1) {
            r = failure(tls, r, wants, peer);
            *more = total && r != -EAGAIN;
            return total ? (ssize_t)total : r;
        }
        total += n;
    }
    *more = SSL_has_pending(tls);
    return (ssize_t)total;
}

bool tls_has_pending(const struct ssl_st *tls)
{
    return stream_of(tls)->fault || SSL_has_pending(tls);
}

/* What comes next out of the pieces, in one run of bytes: of the first piece as it is if that fills a record or is all
 * there is, else gathered into `record`. Depends on the bytes only, not on how they are divided: OpenSSL insists that a
 * write it could not finish is repeated with at least the same. */
static size_t next_record(const struct iovec *pieces, int count, size_t offset, uint8_t *record,
                          const uint8_t **ret)
{
    size_t len = size_min(pieces->iov_len - offset, RECORD_BYTES);
    *ret = (const uint8_t *)pieces->iov_base + offset;
    if (len == RECORD_BYTES || count == 1)
        return len;
    memcpy(record, *ret, len);
    for (int i = 1; i < count && len < RECORD_BYTES; i++) {
        size_t n = size_min(pieces[i].iov_len, RECORD_BYTES - len);
        memcpy(record + len, pieces[i].iov_base, n);
        len += n;
    }
    *ret = record;
    return len;
}

ssize_t tls_write(struct ssl_st *tls, const struct iovec *pieces, int count, uint8_t *wants,
                  const struct address *peer)
{
    static uint8_t record[RECORD_BYTES]; /* connections live on one thread */
    struct stream *stream = stream_of(tls);
    if (stream->fault)
        return stream->fault;
    stream->emptied = false; /* a write may have to read, too */
    size_t total = 0, offset = 0;
    while (count) {
        const uint8_t *bytes;
        size_t n, len = next_record(pieces, count, offset, record, &bytes);
        begin();
        int r = SSL_write_ex(tls, bytes, len, &n);
        if (r != 1) {
            r = failure(tls, r, wants, peer);
            if (r == 0)
                r = -EPIPE;
            return total ? (ssize_t)total : r;
        }
        total += n;
        for (offset += n; count && offset >= pieces->iov_len; pieces++, count--)
            offset -= pieces->iov_len;
    }
    return (ssize_t)total;
}

void tls_say_goodbye(struct ssl_st *tls)
{
    if (SSL_is_init_finished(tls) && !stream_of(tls)->fault)
        (void)SSL_shutdown(tls);
    ERR_clear_error();
}

const char *tls_peer_name(const struct ssl_st *tls)
{
    return stream_of(tls)->name;
}

uint8_t *tls_peer_der(const struct ssl_st *tls, size_t *len)
{
    const X509 *certificate = SSL_get0_peer_certificate(tls);
    if (!certificate || !SSL_is_init_finished(tls) || SSL_get_verify_result(tls) != X509_V_OK)
        return NULL;
    unsigned char *bytes = NULL;
    int n = i2d_X509(certificate, &bytes);
    uint8_t *der = n > 0 ? (uint8_t *)str_copy_n((const char *)bytes, (size_t)n) : NULL;
    *len = n > 0 ? (size_t)n : 0;
    OPENSSL_free(bytes);
    return der;
}

const char *tls_server_name(const struct ssl_st *tls)
{
    return SSL_get_servername(tls, TLSEXT_NAMETYPE_host_name);
}
