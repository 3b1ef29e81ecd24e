/* What an operator does to streams at work: pausing and moving exporters, sending dead letters back, changing definitions. */
#include "services/streams/streams_rig.h"

#include "base/json.h"

#include <errno.h>
#include <stdio.h>

#define CREATE   "$gatehouse/ctl/stream/create"
#define UPDATE   "$gatehouse/ctl/stream/update"
#define EXPORTER "$gatehouse/ctl/stream/exporter"
#define RETRY    "$gatehouse/ctl/stream/retry"
#define DELETE   "$gatehouse/ctl/stream/delete"

enum { TOO_LARGE = 0x95 };

static const struct stream_options one[] = {{.name = "s", .uplink = "cloud"}};

#define CHECK_ANSWER(rig, topic, request, part)                                                              \
    do {                                                                                                     \
        const char *answer_ = rig_request(rig->house, topic, request);                                       \
        if (!answer_ || !strstr(answer_, part))                                                              \
            CHECK_STR(answer_, part);                                                                        \
    } while (0)

/* A number in the account of the uplink, by verify. */
static int64_t account(struct streams_rig *rig, const char *stream, const char *uplink, const char *key)
{
    cleanup_free char *request = str_printf("{\"name\":\"%s\"}", stream);
    const char *answer = rig_request(rig->house, "$gatehouse/ctl/stream/verify", request);
    struct arena memory = {0};
    struct json *json;
    int64_t found = -1;
    CHECK(answer);
    CHECK_INT(json_parse(&json, &memory, answer, strlen(answer), NULL), 0);
    json_for_each (account, json_get(json_first(json_get(json, "streams")), "accounts"))
        if (json_text_is(json_get(account, "name"), uplink))
            (void)json_int(json_get(account, key), 0, INT64_MAX, &found);
    arena_done(&memory);
    return found;
}

/* ---- pausing ----------------------------------------------------------------------------------------------------- */

TEST(a_paused_exporter_sends_nothing_and_holds_its_records_also_after_a_restart)
{
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(one, 1, NULL, 0);
    rig->takes_all = true;
    cloud_is_up(rig, "cloud");
    CHECK_ANSWER(rig, EXPORTER, "{\"name\":\"s\",\"uplink\":\"cloud\",\"action\":\"pause\"}",
                 "{\"stream\":\"s\",\"exporter\":{\"uplink\":\"cloud\",\"paused\":true,");
    streams_rig_append(rig, "s", 0, 10);
    CHECK_INT((int64_t)cloud_count(rig), 0);
    CHECK_ANSWER(rig, "$gatehouse/ctl/stream/list", "",
                 "\"waitsFor\":\"somebody to resume it: it is paused\"");
    streams_rig_restart(rig);
    cloud_is_up(rig, "cloud");
    rig_wait(rig->house, 60 * 1000);
    CHECK_INT((int64_t)cloud_count(rig), 0);
    CHECK_ANSWER(rig, EXPORTER, "{\"name\":\"s\",\"uplink\":\"cloud\",\"action\":\"resume\"}",
                 "\"paused\":false");
    rig_turn(rig->house);
    cloud_check(rig, 0, 0, 10);
    streams_rig_check_books(rig);
}

TEST(what_is_under_way_when_it_is_paused_is_settled)
{
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(one, 1, NULL, 0);
    streams_rig_append(rig, "s", 0, 100);
    cloud_is_up(rig, "cloud");
    CHECK_ANSWER(rig, EXPORTER, "{\"name\":\"s\",\"uplink\":\"cloud\",\"action\":\"pause\"}",
                 "\"underWay\":64");
    cloud_settle_all(rig, 0);
    CHECK_INT((int64_t)cloud_count(rig), 64);
    CHECK_INT(streams_rig_number(rig, "s", "pending"), 36);
}

