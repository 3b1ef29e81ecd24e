#include "net/listener_query.h"

#include "keys/key_uri.h"
#include "net/cable.h"
#include "net/websocket_upgrade.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { NAME_MAX_BYTES = 255, NUMBER_MAX = 1000000 };

typedef int take(struct listener_uri *uri, struct listener_query *query, const char *value, char **why);

static int take_access(struct listener_uri *uri, struct listener_query *query, const char *value, char **why)
{
    (void)uri;
    query->open = strcmp(value, "open") == 0;
    query->full = strcmp(value, "full") == 0;
    query->node = strcmp(value, "node") == 0;
    query->policy = strcmp(value, "policy") == 0;
    return query->open || query->full || query->node || query->policy
               ? 0
               : listener_uri_wrong(why, "access: expected open, full, node or policy, found \"%s\"", value);
}

static bool take_way(struct listener_uri *uri, const char *way, size_t len)
{
    static const char prefix[] = "authorizer:";
    static const struct {
        const char *name;
        enum listener_auth bit;
    } ways[] = {{"certificate", LISTENER_AUTH_CERTIFICATE},
                {"psk", LISTENER_AUTH_PSK},
                {"password", LISTENER_AUTH_PASSWORD},
                {"jwt", LISTENER_AUTH_JWT}};
    for (size_t i = 0; i < array_size(ways); i++)
        if (strlen(ways[i].name) == len && memcmp(ways[i].name, way, len) == 0) {
            uri->auth |= ways[i].bit;
            return true;
        }
    if (uri->authorizer || len <= strlen(prefix) || memcmp(way, prefix, strlen(prefix)) != 0)
        return false;
    uri->auth |= LISTENER_AUTH_AUTHORIZER;
    uri->authorizer = str_copy_n(way + strlen(prefix), len - strlen(prefix));
    return true;
}

static int take_auth(struct listener_uri *uri, struct listener_query *query, const char *value, char **why)
{
    (void)query;
    for (const char *at = value; at;) {
        size_t len = strcspn(at, ",");
        if (!take_way(uri, at, len))
            return listener_uri_wrong(
                why,
                "auth: expected certificate, psk, password, jwt or one authorizer:NAME, "
                "with commas between them, found \"%.60s\"",
                value);
        at = at[len] ? at + len + 1 : NULL;
    }
    return 0;
}

static int take_i_know(struct listener_uri *uri, struct listener_query *query, const char *value, char **why)
{
    (void)uri;
    query->i_know = strcmp(value, "1") == 0;
    return query->i_know ? 0 : listener_uri_wrong(why, "i-know: expected 1, found \"%s\"", value);
}

static int take_file(char **file, const char *key, const char *value, char **why)
{
    if (!*value)
        return listener_uri_wrong(why, "%s: expected a PEM file, found nothing", key);
    free(*file);
    *file = str_copy(value);
    return 0;
}

/* The next place without a file of that kind. */
static struct tls_files *next_pair(struct listener_uri *uri, bool key)
{
    size_t i = 0;
    while (i < uri->cert_count && (key ? uri->certs[i].key : uri->certs[i].cert))
        i++;
    if (i == LISTENER_CERTS_MAX)
        return NULL;
    uri->cert_count = size_max(uri->cert_count, i + 1);
    return &uri->certs[i];
}

static int too_many(const char *key, char **why)
{
    return listener_uri_wrong(why, "%s: expected at most %d; use certs=FOLDER for more", key,
                              LISTENER_CERTS_MAX);
}

static int take_cert(struct listener_uri *uri, struct listener_query *query, const char *value, char **why)
{
    (void)query;
    struct tls_files *pair = next_pair(uri, false);
    return pair ? take_file(&pair->cert, "cert", value, why) : too_many("cert", why);
}

static int take_key(struct listener_uri *uri, struct listener_query *query, const char *value, char **why)
{
    (void)query;
    struct key_uri where;
    char *reason = NULL;
    if (key_uri_parse(&where, value, &reason) < 0) {
        int r = listener_uri_wrong(why, "key: %s", reason);
        free(reason);
        return r;
    }
    key_uri_done(&where);
    struct tls_files *pair = next_pair(uri, true);
    return pair ? take_file(&pair->key, "key", value, why) : too_many("key", why);
}

static int take_folder(struct listener_uri *uri, struct listener_query *query, const char *value, char **why)
{
    (void)query;
    if (!*value)
        return listener_uri_wrong(why, "certs: expected a folder with NAME.pem and NAME.key, found nothing");
    free(uri->folder);
    uri->folder = str_copy(value);
    return 0;
}

static int take_ca(struct listener_uri *uri, struct listener_query *query, const char *value, char **why)
{
    (void)query;
    return take_file(&uri->ca, "ca", value, why);
}

