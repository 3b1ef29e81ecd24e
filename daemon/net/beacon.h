/* The beacon: tells nodes on the local network where the gateway is.
 *
 *      node    ─▶ broadcast, UDP to the port of the listener for nodes      GHN1?SERIAL
 *      gateway ─▶ to the node alone                                         {"gateway":"plant-1","port":8884}
 *
 * The answer proves nothing; the handshake does. At most BEACON_ANSWERS_A_SECOND are given, so that nobody is flooded by way of us.
 */
#pragma once

#include "base/loop.h"

enum { BEACON_SERIAL_MAX = 24, BEACON_NAME_MAX = 64, BEACON_ANSWERS_A_SECOND = 20 };

struct beacon;

/* host: an address, as of the listener; only a wildcard hears broadcasts. On failure *why (free it) says what could not be done. */
int beacon_open(struct beacon **ret, struct loop *loop, const char *host, uint16_t port, const char *gateway,
                char **why) must_check;
struct beacon *beacon_close(struct beacon *beacon);
define_cleanup(struct beacon *, beacon_close)

/* Is it a question? Its serial is 1 to 24 letters, digits, '_' and '-'. */
bool beacon_is_question(const uint8_t *bytes, size_t len);
