/* Records become messages to the cloud: in which order, how many at once, and what happens when it does not take them. */
#include "services/streams/streams_rig.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { WINDOW = 64, REFUSED = 0x87, RETRY_MIN = 500, RETRY_MAX = 1000 };

static int open_fault; /* what opening a segment to read says */

int __real_openat(int folder, const char *path, int flags, mode_t mode);
int __wrap_openat(int folder, const char *path, int flags, mode_t mode);

int __wrap_openat(int folder, const char *path, int flags, mode_t mode)
{
    if (!open_fault || !strstr(path, ".seg") || (flags & O_ACCMODE) != O_RDONLY)
        return __real_openat(folder, path, flags, mode);
    errno = open_fault;
    return -1;
}

static const struct stream_options one[] = {{.name = "s", .uplink = "cloud"}};

/* ---- order and window -------------------------------------------------------------------------------------------- */

TEST(nothing_is_sent_while_the_uplink_is_not_up)
{
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(one, 1, NULL, 0);
    streams_rig_append(rig, "s", 0, 5);
    rig_wait(rig->house, 600 * 1000);
    CHECK_INT((int64_t)cloud_count(rig), 0);
    cloud_is_down(rig, "cloud");
    CHECK_INT((int64_t)cloud_count(rig), 0);
    cloud_is_up(rig, "cloud");
    CHECK_INT((int64_t)cloud_count(rig), 5);
    cloud_check(rig, 0, 0, 5);
}

TEST(records_arrive_in_order_on_the_topic_of_their_route)
{
    const struct route_options routes[] = {{"r", "dt/+/env", "s", "plant/${topic}/${seq}"}};
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(one, 1, routes, 1);
    rig->takes_all = true;
    cloud_is_up(rig, "cloud");
    rig_publish(rig->house, "dt/p1/env", "0");
    rig_publish(rig->house, "$gatehouse/streams/s/append", "1");
    rig_publish(rig->house, "dt/p2/env", "2");
    rig_turn(rig->house);
    cloud_check(rig, 0, 0, 3);
    CHECK_STR(cloud_topic(rig, 0), "plant/dt/p1/env/0");
    CHECK_STR(cloud_topic(rig, 1), "streams/s");
    CHECK_STR(cloud_topic(rig, 2), "plant/dt/p2/env/2");
    CHECK_INT(rig->items[0].msg->qos, 1);
}

TEST(at_most_a_window_is_under_way_and_it_moves_on_with_the_oldest)
{
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(one, 1, NULL, 0);
    streams_rig_append(rig, "s", 0, 200);
    cloud_is_up(rig, "cloud");
    CHECK_INT((int64_t)cloud_count(rig), WINDOW);
    cloud_settle(rig, 10, 0); /* one in the middle makes no room: the cursor cannot pass those before it */
    CHECK_INT((int64_t)cloud_count(rig), WINDOW);
    CHECK_INT(streams_rig_number(rig, "s", "cursor"), 0);
    for (size_t i = 0; i < 10; i++)
        cloud_settle(rig, i, 0);
    CHECK_INT(streams_rig_number(rig, "s", "cursor"), 11);
    CHECK_INT((int64_t)cloud_count(rig), WINDOW + 11);
    while (cloud_holds(rig))
        cloud_settle_all(rig, 0);
    CHECK_INT((int64_t)cloud_count(rig), 200);
    cloud_check(rig, 0, 0, 200);
    CHECK_INT(streams_rig_number(rig, "s", "pending"), 0);
    CHECK_INT(streams_rig_number(rig, "s", "retries"), 0);
}

