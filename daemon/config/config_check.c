/* What only the whole can say: names that must exist, and texts whose grammar belongs to another room. */
#include "config/config_fault.h"

#include "base/log.h"
#include "cloud/uplink_options.h"
#include "keys/key_uri.h"
#include "net/listener.h"
#include "schedule/schedule_text.h"
#include "services/authorizer/authorizer.h"
#include "services/credentials/credentials.h"
#include "services/shadowsync/sync_policy.h"
#include "services/shadowsync/sync_topic.h"
#include "services/streams/stream_definition.h"
#include "services/streams/stream_topic.h"
#include "services/uplink/uplink_maps.h"
#include "wire/mqtt.h"

#include <string.h>

static struct ini_section *section_of(struct config *config, const char *kind, const char *name)
{
    for (size_t i = 0; i < config->ini.count; i++)
        if (strcmp(config->ini.sections[i].kind, kind) == 0 &&
            strcmp(config->ini.sections[i].name, name) == 0)
            return &config->ini.sections[i];
    return NULL;
}

/* The fault of a value that was written, or whose default is not good there. */
static void fault(struct config *config, const char *kind, const char *name, const char *key,
                  const char *expected)
{
    struct ini_section *section = section_of(config, kind, name);
    const struct ini_entry *entry = ini_find(section, key);
    if (entry)
        config_fault_at(config, section, entry, "expected %s", expected);
    else
        config_fault_in(config, section, "expected a key \"%s\" with %s, found none", key, expected);
}

/* Where a key is; "": nobody has said. */
static void check_key(struct config *config, const char *kind, const char *name, const char *key,
                      const char *text)
{
    struct key_uri uri;
    char *why = NULL;
    if (!*text)
        return;
    if (key_uri_parse(&uri, text, &why) >= 0)
        key_uri_done(&uri);
    else
        fault(config, kind, name, key, why + strlen("expected "));
    free(why);
}

static void check_gateway(struct config *config)
{
    check_key(config, "gateway", "", "ca-key", config->ca_key);
    check_key(config, "gateway", "", "server-key", config->server_key);
    if (*config->ca && !*config->ca_key)
        fault(config, "gateway", "", "ca-key", "where the key of ca is");
    if (log_level_from_text(config->log_level) < 0)
        fault(config, "gateway", "", "log", "error, warning, notice, info or debug");
    if (strcmp(config->queue_full, "refuse") != 0 && strcmp(config->queue_full, "wait") != 0)
        fault(config, "gateway", "", "queue-full", "refuse or wait");
    if (strcmp(config->profile, "oasis") != 0 && strcmp(config->profile, "aws") != 0)
        fault(config, "gateway", "", "profile", "oasis or aws");
    if (strcmp(config->mdns, "auto") != 0 && strcmp(config->mdns, "yes") != 0 &&
        strcmp(config->mdns, "no") != 0)
        fault(config, "gateway", "", "mdns", "auto, yes or no");
}

static void check_listener(struct config *config, const struct config_listener *listener)
{
    struct listener_uri uri;
    char *why = NULL;
    if (!*listener->uri) /* said before */
        return;
    struct ini_section *section = section_of(config, "listener", listener->name);
    if (listener_uri_parse(&uri, listener->uri, &why) >= 0) {
        if (uri.auth & LISTENER_AUTH_JWT && !config->jwt_count)
            config_fault_at(config, section, ini_find(section, "uri"),
                            "auth: expected jwt only with a section [jwt NAME]");
        if (uri.authorizer && !section_of(config, "authorizer", uri.authorizer))
            config_fault_at(config, section, ini_find(section, "uri"),
                            "auth: expected authorizer:NAME with the name of an [authorizer]");
        listener_uri_done(&uri);
        return;
    }
    config_fault_at(config, section, ini_find(section, "uri"), "%s", why);
    free(why);
}

static unsigned count_words(const char *text)
{
    unsigned count = 0;
    for (const char *at = text; *(at += strspn(at, " \t")); at += strcspn(at, " \t"))
        count++;
    return count;
}

static void check_jwt(struct config *config, const struct config_jwt *jwt)
{
    int sources = (*jwt->key != '\0') + (*jwt->secret != '\0') + (*jwt->jwks != '\0');
    if (sources != 1)
        config_fault_in(config, section_of(config, "jwt", jwt->name),
                        "expected one of the keys \"key\", \"secret\" and \"jwks\", found %d", sources);
    if (strcmp(jwt->client_id, "any") != 0 && strcmp(jwt->client_id, "subject") != 0)
        fault(config, "jwt", jwt->name, "client-id", "any or subject");
    if (count_words(jwt->policies) > CONFIG_JWT_POLICIES_MAX)
        fault(config, "jwt", jwt->name, "policies", "at most 10 names of policies with blanks between them");
}

