#include "identity/x509_private.h"
#include "keys/key.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

/* ---- a certificate, part by part ----------------------------------------------------------------------------------------- */

static EVP_PKEY *make_key(enum x509_key kind)
{
    return kind == X509_RSA_2048 ? EVP_RSA_gen(2048) : EVP_EC_gen("P-256");
}

static EVP_PKEY *load_key(const char *at, char **why)
{
    char *reason = NULL;
    EVP_PKEY *key = NULL;
    if (key_load(&key, at, &reason) < 0)
        key = NULL;
    if (why)
        *why = steal(reason);
    free(reason);
    return key;
}

/* Who asks for it, and has proved that he has the key. */
static X509_REQ *read_request(const struct x509_wish *wish, char **why)
{
    BIO *bio = wish->request_len && wish->request_len <= X509_REQUEST_MAX
                   ? BIO_new_mem_buf(wish->request, (int)wish->request_len)
                   : NULL;
    X509_REQ *request = bio ? PEM_read_bio_X509_REQ(bio, NULL, NULL, NULL) : NULL;
    BIO_free(bio);
    int r = 0;
    if (!request)
        r = x509_wrong(why, "a certificate signing request in PEM form, of at most 4096 bytes");
    else if (x509_key_is_weak(X509_REQ_get0_pubkey(request)))
        r = x509_wrong(why, "a key of RSA with 2048 bits or more, P-256, P-384 or P-521 in the request");
    else if (X509_REQ_verify(request, X509_REQ_get0_pubkey(request)) != 1)
        r = x509_wrong(why, "a request that is signed with its own key");
    if (r >= 0)
        return request;
    X509_REQ_free(request);
    return NULL;
}

static bool set_time(ASN1_TIME *time, int64_t at_s)
{
    return ASN1_TIME_set(time, (time_t)at_s) != NULL;
}

static bool set_serial(X509 *certificate)
{
    unsigned char bytes[16];
    if (RAND_bytes(bytes, sizeof bytes) != 1)
        return false;
    bytes[0] = (unsigned char)((bytes[0] & 0x7f) | 0x40); /* positive, and always as long */
    BIGNUM *number = BN_bin2bn(bytes, sizeof bytes, NULL);
    bool good = number && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate));
    BN_free(number);
    return good;
}

static bool add_entry(X509_NAME *name, const char *field, const char *value)
{
    return !value || X509_NAME_add_entry_by_txt(name, field, MBSTRING_UTF8, (const unsigned char *)value, -1,
                                                -1, 0) == 1;
}

static bool set_subject(X509 *certificate, const struct x509_wish *wish, X509_REQ *request)
{
    if (!wish->common_name && request)
        return X509_set_subject_name(certificate, X509_REQ_get_subject_name(request)) == 1;
    X509_NAME *name = X509_NAME_new();
    bool good = name && add_entry(name, "O", wish->organization) &&
                add_entry(name, "CN", wish->common_name) && X509_set_subject_name(certificate, name) == 1;
    X509_NAME_free(name);
    return good;
}

static bool add_extension(X509 *certificate, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX context;
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, issuer, certificate, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    bool good = extension && X509_add_ext(certificate, extension, -1) == 1;
    X509_EXTENSION_free(extension);
    return good;
}

static GENERAL_NAME *alternative(const char *text)
{
    unsigned char address[16];
    int len = inet_pton(AF_INET, text, address) == 1 ? 4 : inet_pton(AF_INET6, text, address) == 1 ? 16 : 0;
    ASN1_STRING *value = len ? (ASN1_STRING *)ASN1_OCTET_STRING_new() : (ASN1_STRING *)ASN1_IA5STRING_new();
    GENERAL_NAME *name = GENERAL_NAME_new();
    if (!value || !name ||
        !ASN1_STRING_set(value, len ? (const void *)address : text, len ? len : (int)strlen(text))) {
        ASN1_STRING_free(value);
        GENERAL_NAME_free(name);
        return NULL;
    }
    GENERAL_NAME_set0_value(name, len ? GEN_IPADD : GEN_DNS, value);
    return name;
}

