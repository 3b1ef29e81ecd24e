#include "schedule/schedule_text.h"

#include "base/base.h"
#include "rig/test.h"

TEST(a_window_is_two_times_of_the_day_and_there_may_be_four)
{
    struct schedule_rules rules = {0};
    char text[SCHEDULE_WINDOWS_TEXT];
    static const char *const good[] = {"22:00-06:00", "00:00-23:59", "22:00-06:00 12:00-13:00",
                                       "00:00-00:01 01:00-02:00 03:00-04:00 23:58-23:59", ""};
    for (size_t i = 0; i < array_size(good); i++) {
        CHECK(!schedule_rules_set(&rules, "window", good[i]));
        schedule_windows_write(&rules, text);
        CHECK_STR(text, good[i]);
    }
    CHECK(!schedule_rules_set(&rules, "window", "  22:00-06:00\t 12:00-13:00 "));
    CHECK_INT((int64_t)rules.window_count, 2);
}

TEST(what_is_no_window_is_told_and_changes_nothing)
{
    struct schedule_rules rules = {.window_count = 1, .windows = {{60, 120}}};
    static const char *const bad[] = {"22:00",
                                      "22:00-",
                                      "22:00-6:00",
                                      "24:00-06:00",
                                      "22:60-06:00",
                                      "22:00-22:00",
                                      "22:00-06:00,12:00-13:00",
                                      "22:00 - 06:00",
                                      "night",
                                      "00:00-01:00 02:00-03:00 04:00-05:00 06:00-07:00 08:00-09:00"};
    for (size_t i = 0; i < array_size(bad); i++) {
        CHECK(schedule_rules_set(&rules, "window", bad[i]) != NULL);
        CHECK_INT((int64_t)rules.window_count, 1);
        CHECK_INT(rules.windows[0].from, 60);
    }
}

TEST(a_days_budget_is_of_all_and_of_priorities)
{
    struct schedule_link link = {0};
    CHECK(!schedule_link_set(&link, "day-budget", "9:20M 200M 10:5K"));
    CHECK_INT((int64_t)link.day_bytes, 200 << 20);
    CHECK_INT((int64_t)link.class_day_bytes[9], 20 << 20);
    CHECK_INT((int64_t)link.class_day_bytes[10], 5 << 10);
    CHECK(!schedule_link_set(&link, "day-budget", "0"));
    CHECK_INT((int64_t)link.day_bytes + (int64_t)link.class_day_bytes[9], 0);
    static const char *const bad[] = {"x",
                                      "1M 2M",
                                      "11:1M",
                                      "0:1M",
                                      "9:",
                                      ":1M",
                                      "9:1M 9:2M",
                                      "9:0",
                                      "9T",
                                      "9:1M:1M",
                                      "9:10000000000000000000000000000000000M"};
    for (size_t i = 0; i < array_size(bad); i++)
        CHECK(schedule_link_set(&link, "day-budget", bad[i]) != NULL);
}

TEST(every_key_takes_its_values_and_tells_what_it_expected)
{
    struct schedule_rules rules = {0};
    struct schedule_link link = {0};
    CHECK(!schedule_rules_set(&rules, "priority", "3"));
    CHECK(!schedule_rules_set(&rules, "weight", "100"));
    CHECK(!schedule_rules_set(&rules, "deadline", "5m"));
    CHECK(!schedule_rules_set(&rules, "day-budget", "1M"));
    CHECK(!schedule_rules_set(&rules, "live-share", "0"));
    CHECK_INT(rules.priority, 3);
    CHECK_INT(rules.weight, 100);
    CHECK_INT(rules.deadline, 300000);
    CHECK_INT((int64_t)rules.day_bytes, 1 << 20);
    CHECK(!schedule_link_set(&link, "rate", "1mbit"));
    CHECK(!schedule_link_set(&link, "burst", "2K"));
    CHECK(!schedule_link_set(&link, "floor", "50"));
    CHECK(!schedule_link_set(&link, "live-share", "99"));
    CHECK(!schedule_link_set(&link, "day-begins", "23:59"));
    CHECK_INT((int64_t)link.rate, 1000000);
    CHECK_INT(link.day_begins, 1439);
    CHECK_STR(schedule_rules_set(&rules, "priority", "11"), "a whole number from 1 to 10");
    CHECK_STR(schedule_link_set(&link, "floor", "51"), "a whole number from 1 to 50 (percent)");
    CHECK_STR(schedule_rules_set(&rules, "rate", "1"),
              "priority, weight, deadline, day-budget, window or live-share");
    CHECK_STR(schedule_link_set(&link, "window", ""),
              "rate, burst, floor, live-share, day-budget or day-begins");
    CHECK(schedule_rules_has("window") && !schedule_rules_has("rate"));
    CHECK(schedule_link_has("rate") && !schedule_link_has("window"));
}

TEST(a_link_is_written_as_it_is_read)
{
    static const char *const texts[][2] = {{"rate", "20kbit"},
                                           {"burst", "4K"},
                                           {"floor", "20"},
                                           {"live-share", "60"},
                                           {"day-budget", "5M 2:7K 10:9"},
                                           {"day-begins", "06:30"}};
    struct schedule_link link = {.tls = true};
    struct arena arena = {0};
    struct json_writer w;
    for (size_t i = 0; i < array_size(texts); i++)
        CHECK(!schedule_link_set(&link, texts[i][0], texts[i][1]));
    json_writer_init(&w, &arena);
    json_begin_object(&w);
    schedule_link_put(&link, &w);
    json_end_object(&w);
    CHECK_STR(
        json_writer_text(&w, NULL),
        "{\"rate\":20000,\"burst\":4096,\"floor\":20,\"liveShare\":60,\"dayBudget\":\"5242880 2:7168 10:9\","
        "\"dayBegins\":\"06:30\",\"tls\":true}");
    struct schedule_link again = {0};
    CHECK(!schedule_link_set(&again, "day-budget", "5242880 2:7168 10:9"));
    CHECK_MEM(again.class_day_bytes, sizeof again.class_day_bytes, link.class_day_bytes,
              sizeof link.class_day_bytes);
    arena_done(&arena);
}
