#include "net/websocket_upgrade.h"

#include "net/address.h"
#include "net/websocket_accept.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* Whose page a browser shows is in Origin, and a page cannot forge it: without looking at it, every site that somebody at
 * the plant visits could talk to the gateway through his browser. Other programs send none, and prove who they are
 * elsewhere.
 *
 * A page of the same host is one whose host the request itself names. On a loopback address that is not enough: a name
 * of the page's own may have been made to point there (DNS rebinding), so the host must be a loopback name, too. */

enum { HOST_MAX = 255 };

struct websocket_site *websocket_site_new(const char *path, const char *origins, bool loopback)
{
    struct websocket_site *site = mem_new(struct websocket_site);
    *site = (struct websocket_site){
        .refs = 1, .path = str_copy(path), .origins = str_copy(origins), .loopback = loopback};
    return site;
}

struct websocket_site *websocket_site_ref(struct websocket_site *site)
{
    site->refs++;
    return site;
}

struct websocket_site *websocket_site_unref(struct websocket_site *site)
{
    if (!site || --site->refs)
        return NULL;
    free(site->path);
    free(site->origins);
    free(site);
    return NULL;
}

/* ---- origins ------------------------------------------------------------------------------------------------------- */

/* What is between :// and the port. */
static struct http_text host_of(struct http_text authority)
{
    const char *end = authority.at + authority.len;
    const char *bracket =
        authority.len && *authority.at == '[' ? memchr(authority.at, ']', authority.len) : NULL;
    const char *from = bracket ? bracket : authority.at;
    const char *colon = authority.len ? memchr(from, ':', (size_t)(end - from)) : NULL;
    return (struct http_text){authority.at, (size_t)((colon ? colon : end) - authority.at)};
}

static bool is_loopback(struct http_text host)
{
    char name[HOST_MAX + 1];
    if (host.len > 2 && *host.at == '[')
        host = (struct http_text){host.at + 1, host.len - 2};
    if (host.len > HOST_MAX)
        return false;
    memcpy(name, host.at, host.len);
    name[host.len] = '\0';
    return address_name_is_loopback(name);
}

static bool is_same(struct http_text a, struct http_text b)
{
    return a.len == b.len && strncasecmp(a.at, b.at, a.len) == 0;
}

/* Where the authority of SCHEME://AUTHORITY begins; false when it is not that. */
static bool authority_of(struct http_text origin, struct http_text *ret)
{
    const char *mark = origin.len ? memmem(origin.at, origin.len, "://", 3) : NULL;
    if (!mark || mark == origin.at)
        return false;
    *ret = (struct http_text){mark + 3, origin.len - (size_t)(mark + 3 - origin.at)};
    return host_of(*ret).len > 0;
}

static bool origin_is_allowed(const struct websocket_site *site, struct http_text origin,
                              struct http_text host)
{
    struct http_text list = {site->origins, site->origins ? strlen(site->origins) : 0}, item, authority;
    while (http_list_next(&list, &item))
        if (http_text_is(item, "*") || is_same(item, origin))
            return true;
    if (site->origins || !authority_of(origin, &authority))
        return false;
    struct http_text from = host_of(authority);
    return is_same(from, host_of(host)) && (!site->loopback || is_loopback(from));
}

bool websocket_origins_are_valid(const char *origins)
{
    struct http_text list = {origins, strlen(origins)}, item, authority;
    bool any = false;
    while (http_list_next(&list, &item)) {
        any = true;
        if (http_text_is(item, "*"))
            continue;
        if (!authority_of(item, &authority) || memchr(authority.at, '/', authority.len))
            return false;
    }
    return any;
}

/* ---- the request --------------------------------------------------------------------------------------------------- */

/* 16 bytes in Base64. */
static bool key_is_valid(struct http_text key)
{
    if (key.len != WEBSOCKET_KEY_LEN || memcmp(key.at + WEBSOCKET_KEY_LEN - 2, "==", 2) != 0)
        return false;
    for (size_t i = 0; i < WEBSOCKET_KEY_LEN - 2; i++) {
        char c = key.at[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '+' ||
              c == '/'))
            return false;
    }
    return true;
}

/* The name of MQTT that the client offers: [MQTT-6.0.0-3]; the older one is that of MQTT 3.1, and still in use. */
static const char *protocol_of(const struct http_head *head)
{
    static const char *const names[] = {"mqtt", "mqttv3.1"};
    for (size_t i = 0; i < array_size(names); i++)
        if (http_head_has(head, "Sec-WebSocket-Protocol", names[i]))
            return names[i];
    return NULL;
}

static int refuse(const char **why, int status, const char *sentence)
{
    *why = sentence;
    return status;
}

static int check(const struct websocket_site *site, const struct http_head *head, const char **why)
{
    struct http_text value = {0}, host = {0};
    if (head->minor < 1)
        return refuse(why, 505, "expected HTTP/1.1");
    if (!http_text_is(head->path, site->path))
        return refuse(why, 404, "nothing is at this path");
    if (!http_text_is(head->method, "GET"))
        return refuse(why, 405, "expected GET");
    if (!http_head_has(head, "Upgrade", "websocket"))
        return refuse(why, 426, "expected a WebSocket handshake");
    if (!http_head_has(head, "Connection", "Upgrade"))
        return refuse(why, 400, "expected a header Connection: Upgrade");
    if (http_head_find(head, "Sec-WebSocket-Version", &value) != 1 || !http_text_is(value, "13"))
        return refuse(why, 426, "expected Sec-WebSocket-Version: 13");
    if (http_head_find(head, "Sec-WebSocket-Key", &value) != 1 || !key_is_valid(value))
        return refuse(why, 400, "expected one Sec-WebSocket-Key of 16 bytes in Base64");
    if (http_head_find(head, "Transfer-Encoding", &value) ||
        (http_head_find(head, "Content-Length", &value) && !http_text_is(value, "0")))
        return refuse(why, 400, "expected no body"); /* its bytes would be taken for frames */
    if (!protocol_of(head))
        return refuse(why, 400, "expected Sec-WebSocket-Protocol: mqtt");
    unsigned origins = http_head_find(head, "Origin", &value);
    (void)http_head_find(head, "Host", &host);
    if (origins && (origins > 1 || !origin_is_allowed(site, value, host)))
        return refuse(why, 403, "pages of this origin may not come in");
    return 0;
}

static const char *headers_of(int status)
{
    switch (status) {
    case 405: return "Allow: GET\r\n";
    case 426: return "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n";
    default: return "";
    }
}

int websocket_upgrade(const struct websocket_site *site, const struct http_head *head,
                      char answer[HTTP_REFUSAL_MAX], size_t *len, const char **why)
{
    char accept[WEBSOCKET_ACCEPT_LEN + 1];
    struct http_text key = {0};
    int status = check(site, head, why);
    (void)http_head_find(head, "Sec-WebSocket-Key", &key);
    if (status != 0) {
        *len = http_refusal(answer, status, headers_of(status), *why);
        return status;
    }
    websocket_accept_of(key.at, accept);
    int n = snprintf(answer, HTTP_REFUSAL_MAX,
                     "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                     "Sec-WebSocket-Accept: %s\r\nSec-WebSocket-Protocol: %s\r\n\r\n",
                     accept, protocol_of(head));
    assert(n > 0 && n < HTTP_REFUSAL_MAX);
    *len = (size_t)n;
    return 0;
}
