/* Lanes that have something to send, and a clock that is moved by hand. */
#pragma once

#include "schedule/schedule.h"

enum { LOAD_LANES = 32 };

struct load {
    struct schedule schedule;
    struct schedule_flow flows[LOAD_LANES];
    struct schedule_lane lanes[LOAD_LANES], *list[LOAD_LANES];
    uint64_t sent[LOAD_LANES]; /* bytes */
    unsigned records[LOAD_LANES];
    size_t count;
    struct schedule_time time;
    uint32_t random;
    struct schedule_turn turn; /* the last one */
};

void load_init(struct load *load, struct schedule_link link);
/* A lane that is always ready with records of `cost` bytes. Its index. */
int load_add(struct load *load, struct schedule_rules rules, uint64_t cost);
/* Sends the next record; the lane or -1. */
int load_step(struct load *load);
/* `n` records, of which nobody may be asked to wait. */
void load_run(struct load *load, unsigned n);
uint64_t load_sent(const struct load *load);
/* Percent of all bytes. */
double load_share(const struct load *load, int lane);
/* From 0 to below `limit`. */
unsigned load_random(struct load *load, unsigned limit);
