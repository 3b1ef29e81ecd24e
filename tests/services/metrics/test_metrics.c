/* Metrics: on a bus where the test answers for everybody. */
#include "rig/rig.h"
#include "services/metrics/metrics.h"
#include "services/metrics/metrics_text.h"

#include <stdio.h>

static const char request[] = "$gatehouse/ctl/gateway/metrics";
static const char answers[] = "test/answer";

struct scene {
    struct rig *rig;
    struct metrics *metrics;
    struct subscriber ear;
    struct subscription asked;
    const char *uplinks; /* NULL: no answer */
    unsigned asked_count;
};

static void on_asked(struct subscriber *subscriber, struct msg *msg, const struct delivery *delivery,
                     struct receipt *receipt)
{
    (void)delivery, (void)receipt;
    struct scene *scene = container_of(subscriber, struct scene, ear);
    if (strstr(msg->topic, "/metrics"))
        return;
    scene->asked_count++;
    const char *answer = strstr(msg->topic, "uplink/")    ? scene->uplinks
                         : strstr(msg->topic, "gateway/") ? "{\"uptime\":7}"
                                                          : "{}";
    if (answer)
        bus_reply(scene->rig->bus, msg, answer);
}

static void scene_open(struct scene *scene)
{
    *scene = (struct scene){.rig = rig_new(), .uplinks = "{\"uplinks\":[{\"name\":\"c\",\"state\":\"up\"}]}"};
    scene->ear.deliver = on_asked;
    bus_subscribe_to(scene->rig->bus, &scene->asked, &scene->ear, "$gatehouse/ctl/+/+");
    CHECK_INT(metrics_new(&scene->metrics, scene->rig->bus), 0);
}

static void scene_done(struct scene *scene)
{
    scene->metrics = metrics_free(scene->metrics);
    bus_unsubscribe(scene->rig->bus, &scene->asked);
    scene->rig = rig_free(scene->rig);
}

TEST(who_asks_gets_what_everybody_says)
{
    cleanup(scene_done) struct scene scene;
    scene_open(&scene);
    bus_ask(scene.rig->bus, request, "", answers);
    rig_wait(scene.rig, 0);
    CHECK_INT(rig_count(scene.rig, answers), 1);
    CHECK(strstr(rig_last(scene.rig, answers), "\ngatehouse_uptime_seconds 7\n"));
    CHECK(strstr(rig_last(scene.rig, answers), "\ngatehouse_uplink_up{uplink=\"c\"} 1\n"));
}

TEST(who_does_not_answer_is_left_out_after_half_a_second)
{
    cleanup(scene_done) struct scene scene;
    scene_open(&scene);
    scene.uplinks = NULL;
    bus_ask(scene.rig->bus, request, "", answers);
    rig_wait(scene.rig, 499);
    CHECK_INT(rig_count(scene.rig, answers), 0);
    rig_wait(scene.rig, 1);
    CHECK_INT(rig_count(scene.rig, answers), 1);
    CHECK(strstr(rig_last(scene.rig, answers), "\ngatehouse_uptime_seconds 7\n"));
    CHECK(!strstr(rig_last(scene.rig, answers), "uplink"));
}

TEST(several_who_ask_cost_one_round)
{
    cleanup(scene_done) struct scene scene;
    scene_open(&scene);
    scene.uplinks = NULL;
    for (int i = 0; i < 16; i++)
        bus_ask(scene.rig->bus, request, "", answers);
    rig_wait(scene.rig, 500);
    CHECK_INT(rig_count(scene.rig, answers), 16);
    CHECK_INT(scene.asked_count, METRICS_PARTS);
    bus_ask(scene.rig->bus, request, "", answers);
    rig_wait(scene.rig, 500);
    CHECK_INT(rig_count(scene.rig, answers), 17);
}

TEST(more_than_are_kept_are_refused_at_once_and_who_wants_no_answer_takes_no_place)
{
    cleanup(scene_done) struct scene scene;
    scene_open(&scene);
    scene.uplinks = NULL;
    for (int i = 0; i < 16; i++) {
        bus_say(scene.rig->bus, request, "", BUS_PASS);
        bus_ask(scene.rig->bus, request, "", answers);
    }
    rig_wait(scene.rig, 0);
    CHECK_INT(rig_count(scene.rig, answers), 0);
    bus_ask(scene.rig->bus, request, "", answers);
    rig_wait(scene.rig, 0);
    CHECK_INT(rig_count(scene.rig, answers), 1);
    CHECK_STR(rig_last(scene.rig, answers), "{\"code\":429,\"message\":\"too many requests at once\"}");
    rig_wait(scene.rig, 500);
    CHECK_INT(rig_count(scene.rig, answers), 17);
}

