#include "net/listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

/* SCHEME://HOST:PORT?KEY=VALUE&… or unix:///PATH?…: taken apart from the left, each part with its own sentence when it
 * is wrong. */

static const struct {
    const char *name;
    enum listener_scheme scheme;
} schemes[] = {{"mqtt", LISTENER_MQTT}, {"mqtts", LISTENER_MQTTS}, {"unix", LISTENER_UNIX}};

static const char *const later[] = {"ws", "wss", "http", "https", "serial"};

/* What fits in sun_path, and in a line of the log. */
enum { PATH_BYTES = sizeof((struct sockaddr_un *)0)->sun_path - 1, SHOWN_MAX = 200 };

struct query {
    bool open, full, node, i_know;
};

printf_like(2, 3) static int wrong(char **why, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    if (vasprintf(why, format, args) < 0)
        abort();
    va_end(args);
    return -EINVAL;
}

/* How much of some text a sentence quotes. */
static int shown(size_t len)
{
    return (int)size_min(len, SHOWN_MAX);
}

static int take_scheme(struct listener_uri *uri, const char **at, char **why)
{
    const char *end = strstr(*at, "://");
    size_t len = end ? (size_t)(end - *at) : 0;
    for (size_t i = 0; end && i < array_size(schemes); i++)
        if (strlen(schemes[i].name) == len && strncmp(schemes[i].name, *at, len) == 0) {
            uri->scheme = schemes[i].scheme;
            *at = end + 3;
            return 0;
        }
    for (size_t i = 0; end && i < array_size(later); i++)
        if (strlen(later[i]) == len && strncmp(later[i], *at, len) == 0)
            return wrong(why, "expected mqtt://, mqtts:// or unix://; %s:// is not available in this version",
                         later[i]);
    return wrong(why, "expected mqtt://HOST:PORT, mqtts://HOST:PORT or unix:///PATH, found \"%s\"", *at);
}

static int take_port(struct listener_uri *uri, const char *text, size_t len, char **why)
{
    unsigned port = 0;
    bool digits = len >= 1 && len <= 5;
    for (size_t i = 0; digits && i < len; i++) {
        digits = text[i] >= '0' && text[i] <= '9';
        port = port * 10 + (unsigned)(text[i] - '0');
    }
    if (!digits || port > 65535)
        return wrong(why, "expected a port from 0 to 65535 behind the host, found \"%.*s\"", shown(len),
                     text);
    uri->port = (uint16_t)port;
    return 0;
}

static int take_host(struct listener_uri *uri, const char **at, char **why)
{
    const char *end = strchrnul(*at, '?');
    const char *host = *at, *host_end;
    if (*host == '[') { /* an IPv6 address */
        host_end = memchr(host, ']', (size_t)(end - host));
        if (!host_end)
            return wrong(why, "expected ] behind an IPv6 address, found \"%.*s\"",
                         shown((size_t)(end - host)), host);
        uri->host = str_copy_n(host + 1, (size_t)(host_end - host - 1));
        host_end++;
    } else {
        host_end = memchr(host, ':', (size_t)(end - host));
        host_end = host_end ? host_end : end;
        uri->host = str_copy_n(host, (size_t)(host_end - host));
    }
    if (!*uri->host || host_end == end || *host_end != ':')
        return wrong(why, "expected HOST:PORT behind ://, found \"%.*s\"", shown((size_t)(end - host)), host);
    *at = end;
    return take_port(uri, host_end + 1, (size_t)(end - host_end - 1), why);
}

static int take_path(struct listener_uri *uri, const char **at, char **why)
{
    const char *end = strchrnul(*at, '?');
    if (**at != '/')
        return wrong(why, "expected an absolute path, unix:///PATH, found \"%.*s\"",
                     shown((size_t)(end - *at)), *at);
    if (end - *at > PATH_BYTES)
        return wrong(why, "expected a path of at most %d bytes for a Unix socket, found %zu", PATH_BYTES,
                     (size_t)(end - *at));
    uri->host = str_copy_n(*at, (size_t)(end - *at));
    *at = end;
    return 0;
}

static int take_mode(struct listener_uri *uri, const char *value, char **why)
{
    unsigned long mode = strtoul(value, NULL, 8);
    if (!*value || value[strspn(value, "01234567")] || mode > 0777)
        return wrong(why, "mode: expected permission bits in octal, for instance 0660, found \"%s\"", value);
    uri->mode = (unsigned)mode;
    return 0;
}

