/* What a shadow remembers, for how long, and going back. */
#include "shadow_rig.h"

#include <errno.h>
#include <stdio.h>

#define UPDATE "$aws/things/pump/shadow/update"
#define DELETE "$aws/things/pump/shadow/delete"
#define GET    "$aws/things/pump/shadow/get"
#define CTL    "$gatehouse/ctl/shadow/"

enum { DAY = 24 * 3600 * 1000 };

static const char *ask_ctl(struct shadow_rig *rig, const char *what, const char *request)
{
    char topic[60];
    (void)snprintf(topic, sizeof topic, CTL "%s", what);
    rig_forget(rig->house);
    const char *answer = rig_request(rig->house, topic, request);
    return answer ? answer : "";
}

/* As somebody by that name, or as the house for NULL. */
static void update_by(struct shadow_rig *rig, const char *name, const char *payload)
{
    cleanup(msg_unref_p) struct msg *msg = msg_new(UPDATE, strlen(UPDATE), payload, strlen(payload));
    if (name)
        msg->from = publisher_new(name, strlen(name), NULL);
    bus_publish(rig->house->bus, msg, NULL);
    rig_turn(rig->house);
}

static void report(struct shadow_rig *rig, int n)
{
    char payload[80];
    (void)snprintf(payload, sizeof payload, "{\"state\":{\"reported\":{\"n\":%d}}}", n);
    update_by(rig, "pump", payload);
}

static void report_many(struct shadow_rig *rig, int first, int last)
{
    for (int n = first; n <= last; n++)
        report(rig, n);
}

/* The state at a version, as text; "" when it is not kept. */
static const char *at(struct shadow_rig *rig, int version)
{
    char request[80];
    (void)snprintf(request, sizeof request, "{\"thing\":\"pump\",\"version\":%d}", version);
    const char *state = strstr(ask_ctl(rig, "at", request), "\"state\":");
    return state ? state + strlen("\"state\":") : "";
}

static void check_at(struct shadow_rig *rig, int version, int n)
{
    char expected[60];
    (void)snprintf(expected, sizeof expected, "{\"reported\":{\"n\":%d}}}", n);
    CHECK_STR(at(rig, version), expected);
}

static int oldest(struct shadow_rig *rig, int newest)
{
    int version = newest;
    while (version > 0 && *at(rig, version))
        version--;
    return version + 1;
}

TEST(a_change_tells_what_it_replaced_who_made_it_and_when)
{
    cleanup(shadow_rig_free_p) struct shadow_rig *rig = shadow_rig_new(NULL);
    update_by(rig, "pump", "{\"state\":{\"reported\":{\"rpm\":900,\"mode\":\"auto\"}}}");
    rig_wait(rig->house, 10 * 1000);
    update_by(rig, "app \"7\"",
              "{\"state\":{\"desired\":{\"rpm\":950},\"reported\":{\"mode\":null,\"rpm\":900}}}");
    rig_wait(rig->house, 5 * 1000);
    update_by(rig, NULL, "{\"state\":null}");
    CHECK_STR(ask_ctl(rig, "log", "{\"thing\":\"pump\"}"),
              "{\"thing\":\"pump\",\"version\":3,\"exists\":true,\"changes\":["
              "{\"version\":3,\"timestamp\":1760000015,\"by\":\"\",\"was\":{\"desired\":{\"rpm\":950},"
              "\"reported\":{\"rpm\":900}},\"now\":{\"desired\":null,\"reported\":null}},"
              "{\"version\":2,\"timestamp\":1760000010,\"by\":\"app \\\"7\\\"\","
              "\"was\":{\"reported\":{\"mode\":\"auto\"},\"desired\":null},"
              "\"now\":{\"desired\":{\"rpm\":950},\"reported\":{\"mode\":null}}},"
              "{\"version\":1,\"timestamp\":1760000000,\"by\":\"pump\",\"was\":null,"
              "\"now\":{\"reported\":{\"rpm\":900,\"mode\":\"auto\"}}}],\"more\":false}");
}