static int take_crl(struct listener_uri *uri, struct listener_query *query, const char *value, char **why)
{
    (void)query;
    return take_file(&uri->crl, "crl", value, why);
}

static int take_origins(struct listener_uri *uri, struct listener_query *query, const char *value, char **why)
{
    (void)query;
    if (!websocket_origins_are_valid(value))
        return listener_uri_wrong(
            why, "origin: expected * or SCHEME://HOST[:PORT] with commas between them, found \"%s\"", value);
    free(uri->origins);
    uri->origins = str_copy(value);
    return 0;
}

static int take_mode(struct listener_uri *uri, struct listener_query *query, const char *value, char **why)
{
    (void)query;
    unsigned long mode = strtoul(value, NULL, 8);
    if (!*value || value[strspn(value, "01234567")] || mode > 0777)
        return listener_uri_wrong(
            why, "mode: expected permission bits in octal, for instance 0660, found \"%s\"", value);
    uri->mode = (unsigned)mode;
    return 0;
}

static int take_http(struct listener_uri *uri, struct listener_query *query, const char *value, char **why)
{
    (void)query;
    uri->http = strcmp(value, "1") == 0;
    return uri->http ? 0 : listener_uri_wrong(why, "http: expected 1, found \"%s\"", value);
}

static int take_tls12(struct listener_uri *uri, struct listener_query *query, const char *value, char **why)
{
    (void)query;
    uri->tls12 = strcmp(value, "1") == 0;
    return uri->tls12 ? 0 : listener_uri_wrong(why, "tls12: expected 1, found \"%s\"", value);
}

static int take_baud(struct listener_uri *uri, struct listener_query *query, const char *value, char **why)
{
    (void)query;
    bool digits = strlen(value) <= 7 && !value[strspn(value, "0123456789")];
    uri->baud = digits ? (unsigned)strtoul(value, NULL, 10) : 0;
    return cable_baud_is_known(uri->baud)
               ? 0
               : listener_uri_wrong(
                     why,
                     "baud: expected 9600, 19200, 38400, 57600, 115200, 230400, 460800 or 921600, found "
                     "\"%.40s\"",
                     value);
}

static int take_pair_mode(struct listener_uri *uri, struct listener_query *query, const char *value,
                          char **why)
{
    (void)query;
    static const char *const modes[] = {
        [LISTENER_PAIR_ASK] = "ask", [LISTENER_PAIR_AUTO] = "auto", [LISTENER_PAIR_OFF] = "off"};
    for (size_t i = 0; i < array_size(modes); i++)
        if (strcmp(modes[i], value) == 0) {
            uri->pair = (enum listener_pair)i;
            return 0;
        }
    return listener_uri_wrong(why, "pair: expected ask, auto or off, found \"%.40s\"", value);
}

/* FileDescriptorName= in systemd.socket(5). */
static int take_fd(struct listener_uri *uri, struct listener_query *query, const char *value, char **why)
{
    (void)query;
    size_t len = strlen(value);
    bool good = len >= 1 && len <= NAME_MAX_BYTES;
    for (size_t i = 0; good && i < len; i++)
        good = value[i] > ' ' && value[i] <= '~' && value[i] != ':';
    if (!good)
        return listener_uri_wrong(
            why, "fd: expected the FileDescriptorName of a socket unit, found \"%.40s\"", value);
    free(uri->fd_name);
    uri->fd_name = str_copy(value);
    return 0;
}

static int take_proxy(struct listener_uri *uri, struct listener_query *query, const char *value, char **why)
{
    (void)query;
    uri->proxy = strcmp(value, "1") == 0;
    return uri->proxy ? 0 : listener_uri_wrong(why, "proxy: expected 1, found \"%s\"", value);
}

static int take_proxy_from(struct listener_uri *uri, struct listener_query *query, const char *value,
                           char **why)
{
    (void)query;
    uri->proxy_from_count = 0;
    for (const char *at = value; at;) {
        size_t len = strcspn(at, ",");
        if (uri->proxy_from_count == LISTENER_PROXIES_MAX)
            return listener_uri_wrong(why, "proxy-from: expected at most %d addresses", LISTENER_PROXIES_MAX);
        if (!address_range_parse(&uri->proxy_from[uri->proxy_from_count++], at, len))
            return listener_uri_wrong(
                why, "proxy-from: expected ADDRESS or ADDRESS/BITS with commas between them, found \"%.*s\"",
                (int)size_min(len, 60), at);
        at = at[len] ? at + len + 1 : NULL;
    }
    return 0;
}

