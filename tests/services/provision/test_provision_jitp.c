/* Foreign authorities, and certificates of theirs that come for the first time. */
#include "provision_rig.h"

#include "base/log.h"

#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>

static const int64_t start_s = 1760000000;

/* A foreign authority, and what it signs. */
struct foreign {
    struct x509_issued ca;
    struct x509_signer *signer;
};

static struct foreign foreign_new(const char *name)
{
    struct foreign foreign = {0};
    char *why = NULL;
    const struct x509_wish wish = {.usage = X509_AUTHORITY,
                                   .common_name = name,
                                   .not_before_s = start_s - 1000,
                                   .not_after_s = start_s + 100000000};
    if (x509_issue(&foreign.ca, NULL, &wish, &why) != 0 ||
        x509_signer_open(&foreign.signer, foreign.ca.pem, foreign.ca.key_pem, &why) != 0)
        FAIL("%s", why);
    return foreign;
}

static void foreign_done(struct foreign *foreign)
{
    x509_issued_done(&foreign->ca);
    foreign->signer = x509_signer_close(foreign->signer);
}

static struct x509_issued sign(const struct foreign *foreign, const char *name, int64_t until_s)
{
    struct x509_issued issued = {0};
    char *why = NULL;
    const struct x509_wish wish = {.usage = X509_CLIENT,
                                   .common_name = name,
                                   .organization = "Plant A",
                                   .not_before_s = start_s - 1000,
                                   .not_after_s = until_s};
    if (x509_issue(&issued, foreign->signer, &wish, &why) != 0)
        FAIL("%s", why);
    return issued;
}

static const char *text_of(struct arena *arena, const char *text)
{
    struct json_writer w;
    json_writer_init(&w, arena);
    json_put_string(&w, text);
    return json_writer_text(&w, NULL);
}

/* The answer to a registration; more: further members. */
static const char *register_ca(struct house *house, const char *pem, const char *more)
{
    struct arena arena = {0};
    const char *answer =
        rig_request(house->rig, "$gatehouse/ctl/provisioning/register",
                    arena_printf(&arena, "{\"certificate\":%s%s}", text_of(&arena, pem), more));
    arena_done(&arena);
    return answer;
}

#define JITP(properties)                                                                                                       \
    "{\"Resources\":{\"thing\":{\"Type\":\"AWS::IoT::Thing\",\"Properties\":{\"ThingName\":{\"Ref\":\"AWS::IoT::Certificate::" \
    "CommonName\"}" properties                                                                                                 \
    "}},\"certificate\":{\"Type\":\"AWS::IoT::Certificate\",\"Properties\":{\"CertificateId\":{"                               \
    "\"Ref\":\"AWS::IoT::Certificate::Id\"}}}}}"
static const char with_organization[] = JITP(
    ",\"AttributePayload\":{\"plant\":{\"Fn::Join\":[\"-\",{\"Fn::Split\":[\" \",{\"Ref\":\"AWS::IoT::Certificate::Organization\"}]"
    "}]}}");

/* It comes to the door, as admission sees it. true: it is let in. */
static bool come(struct house *house, const struct x509_issued *certificate)
{
    const struct permit_origin origin = {
        .der = certificate->der, .der_len = certificate->len, .address = "10.0.0.7"};
    cleanup(principal_unref_p) struct principal *principal = NULL;
    const char *why;
    int r = admission_enter(house->admission, &origin, true, &principal, &why);
    rig_turn(house->rig);
    return r == 0;
}

static enum registry_status status_of(const struct house *house, const struct x509_issued *certificate)
{
    const struct registry_principal *principal = registry_principal(house->registry, certificate->id);
    if (!principal)
        FAIL("it is not registered");
    return principal->status;
}