TEST(a_log_is_given_in_pages)
{
    cleanup(shadow_rig_free_p) struct shadow_rig *rig = shadow_rig_new(NULL);
    report_many(rig, 1, 30);
    const char *log = ask_ctl(rig, "log", "{\"thing\":\"pump\",\"max\":2}");
    CHECK_HAS(log, "{\"version\":30,");
    CHECK_HAS(log, "{\"version\":29,");
    CHECK(!strstr(log, "{\"version\":28,"));
    CHECK_HAS(log, "\"more\":true");
    log = ask_ctl(rig, "log", "{\"thing\":\"pump\",\"before\":3}");
    CHECK_HAS(log, "\"changes\":[{\"version\":2,");
    CHECK_HAS(log, "{\"version\":1,");
    CHECK_HAS(log, "\"more\":false");
}

TEST(the_principal_that_was_proven_counts_and_not_what_somebody_calls_himself)
{
    cleanup(shadow_rig_free_p) struct shadow_rig *rig = shadow_rig_new(NULL);
    cleanup(msg_unref_p) struct msg *msg = msg_new(UPDATE, strlen(UPDATE), "{\"state\":{}}", 12);
    msg->from = publisher_new("somebody", 8, "valve-3");
    bus_publish(rig->house->bus, msg, NULL);
    rig_turn(rig->house);
    CHECK_HAS(ask_ctl(rig, "log", "{\"thing\":\"pump\"}"), "\"by\":\"valve-3\"");
}

TEST(every_version_that_is_kept_can_be_asked_for_also_after_a_restart)
{
    cleanup(shadow_rig_free_p) struct shadow_rig *rig = shadow_rig_new(NULL);
    report_many(rig, 1, 40);
    for (int restart = 0; restart < 2; restart++) {
        for (int version = 1; version <= 40; version++)
            check_at(rig, version, version);
        CHECK_HAS(ask_ctl(rig, "at", "{\"thing\":\"pump\",\"version\":41}"), "\"code\":404");
        shadow_rig_restart(rig, NULL);
    }
}

TEST(a_named_shadow_has_a_history_of_its_own)
{
    cleanup(shadow_rig_free_p) struct shadow_rig *rig = shadow_rig_new(NULL);
    report(rig, 1);
    (void)answer_to(rig, "$aws/things/pump/shadow/name/cfg/update", "{\"state\":{\"desired\":{\"x\":1}}}");
    CHECK_HAS(ask_ctl(rig, "at", "{\"thing\":\"pump\",\"name\":\"cfg\",\"version\":1}"),
              "{\"thing\":\"pump\",\"name\":\"cfg\",\"version\":1,");
    CHECK_HAS(ask_ctl(rig, "log", "{\"thing\":\"pump\",\"name\":\"none\"}"),
              "\"code\":404,\"message\":\"No shadow exists with name: 'none'\"");
}

TEST(the_difference_of_two_versions_is_said_both_ways)
{
    cleanup(shadow_rig_free_p) struct shadow_rig *rig = shadow_rig_new(NULL);
    update_by(rig, "a", "{\"state\":{\"reported\":{\"net\":{\"ip\":\"x\",\"gw\":1},\"k\":[1]}}}");
    update_by(rig, "a", "{\"state\":{\"reported\":{\"net\":{\"ip\":null},\"k\":[1,2]}}}");
    update_by(rig, "a", "{\"state\":{\"reported\":{\"net\":{\"gw\":1.0},\"m\":0}}}");
    CHECK_HAS(
        ask_ctl(rig, "diff", "{\"thing\":\"pump\",\"from\":1,\"to\":3}"),
        "\"from\":1,\"to\":3,\"was\":{\"reported\":{\"net\":{\"gw\":1,\"ip\":\"x\"},\"k\":[1],\"m\":null}},"
        "\"now\":{\"reported\":{\"net\":{\"gw\":1.0,\"ip\":null},\"k\":[1,2],\"m\":0}}}");
    CHECK_HAS(ask_ctl(rig, "diff", "{\"thing\":\"pump\",\"from\":3,\"to\":3}"), "\"was\":{},\"now\":{}}");
}