static void take_link(struct config *config, struct config_uplink *uplink)
{
    const struct {
        const char *key, *text;
    } texts[] = {{"rate", uplink->rate},
                 {"burst", uplink->burst},
                 {"floor", uplink->floor},
                 {"live-share", uplink->live_share},
                 {"day-budget", uplink->day_budget},
                 {"day-begins", uplink->day_begins}};
    for (size_t i = 0; i < array_size(texts); i++) {
        const char *expected =
            *texts[i].text ? schedule_link_set(&uplink->link, texts[i].key, texts[i].text) : NULL;
        if (expected)
            fault(config, "uplink", uplink->name, texts[i].key, expected);
    }
    uplink->link.tls = strncmp(uplink->uri, "mqtts:", 6) == 0 || strncmp(uplink->uri, "https:", 6) == 0;
}

static const char *or_null(const char *text)
{
    return *text ? text : NULL;
}

static void check_uplink_texts(struct config *config, const struct config_uplink *uplink)
{
    const struct uplink_options options = {
        .uri = uplink->uri,
        .method = or_null(uplink->method),
        .format = or_null(uplink->format),
        .headers = or_null(uplink->headers),
        .path = or_null(uplink->path),
        .proxy = or_null(uplink->proxy),
    };
    size_t at = 0;
    for (const char *key, *expected; *uplink->uri && (expected = uplink_options_check(&options, &at, &key));)
        fault(config, "uplink", uplink->name, key, expected);
}

/* A key that says nothing about this kind of uplink is a mistake, and would be missed. */
static void check_uplink_keys(struct config *config, const struct config_uplink *uplink)
{
    struct ini_section *section = section_of(config, "uplink", uplink->name);
    unsigned kind = uplink_kind(uplink->uri);
    for (size_t i = 0; kind && i < section->count; i++)
        if (!(uplink_key_kinds(section->entries[i].key) & kind))
            config_fault_at(config, section, &section->entries[i],
                            "expected no such key for an uplink to %.*s", (int)strcspn(uplink->uri, ":") + 1,
                            uplink->uri);
}

static void check_uplink_way(struct config *config, const struct config_uplink *uplink)
{
    if (*uplink->proxy_password_file && !strchr(uplink->proxy, '@'))
        fault(config, "uplink", uplink->name, "proxy",
              "http://USER@HOST:PORT with the user whose password is in proxy-password-file");
    if (*uplink->alpn && !uplink_uri_needs_time(uplink->uri))
        fault(config, "uplink", uplink->name, "alpn", "nothing: without TLS no protocol can be offered");
}

static void check_uplink(struct config *config, struct config_uplink *uplink)
{
    take_link(config, uplink);
    check_uplink_texts(config, uplink);
    if (uplink_kind(uplink->uri) == UPLINK_PLUGIN &&
        !section_of(config, "plugin", uplink->uri + strlen("plugin:")))
        fault(config, "uplink", uplink->name, "uri", "plugin:NAME, the name of a [plugin]");
    check_uplink_keys(config, uplink);
    if (uplink_kind(uplink->uri) == UPLINK_HTTP && uplink->connections > 1 && uplink->ordered)
        fault(config, "uplink", uplink->name, "ordered", "no, since there is more than one connection");
    if (*uplink->password_file && !*uplink->username)
        fault(config, "uplink", uplink->name, "username", "the user whose password is in password-file");
    if (*uplink->key && !*uplink->cert)
        fault(config, "uplink", uplink->name, "cert", "the certificate that belongs to key");
    check_key(config, "uplink", uplink->name, "key", uplink->key);
    check_uplink_way(config, uplink);
    if (strcmp(uplink->session, "clean") != 0 && strcmp(uplink->session, "persistent") != 0)
        fault(config, "uplink", uplink->name, "session", "clean or persistent");
    if (*uplink->will_topic && !wire_topic_is_valid(uplink->will_topic, strlen(uplink->will_topic)))
        fault(config, "uplink", uplink->name, "will-topic", "a topic without wildcards");
    if (*uplink->will_message && !*uplink->will_topic)
        fault(config, "uplink", uplink->name, "will-topic", "the topic that will-message goes to");
    if (strcmp(uplink->clock, "wait") != 0 && strcmp(uplink->clock, "floor") != 0)
        fault(config, "uplink", uplink->name, "clock", "wait or floor");
}

static void take_rules(struct config *config, struct config_stream *stream)
{
    const struct {
        const char *key, *text;
    } texts[] = {{"weight", stream->weight},
                 {"deadline", stream->deadline},
                 {"day-budget", stream->day_budget},
                 {"window", stream->window},
                 {"live-share", stream->live_share}};
    for (size_t i = 0; i < array_size(texts); i++) {
        const char *expected =
            *texts[i].text ? schedule_rules_set(&stream->rules, texts[i].key, texts[i].text) : NULL;
        if (expected)
            fault(config, "stream", stream->name, texts[i].key, expected);
    }
    stream->rules.priority = (unsigned)stream->priority;
}