static bool add_alternatives(X509 *certificate, const struct x509_wish *wish)
{
    if (!wish->name_count)
        return true;
    GENERAL_NAMES *names = GENERAL_NAMES_new();
    bool good = names != NULL;
    for (size_t i = 0; good && i < wish->name_count; i++) {
        GENERAL_NAME *name = alternative(wish->names[i]);
        good = name && sk_GENERAL_NAME_push(names, name) > 0;
    }
    good = good && X509_add1_ext_i2d(certificate, NID_subject_alt_name, names, 0, X509V3_ADD_DEFAULT) == 1;
    GENERAL_NAMES_free(names);
    return good;
}

static bool add_extensions(X509 *certificate, X509 *issuer, const struct x509_wish *wish)
{
    bool is_ca = wish->usage == X509_AUTHORITY;
    return add_extension(certificate, issuer, NID_basic_constraints,
                         is_ca ? "critical,CA:TRUE" : "critical,CA:FALSE") &&
           add_extension(certificate, issuer, NID_key_usage,
                         is_ca ? "critical,keyCertSign,cRLSign" : "critical,digitalSignature") &&
           (is_ca || add_extension(certificate, issuer, NID_ext_key_usage,
                                   wish->usage == X509_SERVER ? "serverAuth" : "clientAuth")) &&
           add_extension(certificate, issuer, NID_subject_key_identifier, "hash") &&
           (is_ca || add_extension(certificate, issuer, NID_authority_key_identifier, "keyid:always")) &&
           add_alternatives(certificate, wish);
}

static bool fill_in(X509 *certificate, const struct x509_signer *signer, const struct x509_wish *wish,
                    X509_REQ *request, EVP_PKEY *own)
{
    EVP_PKEY *subject_key = request ? X509_REQ_get0_pubkey(request) : own;
    X509 *issuer = signer ? signer->certificate : certificate;
    return X509_set_version(certificate, X509_VERSION_3) == 1 && set_serial(certificate) &&
           set_time(X509_getm_notBefore(certificate), wish->not_before_s) &&
           set_time(X509_getm_notAfter(certificate), wish->not_after_s) &&
           set_subject(certificate, wish, request) &&
           X509_set_issuer_name(certificate, X509_get_subject_name(issuer)) == 1 &&
           X509_set_pubkey(certificate, subject_key) == 1 && add_extensions(certificate, issuer, wish) &&
           X509_sign(certificate, signer ? signer->key : own, EVP_sha256()) > 0;
}

/* ---- as text ------------------------------------------------------------------------------------------------------------ */

static char *take_text(BIO *bio, bool good)
{
    char *bytes, *text = NULL;
    if (good) {
        long n = BIO_get_mem_data(bio, &bytes);
        text = str_copy_n(bytes, (size_t)n);
    }
    BIO_free(bio);
    return text;
}

static char *private_pem(EVP_PKEY *key)
{
    BIO *bio = BIO_new(BIO_s_secmem());
    return take_text(bio, bio && PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1);
}

static char *public_pem(EVP_PKEY *key)
{
    BIO *bio = BIO_new(BIO_s_mem());
    return take_text(bio, bio && PEM_write_bio_PUBKEY(bio, key) == 1);
}

static bool write_out(struct x509_issued *ret, X509 *certificate, const struct x509_signer *signer,
                      EVP_PKEY *own)
{
    unsigned char *der = NULL;
    int n = i2d_X509(certificate, &der);
    if (n <= 0 || !x509_id(certificate, ret->id))
        return false;
    ret->der = (uint8_t *)str_copy_n((const char *)der, (size_t)n);
    ret->len = (size_t)n;
    OPENSSL_free(der);
    cleanup_free char *pem = x509_to_pem(ret->der, ret->len);
    ret->pem = pem ? str_printf("%s%s", pem, signer && signer->chain ? signer->chain : "") : NULL;
    ret->key_pem = own ? private_pem(own) : NULL;
    ret->key_public_pem = own ? public_pem(own) : NULL;
    return ret->pem && (!own || (ret->key_pem && ret->key_public_pem));
}

