/* ctl/thing: things, their attributes and principals, and searching. */
#include "identity/registry_query.h"
#include "services/registrar/registrar_private.h"

#include <string.h>

enum { PAGE_DEFAULT = 250, PAGE_MAX = 1000 };

static void put_groups(struct json_writer *w, const struct registry_thing *thing)
{
    json_key(w, "groups");
    json_begin_array(w);
    for (size_t i = 0; i < thing->group_count; i++)
        json_put_string(w, thing->groups[i]->key.text);
    json_end_array(w);
}

static void put_connectivity(struct json_writer *w, const struct registry_thing *thing)
{
    json_key(w, "connectivity");
    json_begin_object(w);
    put_bool(w, "connected", thing->connected);
    if (thing->connectivity_ms)
        put_number(w, "timestamp", thing->connectivity_ms);
    put_text(w, "disconnectReason", thing->disconnect_reason);
    json_end_object(w);
}

static void put_thing(struct json_writer *w, const struct registry_thing *thing)
{
    put_text(w, "name", thing->key.text);
    put_text(w, "id", thing->id);
    put_arn(w, "arn", "thing", thing->key.text);
    put_text(w, "type", thing->type ? thing->type->key.text : NULL);
    put_attributes(w, &thing->attributes);
    put_groups(w, thing);
    put_number(w, "version", (int64_t)thing->version);
    put_number(w, "created", thing->created_ms);
    put_connectivity(w, thing);
}

static void put_principals(struct json_writer *w, const struct registry_thing *thing)
{
    json_key(w, "principals");
    json_begin_array(w);
    for (size_t i = 0; i < thing->principal_count; i++) {
        const struct registry_principal *principal = thing->principals[i];
        json_begin_object(w);
        put_text(w, "name", principal->key.text);
        put_text(w, "status", registry_status_names[principal->status]);
        for (size_t k = 0; k < principal->thing_count; k++)
            if (principal->things[k].thing == thing)
                put_bool(w, "exclusive", principal->things[k].exclusive);
        json_end_object(w);
    }
    json_end_array(w);
}

static const struct registry_thing *find(struct asked *asked)
{
    const char *name = asked_text(asked, "name", true);
    const struct registry_thing *thing = name ? registry_thing(asked->registrar->registry, name) : NULL;
    if (name && !thing)
        asked_refuse(asked, 404, "there is no thing \"%.128s\"", name);
    return thing;
}

static void on_create(struct asked *asked)
{
    size_t count;
    const char *name = asked_text(asked, "name", true), *type = asked_text(asked, "type", false);
    const struct registry_attribute *attributes = asked_attributes(asked, &count);
    struct registry *registry = asked->registrar->registry;
    if (!asked->answered &&
        asked_is_good(asked, registry_thing_create(registry, name, type, attributes, count, &asked->by)))
        put_thing(&asked->answer, registry_thing(registry, name));
}

static void on_update(struct asked *asked)
{
    size_t count;
    const struct registry_thing *thing = find(asked);
    struct registry_thing_update update = {
        .type = asked_text(asked, "type", false),
        .remove_type = asked_bool(asked, "removeType", false),
        .attributes = asked_attributes(asked, &count),
        .merge = asked_bool(asked, "merge", true),
        .expected_version = (uint64_t)asked_number(asked, "expectedVersion", INT64_MAX, 0)};
    update.count = count;
    if (!asked->answered && asked_is_good(asked, registry_thing_update(asked->registrar->registry,
                                                                       thing->key.text, &update, &asked->by)))
        put_thing(&asked->answer, thing);
}

static void on_delete(struct asked *asked)
{
    const char *name = asked_text(asked, "name", true);
    uint64_t version = (uint64_t)asked_number(asked, "expectedVersion", INT64_MAX, 0);
    if (!asked->answered &&
        asked_is_good(asked, registry_thing_delete(asked->registrar->registry, name, version, &asked->by)))
        put_text(&asked->answer, "name", name);
}

static void on_describe(struct asked *asked)
{
    const struct registry_thing *thing = find(asked);
    if (!thing)
        return;
    put_thing(&asked->answer, thing);
    put_principals(&asked->answer, thing);
}

/* A page of those that match; the query may be NULL. */
static void put_page(struct asked *asked, const struct registry_query *query)
{
    struct registry_thing *page[PAGE_DEFAULT];
    const char *after = asked_text(asked, "after", false);
    int64_t max = asked_number(asked, "max", PAGE_MAX, PAGE_DEFAULT), found = 0;
    if (asked->answered)
        return;
    const char *last = NULL;
    bool more = false;
    json_key(&asked->answer, "things");
    json_begin_array(&asked->answer);
    for (size_t n; !more && (n = registry_things(asked->registrar->registry, after, page, PAGE_DEFAULT)) > 0;
         after = page[n - 1]->key.text)
        for (size_t i = 0; i < n && !more; i++) {
            if (query && !registry_query_matches(query, page[i]))
                continue;
            more = found == max;
            if (more)
                break;
            json_begin_object(&asked->answer);
            put_thing(&asked->answer, page[i]);
            json_end_object(&asked->answer);
            last = page[i]->key.text;
            found++;
        }
    json_end_array(&asked->answer);
    if (more)
        put_text(&asked->answer, "next", last); /* `after` of the next request */
}

static void on_list(struct asked *asked)
{
    put_page(asked, NULL);
}

static void on_search(struct asked *asked)
{
    cleanup(registry_query_free_p) struct registry_query *query = NULL;
    cleanup_free char *why = NULL;
    const char *text = asked_text(asked, "query", true);
    if (!text)
        return;
    if (registry_query_compile(&query, text, strlen(text), REGISTRY_QUERY_TERMS_MAX, &why) < 0)
        asked_refuse(asked, 400, "query: %s", why);
    else
        put_page(asked, query);
}

static void attach(struct asked *asked, bool attached)
{
    const char *name = asked_text(asked, "name", true), *principal = asked_text(asked, "principal", true);
    bool exclusive = attached && asked_bool(asked, "exclusive", false);
    struct registry *registry = asked->registrar->registry;
    if (asked->answered)
        return;
    int r = attached ? registry_attach_thing(registry, principal, name, exclusive, &asked->by)
                     : registry_detach_thing(registry, principal, name, &asked->by);
    if (asked_is_good(asked, r)) {
        put_text(&asked->answer, "name", name);
        put_text(&asked->answer, "principal", principal);
    }
}

static void on_attach(struct asked *asked)
{
    attach(asked, true);
}

static void on_detach(struct asked *asked)
{
    attach(asked, false);
}

const struct registrar_request registrar_thing_requests[] = {
    {"thing/create", on_create, "name type attributes"},
    {"thing/update", on_update, "name type removeType attributes merge expectedVersion"},
    {"thing/delete", on_delete, "name expectedVersion"},
    {"thing/describe", on_describe, "name"},
    {"thing/list", on_list, "after max"},
    {"thing/search", on_search, "query after max"},
    {"thing/attach", on_attach, "name principal exclusive"},
    {"thing/detach", on_detach, "name principal"},
    {0},
};
