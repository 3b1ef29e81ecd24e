#include "identity/policy_lint.h"

#include "identity/policy_cover.h"

#include <stdio.h>
#include <string.h>

const char *const policy_finding_names[POLICY_FINDING_KINDS] = {
    [POLICY_UNKNOWN_ACTION] = "unknown-action", [POLICY_UNKNOWN_KEY] = "unknown-key",
    [POLICY_NEVER_MATCHES] = "never-matches",   [POLICY_OVER_BROAD] = "over-broad",
    [POLICY_UNREACHABLE] = "unreachable",       [POLICY_WEAK_DENY] = "weak-deny",
    [POLICY_VACUOUS_DENY] = "vacuous-deny",
};

struct lint {
    const struct policy *policy;
    struct arena *arena;
    struct policy_finding *findings;
    size_t count, size;
    uint32_t statement; /* that is looked at */
};

static void found(struct lint *lint, enum policy_finding_kind kind, const char *text)
{
    if (lint->count == lint->size) {
        size_t size = lint->size ? 2 * lint->size : 8;
        lint->findings = arena_grow(lint->arena, lint->findings, lint->size * sizeof *lint->findings,
                                    size * sizeof *lint->findings);
        lint->size = size;
    }
    lint->findings[lint->count++] = (struct policy_finding){kind, lint->statement, text};
}

static const char *resource_name(struct lint *lint, const struct policy_statement *statement, uint32_t i)
{
    const struct policy_text *source = &statement->resources[i].source;
    return arena_printf(lint->arena, "%s \"%.*s\"", statement->not_resource ? "NotResource" : "Resource",
                        (int)source->len, source->text);
}

/* ---- names ---------------------------------------------------------------------------------------------------------- */

static void check_actions(struct lint *lint, const struct policy_statement *statement)
{
    for (uint32_t i = 0; i < statement->action_count; i++) {
        const struct policy_text *name = &statement->action_names[i];
        if (!iot_actions_matching(name->text, name->len))
            found(lint, POLICY_UNKNOWN_ACTION,
                  arena_printf(lint->arena, "there is no action \"%.*s\" here", (int)name->len, name->text));
    }
}

static void check_key(struct lint *lint, const struct policy_key *key, const char *in)
{
    if (!policy_key_is_known(key))
        found(lint, POLICY_UNKNOWN_KEY,
              arena_printf(lint->arena, "\"%.*s\" in %s never has a value", (int)key->name.len,
                           key->name.text, in));
}

static void check_variables(struct lint *lint, const struct policy_pattern *pattern, const char *in)
{
    for (uint32_t i = 0; i < pattern->count; i++)
        if (pattern->pieces[i].kind == POLICY_VARIABLE)
            check_key(lint, pattern->pieces[i].key, in);
}

static void check_keys(struct lint *lint, const struct policy_statement *statement)
{
    for (uint32_t i = 0; i < statement->resource_count; i++)
        check_variables(lint, &statement->resources[i], resource_name(lint, statement, i));
    for (uint32_t i = 0; i < statement->condition_count; i++) {
        const struct policy_condition *condition = &statement->conditions[i];
        const char *in =
            arena_printf(lint->arena, "Condition %.*s", (int)condition->name.len, condition->name.text);
        check_key(lint, condition->key, in);
        for (uint32_t k = 0; k < condition->count; k++) {
            if (condition->comparison <= POLICY_STRING_LIKE)
                check_variables(lint, &condition->operands[k].pattern, in);
            for (int part = 0; condition->comparison == POLICY_ARN && part < POLICY_ARN_PARTS; part++)
                check_variables(lint, &condition->operands[k].parts[part], in);
        }
    }
}

/* ---- what can never match ------------------------------------------------------------------------------------------- */

/* A `#` with something behind it: no filter has that. */
static bool is_no_filter(const struct policy_pattern *resource)
{
    for (uint32_t i = 0; i < resource->count; i++) {
        const struct policy_piece *piece = &resource->pieces[i];
        const char *hash = piece->kind == POLICY_LITERAL ? memchr(piece->text, '#', piece->len) : NULL;
        if (hash && hash + 1 < piece->text + piece->len)
            return true;
    }
    return false;
}

static bool has_unknown_variable(const struct policy_pattern *pattern)
{
    for (uint32_t i = 0; i < pattern->count; i++)
        if (pattern->pieces[i].kind == POLICY_VARIABLE && !policy_key_is_known(pattern->pieces[i].key))
            return true;
    return false;
}

