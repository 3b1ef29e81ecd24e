/* Listeners: a URI says where to listen, how, and what those who come may do.
 *
 *      mqtt://127.0.0.1:1883?access=open        mqtts://0.0.0.0:8883?cert=server.pem&key=server.key&ca=ca.pem
 *      ws://127.0.0.1:9001/mqtt?access=open     wss://0.0.0.0:443/mqtt?cert=…&key=…&ca=…&origin=https://hmi.example
 *      mqtts+psk://0.0.0.0:8884                 for paired nodes, who have a key in place of a certificate (psk.h)
 *      http://127.0.0.1:8080?access=open        https://0.0.0.0:8443?cert=…&key=…&ca=…
 *      serial:///dev/ttyACM0?baud=115200        for a node on a cable, with a key as above (cable.h)
 *      unix:///run/gatehouse/mqtt.sock          unix:///run/gatehouse/http.sock?http=1
 *
 * http, https, and http=1 on a Unix socket: requests and answers in place of MQTT.
 *
 * ws and wss are MQTT over WebSocket, for browsers above all; the path is /mqtt unless another is given. A browser says
 * whose page it is that wants to connect (Origin), other programs say nothing of the kind and are let in. Which pages may:
 *
 *      without origin=                       those that come from the same host, whatever the port; on a loopback address
 *                                            that host must have a loopback name, too
 *      origin=https://a.example,http://b:81  these, written as a browser does: lower case, the port only if it is not 80
 *                                            or 443
 *      origin=*                              all: every site that somebody here visits can then connect through his browser
 *
 * Further keys, for all that it makes sense for:
 *
 *      auth=WAY,WAY                          how clients say who they are: certificate, password (a user of gatehouse user),
 *                                            jwt (a token in place of the password), authorizer:NAME. Certificates are then asked
 *                                            for only with certificate among them, and whoever has none uses another way.
 *                                            access= is policy unless it is given; without TLS only at a loopback address, or
 *                                            with i-know=1
 *      cert=FILE&key=FILE&cert=FILE&key=FILE several certificates: each client is shown the one for the name that it asks
 *                                            for (SNI), else the first
 *      certs=FOLDER                          more of them, NAME.pem and NAME.key
 *      crl=FILE                              with ca=: certificates that are in these lists are refused, and so are all of an
 *                                            authority without a list
 *      fd=NAME                               the socket that systemd has passed under that name; it must have the address
 *                                            that the URI says. Without fd= one that has it is taken over, too
 *      proxy=1&proxy-from=10.0.0.0/8,::1     a load balancer is in front: connections must come from one of these (without
 *                                            proxy-from=, from this machine) and begin with a PROXY header, version 2
 *      connect-rate=N                        so many connections a second, and N at once after a quiet second; others wait
 *                                            in the backlog (1024 of them, then the kernel lets them try again)
 *      baud=N                                of a serial line, 115200 unless it is given
 *      pair=ask                              a node on that cable may be paired without a code when a person approves it;
 *                                            auto: without being asked, on a bench; off: not at all
 *      connections-per-address=N             at the same time, of who is behind the proxy if there is one; an IPv6 address
 *                                            counts as its /64. Others are closed at once
 */
#pragma once

#include "net/address.h"
#include "net/conn.h"
#include "net/psk.h"
#include "net/tls.h"

enum listener_scheme {
    LISTENER_MQTT,
    LISTENER_MQTTS,
    LISTENER_MQTTS_PSK,
    LISTENER_WS,
    LISTENER_WSS,
    LISTENER_HTTP,
    LISTENER_HTTPS,
    LISTENER_SERIAL,
    LISTENER_UNIX
};
enum listener_pair { LISTENER_PAIR_ASK, LISTENER_PAIR_AUTO, LISTENER_PAIR_OFF };
/* open: no authentication, every topic allowed (development and tests; refused on a non-loopback address unless
 * i-know=1). full: who has authenticated may use every topic. node: who has authenticated as NAME may use NAME's topics.
 * policy: certificates that are registered and ACTIVE, and their policies; without cert= and key= the gateway shows a
 * certificate of its own authority. */
enum listener_access { LISTENER_NODE, LISTENER_FULL, LISTENER_OPEN, LISTENER_POLICY };

/* How those who come say who they are; bits. None: by certificate, or as access says. */
enum listener_auth {
    LISTENER_AUTH_CERTIFICATE = 1,
    LISTENER_AUTH_PSK = 2,
    LISTENER_AUTH_PASSWORD = 4,
    LISTENER_AUTH_JWT = 8,
    LISTENER_AUTH_AUTHORIZER = 16,
    LISTENER_AUTH_LOGIN = LISTENER_AUTH_PASSWORD | LISTENER_AUTH_JWT | LISTENER_AUTH_AUTHORIZER,
};

enum { LISTENER_CERTS_MAX = 16, LISTENER_PROXIES_MAX = 16 };

