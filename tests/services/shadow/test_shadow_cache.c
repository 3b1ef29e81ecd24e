/* Which documents are in memory, and what happens to requests for those that are not. */
#include "shadow_rig.h"

#include <errno.h>
#include <stdio.h>

#define UPDATE "$aws/things/pump/shadow/update"
#define GET    "$aws/things/pump/shadow/get"
#define DELETE "$aws/things/pump/shadow/delete"

/* verb of thing number i */
static const char *topic_of(int i, const char *verb)
{
    static char topic[100];
    (void)snprintf(topic, sizeof topic, "$aws/things/thing%d/shadow/%s", i, verb);
    return topic;
}

static void make(struct shadow_rig *rig, int i, int len)
{
    cleanup_free char *payload =
        str_printf("{\"state\":{\"reported\":{\"n\":%d,\"fill\":\"%0*d\"}}}", i, len, 0);
    CHECK_HAS(answer_to(rig, topic_of(i, "update"), payload), "\"version\":");
}

static void check_thing(struct shadow_rig *rig, int i)
{
    char n[40];
    (void)snprintf(n, sizeof n, "\"n\":%d,", i);
    CHECK_HAS(answer_to(rig, topic_of(i, "get"), ""), n);
}

static uint64_t loads(const struct shadow_rig *rig)
{
    return shadow_counters(rig->shadow)->loads;
}

TEST(a_shadow_is_read_when_it_is_first_used_and_once)
{
    cleanup(shadow_rig_free_p) struct shadow_rig *rig = shadow_rig_new(NULL);
    make(rig, 1, 10);
    shadow_rig_restart(rig, NULL);
    CHECK_INT((int64_t)loads(rig), 0);
    check_thing(rig, 1);
    check_thing(rig, 1);
    make(rig, 1, 10);
    CHECK_INT((int64_t)loads(rig), 1);
    CHECK_INT(number_in_store(rig, "SELECT version FROM shadow"), 2);
}

TEST(opening_reads_nothing_however_many_there_are)
{
    cleanup(shadow_rig_free_p) struct shadow_rig *rig = shadow_rig_new(NULL);
    change_store(rig,
                 "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000) "
                 "INSERT INTO shadow (thing, name, version, state, metadata) SELECT 'thing' || i, '', 3, "
                 "'{\"reported\":{\"n\":' || i || ',\"b\":0}}', '1x2' FROM n");
    struct store_counters before, after;
    store_counters(rig->house->store, &before);
    shadow_rig_restart(rig, NULL);
    rig_turn(rig->house);
    store_counters(rig->house->store, &after);
    CHECK_INT((int64_t)(after.items - before.items), 0);
    check_thing(rig, 1);
    check_thing(rig, 77777);
    check_thing(rig, 100000);
}

TEST(requests_for_a_shadow_that_is_being_read_wait_in_their_order)
{
    cleanup(shadow_rig_free_p) struct shadow_rig *rig = shadow_rig_new(NULL);
    (void)answer_to(rig, UPDATE, "{\"state\":{\"reported\":{\"a\":1}}}");
    shadow_rig_restart(rig, NULL);
    ask(rig, GET, "");
    CHECK(loop_turn(rig->house->loop, 0) > 0); /* read, not yet here */
    CHECK_INT((int64_t)rig_count(rig->house, "$aws/#"), 1);
    ask(rig, UPDATE, "{\"state\":{\"reported\":{\"a\":2}},\"version\":1}");
    ask(rig, DELETE, "");
    ask(rig, GET, "");
    rig_forget(rig->house);
    rig_turn(rig->house);
    static const char *const expected[] = {UPDATE,
                                           DELETE,
                                           GET, /* the requests are routed first */
                                           GET "/accepted",
                                           UPDATE "/documents",
                                           UPDATE "/accepted",
                                           DELETE "/accepted",
                                           GET "/rejected"};
    for (size_t i = 0; i < array_size(expected); i++)
        CHECK_STR(rig_topic(rig->house, "$aws/#", i), expected[i]);
    CHECK_HAS(rig_payload(rig->house, GET "/accepted", 0), "\"a\":1");
    CHECK_INT((int64_t)loads(rig), 1);
}

