/* policy: those that the gateway keeps and decides by. */
#include "cli/registry.h"

#include <string.h>

static const struct column policy_columns[] = {
    {"POLICY", "name", COLUMN_TEXT},
    {"VERSION", "default", COLUMN_NUMBER},
    {"ATTACHED TO", "targets", COLUMN_NUMBER},
    {"CREATED", "created", COLUMN_TIME},
    {0},
};
static const char *const by_name[] = {"name", NULL};
static const char *const with_target[] = {"name", "target", NULL};

static int put(const struct call *call, const char *topic, const char *done)
{
    struct arena arena;
    char *document;
    struct json *answer, *request = registry_request(call, &arena, by_name);
    int code = registry_read_file(&arena, call->arguments[1], &document);
    registry_set(&arena, request, "document", document);
    if (code == CLI_DONE)
        code = registry_ask(call, &arena, topic, request, &answer);
    if (code == CLI_DONE && call_has(call, OPTION_JSON))
        answer_print(answer);
    else if (code == CLI_DONE)
        (void)printf("%s: %s\n", call->arguments[0], done);
    arena_done(&arena);
    return code;
}

int cmd_policy_create(const struct call *call)
{
    return put(call, "$gatehouse/ctl/policy/create", "created");
}

int cmd_policy_update(const struct call *call)
{
    return put(call, "$gatehouse/ctl/policy/update", "has another version, which decides");
}

int cmd_policy_list(const struct call *call)
{
    static const char *const members[] = {NULL};
    struct arena arena;
    struct json *answer, *request = registry_request(call, &arena, members);
    int code = registry_ask(call, &arena, "$gatehouse/ctl/policy/list", request, &answer);
    if (code == CLI_DONE && call_has(call, OPTION_JSON))
        answer_print(answer);
    else if (code == CLI_DONE)
        print_table(stdout, json_get(answer, "policies"), policy_columns,
                    "There is no policy: gatehouse policy create.");
    arena_done(&arena);
    return code;
}

int cmd_policy_describe(const struct call *call)
{
    return registry_show(call, "$gatehouse/ctl/policy/describe", by_name);
}

int cmd_policy_delete(const struct call *call)
{
    return registry_do(call, "$gatehouse/ctl/policy/delete", by_name, "deleted");
}

int cmd_policy_attach(const struct call *call)
{
    return registry_do(call, "$gatehouse/ctl/policy/attach", with_target, "attached");
}

int cmd_policy_detach(const struct call *call)
{
    return registry_do(call, "$gatehouse/ctl/policy/detach", with_target, "detached");
}
