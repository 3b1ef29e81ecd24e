/* The gateway's own authority, and what it signs. */
#include "identity/authority.h"

#include "rig/test.h"
#include "store/folder.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NOW = 1760000000 };

static struct authority *open_in(const char *folder, const char *name, int64_t now)
{
    const char *names[] = {name};
    const struct authority_options options = {
        .folder = folder, .name = "gw", .names = names, .name_count = 1};
    struct authority *authority = NULL;
    char *why = NULL;
    if (authority_open(&authority, &options, now, &why) < 0)
        FAIL("%s", why);
    return authority;
}

static struct authority *open_with_key(const char *folder, const char *server_key)
{
    const struct authority_options options = {.folder = folder, .name = "gw", .server_key = server_key};
    struct authority *authority = NULL;
    char *why = NULL;
    if (authority_open(&authority, &options, NOW, &why) < 0)
        FAIL("%s", why);
    return authority;
}

static char *slurp(const char *path)
{
    char *text = mem_new_bytes(20000);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    CHECK(fd >= 0 && read(fd, text, 19999) > 0);
    (void)close(fd);
    return text;
}

static struct x509_facts facts_of(const char *pem)
{
    uint8_t *der;
    size_t len;
    struct x509_facts facts;
    CHECK_INT(x509_from_pem(&der, &len, pem, strlen(pem), NULL), 0);
    CHECK_INT(x509_facts(&facts, der, len, NULL), 0);
    free(der);
    return facts;
}

TEST(an_authority_is_made_once_and_its_keys_are_for_nobody_else)
{
    cleanup(folder_free_p) char *parent = folder_new();
    cleanup_free char *folder = str_printf("%s/identity", parent);
    struct authority *authority = open_in(folder, "gw.example", NOW);
    cleanup_free char *id = str_copy(authority_id(authority));
    cleanup_free char *server = slurp(authority_server_path(authority));
    cleanup_free char *key = str_printf("%s/ca.key", folder);
    struct stat st;
    CHECK_INT(stat(key, &st), 0);
    CHECK_INT(st.st_mode & 0777, 0600);
    CHECK_INT(stat(authority_server_key_path(authority), &st), 0);
    CHECK_INT(st.st_mode & 0777, 0600);
    (void)authority_close(authority);

    authority = open_in(folder, "gw.example", NOW);
    CHECK_STR(authority_id(authority), id);
    cleanup_free char *again = slurp(authority_server_path(authority));
    CHECK_STR(again, server);
    (void)authority_close(authority);
}

static void on_field(void *self, const char *key, const char *value, size_t len)
{
    char *text = self;
    size_t at = strlen(text);
    (void)snprintf(text + at, 4000 - at, "%s=%.*s\n", key, (int)len, value);
}

static void fields_of(const char *pem, char text[4000])
{
    uint8_t *der;
    size_t len;
    *text = '\0';
    CHECK_INT(x509_from_pem(&der, &len, pem, strlen(pem), NULL), 0);
    x509_each_field(der, len, on_field, text);
    free(der);
}

TEST(the_server_certificate_is_made_anew_when_names_change_or_it_ends_soon)
{
    cleanup(folder_free_p) char *parent = folder_new();
    cleanup_free char *folder = str_printf("%s/identity", parent);
    struct authority *authority = open_in(folder, "10.9.8.7", NOW);
    cleanup_free char *first = slurp(authority_server_path(authority));
    char fields[4000];
    fields_of(first, fields);
    CHECK(strstr(fields, "iot:Certificate.Subject.AlternativeName.IPAddress=10.9.8.7\n"));
    CHECK(strstr(fields, "iot:Certificate.Subject.AlternativeName.DNSName=localhost\n"));
    CHECK(strstr(fields, "iot:Certificate.Issuer.CommonName=Gatehouse CA gw\n"));
    char *why = NULL;
    CHECK_INT(authority_refresh(authority, NOW, &why), 0);
    CHECK_INT(authority_refresh(authority, NOW + INT64_C(800) * 86400, &why), 1);
    (void)authority_close(authority);
    authority = open_in(folder, "other.example", NOW + INT64_C(800) * 86400);
    cleanup_free char *second = slurp(authority_server_path(authority));
    fields_of(second, fields);
    CHECK(strstr(fields, "DNSName=other.example\n"));
    CHECK(!strstr(fields, "10.9.8.7"));
    (void)authority_close(authority);
}