static bool action_meets(struct lint *lint, enum iot_action action, const struct policy_pattern *resource)
{
    enum iot_resource kind = iot_actions[action].resource;
    const char *shape = kind == IOT_EVERYTHING
                            ? "${*}"
                            : arena_printf(lint->arena, "arn:aws*:iot:*:*:%s?*", iot_resource_kinds[kind]);
    struct policy_pattern any = policy_pattern_compile(lint->arena, shape, strlen(shape), true);
    if (kind == IOT_TOPICFILTER && is_no_filter(resource))
        return false;
    return policy_pattern_meets(lint->arena, resource, &any, kind == IOT_TOPIC);
}

static uint32_t actions_meeting(struct lint *lint, uint32_t actions, const struct policy_pattern *resource)
{
    uint32_t met = 0;
    for (enum iot_action i = 0; i < IOT_ACTIONS; i++)
        if ((actions & iot_action_bit(i)) && action_meets(lint, i, resource))
            met |= iot_action_bit(i);
    return met;
}

/* "iot:Publish is about topic/..., ..." for the first of the actions. */
static const char *why_not(struct lint *lint, uint32_t actions, const struct policy_pattern *resource)
{
    enum iot_action first = 0;
    while (!(actions & iot_action_bit(first)))
        first++;
    enum iot_resource kind = iot_actions[first].resource;
    if (kind == IOT_TOPIC && memmem(resource->source.text, resource->source.len, ":topic/", 7))
        return "a topic has no + or # in it; any text is * in a policy";
    if (kind == IOT_TOPICFILTER && memmem(resource->source.text, resource->source.len, ":topicfilter/", 13))
        return "in a filter # is the last character; any text is * in a policy";
    if (kind == IOT_EVERYTHING)
        return arena_printf(lint->arena, "iot:%s has the resource *", iot_actions[first].name);
    return arena_printf(lint->arena, "iot:%s is about arn:aws:iot:REGION:ACCOUNT:%s...",
                        iot_actions[first].name, iot_resource_kinds[kind]);
}

static void check_resources(struct lint *lint, const struct policy_statement *statement)
{
    uint32_t met = 0;
    for (uint32_t i = 0; i < statement->resource_count; i++) {
        const struct policy_pattern *resource = &statement->resources[i];
        uint32_t by = actions_meeting(lint, statement->actions, resource);
        met |= by;
        if (!by && statement->actions && !has_unknown_variable(resource))
            found(lint, POLICY_NEVER_MATCHES,
                  arena_printf(lint->arena, "%s matches no request: %s", resource_name(lint, statement, i),
                               why_not(lint, statement->actions, resource)));
    }
    if (!met || statement->not_resource || statement->not_action)
        return;
    /* An action that is spelled out and for which there is nothing here, beside one for which there is. */
    for (uint32_t i = 0; i < statement->action_count; i++) {
        const struct policy_text *name = &statement->action_names[i];
        enum iot_action action = iot_action_find(name->text, name->len);
        if (action != IOT_ACTIONS && !(met & iot_action_bit(action)))
            found(lint, POLICY_NEVER_MATCHES,
                  arena_printf(lint->arena, "no Resource here is one of iot:%s: that is about %s...",
                               iot_actions[action].name, iot_resource_kinds[iot_actions[action].resource]));
    }
}

/* ---- what is denied in another way than it looks -------------------------------------------------------------------- */

/* Every request has an address; every client has an id. */
static bool is_always_there(const struct policy_key *key)
{
    return policy_same(key->name.text, key->name.len, "aws:SourceIp", 12) ||
           policy_same(key->name.text, key->name.len, "iot:ClientId", 12);
}

static void check_deny(struct lint *lint, const struct policy_statement *statement)
{
    for (uint32_t i = 0; i < statement->resource_count && !statement->not_resource; i++)
        for (uint32_t k = 0; k < statement->resources[i].count; k++) {
            const struct policy_piece *piece = &statement->resources[i].pieces[k];
            if (piece->kind == POLICY_VARIABLE && policy_key_is_known(piece->key) &&
                !is_always_there(piece->key))
                found(lint, POLICY_WEAK_DENY,
                      arena_printf(lint->arena, "where ${%.*s} has no value, %s is not denied",
                                   (int)piece->key->name.len, piece->key->name.text,
                                   resource_name(lint, statement, i)));
        }
    for (uint32_t i = 0; i < statement->condition_count; i++) {
        const struct policy_condition *condition = &statement->conditions[i];
        if (condition->quantifier == POLICY_FOR_ALL)
            found(lint, POLICY_VACUOUS_DENY,
                  arena_printf(lint->arena,
                               "ForAllValues is true for whoever has no %.*s: they are denied, too; "
                               "ForAnyValue is not",
                               (int)condition->key->name.len, condition->key->name.text));
    }
}

/* ---- what is allowed to everybody ----------------------------------------------------------------------------------- */

