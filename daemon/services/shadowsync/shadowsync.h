/* Shadows that are equal here and at a cloud: everything a [sync] section names is compared and merged, both ways.
 *
 * The cloud is whoever serves AWS IoT's shadow topics behind an uplink. Both shadow services are talked to by their topics
 * and nothing else:
 *
 *      $aws/things/…/shadow/…                     the one here
 *      $gatehouse/cloud/NAME/publish/$aws/…       the one there, asked
 *      $gatehouse/cloud/NAME/receive/$aws/…       and answering
 *
 * What leads to a comparison is a difference, not an event: after every connection and every `every` both documents are
 * asked for; what is heard in between only makes it happen earlier. A comparison is a round (sync_round.c); how three
 * documents become one says sync_merge.h. Every write names the version it expects, so what somebody else writes meanwhile
 * is never overwritten: the write is refused and there is another round. Only deleting has no expected version at AWS
 * IoT, so what is written between the comparison and the deletion is deleted, too.
 *
 * What goes to the cloud for one shadow is bounded by a token bucket, whatever flaps: a round begins when there is room for
 * all of it, and takes what is there then. At most ROUNDS_AT_ONCE rounds of an uplink are under way, so that ten thousand
 * shadows after a reconnection are a stream and not a storm.
 *
 * A shadow of a pattern with + is known when there is one here, when it was synchronised before, or when it changes at the
 * cloud: one that is only there and never changes has to be named.
 *
 *      $gatehouse/ctl/sync/list                   request: {"syncs":[…]}, counters of each section
 *      $gatehouse/ctl/sync/explain                request {"thing":THING}: how each of its shadows was merged last
 */
#pragma once

#include "services/shadowsync/sync_merge.h"

struct shadowsync;
struct bus;
struct store;

struct sync_options {
    const char *name;   /* of the section */
    const char *uplink; /* its name */
    const char *shadow; /* patterns, sync_topic.h */
    const char *policy; /* rules, sync_policy.h; NULL: the defaults */
    enum sync_direction direction;
    int64_t rate,
        burst; /* messages to the cloud: a minute, and at once; 0 for the defaults of 30 and 10; burst is at least 2 */
    int64_t every; /* ms between comparisons; 0 for the default of 15 minutes */
};

/* Texts are copied. Reads the names of what was synchronised before (this may block). A wrong option has been logged:
 * -EINVAL. */
int shadowsync_new(struct shadowsync **ret, struct bus *bus, struct store *store,
                   const struct sync_options *options, size_t count) must_check;
/* Waits for the store. A round that is under way is taken up by the next start. */
struct shadowsync *shadowsync_free(struct shadowsync *sync);
define_cleanup(struct shadowsync *, shadowsync_free)