TEST(records_of_every_size_are_read_ahead)
{
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(one, 1, NULL, 0);
    rig->takes_all = true;
    enum { LARGE = 700 * 1000 }; /* more than is read at once */
    cleanup_free char *large = mem_new_bytes(LARGE + 1);
    memset(large, 'x', LARGE);
    streams_rig_append(rig, "s", 0, 3);
    rig_publish(rig->house, "$gatehouse/streams/s/append", large);
    rig_publish(rig->house, "$gatehouse/streams/s/append", "");
    rig_turn(rig->house);
    streams_rig_append(rig, "s", 5, 3);
    cloud_is_up(rig, "cloud");
    CHECK_INT((int64_t)cloud_count(rig), 8);
    cloud_check(rig, 0, 0, 3);
    CHECK_STR(cloud_payload(rig, 3), large);
    CHECK_STR(cloud_payload(rig, 4), "");
    cloud_check(rig, 5, 5, 3);
}

/* ---- several streams --------------------------------------------------------------------------------------------- */

TEST(the_smaller_number_goes_first_and_the_others_have_an_eighth_of_the_bytes)
{
    const struct stream_options options[] = {{.name = "telemetry", .uplink = "cloud", .priority = 5},
                                             {.name = "alarms", .uplink = "cloud", .priority = 1}};
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(options, 2, NULL, 0);
    streams_rig_append(rig, "telemetry", 1000, 1000);
    streams_rig_append(rig, "alarms", 1000, 800);
    rig->takes_all = true;
    cloud_is_up(rig, "cloud");
    CHECK_INT((int64_t)cloud_count(rig), 1800);
    unsigned alarms = 0, telemetry = 0;
    for (size_t i = 0; i < 1800; i++) {
        bool is_alarm = strcmp(cloud_topic(rig, i), "streams/alarms") == 0;
        cloud_check(rig, i, 1000 + (is_alarm ? alarms++ : telemetry++), 1); /* each in order */
        if (alarms && alarms < 800)
            CHECK(telemetry * 8 + 8 >= i && telemetry * 6 <= i + 6);
    }
}

TEST(the_window_is_shared_by_the_streams_of_an_uplink)
{
    const struct stream_options options[] = {{.name = "a", .uplink = "cloud"},
                                             {.name = "b", .uplink = "cloud"}};
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(options, 2, NULL, 0);
    streams_rig_append(rig, "a", 0, 100);
    streams_rig_append(rig, "b", 0, 100);
    cloud_is_up(rig, "cloud");
    CHECK_INT((int64_t)cloud_count(rig), WINDOW);
    CHECK_INT(streams_rig_number(rig, "a", "underWay"), WINDOW / 2);
    CHECK_INT(streams_rig_number(rig, "b", "underWay"), WINDOW / 2);
}

TEST(uplinks_do_not_wait_for_each_other)
{
    const struct stream_options options[] = {{.name = "a", .uplink = "one"}, {.name = "b", .uplink = "two"}};
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(options, 2, NULL, 0);
    streams_rig_append(rig, "a", 0, 100);
    streams_rig_append(rig, "b", 0, 10);
    cloud_is_up(rig, "one");
    CHECK_INT((int64_t)cloud_count(rig), WINDOW);
    cloud_is_up(rig, "two");
    CHECK_INT((int64_t)cloud_count(rig), WINDOW + 10);
    cloud_check(rig, WINDOW, 0, 10);
    CHECK_INT((int64_t)rig_count(rig->house, "$gatehouse/cloud/two/publish/#"), 10);
}

TEST(a_stream_whose_record_is_refused_holds_up_no_other)
{
    const struct stream_options options[] = {{.name = "a", .uplink = "cloud", .priority = 1},
                                             {.name = "b", .uplink = "cloud", .priority = 2}};
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(options, 2, NULL, 0);
    cloud_is_up(rig, "cloud");
    streams_rig_append(rig, "a", 0, 1);
    cloud_settle(rig, 0, REFUSED);
    rig->takes_all = true;
    streams_rig_append(rig, "b", 100, 50);
    CHECK_INT((int64_t)cloud_count(rig), 51);
    cloud_check(rig, 1, 100, 50);
    rig_wait(rig->house, RETRY_MAX);
    cloud_check(rig, 51, 0, 1);
}

