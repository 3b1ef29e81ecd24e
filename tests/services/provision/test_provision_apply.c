/* What a template makes in the registry, also of what is there already; and that it makes all of it or nothing. */
#include "provision_rig.h"

#include <stdio.h>

#define ASK "$aws/provisioning-templates/t/provision/json"
#define TEMPLATE(properties, overrides, certificate, more)                                                         \
    "{\"Resources\":{\"thing\":{\"Type\":\"AWS::IoT::Thing\",\"Properties\":{\"ThingName\":\"press-1\"" properties \
    "},\"OverrideSettings\":{" overrides                                                                           \
    "}},\"certificate\":{\"Type\":\"AWS::IoT::Certificate\",\"Properties\":{\"CertificateId\":{\"Ref\":"           \
    "\"AWS::IoT::Certificate::Id\"}" certificate "}}" more "}}"
#define POLICY(name)                                                                                         \
    ",\"policy\":{\"Type\":\"AWS::IoT::Policy\",\"Properties\":{\"PolicyName\":\"" name "\"}}"
#define ALLOW                                                                                                \
    "{\"Version\":\"2012-10-17\",\"Statement\":{\"Effect\":\"Allow\",\"Action\":\"iot:*\",\"Resource\":\"*\"}}"

struct scene {
    struct house *house;
    struct device *device;
    char *id;
};

static void scene_init(struct scene *scene, const char *body)
{
    *scene = (struct scene){.house = house_new(NULL)};
    struct registry *registry = scene->house->registry;
    scene->device = device_new(scene->house, "a", "claim");
    make_template(scene->house, "t", body, "");
    CHECK_INT(registry_type_create(registry, "press", NULL, NULL, 0, NULL), 0);
    CHECK_INT(registry_type_create(registry, "valve", NULL, NULL, 0, NULL), 0);
    static const char *const groups[] = {"north", "south"};
    for (size_t i = 0; i < array_size(groups); i++)
        CHECK_INT(registry_group_create(registry, groups[i], NULL, NULL, NULL, NULL, 0, NULL), 0);
    CHECK_INT(registry_group_create(registry, "by-query", NULL, "attributes.a:1", NULL, NULL, 0, NULL), 0);
    CHECK_INT(registry_policy_create(registry, "some", ALLOW, strlen(ALLOW), NULL), 0);
    rig_turn(scene->house->rig);
}

static void scene_done(struct scene *scene)
{
    free(scene->id);
    (void)device_free(scene->device);
    (void)house_free(scene->house);
}

/* "" when it was accepted, else the error's code. */
static const char *ask(struct scene *scene)
{
    free(scene->id);
    CHECK(device_asks(scene->device, "$aws/certificates/create/json", "", 0));
    scene->id = str_copy(device_member(scene->device, "certificateId"));
    cleanup_free char *token = str_copy(device_member(scene->device, "certificateOwnershipToken"));
    cleanup_free char *request = str_printf("{\"certificateOwnershipToken\":\"%s\"}", token);
    return device_asks_text(scene->device, ASK, request) ? "" : device_member(scene->device, "errorCode");
}

static void old_thing(struct scene *scene)
{
    struct registry *registry = scene->house->registry;
    const struct registry_attribute attributes[] = {{"a", "old"}, {"b", "old"}};
    CHECK_INT(registry_thing_create(registry, "press-1", "press", attributes, 2, NULL), 0);
    CHECK_INT(registry_group_add(registry, "south", "press-1", NULL), 0);
    rig_turn(scene->house->rig);
}

static const struct registry_thing *thing(const struct scene *scene)
{
    return registry_thing(scene->house->registry, "press-1");
}

static bool is_in(const struct scene *scene, const char *group)
{
    return registry_group_has(registry_group(scene->house->registry, group), thing(scene));
}

/* The certificate still waits, and has nothing. */
static void check_untouched(const struct scene *scene)
{
    const struct registry_principal *principal = registry_principal(scene->house->registry, scene->id);
    CHECK_INT(principal->status, REGISTRY_PENDING_ACTIVATION);
    CHECK_INT((int64_t)(principal->thing_count + principal->policy_count), 0);
}

