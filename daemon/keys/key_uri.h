/* Where a private key is, as configuration says it: a file, a PKCS#11 token or a TPM 2.0. Pure, and without OpenSSL; key.h
 * loads it.
 *
 *      /etc/gatehouse/server.key                           PEM: a key without a passphrase, or one that a TPM has wrapped
 *                                                          (TSS2 PRIVATE KEY)
 *      pkcs11:token=gw;object=server?pin-source=/etc/pin   RFC 7512
 *      handle:0x81000001                                   a TPM's persistent object
 *
 * What the last two may have besides, behind ?, & or ; as one likes (in a listener's URI an & would end the key):
 *
 *      pin-source=/FILE            its first line is the PIN, or the object's authorization; file:/FILE is the same
 *      pin-source=credential:NAME  the same with a file of systemd's (LoadCredential=NAME:…)
 *      module-path=/FILE           of a token's library; without it the engine's own choice (PKCS11_MODULE_PATH, p11-kit)
 *
 * A PIN in the text itself (pin-value=) is refused: it would be in the process list, or in a file that many may read.
 */
#pragma once

#include "base/base.h"

enum key_where { KEY_IN_FILE, KEY_IN_TOKEN, KEY_IN_TPM };

struct key_uri {
    enum key_where where;
    char *name;   /* the file, or pkcs11:… and handle:… without what is below */
    char *pin;    /* what pin-source says, decoded; NULL: nothing */
    char *module; /* NULL: not given */
};

/* 0, or -EINVAL and *why (free it), a sentence that begins with `expected` and has no PIN in it. */
int key_uri_parse(struct key_uri *ret, const char *text, char **why) must_check;
void key_uri_done(struct key_uri *uri);

/* Is it something else than a file? */
bool key_uri_is_elsewhere(const char *text);
