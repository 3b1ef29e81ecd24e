/* Cursors, reads, and whether the books balance. */
#include "services/streams/streams_rig.h"
#include "store/place.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

enum { SAVE_AFTER = 1000 };

static const struct stream_options local[] = {{.name = "s", .segment_bytes = 4096}};

#define READ   "$gatehouse/streams/s/read"
#define CURSOR "$gatehouse/streams/s/cursor"

/* The answer, from the first to the last byte. */
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

/* ---- reading ----------------------------------------------------------------------------------------------------- */

TEST(a_read_gives_records_from_the_number_that_was_asked_for)
{
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(local, 1, NULL, 0);
    streams_rig_append(rig, "s", 0, 5);
    CHECK_STR(
        ask(rig, READ, "{\"from\":1,\"max\":2}"),
        "{\"stream\":\"s\",\"records\":[{\"seq\":1,\"time\":1760000000000,\"topic\":\"streams/s\",\"payload\":\"1\"},"
        "{\"seq\":2,\"time\":1760000000000,\"topic\":\"streams/s\",\"payload\":\"2\"}],\"next\":3,\"missing\":0}");
    CHECK_ANSWER(rig, READ, "", "\"next\":1,");
    CHECK_ANSWER(rig, READ, "{\"from\":0,\"min\":3}", "\"next\":5,");
    CHECK_ANSWER(rig, READ, "{\"from\":4,\"min\":1,\"max\":100}", "\"next\":5,");
}

TEST(bytes_that_are_no_text_come_as_base64_and_the_number_is_in_the_topic)
{
    const struct route_options routes[] = {{"r", "dt/#", "s", "p/${topic}/${seq}/x"}};
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(local, 1, routes, 1);
    static const char *const expected[][2] = {
        {"\xff", "/w=="}, {"\xff\xfe", "//4="}, {"\xff\xfe\xfd", "//79"}};
    for (size_t i = 0; i < 3; i++) {
        rig_publish(rig->house, "dt/a", expected[i][0]);
        rig_turn(rig->house);
        char request[64], part[128];
        (void)snprintf(request, sizeof request, "{\"from\":%zu}", i);
        (void)snprintf(part, sizeof part, "\"topic\":\"p/dt/a/%zu/x\",\"base64\":\"%s\"}", i, expected[i][1]);
        CHECK_ANSWER(rig, READ, request, part);
    }
}

TEST(a_read_waits_for_the_minimum_until_its_time_is_over)
{
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(local, 1, NULL, 0);
    streams_rig_append(rig, "s", 0, 2);
    CHECK_STR(ask(rig, READ, "{\"min\":3}"),
              "{\"code\":412,\"message\":\"NotEnoughMessages: 2 from 0 on, 3 were asked for\"}");
    CHECK_STR(ask(rig, READ, "{\"from\":9}"),
              "{\"code\":412,\"message\":\"NotEnoughMessages: 0 from 9 on, 1 were asked for\"}");
    CHECK_STR(ask(rig, READ, "{\"from\":1,\"min\":3,\"timeout\":500}"), "none");
    streams_rig_append(rig, "s", 2, 1);
    rig_wait(rig->house, 499);
    rig_forget(rig->house);
    streams_rig_append(rig, "s", 3, 1);
    CHECK_MESSAGE(rig->house, "rig/answer", "\"seq\":1,");
    CHECK_MESSAGE(rig->house, "rig/answer", "\"next\":4,");
    rig_forget(rig->house);
    CHECK_STR(ask(rig, READ, "{\"from\":4,\"timeout\":500}"), "none");
    rig_wait(rig->house, 499);
    CHECK_NO_MESSAGE(rig->house, "rig/answer");
    rig_wait(rig->house, 1);
    CHECK_MESSAGE(rig->house, "rig/answer", "NotEnoughMessages");
}

