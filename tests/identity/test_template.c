#include "identity/template.h"

#include "base/json_write.h"

#include "rig/test.h"

#include <stdio.h>

static struct arena arena;

static const char press[] =
    "{ \"Parameters\": { \"SerialNumber\": {\"Type\": \"String\"}, \"Site\": {\"Type\": \"String\", \"Default\": \"lab\"} },\n"
    "  \"Mappings\": { \"Broker\": { \"lab\": {\"Host\": \"10.0.0.5\"}, \"plant1\": {\"Host\": \"10.1.0.5\"} } },\n"
    "  \"Resources\": {\n"
    "    \"thing\": { \"Type\": \"AWS::IoT::Thing\",\n"
    "      \"Properties\": { \"ThingName\": {\"Fn::Join\": [\"-\", [\"press\", {\"Ref\": \"SerialNumber\"}]]},\n"
    "                      \"AttributePayload\": {\"sn\": {\"Ref\": \"SerialNumber\"}, \"site\": {\"Ref\": \"Site\"}},\n"
    "                      \"ThingTypeName\": \"press\", \"ThingGroups\": [\"presses\"] },\n"
    "      \"OverrideSettings\": {\"AttributePayload\": \"MERGE\", \"ThingTypeName\": \"REPLACE\", \"ThingGroups\": "
    "\"DO_NOTHING\"} },\n"
    "    \"certificate\": { \"Type\": \"AWS::IoT::Certificate\",\n"
    "      \"Properties\": {\"CertificateId\": {\"Ref\": \"AWS::IoT::Certificate::Id\"}, \"Status\": \"ACTIVE\"} },\n"
    "    \"policy\": { \"Type\": \"AWS::IoT::Policy\", \"Properties\": {\"PolicyName\": \"press-policy\"} } },\n"
    "  \"DeviceConfiguration\": { \"broker\": {\"Fn::FindInMap\": [\"Broker\", {\"Ref\": \"Site\"}, \"Host\"]}, "
    "\"interval\": \"60\" } }";

static const struct json *json_of(const char *text)
{
    struct json *json = NULL;
    if (text)
        CHECK_INT(json_parse(&json, &arena, text, strlen(text), NULL), 0);
    return json;
}

static void read_it(struct template *template, enum template_kind kind, const char *text)
{
    struct policy_error error;
    if (template_read(template, &arena, kind, text, strlen(text), &error) != 0)
        FAIL("line %u, column %u: %s", error.line, error.column, error.text);
}

static const struct template_pseudo id[] = {{"AWS::IoT::Certificate::Id", "00ff"}};

static int evaluate(struct template_plan *plan, const char *text, const char *parameters, const char **why)
{
    struct template template;
    read_it(&template, TEMPLATE_FLEET, text);
    struct template_input input = {json_of(parameters), NULL, id, array_size(id)};
    return template_evaluate(plan, &arena, &template, &input, why);
}

TEST(the_example_of_the_reference_is_evaluated)
{
    struct template template;
    struct template_plan plan;
    const char *why = NULL;
    read_it(&template, TEMPLATE_FLEET, press);
    struct template_input input = {json_of("{\"SerialNumber\":\"0042\",\"Site\":\"plant1\",\"Other\":5}"),
                                   NULL, id, 1};
    CHECK_INT(template_evaluate(&plan, &arena, &template, &input, &why), 0);
    CHECK_STR(plan.thing, "press-0042");
    CHECK_STR(plan.type, "press");
    CHECK_INT(plan.attribute_count, 2);
    CHECK_STR(plan.attributes[0].name, "sn");
    CHECK_STR(plan.attributes[0].value, "0042");
    CHECK_STR(plan.attributes[1].value, "plant1");
    CHECK_INT(plan.group_count, 1);
    CHECK_STR(plan.groups[0], "presses");
    CHECK_INT(plan.on_attributes, TEMPLATE_MERGE);
    CHECK_INT(plan.on_type, TEMPLATE_REPLACE);
    CHECK_INT(plan.on_groups, TEMPLATE_DO_NOTHING);
    CHECK(plan.active && !plan.exclusive);
    CHECK_INT(plan.policy_count, 1);
    CHECK_STR(plan.policies[0].name, "press-policy");
    CHECK(!plan.policies[0].document);
    CHECK_STR(json_write(&arena, plan.configuration, NULL), "{\"broker\":\"10.1.0.5\",\"interval\":\"60\"}");

    /* Without a site its default counts; what a hook says comes before what the device says. */
    input.parameters = json_of("{\"SerialNumber\":\"1\"}");
    CHECK_INT(template_evaluate(&plan, &arena, &template, &input, &why), 0);
    CHECK_STR(plan.attributes[1].value, "lab");
    input.overrides = json_of("{\"Site\":\"plant1\",\"SerialNumber\":\"9\"}");
    CHECK_INT(template_evaluate(&plan, &arena, &template, &input, &why), 0);
    CHECK_STR(plan.thing, "press-9");
    CHECK_STR(plan.attributes[1].value, "plant1");
    arena_done(&arena);
}

