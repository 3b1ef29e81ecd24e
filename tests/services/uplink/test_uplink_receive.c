/* What is asked of the cloud and what is heard of it: on a broker that does what the test says, and on Mosquitto. */
#include "cloud/scripted_broker.h"
#include "services/uplink/uplink_rig.h"

#include <signal.h>
#include <stdio.h>

struct scene {
    struct uplink_rig *rig;
    struct scripted_broker broker;
    char uri[64];
    struct subscriber ear;
    struct subscription received;
    char heard[4096]; /* "topic=payload " */
};

static void on_heard(struct subscriber *subscriber, struct msg *msg, const struct delivery *delivery,
                     struct receipt *receipt)
{
    (void)delivery, (void)receipt;
    struct scene *scene = container_of(subscriber, struct scene, ear);
    size_t len = strlen(scene->heard);
    CHECK_INT((int64_t)msg->origin, 0);
    (void)snprintf(scene->heard + len, sizeof scene->heard - len, "%s=%.40s ", msg->topic,
                   (const char *)msg->payload);
}

static struct scene *scene_new(bool real)
{
    struct scene *scene = mem_new(struct scene);
    scene->rig = uplink_rig_new("allow_anonymous true\n");
    scripted_broker_init(&scene->broker, scene->rig->cloud.loop);
    (void)snprintf(scene->uri, sizeof scene->uri, "mqtt://127.0.0.1:%u", scene->broker.port);
    scene->ear.deliver = on_heard;
    bus_subscribe_to(scene->rig->bus, &scene->received, &scene->ear, "$gatehouse/cloud/+/receive/#");
    if (real)
        mosquitto_start(&scene->rig->broker);
    uplink_rig_open(scene->rig, (struct uplink_options){.uri = real ? NULL : scene->uri});
    return scene;
}

static struct scene *scene_up(void)
{
    struct scene *scene = scene_new(false);
    UNTIL(&scene->rig->cloud, uplink_rig_is(scene->rig, "up"));
    return scene;
}

static struct scene *scene_free(struct scene *scene)
{
    uplink_rig_close(scene->rig);
    bus_unsubscribe(scene->rig->bus, &scene->received);
    scripted_broker_done(&scene->broker);
    scene->rig = uplink_rig_free(scene->rig);
    free(scene);
    return NULL;
}
define_cleanup(struct scene *, scene_free)

struct request {
    struct receipt receipt;
    int r;
};

static void on_settled(struct receipt *receipt, int r)
{
    container_of(receipt, struct request, receipt)->r = r;
}

/* What its receipt said. */
static int ask(struct scene *scene, const char *who, const char *filters, bool retain)
{
    cleanup_free char *topic = str_printf("$gatehouse/cloud/cloud/subscribe/%s", who);
    cleanup(msg_unref_p) struct msg *msg = msg_new(topic, strlen(topic), filters, strlen(filters));
    struct request request = {.r = UNSETTLED};
    receipt_init(&request.receipt, on_settled);
    msg->qos = 1;
    msg->retain = retain;
    bus_publish(scene->rig->bus, msg, &request.receipt);
    UNTIL(&scene->rig->cloud, request.r != UNSETTLED);
    return request.r;
}

static bool says(const struct scene *scene, const char *text)
{
    return strstr(scene->rig->last, text) != NULL;
}

/* ---- asking ------------------------------------------------------------------------------------------------------ */

TEST(filters_are_subscribed_to_and_the_status_says_when_they_stand)
{
    cleanup(scene_free_p) struct scene *scene = scene_up();
    CHECK_INT(ask(scene, "rules", "[\"a/+\",\"b/#\"]", false), 0);
    UNTIL(&scene->rig->cloud,
          says(scene, "\"subscribed\":[{\"for\":\"rules\",\"filters\":2,\"standing\":2,\"refused\":0}]"));
    CHECK_INT(scene->broker.subscribes, 2);
    CHECK(strstr(scene->broker.filters, "+a/+ ") && strstr(scene->broker.filters, "+b/# "));
}

