#include "threshold/rule.h"

static enum rule_side side_of(const struct rule *rule, double value)
{
    if (value > rule->above)
        return RULE_ABOVE;
    return value < rule->below ? RULE_BELOW : RULE_INSIDE;
}

static bool is_back_inside(const struct rule *rule, enum rule_side from, double value)
{
    return from == RULE_ABOVE ? value <= rule->above - rule->hysteresis
                              : value >= rule->below + rule->hysteresis;
}

struct rule_verdict rule_wait(const struct rule *rule, struct rule_state state, uint64_t now_ms)
{
    struct rule_verdict verdict = {.state = state};
    if (state.pending == RULE_INSIDE || now_ms - state.since < rule->for_ms)
        return verdict;
    verdict.event = RULE_RAISED;
    verdict.side = verdict.state.raised = state.pending;
    verdict.state.pending = RULE_INSIDE;
    return verdict;
}

struct rule_verdict rule_judge(const struct rule *rule, struct rule_state state, double value,
                               uint64_t now_ms)
{
    enum rule_side side = side_of(rule, value);
    if (side == state.raised || side == RULE_INSIDE) {
        state.pending = RULE_INSIDE;
    } else if (side != state.pending) {
        state.pending = side;
        state.since = now_ms;
    }
    struct rule_verdict verdict = rule_wait(rule, state, now_ms);
    if (verdict.event == RULE_NOTHING && state.raised != RULE_INSIDE && side != state.raised &&
        is_back_inside(rule, state.raised, value)) {
        verdict.event = RULE_CLEARED;
        verdict.side = state.raised;
        verdict.state.raised = RULE_INSIDE;
    }
    return verdict;
}

double rule_limit(const struct rule *rule, enum rule_side side)
{
    return side == RULE_ABOVE ? rule->above : rule->below;
}
