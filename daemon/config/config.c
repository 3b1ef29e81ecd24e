#include "config/config.h"

#include "base/log.h"
#include "net/listener.h"
#include "wire/mqtt.h"

#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define DEFAULT_PATH "/etc/gatehouse/gatehouse.conf"

/* One row a key. Adding a key is adding a row (and a line to schema/gatehouse.conf.md). */
enum value_type { TEXT, NUMBER, BYTES, SECONDS };

struct key {
    const char *name;
    enum value_type type;
    size_t offset;
    const char *fallback; /* NULL: must be given */
    int64_t min, max;
};

#define MIB(n) ((int64_t)(n) << 20)
#define TIB(n) ((int64_t)(n) << 40)

#define ROW(type, name, kind, member, fallback, ...)                                                         \
    {                                                                                                        \
        name, type, offsetof(struct kind, member), fallback, __VA_ARGS__                                     \
    }

static const struct key gateway_keys[] = {
    ROW(TEXT, "name", config, name, "gateway", 0, 0),
    ROW(TEXT, "log", config, log_level, "info", 0, 0),
    ROW(BYTES, "packet-max", config, packet_max, "1M", 1024, 268435455),
    ROW(NUMBER, "inflight-max", config, inflight_max, "100", 1, 65535),
    ROW(NUMBER, "queue-max", config, queue_max, "10000", 1, 10000000),
    ROW(SECONDS, "session-expiry", config, session_expiry_s, "7d", 0, UINT32_MAX),
    ROW(NUMBER, "connections-max", config, connections_max, "10000", 1, 1000000),
};

static const struct key listener_keys[] = {
    ROW(TEXT, "uri", config_listener, uri, NULL, 0, 0),
};

static const struct key uplink_keys[] = {
    ROW(TEXT, "uri", config_uplink, uri, NULL, 0, 0),
    ROW(TEXT, "client-id", config_uplink, client_id, "", 0, 0),
    ROW(TEXT, "username", config_uplink, username, "", 0, 0),
    ROW(TEXT, "password-file", config_uplink, password_file, "", 0, 0),
    ROW(TEXT, "ca", config_uplink, ca, "", 0, 0),
    ROW(TEXT, "cert", config_uplink, cert, "", 0, 0),
    ROW(TEXT, "key", config_uplink, key, "", 0, 0),
    ROW(SECONDS, "keepalive", config_uplink, keepalive_s, "60s", 5, 65535),
    ROW(NUMBER, "protocol", config_uplink, protocol, "4", 4, 5),
};

static const struct key stream_keys[] = {
    ROW(TEXT, "uplink", config_stream, uplink, "", 0, 0),
    ROW(NUMBER, "priority", config_stream, priority, "5", 1, 10),
    ROW(BYTES, "segment-size", config_stream, segment_bytes, "4M", 65536, 1 << 30),
    ROW(BYTES, "max-size", config_stream, max_bytes, "256M", MIB(1), TIB(8)),
};

static const struct key route_keys[] = {
    ROW(TEXT, "filter", config_route, filter, NULL, 0, 0),
    ROW(TEXT, "stream", config_route, stream, NULL, 0, 0),
    ROW(TEXT, "topic", config_route, topic, "${topic}", 0, 0),
};

static const struct key plugin_keys[] = {
    ROW(TEXT, "path", config_plugin, path, NULL, 0, 0),
    ROW(TEXT, "publish", config_plugin, publish, "", 0, 0),
    ROW(TEXT, "subscribe", config_plugin, subscribe, "", 0, 0),
    ROW(BYTES, "memory-max", config_plugin, memory_bytes, "64M", MIB(8), TIB(1)),
};

struct kind {
    const char *name;
    const struct key *keys;
    size_t key_count;
    bool named;
    size_t list, count,
        size; /* of the array in struct config and of one element; size 0: struct config itself */
};