TEST(a_new_thing_has_all_that_the_template_says)
{
    struct scene scene;
    scene_init(
        &scene,
        TEMPLATE(
            ",\"AttributePayload\":{\"a\":\"1\"},\"ThingTypeName\":\"press\",\"ThingGroups\":[\"north\"]", "",
            ",\"Status\":\"INACTIVE\",\"ThingPrincipalType\":\"EXCLUSIVE_THING\"", POLICY("some")));
    CHECK_STR(ask(&scene), "");
    CHECK_STR(thing(&scene)->type->key.text, "press");
    CHECK_STR(registry_attribute(&thing(&scene)->attributes, "a"), "1");
    CHECK(is_in(&scene, "north"));
    const struct registry_principal *principal = registry_principal(scene.house->registry, scene.id);
    CHECK_INT(principal->status, REGISTRY_INACTIVE);
    CHECK(principal->things[0].exclusive);
    CHECK_STR(principal->policies[0]->key.text, "some");
    scene_done(&scene);
}

TEST(what_is_there_already_is_left_alone_unless_the_template_says_otherwise)
{
    static const struct {
        const char *body, *error, *type, *a, *b;
        bool north, south;
    } cases[] = {
#define NEW ",\"AttributePayload\":{\"a\":\"new\"},\"ThingTypeName\":\"valve\",\"ThingGroups\":[\"north\"]"
        {TEMPLATE(NEW, "", "", ""), "", "press", "old", "old", false, true},
        {TEMPLATE(
             NEW,
             "\"AttributePayload\":\"REPLACE\",\"ThingTypeName\":\"REPLACE\",\"ThingGroups\":\"REPLACE\"", "",
             ""),
         "", "valve", "new", "gone", true, false},
        {TEMPLATE(
             NEW,
             "\"ATTRIBUTE_PAYLOAD\":\"MERGE\",\"THING_GROUPS\":\"MERGE\",\"THING_TYPE_NAME\":\"DO_NOTHING\"",
             "", ""),
         "", "press", "new", "old", true, true},
        {TEMPLATE(NEW, "\"AttributePayload\":\"FAIL\"", "", ""), "ResourceConflict", "press", "old", "old",
         false, true},
        {TEMPLATE(NEW, "\"ThingTypeName\":\"FAIL\"", "", ""), "ResourceConflict", "press", "old", "old",
         false, true},
        {TEMPLATE(NEW, "\"ThingGroups\":\"FAIL\"", "", ""), "ResourceConflict", "press", "old", "old", false,
         true},
        {TEMPLATE("", "\"AttributePayload\":\"FAIL\",\"ThingTypeName\":\"FAIL\",\"ThingGroups\":\"FAIL\"", "",
                  ""),
         "", "press", "old", "old", false, true},
    };
    for (size_t i = 0; i < array_size(cases); i++) {
        struct scene scene;
        scene_init(&scene, cases[i].body);
        old_thing(&scene);
        CHECK_STR(ask(&scene), cases[i].error);
        CHECK_STR(thing(&scene)->type->key.text, cases[i].type);
        CHECK_STR(registry_attribute(&thing(&scene)->attributes, "a"), cases[i].a);
        const char *b = registry_attribute(&thing(&scene)->attributes, "b");
        CHECK_STR(b ? b : "gone", cases[i].b);
        CHECK_INT(is_in(&scene, "north"), cases[i].north);
        CHECK_INT(is_in(&scene, "south"), cases[i].south);
        if (*cases[i].error)
            check_untouched(&scene);
        scene_done(&scene);
    }
}

