/* Values in a template: texts, lists of them, and the functions that make either. Of this room only.
 *
 *      "text"   {"Ref": "P"}   {"Fn::Join": ["-", [v, …]]}   {"Fn::Select": ["0", list]}   {"Fn::Split": [",", v]}
 *      {"Fn::FindInMap": ["Map", v, v]}   {"Fn::Sub": "a ${P} ${!literal}"}   {"Fn::Sub": ["${A}", {"A": v}]}
 */
#pragma once

#include "identity/template.h"

struct policy_reader;

enum { TEMPLATE_NESTING_MAX = 12, TEMPLATE_TEXT = 1, TEMPLATE_LIST = 2 };

/* "AWS::IoT::Certificate::": what comes from the certificate. */
bool template_is_pseudo(const char *name, size_t len);
bool template_has_pseudo(enum template_kind kind, const char *name, size_t len);

/* Whether it can be a value of the wanted sort, as far as that can be said without parameters. */
int template_check_value(struct policy_reader *reader, const struct template *template,
                         const struct json *value, unsigned wanted) must_check;

/* Evaluating. */
struct template_run {
    struct arena *arena;
    const struct template *template;
    const struct template_input *input;
    const char *why; /* the first fault */
    int r;
};
/* A new string, or an array of strings; NULL: run->why. */
struct json *template_value(struct template_run *run, const struct json *value);
/* The same where it must be text; *ret is terminated and has no U+0000. false: run->why. `what` is for the reader: "the
 * thing's name". */
bool template_text(struct template_run *run, const struct json *value, const char *what, const char **ret);
/* A parameter's or pseudo parameter's value; false: it has none, run->why. */
bool template_parameter(struct template_run *run, const char *name, size_t len, const struct json **ret);
/* Says why, unless something was said before; r is what template_evaluate() returns. Always false. */
bool template_fault(struct template_run *run, int r, const char *format, ...) printf_like(3, 4);
