/* ctl/type and ctl/group: thing types; groups, their members and policies. */
#include "identity/registry_query.h"
#include "services/registrar/registrar_private.h"

#include <string.h>

enum { PAGE = 250 };

/* ---- types ---------------------------------------------------------------------------------------------------------------- */

static void put_type(struct json_writer *w, const struct registry_type *type)
{
    put_text(w, "name", type->key.text);
    put_text(w, "id", type->id);
    put_arn(w, "arn", "thingtype", type->key.text);
    put_text(w, "description", type->description);
    json_key(w, "searchable");
    json_begin_array(w);
    for (size_t i = 0; i < type->searchable_count; i++)
        json_put_string(w, type->searchable[i]);
    json_end_array(w);
    put_bool(w, "deprecated", type->deprecated_ms != 0);
    put_number(w, "created", type->created_ms);
    put_number(w, "things", (int64_t)type->things);
}

static void on_type_create(struct asked *asked)
{
    const char *name = asked_text(asked, "name", true),
               *description = asked_text(asked, "description", false);
    const char *searchable[REGISTRY_SEARCHABLE_MAX + 1];
    size_t count = 0;
    json_for_each (at, json_get(asked->json, "searchable")) {
        if (count > REGISTRY_SEARCHABLE_MAX || !json_text(at, &asked->arena, &searchable[count]))
            asked_refuse(asked, 400, "searchable: expected at most %d names of attributes",
                         REGISTRY_SEARCHABLE_MAX);
        else
            count++;
    }
    struct registry *registry = asked->registrar->registry;
    if (!asked->answered && asked_is_good(asked, registry_type_create(registry, name, description, searchable,
                                                                      count, &asked->by)))
        put_type(&asked->answer, registry_type(registry, name));
}

static void on_type_deprecate(struct asked *asked)
{
    const char *name = asked_text(asked, "name", true);
    bool undo = asked_bool(asked, "undo", false);
    struct registry *registry = asked->registrar->registry;
    if (!asked->answered && asked_is_good(asked, registry_type_deprecate(registry, name, !undo, &asked->by)))
        put_type(&asked->answer, registry_type(registry, name));
}

static void on_type_delete(struct asked *asked)
{
    const char *name = asked_text(asked, "name", true);
    if (!asked->answered &&
        asked_is_good(asked, registry_type_delete(asked->registrar->registry, name, &asked->by)))
        put_text(&asked->answer, "name", name);
}

static void on_type_list(struct asked *asked)
{
    struct registry_type *page[PAGE];
    const char *after = NULL;
    json_key(&asked->answer, "types");
    json_begin_array(&asked->answer);
    for (size_t n; (n = registry_types(asked->registrar->registry, after, page, PAGE)) > 0;
         after = page[n - 1]->key.text)
        for (size_t i = 0; i < n; i++) {
            json_begin_object(&asked->answer);
            put_type(&asked->answer, page[i]);
            json_end_object(&asked->answer);
        }
    json_end_array(&asked->answer);
}

/* ---- groups --------------------------------------------------------------------------------------------------------------- */

static void put_group(struct json_writer *w, const struct registry_group *group)
{
    put_text(w, "name", group->key.text);
    put_text(w, "id", group->id);
    put_arn(w, "arn", "thinggroup", group->key.text);
    put_text(w, "parent", group->parent ? group->parent->key.text : NULL);
    put_text(w, "description", group->description);
    put_text(w, "query", group->query);
    put_attributes(w, &group->attributes);
    json_key(w, "policies");
    json_begin_array(w);
    for (size_t i = 0; i < group->policy_count; i++)
        json_put_string(w, group->policies[i]->key.text);
    json_end_array(w);
    put_number(w, "version", (int64_t)group->version);
    put_number(w, "created", group->created_ms);
}

static void on_group_create(struct asked *asked)
{
    size_t count;
    const char *name = asked_text(asked, "name", true);
    const char *parent = asked_text(asked, "parent", false), *query = asked_text(asked, "query", false);
    const char *description = asked_text(asked, "description", false);
    const struct registry_attribute *attributes = asked_attributes(asked, &count);
    struct registry *registry = asked->registrar->registry;
    if (!asked->answered &&
        asked_is_good(asked, registry_group_create(registry, name, parent, query, description, attributes,
                                                   count, &asked->by)))
        put_group(&asked->answer, registry_group(registry, name));
}

