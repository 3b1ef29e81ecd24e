/* Provisioning templates, as AWS IoT has them: what is made for a device that comes for the first time.
 *
 *      {"Parameters": {"SerialNumber": {"Type": "String"}},
 *       "Resources": {
 *           "thing":       {"Type": "AWS::IoT::Thing", "Properties": {"ThingName": {"Fn::Join": ["-", ["press", {"Ref": "SerialNumber"}]]}}},
 *           "certificate": {"Type": "AWS::IoT::Certificate", "Properties": {"CertificateId": {"Ref": "AWS::IoT::Certificate::Id"}}},
 *           "policy":      {"Type": "AWS::IoT::Policy", "Properties": {"PolicyName": "press"}}}}
 *
 *      text ─▶ template_read() ─▶ template ─┬▶ template_evaluate() ─▶ plan: a thing, its groups, policies, …
 *                               parameters ─┘
 *
 * Strict: an unknown member, a reference to nothing and a function that is not well-formed are refused when the template is
 * read, with the place; so is a policy document that is none. What depends on values is refused when they are there.
 *
 * Pure. Everything is in the caller's arena, and texts may stay in the caller's: both live as long as the template.
 */
#pragma once

#include "base/arena.h"
#include "identity/policy_doc.h"
#include "identity/registry_object.h"

struct json;

enum template_kind {
    TEMPLATE_FLEET, /* over MQTT, with parameters of the device's; makes a thing */
    TEMPLATE_JITP,  /* when a certificate of a registered authority comes; parameters are what is in it */
};
/* "FLEET_PROVISIONING", "JITP". */
extern const char *const template_kind_names[2];

enum {
    TEMPLATE_SIZE_MAX = 10240, /* bytes (AWS IoT) */
    TEMPLATE_VALUE_MAX = 4096, /* bytes of a value, given or computed */
    TEMPLATE_LIST_MAX = 256,   /* values that Fn::Split may make */
    TEMPLATE_NAME_MAX = 36,
};

/* [0-9A-Za-z_-]{1,36} */
bool template_name_is_valid(const char *name, size_t len);

struct template
{
    enum template_kind kind;
    const struct json *parameters, *mappings, *thing, *certificate, *configuration; /* NULL: none */
    const struct json *resources;
};

/* POLICY_MALFORMED: *error (may be NULL) says what was expected, and where. */
int template_read(struct template *ret, struct arena *arena, enum template_kind kind, const char *text,
                  size_t len, struct policy_error *error) must_check;

/* ---- evaluating --------------------------------------------------------------------------------------------------- */

/* What is known of the certificate: "AWS::IoT::Certificate::Id", …. */
struct template_pseudo {
    const char *name, *value;
};

struct template_input {
    const struct json *parameters, *overrides; /* objects of strings; NULL: none. Overrides come first */
    const struct template_pseudo *pseudo;
    size_t pseudo_count;
};

/* What happens to something that is there already. */
enum template_override { TEMPLATE_DO_NOTHING, TEMPLATE_REPLACE, TEMPLATE_MERGE, TEMPLATE_FAIL };

struct template_policy {
    const char *name;
    const char *document; /* NULL: there has to be one of that name */
    size_t len;
};

struct template_plan {
    const char *thing; /* NULL: none */
    const char *type;  /* NULL: none said */
    const struct registry_attribute *attributes;
    size_t attribute_count;
    const char *const *groups;
    size_t group_count;
    bool has_attributes, has_groups; /* they are said, if only to be none */
    enum template_override on_attributes, on_type, on_groups;
    bool active;    /* what the certificate is to be: ACTIVE, else INACTIVE */
    bool exclusive; /* it belongs to the thing alone */
    const struct template_policy *policies;
    size_t policy_count;
    struct json *configuration; /* an object of strings */
};

/* What template_evaluate() refuses: a parameter that is missing or none; what came out cannot be. */
enum { TEMPLATE_PARAMETER = 1, TEMPLATE_RESULT = 2 };

/* *why (in the arena) says what. */
int template_evaluate(struct template_plan *ret, struct arena *arena, const struct template *template,
                      const struct template_input *input, const char **why) must_check;