TEST(what_is_missing_is_named_and_nothing_is_made)
{
    static const struct {
        const char *body, *error;
    } cases[] = {
        {TEMPLATE(",\"ThingTypeName\":\"none\"", "", "", ""), "ResourceNotFound"},
        {TEMPLATE(",\"ThingGroups\":[\"north\",\"none\"]", "", "", ""), "ResourceNotFound"},
        {TEMPLATE(",\"ThingGroups\":[\"by-query\"]", "", "", ""), "InvalidParameters"},
        {TEMPLATE("", "", "", POLICY("none")), "ResourceNotFound"},
        {TEMPLATE(",\"AttributePayload\":{\"a b\":\"1\"}", "", "", ""), "InvalidParameters"},
        {TEMPLATE(",\"AttributePayload\":{\"a\":\"1\",\"b\":\"1\",\"c\":\"1\",\"d\":\"1\"}", "", "", ""),
         "InvalidParameters"},
    };
    for (size_t i = 0; i < array_size(cases); i++) {
        struct scene scene;
        scene_init(&scene, cases[i].body);
        CHECK_STR(ask(&scene), cases[i].error);
        CHECK(!thing(&scene));
        check_untouched(&scene);
        CHECK_INT((int64_t)provision_counters(scene.house->provision)->provisioned, 0);
        scene_done(&scene);
    }
}

/* A policy of the name that the template's document has, with another document: found when things have been made already. */
TEST(what_the_registry_refuses_half_way_is_undone)
{
    struct scene scene;
    scene_init(
        &scene,
        TEMPLATE(
            ",\"AttributePayload\":{\"a\":\"new\"},\"ThingTypeName\":\"valve\",\"ThingGroups\":[\"north\"]",
            "\"AttributePayload\":\"REPLACE\",\"ThingTypeName\":\"REPLACE\",\"ThingGroups\":\"REPLACE\"", "",
            POLICY("some") ",\"q\":{\"Type\":\"AWS::IoT::Policy\",\"Properties\":{\"PolicyDocument\":" ALLOW
                           "}}"));
    struct registry *registry = scene.house->registry;
    CHECK_STR(ask(&scene), "");
    cleanup_free char *made = str_copy(registry_principal(registry, scene.id)->policies[1]->key.text);
    CHECK_INT(registry_detach_policy(registry, made, scene.id, NULL), 0);
    CHECK_INT(registry_policy_delete(registry, made, NULL), 0);
    static const char deny[] =
        "{\"Version\":\"2012-10-17\",\"Statement\":{\"Effect\":\"Deny\",\"Action\":\"iot:*\",\"Resource\":\"*\"}}";
    CHECK_INT(registry_policy_create(registry, made, deny, strlen(deny), NULL), 0);
    CHECK_INT(registry_detach_thing(registry, scene.id, "press-1", NULL), 0);
    CHECK_INT(registry_thing_delete(registry, "press-1", 0, NULL), 0);
    rig_turn(scene.house->rig);

    CHECK_STR(ask(&scene), "ResourceConflict");
    CHECK(!thing(&scene));
    check_untouched(&scene);
    old_thing(&scene);
    CHECK_STR(ask(&scene), "ResourceConflict");
    check_untouched(&scene);
    CHECK_STR(thing(&scene)->type->key.text, "press");
    CHECK_STR(registry_attribute(&thing(&scene)->attributes, "b"), "old");
    CHECK(is_in(&scene, "south") && !is_in(&scene, "north"));
    /* On disk, too. */
    house_restart(scene.house);
    CHECK_STR(registry_attribute(&thing(&scene)->attributes, "b"), "old");
    check_untouched(&scene);
    scene_done(&scene);
}

TEST(an_operator_who_was_faster_has_decided)
{
    struct scene scene;
    scene_init(&scene, TEMPLATE("", "", "", ""));
    CHECK(device_asks(scene.device, "$aws/certificates/create/json", "", 0));
    cleanup_free char *id = str_copy(device_member(scene.device, "certificateId"));
    cleanup_free char *request = str_printf("{\"certificateOwnershipToken\":\"%s\"}",
                                            device_member(scene.device, "certificateOwnershipToken"));
    CHECK_INT(registry_principal_set_status(scene.house->registry, id, REGISTRY_REVOKED, NULL), 0);
    CHECK(!device_asks_text(scene.device, ASK, request));
    CHECK_REJECTED(scene.device, "AccessDenied");
    CHECK_INT(registry_principal_delete(scene.house->registry, id, true, NULL), 0);
    CHECK(!device_asks_text(scene.device, ASK, request));
    CHECK_REJECTED(scene.device, "AccessDenied");
    scene_done(&scene);
}
