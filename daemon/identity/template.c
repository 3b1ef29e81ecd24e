#include "identity/template.h"

#include "base/json.h"
#include "base/json_write.h"
#include "identity/policy_read.h"
#include "identity/template_value.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Reading walks the document once, section by section; every object has a table of the members that it may have. */

const char *const template_kind_names[2] = {"FLEET_PROVISIONING", "JITP"};

struct reading {
    struct policy_reader reader;
    struct template *template;
};

/* A member that an object may have. */
struct member {
    const char *name;
    int (*check)(struct reading *reading, const struct json *value); /* NULL: looked at elsewhere */
};

static bool is_name(const char *name, size_t len, const char *others)
{
    for (size_t i = 0; i < len; i++) {
        char c = name[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              (c && strchr(others, c))))
            return false;
    }
    return len > 0;
}

bool template_name_is_valid(const char *name, size_t len)
{
    return len <= TEMPLATE_NAME_MAX && is_name(name, len, "_-");
}

/* "expected A, B or C". */
static int unknown_member(struct reading *reading, const struct json *member, const struct member *members,
                          size_t count)
{
    const char *names = "";
    for (size_t i = 0; i < count; i++)
        names = arena_printf(reading->reader.scratch, "%s%s%s", names,
                             i == 0 ? "" : (i + 1 == count ? " or " : ", "), members[i].name);
    policy_enter(&reading->reader, member);
    return policy_expected(&reading->reader, NULL, "%s here", names);
}

static int check_object(struct reading *reading, const struct json *object, const struct member *members,
                        size_t count)
{
    if (object->type != JSON_OBJECT)
        return policy_expected(&reading->reader, object, "an object");
    json_for_each (at, object) {
        size_t i = 0;
        while (i < count && !json_key_is(at, members[i].name, strlen(members[i].name)))
            i++;
        if (i == count)
            return unknown_member(reading, at, members, count);
        if (!members[i].check)
            continue;
        policy_enter(&reading->reader, at);
        int r = members[i].check(reading, at);
        if (r != 0)
            return r;
        policy_leave(&reading->reader);
    }
    return 0;
}

/* Each member of an object, whatever its name is. */
static int check_each(struct reading *reading, const struct json *object,
                      int (*check)(struct reading *reading, const struct json *member))
{
    if (object->type != JSON_OBJECT)
        return policy_expected(&reading->reader, object, "an object");
    json_for_each (at, object) {
        policy_enter(&reading->reader, at);
        int r = check(reading, at);
        if (r != 0)
            return r;
        policy_leave(&reading->reader);
    }
    return 0;
}

static int check_value(struct reading *reading, const struct json *value)
{
    return template_check_value(&reading->reader, reading->template, value, TEMPLATE_TEXT);
}

static int check_values(struct reading *reading, const struct json *value)
{
    return check_each(reading, value, check_value);
}

static int check_list(struct reading *reading, const struct json *value)
{
    return template_check_value(&reading->reader, reading->template, value, TEMPLATE_LIST);
}

/* Taken as it is: what it says has no meaning here. */
static int check_nothing(struct reading *reading, const struct json *value)
{
    (void)reading;
    (void)value;
    return 0;
}

/* ---- Parameters and Mappings ------------------------------------------------------------------------------------------ */

static int check_type(struct reading *reading, const struct json *value)
{
    return json_text_is(value, "String") ? 0 : policy_expected(&reading->reader, value, "\"String\"");
}

static int check_default(struct reading *reading, const struct json *value)
{
    if (value->type != JSON_STRING || value->len > TEMPLATE_VALUE_MAX)
        return policy_expected(&reading->reader, value, "a string of at most %d bytes", TEMPLATE_VALUE_MAX);
    return 0;
}

static int check_parameter(struct reading *reading, const struct json *parameter)
{
    static const struct member members[] = {{"Type", check_type}, {"Default", check_default}};
    bool is_pseudo = template_is_pseudo(parameter->key, parameter->key_len);
    if (is_pseudo ? !template_has_pseudo(reading->template->kind, parameter->key, parameter->key_len)
                  : !is_name(parameter->key, parameter->key_len, "_") || parameter->key_len > 128)
        return policy_expected(&reading->reader, NULL, "a name of a-z, A-Z, 0-9 and _%s",
                               reading->template->kind == TEMPLATE_JITP ? ", or one of the certificate's"
                                                                        : "");
    int r = check_object(reading, parameter, members, array_size(members));
    if (r == 0 && !json_get(parameter, "Type"))
        r = policy_expected(&reading->reader, NULL, "a Type: \"String\"");
    if (r == 0 && is_pseudo && json_get(parameter, "Default"))
        r = policy_expected(&reading->reader, NULL, "no Default: it comes from the certificate");
    return r;
}

