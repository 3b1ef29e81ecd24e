/* Over time bytes are as said, whatever the records' sizes; and nobody waits for ever. */
#include "schedule/schedule.h"

#include "load.h"
#include "rig/test.h"

#include <math.h>

static void check_share(const struct load *load, int lane, double percent, double within)
{
    double share = load_share(load, lane);
    if (fabs(share - percent) > within)
        FAIL("lane %d has %.2f %% of the bytes, expected %.2f", lane, share, percent);
}

TEST(lanes_of_one_priority_share_bytes_by_weight_and_not_records)
{
    struct load load;
    load_init(&load, (struct schedule_link){0});
    int heavy = load_add(&load, (struct schedule_rules){.weight = 30}, 50);
    int light = load_add(&load, (struct schedule_rules){.weight = 10}, 1000);
    load_run(&load, 50000);
    check_share(&load, heavy, 75, 0.5);
    check_share(&load, light, 25, 0.5);
}

TEST(a_million_old_records_do_not_hide_the_present)
{
    struct load load;
    load_init(&load, (struct schedule_link){0});
    int old = load_add(&load, (struct schedule_rules){.priority = 1}, 300);
    load.lanes[old].backlog = true;
    int live = load_add(&load, (struct schedule_rules){.priority = 5}, 100);
    load_run(&load, 50000);
    check_share(&load, live, 87 * 0.7 + 13, 0.5); /* the floor is the live one's too: its class is below */
    check_share(&load, old, 87 * 0.3, 0.5);
}

TEST(a_stream_that_says_so_has_another_live_share)
{
    struct load load;
    load_init(&load, (struct schedule_link){.live = 60});
    struct schedule_rules rules = {.live_share = 90};
    int old = load_add(&load, rules, 300), live = load_add(&load, rules, 100);
    load.lanes[old].backlog = true;
    load_run(&load, 50000);
    check_share(&load, live, 90, 0.5);
    load.flows[live].rules.live_share = load.flows[old].rules.live_share = 0;
    load.sent[live] = load.sent[old] = 0;
    load_run(&load, 50000);
    check_share(&load, live, 60, 0.5);
}

/* What each of lanes that always have something must get: the tree of schedule.h, computed and not scheduled. */
static void expected_shares(const struct load *load, const struct schedule_link *link, double *ret)
{
    double group_weight[20] = {0}, floors = 0;
    unsigned best_live = 99, best_backlog = 99, live = 0;
    for (size_t i = 0; i < load->count; i++) {
        const struct schedule_lane *lane = &load->lanes[i];
        const struct schedule_rules *rules = &lane->flow->rules;
        group_weight[rules->priority - 1 + (lane->backlog ? 10 : 0)] += rules->weight;
        unsigned *best = lane->backlog ? &best_backlog : &best_live;
        *best = rules->priority < *best ? rules->priority : *best;
        unsigned share = rules->live_share ? rules->live_share : link->live;
        if (!lane->backlog && share > live)
            live = share;
    }
    unsigned best = best_live < best_backlog ? best_live : best_backlog;
    double live_part = best_live == 99 ? 0 : best_backlog == 99 ? 1 : live / 100.0;
    double of_live = live ? live : link->live, group_floor[20] = {0};
    for (unsigned g = 0; g < 20; g++)
        if (group_weight[g] > 0 && g % 10 + 1 != best)
            floors += group_floor[g] = g < 10 ? of_live : 100 - of_live;
    double floor = floors > 0 ? link->floor : 0;
    for (size_t i = 0; i < load->count; i++) {
        const struct schedule_lane *lane = &load->lanes[i];
        unsigned p = lane->flow->rules.priority, g = p - 1 + (lane->backlog ? 10 : 0);
        double of_group = lane->flow->rules.weight / group_weight[g];
        ret[i] = floors > 0 ? floor * group_floor[g] / floors * of_group : 0;
        if (p == (lane->backlog ? best_backlog : best_live))
            ret[i] += (100 - floor) * (lane->backlog ? 1 - live_part : live_part) * of_group;
    }
}

