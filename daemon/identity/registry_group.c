#include "identity/registry_private.h"

#include "identity/registry_query.h"

#include <string.h>

/* ---- types --------------------------------------------------------------------------------------------------------------- */

void registry_type_free(struct registry_type *type)
{
    for (size_t i = 0; i < type->searchable_count; i++)
        free(type->searchable[i]);
    free(type->description);
    free((char *)type->key.text);
    free(type);
}

struct registry_type *registry_type(const struct registry *registry, const char *name)
{
    return registry_find(registry->data, REGISTRY_TYPE, name);
}

static void tell_type(struct registry *registry, const struct registry_type *type, enum registry_event event,
                      const struct registry_by *by)
{
    registry_tell(
        registry,
        &(struct registry_change){
            .kind = REGISTRY_TYPE, .event = event, .name = type->key.text, .object = type, .by = by});
}

static void write_type(struct registry *registry, const struct registry_type *type,
                       const struct registry_by *by)
{
    struct registry_write *write = registry_write_new();
    registry_write_type(write, type);
    registry_submit(registry, write, by);
}

static bool same_text(const char *a, const char *b)
{
    return strcmp(a ? a : "", b ? b : "") == 0;
}

static bool type_is(const struct registry_type *type, const char *description, const char *const *searchable,
                    size_t count)
{
    bool same = same_text(type->description, description) && type->searchable_count == count;
    for (size_t i = 0; same && i < count; i++)
        same = strcmp(type->searchable[i], searchable[i]) == 0;
    return same;
}

int registry_type_create(struct registry *registry, const char *name, const char *description,
                         const char *const *searchable, size_t count, const struct registry_by *by)
{
    int r = registry_begin(registry);
    if (r)
        return r;
    if (!registry_name_is_valid(name, strlen(name)))
        return registry_refuse(registry, REGISTRY_INVALID,
                               "thing type \"%.128s\": expected a name of 1 to %d of a-zA-Z0-9:_-", name,
                               REGISTRY_NAME_MAX);
    if (count > REGISTRY_SEARCHABLE_MAX)
        return registry_refuse(registry, REGISTRY_LIMIT,
                               "expected at most %d searchable attributes, found %zu",
                               REGISTRY_SEARCHABLE_MAX, count);
    struct registry_type *type = registry_type(registry, name);
    if (type && type_is(type, description, searchable, count)) {
        registry_submit(registry, registry_write_new(), by);
        return 0;
    }
    if (type)
        return registry_refuse(registry, REGISTRY_EXISTS,
                               "there is a thing type %s already, and it is another one", name);
    type = mem_new(struct registry_type);
    type->key = registry_key_of(name);
    registry_new_uuid(type->id);
    type->description = str_copy(description);
    for (size_t i = 0; i < count; i++)
        type->searchable[type->searchable_count++] = str_copy(searchable[i]);
    type->created_ms = registry_now(registry);
    map_put(&registry->data->maps[REGISTRY_TYPE], &type->key);
    write_type(registry, type, by);
    tell_type(registry, type, REGISTRY_CREATED, by);
    return 0;
}

static int find_type(struct registry *registry, const char *name, struct registry_type **ret)
{
    int r = registry_begin(registry);
    if (r)
        return r;
    *ret = registry_type(registry, name);
    return *ret ? 0
                : registry_refuse(registry, REGISTRY_NOT_FOUND, "there is no thing type \"%.128s\"", name);
}

int registry_type_deprecate(struct registry *registry, const char *name, bool deprecate,
                            const struct registry_by *by)
{
    struct registry_type *type;
    int r = find_type(registry, name, &type);
    if (r)
        return r;
    if (deprecate != (type->deprecated_ms != 0)) {
        int64_t now = registry_now(registry);
        type->deprecated_ms = !deprecate ? 0 : now > 0 ? now : 1;
    }
    write_type(registry, type, by);
    tell_type(registry, type, REGISTRY_UPDATED, by);
    return 0;
}

