/* The gateway's own shadow: on a bus where the test answers for everybody. */
#include "rig/rig.h"
#include "services/gwshadow/gw_report.h"
#include "services/gwshadow/gwshadow.h"

#include "base/json_write.h"
#include "base/log.h"

#include <stdio.h>

static const char update[] = "$aws/things/plant-1/shadow/name/gatehouse/update";

/* Answers that are asked for; NULL: nobody answers. */
struct others {
    struct rig *rig;
    struct gwshadow *own;
    struct subscriber ear;
    struct subscription asked;
    const char *broker, *streams, *uplinks, *plugins;
    int64_t begun;
};

static void on_asked(struct subscriber *subscriber, struct msg *msg, const struct delivery *delivery,
                     struct receipt *receipt)
{
    (void)delivery, (void)receipt;
    const struct others *others = container_of(subscriber, struct others, ear);
    char gateway[160];
    (void)snprintf(gateway, sizeof gateway,
                   "{\"version\":\"9.8\",\"uptime\":%lld,\"store\":{\"bytes\":%zu,\"failures\":0}}",
                   (long long)(loop_now(others->rig->loop) - others->begun) / 1000,
                   4096 * (1 + rig_count(others->rig, update)));
    const char *answer = strstr(msg->topic, "gateway/")  ? gateway
                         : strstr(msg->topic, "broker/") ? others->broker
                         : strstr(msg->topic, "stream/") ? others->streams
                         : strstr(msg->topic, "uplink/") ? others->uplinks
                         : strstr(msg->topic, "plugin/") ? others->plugins
                                                         : NULL;
    if (answer)
        bus_reply(others->rig->bus, msg, answer);
}

static struct others *others_new(const char *name)
{
    struct others *others = mem_new(struct others);
    others->rig = rig_new();
    others->begun = loop_now(others->rig->loop) - 98 * 1000;
    others->broker = "{\"connections\":2,\"sessions\":3,\"queuedBytes\":10,\"certificates\":[]}";
    others->streams = "{\"streams\":[{\"name\":\"s\",\"pending\":5,\"faults\":0,\"damaged\":0}]}";
    others->uplinks = "{\"uplinks\":[{\"name\":\"cloud\",\"state\":\"up\",\"reason\":null}]}";
    others->plugins = "{\"plugins\":[]}";
    others->ear.deliver = on_asked;
    bus_subscribe_to(others->rig->bus, &others->asked, &others->ear, "$gatehouse/ctl/+/+");
    CHECK_INT(gwshadow_new(&others->own, others->rig->bus, name), 0);
    return others;
}

static struct others *others_free(struct others *others)
{
    others->own = gwshadow_free(others->own);
    bus_unsubscribe(others->rig->bus, &others->asked);
    others->rig = rig_free(others->rig);
    free(others);
    return NULL;
}
define_cleanup(struct others *, others_free)

TEST(the_gateway_reports_what_the_others_say_of_themselves)
{
    cleanup(others_free_p) struct others *others = others_new("plant-1");
    rig_wait(others->rig, 5000);
    CHECK_INT(rig_count(others->rig, update), 1);
    CHECK_MESSAGE(others->rig, update,
                  "{\"state\":{\"reported\":{\"started\":1759999902,\"version\":\"9.8\",\"uptime\":100,"
                  "\"database\":{\"bytes\":4096,\"failures\":0},"
                  "\"clients\":{\"connections\":2,\"sessions\":3,\"queuedBytes\":10},"
                  "\"streams\":[{\"name\":\"s\",\"pending\":5}],"
                  "\"uplinks\":[{\"name\":\"cloud\",\"state\":\"up\"}],\"plugins\":[],\"certificates\":[],"
                  "\"health\":\"ok\",\"problems\":[]}},\"clientToken\":\"gatehouse\"}");
}

