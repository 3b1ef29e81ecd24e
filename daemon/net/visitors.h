/* How many connections each address has, up to a limit. An IPv6 address counts as its /64: that is what one customer has.
 * Nothing is kept for addresses that have none. For net's own files. */
#pragma once

#include "base/map.h"
#include "net/address.h"

struct visitors {
    struct map map;
    unsigned max; /* 0: no limit, and nothing is counted */
};

enum visit { VISIT_WELCOME, VISIT_FIRST_TOO_MANY /* since it last had fewer */, VISIT_TOO_MANY };

/* One more from there. */
enum visit visitors_enter(struct visitors *visitors, const struct address *address);
/* One that was welcome has gone. */
void visitors_leave(struct visitors *visitors, const struct address *address);
void visitors_done(struct visitors *visitors);
