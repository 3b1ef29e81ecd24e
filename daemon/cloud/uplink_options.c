#include "cloud/uplink_options.h"

#include "cloud/archive_name.h"
#include "cloud/mqtt_link.h"
#include "cloud/record.h"

#include <string.h>

static const struct {
    const char *scheme;
    unsigned kind;
} schemes[] = {
    {"mqtt://", UPLINK_MQTT},  {"mqtts://", UPLINK_MQTT}, {"http://", UPLINK_HTTP},
    {"https://", UPLINK_HTTP}, {"file://", UPLINK_FILE},  {"plugin:", UPLINK_PLUGIN},
};

unsigned uplink_kind(const char *uri)
{
    for (size_t i = 0; i < array_size(schemes); i++)
        if (strncmp(uri, schemes[i].scheme, strlen(schemes[i].scheme)) == 0)
            return schemes[i].kind;
    return 0;
}

static const struct {
    const char *key;
    unsigned kinds;
} keys[] = {
    {"client-id", UPLINK_MQTT},
    {"keepalive", UPLINK_MQTT},
    {"protocol", UPLINK_MQTT},
    {"username", UPLINK_MQTT | UPLINK_HTTP},
    {"password-file", UPLINK_MQTT | UPLINK_HTTP},
    {"ca", UPLINK_MQTT | UPLINK_HTTP},
    {"cert", UPLINK_MQTT | UPLINK_HTTP},
    {"key", UPLINK_MQTT | UPLINK_HTTP},
    {"proxy", UPLINK_MQTT | UPLINK_HTTP},
    {"connect-timeout", UPLINK_MQTT | UPLINK_HTTP},
    {"proxy-password-file", UPLINK_MQTT},
    {"alpn", UPLINK_MQTT},
    {"window", UPLINK_MQTT},
    {"session", UPLINK_MQTT},
    {"session-expiry", UPLINK_MQTT},
    {"will-topic", UPLINK_MQTT},
    {"will-message", UPLINK_MQTT},
    {"will-retain", UPLINK_MQTT},
    {"clock", UPLINK_MQTT},
    {"method", UPLINK_HTTP},
    {"format", UPLINK_HTTP | UPLINK_FILE},
    {"headers", UPLINK_HTTP},
    {"authorization-file", UPLINK_HTTP},
    {"batch-size", UPLINK_HTTP | UPLINK_FILE},
    {"batch-bytes", UPLINK_HTTP | UPLINK_FILE},
    {"batch-interval", UPLINK_HTTP | UPLINK_FILE},
    {"stall-timeout", UPLINK_HTTP | UPLINK_PLUGIN},
    {"ordered", UPLINK_HTTP},
    {"connections", UPLINK_HTTP},
    {"compress", UPLINK_HTTP},
    {"path", UPLINK_FILE},
    {"rotate-size", UPLINK_FILE},
    {"rotate-time", UPLINK_FILE},
    {"disk-max", UPLINK_FILE},
};

unsigned uplink_key_kinds(const char *key)
{
    for (size_t i = 0; i < array_size(keys); i++)
        if (strcmp(keys[i].key, key) == 0)
            return keys[i].kinds;
    return UPLINK_KINDS;
}

/* ---- texts ------------------------------------------------------------------------------------------------------- */

static bool is_plain(const char *text, const char *but)
{
    for (const char *c = text; *c; c++)
        if ((unsigned char)*c <= ' ' || *c == 0x7F || strchr(but, *c))
            return false;
    return true;
}

/* HOST[:PORT] and what may follow; the end of it, or NULL. */
static const char *host_end(const char *host)
{
    const char *end = host + strcspn(host, "/?#");
    size_t len = (size_t)(end - host);
    return len && !memchr(host, '$', len) && !memchr(host, '@', len) ? end : NULL;
}

static const char *http_uri_check(const char *uri)
{
    const char *end = host_end(strstr(uri, "://") + 3);
    if (!end)
        return "http://HOST[:PORT][/PATH] or https://HOST[:PORT][/PATH], no user in it";
    if (!is_plain(uri, "\"<>\\^`#"))
        return "a URL without blanks, quotes and #";
    return record_pattern_check(end);
}