TEST(until_the_broker_answers_they_do_not_stand)
{
    cleanup(scene_free_p) struct scene *scene = scene_up();
    scene->broker.mute = true;
    CHECK_INT(ask(scene, "w", "[\"a\"]", false), 0);
    UNTIL(&scene->rig->cloud, scene->broker.subscribes == 1);
    CHECK(
        strstr(uplink_rig_ask(scene->rig, "$gatehouse/ctl/uplink/list", ""), "\"standing\":0,\"refused\":0"));
}

TEST(a_filter_two_want_is_subscribed_once_and_until_the_last_has_gone)
{
    cleanup(scene_free_p) struct scene *scene = scene_up();
    CHECK_INT(ask(scene, "one", "[\"a\",\"b\"]", false), 0);
    UNTIL(&scene->rig->cloud, says(scene, "\"standing\":2"));
    CHECK_INT(ask(scene, "two", "[\"b\",\"b\"]", false), 0);
    UNTIL(&scene->rig->cloud, says(scene, "\"for\":\"two\""));
    CHECK_INT(scene->broker.subscribes, 2);
    CHECK_INT(ask(scene, "one", "", false), 0);
    UNTIL(&scene->rig->cloud, scene->broker.unsubscribes == 1);
    CHECK_STR(scene->broker.filters, "+a +b -a ");
    CHECK_INT(ask(scene, "two", "[]", false), 0);
    UNTIL(&scene->rig->cloud, scene->broker.unsubscribes == 2);
    CHECK_STR(scene->broker.filters, "+a +b -a -b ");
    UNTIL(&scene->rig->cloud, says(scene, "\"subscribed\":[]"));
}

TEST(another_list_takes_the_place_of_the_first_and_what_is_in_both_stays)
{
    cleanup(scene_free_p) struct scene *scene = scene_up();
    CHECK_INT(ask(scene, "w", "[\"a\",\"b\"]", false), 0);
    UNTIL(&scene->rig->cloud, says(scene, "\"standing\":2"));
    CHECK_INT(ask(scene, "w", "[\"b\",\"c\"]", false), 0);
    UNTIL(&scene->rig->cloud, scene->broker.unsubscribes == 1 && scene->broker.subscribes == 3);
    CHECK(!strstr(scene->broker.filters, "-b"));
    CHECK_INT(ask(scene, "w", "[\"c\",\"b\"]", false), 0); /* the same */
    UNTIL(&scene->rig->cloud, says(scene, "\"standing\":2"));
    CHECK_INT(scene->broker.subscribes + scene->broker.unsubscribes, 4);
}

TEST(a_filter_given_back_while_it_is_asked_for_is_given_back)
{
    cleanup(scene_free_p) struct scene *scene = scene_up();
    scene->broker.mute = true;
    CHECK_INT(ask(scene, "w", "[\"a\"]", false), 0);
    UNTIL(&scene->rig->cloud, scene->broker.subscribes == 1);
    CHECK_INT(ask(scene, "w", "", false), 0);
    scripted_broker_hang_up(&scene->broker); /* and its answer never comes */
    scene->broker.mute = false;
    UNTIL(&scene->rig->cloud, scene->broker.connects == 2 && uplink_rig_is(scene->rig, "up"));
    CHECK_INT(ask(scene, "w", "[\"b\"]", false), 0);
    UNTIL(&scene->rig->cloud, says(scene, "\"standing\":1"));
    CHECK_STR(scene->broker.filters, "+a +b ");
}

