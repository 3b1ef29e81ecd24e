#include "identity/x509.h"

#include "identity/x509_private.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

int x509_wrong(char **why, const char *expected)
{
    unsigned long code = ERR_peek_error(); /* the deepest one */
    const char *text = code ? ERR_reason_error_string(code) : NULL;
    if (why)
        *why = text ? str_printf("expected %s: %s", expected, text) : str_printf("expected %s", expected);
    ERR_clear_error();
    return -EINVAL;
}

/* ---- PEM ------------------------------------------------------------------------------------------------------------ */

int x509_from_pem(uint8_t **der, size_t *len, const char *pem, size_t pem_len, char **why)
{
    static const char expected[] = "a certificate in PEM form";
    BIO *bio = pem_len && pem_len <= X509_PEM_MAX ? BIO_new_mem_buf(pem, (int)pem_len) : NULL;
    X509 *certificate = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
    BIO_free(bio);
    unsigned char *bytes = NULL;
    int n = certificate ? i2d_X509(certificate, &bytes) : -1;
    X509_free(certificate);
    if (n <= 0)
        return x509_wrong(why, expected);
    *der = (uint8_t *)str_copy_n((const char *)bytes, (size_t)n);
    *len = (size_t)n;
    OPENSSL_free(bytes);
    return 0;
}

char *x509_to_pem(const uint8_t *der, size_t len)
{
    X509 *certificate = x509_parse(der, len);
    BIO *bio = certificate ? BIO_new(BIO_s_mem()) : NULL;
    char *bytes, *pem = NULL;
    if (bio && PEM_write_bio_X509(bio, certificate)) {
        long n = BIO_get_mem_data(bio, &bytes);
        pem = str_copy_n(bytes, (size_t)n);
    }
    BIO_free(bio);
    X509_free(certificate);
    ERR_clear_error();
    return pem;
}

/* ---- facts ----------------------------------------------------------------------------------------------------------- */

X509 *x509_parse(const uint8_t *der, size_t len)
{
    const unsigned char *at = der;
    X509 *certificate = len && len <= X509_PEM_MAX ? d2i_X509(NULL, &at, (long)len) : NULL;
    if (certificate && at == der + len)
        return certificate;
    X509_free(certificate); /* what is behind it is not signed */
    return NULL;
}

int64_t x509_time(const ASN1_TIME *time)
{
    struct tm at;
    return ASN1_TIME_to_tm(time, &at) == 1 ? (int64_t)timegm(&at) : 0;
}

bool x509_id(const X509 *certificate, char ret[X509_ID_BYTES])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len;
    if (!X509_digest(certificate, EVP_sha256(), digest, &len) || len != 32)
        return false;
    for (unsigned i = 0; i < len; i++)
        (void)snprintf(ret + 2 * i, 3, "%02x", digest[i]);
    return true;
}

bool x509_key_is_weak(const EVP_PKEY *key)
{
    if (!key)
        return true;
    if (EVP_PKEY_is_a(key, "RSA") || EVP_PKEY_is_a(key, "RSA-PSS"))
        return EVP_PKEY_get_bits(key) < 2048;
    char group[32] = "";
    if (!EVP_PKEY_is_a(key, "EC") || !EVP_PKEY_get_group_name(key, group, sizeof group, NULL))
        return true;
    return strcmp(group, "prime256v1") != 0 && strcmp(group, "P-256") != 0 &&
           strcmp(group, "secp384r1") != 0 && strcmp(group, "P-384") != 0 &&
           strcmp(group, "secp521r1") != 0 && strcmp(group, "P-521") != 0;
}

static bool signature_is_weak(const X509 *certificate)
{
    int digest = NID_undef;
    if (!OBJ_find_sigid_algs(X509_get_signature_nid(certificate), &digest, NULL))
        return true;
    return digest != NID_sha256 && digest != NID_sha384 && digest != NID_sha512 && digest != NID_undef;
}

