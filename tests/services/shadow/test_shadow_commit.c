/* When answers come: after the commit, in order, and only as many at once as there is room for. */
#include "shadow_rig.h"

#include <errno.h>
#include <stdio.h>

#define UPDATE "$aws/things/pump/shadow/update"
#define GET    "$aws/things/pump/shadow/get"
#define DELETE "$aws/things/pump/shadow/delete"

static const char *reported(int n)
{
    static char text[200];
    (void)snprintf(text, sizeof text, "{\"state\":{\"reported\":{\"n\":%d}},\"clientToken\":\"t%d\"}", n, n);
    return text;
}

TEST(nothing_is_told_before_the_commit)
{
    cleanup(shadow_rig_free_p) struct shadow_rig *rig = shadow_rig_new(NULL);
    int settled;
    CHECK_HAS(answer_to(rig, GET, ""), "\"code\":404"); /* now it is in memory */
    rig_forget(rig->house);
    ask_as(rig, 1, UPDATE, reported(1), &settled);
    CHECK(loop_turn(rig->house->loop, 0) > 0); /* routed, and written at the end of the turn */
    CHECK_INT((int64_t)rig_count(rig->house, "$aws/#"), 1);
    CHECK_INT(settled, RIG_UNSETTLED);
    CHECK(loop_turn(rig->house->loop, 0) > 0);
    CHECK_INT((int64_t)rig_count(rig->house, UPDATE "/accepted"), 1);
    CHECK_INT(settled, 0);
    CHECK_INT(number_in_store(rig, "SELECT version FROM shadow WHERE thing = 'pump' AND name = ''"), 1);
}

TEST(a_get_of_a_shadow_in_memory_is_answered_in_its_turn)
{
    cleanup(shadow_rig_free_p) struct shadow_rig *rig = shadow_rig_new(NULL);
    int settled;
    (void)answer_to(rig, UPDATE, reported(1));
    ask_as(rig, 1, GET, "", &settled);
    CHECK(loop_turn(rig->house->loop, 0) > 0);
    CHECK_MESSAGE(rig->house, GET "/accepted", "\"n\":1");
    CHECK_INT(settled, 0);
}

TEST(when_the_commit_fails_everybody_whose_commit_it_was_is_told_500_and_nothing_has_changed)
{
    cleanup(shadow_rig_free_p) struct shadow_rig *rig = shadow_rig_new(NULL);
    CHECK_HAS(answer_to(rig, UPDATE, reported(1)), "\"version\":1");
    rig_forget(rig->house);
    int settled[4];
    ask_as(rig, 1, UPDATE, reported(2), &settled[0]);
    ask_as(rig, 2, UPDATE, reported(3), &settled[1]);
    ask_as(rig, 3, GET, "{\"clientToken\":\"t4\"}", &settled[2]);
    ask_as(rig, 4, "$aws/things/fan/shadow/update", reported(5), &settled[3]);
    store_fail_next_commit(rig->house->store, -EIO);
    CHECK(loop_turn(rig->house->loop, 0) > 0); /* fan is read in this commit, pump is saved */
    rig_turn(rig->house);

    CHECK_INT(settled[0], -EIO);
    CHECK_INT(settled[1], -EIO);
    CHECK_INT(settled[2], 0); /* a get asks for nothing to be kept */
    CHECK_INT(settled[3], 0); /* what was read is as good as ever */
    CHECK_INT((int64_t)rig_count(rig->house, UPDATE "/rejected"), 2);
    CHECK_HAS(rig_payload(rig->house, UPDATE "/rejected", 0),
              "\"code\":500,\"message\":\"Internal service failure\"");
    CHECK_HAS(rig_payload(rig->house, UPDATE "/rejected", 0), "\"clientToken\":\"t2\"");
    CHECK_HAS(rig_payload(rig->house, UPDATE "/rejected", 1), "\"clientToken\":\"t3\"");
    CHECK_MESSAGE(rig->house, GET "/rejected", "\"clientToken\":\"t4\"");
    CHECK_NO_MESSAGE(rig->house, UPDATE "/accepted");
    CHECK_NO_MESSAGE(rig->house, UPDATE "/documents");
    CHECK_INT((int64_t)shadow_counters(rig->shadow)->faults, 3);

    CHECK_HAS(answer_to(rig, GET, ""), "\"n\":1");
    CHECK_HAS(answer_to(rig, UPDATE, reported(6)), "\"version\":2");
    CHECK_HAS(answer_to(rig, "$aws/things/fan/shadow/update", reported(5)), "\"version\":2");
}

