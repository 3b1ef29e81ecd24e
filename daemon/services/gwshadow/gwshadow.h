/* The gateway's own state as a shadow: the named shadow `gatehouse` of the thing with the gateway's name. Whoever watches
 * devices by their shadows watches the gateway, too, and a [sync] section takes it to the cloud.
 *
 * It is made of what the others answer on their topics ($gatehouse/ctl/…/status and list), asked every 30 seconds, and
 * reported when something has changed: at most one update in 30 seconds, whatever flaps. What changes all the time by
 * itself (the uptime, the size of the database) goes along with the rest and is no reason of its own. gw_report.h says
 * what is in it.
 */
#pragma once

#include "base/base.h"

struct gwshadow;
struct bus;

/* NULL in *ret when the name is none of a thing: that has been logged. */
int gwshadow_new(struct gwshadow **ret, struct bus *bus, const char *name) must_check;
struct gwshadow *gwshadow_free(struct gwshadow *own);
define_cleanup(struct gwshadow *, gwshadow_free)
