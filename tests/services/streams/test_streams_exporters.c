/* Several exporters of one stream, and what happens to a record that one of them will never take. */
#include "services/streams/streams_rig.h"

#include "base/json.h"

#include <errno.h>
#include <stdio.h>

enum { PACKET_TOO_LARGE = 0x95, SERVER_BUSY = 0x89 };

static const struct stream_options two[] = {
    {.name = "s", .uplink = "cloud, archive", .segment_bytes = 65536}};

/* The number called `key` of the exporter to that uplink; -1: null, or there is none. */
static int64_t number(struct streams_rig *rig, const char *stream, const char *uplink, const char *key)
{
    const char *answer = rig_request(rig->house, "$gatehouse/ctl/stream/list", "");
    struct arena memory = {0};
    struct json *list;
    int64_t found = -1;
    CHECK(answer);
    CHECK_INT(json_parse(&list, &memory, answer, strlen(answer), NULL), 0);
    json_for_each (at, json_get(list, "streams"))
        if (json_text_is(json_get(at, "name"), stream))
            json_for_each (exporter, json_get(at, "exporters"))
                if (json_text_is(json_get(exporter, "uplink"), uplink))
                    (void)json_int(json_get(exporter, key), 0, INT64_MAX, &found);
    arena_done(&memory);
    return found;
}

/* All that is held for that uplink is settled. */
static void settle(struct streams_rig *rig, const char *uplink, int r)
{
    cleanup_free char *prefix = str_printf("$gatehouse/cloud/%s/", uplink);
    for (size_t i = 0, count = rig->item_count; i < count; i++)
        if (rig->items[i].receipt && strncmp(rig->items[i].msg->topic, prefix, strlen(prefix)) == 0) {
            struct receipt *receipt = rig->items[i].receipt;
            rig->items[i].receipt = NULL;
            receipt_settle(receipt, r);
        }
    rig_turn(rig->house);
}

static int64_t count_to(struct streams_rig *rig, const char *uplink)
{
    cleanup_free char *filter = str_printf("$gatehouse/cloud/%s/publish/#", uplink);
    return (int64_t)rig_count(rig->house, filter);
}

/* ---- several ----------------------------------------------------------------------------------------------------- */

TEST(each_exporter_goes_at_its_own_pace)
{
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(two, 1, NULL, 0);
    streams_rig_append(rig, "s", 0, 10);
    cloud_is_up(rig, "cloud");
    settle(rig, "cloud", 0);
    CHECK_INT(count_to(rig, "cloud"), 10);
    CHECK_INT(count_to(rig, "archive"), 0);
    CHECK_INT(number(rig, "s", "cloud", "pending"), 0);
    CHECK_INT(number(rig, "s", "archive", "pending"), 10);
    cloud_is_up(rig, "archive");
    settle(rig, "archive", SERVER_BUSY);
    streams_rig_append(rig, "s", 10, 5);
    settle(rig, "cloud", 0); /* which is not held up by the other one's pause */
    CHECK_INT(number(rig, "s", "cloud", "cursor"), 15);
    CHECK_INT(number(rig, "s", "cloud", "retries"), 0);
    CHECK_INT(number(rig, "s", "archive", "cursor"), 0);
    CHECK_INT(number(rig, "s", "archive", "retries"), 1);
    rig->takes_all = true;
    rig_wait(rig->house, 1000);
    CHECK_INT(number(rig, "s", "archive", "cursor"), 15);
    streams_rig_check_books(rig);
}

TEST(a_segment_goes_when_all_exporters_have_had_it)
{
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(two, 1, NULL, 0);
    static char text[1000];
    memset(text, 'x', sizeof text - 1);
    for (int i = 0; i < 200; i++)
        rig_publish(rig->house, "$gatehouse/streams/s/append", text);
    rig_turn(rig->house);
    rig->takes_all = true;
    cloud_is_up(rig, "cloud");
    rig_wait(rig->house, 2000);
    CHECK_INT(number(rig, "s", "cloud", "pending"), 0);
    CHECK_INT(streams_rig_number(rig, "s", "first"), 0);
    cloud_is_up(rig, "archive");
    rig_wait(rig->house, 2000);
    CHECK(streams_rig_number(rig, "s", "first") > 100);
    streams_rig_check_books(rig);
}