static int check_parameters(struct reading *reading, const struct json *parameters)
{
    return check_each(reading, parameters, check_parameter);
}

static int check_mapped(struct reading *reading, const struct json *value)
{
    bool good = value->type == JSON_STRING || value->type == JSON_ARRAY;
    json_for_each (element, value)
        good = good && element->type == JSON_STRING;
    return good ? 0 : policy_expected(&reading->reader, value, "a string, or a list of strings");
}

static int check_keys(struct reading *reading, const struct json *keys)
{
    return check_each(reading, keys, check_mapped);
}

static int check_mapping(struct reading *reading, const struct json *mapping)
{
    return check_each(reading, mapping, check_keys);
}

static int check_mappings(struct reading *reading, const struct json *mappings)
{
    return check_each(reading, mappings, check_mapping);
}

/* ---- Resources -------------------------------------------------------------------------------------------------------- */

enum { DO_NOTHING = 1, REPLACE = 2, MERGE = 4, FAIL = 8 };

static int check_override(struct reading *reading, const struct json *value, bool may_merge)
{
    bool good = json_text_is(value, "DO_NOTHING") || json_text_is(value, "REPLACE") ||
                json_text_is(value, "FAIL") || (may_merge && json_text_is(value, "MERGE"));
    return good ? 0
                : policy_expected(&reading->reader, value, "DO_NOTHING, REPLACE%s or FAIL",
                                  may_merge ? ", MERGE" : "");
}

static int check_plain_override(struct reading *reading, const struct json *value)
{
    return check_override(reading, value, false);
}

static int check_merge_override(struct reading *reading, const struct json *value)
{
    return check_override(reading, value, true);
}

static int check_thing_properties(struct reading *reading, const struct json *properties)
{
    static const struct member members[] = {
        {"ThingName", check_value},  {"AttributePayload", check_values}, {"ThingTypeName", check_value},
        {"ThingGroups", check_list}, {"BillingGroup", check_nothing},    {"PackageVersions", check_nothing},
    };
    int r = check_object(reading, properties, members, array_size(members));
    if (r == 0 && !json_get(properties, "ThingName"))
        r = policy_expected(&reading->reader, NULL, "a ThingName");
    return r;
}

/* Documentation writes them both ways. */
static int check_thing_overrides(struct reading *reading, const struct json *overrides)
{
    static const struct member members[] = {
        {"AttributePayload", check_merge_override}, {"ThingTypeName", check_plain_override},
        {"ThingGroups", check_merge_override},      {"ATTRIBUTE_PAYLOAD", check_merge_override},
        {"THING_TYPE_NAME", check_plain_override},  {"THING_GROUPS", check_merge_override},
    };
    return check_object(reading, overrides, members, array_size(members));
}

static int check_certificate_id(struct reading *reading, const struct json *value)
{
    if (value->type == JSON_OBJECT && value->len == 1 &&
        json_text_is(json_get(value, "Ref"), "AWS::IoT::Certificate::Id"))
        return 0;
    return policy_expected(&reading->reader, value, "{\"Ref\": \"AWS::IoT::Certificate::Id\"}");
}

static int check_principal_type(struct reading *reading, const struct json *value)
{
    if (json_text_is(value, "EXCLUSIVE_THING") || json_text_is(value, "NON_EXCLUSIVE_THING"))
        return 0;
    return policy_expected(&reading->reader, value, "EXCLUSIVE_THING or NON_EXCLUSIVE_THING");
}

static int check_certificate_properties(struct reading *reading, const struct json *properties)
{
    static const struct member members[] = {
        {"CertificateId", check_certificate_id},
        {"Status", check_value},
        {"ThingPrincipalType", check_principal_type},
    };
    int r = check_object(reading, properties, members, array_size(members));
    if (r == 0 && !json_get(properties, "CertificateId"))
        r = policy_expected(&reading->reader, NULL,
                            "a CertificateId: {\"Ref\": \"AWS::IoT::Certificate::Id\"}");
    return r;
}

/* Allowed, and of no effect: the certificates that templates see have just been made or have just come, and wait. */
static int check_certificate_overrides(struct reading *reading, const struct json *overrides)
{
    static const struct member members[] = {{"Status", check_plain_override}};
    return check_object(reading, overrides, members, array_size(members));
}