TEST(a_pause_that_cannot_be_stored_is_none)
{
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(one, 1, NULL, 0);
    store_fail_next_commit(rig->house->store, -ENOSPC);
    CHECK_ANSWER(rig, EXPORTER, "{\"name\":\"s\",\"uplink\":\"cloud\",\"action\":\"pause\"}", "\"code\":500");
    CHECK_ANSWER(rig, "$gatehouse/ctl/stream/list", "", "\"paused\":false");
}

TEST(requests_about_exporters_are_checked)
{
    static const char *const bad[][2] = {
        {"[]", "expected a JSON object"},
        {"{\"uplink\":\"cloud\"}", "name: expected the name of a stream"},
        {"{\"name\":\"s\"}", "uplink: expected the name of one of the stream's uplinks"},
        {"{\"name\":\"s\",\"uplink\":\"cloud\"}", "action: expected pause, resume or move"},
        {"{\"name\":\"s\",\"uplink\":\"cloud\",\"action\":\"stop\"}",
         "action: expected pause, resume or move"},
        {"{\"name\":\"s\",\"uplink\":\"cloud\",\"action\":\"move\"}", "at: expected first, next, or"},
        {"{\"name\":\"s\",\"uplink\":\"cloud\",\"action\":\"move\",\"at\":\"last\"}",
         "at: expected first, next, or"},
        {"{\"name\":\"s\",\"uplink\":\"cloud\",\"action\":\"move\",\"at\":1}", "at: expected at most 0"},
        {"{\"name\":\"s\",\"uplink\":\"cloud\",\"action\":\"pause\",\"at\":1}",
         "at: expected first, next, or"},
        {"{\"name\":\"x\",\"uplink\":\"cloud\",\"action\":\"pause\"}", "there is no stream"},
        {"{\"name\":\"s\",\"uplink\":\"moon\",\"action\":\"pause\"}", "stream s has no uplink"},
        {"{\"name\":\"s\",\"colour\":1}", "expected name, uplink, action or at"},
    };
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(one, 1, NULL, 0);
    for (size_t i = 0; i < array_size(bad); i++)
        CHECK_ANSWER(rig, EXPORTER, bad[i][0], bad[i][1]);
}

/* ---- moving ------------------------------------------------------------------------------------------------------ */

TEST(an_exporter_that_is_moved_back_sends_again_and_its_books_tell)
{
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(one, 1, NULL, 0);
    rig->takes_all = true;
    cloud_is_up(rig, "cloud");
    streams_rig_append(rig, "s", 0, 10);
    CHECK_ANSWER(rig, EXPORTER, "{\"name\":\"s\",\"uplink\":\"cloud\",\"action\":\"move\",\"at\":4}",
                 "\"cursor\":");
    rig_turn(rig->house);
    CHECK_INT((int64_t)cloud_count(rig), 16);
    cloud_check(rig, 10, 4, 6);
    CHECK_INT(account(rig, "s", "cloud", "delivered"), 10);
    streams_rig_check_books(rig);
}

TEST(an_exporter_that_is_moved_on_gives_records_up_and_can_be_moved_back)
{
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(one, 1, NULL, 0);
    streams_rig_append(rig, "s", 0, 10);
    CHECK_ANSWER(rig, EXPORTER, "{\"name\":\"s\",\"uplink\":\"cloud\",\"action\":\"move\",\"at\":7}",
                 "\"cursor\":7");
    CHECK_INT(account(rig, "s", "cloud", "evicted"), 7);
    CHECK_INT(account(rig, "s", "cloud", "pending"), 3);
    streams_rig_restart(rig);
    CHECK_INT(account(rig, "s", "cloud", "evicted"), 7);
    CHECK_ANSWER(rig, EXPORTER, "{\"name\":\"s\",\"uplink\":\"cloud\",\"action\":\"move\",\"at\":\"first\"}",
                 "\"cursor\":0");
    CHECK_INT(account(rig, "s", "cloud", "evicted"), 0);
    CHECK_ANSWER(rig, EXPORTER, "{\"name\":\"s\",\"uplink\":\"cloud\",\"action\":\"move\",\"at\":\"next\"}",
                 "\"pending\":0");
    streams_rig_check_books(rig);
}

