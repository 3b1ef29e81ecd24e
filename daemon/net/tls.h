/* TLS as a filter of a connection: OpenSSL without blocking, straight on the socket. For net's own files.
 *
 * TLS 1.2 and 1.3. Buffers are given back while a connection is idle (SSL_MODE_RELEASE_BUFFERS). Session tickets make
 * resumption possible. Records are as short as the client asks (Maximum Fragment Length). Writing never raises SIGPIPE.
 *
 * Every step may have to wait for the other direction: *wants is then EPOLLIN or EPOLLOUT.
 *
 * The daemon loads this with the first TLS listener: a function that is added here is added in lazy/tls*, too.
 */
#pragma once

#include "net/address.h"

#include <sys/uio.h>

struct ssl_ctx_st;
struct ssl_st;

/* A PEM file with a certificate and those that it takes to get to an authority; and its key, in a file or elsewhere
 * (keys/key_uri.h). */
struct tls_files {
    char *cert, *key;
};

/* What is spoken behind TLS. A client that lists protocols (ALPN) and none of these is refused: mqtt and
 * x-amzn-mqtt-ca; http/1.1; or for requests that AWS IoT's endpoint would take, http/1.1 and x-amzn-http-ca. One that
 * lists none is let in. */
enum tls_speaks { TLS_MQTT, TLS_HTTP, TLS_REST };

/* Who says which client certificates may come in: asked in the handshake, on the loop. */
struct tls_gate {
    /* problem: what is wrong with it already (its dates, or its chain where authorities are given), NULL: nothing. false: it
     * is refused. It has to be known by its bytes: without authorities nobody has looked at who signed it. */
    bool (*judge)(struct tls_gate *gate, const uint8_t *der, size_t len, const char *problem);
};

enum { TLS_PSK_KEY_BYTES = 32, TLS_PSK_IDENTITY_MAX = 64 };

/* Whom a listener with shared keys asks (psk_gate.h). An identity is printable ASCII; NULL: there was none of that kind. */
struct tls_psk {
    bool (*find)(struct tls_psk *psk, const char *identity, uint8_t key[TLS_PSK_KEY_BYTES]);
    /* Before anything is answered. */
    bool (*must_wait)(struct tls_psk *psk, const char *identity, const struct address *from);
    /* The last connection of its context, and the context itself, are gone. */
    void (*gone)(struct tls_psk *psk);
    /* What became of a handshake that has asked for a key. */
    void (*tried)(struct tls_psk *psk, const char *identity, const struct address *from, bool known,
                  bool good);
};

struct tls_options {
    const struct tls_files
        *files; /* the first certificate is shown unless another is for the name that is asked for. One of ECDSA and one of
                 * RSA for the same names are shown to clients that can check them, ECDSA first */
    size_t count;
    const char *folder; /* further NAME.pem and NAME.key, in alphabetical order; NULL: none */
    const char
        *ca; /* PEM file; NULL: no client certificates are asked for; else they are required and must be
                           signed by one of these */
    const char *
        crl; /* PEM file of lists of what the authorities revoked, one of each; NULL: nobody looks. Needs `ca` */
    enum tls_speaks speaks;
    /* NULL: only the authorities count. With it and without `ca` client certificates are asked for and required, and it alone
     * decides. */
    struct tls_gate *gate;
    bool optional;       /* who has no certificate is let in all the same */
    struct tls_psk *psk; /* not NULL: shared keys in place of certificates (psk.h), until gone() */
    bool psk_tls12;      /* and TLS 1.2 besides 1.3 */
};

/* A server's context. before: an earlier one whose tickets are still taken, if the authorities are the same; or NULL. On
 * -EINVAL *why (free it) names the file and what is wrong with it. */
int tls_server_context(struct ssl_ctx_st **ret, const struct tls_options *options, struct ssl_ctx_st *before,
                       char **why) must_check;
struct ssl_ctx_st *tls_context_free(struct ssl_ctx_st *context);
/* When the first of its certificates expires, seconds since 1970; 0: that is not known. */
int64_t tls_context_expires(struct ssl_ctx_st *context);

/* What is wrong with certificates and keys, all of it: files that cannot be read, keys that belong to others, what is not valid now,
 * two with the same kind of key for a name, authorities. Returns how much was found. */
typedef void tls_found(void *self, const char *sentence);
size_t tls_check(const struct tls_options *options, int64_t now_s, tls_found *found, void *self);

/* The accepting side of a connection; NULL: no memory. conn_new() gives it its descriptor. */
struct ssl_st *tls_accept(struct ssl_ctx_st *context);
struct ssl_st *tls_free(struct ssl_st *tls);
int tls_set_fd(struct ssl_st *tls, int fd) must_check;

/* For pairing (services/pairing/pairing.h), on every thread; false: no memory. Nothing before the first context. */
bool tls_sha256(const void *bytes, size_t len, uint8_t ret[32]);
bool tls_scrypt(const char *password, const char *salt, uint8_t ret[32]); /* N = 32768, r = 8, p = 1 */

/* What an error code of OpenSSL says. */
const char *tls_reason(unsigned long code);

/* A step of the handshake: 0 when it is done, -EAGAIN, or the fault, logged with the peer's address. With -EAGAIN *wants may
 * be 0: come again when the peer has waited long enough (psk_gate.h). */
int tls_handshake(struct ssl_st *tls, uint8_t *wants, const struct address *peer) must_check;

/* Reads up to size bytes, until there is nothing more: *more says that size was the limit, or that the end or a fault
 * comes with the next call. 0: the peer has closed. -EAGAIN, or the fault, logged. */
ssize_t tls_read(struct ssl_st *tls, void *bytes, size_t size, bool *more, uint8_t *wants,
                 const struct address *peer);
/* Is there something to read that epoll does not know of? */
bool tls_has_pending(const struct ssl_st *tls);

/* Writes the pieces in records as large as possible. After less than all of it, or -EAGAIN, the next call must begin
 * with the bytes that were left. */
ssize_t tls_write(struct ssl_st *tls, const struct iovec *pieces, int count, uint8_t *wants,
                  const struct address *peer);
void tls_say_goodbye(struct ssl_st *tls);

/* Common name of the verified client certificate, or the identity whose key it has; NULL without one; from the end of the handshake, valid as long as tls. */
const char *tls_peer_name(const struct ssl_st *tls);
/* The verified client certificate in DER form, which the caller frees; NULL without one. */
uint8_t *tls_peer_der(const struct ssl_st *tls, size_t *len) must_check;
/* The host name that the client asked for (SNI); NULL: none. */
const char *tls_server_name(const struct ssl_st *tls);