TEST(a_local_stream_keeps_what_it_has)
{
    const struct stream_options options[] = {{.name = "local"}, {.name = "s", .uplink = "cloud"}};
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(options, 2, NULL, 0);
    rig->takes_all = true;
    cloud_is_up(rig, "cloud");
    streams_rig_append(rig, "local", 0, 10);
    streams_rig_append(rig, "s", 0, 1);
    CHECK_INT((int64_t)cloud_count(rig), 1);
    rig_wait(rig->house, 5000);
    streams_rig_restart(rig);
    CHECK_INT(streams_rig_number(rig, "local", "first"), 0);
    CHECK_INT(streams_rig_number(rig, "local", "next"), 10);
}

TEST(a_route_that_matches_everything_does_not_send_records_round_and_round)
{
    const struct route_options routes[] = {{"all", "$gatehouse/#", "s", NULL}};
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(one, 1, routes, 1);
    rig->takes_all = true;
    cloud_is_up(rig, "cloud");
    rig_publish(rig->house, "$gatehouse/status/plugins/x", "1");
    rig_turn(rig->house);
    CHECK_INT((int64_t)cloud_count(rig), 3); /* and the status of the stream and of the cloud */
    CHECK_STR(cloud_topic(rig, 2), "$gatehouse/status/plugins/x");
}

/* ---- failures ---------------------------------------------------------------------------------------------------- */

TEST(a_failure_in_the_middle_of_the_window_sends_again_from_the_cursor_in_order)
{
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(one, 1, NULL, 0);
    streams_rig_append(rig, "s", 0, 100);
    cloud_is_up(rig, "cloud");
    for (size_t i = 0; i < 30; i++)
        cloud_settle(rig, i, i == 20 ? REFUSED : 0);
    size_t sent = cloud_count(rig);
    CHECK_INT((int64_t)sent, WINDOW + 20); /* after the failure nothing more was sent */
    CHECK_INT(streams_rig_number(rig, "s", "cursor"), 20);
    rig_wait(rig->house, 60 * 1000);
    CHECK_INT((int64_t)cloud_count(rig), (int64_t)sent); /* not while one is still under way */
    cloud_settle_all(rig, 0);
    CHECK_INT(streams_rig_number(rig, "s", "cursor"), 20);
    CHECK_INT(streams_rig_number(rig, "s", "retries"), 1);
    rig->takes_all = true;
    rig_wait(rig->house, RETRY_MAX);
    CHECK_INT((int64_t)cloud_count(rig), (int64_t)sent + 80);
    cloud_check(rig, sent, 20, 80);
    CHECK_INT(streams_rig_number(rig, "s", "cursor"), 100);
}

TEST(a_record_that_is_refused_is_tried_again_after_a_pause_that_grows)
{
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(one, 1, NULL, 0);
    streams_rig_append(rig, "s", 0, 1);
    cloud_is_up(rig, "cloud");
    int64_t pause = RETRY_MAX;
    for (size_t tries = 1; tries <= 12; tries++) {
        cloud_settle_all(rig, REFUSED);
        CHECK_INT((int64_t)cloud_count(rig), (int64_t)tries);
        rig_wait(rig->house, pause / 2 - 1); /* jitter takes away half at most */
        CHECK_INT((int64_t)cloud_count(rig), (int64_t)tries);
        rig_wait(rig->house, pause - pause / 2 + 1);
        CHECK_INT((int64_t)cloud_count(rig), (int64_t)tries + 1);
        pause = pause * 2 > 300 * 1000 ? 300 * 1000 : pause * 2;
    }
    cloud_settle_all(rig, 0);
    streams_rig_append(rig, "s", 1, 1); /* progress: the next failure begins with the short pause */
    cloud_settle_all(rig, REFUSED);
    size_t sent = cloud_count(rig);
    rig_wait(rig->house, RETRY_MAX);
    CHECK_INT((int64_t)cloud_count(rig), (int64_t)sent + 1);
}

