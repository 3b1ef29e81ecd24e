/* The gateway's figures for monitoring: the answer to $gatehouse/ctl/gateway/metrics is Prometheus' text (metrics_text.h).
 *
 *      request ──▶ asks the rooms ──▶ all have answered, or half a second is over ──▶ answers everybody who has asked since
 *
 * Nothing is collected that nobody asks for. */
#pragma once

#include "base/base.h"

struct metrics;
struct bus;

int metrics_new(struct metrics **ret, struct bus *bus) must_check;
struct metrics *metrics_free(struct metrics *metrics);
define_cleanup(struct metrics *, metrics_free)
