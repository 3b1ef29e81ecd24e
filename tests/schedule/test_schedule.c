#include "schedule/schedule.h"

#include "load.h"
#include "rig/test.h"

#define HOUR (3600ll * 1000)
#define DAY  (24 * HOUR)

static struct schedule_rules priority(unsigned p)
{
    return (struct schedule_rules){.priority = p};
}

TEST(the_best_priority_goes_first_and_the_others_have_one_in_eight)
{
    struct load load;
    load_init(&load, (struct schedule_link){0});
    int low = load_add(&load, priority(10), 100), high = load_add(&load, priority(1), 100);
    load_run(&load, 6);
    CHECK_INT(load.records[low], 0);
    load_run(&load, 2);
    CHECK_INT(load.records[low], 1);
    load_run(&load, 992);
    CHECK_INT(load.records[low], 130);
    CHECK_INT(load.records[high], 870);
}

TEST(who_is_alone_has_all_of_the_link)
{
    for (unsigned kind = 0; kind < 2; kind++) {
        struct load load;
        load_init(&load, (struct schedule_link){0});
        int lane = load_add(&load, priority(10), 100);
        load.lanes[lane].backlog = kind;
        load_run(&load, 100);
        CHECK_INT(load.records[lane], 100);
        load.lanes[lane].ready = false;
        CHECK_INT(load_step(&load), -1);
        CHECK_INT(load.turn.why, SCHEDULE_IDLE);
        CHECK_INT(load.turn.at, INT64_MAX);
    }
}

TEST(a_decision_changes_nothing_until_it_is_told_that_the_record_was_sent)
{
    struct load load;
    load_init(&load, (struct schedule_link){.rate = 8000});
    for (unsigned i = 0; i < 8; i++)
        load_add(&load, priority(1 + i % 3), 100 + i);
    for (unsigned i = 0; i < 500; i++) {
        const struct schedule before = load.schedule;
        struct schedule_turn first = schedule_next(&load.schedule, load.list, load.count, load.time);
        struct schedule_turn again = schedule_next(&load.schedule, load.list, load.count, load.time);
        CHECK_INT(first.lane, again.lane);
        CHECK_INT(first.at, again.at);
        CHECK_MEM(&load.schedule, sizeof before, &before, sizeof before);
        if (load_step(&load) < 0)
            load.time.now = load.turn.at;
    }
}

TEST(what_is_close_to_its_deadline_goes_ahead_but_has_at_most_half)
{
    struct load load;
    load_init(&load, (struct schedule_link){0});
    int high = load_add(&load, priority(1), 100);
    int late = load_add(&load, (struct schedule_rules){.priority = 9, .deadline = 4000}, 100);
    load.lanes[late].age = 2999;
    CHECK_INT(load_step(&load), high);
    load.lanes[late].age = 3000;
    CHECK_INT(load_step(&load), late);
    CHECK_INT(load.turn.why, SCHEDULE_BY_DEADLINE);
    load.lanes[late].age = 8000;
    load_run(&load, 1000);
    CHECK(load_share(&load, high) > 40);
    CHECK(load_share(&load, late) > 50);
    /* and when that is over, it does not pay for it */
    load.lanes[late].age = 0;
    unsigned before = load.records[late];
    load_run(&load, 100);
    CHECK(load.records[late] - before >= 12);
    /* nor does it go ahead when it cannot be helped any more */
    load.lanes[late].age = 8001;
    load.sent[late] = load.sent[high] = 0;
    load_run(&load, 1000);
    CHECK(load_share(&load, late) < 15);
}

TEST(of_those_that_are_late_the_one_that_is_due_first_goes_first)
{
    struct load load;
    load_init(&load, (struct schedule_link){0});
    load_add(&load, priority(1), 100);
    int a = load_add(&load, (struct schedule_rules){.priority = 5, .deadline = 4000}, 100);
    int b = load_add(&load, (struct schedule_rules){.priority = 8, .deadline = 60000}, 100);
    load.lanes[a].age = 3500;
    load.lanes[b].age = 59900;
    CHECK_INT(load_step(&load), b);
}

TEST(the_bucket_is_never_exceeded_and_who_is_next_is_not_passed_by_a_smaller_record)
{
    struct load load;
    load_init(&load, (struct schedule_link){.rate = 8000, .burst_bytes = 1000}); /* 1000 bytes a second */
    int big = load_add(&load, priority(1), 900), small = load_add(&load, priority(1), 10);
    load.lanes[small].ready = false;
    CHECK_INT(load_step(&load), big);
    load.lanes[small].ready = true;
    load.flows[small].rules.priority = 2;
    CHECK_INT(load_step(&load), -1); /* 100 are left: enough for the small one */
    CHECK_INT(load.turn.why, SCHEDULE_WAITS_FOR_RATE);
    CHECK_INT(load.turn.at, load.time.now + 800);
    load.time.now += 799;
    CHECK_INT(load_step(&load), -1);
    load.time.now++;
    CHECK_INT(load_step(&load), big);
}

