#include "config/config.h"

#include "base/value.h"
#include "config/config_fault.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Files ─▶ sections and entries (ini.c) ─▶ values by the table below ─▶ checks of the whole (config_check.c). Each step
 * tells what is wrong and goes on, so that one run of --check finds all of it. */

#define DEFAULT_PATH "/etc/gatehouse/gatehouse.conf"

/* One row a key. Adding a key is adding a row, and one to schema/gatehouse.conf.md. */
struct key {
    const char *name;
    enum value_type type;
    size_t offset;
    const char *fallback; /* NULL: must be given */
    int64_t min, max;     /* of a number; of a text's length */
};

#define MIB(n) ((int64_t)(n) << 20)
#define GIB(n) ((int64_t)(n) << 30)
#define TIB(n) ((int64_t)(n) << 40)

enum { NAME_MAX_LEN = 64, UPLINKS_MAX_LEN = 600, TEXT_MAX = 4000, TOPIC_MAX = 65535 };

#define ROW(type, name, kind, member, fallback, min, max)                                                    \
    {                                                                                                        \
        name, VALUE_##type, offsetof(struct kind, member), fallback, min, max                                \
    }

static const struct key gateway_keys[] = {
    ROW(TEXT, "name", config, name, "gateway", 1, NAME_MAX_LEN),
    ROW(TEXT, "log", config, log_level, "info", 0, NAME_MAX_LEN),
    ROW(BYTES, "packet-max", config, packet_max, "1M", 1024, 268435455),
    ROW(NUMBER, "inflight-max", config, inflight_max, "100", 1, 65535),
    ROW(NUMBER, "subscriptions-max", config, subscriptions_max, "10000", 1, 10000000),
    ROW(NUMBER, "topic-levels-max", config, topic_levels_max, "128", 1, 32768),
    ROW(NUMBER, "alias-max", config, alias_max, "16", 0, 65535),
    ROW(NUMBER, "queue-max", config, queue_max, "10000", 1, 10000000),
    ROW(BYTES, "queue-size", config, queue_bytes, "16M", 65536, TIB(1)),
    ROW(BYTES, "queues-size", config, queued_bytes, "256M", MIB(1), TIB(1)),
    ROW(BYTES, "queues-disk", config, queue_disk_bytes, "1G", MIB(16), TIB(8)),
    ROW(TEXT, "queue-full", config, queue_full, "refuse", 1, NAME_MAX_LEN),
    ROW(TIME, "session-expiry", config, session_expiry_s, "7d", 0, UINT32_MAX),
    ROW(TIME, "session-expiry-max", config, session_expiry_max_s, "4294967295s", 0, UINT32_MAX),
    ROW(TIME, "keepalive-max", config, keepalive_max_s, "0s", 0, 65535),
    ROW(TEXT, "profile", config, profile, "oasis", 1, NAME_MAX_LEN),

    ROW(BYTES, "streams-disk", config, streams_disk_bytes, "0", 0, TIB(64)),
    ROW(BYTES, "streams-reserve", config, streams_reserve_bytes, "16M", 0, GIB(64)),
    ROW(TEXT, "streams-key", config, streams_key, "", 0, TEXT_MAX),
    ROW(NUMBER, "connections-max", config, connections_max, "10000", 1, 1000000),
    ROW(SWITCH, "shadow", config, shadow, "yes", 0, 1),
    ROW(TEXT, "names", config, names, "", 0, TEXT_MAX),
    ROW(TEXT, "ca", config, ca, "", 0, TEXT_MAX),
    ROW(TEXT, "ca-key", config, ca_key, "", 0, TEXT_MAX),
    ROW(TEXT, "server-key", config, server_key, "", 0, TEXT_MAX),
    ROW(TIME, "node-key-age", config, node_key_age_s, "90d", 0, 315360000),
    ROW(TEXT, "mdns", config, mdns, "auto", 1, NAME_MAX_LEN),
};

static const struct key shadow_keys[] = {
    ROW(BYTES, "cache", config, shadow_cache_bytes, "16M", 65536, TIB(1)),
    ROW(NUMBER, "history-count", config, shadow_history_count, "100", 0, 100000),
    ROW(TIME, "history-age", config, shadow_history_age_s, "30d", 60, 3153600000),
    ROW(BYTES, "history-size", config, shadow_history_bytes, "256K", 4096, MIB(64)),
};

