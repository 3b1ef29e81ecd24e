/* The sockets of connections that Paho has made. It hands none out, so they are found among the process's descriptors by
 * whom they are connected to. Whatever goes to that port from here goes to a broker (or a proxy), and what is set is good
 * for all of those: a descriptor that is closed and used again in between would at most answer its peer earlier.
 *
 * On Paho's threads or a worker's: with thousands of connections it takes milliseconds.
 */
#pragma once

#include "base/base.h"

/* Small packets leave at once (Paho leaves Nagle's algorithm on), and a peer that has acknowledged nothing for so long is
 * given up, rather than after a quarter of an hour. */
void link_sockets_tune(unsigned peer_port, unsigned give_up_ms);

/* Is one of them repeating what it sent, because nothing came back? Then those that do will forget it when they are closed: the
 * system would go on sending it, in front of what the next connection sends. */
bool link_sockets_abandon_stuck(unsigned peer_port);