TEST(what_has_not_changed_is_not_said_again)
{
    cleanup(others_free_p) struct others *others = others_new("plant-1");
    rig_wait(others->rig, 5000);
    rig_wait(others->rig, 600 * 1000); /* the uptime and the size of the database do all the time */
    CHECK_INT(rig_count(others->rig, update), 1);
    others->streams = "{\"streams\":[{\"name\":\"s\",\"pending\":6}]}";
    rig_wait(others->rig, 31 * 1000);
    CHECK_INT(rig_count(others->rig, update), 2);
    CHECK(strstr(rig_last(others->rig, update), "\"uptime\":7"));
    CHECK(strstr(rig_last(others->rig, update), "\"pending\":6"));
}

TEST(whatever_flaps_costs_one_update_in_thirty_seconds)
{
    enum { SECONDS = 600 };
    cleanup(others_free_p) struct others *others = others_new("plant-1");
    rig_wait(others->rig, 5000);
    for (int i = 0; i < SECONDS; i++) {
        char text[100];
        (void)snprintf(text, sizeof text, "{\"streams\":[{\"name\":\"s\",\"pending\":%d}]}", i);
        others->streams = text;
        rig_publish(others->rig, "$gatehouse/status/cloud/cloud", "{}");
        rig_wait(others->rig, 1000);
    }
    CHECK(rig_count(others->rig, update) <= 1 + SECONDS / 30);
    CHECK(rig_count(others->rig, update) >= SECONDS / 30 - 1);
}

TEST(a_status_that_changes_is_reported_soon_when_nothing_was_for_a_while)
{
    cleanup(others_free_p) struct others *others = others_new("plant-1");
    rig_wait(others->rig, 3600 * 1000);
    CHECK_INT(rig_count(others->rig, update), 1);
    others->uplinks =
        "{\"uplinks\":[{\"name\":\"cloud\",\"state\":\"down\",\"reason\":\"the connection was lost\"}]}";
    rig_publish(others->rig, "$gatehouse/status/cloud/cloud", "{}");
    rig_wait(others->rig, 1000);
    CHECK_INT(rig_count(others->rig, update), 2);
    CHECK(strstr(rig_last(others->rig, update),
                 "\"health\":\"warning\",\"problems\":[\"uplink cloud is down: the connection was lost\"]"));
}

TEST(a_report_that_was_rejected_or_deleted_is_said_again)
{
    cleanup(others_free_p) struct others *others = others_new("plant-1");
    rig_wait(others->rig, 5000);
    rig_publish(others->rig, "$aws/things/plant-1/shadow/name/gatehouse/update/rejected", "{\"code\":500}");
    rig_wait(others->rig, 31 * 1000);
    CHECK_INT(rig_count(others->rig, update), 2);
    rig_publish(others->rig, "$aws/things/plant-1/shadow/name/gatehouse/delete/accepted", "{}");
    rig_wait(others->rig, 31 * 1000);
    CHECK_INT(rig_count(others->rig, update), 3);
    rig_wait(others->rig, 300 * 1000);
    CHECK_INT(rig_count(others->rig, update), 3);
}

TEST(who_does_not_answer_is_not_waited_for)
{
    cleanup(others_free_p) struct others *others = others_new("plant-1");
    others->streams = others->plugins = NULL;
    others->broker = "nonsense";
    rig_wait(others->rig, 5000);
    CHECK_INT(rig_count(others->rig, update), 1);
    CHECK_MESSAGE(others->rig, update,
                  "\"clients\":{\"connections\":0,\"sessions\":0,\"queuedBytes\":0},\"streams\":[]");
}

static void on_log(enum log_level level, const char *line)
{
    (void)level, (void)line;
}

TEST(a_name_that_is_none_of_a_thing_gives_no_shadow)
{
    cleanup(rig_free_p) struct rig *rig = rig_new();
    static const char *const names[] = {"plant 1", "", "a/b", "Werk-Ü"};
    log_capture(on_log);
    for (size_t i = 0; i < array_size(names); i++) {
        struct gwshadow *own = (struct gwshadow *)rig;
        CHECK_INT(gwshadow_new(&own, rig->bus, names[i]), 0);
        CHECK(!own);
    }
    log_capture(NULL);
}