TEST(a_certificate_of_a_registered_authority_is_registered_when_it_comes_and_told)
{
    cleanup(house_free_p) struct house *house = house_new(NULL);
    struct foreign foreign = foreign_new("plant");
    struct x509_issued device = sign(&foreign, "press-7", start_s + 1000);
    CHECK(!come(house, &device)); /* nobody knows its authority */
    CHECK(!registry_principal(house->registry, device.id));
    CHECK(strstr(register_ca(house, foreign.ca.pem, ",\"unverified\":true"), foreign.ca.id));
    CHECK(!come(house, &device));
    CHECK_INT(status_of(house, &device), REGISTRY_PENDING_ACTIVATION);
    cleanup_free char *topic = str_printf("$aws/events/certificates/registered/%s", foreign.ca.id);
    cleanup_free char *event = str_printf(
        "{\"certificateId\":\"%s\",\"caCertificateId\":\"%s\",\"timestamp\":1760000000000,\"certificateStatus\":"
        "\"PENDING_ACTIVATION\",\"awsAccountId\":\"000000000000\",\"certificateRegistrationTimestamp\":\"1760000000000\"}",
        device.id, foreign.ca.id);
    CHECK_INT((int64_t)rig_count(house->rig, topic), 1);
    CHECK_STR(rig_last(house->rig, topic), event);
    /* Again at each attempt, until somebody has decided. */
    CHECK(!come(house, &device));
    CHECK_INT((int64_t)rig_count(house->rig, topic), 2);
    CHECK_INT(registry_principal_set_status(house->registry, device.id, REGISTRY_ACTIVE, NULL), 0);
    CHECK(come(house, &device));
    CHECK_INT(registry_principal_set_status(house->registry, device.id, REGISTRY_REVOKED, NULL), 0);
    CHECK(!come(house, &device));
    CHECK_INT((int64_t)rig_count(house->rig, topic), 2);
    /* Deleted, it is no newcomer, but as revoked as before. */
    CHECK_INT(registry_principal_delete(house->registry, device.id, false, NULL), 0);
    CHECK(!come(house, &device));
    CHECK(!registry_principal(house->registry, device.id));
    CHECK_INT((int64_t)rig_count(house->rig, topic), 2);
    x509_issued_done(&device);
    foreign_done(&foreign);
}

static char logged[1000];

static void keep_log(enum log_level level, const char *line)
{
    (void)level;
    (void)snprintf(logged, sizeof logged, "%s", line);
}

/* The same certificate with another key, signed by the same authority. */
static struct x509_issued with_key(const struct foreign *foreign, const struct x509_issued *like,
                                   EVP_PKEY *key, const EVP_MD *digest)
{
    const uint8_t *at = like->der;
    X509 *certificate = d2i_X509(NULL, &at, (long)like->len);
    BIO *pem = BIO_new_mem_buf(foreign->ca.key_pem, -1);
    EVP_PKEY *signer = PEM_read_bio_PrivateKey(pem, NULL, NULL, NULL);
    struct x509_issued issued = {0};
    if (key)
        CHECK_INT(X509_set_pubkey(certificate, key), 1);
    CHECK(X509_sign(certificate, signer, digest) > 0);
    issued.len = (size_t)i2d_X509(certificate, &issued.der);
    struct x509_facts facts;
    CHECK_INT(x509_facts(&facts, issued.der, issued.len, NULL), 0);
    memcpy(issued.id, facts.id, sizeof issued.id);
    x509_facts_done(&facts);
    EVP_PKEY_free(signer);
    BIO_free(pem);
    X509_free(certificate);
    return issued;
}

TEST(a_newcomer_with_a_weak_key_or_signature_is_not_registered_and_it_is_said_why)
{
    cleanup(house_free_p) struct house *house = house_new(NULL);
    struct foreign foreign = foreign_new("plant");
    struct x509_issued device = sign(&foreign, "press-7", start_s + 1000);
    CHECK(strstr(register_ca(house, foreign.ca.pem, ",\"unverified\":true"), foreign.ca.id));
    EVP_PKEY *weak = EVP_RSA_gen(1024);
    struct x509_issued bad[] = {with_key(&foreign, &device, weak, EVP_sha256()),
                                with_key(&foreign, &device, NULL, EVP_sha1())};
    EVP_PKEY_free(weak);
    for (size_t i = 0; i < array_size(bad); i++) {
        *logged = '\0';
        log_capture(keep_log);
        CHECK(!come(house, &bad[i]));
        log_capture(NULL);
        CHECK(strstr(logged, "is not provisioned: expected a key of RSA 2048 or more"));
        CHECK(!registry_principal(house->registry, bad[i].id));
        OPENSSL_free(bad[i].der);
    }
    cleanup_free char *topic = str_printf("$aws/events/certificates/registered/%s", foreign.ca.id);
    CHECK_NO_MESSAGE(house->rig, topic);
    CHECK(!come(house, &device));
    CHECK_INT(status_of(house, &device), REGISTRY_PENDING_ACTIVATION);
    x509_issued_done(&device);
    foreign_done(&foreign);
}

