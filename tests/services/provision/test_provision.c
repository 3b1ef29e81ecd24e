/* Fleet provisioning, as a device sees it. */
#include "provision_rig.h"

#include "base/cbor.h"

#include <stdio.h>

#define CREATE   "$aws/certificates/create/json"
#define FROM_CSR "$aws/certificates/create-from-csr/json"
#define PRESS    "$aws/provisioning-templates/press/provision/json"

static char *provision_request(const char *token, const char *parameters)
{
    return str_printf("{\"certificateOwnershipToken\":\"%s\",\"parameters\":%s}", token, parameters);
}

/* A certificate; the token is the caller's to free. */
static char *get_token(struct device *device)
{
    cleanup_free char *csr = csr_request(good_csr);
    if (!device_asks_text(device, FROM_CSR, csr))
        FAIL("%s", device->payload);
    return str_copy(device_member(device, "certificateOwnershipToken"));
}

TEST(a_device_becomes_a_thing_by_a_certificate_from_its_request)
{
    cleanup(house_free_p) struct house *house = house_new(NULL);
    cleanup(device_free_p) struct device *device = device_new(house, "claim-0042", "claim");
    make_template(house, "press", TEMPLATE_PRESS, "");
    cleanup_free char *csr = csr_request(good_csr);
    CHECK(device_asks_text(device, FROM_CSR, csr));
    CHECK_STR(device->topic, FROM_CSR "/accepted");
    CHECK(strstr(device->payload, "{\"certificateId\":\"") == device->payload);
    CHECK(strstr(device->payload, "\",\"certificatePem\":\"-----BEGIN CERTIFICATE-----\\n"));
    CHECK(!strstr(device->payload, "privateKey"));
    cleanup_free char *id = str_copy(device_member(device, "certificateId"));
    cleanup_free char *token = str_copy(device_member(device, "certificateOwnershipToken"));
    CHECK_INT((int64_t)strlen(token), 43);
    CHECK_INT(registry_principal(house->registry, id)->status, REGISTRY_PENDING_ACTIVATION);

    cleanup_free char *request = provision_request(token, "{\"SerialNumber\":\"0042\"}");
    CHECK(device_asks_text(device, PRESS, request));
    CHECK_STR(device->topic, PRESS "/accepted");
    CHECK_STR(device->payload, "{\"deviceConfiguration\":{\"sn\":\"0042\"},\"thingName\":\"press-0042\"}");
    const struct registry_principal *principal = registry_principal(house->registry, id);
    CHECK_INT(principal->status, REGISTRY_ACTIVE);
    CHECK_INT((int64_t)principal->thing_count, 1);
    CHECK_STR(principal->things[0].thing->key.text, "press-0042");
    CHECK_STR(registry_attribute(&principal->things[0].thing->attributes, "sn"), "0042");
    CHECK_INT((int64_t)principal->policy_count, 1);
    CHECK_INT((int64_t)provision_counters(house->provision)->provisioned, 1);
    CHECK_INT(device->heard, 2);
    CHECK(device_asks(device, CREATE, "", 0));
    CHECK(!device_asks_text(device, FROM_CSR, "{}"));
    CHECK_STR(
        rig_request(house->rig, "$gatehouse/ctl/provisioning/status", ""),
        "{\"templates\":1,\"waiting\":1,\"created\":2,\"provisioned\":1,\"justInTime\":0,\"rejected\":1,\"expired\":0}");
}

TEST(a_key_is_made_for_who_has_none_and_is_for_him_alone)
{
    cleanup(house_free_p) struct house *house = house_new(NULL);
    cleanup(device_free_p) struct device *device = device_new(house, "a", "claim");
    cleanup(device_free_p) struct device *other = device_new(house, "b", "claim");
    CHECK(device_asks(device, CREATE, "", 0));
    const char *members[] = {
        "{\"certificateId\":", ",\"certificatePem\":", ",\"privateKey\":\"-----BEGIN PRIVATE KEY-----",
        ",\"certificateOwnershipToken\":"};
    const char *at = device->payload;
    for (size_t i = 0; i < array_size(members); i++) {
        const char *next = strstr(at, members[i]);
        if (!next)
            FAIL("%s is not in %s", members[i], at);
        at = next;
    }
    CHECK_INT(device->heard, 1);
    CHECK_INT(other->heard, 0);
    CHECK_NO_MESSAGE(house->rig, CREATE "/accepted"); /* nor does the house hear it */
    CHECK(device_asks_text(device, CREATE, "not even JSON: it is not looked at"));
}

