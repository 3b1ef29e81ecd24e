/* A connection that speaks HTTP, and the server as its files see it. */
#pragma once

#include "http/http_server.h"

struct http_server {
    struct bus *bus;
    struct loop *loop;
    struct rest *rest;
    struct http_options options;
    struct http_counters counters;
    struct list peers, doors;
    struct subscriber subscriber; /* answers status requests */
    struct subscription status;
    bool stopping;
};

struct http_door {
    struct listener_user user;
    struct listener *listener; /* NULL: closed */
    struct http_server *server;
    struct principal *everybody; /* NULL: by certificate */
    bool loopback;               /* it is at a loopback address */
    struct list link;
};

/* http_status.c */
void http_status_open(struct http_server *server);
void http_status_close(struct http_server *server);

struct http_peer;

/* Takes the endpoint over, also when it fails; -EUSERS: there are as many as there may be. The door outlives its peers. */
int http_peer_new(struct http_server *server, struct http_door *door, struct endpoint *endpoint) must_check;
/* No further request is taken. */
void http_peer_stop(struct list *link);
/* At once and silently. */
void http_peer_free(struct list *link);
