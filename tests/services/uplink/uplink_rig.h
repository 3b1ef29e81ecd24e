/* Uplinks on a bus, and a real broker for them.
 *
 *      cleanup(uplink_rig_free_p) struct uplink_rig *rig = uplink_rig_new("allow_anonymous true\n");
 *      mosquitto_start(&rig->broker);
 *      uplink_rig_open(rig, (struct uplink_options){0});
 *      UNTIL(&rig->cloud, uplink_rig_is(rig, "up"));
 */
#pragma once

#include "cloud/cloud_rig.h"
#include "cloud/mosquitto.h"
#include "services/uplink/uplink.h"

enum { UPLINK_RIG_MESSAGES = 1200, UNSETTLED = INT32_MIN, NOT_CONNECTED = 0x83 };

struct uplink_rig {
    struct cloud_rig cloud;
    struct mosquitto broker;
    char uri[64];
    struct bus *bus;
    struct uplinks *uplinks;

    struct subscriber listener;
    struct subscription status, answers;
    char states[1024]; /* the status messages' states, in order: "connecting up down " */
    char last[1024];   /* the last status message */
    char answer[4096]; /* the last answer to a request; "" when there is none yet */

    int settled[UPLINK_RIG_MESSAGES]; /* of message i: UNSETTLED, or its result */
    unsigned sent, settled_count;
};

/* The broker's configuration; it does not run yet. */
struct uplink_rig *uplink_rig_new(const char *configuration);
struct uplink_rig *uplink_rig_free(struct uplink_rig *rig);
define_cleanup(struct uplink_rig *, uplink_rig_free)

/* One uplink, "cloud", to the broker unless the options name another address. Pauses are short. */
void uplink_rig_open(struct uplink_rig *rig, struct uplink_options options);
void uplink_rig_close(struct uplink_rig *rig);

/* Publishes "I" to the cloud on topic t/I, I being the number of the message. */
void uplink_rig_send(struct uplink_rig *rig, unsigned count);
void uplink_rig_publish(struct uplink_rig *rig, const char *topic, uint8_t qos, bool retain);

/* Is that its state now? */
bool uplink_rig_is(const struct uplink_rig *rig, const char *state);
/* How often the broker has received message i. */
unsigned uplink_rig_received(struct uplink_rig *rig, unsigned i);

/* Publishes a request and waits for its answer. */
const char *uplink_rig_ask(struct uplink_rig *rig, const char *topic, const char *payload);
