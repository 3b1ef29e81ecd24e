/* What the cloud says becomes messages here: maps from topics there to topics here.
 *
 *      [downlink NAME]  filter = cmd/+/set   topic = plant/${1}/set      cmd/pump/set ─▶ plant/pump/set
 *
 *      ${topic}         the topic at the cloud
 *      ${1} … ${9}      what the filter's wildcards stand for, in order; # is the rest
 *
 * Whatever the maps say, a message is also at $gatehouse/cloud/NAME/receive/TOPIC. What is made by a map carries its uplink as
 * who published it, so that it is not sent back there (msg_came_from()), and is one hop further than what it was made of.
 */
#pragma once

#include "bus/bus.h"

struct uplink_map_options {
    const char *name, *uplink, *filter, *topic;
};

/* NULL, or what was expected instead of this template of a map with that filter. Pure. */
const char *uplink_map_check(const char *filter, const char *topic);

/* The maps of one uplink. */
struct uplink_maps {
    struct uplink_map *all;
    size_t count;
    size_t prefix_len; /* of received messages' topics, up to the cloud's topic */
};

/* Replaces them by those of `options` that are `uplink`'s. Texts are copied. */
void uplink_maps_set(struct uplink_maps *maps, const char *uplink, const struct uplink_map_options *options,
                     size_t count);
void uplink_maps_done(struct uplink_maps *maps);

/* Their filters, as uplink_filters_set() wants them; free it. */
char *uplink_maps_filters(const struct uplink_maps *maps);
/* Publishes what a received message becomes. */
void uplink_maps_apply(const struct uplink_maps *maps, struct bus *bus, const struct msg *msg);