int registry_type_delete(struct registry *registry, const char *name, const struct registry_by *by)
{
    struct registry_type *type;
    int r = find_type(registry, name, &type);
    if (!r && !type->deprecated_ms)
        r = registry_refuse(registry, REGISTRY_INVALID, "thing type %s is not deprecated: do that first",
                            name);
    if (!r && type->things)
        r = registry_refuse(registry, REGISTRY_IN_USE, "%zu things have type %s", type->things, name);
    if (r)
        return r;
    map_remove(&registry->data->maps[REGISTRY_TYPE], &type->key);
    struct registry_write *write = registry_write_new();
    registry_write_gone(write, REGISTRY_TYPE, name);
    registry_submit(registry, write, by);
    tell_type(registry, type, REGISTRY_DELETED, by);
    registry_type_free(type);
    return 0;
}

/* ---- groups -------------------------------------------------------------------------------------------------------------- */

void registry_group_free(struct registry_group *group)
{
    registry_attributes_free(&group->attributes);
    free(group->description);
    free(group->query);
    (void)registry_query_free(group->compiled);
    free((char *)group->key.text);
    free(group);
}

struct registry_group *registry_group(const struct registry *registry, const char *name)
{
    return registry_find(registry->data, REGISTRY_GROUP, name);
}

static void tell_group(struct registry *registry, const struct registry_group *group,
                       enum registry_event event, const struct registry_thing *thing,
                       const struct registry_by *by)
{
    registry_tell(registry, &(struct registry_change){.kind = REGISTRY_GROUP,
                                                      .event = event,
                                                      .name = group->key.text,
                                                      .other = thing ? thing->key.text : NULL,
                                                      .object = group,
                                                      .other_object = thing,
                                                      .by = by});
}

static void write_group(struct registry *registry, const struct registry_group *group,
                        const struct registry_by *by)
{
    struct registry_write *write = registry_write_new();
    registry_write_group(write, group);
    registry_submit(registry, write, by);
}

/* Where a new group is to stand. */
static int check_parent(struct registry *registry, const char *name, struct registry_group **ret)
{
    *ret = NULL;
    if (!name)
        return 0;
    struct registry_group *parent = registry_group(registry, name);
    if (!parent)
        return registry_refuse(registry, REGISTRY_NOT_FOUND, "there is no group \"%.128s\" to be the parent",
                               name);
    if (parent->query)
        return registry_refuse(registry, REGISTRY_INVALID, "group %s is made by a query and has no children",
                               name);
    unsigned depth = 1;
    for (const struct registry_group *at = parent; at; at = at->parent)
        depth++;
    if (depth > REGISTRY_GROUP_DEPTH_MAX)
        return registry_refuse(registry, REGISTRY_LIMIT, "groups: expected at most %d levels",
                               REGISTRY_GROUP_DEPTH_MAX);
    if (parent->children == REGISTRY_CHILDREN_MAX)
        return registry_refuse(registry, REGISTRY_LIMIT, "group %s has %d children already", name,
                               REGISTRY_CHILDREN_MAX);
    *ret = parent;
    return 0;
}

static bool group_is(const struct registry_group *group, const char *parent, const char *query,
                     const char *description, const struct registry_attribute *attributes, size_t count)
{
    bool same = same_text(group->parent ? group->parent->key.text : NULL, parent) &&
                same_text(group->query, query) && same_text(group->description, description) &&
                group->attributes.count == count;
    for (size_t i = 0; same && i < count; i++)
        same = same_text(registry_attribute(&group->attributes, attributes[i].name), attributes[i].value);
    return same;
}

/* A query that is stored must be one. */
static int check_query(struct registry *registry, const char *parent, const char *query)
{
    if (!query)
        return 0;
    if (parent)
        return registry_refuse(registry, REGISTRY_INVALID, "a group that is made by a query has no parent");
    struct registry_query *compiled;
    char *why = NULL;
    if (registry_query_compile(&compiled, query, strlen(query), REGISTRY_QUERY_GROUP_TERMS_MAX, &why) == 0) {
        (void)registry_query_free(compiled);
        return 0;
    }
    int r = registry_refuse(registry, REGISTRY_INVALID, "query: %s", why);
    free(why);
    return r;
}

