#include "services/provision/provisioning.h"

#include <string.h>

/* What the registry would refuse half-way is undone step by step, the last one first. What is looked at before makes that
 * rare, and gives a device an answer that names what is missing. */

enum step_kind {
    STEP_CREATE_THING,
    STEP_UPDATE_THING,
    STEP_CREATE_POLICY,
    STEP_ATTACH_POLICY,
    STEP_ATTACH_THING,
    STEP_ADD_GROUP,
    STEP_LEAVE_GROUP,
};

struct step {
    struct step *before;
    enum step_kind kind;
    const char *name; /* a policy's, a group's */
};

/* A thing as it was. */
struct past {
    const char *type;
    struct registry_attribute *attributes;
    size_t count;
};

struct apply {
    struct registry *registry;
    struct arena *arena;
    const struct template_plan *plan;
    const char *certificate;
    const struct registry_by *by;
    struct provision_fault *fault;
    struct step *last;
    struct past past;
};

struct provision_fault provision_fault_of(const struct registry *registry, struct arena *arena, int refusal)
{
    const char *why = arena_printf(arena, "%s.", registry_why(registry));
    switch (refusal) {
    case REGISTRY_NOT_FOUND: return (struct provision_fault){404, "ResourceNotFound", why};
    case REGISTRY_EXISTS:
    case REGISTRY_VERSION:
    case REGISTRY_IN_USE:
    case REGISTRY_STATE: return (struct provision_fault){409, "ResourceConflict", why};
    case REGISTRY_BUSY: return (struct provision_fault){429, "Throttled", why};
    default: return (struct provision_fault){400, "InvalidParameters", why};
    }
}

static bool fault(struct apply *apply, int status, const char *code, const char *text)
{
    *apply->fault = (struct provision_fault){status, code, text};
    return false;
}

static bool missing(struct apply *apply, const char *what, const char *name)
{
    return fault(apply, 404, "ResourceNotFound",
                 arena_printf(apply->arena, "There is no %s %.128s.", what, name));
}

static bool conflict(struct apply *apply, const char *what)
{
    return fault(apply, 409, "ResourceConflict",
                 arena_printf(apply->arena, "The thing %s exists, and the template does not change its %s.",
                              apply->plan->thing, what));
}

/* ---- looking ----------------------------------------------------------------------------------------------------------- */

static bool look_at_groups(struct apply *apply)
{
    for (size_t i = 0; i < apply->plan->group_count; i++) {
        const struct registry_group *group = registry_group(apply->registry, apply->plan->groups[i]);
        if (!group)
            return missing(apply, "thing group", apply->plan->groups[i]);
        if (group->query)
            return fault(
                apply, 400, "InvalidParameters",
                arena_printf(apply->arena, "The thing group %s is one by query.", apply->plan->groups[i]));
    }
    return true;
}

static bool look_at_policies(struct apply *apply)
{
    for (size_t i = 0; i < apply->plan->policy_count; i++)
        if (!apply->plan->policies[i].document &&
            !registry_policy(apply->registry, apply->plan->policies[i].name))
            return missing(apply, "policy", apply->plan->policies[i].name);
    return true;
}

static bool look_at_thing(struct apply *apply)
{
    const struct template_plan *plan = apply->plan;
    if (!plan->thing)
        return true;
    if (!registry_name_is_valid(plan->thing, strlen(plan->thing)))
        return fault(
            apply, 400, "InvalidParameters",
            arena_printf(
                apply->arena,
                "The thing's name would be \"%.128s\", expected 1 to 128 of a-z, A-Z, 0-9, :, _ and -.",
                plan->thing));
    if (plan->type && !registry_type(apply->registry, plan->type))
        return missing(apply, "thing type", plan->type);
    if (!registry_thing(apply->registry, plan->thing))
        return true;
    if (plan->has_attributes && plan->on_attributes == TEMPLATE_FAIL)
        return conflict(apply, "attributes");
    if (plan->type && plan->on_type == TEMPLATE_FAIL)
        return conflict(apply, "type");
    if (plan->has_groups && plan->on_groups == TEMPLATE_FAIL)
        return conflict(apply, "groups");
    return true;
}

