/* What patterns have to do with each other, for those who judge policies and not requests.
 *
 * Both answers are on the safe side for a reader of warnings: "covers" is only said when it is so whatever the variables
 * stand for; "never meet" only when no text and no value of a variable could match both.
 */
#pragma once

#include "identity/policy_pattern.h"

/* Whether the general pattern matches everything that the specific one does. */
bool policy_pattern_covers(struct arena *scratch, const struct policy_pattern *general,
                           const struct policy_pattern *specific);

/* Whether some text matches both. As a topic: a text without MQTT's + and #. */
bool policy_pattern_meets(struct arena *scratch, const struct policy_pattern *pattern,
                          const struct policy_pattern *other, bool as_topic);
