#include "lazy/tls_table.h"

#include <errno.h>
#include <string.h>

/* Reading or making a certificate loads the part; what it made is only there when it is loaded. */

int x509_from_pem(uint8_t **der, size_t *len, const char *pem, size_t pem_len, char **why)
{
    const struct tls_table *part = lazy_tls(why);
    return part ? part->x509_from_pem(der, len, pem, pem_len, why) : -ENOTSUP;
}

char *x509_to_pem(const uint8_t *der, size_t len)
{
    const struct tls_table *part = lazy_tls(NULL);
    return part ? part->x509_to_pem(der, len) : NULL;
}

int x509_facts(struct x509_facts *ret, const uint8_t *der, size_t len, char **why)
{
    const struct tls_table *part = lazy_tls(why);
    return part ? part->x509_facts(ret, der, len, why) : -ENOTSUP;
}

void x509_facts_done(struct x509_facts *facts)
{
    free(facts->subject);
    free(facts->common_name);
    free(facts->serial);
    *facts = (struct x509_facts){0};
}

bool x509_is_issued_by(const uint8_t *der, size_t len, const uint8_t *ca_der, size_t ca_len)
{
    const struct tls_table *part = lazy_tls(NULL);
    return part && part->x509_is_issued_by(der, len, ca_der, ca_len);
}

bool x509_is_of_key(const uint8_t *der, size_t len, const char *key_at, char **why)
{
    const struct tls_table *part = lazy_tls(why);
    return part && part->x509_is_of_key(der, len, key_at, why);
}

void x509_each_field(const uint8_t *der, size_t len, x509_found *found, void *self)
{
    const struct tls_table *part = lazy_tls(NULL);
    if (part)
        part->x509_each_field(der, len, found, self);
}

int x509_signer_open(struct x509_signer **ret, const char *cert, const char *key, char **why)
{
    const struct tls_table *part = lazy_tls(why);
    return part ? part->x509_signer_open(ret, cert, key, why) : -ENOTSUP;
}

struct x509_signer *x509_signer_close(struct x509_signer *signer)
{
    const struct tls_table *part = signer ? lazy_tls(NULL) : NULL;
    return part ? part->x509_signer_close(signer) : NULL;
}

const uint8_t *x509_signer_der(const struct x509_signer *signer, size_t *len)
{
    return lazy_tls(NULL)->x509_signer_der(signer, len);
}

int x509_issue(struct x509_issued *ret, const struct x509_signer *signer, const struct x509_wish *wish,
               char **why)
{
    const struct tls_table *part = lazy_tls(why);
    return part ? part->x509_issue(ret, signer, wish, why) : -ENOTSUP;
}

void x509_issued_done(struct x509_issued *issued)
{
    const struct tls_table *part = lazy_tls(NULL);
    if (part)
        part->x509_issued_done(issued);
}

char *x509_revocation_list(const struct x509_signer *signer, const struct x509_revoked *revoked, size_t count,
                           int64_t now_s, int64_t next_s, uint64_t number, char **why)
{
    const struct tls_table *part = lazy_tls(why);
    return part ? part->x509_revocation_list(signer, revoked, count, now_s, next_s, number, why) : NULL;
}