TEST(a_request_that_is_wrong_is_told_what_was_expected)
{
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(local, 1, NULL, 0);
    CHECK_ANSWER(rig, READ, "[]", "\"code\":400,\"message\":\"expected a JSON object\"");
    CHECK_ANSWER(rig, READ, "{\"from\":-1}", "InvalidRequest: from: expected the number of a record");
    CHECK_ANSWER(rig, READ, "{\"min\":0}", "InvalidRequest: min: expected a number from 1 to 1000");
    CHECK_ANSWER(rig, READ, "{\"min\":3,\"max\":2}", "InvalidRequest: max: expected a number from min on");
    CHECK_ANSWER(rig, READ, "{\"timeout\":3600001}", "InvalidRequest: timeout: expected milliseconds");
    CHECK_ANSWER(rig, READ, "{\"cursor\":\"x\",\"from\":1}", "expected one of from and cursor, not both");
    CHECK_ANSWER(rig, READ, "{\"cursor\":\"@stream\"}", "\"code\":404,\"message\":\"ResourceNotFound");
    CHECK_ANSWER(rig, READ, "{\"form\":1}", "expected from, cursor, min, max or timeout, found a member");
    CHECK_ANSWER(rig, "$gatehouse/streams/t/read", "{}", "\"code\":404,\"message\":\"there is no stream");
}

TEST(an_answer_has_at_most_a_thousand_records_and_256_kib)
{
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(local, 1, NULL, 0);
    streams_rig_append(rig, "s", 0, 1200);
    CHECK_ANSWER(rig, READ, "{\"max\":2000}", "\"next\":1000,");
    enum { LARGE = 100 * 1000 };
    cleanup_free char *large = mem_new_bytes(LARGE + 1);
    memset(large, 'x', LARGE);
    for (int i = 0; i < 3; i++)
        rig_publish(rig->house, "$gatehouse/streams/s/append", large);
    rig_turn(rig->house);
    CHECK_ANSWER(rig, READ, "{\"from\":1200,\"max\":3}", "\"next\":1202,");
    CHECK_ANSWER(rig, READ, "{\"from\":1200,\"min\":3}",
                 "\"code\":413,\"message\":\"ResponsePayloadTooLarge");
}

TEST(whoever_appends_with_a_response_topic_is_told_the_number)
{
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(local, 1, NULL, 0);
    streams_rig_append(rig, "s", 0, 3);
    CHECK_STR(ask(rig, "$gatehouse/streams/s/append", "x"), "{\"seq\":3}");
}

/* ---- cursors ----------------------------------------------------------------------------------------------------- */

TEST(a_cursor_is_made_moved_and_deleted_and_survives_a_restart)
{
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(local, 1, NULL, 0);
    streams_rig_append(rig, "s", 0, 10);
    CHECK_STR(
        ask(rig, CURSOR, "{\"cursor\":\"a\",\"action\":\"create\"}"),
        "{\"stream\":\"s\",\"cursor\":\"a\",\"holds\":true,\"next\":0,\"pending\":10,\"start\":0,\"delivered\":0,"
        "\"expired\":0,\"evicted\":0,\"deadLettered\":0,\"missing\":0}");
    CHECK_ANSWER(rig, CURSOR, "{\"cursor\":\"b\",\"action\":\"create\",\"at\":\"next\",\"holds\":false}",
                 "\"holds\":false,\"next\":10,\"pending\":0,\"start\":10,");
    CHECK_ANSWER(rig, CURSOR, "{\"cursor\":\"a\",\"action\":\"create\"}", "\"code\":409");
    CHECK_ANSWER(rig, CURSOR, "{\"cursor\":\"a\",\"action\":\"move\",\"at\":7}",
                 "\"next\":7,\"pending\":3,\"start\":0,\"delivered\":7,");
    CHECK_ANSWER(rig, READ, "{\"cursor\":\"a\"}", "\"records\":[{\"seq\":7,");
    streams_rig_restart(rig);
    CHECK_ANSWER(rig, READ, "{\"cursor\":\"a\",\"max\":9}", "\"records\":[{\"seq\":7,");
    CHECK_ANSWER(rig, CURSOR, "{\"cursor\":\"a\",\"action\":\"move\",\"at\":\"first\"}",
                 "\"next\":0,\"pending\":10,\"start\":0,\"delivered\":0,");
    CHECK_STR(ask(rig, CURSOR, "{\"cursor\":\"a\",\"action\":\"delete\"}"),
              "{\"stream\":\"s\",\"cursor\":\"a\"}");
    CHECK_ANSWER(rig, READ, "{\"cursor\":\"a\"}", "\"code\":404");
    streams_rig_restart(rig);
    CHECK_ANSWER(rig, READ, "{\"cursor\":\"a\"}", "\"code\":404");
    CHECK_ANSWER(rig, CURSOR, "{\"cursor\":\"b\",\"action\":\"move\",\"at\":10}", "\"next\":10,");
}

