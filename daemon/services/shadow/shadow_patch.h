/* What it takes to make one document of another: JSON merge patches [RFC 7396], which say the difference between two
 * states in both directions exactly, because no state has a null in it.
 *
 *      from {"rpm":900,"net":{"ip":"a"}}   to {"rpm":950,"net":{}}   patch {"rpm":950,"net":{"ip":null}}
 *
 * A state here is the object {"desired":…,"reported":…}; NULL is a document that does not exist, and so is a patch of
 * null. Numbers are the same when their texts are: 1 and 1.0 differ. Pure functions.
 */
#pragma once

#include "base/json_write.h"

/* Writes the patch that makes `to` of `from`. */
void shadow_patch_put(struct json_writer *writer, const struct json *from, const struct json *to);

/* What the patch makes of `from`; NULL: no document. Shares with both, changes neither. */
struct json *shadow_patch_apply(struct arena *arena, const struct json *from, const struct json *patch);