TEST(blame_names_the_last_change_of_each_value)
{
    cleanup(shadow_rig_free_p) struct shadow_rig *rig = shadow_rig_new(NULL);
    update_by(rig, "pump", "{\"state\":{\"reported\":{\"a\":1,\"b\":{\"c\":2,\"d\":[1]},\"e/f\":{}}}}");
    rig_wait(rig->house, 1000);
    update_by(rig, "app", "{\"state\":{\"reported\":{\"a\":1,\"b\":{\"c\":3}}}}");
    CHECK_STR(
        ask_ctl(rig, "blame", "{\"thing\":\"pump\"}"),
        "{\"thing\":\"pump\",\"version\":2,\"oldest\":1,\"values\":["
        "{\"path\":\"/reported/a\",\"value\":1,\"version\":1,\"timestamp\":1760000000,\"by\":\"pump\"},"
        "{\"path\":\"/reported/b/c\",\"value\":3,\"version\":2,\"timestamp\":1760000001,\"by\":\"app\"},"
        "{\"path\":\"/reported/b/d\",\"value\":[1],\"version\":1,\"timestamp\":1760000000,\"by\":\"pump\"},"
        "{\"path\":\"/reported/e~1f\",\"value\":{},\"version\":1,\"timestamp\":1760000000,\"by\":\"pump\"}]}");
    CHECK_HAS(ask_ctl(rig, "blame", "{\"thing\":\"pump\",\"path\":\"reported.b.c\"}"),
              "\"values\":[{\"path\":\"/reported/b/c\",\"value\":3,\"version\":2,");
    CHECK_HAS(ask_ctl(rig, "blame", "{\"thing\":\"pump\",\"path\":\"/reported/e~1f\"}"),
              "\"values\":[{\"path\":\"/reported/e~1f\",");
    CHECK_HAS(ask_ctl(rig, "blame", "{\"thing\":\"pump\",\"path\":\"reported.z\"}"),
              "\"code\":404,\"message\":\"There is nothing at 'reported.z'\"");
    shadow_rig_restart(rig, &(struct shadow_options){.history_count = 1});
    CHECK_HAS(ask_ctl(rig, "blame", "{\"thing\":\"pump\",\"path\":\"reported.a\"}"),
              "\"oldest\":2,\"values\":[{\"path\":\"/reported/a\",\"value\":1}]"); /* from before */
}

/* ---- bounds --------------------------------------------------------------------------------------------------------- */

TEST(so_many_versions_are_kept_and_no_more)
{
    const struct shadow_options options = {.history_count = 25};
    cleanup(shadow_rig_free_p) struct shadow_rig *rig = shadow_rig_new(&options);
    report_many(rig, 1, 300);
    CHECK_INT(oldest(rig, 300), 300 - 25); /* 25 changes, and what was before the oldest of them */
    CHECK(number_in_store(rig, "SELECT count(*) FROM shadow_history") <= 25 / 8 + 2);
    CHECK_HAS(ask_ctl(rig, "at", "{\"thing\":\"pump\",\"version\":200}"),
              "\"code\":404,\"message\":\"Version 200 is not kept any more: the oldest is 275\"");
}

TEST(records_take_so_many_bytes_and_no_more)
{
    const struct shadow_options options = {.history_bytes = 20000};
    cleanup(shadow_rig_free_p) struct shadow_rig *rig = shadow_rig_new(&options);
    char payload[1200];
    for (int n = 1; n <= 80; n++) {
        (void)snprintf(payload, sizeof payload, "{\"state\":{\"reported\":{\"n\":\"%01000d\"}}}", n);
        update_by(rig, "pump", payload);
    }
    CHECK(number_in_store(rig, "SELECT sum(bytes) FROM shadow_history") <= 20000);
    CHECK(number_in_store(rig, "SELECT sum(bytes) FROM shadow_history") > 15000);
    CHECK_INT(number_in_store(rig, "SELECT sum(bytes) = sum(length(records)) FROM shadow_history"), 1);
    int first = oldest(rig, 80);
    CHECK(first > 55 && first < 66);
}

