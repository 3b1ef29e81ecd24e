/* Limits of a link as streams feel them: rates, budgets that outlive a restart, times of the day, windows; and memory. */
#include "services/streams/streams_rig.h"

#include "base/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static const struct stream_options one[] = {{.name = "s", .uplink = "cloud"}};

#define LIST(rig) rig_request((rig)->house, "$gatehouse/ctl/stream/list", "")
#define CHECK_LIST(rig, part)                                                                                \
    do {                                                                                                     \
        const char *answer_ = LIST(rig);                                                                     \
        if (!answer_ || !strstr(answer_, part))                                                              \
            CHECK_STR(answer_, part);                                                                        \
    } while (0)

TEST(a_rate_is_kept_and_the_list_says_that_it_is_waited_for)
{
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(one, 1, NULL, 0);
    streams_set_link(rig->streams, "cloud", &(struct schedule_link){.rate = 8000}); /* 1000 bytes a second */
    rig->takes_all = true;
    cloud_is_up(rig, "cloud");
    streams_rig_append(rig, "s", 1000, 1000);
    size_t at_once = cloud_count(rig);
    CHECK(at_once > 5 && at_once < 60);
    CHECK_LIST(rig, "\"waitsFor\":\"the link's rate\",\"until\":1");
    rig_wait(rig->house, 10 * 1000);
    uint64_t cost = schedule_cost(&(struct schedule_link){0}, strlen("streams/s"), 4);
    size_t sent = cloud_count(rig) - at_once;
    CHECK(sent * cost <= 10 * 1000 + 2 * cost && sent * cost >= 10 * 1000 - 2 * cost);
    const char *list = LIST(rig), *throttled = strstr(list, "\"throttledMs\":");
    CHECK(throttled && atoll(throttled + strlen("\"throttledMs\":")) > 9000);
    streams_set_link(rig->streams, "cloud", &(struct schedule_link){0});
    rig_turn(rig->house);
    CHECK_INT((int64_t)cloud_count(rig), 1000);
    cloud_check(rig, 0, 1000, 1000);
}

TEST(a_day_s_budget_outlives_a_restart_and_ends_with_the_day)
{
    static const struct stream_options options[] = {
        {.name = "s", .uplink = "cloud", .rules.day_bytes = 5000}};
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(options, 1, NULL, 0);
    rig->takes_all = true;
    cloud_is_up(rig, "cloud");
    streams_rig_append(rig, "s", 1000, 200);
    rig_wait(rig->house, 2000);
    size_t sent = cloud_count(rig);
    CHECK(sent > 20 && sent < 80);
    CHECK_LIST(rig, "\"waitsFor\":\"the day's budget is used up\"");
    streams_rig_restart(rig);
    cloud_is_up(rig, "cloud");
    CHECK(cloud_count(rig) <= sent + 1);
    rig_wait(rig->house, 24 * 3600 * 1000);
    CHECK(cloud_count(rig) > sent + 20 && cloud_count(rig) < 2 * sent + 5);
    streams_rig_check_books(rig);
}

static const struct stream_options on_a_budget[] = {
    {.name = "s", .uplink = "cloud", .rules.day_bytes = 5000}};
enum { HOUR = 3600 * 1000 };

/* A gateway in 1970, whose budget is used up. How many records have gone. */
static size_t use_up_in_1970(struct streams_rig *rig)
{
    rig->takes_all = true;
    rig->house->clock.wall = 30000;
    cloud_is_up(rig, "cloud");
    streams_rig_append(rig, "s", 1000, 200);
    rig_wait(rig->house, 2000);
    CHECK_LIST(rig, "\"waitsFor\":\"the day's budget is used up\"");
    return cloud_count(rig);
}

static void start_again(struct streams_rig *rig)
{
    streams_rig_restart(rig);
    cloud_is_up(rig, "cloud");
    rig_turn(rig->house);
}