TEST(what_is_under_way_when_it_is_moved_is_waited_for)
{
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(one, 1, NULL, 0);
    streams_rig_append(rig, "s", 0, 10);
    cloud_is_up(rig, "cloud");
    CHECK_ANSWER(rig, EXPORTER, "{\"name\":\"s\",\"uplink\":\"cloud\",\"action\":\"move\",\"at\":5}",
                 "\"cursor\":5");
    CHECK_INT((int64_t)cloud_count(rig), 10);
    cloud_settle_all(rig, 0);
    CHECK_INT((int64_t)cloud_count(rig), 15);
    cloud_check(rig, 10, 5, 5);
    cloud_settle_all(rig, 0);
    CHECK_INT(account(rig, "s", "cloud", "delivered"), 5);
    CHECK_INT(account(rig, "s", "cloud", "evicted"), 5);
    streams_rig_check_books(rig);
}

TEST(a_move_that_cannot_be_stored_is_none)
{
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(one, 1, NULL, 0);
    streams_rig_append(rig, "s", 0, 10);
    store_fail_next_commit(rig->house->store, -ENOSPC);
    CHECK_ANSWER(rig, EXPORTER, "{\"name\":\"s\",\"uplink\":\"cloud\",\"action\":\"move\",\"at\":5}",
                 "\"code\":500");
    rig->takes_all = true;
    cloud_is_up(rig, "cloud");
    cloud_check(rig, 0, 0, 10);
    streams_rig_check_books(rig);
}

/* ---- dead letters go back ---------------------------------------------------------------------------------------- */

static void kill_some(struct streams_rig *rig, const char *stream, unsigned count)
{
    streams_rig_append(rig, stream, 0, count);
    cloud_is_up(rig, "cloud");
    for (int i = 0; i < 100 && cloud_holds(rig); i++)
        cloud_settle_all(rig, TOO_LARGE);
    rig_wait(rig->house, 10);
    CHECK_INT(streams_rig_number(rig, stream, "pending"), 0);
}

TEST(dead_letters_go_back_to_their_stream_each_once)
{
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(one, 1, NULL, 0);
    CHECK_ANSWER(rig, RETRY, "{\"name\":\"s\"}", "\"code\":404");
    kill_some(rig, "s", 600);
    rig_publish(rig->house, "$gatehouse/streams/dead-letters/append", "no letter");
    rig_publish(rig->house, "$gatehouse/streams/dead-letters/append",
                "{\"stream\":\"other\",\"topic\":\"a\",\"payload\":\"1\"}");
    enum { BEYOND = 61000 }; /* no stream takes a topic of so many bytes: it is passed over */
    cleanup_free char *topic = mem_new_bytes(BEYOND + 1);
    memset(topic, 'x', BEYOND);
    cleanup_free char *never =
        str_printf("{\"stream\":\"s\",\"topic\":\"%.*s\",\"payload\":\"1\"}", BEYOND, topic);
    rig_publish(rig->house, "$gatehouse/streams/dead-letters/append", never);
    rig_publish(rig->house, "$gatehouse/streams/dead-letters/append",
                "{\"stream\":\"s\",\"topic\":\"a/b\",\"base64\":\"MTI=\"}");
    rig_turn(rig->house);
    size_t sent = cloud_count(rig);
    rig->takes_all = true;
    CHECK_ANSWER(rig, RETRY, "{\"name\":\"s\"}",
                 "{\"name\":\"s\",\"letters\":\"dead-letters\",\"skipped\":1,\"retried\":601}");
    rig_turn(rig->house);
    CHECK_INT((int64_t)cloud_count(rig), (int64_t)sent + 601);
    cloud_check(rig, sent, 0, 600);
    CHECK_STR(cloud_topic(rig, sent), "streams/s");
    CHECK_STR(cloud_topic(rig, sent + 600), "a/b");
    CHECK_STR(cloud_payload(rig, sent + 600), "12");
    CHECK_ANSWER(rig, RETRY, "{\"name\":\"s\"}", "\"retried\":0}");
    streams_rig_restart(rig);
    CHECK_ANSWER(rig, RETRY, "{\"name\":\"s\"}", "\"retried\":0}");
    streams_rig_check_books(rig);
}

