/* The host's link to the gateway: a Unix socket, the MQTT client of wire/, and a loop that turns them.
 *
 * Everything runs on the loop's thread, which is the plugin's: while a callback of the plugin does not
 * return, nothing is sent, no PINGREQ either, and the gateway notices that the plugin hangs.
 *
 * Memory: one buffer for input, one for output, and one for each publication that is not acknowledged, as
 * large as it needs.
 */
#pragma once

#include "base/loop.h"
#include "wire/client.h"

enum {
    LINK_KEEPALIVE_S = 6,          /* half of it passes at most without a word, and a callback may take 5 s */
    LINK_SESSION_EXPIRY_S = 3600,  /* longer than any delay between two starts */
    LINK_OUTPUT_MAX = 1024 * 1024, /* so is the largest publication */
};

struct link;

struct link_user {
    void (*connected)(struct link_user *user, bool session_present);
    /* A PUBLISH; at QoS 1 it is acknowledged by link_acknowledge(). Valid during the call. */
    void (*message)(struct link_user *user, const struct wire_packet *publish);
    void (*published)(struct link_user *user, uint16_t packet_id, uint8_t reason);
    void (*subscribed)(struct link_user *user, uint16_t packet_id, uint8_t code);
    /* All output has gone. */
    void (*idle)(struct link_user *user);
    /* The link is of no more use. why is a sentence. */
    void (*lost)(struct link_user *user, const char *why);
};

struct link_options {
    const char *path; /* of the socket */
    const char *client_id;
    const char *will_topic; /* said when the link is lost */
    const char *will;
    uint32_t input_max; /* bytes of the largest packet taken */
    uint16_t window;    /* messages of QoS 1 that are not acknowledged, each way */
};

/* Texts of the options must stay. -errno when nobody listens there. */
int link_open(struct link **ret, struct loop *loop, const struct link_options *options,
              struct link_user *user) must_check;
struct link *link_close(struct link *link);
define_cleanup(struct link *, link_close)

/* Packet id (0 for QoS 0), or WIRE_BUSY, WIRE_TOO_LONG, WIRE_IS_DOWN, -ENOMEM. */
int link_publish(struct link *link, const struct wire_packet *publish);
int link_subscribe(struct link *link, const char *filter, uint8_t qos);
void link_acknowledge(struct link *link, uint16_t packet_id);
void link_disconnect(struct link *link);
/* Sends what can be sent now, and PINGREQ if it is due, without waiting for the end of the turn. */
void link_flush(struct link *link);
unsigned link_under_way(const struct link *link); /* publications that are not acknowledged */
bool link_is_idle(const struct link *link);       /* no output waits */
