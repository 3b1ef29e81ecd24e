/* A house with a registry, an authority of its own, and provisioning; and devices that ask. */
#pragma once

#include "base/json_write.h"
#include "identity/admission.h"
#include "identity/registry.h"
#include "identity/x509.h"
#include "rig/rig.h"
#include "services/provision/provision.h"

struct house {
    struct rig *rig;
    struct registry *registry;
    struct audit *audit;
    struct admission *admission;
    struct x509_signer *signer;
    struct provision *provision;
    bool cannot_sign;
};

/* db NULL: in memory. */
struct house *house_new(const char *db);
struct house *house_free(struct house *house);
define_cleanup(struct house *, house_free)

/* Another provisioning over the same database, as after a restart. */
void house_restart(struct house *house);
void house_turn(struct house *house);

/* A connection: what it hears of its requests' answers is in `topic` and `payload`. */
struct device {
    struct house *house;
    struct subscriber subscriber;
    struct subscription subscriptions[3];
    struct publisher *publisher;
    int heard;
    char topic[256];
    char payload[16 * 1024];
    size_t len;
};
struct device *device_new(struct house *house, const char *client_id, const char *principal);
struct device *device_free(struct device *device);
define_cleanup(struct device *, device_free)

/* Publishes and turns. true: it was accepted. */
bool device_asks(struct device *device, const char *topic, const void *payload, size_t len);
bool device_asks_text(struct device *device, const char *topic, const char *payload);
/* A text of its last answer, in JSON; "" when there is none. Valid until the next call. */
const char *device_member(const struct device *device, const char *name);
#define CHECK_REJECTED(device, code_text)                                                                    \
    do {                                                                                                     \
        CHECK(strstr((device)->topic, "/rejected"));                                                         \
        CHECK_STR(device_member((device), "errorCode"), (code_text));                                        \
    } while (0)

#define TEMPLATE_PRESS                                                                                       \
    "{\"Parameters\":{\"SerialNumber\":{\"Type\":\"String\"}},\"Resources\":{"                               \
    "\"thing\":{\"Type\":\"AWS::IoT::Thing\",\"Properties\":{\"ThingName\":{\"Fn::Join\":[\"-\",[\"press\"," \
    "{\"Ref\":\"SerialNumber\"}]]},\"AttributePayload\":{\"sn\":{\"Ref\":\"SerialNumber\"}}}},"              \
    "\"certificate\":{\"Type\":\"AWS::IoT::Certificate\",\"Properties\":{\"CertificateId\":{\"Ref\":"        \
    "\"AWS::IoT::Certificate::Id\"}}},"                                                                      \
    "\"policy\":{\"Type\":\"AWS::IoT::Policy\",\"Properties\":{\"PolicyDocument\":{\"Version\":\"2012-10-"   \
    "17\",\"Statement\":{\"Effect\":\"Allow\",\"Action\":\"iot:*\",\"Resource\":\"*\"}}}}},"                 \
    "\"DeviceConfiguration\":{\"sn\":{\"Ref\":\"SerialNumber\"}}}"
/* Makes a template by the command; options: further members, like ",\"hook\":\"gate\"". */
void make_template(struct house *house, const char *name, const char *body, const char *options);

extern const char good_csr[], weak_csr[];
/* {"certificateSigningRequest":"…"}; free it. */
char *csr_request(const char *pem);