TEST(the_last_change_is_kept_however_large_it_is)
{
    const struct shadow_options options = {.history_bytes = 1};
    cleanup(shadow_rig_free_p) struct shadow_rig *rig = shadow_rig_new(&options);
    char payload[4200];
    for (int n = 1; n <= 4; n++) {
        (void)snprintf(payload, sizeof payload, "{\"state\":{\"reported\":{\"n\":\"%04000d\"}}}", n);
        update_by(rig, "pump", payload);
    }
    CHECK_INT(oldest(rig, 4), 3);
}

TEST(records_that_are_too_old_are_not_shown_and_then_removed)
{
    cleanup(shadow_rig_free_p) struct shadow_rig *rig = shadow_rig_new(NULL);
    report_many(rig, 1, 50);
    rig_wait(rig->house, 20 * (int64_t)DAY);
    report_many(rig, 51, 60);
    CHECK_INT(oldest(rig, 60), 1);
    rig->house->clock.wall += 11 * (int64_t)DAY; /* nothing has been cleaned up yet */
    CHECK_INT(oldest(rig, 60), 50);
    rig_wait(rig->house, 2 * 3600 * 1000);
    CHECK(number_in_store(rig, "SELECT count(*) FROM shadow_history") <= 2);
    CHECK_INT(oldest(rig, 60), 50);
}

TEST(records_of_many_shadows_that_are_never_changed_again_are_removed_little_by_little)
{
    cleanup(shadow_rig_free_p) struct shadow_rig *rig = shadow_rig_new(NULL);
    report(rig, 1);
    change_store(rig, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2500) "
                      "INSERT INTO shadow_history (shadow, version, bytes, at_s, records) "
                      "SELECT 1, i, 1, CASE WHEN i < 3 THEN 5 ELSE 1700000000 END, 'x' FROM n");
    rig_wait(rig->house, 3600 * 1000);
    CHECK_INT(number_in_store(rig, "SELECT count(*) FROM shadow_history"), 1502);
    rig_wait(rig->house, 1000);
    rig_wait(rig->house, 1000);
    CHECK_INT(number_in_store(rig, "SELECT count(*) FROM shadow_history"), 2); /* their clock was not set */
}

TEST(without_history_nothing_is_written_down_and_the_present_can_still_be_asked_for)
{
    const struct shadow_options options = {.no_history = true};
    cleanup(shadow_rig_free_p) struct shadow_rig *rig = shadow_rig_new(&options);
    report_many(rig, 1, 30);
    CHECK_INT(number_in_store(rig, "SELECT count(*) FROM shadow_history"), 0);
    CHECK_INT(number_in_store(rig, "SELECT count(*) FROM shadow WHERE recent <> ''"), 0);
    check_at(rig, 30, 30);
    CHECK_HAS(ask_ctl(rig, "at", "{\"thing\":\"pump\",\"version\":29}"), "\"code\":404");
}

TEST(what_happened_while_history_was_off_ends_the_past)
{
    cleanup(shadow_rig_free_p) struct shadow_rig *rig = shadow_rig_new(NULL);
    report_many(rig, 1, 20);
    shadow_rig_restart(rig, &(struct shadow_options){.no_history = true});
    report(rig, 21);
    shadow_rig_restart(rig, NULL);
    report_many(rig, 22, 40);
    CHECK_INT(oldest(rig, 40), 21);
    check_at(rig, 21, 21);
    check_at(rig, 35, 35);
}

TEST(a_shadow_that_begins_anew_has_no_past)
{
    cleanup(shadow_rig_free_p) struct shadow_rig *rig = shadow_rig_new(NULL);
    report_many(rig, 1, 30);
    (void)answer_to(rig, DELETE, "");
    rig->house->clock.wall += 3 * (int64_t)DAY; /* its tombstone is over, its row is still there */
    CHECK_HAS(ask_ctl(rig, "log", "{\"thing\":\"pump\"}"), "\"code\":404");
    report(rig, 7);
    CHECK_INT(number_in_store(rig, "SELECT count(*) FROM shadow_history"), 0);
    check_at(rig, 1, 7);
    CHECK_HAS(ask_ctl(rig, "log", "{\"thing\":\"pump\"}"), "\"changes\":[{\"version\":1,");
}

