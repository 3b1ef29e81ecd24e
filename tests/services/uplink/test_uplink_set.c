/* Uplinks that change while everything goes on: settings, maps, the network and the clock. */
#include "bus/topics.h"
#include "cloud/scripted_broker.h"
#include "services/uplink/uplink_maps.h"
#include "services/uplink/uplink_rig.h"

#include <errno.h>
#include <stdio.h>

struct scene {
    struct uplink_rig *rig;
    struct scripted_broker broker;
    char uri[64];
    struct subscriber ear;
    struct subscription everything;
    char heard[4096]; /* "topic=payload/hops " of what is not $… */
};

static void on_heard(struct subscriber *subscriber, struct msg *msg, const struct delivery *delivery,
                     struct receipt *receipt)
{
    (void)delivery, (void)receipt;
    struct scene *scene = container_of(subscriber, struct scene, ear);
    size_t len = strlen(scene->heard);
    CHECK(msg_came_from(msg, "cloud") && !msg_came_from(msg, "other"));
    (void)snprintf(scene->heard + len, sizeof scene->heard - len, "%s=%.40s/%u ", msg->topic,
                   (const char *)msg->payload, msg->hops);
}

static struct uplink_options to(struct scene *scene, const char *name)
{
    return (struct uplink_options){.name = name, .uri = scene->uri, .pause_max = 20, .client_id = name};
}

static struct scene *scene_up(void)
{
    struct scene *scene = mem_new(struct scene);
    scene->rig = uplink_rig_new("allow_anonymous true\n");
    scripted_broker_init(&scene->broker, scene->rig->cloud.loop);
    scene->broker.acknowledges = true;
    (void)snprintf(scene->uri, sizeof scene->uri, "mqtt://127.0.0.1:%u", scene->broker.port);
    scene->ear.deliver = on_heard;
    bus_subscribe_to(scene->rig->bus, &scene->everything, &scene->ear, "local/#");
    const struct uplink_options options = to(scene, "cloud");
    CHECK_INT(uplinks_new(&scene->rig->uplinks, scene->rig->bus, &options, 1), 0);
    UNTIL(&scene->rig->cloud, uplink_rig_is(scene->rig, "up"));
    return scene;
}

static struct scene *scene_free(struct scene *scene)
{
    uplink_rig_close(scene->rig);
    bus_unsubscribe(scene->rig->bus, &scene->everything);
    scripted_broker_done(&scene->broker);
    scene->rig = uplink_rig_free(scene->rig);
    free(scene);
    return NULL;
}
define_cleanup(struct scene *, scene_free)

static int apply(struct scene *scene, const struct uplink_options *options, size_t count)
{
    return uplinks_apply(scene->rig->uplinks, options, count);
}

static void some_turns(struct scene *scene)
{
    for (int i = 0; i < 30; i++)
        CHECK(loop_turn(scene->rig->cloud.loop, 5) >= 0);
}

/* ---- settings ---------------------------------------------------------------------------------------------------- */

TEST(an_uplink_that_is_as_before_keeps_its_connection)
{
    cleanup(scene_free_p) struct scene *scene = scene_up();
    const struct uplink_options same = to(scene, "cloud");
    for (int i = 0; i < 3; i++) {
        CHECK_INT(apply(scene, &same, 1), 0);
        some_turns(scene);
    }
    CHECK_INT(scene->broker.connects, 1);
    CHECK_STR(scene->rig->states, "connecting up ");
}

TEST(a_changed_uplink_says_goodbye_and_connects_as_it_is_now)
{
    cleanup(scene_free_p) struct scene *scene = scene_up();
    struct uplink_options changed = to(scene, "cloud");
    changed.client_id = "another";
    changed.keepalive_s = 33;
    CHECK_INT(apply(scene, &changed, 1), 0);
    UNTIL(&scene->rig->cloud, scene->broker.connects == 2 && uplink_rig_is(scene->rig, "up"));
    CHECK_STR(scene->broker.client_id, "another");
    CHECK_INT(scene->broker.keepalive_s, 33);
    CHECK_INT(scene->broker.disconnects, 1);
    CHECK_STR(scene->rig->states, "connecting up down connecting up ");
    uplink_rig_send(scene->rig, 1);
    UNTIL(&scene->rig->cloud, scene->rig->settled_count == 1);
    CHECK_INT(scene->rig->settled[0], 0);
}

