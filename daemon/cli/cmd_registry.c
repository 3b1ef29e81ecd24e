/* thing, group: what is in the registry. */
#include "cli/registry.h"

#include "base/json_write.h"

#include <string.h>

static const struct column thing_columns[] = {
    {"THING", "name", COLUMN_TEXT},
    {"TYPE", "type", COLUMN_TEXT},
    {"ATTRIBUTES", "attributes", COLUMN_TEXT},
    {"GROUPS", "groups", COLUMN_TEXT},
    {"CONNECTED", "connected", COLUMN_TEXT},
    {"SINCE", "since", COLUMN_TIME},
    {0},
};

static const struct column group_columns[] = {
    {"GROUP", "name", COLUMN_TEXT},
    {"PARENT", "parent", COLUMN_TEXT},
    {"THINGS", "members", COLUMN_NUMBER},
    {"QUERY", "query", COLUMN_TEXT},
    {"POLICIES", "policies", COLUMN_TEXT},
    {"DESCRIPTION", "description", COLUMN_TEXT},
    {0},
};

/* "a=1 b=2" of an object, "a b" of an array. */
const char *registry_flat(struct arena *arena, const struct json *json)
{
    const char *text = NULL;
    json_for_each (at, json) {
        const char *value = NULL;
        if (!json_text(at, arena, &value))
            continue;
        const char *item = at->key ? arena_printf(arena, "%.*s=%s", (int)at->key_len, at->key, value) : value;
        text = text ? arena_printf(arena, "%s %s", text, item) : item;
    }
    return text;
}

void registry_set(struct arena *arena, struct json *object, const char *key, const char *value)
{
    if (value)
        json_set(object, key, strlen(key), json_new_string(arena, value, strlen(value)));
}

struct json *registry_request(const struct call *call, struct arena *arena, const char *const *members)
{
    arena_init(arena);
    struct json *request = json_new(arena, JSON_OBJECT);
    for (unsigned i = 0; members[i] && i < call->count; i++)
        registry_set(arena, request, members[i], call->arguments[i]);
    return request;
}

int registry_ask(const struct call *call, struct arena *arena, const char *topic, const struct json *request,
                 struct json **answer)
{
    return ask_once(call, arena, topic, json_write(arena, request, NULL), answer);
}

int registry_do(const struct call *call, const char *topic, const char *const *members, const char *done)
{
    struct arena arena;
    struct json *answer, *request = registry_request(call, &arena, members);
    int code = registry_ask(call, &arena, topic, request, &answer);
    if (code == CLI_DONE && call_has(call, OPTION_JSON)) {
        answer_print(answer);
    } else if (code == CLI_DONE) {
        print_text(stdout, call->arguments[0]);
        (void)printf(": %s\n", done);
    }
    arena_done(&arena);
    return code;
}

int registry_show(const struct call *call, const char *topic, const char *const *members)
{
    struct arena arena;
    struct json *answer, *request = registry_request(call, &arena, members);
    int code = registry_ask(call, &arena, topic, request, &answer);
    if (code == CLI_DONE && call_has(call, OPTION_JSON))
        answer_print(answer);
    else if (code == CLI_DONE)
        print_pretty(stdout, answer);
    arena_done(&arena);
    return code;
}

/* KEY=VALUE words from the argument `first` on. CLI_USAGE: one is none, and that has been said. */
static int put_attributes(const struct call *call, struct arena *arena, struct json *request, unsigned first)
{
    struct json *attributes = json_new(arena, JSON_OBJECT);
    for (unsigned i = first; i < call->count; i++) {
        const char *word = call->arguments[i], *equals = strchr(word, '=');
        if (!equals || equals == word)
            return call_usage(call, "expected ATTRIBUTE=VALUE, found \"%s\"", word);
        json_set(attributes, word, (size_t)(equals - word),
                 json_new_string(arena, equals + 1, strlen(equals + 1)));
    }
    if (call->count > first)
        json_set(request, "attributes", 10, attributes);
    return CLI_DONE;
}

static int change_thing(const struct call *call, const char *topic, const char *done)
{
    static const char *const members[] = {"name", NULL};
    struct arena arena;
    struct json *answer, *request = registry_request(call, &arena, members);
    registry_set(&arena, request, "type", call->values[OPTION_TYPE]);
    int code = put_attributes(call, &arena, request, 1);
    if (code == CLI_DONE)
        code = registry_ask(call, &arena, topic, request, &answer);
    if (code == CLI_DONE && call_has(call, OPTION_JSON))
        answer_print(answer);
    else if (code == CLI_DONE)
        (void)printf("%s: %s\n", call->arguments[0], done);
    arena_done(&arena);
    return code;
}

int cmd_thing_create(const struct call *call)
{
    return change_thing(call, "$gatehouse/ctl/thing/create", "created");
}

int cmd_thing_update(const struct call *call)
{
    return change_thing(call, "$gatehouse/ctl/thing/update", "updated");
}

int cmd_thing_delete(const struct call *call)
{
    static const char *const members[] = {"name", NULL};
    return registry_do(call, "$gatehouse/ctl/thing/delete", members, "deleted");
}