TEST(each_exporter_goes_on_from_its_own_place_after_a_restart)
{
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(two, 1, NULL, 0);
    streams_rig_append(rig, "s", 0, 10);
    cloud_is_up(rig, "cloud");
    cloud_is_up(rig, "archive");
    settle(rig, "cloud", 0);
    cloud_is_down(rig, "cloud");
    cloud_is_down(rig, "archive");
    streams_rig_restart(rig);
    cloud_forget(rig);
    CHECK_INT(number(rig, "s", "cloud", "cursor"), 10);
    CHECK_INT(number(rig, "s", "archive", "cursor"), 0);
    rig->takes_all = true;
    cloud_is_up(rig, "archive");
    CHECK_INT(count_to(rig, "archive"), 10);
    CHECK_INT(count_to(rig, "cloud"), 0);
    streams_rig_check_books(rig);
}

/* ---- dead letters ------------------------------------------------------------------------------------------------ */

static const struct stream_options one[] = {{.name = "s", .uplink = "cloud"}};

static const char *letters(struct streams_rig *rig)
{
    return rig_request(rig->house, "$gatehouse/streams/dead-letters/read", "{\"max\":1000}");
}

static unsigned count_letters(struct streams_rig *rig)
{
    unsigned count = 0;
    for (const char *at = letters(rig); (at = strstr(at, "\\\"stream\\\":")); at++)
        count++;
    return count;
}

TEST(a_record_that_will_never_be_taken_is_put_aside_and_holds_up_nobody)
{
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(one, 1, NULL, 0);
    streams_rig_append(rig, "s", 0, 10);
    cloud_is_up(rig, "cloud");
    for (size_t i = 0; i < 10; i++)
        cloud_settle(rig, i, i == 3 || i == 4 ? PACKET_TOO_LARGE : 0);
    rig_wait(rig->house, 10);
    CHECK_INT((int64_t)cloud_count(rig), 10); /* nothing was sent twice */
    CHECK_INT(number(rig, "s", "cloud", "cursor"), 10);
    CHECK_INT(number(rig, "s", "cloud", "deadLettered"), 2);
    CHECK_INT(number(rig, "s", "cloud", "retries"), 0);
    CHECK_INT(count_letters(rig), 2);
    const char *text = letters(rig);
    CHECK(strstr(text, "{\\\"stream\\\":\\\"s\\\",\\\"seq\\\":3,\\\"time\\\":"));
    CHECK(strstr(text, "\\\"topic\\\":\\\"streams/s\\\",\\\"uplink\\\":\\\"cloud\\\",\\\"code\\\":149,"
                       "\\\"reason\\\":\\\"packet too large (0x95)\\\",\\\"payload\\\":\\\"3\\\"}"));
    streams_rig_check_books(rig);
    streams_rig_restart(rig); /* the stream for them is there again, as are the books */
    CHECK_INT(count_letters(rig), 2);
    CHECK_INT(number(rig, "s", "cloud", "deadLettered"), 2);
    streams_rig_check_books(rig);
}

TEST(a_letter_is_written_when_all_before_it_are_settled)
{
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(one, 1, NULL, 0);
    streams_rig_append(rig, "s", 0, 3);
    cloud_is_up(rig, "cloud");
    cloud_settle(rig, 1, PACKET_TOO_LARGE);
    CHECK(strstr(letters(rig), "404"));
    cloud_settle(rig, 0, SERVER_BUSY); /* all three will be sent again, and it is refused again */
    cloud_settle(rig, 2, 0);
    CHECK(strstr(letters(rig), "404"));
    rig_wait(rig->house, 1000);
    CHECK_INT((int64_t)cloud_count(rig), 6);
    cloud_settle(rig, 4, PACKET_TOO_LARGE);
    cloud_settle(rig, 3, 0);
    cloud_settle(rig, 5, 0);
    rig_wait(rig->house, 10);
    CHECK_INT(count_letters(rig), 1);
    CHECK_INT(number(rig, "s", "cloud", "cursor"), 3);
    CHECK_INT(number(rig, "s", "cloud", "deadLettered"), 1);
}

