/* Streams that come and go at run time. */
#include "services/streams/streams_rig.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#define CREATE   "$gatehouse/ctl/stream/create"
#define DELETE   "$gatehouse/ctl/stream/delete"
#define DESCRIBE "$gatehouse/ctl/stream/describe"

static const struct stream_options configured[] = {{.name = "s"}};

static const char *ask(struct streams_rig *rig, const char *topic, const char *request)
{
    const char *answer = rig_request(rig->house, topic, request);
    return answer ? answer : "none";
}

#define CHECK_ANSWER(rig, topic, request, part)                                                              \
    do {                                                                                                     \
        const char *answer_ = ask(rig, topic, request);                                                      \
        if (!strstr(answer_, part))                                                                          \
            CHECK_STR(answer_, part);                                                                        \
    } while (0)

static bool has_folder(struct streams_rig *rig, const char *name)
{
    cleanup_free char *path = str_printf("%s/streams/%s", rig->folder, name);
    return access(path, F_OK) == 0;
}

TEST(a_stream_that_is_created_takes_records_and_is_there_after_a_restart)
{
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(configured, 1, NULL, 0);
    CHECK_ANSWER(rig, CREATE, "{\"name\":\"new\",\"maxSize\":\"2M\",\"onFull\":\"overwrite\"}",
                 "{\"definition\":{\"name\":\"new\",\"uplink\":\"\",\"priority\":5,\"maxSize\":2097152,");
    CHECK_MESSAGE(rig->house, "$gatehouse/status/streams/new", "\"state\":\"fine\"");
    streams_rig_append(rig, "new", 0, 10);
    CHECK_ANSWER(rig, CREATE, "{\"name\":\"new\"}", "\"code\":409");
    streams_rig_restart(rig);
    CHECK_INT(streams_rig_number(rig, "new", "next"), 10);
    CHECK_INT(streams_rig_number(rig, "new", "maxBytes"), 2 << 20);
    CHECK_ANSWER(rig, DESCRIBE, "{\"name\":\"new\"}", "\"onFull\":\"overwrite\"");
    CHECK_ANSWER(rig, DESCRIBE, "{\"name\":\"new\"}", "\"configured\":false");
    CHECK_ANSWER(rig, DESCRIBE, "{\"name\":\"s\"}", "\"configured\":true");
    streams_rig_append(rig, "new", 10, 10);
    streams_rig_check_books(rig);
}

TEST(a_definition_that_is_wrong_is_told_and_nothing_is_created)
{
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(configured, 1, NULL, 0);
    CHECK_ANSWER(rig, CREATE, "{\"name\":\"x\",\"priority\":11}",
                 "\"code\":400,\"message\":\"priority: expected");
    CHECK_ANSWER(rig, CREATE, "{\"name\":\"x\",\"uplink\":\"moon\"}",
                 "uplink: expected the name of an [uplink], found");
    CHECK_ANSWER(rig, CREATE, "{\"name\":\"s\"}", "\"code\":409");
    store_fail_next_commit(rig->house->store, -ENOSPC);
    CHECK_ANSWER(rig, CREATE, "{\"name\":\"x\"}", "\"code\":500");
    CHECK(!has_folder(rig, "x"));
    CHECK_INT(streams_rig_number(rig, "x", "next"), -1);
    CHECK_ANSWER(rig, CREATE, "{\"name\":\"x\"}", "\"definition\"");
}

TEST(a_created_stream_is_exported_like_any_other)
{
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(configured, 1, NULL, 0);
    rig->takes_all = true;
    cloud_is_up(rig, "cloud");
    CHECK_ANSWER(rig, CREATE, "{\"name\":\"x\",\"uplink\":\"cloud\"}", "\"definition\"");
    streams_rig_append(rig, "x", 0, 100);
    cloud_check(rig, 0, 0, 100);
    streams_rig_check_books(rig);
}

