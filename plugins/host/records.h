/* Records for a connector: what uplinks ask the plugin to deliver, and its results on their way back.
 *
 *      $gatehouse/plugins/NAME/deliver/TOPIC ─▶ records ─▶ deliver() ─▶ the response topic, {"result":…,"reason":…}
 *
 * They come at QoS 0 and are nobody's here: the uplink has them until it has an answer, and publishes them again to whoever
 * comes after a crash. What says which record it is, is the correlation data, and goes back as it came.
 */
#pragma once

#include "host/inbox.h"

struct host;

struct records {
    struct inbox inbox;
    char *prefix; /* of the topics; NULL: the plugin is no connector */
};

void records_init(struct host *host);
void records_done(struct host *host);
/* For a plugin with deliver(): subscribes. */
void records_start(struct host *host);

/* Is it a record? Then it is in the box. -ENOMEM. */
int records_add(struct host *host, const struct wire_packet *publish) must_check;
void records_hand_over(struct host *host);
int32_t records_settle(struct host *host, uint64_t token, int32_t result, const char *reason);
