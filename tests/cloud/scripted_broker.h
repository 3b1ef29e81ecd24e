/* A broker that does what the test says, on the test's own loop: answers or does not, acknowledges or does not, hangs up.
 * One connection at a time. What it is asked stays here, across connections.
 */
#pragma once

#include "base/loop.h"
#include "wire/mqtt.h"

enum { SCRIPTED_MAX = 4096 };

struct scripted_broker {
    struct loop *loop;
    uint16_t port;
    struct watch door, peer; /* peer.fd -1: nobody is there */

    /* the script */
    bool silent;          /* a CONNECT gets no answer */
    uint8_t refusal;      /* of every CONNECT: a return code of 3.1.1, or an MQTT 5 reason */
    uint16_t receive_max; /* MQTT 5: said in CONNACK when not 0 */
    uint32_t packet_max;  /* the same */
    bool acknowledges;    /* a PUBLISH of QoS 1, at once */
    uint8_t reason;       /* MQTT 5: of every acknowledgement */
    uint8_t suback; /* the code of every SUBACK, when it is a refusal; else the QoS that was asked for */
    bool mute;      /* a SUBSCRIBE gets no answer */

    /* what came */
    enum wire_version version;
    unsigned connects, disconnects; /* DISCONNECT packets */
    unsigned hang_ups;              /* connections that ended, from the other side */
    char client_id[64], username[64], password[64];
    bool clean;
    uint16_t keepalive_s;
    unsigned publishes;                                 /* all; the latest ones' numbers and topics: */
    unsigned numbers[SCRIPTED_MAX];                     /* payload as a number */
    uint8_t qos[SCRIPTED_MAX], retain[SCRIPTED_MAX];    /* of each */
    char topics[SCRIPTED_MAX][32];                      /* cut */
    uint16_t unacknowledged[SCRIPTED_MAX];              /* packet ids, oldest first */
    unsigned unacknowledged_count, unacknowledged_most; /* now, and at most so far on any connection */

    unsigned subscribes, unsubscribes; /* packets */
    char filters[2048];                /* of both, in order: "+a/b -a/b " */
    unsigned pubacks;                  /* of what it published */

    uint8_t in[1 << 20];
    size_t in_len;
};

void scripted_broker_init(struct scripted_broker *broker, struct loop *loop);
void scripted_broker_done(struct scripted_broker *broker);

/* Acknowledges the oldest n. */
void scripted_broker_acknowledge(struct scripted_broker *broker, unsigned n);
/* Ends the connection: without a word, or (MQTT 5) with a DISCONNECT of this reason. */
void scripted_broker_hang_up(struct scripted_broker *broker);
void scripted_broker_disconnect(struct scripted_broker *broker, uint8_t reason);
/* Sends the client a message. */
void scripted_broker_publish(struct scripted_broker *broker, const char *topic, const void *payload,
                             size_t len, uint8_t qos, bool retain);