TEST(an_authoritys_template_makes_the_thing_when_the_device_comes)
{
    cleanup(house_free_p) struct house *house = house_new(NULL);
    struct foreign foreign = foreign_new("plant");
    struct x509_issued device = sign(&foreign, "press-7", start_s + 1000);
    make_template(house, "plant", with_organization, ",\"type\":\"JITP\"");
    CHECK(strstr(register_ca(house, foreign.ca.pem, ",\"unverified\":true,\"template\":\"plant\""),
                 "\"template\":\"plant\""));
    CHECK(!come(house, &device));
    CHECK_INT(status_of(house, &device), REGISTRY_ACTIVE);
    const struct registry_thing *thing = registry_thing(house->registry, "press-7");
    CHECK(thing != NULL);
    CHECK_STR(registry_attribute(&thing->attributes, "plant"), "Plant-A");
    CHECK(come(house, &device));
    CHECK_INT((int64_t)provision_counters(house->provision)->just_in_time, 1);
    cleanup_free char *topic = str_printf("$aws/events/certificates/registered/%s", foreign.ca.id);
    CHECK_INT((int64_t)rig_count(house->rig, topic), 1);
    house_restart(house);
    CHECK(come(house, &device));
    x509_issued_done(&device);
    foreign_done(&foreign);
}

/* Each with its reason; and what could not be made is made at the next attempt. */
TEST(what_keeps_a_template_from_being_used_leaves_the_certificate_waiting)
{
    cleanup(house_free_p) struct house *house = house_new(NULL);
    struct foreign foreign = foreign_new("plant");
    struct x509_issued device = sign(&foreign, "press-7", start_s + 1000),
                       odd = sign(&foreign, "press 8", start_s + 1000);
    make_template(house, "plant", JITP(",\"ThingTypeName\":\"press\""), ",\"type\":\"JITP\"");
    CHECK(strstr(register_ca(house, foreign.ca.pem, ",\"unverified\":true,\"template\":\"plant\""),
                 foreign.ca.id));
    CHECK(!come(house, &device)); /* there is no type "press" */
    CHECK_INT(status_of(house, &device), REGISTRY_PENDING_ACTIVATION);
    CHECK(!registry_thing(house->registry, "press-7"));
    CHECK_INT(registry_type_create(house->registry, "press", NULL, NULL, 0, NULL), 0);
    CHECK(rig_request(house->rig, "$gatehouse/ctl/template/disable", "{\"name\":\"plant\"}") != NULL);
    CHECK(!come(house, &device));
    CHECK_INT(status_of(house, &device), REGISTRY_PENDING_ACTIVATION);
    CHECK(rig_request(house->rig, "$gatehouse/ctl/template/enable", "{\"name\":\"plant\"}") != NULL);
    CHECK(!come(house, &device));
    CHECK_INT(status_of(house, &device), REGISTRY_ACTIVE);
    CHECK(!come(house, &odd)); /* "press 8" is no name of a thing */
    CHECK_INT(status_of(house, &odd), REGISTRY_PENDING_ACTIVATION);
    x509_issued_done(&device);
    x509_issued_done(&odd);
    foreign_done(&foreign);
}

TEST(only_an_active_authority_that_registers_by_itself_brings_newcomers)
{
    cleanup(house_free_p) struct house *house = house_new(NULL);
    struct foreign foreign = foreign_new("plant"), other = foreign_new("plant");
    struct x509_issued device = sign(&foreign, "press-7", start_s + 1000),
                       stranger = sign(&other, "press-7", start_s + 1000),
                       old = sign(&foreign, "press-9", start_s - 10);
    CHECK(strstr(register_ca(house, foreign.ca.pem, ",\"unverified\":true,\"autoRegistration\":false"),
                 foreign.ca.id));
    CHECK(!come(house, &device));
    CHECK(!registry_principal(house->registry, device.id));
    const struct registry_ca_update automatic = {.active = 0, .auto_registration = 1},
                                    active = {1, -1, NULL, NULL};
    CHECK_INT(registry_ca_update(house->registry, foreign.ca.id, &automatic, NULL), 0);
    CHECK(!come(house, &device));
    CHECK(!registry_principal(house->registry, device.id));
    CHECK_INT(registry_ca_update(house->registry, foreign.ca.id, &active, NULL), 0);
    CHECK(!come(house, &stranger)); /* the same name, another key */
    CHECK(!registry_principal(house->registry, stranger.id));
    CHECK(!come(house, &old)); /* expired */
    CHECK(!registry_principal(house->registry, old.id));
    CHECK(!come(house, &device));
    CHECK_INT(status_of(house, &device), REGISTRY_PENDING_ACTIVATION);
    x509_issued_done(&device);
    x509_issued_done(&stranger);
    x509_issued_done(&old);
    foreign_done(&foreign);
    foreign_done(&other);
}

