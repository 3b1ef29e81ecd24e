#include "ghn/shadow.h"

#include "rig/test.h"

#include <stdio.h>

/* An application with one key: what it was offered is kept as text, "interval" is applied up to 5000. */
struct app {
    ghn_shadow shadow;
    char buffer[200];
    char offered[400];
    int64_t interval;
};

static void report(struct app *app)
{
    char text[64];
    int len = snprintf(text, sizeof text, "{\"interval\":%lld}", (long long)app->interval);
    CHECK_INT(ghn_shadow_report(&app->shadow, text, (size_t)len), 0);
}

static int on_desired(void *ctx, const char *key, const ghn_json *value)
{
    struct app *app = ctx;
    size_t len = strlen(app->offered);
    int64_t n;
    (void)snprintf(app->offered + len, sizeof app->offered - len, "%s=%.*s;", key, (int)value->len,
                   value->text);
    if (strcmp(key, "interval") != 0 || ghn_json_int(value, &n) < 0 || n > 5000)
        return 1;
    app->interval = n;
    report(app);
    return 0;
}

static void init(struct app *app)
{
    *app = (struct app){.interval = 1000};
    ghn_shadow_init(&app->shadow, app->buffer, sizeof app->buffer, on_desired, app);
    report(app);
    ghn_shadow_connected(&app->shadow, 0x89abcdef);
}

/* Sends what is due and gives it as text: "get", the report, or "" when nothing is due. */
static const char *send_due(struct app *app)
{
    static char text[256];
    const char *payload;
    size_t len;
    bool is_report;
    if (!ghn_shadow_due(&app->shadow, &payload, &len, &is_report))
        return "";
    ghn_shadow_sent(&app->shadow, is_report);
    if (!is_report)
        return len ? "a get with something in it" : "get";
    (void)snprintf(text, sizeof text, "%.*s", (int)len, payload);
    return text;
}

static ghn_shadow_news take(struct app *app, ghn_shadow_topic topic, const char *payload, int64_t *detail)
{
    app->offered[0] = '\0';
    *detail = -1;
    return ghn_shadow_take(&app->shadow, topic, payload, strlen(payload), detail);
}

#define OURS         "\"clientToken\":\"89abcdef-00000001\""
#define FIRST_REPORT "{" OURS ",\"state\":{\"reported\":{\"interval\":1000}}}"

static void settle(struct app *app)
{
    init(app);
    CHECK_STR(send_due(app), "get");
    CHECK_STR(send_due(app), FIRST_REPORT);
    CHECK_STR(send_due(app), "");
}

TEST(after_a_connect_the_shadow_is_asked_for_and_the_whole_state_told)
{
    struct app app;
    settle(&app);
    ghn_shadow_connected(&app.shadow, 1);
    CHECK_STR(send_due(&app), "get");
    CHECK_STR(send_due(&app),
              "{\"clientToken\":\"00000001-00000002\",\"state\":{\"reported\":{\"interval\":1000}}}");
}

TEST(without_a_reported_state_nothing_is_told)
{
    struct app app = {0};
    ghn_shadow_init(&app.shadow, app.buffer, sizeof app.buffer, on_desired, &app);
    ghn_shadow_connected(&app.shadow, 7);
    CHECK_STR(send_due(&app), "get");
    CHECK_STR(send_due(&app), "");
}

TEST(a_delta_is_offered_key_by_key_and_the_whole_state_told)
{
    struct app app;
    int64_t version;
    settle(&app);
    CHECK_INT(
        take(&app, GHN_SHADOW_DELTA,
             "{\"version\":4,\"timestamp\":5,\"state\":{\"interval\":250,\"led\":true,\"in\":{\"a\":[1]}},"
             "\"metadata\":{\"interval\":{\"timestamp\":5}},\"clientToken\":\"operator\"}",
             &version),
        GHN_SHADOW_DESIRED);
    CHECK_INT(version, 4);
    CHECK_STR(app.offered, "interval=250;led=true;in={\"a\":[1]};");
    CHECK_STR(send_due(&app),
              "{\"clientToken\":\"89abcdef-00000002\",\"state\":{\"reported\":{\"interval\":250}}}");
    CHECK_STR(send_due(&app), "");
}

TEST(a_refused_delta_is_answered_with_the_state_too)
{
    struct app app;
    int64_t version;
    settle(&app);
    CHECK_INT(take(&app, GHN_SHADOW_DELTA, "{\"version\":4,\"state\":{\"interval\":9999}}", &version),
              GHN_SHADOW_DESIRED);
    CHECK_STR(send_due(&app),
              "{\"clientToken\":\"89abcdef-00000002\",\"state\":{\"reported\":{\"interval\":1000}}}");
}

