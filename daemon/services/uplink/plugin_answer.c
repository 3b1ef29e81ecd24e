#include "services/uplink/plugin_answer.h"

#include "base/json.h"
#include "base/utf8.h"

#include <stdio.h>
#include <string.h>

static bool parse(struct json **ret, struct arena *arena, const char *text, size_t len)
{
    return len && len <= PLUGIN_ANSWER_MAX && json_parse(ret, arena, text, len, NULL) == 0;
}

static void take(struct plugin_answer *answer, const struct json *said)
{
    const struct json *result = json_get(said, "result"), *reason = json_get(said, "reason");
    answer->verdict = OUTBOX_AGAIN;
    if (json_text_is(result, "delivered"))
        answer->verdict = OUTBOX_TAKEN;
    else if (json_text_is(result, "never"))
        answer->verdict = OUTBOX_NEVER;
    else if (!json_text_is(result, "again"))
        (void)snprintf(answer->reason, sizeof answer->reason,
                       "the plugin's answer: expected {\"result\":\"delivered\"}, \"again\" or \"never\"");
    if (!*answer->reason && json_is(reason, JSON_STRING)) {
        size_t len = utf8_cut(reason->text, reason->len, PLUGIN_REASON_MAX);
        for (size_t i = 0; i < len; i++) /* it goes into lines of a log */
            answer->reason[i] = (unsigned char)reason->text[i] < ' ' ? ' ' : reason->text[i];
        answer->reason[len] = '\0';
    }
}

bool plugin_answer_parse(struct plugin_answer *ret, const char *correlation, size_t correlation_len,
                         const char *payload, size_t payload_len)
{
    struct arena arena = {0};
    struct json *about, *said;
    int64_t id;
    bool known = parse(&about, &arena, correlation, correlation_len) &&
                 json_int(json_get(about, "id"), 0, INT64_MAX, &id);
    if (known) {
        *ret = (struct plugin_answer){.id = (uint64_t)id};
        take(ret, parse(&said, &arena, payload, payload_len) ? said : NULL);
    }
    arena_done(&arena);
    return known;
}
