/* A house with a broker in it for tests that speak bytes: a loop whose clock is moved by hand, a bus, a broker behind a
 * Unix socket in a folder of its own (or, for WebSocket, on the loopback), and up to 26 clients' sockets, all in this
 * thread.
 *
 *      struct house *house = house_new(&options);
 *      house_send(house, 'A', bytes, len);       opens A's connection
 *      house_turn(house);                        the broker reads and answers until nothing more happens
 *      house->clients['A' - 'A'].in              what has come
 */
#pragma once

#include "mqtt/broker.h"

struct house_client {
    int fd; /* -1: no connection */
    uint8_t *in, *out;
    size_t in_len, in_size, out_len;
    bool ended; /* the broker has closed */
};

enum { HOUSE_CLIENTS = 26, HOUSE_PATH_BYTES = 108 };

struct house_options {
    struct broker_options broker;
    bool store;       /* retained messages and durable sessions are kept: house_restart() finds them */
    bool threads;     /* the disk has threads of its own, as in the daemon */
    bool websocket;   /* they come by WebSocket, over TCP; else by a Unix socket */
    bool swordfish;   /* offers that authentication method */
    const char *node; /* who comes in is this node; else */
    const char *publish,
        *subscribe; /* a plugin that may use these filters; both NULL: anybody who may do everything */
};

struct house {
    struct clock clock;
    struct loop *loop;
    struct store *store;
    struct seglogs *logs;
    struct bus *bus;
    struct broker *broker;
    struct door *door;
    struct principal *everybody;
    struct house_options options;
    struct house_client clients[HOUSE_CLIENTS];
    struct house_keeper *keeper;
    char folder[64], path[HOUSE_PATH_BYTES];
    uint16_t port;     /* of WebSocket */
    bool disk_is_slow; /* with threads: house_turn() does not wait for them */
};

struct house_options house_options(void);
struct house *house_new(const struct house_options *options);
struct house *house_free(struct house *house);

/* Turns the loop and fetches what came until nothing more happens. */
void house_turn(struct house *house);
/* Moves the clock, in steps small enough that timers fire one after the other. */
void house_wait(struct house *house, int64_t ms);
/* The broker and the bus end, all connections with them; new ones begin on the same store. */
void house_restart(struct house *house);

void house_connect(struct house *house, char who);
void house_send(struct house *house, char who, const void *bytes, size_t len);
void house_hang_up(struct house *house, char who);
/* Forgets the first len bytes of what came. */
void house_take(struct house *house, char who, size_t len);
/* Forgets a connection that has ended. */
void house_forget(struct house *house, char who);

/* Somebody on the bus keeps messages on slow/# and has not said yet how it went: r 0 or a reason code settles one.
 * false: there is none. */
bool house_settle(struct house *house, bool newest, int r);
