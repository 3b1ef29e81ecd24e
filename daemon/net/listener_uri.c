#include "net/listener.h"

#include "net/listener_query.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

/* SCHEME://HOST:PORT/PATH?KEY=VALUE&… or unix:///PATH?…: taken apart from the left, each part with its own sentence when it
 * is wrong. */

static const struct {
    const char *name;
    enum listener_scheme scheme;
} schemes[] = {{"mqtt", LISTENER_MQTT},   {"mqtts", LISTENER_MQTTS},   {"mqtts+psk", LISTENER_MQTTS_PSK},
               {"ws", LISTENER_WS},       {"wss", LISTENER_WSS},       {"http", LISTENER_HTTP},
               {"https", LISTENER_HTTPS}, {"serial", LISTENER_SERIAL}, {"unix", LISTENER_UNIX}};

/* What fits in sun_path, and in a line of the log. */
enum { PATH_BYTES = sizeof((struct sockaddr_un *)0)->sun_path - 1, SHOWN_MAX = 200 };

int listener_uri_wrong(char **why, const char *format, ...)
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

const char *listener_scheme_name(enum listener_scheme scheme)
{
    for (size_t i = 0; i < array_size(schemes); i++)
        if (schemes[i].scheme == scheme)
            return schemes[i].name;
    return "";
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
    return listener_uri_wrong(
        why,
        "expected mqtt://, mqtts://, mqtts+psk://, ws://, wss://, http:// or https:// and HOST:PORT, serial:///DEVICE, or "
        "unix:///PATH, "
        "found \"%s\"",
        *at);
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
        return listener_uri_wrong(why, "expected a port from 0 to 65535 behind the host, found \"%.*s\"",
                                  shown(len), text);
    uri->port = (uint16_t)port;
    return 0;
}

static int take_host(struct listener_uri *uri, const char **at, char **why)
{
    const char *end = *at + strcspn(*at, listener_has_websocket(uri) ? "/?" : "?");
    const char *host = *at, *host_end;
    if (*host == '[') { /* an IPv6 address */
        host_end = memchr(host, ']', (size_t)(end - host));
        if (!host_end)
            return listener_uri_wrong(why, "expected ] behind an IPv6 address, found \"%.*s\"",
                                      shown((size_t)(end - host)), host);
        uri->host = str_copy_n(host + 1, (size_t)(host_end - host - 1));
        host_end++;
    } else {
        host_end = memchr(host, ':', (size_t)(end - host));
        host_end = host_end ? host_end : end;
        uri->host = str_copy_n(host, (size_t)(host_end - host));
    }
    if (!*uri->host || host_end == end || *host_end != ':')
        return listener_uri_wrong(why, "expected HOST:PORT behind ://, found \"%.*s\"",
                                  shown((size_t)(end - host)), host);
    *at = end;
    return take_port(uri, host_end + 1, (size_t)(end - host_end - 1), why);
}

/* What is asked for in the request of a WebSocket client. */
static int take_web_path(struct listener_uri *uri, const char **at, char **why)
{
    const char *end = strchrnul(*at, '?');
    size_t len = (size_t)(end - *at);
    for (size_t i = 0; i < len; i++)
        if ((*at)[i] <= ' ' || (*at)[i] > '~' || (*at)[i] == '#')
            return listener_uri_wrong(
                why, "expected a path of visible letters behind the port, found \"%.*s\"", shown(len), *at);
    if (len > SHOWN_MAX)
        return listener_uri_wrong(why, "expected a path of at most %d bytes behind the port, found %zu",
                                  SHOWN_MAX, len);
    uri->path = len ? str_copy_n(*at, len) : str_copy("/mqtt");
    *at = end;
    return 0;
}

static int take_path(struct listener_uri *uri, const char **at, char **why)
{
    const char *end = strchrnul(*at, '?');
    if (**at != '/')
        return listener_uri_wrong(why, "expected an absolute path, %s:///PATH, found \"%.*s\"",
                                  listener_scheme_name(uri->scheme), shown((size_t)(end - *at)), *at);
    if (end - *at > PATH_BYTES)
        return listener_uri_wrong(why, "expected a path of at most %d bytes for a %s, found %zu", PATH_BYTES,
                                  uri->scheme == LISTENER_UNIX ? "Unix socket" : "serial line",
                                  (size_t)(end - *at));
    uri->host = str_copy_n(*at, (size_t)(end - *at));
    *at = end;
    return 0;
}

static int check_certificates(struct listener_uri *uri, const struct listener_query *query, char **why)
{
    if (!listener_has_tls(uri) || listener_has_psk(uri))
        return 0;
    uri->own_certificate = (query->policy || listener_has_login(uri)) && !uri->cert_count && !uri->folder;
    if (uri->own_certificate)
        return 0;
    bool paired = uri->cert_count || uri->folder;
    for (size_t i = 0; i < uri->cert_count; i++)
        paired = paired && uri->certs[i].cert && uri->certs[i].key;
    return paired ? 0
                  : listener_uri_wrong(why, "%s: expected cert=FILE and key=FILE",
                                       listener_scheme_name(uri->scheme));
}