static const struct key listener_keys[] = {
    ROW(TEXT, "uri", config_listener, uri, NULL, 1, TEXT_MAX),
};

static const struct key uplink_keys[] = {
    ROW(TEXT, "uri", config_uplink, uri, NULL, 1, TEXT_MAX),
    ROW(TEXT, "client-id", config_uplink, client_id, "", 0, TEXT_MAX),
    ROW(TEXT, "username", config_uplink, username, "", 0, TEXT_MAX),
    ROW(TEXT, "password-file", config_uplink, password_file, "", 0, TEXT_MAX),
    ROW(TEXT, "ca", config_uplink, ca, "", 0, TEXT_MAX),
    ROW(TEXT, "cert", config_uplink, cert, "", 0, TEXT_MAX),
    ROW(TEXT, "key", config_uplink, key, "", 0, TEXT_MAX),
    ROW(TIME, "keepalive", config_uplink, keepalive_s, "60s", 5, 65535),
    ROW(NUMBER, "protocol", config_uplink, protocol, "4", 4, 5),
    ROW(TEXT, "method", config_uplink, method, "", 0, NAME_MAX_LEN),
    ROW(TEXT, "format", config_uplink, format, "", 0, NAME_MAX_LEN),
    ROW(TEXT, "headers", config_uplink, headers, "", 0, TEXT_MAX),
    ROW(TEXT, "authorization-file", config_uplink, authorization_file, "", 0, TEXT_MAX),
    ROW(TEXT, "proxy", config_uplink, proxy, "", 0, TEXT_MAX),
    ROW(NUMBER, "batch-size", config_uplink, batch_records, "100", 1, 500),
    ROW(BYTES, "batch-bytes", config_uplink, batch_bytes, "256K", 1024, MIB(16)),
    ROW(DELAY, "batch-interval", config_uplink, batch_interval, "0", 0, 3600000),
    ROW(TIME, "connect-timeout", config_uplink, connect_timeout_s, "0", 0, 600),
    ROW(TIME, "stall-timeout", config_uplink, stall_timeout_s, "30s", 1, 600),
    ROW(SWITCH, "ordered", config_uplink, ordered, "yes", 0, 1),
    ROW(NUMBER, "connections", config_uplink, connections, "1", 1, 8),
    ROW(SWITCH, "compress", config_uplink, compress, "no", 0, 1),
    ROW(TEXT, "path", config_uplink, path, "", 0, TEXT_MAX),
    ROW(BYTES, "rotate-size", config_uplink, rotate_bytes, "16M", 4096, TIB(1)),
    ROW(TIME, "rotate-time", config_uplink, rotate_s, "1h", 0, 31622400),
    ROW(BYTES, "disk-max", config_uplink, disk_max, "1G", 0, TIB(64)),
    ROW(TEXT, "rate", config_uplink, rate, "0", 1, NAME_MAX_LEN),
    ROW(TEXT, "burst", config_uplink, burst, "0", 1, NAME_MAX_LEN),
    ROW(TEXT, "floor", config_uplink, floor, "13", 1, NAME_MAX_LEN),
    ROW(TEXT, "live-share", config_uplink, live_share, "70", 1, NAME_MAX_LEN),
    ROW(TEXT, "day-budget", config_uplink, day_budget, "0", 1, TEXT_MAX),
    ROW(TEXT, "day-begins", config_uplink, day_begins, "00:00", 1, NAME_MAX_LEN),
    ROW(TEXT, "alpn", config_uplink, alpn, "", 0, 255),
    ROW(TEXT, "proxy-password-file", config_uplink, proxy_password_file, "", 0, TEXT_MAX),
    ROW(NUMBER, "window", config_uplink, window, "64", 1, 1000),
    ROW(TEXT, "session", config_uplink, session, "clean", 1, NAME_MAX_LEN),
    ROW(TIME, "session-expiry", config_uplink, session_expiry_s, "1d", 1, UINT32_MAX),
    ROW(TEXT, "will-topic", config_uplink, will_topic, "", 0, TOPIC_MAX),
    ROW(TEXT, "will-message", config_uplink, will_message, "", 0, TEXT_MAX),
    ROW(SWITCH, "will-retain", config_uplink, will_retain, "no", 0, 1),
    ROW(TEXT, "clock", config_uplink, clock, "wait", 1, NAME_MAX_LEN),
};

