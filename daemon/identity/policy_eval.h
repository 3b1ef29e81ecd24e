/* Decisions: whether a set of policies allows a request, and which statement of which policy decided.
 *
 *      statements of all policies, one pool:   a Deny that applies ─▶ explicitly denied
 *                                              else an Allow that applies ─▶ allowed
 *                                              else ─▶ implicitly denied
 *
 * A statement applies when it is about the action, one of its resources matches (none of NotResource does) and its
 * conditions hold. The order of policies and statements only says which of several is named.
 *
 *      struct policy_request request = {.action = IOT_PUBLISH, .name = topic, .len = len, .wall_ms = now};
 *      policy_decide(&set, &context, &request, &verdict) == POLICY_ALLOWED
 *
 * Names are what the client sent, not normalized: a topic, a filter with $share/… and all, a client id, "THING" or
 * "THING/SHADOW". Pure.
 */
#pragma once

#include "identity/policy_doc.h"

enum policy_decision { POLICY_IMPLICIT_DENY, POLICY_EXPLICIT_DENY, POLICY_ALLOWED };

/* "ALLOWED", "EXPLICIT_DENY", "IMPLICIT_DENY". */
extern const char *const policy_decision_names[POLICY_ALLOWED + 1];

/* What holds for somebody: those of the certificate, and of the groups of the connection's thing. */
struct policy_set {
    struct policy *const *policies;
    size_t count;
};

struct policy_request {
    enum iot_action action;
    const char *name; /* topic, filter, client id, …; of no meaning where the resource is everything */
    size_t len;
    int64_t wall_ms; /* below 0: not known, and aws:CurrentTime is missing */
};

enum { POLICY_MISSING_MAX = 8 };

struct policy_verdict {
    enum policy_decision decision;
    bool of_time;                /* a condition on the time was asked: do not remember it */
    const struct policy *policy; /* NULL: nothing applied */
    uint32_t statement;          /* number in it, from 0 */
    /* Keys that had no value when they were needed, the first few; they live as long as the policies. */
    const struct policy_key *missing[POLICY_MISSING_MAX];
    uint32_t missing_count;
};

/* The verdict may be NULL. Without memory for a long name it is an implicit deny. */
enum policy_decision policy_decide(const struct policy_set *set, const struct policy_context *context,
                                   const struct policy_request *request, struct policy_verdict *verdict);