TEST(an_uplink_that_changes_again_and_again_ends_as_the_last_one)
{
    cleanup(scene_free_p) struct scene *scene = scene_up();
    char id[16];
    for (int i = 0; i < 10; i++) {
        struct uplink_options changed = to(scene, "cloud");
        (void)snprintf(id, sizeof id, "id-%d", i);
        changed.client_id = id;
        CHECK_INT(apply(scene, &changed, 1), 0);
        if (i % 3 == 0)
            some_turns(scene);
    }
    UNTIL(&scene->rig->cloud,
          strcmp(scene->broker.client_id, "id-9") == 0 && uplink_rig_is(scene->rig, "up"));
}

TEST(an_uplink_that_has_gone_refuses_and_comes_back_when_it_is_configured_again)
{
    cleanup(scene_free_p) struct scene *scene = scene_up();
    CHECK_INT(apply(scene, NULL, 0), 0);
    UNTIL(&scene->rig->cloud, scene->broker.disconnects == 1);
    CHECK(uplink_rig_is(scene->rig, "down") && strstr(scene->rig->last, "not configured any more"));
    uplink_rig_send(scene->rig, 1);
    UNTIL(&scene->rig->cloud, scene->rig->settled_count == 1);
    CHECK_INT(scene->rig->settled[0], NOT_CONNECTED);
    CHECK_STR(uplink_rig_ask(scene->rig, TOPIC_CTL_UPLINK_LIST, ""), "{\"uplinks\":[]}");

    const struct uplink_options again = to(scene, "cloud");
    CHECK_INT(apply(scene, &again, 1), 0);
    UNTIL(&scene->rig->cloud, uplink_rig_is(scene->rig, "up"));
    uplink_rig_send(scene->rig, 1);
    UNTIL(&scene->rig->cloud, scene->rig->settled_count == 2);
    CHECK_INT(scene->rig->settled[1], 0);
}

TEST(an_uplink_with_a_mistake_leaves_all_as_they_were)
{
    cleanup(scene_free_p) struct scene *scene = scene_up();
    struct uplink_options wrong[] = {to(scene, "cloud"), to(scene, "new"), to(scene, "bad")};
    wrong[0].client_id = "another";
    wrong[2].uri = "gopher://example";
    CHECK_INT(apply(scene, wrong, 3), -EINVAL);
    CHECK_INT(cloud_rig_logged(&scene->rig->cloud, "uplink bad: expected "), 1);
    some_turns(scene);
    CHECK_INT(scene->broker.connects, 1);
    CHECK_STR(scene->rig->states, "connecting up ");
    CHECK(!strstr(uplink_rig_ask(scene->rig, TOPIC_CTL_UPLINK_LIST, ""), "\"new\""));
}

TEST(an_uplink_that_was_cut_stays_so_when_it_changes)
{
    cleanup(scene_free_p) struct scene *scene = scene_up();
    (void)uplink_rig_ask(scene->rig, TOPIC_CTL_UPLINK_CUT, "{\"name\":\"cloud\"}");
    struct uplink_options changed = to(scene, "cloud");
    changed.client_id = "another";
    CHECK_INT(apply(scene, &changed, 1), 0);
    UNTIL(&scene->rig->cloud, scene->broker.disconnects == 1);
    some_turns(scene);
    CHECK_INT(scene->broker.connects, 1);
    (void)uplink_rig_ask(scene->rig, TOPIC_CTL_UPLINK_RESTORE, "{\"name\":\"cloud\"}");
    UNTIL(&scene->rig->cloud, scene->broker.connects == 2);
    CHECK_STR(scene->broker.client_id, "another");
}

TEST(an_uplink_that_is_restored_while_it_changes_connects_as_it_is_now)
{
    cleanup(scene_free_p) struct scene *scene = scene_up();
    struct uplink_options changed = to(scene, "cloud");
    changed.client_id = "another";
    CHECK_INT(apply(scene, &changed, 1), 0);
    (void)uplink_rig_ask(scene->rig, TOPIC_CTL_UPLINK_RESTORE, "{\"name\":\"cloud\"}");
    UNTIL(&scene->rig->cloud, scene->broker.connects == 2 && uplink_rig_is(scene->rig, "up"));
    CHECK_STR(scene->broker.client_id, "another");
}

/* ---- maps -------------------------------------------------------------------------------------------------------- */

