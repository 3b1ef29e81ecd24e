/* A paired node's keys on its connections. */
#pragma once

#include "ghn/node.h"

/* Behind gh/nodes/THING/ */
#define GHN_KEY_NEXT   "key/next"
#define GHN_KEY_COMMIT "key/commit"

/* The key of the connection to come is given to the secure layer; where it leads, if the key says so. False: there is none. */
bool ghn_node_use_key(ghn_node *node, const char **host, uint16_t *port);
/* Is it a new key, and is it stored now? The gateway is told. */
bool ghn_node_take_key(ghn_node *node, const struct wire_packet *publish);
