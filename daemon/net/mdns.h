/* Tells the local network by multicast DNS where the gateway is, when Avahi does not do it: the service _gatehouse._tcp with
 * the port of the listener for nodes and the fingerprint of the gateway's certificate authority (mdns_service.h).
 *
 * On every interface that is up and has an address that the listener has: probed, announced, said again when addresses
 * change, and taken back at the end. Only those are answered who are on the interface's own network. The answer proves
 * nothing; the handshake does.
 */
#pragma once

#include "base/loop.h"

struct mdns;

struct mdns_options {
    const char *where; /* "plant-1" for "Gatehouse on plant-1" */
    const char *host;  /* the listener's address; a wildcard: every address of its family, with "::" both */
    uint16_t port;
    bool beside; /* also when somebody else has the port already */
    /* Asked a moment after the start, and with mdns_refresh(): the authority's fingerprint, or NULL. */
    const char *(*fingerprint)(void *self);
    void *self;
};

enum {
    MDNS_TAKEN = 1
}; /* somebody else answers on this machine: its port is taken, and `beside` is not wanted */

/* On failure *why (free it) says what could not be done. */
int mdns_open(struct mdns **ret, struct loop *loop, const struct mdns_options *options, char **why)
    must_check;
struct mdns *mdns_close(struct mdns *mdns);
define_cleanup(struct mdns *, mdns_close)

/* The fingerprint may be another one. */
void mdns_refresh(struct mdns *mdns);
