/* What a listener says of itself, in the words of $gatehouse/ctl/broker/status and $gatehouse/ctl/http/status. */
#pragma once

#include "base/json_write.h"
#include "net/listener.h"

/* {"uri","accepted","heldBack",…}: its counters. NULL, a listener that is closed, writes nothing. */
void listener_put_counters(const struct listener *listener, struct json_writer *w);
/* {"listener","expires"}: when its certificate expires; one that has none, or is closed, writes nothing. */
void listener_put_certificate(const struct listener *listener, struct json_writer *w);