#define LIST(name, kind)                                                                                     \
    {                                                                                                        \
#name, name##_keys, array_size(name##_keys), true, offsetof(struct config, name##s),                 \
            offsetof(struct config, name##_count), sizeof(struct kind)                                       \
    }

static const struct kind kinds[] = {
    {"gateway", gateway_keys, array_size(gateway_keys), false, 0, 0, 0},
    LIST(listener, config_listener),
    LIST(uplink, config_uplink),
    LIST(stream, config_stream),
    LIST(route, config_route),
    LIST(plugin, config_plugin),
};

/* ---- faults ----------------------------------------------------------------------------------------------------- */

static void add_fault(struct config *config, char *sentence)
{
    char **faults = realloc(config->faults, (config->fault_count + 1) * sizeof *faults);
    if (!faults)
        abort();
    config->faults = faults;
    faults[config->fault_count++] = sentence;
}

static char *title(const struct ini_section *section)
{
    return str_printf("[%s%s%s]", section->kind, *section->name ? " " : "", section->name);
}

printf_like(4, 5) static void fault_at(struct config *config, const struct ini_section *section,
                                       const struct ini_entry *entry, const char *format, ...)
{
    char *what = NULL;
    va_list args;
    va_start(args, format);
    if (vasprintf(&what, format, args) < 0)
        abort();
    va_end(args);
    cleanup_free char *sentence = what;
    cleanup_free char *where = title(section);
    if (entry)
        add_fault(config, str_printf("%s:%d: %s %s: %s, found \"%s\"", entry->file, entry->line, where,
                                     entry->key, sentence, entry->value));
    else
        add_fault(config, str_printf("%s:%d: %s: %s", section->file, section->line, where, sentence));
}

/* ---- values ----------------------------------------------------------------------------------------------------- */

struct unit {
    const char *suffix;
    int64_t factor;
};

static const struct unit no_units[] = {{"", 1}, {NULL, 0}};
static const struct unit byte_units[] = {{"", 1},          {"K", 1 << 10},   {"M", 1 << 20},
                                         {"G", 1ll << 30}, {"T", 1ll << 40}, {NULL, 0}};
static const struct unit time_units[] = {{"", 1}, {"s", 1}, {"m", 60}, {"h", 3600}, {"d", 86400}, {NULL, 0}};

static bool parse_number(const char *text, const struct unit *units, int64_t *ret)
{
    if (*text < '0' || *text > '9')
        return false;
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (errno)
        return false;
    for (const struct unit *unit = units; unit->suffix; unit++)
        if (strcmp(end, unit->suffix) == 0)
            return !__builtin_mul_overflow(value, unit->factor, ret);
    return false;
}

static const struct unit *units_of(enum value_type type)
{
    switch (type) {
    case BYTES: return byte_units;
    case SECONDS: return time_units;
    case TEXT:
    case NUMBER: break;
    }
    return no_units;
}

static const char *shape_of(enum value_type type)
{
    switch (type) {
    case BYTES: return "a size in bytes, or with K, M, G or T,";
    case SECONDS: return "a time in seconds, or with s, m, h or d,";
    case TEXT:
    case NUMBER: break;
    }
    return "a whole number";
}

static void take_value(struct config *config, struct ini_section *section, const struct key *key, void *into)
{
    const struct ini_entry *entry = ini_find(section, key->name);
    const char *text = entry ? entry->value : key->fallback;
    void *member = (char *)into + key->offset;
    if (!text) {
        fault_at(config, section, NULL, "expected a key \"%s\", found none", key->name);
        text = "";
    }
    if (key->type == TEXT) {
        *(char **)member = str_copy(text);
        return;
    }
    int64_t value = 0;
    if (parse_number(text, units_of(key->type), &value) && value >= key->min && value <= key->max)
        *(int64_t *)member = value;
    else if (entry)
        fault_at(config, section, entry, "expected %s from %lld to %lld", shape_of(key->type),
                 (long long)key->min, (long long)key->max);
}

bool config_plugin_owns(const char *key)
{
    for (size_t i = 0; i < array_size(plugin_keys); i++)
        if (strcmp(plugin_keys[i].name, key) == 0)
            return false;
    return true;
}

static void take_section(struct config *config, const struct kind *kind, struct ini_section *section,
                         void *into)
{
    for (size_t i = 0; i < kind->key_count; i++)
        take_value(config, section, &kind->keys[i], into);
    if (strcmp(kind->name, "plugin") == 0)
        return; /* every other key is the plugin's own */
    for (size_t i = 0; i < section->count; i++)
        if (!section->entries[i].used) {
            cleanup_free char *where = title(section);
            add_fault(config, str_printf("%s:%d: %s: expected a key that is known there, found \"%s\"",
                                         section->entries[i].file, section->entries[i].line, where,
                                         section->entries[i].key));
        }
}

/* ---- what only the whole can say --------------------------------------------------------------------------------- */

static bool name_is_valid(const char *name)
{
    size_t len = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-");
    return len >= 1 && len <= 64 && !name[len];
}

static struct ini_section *section_of(struct config *config, const char *kind, const char *name)
{
    for (size_t i = 0; i < config->ini.count; i++)
        if (strcmp(config->ini.sections[i].kind, kind) == 0 &&
            strcmp(config->ini.sections[i].name, name) == 0)
            return &config->ini.sections[i];
    return NULL;
}

static void check_references(struct config *config)
{
    for (size_t i = 0; i < config->stream_count; i++) {
        const struct config_stream *stream = &config->streams[i];
        struct ini_section *section = section_of(config, "stream", stream->name);
        if (*stream->uplink && !section_of(config, "uplink", stream->uplink))
            fault_at(config, section, ini_find(section, "uplink"), "expected the name of an [uplink]");
    }
    for (size_t i = 0; i < config->route_count; i++) {
        const struct config_route *route = &config->routes[i];
        struct ini_section *section = section_of(config, "route", route->name);
        if (*route->stream && !section_of(config, "stream", route->stream))
            fault_at(config, section, ini_find(section, "stream"), "expected the name of a [stream]");
        if (*route->filter && !wire_filter_is_valid(route->filter, strlen(route->filter)))
            fault_at(config, section, ini_find(section, "filter"), "expected an MQTT topic filter");
    }
}

static void check_listeners(struct config *config)
{
    for (size_t i = 0; i < config->listener_count; i++) {
        struct listener_uri uri;
        char *why = NULL;
        if (!*config->listeners[i].uri)
            continue;
        if (listener_uri_parse(&uri, config->listeners[i].uri, &why) < 0) {
            cleanup_free char *sentence = why;
            struct ini_section *section = section_of(config, "listener", config->listeners[i].name);
            fault_at(config, section, ini_find(section, "uri"), "%s", sentence);
        } else {
            listener_uri_done(&uri);
        }
    }
}

/* ---- reading ---------------------------------------------------------------------------------------------------- */

static void read_file(struct config *config, const char *path)
{
    char *why = NULL;
    if (ini_read(&config->ini, path, &why) < 0)
        add_fault(config, why);
}

static int is_conf(const struct dirent *entry)
{
    const char *dot = strrchr(entry->d_name, '.');
    return *entry->d_name != '.' && dot && strcmp(dot, ".conf") == 0;
}

static void read_files(struct config *config, const char *path)
{
    read_file(config, path);
    cleanup_free char *dir = str_printf("%s.d", path);
    struct dirent **entries;
    int n = scandir(dir, &entries, is_conf, alphasort);
    for (int i = 0; i < n; i++) {
        cleanup_free char *file = str_printf("%s/%s", dir, entries[i]->d_name);
        read_file(config, file);
        free(entries[i]);
    }
    if (n >= 0)
        free(entries);
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

static void take_all(struct config *config)
{
    bool gateway_seen = false;
    for (size_t i = 0; i < config->ini.count; i++) {
        struct ini_section *section = &config->ini.sections[i];
        const struct kind *kind = NULL;
        for (size_t k = 0; k < array_size(kinds); k++)
            if (strcmp(kinds[k].name, section->kind) == 0)
                kind = &kinds[k];
        if (!kind || (kind->named ? !name_is_valid(section->name) : *section->name != '\0')) {
            cleanup_free char *found = title(section);
            add_fault(config,
                      str_printf("%s:%d: expected %s, found %s", section->file, section->line,
                                 kind ? (kind->named ? "a name of 1 to 64 letters, digits, _ or - behind the "
                                                       "kind of section"
                                                     : "[gateway] without a name")
                                      : "[gateway], [listener NAME], [uplink NAME], [stream NAME], "
                                        "[route NAME] or [plugin NAME]",
                                 found));
            continue;
        }
        void *into = config;
        if (kind->named)
            into = add_element(config, kind, section->name);
        else
            gateway_seen = true;
        if (strcmp(kind->name, "plugin") == 0)
            ((struct config_plugin *)into)->section = section;
        take_section(config, kind, section, into);
    }
    if (!gateway_seen) {
        struct ini_section none = {.kind = "gateway", .name = "", .file = "defaults"};
        take_section(config, &kinds[0], &none, config);
    }
}

int config_load(struct config *config, const char *path)
{
    *config = (struct config){0};
    if (!path && access(DEFAULT_PATH, F_OK) == 0)
        path = DEFAULT_PATH;
    if (path)
        read_files(config, path);
    take_all(config);
    struct ini_section *gateway = section_of(config, "gateway", "");
    if (gateway && log_level_from_text(config->log_level) < 0)
        fault_at(config, gateway, ini_find(gateway, "log"), "expected error, warning, notice, info or debug");
    check_references(config);
    check_listeners(config);
    return config->fault_count ? -EINVAL : 0;
}

static void free_texts(const struct kind *kind, void *element)
{
    for (size_t i = 0; i < kind->key_count; i++)
        if (kind->keys[i].type == TEXT)
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
