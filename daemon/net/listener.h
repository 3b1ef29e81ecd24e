/* Listeners: a URI says where to listen, how, and what those who come may do.
 *
 *      mqtt://127.0.0.1:1883?access=open        mqtts://0.0.0.0:8883?cert=server.pem&key=server.key&ca=ca.pem
 *      unix:///run/gatehouse/mqtt.sock
 */
#pragma once

#include "net/conn.h"

struct ssl_ctx_st;

enum listener_scheme { LISTENER_MQTT, LISTENER_MQTTS, LISTENER_UNIX };
/* open: no authentication, every topic allowed (development and tests; refused on a non-loopback address unless
 * i-know=1). full: who has authenticated may use every topic. node: who has authenticated as NAME may use NAME's topics. */
enum listener_access { LISTENER_NODE, LISTENER_FULL, LISTENER_OPEN };

struct listener_uri {
    enum listener_scheme scheme;
    enum listener_access access;
    char *host; /* without brackets; path of a Unix socket */
    uint16_t port;
    char *cert, *key, *ca; /* PEM files; ca: client certificates are asked for and must be signed by it */
    unsigned mode;         /* Unix socket's permission bits, ?mode=0660 */
};

/* Parses and checks; on -EINVAL *why (free it) is a sentence that says what was expected and what was found. */
int listener_uri_parse(struct listener_uri *ret, const char *text, char **why) must_check;
void listener_uri_done(struct listener_uri *uri);

struct listener;
struct listener_user {
    /* Somebody has come. The conn is not made yet: the user makes it with conn_new(fd, tls) or closes both. The listener
     * is not closed from here. */
    void (*accepted)(struct listener_user *user, struct listener *listener, int fd, struct ssl_st *tls);
};

/* Binds and listens. On failure *why (free it) says what could not be done. */
int listener_open(struct listener **ret, struct loop *loop, const struct listener_uri *uri,
                  struct listener_user *user, char **why) must_check;
struct listener *listener_close(struct listener *listener);
define_cleanup(struct listener *, listener_close)

const struct listener_uri *listener_uri(const struct listener *listener);
/* The URI with the real port, for the log line `listening on URI`: without the query. */
const char *listener_name(const struct listener *listener);

/* Reads certificates and keys anew; live connections keep what they have. */
int listener_reload(struct listener *listener, char **why) must_check;
