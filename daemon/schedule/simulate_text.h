/* What the simulator is told, as text: streams, their traffic, cuts, and traces.
 *
 * A trace is one line a record, in order of time: milliseconds from any beginning, stream, bytes of topic and payload together.
 *
 *      # gatehouse trace
 *      0 telemetry 212
 *      20 telemetry 208
 *      20 alarms 64
 *
 * Empty lines and those that begin with # say nothing.
 *
 * Pure functions; parsers take a length and trust no terminator, others are said to.
 */
#pragma once

#include "schedule/simulate.h"

/* Sets what is called `key` in [stream NAME] from its text there, as far as it matters here. NULL; or what was expected. */
const char *simulate_stream_set(struct simulate_stream *stream, const char *key, const char *text);
bool simulate_stream_has(const char *key);
/* The defaults of gatehouse.conf. */
struct simulate_stream simulate_stream_default(void);

/* "10/s*200": ten records of 200 bytes a second; /m and /h are minutes and hours. NULL; or what was expected. */
const char *simulate_traffic_set(struct simulate_stream *stream, const char *text);

/* "6h", "6h@10m", "30s@1m 30s@5m": so long, from then on (or the beginning). Their number; or -1, and what was expected. */
enum { SIMULATE_CUTS_MAX = 32 };
int simulate_cuts_parse(struct simulate_cut cuts[SIMULATE_CUTS_MAX], const char *text, const char **expected);

struct simulate_trace {
    const char *at, *end;
    unsigned long line;
    int64_t begins,
        last; /* of the first record and the last one, as they are written; begins: -1 before that */
};

struct simulate_trace_item {
    const char *stream; /* not terminated */
    size_t stream_len;
    struct simulate_record record; /* its time from the first record on */
};

void simulate_trace_init(struct simulate_trace *trace, const char *text, size_t len);
/* 1; 0 at the end; -1: line trace->line is wrong, and what was expected. */
int simulate_trace_next(struct simulate_trace *trace, struct simulate_trace_item *ret, const char **expected);
