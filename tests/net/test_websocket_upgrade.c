#include "net/websocket_upgrade.h"

#include "rig/test.h"

#include <stdio.h>

/* RFC 6455, section 1.3: its key and what answers it. */
#define KEY    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
#define ACCEPT "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

enum { HEADERS_MAX = 8 };

/* The request of a client that does everything right. */
static const char *const right[HEADERS_MAX] = {"Host: gateway:9001",        "Upgrade: websocket",
                                               "Connection: Upgrade",       KEY,
                                               "Sec-WebSocket-Version: 13", "Sec-WebSocket-Protocol: mqtt"};

struct outcome {
    int status;
    char answer[HTTP_REFUSAL_MAX];
    const char *why;
};

static void ask(struct outcome *ret, const struct websocket_site *site, const char *line,
                const char *const *headers)
{
    char bytes[1024];
    size_t len = (size_t)snprintf(bytes, sizeof bytes, "%s\r\n", line), used, answer_len;
    struct http_head head;
    *ret = (struct outcome){0};
    for (size_t i = 0; i < HEADERS_MAX; i++)
        if (headers[i])
            len += (size_t)snprintf(bytes + len, sizeof bytes - len, "%s\r\n", headers[i]);
    len += (size_t)snprintf(bytes + len, sizeof bytes - len, "\r\n");
    CHECK_INT(http_head_parse(&head, bytes, len, &used, &ret->why), 0);
    ret->status = websocket_upgrade(site, &head, ret->answer, &answer_len, &ret->why);
    CHECK(answer_len < sizeof ret->answer);
    ret->answer[answer_len] = '\0';
}

/* With one header in place of the right one of that name, or one more. */
static void ask_with(struct outcome *ret, const struct websocket_site *site, const char *header)
{
    const char *headers[HEADERS_MAX];
    size_t name_len = strcspn(header, ":") + 1, at = 0;
    memcpy(headers, right, sizeof right);
    while (headers[at] && strncmp(headers[at], header, name_len) != 0)
        at++;
    headers[at] = header[name_len] ? header : "X-Nothing: here";
    ask(ret, site, "GET /mqtt HTTP/1.1", headers);
}

define_cleanup(struct websocket_site *, websocket_site_unref)

TEST(who_asks_rightly_is_let_in)
{
    cleanup(websocket_site_unref_p) struct websocket_site *site = websocket_site_new("/mqtt", NULL, false);
    struct outcome it;
    ask(&it, site, "GET /mqtt?x=y HTTP/1.1", right);
    CHECK_INT(it.status, 0);
    CHECK(!it.why);
    CHECK_STR(it.answer, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                         "Sec-WebSocket-Accept: " ACCEPT "\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n");
}

TEST(the_same_may_be_said_in_other_words)
{
    static const char *const same[] = {"Upgrade: h2c, WebSocket",
                                       "Connection: keep-alive, UPGRADE",
                                       "Sec-WebSocket-Protocol: other, mqtt",
                                       "Sec-WebSocket-Protocol: mqttv3.1, mqtt",
                                       "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits",
                                       "Content-Length: 0"};
    cleanup(websocket_site_unref_p) struct websocket_site *site = websocket_site_new("/mqtt", NULL, false);
    for (size_t i = 0; i < array_size(same); i++) {
        struct outcome it;
        ask_with(&it, site, same[i]);
        if (it.status)
            FAIL("%s: %d: %s", same[i], it.status, it.why);
        CHECK(strstr(it.answer, "Sec-WebSocket-Protocol: mqtt\r\n"));
        CHECK(!strstr(it.answer, "Extensions"));
    }
}

TEST(the_protocol_of_mqtt_3_1_is_answered_with_its_name)
{
    cleanup(websocket_site_unref_p) struct websocket_site *site = websocket_site_new("/mqtt", NULL, false);
    struct outcome it;
    ask_with(&it, site, "Sec-WebSocket-Protocol: mqttv3.1");
    CHECK_INT(it.status, 0);
    CHECK(strstr(it.answer, "Sec-WebSocket-Protocol: mqttv3.1\r\n"));
}

/* ---- refusals ------------------------------------------------------------------------------------------------------ */

