/* TLS 1.3 for a link, with certificates on both sides: what a link calls instead of recv() and send().
 *
 * OpenSSL straight on the socket. What a turn has written leaves in records as large as TLS allows, and one recv brings
 * several of them in, so that the generator pays for few records and fewer calls.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct ssl_ctx_st;
struct ssl_st;

/* With ca.pem and server.pem, server.key or client.pem, client.key of the folder (bench_certificates makes them). NULL:
 * *why says what is wrong; it is static. SIGPIPE is ignored from then on. */
struct ssl_ctx_st *secure_context(const char *folder, bool accepts, const char **why);
void secure_context_free(struct ssl_ctx_st *context);

/* On a non-blocking descriptor; the handshake goes along with the first reads and writes. NULL: no memory. */
struct ssl_st *secure_open(struct ssl_ctx_st *context, int fd);
void secure_close(struct ssl_st *tls); /* says goodbye; the descriptor stays */

/* Session resumption. `begin`: before the handshake, with the session of an earlier connection, which stays the caller's. `drop` is a
 * connection that breaks: nothing is said, and *session is what can be resumed (it replaces the one that is there; NULL: nothing can). */
struct ssl_session_st;
void secure_begin_with(struct ssl_st *tls, struct ssl_session_st *session);
bool secure_was_resumed(struct ssl_st *tls);
void secure_drop(struct ssl_st *tls, struct ssl_session_st **session);
void secure_session_free(struct ssl_session_st *session);

/* As recv() and send() would: bytes, 0 at the end (read), -EAGAIN, or another -errno. A read brings at most one record and
 * must be repeated until -EAGAIN: epoll does not know of what OpenSSL holds. *wants_write is set when it is room to write
 * in the socket that a write waits for. */
ssize_t secure_read(struct ssl_st *tls, void *bytes, size_t size);
ssize_t secure_write(struct ssl_st *tls, const void *bytes, size_t len, bool *wants_write);
