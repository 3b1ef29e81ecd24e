/* Temporary AWS credentials for those who run here, from AWS IoT's credential provider: the gateway shows its certificate there, and
 * hands on what it gets.
 *
 *      $gatehouse/credentials/NAME/get ─▶ what there is, or ─▶ worker: GET …/role-aliases/ALIAS/credentials ─▶ the answer
 *      GET /credentials/NAME (rest.h)  ─┘                                (mutual TLS)
 *
 * Asked for with the first request, and again before they end as long as somebody uses them; old ones are handed out until then. What
 * fails is tried again after a pause that doubles from a second to five minutes, with 403 and 404 after five minutes, for somebody has
 * to change something. Requests that come before the first answer wait for it, WAITING_MAX of them.
 *
 * A request with a payload is one of HTTP's, {"authorization":"…"}, and has to know the token, which functions get in their environment.
 * They are in memory only, wiped when they are not needed, and never in the log.
 */
#pragma once

#include "bus/bus.h"

struct audit;
struct credential_set;

struct credential_options {
    const char *name, *endpoint, *role_alias;
    const char *thing;           /* NULL: none is named */
    const char *cert, *key, *ca; /* ca NULL: the system's */
};

struct credentials_options {
    const struct credential_options *all;
    size_t count;
    struct audit *audit; /* may be NULL */
};

/* Copies its options. */
int credential_set_new(struct credential_set **ret, struct bus *bus,
                       const struct credentials_options *options) must_check;
/* A request that is under way is given up. */
struct credential_set *credential_set_free(struct credential_set *set);
define_cleanup(struct credential_set *, credential_set_free)

/* What has to be in Authorization; as long as the set lives. NULL: there are none of that name. */
const char *credential_set_token(const struct credential_set *set, const char *name);

/* NULL, or what is expected of a value, for --check. */
const char *credential_endpoint_check(const char *text);
const char *credential_alias_check(const char *text);
const char *credential_thing_check(const char *text);