TEST(a_delta_with_a_version_not_above_the_last_is_passed_over)
{
    struct app app;
    int64_t version;
    settle(&app);
    CHECK_INT(take(&app, GHN_SHADOW_DELTA, "{\"version\":4,\"state\":{\"interval\":250}}", &version),
              GHN_SHADOW_DESIRED);
    (void)send_due(&app);
    CHECK_INT(take(&app, GHN_SHADOW_DELTA, "{\"version\":4,\"state\":{\"interval\":300}}", &version),
              GHN_SHADOW_OLD);
    CHECK_INT(version, 4);
    CHECK_INT(take(&app, GHN_SHADOW_DELTA, "{\"version\":3,\"state\":{\"interval\":300}}", &version),
              GHN_SHADOW_OLD);
    CHECK_STR(app.offered, "");
    CHECK_INT(app.interval, 250);
    CHECK_STR(send_due(&app), "");
}

TEST(a_refused_key_does_not_go_round_and_round)
{
    struct app app;
    int64_t version;
    settle(&app);
    CHECK_INT(take(&app, GHN_SHADOW_DELTA, "{\"version\":5,\"state\":{\"led\":1}," OURS "}", &version),
              GHN_SHADOW_DESIRED);
    CHECK_STR(app.offered, "led=1;");
    CHECK_STR(send_due(&app), "");
}

TEST(news_in_the_delta_of_an_own_report_is_applied_and_told)
{
    struct app app;
    int64_t version;
    settle(&app);
    CHECK_INT(take(&app, GHN_SHADOW_DELTA, "{\"version\":5,\"state\":{\"interval\":20}," OURS "}", &version),
              GHN_SHADOW_DESIRED);
    CHECK_STR(send_due(&app),
              "{\"clientToken\":\"89abcdef-00000002\",\"state\":{\"reported\":{\"interval\":20}}}");
}

TEST(what_is_no_delta_is_passed_over)
{
    static const char *const payloads[] = {
        "",
        "{",
        "[]",
        "{}",
        "{\"state\":{\"interval\":1}}",
        "{\"version\":\"9\",\"state\":{\"interval\":1}}",
        "{\"version\":9.0,\"state\":{\"interval\":1}}",
        "{\"version\":-9,\"state\":{\"interval\":1}}",
        "{\"version\":9,\"state\":[1]}",
        "{\"version\":99999999999999999999,\"state\":{\"interval\":1}}",
        "{\"version\":9,\"state\":{\"interval\":1}} x",
    };
    struct app app;
    int64_t version;
    settle(&app);
    for (size_t i = 0; i < sizeof payloads / sizeof payloads[0]; i++)
        CHECK_INT(take(&app, GHN_SHADOW_DELTA, payloads[i], &version), GHN_SHADOW_NOTHING);
    CHECK_INT(app.interval, 1000);
    CHECK_STR(send_due(&app), "");
}

TEST(a_key_longer_than_any_of_ours_is_not_offered)
{
    struct app app;
    int64_t version;
    settle(&app);
    (void)take(&app, GHN_SHADOW_DELTA,
               "{\"version\":1,\"state\":{\"abcdefghijklmnopqrstuvwxyz0123456789\":1,\"interval\":2}}",
               &version);
    CHECK_STR(app.offered, "interval=2;");
}

TEST(a_delta_eight_levels_deep_arrives_whole)
{
    struct app app;
    int64_t version;
    settle(&app);
    CHECK_INT(take(&app, GHN_SHADOW_DELTA,
                   "{\"version\":1,\"state\":{\"a\":{\"b\":{\"c\":{\"d\":{\"e\":{\"f\":{\"g\":1}}}}}}},"
                   "\"metadata\":{\"a\":{\"b\":{\"c\":{\"d\":{\"e\":{\"f\":{\"g\":{\"timestamp\":1}}}}}}}}}",
                   &version),
              GHN_SHADOW_DESIRED);
    CHECK_STR(app.offered, "a={\"b\":{\"c\":{\"d\":{\"e\":{\"f\":{\"g\":1}}}}}};");
}

TEST(the_answer_to_get_is_believed_whatever_its_version)
{
    struct app app;
    int64_t version;
    init(&app);
    CHECK_INT(take(&app, GHN_SHADOW_DELTA, "{\"version\":40,\"state\":{\"interval\":10}}", &version),
              GHN_SHADOW_DESIRED);
    CHECK_STR(send_due(&app), "get");
    CHECK_INT(
        take(
            &app, GHN_SHADOW_GET_ACCEPTED,
            "{\"state\":{\"desired\":{\"interval\":30},\"delta\":{\"interval\":30}},\"version\":2,\"timestamp\":99}",
            &version),
        GHN_SHADOW_DESIRED);
    CHECK_STR(app.offered, "interval=30;");
    CHECK_INT(app.shadow.timestamp, 99);
    /* versions went on from there */
    CHECK_INT(take(&app, GHN_SHADOW_DELTA, "{\"version\":2,\"state\":{\"interval\":50}}", &version),
              GHN_SHADOW_OLD);
    CHECK_INT(take(&app, GHN_SHADOW_DELTA, "{\"version\":3,\"state\":{\"interval\":50}}", &version),
              GHN_SHADOW_DESIRED);
}