TEST(what_was_under_way_when_the_uplink_went_down_is_sent_again_when_it_is_back)
{
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(one, 1, NULL, 0);
    streams_rig_append(rig, "s", 0, 100);
    cloud_is_up(rig, "cloud");
    for (size_t i = 0; i < 5; i++)
        cloud_settle(rig, i, 0);
    cloud_is_down(rig, "cloud");
    cloud_settle_all(rig, CLOUD_NOT_CONNECTED);
    size_t sent = cloud_count(rig);
    rig_wait(rig->house, 3600 * 1000); /* it is not tried while the uplink is down */
    CHECK_INT((int64_t)cloud_count(rig), (int64_t)sent);
    rig->takes_all = true;
    cloud_is_up(rig, "cloud"); /* and at once when it is up, without a pause */
    CHECK_INT((int64_t)cloud_count(rig), (int64_t)sent + 95);
    cloud_check(rig, sent, 5, 95);
}

TEST(an_uplink_that_comes_back_ends_the_pause_after_a_refusal)
{
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(one, 1, NULL, 0);
    streams_rig_append(rig, "s", 0, 1);
    cloud_is_up(rig, "cloud");
    for (int i = 0; i < 8; i++) {
        cloud_settle_all(rig, REFUSED);
        rig_wait(rig->house, 128 * 1000);
    }
    cloud_settle_all(rig, REFUSED); /* now it waits for minutes */
    size_t sent = cloud_count(rig);
    cloud_is_down(rig, "cloud");
    cloud_is_up(rig, "cloud");
    CHECK_INT((int64_t)cloud_count(rig), (int64_t)sent + 1);
}

TEST(a_status_that_the_house_did_not_say_is_not_believed)
{
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(one, 1, NULL, 0);
    streams_rig_append(rig, "s", 0, 1);
    static const char topic[] = "$gatehouse/status/cloud/cloud", up[] = "{\"state\":\"up\"}";
    cleanup(msg_unref_p) struct msg *msg = msg_new(topic, strlen(topic), up, strlen(up));
    msg->origin = bus_new_origin(rig->house->bus);
    bus_publish(rig->house->bus, msg, NULL);
    rig_turn(rig->house);
    CHECK_INT((int64_t)cloud_count(rig), 0);
}

TEST(a_status_that_cannot_be_read_is_not_up)
{
    static const char *const odd[] = {"",
                                      "up",
                                      "{\"state\":\"UP\"}",
                                      "{\"state\":true}",
                                      "[\"state\",\"up\"]",
                                      "{\"state\":\"up\"",
                                      "{\"status\":\"up\"}"};
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(one, 1, NULL, 0);
    for (size_t i = 0; i < array_size(odd); i++) {
        bus_say(rig->house->bus, "$gatehouse/status/cloud/cloud", odd[i], BUS_KEEP);
        streams_rig_append(rig, "s", (unsigned)i, 1);
        CHECK_INT((int64_t)cloud_count(rig), 0);
    }
}

/* ---- the log ----------------------------------------------------------------------------------------------------- */

TEST(a_read_that_fails_is_tried_again_after_a_pause)
{
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(one, 1, NULL, 0);
    rig->takes_all = true;
    streams_rig_append(rig, "s", 0, 10);
    open_fault = EMFILE;
    cloud_is_up(rig, "cloud");
    CHECK_INT((int64_t)cloud_count(rig), 0);
    rig_wait(rig->house, RETRY_MAX);
    open_fault = 0;
    CHECK_INT((int64_t)cloud_count(rig), 0);
    rig_wait(rig->house, 2 * RETRY_MAX);
    CHECK_INT((int64_t)cloud_count(rig), 10);
    cloud_check(rig, 0, 0, 10);
    CHECK_INT(streams_rig_number(rig, "s", "damaged"), 0);
}

