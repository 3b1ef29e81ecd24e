/* What the configuration says, in the words of the rooms that want it. */
#pragma once

#include "cloud/uplink_options.h"
#include "config/config.h"
#include "http/http_server.h"
#include "mqtt/broker.h"
#include "services/shadow/shadow.h"
#include "services/shadowsync/shadowsync.h"
#include "services/streams/streams.h"

struct broker_options settings_broker(const struct config *config);
/* The same limits for those who come by HTTP. */
struct http_options settings_http(const struct config *config);

struct shadow_options settings_shadow(const struct config *config);

/* Its texts are the configuration's. */
struct stream_options settings_stream(const struct config_stream *stream);

/* As many as there are [sync] sections; their texts are the configuration's. Free it. */
struct sync_options *settings_syncs(const struct config *config) must_check;

/* Its texts are the configuration's. What is in files of their own, password and authorization, is not read. */
struct uplink_options settings_uplink(const struct config_uplink *uplink, const char *gateway);