TEST(values_and_functions)
{
    static const struct {
        const char *value, *expected; /* NULL: refused */
    } cases[] = {
        {"\"plain\"", "plain"},
        {"\"\"", ""},
        {"{\"Ref\":\"A\"}", "one"},
        {"{\"Ref\":\"AWS::IoT::Certificate::Id\"}", "00ff"},
        {"{\"Fn::Join\":[\"\",[]]}", ""},
        {"{\"Fn::Join\":[\", \",[\"x\"]]}", "x"},
        {"{\"Fn::Join\":[\"-\",[\"x\",{\"Ref\":\"A\"},{\"Fn::Join\":[\".\",[\"y\",\"z\"]]}]]}", "x-one-y.z"},
        {"{\"Fn::Join\":[\"+\",{\"Fn::Split\":[\",\",{\"Ref\":\"List\"}]}]}", "p+q++r"},
        {"{\"Fn::Select\":[\"0\",[\"x\",\"y\"]]}", "x"},
        {"{\"Fn::Select\":[1,[\"x\",\"y\"]]}", "y"},
        {"{\"Fn::Select\":[\"2\",[\"x\",\"y\"]]}", NULL},
        {"{\"Fn::Select\":[\"3\",{\"Fn::Split\":[\",\",{\"Ref\":\"List\"}]}]}", "r"},
        {"{\"Fn::Select\":[\"1\",{\"Fn::FindInMap\":[\"M\",\"k\",\"list\"]}]}", "m2"},
        {"{\"Fn::FindInMap\":[\"M\",\"k\",\"text\"]}", "mapped"},
        {"{\"Fn::FindInMap\":[\"M\",{\"Ref\":\"A\"},\"text\"]}", "of one"},
        {"{\"Fn::FindInMap\":[\"M\",\"none\",\"text\"]}", NULL},
        {"{\"Fn::FindInMap\":[\"M\",\"k\",\"none\"]}", NULL},
        {"{\"Fn::FindInMap\":[\"M\",\"k\",\"list\"]}", NULL}, /* a list where a text is wanted */
        {"{\"Fn::Join\":[\"\",[{\"Fn::FindInMap\":[\"M\",\"k\",\"list\"]}]]}", NULL},
        {"{\"Fn::Join\":[\"\",{\"Fn::FindInMap\":[\"M\",\"k\",\"text\"]}]}", NULL},
        {"{\"Fn::Split\":[\",\",{\"Ref\":\"A\"}]}", "refused when it is read"},
        {"{\"Fn::Sub\":\"a ${A} b ${AWS::IoT::Certificate::Id}\"}", "a one b 00ff"},
        {"{\"Fn::Sub\":\"${!iot:ClientId}/${A}$\"}", "${iot:ClientId}/one$"},
        {"{\"Fn::Sub\":[\"${A} ${X}\",{\"X\":{\"Ref\":\"List\"},\"A\":\"first\"}]}", "first p,q,,r"},
        {"{\"Fn::Sub\":[\"${X}\",{\"X\":{\"Fn::FindInMap\":[\"M\",\"k\",\"list\"]}}]}", NULL},
        {"{\"Fn::Join\":[\"\",[{\"Ref\":\"Long\"},{\"Ref\":\"Long\"},{\"Ref\":\"Long\"}]]}", NULL},
        {"{\"Fn::Join\":[\"\",{\"Fn::Split\":[\"x\",{\"Ref\":\"Long\"}]}]}", NULL},
    };
    for (size_t i = 0; i < array_size(cases); i++) {
        char text[2048], parameters[4096];
        (void)snprintf(
            text, sizeof text,
            "{\"Parameters\":{\"A\":{\"Type\":\"String\"},\"List\":{\"Type\":\"String\"},\"Long\":{\"Type\":\"String\"}},"
            "\"Mappings\":{\"M\":{\"k\":{\"text\":\"mapped\",\"list\":[\"m1\",\"m2\"]},\"one\":{\"text\":\"of one\"}}},"
            "\"Resources\":{\"t\":{\"Type\":\"AWS::IoT::Thing\",\"Properties\":{\"ThingName\":%s}},"
            "\"c\":{\"Type\":\"AWS::IoT::Certificate\",\"Properties\":{\"CertificateId\":{\"Ref\":\"AWS::IoT::"
            "Certificate::Id\"}}}}}",
            cases[i].value);
        (void)snprintf(parameters, sizeof parameters,
                       "{\"A\":\"one\",\"List\":\"p,q,,r\",\"Long\":\"%02000d\"}", 0);
        for (char *at = strstr(parameters, "00"); at && *at == '0'; at++)
            *at = 'x';
        struct template template;
        struct template_plan plan;
        struct policy_error error;
        const char *why = NULL;
        int r = template_read(&template, &arena, TEMPLATE_FLEET, text, strlen(text), &error);
        if (cases[i].expected && strcmp(cases[i].expected, "refused when it is read") == 0) {
            CHECK_INT(r, POLICY_MALFORMED);
            continue;
        }
        if (r != 0)
            FAIL("%s: %s", cases[i].value, error.text);
        struct template_input input = {json_of(parameters), NULL, id, 1};
        r = template_evaluate(&plan, &arena, &template, &input, &why);
        if (!cases[i].expected) {
            CHECK_INT(r, TEMPLATE_RESULT);
            CHECK(why && *why);
        } else if (r != 0) {
            FAIL("%s: %s", cases[i].value, why);
        } else {
            CHECK_STR(plan.thing, cases[i].expected);
        }
    }
    arena_done(&arena);
}