static const struct {
    const char *line, *header;
    int status;
    const char *why, *answered;
} refusals[] = {
    {"GET /mqtt HTTP/1.0", "X: y", 505, "expected HTTP/1.1", "505 HTTP Version Not Supported\r\n"},
    {"GET / HTTP/1.1", "X: y", 404, "nothing is at this path", "404 Not Found\r\n"},
    {"GET /mqtt/ HTTP/1.1", "X: y", 404, "nothing is at this path", "404 Not Found\r\n"},
    {"GET /MQTT HTTP/1.1", "X: y", 404, "nothing is at this path", "404 Not Found\r\n"},
    {"POST /mqtt HTTP/1.1", "X: y", 405, "expected GET", "\r\nAllow: GET\r\n"},
    {NULL, "Upgrade:", 426, "expected a WebSocket handshake",
     "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"},
    {NULL, "Upgrade: h2c", 426, "expected a WebSocket handshake", "426 Upgrade Required\r\n"},
    {NULL, "Connection:", 400, "expected a header Connection: Upgrade", "400 Bad Request\r\n"},
    {NULL, "Connection: keep-alive", 400, "expected a header Connection: Upgrade", "400 Bad Request\r\n"},
    {NULL, "Sec-WebSocket-Version:", 426, "expected Sec-WebSocket-Version: 13",
     "\r\nSec-WebSocket-Version: 13\r\n"},
    {NULL, "Sec-WebSocket-Version: 8", 426, "expected Sec-WebSocket-Version: 13",
     "\r\nSec-WebSocket-Version: 13\r\n"},
    {NULL, "Sec-WebSocket-Version: 130", 426, "expected Sec-WebSocket-Version: 13",
     "426 Upgrade Required\r\n"},
    {NULL, "Sec-WebSocket-Key:", 400, "expected one Sec-WebSocket-Key of 16 bytes in Base64", "400 "},
    {NULL, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=", 400,
     "expected one Sec-WebSocket-Key of 16 bytes in Base64", "400 "},
    {NULL, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQx=", 400,
     "expected one Sec-WebSocket-Key of 16 bytes in Base64", "400 "},
    {NULL, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j-Q==", 400,
     "expected one Sec-WebSocket-Key of 16 bytes in Base64", "400 "},
    {NULL, "Sec-WebSocket-Protocol:", 400, "expected Sec-WebSocket-Protocol: mqtt", "400 "},
    {NULL, "Sec-WebSocket-Protocol: wamp, mqttx", 400, "expected Sec-WebSocket-Protocol: mqtt", "400 "},
    {NULL, "Content-Length: 5", 400, "expected no body", "400 "},
    {NULL, "Transfer-Encoding: chunked", 400, "expected no body", "400 "},
    {NULL, "Origin: http://elsewhere", 403, "pages of this origin may not come in", "403 Forbidden\r\n"},
};

TEST(who_asks_wrongly_is_told_what_was_expected)
{
    cleanup(websocket_site_unref_p) struct websocket_site *site = websocket_site_new("/mqtt", NULL, false);
    for (size_t i = 0; i < array_size(refusals); i++) {
        struct outcome it;
        if (refusals[i].line)
            ask(&it, site, refusals[i].line, right);
        else
            ask_with(&it, site, refusals[i].header);
        if (it.status != refusals[i].status)
            FAIL("%s %s: %d", refusals[i].line ? refusals[i].line : "", refusals[i].header, it.status);
        CHECK_STR(it.why, refusals[i].why);
        CHECK(strstr(it.answer, refusals[i].answered));
        cleanup_free char *end = str_printf("\r\n\r\n%s\n", refusals[i].why);
        CHECK_STR(strstr(it.answer, "\r\n\r\n"), end);
    }
}

TEST(a_key_that_is_said_twice_is_none)
{
    cleanup(websocket_site_unref_p) struct websocket_site *site = websocket_site_new("/mqtt", NULL, false);
    const char *headers[HEADERS_MAX];
    memcpy(headers, right, sizeof right);
    headers[6] = KEY;
    struct outcome it;
    ask(&it, site, "GET /mqtt HTTP/1.1", headers);
    CHECK_INT(it.status, 400);
    headers[6] = "sec-websocket-version: 13";
    ask(&it, site, "GET /mqtt HTTP/1.1", headers);
    CHECK_INT(it.status, 426);
}

