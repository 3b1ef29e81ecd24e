/* The part of a link that runs on threads which are not the loop's: what is handed to Paho, and what Paho answers.
 *
 * One struct paho is one connection after another, each from paho_open() to paho_close(), both on the worker's thread.
 * A handle is used for one connection only: Paho would send again by itself what an old connection left unacknowledged,
 * and that is decided by whoever published it. While no handle exists, Paho has no threads.
 *
 * Paho calls back under its process-wide lock, on threads of its own or from inside paho_close(), and not at all after
 * paho_close() has returned. Every callback is a note to the loop; a connection says `up` once at most and `ended` once at
 * most, in this order. A message that arrives is a struct paho_arrival, made on Paho's thread and taken by the loop; how
 * many there are at once is limited, and counted with atomics.
 *
 * The daemon loads this when the first link opens: a function that is added here is added in lazy/paho*, too.
 */
#pragma once

#include "cloud/mqtt_link.h"

#include <stdatomic.h>

enum { PAHO_REASON_MAX = 200, PAHO_ARRIVALS_MAX = 1000, PAHO_ARRIVAL_BYTES_MAX = 8 * 1024 * 1024 };

struct paho {
    char *uri; /* with its port */
    char *client_id, *ca, *cert, *key, *username, *password, *alpn, *will_topic, *will_message;
    char *proxy;        /* in Paho's words, with user and password; NULL: none */
    unsigned peer_port; /* of the proxy, or the broker */
    unsigned keepalive_s, connect_timeout_s;
    int protocol; /* 4, 5 */
    bool persistent, will_retain;
    uint32_t session_expiry_s;
    int64_t verify_time_s; /* when certificates are to be valid; 0: now */
    struct inbox *inbox;
    struct note up, ended;
    char *prefix; /* of received messages' topics; NULL: they are not taken */
    void (*arrived)(struct note *note);
    _Atomic size_t arrivals, arrival_bytes; /* that wait for the loop */
    _Atomic uint64_t lost;

    /* Paho's threads', under Paho's lock. The loop looks at them in a note and between close and open. */
    void *handle;
    struct link_key *held;        /* a key that is not in a file, while there is a handle */
    bool over;                    /* `ended` has been posted */
    char reason[PAHO_REASON_MAX]; /* why it ended */
    char tls[PAHO_REASON_MAX];    /* OpenSSL's first words about it */
    unsigned receive_max;         /* what the broker takes at once; 0: it did not say */
    size_t packet_max;            /* the bytes of a packet that it takes; 0: it did not say */
    bool session_present;         /* the broker had kept the session */
};

/* A message on its way to the loop, which owns all of it. */
struct paho_arrival {
    struct note note;
    struct paho *paho;
    struct msg *msg;
};
/* On the loop: there is room for another one. */
void paho_arrival_taken(struct paho_arrival *arrival);

/* Creates a handle and begins to connect. When it fails (−errno) `reason` says why and there will be no note. */
int paho_open(struct paho *paho);
/* Says DISCONNECT when there is somebody to say it to, closes, forgets. Up to a second and a bit, while Paho's threads
 * end. */
void paho_close(struct paho *paho);
/* Nothing comes back on the connection, and what was sent is being repeated. */
bool paho_is_stuck(const struct paho *paho);
/* Hands over one message; the answer comes as publish->ask's note and answer. −errno: it does not. */
int paho_publish(struct paho *paho, struct mqtt_link_publish *publish);
int paho_subscribe(struct paho *paho, struct mqtt_link_subscribe *subscribe);