static const char *file_uri_check(const char *uri)
{
    const char *dir = uri + strlen("file://");
    return *dir == '/' && dir[1] ? NULL : "file:///FOLDER";
}

const char *uplink_uri_check(const char *uri)
{
    switch (uplink_kind(uri)) {
    case UPLINK_MQTT: return mqtt_link_uri_check(uri);
    case UPLINK_HTTP: return http_uri_check(uri);
    case UPLINK_FILE: return file_uri_check(uri);
    case UPLINK_PLUGIN: return uri[strlen("plugin:")] && !strpbrk(uri, "/+#") ? NULL : "plugin:NAME";
    default:
        return "mqtt://HOST[:PORT], mqtts://HOST[:PORT], http://HOST[:PORT]/PATH, https://HOST[:PORT]/PATH, "
               "file:///FOLDER or plugin:NAME";
    }
}

static bool is_one_of(const char *text, const char *const *words)
{
    for (; *words; words++)
        if (strcmp(text, *words) == 0)
            return true;
    return false;
}

static const char *method_check(const char *text)
{
    static const char *const words[] = {"POST", "PUT", "PATCH", NULL};
    return is_one_of(text, words) ? NULL : "POST, PUT or PATCH";
}

static const char *http_format_check(const char *text)
{
    static const char *const words[] = {"json", "ndjson", "raw", NULL};
    return is_one_of(text, words) ? NULL : "json, ndjson or raw";
}

static const char *file_format_check(const char *text)
{
    static const char *const words[] = {"ndjson", "lines", "length", NULL};
    return is_one_of(text, words) ? NULL : "ndjson, lines or length";
}

static const char *path_check(const char *pattern)
{
    const char *expected = archive_pattern_check(pattern);
    return expected ? expected : record_pattern_check(pattern);
}

static bool header_is_good(const char *text, size_t len)
{
    size_t name = strcspn(text, ":");
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)text[i] < ' ' || text[i] == 0x7F ||
            (i < name && strchr(" \"(),/<=>?@[]{}\\", text[i])))
            return false;
    return name && name < len;
}

static const char *headers_check(const char *headers)
{
    size_t count = 0;
    while (*headers) {
        const char *end = strstr(headers, " | ");
        size_t len = end ? (size_t)(end - headers) : strlen(headers);
        if (!header_is_good(headers, len) || ++count > 20)
            return "Name: value, several with \" | \" between them, at most 20";
        headers = end ? end + 3 : headers + len;
    }
    return NULL;
}

static const char *authorization_check(const char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < ' ' || *text == 0x7F)
            return "a file whose first line is the value of the header Authorization";
    return NULL;
}

const char *uplink_options_check(const struct uplink_options *options, size_t *at, const char **key)
{
    const struct {
        const char *key, *text;
        const char *(*check)(const char *text);
        unsigned kinds;
    } texts[] = {
        {"uri", options->uri, uplink_uri_check, UPLINK_KINDS},
        {"proxy", options->proxy, mqtt_link_proxy_check, UPLINK_MQTT | UPLINK_HTTP},
        {"method", options->method, method_check, UPLINK_HTTP},
        {"format", options->format, http_format_check, UPLINK_HTTP},
        {"format", options->format, file_format_check, UPLINK_FILE},
        {"path", options->path, path_check, UPLINK_FILE},
        {"headers", options->headers, headers_check, UPLINK_HTTP},
        {"authorization-file", options->authorization, authorization_check, UPLINK_HTTP},
    };
    unsigned kind = uplink_kind(options->uri);
    while (*at < array_size(texts)) {
        size_t i = (*at)++;
        const char *text = kind && !(texts[i].kinds & kind) ? NULL : texts[i].text;
        const char *expected = text ? texts[i].check(text) : NULL;
        *key = texts[i].key;
        if (expected)
            return expected;
    }
    return NULL;
}

bool uplink_uri_needs_time(const char *uri)
{
    return strncmp(uri, "mqtts:", 6) == 0 || strncmp(uri, "https:", 6) == 0;
}
