/* What is to be simulated, gathered from where it is said.
 *
 *      streams   --config FILE; or the arguments STREAM=…; or, when there are neither, the running gateway
 *      traffic   --trace FILE; the arguments; or, of the running gateway, what is measured
 *      backlog   pending=N*BYTES of the arguments; or, without a trace, what waits in the running gateway
 *      link      [uplink NAME] of the file, or the running gateway's; and --rate, --link, --rtt, --window
 */
#pragma once

#include "base/json.h"
#include "cli/command.h"
#include "config/ini.h"
#include "schedule/simulate_text.h"

struct plan {
    const struct call *call;
    struct arena arena;
    struct ini ini;
    const char *uplink; /* NULL: none was named or found */
    struct simulate simulate;
    struct simulate_stream streams[SIMULATE_STREAMS_MAX];
    struct simulate_record *records[SIMULATE_STREAMS_MAX]; /* of a trace */
    size_t rooms[SIMULATE_STREAMS_MAX];
    bool is_closed; /* streams of a trace that are not there go elsewhere */
    unsigned long elsewhere;
    struct simulate_cut cuts[SIMULATE_CUTS_MAX];
};

/* An exit code; what is wrong has been said. plan_done() in any case. */
int plan_make(struct plan *plan, const struct call *call) must_check;
void plan_done(struct plan *plan);
