/* Conditions of a policy's statement: which operator, on which key, against which values.
 *
 *      "Condition": {"ForAnyValue:StringLikeIfExists": {"iot:Certificate.Subject.Organization.List": ["Plant ?", …]}}
 *                    └ quantifier  └ operator └ if_exists  └ key                                      └ operands
 *
 * All conditions must hold. One holds when the key's value matches any operand, or none of them where the operator is
 * negated. ForAllValues and ForAnyValue ask that of every value of the key, or of one; without them its first value counts.
 *
 *      key missing, or without values:   …IfExists and ForAllValues true, ForAnyValue false, negated true, else false
 *
 * Values of String and Arn operators may have variables, as in IAM; the others may not. Moments are those of the request.
 */
#pragma once

#include "base/json.h"
#include "identity/policy_pattern.h"
#include "identity/policy_value.h"

enum policy_comparison {
    POLICY_STRING,      /* = */
    POLICY_STRING_CASE, /* without regard to case (ASCII) */
    POLICY_STRING_LIKE, /* with wildcards */
    POLICY_NUMERIC,
    POLICY_DATE,
    POLICY_BOOL,
    POLICY_IP,
    POLICY_ARN, /* with wildcards in each part */
    POLICY_NULL,
};

enum policy_order { POLICY_EQUAL, POLICY_LESS, POLICY_LESS_EQUAL, POLICY_GREATER, POLICY_GREATER_EQUAL };

enum policy_quantifier { POLICY_FIRST_VALUE, POLICY_FOR_ALL, POLICY_FOR_ANY };

enum { POLICY_ARN_PARTS = 6 };

struct policy_operand {
    union {
        struct policy_pattern pattern;
        struct policy_pattern *parts; /* POLICY_ARN_PARTS */
        struct policy_text number;
        int64_t moment_ms;
        struct policy_network network;
        bool truth;
    };
};

struct policy_condition {
    struct policy_text name; /* of the operator, as written */
    enum policy_comparison comparison;
    enum policy_order order; /* of numbers and dates */
    enum policy_quantifier quantifier;
    bool negated, if_exists;
    struct policy_key *key;
    struct policy_operand *operands;
    uint32_t count;
};

struct policy_reader;
/* A Condition element: its conditions, each for one operator and key. Positive: it is malformed, and that was told. */
int policy_conditions_read(struct policy_reader *reader, const struct json *block,
                           struct policy_condition **ret, uint32_t *ret_count) must_check;

/* wall_ms: the time of the request; below 0: not known. */
bool policy_condition_holds(const struct policy_condition *condition, const struct policy_match *match,
                            int64_t wall_ms);
/* Whether what it says may change by itself, as time goes by. */
bool policy_condition_is_of_time(const struct policy_condition *condition);