TEST(both_speak_cbor)
{
    cleanup(house_free_p) struct house *house = house_new(NULL);
    cleanup(device_free_p) struct device *device = device_new(house, "a", "claim");
    make_template(house, "press", TEMPLATE_PRESS, "");
    struct arena arena = {0};
    struct json *json = NULL;
    size_t len;
    CHECK(device_asks(device, "$aws/certificates/create/cbor", "\xA0", 1));
    CHECK_STR(device->topic, "$aws/certificates/create/cbor/accepted");
    CHECK_INT(cbor_parse(&json, &arena, device->payload, device->len, NULL), 0);
    CHECK_INT(json->len, 4);
    const char *token = NULL;
    CHECK(json_text(json_get(json, "certificateOwnershipToken"), &arena, &token));
    cleanup_free char *request = provision_request(token, "{\"SerialNumber\":\"0042\"}");
    CHECK_INT(json_parse(&json, &arena, request, strlen(request), NULL), 0);
    uint8_t *bytes = cbor_write(&arena, json, &len);
    CHECK(device_asks(device, "$aws/provisioning-templates/press/provision/cbor", bytes, len));
    static const char accepted[] = "\xA2\x73"
                                   "deviceConfiguration\xA1\x62"
                                   "sn\x64"
                                   "0042\x69"
                                   "thingName\x6A"
                                   "press-0042";
    CHECK_MEM(device->payload, device->len, accepted, sizeof accepted - 1);

    /* A refusal, too: A3, statusCode an unsigned integer. */
    CHECK(!device_asks(device, "$aws/provisioning-templates/press/provision/cbor", "\xFF", 1));
    CHECK_INT(cbor_parse(&json, &arena, device->payload, device->len, NULL), 0);
    CHECK_STR(
        json_write(&arena, json, NULL),
        "{\"statusCode\":400,\"errorCode\":\"InvalidPayload\",\"errorMessage\":\"The payload is not an object.\"}");
    arena_done(&arena);
}

TEST(what_is_wrong_with_a_request_is_said)
{
    cleanup(house_free_p) struct house *house = house_new(NULL);
    cleanup(device_free_p) struct device *device = device_new(house, "a", "claim");
    make_template(house, "press", TEMPLATE_PRESS, "");
    make_template(house, "off", TEMPLATE_PRESS, ",\"enabled\":false");
    cleanup_free char *weak = csr_request(weak_csr), *token = get_token(device);
    cleanup_free char *no_parameters = provision_request(token, "{}"),
                      *number = provision_request(token, "{\"SerialNumber\":5}"),
                      *bad_name = provision_request(token, "{\"SerialNumber\":\"a b\"}"),
                      *list = provision_request(token, "[]"),
                      *good = provision_request(token, "{\"SerialNumber\":\"1\"}");
    cleanup_free char *tampered = csr_request(good_csr);
    char *at = strstr(tampered, "o1UDAi");
    at[0]++;
    const struct {
        const char *topic, *payload, *code;
    } cases[] = {
        {FROM_CSR, "", "InvalidPayload"},
        {FROM_CSR, "{\"certificateSigningRequest\":5}", "InvalidPayload"},
        {FROM_CSR, "{\"certificateSigningRequest\":\"x\"}", "InvalidCertificateSigningRequest"},
        {FROM_CSR, weak, "InvalidCertificateSigningRequest"},
        {FROM_CSR, tampered, "InvalidCertificateSigningRequest"},
        {PRESS, "[]", "InvalidPayload"},
        {PRESS, "{", "InvalidPayload"},
        {PRESS, "{\"parameters\":{}}", "InvalidPayload"},
        {PRESS, "{\"certificateOwnershipToken\":\"x\",\"parameters\":{}}",
         "InvalidCertificateOwnershipToken"},
        {PRESS, list, "InvalidPayload"},
        {PRESS, no_parameters, "InvalidParameters"},
        {PRESS, number, "InvalidParameters"},
    };
    for (size_t i = 0; i < array_size(cases); i++) {
        CHECK(!device_asks_text(device, cases[i].topic, cases[i].payload));
        CHECK_REJECTED(device, cases[i].code);
        rig_wait(house->rig, 1000); /* for the rate */
    }
    CHECK(!device_asks_text(device, PRESS, bad_name));
    CHECK_REJECTED(device, "InvalidParameters");
    CHECK(!device_asks_text(device, "$aws/provisioning-templates/none/provision/json", good));
    CHECK_REJECTED(device, "ResourceNotFound");
    CHECK(!device_asks_text(device, "$aws/provisioning-templates/off/provision/json", good));
    CHECK_REJECTED(device, "AccessDenied");
    CHECK(!device_asks_text(device, PRESS, "{\"certificateOwnershipToken\":\"\",\"parameters\":{}}"));
    CHECK_STR(device->payload,
              "{\"statusCode\":400,\"errorCode\":\"InvalidCertificateOwnershipToken\",\"errorMessage\":"
              "\"Certificate ownership token cannot be empty.\"}");
    /* Nothing of that has used the token up. */
    CHECK(!registry_thing(house->registry, "press-1"));
    CHECK(device_asks_text(device, PRESS, good));
    /* What is no request is not answered. */
    int heard = device->heard;
    (void)device_asks_text(device, "$aws/certificates/create/xml", "{}");
    (void)device_asks_text(device, CREATE "/accepted", "{}");
    CHECK_INT(device->heard, heard + 1); /* it heard its own publication */
}

