#include "net/listener.h"
#include "rig/test.h"

#include <errno.h>
#include <stdio.h>

/* ---- good ---------------------------------------------------------------------------------------------------------- */

static const struct {
    const char *text;
    enum listener_scheme scheme;
    enum listener_access access;
    const char *host;
    uint16_t port;
    unsigned mode;
    const char *cert, *key, *ca;
} good[] = {
    {"mqtt://127.0.0.1:1883?access=open", LISTENER_MQTT, LISTENER_OPEN, "127.0.0.1", 1883, 0660},
    {"mqtt://127.255.0.9:0?access=open", LISTENER_MQTT, LISTENER_OPEN, "127.255.0.9", 0, 0660},
    {"mqtt://[::1]:65535?access=open", LISTENER_MQTT, LISTENER_OPEN, "::1", 65535, 0660},
    {"mqtt://localhost:1883?access=open", LISTENER_MQTT, LISTENER_OPEN, "localhost", 1883, 0660},
    {"mqtt://0.0.0.0:1883?access=open&i-know=1", LISTENER_MQTT, LISTENER_OPEN, "0.0.0.0", 1883, 0660},
    {"mqtt://[::]:1883?i-know=1&access=open", LISTENER_MQTT, LISTENER_OPEN, "::", 1883, 0660},
    {"mqtts://0.0.0.0:8883?cert=a.pem&key=a.key&ca=ca.pem", LISTENER_MQTTS, LISTENER_NODE, "0.0.0.0", 8883,
     0660, "a.pem", "a.key", "ca.pem"},
    {"mqtts://0.0.0.0:8883?cert=a.pem&key=a.key&ca=ca.pem&access=full", LISTENER_MQTTS, LISTENER_FULL,
     "0.0.0.0", 8883, 0660, "a.pem", "a.key", "ca.pem"},
    {"mqtts://localhost:8883?cert=a=b.pem&key=a.key&access=open", LISTENER_MQTTS, LISTENER_OPEN, "localhost",
     8883, 0660, "a=b.pem", "a.key", NULL},
    {"mqtts://h:1?cert=a&key=k&ca=b&ca=c&access=open&access=node", LISTENER_MQTTS, LISTENER_NODE, "h", 1,
     0660, "a", "k", "c"},
    {"mqtts://h:1?access=policy", LISTENER_MQTTS, LISTENER_POLICY, "h", 1, 0660},
    {"wss://h:1?cert=a&key=k&access=policy", LISTENER_WSS, LISTENER_POLICY, "h", 1, 0660, "a", "k", NULL},
    {"unix:///run/gatehouse/mqtt.sock", LISTENER_UNIX, LISTENER_FULL, "/run/gatehouse/mqtt.sock", 0, 0660},
    {"unix:///x?access=node&mode=0600", LISTENER_UNIX, LISTENER_NODE, "/x", 0, 0600},
    {"unix:///x?access=open&mode=777", LISTENER_UNIX, LISTENER_OPEN, "/x", 0, 0777},
};

static void check_text(const char *found, const char *expected)
{
    if (expected)
        CHECK_STR(found, expected);
    else
        CHECK(!found);
}

TEST(a_uri_says_where_how_and_what_those_who_come_may_do)
{
    for (size_t i = 0; i < array_size(good); i++) {
        struct listener_uri uri;
        char *why = NULL;
        if (listener_uri_parse(&uri, good[i].text, &why) < 0)
            FAIL("%s: %s", good[i].text, why);
        CHECK(!why);
        CHECK_INT(uri.scheme, good[i].scheme);
        CHECK_INT(uri.access, good[i].access);
        CHECK_STR(uri.host, good[i].host);
        CHECK_INT(uri.port, good[i].port);
        CHECK_INT(uri.mode, good[i].mode);
        check_text(uri.certs[0].cert, good[i].cert);
        check_text(uri.certs[0].key, good[i].key);
        CHECK_INT(uri.cert_count, good[i].cert ? 1 : 0);
        check_text(uri.ca, good[i].ca);
        listener_uri_done(&uri);
    }
}

static const struct {
    const char *text, *path, *origins;
} web[] = {
    {"ws://127.0.0.1:9001?access=open", "/mqtt", NULL},
    {"ws://127.0.0.1:9001/?access=open", "/", NULL},
    {"ws://[::1]:0/a/b;c=%20?access=open&origin=*", "/a/b;c=%20", "*"},
    {"wss://0.0.0.0:443/hmi?cert=a&key=b&ca=c&origin=https://a.example,http://b:81", "/hmi",
     "https://a.example,http://b:81"},
    {"wss://0.0.0.0:443?cert=a&key=b&ca=c&origin=*&origin=https://a", "/mqtt", "https://a"},
};