TEST(a_payload_that_is_no_text_is_kept_in_base64)
{
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(one, 1, NULL, 0);
    rig_publish(rig->house, "$gatehouse/streams/s/append", "\xff\x01");
    rig_turn(rig->house);
    cloud_is_up(rig, "cloud");
    cloud_settle_all(rig, 0x99);
    rig_wait(rig->house, 10);
    CHECK(strstr(letters(rig),
                 "\\\"reason\\\":\\\"payload format invalid (0x99)\\\",\\\"base64\\\":\\\"/wE=\\\"}"));
}

TEST(where_there_are_to_be_no_letters_the_record_is_kept_and_the_reason_is_shown)
{
    const struct stream_options options[] = {
        {.name = "none", .uplink = "cloud", .dead_letter = "none"},
        {.name = "lost", .uplink = "cloud", .dead_letter = "nowhere"},
        {.name = "own", .uplink = "cloud", .dead_letter = "own"},
    };
    static const char *const whys[] = {
        "it will never be taken, and the stream's dead-letter is none",
        "it will never be taken, and the stream for dead letters does not exist",
        "it will never be taken, and is a dead letter already",
    };
    cleanup(streams_rig_free_p) struct streams_rig *rig =
        streams_rig_new(options, array_size(options), NULL, 0);
    cloud_is_up(rig, "cloud");
    for (size_t i = 0; i < array_size(options); i++) {
        streams_rig_append(rig, options[i].name, 0, 1);
        cloud_settle_all(rig, PACKET_TOO_LARGE);
        CHECK_INT(number(rig, options[i].name, "cloud", "pending"), 1);
        CHECK_INT(number(rig, options[i].name, "cloud", "deadLettered"), 0);
        CHECK_INT(number(rig, options[i].name, "cloud", "retries"), 1);
        CHECK(strstr(rig_request(rig->house, "$gatehouse/ctl/stream/list", ""), whys[i]));
        rig_wait(rig->house, 1000);
        cloud_settle_all(rig, 0);
        CHECK_INT(number(rig, options[i].name, "cloud", "pending"), 0);
    }
}

TEST(a_letter_that_cannot_be_written_leaves_the_record_pending)
{
    const struct stream_options options[] = {
        {.name = "s", .uplink = "cloud", .dead_letter = "letters"},
        {.name = "letters", .max_bytes = 4096, .segment_bytes = 4096},
    };
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(options, 2, NULL, 0);
    streams_rig_append(rig, "s", 0, 100);
    cloud_is_up(rig, "cloud");
    for (int i = 0; i < 10 && cloud_holds(rig); i++) {
        cloud_settle_all(rig, PACKET_TOO_LARGE);
        rig_wait(rig->house, 10);
    }
    int64_t dead = number(rig, "s", "cloud", "deadLettered");
    CHECK(dead > 5 && dead < 50);
    CHECK_INT(number(rig, "s", "cloud", "cursor"), dead);
    CHECK(strstr(rig_request(rig->house, "$gatehouse/ctl/stream/list", ""),
                 "a dead letter could not be written"));
    streams_rig_check_books(rig);
    rig->takes_all = true;
    rig_wait(rig->house, 300 * 1000);
    CHECK_INT(number(rig, "s", "cloud", "pending"), 0);
    CHECK_INT(number(rig, "s", "cloud", "deadLettered"), dead);
    streams_rig_check_books(rig);
}

TEST(a_payload_that_no_letter_can_hold_is_told_by_size_and_sum)
{
    const struct stream_options options[] = {
        {.name = "s", .uplink = "cloud", .dead_letter = "letters"},
        {.name = "letters", .max_bytes = 16384, .segment_bytes = 4096, .overwrite = true},
    };
    enum { LEN = 10000 };
    char payload[LEN + 1] = {0};
    memset(payload, 'x', LEN);
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(options, 2, NULL, 0);
    rig_publish(rig->house, "$gatehouse/streams/s/append", payload);
    rig_turn(rig->house);
    cloud_is_up(rig, "cloud");
    cloud_settle_all(rig, PACKET_TOO_LARGE);
    rig_wait(rig->house, 10);
    CHECK_INT(number(rig, "s", "cloud", "deadLettered"), 1);
    CHECK_INT(number(rig, "s", "cloud", "pending"), 0);
    CHECK(strstr(
        rig_request(rig->house, "$gatehouse/streams/letters/read", "{\"from\":0,\"max\":10}"),
        "\\\"size\\\":10000,\\\"sha256\\\":\\\"e4ee97ec252749d2096447e849628d0d7734f51700416eefbb33574bf0b3ee75\\\"}"));
    CHECK(strstr(rig_request(rig->house, "$gatehouse/ctl/stream/retry", "{\"name\":\"s\"}"),
                 "\"skipped\":1,\"retried\":0}"));
    streams_rig_check_books(rig);
}

