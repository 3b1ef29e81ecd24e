/* thing import: many things from a file, a JSON object a line; what a line asks for is what RegisterThing would make.
 *
 *      {"name":"press-07","type":"press","attributes":{"hall":"7"},"groups":["hall-7"],"principals":["CERTIFICATE"]}
 *
 * A line that is refused does not keep the others; one that says what is there already is done. */
#include "base/json_write.h"
#include "cli/registry.h"

#include <string.h>

struct import {
    const struct call *call;
    struct link *link;
    struct arena arena; /* of a line */
    const char *name;
};

static bool is_member(const struct json *member)
{
    static const char *const names[] = {"name", "type", "attributes", "groups", "principals"};
    for (size_t i = 0; i < array_size(names); i++)
        if (json_key_is(member, names[i], strlen(names[i])))
            return true;
    return false;
}

/* NULL, or what is wrong with it. */
static const char *check(struct import *import, const struct json *line)
{
    if (!json_is(line, JSON_OBJECT))
        return "expected a JSON object";
    json_for_each (member, line)
        if (!is_member(member))
            return arena_printf(&import->arena,
                                "\"%.*s\": expected name, type, attributes, groups or principals",
                                (int)size_min(member->key_len, 60), member->key);
    if (!json_text(json_get(line, "name"), &import->arena, &import->name))
        return "expected a name";
    static const char *const lists[] = {"groups", "principals"};
    for (size_t i = 0; i < array_size(lists); i++) {
        const struct json *list = json_get(line, lists[i]);
        if (list && !json_is(list, JSON_ARRAY))
            return arena_printf(&import->arena, "%s: expected an array", lists[i]);
    }
    return NULL;
}

static int ask(struct import *import, const char *topic, const struct json *request)
{
    struct json *answer;
    return ask_daemon(import->call, import->link, &import->arena, topic,
                      json_write(&import->arena, request, NULL), &answer);
}

/* For each of a list: {"name":…,KEY:…} on a topic. */
static int ask_for_each(struct import *import, const struct json *list, const char *topic,
                        const char *key_of_item, const char *key_of_thing)
{
    int code = CLI_DONE;
    json_for_each (item, list) {
        const char *text = "";
        (void)json_text(item, &import->arena, &text);
        struct json *request = json_new(&import->arena, JSON_OBJECT);
        registry_set(&import->arena, request, key_of_item, text);
        registry_set(&import->arena, request, key_of_thing, import->name);
        int r = ask(import, topic, request);
        code = r == CLI_DONE ? code : r;
    }
    return code;
}

static int import_line(struct import *import, char *text, const char *where)
{
    struct json *line = NULL;
    const char *why = json_parse(&line, &import->arena, text, strlen(text), NULL) == 0
                          ? check(import, line)
                          : "expected a JSON object";
    if (why) {
        (void)fprintf(stderr, "gatehouse: %s: ", where);
        print_text(stderr, why);
        (void)fputs("\n", stderr);
        return CLI_REFUSED;
    }
    struct json *thing = json_copy(&import->arena, line);
    (void)json_remove(thing, "groups", 6);
    (void)json_remove(thing, "principals", 10);
    int code = ask(import, "$gatehouse/ctl/thing/create", thing);
    if (code == CLI_DONE)
        code = ask_for_each(import, json_get(line, "groups"), "$gatehouse/ctl/group/attach", "name", "thing");
    if (code == CLI_DONE)
        code = ask_for_each(import, json_get(line, "principals"), "$gatehouse/ctl/thing/attach", "principal",
                            "name");
    if (code != CLI_DONE)
        (void)fprintf(stderr, "gatehouse: %s: not imported, or not all of it\n", where);
    return code;
}

static int import_all(struct import *import, char *text)
{
    unsigned number = 0, done = 0, refused = 0;
    int code = CLI_DONE;
    for (char *line = text, *next; line; line = next) {
        next = strchr(line, '\n');
        if (next)
            *next++ = '\0';
        number++;
        if (!line[strspn(line, " \t\r")])
            continue;
        char where[300];
        (void)snprintf(where, sizeof where, "%.250s:%u", import->call->arguments[0], number);
        arena_init(&import->arena);
        int r = import_line(import, line, where);
        arena_done(&import->arena);
        if (r != CLI_DONE && r != CLI_REFUSED)
            return r; /* there is nobody to ask any more */
        *(r == CLI_DONE ? &done : &refused) += 1;
        code = r == CLI_DONE ? code : r;
    }
    if (call_has(import->call, OPTION_JSON))
        (void)printf("{\"imported\":%u,\"refused\":%u}\n", done, refused);
    else
        (void)printf("%u things are imported, %u are not.\n", done, refused);
    return code;
}

int cmd_thing_import(const struct call *call)
{
    struct arena arena;
    char *text = NULL;
    arena_init(&arena);
    struct import import = {.call = call};
    int code = registry_read_file(&arena, call->arguments[0], &text);
    if (code == CLI_DONE)
        code = call_link(call, &import.link);
    if (code == CLI_DONE)
        code = import_all(&import, text);
    (void)link_close(import.link);
    arena_done(&arena);
    return code;
}