static int take_pair(struct listener_uri *uri, struct query *query, const char *key, const char *value,
                     char **why)
{
    char **file = strcmp(key, "cert") == 0  ? &uri->cert
                  : strcmp(key, "key") == 0 ? &uri->key
                  : strcmp(key, "ca") == 0  ? &uri->ca
                                            : NULL;
    if (file) {
        if (uri->scheme != LISTENER_MQTTS)
            return wrong(why, "%s: expected only with mqtts://", key);
        free(*file);
        *file = str_copy(value);
        return *value ? 0 : wrong(why, "%s: expected a PEM file, found nothing", key);
    }
    if (strcmp(key, "access") == 0) {
        query->open = strcmp(value, "open") == 0;
        query->full = strcmp(value, "full") == 0;
        query->node = strcmp(value, "node") == 0;
        return query->open || query->full || query->node
                   ? 0
                   : wrong(why, "access: expected open, full or node, found \"%s\"", value);
    }
    if (strcmp(key, "i-know") == 0) {
        query->i_know = strcmp(value, "1") == 0;
        return query->i_know ? 0 : wrong(why, "i-know: expected 1, found \"%s\"", value);
    }
    if (strcmp(key, "mode") == 0 && uri->scheme == LISTENER_UNIX)
        return take_mode(uri, value, why);
    return wrong(why, "expected access, i-know%s behind ?, found \"%s\"",
                 uri->scheme == LISTENER_MQTTS  ? ", cert, key, ca"
                 : uri->scheme == LISTENER_UNIX ? ", mode"
                                                : "",
                 key);
}

static int take_query(struct listener_uri *uri, struct query *query, const char *at, char **why)
{
    if (!*at)
        return 0;
    cleanup_free char *copy = str_copy(at + 1);
    for (char *pair = copy, *next; pair; pair = next) {
        next = strchr(pair, '&');
        if (next)
            *next++ = '\0';
        char *value = strchr(pair, '=');
        if (!value)
            return wrong(why, "expected KEY=VALUE behind ?, found \"%s\"", pair);
        *value++ = '\0';
        int r = take_pair(uri, query, pair, value, why);
        if (r < 0)
            return r;
    }
    return 0;
}

static bool is_loopback(const char *host)
{
    struct in_addr v4;
    struct in6_addr v6;
    if (inet_pton(AF_INET, host, &v4) == 1)
        return ntohl(v4.s_addr) >> 24 == 127;
    if (inet_pton(AF_INET6, host, &v6) == 1)
        return IN6_IS_ADDR_LOOPBACK(&v6);
    return strcmp(host, "localhost") == 0;
}

static int take_access(struct listener_uri *uri, const struct query *query, char **why)
{
    bool authenticates = uri->scheme == LISTENER_UNIX || uri->ca;
    if (query->open) {
        if (uri->scheme != LISTENER_UNIX && !is_loopback(uri->host) && !query->i_know)
            return wrong(
                why,
                "access=open lets everybody who reaches %s do everything: expected a loopback address, or "
                "&i-know=1",
                uri->host);
        uri->access = LISTENER_OPEN;
        return 0;
    }
    if (!authenticates)
        return wrong(why, "%s: expected access=open%s, since nobody can prove who he is",
                     uri->scheme == LISTENER_MQTT ? "plain TCP" : "TLS without ca",
                     uri->scheme == LISTENER_MQTT ? " (or mqtts:// with ca=)" : " or ca=FILE");
    uri->access =
        query->full || (uri->scheme == LISTENER_UNIX && !query->node) ? LISTENER_FULL : LISTENER_NODE;
    return 0;
}

int listener_uri_parse(struct listener_uri *ret, const char *text, char **why)
{
    struct listener_uri uri = {.mode = 0660};
    struct query query = {0};
    const char *at = text;
    int r = take_scheme(&uri, &at, why);
    if (r >= 0)
        r = uri.scheme == LISTENER_UNIX ? take_path(&uri, &at, why) : take_host(&uri, &at, why);
    if (r >= 0)
        r = take_query(&uri, &query, at, why);
    if (r >= 0 && uri.scheme == LISTENER_MQTTS && (!uri.cert || !uri.key))
        r = wrong(why, "mqtts: expected cert=FILE and key=FILE");
    if (r >= 0)
        r = take_access(&uri, &query, why);
    if (r < 0) {
        listener_uri_done(&uri);
        return r;
    }
    *ret = uri;
    return 0;
}

void listener_uri_done(struct listener_uri *uri)
{
    free(uri->host);
    free(uri->cert);
    free(uri->key);
    free(uri->ca);
    *uri = (struct listener_uri){0};
}