TEST(what_the_cloud_says_has_the_topic_that_a_map_gives_it)
{
    cleanup(scene_free_p) struct scene *scene = scene_up();
    const struct uplink_map_options maps[] = {
        {"a", "cloud", "cmd/+/set/#", "local/${1}/${2}"},
        {"b", "cloud", "cmd/#", "local/all/${topic}"},
        {"c", "other", "cmd/#", "local/not/${topic}"},
    };
    uplinks_set_maps(scene->rig->uplinks, maps, array_size(maps));
    UNTIL(&scene->rig->cloud, scene->broker.subscribes == 2);
    scripted_broker_publish(&scene->broker, "cmd/pump/set/speed/max", "5", 1, 1, false);
    scripted_broker_publish(&scene->broker, "cmd/stop", "", 0, 0, false);
    UNTIL(&scene->rig->cloud, strstr(scene->heard, "cmd/stop"));
    CHECK_STR(scene->heard,
              "local/pump/speed/max=5/1 local/all/cmd/pump/set/speed/max=5/1 local/all/cmd/stop=/1 ");

    uplinks_set_maps(scene->rig->uplinks, maps, 1);
    UNTIL(&scene->rig->cloud, scene->broker.unsubscribes == 1);
    CHECK(strstr(scene->broker.filters, "-cmd/# "));
}

TEST(maps_wait_while_their_uplink_is_of_a_kind_that_has_nothing_to_say)
{
    cleanup(scene_free_p) struct scene *scene = scene_up();
    const struct uplink_map_options maps[] = {
        {"a", "cloud", "cmd/a/#", "local/a/${1}"},
        {"b", "cloud", "cmd/b/#", "local/b/${1}"},
    };
    uplinks_set_maps(scene->rig->uplinks, maps, 1);
    UNTIL(&scene->rig->cloud, scene->broker.subscribes == 1);
    const struct uplink_options posted = {.name = "cloud", .uri = "http://127.0.0.1:9/in"};
    CHECK_INT(apply(scene, &posted, 1), 0);
    UNTIL(&scene->rig->cloud, strstr(scene->rig->last, "http") && uplink_rig_is(scene->rig, "up"));
    uplinks_set_maps(scene->rig->uplinks, maps, array_size(maps));
    some_turns(scene);
    const struct uplink_options again = to(scene, "cloud");
    CHECK_INT(apply(scene, &again, 1), 0);
    UNTIL(&scene->rig->cloud, scene->broker.subscribes == 3 && uplink_rig_is(scene->rig, "up"));
    scripted_broker_publish(&scene->broker, "cmd/b/1", "x", 1, 1, false);
    UNTIL(&scene->rig->cloud, strstr(scene->heard, "local/b/1=x"));
}

TEST(an_uplink_that_comes_back_has_its_maps_from_the_beginning)
{
    cleanup(scene_free_p) struct scene *scene = scene_up();
    const struct uplink_map_options map = {"a", "cloud", "cmd/#", "local/${1}"};
    CHECK_INT(apply(scene, NULL, 0), 0);
    UNTIL(&scene->rig->cloud, scene->broker.disconnects == 1);
    some_turns(scene);
    const struct uplink_options again = to(scene, "cloud");
    CHECK_INT(apply(scene, &again, 1), 0);
    uplinks_set_maps(scene->rig->uplinks, &map, 1);
    UNTIL(&scene->rig->cloud, scene->broker.subscribes == 1 && uplink_rig_is(scene->rig, "up"));
}

TEST(what_came_from_an_uplink_is_not_sent_back)
{
    cleanup(scene_free_p) struct scene *scene = scene_up();
    const struct uplink_map_options maps[] = {
        {"back", "cloud", "a/#", "$gatehouse/cloud/cloud/publish/a/${1}"},
        {"mark", "cloud", "a/#", "local/${1}"},
    };
    uplinks_set_maps(scene->rig->uplinks, maps, array_size(maps));
    UNTIL(&scene->rig->cloud, scene->broker.subscribes == 1);
    scripted_broker_publish(&scene->broker, "a/1", "x", 1, 1, false);
    UNTIL(&scene->rig->cloud, strstr(scene->heard, "local/1=x"));
    some_turns(scene);
    CHECK_INT(scene->broker.publishes, 0);
    CHECK(strstr(uplink_rig_ask(scene->rig, TOPIC_CTL_UPLINK_LIST, ""), "\"looped\":1"));
}