TEST(the_records_of_a_tombstone_go_with_it)
{
    cleanup(shadow_rig_free_p) struct shadow_rig *rig = shadow_rig_new(NULL);
    report_many(rig, 1, 30);
    (void)answer_to(rig, DELETE, "");
    rig_wait(rig->house, 3 * (int64_t)DAY);
    CHECK_INT(number_in_store(rig, "SELECT count(*) FROM shadow"), 0);
    CHECK_INT(number_in_store(rig, "SELECT count(*) FROM shadow_history"), 0);
}

/* ---- together with what it is about --------------------------------------------------------------------------------- */

TEST(a_record_is_there_when_its_change_is_and_not_when_its_commit_failed)
{
    cleanup(shadow_rig_free_p) struct shadow_rig *rig = shadow_rig_new(NULL);
    for (int turn = 1, kept = 0; turn <= 90; turn++) {
        if (turn % 3 == 0)
            store_fail_next_commit(rig->house->store, -EIO);
        report(rig, turn);
        kept += turn % 3 != 0;
        if (turn % 10 == 0) {
            shadow_rig_restart(rig, NULL);
            (void)answer_to(rig, GET, ""); /* or the commit that fails would be that of reading */
        }
        if (turn % 3 != 0)
            check_at(rig, kept, turn);
    }
    CHECK_INT(oldest(rig, 60), 1);
}

TEST(the_updates_of_one_commit_are_versions_of_their_own)
{
    cleanup(shadow_rig_free_p) struct shadow_rig *rig = shadow_rig_new(NULL);
    for (int round = 0; round < 3; round++) {
        for (int n = 1; n <= 30; n++) {
            char payload[80];
            (void)snprintf(payload, sizeof payload, "{\"state\":{\"reported\":{\"n\":%d}}}", 30 * round + n);
            ask(rig, UPDATE, payload);
        }
        rig_turn(rig->house);
    }
    CHECK_INT((int64_t)shadow_counters(rig->shadow)->saves, 3);
    for (int version = 1; version <= 90; version++)
        check_at(rig, version, version);
}

TEST(a_damaged_record_hides_what_is_behind_it_and_nothing_else)
{
    cleanup(shadow_rig_free_p) struct shadow_rig *rig = shadow_rig_new(NULL);
    report_many(rig, 1, 40);
    change_store(rig, "UPDATE shadow_history SET records = replace(records, '[20,', '[20;')");
    CHECK_INT(oldest(rig, 40), 20);
    CHECK_HAS(answer_to(rig, GET, ""), "\"n\":40");
    report(rig, 41);
    CHECK_INT(oldest(rig, 41), 20);
}

/* ---- going back ----------------------------------------------------------------------------------------------------- */

TEST(a_revert_is_an_update_like_any_other)
{
    cleanup(shadow_rig_free_p) struct shadow_rig *rig = shadow_rig_new(NULL);
    update_by(rig, "app", "{\"state\":{\"desired\":{\"rpm\":900,\"net\":{\"ip\":\"a\"}}}}");
    update_by(rig, "app",
              "{\"state\":{\"desired\":{\"rpm\":950,\"net\":{\"ip\":null,\"gw\":\"b\"},\"new\":1}}}");
    CHECK_STR(ask_ctl(rig, "revert", "{\"thing\":\"pump\",\"version\":1}"),
              "{\"version\":3,\"timestamp\":1760000000}");
    CHECK_HAS(rig_last(rig->house, UPDATE "/accepted"),
              "{\"state\":{\"desired\":{\"rpm\":900,\"net\":{\"ip\":\"a\",\"gw\":null},\"new\":null}},");
    CHECK_STR(rig_topic(rig->house, "$aws/#", 0), UPDATE "/delta");
    CHECK_STR(rig_topic(rig->house, "$aws/#", 1), UPDATE "/documents");
    CHECK_STR(rig_topic(rig->house, "$aws/#", 2), UPDATE "/accepted");
    CHECK_HAS(rig_last(rig->house, UPDATE "/documents"),
              "\"current\":{\"state\":{\"desired\":{\"rpm\":900,\"net\":{\"ip\":\"a\"}}}");
    CHECK_STR(at(rig, 3), "{\"desired\":{\"rpm\":900,\"net\":{\"ip\":\"a\"}}}}");
    CHECK_STR(at(rig, 2), "{\"desired\":{\"rpm\":950,\"net\":{\"gw\":\"b\"},\"new\":1}}}");
}