/* ---- the text ------------------------------------------------------------------------------------------------------ */

static void check_text(enum metrics_part part, const char *answer, const char *expected)
{
    struct arena arena = {0};
    struct json *json;
    CHECK_INT(json_parse(&json, &arena, answer, strlen(answer), NULL), 0);
    const struct json *parts[METRICS_PARTS] = {0};
    parts[part] = json;
    CHECK_STR(metrics_text(&arena, parts), expected);
    arena_done(&arena);
}

TEST(figures_have_a_type_and_say_what_they_are)
{
    check_text(METRICS_GATEWAY, "{\"bus\":{\"retained\":12},\"store\":{\"damaged\":true,\"bytes\":\"?\"}}",
               "# HELP gatehouse_retained_messages Retained messages.\n"
               "# TYPE gatehouse_retained_messages gauge\n"
               "gatehouse_retained_messages 12\n"
               "# HELP gatehouse_store_damaged 1 if something in the database could not be read.\n"
               "# TYPE gatehouse_store_damaged gauge\n"
               "gatehouse_store_damaged 1\n");
}

TEST(figures_of_one_name_stand_together)
{
    check_text(METRICS_BROKER, "{\"droppedExpired\":3,\"droppedQos0\":9007199254740991}",
               "# HELP gatehouse_mqtt_dropped_total Messages that a receiver did not get.\n"
               "# TYPE gatehouse_mqtt_dropped_total counter\n"
               "gatehouse_mqtt_dropped_total{reason=\"slow receiver, QoS 0\"} 9007199254740991\n"
               "gatehouse_mqtt_dropped_total{reason=\"expired\"} 3\n");
}

TEST(refusals_say_what_and_why)
{
    check_text(METRICS_BROKER,
               "{\"refusals\":{\"connect\":{},\"publish\":{\"not authorized\":2,\"quota exceeded\":1}}}",
               "# HELP gatehouse_mqtt_refusals_total What was refused, by the standard's reason.\n"
               "# TYPE gatehouse_mqtt_refusals_total counter\n"
               "gatehouse_mqtt_refusals_total{what=\"publish\",reason=\"not authorized\"} 2\n"
               "gatehouse_mqtt_refusals_total{what=\"publish\",reason=\"quota exceeded\"} 1\n");
}

TEST(listeners_of_both_kinds_stand_together)
{
    struct arena arena = {0};
    struct json *broker, *http;
    const char *b = "{\"certificates\":[{\"listener\":\"mqtts://h\",\"expires\":1800000000}]}";
    const char *h = "{\"certificates\":[{\"listener\":\"https://h\",\"expires\":1900000000}]}";
    CHECK_INT(json_parse(&broker, &arena, b, strlen(b), NULL), 0);
    CHECK_INT(json_parse(&http, &arena, h, strlen(h), NULL), 0);
    const struct json *parts[METRICS_PARTS] = {[METRICS_BROKER] = broker, [METRICS_HTTP] = http};
    CHECK_STR(
        metrics_text(&arena, parts),
        "# HELP gatehouse_certificate_expiry_timestamp_seconds When the listener's certificate expires, since 1970.\n"
        "# TYPE gatehouse_certificate_expiry_timestamp_seconds gauge\n"
        "gatehouse_certificate_expiry_timestamp_seconds{listener=\"mqtts://h\"} 1800000000\n"
        "gatehouse_certificate_expiry_timestamp_seconds{listener=\"https://h\"} 1900000000\n");
    arena_done(&arena);
}

TEST(labels_are_escaped_and_times_are_seconds)
{
    check_text(
        METRICS_SYNCS,
        "{\"syncs\":[{\"name\":\"a\\\"\\\\\\nb\",\"lag\":250},{\"lag\":1},{\"name\":\"c\",\"lag\":0}]}",
        "# HELP gatehouse_sync_lag_seconds How long the one that waits longest has.\n"
        "# TYPE gatehouse_sync_lag_seconds gauge\n"
        "gatehouse_sync_lag_seconds{sync=\"a\\\"\\\\\\nb\"} 0.25\n"
        "gatehouse_sync_lag_seconds{sync=\"c\"} 0\n");
}