TEST(a_cursor_that_is_moved_while_it_is_deleted_does_not_come_back)
{
    static const char move[] = "{\"cursor\":\"a\",\"action\":\"move\",\"at\":7}",
                      delete[] = "{\"cursor\":\"a\",\"action\":\"delete\"}";
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(local, 1, NULL, 0);
    streams_rig_append(rig, "s", 0, 10);
    for (int i = 0; i < 2; i++) {
        CHECK_ANSWER(rig, CURSOR, "{\"cursor\":\"a\",\"action\":\"create\"}", "\"next\":0,");
        rig_publish(rig->house, CURSOR, i ? move : delete);
        rig_publish(rig->house, CURSOR, i ? delete : move);
        rig_turn(rig->house);
        CHECK_ANSWER(rig, READ, "{\"cursor\":\"a\"}", "\"code\":404");
        streams_rig_restart(rig);
        CHECK_ANSWER(rig, READ, "{\"cursor\":\"a\"}", "\"code\":404");
    }
}

TEST(a_cursor_request_that_is_wrong_changes_nothing)
{
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(local, 1, NULL, 0);
    streams_rig_append(rig, "s", 0, 10);
    CHECK_ANSWER(rig, CURSOR, "{\"action\":\"create\"}", "cursor: expected a name");
    CHECK_ANSWER(rig, CURSOR, "{\"cursor\":\"@stream\",\"action\":\"delete\"}", "cursor: expected a name");
    CHECK_ANSWER(rig, CURSOR, "{\"cursor\":\"a\",\"action\":\"jump\"}", "expected create, move or delete");
    CHECK_ANSWER(rig, CURSOR, "{\"cursor\":\"a\",\"action\":\"move\"}", "at: expected first, next, or");
    CHECK_ANSWER(rig, CURSOR, "{\"cursor\":\"a\",\"action\":\"create\",\"at\":11}",
                 "not beyond the next record");
    CHECK_ANSWER(rig, CURSOR, "{\"cursor\":\"a\",\"action\":\"move\",\"at\":1}", "\"code\":404");
    CHECK_ANSWER(rig, CURSOR, "{\"cursor\":\"a\",\"action\":\"create\",\"at\":5}", "\"start\":5");
    CHECK_ANSWER(rig, CURSOR, "{\"cursor\":\"a\",\"action\":\"move\",\"at\":4}", "\"code\":409");
    store_fail_next_commit(rig->house->store, -ENOSPC);
    CHECK_ANSWER(rig, CURSOR, "{\"cursor\":\"a\",\"action\":\"move\",\"at\":9}", "\"code\":500");
    CHECK_ANSWER(rig, CURSOR, "{\"cursor\":\"a\",\"action\":\"move\",\"at\":5}", "\"delivered\":0,");
    store_fail_next_commit(rig->house->store, -ENOSPC);
    CHECK_ANSWER(rig, CURSOR, "{\"cursor\":\"c\",\"action\":\"create\"}", "\"code\":500");
    CHECK_ANSWER(rig, CURSOR, "{\"cursor\":\"c\",\"action\":\"delete\"}", "\"code\":404");
    store_fail_next_commit(rig->house->store, -ENOSPC);
    CHECK_ANSWER(rig, CURSOR, "{\"cursor\":\"a\",\"action\":\"delete\"}", "\"code\":500");
    CHECK_ANSWER(rig, CURSOR, "{\"cursor\":\"a\",\"action\":\"move\",\"at\":6}", "\"delivered\":1,");
}

