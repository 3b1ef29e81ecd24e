/* A template, and behind an empty line the parameters:
 *
 *      {"Resources":…}
 *      (an empty line)
 *      {"SerialNumber":"0042"}
 *
 * What is refused has a place and says what was expected; what is evaluated is made of texts within their limits. */
#include "identity/template.h"

#include "base/json_write.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void must(bool is_so)
{
    if (!is_so)
        abort();
}

static void must_be_text(const char *text)
{
    must(text && strlen(text) <= TEMPLATE_SIZE_MAX);
}

static void evaluate(struct arena *arena, const struct template *template, const struct json *parameters)
{
    static const struct template_pseudo pseudo[] = {{"AWS::IoT::Certificate::Id", "00ff"},
                                                    {"AWS::IoT::Certificate::CommonName", "press-7"}};
    struct template_input input = {parameters, NULL, pseudo, array_size(pseudo)};
    struct template_plan plan;
    const char *why = NULL;
    int r = template_evaluate(&plan, arena, template, &input, &why);
    if (r != 0) {
        must((r == TEMPLATE_PARAMETER || r == TEMPLATE_RESULT) && why && *why);
        return;
    }
    must(template->kind == TEMPLATE_JITP || plan.thing);
    if (plan.thing)
        must_be_text(plan.thing);
    for (size_t i = 0; i < plan.attribute_count; i++) {
        must_be_text(plan.attributes[i].name);
        must_be_text(plan.attributes[i].value);
    }
    for (size_t i = 0; i < plan.group_count; i++)
        must_be_text(plan.groups[i]);
    for (size_t i = 0; i < plan.policy_count; i++)
        must_be_text(plan.policies[i].name);
    json_for_each (value, plan.configuration)
        must(value->type == JSON_STRING);
    must(json_write(arena, plan.configuration, NULL) != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    const char *text = (const char *)data, *gap = memmem(text, len, "\n\n", 2);
    size_t template_len = gap ? (size_t)(gap - text) : len;
    for (int kind = TEMPLATE_FLEET; kind <= TEMPLATE_JITP; kind++) {
        struct arena arena = {0};
        struct template template;
        struct policy_error error = {0};
        struct json *parameters = NULL;
        int r = template_read(&template, &arena, (enum template_kind)kind, text, template_len, &error);
        if (r != 0) {
            must(r == POLICY_MALFORMED && error.line >= 1 && error.column >= 1 &&
                 strstr(error.text, "expected "));
        } else {
            if (gap && json_parse(&parameters, &arena, gap + 2, len - template_len - 2, NULL) != 0)
                parameters = NULL;
            evaluate(&arena, &template, parameters);
        }
        arena_done(&arena);
    }
    return 0;
}
