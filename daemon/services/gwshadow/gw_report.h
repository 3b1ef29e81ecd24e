/* What the gateway reports of itself, made of the others' answers.
 *
 *      {"health":"warning","problems":["uplink cloud is down: the connection was lost"],
 *       "version":"0.1.0","started":1760000000,"uptime":3600,
 *       "clients":{"connections":4,"sessions":7,"queuedBytes":0},
 *       "streams":[{"name":"telemetry","pending":20}],
 *       "uplinks":[{"name":"cloud","state":"down"}],
 *       "plugins":[{"name":"hello","state":"running"}],
 *       "certificates":[{"listener":"mqtts://0.0.0.0:8883","expires":1800000000}],
 *       "database":{"bytes":40960,"failures":0}}
 *
 * The members are always all there: lists are arrays, which an update replaces as a whole, so nothing that is no more is left
 * behind. Health is ok when there is no problem: an uplink that is down, a plugin that does not run, records or commits that
 * were lost, a certificate that expires within 14 days.
 *
 * Pure functions.
 */
#pragma once

#include "base/json.h"

enum gw_part { GW_GATEWAY, GW_BROKER, GW_HTTP, GW_STREAMS, GW_UPLINKS, GW_PLUGINS, GW_PARTS };

enum { GW_LIST_MAX = 32, GW_PROBLEMS_MAX = 16 };

/* answers: of each part, NULL when there is none. Both times are wall time, in seconds; before 2020 nobody has set the
 * clock, and nothing expires. */
struct json *gw_report(struct arena *arena, const struct json *const answers[GW_PARTS], int64_t started_s,
                       int64_t now_s);
/* Is there something to say? last may be NULL. */
bool gw_report_differs(const struct json *last, const struct json *report);
