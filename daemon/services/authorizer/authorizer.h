/* Custom authorizers: whoever says of a user name and a password who that is, as AWS IoT's Lambda functions do.
 *
 *      CONNECT ─▶ identity/login ─▶ $gatehouse/authorizers/questions/NAME ─▶ a plugin, or who else serves it
 *                      ▲                                                          │
 *                      └───── $gatehouse/authorizers/answers/NUMBER ◀─────────────┘
 *
 * A question has a password in it: it goes at QoS 0, so that it is in no queue on disk.
 */
#pragma once

#include "bus/bus.h"

struct authorizer;
struct login;

/* Asks for that login from now on. */
int authorizer_new(struct authorizer **ret, struct bus *bus, struct login *login) must_check;
struct authorizer *authorizer_free(struct authorizer *authorizer);
define_cleanup(struct authorizer *, authorizer_free)