static int check_policy_name(struct reading *reading, const struct json *value)
{
    if (value->type == JSON_STRING ||
        (value->type == JSON_OBJECT && value->len == 1 && json_get(value, "Ref")))
        return check_value(reading, value);
    return policy_expected(&reading->reader, value, "a string, or {\"Ref\": NAME}");
}

/* A document, or its text; as text. */
static const char *document_text(struct arena *arena, const struct json *value, size_t *len)
{
    if (value->type == JSON_OBJECT)
        return json_write(arena, value, len);
    *len = value->len;
    return value->text;
}

static int check_document(struct reading *reading, const struct json *value)
{
    if (value->type != JSON_STRING && value->type != JSON_OBJECT)
        return policy_expected(&reading->reader, value, "a policy document, or one as a string");
    struct policy_error error;
    struct policy *policy;
    size_t len;
    const char *text = document_text(reading->reader.scratch, value, &len);
    int r = policy_compile(&policy, "template", text, len, &error);
    if (r == POLICY_MALFORMED)
        return policy_expected(&reading->reader, NULL, "a policy document (%s)", error.text);
    if (r == 0)
        (void)policy_unref(policy);
    return r;
}

static int check_policy_properties(struct reading *reading, const struct json *properties)
{
    static const struct member members[] = {{"PolicyName", check_policy_name},
                                            {"PolicyDocument", check_document}};
    int r = check_object(reading, properties, members, array_size(members));
    if (r == 0 && !json_get(properties, "PolicyName") == !json_get(properties, "PolicyDocument"))
        r = policy_expected(&reading->reader, NULL, "either a PolicyName or a PolicyDocument");
    return r;
}

static const struct resource_type {
    const char *name;
    int (*properties)(struct reading *reading, const struct json *properties);
    int (*overrides)(struct reading *reading, const struct json *overrides);
} resource_types[] = {
    {"AWS::IoT::Thing", check_thing_properties, check_thing_overrides},
    {"AWS::IoT::Certificate", check_certificate_properties, check_certificate_overrides},
    {"AWS::IoT::Policy", check_policy_properties, NULL},
};
enum { THING, CERTIFICATE, POLICY };

static int check_part(struct reading *reading, const struct json *part,
                      int (*check)(struct reading *reading, const struct json *part))
{
    policy_enter(&reading->reader, part);
    int r = check(reading, part);
    policy_leave(&reading->reader);
    return r;
}

static int check_resource(struct reading *reading, const struct json *resource)
{
    static const struct member members[] = {{"Type", NULL}, {"Properties", NULL}, {"OverrideSettings", NULL}};
    struct template *template = reading->template;
    int r = check_object(reading, resource, members, array_size(members));
    if (r != 0)
        return r;
    const struct json *type = json_get(resource, "Type"), *properties = json_get(resource, "Properties");
    const struct json *overrides = json_get(resource, "OverrideSettings");
    size_t i = 0;
    while (i < array_size(resource_types) && !json_text_is(type, resource_types[i].name))
        i++;
    if (i == array_size(resource_types))
        return policy_expected(&reading->reader, type,
                               "a Type: AWS::IoT::Thing, AWS::IoT::Certificate or AWS::IoT::Policy");
    const struct json **only =
        i == THING ? &template->thing : (i == CERTIFICATE ? &template->certificate : NULL);
    if (only && *only)
        return policy_expected(&reading->reader, NULL, "only one %s", resource_types[i].name);
    if (only)
        *only = resource;
    if (!properties)
        return policy_expected(&reading->reader, NULL, "Properties");
    if (overrides && !resource_types[i].overrides)
        return policy_expected(&reading->reader, NULL, "no OverrideSettings for a policy");
    r = check_part(reading, properties, resource_types[i].properties);
    if (r == 0 && overrides)
        r = check_part(reading, overrides, resource_types[i].overrides);
    return r;
}

static int check_resources(struct reading *reading, const struct json *resources)
{
    int r = check_each(reading, resources, check_resource);
    if (r != 0)
        return r;
    if (!reading->template->certificate)
        return policy_expected(&reading->reader, NULL, "a resource of Type AWS::IoT::Certificate");
    if (!reading->template->thing && reading->template->kind == TEMPLATE_FLEET)
        return policy_expected(&reading->reader, NULL, "a resource of Type AWS::IoT::Thing");
    return 0;
}

