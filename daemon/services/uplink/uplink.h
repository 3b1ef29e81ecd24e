/* Uplinks: topics of the bus that lead to the cloud, or to whatever else takes messages away (cloud/link.h).
 *
 *      $gatehouse/cloud/NAME/publish/TOPIC   sent to uplink NAME on TOPIC, QoS 0 or 1; the receipt settles when the cloud has
 *                                            acknowledged it, with a refusal when it is not connected or the cloud refuses
 *      $gatehouse/cloud/NAME/subscribe/WHO   a JSON array of filters: what WHO wants to hear of uplink NAME. It replaces what WHO
 *                                            wanted before; an empty payload takes it back. Retained, it holds for the next
 *                                            start, too
 *      $gatehouse/cloud/NAME/receive/TOPIC   what the cloud published on TOPIC
 *                                            It is also on the topics that maps make of that one (uplink_maps.h). What came from
 *                                            an uplink is not sent back to it
 *      $gatehouse/status/cloud/NAME          retained: {"name","uri","state":"up|down|connecting","since","reason",…},
 *                                            said when the state, its reason or what is subscribed changes
 *      $gatehouse/ctl/uplink/list            request: {"uplinks":[…]}, the same objects as they are now
 *      $gatehouse/ctl/uplink/cut, restore    request {"name":NAME}: disconnects on purpose; connects again. The answer is the
 *                                            uplink's object, or {"code","message"}
 *
 *      $gatehouse/status/network, clock      heard: links that wait try at once when the network comes; those that have to look at
 *                                            certificates wait until the clock is set, or take the last time that is known
 *
 * Nothing is queued here for later: what must survive an outage is a record in a stream, and the stream sends it again
 * when the status says up.
 *
 * Subscriptions are renewed after every connection, and the status says for each WHO how many of its filters stand. What
 * is received has no receipt: the cloud has its acknowledgement before anybody here has seen the message (mqtt_link.h
 * says why), and sessions at the cloud are clean unless the uplink's is persistent. So messages are missed while the uplink is down and when the daemon
 * ends at the wrong moment; whoever must not miss one asks again when the status says that its filters stand.
 */
#pragma once

#include "bus/bus.h"
#include "cloud/uplink_options.h"

struct uplinks;
struct uplink_map_options;

/* Texts are copied. Connects at once. A wrong option has been logged: -EINVAL. */
int uplinks_new(struct uplinks **ret, struct bus *bus, const struct uplink_options *options, size_t count)
    must_check;
/* The same uplinks as before stay as they are, connected; others are made, changed or go away, in later turns, and nothing
 * that is published meanwhile is taken and not delivered. -EINVAL: something is wrong, has been logged, and nothing has
 * changed. */
int uplinks_apply(struct uplinks *uplinks, const struct uplink_options *options, size_t count) must_check;
/* All maps there are (uplink_maps.h), in place of those before; of uplinks that have been applied. */
void uplinks_set_maps(struct uplinks *uplinks, const struct uplink_map_options *options, size_t count);
/* Disconnects; receipts that are still held are settled with a refusal. */
struct uplinks *uplinks_free(struct uplinks *uplinks);
define_cleanup(struct uplinks *, uplinks_free)