TEST(what_is_refused_again_becomes_a_new_letter)
{
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(one, 1, NULL, 0);
    kill_some(rig, "s", 3);
    CHECK_ANSWER(rig, RETRY, "{\"name\":\"s\"}", "\"retried\":3}");
    rig_turn(rig->house);
    cloud_settle_all(rig, TOO_LARGE);
    rig_wait(rig->house, 10);
    CHECK_INT(streams_rig_number(rig, "dead-letters", "next"), 6);
    CHECK_ANSWER(rig, RETRY, "{\"name\":\"s\"}", "\"retried\":3}");
}

TEST(letters_that_find_no_room_stay_to_be_sent_back)
{
    const struct stream_options options[] = {
        {.name = "s", .uplink = "cloud", .max_bytes = 16384, .segment_bytes = 4096, .keep = true}};
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(options, 1, NULL, 0);
    kill_some(rig, "s", 100);
    cloud_is_down(rig, "cloud");
    CHECK_ANSWER(rig, EXPORTER, "{\"name\":\"s\",\"uplink\":\"cloud\",\"action\":\"move\",\"at\":\"first\"}",
                 "\"pending\"");
    static char text[3000];
    memset(text, 'x', sizeof text - 1);
    for (int i = 0; i < 10; i++)
        rig_publish(rig->house, "$gatehouse/streams/s/append", text);
    rig_turn(rig->house);
    CHECK_ANSWER(rig, RETRY, "{\"name\":\"s\"}", "the stream does not take them: it is full");
    rig->takes_all = true;
    cloud_is_up(rig, "cloud");
    rig_wait(rig->house, 5000);
    CHECK_ANSWER(rig, RETRY, "{\"name\":\"s\"}", "\"retried\":");
    streams_rig_check_books(rig);
}

/* ---- changing ---------------------------------------------------------------------------------------------------- */

static struct streams_rig *rig_with_made(void)
{
    struct streams_rig *rig = streams_rig_new(one, 1, NULL, 0);
    cloud_is_down(rig, "cloud");
    cloud_is_down(rig, "archive");
    CHECK_ANSWER(rig, CREATE, "{\"name\":\"m\",\"uplink\":\"cloud\",\"maxSize\":\"2M\"}",
                 "\"configured\":false");
    return rig;
}

TEST(a_created_stream_is_changed_for_good)
{
    cleanup(streams_rig_free_p) struct streams_rig *rig = rig_with_made();
    CHECK_ANSWER(rig, UPDATE, "{\"name\":\"m\",\"maxSize\":\"4M\",\"priority\":1,\"ttl\":\"1d\"}",
                 "\"priority\":1,\"maxSize\":4194304,");
    CHECK_INT(streams_rig_number(rig, "m", "maxBytes"), 4 << 20);
    streams_rig_append(rig, "m", 0, 10);
    streams_rig_restart(rig);
    CHECK_INT(streams_rig_number(rig, "m", "priority"), 1);
    CHECK_INT(streams_rig_number(rig, "m", "maxBytes"), 4 << 20);
    CHECK_INT(streams_rig_number(rig, "m", "next"), 10);
}