int cmd_thing_describe(const struct call *call)
{
    static const char *const members[] = {"name", NULL};
    return registry_show(call, "$gatehouse/ctl/thing/describe", members);
}

/* Rows as a table has them. */
static void flatten_thing(struct arena *arena, struct json *thing)
{
    registry_set(arena, thing, "attributes", registry_flat(arena, json_get(thing, "attributes")));
    registry_set(arena, thing, "groups", registry_flat(arena, json_get(thing, "groups")));
    const struct json *connectivity = json_get(thing, "connectivity");
    bool connected = false;
    (void)json_bool(json_get(connectivity, "connected"), &connected);
    registry_set(arena, thing, "connected", connected ? "yes" : "no");
    const struct json *since = json_get(connectivity, "timestamp");
    if (since)
        json_set(thing, "since", 5, json_copy(arena, since));
}

/* All pages. */
static int list_things(const struct call *call, const char *topic, const char *query)
{
    struct arena arena;
    arena_init(&arena);
    cleanup(link_close_p) struct link *link = NULL;
    struct json *all = json_new(&arena, JSON_ARRAY), *request = json_new(&arena, JSON_OBJECT);
    registry_set(&arena, request, "query", query);
    int code = call_link(call, &link);
    const char *next = "";
    while (code == CLI_DONE && next) {
        struct json *answer;
        if (*next)
            registry_set(&arena, request, "after", next);
        code = ask_daemon(call, link, &arena, topic, json_write(&arena, request, NULL), &answer);
        next = NULL;
        if (code != CLI_DONE)
            break;
        json_for_each (thing, json_get(answer, "things"))
            json_push(all, json_copy(&arena, thing));
        (void)json_text(json_get(answer, "next"), &arena, &next);
    }
    if (code == CLI_DONE && call_has(call, OPTION_JSON)) {
        struct json *whole = json_new(&arena, JSON_OBJECT);
        json_set(whole, "things", 6, all);
        answer_print(whole);
    } else if (code == CLI_DONE) {
        json_for_each (thing, all)
            flatten_thing(&arena, thing);
        print_table(stdout, all, thing_columns,
                    query ? "Nothing matches." : "There is no thing: gatehouse thing create.");
    }
    arena_done(&arena);
    return code;
}

int cmd_thing_list(const struct call *call)
{
    return list_things(call, "$gatehouse/ctl/thing/list", NULL);
}

int cmd_thing_search(const struct call *call)
{
    return list_things(call, "$gatehouse/ctl/thing/search", call->arguments[0]);
}

int cmd_thing_attach(const struct call *call)
{
    static const char *const members[] = {"name", "principal", NULL};
    return registry_do(call, "$gatehouse/ctl/thing/attach", members, "attached");
}

int cmd_thing_detach(const struct call *call)
{
    static const char *const members[] = {"name", "principal", NULL};
    return registry_do(call, "$gatehouse/ctl/thing/detach", members, "detached");
}

/* ---- groups --------------------------------------------------------------------------------------------------------------- */

int cmd_group_create(const struct call *call)
{
    static const char *const members[] = {"name", NULL};
    struct arena arena;
    struct json *answer, *request = registry_request(call, &arena, members);
    registry_set(&arena, request, "parent", call->values[OPTION_PARENT]);
    registry_set(&arena, request, "query", call->values[OPTION_QUERY]);
    int code = put_attributes(call, &arena, request, 1);
    if (code == CLI_DONE)
        code = registry_ask(call, &arena, "$gatehouse/ctl/group/create", request, &answer);
    if (code == CLI_DONE && call_has(call, OPTION_JSON))
        answer_print(answer);
    else if (code == CLI_DONE)
        (void)printf("%s: created\n", call->arguments[0]);
    arena_done(&arena);
    return code;
}

int cmd_group_list(const struct call *call)
{
    static const char *const members[] = {NULL};
    struct arena arena;
    struct json *answer, *request = registry_request(call, &arena, members);
    int code = registry_ask(call, &arena, "$gatehouse/ctl/group/list", request, &answer);
    if (code == CLI_DONE && call_has(call, OPTION_JSON)) {
        answer_print(answer);
    } else if (code == CLI_DONE) {
        json_for_each (group, json_get(answer, "groups"))
            registry_set(&arena, group, "policies", registry_flat(&arena, json_get(group, "policies")));
        print_table(stdout, json_get(answer, "groups"), group_columns,
                    "There is no group: gatehouse group create.");
    }
    arena_done(&arena);
    return code;
}

int cmd_group_describe(const struct call *call)
{
    static const char *const members[] = {"name", NULL};
    return registry_show(call, "$gatehouse/ctl/group/describe", members);
}

int cmd_group_delete(const struct call *call)
{
    static const char *const members[] = {"name", NULL};
    return registry_do(call, "$gatehouse/ctl/group/delete", members, "deleted");
}

int cmd_group_attach(const struct call *call)
{
    static const char *const members[] = {"name", "thing", NULL};
    return registry_do(call, "$gatehouse/ctl/group/attach", members, "attached");
}

int cmd_group_detach(const struct call *call)
{
    static const char *const members[] = {"name", "thing", NULL};
    return registry_do(call, "$gatehouse/ctl/group/detach", members, "detached");
}
