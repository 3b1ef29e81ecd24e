/* Listener URIs from any bytes: whatever is taken can be taken again from its parts, whatever is refused says why. */
#include "net/listener.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

static void must(bool holds)
{
    if (!holds)
        abort();
}

/* A URI whose parts are as they should be. */
static void check(const struct listener_uri *uri)
{
    must(uri->host && *uri->host);
    must(uri->mode <= 0777);
    must(uri->cert_count <= LISTENER_CERTS_MAX && uri->proxy_from_count <= LISTENER_PROXIES_MAX);
    must((listener_has_tls(uri) && !listener_has_psk(uri)) ==
         (uri->cert_count || uri->folder || uri->own_certificate));
    for (size_t i = 0; i < uri->cert_count; i++)
        must(uri->certs[i].cert && uri->certs[i].key);
    must(listener_has_tls(uri) || !uri->ca);
    must(listener_has_websocket(uri) == !!uri->path);
    must(uri->proxy == !!uri->proxy_from_count);
    if (uri->scheme == LISTENER_UNIX)
        must(*uri->host == '/' && strlen(uri->host) < sizeof((struct sockaddr_un *)0)->sun_path);
    else /* nobody is let in for nothing unless the text says so */
        must(uri->access == LISTENER_OPEN || uri->access == LISTENER_POLICY || uri->ca ||
             listener_has_psk(uri) || listener_has_login(uri));
    must(!listener_has_login(uri) || uri->access != LISTENER_OPEN);
    must(!(uri->auth & LISTENER_AUTH_AUTHORIZER) == !uri->authorizer);
}

static const char *const accesses[] = {"node", "full", "open", "policy"};

static void add(char **text, const char *key, const char *value)
{
    if (!value)
        return;
    char *longer = str_printf("%s&%s=%s", *text, key, value);
    free(*text);
    *text = longer;
}

static void add_number(char **text, const char *key, unsigned value)
{
    char digits[16];
    (void)snprintf(digits, sizeof digits, "%u", value);
    if (value)
        add(text, key, digits);
}

static void add_auth(char **text, const struct listener_uri *uri)
{
    static const char *const ways[] = {"certificate", "psk", "password", "jwt"};
    for (size_t i = 0; i < array_size(ways); i++)
        if (uri->auth & 1U << i)
            add(text, "auth", ways[i]);
    cleanup_free char *way = uri->authorizer ? str_printf("authorizer:%s", uri->authorizer) : NULL;
    add(text, "auth", way);
}

static void add_proxies(char **text, const struct listener_uri *uri)
{
    cleanup_free char *all = NULL;
    for (size_t i = 0; i < uri->proxy_from_count; i++) {
        const struct address_range *range = &uri->proxy_from[i];
        char host[INET6_ADDRSTRLEN];
        must(inet_ntop(range->first.family, &range->first.in6, host, sizeof host));
        char *longer = str_printf("%s%s%s/%u", all ? all : "", all ? "," : "", host, range->bits);
        free(all);
        all = longer;
    }
    if (uri->proxy)
        add(text, "proxy", "1");
    add(text, "proxy-from", all);
}

static char *write_uri(const struct listener_uri *uri)
{
    bool v6 = uri->scheme != LISTENER_UNIX && strchr(uri->host, ':');
    char *text;
    if (uri->scheme == LISTENER_UNIX)
        text = str_printf("unix://%s?mode=%o%s", uri->host, uri->mode, uri->http ? "&http=1" : "");
    else
        text = str_printf("%s://%s%s%s:%u%s?i-know=1", listener_scheme_name(uri->scheme), v6 ? "[" : "",
                          uri->host, v6 ? "]" : "", uri->port, uri->path ? uri->path : "");
    add(&text, "access", accesses[uri->access]);
    for (size_t i = 0; i < uri->cert_count; i++) {
        add(&text, "cert", uri->certs[i].cert);
        add(&text, "key", uri->certs[i].key);
    }
    add(&text, "certs", uri->folder);
    add(&text, "ca", uri->ca);
    add(&text, "origin", uri->origins);
    add(&text, "fd", uri->fd_name);
    add_number(&text, "connect-rate", uri->connect_rate);
    add_number(&text, "connections-per-address", uri->connections_per_address);
    add_auth(&text, uri);
    add_proxies(&text, uri);
    return text;
}

static bool same(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

static void check_same(const struct listener_uri *a, const struct listener_uri *b)
{
    must(a->scheme == b->scheme && a->access == b->access && a->port == b->port && a->mode == b->mode);
    must(same(a->host, b->host) && same(a->folder, b->folder) && same(a->ca, b->ca) &&
         same(a->path, b->path) && same(a->origins, b->origins) && same(a->fd_name, b->fd_name));
    must(a->cert_count == b->cert_count && a->proxy_from_count == b->proxy_from_count &&
         a->proxy == b->proxy);
    for (size_t i = 0; i < a->cert_count; i++)
        must(same(a->certs[i].cert, b->certs[i].cert) && same(a->certs[i].key, b->certs[i].key));
    for (size_t i = 0; i < a->proxy_from_count; i++)
        must(a->proxy_from[i].bits == b->proxy_from[i].bits &&
             address_is_in(&a->proxy_from[i].first, &b->proxy_from[i]));
    must(a->auth == b->auth && same(a->authorizer, b->authorizer));
    must(a->connect_rate == b->connect_rate && a->connections_per_address == b->connections_per_address);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    cleanup_free char *text = str_copy_n((const char *)data, len), *why = NULL;
    struct listener_uri uri, again;
    if (listener_uri_parse(&uri, text, &why) < 0) {
        must(why && *why);
        return 0;
    }
    must(!why);
    if (listener_has_psk(&uri)) { /* keys in place of certificates: nothing of what follows */
        must(uri.access == LISTENER_NODE && !uri.cert_count && !uri.folder && !uri.ca);
        must(uri.scheme != LISTENER_SERIAL || (*uri.host == '/' && uri.baud));
        listener_uri_done(&uri);
        return 0;
    }
    check(&uri);
    cleanup_free char *written = write_uri(&uri);
    must(listener_uri_parse(&again, written, &why) == 0);
    check_same(&uri, &again);
    listener_uri_done(&uri);
    listener_uri_done(&again);
    return 0;
}