TEST(without_a_clock_a_day_is_24_hours_of_running_however_often_it_is_switched_off)
{
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(on_a_budget, 1, NULL, 0);
    size_t sent = use_up_in_1970(rig);
    for (int hours = 5; hours < 24; hours += 5) {
        rig_wait(rig->house, 5 * HOUR);
        start_again(rig);
        CHECK_INT((int64_t)cloud_count(rig), (int64_t)sent);
    }
    rig_wait(rig->house, 5 * HOUR);
    CHECK(cloud_count(rig) > sent + 20 && cloud_count(rig) < 2 * sent + 5);
    streams_rig_check_books(rig);
}

TEST(when_the_clock_becomes_known_what_has_gone_counts_for_its_day_also_after_a_start)
{
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(on_a_budget, 1, NULL, 0);
    (void)setenv("TZ", "UTC", 1);
    tzset();
    size_t sent = use_up_in_1970(rig);
    rig->house->clock.wall = INT64_C(20000) * 24 * HOUR + 20 * HOUR;
    rig_wait(rig->house, 2 * HOUR);
    CHECK_INT((int64_t)cloud_count(rig), (int64_t)sent);
    start_again(rig);
    rig_wait(rig->house, HOUR);
    CHECK_INT((int64_t)cloud_count(rig), (int64_t)sent);
    rig->house->clock.wall = 30000; /* and is lost again */
    start_again(rig);
    rig_wait(rig->house, HOUR);
    CHECK_INT((int64_t)cloud_count(rig), (int64_t)sent);
    rig->house->clock.wall = INT64_C(20001) * 24 * HOUR + HOUR;
    start_again(rig);
    rig_wait(rig->house, 2 * HOUR);
    CHECK_INT((int64_t)cloud_count(rig), (int64_t)sent); /* nobody knows when that was: it is today's */
    rig_wait(rig->house, 22 * HOUR);
    CHECK(cloud_count(rig) > sent + 20 && cloud_count(rig) < 2 * sent + 5);
}

TEST(a_budget_of_the_link_outlives_a_restart_too)
{
    const struct schedule_link link = {.day_bytes = 9000, .class_day_bytes[5] = 4000};
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(one, 1, NULL, 0);
    streams_set_link(rig->streams, "cloud", &link);
    rig->takes_all = true;
    cloud_is_up(rig, "cloud");
    streams_rig_append(rig, "s", 1000, 200);
    rig_wait(rig->house, 2000);
    size_t sent = cloud_count(rig);
    CHECK(sent > 20 && sent < 60);
    streams_rig_restart(rig);
    streams_set_link(rig->streams, "cloud", &link);
    cloud_is_up(rig, "cloud");
    rig_wait(rig->house, 2000);
    CHECK(cloud_count(rig) <= sent + 1);
}

TEST(a_stream_waits_for_its_time_of_the_day)
{
    (void)setenv("TZ", "UTC", 1);
    tzset();
    struct stream_options options[] = {{.name = "s", .uplink = "cloud"}};
    options[0].rules.windows[0] = (struct schedule_window){22 * 60, 6 * 60}; /* it is 08:53:20 in the rig */
    options[0].rules.window_count = 1;
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(options, 1, NULL, 0);
    rig->takes_all = true;
    cloud_is_up(rig, "cloud");
    streams_rig_append(rig, "s", 0, 10);
    CHECK_LIST(rig, "\"waitsFor\":\"outside its window\",\"until\":1760047200000");
    rig_wait(rig->house, 13 * 3600 * 1000);
    CHECK_INT((int64_t)cloud_count(rig), 0);
    rig_wait(rig->house, 10 * 60 * 1000);
    cloud_check(rig, 0, 0, 10);
}

TEST(a_clock_that_is_set_while_a_stream_waits_for_its_time_is_noticed)
{
    (void)setenv("TZ", "UTC", 1);
    tzset();
    struct stream_options options[] = {{.name = "s", .uplink = "cloud"}};
    options[0].rules.windows[0] = (struct schedule_window){22 * 60, 6 * 60};
    options[0].rules.window_count = 1;
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(options, 1, NULL, 0);
    rig->takes_all = true;
    cloud_is_up(rig, "cloud");
    streams_rig_append(rig, "s", 0, 10);
    CHECK_INT((int64_t)cloud_count(rig), 0);
    rig->house->clock.wall += INT64_C(14) * 3600 * 1000;
    rig_wait(rig->house, 10 * 60 * 1000);
    cloud_check(rig, 0, 0, 10);
}

