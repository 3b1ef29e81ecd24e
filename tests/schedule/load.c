#include "load.h"

#include "rig/test.h"

void load_init(struct load *load, struct schedule_link link)
{
    *load = (struct load){.random = 7};
    load->time = (struct schedule_time){.now = 1000, .local = 20000ll * 24 * 3600 * 1000};
    schedule_init(&load->schedule, &link, load->time.now);
}

int load_add(struct load *load, struct schedule_rules rules, uint64_t cost)
{
    size_t i = load->count++;
    CHECK(i < LOAD_LANES);
    load->flows[i].rules = rules;
    load->lanes[i] = (struct schedule_lane){.flow = &load->flows[i], .ready = true, .cost = cost};
    load->list[i] = &load->lanes[i];
    return (int)i;
}

int load_step(struct load *load)
{
    load->turn = schedule_next(&load->schedule, load->list, load->count, load->time);
    int lane = load->turn.lane;
    if (lane < 0)
        return -1;
    schedule_sent(&load->schedule, &load->turn, load->list[lane], load->time);
    load->sent[lane] += load->lanes[lane].cost;
    load->records[lane]++;
    return lane;
}

void load_run(struct load *load, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        CHECK(load_step(load) >= 0);
}

uint64_t load_sent(const struct load *load)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < load->count; i++)
        sum += load->sent[i];
    return sum;
}

double load_share(const struct load *load, int lane)
{
    return 100.0 * (double)load->sent[lane] / (double)load_sent(load);
}

unsigned load_random(struct load *load, unsigned limit)
{
    load->random = load->random * 1664525 + 1013904223;
    return (load->random >> 8) % limit;
}
