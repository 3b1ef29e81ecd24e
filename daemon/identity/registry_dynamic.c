#include "identity/registry_private.h"

#include "identity/registry_query.h"

#include <string.h>

/* Groups by query. Who is in one is written nowhere: a change of a thing looks which of them it is in before and after, and tells the
 * difference. So a start costs nothing for them, and a change at most two looks at REGISTRY_QUERY_GROUPS_MAX queries. */

static void find_groups(struct registry_data *data)
{
    struct registry_dynamic *dynamic = &data->dynamic;
    if (dynamic->is_known)
        return;
    dynamic->is_known = true;
    dynamic->count = 0;
    map_for_each(i, key, &data->maps[REGISTRY_GROUP])
    {
        struct registry_group *group = (struct registry_group *)key;
        char *why = NULL;
        if (!group->query || dynamic->count == REGISTRY_QUERY_GROUPS_MAX)
            continue;
        if (!group->compiled && registry_query_compile(&group->compiled, group->query, strlen(group->query),
                                                       REGISTRY_QUERY_GROUP_TERMS_MAX, &why) < 0)
            group->compiled = NULL; /* from another version's disk: nobody is in it */
        free(why);
        if (group->compiled)
            dynamic->groups[dynamic->count++] = group;
    }
}

size_t registry_dynamic_count(struct registry *registry)
{
    find_groups(registry->data);
    return registry->data->dynamic.count;
}

void registry_dynamic_changed(struct registry_data *data)
{
    data->dynamic.is_known = false;
}

void registry_dynamic_look(struct registry *registry, const struct registry_thing *thing,
                           struct registry_found *ret)
{
    const struct registry_dynamic *dynamic = &registry->data->dynamic;
    find_groups(registry->data);
    *ret = (struct registry_found){0};
    for (size_t i = 0; i < dynamic->count; i++)
        if (registry_query_matches(dynamic->groups[i]->compiled, thing))
            ret->in[i / 64] |= UINT64_C(1) << i % 64;
}

static void tell(struct registry *registry, const struct registry_group *group,
                 const struct registry_thing *thing, bool is_in, const struct registry_by *by)
{
    registry_tell(registry, &(struct registry_change){.kind = REGISTRY_GROUP,
                                                      .event = is_in ? REGISTRY_ATTACHED : REGISTRY_DETACHED,
                                                      .name = group->key.text,
                                                      .other = thing->key.text,
                                                      .object = group,
                                                      .other_object = thing,
                                                      .by = by,
                                                      .is_found = true});
}

static void tell_difference(struct registry *registry, const struct registry_thing *thing,
                            const struct registry_found *before, const struct registry_found *after,
                            const struct registry_by *by)
{
    const struct registry_dynamic *dynamic = &registry->data->dynamic;
    for (size_t i = 0; i < dynamic->count; i++) {
        bool is_in = after->in[i / 64] >> i % 64 & 1;
        if (is_in != (before->in[i / 64] >> i % 64 & 1))
            tell(registry, dynamic->groups[i], thing, is_in, by);
    }
}

void registry_dynamic_tell(struct registry *registry, const struct registry_thing *thing,
                           const struct registry_found *before, const struct registry_by *by)
{
    struct registry_found after;
    registry_dynamic_look(registry, thing, &after);
    tell_difference(registry, thing, before, &after, by);
}

void registry_dynamic_tell_gone(struct registry *registry, const struct registry_thing *thing,
                                const struct registry_found *before, const struct registry_by *by)
{
    const struct registry_found none = {0};
    tell_difference(registry, thing, before, &none, by);
}

void registry_dynamic_tell_new(struct registry *registry, const struct registry_group *group,
                               const struct registry_by *by)
{
    find_groups(registry->data);
    if (!group->compiled)
        return;
    map_for_each(i, key, &registry->data->maps[REGISTRY_THING])
    {
        const struct registry_thing *thing = (const struct registry_thing *)key;
        if (registry_query_matches(group->compiled, thing))
            tell(registry, group, thing, true, by);
    }
}