TEST(records_go_when_every_cursor_that_holds_them_has_had_them)
{
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(local, 1, NULL, 0);
    rig->width = 40;
    streams_rig_append(rig, "s", 0, 400);
    (void)ask(rig, CURSOR, "{\"cursor\":\"a\",\"action\":\"create\"}");
    (void)ask(rig, CURSOR, "{\"cursor\":\"b\",\"action\":\"create\"}");
    (void)ask(rig, CURSOR, "{\"cursor\":\"c\",\"action\":\"create\",\"holds\":false}");
    (void)ask(rig, CURSOR, "{\"cursor\":\"a\",\"action\":\"move\",\"at\":400}");
    rig_turn(rig->house);
    CHECK_INT(streams_rig_number(rig, "s", "first"), 0);
    (void)ask(rig, CURSOR, "{\"cursor\":\"b\",\"action\":\"move\",\"at\":200}");
    rig_turn(rig->house);
    int64_t first = streams_rig_number(rig, "s", "first");
    CHECK(first > 100 && first <= 200);
    (void)ask(rig, CURSOR, "{\"cursor\":\"b\",\"action\":\"delete\"}");
    rig_turn(rig->house);
    CHECK(streams_rig_number(rig, "s", "first") > 300);
    CHECK_ANSWER(rig, CURSOR, "{\"cursor\":\"a\",\"action\":\"move\",\"at\":1}", "\"code\":409");
    /* the one that did not hold them has lost nothing that its books do not say */
    streams_rig_check_books(rig);
    streams_rig_restart(rig);
    streams_rig_check_books(rig);
}

/* ---- the books --------------------------------------------------------------------------------------------------- */

TEST(the_books_of_a_new_stream_balance)
{
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(local, 1, NULL, 0);
    CHECK_STR(
        ask(rig, "$gatehouse/ctl/stream/verify", ""),
        "{\"streams\":[{\"name\":\"s\",\"first\":0,\"next\":0,\"records\":0,\"damaged\":0,\"accounts\":[{\"name\":null,"
        "\"kind\":\"stream\",\"start\":0,\"next\":0,\"accepted\":0,\"delivered\":0,\"pending\":0,\"expired\":0,"
        "\"evicted\":0,\"deadLettered\":0,\"missing\":0,\"balanced\":true,\"fault\":null}],\"balanced\":true,"
        "\"fault\":null}],\"balanced\":true}");
    CHECK_ANSWER(rig, "$gatehouse/ctl/stream/verify", "{\"name\":\"t\"}", "\"code\":404");
    CHECK_ANSWER(rig, "$gatehouse/ctl/stream/verify", "{\"nmae\":\"s\"}", "expected name, found a member");
}

static int execute(struct store_db *db, void *sql)
{
    sqlite3_stmt *st = store_statement(db, sql);
    return store_execute(db, st);
}

static void spoil(struct streams_rig *rig, const char *sql)
{
    CHECK_INT(store_run_now(rig->house->store, execute, (void *)(uintptr_t)sql), 0);
}

