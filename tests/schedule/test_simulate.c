#include "schedule/simulate.h"

#include "base/base.h"
#include "rig/test.h"

#include <time.h>

#define SECOND 1000ll
#define HOUR   (3600 * SECOND)

static struct simulate_stream periodic(const char *name, unsigned priority, unsigned per_second,
                                       uint32_t bytes)
{
    return (struct simulate_stream){
        .name = name, .rules.priority = priority, .interval_us = 1000000 / per_second, .bytes = bytes};
}

static void check_books(const struct simulate_stream *stream)
{
    const struct simulate_result *r = &stream->result;
    CHECK_INT((int64_t)r->produced, (int64_t)(r->accepted + r->refused));
    CHECK_INT((int64_t)r->accepted, (int64_t)(r->delivered + r->expired + r->evicted + r->pending));
    CHECK(r->disk_peak >= r->disk);
    CHECK(r->sent >= r->delivered);
}

TEST(without_an_outage_all_is_delivered_a_round_trip_later)
{
    struct simulate_stream stream = periodic("a", 5, 10, 100);
    struct simulate simulate = {.streams = &stream, .count = 1, .rtt = 100, .until = 60 * SECOND + 500};
    simulate_run(&simulate);
    check_books(&stream);
    CHECK_INT((int64_t)stream.result.produced, 605);
    CHECK(stream.result.pending <= 2);
    CHECK_INT(stream.result.wait_max, 50);
    CHECK_INT((int64_t)stream.result.late, 0);
    CHECK_INT((int64_t)stream.result.sent_bytes,
              (int64_t)(stream.result.sent * schedule_cost(&simulate.link, 0, 100)));
    CHECK(!stream.result.was_behind);
}

TEST(after_an_outage_the_backlog_drains_with_all_of_the_rate)
{
    struct simulate_stream stream = periodic("a", 5, 1, 100);
    struct simulate_cut cut = {0, HOUR};
    struct simulate simulate = {
        .streams = &stream, .count = 1, .rtt = 100, .cuts = &cut, .cut_count = 1, .until = 4 * HOUR};
    simulate.link.rate = 8 * 4 * schedule_cost(&simulate.link, 0, 100); /* four records a second */
    simulate_run(&simulate);
    check_books(&stream);
    /* 3600 wait, one comes and four go a second */
    CHECK(stream.result.caught_up > HOUR + 1190 * SECOND && stream.result.caught_up < HOUR + 1210 * SECOND);
    CHECK(stream.result.was_behind && !stream.result.is_behind);
    CHECK(stream.result.wait_max >= HOUR - SECOND);
    CHECK(stream.result.pending <= 1);
}

TEST(new_records_do_not_wait_for_old_ones_where_that_is_agreed)
{
    for (unsigned share = 0; share <= 70; share += 70) {
        struct simulate_stream stream = periodic("a", 5, 10, 100);
        struct simulate_cut cut = {0, HOUR};
        struct simulate simulate = {
            .streams = &stream, .count = 1, .rtt = 100, .cuts = &cut, .cut_count = 1, .until = 2 * HOUR};
        stream.rules.live_share = share;
        stream.rules.deadline = 2 * SECOND;
        simulate.link.rate = 8 * 15 * schedule_cost(&simulate.link, 0, 100);
        simulate_run(&simulate);
        check_books(&stream);
        CHECK(stream.result.is_behind);
        CHECK_INT(stream.result.wait_after_p99<2 * SECOND, share> 0);
        if (share)
            CHECK(stream.result.late <
                  36000 + 300); /* those of the hour, and of the half minute's beginning */
        else
            CHECK(stream.result.late > 71000);
    }
}

TEST(a_stream_that_is_full_refuses_or_lets_the_oldest_go)
{
    for (unsigned overwrite = 0; overwrite < 2; overwrite++) {
        struct simulate_stream stream = periodic("a", 5, 100, 968); /* 1000 in the log */
        struct simulate_cut cut = {0, HOUR};
        struct simulate simulate = {
            .streams = &stream, .count = 1, .cuts = &cut, .cut_count = 1, .until = HOUR - 1};
        stream.max_bytes = 16 << 20;
        stream.segment_bytes = 1 << 20;
        stream.overwrite = overwrite;
        simulate_run(&simulate);
        check_books(&stream);
        CHECK_INT((int64_t)stream.result.produced, 360000);
        CHECK_INT((int64_t)stream.result.evicted > 0, overwrite);
        CHECK_INT((int64_t)stream.result.refused > 0, !overwrite);
        CHECK(stream.result.pending > 15600 && stream.result.pending <= 16777);
        CHECK(stream.result.disk_peak <= 16 << 20);
    }
}