static void on_group_delete(struct asked *asked)
{
    const char *name = asked_text(asked, "name", true);
    uint64_t version = (uint64_t)asked_number(asked, "expectedVersion", INT64_MAX, 0);
    if (!asked->answered &&
        asked_is_good(asked, registry_group_delete(asked->registrar->registry, name, version, &asked->by)))
        put_text(&asked->answer, "name", name);
}

static bool is_in(const struct registry_group *group, const struct registry_query *query,
                  const struct registry_thing *thing, bool recursive)
{
    if (query)
        return registry_query_matches(query, thing);
    for (size_t i = 0; i < thing->group_count; i++)
        for (const struct registry_group *at = thing->groups[i]; at; at = recursive ? at->parent : NULL)
            if (at == group)
                return true;
    return false;
}

static void put_members(struct asked *asked, const struct registry_group *group, bool recursive)
{
    cleanup(registry_query_free_p) struct registry_query *query = NULL;
    cleanup_free char *why = NULL;
    if (group->query && registry_query_compile(&query, group->query, strlen(group->query),
                                               REGISTRY_QUERY_GROUP_TERMS_MAX, &why) < 0) {
        asked_refuse(asked, 500, "query: %s", why);
        return;
    }
    struct registry_thing *page[PAGE];
    const char *after = NULL;
    json_key(&asked->answer, "things");
    json_begin_array(&asked->answer);
    for (size_t n; (n = registry_things(asked->registrar->registry, after, page, PAGE)) > 0;
         after = page[n - 1]->key.text)
        for (size_t i = 0; i < n; i++)
            if (is_in(group, query, page[i], recursive))
                json_put_string(&asked->answer, page[i]->key.text);
    json_end_array(&asked->answer);
}

static void on_group_describe(struct asked *asked)
{
    const char *name = asked_text(asked, "name", true);
    bool recursive = asked_bool(asked, "recursive", false);
    const struct registry_group *group = name ? registry_group(asked->registrar->registry, name) : NULL;
    if (name && !group)
        asked_refuse(asked, 404, "there is no group \"%.128s\"", name);
    if (asked->answered)
        return;
    put_group(&asked->answer, group);
    put_members(asked, group, recursive);
}

static void on_group_list(struct asked *asked)
{
    struct registry_group *page[PAGE];
    const char *after = NULL;
    json_key(&asked->answer, "groups");
    json_begin_array(&asked->answer);
    for (size_t n; (n = registry_groups(asked->registrar->registry, after, page, PAGE)) > 0;
         after = page[n - 1]->key.text)
        for (size_t i = 0; i < n; i++) {
            json_begin_object(&asked->answer);
            put_group(&asked->answer, page[i]);
            if (!page[i]->query)
                put_number(&asked->answer, "members", (int64_t)page[i]->things);
            json_end_object(&asked->answer);
        }
    json_end_array(&asked->answer);
}

static void member(struct asked *asked, bool add)
{
    const char *name = asked_text(asked, "name", true), *thing = asked_text(asked, "thing", true);
    struct registry *registry = asked->registrar->registry;
    if (asked->answered)
        return;
    int r = add ? registry_group_add(registry, name, thing, &asked->by)
                : registry_group_remove(registry, name, thing, &asked->by);
    if (asked_is_good(asked, r)) {
        put_text(&asked->answer, "name", name);
        put_text(&asked->answer, "thing", thing);
    }
}

static void on_group_add(struct asked *asked)
{
    member(asked, true);
}

static void on_group_remove(struct asked *asked)
{
    member(asked, false);
}

const struct registrar_request registrar_group_requests[] = {
    {"type/create", on_type_create, "name description searchable"},
    {"type/deprecate", on_type_deprecate, "name undo"},
    {"type/delete", on_type_delete, "name"},
    {"type/list", on_type_list, ""},
    {"group/create", on_group_create, "name parent query description attributes"},
    {"group/delete", on_group_delete, "name expectedVersion"},
    {"group/describe", on_group_describe, "name recursive"},
    {"group/list", on_group_list, ""},
    {"group/attach", on_group_add, "name thing"},
    {"group/detach", on_group_remove, "name thing"},
    {0},
};