#define THING "\"t\":{\"Type\":\"AWS::IoT::Thing\",\"Properties\":{\"ThingName\":\"t\"}}"
#define CERTIFICATE                                                                                          \
    "\"c\":{\"Type\":\"AWS::IoT::Certificate\",\"Properties\":{\"CertificateId\":{\"Ref\":\"AWS::IoT::"      \
    "Certificate::Id\"}}}"
#define RESOURCES(more) "{\"Resources\":{" THING "," CERTIFICATE more "}}"
#define PROPERTIES(type, properties)                                                                         \
    ",\"x\":{\"Type\":\"AWS::IoT::" type "\",\"Properties\":{" properties "}}"

TEST(what_is_wrong_with_a_template_is_said_with_the_place)
{
    static const struct {
        const char *text, *error;
    } cases[] = {
        {"", "expected a value"},
        {"[]", "expected an object, not an empty array"},
        {"{}", "expected Resources"},
        {"{\"Conditions\":{}}",
         "Conditions: expected Parameters, Mappings, Resources or DeviceConfiguration here"},
        {"{\"Resources\":{}}", "Resources: expected a resource of Type AWS::IoT::Certificate"},
        {"{\"Resources\":{" CERTIFICATE "}}", "Resources: expected a resource of Type AWS::IoT::Thing"},
        {RESOURCES(PROPERTIES("Thing", "\"ThingName\":\"u\"")),
         "Resources.x: expected only one AWS::IoT::Thing"},
        {RESOURCES(",\"x\":{\"Type\":\"AWS::IoT::Job\",\"Properties\":{}}"),
         "Resources.x: expected a Type: AWS::IoT::Thing, AWS::IoT::Certificate or AWS::IoT::Policy, not \"AWS::IoT::Job\""},
        {RESOURCES(",\"x\":{\"Type\":\"AWS::IoT::Policy\"}"), "Resources.x: expected Properties"},
        {RESOURCES(PROPERTIES("Policy", "")),
         "Resources.x.Properties: expected either a PolicyName or a PolicyDocument"},
        {RESOURCES(PROPERTIES("Policy", "\"PolicyName\":\"p\",\"PolicyDocument\":\"d\"")),
         "Resources.x.Properties.PolicyDocument: expected a policy document (expected a value)"},
        {RESOURCES(PROPERTIES("Policy", "\"PolicyName\":{\"Fn::Join\":[\"\",[\"p\"]]}")),
         "Resources.x.Properties.PolicyName: expected a string, or {\"Ref\": NAME}, not an object"},
        {RESOURCES(PROPERTIES("Policy",
                              "\"PolicyDocument\":{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":"
                              "\"allow\",\"Action\":\"iot:Connect\",\"Resource\":\"*\"}]}")),
         "Resources.x.Properties.PolicyDocument: expected a policy document (Statement[0].Effect: expected \"Allow\" or "
         "\"Deny\", not \"allow\")"},
        {RESOURCES(
             ",\"x\":{\"Type\":\"AWS::IoT::Policy\",\"Properties\":{\"PolicyName\":\"p\"},\"OverrideSettings\":{}}"),
         "Resources.x: expected no OverrideSettings for a policy"},
        {"{\"Resources\":{" THING ",\"c\":{\"Type\":\"AWS::IoT::Certificate\",\"Properties\":{}}}}",
         "Resources.c.Properties: expected a CertificateId: {\"Ref\": \"AWS::IoT::Certificate::Id\"}"},
        {"{\"Resources\":{" THING
         ",\"c\":{\"Type\":\"AWS::IoT::Certificate\",\"Properties\":{\"CertificateId\":\"00\"}}}}",
         "Resources.c.Properties.CertificateId: expected {\"Ref\": \"AWS::IoT::Certificate::Id\"}, not \"00\""},
        {"{\"Resources\":{" THING
         ",\"c\":{\"Type\":\"AWS::IoT::Certificate\",\"Properties\":{\"CertificateSigningRequest\""
         ":\"00\"}}}}",
         "Resources.c.Properties.CertificateSigningRequest: expected CertificateId, Status or ThingPrincipalType here"},
        {"{\"Resources\":{" CERTIFICATE
         ",\"t\":{\"Type\":\"AWS::IoT::Thing\",\"Properties\":{\"Name\":\"t\"}}}}",
         "Resources.t.Properties.Name: expected ThingName, AttributePayload, ThingTypeName, ThingGroups, BillingGroup or "
         "PackageVersions here"},
        {"{\"Resources\":{" CERTIFICATE
         ",\"t\":{\"Type\":\"AWS::IoT::Thing\",\"Properties\":{\"ThingName\":{\"Ref\":\"X\"}}}}}",
         "Resources.t.Properties.ThingName.Ref: expected a parameter that is declared, or AWS::IoT::Certificate::Id, not "
         "\"X\""},
        {"{\"Resources\":{" CERTIFICATE
         ",\"t\":{\"Type\":\"AWS::IoT::Thing\",\"Properties\":{\"ThingName\":{\"Fn::If\":\"X\"}}}}}",
         "Resources.t.Properties.ThingName: expected a text, {\"Ref\": NAME}, or a function that gives one, not an object"},
        {"{\"Resources\":{" CERTIFICATE
         ",\"t\":{\"Type\":\"AWS::IoT::Thing\",\"Properties\":{\"ThingName\":{\"Fn::Join\":[\"-"
         "\",[\"a\",5]]}}}}}",
         "Resources.t.Properties.ThingName.Fn::Join[1][1]: expected a text, {\"Ref\": NAME}, or a function that gives one, "
         "not 5"},
        {"{\"Resources\":{" CERTIFICATE
         ",\"t\":{\"Type\":\"AWS::IoT::Thing\",\"Properties\":{\"ThingName\":{\"Fn::Sub\":\"${A\"}}}}}",
         "Resources.t.Properties.ThingName.Fn::Sub: expected a } behind each ${, not \"${A\""},
        {"{\"Resources\":{" CERTIFICATE
         ",\"t\":{\"Type\":\"AWS::IoT::Thing\",\"Properties\":{\"ThingName\":\"t\"},"
         "\"OverrideSettings\":{\"ThingTypeName\":\"MERGE\"}}}}",
         "Resources.t.OverrideSettings.ThingTypeName: expected DO_NOTHING, REPLACE or FAIL, not \"MERGE\""},
        {"{\"Parameters\":{\"A\":{\"Type\":\"Number\"}},\"Resources\":{" THING "," CERTIFICATE "}}",
         "Parameters.A.Type: expected \"String\", not \"Number\""},
        {"{\"Parameters\":{\"A\":{}},\"Resources\":{" THING "," CERTIFICATE "}}",
         "Parameters.A: expected a Type: \"String\""},
        {"{\"Parameters\":{\"A-B\":{\"Type\":\"String\"}},\"Resources\":{" THING "," CERTIFICATE "}}",
         "Parameters.A-B: expected a name of a-z, A-Z, 0-9 and _"},
        {"{\"Parameters\":{\"AWS::IoT::Certificate::Country\":{\"Type\":\"String\"}},\"Resources\":{" THING
         "," CERTIFICATE "}}",
         "Parameters.AWS::IoT::Certificate::Country: expected a name of a-z, A-Z, 0-9 and _"},
        {"{\"Mappings\":{\"M\":{\"a\":{\"b\":{\"Ref\":\"X\"}}}},\"Resources\":{" THING "," CERTIFICATE "}}",
         "Mappings.M.a.b: expected a string, or a list of strings, not an object"},
        {"{\"DeviceConfiguration\":{\"a\":{\"b\":\"c\"}},\"Resources\":{" THING "," CERTIFICATE "}}",
         "DeviceConfiguration.a: expected a text, {\"Ref\": NAME}, or a function that gives one, not an object"},
    };
    for (size_t i = 0; i < array_size(cases); i++) {
        struct template template;
        struct policy_error error = {0};
        int r =
            template_read(&template, &arena, TEMPLATE_FLEET, cases[i].text, strlen(cases[i].text), &error);
        if (r != POLICY_MALFORMED || strcmp(error.text, cases[i].error) != 0)
            FAIL("%s:\n%d, %s\nexpected:\n%s", cases[i].text, r, error.text, cases[i].error);
        CHECK(error.line >= 1 && error.column >= 1);
    }
    arena_done(&arena);
}

