#include "settings.h"

#include "services/streams/stream_definition.h"

#include <string.h>

struct broker_options settings_broker(const struct config *config)
{
    struct broker_options options = broker_options();
    options.packet_max = (size_t)config->packet_max;
    options.inflight_max = (unsigned)config->inflight_max;
    options.queue_max = (size_t)config->queue_max;
    options.queue_bytes_max = (size_t)config->queue_bytes;
    options.queued_bytes_max = (size_t)config->queued_bytes;
    options.queue_full = strcmp(config->queue_full, "wait") == 0 ? BROKER_QUEUE_WAIT : BROKER_QUEUE_REFUSE;
    options.subscriptions_max = (unsigned)config->subscriptions_max;
    options.topic_levels_max = (unsigned)config->topic_levels_max;
    options.alias_max = (uint16_t)config->alias_max;
    options.session_expiry_s = (uint32_t)config->session_expiry_s;
    options.session_expiry_max_s = (uint32_t)config->session_expiry_max_s;
    options.keepalive_max_s = (unsigned)config->keepalive_max_s;
    options.connections_max = (unsigned)config->connections_max;
    options.spool_bytes_max = (uint64_t)config->queue_disk_bytes;
    if (strcmp(config->profile, "aws") == 0)
        broker_options_aws(&options);
    return options;
}

struct http_options settings_http(const struct config *config)
{
    const struct broker_options broker = settings_broker(config);
    return (struct http_options){
        .connections_max = broker.connections_max,
        .rest = {.payload_max = broker.packet_max,
                 .topic_len_max = broker.topic_len_max,
                 .topic_levels_max = broker.topic_levels_max,
                 .no_retain_on_dollar = broker.no_retain_on_dollar},
    };
}

struct shadow_options settings_shadow(const struct config *config)
{
    return (struct shadow_options){
        .cache_bytes = (size_t)config->shadow_cache_bytes,
        .no_history = !config->shadow_history_count,
        .history_count = (size_t)config->shadow_history_count,
        .history_age_s = (size_t)config->shadow_history_age_s,
        .history_bytes = (size_t)config->shadow_history_bytes,
    };
}

struct sync_options *settings_syncs(const struct config *config)
{
    struct sync_options *options = mem_new_bytes((config->sync_count + 1) * sizeof *options);
    for (size_t i = 0; i < config->sync_count; i++) {
        const struct config_sync *sync = &config->syncs[i];
        options[i] = (struct sync_options){
            .name = sync->name,
            .uplink = sync->uplink,
            .shadow = sync->shadow,
            .policy = sync->policy,
            .direction = (enum sync_direction)sync_direction_of(sync->direction),
            .rate = sync->rate,
            .burst = sync->burst,
            .every = sync->every_s * 1000,
        };
    }
    return options;
}

struct stream_options settings_stream(const struct config_stream *stream)
{
    struct stream_definition texts = stream_definition_default(); /* which have been checked */
    (void)stream_definition_set(&texts, "on-full", stream->on_full);
    (void)stream_definition_set(&texts, "persistence", stream->persistence);
    (void)stream_definition_set(&texts, "sync", stream->sync);
    return (struct stream_options){
        .name = stream->name,
        .uplink = *stream->uplink ? stream->uplink : NULL,
        .priority = (unsigned)stream->priority,
        .segment_bytes = (uint64_t)stream->segment_bytes,
        .max_bytes = (uint64_t)stream->max_bytes,
        .keep = stream->keep,
        .ttl_s = (uint64_t)stream->ttl_s,
        .overwrite = texts.overwrite != 0,
        .memory = texts.memory != 0,
        .sync_ms = (unsigned)texts.sync_ms,
        .compress = stream->compress,
        .encrypt = stream->encrypt,
        .dead_letter = stream->dead_letter,
        .rules = stream->rules,
    };
}

static const char *or_null(const char *text)
{
    return *text ? text : NULL;
}

struct uplink_options settings_uplink(const struct config_uplink *uplink, const char *gateway)
{
    return (struct uplink_options){
        .name = uplink->name,
        .uri = uplink->uri,
        .gateway = gateway,
        .client_id = *uplink->client_id ? uplink->client_id : gateway,
        .ca = or_null(uplink->ca),
        .cert = or_null(uplink->cert),
        .key = or_null(uplink->key),
        .username = or_null(uplink->username),
        .keepalive_s = (unsigned)uplink->keepalive_s,
        .protocol = (int)uplink->protocol,
        .alpn = or_null(uplink->alpn),
        .window = (unsigned)uplink->window,
        .persistent = strcmp(uplink->session, "persistent") == 0,
        .session_expiry_s = (uint32_t)uplink->session_expiry_s,
        .will_topic = or_null(uplink->will_topic),
        .will_message = uplink->will_message,
        .will_retain = uplink->will_retain,
        .trusts_floor = strcmp(uplink->clock, "floor") == 0,
        .method = or_null(uplink->method),
        .format = or_null(uplink->format),
        .headers = or_null(uplink->headers),
        .proxy = or_null(uplink->proxy),
        .batch_records = (unsigned)uplink->batch_records,
        .batch_bytes = (size_t)uplink->batch_bytes,
        .batch_interval = uplink->batch_interval,
        .connect_timeout_s = (unsigned)uplink->connect_timeout_s,
        .stall_timeout_s = (unsigned)uplink->stall_timeout_s,
        .connections = (unsigned)uplink->connections,
        .gzip = uplink->compress,
        .path = or_null(uplink->path),
        .rotate_bytes = (uint64_t)uplink->rotate_bytes,
        .rotate_ms = uplink->rotate_s ? uplink->rotate_s * 1000 : -1,
        .disk_max = (uint64_t)uplink->disk_max,
    };
}