TEST(a_larger_limit_counts_at_once)
{
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(one, 1, NULL, 0);
    CHECK_ANSWER(rig, CREATE, "{\"name\":\"m\",\"maxSize\":\"1M\"}", "\"configured\":false");
    cleanup_free char *large = mem_new_bytes(300 * 1000 + 1);
    memset(large, 'x', 300 * 1000);
    int settled[5];
    for (int i = 0; i < 5; i++) {
        rig_publish_receipt(rig->house, "$gatehouse/streams/m/append", large, &settled[i]);
        rig_turn(rig->house);
    }
    CHECK_INT(settled[4], 0x97);
    CHECK_ANSWER(rig, UPDATE, "{\"name\":\"m\",\"maxSize\":\"4M\"}", "\"maxSize\":4194304");
    rig_publish_receipt(rig->house, "$gatehouse/streams/m/append", large, &settled[4]);
    rig_turn(rig->house);
    CHECK_INT(settled[4], 0);
    streams_rig_check_books(rig);
}

TEST(what_must_stay_stays)
{
    cleanup(streams_rig_free_p) struct streams_rig *rig = rig_with_made();
    static const char *const bad[][2] = {
        {"[]", "expected a JSON object"},
        {"{}", "name: expected the name of a stream"},
        {"{\"name\":\"x\"}", "\"code\":404"},
        {"{\"name\":\"s\",\"priority\":1}", "\"code\":409,\"message\":\"it is in gatehouse.conf"},
        {"{\"name\":\"m\",\"persistence\":\"memory\"}",
         "\"code\":409,\"message\":\"persistence: it cannot be changed"},
        {"{\"name\":\"m\",\"priority\":11}", "\"code\":400,\"message\":\"priority: expected"},
        {"{\"name\":\"m\",\"uplink\":\"moon\"}", "uplink: expected the name of an [uplink]"},
        {"{\"name\":\"m\",\"colour\":1}", "found a member"},
    };
    for (size_t i = 0; i < array_size(bad); i++)
        CHECK_ANSWER(rig, UPDATE, bad[i][0], bad[i][1]);
    cleanup_free char *large = mem_new_bytes(300 * 1000 + 1);
    memset(large, 'x', 300 * 1000);
    for (int i = 0; i < 5; i++)
        rig_publish(rig->house, "$gatehouse/streams/m/append", large);
    rig_turn(rig->house);
    CHECK_ANSWER(rig, UPDATE, "{\"name\":\"m\",\"maxSize\":\"1M\"}", "maxSize: expected at least the");
    store_fail_next_commit(rig->house->store, -ENOSPC);
    CHECK_ANSWER(rig, UPDATE, "{\"name\":\"m\",\"priority\":2}", "\"code\":500");
    CHECK_INT(streams_rig_number(rig, "m", "priority"), 5);
}

TEST(an_uplink_that_is_new_begins_with_the_oldest_record_and_one_that_goes_holds_nothing)
{
    cleanup(streams_rig_free_p) struct streams_rig *rig = rig_with_made();
    cloud_is_up(rig, "cloud");
    streams_rig_append(rig, "m", 0, 10);
    CHECK_INT((int64_t)cloud_count(rig), 10);
    cloud_is_up(rig, "archive");
    CHECK_ANSWER(rig, UPDATE, "{\"name\":\"m\",\"uplink\":\"archive\"}", "\"uplink\":\"archive\"");
    rig_turn(rig->house);
    CHECK_INT((int64_t)cloud_count(rig), 20);
    cloud_check(rig, 10, 0, 10);
    for (size_t i = 0; i < 10; i++) /* of the one that has gone; it counts for nobody */
        cloud_settle(rig, i, i == 3 ? TOO_LARGE : 0);
    streams_rig_check_books(rig);
    CHECK_INT(account(rig, "m", "cloud", "delivered"), -1);
    cloud_settle_all(rig, 0);
    CHECK_INT(account(rig, "m", "archive", "delivered"), 10);
    streams_rig_restart(rig);
    CHECK_INT(account(rig, "m", "archive", "delivered"), 10);
    CHECK_INT(account(rig, "m", "cloud", "delivered"), -1);
    CHECK_ANSWER(rig, UPDATE, "{\"name\":\"m\",\"uplink\":\"archive, cloud\"}",
                 "\"uplink\":\"archive, cloud\"");
    CHECK_INT(account(rig, "m", "cloud", "pending"), 10);
    streams_rig_check_books(rig);
}

