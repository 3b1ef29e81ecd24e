/* Says when the way into a network comes or goes, so that whoever waits for it need not try at intervals.
 *
 *      $gatehouse/status/network   retained: {"state":"up|down","since":ms,"changed":"came|went"|null,"what":text|null,"changes":n}
 *
 * "changed" is "came" whenever there is one more way than before: an address on an interface that runs, or a default route;
 * whoever waits between attempts tries now. It is null in what is said at the start.
 */
#pragma once

#include "bus/bus.h"

struct network;

int network_new(struct network **ret, struct bus *bus) must_check;
struct network *network_free(struct network *network);
define_cleanup(struct network *, network_free)