/* The widest resources there are of some actions, and what it means to allow them. The first that fits is told. */
static const struct {
    uint32_t actions;
    const char *resource, *means;
} widest[] = {
    {iot_action_bit(IOT_CONNECT), "client/${iot:ClientId}",
     "any client id may connect, also that of another; ${iot:Connection.Thing.ThingName} is its own"},
    {iot_action_bit(IOT_PUBLISH) | iot_action_bit(IOT_RETAIN_PUBLISH), "topic/*",
     "it may publish on every topic, also on those of others and of the gateway"},
    {iot_action_bit(IOT_PUBLISH) | iot_action_bit(IOT_RETAIN_PUBLISH), "topic/$aws/things/*",
     "it may publish on the reserved topics of every thing"},
    {iot_action_bit(IOT_PUBLISH) | iot_action_bit(IOT_RETAIN_PUBLISH), "topic/$gatehouse/*",
     "it may give the gateway commands"},
    {iot_action_bit(IOT_SUBSCRIBE), "topicfilter/#", "it may subscribe to every topic"},
    {iot_action_bit(IOT_SUBSCRIBE), "topicfilter/$aws/things/*",
     "it may subscribe to the reserved topics of every thing"},
    {iot_action_bit(IOT_RECEIVE), "topic/*", "it may receive every topic"},
    {iot_action_bit(IOT_GET_THING_SHADOW) | iot_action_bit(IOT_UPDATE_THING_SHADOW) |
         iot_action_bit(IOT_DELETE_THING_SHADOW),
     "thing/*", "it may use the shadows of every thing"},
};

/* The resource of that name at the place where this one is: before its fifth colon. */
static struct policy_pattern at_its_place(struct lint *lint, const struct policy_pattern *resource,
                                          const char *name)
{
    size_t len = 0;
    int colons = 0;
    for (size_t i = 0; i < resource->source.len && colons < 5; i++)
        if (resource->source.text[i] == ':' && ++colons == 5)
            len = i + 1;
    const char *text = len ? arena_printf(lint->arena, "%.*s%s", (int)len, resource->source.text, name)
                           : arena_printf(lint->arena, POLICY_PLACE "%s", name);
    return policy_pattern_compile(lint->arena, text, strlen(text), true);
}

static void check_breadth(struct lint *lint, const struct policy_statement *statement)
{
    if (statement->not_action)
        found(lint, POLICY_OVER_BROAD,
              "Allow with NotAction allows everything else, also what is yet to come");
    if (statement->not_resource)
        found(lint, POLICY_OVER_BROAD, "Allow with NotResource allows everything else");
    for (uint32_t i = 0; i < statement->action_count && !statement->not_action; i++)
        if (iot_actions_matching(statement->action_names[i].text, statement->action_names[i].len) ==
            IOT_ALL_ACTIONS)
            found(lint, POLICY_OVER_BROAD, "it allows every action");
    for (uint32_t i = 0; i < statement->resource_count && !statement->not_resource; i++) {
        uint32_t told = 0; /* actions of which the widest was told */
        for (size_t k = 0; k < array_size(widest); k++) {
            struct policy_pattern wide = at_its_place(lint, &statement->resources[i], widest[k].resource);
            if (!(statement->actions & widest[k].actions & ~told) ||
                !policy_pattern_covers(lint->arena, &statement->resources[i], &wide))
                continue;
            told |= widest[k].actions;
            found(lint, POLICY_OVER_BROAD,
                  arena_printf(lint->arena, "%s: %s", resource_name(lint, statement, i), widest[k].means));
        }
    }
}

/* ---- what makes no difference --------------------------------------------------------------------------------------- */

static bool same_text(const struct policy_text *a, const struct policy_text *b)
{
    return a->len == b->len && memcmp(a->text, b->text, a->len) == 0;
}

static bool same_operand(const struct policy_condition *condition, const struct policy_operand *a,
                         const struct policy_operand *b)
{
    switch (condition->comparison) {
    case POLICY_STRING:
    case POLICY_STRING_CASE:
    case POLICY_STRING_LIKE: return same_text(&a->pattern.source, &b->pattern.source);
    case POLICY_NUMERIC: return same_text(&a->number, &b->number);
    case POLICY_DATE: return a->moment_ms == b->moment_ms;
    case POLICY_IP:
        return a->network.bits == b->network.bits &&
               memcmp(a->network.bytes, b->network.bytes, sizeof a->network.bytes) == 0;
    case POLICY_BOOL:
    case POLICY_NULL: return a->truth == b->truth;
    case POLICY_ARN: break;
    }
    for (int i = 0; i < POLICY_ARN_PARTS; i++)
        if (!same_text(&a->parts[i].source, &b->parts[i].source))
            return false;
    return true;
}