TEST(a_token_is_for_who_asked_for_it)
{
    cleanup(house_free_p) struct house *house = house_new(NULL);
    cleanup(device_free_p) struct device *device = device_new(house, "a", "claim-a");
    cleanup(device_free_p) struct device *thief = device_new(house, "a", "claim-b");
    make_template(house, "press", TEMPLATE_PRESS, "");
    cleanup_free char *token = get_token(device),
                      *request = provision_request(token, "{\"SerialNumber\":\"1\"}");
    CHECK(!device_asks_text(thief, PRESS, request));
    CHECK_REJECTED(thief, "InvalidCertificateOwnershipToken");
    CHECK(device_asks_text(device, PRESS, request));
}

TEST(a_token_may_be_used_again_for_the_same_thing_only)
{
    cleanup(house_free_p) struct house *house = house_new(NULL);
    cleanup(device_free_p) struct device *device = device_new(house, "a", "claim");
    make_template(house, "press", TEMPLATE_PRESS, "");
    cleanup_free char *token = get_token(device), *one = provision_request(token, "{\"SerialNumber\":\"1\"}"),
                      *two = provision_request(token, "{\"SerialNumber\":\"2\"}");
    CHECK(device_asks_text(device, PRESS, one));
    CHECK(device_asks_text(device, PRESS, one));
    CHECK_STR(device_member(device, "thingName"), "press-1");
    CHECK(!device_asks_text(device, PRESS, two));
    CHECK_REJECTED(device, "InvalidCertificateOwnershipToken");
    CHECK(!registry_thing(house->registry, "press-2"));
    house_restart(house);
    CHECK(device_asks_text(device, PRESS, one));
    CHECK_INT((int64_t)registry_thing(house->registry, "press-1")->version, 1);
}

TEST(a_token_survives_a_restart_and_lives_for_an_hour)
{
    cleanup(house_free_p) struct house *house = house_new(NULL);
    cleanup(device_free_p) struct device *device = device_new(house, "a", "claim");
    make_template(house, "press", TEMPLATE_PRESS, "");
    cleanup_free char *first = get_token(device);
    cleanup_free char *first_id = str_copy(device_member(device, "certificateId"));
    rig_wait(house->rig, 1800 * 1000);
    cleanup_free char *second = get_token(device);
    cleanup_free char *second_id = str_copy(device_member(device, "certificateId"));
    house_restart(house);
    rig_wait(house->rig, 1801 * 1000);
    cleanup_free char *late = provision_request(first, "{\"SerialNumber\":\"1\"}"),
                      *good = provision_request(second, "{\"SerialNumber\":\"2\"}");
    CHECK(!device_asks_text(device, PRESS, late));
    CHECK_REJECTED(device, "InvalidCertificateOwnershipToken");
    CHECK(!registry_principal(house->registry, first_id)); /* nothing was made of it: it is gone */
    CHECK(device_asks_text(device, PRESS, good));
    rig_wait(house->rig, 1801 * 1000);
    CHECK_INT(registry_principal(house->registry, second_id)->status, REGISTRY_ACTIVE);
    CHECK(!device_asks_text(device, PRESS, good)); /* over as well */
    CHECK_INT((int64_t)provision_counters(house->provision)->expired, 1);
    house_restart(house);
    CHECK(!device_asks_text(device, PRESS, good));
}

TEST(a_gateway_that_starts_in_1970_ends_no_token_early)
{
    cleanup(house_free_p) struct house *house = house_new(NULL);
    cleanup(device_free_p) struct device *device = device_new(house, "a", "claim");
    make_template(house, "press", TEMPLATE_PRESS, "");
    cleanup_free char *token = get_token(device),
                      *request = provision_request(token, "{\"SerialNumber\":\"1\"}");
    house->rig->clock.wall = 1000;
    house_restart(house);
    rig_wait(house->rig, 60000);
    house->rig->clock.wall = 1790000000000;
    rig_wait(house->rig, 60000);
    CHECK(device_asks_text(device, PRESS, request));
}