TEST(an_authority_is_registered_by_who_proves_to_have_its_key)
{
    cleanup(house_free_p) struct house *house = house_new(NULL);
    struct foreign foreign = foreign_new("plant"), other = foreign_new("other");
    struct arena arena = {0};
    CHECK(strstr(register_ca(house, foreign.ca.pem, ""), "verification: expected a certificate"));
    struct x509_issued early = sign(&foreign, "code", start_s + 1000);
    CHECK(strstr(register_ca(house, foreign.ca.pem,
                             arena_printf(&arena, ",\"verification\":%s", text_of(&arena, early.pem))),
                 "ask for the registration code first"));
    const char *answer = rig_request(house->rig, "$gatehouse/ctl/provisioning/code", "");
    struct json *json = NULL;
    const char *code = "";
    CHECK_INT(json_parse(&json, &arena, answer, strlen(answer), NULL), 0);
    CHECK(json_text(json_get(json, "registrationCode"), &arena, &code) && strlen(code) == 64);
    house_restart(house);
    CHECK(strstr(rig_request(house->rig, "$gatehouse/ctl/provisioning/code", ""), code)); /* it stays */

    struct x509_issued good = sign(&foreign, code, start_s + 1000),
                       wrong_key = sign(&other, code, start_s + 1000),
                       late = sign(&foreign, code, start_s - 10);
    const struct {
        const struct x509_issued *proof;
        const char *expected;
    } cases[] = {
        {&early, "expected the registration code as its common name, found \\\"code\\\""},
        {&wrong_key, "it was not signed by this authority"},
        {&late, "it has expired"},
        {&good, foreign.ca.id},
        {&good, "\"code\":409"},
    };
    for (size_t i = 0; i < array_size(cases); i++) {
        answer =
            register_ca(house, foreign.ca.pem,
                        arena_printf(&arena, ",\"verification\":%s", text_of(&arena, cases[i].proof->pem)));
        if (!strstr(answer, cases[i].expected))
            FAIL("%s", answer);
    }
    CHECK(strstr(register_ca(house, good.pem, ",\"unverified\":true"), "expected one of an authority"));
    CHECK(strstr(register_ca(house, "x", ",\"unverified\":true"), "\"code\":400"));
    CHECK(strstr(register_ca(house, other.ca.pem, ",\"unverified\":true,\"template\":\"none\""),
                 "there is no template"));
    make_template(house, "press", TEMPLATE_PRESS, "");
    CHECK(strstr(register_ca(house, other.ca.pem, ",\"unverified\":true,\"template\":\"press\""),
                 "expected one of type JITP"));
    x509_issued_done(&early);
    x509_issued_done(&good);
    x509_issued_done(&wrong_key);
    x509_issued_done(&late);
    foreign_done(&foreign);
    foreign_done(&other);
    arena_done(&arena);
}

TEST(a_template_that_an_authority_uses_stays)
{
    cleanup(house_free_p) struct house *house = house_new(NULL);
    struct foreign foreign = foreign_new("plant");
    make_template(house, "plant", with_organization, ",\"type\":\"JITP\"");
    CHECK(strstr(
        register_ca(house, foreign.ca.pem, ",\"unverified\":true,\"active\":false,\"template\":\"plant\""),
        foreign.ca.id));
    CHECK(strstr(rig_request(house->rig, "$gatehouse/ctl/template/delete", "{\"name\":\"plant\"}"),
                 "\"code\":409"));
    CHECK_INT(registry_ca_delete(house->registry, foreign.ca.id, NULL), 0);
    CHECK(strstr(rig_request(house->rig, "$gatehouse/ctl/template/delete", "{\"name\":\"plant\"}"),
                 "{\"name\":"));
    foreign_done(&foreign);
}

TEST(a_newcomer_that_does_not_get_to_the_disk_is_one_again)
{
    cleanup(house_free_p) struct house *house = house_new(NULL);
    struct foreign foreign = foreign_new("plant");
    struct x509_issued device = sign(&foreign, "press-7", start_s + 1000);
    cleanup_free char *topic = str_printf("$aws/events/certificates/registered/%s", foreign.ca.id);
    CHECK(strstr(register_ca(house, foreign.ca.pem, ",\"unverified\":true"), foreign.ca.id));
    store_fail_next_commit(house->rig->store, -5);
    CHECK(!come(house, &device));
    CHECK_NO_MESSAGE(house->rig, topic);
    rig_wait(house->rig, 10000);
    CHECK(!come(house, &device));
    CHECK_INT((int64_t)rig_count(house->rig, topic), 1);
    CHECK_INT(status_of(house, &device), REGISTRY_PENDING_ACTIVATION);
    x509_issued_done(&device);
    foreign_done(&foreign);
}
