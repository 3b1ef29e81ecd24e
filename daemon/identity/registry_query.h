/* Searching for things: AWS IoT's fleet index query language (2017-09-30).
 *
 *      thingName:press* AND attributes.hall:7          thingTypeName:(pump OR valve) AND NOT attributes.retired:*
 *      attributes.rpm:[100 TO 200}                     connectivity.connected:false AND connectivity.timestamp<1760000000000
 *
 * Fields: thingName, thingId, thingTypeName, thingGroupNames (parents' too), attributes.NAME, and
 * connectivity.connected|timestamp|disconnectReason|clientId; `registry.` may stand before the first four. A value without a
 * field is looked for in thingName, thingTypeName, thingGroupNames and all attributes. Shadows are not in the registry:
 * their fields are refused.
 *
 * NOT and - bind closer than AND (which may be left out), AND closer than OR. Values are compared without regard to case, and
 * as numbers when both sides are some. Compiling is pure; so is matching.
 */
#pragma once

#include "identity/registry_object.h"

enum {
    REGISTRY_QUERY_MAX = 1000, /* characters */
    REGISTRY_QUERY_TERMS_MAX = 12,
    REGISTRY_QUERY_GROUP_TERMS_MAX = 5, /* of a group's query */
    REGISTRY_QUERY_DEPTH_MAX = 50,
};

struct registry_query;
/* -EINVAL: it is none, and *why (free it) says where and what was expected. */
int registry_query_compile(struct registry_query **ret, const char *text, size_t len, unsigned terms_max,
                           char **why) must_check;
struct registry_query *registry_query_free(struct registry_query *query);
define_cleanup(struct registry_query *, registry_query_free)

bool registry_query_matches(const struct registry_query *query, const struct registry_thing *thing);
