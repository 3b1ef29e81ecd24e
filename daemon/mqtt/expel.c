/* What is done with connections by who they are. */
#include "mqtt/peer.h"

#include <string.h>

static bool is(const struct peer *peer, enum principal_kind kind, const char *name)
{
    return peer->principal && peer->principal->kind == kind && strcmp(peer->principal->name, name) == 0;
}

unsigned broker_expel(struct broker *broker, enum principal_kind kind, const char *name, const char *why)
{
    unsigned count = 0;
    list_for_each_safe (link, &broker->peers) {
        struct peer *peer = list_entry(link, struct peer, link);
        if (!is(peer, kind, name) || peer->state == PEER_CLOSING)
            continue;
        peer_close(peer, WIRE_ADMINISTRATIVE, why);
        count++;
    }
    return count;
}