TEST(a_record_larger_than_the_burst_goes_when_the_bucket_is_full_and_is_paid_for_afterwards)
{
    struct load load;
    load_init(&load, (struct schedule_link){.rate = 8000, .burst_bytes = 1000});
    int lane = load_add(&load, priority(1), 5000);
    CHECK_INT(load_step(&load), lane);
    CHECK_INT(load_step(&load), -1);
    CHECK_INT(load.turn.at, load.time.now + 5000);
}

TEST(a_new_rate_does_not_forgive_what_was_sent_and_costs_nothing_that_was_not)
{
    struct load load;
    load_init(&load, (struct schedule_link){.rate = 8000, .burst_bytes = 1000});
    int lane = load_add(&load, priority(1), 1000);
    CHECK_INT(load_step(&load), lane);
    schedule_configure(&load.schedule, &(struct schedule_link){.rate = 16000, .burst_bytes = 1000},
                       load.time.now);
    CHECK_INT(load_step(&load), -1);
    CHECK_INT(load.turn.at, load.time.now + 500);
    schedule_configure(&load.schedule, &(struct schedule_link){0}, load.time.now);
    load_run(&load, 10);
}

TEST(a_days_budget_ends_with_the_day_and_the_day_begins_when_it_is_said_to)
{
    struct load load;
    load_init(&load, (struct schedule_link){.day_begins = 6 * 60});
    int lane = load_add(&load, (struct schedule_rules){.day_bytes = 1000}, 300);
    load.time.local = 20000 * DAY + 5 * HOUR;
    load_run(&load, 3);
    CHECK_INT(load_step(&load), -1); /* 100 are left */
    CHECK_INT(load.turn.why, SCHEDULE_WAITS_FOR_DAY);
    CHECK_INT(load.turn.at, load.time.now + HOUR);
    load.time.now += HOUR;
    load.time.local += HOUR;
    CHECK_INT(load_step(&load), lane);
    load.lanes[lane].cost = 5000; /* more than a day's: on a day of its own */
    CHECK_INT(load_step(&load), -1);
    CHECK_INT(load.turn.at, load.time.now + DAY);
    load.time.now += DAY;
    load.time.local += DAY;
    CHECK_INT(load_step(&load), lane);
    CHECK_INT(load_step(&load), -1);
}

TEST(a_budget_of_the_link_or_of_a_class_stops_those_whose_it_is)
{
    struct load load;
    struct schedule_link link = {.day_bytes = 1000};
    link.class_day_bytes[2] = 300;
    load_init(&load, link);
    int first = load_add(&load, priority(2), 100), second = load_add(&load, priority(3), 100);
    load_run(&load, 10);
    CHECK_INT(load.sent[first], 300);
    CHECK_INT(load.sent[second], 700);
    CHECK_INT(load_step(&load), -1);
    CHECK_INT(load.turn.why, SCHEDULE_WAITS_FOR_DAY);
}

TEST(without_a_clock_a_day_is_24_hours_of_running_and_windows_are_open)
{
    struct load load;
    load_init(&load, (struct schedule_link){0});
    struct schedule_rules rules = {.day_bytes = 1000, .windows = {{22 * 60, 6 * 60}}, .window_count = 1};
    int lane = load_add(&load, rules, 500);
    load.time.local = SCHEDULE_NO_CLOCK;
    load_run(&load, 2);
    CHECK_INT(load_step(&load), -1);
    CHECK_INT(load.turn.at, load.time.now + DAY);
    load.time.now += DAY;
    CHECK_INT(load_step(&load), lane);
    /* the clock comes, at night: what has gone counts for today */
    load.time.local = 20000 * DAY + 23 * HOUR;
    CHECK_INT(load_step(&load), lane);
    CHECK_INT(load_step(&load), -1);
    CHECK_INT(load.turn.at, load.time.now + HOUR);
}

TEST(a_day_without_a_date_gets_that_of_the_clock_and_one_that_no_clock_confirms_loses_it)
{
    const struct schedule schedule = {0};
    const struct schedule_time unknown = {5 * HOUR, SCHEDULE_NO_CLOCK},
                               known = {5 * HOUR, 20000 * DAY + HOUR};
    struct schedule_day day = {.day = SCHEDULE_NO_CLOCK, .since = HOUR, .bytes = 7};
    schedule_date(&schedule, &day, unknown);
    CHECK_INT(day.day, SCHEDULE_NO_CLOCK);
    schedule_date(&schedule, &day, known);
    CHECK_INT(day.day, 20000);
    schedule_date(&schedule, &day, (struct schedule_time){known.now, known.local + 3 * DAY});
    CHECK_INT(day.day, 20000);

    day.since = unknown.now - 9 * 60 * 1000; /* it may still become known */
    schedule_date(&schedule, &day, unknown);
    CHECK_INT(day.day, 20000);
    day.since = unknown.now - 10 * 60 * 1000;
    schedule_date(&schedule, &day, unknown);
    CHECK_INT(day.day, SCHEDULE_NO_CLOCK);
    CHECK_INT(day.since, unknown.now - 10 * 60 * 1000);
    CHECK_INT(day.bytes, 7);

    day = (struct schedule_day){.day = SCHEDULE_NO_CLOCK, .since = known.now - DAY, .bytes = 7}; /* over */
    schedule_date(&schedule, &day, known);
    CHECK_INT(day.day, SCHEDULE_NO_CLOCK);
}

