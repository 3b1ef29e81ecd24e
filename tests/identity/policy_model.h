/* What AWS IoT policies decide, a second time: slow, plain, and from another side than the daemon's evaluator.
 *
 * It reads documents with jansson at each request, writes out resources as strings with marks for wildcards, and matches
 * them by recursion. Known keys have text values. Operators of strings, addresses, arns, Null and Bool are all it knows;
 * documents must be well-formed.
 */
#pragma once

#include <stddef.h>

enum { MODEL_VALUES_MAX = 6, MODEL_KNOWN_MAX = 24 };

struct model_known {
    const char *key;
    const char *values[MODEL_VALUES_MAX];
    size_t count;
};

/* action: "Publish"; resource: "topic/a". "ALLOWED", "EXPLICIT_DENY" or "IMPLICIT_DENY". */
const char *model_decide(const char *const *documents, size_t count, const struct model_known *known,
                         size_t known_count, const char *action, const char *resource);
