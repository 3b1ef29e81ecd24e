/* The part of a link that runs on threads which are not the loop's: what is handed to Paho, and what Paho answers.
 *
 * One struct paho is one connection after another, each from paho_open() to paho_close(), both on the worker's thread.
 * A handle is used for one connection only: Paho would send again by itself what an old connection left unacknowledged,
 * and that is decided by whoever published it. While no handle exists, Paho has no threads.
 *
 * Paho calls back under its process-wide lock, on threads of its own or from inside paho_close(), and not at all after
 * paho_close() has returned. Every callback is a note to the loop; a connection says `up` once at most and `ended` once at
 * most, in this order.
 */
#pragma once

#include "cloud/mqtt_link.h"

enum { PAHO_REASON_MAX = 200 };

struct paho {
    char *uri, *client_id, *ca, *cert, *key, *username, *password;
    unsigned keepalive_s;
    int protocol; /* 4, 5 */
    struct inbox *inbox;
    struct note up, ended;

    /* Paho's threads', under Paho's lock. The loop looks at them in a note and between close and open. */
    void *handle;
    bool over;                    /* `ended` has been posted */
    char reason[PAHO_REASON_MAX]; /* why it ended */
    char tls[PAHO_REASON_MAX];    /* OpenSSL's first words about it */
    unsigned receive_max;         /* what the broker takes at once; 0: it did not say */
};

/* Creates a handle and begins to connect. When it fails (−errno) `reason` says why and there will be no note. */
int paho_open(struct paho *paho);
/* Says DISCONNECT when there is somebody to say it to, closes, forgets. Up to a second and a bit, while Paho's threads
 * end. */
void paho_close(struct paho *paho);
/* Hands over one message; the answer comes as publish->note with publish->answer. −errno: it does not. */
int paho_publish(struct paho *paho, struct mqtt_link_publish *publish);