TEST(an_exporter_that_is_going_is_neither_moved_nor_paused_any_more)
{
    static const char move[] = "{\"name\":\"m\",\"uplink\":\"cloud\",\"action\":\"move\",\"at\":5}",
                      pause[] = "{\"name\":\"m\",\"uplink\":\"cloud\",\"action\":\"pause\"}";
    cleanup(streams_rig_free_p) struct streams_rig *rig = rig_with_made();
    streams_rig_append(rig, "m", 0, 10);
    rig_publish(rig->house, EXPORTER, move);
    CHECK_ANSWER(rig, UPDATE, "{\"name\":\"m\",\"uplink\":\"\"}", "\"uplink\":\"\"");
    rig_turn(rig->house);
    CHECK_ANSWER(rig, UPDATE, "{\"name\":\"m\",\"uplink\":\"cloud\"}", "\"uplink\":\"cloud\"");
    CHECK_INT(account(rig, "m", "cloud", "pending"), 10);
    rig_publish(rig->house, UPDATE, "{\"name\":\"m\",\"uplink\":\"\"}");
    CHECK_ANSWER(rig, EXPORTER, pause, "\"code\":404");
    CHECK_ANSWER(rig, UPDATE, "{\"name\":\"m\",\"uplink\":\"cloud\"}", "\"uplink\":\"cloud\"");
    streams_rig_restart(rig);
    CHECK_ANSWER(rig, "$gatehouse/ctl/stream/list", "", "\"uplink\":\"cloud\",\"paused\":false");
    CHECK_INT(account(rig, "m", "cloud", "pending"), 10);
    streams_rig_check_books(rig);
}

TEST(a_stream_is_deleted_only_when_what_a_former_exporter_has_under_way_is_back)
{
    cleanup(streams_rig_free_p) struct streams_rig *rig = rig_with_made();
    cloud_is_up(rig, "cloud");
    streams_rig_append(rig, "m", 0, 10);
    CHECK_ANSWER(rig, UPDATE, "{\"name\":\"m\",\"uplink\":\"\"}", "\"uplink\":\"\"");
    CHECK(!rig_request(rig->house, DELETE, "{\"name\":\"m\"}"));
    CHECK_INT(streams_rig_number(rig, "m", "next"), 10);
    cloud_settle_all(rig, 0);
    rig_turn(rig->house);
    CHECK_INT(streams_rig_number(rig, "m", "next"), -1);
}

TEST(uplinks_are_changed_a_hundred_times_while_records_are_under_way)
{
    static const char *const lists[] = {"cloud", "cloud, archive", "archive", "", "archive, cloud"};
    cleanup(streams_rig_free_p) struct streams_rig *rig = rig_with_made();
    cloud_is_up(rig, "cloud");
    cloud_is_up(rig, "archive");
    unsigned random = 7;
    for (unsigned i = 0; i < 100; i++) {
        char request[100];
        streams_rig_append(rig, "m", 10 * i, 10);
        (void)snprintf(request, sizeof request, "{\"name\":\"m\",\"uplink\":\"%s\",\"liveShare\":%u}",
                       lists[(unsigned)rand_r(&random) % array_size(lists)],
                       (unsigned)rand_r(&random) % 2 * 50);
        CHECK_ANSWER(rig, UPDATE, request, "\"configured\":false");
        for (size_t k = 0; k < cloud_count(rig); k++)
            if (rig->items[k].receipt && rand_r(&random) % 3 == 0)
                cloud_settle(rig, k, rand_r(&random) % 20 ? 0 : rand_r(&random) % 2 ? TOO_LARGE : 0x89);
        streams_rig_check_books(rig);
        rig_wait(rig->house, rand_r(&random) % 10 ? 200 : 60 * 1000);
    }
    cloud_is_down(rig, "archive");
    streams_rig_restart(rig);
    streams_rig_check_books(rig);
}