/* ---- origins ------------------------------------------------------------------------------------------------------- */

static const struct {
    const char *origins;
    bool loopback;
    const char *host, *origin;
    bool welcome;
} origins[] = {
    {NULL, false, "gateway:9001", "http://gateway", true},
    {NULL, false, "gateway:9001", "https://GATEWAY:8443", true},
    {NULL, false, "gateway", "http://gateway:9001", true},
    {NULL, false, "[fd00::1]:9001", "http://[fd00::1]", true},
    {NULL, false, "[fd00::1]:9001", "http://[fd00::2]", false},
    {NULL, false, "192.168.0.7:9001", "http://192.168.0.7:3000", true},
    {NULL, false, "gateway:9001", "http://gateway.evil.example", false},
    {NULL, false, "gateway:9001", "http://evil.example", false},
    {NULL, false, "gateway:9001", "http://", false},
    {NULL, false, "gateway:9001", "gateway", false},
    {NULL, false, "gateway:9001", "null", false},
    {NULL, false, "gateway:9001", "", false},
    {NULL, false, "", "http://", false},
    {NULL, false, ":9001", "http://:80", false},

    {NULL, true, "localhost:9001", "http://localhost:3000", true},
    {NULL, true, "127.0.0.1:9001", "http://127.0.0.1", true},
    {NULL, true, "[::1]:9001", "https://[::1]:8443", true},
    {NULL, true, "127.0.0.1:9001", "http://localhost", false},
    {NULL, true, "evil.example:9001", "http://evil.example:9001",
     false}, /* a name that was made to point here */

    {"https://a.example, http://b:81", false, "gateway", "https://a.example", true},
    {"https://a.example,http://b:81", false, "gateway", "HTTP://b:81", true},
    {"https://a.example,http://b:81", false, "gateway", "http://a.example", false},
    {"https://a.example,http://b:81", false, "gateway", "http://b", false},
    {"https://a.example,http://b:81", false, "gateway", "http://gateway", false}, /* nobody but those */
    {"*", true, "evil.example", "http://evil.example", true},
    {"*", false, "gateway", "null", true},
};

TEST(pages_may_come_from_where_they_are_allowed_to)
{
    for (size_t i = 0; i < array_size(origins); i++) {
        cleanup(websocket_site_unref_p) struct websocket_site *site =
            websocket_site_new("/mqtt", origins[i].origins, origins[i].loopback);
        cleanup_free char *host = str_printf("Host: %s", origins[i].host);
        cleanup_free char *origin = str_printf("Origin: %s", origins[i].origin);
        const char *headers[HEADERS_MAX];
        memcpy(headers, right, sizeof right);
        headers[0] = host;
        headers[6] = origin;
        struct outcome it;
        ask(&it, site, "GET /mqtt HTTP/1.1", headers);
        if (it.status != (origins[i].welcome ? 0 : 403))
            FAIL("%s from %s: %d", origin, host, it.status);
    }
}

TEST(two_origins_are_none_that_is_allowed)
{
    cleanup(websocket_site_unref_p) struct websocket_site *site = websocket_site_new("/mqtt", NULL, false);
    const char *headers[HEADERS_MAX];
    memcpy(headers, right, sizeof right);
    headers[6] = "Origin: http://gateway";
    headers[7] = "Origin: http://evil.example";
    struct outcome it;
    ask(&it, site, "GET /mqtt HTTP/1.1", headers);
    CHECK_INT(it.status, 403);
}

TEST(a_list_of_origins_is_checked_when_it_is_written)
{
    static const char *const valid[] = {"*", "http://a", "https://a.example:8443,http://[::1]",
                                        " http://a , * ", "app://x"};
    static const char *const invalid[] = {"",     ",",       "a",         "a.example",
                                          "://a", "http://", "http://a/", "http://a,b"};
    for (size_t i = 0; i < array_size(valid); i++)
        if (!websocket_origins_are_valid(valid[i]))
            FAIL("%s: refused", valid[i]);
    for (size_t i = 0; i < array_size(invalid); i++)
        if (websocket_origins_are_valid(invalid[i]))
            FAIL("%s: taken", invalid[i]);
}