int registry_group_create(struct registry *registry, const char *name, const char *parent_name,
                          const char *query, const char *description,
                          const struct registry_attribute *attributes, size_t count,
                          const struct registry_by *by)
{
    struct registry_group *parent;
    int r = registry_begin(registry);
    if (r)
        return r;
    if (!registry_name_is_valid(name, strlen(name)))
        return registry_refuse(registry, REGISTRY_INVALID,
                               "group \"%.128s\": expected a name of 1 to %d of a-zA-Z0-9:_-", name,
                               REGISTRY_NAME_MAX);
    struct registry_group *group = registry_group(registry, name);
    if (group && group_is(group, parent_name, query, description, attributes, count)) {
        registry_submit(registry, registry_write_new(), by);
        return 0;
    }
    if (group)
        return registry_refuse(registry, REGISTRY_EXISTS,
                               "there is a group %s already, and it is another one", name);
    r = check_query(registry, parent_name, query);
    if (!r)
        r = check_parent(registry, parent_name, &parent);
    if (!r)
        r = registry_attributes_check(registry, attributes, count);
    if (!r && count > REGISTRY_ATTRIBUTES_MAX)
        r = registry_refuse(registry, REGISTRY_LIMIT, "expected at most %d attributes, found %zu",
                            REGISTRY_ATTRIBUTES_MAX, count);
    if (!r && query && registry_dynamic_count(registry) == REGISTRY_QUERY_GROUPS_MAX)
        r = registry_refuse(registry, REGISTRY_LIMIT, "expected at most %d groups by query",
                            REGISTRY_QUERY_GROUPS_MAX);
    if (r)
        return r;
    group = mem_new(struct registry_group);
    group->key = registry_key_of(name);
    registry_new_uuid(group->id);
    group->parent = parent;
    if (parent)
        parent->children++;
    group->query = str_copy(query);
    group->description = str_copy(description);
    registry_attributes_set(&group->attributes, NULL, attributes, count, false);
    group->version = 1;
    group->created_ms = registry_now(registry);
    map_put(&registry->data->maps[REGISTRY_GROUP], &group->key);
    write_group(registry, group, by);
    tell_group(registry, group, REGISTRY_CREATED, NULL, by);
    if (!query)
        return 0;
    registry_dynamic_changed(registry->data);
    registry_dynamic_tell_new(registry, group, by);
    return 0;
}

static int find_group(struct registry *registry, const char *name, uint64_t expected_version,
                      struct registry_group **ret)
{
    *ret = NULL;
    int r = registry_begin(registry);
    if (r)
        return r;
    struct registry_group *group = registry_group(registry, name);
    if (!group)
        return registry_refuse(registry, REGISTRY_NOT_FOUND, "there is no group \"%.128s\"", name);
    if (expected_version && group->version != expected_version)
        return registry_refuse(registry, REGISTRY_VERSION, "group %s has version %llu, expected %llu", name,
                               (unsigned long long)group->version, (unsigned long long)expected_version);
    *ret = group;
    return 0;
}

int registry_group_update(struct registry *registry, const char *name, const char *description,
                          const struct registry_attribute *attributes, size_t count,
                          uint64_t expected_version, const struct registry_by *by)
{
    struct registry_group *group;
    int r = find_group(registry, name, expected_version, &group);
    if (!r)
        r = registry_attributes_check(registry, attributes, count);
    if (!r && count > REGISTRY_ATTRIBUTES_MAX)
        r = registry_refuse(registry, REGISTRY_LIMIT, "expected at most %d attributes, found %zu",
                            REGISTRY_ATTRIBUTES_MAX, count);
    if (r)
        return r;
    free(group->description);
    group->description = str_copy(description);
    registry_attributes_free(&group->attributes);
    registry_attributes_set(&group->attributes, NULL, attributes, count, false);
    group->version++;
    write_group(registry, group, by);
    tell_group(registry, group, REGISTRY_UPDATED, NULL, by);
    return 0;
}

void registry_drop_group(struct registry_thing *thing, struct registry_group *group)
{
    for (size_t i = 0; i < thing->group_count; i++)
        if (thing->groups[i] == group) {
            thing->groups[i] = thing->groups[--thing->group_count];
            group->things--;
            return;
        }
}