static const struct key stream_keys[] = {
    ROW(TEXT, "uplink", config_stream, uplink, "", 0, UPLINKS_MAX_LEN),
    ROW(NUMBER, "priority", config_stream, priority, "5", 1, 10),
    ROW(BYTES, "segment-size", config_stream, segment_bytes, "4M", 65536, GIB(1)),
    ROW(BYTES, "max-size", config_stream, max_bytes, "256M", MIB(1), TIB(8)),
    ROW(TIME, "ttl", config_stream, ttl_s, "0", 0, 3153600000),
    ROW(TEXT, "on-full", config_stream, on_full, "reject", 1, NAME_MAX_LEN),
    ROW(TEXT, "persistence", config_stream, persistence, "file", 1, NAME_MAX_LEN),
    ROW(TEXT, "sync", config_stream, sync, "always", 1, NAME_MAX_LEN),
    ROW(TEXT, "dead-letter", config_stream, dead_letter, "dead-letters", 1, NAME_MAX_LEN),
    ROW(SWITCH, "keep", config_stream, keep, "no", 0, 1),
    ROW(SWITCH, "compress", config_stream, compress, "no", 0, 1),
    ROW(SWITCH, "encrypt", config_stream, encrypt, "no", 0, 1),
    ROW(TEXT, "weight", config_stream, weight, "10", 1, NAME_MAX_LEN),
    ROW(TEXT, "deadline", config_stream, deadline, "0", 1, NAME_MAX_LEN),
    ROW(TEXT, "day-budget", config_stream, day_budget, "0", 1, NAME_MAX_LEN),
    ROW(TEXT, "window", config_stream, window, "", 0, TEXT_MAX),
    ROW(TEXT, "live-share", config_stream, live_share, "0", 1, NAME_MAX_LEN),
};

static const struct key route_keys[] = {
    ROW(TEXT, "filter", config_route, filter, NULL, 1, TOPIC_MAX),
    ROW(TEXT, "stream", config_route, stream, NULL, 1, NAME_MAX_LEN),
    ROW(TEXT, "topic", config_route, topic, "${topic}", 1, TOPIC_MAX),
};

static const struct key downlink_keys[] = {
    ROW(TEXT, "uplink", config_downlink, uplink, NULL, 1, NAME_MAX_LEN),
    ROW(TEXT, "filter", config_downlink, filter, NULL, 1, TOPIC_MAX),
    ROW(TEXT, "topic", config_downlink, topic, "${topic}", 1, TOPIC_MAX),
};

static const struct key sync_keys[] = {
    ROW(TEXT, "uplink", config_sync, uplink, NULL, 1, NAME_MAX_LEN),
    ROW(TEXT, "shadow", config_sync, shadow, NULL, 1, TOPIC_MAX),
    ROW(TEXT, "direction", config_sync, direction, "both", 1, NAME_MAX_LEN),
    ROW(TEXT, "policy", config_sync, policy, "", 0, TOPIC_MAX),
    ROW(NUMBER, "rate", config_sync, rate, "30", 1, 60000),
    ROW(NUMBER, "burst", config_sync, burst, "10", 2, 10000),
    ROW(TIME, "every", config_sync, every_s, "15m", 1, 7 * 24 * 3600),
};

static const struct key jwt_keys[] = {
    ROW(TEXT, "key", config_jwt, key, "", 0, TEXT_MAX),
    ROW(TEXT, "secret", config_jwt, secret, "", 0, TEXT_MAX),
    ROW(TEXT, "jwks", config_jwt, jwks, "", 0, TEXT_MAX),
    ROW(TEXT, "issuer", config_jwt, issuer, "", 0, TEXT_MAX),
    ROW(TEXT, "audience", config_jwt, audience, NULL, 1, TEXT_MAX),
    ROW(TEXT, "claim", config_jwt, claim, "sub", 1, NAME_MAX_LEN),
    ROW(TEXT, "client-id", config_jwt, client_id, "any", 1, NAME_MAX_LEN),
    ROW(TEXT, "policies", config_jwt, policies, "", 0, TEXT_MAX),
    ROW(TIME, "leeway", config_jwt, leeway_s, "60s", 0, 3600),
};