/* ---- all of it -------------------------------------------------------------------------------------------------------- */

static int check_configuration(struct reading *reading, const struct json *configuration)
{
    if (reading->template->kind != TEMPLATE_FLEET)
        return policy_expected(&reading->reader, NULL, "no DeviceConfiguration: nobody would get it");
    return check_values(reading, configuration);
}

/* What is referred to comes first, whatever the order in the text is. */
static int check_template(struct reading *reading, const struct json *root)
{
    static const struct {
        const char *name;
        int (*check)(struct reading *reading, const struct json *section);
        size_t at; /* in struct template */
    } sections[] = {
        {"Parameters", check_parameters, offsetof(struct template, parameters)},
        {"Mappings", check_mappings, offsetof(struct template, mappings)},
        {"Resources", check_resources, offsetof(struct template, resources)},
        {"DeviceConfiguration", check_configuration, offsetof(struct template, configuration)},
    };
    static const struct member members[] = {
        {"Parameters", NULL}, {"Mappings", NULL}, {"Resources", NULL}, {"DeviceConfiguration", NULL}};
    int r = check_object(reading, root, members, array_size(members));
    for (size_t i = 0; r == 0 && i < array_size(sections); i++) {
        const struct json *section = json_get(root, sections[i].name);
        if (!section)
            continue;
        *(const struct json **)((char *)reading->template + sections[i].at) = section;
        r = check_part(reading, section, sections[i].check);
    }
    if (r == 0 && !reading->template->resources)
        r = policy_expected(&reading->reader, NULL, "Resources");
    return r;
}

static int malformed(struct policy_error *error, unsigned line, unsigned column, const char *expected)
{
    if (error) {
        *error = (struct policy_error){.line = line, .column = column};
        (void)snprintf(error->text, sizeof error->text, "expected %s", expected);
    }
    return POLICY_MALFORMED;
}

int template_read(struct template *ret, struct arena *arena, enum template_kind kind, const char *text,
                  size_t len, struct policy_error *error)
{
    struct json_error json_error;
    struct json *root;
    if (len > TEMPLATE_SIZE_MAX)
        return malformed(error, 1, 1, "at most 10240 bytes");
    int r = json_parse(&root, arena, text, len, &json_error);
    if (r > 0)
        return malformed(error, json_error.line, json_error.column, json_error.expected);
    if (r < 0)
        return r;
    *ret = (struct template){.kind = kind};
    struct reading reading = {
        .reader = {.arena = arena, .scratch = arena, .text = text, .len = len, .error = error},
        .template = ret};
    return check_template(&reading, root);
}

/* ---- the plan --------------------------------------------------------------------------------------------------------- */

static enum template_override override_of(const struct json *resource, const char *name, const char *also)
{
    static const char *const names[] = {
        [TEMPLATE_REPLACE] = "REPLACE", [TEMPLATE_MERGE] = "MERGE", [TEMPLATE_FAIL] = "FAIL"};
    const struct json *overrides = json_get(resource, "OverrideSettings"), *said = json_get(overrides, name);
    if (!said && also)
        said = json_get(overrides, also);
    for (size_t i = TEMPLATE_REPLACE; i < array_size(names); i++)
        if (json_text_is(said, names[i]))
            return (enum template_override)i;
    return TEMPLATE_DO_NOTHING;
}

/* Every parameter that is declared must have a value, whether it is used or not (AWS IoT). */
static bool has_parameters(struct template_run *run)
{
    const struct json *value;
    json_for_each (at, run->template->parameters)
        if (!template_parameter(run, at->key, at->key_len, &value))
            return false;
    return true;
}

static bool plan_attributes(struct template_run *run, struct template_plan *plan, const struct json *payload)
{
    if (!payload)
        return true;
    struct registry_attribute *list = arena_zero(run->arena, (payload->len + 1) * sizeof *list);
    json_for_each (at, payload) {
        struct registry_attribute *attribute = &list[plan->attribute_count++];
        attribute->name = arena_copy(run->arena, at->key, at->key_len);
        if (strlen(attribute->name) != at->key_len)
            return template_fault(run, TEMPLATE_RESULT, "an attribute's name is not a text");
        if (!template_text(run, at, "an attribute", &attribute->value))
            return false;
    }
    plan->attributes = list;
    plan->has_attributes = true;
    return true;
}

