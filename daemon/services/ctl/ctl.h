/* Ctl: what the gateway says about itself.
 *
 * Answers `$gatehouse/ctl/gateway/status`: version, name, uptime, and the counters of loop, bus and store. Every other
 * service answers for itself; the command line puts the answers together.
 */
#pragma once

#include "bus/bus.h"
#include "store/store.h"

struct ctl;

int ctl_new(struct ctl **ret, struct bus *bus, struct store *store, const char *name, const char *version)
    must_check;
struct ctl *ctl_free(struct ctl *ctl);
define_cleanup(struct ctl *, ctl_free)
