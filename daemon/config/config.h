/* The configuration: what the daemon is to be, checked.
 *
 * /etc/gatehouse/gatehouse.conf, then gatehouse.conf.d/NAME.conf beside it in order of name. Every key, its type, range
 * and default stand in one table in config.c, its meaning in schema/gatehouse.conf.md. Whatever is wrong is reported, all
 * of it, one line each:
 *
 *      gatehouse.conf:12: [stream telemetry] priority: expected a whole number from 1 to 10, found "high"
 */
#pragma once

#include "base/base.h"
#include "config/ini.h"
#include "schedule/schedule.h"

struct config_listener {
    char *name, *uri;
};

struct config_uplink {
    char *name, *uri, *client_id, *username, *password_file, *ca, *cert, *key;
    char *method, *format, *headers, *authorization_file;
    int64_t batch_records, batch_bytes, batch_interval; /* ms */
    int64_t stall_timeout_s, connections;
    bool ordered, compress;
    char *path;
    int64_t rotate_bytes, rotate_s, disk_max;
    char *rate, *burst, *floor, *live_share, *day_budget, *day_begins; /* schedule/schedule_text.h */
    struct schedule_link link;                                         /* made of them */
    char *alpn, *proxy, *proxy_password_file, *session, *will_topic, *will_message, *clock;
    int64_t keepalive_s, connect_timeout_s, session_expiry_s, window;
    int64_t protocol; /* 4 or 5 */
    bool will_retain;
};

struct config_stream {
    char *name, *uplink; /* uplink: "cloud, archive"; "": local only */
    int64_t priority;
    int64_t segment_bytes, max_bytes;
    int64_t ttl_s;                                    /* 0: for ever */
    char *on_full, *persistence, *sync, *dead_letter; /* as services/streams/stream_definition.h reads them */
    bool keep;                                        /* after export, until it is full */
    bool compress, encrypt;
    char *weight, *deadline, *day_budget, *window, *live_share; /* schedule/schedule_text.h */
    struct schedule_rules rules;                                /* made of them and priority */
};

enum {
    CONFIG_LISTENERS_MAX = 64,
    CONFIG_JWTS_MAX = 8,
    CONFIG_TOKEN_KEYS_MAX = 4,
    CONFIG_AUTHORIZERS_MAX = 32,
    CONFIG_JWT_POLICIES_MAX = 10
};

struct config_route {
    char *name, *filter, *stream, *topic;
};

struct config_downlink {
    char *name, *uplink, *filter, *topic;
};

struct config_sync {
    char *name, *uplink, *shadow, *policy;
    char *direction; /* both, up, down */
    int64_t rate, burst, every_s;
};

/* Who signs tokens. */
struct config_jwt {
    char *name, *key, *secret, *jwks; /* one of the three files; "": not that one */
    char *issuer, *audience, *claim, *client_id, *policies;
    int64_t leeway_s;
};

/* Who is asked about users: whoever serves its topic, or the server at uri. */
struct config_authorizer {
    char *name, *uri, *ca, *certificate, *key;
    char *token_name, *token_keys; /* "": it has no tokens; they are not signed */
    int64_t timeout_s;
};

struct config_plugin {
    char *name, *path, *publish, *subscribe, *credentials;
    int64_t memory_bytes;
    struct ini_section *section; /* its entries that are not ours are the plugin's */
};

struct config_credentials {
    char *name, *endpoint, *role_alias, *thing, *cert, *key, *ca;
};

struct config {
    char *name, *log_level, *profile, *queue_full;
    int64_t packet_max, inflight_max, subscriptions_max, topic_levels_max, alias_max;
    int64_t queue_max, queue_bytes, queued_bytes, queue_disk_bytes;
    int64_t session_expiry_s, session_expiry_max_s, keepalive_max_s, connections_max;
    bool shadow; /* of the gateway itself */
    int64_t node_key_age_s;
    char *mdns;                             /* auto, yes, no */
    char *names, *ca, *ca_key, *server_key; /* of the gateway's own authority */

    int64_t shadow_cache_bytes, shadow_history_count, shadow_history_age_s, shadow_history_bytes;
    int64_t streams_disk_bytes, streams_reserve_bytes;
    char *streams_key; /* "": the gateway makes one */

    struct config_listener *listeners;
    struct config_uplink *uplinks;
    struct config_downlink *downlinks;
    struct config_stream *streams;
    struct config_route *routes;
    struct config_sync *syncs;
    struct config_plugin *plugins;
    struct config_jwt *jwts;
    struct config_authorizer *authorizers;
    struct config_credentials *credentials;
    size_t listener_count, uplink_count, downlink_count, stream_count, route_count, sync_count, plugin_count,
        jwt_count, authorizer_count, credentials_count;
    struct ini ini;
    char **faults; /* sentences */
    size_t fault_count;
};

/* path: a file; NULL: the default place if there is one, else only defaults. Returns 0, or -EINVAL with at least one
 * sentence in config->faults. config_done() in both cases. */
int config_load(struct config *config, const char *path) must_check;
void config_done(struct config *config);

/* Do they say something else in sections that are not of these kinds (NULL ends the list)? The title of the first such
 * section, "[stream telemetry]", or NULL. Free it. */
char *config_differs(const struct config *a, const struct config *b, const char *const *but_in) must_check;

/* Is it a key of the plugin's section that belongs to the plugin itself? */
bool config_plugin_owns(const char *key);