static const struct key authorizer_keys[] = {
    ROW(TIME, "timeout", config_authorizer, timeout_s, "5s", 1, 60),
    ROW(TEXT, "uri", config_authorizer, uri, "", 0, TEXT_MAX),
    ROW(TEXT, "ca", config_authorizer, ca, "", 0, TEXT_MAX),
    ROW(TEXT, "certificate", config_authorizer, certificate, "", 0, TEXT_MAX),
    ROW(TEXT, "key", config_authorizer, key, "", 0, TEXT_MAX),
    ROW(TEXT, "token-name", config_authorizer, token_name, "", 0, NAME_MAX_LEN),
    ROW(TEXT, "token-keys", config_authorizer, token_keys, "", 0, TEXT_MAX),
};

static const struct key credentials_keys[] = {
    ROW(TEXT, "endpoint", config_credentials, endpoint, NULL, 1, TEXT_MAX),
    ROW(TEXT, "role-alias", config_credentials, role_alias, NULL, 1, TEXT_MAX),
    ROW(TEXT, "thing", config_credentials, thing, "", 0, TEXT_MAX),
    ROW(TEXT, "cert", config_credentials, cert, NULL, 1, TEXT_MAX),
    ROW(TEXT, "key", config_credentials, key, NULL, 1, TEXT_MAX),
    ROW(TEXT, "ca", config_credentials, ca, "", 0, TEXT_MAX),
};

static const struct key plugin_keys[] = {
    ROW(TEXT, "path", config_plugin, path, NULL, 1, TEXT_MAX),
    ROW(TEXT, "publish", config_plugin, publish, "", 0, TOPIC_MAX),
    ROW(TEXT, "subscribe", config_plugin, subscribe, "", 0, TOPIC_MAX),
    ROW(TEXT, "credentials", config_plugin, credentials, "", 0, NAME_MAX_LEN),
    ROW(BYTES, "memory-max", config_plugin, memory_bytes, "64M", MIB(8), TIB(1)),
};

/* One row a kind of section. */
struct kind {
    const char *name;
    const struct key *keys;
    size_t key_count;
    bool named;
    bool open; /* keys that are not ours are somebody else's */
    /* Where its elements are listed in struct config, how many, and the size of one; 0: struct config itself. */
    size_t list, count, size;
};

