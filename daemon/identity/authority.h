/* The gateway's own certificate authority, and the certificate that it shows to clients.
 *
 *      STATE/identity/ca.pem      ca.key          made at the first start that wants them, or put there: then with its
 *                     server.pem  server.key      intermediates behind it in ca.pem, the one that signs first
 *                     ca.crl                      what was revoked of it
 *
 * The operator may have given other places: a certificate with its chain (then the gateway makes none, and does not rotate it),
 * and keys in files, tokens or a TPM (keys/key_uri.h), which are used where they are.
 *
 * All keys that are made are P-256 and have mode 0600. server.pem is made anew when the names or addresses that it is for change, or when it
 * will end within a month. As long as the clock was never set, certificates are valid from 2024 on: nobody has a better idea,
 * and a gateway without a battery starts in 1970.
 */
#pragma once

#include "identity/x509.h"

struct authority;

struct authority_options {
    const char *folder; /* STATE/identity */
    const char *ca;     /* PEM file: the certificate that signs, its intermediates behind it; NULL: ca.pem */
    const char *ca_key; /* where its key is; NULL: ca.key. Without `ca` a certificate is made for it */
    const char *server_key;   /* where the key of server.pem is; NULL: server.key, and it is made */
    const char *name;         /* the gateway's, for the subject */
    const char *const *names; /* further host names and addresses that clients know it by */
    size_t name_count;
};

/* Reads what is there and makes what is missing. -EINVAL: *why (free it) names the file and what is wrong with it. */
int authority_open(struct authority **ret, const struct authority_options *options, int64_t now_s, char **why)
    must_check;
struct authority *authority_close(struct authority *authority);
define_cleanup(struct authority *, authority_close)

/* Paths and contents, as long as it lives. */
const char *authority_ca_path(const struct authority *authority);
const char *authority_server_path(const struct authority *authority);
const char *authority_server_key_path(const struct authority *authority);
const char *authority_ca_pem(const struct authority *authority);
const char *authority_id(const struct authority *authority); /* of the certificate that signs */
const struct x509_signer *authority_signer(const struct authority *authority);

/* Signs for somebody: dates are chosen here (to the end of 2049, as AWS IoT does it) when the wish has none,
 * and nothing is good for longer than the authority is. -EINVAL and *why, too, when that has ended. */
int authority_issue(struct authority *authority, struct x509_issued *ret, const struct x509_wish *wish,
                    int64_t now_s, char **why) must_check;

/* Looks at the host's names and addresses again; 1: server.pem is another one now, and listeners must read it. */
int authority_refresh(struct authority *authority, int64_t now_s, char **why) must_check;
/* Another certificate authority from now on; what the old one signed and is registered stays good. -EPERM and *why: its
 * certificate or its key was given. */
int authority_rotate(struct authority *authority, int64_t now_s, char **why) must_check;
/* Writes ca.crl anew. */
int authority_write_crl(struct authority *authority, const struct x509_revoked *revoked, size_t count,
                        int64_t now_s, char **why) must_check;
