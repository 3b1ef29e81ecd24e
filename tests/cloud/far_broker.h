/* The far end of a connection through a proxy and TLS, on a thread of its own: takes one connection after the other, notes
 * what it is told on each layer, answers the CONNECT, and says nothing more. What it notes is read after it has ended, or
 * after the link is up.
 */
#pragma once

#include "base/base.h"

#include <pthread.h>

struct far_broker {
    /* what it is to do */
    const char *cert, *key;  /* PEM files; NULL: no TLS */
    bool is_proxy;           /* an HTTP CONNECT comes first */
    const char *credentials; /* base64, that the proxy insists on; NULL: none */
    bool session_present;    /* says so in CONNACK */
    const char *alpn;        /* chosen when it is offered */

    /* what it noted, of the last connection that came so far */
    char proxy_head[512], sni[128], offered[128]; /* offered: ALPN, with blanks between them */
    uint8_t connect[1024];                        /* the CONNECT packet */
    size_t connect_len;
    unsigned refused_by_proxy;

    uint16_t port;
    int door;
    pthread_t thread;
};

void far_broker_start(struct far_broker *broker);
void far_broker_end(struct far_broker *broker);
