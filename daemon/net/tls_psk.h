/* The part of TLS that is about keys shared with nodes (psk.h says what is spoken). For net's own files, and on the other
 * side of lazy/ like tls.c: whom it asks is given to it. */
#pragma once

#include "net/tls.h"

struct ssl_st;

/* What a connection has found out so far; NULL for those with certificates. */
struct tls_psk_try {
    struct tls_psk *psk;
    const struct address *peer; /* during a step of the handshake */
    bool has_waited, asked, known;
    bool ended;                              /* and its outcome was told */
    char identity[TLS_PSK_IDENTITY_MAX + 1]; /* "": none that is valid */
};

int tls_psk_context(struct ssl_ctx_st **ret, const struct tls_options *options, char **why) must_check;

/* Of an accepting connection of such a context; NULL for others. It goes with the connection. */
struct tls_psk_try *tls_psk_begin(struct ssl_st *tls);
struct tls_psk_try *tls_psk_of(const struct ssl_st *tls);
/* The handshake is through, or has failed: good says which. NULL, or what is to be said in place of OpenSSL's reason. */
const char *tls_psk_end(struct tls_psk_try *try, bool good);