TEST(an_answer_to_a_get_of_somebody_else_is_passed_over)
{
    struct app app;
    int64_t version;
    settle(&app);
    CHECK_INT(take(&app, GHN_SHADOW_GET_ACCEPTED, "{\"state\":{},\"version\":2,\"timestamp\":9}", &version),
              GHN_SHADOW_NOTHING);
    CHECK_INT(take(&app, GHN_SHADOW_GET_ACCEPTED, "{\"state\":{\"delta\":{\"interval\":5}},\"version\":3}",
                   &version),
              GHN_SHADOW_NOTHING);
    CHECK_STR(app.offered, "");
}

TEST(a_shadow_that_was_deleted_begins_at_version_one_again)
{
    struct app app;
    int64_t version;
    settle(&app);
    (void)take(&app, GHN_SHADOW_DELTA, "{\"version\":40,\"state\":{\"interval\":10}}", &version);
    ghn_shadow_connected(&app.shadow, 1);
    CHECK_STR(send_due(&app), "get");
    (void)take(&app, GHN_SHADOW_GET_REJECTED,
               "{\"code\":404,\"message\":\"No shadow exists with name: 'T'\"}", &version);
    CHECK_INT(take(&app, GHN_SHADOW_DELTA, "{\"version\":1,\"state\":{\"interval\":20}}", &version),
              GHN_SHADOW_DESIRED);
}

TEST(the_answers_to_own_reports_count_and_those_of_others_do_not)
{
    struct app app;
    int64_t detail;
    settle(&app);
    CHECK_INT(take(&app, GHN_SHADOW_ACCEPTED, "{\"version\":8,\"timestamp\":77," OURS "}", &detail),
              GHN_SHADOW_TOLD);
    CHECK_INT(detail, 8);
    CHECK_INT(app.shadow.timestamp, 77);
    CHECK_INT(take(&app, GHN_SHADOW_ACCEPTED, "{\"version\":9,\"timestamp\":78,\"clientToken\":\"89abcdef\"}",
                   &detail),
              GHN_SHADOW_NOTHING);
    CHECK_INT(take(&app, GHN_SHADOW_ACCEPTED, "{\"version\":9,\"timestamp\":78}", &detail),
              GHN_SHADOW_NOTHING);
    CHECK_INT(take(&app, GHN_SHADOW_REJECTED, "{\"code\":500,\"clientToken\":\"other\"}", &detail),
              GHN_SHADOW_NOTHING);
    CHECK_INT(app.shadow.timestamp, 77);
}

TEST(an_accepted_report_does_not_hide_the_delta_of_the_same_update)
{
    struct app app;
    int64_t detail;
    settle(&app);
    (void)take(&app, GHN_SHADOW_ACCEPTED, "{\"version\":8,\"timestamp\":77," OURS "}", &detail);
    CHECK_INT(take(&app, GHN_SHADOW_DELTA, "{\"version\":8,\"state\":{\"interval\":5}," OURS "}", &detail),
              GHN_SHADOW_DESIRED);
    CHECK_INT(app.interval, 5);
}

TEST(a_rejected_report_is_repeated_only_when_that_can_help)
{
    struct app app;
    int64_t code;
    settle(&app);
    CHECK_INT(take(&app, GHN_SHADOW_REJECTED, "{\"code\":413,\"message\":\"x\"," OURS "}", &code),
              GHN_SHADOW_REFUSED);
    CHECK_INT(code, 413);
    CHECK_STR(send_due(&app), "");
    CHECK_INT(take(&app, GHN_SHADOW_REJECTED, "{\"code\":429,\"message\":\"x\"," OURS "}", &code),
              GHN_SHADOW_REFUSED_FOR_NOW);
    CHECK_STR(send_due(&app),
              "{\"clientToken\":\"89abcdef-00000002\",\"state\":{\"reported\":{\"interval\":1000}}}");
}

TEST(the_same_state_is_not_told_twice)
{
    struct app app;
    settle(&app);
    report(&app);
    CHECK_STR(send_due(&app), "");
    app.interval = 1001;
    report(&app);
    CHECK(send_due(&app)[0]);
}

TEST(a_state_that_is_no_object_or_too_long_changes_nothing)
{
    struct app app;
    char text[200];
    settle(&app);
    CHECK_INT(ghn_shadow_report(&app.shadow, "[1]", 3), GHN_INVALID);
    CHECK_INT(ghn_shadow_report(&app.shadow, "{\"a\":", 5), GHN_INVALID);
    int len =
        snprintf(text, sizeof text, "{\"a\":\"%0*d\"}", (int)(sizeof app.buffer - GHN_SHADOW_ENVELOPE), 0);
    CHECK_INT(ghn_shadow_report(&app.shadow, text, (size_t)len), GHN_TOO_LONG);
    ghn_shadow_connected(&app.shadow, 0x89abcdef);
    CHECK_STR(send_due(&app), "get");
    CHECK_STR(send_due(&app),
              "{\"clientToken\":\"89abcdef-00000002\",\"state\":{\"reported\":{\"interval\":1000}}}");
}