TEST(a_stream_that_is_deleted_leaves_nothing_and_another_may_have_its_name)
{
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(configured, 1, NULL, 0);
    (void)ask(rig, CREATE, "{\"name\":\"x\"}");
    streams_rig_append(rig, "x", 0, 100);
    (void)ask(rig, "$gatehouse/streams/x/cursor", "{\"cursor\":\"a\",\"action\":\"create\"}");
    CHECK_STR(ask(rig, DELETE, "{\"name\":\"x\"}"), "{\"name\":\"x\"}");
    CHECK(!has_folder(rig, "x"));
    CHECK_INT(streams_rig_number(rig, "x", "next"), -1);
    CHECK_ANSWER(rig, DELETE, "{\"name\":\"x\"}", "\"code\":404");
    CHECK_ANSWER(rig, CREATE, "{\"name\":\"x\"}", "\"readers\":[]");
    CHECK_INT(streams_rig_number(rig, "x", "next"), 0);
    streams_rig_append(rig, "x", 0, 3);
    streams_rig_restart(rig);
    CHECK_INT(streams_rig_number(rig, "x", "next"), 3);
    streams_rig_check_books(rig);
}

TEST(a_stream_is_deleted_when_what_is_under_way_has_come_back)
{
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(configured, 1, NULL, 0);
    cloud_is_up(rig, "cloud");
    (void)ask(rig, CREATE, "{\"name\":\"x\",\"uplink\":\"cloud\"}");
    streams_rig_append(rig, "x", 0, 100);
    CHECK_INT((int64_t)cloud_holds(rig), 64);
    CHECK_STR(ask(rig, DELETE, "{\"name\":\"x\"}"), "none");
    int settled = 0;
    rig_publish_receipt(rig->house, "$gatehouse/streams/x/append", "1", &settled);
    rig_turn(rig->house);
    CHECK(has_folder(rig, "x"));
    cloud_settle_all(rig, 0);
    CHECK_MESSAGE(rig->house, "rig/answer", "{\"name\":\"x\"}");
    CHECK(!has_folder(rig, "x"));
    CHECK_INT((int64_t)cloud_holds(rig), 0);
}

TEST(a_stream_of_the_configuration_or_of_a_route_is_not_deleted)
{
    const struct route_options routes[] = {{"r", "dt/#", "s", NULL}};
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(configured, 1, routes, 1);
    CHECK_ANSWER(rig, DELETE, "{\"name\":\"s\"}", "\"code\":409,\"message\":\"[route r] leads into it\"");
    CHECK_ANSWER(rig, DELETE, "{\"name\":7}", "\"code\":400");
}

TEST(a_database_that_fails_deletes_nothing)
{
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(configured, 1, NULL, 0);
    (void)ask(rig, CREATE, "{\"name\":\"x\"}");
    streams_rig_append(rig, "x", 0, 10);
    store_fail_next_commit(rig->house->store, -EIO);
    CHECK_ANSWER(rig, DELETE, "{\"name\":\"x\"}", "\"code\":500");
    CHECK_INT(streams_rig_number(rig, "x", "next"), 10);
    CHECK_STR(ask(rig, DELETE, "{\"name\":\"x\"}"), "{\"name\":\"x\"}");
}

static int mark_deleted(struct store_db *db, void *arg)
{
    (void)arg;
    sqlite3_stmt *st = store_statement(db, "UPDATE stream SET deleted = 1 WHERE name = 'x'");
    return store_execute(db, st);
}

TEST(what_a_crash_left_of_a_deleted_stream_goes_at_the_next_start)
{
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(configured, 1, NULL, 0);
    (void)ask(rig, CREATE, "{\"name\":\"x\"}");
    streams_rig_append(rig, "x", 0, 10);
    streams_rig_stop(rig);
    CHECK_INT(store_run_now(rig->house->store, mark_deleted, NULL), 0);
    CHECK(has_folder(rig, "x"));
    streams_rig_start(rig);
    CHECK(!has_folder(rig, "x"));
    CHECK_ANSWER(rig, CREATE, "{\"name\":\"x\"}", "\"definition\"");
    CHECK_INT(streams_rig_number(rig, "x", "next"), 0);
}

TEST(what_waits_when_the_gateway_stops_is_answered)
{
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(configured, 1, NULL, 0);
    CHECK_STR(ask(rig, "$gatehouse/streams/s/read", "{\"timeout\":100000}"), "none");
    streams_rig_stop(rig);
    rig_turn(rig->house);
    CHECK_MESSAGE(rig->house, "rig/answer", "\"code\":503");
}