TEST(what_the_broker_refuses_is_told_and_not_asked_again_on_this_connection)
{
    cleanup(scene_free_p) struct scene *scene = scene_up();
    scene->broker.suback = 0x80;
    CHECK_INT(ask(scene, "w", "[\"secret\"]", false), 0);
    UNTIL(&scene->rig->cloud, says(scene, "\"standing\":0,\"refused\":1"));
    CHECK_INT(cloud_rig_logged(&scene->rig->cloud, "the broker refuses the subscription to secret"), 1);
    CHECK_INT(ask(scene, "w", "[\"secret\"]", false), 0);
    scene->broker.suback = 0;
    CHECK_INT(scene->broker.subscribes, 1);
    scripted_broker_hang_up(&scene->broker);
    UNTIL(&scene->rig->cloud, says(scene, "\"standing\":1,\"refused\":0"));
}

TEST(subscriptions_are_renewed_after_every_connection)
{
    cleanup(scene_free_p) struct scene *scene = scene_up();
    CHECK_INT(ask(scene, "w", "[\"a\",\"b\"]", false), 0);
    for (unsigned round = 1; round <= 3; round++) {
        UNTIL(&scene->rig->cloud, uplink_rig_is(scene->rig, "up") && says(scene, "\"standing\":2"));
        CHECK_INT(scene->broker.subscribes, 2 * round);
        scripted_broker_hang_up(&scene->broker);
        UNTIL(&scene->rig->cloud, uplink_rig_is(scene->rig, "down"));
        CHECK(says(scene, "\"standing\":0"));
    }
    (void)uplink_rig_ask(scene->rig, "$gatehouse/ctl/uplink/cut", "{\"name\":\"cloud\"}");
    CHECK(strstr(scene->rig->answer, "\"standing\":0"));
    (void)uplink_rig_ask(scene->rig, "$gatehouse/ctl/uplink/restore", "{\"name\":\"cloud\"}");
    UNTIL(&scene->rig->cloud, uplink_rig_is(scene->rig, "up") && says(scene, "\"standing\":2"));
}

TEST(a_retained_request_holds_for_the_next_start)
{
    cleanup(scene_free_p) struct scene *scene = scene_up();
    CHECK_INT(ask(scene, "w", "[\"a\"]", true), 0);
    UNTIL(&scene->rig->cloud, says(scene, "\"standing\":1"));
    uplink_rig_close(scene->rig);
    scene->rig->last[0] = '\0';
    uplink_rig_open(scene->rig, (struct uplink_options){.uri = scene->uri});
    UNTIL(&scene->rig->cloud, says(scene, "\"for\":\"w\",\"filters\":1,\"standing\":1"));
    CHECK_INT(scene->broker.subscribes, 2);
}

TEST(what_is_no_list_of_filters_is_refused_and_changes_nothing)
{
    static const struct {
        const char *payload;
        int r;
    } wrong[] = {
        {"{}", 0x99},         {"nonsense", 0x99},        {"[1]", 0x99},
        {"[\"\"]", 0x8F},     {"[\"a#\"]", 0x8F},        {"[\"#/a\"]", 0x8F},
        {"[\"a/b+\"]", 0x8F}, {"[\"a\\u0000b\"]", 0x8F}, {"[\"c\",\"+x\"]", 0x8F},
    };
    cleanup(scene_free_p) struct scene *scene = scene_up();
    CHECK_INT(ask(scene, "w", "[\"a\"]", false), 0);
    UNTIL(&scene->rig->cloud, says(scene, "\"standing\":1"));
    for (size_t i = 0; i < array_size(wrong); i++)
        CHECK_INT(ask(scene, "w", wrong[i].payload, false), wrong[i].r);
    CHECK_INT(ask(scene, "", "[\"a\"]", false), 0x97);
    char name[100] = {0};
    memset(name, 'n', 65);
    CHECK_INT(ask(scene, name, "[\"a\"]", false), 0x97);
    CHECK_STR(scene->broker.filters, "+a ");
    CHECK(
        strstr(uplink_rig_ask(scene->rig, "$gatehouse/ctl/uplink/list", ""), "\"filters\":1,\"standing\":1"));
}