TEST(a_stream_for_letters_that_cannot_be_made_is_asked_for_again_after_a_pause)
{
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(one, 1, NULL, 0);
    streams_rig_append(rig, "s", 0, 1);
    cloud_is_up(rig, "cloud");
    store_fail_next_commit(rig->house->store, -ENOSPC);
    cloud_settle(rig, 0, PACKET_TOO_LARGE);
    rig_turn(rig->house);
    CHECK(strstr(letters(rig), "404"));
    CHECK(strstr(rig_request(rig->house, "$gatehouse/ctl/stream/list", ""),
                 "\"waitsFor\":\"its pause after a failure\""));
    rig_wait(rig->house, 2000);
    CHECK_INT((int64_t)cloud_count(rig), 2);
    cloud_settle(rig, 1, PACKET_TOO_LARGE);
    rig_wait(rig->house, 10);
    CHECK_INT(count_letters(rig), 1);
    streams_rig_check_books(rig);
}

TEST(letters_in_a_stream_that_is_synced_later_are_synced_before_the_books_say_dead)
{
    const struct stream_options options[] = {
        {.name = "s", .uplink = "cloud", .dead_letter = "letters"},
        {.name = "letters", .sync_ms = 60000},
    };
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(options, 2, NULL, 0);
    streams_rig_append(rig, "s", 0, 1);
    cloud_is_up(rig, "cloud");
    cloud_settle_all(rig, PACKET_TOO_LARGE);
    rig_wait(rig->house, 10);
    CHECK_INT(number(rig, "s", "cloud", "deadLettered"), 1);
    CHECK_INT(streams_rig_number(rig, "letters", "next"), 1);
}

/* ---- what is shown ----------------------------------------------------------------------------------------------- */

TEST(an_exporter_says_what_it_waits_for)
{
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(one, 1, NULL, 0);
    const char *answer = rig_request(rig->house, "$gatehouse/ctl/stream/list", "");
    CHECK(strstr(answer, "\"waitsFor\":null"));
    streams_rig_append(rig, "s", 0, 1);
    answer = rig_request(rig->house, "$gatehouse/ctl/stream/list", "");
    CHECK(strstr(answer, "\"waitsFor\":\"the link: the uplink is not there\""));
    bus_say(rig->house->bus, "$gatehouse/status/cloud/cloud",
            "{\"state\":\"down\",\"reason\":\"connection refused\"}", BUS_KEEP);
    rig_turn(rig->house);
    answer = rig_request(rig->house, "$gatehouse/ctl/stream/list", "");
    CHECK(strstr(answer, "\"waitsFor\":\"the link: the uplink is down: connection refused\""));
    cloud_is_up(rig, "cloud");
    answer = rig_request(rig->house, "$gatehouse/ctl/stream/list", "");
    CHECK(strstr(answer, "\"waitsFor\":\"the uplink's acknowledgements\""));
    cloud_settle(rig, 0, SERVER_BUSY);
    answer = rig_request(rig->house, "$gatehouse/ctl/stream/list", "");
    CHECK(strstr(answer, "\"error\":\"server busy (0x89)\",\"waitsFor\":\"its pause after a failure\""));
    CHECK(number(rig, "s", "cloud", "until") > loop_wall(rig->house->loop));
    rig->takes_all = true;
    rig_wait(rig->house, 1000);
    answer = rig_request(rig->house, "$gatehouse/ctl/stream/list", "");
    CHECK(strstr(answer, "\"error\":null,\"waitsFor\":null,\"until\":null"));
}