static bool filter_is_good(const char *filter, size_t len)
{
    struct wire_text name, inner;
    return wire_filter_is_valid(filter, len) && !wire_filter_is_shared(filter, len, &name, &inner);
}

/* One of another kind has nothing to say; one without a kind is a fault of its own. */
static bool is_silent(const struct config *config, const char *uplink)
{
    for (size_t i = 0; i < config->uplink_count; i++)
        if (strcmp(config->uplinks[i].name, uplink) == 0)
            return uplink_kind(config->uplinks[i].uri) & ~(unsigned)UPLINK_MQTT;
    return false;
}

static void check_downlink(struct config *config, const struct config_downlink *downlink)
{
    if (*downlink->uplink && !section_of(config, "uplink", downlink->uplink))
        fault(config, "downlink", downlink->name, "uplink", "the name of an [uplink]");
    else if (is_silent(config, downlink->uplink))
        fault(config, "downlink", downlink->name, "uplink", "the name of an [uplink] to mqtt:// or mqtts://");
    if (*downlink->filter && !filter_is_good(downlink->filter, strlen(downlink->filter)))
        fault(config, "downlink", downlink->name, "filter", "an MQTT topic filter, not a shared one");
    const char *expected = uplink_map_check(downlink->filter, downlink->topic);
    if (expected)
        fault(config, "downlink", downlink->name, "topic", expected);
}

static void check_stream(struct config *config, struct config_stream *stream)
{
    take_rules(config, stream);
    struct stream_definition definition = stream_definition_default();
    char uplink[STREAM_NAME_MAX + 1];
    const struct {
        const char *key, *text;
    } texts[] = {{"uplink", stream->uplink},
                 {"dead-letter", stream->dead_letter},
                 {"on-full", stream->on_full},
                 {"persistence", stream->persistence},
                 {"sync", stream->sync}};
    for (size_t i = 0; i < array_size(texts); i++) {
        const char *expected = stream_definition_set(&definition, texts[i].key, texts[i].text);
        if (expected)
            fault(config, "stream", stream->name, texts[i].key, expected);
    }
    for (size_t i = 0; stream_definition_uplink(&definition, i, uplink); i++)
        if (!section_of(config, "uplink", uplink))
            fault(config, "stream", stream->name, "uplink", "the name of an [uplink]");
    if (stream->ttl_s && stream->ttl_s < 60)
        fault(config, "stream", stream->name, "ttl", "at least 1m, or 0 for ever");
    if (definition.memory && stream->max_bytes > STREAM_MEMORY_MAX)
        fault(config, "stream", stream->name, "max-size", "at most 64M for a stream in memory");
    if (definition.memory && definition.sync_ms)
        fault(config, "stream", stream->name, "sync", "always: a stream in memory has none");
    if (definition.memory && stream->encrypt)
        fault(config, "stream", stream->name, "encrypt",
              "no: a stream in memory leaves nothing to be encrypted");
}

static void check_route(struct config *config, const struct config_route *route)
{
    if (*route->filter && !filter_is_good(route->filter, strlen(route->filter)))
        fault(config, "route", route->name, "filter", "an MQTT topic filter, not a shared one");
    if (*route->stream && !section_of(config, "stream", route->stream))
        fault(config, "route", route->name, "stream", "the name of a [stream]");
    const char *expected = *route->topic ? stream_topic_check(route->topic) : NULL;
    if (expected)
        fault(config, "route", route->name, "topic", expected);
}

static void check_sync(struct config *config, const struct config_sync *sync)
{
    struct sync_pattern patterns[SYNC_PATTERNS_MAX];
    if (*sync->uplink && !section_of(config, "uplink", sync->uplink))
        fault(config, "sync", sync->name, "uplink", "the name of an [uplink]");
    if (*sync->shadow && sync_patterns_parse(patterns, sync->shadow) < 0)
        fault(config, "sync", sync->name, "shadow",
              "THING or THING/NAME, each may be +; at most 64 with blanks between them");
    if (sync_direction_of(sync->direction) < 0)
        fault(config, "sync", sync->name, "direction", "both, up or down");
    const char *expected = sync_policy_check(sync->policy);
    if (expected)
        fault(config, "sync", sync->name, "policy", expected);
}

static bool filters_are_good(const char *filters)
{
    for (const char *at = filters; *at;) {
        size_t len = strcspn(at, " \t");
        if (len && !filter_is_good(at, len))
            return false;
        at += len ? len : 1;
    }
    return true;
}