static char *subject_of(const X509 *certificate)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *bytes, *text = NULL;
    if (bio && X509_NAME_print_ex(bio, X509_get_subject_name(certificate), 0,
                                  XN_FLAG_ONELINE & ~ASN1_STRFLGS_ESC_MSB) >= 0) {
        long n = BIO_get_mem_data(bio, &bytes);
        text = str_copy_n(bytes, (size_t)n);
    }
    BIO_free(bio);
    return text ? text : str_copy("");
}

static char *common_name_of(const X509 *certificate)
{
    const X509_NAME *subject = X509_get_subject_name(certificate);
    int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
    const X509_NAME_ENTRY *entry = at < 0 ? NULL : X509_NAME_get_entry(subject, at);
    unsigned char *utf8 = NULL;
    int len = entry ? ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(entry)) : -1;
    char *name =
        len > 0 && !memchr(utf8, 0, (size_t)len) ? str_copy_n((const char *)utf8, (size_t)len) : NULL;
    OPENSSL_free(utf8);
    return name;
}

/* Lower-case hex without leading zeros. */
static char *serial_of(const X509 *certificate)
{
    BIGNUM *number = ASN1_INTEGER_to_BN(X509_get0_serialNumber(certificate), NULL);
    char *hex = number ? BN_bn2hex(number) : NULL, *text = NULL;
    if (hex) {
        const char *at = hex + strspn(hex, "0");
        text = str_copy(*at ? at : "0");
        for (char *c = text; *c; c++)
            *c = (char)(*c >= 'A' && *c <= 'F' ? *c + 'a' - 'A' : *c);
    }
    OPENSSL_free(hex);
    BN_free(number);
    return text;
}

int x509_facts(struct x509_facts *ret, const uint8_t *der, size_t len, char **why)
{
    X509 *certificate = x509_parse(der, len);
    if (!certificate)
        return x509_wrong(why, "a certificate in DER form");
    struct x509_facts facts = {
        .not_before_s = x509_time(X509_get0_notBefore(certificate)),
        .not_after_s = x509_time(X509_get0_notAfter(certificate)),
        .is_ca = X509_check_ca(certificate) == 1,
        .key_is_weak = x509_key_is_weak(X509_get0_pubkey(certificate)) || signature_is_weak(certificate),
    };
    bool known = x509_id(certificate, facts.id);
    if (known) {
        facts.subject = subject_of(certificate);
        facts.common_name = common_name_of(certificate);
        facts.serial = serial_of(certificate);
    }
    X509_free(certificate);
    ERR_clear_error();
    if (!known)
        return x509_wrong(why, "a certificate whose digest can be taken");
    *ret = facts;
    return 0;
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
    X509 *certificate = x509_parse(der, len), *ca = x509_parse(ca_der, ca_len);
    bool good = certificate && ca && X509_check_issued(ca, certificate) == X509_V_OK &&
                X509_verify(certificate, X509_get0_pubkey(ca)) == 1;
    X509_free(certificate);
    X509_free(ca);
    ERR_clear_error();
    return good;
}

/* ---- what it says, as policies name it ---------------------------------------------------------------------------------- */

static const struct dn_field {
    int nid;
    const char *name;
} dn_fields[] = {
    {NID_dnQualifier, "DistinguishedNameQualifier"},
    {NID_countryName, "Country"},
    {NID_organizationName, "Organization"},
    {NID_organizationalUnitName, "OrganizationalUnit"},
    {NID_stateOrProvinceName, "State"},
    {NID_commonName, "CommonName"},
    {NID_serialNumber, "SerialNumber"},
    {NID_title, "Title"},
    {NID_surname, "Surname"},
    {NID_givenName, "GivenName"},
    {NID_initials, "Initials"},
    {NID_pseudonym, "Pseudonym"},
    {NID_generationQualifier, "GenerationQualifier"},
};

struct finding {
    x509_found *found;
    void *self;
    const char *of; /* "Subject" or "Issuer" */
};

static void say(const struct finding *finding, const char *field, const char *value, size_t len)
{
    char key[100];
    (void)snprintf(key, sizeof key, "iot:Certificate.%s.%s", finding->of, field);
    finding->found(finding->self, key, value, len);
}