TEST(a_template_has_a_size_that_is_not_exceeded)
{
    static char text[TEMPLATE_SIZE_MAX + 2];
    struct template template;
    struct policy_error error;
    (void)snprintf(text, sizeof text, "%-*s", TEMPLATE_SIZE_MAX, RESOURCES(""));
    CHECK_INT(template_read(&template, &arena, TEMPLATE_FLEET, text, TEMPLATE_SIZE_MAX, &error), 0);
    text[TEMPLATE_SIZE_MAX] = ' ';
    CHECK_INT(template_read(&template, &arena, TEMPLATE_FLEET, text, TEMPLATE_SIZE_MAX + 1, &error),
              POLICY_MALFORMED);
    CHECK_STR(error.text, "expected at most 10240 bytes");
    arena_done(&arena);
}

TEST(functions_are_inside_each_other_only_so_deep)
{
    for (int depth = 12; depth <= 13; depth++) {
        char value[1024] = "\"x\"", text[2048];
        for (int i = 0; i < depth; i++) {
            char inner[1024];
            (void)snprintf(inner, sizeof inner, "{\"Fn::Join\":[\"\",[%.900s]]}", value);
            memcpy(value, inner, sizeof value);
        }
        (void)snprintf(text, sizeof text,
                       "{\"Resources\":{" CERTIFICATE
                       ",\"t\":{\"Type\":\"AWS::IoT::Thing\",\"Properties\":{\"ThingName\":%s}}}}",
                       value);
        struct template template;
        struct policy_error error;
        CHECK_INT(template_read(&template, &arena, TEMPLATE_FLEET, text, strlen(text), &error),
                  depth == 12 ? 0 : POLICY_MALFORMED);
    }
    arena_done(&arena);
}