int x509_issue(struct x509_issued *ret, const struct x509_signer *signer, const struct x509_wish *wish,
               char **why)
{
    X509_REQ *request = wish->request ? read_request(wish, why) : NULL;
    if (wish->request && !request)
        return -EINVAL;
    EVP_PKEY *own = request ? NULL : wish->key_at ? load_key(wish->key_at, why) : make_key(wish->key);
    if (wish->key_at && !own)
        return -EINVAL;
    X509 *certificate = X509_new();
    struct x509_issued issued = {0};
    bool good = certificate && (request || own) && (signer || own) &&
                fill_in(certificate, signer, wish, request, own) &&
                write_out(&issued, certificate, signer, wish->key_at ? NULL : own);
    X509_free(certificate);
    EVP_PKEY_free(own);
    X509_REQ_free(request);
    if (!good) {
        x509_issued_done(&issued);
        return x509_wrong(why, "names and dates that a certificate can have");
    }
    ERR_clear_error();
    *ret = issued;
    return 0;
}

void x509_issued_done(struct x509_issued *issued)
{
    if (issued->key_pem)
        OPENSSL_cleanse(issued->key_pem, strlen(issued->key_pem));
    free(issued->der);
    free(issued->pem);
    free(issued->key_pem);
    free(issued->key_public_pem);
    *issued = (struct x509_issued){0};
}

/* ---- revoked ------------------------------------------------------------------------------------------------------------- */

static bool add_revoked(X509_CRL *crl, const struct x509_revoked *revoked)
{
    BIGNUM *number = NULL;
    X509_REVOKED *entry = X509_REVOKED_new();
    ASN1_TIME *at = ASN1_TIME_set(NULL, (time_t)revoked->at_s);
    ASN1_INTEGER *serial = BN_hex2bn(&number, revoked->serial) ? BN_to_ASN1_INTEGER(number, NULL) : NULL;
    bool good = entry && at && serial && X509_REVOKED_set_serialNumber(entry, serial) == 1 &&
                X509_REVOKED_set_revocationDate(entry, at) == 1 && X509_CRL_add0_revoked(crl, entry) == 1;
    if (!good)
        X509_REVOKED_free(entry);
    ASN1_INTEGER_free(serial);
    ASN1_TIME_free(at);
    BN_free(number);
    return good;
}

static bool add_number(X509_CRL *crl, uint64_t number)
{
    ASN1_INTEGER *value = ASN1_INTEGER_new();
    bool good = value && ASN1_INTEGER_set_uint64(value, number) == 1 &&
                X509_CRL_add1_ext_i2d(crl, NID_crl_number, value, 0, X509V3_ADD_DEFAULT) == 1;
    ASN1_INTEGER_free(value);
    return good;
}

char *x509_revocation_list(const struct x509_signer *signer, const struct x509_revoked *revoked, size_t count,
                           int64_t now_s, int64_t next_s, uint64_t number, char **why)
{
    X509_CRL *crl = X509_CRL_new();
    ASN1_TIME *now = ASN1_TIME_set(NULL, (time_t)now_s), *next = ASN1_TIME_set(NULL, (time_t)next_s);
    bool good = crl && now && next && X509_CRL_set_version(crl, X509_CRL_VERSION_2) == 1 &&
                X509_CRL_set_issuer_name(crl, X509_get_subject_name(signer->certificate)) == 1 &&
                X509_CRL_set1_lastUpdate(crl, now) == 1 && X509_CRL_set1_nextUpdate(crl, next) == 1 &&
                add_number(crl, number);
    for (size_t i = 0; good && i < count; i++)
        good = add_revoked(crl, &revoked[i]);
    good = good && X509_CRL_sort(crl) == 1 && X509_CRL_sign(crl, signer->key, EVP_sha256()) > 0;
    BIO *bio = good ? BIO_new(BIO_s_mem()) : NULL;
    char *text = bio ? take_text(bio, PEM_write_bio_X509_CRL(bio, crl) == 1) : NULL;
    ASN1_TIME_free(now);
    ASN1_TIME_free(next);
    X509_CRL_free(crl);
    if (!text)
        (void)x509_wrong(why, "a list of revoked certificates that can be signed");
    return text;
}
