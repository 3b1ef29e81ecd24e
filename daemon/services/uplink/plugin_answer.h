/* What a connector says became of a record. Pure: every byte is the plugin's.
 *
 *      correlation   {"id":17,…}, as it was sent
 *      payload       {"result":"delivered"|"again"|"never","reason":"…"}
 */
#pragma once

#include "cloud/outbox.h"

enum { PLUGIN_ANSWER_MAX = 4096, PLUGIN_REASON_MAX = 200 };

struct plugin_answer {
    uint64_t id;
    enum outbox_verdict verdict;        /* OUTBOX_TAKEN, OUTBOX_AGAIN or OUTBOX_NEVER */
    char reason[PLUGIN_REASON_MAX + 1]; /* "" when it has none */
};

/* False when nobody can say which record it is about. A result that is none of the three is "again". */
bool plugin_answer_parse(struct plugin_answer *ret, const char *correlation, size_t correlation_len,
                         const char *payload, size_t payload_len) must_check;