static bool same_condition(const struct policy_condition *a, const struct policy_condition *b)
{
    if (!same_text(&a->name, &b->name) || !policy_key_equal(a->key, b->key) || a->count != b->count)
        return false;
    for (uint32_t i = 0; i < a->count; i++)
        if (!same_operand(a, &a->operands[i], &b->operands[i]))
            return false;
    return true;
}

/* Whether whenever b's conditions hold, a's do: each of a's is one of b's. */
static bool holds_as_well(const struct policy_statement *a, const struct policy_statement *b)
{
    for (uint32_t i = 0; i < a->condition_count; i++) {
        uint32_t k = 0;
        while (k < b->condition_count && !same_condition(&a->conditions[i], &b->conditions[k]))
            k++;
        if (k == b->condition_count)
            return false;
    }
    return true;
}

static bool covers_resource(struct lint *lint, const struct policy_statement *broad,
                            const struct policy_pattern *resource)
{
    for (uint32_t i = 0; i < broad->resource_count && !broad->not_resource; i++)
        if (policy_pattern_covers(lint->arena, &broad->resources[i], resource))
            return true;
    return false;
}

static bool covers_statement(struct lint *lint, const struct policy_statement *broad,
                             const struct policy_statement *narrow)
{
    static const struct policy_piece star = {.kind = POLICY_ANY};
    struct policy_pattern everything = {
        .source = {"*", 1}, .pieces = (struct policy_piece *)&star, .count = 1};
    if ((narrow->actions & ~broad->actions) || !holds_as_well(broad, narrow))
        return false;
    if (narrow->not_resource)
        return covers_resource(lint, broad, &everything);
    for (uint32_t i = 0; i < narrow->resource_count; i++)
        if (!covers_resource(lint, broad, &narrow->resources[i]))
            return false;
    return true;
}

static const char *statement_name(struct lint *lint, uint32_t i)
{
    const struct policy_statement *statement = &lint->policy->statements[i];
    return statement->sid.text ? arena_printf(lint->arena, "statement %u (%.*s)", i + 1,
                                              (int)statement->sid.len, statement->sid.text)
                               : arena_printf(lint->arena, "statement %u", i + 1);
}

/* Of two that say the same, the second makes no difference. */
static bool is_shadowed(struct lint *lint, uint32_t i, uint32_t by)
{
    const struct policy_statement *narrow = &lint->policy->statements[i];
    const struct policy_statement *broad = &lint->policy->statements[by];
    if (i == by || (narrow->deny && !broad->deny) || !covers_statement(lint, broad, narrow))
        return false;
    return by < i || narrow->deny != broad->deny || !covers_statement(lint, narrow, broad);
}

static void check_reach(struct lint *lint, const struct policy_statement *statement)
{
    uint32_t i = lint->statement;
    for (uint32_t by = 0; by < lint->policy->count && statement->actions; by++) {
        if (!is_shadowed(lint, i, by))
            continue;
        found(lint, POLICY_UNREACHABLE,
              lint->policy->statements[by].deny == statement->deny
                  ? arena_printf(lint->arena, "it makes no difference: %s says as much",
                                 statement_name(lint, by))
                  : arena_printf(lint->arena, "it allows nothing: %s denies all of it",
                                 statement_name(lint, by)));
        return;
    }
    /* Parts of one list. */
    for (uint32_t k = 0; k < statement->resource_count; k++)
        for (uint32_t other = 0; other < statement->resource_count; other++) {
            const struct policy_pattern *one = &statement->resources[k], *two = &statement->resources[other];
            if (k == other || !policy_pattern_covers(lint->arena, two, one) ||
                (other > k && policy_pattern_covers(lint->arena, one, two)))
                continue;
            found(lint, POLICY_UNREACHABLE,
                  arena_printf(lint->arena, "%s makes no difference: \"%.*s\" beside it says as much",
                               resource_name(lint, statement, k), (int)two->source.len, two->source.text));
            break;
        }
}

size_t policy_lint(const struct policy *policy, struct arena *arena, struct policy_finding **ret)
{
    struct lint lint = {.policy = policy, .arena = arena};
    for (; lint.statement < policy->count; lint.statement++) {
        const struct policy_statement *statement = &policy->statements[lint.statement];
        check_actions(&lint, statement);
        check_keys(&lint, statement);
        check_resources(&lint, statement);
        if (statement->deny)
            check_deny(&lint, statement);
        else if (!statement->condition_count)
            check_breadth(&lint, statement);
        check_reach(&lint, statement);
    }
    *ret = lint.findings;
    return lint.count;
}