/* ---- doing and undoing ------------------------------------------------------------------------------------------------------ */

static void undo(struct apply *apply)
{
    struct registry *registry = apply->registry;
    const char *thing = apply->plan->thing;
    const struct registry_by *by = apply->by;
    struct registry_thing_update past = {
        .type = apply->past.type,
        .remove_type = !apply->past.type,
        .attributes = apply->past.attributes,
        .count = apply->past.count,
    };
    for (struct step *step = apply->last; step; step = step->before) {
        int r = 0;
        switch (step->kind) {
        case STEP_CREATE_THING: r = registry_thing_delete(registry, thing, 0, by); break;
        case STEP_UPDATE_THING: r = registry_thing_update(registry, thing, &past, by); break;
        case STEP_CREATE_POLICY: r = registry_policy_delete(registry, step->name, by); break;
        case STEP_ATTACH_POLICY:
            r = registry_detach_policy(registry, step->name, apply->certificate, by);
            break;
        case STEP_ATTACH_THING: r = registry_detach_thing(registry, apply->certificate, thing, by); break;
        case STEP_ADD_GROUP: r = registry_group_remove(registry, step->name, thing, by); break;
        case STEP_LEAVE_GROUP: r = registry_group_add(registry, step->name, thing, by); break;
        }
        (void)r; /* it was so a moment ago */
    }
}

/* r of a change; true: it is made, and noted. */
static bool did(struct apply *apply, int r, enum step_kind kind, const char *name)
{
    if (r != 0) {
        *apply->fault = provision_fault_of(apply->registry, apply->arena, r);
        return false;
    }
    struct step *step = arena_new(apply->arena, struct step);
    *step = (struct step){apply->last, kind, name};
    apply->last = step;
    return true;
}

static void remember(struct apply *apply, const struct registry_thing *thing)
{
    struct past *past = &apply->past;
    past->type = thing->type ? arena_copy(apply->arena, thing->type->key.text, thing->type->key.len) : NULL;
    past->attributes = arena_zero(apply->arena, (thing->attributes.count + 1) * sizeof *past->attributes);
    for (size_t i = 0; i < thing->attributes.count; i++) {
        const struct registry_attribute *attribute = &thing->attributes.list[i];
        past->attributes[past->count++] =
            (struct registry_attribute){arena_copy(apply->arena, attribute->name, strlen(attribute->name)),
                                        arena_copy(apply->arena, attribute->value, strlen(attribute->value))};
    }
}

static bool update_thing(struct apply *apply, const struct registry_thing *thing)
{
    const struct template_plan *plan = apply->plan;
    bool attributes = plan->has_attributes && plan->on_attributes != TEMPLATE_DO_NOTHING;
    struct registry_thing_update update = {
        .type = plan->type && plan->on_type == TEMPLATE_REPLACE ? plan->type : NULL,
        .attributes = attributes ? plan->attributes : NULL,
        .count = attributes ? plan->attribute_count : 0,
        .merge = plan->on_attributes == TEMPLATE_MERGE,
    };
    if (!update.type && !update.attributes)
        return true;
    remember(apply, thing);
    return did(apply, registry_thing_update(apply->registry, plan->thing, &update, apply->by),
               STEP_UPDATE_THING, NULL);
}

static bool is_listed(const struct template_plan *plan, const char *group)
{
    for (size_t i = 0; i < plan->group_count; i++)
        if (strcmp(plan->groups[i], group) == 0)
            return true;
    return false;
}

