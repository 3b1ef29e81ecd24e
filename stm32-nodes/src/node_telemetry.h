/* Telemetry between the application and the connection: completed, numbered, and in the ring while it cannot go. */
#pragma once

#include "ghn/node.h"

/* Hands the oldest record of the ring to the connection. False when there is none, or no room for it now. */
bool ghn_telemetry_send_oldest(ghn_node *node);

/* Moves the reference point of the node's clock along, long before the milliseconds wrap. */
void ghn_telemetry_keep_time(ghn_node *node, uint32_t now);