TEST(a_parameter_that_is_missing_or_none_is_named)
{
    struct template_plan plan;
    const char *why = NULL;
    CHECK_INT(evaluate(&plan, press, NULL, &why), TEMPLATE_PARAMETER);
    CHECK_STR(why, "the parameter SerialNumber is missing");
    CHECK_INT(evaluate(&plan, press, "{\"SerialNumber\":42}", &why), TEMPLATE_PARAMETER);
    CHECK_STR(why, "the parameter SerialNumber is not a string of at most 4096 bytes");
    CHECK_INT(evaluate(&plan, press, "{\"SerialNumber\":\"1\",\"Site\":\"moon\"}", &why), TEMPLATE_RESULT);
    CHECK_STR(why, "Fn::FindInMap: Broker has no key \"moon\"");
    CHECK_INT(evaluate(&plan, press, "{\"SerialNumber\":\"a\\u0000b\"}", &why), TEMPLATE_RESULT);
    CHECK_STR(why, "the thing's name is not a text");
    arena_done(&arena);
}

TEST(a_device_cannot_say_what_comes_from_the_certificate)
{
    struct template_plan plan;
    const char *why = NULL;
    CHECK_INT(
        evaluate(
            &plan,
            "{\"Parameters\":{\"AWS::IoT::Certificate::Id\":{\"Type\":\"String\"}},\"Resources\":{" CERTIFICATE
            ",\"t\":{\"Type\":\"AWS::IoT::Thing\",\"Properties\":{\"ThingName\":{\"Ref\":\"AWS::IoT::Certificate::"
            "Id\"}}}}}",
            "{\"AWS::IoT::Certificate::Id\":\"mine\"}", &why),
        0);
    CHECK_STR(plan.thing, "00ff");
    arena_done(&arena);
}