TEST(a_deleted_shadow_comes_back_with_the_next_version)
{
    cleanup(shadow_rig_free_p) struct shadow_rig *rig = shadow_rig_new(NULL);
    report(rig, 1);
    (void)answer_to(rig, DELETE, "");
    CHECK_HAS(
        ask_ctl(rig, "log", "{\"thing\":\"pump\"}"),
        "\"version\":2,\"exists\":false,\"changes\":[{\"version\":2,\"timestamp\":1760000000,\"by\":\"\","
        "\"deleted\":true,\"was\":{\"reported\":{\"n\":1}},\"now\":null},");
    CHECK_HAS(ask_ctl(rig, "blame", "{\"thing\":\"pump\"}"), "\"code\":404");
    CHECK_HAS(ask_ctl(rig, "revert", "{\"thing\":\"pump\",\"version\":2}"), "\"code\":400");
    CHECK_HAS(ask_ctl(rig, "revert", "{\"thing\":\"pump\",\"version\":1}"), "{\"version\":3,");
    check_at(rig, 3, 1);
    CHECK_STR(at(rig, 2), "null}");
}

TEST(a_revert_that_cannot_be_done_says_why_and_changes_nothing)
{
    cleanup(shadow_rig_free_p) struct shadow_rig *rig = shadow_rig_new(NULL);
    CHECK_HAS(ask_ctl(rig, "revert", "{\"thing\":\"pump\",\"version\":1}"), "\"code\":404");
    report_many(rig, 1, 3);
    CHECK_HAS(ask_ctl(rig, "revert", "{\"thing\":\"pump\",\"version\":9}"),
              "\"message\":\"There is no version 9: the newest is 3\"");
    store_fail_next_commit(rig->house->store, -ENOSPC);
    CHECK_HAS(ask_ctl(rig, "revert", "{\"thing\":\"pump\",\"version\":1}"), "\"code\":500");
    CHECK_HAS(answer_to(rig, GET, ""), "\"version\":3");
    CHECK_NO_MESSAGE(rig->house, UPDATE "/rejected");
}

TEST(a_revert_that_is_overtaken_is_refused)
{
    cleanup(shadow_rig_free_p) struct shadow_rig *rig = shadow_rig_new(NULL);
    report_many(rig, 1, 3);
    static const char request[] = "{\"thing\":\"pump\",\"version\":1}";
    struct msg_props props = {(const uint8_t *)"\x08\0\x06"
                                               "answer",
                              9,
                              3,
                              6,
                              SIZE_MAX,
                              0};
    cleanup(msg_unref_p) struct msg *msg =
        msg_new_props(CTL "revert", strlen(CTL "revert"), &props, request, strlen(request));
    bus_publish(rig->house->bus, msg, NULL);
    ask(rig, UPDATE, "{\"state\":{\"reported\":{\"n\":4}}}"); /* saved behind the reading of the past */
    rig_turn(rig->house);
    const char *answer = rig_last(rig->house, "answer");
    CHECK_HAS(answer, "\"code\":409,\"message\":\"Version conflict\"");
    CHECK_HAS(answer_to(rig, GET, ""), "\"n\":4");
}

/* ---- asking --------------------------------------------------------------------------------------------------------- */