TEST(books_that_do_not_agree_with_the_log_are_an_alarm)
{
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(local, 1, NULL, 0);
    streams_rig_append(rig, "s", 0, 10);
    (void)ask(rig, CURSOR, "{\"cursor\":\"a\",\"action\":\"create\"}");
    (void)ask(rig, CURSOR, "{\"cursor\":\"a\",\"action\":\"move\",\"at\":7}");
    streams_rig_check_books(rig);
    streams_rig_stop(rig);
    spoil(rig, "UPDATE stream_reader SET delivered = delivered - 1 WHERE name = 'a'");
    streams_rig_start(rig);
    CHECK_ANSWER(rig, "$gatehouse/ctl/stream/verify", "",
                 "the books of a do not add up: 7 numbers from 0 to 7, 6 accounted for");
    CHECK_MESSAGE(rig->house, "$gatehouse/status/streams/s",
                  "\"state\":\"alarm\",\"reason\":\"the books of a");
    CHECK(strstr(rig->warnings, "stream s: alarm: the books of a do not add up"));
    CHECK_ANSWER(rig, "$gatehouse/ctl/stream/list", "", "\"alarm\":\"the books of a");
    rig_forget(rig->house);
    (void)ask(rig, CURSOR, "{\"cursor\":\"a\",\"action\":\"delete\"}");
    streams_rig_check_books(rig);
    CHECK_MESSAGE(rig->house, "$gatehouse/status/streams/s", "\"state\":\"fine\",\"reason\":null");
}

TEST(records_that_somebody_took_away_are_missing_and_an_alarm)
{
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(local, 1, NULL, 0);
    rig->width = 40;
    streams_rig_append(rig, "s", 0, 200);
    (void)ask(rig, CURSOR, "{\"cursor\":\"a\",\"action\":\"create\"}");
    rig_wait(rig->house, SAVE_AFTER);
    streams_rig_stop(rig);
    spoil(rig, "REPLACE INTO stream_reader VALUES ('s','@',0,0,0,0,0,0,0,0,0,0)");
    cleanup_free char *first = str_printf("%s/streams/s/00000000000000000000.seg", rig->folder);
    unsigned second = streams_rig_file(rig, "s", 1);
    CHECK_INT(unlink(first), 0);
    streams_rig_start(rig);
    cleanup_free char *alarm =
        str_printf("stream s: alarm: records 0 to %u are gone, and nothing says why", second - 1);
    cleanup_free char *missing = str_printf("%u of 200 records are missing for the stream", second);
    CHECK(strstr(rig->warnings, alarm));
    CHECK_ANSWER(rig, "$gatehouse/ctl/stream/verify", "", missing);
}

TEST(damaged_records_are_missing_in_the_books_of_who_passed_them)
{
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(local, 1, NULL, 0);
    streams_rig_append(rig, "s", 0, 10);
    streams_rig_stop(rig);
    cleanup_free char *path = str_printf("%s/streams/s/00000000000000000000.seg", rig->folder);
    cleanup(fd_close_p) int fd = open(path, O_WRONLY | O_CLOEXEC);
    CHECK_INT(pwrite(fd, "????", 4, (off_t)rig_find(path, 4).offset), 4);
    streams_rig_start(rig);
    (void)ask(rig, CURSOR, "{\"cursor\":\"a\",\"action\":\"create\"}");
    CHECK_ANSWER(rig, READ, "{\"cursor\":\"a\",\"max\":10}", "\"next\":10,\"missing\":1}");
    CHECK_ANSWER(rig, CURSOR, "{\"cursor\":\"a\",\"action\":\"move\",\"at\":10}", "\"delivered\":9,");
    CHECK_ANSWER(rig, "$gatehouse/ctl/stream/verify", "", "1 of 10 records are missing for the stream");
    CHECK_ANSWER(rig, "$gatehouse/ctl/stream/verify", "", "1 of 10 records are missing for a");
    CHECK_ANSWER(rig, CURSOR, "{\"cursor\":\"a\",\"action\":\"move\",\"at\":3}", "\"delivered\":3,");
    CHECK_ANSWER(rig, CURSOR, "{\"cursor\":\"a\",\"action\":\"move\",\"at\":10}", "\"delivered\":9,");
    CHECK_MESSAGE(rig->house, "$gatehouse/status/streams/s", "\"state\":\"alarm\"");
}
