/* X.509: reading certificates and requests for them, and signing them. The only files that know OpenSSL besides net's TLS.
 *
 * The daemon loads this with the first TLS listener (lazy/): a function that is added here is added there, too. Signing costs
 * tens of microseconds with the P-256 keys that are made here, an RSA key a tenth of a second.
 *
 * Functions that read return 0 or -EINVAL with *why (free it), a sentence about what was expected; why may be NULL.
 */
#pragma once

#include "base/base.h"

enum { X509_ID_BYTES = 65, X509_REQUEST_MAX = 4096, X509_PEM_MAX = 64 * 1024 };

/* ---- reading -------------------------------------------------------------------------------------------------------- */

/* The first certificate in a PEM text; free *der. */
int x509_from_pem(uint8_t **der, size_t *len, const char *pem, size_t pem_len, char **why) must_check;
/* NULL: it is none. Free it. */
char *x509_to_pem(const uint8_t *der, size_t len) must_check;

struct x509_facts {
    char id[X509_ID_BYTES]; /* SHA-256 of the DER form, lower-case hex */
    char *subject;          /* "CN = press-07, O = Plant A" */
    char *common_name;      /* NULL: it has none, or one with U+0000 in it */
    char *serial;           /* hex, as x509_each_field() has it */
    int64_t not_before_s, not_after_s;
    bool is_ca; /* basicConstraints */
    bool
        key_is_weak; /* not RSA of 2048 bits or more, nor P-256, P-384 or P-521; or a signature with less than SHA-256 */
};
int x509_facts(struct x509_facts *ret, const uint8_t *der, size_t len, char **why) must_check;
void x509_facts_done(struct x509_facts *facts);

/* Is it the certificate of the key that is there (keys/key_uri.h)? *why is said when the key cannot be had. */
bool x509_is_of_key(const uint8_t *der, size_t len, const char *key_at, char **why);

/* Was it signed by that authority's key, whatever the dates? */
bool x509_is_issued_by(const uint8_t *der, size_t len, const uint8_t *ca_der, size_t ca_len);

/* What a certificate says about its owner and its issuer, as policies name it: "iot:Certificate.Subject.CommonName", …,
 * "iot:Certificate.SerialNumber". A field with several values is found several times, in order; DN values have their
 * special characters escaped. */
typedef void x509_found(void *self, const char *key, const char *value, size_t len);
void x509_each_field(const uint8_t *der, size_t len, x509_found *found, void *self);

/* ---- signing --------------------------------------------------------------------------------------------------------- */

/* A certificate and its private key, for signing with. */
struct x509_signer;
/* cert: PEM text, of which the first certificate signs and all are its chain. key: PEM text without a passphrase, or where it is
 * (keys/key_uri.h). */
int x509_signer_open(struct x509_signer **ret, const char *cert, const char *key, char **why) must_check;
struct x509_signer *x509_signer_close(struct x509_signer *signer);
define_cleanup(struct x509_signer *, x509_signer_close)
/* The signing certificate, as long as the signer lives. */
const uint8_t *x509_signer_der(const struct x509_signer *signer, size_t *len);

enum x509_usage { X509_CLIENT, X509_SERVER, X509_AUTHORITY };
enum x509_key { X509_EC_P256, X509_RSA_2048 };

struct x509_wish {
    enum x509_usage usage;
    enum x509_key key;   /* of a pair that is made */
    const char *key_at;  /* where the key is that it is for (keys/key_uri.h); NULL: a pair is made */
    const char *request; /* PEM of a certificate signing request; NULL: a key pair is made */
    size_t request_len;
    const char *common_name;  /* NULL: the request's subject as it is */
    const char *organization; /* may be NULL */
    int64_t not_before_s, not_after_s;
    const char *const *names; /* subject alternative names: host names, and addresses */
    size_t name_count;
};
struct x509_issued {
    uint8_t *der;
    size_t len;
    char id[X509_ID_BYTES];
    char *pem;                      /* the certificate, and the signer's chain if that is not itself a root */
    char *key_pem, *key_public_pem; /* of a pair that was made; NULL with a request or key_at */
};
/* signer NULL: it signs itself. A request is taken only if its own signature is good and its key strong enough. */
int x509_issue(struct x509_issued *ret, const struct x509_signer *signer, const struct x509_wish *wish,
               char **why) must_check;
void x509_issued_done(struct x509_issued *issued); /* the private key is wiped */

struct x509_revoked {
    const char *serial; /* hex */
    int64_t at_s;
};
/* A list of revoked certificates, PEM; NULL: *why. Free it. */
char *x509_revocation_list(const struct x509_signer *signer, const struct x509_revoked *revoked, size_t count,
                           int64_t now_s, int64_t next_s, uint64_t number, char **why) must_check;
