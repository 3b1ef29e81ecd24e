/* What came from another cloud and was sent to this one, for a minute: so that one knows it again when it comes back.
 *
 * Between two uplinks that take the topics from each other's cloud a message goes round for ever. Over MQTT 5 it carries how far it has come
 * (cloud/mqtt_link.h); MQTT 3.1.1 has no words for that, so its topic and payload are remembered. Whoever says the same there within that
 * minute is taken for the echo: that is one message that has come further than it has, and only after several rounds one that is dropped.
 *
 * A ring of sums, which is made when it is needed: the oldest makes room. Pure: time is an argument, in ms.
 */
#pragma once

#include "base/msg.h"

struct uplink_echo {
    struct uplink_sent *sent; /* NULL: nothing was */
    unsigned next;
};

void uplink_echo_done(struct uplink_echo *echo);
/* A message that had hops went to TOPIC there. */
void uplink_echo_sent(struct uplink_echo *echo, const char *topic, const struct msg *msg, int64_t now);
/* The hops that a message had which came from TOPIC there, when it went; 0: it is not known. */
uint8_t uplink_echo_hops(const struct uplink_echo *echo, const char *topic, const struct msg *msg,
                         int64_t now);
