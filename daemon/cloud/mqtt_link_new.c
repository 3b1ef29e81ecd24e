#include "base/log.h"
#include "cloud/mqtt_link_state.h"
#include "cloud/mqtt_uri.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <string.h>

/* A link's options, checked and in the words of Paho, and its end. */

enum { WINDOW = 64, KEEPALIVE_S = 60, CONNECT_TIMEOUT_S = 20, SESSION_EXPIRY_S = 24 * 3600 };
enum { PAUSE_MIN = 1000, PAUSE_MAX = 60 * 1000 };

const char *mqtt_link_uri_check(const char *text)
{
    struct mqtt_uri uri;
    return mqtt_uri_parse(&uri, text);
}

const char *mqtt_link_proxy_check(const char *text)
{
    struct mqtt_uri uri;
    return mqtt_proxy_parse(&uri, text);
}

/* %XX for all that has a meaning in an address. */
static char *escaped(const char *text, size_t len)
{
    char *copy = mem_new_bytes(3 * len + 1), *at = copy;
    for (size_t i = 0; i < len; i++) {
        static const char digits[] = "0123456789ABCDEF";
        unsigned char c = (unsigned char)text[i];
        if (isalnum(c)) {
            *at++ = (char)c;
        } else {
            *at++ = '%';
            *at++ = digits[c >> 4];
            *at++ = digits[c & 15];
        }
    }
    return copy;
}

/* Paho skips the scheme of the connection that it makes, not of the proxy. */
static char *proxy_for_paho(const struct mqtt_uri *proxy, const char *password, bool tls)
{
    const char *scheme = tls ? "https" : "http";
    bool v6 = memchr(proxy->host, ':', proxy->host_len) != NULL;
    cleanup_free char *host =
        str_printf(v6 ? "[%.*s]:%u" : "%.*s:%u", (int)proxy->host_len, proxy->host, proxy->port);
    if (!proxy->user)
        return str_printf("%s://%s", scheme, host);
    cleanup_free char *user = escaped(proxy->user, proxy->user_len);
    cleanup_free char *word = escaped(password ? password : "", password ? strlen(password) : 0);
    return str_printf("%s://%s:%s@%s", scheme, user, word, host);
}

static char *with_port(const struct mqtt_uri *uri, bool tls)
{
    bool v6 = memchr(uri->host, ':', uri->host_len) != NULL;
    return str_printf(v6 ? "%s://[%.*s]:%u" : "%s://%.*s:%u", tls ? "mqtts" : "mqtt", (int)uri->host_len,
                      uri->host, uri->port);
}

static int fault(const struct mqtt_link_options *options, const char *expected, const char *found)
{
    log_error("uplink %s: expected %s, found \"%s\"", options->name, expected, found);
    return -EINVAL;
}

static void set_peer(struct mqtt_link *link, const struct mqtt_link_options *options,
                     const struct mqtt_uri *uri, const struct mqtt_uri *proxy)
{
    struct paho *paho = &link->paho;
    bool tls = strncmp(options->uri, "mqtts:", 6) == 0;
    const struct mqtt_uri *peer = options->proxy ? proxy : uri;
    paho->uri = with_port(uri, tls);
    paho->proxy = options->proxy ? proxy_for_paho(proxy, options->proxy_password, tls) : NULL;
    paho->peer_port = peer->port;
    link->host = str_copy_n(peer->host, peer->host_len);
}

static void set_options(struct mqtt_link *link, const struct mqtt_link_options *options)
{
    struct paho *paho = &link->paho;
    *paho = (struct paho){
        .client_id = str_copy(options->client_id ? options->client_id : options->name),
        .ca = str_copy(options->ca),
        .cert = str_copy(options->cert),
        .key = str_copy(options->key),
        .alpn = str_copy(options->alpn),
        .username = str_copy(options->username),
        .password = str_copy(options->password),
        .will_topic = str_copy(options->will_topic),
        .will_message = str_copy(options->will_message),
        .will_retain = options->will_retain,
        .keepalive_s = options->keepalive_s ? options->keepalive_s : KEEPALIVE_S,
        .connect_timeout_s = options->connect_timeout_s ? options->connect_timeout_s : CONNECT_TIMEOUT_S,
        .protocol = options->protocol == 4 ? 4 : 5,
        .persistent = options->persistent,
        .session_expiry_s = options->session_expiry_s ? options->session_expiry_s : SESSION_EXPIRY_S,
        .inbox = link->links->inbox,
        .prefix = str_copy(options->receive_prefix),
    };
    link->backoff.min = options->pause_min ? options->pause_min : PAUSE_MIN;
    link->backoff.max = options->pause_max ? options->pause_max : PAUSE_MAX;
    if (link->backoff.min > link->backoff.max)
        link->backoff.min = link->backoff.max;
    link->window_asked = link->window = options->window ? options->window : WINDOW;
}

int mqtt_link_new(struct mqtt_link **ret, struct mqtt_links *links, const struct mqtt_link_options *options,
                  const struct mqtt_link_events *events, void *self)
{
    struct mqtt_uri uri, proxy;
    const char *expected = mqtt_uri_parse(&uri, options->uri);
    if (expected)
        return fault(options, expected, options->uri);
    expected = options->proxy ? mqtt_proxy_parse(&proxy, options->proxy) : NULL;
    if (expected)
        return fault(options, expected, options->proxy);

    struct mqtt_link *link = mem_new(struct mqtt_link);
    link->links = links;
    link->events = *events;
    link->self = self;
    set_options(link, options);
    set_peer(link, options, &uri, &proxy);
    mqtt_link_init(link);
    *ret = link;
    return 0;
}

struct mqtt_link *mqtt_link_free(struct mqtt_link *link)
{
    if (!link)
        return NULL;
    struct paho *paho = &link->paho;
    link->events = (struct mqtt_link_events){0};
    mqtt_link_stop(link);
    /* Of one that is off the worker has nothing, and others' things may take long. */
    if (link->state != LINK_OFF || link->probing)
        worker_quiesce(link->links->worker);
    assert(link->state == LINK_OFF && list_is_empty(&link->with_broker));
    char *const texts[] = {link->host,     paho->prefix,     paho->uri,         paho->proxy, paho->client_id,
                           paho->ca,       paho->cert,       paho->key,         paho->alpn,  paho->username,
                           paho->password, paho->will_topic, paho->will_message};
    for (size_t i = 0; i < array_size(texts); i++)
        free(texts[i]);
    free(link);
    return NULL;
}
