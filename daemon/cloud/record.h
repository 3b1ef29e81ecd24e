/* A message on its way out, as text: a JSON object, and a pattern with its words filled in. Pure.
 *
 *      {"topic":"dt/plant1/env","time":1760000000000,"stream":"telemetry","seq":17,"payload":"{\"temp\":21}"}
 *
 * time, stream and seq are there when it is a record of a stream; a payload that is no UTF-8 is "base64" instead.
 */
#pragma once

#include "base/json_write.h"
#include "cloud/link.h"

void record_put(struct json_writer *w, const struct link_publish *publish);

/* ${topic} ${stream} ${seq} ${time} (ms) ${gateway} ${uplink} ${year} ${month} ${day} ${hour} (of the record, or of now, UTC).
 * What has no value is "-". */
struct record_names {
    const char *gateway, *uplink;
    int64_t now; /* wall ms */
};

/* How a word's value is written into the result. */
typedef char *record_escape(struct arena *arena, const char *text);

/* NULL, or what was expected: a ${word} that is none of these. */
const char *record_pattern_check(const char *pattern);
/* Does it depend on the record? */
bool record_pattern_varies(const char *pattern);
char *record_fill(struct arena *arena, const char *pattern, const struct link_publish *publish,
                  const struct record_names *names, record_escape *escape);