TEST(what_is_too_old_expires_and_what_was_delivered_leaves_the_disk)
{
    struct simulate_stream streams[] = {periodic("a", 5, 10, 968), periodic("b", 5, 10, 968)};
    struct simulate_cut cut = {HOUR, 3 * HOUR};
    struct simulate simulate = {
        .streams = streams, .count = 2, .cuts = &cut, .cut_count = 1, .until = 4 * HOUR};
    streams[0].segment_bytes = streams[1].segment_bytes = 1 << 20;
    streams[0].ttl = HOUR;
    simulate_run(&simulate);
    check_books(&streams[0]);
    check_books(&streams[1]);
    CHECK(streams[0].result.expired > 33000 && streams[0].result.expired <= 36000);
    CHECK_INT((int64_t)streams[1].result.expired, 0);
    CHECK(streams[0].result.disk_peak < 40 << 20);
    CHECK(streams[1].result.disk_peak > 68 << 20);
    CHECK(streams[1].result.disk < 2 << 20);
}

TEST(a_link_that_carries_less_than_is_sent_makes_the_window_wait_and_priorities_with_it)
{
    struct simulate_stream streams[] = {periodic("alarms", 1, 1, 100), periodic("bulk", 9, 50, 1000)};
    struct simulate simulate = {.streams = streams, .count = 2, .rtt = 100, .until = HOUR};
    simulate.capacity = 20000;
    simulate_run(&simulate);
    CHECK(streams[0].result.wait_median > 20 * SECOND); /* 64 records of the others are before each */
    simulate.link.rate = 20000;
    simulate_run(&simulate);
    CHECK(streams[0].result.wait_p99 < 2 * SECOND); /* the scheduler decides and not the link */
}

TEST(a_cut_sends_what_was_under_way_again)
{
    struct simulate_stream stream = periodic("a", 5, 100, 100);
    struct simulate_cut cuts[] = {{10 * SECOND, 10 * SECOND + 1}, {20 * SECOND, 20 * SECOND + 1}};
    struct simulate simulate = {
        .streams = &stream, .count = 1, .rtt = 200, .cuts = cuts, .cut_count = 2, .until = 30 * SECOND};
    simulate_run(&simulate);
    check_books(&stream);
    CHECK(stream.result.sent >= stream.result.delivered + 40 &&
          stream.result.sent <= stream.result.delivered + 60);
}

TEST(what_waits_at_the_beginning_drains_and_was_written_before)
{
    struct simulate_stream stream = periodic("a", 5, 1, 100);
    stream.backlog = 3600;
    stream.backlog_bytes = 100;
    struct simulate simulate = {.streams = &stream, .count = 1, .rtt = 100, .until = HOUR};
    simulate.link.rate = 8 * 4 * schedule_cost(&simulate.link, 0, 100); /* four records a second */
    simulate_run(&simulate);
    check_books(&stream);
    CHECK_INT((int64_t)stream.result.accepted, 7200);
    CHECK(stream.result.was_behind && stream.result.caught_up > 1190 * SECOND &&
          stream.result.caught_up < 1210 * SECOND);
    CHECK(stream.result.written < 3601 * 136);
}

TEST(a_window_at_night_is_kept)
{
    struct simulate_stream stream = periodic("a", 5, 1, 100);
    stream.rules.windows[0] = (struct schedule_window){120, 180};
    stream.rules.window_count = 1;
    struct simulate simulate = {.streams = &stream, .count = 1, .local = 0, .until = 2 * HOUR - 1};
    simulate_run(&simulate);
    CHECK_INT((int64_t)stream.result.delivered, 0);
    simulate.until = 3 * HOUR - 1;
    simulate_run(&simulate);
    CHECK(stream.result.pending < 3);
}

TEST(two_runs_of_one_input_are_the_same_and_random_traffic_balances)
{
    enum { RECORDS = 20000 };
    static struct simulate_record records[3][RECORDS];
    uint32_t random = 3;
    for (unsigned round = 0; round < 20; round++) {
        struct simulate_stream streams[3] = {0};
        struct simulate_cut cuts[] = {{100 * SECOND, 200 * SECOND}, {300 * SECOND, 350 * SECOND}};
        struct simulate simulate = {
            .streams = streams, .count = 3, .rtt = 30, .cuts = cuts, .cut_count = 2, .until = 600 * SECOND};
        for (unsigned s = 0; s < 3; s++) {
            int64_t at = 0;
            for (unsigned i = 0; i < RECORDS; i++) {
                random = random * 1664525 + 1013904223;
                at += (random >> 8) % 50;
                records[s][i] = (struct simulate_record){at, 10 + (random >> 16) % 500};
            }
            streams[s] = (struct simulate_stream){.records = records[s], .count = RECORDS};
            streams[s].max_bytes = (1 + (random >> 12) % 4) << 20;
            streams[s].overwrite = (random >> 20) & 1;
            streams[s].keep = (random >> 21) & 1;
            streams[s].ttl = (random >> 22) & 1 ? 120 * SECOND : 0;
            streams[s].rules =
                (struct schedule_rules){.priority = 1 + s, .live_share = (random >> 23) & 1 ? 50 : 0};
        }
        simulate.link.rate = 50000 + (random >> 10) % 1000000;
        simulate_run(&simulate);
        struct simulate_result first[3];
        for (unsigned s = 0; s < 3; s++) {
            check_books(&streams[s]);
            first[s] = streams[s].result;
        }
        simulate_run(&simulate);
        for (unsigned s = 0; s < 3; s++)
            CHECK_MEM(&streams[s].result, sizeof first[s], &first[s], sizeof first[s]);
    }
}