int registry_group_delete(struct registry *registry, const char *name, uint64_t expected_version,
                          const struct registry_by *by)
{
    struct registry_group *group;
    int r = registry_begin(registry);
    if (r)
        return r;
    if (!registry_group(registry, name)) {
        registry_submit(registry, registry_write_new(), by);
        return 0;
    }
    r = find_group(registry, name, expected_version, &group);
    if (!r && group->children)
        r = registry_refuse(
            registry, REGISTRY_INVALID,
            "Cannot delete thing group : %s when there are still child groups attached to it.", name);
    if (r)
        return r;
    const struct map *things = &registry->data->maps[REGISTRY_THING];
    map_for_each(i, key, things)
    {
        struct registry_thing *thing = (struct registry_thing *)key;
        struct registry_found before;
        if (!registry_group_has(group, thing))
            continue;
        registry_dynamic_look(registry, thing, &before); /* a query may ask for this group's name */
        registry_drop_group(thing, group);
        registry_dynamic_tell(registry, thing, &before, by);
    }
    for (size_t i = 0; i < group->policy_count; i++)
        group->policies[i]->targets--;
    if (group->parent)
        group->parent->children--;
    map_remove(&registry->data->maps[REGISTRY_GROUP], &group->key);
    registry_dynamic_changed(registry->data);
    struct registry_write *write = registry_write_new();
    registry_write_gone(write, REGISTRY_GROUP, name);
    registry_submit(registry, write, by);
    registry_decide_anew(registry);
    tell_group(registry, group, REGISTRY_DELETED, NULL, by);
    registry_group_free(group);
    return 0;
}

/* ---- members ------------------------------------------------------------------------------------------------------------- */

static const struct registry_group *root_of(const struct registry_group *group)
{
    while (group->parent)
        group = group->parent;
    return group;
}

bool registry_group_has(const struct registry_group *group, const struct registry_thing *thing)
{
    for (size_t i = 0; i < thing->group_count; i++)
        if (thing->groups[i] == group)
            return true;
    return false;
}

static int find_both(struct registry *registry, const char *group_name, const char *thing_name,
                     struct registry_group **group, struct registry_thing **thing)
{
    *thing = NULL;
    int r = find_group(registry, group_name, 0, group);
    if (r)
        return r;
    *thing = registry_thing(registry, thing_name);
    if (!*thing)
        return registry_refuse(registry, REGISTRY_NOT_FOUND, "there is no thing \"%.128s\"", thing_name);
    return (*group)->query ? registry_refuse(registry, REGISTRY_INVALID,
                                             "the things of group %s are found by its query", group_name)
                           : 0;
}

static void change_member(struct registry *registry, struct registry_group *group,
                          struct registry_thing *thing, const struct registry_found *before, bool is_member,
                          bool changes, const struct registry_by *by)
{
    struct registry_write *write = registry_write_new();
    if (changes)
        registry_write_member(write, thing->key.text, group->key.text, is_member);
    registry_submit(registry, write, by);
    if (!changes)
        return;
    registry_decide_anew(registry);
    tell_group(registry, group, is_member ? REGISTRY_ATTACHED : REGISTRY_DETACHED, thing, by);
    registry_dynamic_tell(registry, thing, before, by);
}

int registry_group_add(struct registry *registry, const char *group_name, const char *thing_name,
                       const struct registry_by *by)
{
    struct registry_group *group;
    struct registry_thing *thing;
    int r = find_both(registry, group_name, thing_name, &group, &thing);
    if (r)
        return r;
    bool is_member = registry_group_has(group, thing);
    for (size_t i = 0; !is_member && i < thing->group_count; i++)
        if (root_of(thing->groups[i]) == root_of(group))
            return registry_refuse(registry, REGISTRY_INVALID,
                                   "thing %s is in group %s, of the same hierarchy as %s", thing_name,
                                   thing->groups[i]->key.text, group_name);
    if (!is_member && thing->group_count == REGISTRY_THING_GROUPS_MAX)
        return registry_refuse(registry, REGISTRY_LIMIT, "thing %s is in %d groups already", thing_name,
                               REGISTRY_THING_GROUPS_MAX);
    struct registry_found before;
    registry_dynamic_look(registry, thing, &before);
    if (!is_member) {
        thing->groups[thing->group_count++] = group;
        group->things++;
    }
    change_member(registry, group, thing, &before, true, !is_member, by);
    return 0;
}

int registry_group_remove(struct registry *registry, const char *group_name, const char *thing_name,
                          const struct registry_by *by)
{
    struct registry_group *group;
    struct registry_thing *thing;
    int r = find_both(registry, group_name, thing_name, &group, &thing);
    if (r)
        return r;
    bool is_member = registry_group_has(group, thing);
    struct registry_found before;
    registry_dynamic_look(registry, thing, &before);
    registry_drop_group(thing, group);
    change_member(registry, group, thing, &before, false, is_member, by);
    return 0;
}