/* The most that was under way at once until all had arrived. */
static int64_t most_under_way(struct streams_rig *rig, size_t until)
{
    int64_t most = 0;
    while (cloud_count(rig) < until || cloud_holds(rig)) {
        int64_t held = (int64_t)cloud_holds(rig);
        most = held > most ? held : most;
        CHECK(held);
        cloud_settle_all(rig, 0);
        rig_wait(rig->house, 1);
    }
    return most;
}

TEST(an_uplink_says_how_many_may_be_under_way)
{
    static const char *const says[] = {"{\"state\":\"up\",\"window\":80}",
                                       "{\"state\":\"up\",\"window\":100000}"};
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(one, 1, NULL, 0);
    for (unsigned i = 0; i < 2; i++) {
        cloud_is_down(rig, "cloud");
        streams_rig_append(rig, "s", 2000 * i, 2000);
        bus_say(rig->house->bus, "$gatehouse/status/cloud/cloud", says[i], BUS_KEEP);
        rig_turn(rig->house);
        CHECK_LIST(rig, "\"waitsFor\":\"the uplink's acknowledgements: no more may be under way\"");
        CHECK_INT(most_under_way(rig, 2000 * (i + 1)),
                  i ? 64 : 80); /* no such window: as if nothing were said */
    }
    cloud_check(rig, 0, 0, 4000);
}

TEST(bytes_under_way_are_limited_whatever_the_window)
{
    enum { LARGE = 1000 * 1000, COUNT = 40 };
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(one, 1, NULL, 0);
    cleanup_free char *large = mem_new_bytes(LARGE + 1);
    memset(large, 'x', LARGE);
    for (int i = 0; i < COUNT; i++) {
        rig_publish(rig->house, "$gatehouse/streams/s/append", large);
        rig_turn(rig->house);
    }
    cloud_is_up(rig, "cloud");
    CHECK(most_under_way(rig, COUNT) <= 9); /* 8 MiB, and the one that exceeds it */
    CHECK_INT((int64_t)cloud_count(rig), COUNT);
}

/* Records of which memory holds one only, not one for each who sends. */
static void check_large(const struct stream_options *streams, unsigned window)
{
    enum { LARGE = 9 * 1024 * 1024, COUNT = 3 };
    cleanup(streams_rig_free_p) struct streams_rig *rig = streams_rig_new(streams, 2, NULL, 0);
    cleanup_free char *large = mem_new_bytes(LARGE + 1);
    memset(large, 'x', LARGE);
    for (int i = 0; i < 2 * COUNT; i++) {
        cleanup_free char *topic = str_printf("$gatehouse/streams/%s/append", streams[i % 2].name);
        rig_publish(rig->house, topic, large);
        rig_turn(rig->house);
    }
    rig->takes_all = !window;
    for (int i = 0; i < 2; i++)
        cloud_is_up(rig, streams[i].uplink); /* and the loop comes to rest */
    while (window && cloud_count(rig) < 2 * COUNT) {
        size_t before = cloud_count(rig);
        cloud_settle_all(rig, 0);
        CHECK(cloud_count(rig) > before);
    }
    CHECK_INT((int64_t)cloud_count(rig), 2 * COUNT);
    cloud_settle_all(rig, 0);
}

TEST(very_large_records_of_two_streams_do_not_take_the_memory_from_each_other_for_ever)
{
    static const struct stream_options streams[] = {
        {.name = "s", .uplink = "cloud", .memory = true, .priority = 1},
        {.name = "t", .uplink = "cloud", .memory = true, .priority = 9}};
    check_large(streams, 0);
    check_large(streams, 1);
}

TEST(nor_do_those_of_two_uplinks)
{
    static const struct stream_options streams[] = {{.name = "s", .uplink = "a", .memory = true},
                                                    {.name = "t", .uplink = "b", .memory = true}};
    check_large(streams, 0);
    check_large(streams, 1);
}