static void check_credentials(struct config *config, const struct config_credentials *credentials)
{
    const struct {
        const char *key, *text, *expected;
    } texts[] = {{"endpoint", credentials->endpoint, credential_endpoint_check(credentials->endpoint)},
                 {"role-alias", credentials->role_alias, credential_alias_check(credentials->role_alias)},
                 {"thing", credentials->thing, credential_thing_check(credentials->thing)}};
    for (size_t i = 0; i < array_size(texts); i++)
        if (*texts[i].text && texts[i].expected)
            fault(config, "credentials", credentials->name, texts[i].key, texts[i].expected);
    check_key(config, "credentials", credentials->name, "key", credentials->key);
}

/* What stands behind the ? of a user name by that name. */
static void check_token(struct config *config, const struct config_authorizer *authorizer)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
    const char *name = authorizer->token_name;
    if (name[strspn(name, letters)] || strncmp(name, "x-amz-", 6) == 0)
        fault(config, "authorizer", authorizer->name, "token-name",
              "letters, digits, _, . and -, not beginning with x-amz-");
    if (!*authorizer->token_keys)
        return;
    if (!*name)
        fault(config, "authorizer", authorizer->name, "token-name",
              "the name of the tokens that the token-keys are for");
    if (count_words(authorizer->token_keys) > CONFIG_TOKEN_KEYS_MAX)
        fault(config, "authorizer", authorizer->name, "token-keys",
              "at most 4 files with blanks between them");
}

static void check_authorizer(struct config *config, const struct config_authorizer *authorizer)
{
    const struct {
        const char *key, *text;
    } texts[] = {{"ca", authorizer->ca}, {"certificate", authorizer->certificate}, {"key", authorizer->key}};
    const char *expected = *authorizer->uri ? authorizer_uri_check(authorizer->uri) : NULL;
    if (expected)
        fault(config, "authorizer", authorizer->name, "uri", expected);
    for (size_t i = 0; !expected && i < array_size(texts); i++)
        if (*texts[i].text && !authorizer_uri_has_tls(authorizer->uri))
            fault(config, "authorizer", authorizer->name, texts[i].key,
                  "nothing: only a uri with https:// has use for it");
    if (*authorizer->certificate && !*authorizer->key)
        fault(config, "authorizer", authorizer->name, "key", "the private key of the certificate");
    if (*authorizer->key && !*authorizer->certificate)
        fault(config, "authorizer", authorizer->name, "certificate", "the certificate that the key is for");
    check_key(config, "authorizer", authorizer->name, "key", authorizer->key);
    check_token(config, authorizer);
}

static void check_plugin(struct config *config, const struct config_plugin *plugin)
{
    if (*plugin->credentials && !section_of(config, "credentials", plugin->credentials))
        fault(config, "plugin", plugin->name, "credentials", "the name of a [credentials]");
    static const char expected[] = "MQTT topic filters with blanks between them";
    if (!filters_are_good(plugin->publish))
        fault(config, "plugin", plugin->name, "publish", expected);
    if (!filters_are_good(plugin->subscribe))
        fault(config, "plugin", plugin->name, "subscribe", expected);
}

void config_check(struct config *config)
{
    check_gateway(config);
    for (size_t i = 0; i < config->listener_count; i++)
        check_listener(config, &config->listeners[i]);
    if (config->listener_count > CONFIG_LISTENERS_MAX)
        config_add_fault(config, str_printf("expected at most %d listeners, found %zu", CONFIG_LISTENERS_MAX,
                                            config->listener_count));
    for (size_t i = 0; i < config->uplink_count; i++)
        check_uplink(config, &config->uplinks[i]);
    for (size_t i = 0; i < config->downlink_count; i++)
        check_downlink(config, &config->downlinks[i]);
    for (size_t i = 0; i < config->stream_count; i++)
        check_stream(config, &config->streams[i]);
    for (size_t i = 0; i < config->route_count; i++)
        check_route(config, &config->routes[i]);
    for (size_t i = 0; i < config->sync_count; i++)
        check_sync(config, &config->syncs[i]);
    for (size_t i = 0; i < config->credentials_count; i++)
        check_credentials(config, &config->credentials[i]);
    for (size_t i = 0; i < config->plugin_count; i++)
        check_plugin(config, &config->plugins[i]);
    for (size_t i = 0; i < config->jwt_count; i++)
        check_jwt(config, &config->jwts[i]);
    for (size_t i = 0; i < config->authorizer_count; i++)
        check_authorizer(config, &config->authorizers[i]);
    if (config->authorizer_count > CONFIG_AUTHORIZERS_MAX)
        config_add_fault(config, str_printf("expected at most %d sections [authorizer NAME], found %zu",
                                            CONFIG_AUTHORIZERS_MAX, config->authorizer_count));
    if (config->jwt_count > CONFIG_JWTS_MAX)
        config_add_fault(config, str_printf("expected at most %d sections [jwt NAME], found %zu",
                                            CONFIG_JWTS_MAX, config->jwt_count));
}