/* Turns one byte of the payload of the records [from, to) over: "record NNNN" in the only segment. */
static void damage(struct streams_rig *rig, unsigned from, unsigned to)
{
    cleanup_free char *path = str_printf("%s/streams/s/%020u.seg", rig->folder, 0);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    CHECK(fd >= 0);
    static char bytes[65536];
    ssize_t len = read(fd, bytes, sizeof bytes);
    CHECK(len > 0);
    for (unsigned i = from; i < to; i++) {
        char text[16];
        int text_len = snprintf(text, sizeof text, "record %04u", i);
        char *found = memmem(bytes, (size_t)len, text, (size_t)text_len);
        CHECK(found);
        CHECK_INT(pwrite(fd, "R", 1, found - bytes), 1);
    }
    (void)close(fd);
}

static void append_records(struct streams_rig *rig, unsigned from, unsigned count)
{
    for (unsigned i = from; i < from + count; i++) {
        char text[16];
        (void)snprintf(text, sizeof text, "record %04u", i);
        rig_publish(rig->house, "$gatehouse/streams/s/append", text);
    }
    rig_turn(rig->house);
}

static void check_record(struct streams_rig *rig, size_t at, unsigned number)
{
    char text[16];
    (void)snprintf(text, sizeof text, "record %04u", number);
    CHECK_STR(cloud_payload(rig, at), text);
}

TEST(damaged_records_are_skipped_and_counted_and_all_others_arrive)
{
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(one, 1, NULL, 0);
    append_records(rig, 0, 100);
    damage(rig, 0, 1);
    damage(rig, 50, 53);
    cloud_is_up(rig, "cloud");
    while (cloud_holds(rig))
        cloud_settle_all(rig, 0);
    CHECK_INT((int64_t)cloud_count(rig), 96);
    for (unsigned i = 1, at = 0; i < 100; i++)
        if (i < 50 || i >= 53)
            check_record(rig, at++, i);
    CHECK_INT(streams_rig_number(rig, "s", "damaged"), 4);
    CHECK_INT(streams_rig_number(rig, "s", "cursor"), 100);
    CHECK_INT(streams_rig_number(rig, "s", "pending"), 0);
    CHECK(strstr(rig->warnings, "records 50 to 52 are missing"));
}

TEST(the_cursor_passes_damaged_records_at_the_end)
{
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(one, 1, NULL, 0);
    append_records(rig, 0, 10);
    damage(rig, 7, 10);
    cloud_is_up(rig, "cloud");
    CHECK_INT((int64_t)cloud_count(rig), 7);
    CHECK_INT(streams_rig_number(rig, "s", "cursor"), 0);
    cloud_settle_all(rig, 0);
    CHECK_INT(streams_rig_number(rig, "s", "cursor"), 10);
    append_records(rig, 10, 1);
    check_record(rig, 7, 10);
}

TEST(a_log_that_is_damaged_throughout_is_passed_by)
{
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(one, 1, NULL, 0);
    append_records(rig, 0, 10);
    damage(rig, 0, 10);
    cloud_is_up(rig, "cloud");
    CHECK_INT((int64_t)cloud_count(rig), 0);
    CHECK_INT(streams_rig_number(rig, "s", "cursor"), 10);
    CHECK_INT(streams_rig_number(rig, "s", "damaged"), 10);
    append_records(rig, 10, 1);
    check_record(rig, 0, 10);
}

TEST(a_failure_behind_damaged_records_goes_back_to_the_cursor)
{
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(one, 1, NULL, 0);
    append_records(rig, 0, 10);
    damage(rig, 3, 5);
    cloud_is_up(rig, "cloud");
    CHECK_INT((int64_t)cloud_count(rig), 8);
    cloud_settle(rig, 0, 0);
    cloud_settle(rig, 4, REFUSED); /* number 6 */
    cloud_settle_all(rig, 0);
    CHECK_INT(streams_rig_number(rig, "s", "cursor"), 6);
    rig->takes_all = true;
    rig_wait(rig->house, RETRY_MAX);
    CHECK_INT((int64_t)cloud_count(rig), 12);
    for (unsigned i = 0; i < 4; i++)
        check_record(rig, 8 + i, 6 + i);
}