TEST(a_server_certificate_that_was_made_for_another_key_is_made_anew)
{
    cleanup(folder_free_p) char *parent = folder_new();
    cleanup_free char *folder = str_printf("%s/identity", parent), *other = str_printf("%s/other", parent);
    cleanup_free char *given = str_printf("%s/server.key", other);
    (void)authority_close(open_with_key(other, NULL)); /* for its key */
    const char *const keys[] = {NULL, given, NULL};
    for (size_t i = 0; i < array_size(keys); i++) {
        struct authority *authority = open_with_key(folder, keys[i]);
        cleanup_free char *pem = slurp(authority_server_path(authority));
        uint8_t *der;
        size_t len;
        char *why = NULL;
        CHECK_INT(x509_from_pem(&der, &len, pem, strlen(pem), NULL), 0);
        CHECK(x509_is_of_key(der, len, authority_server_key_path(authority), &why));
        free(der);
        (void)authority_close(authority);
    }
}

TEST(a_clock_that_was_never_set_does_not_make_certificates_of_1970)
{
    cleanup(folder_free_p) char *parent = folder_new();
    cleanup_free char *folder = str_printf("%s/identity", parent);
    struct authority *authority = open_in(folder, "gw.example", 1000);
    struct x509_facts facts = facts_of(authority_ca_pem(authority));
    CHECK_INT(facts.not_before_s, 1704067200);
    CHECK(facts.is_ca && !facts.key_is_weak);
    x509_facts_done(&facts);
    char *why = NULL;
    CHECK_INT(authority_refresh(authority, NOW, &why), 0); /* it is good for the rest of the half century */
    (void)authority_close(authority);
}

TEST(a_pair_of_keys_and_a_request_are_signed)
{
    cleanup(folder_free_p) char *parent = folder_new();
    cleanup_free char *folder = str_printf("%s/identity", parent);
    struct authority *authority = open_in(folder, "gw.example", NOW);
    struct x509_issued issued;
    char *why = NULL;
    const struct x509_wish wish = {.usage = X509_CLIENT, .common_name = "press,07"};
    CHECK_INT(authority_issue(authority, &issued, &wish, NOW, &why), 0);
    struct x509_facts facts = facts_of(issued.pem);
    CHECK_STR(facts.common_name, "press,07");
    CHECK_STR(facts.id, issued.id);
    CHECK(!facts.is_ca);
    CHECK_INT(facts.not_after_s, 2524607999);
    size_t ca_len;
    const uint8_t *ca = x509_signer_der(authority_signer(authority), &ca_len);
    CHECK(x509_is_issued_by(issued.der, issued.len, ca, ca_len));
    issued.der[issued.len - 1] ^= 1; /* in the signature */
    CHECK(!x509_is_issued_by(issued.der, issued.len, ca, ca_len));
    char fields[4000];
    fields_of(issued.pem, fields);
    CHECK(strstr(fields, "iot:Certificate.Subject.CommonName=press\\,07\n"));
    CHECK(strstr(issued.key_pem, "PRIVATE KEY"));
    x509_facts_done(&facts);
    x509_issued_done(&issued);

    const struct x509_wish junk = {.request = "hello", .request_len = 5};
    CHECK(authority_issue(authority, &issued, &junk, NOW, &why) < 0);
    CHECK(strstr(why, "expected a certificate signing request"));
    free(why);
    CHECK(authority_issue(authority, &issued, &wish, INT64_C(2524607999), &why) < 0);
    CHECK(strstr(why, "expected an authority that is still valid"));
    free(why);
    (void)authority_close(authority);
}

static char *request_of(EVP_PKEY *key)
{
    X509_REQ *request = X509_REQ_new();
    X509_NAME *name = X509_NAME_new();
    (void)X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)"valve", -1, -1, 0);
    (void)X509_REQ_set_subject_name(request, name);
    (void)X509_REQ_set_pubkey(request, key);
    CHECK(X509_REQ_sign(request, key, EVP_sha256()) > 0);
    BIO *bio = BIO_new(BIO_s_mem());
    (void)PEM_write_bio_X509_REQ(bio, request);
    char *bytes;
    long len = BIO_get_mem_data(bio, &bytes);
    char *text = str_copy_n(bytes, (size_t)len);
    BIO_free(bio);
    X509_NAME_free(name);
    X509_REQ_free(request);
    return text;
}