/* A value of a DN, escaped as in RFC 4514. */
static void say_escaped(const struct finding *finding, const char *field, const ASN1_STRING *value)
{
    unsigned char *utf8 = NULL;
    int n = ASN1_STRING_to_UTF8(&utf8, value);
    if (n >= 0) {
        char *text = mem_new_bytes(2 * (size_t)n + 1);
        size_t len = 0;
        for (int i = 0; i < n; i++) {
            if (utf8[i] && strchr(",\"\\+=<>;", utf8[i]))
                text[len++] = '\\';
            text[len++] = (char)utf8[i];
        }
        say(finding, field, text, len);
        free(text);
    }
    OPENSSL_free(utf8);
}

static void say_name(const struct finding *finding, const X509_NAME *name)
{
    for (int i = 0; i < X509_NAME_entry_count(name); i++) {
        const X509_NAME_ENTRY *entry = X509_NAME_get_entry(name, i);
        int nid = OBJ_obj2nid(X509_NAME_ENTRY_get_object(entry));
        for (size_t k = 0; k < array_size(dn_fields); k++)
            if (dn_fields[k].nid == nid)
                say_escaped(finding, dn_fields[k].name, X509_NAME_ENTRY_get_data(entry));
    }
}

static void say_string(const struct finding *finding, const char *field, const ASN1_STRING *value)
{
    say(finding, field, (const char *)ASN1_STRING_get0_data(value), (size_t)ASN1_STRING_length(value));
}

static void say_address(const struct finding *finding, const char *field, const ASN1_STRING *value)
{
    const unsigned char *b = ASN1_STRING_get0_data(value);
    char address[48];
    if (ASN1_STRING_length(value) == 4) {
        (void)snprintf(address, sizeof address, "%u.%u.%u.%u", b[0], b[1], b[2], b[3]);
    } else if (ASN1_STRING_length(value) == 16) {
        size_t at = 0;
        for (int i = 0; i < 16; i += 2)
            at += (size_t)snprintf(address + at, sizeof address - at, "%s%x", i ? ":" : "",
                                   b[i] << 8 | b[i + 1]);
    } else {
        return;
    }
    say(finding, field, address, strlen(address));
}

static void say_directory(const struct finding *finding, const char *field, X509_NAME *name)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *bytes;
    if (bio && X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB) >= 0) {
        long n = BIO_get_mem_data(bio, &bytes);
        say(finding, field, bytes, (size_t)n);
    }
    BIO_free(bio);
}

static void say_alternatives(const struct finding *finding, const X509 *certificate, int nid)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(certificate, nid, NULL, NULL);
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        int type;
        void *value = GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(names, i), &type);
        switch (type) {
        case GEN_EMAIL: say_string(finding, "AlternativeName.RFC822Name", value); break;
        case GEN_DNS: say_string(finding, "AlternativeName.DNSName", value); break;
        case GEN_URI: say_string(finding, "AlternativeName.UniformResourceIdentifier", value); break;
        case GEN_IPADD: say_address(finding, "AlternativeName.IPAddress", value); break;
        case GEN_DIRNAME: say_directory(finding, "AlternativeName.DirectoryName", value); break;
        default: break;
        }
    }
    GENERAL_NAMES_free(names);
}

void x509_each_field(const uint8_t *der, size_t len, x509_found *found, void *self)
{
    X509 *certificate = x509_parse(der, len);
    if (!certificate)
        return;
    struct finding finding = {found, self, "Subject"};
    say_name(&finding, X509_get_subject_name(certificate));
    say_alternatives(&finding, certificate, NID_subject_alt_name);
    finding.of = "Issuer";
    say_name(&finding, X509_get_issuer_name(certificate));
    say_alternatives(&finding, certificate, NID_issuer_alt_name);
    cleanup_free char *serial = serial_of(certificate);
    if (serial)
        found(self, "iot:Certificate.SerialNumber", serial, strlen(serial));
    X509_free(certificate);
    ERR_clear_error();
}
