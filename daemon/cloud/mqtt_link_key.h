/* A client key that Paho cannot open, because it is in a token or a TPM (keys/key_uri.h).
 *
 * Paho reads a certificate and its key from files when it makes a context, shows the context to nobody, and goes no further without
 * them. So it gets a stand-in, made for this and in memory only, and a word as its passphrase: the context keeps that, so that
 * when a handshake begins it is known whose connection this is, and the certificate and key are put in the stand-in's place.
 */
#pragma once

#include "base/base.h"

struct link_key;
struct ssl_st;

enum { LINK_KEY_WHY_BYTES = 200 };

/* Loads the key; -EINVAL: why says what was expected. It must outlive the connections that got its word. */
int link_key_new(struct link_key **ret, const char *cert, const char *key, char why[LINK_KEY_WHY_BYTES])
    must_check;
struct link_key *link_key_free(struct link_key *key);

const char *link_key_file(const struct link_key *key); /* for certificate and key */
const char *link_key_word(const struct link_key *key); /* for the passphrase */

/* When a handshake begins: shows the certificate of the key whose word its context has, if it has one. */
void link_key_show(struct ssl_st *ssl);
