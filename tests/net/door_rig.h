/* For tests of listeners: one that writes down who has come, and ways to knock at it. */
#pragma once

#include "net/listener.h"
#include "net/net_rig.h"

enum { GUESTS_MAX = 128 };

/* A listener, and what came. */
struct door {
    struct listener_user user;
    struct net_rig *rig;
    struct listener *listener;
    char *folder, *why;
    unsigned count;
    int fds[GUESTS_MAX];
    struct ssl_st *tls[GUESTS_MAX];
    struct websocket *websocket[GUESTS_MAX];
    struct address from[GUESTS_MAX];
};

void door_init(struct door *door);
void door_done(struct door *door);
int door_open(struct door *door, const char *text);
void door_must_open(struct door *door, const char *text);
unsigned port_of(const struct door *door);

/* Descriptors of guests; knock_unix() gives -errno when it does not succeed, and is non-blocking. */
int knock_tcp(const struct door *door);
int knock_unix(const char *path);
