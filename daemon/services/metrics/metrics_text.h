/* The gateway's figures in Prometheus' text format (exposition format 0.0.4), made of the answers that the rooms give on
 * their topics:
 *
 *      # HELP gatehouse_stream_pending_records Records that the cloud has not acknowledged yet.
 *      # TYPE gatehouse_stream_pending_records gauge
 *      gatehouse_stream_pending_records{stream="telemetry"} 20
 *
 * Counters count from the start of the daemon and end in _total; sizes are in bytes, times in seconds. Pure. */
#pragma once

#include "base/json.h"

enum metrics_part {
    METRICS_GATEWAY,
    METRICS_BROKER,
    METRICS_HTTP,
    METRICS_STREAMS,
    METRICS_UPLINKS,
    METRICS_PLUGINS,
    METRICS_SYNCS,
    METRICS_PROVISIONING,
    METRICS_PARTS
};

/* Of a part that is NULL, and of members that are missing, there are no figures. The text is in the arena. */
const char *metrics_text(struct arena *arena, const struct json *const answers[METRICS_PARTS]);
