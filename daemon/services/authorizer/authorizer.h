/* Custom authorizers: whoever says of a user name and a password who that is, as AWS IoT's Lambda functions do.
 *
 *                                 ┌▶ $gatehouse/authorizers/questions/NAME ─▶ a plugin, or who else serves it ─┐
 *      CONNECT ─▶ identity/login ─┤                                                                            ├─▶ login_answered()
 *                                 └▶ authorizer_http: POST, on a worker's thread ─▶ a server ──────────────────┘
 *
 * On the bus a question, which has a password in it, goes at QoS 0, so that it is in no queue on disk; what is answered comes back by
 * $gatehouse/authorizers/answers/NUMBER.
 */
#pragma once

#include "bus/bus.h"

struct authorizer;
struct login;

/* One that is asked by HTTP. */
struct authorizer_server {
    const char *name, *uri;
    const char *ca, *cert, *key; /* each may be NULL: the system's, and none */
    int64_t limit;               /* ms */
};

/* Asks for that login from now on: these servers, which it copies, and on the bus for every other name. */
int authorizer_new(struct authorizer **ret, struct bus *bus, struct login *login,
                   const struct authorizer_server *servers, size_t count) must_check;
/* What is under way is given up. */
struct authorizer *authorizer_free(struct authorizer *authorizer);
define_cleanup(struct authorizer *, authorizer_free)

/* NULL, or what is expected of a uri, for --check. */
const char *authorizer_uri_check(const char *text);
/* Has a good one TLS? */
bool authorizer_uri_has_tls(const char *text);