static int take_number(unsigned *ret, const char *key, const char *value, char **why)
{
    size_t len = strlen(value);
    unsigned long number = strtoul(value, NULL, 10);
    if (!len || len > 7 || value[strspn(value, "0123456789")] || !number || number > NUMBER_MAX)
        return listener_uri_wrong(why, "%s: expected a number from 1 to %d, found \"%.40s\"", key, NUMBER_MAX,
                                  value);
    *ret = (unsigned)number;
    return 0;
}

static int take_connect_rate(struct listener_uri *uri, struct listener_query *query, const char *value,
                             char **why)
{
    (void)query;
    return take_number(&uri->connect_rate, "connect-rate", value, why);
}

static int take_per_address(struct listener_uri *uri, struct listener_query *query, const char *value,
                            char **why)
{
    (void)query;
    return take_number(&uri->connections_per_address, "connections-per-address", value, why);
}

/* ---- the table ------------------------------------------------------------------------------------------------------ */

enum kind { ANY, SOCKET, TLS, PSK, WEB, TCP, UNIX, SERIAL };

static const char *const kinds[] = {[TLS] = "mqtts://, wss:// or https://",
                                    [PSK] = "mqtts+psk:// or serial://",
                                    [WEB] = "ws:// or wss://",
                                    [TCP] = "HOST:PORT",
                                    [UNIX] = "unix://",
                                    [SERIAL] = "serial://",
                                    [SOCKET] = "HOST:PORT or unix://"};

static const struct key {
    const char *name;
    enum kind only;
    take *take;
} keys[] = {
    {"access", ANY, take_access},
    {"auth", ANY, take_auth},
    {"i-know", ANY, take_i_know},
    {"fd", SOCKET, take_fd},
    {"connect-rate", SOCKET, take_connect_rate},
    {"connections-per-address", TCP, take_per_address},
    {"proxy", TCP, take_proxy},
    {"proxy-from", TCP, take_proxy_from},
    {"cert", TLS, take_cert},
    {"key", TLS, take_key},
    {"certs", TLS, take_folder},
    {"ca", TLS, take_ca},
    {"crl", TLS, take_crl},
    {"tls12", PSK, take_tls12},
    {"origin", WEB, take_origins},
    {"mode", UNIX, take_mode},
    {"http", UNIX, take_http},
    {"baud", SERIAL, take_baud},
    {"pair", SERIAL, take_pair_mode},
};

static bool fits(const struct key *key, const struct listener_uri *uri)
{
    switch (key->only) {
    case ANY: break;
    case TLS: return listener_has_tls(uri) && !listener_has_psk(uri);
    case PSK: return listener_has_psk(uri);
    case WEB: return listener_has_websocket(uri);
    case TCP: return uri->scheme != LISTENER_UNIX && uri->scheme != LISTENER_SERIAL;
    case SOCKET: return uri->scheme != LISTENER_SERIAL;
    case SERIAL: return uri->scheme == LISTENER_SERIAL;
    case UNIX: return uri->scheme == LISTENER_UNIX;
    }
    return true;
}

static int unknown(const struct listener_uri *uri, const char *found, char **why)
{
    cleanup_free char *names = str_copy(keys[0].name);
    for (size_t i = 1; i < array_size(keys); i++) {
        if (!fits(&keys[i], uri))
            continue;
        char *more = str_printf("%s, %s", names, keys[i].name);
        free(names);
        names = more;
    }
    return listener_uri_wrong(why, "expected %s behind ?, found \"%.60s\"", names, found);
}

static int take_pair(struct listener_uri *uri, struct listener_query *query, const char *name,
                     const char *value, char **why)
{
    for (size_t i = 0; i < array_size(keys); i++)
        if (strcmp(keys[i].name, name) == 0)
            return fits(&keys[i], uri)
                       ? keys[i].take(uri, query, value, why)
                       : listener_uri_wrong(why, "%s: expected only with %s", name, kinds[keys[i].only]);
    return unknown(uri, name, why);
}

int listener_query_take(struct listener_uri *uri, struct listener_query *query, const char *at, char **why)
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
            return listener_uri_wrong(why, "expected KEY=VALUE behind ?, found \"%s\"", pair);
        *value++ = '\0';
        int r = take_pair(uri, query, pair, value, why);
        if (r < 0)
            return r;
    }
    if (uri->crl && !uri->ca)
        return listener_uri_wrong(why, "crl: expected only with ca=FILE");
    if (uri->proxy_from_count && !uri->proxy)
        return listener_uri_wrong(why, "proxy-from: expected only with proxy=1");
    if (uri->proxy && !uri->proxy_from_count) {
        static const char *const loopback[] = {"127.0.0.0/8", "::1"};
        for (size_t i = 0; i < array_size(loopback); i++)
            (void)address_range_parse(&uri->proxy_from[uri->proxy_from_count++], loopback[i],
                                      strlen(loopback[i]));
    }
    return 0;
}
