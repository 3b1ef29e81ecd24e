/* What is wrong with a policy that is well-formed: what it says and does not mean, or means and should not say.
 *
 *      unknown-action   the gateway has no such action: nothing is allowed or denied by it
 *      unknown-key      the gateway gives no such key a value, as a variable or in a condition
 *      never-matches    a resource that no request of these actions can have
 *      over-broad       everything is allowed, or what belongs to others
 *      unreachable      it makes no difference: a broader statement says the same, or a Deny takes it back
 *      weak-deny        a Deny that does not hold where a variable has no value
 *      vacuous-deny     a Deny with ForAllValues, which is true for whoever has no value
 *
 * Statements of one policy are compared with each other; other policies of a principal may say more.
 */
#pragma once

#include "identity/policy_doc.h"

enum policy_finding_kind {
    POLICY_UNKNOWN_ACTION,
    POLICY_UNKNOWN_KEY,
    POLICY_NEVER_MATCHES,
    POLICY_OVER_BROAD,
    POLICY_UNREACHABLE,
    POLICY_WEAK_DENY,
    POLICY_VACUOUS_DENY,
    POLICY_FINDING_KINDS
};

extern const char *const policy_finding_names[POLICY_FINDING_KINDS];

struct policy_finding {
    enum policy_finding_kind kind;
    uint32_t statement; /* from 0 */
    const char *text;   /* a sentence; it may hold what the policy holds */
};

/* All findings, by statement, in the arena; how many. */
size_t policy_lint(const struct policy *policy, struct arena *arena, struct policy_finding **ret);
