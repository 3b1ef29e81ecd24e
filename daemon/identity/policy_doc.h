/* Policy documents, as AWS IoT has them, compiled.
 *
 *      {"Version":"2012-10-17","Statement":[
 *          {"Effect":"Allow","Action":"iot:Publish","Resource":"arn:aws:iot:*:*:topic/dt/${iot:ClientId}-*"}]}
 *
 *      policy ─▶ statements:  effect │ actions, a bit each │ resources: patterns │ conditions
 *
 * Strict: what AWS refuses at creation is refused here, and so is what could never be compared (a numeric condition with a
 * value that is no number). Element names are compared exactly, there is no Principal, and only version 2012-10-17 is taken.
 * Of two elements with one name the last one counts, as everywhere in our JSON.
 *
 * A compiled policy does not change and is shared by reference; it lives on one thread.
 */
#pragma once

#include "identity/policy_action.h"
#include "identity/policy_condition.h"
#include "identity/policy_pattern.h"

enum {
    POLICY_SIZE_MAX = 2048,  /* characters, white space outside of strings not counted (AWS IoT quota) */
    POLICY_TEXT_MAX = 65536, /* bytes, all counted */
};

/* What policy_compile() refuses. */
enum { POLICY_MALFORMED = 1 };

struct policy_error {
    unsigned line, column; /* from 1; the column counts characters */
    char text[480];        /* "Statement[1].Effect: expected "Allow" or "Deny", not "allow"" */
};

struct policy_statement {
    struct policy_text sid; /* text NULL: it has none */
    unsigned line, column;
    bool deny;
    bool not_resource;
    bool not_action;
    uint32_t actions; /* what it is about: bits of enum iot_action, NotAction already turned round */
    struct policy_text *action_names; /* as written */
    uint32_t action_count;
    struct policy_pattern *resources;
    uint32_t resource_count;
    struct policy_condition *conditions;
    uint32_t condition_count;
};

struct policy {
    unsigned refs;
    const char *name;
    struct policy_statement *statements;
    uint32_t count;
    size_t bytes;             /* of memory, in one piece */
    bool may_ask_certificate; /* for iot:Certificate.…; false: it does not */
};

/* Compiles a document. POLICY_MALFORMED: it is none, and *error (may be NULL) says why. The text is not kept. */
int policy_compile(struct policy **ret, const char *name, const char *text, size_t len,
                   struct policy_error *error) must_check;
struct policy *policy_ref(struct policy *policy);
struct policy *policy_unref(struct policy *policy);
define_cleanup(struct policy *, policy_unref)