TEST(a_request_with_a_weak_key_is_refused)
{
    cleanup(folder_free_p) char *parent = folder_new();
    cleanup_free char *folder = str_printf("%s/identity", parent);
    struct authority *authority = open_in(folder, "gw.example", NOW);
    EVP_PKEY *strong = EVP_EC_gen("P-256"), *weak = EVP_RSA_gen(1024);
    cleanup_free char *good = request_of(strong), *bad = request_of(weak);
    EVP_PKEY_free(strong);
    EVP_PKEY_free(weak);
    struct x509_issued issued;
    char *why = NULL;
    struct x509_wish wish = {.request = good, .request_len = strlen(good)};
    CHECK_INT(authority_issue(authority, &issued, &wish, NOW, &why), 0);
    struct x509_facts facts = facts_of(issued.pem);
    CHECK_STR(facts.common_name, "valve");
    CHECK(!issued.key_pem);
    x509_facts_done(&facts);
    x509_issued_done(&issued);
    wish = (struct x509_wish){.request = bad, .request_len = strlen(bad)};
    CHECK(authority_issue(authority, &issued, &wish, NOW, &why) < 0);
    CHECK(strstr(why, "expected a key of RSA with 2048"));
    free(why);
    (void)authority_close(authority);
}

TEST(after_a_rotation_the_old_authority_lies_beside_and_the_new_one_signs)
{
    cleanup(folder_free_p) char *parent = folder_new();
    cleanup_free char *folder = str_printf("%s/identity", parent);
    struct authority *authority = open_in(folder, "gw.example", NOW);
    cleanup_free char *id = str_copy(authority_id(authority));
    cleanup_free char *old = str_printf("%s/ca-%.8s.pem", folder, id);
    char *why = NULL;
    CHECK_INT(authority_rotate(authority, NOW, &why), 0);
    CHECK(strcmp(authority_id(authority), id) != 0);
    CHECK_INT(access(old, R_OK), 0);
    const struct x509_revoked revoked[] = {{"1a2b", NOW}, {"ff", NOW}};
    CHECK_INT(authority_write_crl(authority, revoked, 2, NOW, &why), 0);
    cleanup_free char *crl = str_printf("%s/ca.crl", folder);
    cleanup_free char *text = slurp(crl);
    CHECK(strstr(text, "BEGIN X509 CRL"));
    (void)authority_close(authority);
}

static void put_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    CHECK(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    (void)close(fd);
}

static void check_opens_as(const char *folder, const char *id)
{
    struct authority *authority = open_in(folder, "gw.example", NOW);
    CHECK_STR(authority_id(authority), id);
    (void)authority_close(authority);
}

TEST(a_power_cut_in_a_rotation_leaves_the_old_pair_or_the_new_one)
{
    cleanup(folder_free_p) char *parent = folder_new();
    cleanup_free char *folder = str_printf("%s/identity", parent);
    cleanup_free char *pem = str_printf("%s/ca.pem", folder), *pem_new = str_printf("%s/ca.pem.new", folder);
    cleanup_free char *key_new = str_printf("%s/ca.key.new", folder);
    struct authority *authority = open_in(folder, "gw.example", NOW);
    cleanup_free char *before = slurp(pem);
    char *why = NULL;
    CHECK_INT(authority_rotate(authority, NOW, &why), 0);
    cleanup_free char *id = str_copy(authority_id(authority));
    (void)authority_close(authority);
    /* The key has been moved, its certificate not yet. */
    CHECK_INT(rename(pem, pem_new), 0);
    put_file(pem, before);
    check_opens_as(folder, id);
    CHECK(access(pem_new, F_OK) < 0);
    /* Both are beside: nothing has been moved. */
    put_file(key_new, "half a k");
    put_file(pem_new, "half a c");
    check_opens_as(folder, id);
    /* And nothing of that is in the way of the next rotation. */
    authority = open_in(folder, "gw.example", NOW);
    CHECK_INT(authority_rotate(authority, NOW, &why), 0);
    cleanup_free char *next = str_copy(authority_id(authority));
    (void)authority_close(authority);
    check_opens_as(folder, next);
}

TEST(what_is_no_authority_is_not_taken_for_one)
{
    cleanup(folder_free_p) char *parent = folder_new();
    cleanup_free char *folder = str_printf("%s/identity", parent);
    struct authority *authority = open_in(folder, "gw.example", NOW);
    cleanup_free char *ca = str_copy(authority_ca_path(authority));
    cleanup_free char *server = str_copy(authority_server_path(authority));
    (void)authority_close(authority);
    CHECK_INT(rename(server, ca), 0);
    const struct authority_options options = {.folder = folder, .name = "gw"};
    char *why = NULL;
    CHECK(authority_open(&authority, &options, NOW, &why) < 0);
    CHECK(strstr(why, "expected the certificate of an authority"));
    free(why);
}