TEST(a_uri_of_websocket_has_a_path_and_says_whose_pages_may_come)
{
    for (size_t i = 0; i < array_size(web); i++) {
        struct listener_uri uri;
        char *why = NULL;
        if (listener_uri_parse(&uri, web[i].text, &why) < 0)
            FAIL("%s: %s", web[i].text, why);
        CHECK_INT(uri.scheme, web[i].text[2] == 's' ? LISTENER_WSS : LISTENER_WS);
        CHECK_STR(uri.path, web[i].path);
        check_text(uri.origins, web[i].origins);
        listener_uri_done(&uri);
    }
}

static const struct {
    const char *text;
    enum listener_scheme scheme;
    enum listener_access access;
    bool tls;
} http[] = {
    {"http://127.0.0.1:8080?access=open", LISTENER_HTTP, LISTENER_OPEN, false},
    {"http://[::1]:0?access=open", LISTENER_HTTP, LISTENER_OPEN, false},
    {"https://0.0.0.0:8443?cert=a&key=k&ca=c", LISTENER_HTTPS, LISTENER_NODE, true},
    {"https://0.0.0.0:8443?cert=a&key=k&ca=c&access=full", LISTENER_HTTPS, LISTENER_FULL, true},
    {"unix:///run/gatehouse/http.sock?http=1", LISTENER_UNIX, LISTENER_FULL, false},
};

TEST(a_uri_says_that_http_is_spoken)
{
    for (size_t i = 0; i < array_size(http); i++) {
        struct listener_uri uri;
        char *why = NULL;
        if (listener_uri_parse(&uri, http[i].text, &why) < 0)
            FAIL("%s: %s", http[i].text, why);
        CHECK(listener_has_http(&uri));
        CHECK(!listener_has_websocket(&uri));
        CHECK_INT(uri.scheme, http[i].scheme);
        CHECK_INT(uri.access, http[i].access);
        CHECK_INT(listener_has_tls(&uri), http[i].tls);
        listener_uri_done(&uri);
    }
    for (size_t i = 0; i < array_size(good); i++) {
        struct listener_uri uri;
        char *why = NULL;
        CHECK_INT(listener_uri_parse(&uri, good[i].text, &why), 0);
        CHECK(!listener_has_http(&uri));
        listener_uri_done(&uri);
    }
}

/* ---- bad ----------------------------------------------------------------------------------------------------------- */

#define SCHEMES                                                                                                      \
    "expected mqtt://, mqtts://, mqtts+psk://, ws://, wss://, http:// or https:// and HOST:PORT, serial:///DEVICE, " \
    "or unix:///PATH"
#define FOR_TCP "access, auth, i-know, fd, connect-rate, connections-per-address, proxy, proxy-from"