/* ---- the report -------------------------------------------------------------------------------------------------- */

static const struct json *parse(struct arena *arena, const char *text)
{
    struct json *json;
    CHECK_INT(json_parse(&json, arena, text, strlen(text), NULL), 0);
    return json;
}

enum { NOW = 1800000000, DAY = 24 * 3600 };

static const char *problems(struct arena *arena, enum gw_part part, const char *answer, int64_t now)
{
    const struct json *answers[GW_PARTS] = {0};
    answers[part] = parse(arena, answer);
    return json_write(arena, json_get(gw_report(arena, answers, 0, now), "problems"), NULL);
}

TEST(what_is_wrong_is_told_in_a_sentence)
{
    struct arena arena = {0};
    CHECK_STR(problems(&arena, GW_GATEWAY, "{\"store\":{\"failures\":2}}", NOW),
              "[\"database: 2 commits have failed\"]");
    CHECK_STR(problems(&arena, GW_GATEWAY,
                       "{\"store\":{\"damaged\":true,\"salvaged\":[{\"file\":\"state.db.damaged-1\"}]}}",
                       NOW),
              "[\"database: some of it cannot be read; the next start saves what can be\","
              "\"database: it was damaged, and what could not be read is missing; the damaged one is kept as "
              "state.db.damaged-1\"]");
    CHECK_STR(problems(&arena, GW_STREAMS,
                       "{\"streams\":[{\"name\":\"s\",\"faults\":1,\"damaged\":2},{\"name\":\"t\"}]}", NOW),
              "[\"stream s: 3 records were not kept\"]");
    CHECK_STR(problems(&arena, GW_UPLINKS, "{\"uplinks\":[{\"name\":\"c\",\"state\":\"connecting\"}]}", NOW),
              "[]");
    CHECK_STR(problems(&arena, GW_PLUGINS,
                       "{\"plugins\":[{\"name\":\"p\",\"state\":\"backoff\",\"reason\":\"signal 11\"},"
                       "{\"name\":\"q\",\"state\":\"stopped\"},{\"name\":\"r\",\"state\":\"running\"}]}",
                       NOW),
              "[\"plugin p is backoff: signal 11\",\"plugin q is stopped\"]");
    const char *certificates = arena_printf(
        &arena,
        "{\"certificates\":[{\"listener\":\"a\",\"expires\":%d},{\"listener\":\"b\",\"expires\":%d},"
        "{\"listener\":\"c\",\"expires\":%d}]}",
        NOW + 15 * DAY, NOW + 3 * DAY + 1, NOW);
    CHECK_STR(problems(&arena, GW_BROKER, certificates, NOW),
              "[\"the certificate of b expires in 3 days\",\"the certificate of c has expired\"]");
    CHECK_STR(problems(&arena, GW_BROKER, certificates, 100), "[]"); /* 1970: nobody knows */
    arena_done(&arena);
}

TEST(a_report_has_an_end_whatever_there_is)
{
    struct arena arena = {0};
    struct json *list = json_new(&arena, JSON_ARRAY), *answer = json_new(&arena, JSON_OBJECT);
    for (int i = 0; i < 200; i++)
        json_push(
            list,
            json_copy(&arena, parse(&arena, "{\"name\":\"a-plugin-with-a-name\",\"state\":\"stopped\"}")));
    json_append(answer, "plugins", 7, list);
    const struct json *answers[GW_PARTS] = {[GW_PLUGINS] = answer};
    struct json *report = gw_report(&arena, answers, 0, NOW);
    CHECK_INT(json_get(report, "plugins")->len, GW_LIST_MAX);
    CHECK_INT(json_get(report, "problems")->len, GW_PROBLEMS_MAX);
    CHECK(json_size(report) < 8192);
    CHECK(gw_report_differs(NULL, report));
    CHECK(!gw_report_differs(report, report));
    arena_done(&arena);
}
