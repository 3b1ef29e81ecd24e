#include "lazy/tls_table.h"

#include <errno.h>

/* The first context, or the first certificate (x509.c), loads the part; all else comes with a context or a connection of
 * one, or with nothing. */

static const struct tls_table *part;

const struct tls_table *lazy_tls(char **why)
{
    char *reason = NULL;
    if (!part)
        part = lazy_load("gatehouse-tls.so", "gatehouse_tls", &reason);
    if (!part && why)
        *why = str_printf("TLS %s", reason);
    free(reason);
    return part;
}

int tls_server_context(struct ssl_ctx_st **ret, const struct tls_options *options, struct ssl_ctx_st *before,
                       char **why)
{
    return lazy_tls(why) ? part->server_context(ret, options, before, why) : -ENOTSUP;
}

struct ssl_ctx_st *tls_context_free(struct ssl_ctx_st *context)
{
    return context ? part->context_free(context) : NULL;
}

int64_t tls_context_expires(struct ssl_ctx_st *context)
{
    return part->context_expires(context);
}

size_t tls_check(const struct tls_options *options, int64_t now_s, tls_found *found, void *self)
{
    char *why = NULL;
    if (lazy_tls(&why))
        return part->check(options, now_s, found, self);
    found(self, why);
    free(why);
    return 1;
}

struct ssl_st *tls_accept(struct ssl_ctx_st *context)
{
    return part->accept_context(context);
}

struct ssl_st *tls_free(struct ssl_st *tls)
{
    return tls ? part->free(tls) : NULL;
}

int tls_set_fd(struct ssl_st *tls, int fd)
{
    return part->set_fd(tls, fd);
}

const char *tls_reason(unsigned long code)
{
    return part->reason(code);
}

bool tls_sha256(const void *bytes, size_t len, uint8_t ret[32])
{
    return part && part->sha256(bytes, len, ret);
}

bool tls_scrypt(const char *password, const char *salt, uint8_t ret[32])
{
    return part && part->scrypt(password, salt, ret);
}

int tls_handshake(struct ssl_st *tls, uint8_t *wants, const struct address *peer)
{
    return part->handshake(tls, wants, peer);
}

ssize_t tls_read(struct ssl_st *tls, void *bytes, size_t size, bool *more, uint8_t *wants,
                 const struct address *peer)
{
    return part->read(tls, bytes, size, more, wants, peer);
}

bool tls_has_pending(const struct ssl_st *tls)
{
    return part->has_pending(tls);
}

ssize_t tls_write(struct ssl_st *tls, const struct iovec *pieces, int count, uint8_t *wants,
                  const struct address *peer)
{
    return part->write(tls, pieces, count, wants, peer);
}

void tls_say_goodbye(struct ssl_st *tls)
{
    part->say_goodbye(tls);
}

const char *tls_peer_name(const struct ssl_st *tls)
{
    return part->peer_name(tls);
}

uint8_t *tls_peer_der(const struct ssl_st *tls, size_t *len)
{
    return part->peer_der(tls, len);
}

const char *tls_server_name(const struct ssl_st *tls)
{
    return part->server_name(tls);
}