static const struct {
    const char *text, *said;
} bad[] = {
    {"", SCHEMES ", found \"\""},
    {"127.0.0.1:1883", SCHEMES ", found \"127.0.0.1:1883\""},
    {"mqtt:/127.0.0.1", SCHEMES ", found \"mqtt:/127.0.0.1\""},
    {"MQTT://h:1", SCHEMES ", found \"MQTT://h:1\""},
    {"://h:1", SCHEMES ", found \"://h:1\""},
    {"serial://ttyS0", "expected an absolute path, serial:///PATH, found \"ttyS0\""},
    {"serial:///dev/ttyS0?baud=1200",
     "baud: expected 9600, 19200, 38400, 57600, 115200, 230400, 460800 or 921600, found \"1200\""},
    {"serial:///dev/ttyS0?pair=yes", "pair: expected ask, auto or off, found \"yes\""},
    {"serial:///dev/ttyS0?access=open", "access: expected node, or nothing, with serial://"},
    {"serial:///dev/ttyS0?connect-rate=1", "connect-rate: expected only with HOST:PORT or unix://"},
    {"mqtt://h:1?baud=9600", "baud: expected only with serial://"},

    {"mqtt://", "expected HOST:PORT behind ://, found \"\""},
    {"mqtt://localhost", "expected HOST:PORT behind ://, found \"localhost\""},
    {"mqtt://localhost?access=open", "expected HOST:PORT behind ://, found \"localhost\""},
    {"mqtt://:1883", "expected HOST:PORT behind ://, found \":1883\""},
    {"mqtt://::1:1883", "expected HOST:PORT behind ://, found \"::1:1883\""},
    {"mqtt://[]:1883", "expected HOST:PORT behind ://, found \"[]:1883\""},
    {"mqtt://[::1]", "expected HOST:PORT behind ://, found \"[::1]\""},
    {"mqtt://[::1]1883", "expected HOST:PORT behind ://, found \"[::1]1883\""},
    {"mqtt://[::1:1883?access=]", "expected ] behind an IPv6 address, found \"[::1:1883\""},
    {"mqtt://h:", "expected a port from 0 to 65535 behind the host, found \"\""},
    {"mqtt://h:x", "expected a port from 0 to 65535 behind the host, found \"x\""},
    {"mqtt://h:-1", "expected a port from 0 to 65535 behind the host, found \"-1\""},
    {"mqtt://h:+1", "expected a port from 0 to 65535 behind the host, found \"+1\""},
    {"mqtt://h: 1", "expected a port from 0 to 65535 behind the host, found \" 1\""},
    {"mqtt://h:65536", "expected a port from 0 to 65535 behind the host, found \"65536\""},
    {"mqtt://h:001883", "expected a port from 0 to 65535 behind the host, found \"001883\""},
    {"mqtt://h:4294967297", "expected a port from 0 to 65535 behind the host, found \"4294967297\""},
    {"mqtt://h:1883/topic", "expected a port from 0 to 65535 behind the host, found \"1883/topic\""},

    {"ws://h:9001x/mqtt", "expected a port from 0 to 65535 behind the host, found \"9001x\""},
    {"ws://h/mqtt", "expected HOST:PORT behind ://, found \"h\""},
    {"ws://h:1/a b", "expected a path of visible letters behind the port, found \"/a b\""},
    {"ws://h:1/a#b", "expected a path of visible letters behind the port, found \"/a#b\""},
    {"ws://h:1/\xc3\xa4", "expected a path of visible letters behind the port, found \"/\xc3\xa4\""},

    {"unix://", "expected an absolute path, unix:///PATH, found \"\""},
    {"unix://run/x", "expected an absolute path, unix:///PATH, found \"run/x\""},

    {"mqtt://h:1?", "expected KEY=VALUE behind ?, found \"\""},
    {"mqtt://h:1?access=full&", "expected KEY=VALUE behind ?, found \"\""},
    {"mqtt://h:1?access", "expected KEY=VALUE behind ?, found \"access\""},
    {"mqtt://h:1?acess=open", "expected " FOR_TCP " behind ?, found \"acess\""},
    {"mqtt://h:1?mode=0600", "mode: expected only with unix://"},
    {"mqtt://h:1?access=policy",
     "access=policy: expected only with mqtts://, wss:// or https://, since policies are of "
     "certificates"},
    {"mqtts://h:1?cert=a&access=policy", "mqtts: expected cert=FILE and key=FILE"},
    {"mqtts://h:1?cert=a&key=k&crl=c&access=policy", "crl: expected only with ca=FILE"},
    {"mqtts://h:1?psk=1", "expected " FOR_TCP ", cert, key, certs, ca, crl behind ?, found \"psk\""},
    {"unix:///x?=", "expected access, auth, i-know, fd, connect-rate, mode, http behind ?, found \"\""},
    {"mqtt://h:1?access=", "access: expected open, full, node or policy, found \"\""},
    {"mqtt://h:1?access=Open", "access: expected open, full, node or policy, found \"Open\""},
    {"mqtt://h:1?i-know=yes", "i-know: expected 1, found \"yes\""},
    {"mqtt://h:1?cert=a.pem", "cert: expected only with mqtts://, wss:// or https://"},
    {"unix:///x?ca=a.pem", "ca: expected only with mqtts://, wss:// or https://"},
    {"ws://h:1?cert=a.pem", "cert: expected only with mqtts://, wss:// or https://"},
    {"ws://h:1?x=y", "expected " FOR_TCP ", origin behind ?, found \"x\""},
    {"wss://h:1?x=y", "expected " FOR_TCP ", cert, key, certs, ca, crl, origin behind ?, found \"x\""},
    {"mqtt://h:1?origin=*", "origin: expected only with ws:// or wss://"},
    {"ws://h:1?origin=", "origin: expected * or SCHEME://HOST[:PORT] with commas between them, found \"\""},
    {"ws://h:1?origin=a.example",
     "origin: expected * or SCHEME://HOST[:PORT] with commas between them, found \"a.example\""},
    {"ws://h:1?origin=http://a/page",
     "origin: expected * or SCHEME://HOST[:PORT] with commas between them, found \"http://a/page\""},
    {"mqtts://h:1?key=", "key: expected a PEM file, pkcs11:… or handle:0x81……, found nothing"},
    {"unix:///x?mode=", "mode: expected permission bits in octal, for instance 0660, found \"\""},
    {"unix:///x?mode=rw", "mode: expected permission bits in octal, for instance 0660, found \"rw\""},
    {"unix:///x?mode=-1", "mode: expected permission bits in octal, for instance 0660, found \"-1\""},
    {"unix:///x?mode= 7", "mode: expected permission bits in octal, for instance 0660, found \" 7\""},
    {"unix:///x?mode=0668", "mode: expected permission bits in octal, for instance 0660, found \"0668\""},
    {"unix:///x?mode=1777", "mode: expected permission bits in octal, for instance 0660, found \"1777\""},
    {"unix:///x?mode=7777777777777777777777777",
     "mode: expected permission bits in octal, for instance 0660, found \"7777777777777777777777777\""},

    {"mqtt://0.0.0.0:1?auth=password",
     "auth: passwords could be read on their way to 0.0.0.0: expected TLS, a "
     "loopback address, or &i-know=1"},
    {"mqtt://127.0.0.1:1?auth=word",
     "auth: expected certificate, psk, password, jwt or one authorizer:NAME, with commas "
     "between them, found \"word\""},
    {"mqtt://127.0.0.1:1?auth=",
     "auth: expected certificate, psk, password, jwt or one authorizer:NAME, with commas "
     "between them, found \"\""},
    {"mqtt://127.0.0.1:1?auth=authorizer:a,authorizer:b",
     "auth: expected certificate, psk, password, jwt or one authorizer:NAME, with commas between them, found "
     "\"authorizer:a,authorizer:b\""},
    {"mqtt://127.0.0.1:1?auth=password&access=open",
     "access: expected policy, node or full with auth=, since open asks nobody"},
    {"mqtt://127.0.0.1:1?auth=certificate,password",
     "auth: expected certificate only with mqtts://, wss:// or https://"},
    {"mqtts://h:1?auth=psk", "auth: expected psk only with mqtts+psk://"},
    {"mqtts+psk://h:1?auth=password", "auth: expected psk, or nothing, with mqtts+psk://"},
    {"mqtts://h:1?auth=password&ca=c", "ca: expected only with certificate in auth="},
    {"http://127.0.0.1:1?auth=password,authorizer:a",
     "auth: expected certificate, password or jwt where HTTP is spoken"},
    {"http://0.0.0.0:1?auth=password",
     "auth: passwords could be read on their way to 0.0.0.0: expected TLS, a loopback address, or &i-know=1"},
    {"mqtts://h:1?access=open", "mqtts: expected cert=FILE and key=FILE"},
    {"mqtts://h:1?cert=a&ca=b", "mqtts: expected cert=FILE and key=FILE"},
    {"wss://h:1?access=open", "wss: expected cert=FILE and key=FILE"},
    {"https://h:1?ca=c", "https: expected cert=FILE and key=FILE"},
    {"https://h:1/things?cert=a&key=k&ca=c",
     "expected a port from 0 to 65535 behind the host, found \"1/things\""},
    {"https://h:1?cert=a&key=k",
     "TLS without ca: expected access=open or ca=FILE, since nobody can prove who he is"},
    {"http://127.0.0.1:1",
     "plain TCP: expected access=open (or https:// with ca=), since nobody can prove who he is"},
    {"http://0.0.0.0:1?access=open",
     "access=open lets everybody who reaches 0.0.0.0 do everything: expected a loopback address, or &i-know=1"},
    {"http://h:1?http=1", "http: expected only with unix://"},
    {"unix:///x?http=yes", "http: expected 1, found \"yes\""},
    {"ws://127.0.0.1:9001",
     "plain TCP: expected access=open (or wss:// with ca=), since nobody can prove who he is"},
    {"ws://0.0.0.0:9001?access=open",
     "access=open lets everybody who reaches 0.0.0.0 do everything: expected a loopback address, or &i-know=1"},
    {"mqtt://127.0.0.1:1883",
     "plain TCP: expected access=open (or mqtts:// with ca=), since nobody can prove who he is"},
    {"mqtt://127.0.0.1:1883?access=full",
     "plain TCP: expected access=open (or mqtts:// with ca=), since nobody can prove who he is"},
    {"mqtts://h:1?cert=a&key=b&access=node",
     "TLS without ca: expected access=open or ca=FILE, since nobody can prove who he is"},
    {"mqtt://0.0.0.0:1883?access=open",
     "access=open lets everybody who reaches 0.0.0.0 do everything: expected a loopback address, or &i-know=1"},
    {"mqtt://[::]:1883?access=open",
     "access=open lets everybody who reaches :: do everything: expected a loopback address, or &i-know=1"},
    {"mqtt://[::ffff:10.0.0.1]:1883?access=open",
     "access=open lets everybody who reaches ::ffff:10.0.0.1 do everything: expected a loopback address, or "
     "&i-know=1"},
    {"mqtt://127.0.0.1.example.com:1883?access=open",
     "access=open lets everybody who reaches 127.0.0.1.example.com do everything: expected a loopback address, or "
     "&i-know=1"},
    {"mqtts://gateway:1?cert=a&key=b&ca=c&access=open",
     "access=open lets everybody who reaches gateway do everything: expected a loopback address, or &i-know=1"},
};

