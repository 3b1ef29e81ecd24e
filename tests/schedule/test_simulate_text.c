#include "schedule/simulate_text.h"

#include "base/base.h"
#include "rig/test.h"

#include <stdio.h>

/* All of a trace, one a line; what is wrong with its line. */
static const char *read(const char *text)
{
    static char shown[1000];
    struct simulate_trace trace;
    struct simulate_trace_item item;
    const char *expected = "";
    size_t at = 0;
    int r;
    shown[0] = '\0';
    simulate_trace_init(&trace, text, strlen(text));
    while ((r = simulate_trace_next(&trace, &item, &expected)) == 1)
        at += (size_t)snprintf(shown + at, sizeof shown - at, "%lld %.*s %u;", (long long)item.record.at,
                               (int)item.stream_len, item.stream, item.record.bytes);
    if (r < 0)
        (void)snprintf(shown + at, sizeof shown - at, "line %lu: expected %s", trace.line, expected);
    return shown;
}

TEST(a_trace_begins_with_its_first_record)
{
    CHECK_STR(read(""), "");
    CHECK_STR(read("# gatehouse trace\n\n1000 a 5\n1000\tb-_9 0\r\n  1007 a 16777216  \n2000 a 1"),
              "0 a 5;0 b-_9 0;7 a 16777216;1000 a 1;");
}

TEST(what_is_wrong_in_a_trace_is_told_with_its_line)
{
    static const char *const cases[][2] = {
        {"5 a 1\n4 a 1", "0 a 1;line 2: expected a time that is not before the line above"},
        {"a 1 1",
         "line 1: expected a time in milliseconds, a blank, a stream, a blank, and a number of bytes"},
        {"99999999999999999999 a 1",
         "line 1: expected a time in milliseconds, a blank, a stream, a blank, and a number of bytes"},
        {"\n1 a/b 1",
         "line 2: expected the name of a stream behind the time: 1 to 64 letters, digits, _ or -"},
        {"1 a", "line 1: expected the name of a stream behind the time: 1 to 64 letters, digits, _ or -"},
        {"1 a x", "line 1: expected a number of bytes behind the stream, at most 16777216"},
        {"1 a 16777217", "line 1: expected a number of bytes behind the stream, at most 16777216"},
        {"1 a 1 1", "line 1: expected nothing behind the number of bytes"},
    };
    for (size_t i = 0; i < array_size(cases); i++)
        CHECK_STR(read(cases[i][0]), cases[i][1]);
}

TEST(traffic_is_a_rate_and_a_size)
{
    struct simulate_stream stream = {0};
    CHECK(!simulate_traffic_set(&stream, "10/s*200"));
    CHECK_INT((int64_t)stream.interval_us, 100000);
    CHECK_INT(stream.bytes, 200);
    CHECK(!simulate_traffic_set(&stream, "6/m*0"));
    CHECK_INT((int64_t)stream.interval_us, 10000000);
    CHECK(!simulate_traffic_set(&stream, "1/h*16777216"));
    CHECK_INT((int64_t)stream.interval_us, 3600000000);
    static const char *const bad[] = {"",        "10",     "10/s",        "10/s*",        "0/s*1", "10/d*1",
                                      "10/s*1x", "-1/s*1", "1000001/s*1", "1/s*16777217", "10s*1", "10/"};
    for (size_t i = 0; i < array_size(bad); i++)
        CHECK(simulate_traffic_set(&stream, bad[i]) != NULL);
    CHECK_INT((int64_t)stream.interval_us, 3600000000);
}

TEST(cuts_are_in_order_and_apart)
{
    struct simulate_cut cuts[SIMULATE_CUTS_MAX];
    const char *expected;
    CHECK_INT(simulate_cuts_parse(cuts, "6h", &expected), 1);
    CHECK_INT(cuts[0].to, 6 * 3600000);
    CHECK_INT(simulate_cuts_parse(cuts, " 30s@1m  1m@10m ", &expected), 2);
    CHECK_INT(cuts[0].from, 60000);
    CHECK_INT(cuts[1].to, 660000);
    CHECK_INT(simulate_cuts_parse(cuts, "500ms@1500ms", &expected), 1);
    CHECK_INT(cuts[0].from, 1500);
    CHECK_INT(cuts[0].to, 2000);
    CHECK_INT(simulate_cuts_parse(cuts, "", &expected), 0);
    static const char *const bad[] = {"0",           "x",     "1m@",      "@1m", "1m@x",
                                      "5m@1m 1m@5m", "1m 1m", "1m@1m@1m", "ms",  "5mms"};
    for (size_t i = 0; i < array_size(bad); i++)
        CHECK_INT(simulate_cuts_parse(cuts, bad[i], &expected), -1);
}

TEST(a_stream_takes_what_its_section_says)
{
    struct simulate_stream stream = simulate_stream_default();
    static const char *const good[][2] = {
        {"priority", "1"},      {"deadline", "30s"}, {"max-size", "64M"},
        {"segment-size", "1M"}, {"ttl", "1h"},       {"on-full", "overwrite"},
        {"keep", "yes"},        {"sync", "2s"},      {"persistence", "memory"},
        {"live-share", "70"}};
    for (size_t i = 0; i < array_size(good); i++) {
        CHECK(simulate_stream_has(good[i][0]));
        CHECK(!simulate_stream_set(&stream, good[i][0], good[i][1]));
    }
    CHECK_INT(stream.rules.priority, 1);
    CHECK_INT((int64_t)stream.max_bytes, 64 << 20);
    CHECK_INT(stream.ttl, 3600000);
    CHECK(stream.overwrite && stream.keep && stream.memory);
    CHECK_INT(stream.sync_every, 2000);
    CHECK(!simulate_stream_set(&stream, "sync", "always") && stream.sync_every == 0);
    static const char *const bad[][2] = {{"sync", "5ms"},    {"sync", "61s"}, {"sync", "10"},
                                         {"ttl", "x"},       {"keep", "1"},   {"on-full", "x"},
                                         {"max-size", "9T"}, {"uplink", "a"}, {"weight", "0"}};
    for (size_t i = 0; i < array_size(bad); i++)
        CHECK(simulate_stream_set(&stream, bad[i][0], bad[i][1]) != NULL);
}