static bool leave_groups(struct apply *apply, const struct registry_thing *thing)
{
    const char *names[REGISTRY_THING_GROUPS_MAX];
    size_t count = 0;
    for (size_t i = 0; i < thing->group_count; i++)
        if (!thing->groups[i]->query && !is_listed(apply->plan, thing->groups[i]->key.text))
            names[count++] = arena_copy(apply->arena, thing->groups[i]->key.text, thing->groups[i]->key.len);
    for (size_t i = 0; i < count; i++)
        if (!did(apply, registry_group_remove(apply->registry, names[i], apply->plan->thing, apply->by),
                 STEP_LEAVE_GROUP, names[i]))
            return false;
    return true;
}

static bool join_groups(struct apply *apply)
{
    const struct template_plan *plan = apply->plan;
    for (size_t i = 0; i < plan->group_count; i++) {
        const struct registry_thing *thing = registry_thing(apply->registry, plan->thing);
        const struct registry_group *group = registry_group(apply->registry, plan->groups[i]);
        if (group && thing && registry_group_has(group, thing))
            continue;
        if (!did(apply, registry_group_add(apply->registry, plan->groups[i], plan->thing, apply->by),
                 STEP_ADD_GROUP, plan->groups[i]))
            return false;
    }
    return true;
}

static bool make_thing(struct apply *apply)
{
    const struct template_plan *plan = apply->plan;
    if (!plan->thing)
        return true;
    const struct registry_thing *thing = registry_thing(apply->registry, plan->thing);
    if (!thing)
        return did(apply,
                   registry_thing_create(apply->registry, plan->thing, plan->type, plan->attributes,
                                         plan->attribute_count, apply->by),
                   STEP_CREATE_THING, NULL) &&
               join_groups(apply);
    if (!update_thing(apply, thing))
        return false;
    if (!plan->has_groups || plan->on_groups == TEMPLATE_DO_NOTHING)
        return true;
    thing = registry_thing(apply->registry, plan->thing);
    return (plan->on_groups != TEMPLATE_REPLACE || leave_groups(apply, thing)) && join_groups(apply);
}

static bool make_policies(struct apply *apply)
{
    const struct template_plan *plan = apply->plan;
    for (size_t i = 0; i < plan->policy_count; i++) {
        const struct template_policy *policy = &plan->policies[i];
        /* One of that name with another document is the registry's to refuse. */
        bool is_new = policy->document && !registry_policy(apply->registry, policy->name);
        int r = policy->document ? registry_policy_create(apply->registry, policy->name, policy->document,
                                                          policy->len, apply->by)
                                 : 0;
        if (r != 0 || is_new)
            if (!did(apply, r, STEP_CREATE_POLICY, policy->name))
                return false;
        if (!did(apply, registry_attach_policy(apply->registry, policy->name, apply->certificate, apply->by),
                 STEP_ATTACH_POLICY, policy->name))
            return false;
    }
    return true;
}

static bool attach_and_activate(struct apply *apply)
{
    const struct template_plan *plan = apply->plan;
    if (plan->thing && !did(apply,
                            registry_attach_thing(apply->registry, apply->certificate, plan->thing,
                                                  plan->exclusive, apply->by),
                            STEP_ATTACH_THING, NULL))
        return false;
    int r = registry_principal_set_status(apply->registry, apply->certificate,
                                          plan->active ? REGISTRY_ACTIVE : REGISTRY_INACTIVE, apply->by);
    if (r != 0)
        *apply->fault = provision_fault_of(apply->registry, apply->arena, r);
    return r == 0;
}

bool provision_apply(struct registry *registry, struct arena *arena, const struct template_plan *plan,
                     const char *certificate, const struct registry_by *by, struct provision_fault *ret)
{
    struct apply apply = {.registry = registry,
                          .arena = arena,
                          .plan = plan,
                          .certificate = certificate,
                          .by = by,
                          .fault = ret};
    if (!look_at_thing(&apply) || !look_at_groups(&apply) || !look_at_policies(&apply))
        return false;
    if (make_thing(&apply) && make_policies(&apply) && attach_and_activate(&apply))
        return true;
    undo(&apply);
    return false;
}