TEST(nobody_asks_faster_than_he_may_or_collects_certificates)
{
    cleanup(house_free_p) struct house *house = house_new(NULL);
    cleanup(device_free_p) struct device *device = device_new(house, "a", "claim");
    for (int i = 0; i < 12; i++)
        CHECK(device_asks(device, CREATE, "", 0));
    CHECK(!device_asks(device, CREATE, "", 0));
    CHECK_REJECTED(device, "Throttled");
    rig_wait(house->rig, 2000);
    CHECK(device_asks(device, CREATE, "", 0));
    rig_wait(house->rig, 60000);
    for (int i = 13; i < 16; i++)
        CHECK(device_asks(device, CREATE, "", 0));
    CHECK(!device_asks(device, CREATE, "", 0)); /* 16 wait to be provisioned */
    CHECK_REJECTED(device, "Throttled");
    rig_wait(house->rig, 3600 * 1000);
    CHECK(device_asks(device, CREATE, "", 0));
    CHECK_INT((int64_t)registry_count(house->registry, REGISTRY_PRINCIPAL), 1);
}

TEST(what_does_not_get_to_the_disk_is_not_accepted_and_can_be_tried_again)
{
    cleanup(house_free_p) struct house *house = house_new(NULL);
    cleanup(device_free_p) struct device *device = device_new(house, "a", "claim");
    make_template(house, "press", TEMPLATE_PRESS, "");
    store_fail_next_commit(house->rig->store, -5);
    CHECK(!device_asks(device, CREATE, "", 0));
    CHECK_REJECTED(device, "InternalError");
    rig_wait(house->rig, 10000);
    CHECK_INT((int64_t)registry_count(house->registry, REGISTRY_PRINCIPAL), 0);

    cleanup_free char *token = get_token(device),
                      *request = provision_request(token, "{\"SerialNumber\":\"1\"}");
    store_fail_next_commit(house->rig->store, -5);
    CHECK(!device_asks_text(device, PRESS, request));
    CHECK_REJECTED(device, "InternalError");
    rig_wait(house->rig, 10000);
    CHECK(!registry_thing(house->registry, "press-1"));
    CHECK(device_asks_text(device, PRESS, request));
    CHECK(registry_thing(house->registry, "press-1") != NULL);

    house->cannot_sign = true;
    CHECK(!device_asks(device, CREATE, "", 0));
    CHECK_REJECTED(device, "InternalError");
}

struct publication {
    struct receipt receipt;
    int r;
    bool settled;
};

static void on_settled(struct receipt *receipt, int r)
{
    struct publication *publication = container_of(receipt, struct publication, receipt);
    publication->settled = true;
    publication->r = r;
}

TEST(the_acknowledgement_of_a_request_comes_with_its_answer_when_both_are_on_disk)
{
    cleanup(house_free_p) struct house *house = house_new(NULL);
    cleanup(device_free_p) struct device *device = device_new(house, "a", "claim");
    cleanup(msg_unref_p) struct msg *msg = msg_new(CREATE, strlen(CREATE), "", 0);
    struct publication publication = {0};
    receipt_init(&publication.receipt, on_settled);
    msg->origin = device->subscriber.origin;
    bus_publish(house->rig->bus, msg, &publication.receipt);
    (void)loop_turn(house->rig->loop, 0); /* routed, and written */
    CHECK(!publication.settled);
    CHECK_INT(device->heard, 0);
    rig_turn(house->rig);
    CHECK(publication.settled);
    CHECK_INT(publication.r, 0);
    CHECK_INT(device->heard, 1);
}

TEST(the_house_and_wills_ask_for_nothing)
{
    cleanup(house_free_p) struct house *house = house_new(NULL);
    cleanup(device_free_p) struct device *device = device_new(house, "a", "claim");
    cleanup(msg_unref_p) struct msg *will = msg_new(CREATE, strlen(CREATE), "", 0);
    will->origin = device->subscriber.origin;
    will->is_will = true;
    bus_publish(house->rig->bus, will, NULL);
    rig_publish(house->rig, CREATE, "");
    rig_turn(house->rig);
    CHECK_INT(device->heard, 0);
    CHECK_INT((int64_t)registry_count(house->registry, REGISTRY_PRINCIPAL), 0);
}