TEST(a_template_is_checked)
{
    static const struct {
        const char *filter, *topic;
        bool good;
    } cases[] = {
        {"a/+/#", "x/${2}/${1}", true},
        {"a", "x", true},
        {"a", "${topic}", true},
        {"a/+", "x/${2}", false},
        {"a", "", false},
        {"a", "x/+", false},
        {"a", "x/${name}", false},
        {"a/+", "x/${0}", false},
        {"a/+", "x/${1", false},
        {"a", "x/#", false},
        {"a", "$gatehouse/x", true},
    };
    for (size_t i = 0; i < array_size(cases); i++)
        if (!uplink_map_check(cases[i].filter, cases[i].topic) != cases[i].good)
            FAIL("%s -> %s", cases[i].filter, cases[i].topic);
}

/* ---- the network and the clock ----------------------------------------------------------------------------------- */

static void say(struct scene *scene, const char *topic, const char *text)
{
    bus_say(scene->rig->bus, topic, text, BUS_KEEP);
}

TEST(when_the_network_comes_a_link_that_waits_tries_at_once)
{
    cleanup(scene_free_p) struct scene *scene = scene_up();
    struct uplink_options slow = to(scene, "cloud");
    char uri[64];
    (void)snprintf(uri, sizeof uri, "mqtt://127.0.0.1:%u", cloud_rig_free_port());
    slow.uri = uri;
    slow.pause_max = 0; /* a minute */
    CHECK_INT(apply(scene, &slow, 1), 0);
    UNTIL(&scene->rig->cloud, strstr(scene->rig->last, "cannot connect"));
    /* Somebody listens there now. Each of these begins with the shortest pause, a second, or with none. */
    struct scripted_broker there;
    scripted_broker_init(&there, scene->rig->cloud.loop);
    slow.uri = uri;
    (void)snprintf(uri, sizeof uri, "mqtt://127.0.0.1:%u", there.port);
    CHECK_INT(apply(scene, &slow, 1), 0);
    UNTIL(&scene->rig->cloud, uplink_rig_is(scene->rig, "up"));
    say(scene, TOPIC_STATUS_NETWORK, "{\"state\":\"up\",\"changed\":\"came\"}");
    say(scene, TOPIC_STATUS_NETWORK, "no JSON");
    some_turns(scene);
    CHECK_INT(there.connects, 1); /* a connection that works is left alone */
    uplink_rig_close(scene->rig);
    scripted_broker_done(&there);
}

TEST(with_tls_an_uplink_waits_for_the_clock_and_without_it_does_not)
{
    cleanup(scene_free_p) struct scene *scene = scene_up();
    say(scene, TOPIC_STATUS_CLOCK, "{\"set\":false,\"floor\":1760000000000}");
    some_turns(scene);
    struct uplink_options secure = to(scene, "cloud"), plain = to(scene, "plain");
    char uri[64];
    (void)snprintf(uri, sizeof uri, "mqtts://127.0.0.1:%u", cloud_rig_free_port());
    secure.uri = uri;
    const struct uplink_options both[] = {secure, plain};
    CHECK_INT(apply(scene, both, 2), 0);
    UNTIL(&scene->rig->cloud, scene->broker.connects == 2); /* the plain one */
    UNTIL(&scene->rig->cloud, strstr(scene->rig->last, "waits until the clock is set"));
    some_turns(scene);
    CHECK_INT(scene->broker.connects, 2);
    say(scene, TOPIC_STATUS_CLOCK, "{\"set\":true,\"floor\":1760000000000}");
    UNTIL(&scene->rig->cloud, strstr(scene->rig->last, "cannot connect"));
}

TEST(an_uplink_may_take_the_last_time_that_is_known)
{
    cleanup(scene_free_p) struct scene *scene = scene_up();
    say(scene, TOPIC_STATUS_CLOCK, "{\"set\":false,\"floor\":1760000000000}");
    some_turns(scene);
    struct uplink_options secure = to(scene, "cloud");
    char uri[64];
    (void)snprintf(uri, sizeof uri, "mqtts://127.0.0.1:%u", cloud_rig_free_port());
    secure.uri = uri;
    secure.trusts_floor = true;
    CHECK_INT(apply(scene, &secure, 1), 0);
    UNTIL(&scene->rig->cloud, strstr(scene->rig->last, "cannot connect")); /* it has tried */
}
