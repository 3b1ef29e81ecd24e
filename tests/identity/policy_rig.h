/* Policies for a test: compiled from statements, a context from pairs, and a word for what was decided. */
#pragma once

#include "base/json.h"
#include "identity/policy_eval.h"
#include "rig/test.h"

enum { RIG_POLICIES_MAX = 8 };

struct policy_rig {
    struct policy *policies[RIG_POLICIES_MAX];
    struct policy_set set;
    struct policy_context context;
    struct policy_verdict verdict; /* of the last request */
};

struct policy_rig *policy_rig_new(void);
struct policy_rig *policy_rig_free(struct policy_rig *rig);
define_cleanup(struct policy_rig *, policy_rig_free)

/* One more policy: a list of statements, in JSON, or in an apostrophe for each quotation mark. `~` at the begin of a
     * string is the place: "~topic/a". */
void policy_rig_add(struct policy_rig *rig, const char *statements);
void policy_rig_know(struct policy_rig *rig, const char *key, const char *value);
/* "Publish", "topic/a": the name of the decision. */
const char *policy_rig_ask(struct policy_rig *rig, const char *action, const char *resource);
const char *policy_rig_ask_at(struct policy_rig *rig, const char *action, const char *resource,
                              int64_t wall_ms);

/* The document around statements, with the same freedoms. Free it. */
char *policy_rig_document(const char *statements);
/* A request; false: there is no such action, or the resource is of another kind. */
bool policy_rig_request(struct policy_request *ret, const char *action, const char *resource);
/* A whole file. Free it. */
char *policy_rig_read(const char *path, size_t *len);
