/* What status shows of streams, plugins and uplinks is what their own lists show. */
#pragma once

#include "cli/print.h"

/* The exporters of all streams, each with its stream's name. In the arena. */
struct json *exporters_of(struct arena *arena, const struct json *streams);

#define CTL_STREAM_LIST "$gatehouse/ctl/stream/list"
#define CTL_PLUGIN_LIST "$gatehouse/ctl/plugin/list"
#define CTL_UPLINK_LIST "$gatehouse/ctl/uplink/list"

extern const struct column stream_columns[];
extern const struct column exporter_columns[];
extern const struct column plugin_columns[];
extern const struct column uplink_columns[];