static int check_auth(const struct listener_uri *uri, const struct listener_query *query, char **why)
{
    if (listener_has_psk(uri) && uri->auth & ~(unsigned)LISTENER_AUTH_PSK)
        return listener_uri_wrong(why, "auth: expected psk, or nothing, with mqtts+psk://");
    if (!listener_has_psk(uri) && uri->auth & LISTENER_AUTH_PSK)
        return listener_uri_wrong(why, "auth: expected psk only with mqtts+psk://");
    if (uri->auth & LISTENER_AUTH_CERTIFICATE && !listener_has_tls(uri))
        return listener_uri_wrong(why, "auth: expected certificate only with mqtts://, wss:// or https://");
    if (!listener_has_login(uri))
        return 0;
    if (listener_has_http(uri) && uri->auth & LISTENER_AUTH_AUTHORIZER)
        return listener_uri_wrong(why, "auth: expected certificate, password or jwt where HTTP is spoken");
    if (query->open)
        return listener_uri_wrong(why,
                                  "access: expected policy, node or full with auth=, since open asks nobody");
    if (uri->ca && !(uri->auth & LISTENER_AUTH_CERTIFICATE))
        return listener_uri_wrong(why, "ca: expected only with certificate in auth=");
    if (!listener_has_tls(uri) && uri->scheme != LISTENER_UNIX && !address_name_is_loopback(uri->host) &&
        !query->i_know)
        return listener_uri_wrong(
            why,
            "auth: passwords could be read on their way to %s: expected TLS, a loopback "
            "address, or &i-know=1",
            uri->host);
    return 0;
}

static int take_access(struct listener_uri *uri, const struct listener_query *query, char **why)
{
    bool authenticates = uri->scheme == LISTENER_UNIX || uri->ca || listener_has_login(uri);
    if (listener_has_psk(
            uri)) { /* a paired node may use its own topics, and one that is being paired those of pairing */
        uri->access = LISTENER_NODE;
        return query->open || query->full
                   ? listener_uri_wrong(why, "access: expected node, or nothing, with %s://",
                                        listener_scheme_name(uri->scheme))
                   : 0;
    }
    if (query->open) {
        if (uri->scheme != LISTENER_UNIX && !address_name_is_loopback(uri->host) && !query->i_know)
            return listener_uri_wrong(
                why,
                "access=open lets everybody who reaches %s do everything: expected a loopback address, or "
                "&i-know=1",
                uri->host);
        uri->access = LISTENER_OPEN;
        return 0;
    }
    if (query->policy || (listener_has_login(uri) && !query->full && !query->node)) {
        uri->access = LISTENER_POLICY;
        return listener_has_tls(uri) || listener_has_login(uri)
                   ? 0
                   : listener_uri_wrong(why, "access=policy: expected only with mqtts://, wss:// or "
                                             "https://, since policies are of certificates");
    }
    if (!authenticates)
        return listener_uri_wrong(why, "%s: expected access=open%s, since nobody can prove who he is",
                                  listener_has_tls(uri) ? "TLS without ca" : "plain TCP",
                                  listener_has_tls(uri)          ? " or ca=FILE"
                                  : uri->scheme == LISTENER_WS   ? " (or wss:// with ca=)"
                                  : uri->scheme == LISTENER_HTTP ? " (or https:// with ca=)"
                                                                 : " (or mqtts:// with ca=)");
    uri->access =
        query->full || (uri->scheme == LISTENER_UNIX && !query->node) ? LISTENER_FULL : LISTENER_NODE;
    return 0;
}

int listener_uri_parse(struct listener_uri *ret, const char *text, char **why)
{
    struct listener_uri uri = {.mode = 0660, .baud = 115200};
    struct listener_query query = {0};
    const char *at = text;
    int r = take_scheme(&uri, &at, why);
    if (r >= 0)
        r = uri.scheme == LISTENER_UNIX || uri.scheme == LISTENER_SERIAL ? take_path(&uri, &at, why)
                                                                         : take_host(&uri, &at, why);
    if (r >= 0 && listener_has_websocket(&uri))
        r = take_web_path(&uri, &at, why);
    if (r >= 0)
        r = listener_query_take(&uri, &query, at, why);
    if (r >= 0)
        r = check_auth(&uri, &query, why);
    if (r >= 0)
        r = check_certificates(&uri, &query, why);
    if (r >= 0)
        r = take_access(&uri, &query, why);
    if (r < 0) {
        listener_uri_done(&uri);
        return r;
    }
    *ret = uri;
    return 0;
}

void listener_uri_copy(struct listener_uri *ret, const struct listener_uri *uri)
{
    *ret = *uri;
    ret->host = str_copy(uri->host);
    ret->authorizer = str_copy(uri->authorizer);
    for (size_t i = 0; i < uri->cert_count; i++)
        ret->certs[i] = (struct tls_files){str_copy(uri->certs[i].cert), str_copy(uri->certs[i].key)};
    ret->folder = str_copy(uri->folder);
    ret->ca = str_copy(uri->ca);
    ret->crl = str_copy(uri->crl);
    ret->path = str_copy(uri->path);
    ret->origins = str_copy(uri->origins);
    ret->fd_name = str_copy(uri->fd_name);
}

void listener_uri_done(struct listener_uri *uri)
{
    free(uri->host);
    free(uri->authorizer);
    for (size_t i = 0; i < uri->cert_count; i++) {
        free(uri->certs[i].cert);
        free(uri->certs[i].key);
    }
    free(uri->folder);
    free(uri->ca);
    free(uri->crl);
    free(uri->fd_name);
    free(uri->path);
    free(uri->origins);
    *uri = (struct listener_uri){0};
}