#define LIST(name, open)                                                                                     \
    {                                                                                                        \
#name, name##_keys, array_size(name##_keys), true, open, offsetof(struct config, name##s),           \
            offsetof(struct config, name##_count), sizeof(struct config_##name)                              \
    }

static const struct kind kinds[] = {
    {"gateway", gateway_keys, array_size(gateway_keys), false, false, 0, 0, 0},
    {"shadow", shadow_keys, array_size(shadow_keys), false, false, 0, 0, 0},
    LIST(listener, false),
    LIST(uplink, false),
    LIST(downlink, false),
    LIST(stream, false),
    LIST(route, false),
    LIST(sync, false),
    LIST(plugin, true),
    LIST(jwt, false),
    LIST(authorizer, false),
    {"credentials", credentials_keys, array_size(credentials_keys), true, false,
     offsetof(struct config, credentials), offsetof(struct config, credentials_count),
     sizeof(struct config_credentials)},
};

/* ---- faults ----------------------------------------------------------------------------------------------------- */

void config_add_fault(struct config *config, char *sentence)
{
    if (config->fault_count > CONFIG_FAULTS_MAX) {
        free(sentence);
        return;
    }
    if (config->fault_count == CONFIG_FAULTS_MAX) {
        free(sentence);
        sentence = str_copy("and more that is not told here");
    }
    char **faults = realloc(config->faults, (config->fault_count + 1) * sizeof *faults);
    if (!faults)
        abort();
    config->faults = faults;
    faults[config->fault_count++] = sentence;
}

static char *title(const struct ini_section *section)
{
    cleanup_free char *name = ini_shown(section->name, strlen(section->name));
    cleanup_free char *kind = ini_shown(section->kind, strlen(section->kind));
    return str_printf("[%s%s%s]", kind, *name ? " " : "", name);
}

printf_like(1, 0) static char *sentence_of(const char *format, va_list args)
{
    char *sentence;
    if (vasprintf(&sentence, format, args) < 0)
        abort();
    return sentence;
}

void config_fault_at(struct config *config, const struct ini_section *section, const struct ini_entry *entry,
                     const char *format, ...)
{
    va_list args;
    va_start(args, format);
    cleanup_free char *sentence = sentence_of(format, args);
    va_end(args);
    cleanup_free char *where = title(section);
    cleanup_free char *key = ini_shown(entry->key, strlen(entry->key));
    cleanup_free char *value = strstr(entry->value, "pin-value") /* a PIN is not repeated */
                                   ? str_copy("a PIN")
                                   : ini_shown(entry->value, strlen(entry->value));
    config_add_fault(config, str_printf("%s:%d: %s %s: %s, found \"%s\"", entry->file, entry->line, where,
                                        key, sentence, value));
}

void config_fault_in(struct config *config, const struct ini_section *section, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    cleanup_free char *sentence = sentence_of(format, args);
    va_end(args);
    cleanup_free char *where = title(section);
    config_add_fault(config, str_printf("%s:%d: %s: %s", section->file, section->line, where, sentence));
}

/* ---- values ----------------------------------------------------------------------------------------------------- */

static bool is_within(const struct key *key, int64_t value)
{
    return value >= key->min && value <= key->max;
}

/* The member gets the value if it is good. */
static bool set_value(const struct key *key, void *into, const char *text)
{
    void *member = (char *)into + key->offset;
    int64_t value;
    switch (key->type) {
    case VALUE_TEXT:
        free(*(char **)member);
        *(char **)member = str_copy(text);
        return is_within(key, (int64_t)strlen(text));
    case VALUE_SWITCH:
        if (!value_parse(key->type, text, &value))
            return false;
        *(bool *)member = value != 0;
        return true;
    case VALUE_NUMBER:
    case VALUE_BYTES:
    case VALUE_TIME:
    case VALUE_DELAY:
    case VALUE_RATE:
        if (!value_parse(key->type, text, &value) || !is_within(key, value))
            return false;
        *(int64_t *)member = value;
        return true;
    }
    return false;
}

static void take_value(struct config *config, struct ini_section *section, const struct key *key, void *into)
{
    (void)set_value(key, into, key->fallback ? key->fallback : "");
    const struct ini_entry *entry = ini_find(section, key->name);
    if (!entry) {
        if (!key->fallback)
            config_fault_in(config, section, "expected a key \"%s\", found none", key->name);
        return;
    }
    if (set_value(key, into, entry->value))
        return;
    cleanup_free char *expected = value_expected(key->type, key->min, key->max);
    config_fault_at(config, section, entry, "expected %s", expected);
}

bool config_plugin_owns(const char *key)
{
    for (size_t i = 0; i < array_size(plugin_keys); i++)
        if (strcmp(plugin_keys[i].name, key) == 0)
            return false;
    return true;
}

static char *known_keys(const struct kind *kind)
{
    char *list = str_copy(kind->keys[0].name);
    for (size_t i = 1; i < kind->key_count; i++) {
        char *longer =
            str_printf("%s%s%s", list, i + 1 < kind->key_count ? ", " : " or ", kind->keys[i].name);
        free(list);
        list = longer;
    }
    return list;
}

static void take_section(struct config *config, const struct kind *kind, struct ini_section *section,
                         void *into)
{
    for (size_t i = 0; i < kind->key_count; i++)
        take_value(config, section, &kind->keys[i], into);
    if (kind->open)
        return;
    for (size_t i = 0; i < section->count; i++)
        if (!section->entries[i].used) {
            cleanup_free char *known = known_keys(kind);
            config_fault_at(config, section, &section->entries[i], "unknown key: expected %s", known);
        }
}

/* ---- sections ---------------------------------------------------------------------------------------------------- */

static bool name_is_valid(const char *name)
{
    size_t len = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-");
    return len >= 1 && len <= NAME_MAX_LEN && !name[len];
}

static const struct kind *kind_of(const struct ini_section *section)
{
    for (size_t i = 0; i < array_size(kinds); i++)
        if (strcmp(kinds[i].name, section->kind) == 0)
            return &kinds[i];
    return NULL;
}

/* NULL, or what should stand there. */
static const char *title_expected(const struct kind *kind, const struct ini_section *section)
{
    if (!kind)
        return "[gateway], [shadow], [listener NAME], [uplink NAME], [downlink NAME], [stream NAME], [route NAME], [sync NAME], [plugin NAME], [jwt NAME], [authorizer NAME] or [credentials NAME]";
    if (kind->named && !name_is_valid(section->name))
        return "a name of 1 to 64 letters, digits, _ or - behind the kind of section";
    if (!kind->named && *section->name)
        return strcmp(kind->name, "gateway") == 0 ? "[gateway] without a name" : "[shadow] without a name";
    return NULL;
}

static void *add_element(struct config *config, const struct kind *kind, const char *name)
{
    void **list = (void **)((char *)config + kind->list);
    size_t *count = (size_t *)((char *)config + kind->count);
    void *grown = realloc(*list, (*count + 1) * kind->size);
    if (!grown)
        abort();
    *list = grown;
    void *element = (char *)grown + (*count)++ * kind->size;
    memset(element, 0, kind->size);
    *(char **)element = str_copy(name); /* the name is the first member of each */
    return element;
}

/* Sections that are one each have their defaults when nobody wrote them. */
static void take_defaults(struct config *config, const struct kind *kind)
{
    static struct ini_section none = {.kind = (char *)"", .name = (char *)"", .file = "defaults"};
    for (size_t i = 0; i < config->ini.count; i++)
        if (kind_of(&config->ini.sections[i]) == kind && !*config->ini.sections[i].name)
            return;
    take_section(config, kind, &none, config);
}

static void take_all(struct config *config)
{
    for (size_t i = 0; i < config->ini.count; i++) {
        struct ini_section *section = &config->ini.sections[i];
        const struct kind *kind = kind_of(section);
        const char *expected = title_expected(kind, section);
        if (expected) {
            cleanup_free char *found = title(section);
            config_add_fault(config, str_printf("%s:%d: expected %s, found %s", section->file, section->line,
                                                expected, found));
            continue;
        }
        void *into = kind->named ? add_element(config, kind, section->name) : config;
        if (kind->open)
            ((struct config_plugin *)into)->section = section;
        take_section(config, kind, section, into);
    }
    for (size_t i = 0; i < array_size(kinds); i++)
        if (!kinds[i].named)
            take_defaults(config, &kinds[i]);
}

/* ---- reading ---------------------------------------------------------------------------------------------------- */

struct collector {
    struct ini_faults faults;
    struct config *config;
};

static void on_fault(struct ini_faults *faults, char *sentence)
{
    config_add_fault(container_of(faults, struct collector, faults)->config, sentence);
}

int config_load(struct config *config, const char *path)
{
    *config = (struct config){0};
    if (!path && access(DEFAULT_PATH, F_OK) == 0)
        path = DEFAULT_PATH;
    struct collector collector = {{on_fault}, config};
    if (path)
        ini_read_all(&config->ini, path, &collector.faults);
    take_all(config);
    config_check(config);
    return config->fault_count ? -EINVAL : 0;
}

static void free_texts(const struct kind *kind, void *element)
{
    for (size_t i = 0; i < kind->key_count; i++)
        if (kind->keys[i].type == VALUE_TEXT)
            free(*(char **)((char *)element + kind->keys[i].offset));
}

void config_done(struct config *config)
{
    for (size_t k = 0; k < array_size(kinds); k++) {
        const struct kind *kind = &kinds[k];
        if (!kind->named) {
            free_texts(kind, config);
            continue;
        }
        char *list = *(char **)((char *)config + kind->list);
        size_t count = *(size_t *)((char *)config + kind->count);
        for (size_t i = 0; i < count; i++) {
            free(*(char **)(list + i * kind->size));
            free_texts(kind, list + i * kind->size);
        }
        free(list);
    }
    for (size_t i = 0; i < config->fault_count; i++)
        free(config->faults[i]);
    free(config->faults);
    ini_done(&config->ini);
    *config = (struct config){0};
}