TEST(hundreds_of_shadows_asked_for_at_once_are_all_read)
{
    cleanup(shadow_rig_free_p) struct shadow_rig *rig = shadow_rig_new(NULL);
    enum { N = 400 };
    for (int i = 0; i < N; i++)
        make(rig, i, 10);
    shadow_rig_restart(rig, NULL);
    for (int i = 0; i < N; i++)
        ask(rig, topic_of(i, "get"), "");
    rig_turn(rig->house);
    CHECK_INT((int64_t)rig_count(rig->house, "$aws/things/+/shadow/get/accepted"), N);
    CHECK_INT((int64_t)shadow_counters(rig->shadow)->cached, N);
}

TEST(memory_stays_within_the_budget_and_no_document_is_lost)
{
    const struct shadow_options options = {.cache_bytes = 8000};
    cleanup(shadow_rig_free_p) struct shadow_rig *rig = shadow_rig_new(&options);
    for (int i = 0; i < 50; i++) {
        make(rig, i, 500);
        CHECK(shadow_counters(rig->shadow)->cached_bytes <= 8000);
    }
    CHECK(shadow_counters(rig->shadow)->evicted > 0);
    for (int i = 0; i < 50; i++)
        check_thing(rig, i);
    CHECK(shadow_counters(rig->shadow)->cached_bytes <= 8000);
}

TEST(the_shadow_that_was_not_used_for_longest_is_evicted_first)
{
    const struct shadow_options options = {.cache_bytes = 16000};
    cleanup(shadow_rig_free_p) struct shadow_rig *rig = shadow_rig_new(&options);
    for (int i = 0; i < 3; i++) /* three of five thousand bytes have room, four have not */
        make(rig, i, 4600);
    CHECK_INT((int64_t)shadow_counters(rig->shadow)->cached, 3);
    check_thing(rig, 0);
    make(rig, 3, 4600);
    uint64_t before = loads(rig);
    check_thing(rig, 0);
    check_thing(rig, 2);
    check_thing(rig, 3);
    CHECK_INT((int64_t)(loads(rig) - before), 0);
    check_thing(rig, 1);
    CHECK_INT((int64_t)(loads(rig) - before), 1);
}

TEST(a_shadow_with_requests_is_not_evicted_however_small_the_budget_is)
{
    const struct shadow_options options = {.cache_bytes = 1};
    cleanup(shadow_rig_free_p) struct shadow_rig *rig = shadow_rig_new(&options);
    for (int i = 0; i < 20; i++)
        for (int times = 0; times < 3; times++)
            ask(rig, topic_of(i, "update"), "{\"state\":{\"reported\":{\"a\":1}}}");
    CHECK(loop_turn(rig->house->loop, 0) > 0);
    CHECK_INT((int64_t)shadow_counters(rig->shadow)->cached, 20);
    for (int i = 0; i < 20; i++)
        ask(rig, topic_of(i, "update"), "{\"state\":{\"reported\":{\"a\":1}}}");
    rig_turn(rig->house);
    CHECK_INT((int64_t)rig_count(rig->house, "$aws/things/+/shadow/update/accepted"), 80);
    CHECK_INT(number_in_store(rig, "SELECT min(version) FROM shadow"), 4);
    CHECK_INT((int64_t)shadow_counters(rig->shadow)->cached, 0);
    CHECK_INT((int64_t)shadow_counters(rig->shadow)->cached_bytes, 0);
}

TEST(asking_for_shadows_that_do_not_exist_neither_fills_memory_nor_disk)
{
    const struct shadow_options options = {.cache_bytes = 5000};
    cleanup(shadow_rig_free_p) struct shadow_rig *rig = shadow_rig_new(&options);
    for (int i = 0; i < 300; i++)
        CHECK_HAS(answer_to(rig, topic_of(i, "get"), ""), "\"code\":404");
    CHECK(shadow_counters(rig->shadow)->cached_bytes <= 5000);
    CHECK_INT(number_in_store(rig, "SELECT count(*) FROM shadow"), 0);
}

