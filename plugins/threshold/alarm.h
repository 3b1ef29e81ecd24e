/* An alarm's texts: where its number is in a message, on which topic it is said, and what is said. Pure;
 * memory is the arena's. */
#pragma once

#include "base/json.h"
#include "threshold/rule.h"

/* What the administrator wrote. */
struct alarm_text {
    const char *topic;   /* filter of the messages looked at */
    const char *field;   /* members joined by dots; "": the payload is the number itself */
    const char *alarm;   /* topic of the alarm, with ${1} to ${9} and ${topic} */
    const char *message; /* the same for people; NULL: none */
};

/* The number at `field` in the payload as it is written there; NULL: not JSON, no such member, not a number. */
const struct json *alarm_number(struct arena *arena, const char *field, const char *payload, size_t len);

/* Is every ${…} of the pattern ${topic}, or one of the wildcards that the filter has? Else *bad is where it is not. */
bool alarm_pattern_is_valid(const char *pattern, const char *filter, const char **bad);
/* The pattern with what the wildcards stand for in this topic, which the filter matches. */
char *alarm_expand(struct arena *arena, const char *pattern, const char *filter, const char *topic,
                   size_t len);

/* The payload. number: as JSON. */
char *alarm_payload(struct arena *arena, const struct alarm_text *text, const struct rule *rule,
                    const struct rule_verdict *verdict, const char *topic, size_t topic_len,
                    const char *number, size_t *len);