TEST(a_new_shadow_whose_commit_fails_does_not_exist)
{
    cleanup(shadow_rig_free_p) struct shadow_rig *rig = shadow_rig_new(NULL);
    (void)answer_to(rig, GET, "");
    store_fail_next_commit(rig->house->store, -ENOSPC);
    CHECK_HAS(answer_to(rig, UPDATE, reported(1)), "\"code\":500");
    CHECK_HAS(answer_to(rig, GET, ""), "\"code\":404");
    CHECK_HAS(answer_to(rig, UPDATE, reported(2)), "\"version\":1");
    store_fail_next_commit(rig->house->store, -ENOSPC);
    CHECK_HAS(answer_to(rig, DELETE, ""), "\"code\":500");
    CHECK_HAS(answer_to(rig, GET, ""), "\"n\":2");
}

TEST(one_shadow_that_cannot_be_saved_does_not_take_others_with_it)
{
    cleanup(shadow_rig_free_p) struct shadow_rig *rig = shadow_rig_new(NULL);
    change_store(rig, "CREATE TRIGGER bad BEFORE INSERT ON shadow WHEN NEW.thing = 'pump' "
                      "BEGIN SELECT RAISE(ABORT, 'no'); END");
    int settled[2];
    ask_as(rig, 1, UPDATE, reported(1), &settled[0]);
    ask_as(rig, 1, "$aws/things/fan/shadow/update", reported(2), &settled[1]);
    rig_turn(rig->house);
    CHECK(settled[0] < 0);
    CHECK_INT(settled[1], 0);
    CHECK_MESSAGE(rig->house, UPDATE "/rejected", "\"code\":500");
    CHECK_MESSAGE(rig->house, "$aws/things/fan/shadow/update/accepted", "\"version\":1");
}

TEST(a_version_counts_what_was_kept_when_every_third_commit_fails)
{
    cleanup(shadow_rig_free_p) struct shadow_rig *rig = shadow_rig_new(NULL);
    int settled[2], kept = 0, last = 0;
    for (int turn = 1; turn <= 90; turn++) {
        if (turn % 3 == 0)
            store_fail_next_commit(rig->house->store, -EIO);
        for (int i = 0; i < 1 + turn % 2; i++)
            ask_as(rig, 1, UPDATE, reported(10 * turn + i), &settled[i]);
        rig_turn(rig->house);
        for (int i = 0; i < 1 + turn % 2; i++) {
            CHECK_INT(settled[i], turn % 3 == 0 ? -EIO : 0);
            kept += settled[i] == 0;
            last = settled[i] == 0 ? 10 * turn + i : last;
        }
    }
    char version[40], n[40];
    (void)snprintf(version, sizeof version, "\"version\":%d,", kept);
    (void)snprintf(n, sizeof n, "{\"n\":%d}", last);
    for (int restart = 0; restart < 2; restart++) {
        CHECK_HAS(answer_to(rig, GET, ""), version);
        CHECK_HAS(answer_to(rig, GET, ""), n);
        shadow_rig_restart(rig, NULL);
    }
}

TEST(the_updates_of_one_turn_see_each_other_and_share_a_commit)
{
    cleanup(shadow_rig_free_p) struct shadow_rig *rig = shadow_rig_new(NULL);
    ask(rig, UPDATE, "{\"state\":{\"reported\":{\"a\":1}}}");
    ask(rig, UPDATE, "{\"state\":{\"reported\":{\"b\":2}},\"version\":1}");
    ask(rig, UPDATE, "{\"state\":{\"reported\":{\"c\":3}},\"version\":1}");
    ask(rig, GET, "");
    ask(rig, DELETE, "");
    ask(rig, UPDATE, "{\"state\":{\"reported\":{\"d\":4}}}");
    rig_turn(rig->house);
    CHECK_INT((int64_t)shadow_counters(rig->shadow)->saves, 1);
    CHECK_HAS(rig_payload(rig->house, UPDATE "/documents", 1),
              "\"previous\":{\"state\":{\"reported\":{\"a\":1}}");
    CHECK_HAS(rig_payload(rig->house, UPDATE "/documents", 1), "{\"reported\":{\"a\":1,\"b\":2}}");
    CHECK_MESSAGE(rig->house, UPDATE "/rejected", "\"code\":409");
    CHECK_MESSAGE(rig->house, GET "/accepted", "{\"reported\":{\"a\":1,\"b\":2}}");
    CHECK_MESSAGE(rig->house, DELETE "/accepted", "\"version\":2");
    CHECK_HAS(rig_payload(rig->house, UPDATE "/documents", 2), "\"previous\":null");
    CHECK_HAS(rig_payload(rig->house, UPDATE "/documents", 2), "\"version\":4");
    CHECK_INT(number_in_store(rig, "SELECT version FROM shadow"), 4);
}