struct listener_uri {
    enum listener_scheme scheme;
    enum listener_access access;
    unsigned auth;    /* enum listener_auth */
    char *authorizer; /* its name, with LISTENER_AUTH_AUTHORIZER */
    char *host;       /* without brackets; path of a Unix socket or of a serial line */
    uint16_t port;
    struct tls_files
        certs[LISTENER_CERTS_MAX]; /* the first is shown unless another is for the name asked for (SNI) */
    size_t cert_count;
    char *folder;         /* of further ones, NAME.pem and NAME.key */
    char *ca;             /* PEM file: client certificates are asked for and must be signed by one of these */
    char *crl;            /* PEM file: what those have revoked */
    char *path, *origins; /* of WebSocket; no origins: pages of the same host */
    unsigned mode;        /* Unix socket's permission bits, ?mode=0660 */
    bool own_certificate; /* none is given: the gateway's own is shown. Whoever opens it fills certs in */
    unsigned baud;        /* of a serial line */
    enum listener_pair pair; /* who comes by it */
    bool http;               /* Unix socket: HTTP is spoken there, not MQTT */
    bool tls12;              /* with shared keys: TLS 1.2, too */
    char
        *fd_name; /* FileDescriptorName of a socket that systemd passes; NULL: by address, else one is made */
    bool proxy;   /* connections begin with a PROXY protocol header, version 2 */
    struct address_range proxy_from[LISTENER_PROXIES_MAX]; /* and come from one of these */
    size_t proxy_from_count;
    unsigned connect_rate;            /* a second, for all together; 0: no limit */
    unsigned connections_per_address; /* at the same time; an IPv6 address counts as its /64; 0: no limit */
};

/* Parses and checks; on -EINVAL *why (free it) is a sentence that says what was expected and what was found. */
int listener_uri_parse(struct listener_uri *ret, const char *text, char **why) must_check;
void listener_uri_copy(struct listener_uri *ret, const struct listener_uri *uri);
void listener_uri_done(struct listener_uri *uri);

static inline bool listener_has_tls(const struct listener_uri *uri)
{
    return uri->scheme == LISTENER_MQTTS || uri->scheme == LISTENER_MQTTS_PSK ||
           uri->scheme == LISTENER_SERIAL || uri->scheme == LISTENER_WSS || uri->scheme == LISTENER_HTTPS;
}

/* TLS with keys shared with nodes (psk.h), no certificates. */
static inline bool listener_has_psk(const struct listener_uri *uri)
{
    return uri->scheme == LISTENER_MQTTS_PSK || uri->scheme == LISTENER_SERIAL;
}

static inline bool listener_has_websocket(const struct listener_uri *uri)
{
    return uri->scheme == LISTENER_WS || uri->scheme == LISTENER_WSS;
}

static inline bool listener_has_http(const struct listener_uri *uri)
{
    return uri->scheme == LISTENER_HTTP || uri->scheme == LISTENER_HTTPS || uri->http;
}

/* Whoever comes may say in CONNECT who he is. */
static inline bool listener_has_login(const struct listener_uri *uri)
{
    return (uri->auth & LISTENER_AUTH_LOGIN) != 0;
}

/* "mqtt", "mqtts", … */
const char *listener_scheme_name(enum listener_scheme scheme);

struct listener;
struct listener_user {
    /* Somebody has come. The conn is not made yet: the user makes it with conn_new() or calls endpoint_close(). The
     * listener is not closed from here. When the connection is gone, or was not wanted, listener_left() says so. */
    void (*accepted)(struct listener_user *user, struct listener *listener, struct endpoint *endpoint);
    struct tls_gate *gate; /* asked about client certificates (tls.h); NULL: nobody */
    struct psk_keys
        *keys; /* for a listener with shared keys; NULL: there are none, and it cannot be opened */
};

/* Binds and listens. On failure *why (free it) says what could not be done. */
int listener_open(struct listener **ret, struct loop *loop, const struct listener_uri *uri,
                  struct listener_user *user, char **why) must_check;
struct listener *listener_close(struct listener *listener);
define_cleanup(struct listener *, listener_close)

const struct listener_uri *listener_uri(const struct listener *listener);
/* The URI with the real port, for the log line `listening on URI`: without the query. */
const char *listener_name(const struct listener *listener);

/* When the first of the certificates it shows expires, seconds since 1970; 0: it shows none. */
int64_t listener_expires(const struct listener *listener);

/* A connection that accepted() has brought is gone; from: conn_address(). listener may be NULL: closed since. */
void listener_left(struct listener *listener, const struct address *from);

/* What came, so far, and what did not get to the user. */
struct listener_counters {
    uint64_t accepted;
    uint64_t held_back;           /* times that those who knocked had to wait because of connect-rate */
    uint64_t refused_per_address; /* because of connections-per-address */
    uint64_t refused_proxy;       /* not a proxy, or without a header that will do */
    uint64_t exhausted; /* times that descriptors or memory ran out: those who knocked had to wait */
};
void listener_counters(const struct listener *listener, struct listener_counters *ret);

/* Reads certificates and keys anew; live connections keep what they have. Sessions can still be resumed, unless the
 * authorities are others. */
int listener_reload(struct listener *listener, char **why) must_check;