TEST(a_uri_that_will_not_do_is_refused_with_what_was_expected)
{
    for (size_t i = 0; i < array_size(bad); i++) {
        struct listener_uri uri = {.port = 42};
        char *why = NULL;
        if (listener_uri_parse(&uri, bad[i].text, &why) != -EINVAL)
            FAIL("%s: is taken", bad[i].text);
        CHECK_STR(why, bad[i].said);
        CHECK_INT(uri.port, 42); /* not touched */
        free(why);
    }
}

TEST(a_uri_says_how_clients_say_who_they_are)
{
    static const struct {
        const char *text;
        unsigned auth;
        enum listener_access access;
        const char *authorizer;
        bool own_certificate;
    } cases[] = {
        {"mqtt://127.0.0.1:1?auth=password", LISTENER_AUTH_PASSWORD, LISTENER_POLICY, NULL, false},
        {"mqtt://0.0.0.0:1?auth=jwt,password&i-know=1", LISTENER_AUTH_PASSWORD | LISTENER_AUTH_JWT,
         LISTENER_POLICY, NULL, false},
        {"mqtts://h:1?auth=password,certificate&access=node",
         LISTENER_AUTH_PASSWORD | LISTENER_AUTH_CERTIFICATE, LISTENER_NODE, NULL, true},
        {"wss://h:1?cert=a&key=k&auth=authorizer:shop&access=full", LISTENER_AUTH_AUTHORIZER, LISTENER_FULL,
         "shop", false},
        {"mqtts://h:1?cert=a&key=k&ca=c&auth=certificate", LISTENER_AUTH_CERTIFICATE, LISTENER_NODE, NULL,
         false},
        {"mqtts+psk://h:1?auth=psk", LISTENER_AUTH_PSK, LISTENER_NODE, NULL, false},
        {"unix:///x?auth=password", LISTENER_AUTH_PASSWORD, LISTENER_POLICY, NULL, false},
    };
    for (size_t i = 0; i < array_size(cases); i++) {
        struct listener_uri uri, copy;
        char *why = NULL;
        if (listener_uri_parse(&uri, cases[i].text, &why) < 0)
            FAIL("%s: %s", cases[i].text, why);
        listener_uri_copy(&copy, &uri);
        listener_uri_done(&uri);
        CHECK_INT(copy.auth, cases[i].auth);
        CHECK_INT(copy.access, cases[i].access);
        check_text(copy.authorizer, cases[i].authorizer);
        CHECK_INT(copy.own_certificate, cases[i].own_certificate);
        listener_uri_done(&copy);
    }
}

TEST(a_path_fits_into_the_address_of_a_socket)
{
    char text[200] = "unix://";
    memset(text + 7, '/', 107);
    struct listener_uri uri;
    char *why = NULL;
    CHECK_INT(listener_uri_parse(&uri, text, &why), 0);
    listener_uri_done(&uri);
    text[7 + 107] = '/';
    CHECK_INT(listener_uri_parse(&uri, text, &why), -EINVAL);
    CHECK_STR(why, "expected a path of at most 107 bytes for a Unix socket, found 108");
    free(why);
}

TEST(a_sentence_does_not_quote_a_whole_book)
{
    char text[4096] = "mqtt://h:";
    memset(text + 9, '9', sizeof text - 10);
    struct listener_uri uri;
    char *why = NULL;
    CHECK_INT(listener_uri_parse(&uri, text, &why), -EINVAL);
    CHECK(strlen(why) < 300);
    free(why);
}