TEST(what_comes_while_a_shadow_is_being_saved_is_done_upon_it_afterwards)
{
    cleanup(shadow_rig_free_p) struct shadow_rig *rig = shadow_rig_new(NULL);
    (void)answer_to(rig, GET, "");
    ask(rig, UPDATE, reported(1));
    CHECK(loop_turn(rig->house->loop, 0) > 0); /* written, not yet known to be */
    ask(rig, GET, "");
    ask(rig, UPDATE, reported(2));
    rig_turn(rig->house);
    CHECK_HAS(rig_payload(rig->house, GET "/accepted", 0), "\"n\":1");
    CHECK_HAS(rig_payload(rig->house, UPDATE "/accepted", 1), "\"version\":2");
    CHECK_INT((int64_t)shadow_counters(rig->shadow)->saves, 2);
}

TEST(hundreds_of_updates_of_one_shadow_are_told_in_order)
{
    cleanup(shadow_rig_free_p) struct shadow_rig *rig = shadow_rig_new(NULL);
    enum { N = 300 };
    for (int i = 1; i <= N; i++)
        ask(rig, UPDATE, reported(i));
    rig_turn(rig->house);
    CHECK_INT((int64_t)rig_count(rig->house, UPDATE "/accepted"), N);
    for (int i = 1; i <= N; i++) {
        char version[40];
        (void)snprintf(version, sizeof version, "\"version\":%d,", i);
        CHECK_HAS(rig_payload(rig->house, UPDATE "/accepted", (size_t)i - 1), version);
    }
    CHECK((int64_t)shadow_counters(rig->shadow)->saves < N / 10);
    CHECK_INT((int64_t)shadow_counters(rig->shadow)->waiting, 0);
}

TEST(large_documents_of_many_shadows_wait_for_each_other)
{
    enum { N = 60, LEN = 8000, CACHE = 256 * 1024 };
    cleanup(shadow_rig_free_p) struct shadow_rig *rig =
        shadow_rig_new(&(struct shadow_options){.cache_bytes = CACHE});
    cleanup_free char *payload = mem_new_bytes(LEN + 200);
    size_t at = (size_t)snprintf(payload, 100, "{\"state\":{\"desired\":{\"a\":[1");
    while (at < LEN)
        at += (size_t)snprintf(payload + at, 10, ",1");
    (void)snprintf(payload + at, 10, "]}}}");
    for (int i = 0; i < N; i++) {
        char topic[100];
        (void)snprintf(topic, sizeof topic, "$aws/things/thing%d/shadow/update", i);
        ask(rig, topic, payload);
    }
    rig_turn(rig->house);
    CHECK_INT((int64_t)rig_count(rig->house, "$aws/things/+/shadow/update/accepted"), N);
    CHECK_INT(number_in_store(rig, "SELECT count(*) FROM shadow"), N);
    CHECK(shadow_counters(rig->shadow)->cached_bytes <= CACHE);
    CHECK(shadow_counters(rig->shadow)->evicted > 0);
}

/* ---- limits ------------------------------------------------------------------------------------------------------- */

