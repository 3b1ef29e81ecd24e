/* TLS as a filter of a connection: OpenSSL without blocking, straight on the socket. For net's own files.
 *
 * TLS 1.2 and 1.3. Buffers are given back while a connection is idle (SSL_MODE_RELEASE_BUFFERS). Session tickets make
 * resumption possible. */
#pragma once

#include "base/base.h"

#include <sys/types.h>
#include <sys/uio.h>

struct ssl_ctx_st;
struct ssl_st;

/* A server's context. ca may be NULL: no client certificates are asked for; else they are required and must be signed by
 * it. On -EINVAL *why (free it) names the file and what is wrong with it. */
int tls_server_context(struct ssl_ctx_st **ret, const char *cert, const char *key, const char *ca, char **why)
    must_check;
struct ssl_ctx_st *tls_context_free(struct ssl_ctx_st *context);

/* The accepting side of a connection on fd; NULL: no memory. */
struct ssl_st *tls_accept(struct ssl_ctx_st *context, int fd);
struct ssl_st *tls_free(struct ssl_st *tls);

/* Bytes moved; 0: the peer has closed (read only); -EAGAIN: later, *want_write says that it waits for room to write;
 * -EPROTO: TLS failed, logged with the peer's name. The handshake happens inside. */
ssize_t tls_read(struct ssl_st *tls, void *bytes, size_t size, bool *want_write, const char *peer);
ssize_t tls_write(struct ssl_st *tls, const struct iovec *pieces, int count, bool *want_write,
                  const char *peer);
/* Is there something to read that epoll does not know of? */
bool tls_has_pending(const struct ssl_st *tls);
void tls_say_goodbye(struct ssl_st *tls);

/* Common name of the verified client certificate into name; false without one. */
bool tls_peer_name(const struct ssl_st *tls, char *name, size_t size);