TEST(a_damaged_row_is_answered_with_500_and_left_as_it_is)
{
    cleanup(shadow_rig_free_p) struct shadow_rig *rig = shadow_rig_new(NULL);
    make(rig, 1, 10);
    shadow_rig_restart(rig, NULL);
    change_store(rig, "UPDATE shadow SET metadata = '1x99'");
    int settled;
    ask_as(rig, 1, topic_of(1, "update"), "{\"state\":{\"reported\":{\"a\":1}}}", &settled);
    rig_turn(rig->house);
    CHECK_INT(settled, -EUCLEAN);
    CHECK_MESSAGE(rig->house, topic_of(1, "update/rejected"), "\"code\":500");
    CHECK_HAS(answer_to(rig, topic_of(1, "get"), ""), "\"code\":500");
    CHECK_INT(number_in_store(rig, "SELECT count(*) FROM shadow WHERE metadata = '1x99'"), 1);
}

TEST(a_damaged_row_makes_the_store_say_that_it_is_damaged)
{
    cleanup(shadow_rig_free_p) struct shadow_rig *rig = shadow_rig_new(NULL);
    struct store_counters counters;
    make(rig, 1, 10);
    shadow_rig_restart(rig, NULL);
    check_thing(rig, 1);
    store_counters(rig->house->store, &counters);
    CHECK(!counters.damaged);
    shadow_rig_restart(rig, NULL);
    change_store(rig, "UPDATE shadow SET state = '{\"reported\":{\"n\":1,\"fi\x8B'");
    CHECK_HAS(answer_to(rig, topic_of(1, "get"), ""), "\"code\":500");
    store_counters(rig->house->store, &counters);
    CHECK(counters.damaged);
}

/* Of a row with this state and these stamps. */
static bool is_whole(const char *columns)
{
    sqlite3 *sqlite = NULL;
    sqlite3_stmt *row = NULL;
    cleanup_free char *sql = str_printf("SELECT %s", columns);
    CHECK_INT(sqlite3_open(":memory:", &sqlite), SQLITE_OK);
    CHECK_INT(sqlite3_prepare_v2(sqlite, sql, -1, &row, NULL), SQLITE_OK);
    CHECK_INT(sqlite3_step(row), SQLITE_ROW);
    bool whole = shadow_store_check.is_whole(row);
    (void)sqlite3_finalize(row);
    (void)sqlite3_close(sqlite);
    return whole;
}

TEST(documents_with_garbage_in_them_are_told_from_whole_ones)
{
    CHECK(is_whole(
        "1 AS id, '{\"reported\":{\"a\":1,\"b\":2}}' AS state, '1760000000x2' AS metadata, '' AS recent"));
    CHECK(is_whole("NULL AS state, NULL AS metadata"));
    CHECK(is_whole("1 AS id")); /* a table of another time */
    CHECK(!is_whole("'{\"reported\":{\"a\":1,\"b\":2}}' AS state, '1760000000' AS metadata"));
    CHECK(!is_whole("'{\"reported\":{\"a\":1,' AS state, '1760000000x2' AS metadata"));
    CHECK(!is_whole("'{\"reported\":{\"a\":\"' || x'F8A7' || '\"}}' AS state, '1760000000' AS metadata"));
    CHECK(!is_whole("'' AS state, '' AS metadata"));
}

TEST(a_shadow_that_could_not_be_read_is_read_again_for_the_next_request)
{
    cleanup(shadow_rig_free_p) struct shadow_rig *rig = shadow_rig_new(NULL);
    make(rig, 1, 10);
    shadow_rig_restart(rig, NULL);
    change_store(rig, "ALTER TABLE shadow RENAME TO away");
    int settled[2];
    ask_as(rig, 1, topic_of(1, "get"), "{\"clientToken\":\"t\"}", &settled[0]);
    ask_as(rig, 1, topic_of(1, "update"), "{\"state\":{}}", &settled[1]);
    rig_turn(rig->house);
    CHECK_INT(settled[0], 0); /* it asked for nothing to be kept */
    CHECK(settled[1] < 0);
    CHECK_MESSAGE(rig->house, topic_of(1, "get/rejected"), "\"code\":500");
    CHECK_MESSAGE(rig->house, topic_of(1, "get/rejected"), "\"clientToken\":\"t\"");
    CHECK_INT((int64_t)shadow_counters(rig->shadow)->cached, 0);
    change_store(rig, "ALTER TABLE away RENAME TO shadow");
    check_thing(rig, 1);
}