TEST(a_certificate_is_what_its_resource_says)
{
    struct template_plan plan;
    const char *why = NULL;
    static const char format[] =
        "{\"Resources\":{" THING
        ",\"c\":{\"Type\":\"AWS::IoT::Certificate\",\"Properties\":{\"CertificateId\":{\"Ref\":\"AWS::"
        "IoT::Certificate::Id\"},\"Status\":\"%s\",\"ThingPrincipalType\":\"EXCLUSIVE_THING\"},\"OverrideSettings\":{"
        "\"Status\":\"FAIL\"}}}}";
    char text[1024];
    (void)snprintf(text, sizeof text, format, "Inactive");
    CHECK_INT(evaluate(&plan, text, NULL, &why), 0);
    CHECK(!plan.active && plan.exclusive);
    (void)snprintf(text, sizeof text, format, "Active");
    CHECK_INT(evaluate(&plan, text, NULL, &why), 0);
    CHECK(plan.active);
    (void)snprintf(text, sizeof text, format, "REVOKED");
    CHECK_INT(evaluate(&plan, text, NULL, &why), TEMPLATE_RESULT);
    CHECK_STR(why, "the certificate's Status is REVOKED, expected ACTIVE or INACTIVE");
    arena_done(&arena);
}

TEST(a_policy_document_has_a_name_of_its_own_whether_it_is_a_text_or_an_object)
{
    struct template_plan plan;
    const char *why = NULL;
    CHECK_INT(
        evaluate(
            &plan,
            RESOURCES(PROPERTIES(
                "Policy",
                "\"PolicyDocument\":{\"Version\":\"2012-10-17\",\"Statement\":{\"Effect\":"
                "\"Allow\",\"Action\":\"iot:*\",\"Resource\":\"*\"}}") ",\"q\":{\"Type\":\"AWS::IoT::Policy\",\"Properties\":{\"PolicyDocument\":\"{\\\"Version\\\":"
                                                                       "\\\"2012-10-17\\\",\\\"Statement\\\":{\\\"Effect\\\":\\\"Allow\\\",\\\"Action\\\":\\\"iot:*"
                                                                       "\\\",\\\"Resource\\\":\\\"*\\\"}}\"}}"),
            NULL, &why),
        0);
    CHECK_INT(plan.policy_count, 2);
    CHECK_MEM(plan.policies[0].document, plan.policies[0].len, plan.policies[1].document,
              plan.policies[1].len);
    CHECK_STR(plan.policies[0].name, plan.policies[1].name);
    CHECK_MEM(plan.policies[0].name, 9, "template-", 9);
    arena_done(&arena);
}

