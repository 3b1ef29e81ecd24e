/* Topics and filters as text: levels, matching, covering. Whether bytes from outside are a topic or filter at all is
 * the codec's question (wire/); these functions take valid ones. */
#pragma once

#include "base/base.h"

/* Does the filter match the topic? `a/#` matches `a`; a leading wildcard matches nothing that begins with `$`
 * [MQTT-4.7.2-1]. */
bool topic_matches(const char *filter, size_t filter_len, const char *topic, size_t topic_len);

/* Does every topic that `narrow` matches match `wide` too? For permissions on subscribing. */
bool topic_covers(const char *wide, size_t wide_len, const char *narrow, size_t narrow_len);

/* The level that begins at *at and ends before '/' or the end; false when there is none left. *at begins at 0.
 *
 *      for (size_t at = 0; topic_level(topic, len, &at, &level, &level_len);) …        "a//b" has three
 */
bool topic_level(const char *topic, size_t len, size_t *at, const char **level, size_t *level_len);

/* Takes the levels that the `+` of a pattern stand for, and the rest for a final `#`: pieces[i] points into topic.
 * Returns how many, or -1 when the pattern does not match. At most max are stored. */
struct topic_piece {
    const char *text;
    size_t len;
};
int topic_pieces(const char *pattern, const char *topic, size_t topic_len, struct topic_piece *pieces,
                 int max);