TEST(more_filters_than_there_is_room_for_are_refused)
{
    cleanup(scene_free_p) struct scene *scene = scene_new(false);
    cleanup_free char *text = mem_new_bytes(20 * 1001 + 10);
    size_t len = 0;
    for (int i = 0; i < 1001; i++)
        len += (size_t)snprintf(text + len, 20, "%s\"f/%d\"", i ? "," : "[", i);
    (void)snprintf(text + len, 4, "]");
    CHECK_INT(ask(scene, "w", text, false), 0x97);
    text[strlen(text) - strlen(",\"f/1000\"]")] = ']';
    text[strlen(text) - strlen("\"f/1000\"]")] = '\0';
    CHECK_INT(ask(scene, "w", text, false), 0);
    CHECK_INT(ask(scene, "v", "[\"f/7\"]", false), 0); /* there already */
    CHECK_INT(ask(scene, "v", "[\"g\"]", false), 0x97);
    CHECK_INT(ask(scene, "w", "", false), 0);
    CHECK_INT(ask(scene, "v", "[\"g\"]", false), 0);
}

/* ---- hearing ----------------------------------------------------------------------------------------------------- */

TEST(what_the_cloud_says_is_said_on_the_bus)
{
    cleanup(scene_free_p) struct scene *scene = scene_up();
    CHECK_INT(ask(scene, "w", "[\"cmd/#\"]", false), 0);
    UNTIL(&scene->rig->cloud, says(scene, "\"standing\":1"));
    scripted_broker_publish(&scene->broker, "cmd/a", "go", 2, 1, false);
    scripted_broker_publish(&scene->broker, "cmd", "", 0, 0, true);
    scripted_broker_publish(&scene->broker, "$aws/x", "{}", 2, 1, false);
    UNTIL(&scene->rig->cloud, scene->broker.pubacks == 2 && strstr(scene->heard, "$aws"));
    CHECK_STR(scene->heard, "$gatehouse/cloud/cloud/receive/cmd/a=go $gatehouse/cloud/cloud/receive/cmd= "
                            "$gatehouse/cloud/cloud/receive/$aws/x={} ");
    CHECK(strstr(uplink_rig_ask(scene->rig, "$gatehouse/ctl/uplink/list", ""), "\"received\":3,\"lost\":0"));
    struct subscription late = {.subscriber = &scene->ear, .qos = 1};
    bus_subscribe(scene->rig->bus, &late, "$gatehouse/cloud/#", strlen("$gatehouse/cloud/#"));
    scene->heard[0] = '\0';
    bus_send_retained(scene->rig->bus, &late);
    bus_unsubscribe(scene->rig->bus, &late);
    CHECK_STR(scene->heard, ""); /* what is retained there is not retained here */
}

TEST(messages_go_through_a_real_broker_and_back_before_and_after_a_restart_of_it)
{
    if (!mosquitto_exists())
        SKIP("mosquitto is not installed");
    cleanup(scene_free_p) struct scene *scene = scene_new(true);
    CHECK_INT(ask(scene, "w", "[\"t/#\"]", false), 0);
    for (int round = 0; round < 2; round++) {
        UNTIL(&scene->rig->cloud, uplink_rig_is(scene->rig, "up") && says(scene, "\"standing\":1"));
        scene->heard[0] = '\0';
        unsigned number = scene->rig->sent;
        uplink_rig_send(scene->rig, 1);
        cleanup_free char *expected = str_printf("$gatehouse/cloud/cloud/receive/t/%u=%u ", number, number);
        UNTIL(&scene->rig->cloud, strcmp(scene->heard, expected) == 0);
        mosquitto_end(&scene->rig->broker, SIGKILL);
        UNTIL(&scene->rig->cloud, uplink_rig_is(scene->rig, "down"));
        mosquitto_start(&scene->rig->broker);
    }
}
