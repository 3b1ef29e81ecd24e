#include "identity/policy_eval.h"

#include <string.h>

enum { ARN_ROOM = 512 };

const char *const policy_decision_names[POLICY_ALLOWED + 1] = {
    [POLICY_IMPLICIT_DENY] = "IMPLICIT_DENY",
    [POLICY_EXPLICIT_DENY] = "EXPLICIT_DENY",
    [POLICY_ALLOWED] = "ALLOWED",
};

struct question {
    struct policy_match match;
    uint32_t action; /* its bit */
    const char *arn;
    size_t arn_len;
    int64_t wall_ms;
    struct policy_verdict *verdict;
};

static void on_missing(void *self, const struct policy_key *key)
{
    struct policy_verdict *verdict = self;
    for (uint32_t i = 0; i < verdict->missing_count; i++)
        if (policy_key_equal(verdict->missing[i], key))
            return;
    if (verdict->missing_count < POLICY_MISSING_MAX)
        verdict->missing[verdict->missing_count++] = key;
}

static bool resource_fits(const struct policy_statement *statement, const struct question *q)
{
    for (uint32_t i = 0; i < statement->resource_count; i++)
        if (policy_pattern_matches(&statement->resources[i], &q->match, q->arn, q->arn_len))
            return !statement->not_resource;
    return statement->not_resource;
}

static bool conditions_hold(const struct policy_statement *statement, const struct question *q)
{
    for (uint32_t i = 0; i < statement->condition_count; i++) {
        q->verdict->of_time |= policy_condition_is_of_time(&statement->conditions[i]);
        if (!policy_condition_holds(&statement->conditions[i], &q->match, q->wall_ms))
            return false;
    }
    return true;
}

static bool applies(const struct policy_statement *statement, const struct question *q)
{
    return (statement->actions & q->action) && resource_fits(statement, q) && conditions_hold(statement, q);
}

static void ask(const struct policy_set *set, const struct question *q)
{
    struct policy_verdict *verdict = q->verdict;
    for (size_t i = 0; i < set->count; i++)
        for (uint32_t k = 0; k < set->policies[i]->count; k++) {
            const struct policy_statement *statement = &set->policies[i]->statements[k];
            if ((verdict->decision == POLICY_ALLOWED && !statement->deny) || !applies(statement, q))
                continue;
            verdict->policy = set->policies[i];
            verdict->statement = k;
            verdict->decision = statement->deny ? POLICY_EXPLICIT_DENY : POLICY_ALLOWED;
            if (statement->deny)
                return;
        }
}

enum policy_decision policy_decide(const struct policy_set *set, const struct policy_context *context,
                                   const struct policy_request *request, struct policy_verdict *verdict)
{
    struct policy_verdict own;
    if (!verdict)
        verdict = &own;
    *verdict = (struct policy_verdict){.decision = POLICY_IMPLICIT_DENY};
    enum iot_resource resource = iot_actions[request->action].resource;
    const char *kind = iot_resource_kinds[resource];
    size_t kind_len = strlen(kind), name_len = resource == IOT_EVERYTHING ? 0 : request->len;
    /* What is not about something has the resource "*", with no ARN around it. */
    size_t place_len = resource == IOT_EVERYTHING ? 0 : context->place_len;
    size_t len = place_len + kind_len + name_len;
    char room[ARN_ROOM];
    cleanup_free char *large = len > sizeof room ? malloc(len) : NULL;
    char *arn = large ? large : room;
    if (len > sizeof room && !large)
        return verdict->decision;
    memcpy(arn, context->place, place_len);
    memcpy(arn + place_len, kind, kind_len);
    if (name_len)
        memcpy(arn + place_len + kind_len, request->name, name_len);
    struct question question = {
        .match = {.context = context, .on_missing = on_missing, .self = verdict},
        .action = iot_action_bit(request->action),
        .arn = arn,
        .arn_len = len,
        .wall_ms = request->wall_ms,
        .verdict = verdict,
    };
    ask(set, &question);
    return verdict->decision;
}