static bool plan_groups(struct template_run *run, struct template_plan *plan, const struct json *groups)
{
    if (!groups)
        return true;
    const struct json *list = template_value(run, groups);
    if (!list)
        return false;
    if (list->type != JSON_ARRAY)
        return template_fault(run, TEMPLATE_RESULT, "ThingGroups is not a list");
    const char **names = arena_zero(run->arena, (list->len + 1) * sizeof *names);
    json_for_each (at, list)
        if (!template_text(run, at, "a group's name", &names[plan->group_count++]))
            return false;
    plan->groups = names;
    plan->has_groups = true;
    return true;
}

static bool plan_thing(struct template_run *run, struct template_plan *plan)
{
    const struct json *thing = run->template->thing, *properties = json_get(thing, "Properties");
    if (!thing)
        return true;
    const struct json *type = json_get(properties, "ThingTypeName");
    if (!template_text(run, json_get(properties, "ThingName"), "the thing's name", &plan->thing) ||
        (type && !template_text(run, type, "the thing's type", &plan->type)) ||
        !plan_attributes(run, plan, json_get(properties, "AttributePayload")) ||
        !plan_groups(run, plan, json_get(properties, "ThingGroups")))
        return false;
    plan->on_attributes = override_of(thing, "AttributePayload", "ATTRIBUTE_PAYLOAD");
    plan->on_type = override_of(thing, "ThingTypeName", "THING_TYPE_NAME");
    plan->on_groups = override_of(thing, "ThingGroups", "THING_GROUPS");
    return true;
}

static bool plan_certificate(struct template_run *run, struct template_plan *plan)
{
    const struct json *certificate = run->template->certificate,
                      *properties = json_get(certificate, "Properties");
    const struct json *status = json_get(properties, "Status");
    const char *text = "ACTIVE";
    if (status && !template_text(run, status, "the certificate's status", &text))
        return false;
    plan->active = policy_same(text, strlen(text), "ACTIVE", 6);
    if (!plan->active && !policy_same(text, strlen(text), "INACTIVE", 8))
        return template_fault(run, TEMPLATE_RESULT,
                              "the certificate's Status is %.32s, expected ACTIVE or INACTIVE", text);
    plan->exclusive = json_text_is(json_get(properties, "ThingPrincipalType"), "EXCLUSIVE_THING");
    return true;
}

/* The same document has the same name, so that the next device finds the policy of the one before it. Whoever finds one of
 * that name with another document says so. */
static const char *name_of_document(struct arena *arena, const char *text, size_t len)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325); /* FNV-1a */
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ (uint8_t)text[i]) * UINT64_C(0x100000001b3);
    return arena_printf(arena, "template-%016" PRIx64, hash);
}

static bool plan_policies(struct template_run *run, struct template_plan *plan)
{
    struct template_policy *list = arena_zero(run->arena, run->template->resources->len * sizeof *list);
    json_for_each (resource, run->template->resources) {
        if (!json_text_is(json_get(resource, "Type"), resource_types[POLICY].name))
            continue;
        const struct json *properties = json_get(resource, "Properties"),
                          *name = json_get(properties, "PolicyName");
        struct template_policy *policy = &list[plan->policy_count++];
        if (name) {
            if (!template_text(run, name, "a policy's name", &policy->name))
                return false;
            continue;
        }
        policy->document = document_text(run->arena, json_get(properties, "PolicyDocument"), &policy->len);
        policy->name = name_of_document(run->arena, policy->document, policy->len);
    }
    plan->policies = list;
    return true;
}

static bool plan_configuration(struct template_run *run, struct template_plan *plan)
{
    plan->configuration = json_new(run->arena, JSON_OBJECT);
    json_for_each (at, run->template->configuration) {
        struct json *value = template_value(run, at);
        if (!value)
            return false;
        if (value->type != JSON_STRING)
            return template_fault(run, TEMPLATE_RESULT, "DeviceConfiguration.%.*s is not a text",
                                  (int)size_min(at->key_len, 64), at->key);
        json_append(plan->configuration, at->key, at->key_len, value);
    }
    return true;
}

int template_evaluate(struct template_plan *ret, struct arena *arena, const struct template *template,
                      const struct template_input *input, const char **why)
{
    struct template_run run = {.arena = arena, .template = template, .input = input};
    *ret = (struct template_plan){0};
    if (has_parameters(&run) && plan_thing(&run, ret) && plan_certificate(&run, ret) &&
        plan_policies(&run, ret) && plan_configuration(&run, ret))
        return 0;
    *why = run.why;
    return run.r;
}
