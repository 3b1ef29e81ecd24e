/* The worked examples of the shadow reference, from examples.json:
 *
 *      [{"number":1, "title":"…", "before":["update payload", …],
 *        "steps":[{"topic":"…", "t":1760000000, "payload":"…", "messages":[{"topic":"…", "payload":{…}}, …]}]}, …]
 *
 * They build on each other: what one leaves behind is what the next one of that shadow begins with. "before" is done at
 * EXAMPLES_START_S, to the shadow of the first step; "t" is the wall clock in seconds.
 */
#pragma once

#include "base/json.h"

enum { EXAMPLES_START_S = 1760000000 };

struct json *examples_load(struct arena *arena);

/* Fails the test, naming the example, unless the text is JSON with that value (order of members free). */
void examples_check(const struct json *example, const char *text, const struct json *expected);

/* Terminated text of a string member. */
const char *examples_text(struct arena *arena, const struct json *object, const char *key);
/* Where what was before is made: the update topic of the first step's shadow. */
const char *examples_update_topic(struct arena *arena, const struct json *example);