/* JITP: what is in the certificate; a thing is not asked for. */
TEST(a_template_for_just_in_time_provisioning_takes_what_is_in_the_certificate)
{
    static const char text[] =
        "{\"Parameters\":{\"AWS::IoT::Certificate::CommonName\":{\"Type\":\"String\"},\"AWS::IoT::Certificate::Id\":{\"Type\":"
        "\"String\"}},\"Resources\":{" CERTIFICATE
        ",\"t\":{\"Type\":\"AWS::IoT::Thing\",\"Properties\":{\"ThingName\":{\"Ref\":"
        "\"AWS::IoT::Certificate::CommonName\"},\"AttributePayload\":{\"country\":{\"Ref\":\"AWS::IoT::Certificate::Country\"}"
        "}}}}}";
    static const struct template_pseudo known[] = {{"AWS::IoT::Certificate::Id", "00ff"},
                                                   {"AWS::IoT::Certificate::CommonName", "press-7"},
                                                   {"AWS::IoT::Certificate::Country", NULL},
                                                   {"AWS::IoT::Certificate::Country", "SE"}};
    struct template template;
    struct template_plan plan;
    const char *why = NULL;
    read_it(&template, TEMPLATE_JITP, text);
    struct template_input input = {NULL, NULL, known, array_size(known)};
    CHECK_INT(template_evaluate(&plan, &arena, &template, &input, &why), 0);
    CHECK_STR(plan.thing, "press-7");
    CHECK_STR(plan.attributes[0].value, "SE");
    input.pseudo_count = 3;
    CHECK_INT(template_evaluate(&plan, &arena, &template, &input, &why), TEMPLATE_PARAMETER);
    CHECK_STR(why, "the certificate has no AWS::IoT::Certificate::Country");
    input.pseudo_count = 1;
    CHECK_INT(template_evaluate(&plan, &arena, &template, &input, &why), TEMPLATE_PARAMETER);
    CHECK_STR(why, "the certificate has no AWS::IoT::Certificate::CommonName");

    read_it(&template, TEMPLATE_JITP, "{\"Resources\":{" CERTIFICATE "}}");
    CHECK_INT(template_evaluate(&plan, &arena, &template, &input, &why), 0);
    CHECK(!plan.thing);
    arena_done(&arena);
}

TEST(names_of_templates)
{
    CHECK(template_name_is_valid("press_7-A", 9));
    CHECK(!template_name_is_valid("", 0));
    CHECK(!template_name_is_valid("a/b", 3));
    CHECK(template_name_is_valid("0123456789012345678901234567890123456", 36));
    CHECK(!template_name_is_valid("0123456789012345678901234567890123456", 37));
}
