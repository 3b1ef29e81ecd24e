/* The rule of an alarm: when is a value too high or too low, and when is it good again?
 *
 *      value   ─────────╮            above ─ ─ ─ ╭────╮ ─ ─ ─ ─ ─
 *                       │ hysteresis ─ ─ ─ ─ ─ ─ ╯ ─ ─╰╮─ ─ ─ ─ ─
 *      raised  ______________________________/‾‾‾‾‾‾‾‾‾\_________     once per crossing
 *
 * Raised when the value has been beyond a limit for for_ms; cleared at the first value that is back inside by
 * the hysteresis. From too high straight to too low is another alarm, without a clearing in between.
 *
 * Pure: what changes is in the verdict, and counts only when the caller takes it over.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum rule_side { RULE_INSIDE, RULE_ABOVE, RULE_BELOW };

struct rule {
    double above, below; /* INFINITY, -INFINITY: no such limit */
    double hysteresis;   /* 0 and more */
    uint64_t for_ms;
};

/* What is known of one source of values. Zero: nothing yet. */
struct rule_state {
    enum rule_side raised;
    enum rule_side pending; /* beyond that limit, but not long enough */
    uint64_t since;         /* pending since */
};

enum rule_event { RULE_NOTHING, RULE_RAISED, RULE_CLEARED };

struct rule_verdict {
    enum rule_event event;
    enum rule_side side; /* of the alarm that was raised or cleared */
    struct rule_state state;
};

/* A value has come. */
struct rule_verdict rule_judge(const struct rule *rule, struct rule_state state, double value,
                               uint64_t now_ms);
/* Time has passed; the last value still holds. */
struct rule_verdict rule_wait(const struct rule *rule, struct rule_state state, uint64_t now_ms);

double rule_limit(const struct rule *rule, enum rule_side side);
