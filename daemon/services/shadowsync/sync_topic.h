/* Which shadows, and the topics of their requests and answers. Both sides have the same ones; the cloud's stand behind the
 * uplink's.
 *
 *      $aws/things/THING/shadow[/name/NAME]/get|update|delete               a request
 *                                                             /accepted     its answer, or
 *                                                             /rejected
 *
 * A pattern is THING for a classic shadow, THING/NAME for a named one; each may be +.
 *
 * Pure functions.
 */
#pragma once

#include "base/arena.h"
#include "base/topic.h"

enum { SYNC_THING_MAX = 128, SYNC_NAME_MAX = 64, SYNC_PATTERNS_MAX = 64 };

struct sync_pattern {
    struct topic_piece thing, name; /* name.text NULL: classic shadows */
};

/* Patterns with blanks between them; they point into the text. How many, or -1: there is none, or one is none. */
int sync_patterns_parse(struct sync_pattern patterns[SYNC_PATTERNS_MAX], const char *text);
bool sync_pattern_matches(const struct sync_pattern *pattern, const struct topic_piece *thing,
                          const struct topic_piece *name);
/* Does it name one shadow? */
bool sync_pattern_is_plain(const struct sync_pattern *pattern);

/* What has to be subscribed to for a pattern: filter i of SYNC_FILTERS, in the arena. */
enum { SYNC_FILTERS = 4 };
char *sync_pattern_filter(struct arena *arena, const struct sync_pattern *pattern, int i);

enum sync_verb { SYNC_GET, SYNC_UPDATE, SYNC_DELETE };

struct sync_topic {
    struct topic_piece thing, name; /* name is empty for a classic shadow */
    enum sync_verb verb;
    bool accepted;
};

/* An answer's topic; false: it is something else. */
bool sync_topic_parse(struct sync_topic *ret, const char *topic, size_t len);
/* A request's topic; name "" for a classic shadow. */
char *sync_topic_request(struct arena *arena, const char *thing, const char *name, enum sync_verb verb);