TEST(a_question_that_makes_no_sense_is_refused)
{
    cleanup(shadow_rig_free_p) struct shadow_rig *rig = shadow_rig_new(NULL);
    static const char *const wrong[][2] = {
        {"log", ""},
        {"log", "[]"},
        {"log", "{}"},
        {"log", "{\"thing\":\"a b\"}"},
        {"log", "{\"thing\":\"a\",\"name\":\"b/c\"}"},
        {"log", "{\"thing\":\"a\",\"name\":7}"},
        {"log", "{\"thing\":\"a\",\"max\":0}"},
        {"log", "{\"thing\":\"a\",\"before\":\"x\"}"},
        {"at", "{\"thing\":\"a\"}"},
        {"at", "{\"thing\":\"a\",\"version\":0}"},
        {"diff", "{\"thing\":\"a\",\"from\":1}"},
        {"blame", "{\"thing\":\"a\",\"path\":1}"},
        {"blame", "{\"thing\":\"a\",\"path\":\"\\u0000\"}"},
        {"revert", "{\"thing\":\"a\",\"version\":1.5}"},
        {"list", "{\"thing\":\"a\",\"pageSize\":101}"},
        {"list", "{\"thing\":\"a\",\"nextToken\":\"?\"}"},
        {"list", "{\"thing\":\"a\",\"nextToken\":\"IA==\"}"},
        {"list", "{\"thing\":\"a\",\"nextToken\":5}"},
    };
    for (size_t i = 0; i < array_size(wrong); i++)
        CHECK_HAS(ask_ctl(rig, wrong[i][0], wrong[i][1]), "\"code\":400,");
}

TEST(more_questions_than_there_is_room_for_are_refused)
{
    cleanup(shadow_rig_free_p) struct shadow_rig *rig = shadow_rig_new(NULL);
    struct msg_props props = {(const uint8_t *)"\x08\0\x06"
                                               "answer",
                              9,
                              3,
                              6,
                              SIZE_MAX,
                              0};
    for (int i = 0; i < 70; i++) {
        cleanup(msg_unref_p) struct msg *msg =
            msg_new_props(CTL "log", strlen(CTL "log"), &props, "{\"thing\":\"a\"}", 13);
        bus_publish(rig->house->bus, msg, NULL);
    }
    rig_turn(rig->house);
    size_t refused = 0;
    for (size_t i = 0; i < 70; i++)
        refused += strstr(rig_payload(rig->house, "answer", i), "\"code\":429") != NULL;
    CHECK_INT((int64_t)refused, 6);
}

TEST(named_shadows_are_listed_in_pages)
{
    cleanup(shadow_rig_free_p) struct shadow_rig *rig = shadow_rig_new(NULL);
    static const char *const names[] = {"net", "cfg", "alarm", "$package", "Z"};
    for (size_t i = 0; i < array_size(names); i++) {
        char topic[80];
        (void)snprintf(topic, sizeof topic, "$aws/things/pump/shadow/name/%s/update", names[i]);
        CHECK_HAS(answer_to(rig, topic, "{\"state\":{}}"), "\"version\":1");
    }
    (void)answer_to(rig, "$aws/things/pump/shadow/name/gone/update", "{\"state\":{}}");
    (void)answer_to(rig, "$aws/things/pump/shadow/name/gone/delete", "");
    report(rig, 1); /* the classic one is not listed */
    CHECK_STR(ask_ctl(rig, "list", "{\"thing\":\"pump\"}"),
              "{\"results\":[\"$package\",\"Z\",\"alarm\",\"cfg\",\"net\"],\"timestamp\":1760000000}");
    CHECK_STR(
        ask_ctl(rig, "list", "{\"thing\":\"pump\",\"pageSize\":4}"),
        "{\"results\":[\"$package\",\"Z\",\"alarm\",\"cfg\"],\"nextToken\":\"Y2Zn\",\"timestamp\":1760000000}");
    CHECK_STR(ask_ctl(rig, "list", "{\"thing\":\"pump\",\"pageSize\":4,\"nextToken\":\"Y2Zn\"}"),
              "{\"results\":[\"net\"],\"timestamp\":1760000000}");
    CHECK_HAS(ask_ctl(rig, "list", "{\"thing\":\"pump\",\"pageSize\":1}"), "\"nextToken\":\"JHBhY2thZ2U=\"");
    CHECK_HAS(ask_ctl(rig, "list", "{\"thing\":\"pump\",\"pageSize\":1,\"nextToken\":\"JHBhY2thZ2U=\"}"),
              "{\"results\":[\"Z\"],");
    CHECK_STR(ask_ctl(rig, "list", "{\"thing\":\"nosuch\"}"), "{\"results\":[],\"timestamp\":1760000000}");
}