TEST(random_loads_get_what_the_tree_of_shares_says_and_nobody_starves)
{
    for (uint32_t seed = 1; seed <= 200; seed++) {
        struct load load;
        load_init(&load, (struct schedule_link){0});
        load.random = seed * 2654435761u;
        struct schedule_link link = {.floor = 1 + load_random(&load, 50),
                                     .live = 10 + load_random(&load, 81)};
        schedule_configure(&load.schedule, &link, load.time.now);
        unsigned lanes = 1 + load_random(&load, 12), classes = 1 + load_random(&load, 5);
        for (unsigned i = 0; i < lanes; i++) {
            struct schedule_rules rules = {.priority = 1 + load_random(&load, classes),
                                           .weight = 1 + load_random(&load, 10),
                                           .live_share =
                                               load_random(&load, 3) ? 0 : 10 + load_random(&load, 80)};
            int lane = load_add(&load, rules, 1);
            load.lanes[lane].backlog = load_random(&load, 2);
        }
        double expected[LOAD_LANES];
        expected_shares(&load, &link, expected);
        unsigned largest = 1u << (4 + load_random(&load, 8));
        for (unsigned i = 0; i < 30000; i++) {
            for (size_t l = 0; l < load.count; l++)
                if (load.lanes[l].cost == 1 || (int)l == load.turn.lane)
                    load.lanes[l].cost = 1 + load_random(&load, largest);
            CHECK(load_step(&load) >= 0);
        }
        for (unsigned l = 0; l < lanes; l++) {
            CHECK(load.sent[l] > 0);
            check_share(&load, (int)l, expected[l], 1.5);
        }
    }
}

TEST(with_lanes_that_come_and_go_somebody_sends_whenever_somebody_may_and_no_wait_is_unbounded)
{
    for (uint32_t seed = 1; seed <= 100; seed++) {
        struct load load;
        load_init(&load, (struct schedule_link){0});
        load.random = seed * 2246822519u;
        unsigned lanes = 2 + load_random(&load, 10);
        uint64_t waited[LOAD_LANES] = {0}; /* bytes of others since it was ready */
        for (unsigned i = 0; i < lanes; i++) {
            struct schedule_rules rules = {.priority = 1 + load_random(&load, 10),
                                           .deadline = load_random(&load, 2) ? 0 : 1000};
            load_add(&load, rules, 1 + load_random(&load, 1000));
        }
        for (unsigned i = 0; i < 20000; i++) {
            unsigned ready = 0;
            for (unsigned l = 0; l < lanes; l++) {
                struct schedule_lane *lane = &load.lanes[l];
                if (load_random(&load, 50) == 0 && (!lane->ready || load.turn.lane == (int)l)) {
                    lane->ready = !lane->ready;
                    lane->backlog = load_random(&load, 2);
                    waited[l] = 0;
                }
                lane->age = load_random(&load, 2000);
                ready += lane->ready;
            }
            int sent = load_step(&load);
            CHECK((sent >= 0) == (ready > 0));
            if (sent < 0)
                continue;
            CHECK(load.lanes[sent].ready);
            for (unsigned l = 0; l < lanes; l++)
                waited[l] = (int)l == sent ? 0 : waited[l] + load.lanes[sent].cost;
            load.lanes[sent].cost = 1 + load_random(&load, 1000);
            /* a share of at least 13 % × 30 % / 19 groups, so that 1000 bytes are earned within half a million; twice it */
            for (unsigned l = 0; l < lanes; l++)
                CHECK(!load.lanes[l].ready || waited[l] < 1000000);
        }
    }
}

TEST(no_interval_has_more_than_the_rate_the_burst_and_a_record_and_a_busy_link_has_no_less)
{
    enum { SENDS = 3000, LARGEST = 3000 };
    static int64_t at[SENDS];
    static uint64_t bytes[SENDS + 1];
    for (uint32_t seed = 1; seed <= 20; seed++) {
        struct load load;
        load_init(&load, (struct schedule_link){0});
        load.random = seed * 3266489917u;
        struct schedule_link link = {.rate = 1000 + load_random(&load, 200000),
                                     .burst_bytes = 100 + load_random(&load, 4000)};
        schedule_configure(&load.schedule, &link, load.time.now);
        unsigned lanes = 1 + load_random(&load, 6);
        for (unsigned l = 0; l < lanes; l++)
            load_add(&load, (struct schedule_rules){.priority = 1 + load_random(&load, 10)},
                     1 + load_random(&load, LARGEST));
        int64_t begin = load.time.now;
        for (unsigned n = 0; n < SENDS;) {
            int sent = load_step(&load);
            if (sent < 0) {
                CHECK(load.turn.at > load.time.now);
                load.time.now = load.turn.at;
                continue;
            }
            at[n] = load.time.now;
            bytes[n + 1] = bytes[n] + load.lanes[sent].cost;
            load.lanes[sent].cost = 1 + load_random(&load, LARGEST);
            n++;
        }
        double rate = (double)link.rate / 8000; /* bytes a millisecond */
        for (unsigned from = 0; from < SENDS; from += 7)
            for (unsigned to = from; to < SENDS; to += 11) {
                double sent = (double)(bytes[to + 1] - bytes[from]);
                CHECK(sent <= rate * (double)(at[to] - at[from] + 1) + (double)link.burst_bytes + LARGEST);
            }
        CHECK((double)bytes[SENDS] >= rate * (double)(at[SENDS - 1] - begin) * 0.999 - LARGEST);
    }
}