TEST(a_clock_that_is_put_back_over_midnight_begins_no_other_day_but_one_from_2099_does)
{
    struct load load;
    load_init(&load, (struct schedule_link){0});
    load_add(&load, (struct schedule_rules){.day_bytes = 100}, 100);
    load.time.local = 20000 * DAY + 60 * 1000;
    load_run(&load, 1);
    load.time.local -= HOUR;
    CHECK_INT(load_step(&load), -1);
    load.time.local += HOUR;
    CHECK_INT(load_step(&load), -1);
    load.time.local -= 5 * DAY;
    load_run(&load, 1);
    CHECK_INT(load_step(&load), -1);
}

TEST(a_window_opens_and_closes_to_the_millisecond_and_may_go_over_midnight)
{
    struct load load;
    load_init(&load, (struct schedule_link){0});
    struct schedule_rules rules = {.windows = {{22 * 60, 6 * 60}, {12 * 60, 13 * 60}}, .window_count = 2};
    int night = load_add(&load, rules, 100);
    const struct {
        int64_t local, opens; /* 0: is open */
    } cases[] = {
        {22 * HOUR, 0},        {24 * HOUR - 1, 0},     {0, 0},
        {6 * HOUR - 1, 0},     {6 * HOUR, 12 * HOUR},  {12 * HOUR - 1, 12 * HOUR},
        {12 * HOUR, 0},        {13 * HOUR, 22 * HOUR}, {21 * HOUR + 7, 22 * HOUR},
        {-DAY + 23 * HOUR, 0},
    };
    for (size_t i = 0; i < array_size(cases); i++) {
        load.time.local = cases[i].local;
        int lane = load_step(&load);
        CHECK_INT(lane, cases[i].opens ? -1 : night);
        if (lane < 0) {
            CHECK_INT(load.turn.why, SCHEDULE_WAITS_FOR_WINDOW);
            CHECK_INT(load.turn.at - load.time.now, cases[i].opens - cases[i].local);
        }
    }
    int other = load_add(&load, priority(10), 100);
    load.time.local = 8 * HOUR;
    CHECK_INT(load_step(&load), other);
}

TEST(a_lane_that_has_yet_to_read_is_told_so_when_it_is_its_turn)
{
    struct load load;
    load_init(&load, (struct schedule_link){.rate = 8000});
    int unread = load_add(&load, priority(1), 0);
    load_add(&load, priority(2), 100);
    struct schedule_turn turn = schedule_next(&load.schedule, load.list, load.count, load.time);
    CHECK_INT(turn.lane, unread);
}

TEST(a_lane_that_changes_its_kind_or_priority_does_not_take_its_past_with_it)
{
    struct load load;
    load_init(&load, (struct schedule_link){0});
    int a = load_add(&load, priority(3), 100), b = load_add(&load, priority(4), 100);
    load.lanes[b].ready = false;
    load_run(&load, 1000);
    load.lanes[b].ready = true;
    load.flows[a].rules.priority = 4;
    load_run(&load, 4);
    CHECK_INT(load.records[b], 2);
}

TEST(a_records_cost_is_more_than_its_bytes_and_grows_with_them)
{
    struct schedule_link plain = {0}, tls = {.tls = true};
    CHECK_INT(schedule_cost(&plain, 10, 100), 2 + 2 + 10 + 2 + 100 + 52);
    CHECK_INT(schedule_cost(&tls, 10, 100), 2 + 2 + 10 + 2 + 100 + 30 + 52);
    CHECK_INT(schedule_cost(&plain, 10, 1400) - schedule_cost(&plain, 10, 1300), 100 + 52);
    for (size_t len = 0; len < 100000; len += 99)
        CHECK(schedule_cost(&tls, 5, len + 99) >= schedule_cost(&tls, 5, len) + 99);
}

TEST(a_backlog_begins_when_it_is_half_a_minute_old_and_ends_when_it_is_nearly_caught_up)
{
    CHECK(!schedule_is_backlog(false, true, 29999));
    CHECK(schedule_is_backlog(false, true, 30000));
    CHECK(schedule_is_backlog(true, true, 2000));
    CHECK(!schedule_is_backlog(true, true, 1999));
    CHECK(!schedule_is_backlog(true, false, 60000));
}
