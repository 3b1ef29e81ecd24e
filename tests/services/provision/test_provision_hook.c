/* Whoever is asked before a device is provisioned. */
#include "provision_rig.h"

#include <stdio.h>

#define PRESS "$aws/provisioning-templates/press/provision/json"

/* A hook: what it was asked, and what it answers; NULL: nothing. */
struct hook {
    struct subscriber subscriber;
    struct subscription subscription;
    struct bus *bus;
    const char *answer;
    char question[4096];
    char answer_topic[128];
    int asked;
};

static void on_question(struct subscriber *subscriber, struct msg *msg, const struct delivery *delivery,
                        struct receipt *receipt)
{
    (void)delivery, (void)receipt;
    struct hook *hook = container_of(subscriber, struct hook, subscriber);
    hook->asked++;
    (void)snprintf(hook->question, sizeof hook->question, "%s", (const char *)msg->payload);
    (void)snprintf(hook->answer_topic, sizeof hook->answer_topic, "%.*s", (int)msg->response_topic_len,
                   msg->response_topic);
    if (hook->answer)
        bus_reply(hook->bus, msg, hook->answer);
}

struct scene {
    struct house *house;
    struct device *device;
    struct hook hook;
    char *token;
};

static void scene_init(struct scene *scene, const char *answer)
{
    *scene = (struct scene){.house = house_new(NULL)};
    scene->device = device_new(scene->house, "claim-0042",
                               "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef");
    scene->hook =
        (struct hook){.subscriber.deliver = on_question, .bus = scene->house->rig->bus, .answer = answer};
    bus_subscribe_to(scene->hook.bus, &scene->hook.subscription, &scene->hook.subscriber,
                     "$gatehouse/provisioning/hooks/gate");
    make_template(scene->house, "press", TEMPLATE_PRESS, ",\"hook\":\"gate\"");
    CHECK(device_asks(scene->device, "$aws/certificates/create/json", "", 0));
    scene->token = str_copy(device_member(scene->device, "certificateOwnershipToken"));
}

static void scene_done(struct scene *scene)
{
    bus_unsubscribe(scene->hook.bus, &scene->hook.subscription);
    (void)device_free(scene->device);
    (void)house_free(scene->house);
    free(scene->token);
}

static bool ask(struct scene *scene)
{
    cleanup_free char *request = str_printf(
        "{\"certificateOwnershipToken\":\"%s\",\"parameters\":{\"SerialNumber\":\"0042\",\"Note\":\"x\"}}",
        scene->token);
    return device_asks_text(scene->device, PRESS, request);
}

TEST(a_hook_is_told_all_and_may_say_yes)
{
    struct scene scene;
    scene_init(&scene, "{\"allowProvisioning\":true}");
    cleanup_free char *id = str_copy(device_member(scene.device, "certificateId"));
    CHECK(ask(&scene));
    CHECK_STR(device_member(scene.device, "thingName"), "press-0042");
    CHECK_INT(scene.hook.asked, 1);
    cleanup_free char *begin =
        str_printf("{\"claimCertificateId\":\"0123456789abcdef0123456789abcdef0123456789abcdef0123456789"
                   "abcdef\",\"certificateId\":\"%s\",\"certificatePem\":\"-----BEGIN CERTIFICATE-----\\n",
                   id);
    CHECK(strncmp(scene.hook.question, begin, strlen(begin)) == 0);
    CHECK(strstr(
        scene.hook.question,
        "\"templateArn\":\"arn:aws:iot:local:000000000000:provisioningtemplate/press\",\"clientId\":\"claim-0042\","
        "\"parameters\":{\"SerialNumber\":\"0042\",\"Note\":\"x\"}}"));
    /* A retry asks it again. */
    CHECK(ask(&scene));
    CHECK_INT(scene.hook.asked, 2);
    scene_done(&scene);
}

TEST(a_hook_may_say_something_else_than_the_device)
{
    struct scene scene;
    scene_init(&scene, "{\"allowProvisioning\":true,\"parameterOverrides\":{\"SerialNumber\":\"7\"}}");
    CHECK(ask(&scene));
    CHECK_STR(device_member(scene.device, "thingName"), "press-7");
    scene_done(&scene);
}

TEST(what_is_not_a_yes_is_a_no)
{
    static const char *const answers[] = {
        "{\"allowProvisioning\":false}",
        "{\"allowProvisioning\":\"true\"}",
        "{}",
        "",
        "yes",
        "[true]",
        "{\"allowProvisioning\":true,\"parameterOverrides\":{\"SerialNumber\":7}}",
        "{\"allowProvisioning\":true,\"parameterOverrides\":[]}",
    };
    struct scene scene;
    scene_init(&scene, NULL);
    for (size_t i = 0; i < array_size(answers); i++) {
        scene.hook.answer = answers[i];
        CHECK(!ask(&scene));
        CHECK_REJECTED(scene.device, "AccessDenied");
    }
    CHECK(!registry_thing(scene.house->registry, "press-0042"));
    scene.hook.answer = "{\"allowProvisioning\":true,\"parameterOverrides\":null}";
    CHECK(ask(&scene)); /* the token was not used up */
    scene_done(&scene);
}

TEST(a_hook_that_does_not_answer_in_five_seconds_refuses)
{
    struct scene scene;
    scene_init(&scene, NULL);
    CHECK(!ask(&scene));
    CHECK_INT(scene.device->heard, 1); /* only the certificate so far */
    rig_wait(scene.house->rig, 4900);
    CHECK_INT(scene.device->heard, 1);
    /* Meanwhile the token is taken. */
    CHECK(!ask(&scene));
    CHECK_REJECTED(scene.device, "ResourceConflict");
    rig_wait(scene.house->rig, 200);
    CHECK_REJECTED(scene.device, "AccessDenied");
    CHECK_STR(device_member(scene.device, "errorMessage"),
              "The pre-provisioning hook did not answer in 5 seconds.");
    /* An answer that comes too late changes nothing. */
    rig_publish(scene.house->rig, scene.hook.answer_topic, "{\"allowProvisioning\":true}");
    rig_turn(scene.house->rig);
    CHECK_INT(scene.device->heard, 3);
    CHECK(!registry_thing(scene.house->registry, "press-0042"));
    scene_done(&scene);
}

/* The rig listens to everything, so somebody is there who might answer: it takes its time. */
TEST(a_hook_that_is_not_there_refuses)
{
    struct scene scene;
    scene_init(&scene, NULL);
    bus_unsubscribe(scene.hook.bus, &scene.hook.subscription);
    (void)ask(&scene);
    rig_wait(scene.house->rig, 5100);
    CHECK_REJECTED(scene.device, "AccessDenied");
    scene_done(&scene);
}

TEST(a_template_that_goes_while_the_hook_thinks_is_missed)
{
    struct scene scene;
    scene_init(&scene, NULL);
    (void)ask(&scene);
    CHECK(rig_request(scene.house->rig, "$gatehouse/ctl/template/delete", "{\"name\":\"press\"}") != NULL);
    rig_publish(scene.house->rig, scene.hook.answer_topic, "{\"allowProvisioning\":true}");
    rig_turn(scene.house->rig);
    CHECK_REJECTED(scene.device, "ResourceNotFound");
    scene_done(&scene);
}

TEST(the_end_of_the_gateway_ends_a_question)
{
    struct scene scene;
    scene_init(&scene, NULL);
    (void)ask(&scene);
    house_restart(scene.house);
    scene.hook.answer = "{\"allowProvisioning\":true}";
    CHECK(ask(&scene));
    scene_done(&scene);
}