TEST(the_eleventh_request_in_flight_of_one_connection_to_one_thing_is_refused)
{
    cleanup(shadow_rig_free_p) struct shadow_rig *rig = shadow_rig_new(NULL);
    int settled;
    for (int i = 0; i < 9; i++)
        ask_as(rig, 7, UPDATE, reported(i), NULL);
    ask_as(rig, 7, "$aws/things/pump/shadow/name/cfg/get", "", NULL);
    ask_as(rig, 7, GET, "{\"clientToken\":\"g11\"}", &settled);
    ask_as(rig, 7, "$aws/things/fan/shadow/get", "", NULL); /* another thing */
    ask_as(rig, 8, GET, "", NULL);                          /* another connection */
    rig_turn(rig->house);
    CHECK_INT(settled, 0); /* it was answered */
    CHECK_INT((int64_t)rig_count(rig->house, GET "/rejected"), 1);
    CHECK_STR(
        rig_last(rig->house, GET "/rejected"),
        "{\"code\":429,\"message\":\"Too many requests\",\"timestamp\":1760000000,\"clientToken\":\"g11\"}");
    CHECK_INT((int64_t)rig_count(rig->house, UPDATE "/accepted"), 9);
    CHECK_INT((int64_t)rig_count(rig->house, GET "/accepted"), 1);
    CHECK_MESSAGE(rig->house, "$aws/things/fan/shadow/get/rejected", "\"code\":404");

    ask_as(rig, 7, GET, "", NULL);
    rig_turn(rig->house);
    CHECK_INT((int64_t)rig_count(rig->house, GET "/accepted"), 2);
}

TEST(requests_beyond_the_limit_of_all_are_refused)
{
    const struct shadow_options options = {.requests_max = 3};
    cleanup(shadow_rig_free_p) struct shadow_rig *rig = shadow_rig_new(&options);
    for (int i = 0; i < 5; i++)
        ask(rig, UPDATE, reported(i));
    rig_turn(rig->house);
    CHECK_INT((int64_t)rig_count(rig->house, UPDATE "/accepted"), 3);
    CHECK_INT((int64_t)rig_count(rig->house, UPDATE "/rejected"), 2);
    CHECK_MESSAGE(rig->house, UPDATE "/rejected", "\"code\":429");
    CHECK_HAS(answer_to(rig, UPDATE, reported(9)), "\"version\":4");
}

TEST(requests_beyond_the_bytes_of_all_are_refused)
{
    const struct shadow_options options = {.request_bytes_max = 4000};
    cleanup(shadow_rig_free_p) struct shadow_rig *rig = shadow_rig_new(&options);
    cleanup_free char *payload = str_printf("{\"state\":{\"reported\":{\"a\":\"%01000d\"}}}", 0);
    for (int i = 0; i < 5; i++)
        ask(rig, UPDATE, payload);
    rig_turn(rig->house);
    CHECK_INT((int64_t)rig_count(rig->house, UPDATE "/accepted"), 3);
    CHECK_INT((int64_t)rig_count(rig->house, UPDATE "/rejected"), 2);
    CHECK_HAS(answer_to(rig, UPDATE, payload), "\"version\":4");
}

TEST(the_limits_of_a_document_can_be_set)
{
    const struct shadow_options options = {.document_bytes_max = 20, .levels_max = 2};
    cleanup(shadow_rig_free_p) struct shadow_rig *rig = shadow_rig_new(&options);
    CHECK_HAS(answer_to(rig, UPDATE, "{\"state\":{\"reported\":{\"a\":\"123456789012\"}}}"), "\"version\":1");
    CHECK_HAS(answer_to(rig, UPDATE, "{\"state\":{\"reported\":{\"a\":\"1234567890123\"}}}"), "\"code\":413");
    CHECK_HAS(answer_to(rig, UPDATE, "{\"state\":{\"reported\":{\"a\":{\"b\":{}}}}}"), "\"code\":400");
}

TEST(requests_that_wait_when_the_service_ends_get_a_fault)
{
    cleanup(shadow_rig_free_p) struct shadow_rig *rig = shadow_rig_new(NULL);
    int settled[3];
    (void)answer_to(rig, GET, "");
    ask_as(rig, 1, UPDATE, reported(1), &settled[0]);
    ask_as(rig, 1, "$aws/things/fan/shadow/get", "", &settled[1]);
    CHECK(loop_turn(rig->house->loop, 0) > 0);
    ask_as(rig, 1, UPDATE, reported(2), &settled[2]);
    bus_say(rig->house->bus, "x", "", BUS_PASS);
    rig->shadow = shadow_free(rig->shadow);
    CHECK_INT(settled[0], 0);          /* it was written */
    CHECK_INT(settled[1], -ECANCELED); /* it was read, not answered */
    rig_turn(rig->house);
    CHECK_INT(settled[2], 0); /* it reached nobody */
}
