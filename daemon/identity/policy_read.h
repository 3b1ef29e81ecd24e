/* Reading a policy's JSON: where one is in it, and how a fault is told.
 *
 *      Statement[1].Condition.IpAddress.aws:SourceIp[0]: expected an address or a network like 10.0.0.0/8, not "10.x"
 *
 * The tree of base/json does not remember where its nodes were written. So the way down is remembered, and the text is
 * walked along it again when there is something to tell. Of this room only: the parsers of policies, conditions and templates.
 */
#pragma once

#include "base/json.h"
#include "identity/policy_doc.h"

enum { POLICY_STEPS_MAX = 64 }; /* functions of templates are inside each other */

struct policy_step {
    struct policy_text key; /* text NULL: an element */
    uint32_t index;
};

struct policy_reader {
    struct arena *arena;   /* what stays */
    struct arena *scratch; /* the tree, texts of faults */
    const char *text;
    size_t len;
    struct policy_error *error;
    struct policy_step steps[POLICY_STEPS_MAX];
    unsigned depth;
};

void policy_enter(struct policy_reader *reader, const struct json *member);
void policy_enter_element(struct policy_reader *reader, uint32_t index);
void policy_leave(struct policy_reader *reader);

/* Line and column of where one is. */
void policy_where(const struct policy_reader *reader, unsigned *line, unsigned *column);
/* POLICY_MALFORMED: what is here is not what was expected. */
int policy_expected(struct policy_reader *reader, const struct json *got, const char *format, ...)
    printf_like(3, 4);

/* "S | [S, ...]": how many, and each. */
static inline uint32_t policy_list_count(const struct json *list)
{
    return list->type == JSON_ARRAY ? list->len : 1;
}
#define policy_for_each(at, list)                                                                            \
    for (const struct json *at = (list)->type == JSON_ARRAY ? json_first(list) : (list); at;                 \
         at = (list)->type == JSON_ARRAY ? at->next : NULL)
/* Steps into the list's element if the list is one. */
void policy_enter_listed(struct policy_reader *reader, const struct json *list, uint32_t index);
void policy_leave_listed(struct policy_reader *reader, const struct json *list);
