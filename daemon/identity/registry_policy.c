#include "base/log.h"
#include "identity/registry_private.h"

#include <stdio.h>
#include <string.h>

static const char group_prefix[] = "thinggroup/";

void registry_policy_free(struct registry_policy *policy)
{
    for (size_t i = 0; i < policy->version_count; i++)
        free(policy->versions[i].document);
    (void)policy_unref(policy->compiled);
    free((char *)policy->key.text);
    free(policy);
}

struct registry_policy *registry_policy(const struct registry *registry, const char *name)
{
    return registry_find(registry->data, REGISTRY_POLICY, name);
}

static struct registry_policy_version *version_of(struct registry_policy *policy, uint32_t number)
{
    for (size_t i = 0; i < policy->version_count; i++)
        if (policy->versions[i].number == number)
            return &policy->versions[i];
    return NULL;
}

const struct registry_policy_version *registry_policy_default(const struct registry_policy *policy)
{
    return version_of((struct registry_policy *)policy, policy->default_version);
}

void registry_policy_compile(struct registry_policy *policy)
{
    policy->compiled = policy_unref(policy->compiled);
    const struct registry_policy_version *version = registry_policy_default(policy);
    struct policy_error error = {.text = "its default version is missing"};
    int r = version ? policy_compile(&policy->compiled, policy->key.text, version->document,
                                     strlen(version->document), &error)
                    : POLICY_MALFORMED;
    if (r)
        log_error("policy %s allows nothing: %s", policy->key.text, r > 0 ? error.text : strerror(-r));
}

/* ---- documents ----------------------------------------------------------------------------------------------------------- */

static bool name_is_valid(const char *name)
{
    size_t len = strlen(name);
    return len >= 1 && len <= REGISTRY_NAME_MAX &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+=,.@-") == len;
}

static int check_document(struct registry *registry, const char *name, const char *document, size_t len)
{
    struct policy *compiled;
    struct policy_error error;
    int r = policy_compile(&compiled, name, document, len, &error);
    if (r < 0)
        return registry_refuse(registry, REGISTRY_LIMIT, "policy %s: %s", name, strerror(-r));
    if (r > 0)
        return registry_refuse(registry, REGISTRY_MALFORMED, "policy %s: line %u, column %u: %s", name,
                               error.line, error.column, error.text);
    (void)policy_unref(compiled);
    return 0;
}

static void tell(struct registry *registry, const struct registry_policy *policy, enum registry_event event,
                 const char *other, const struct registry_by *by)
{
    registry_tell(registry, &(struct registry_change){.kind = REGISTRY_POLICY,
                                                      .event = event,
                                                      .name = policy->key.text,
                                                      .other = other,
                                                      .object = policy,
                                                      .by = by});
}

static const struct registry_policy_version *
add_version(struct registry *registry, struct registry_policy *policy, const char *document, size_t len)
{
    struct registry_policy_version *version = &policy->versions[policy->version_count++];
    *version = (struct registry_policy_version){
        .number = ++policy->last_version,
        .created_ms = registry_now(registry),
        .document = str_copy_n(document, len),
    };
    return version;
}

int registry_policy_create(struct registry *registry, const char *name, const char *document, size_t len,
                           const struct registry_by *by)
{
    int r = registry_begin(registry);
    if (r)
        return r;
    if (!name_is_valid(name))
        return registry_refuse(registry, REGISTRY_INVALID,
                               "policy \"%.128s\": expected a name of 1 to %d of a-zA-Z0-9_+=,.@-", name,
                               REGISTRY_NAME_MAX);
    r = check_document(registry, name, document, len);
    if (r)
        return r;
    struct registry_policy *policy = registry_policy(registry, name);
    const struct registry_policy_version *current = policy ? registry_policy_default(policy) : NULL;
    if (current && strlen(current->document) == len && memcmp(current->document, document, len) == 0) {
        registry_submit(registry, registry_write_new(), by);
        return 0;
    }
    if (policy)
        return registry_refuse(registry, REGISTRY_EXISTS,
                               "there is a policy %s already, and it is another one: add a version", name);
    policy = mem_new(struct registry_policy);
    policy->key = registry_key_of(name);
    policy->created_ms = registry_now(registry);
    map_put(&registry->data->maps[REGISTRY_POLICY], &policy->key);
    const struct registry_policy_version *version = add_version(registry, policy, document, len);
    policy->default_version = version->number;
    registry_policy_compile(policy);
    struct registry_write *write = registry_write_new();
    registry_write_policy(write, policy);
    registry_write_version(write, name, version);
    registry_submit(registry, write, by);
    registry_decide_anew(registry);
    tell(registry, policy, REGISTRY_CREATED, NULL, by);
    return 0;
}

static int find_policy(struct registry *registry, const char *name, struct registry_policy **ret)
{
    int r = registry_begin(registry);
    if (r)
        return r;
    *ret = registry_policy(registry, name);
    return *ret ? 0 : registry_refuse(registry, REGISTRY_NOT_FOUND, "there is no policy \"%.128s\"", name);
}

static int find_version(struct registry *registry, const char *name, uint32_t number,
                        struct registry_policy **policy, struct registry_policy_version **ret)
{
    int r = find_policy(registry, name, policy);
    if (r)
        return r;
    *ret = version_of(*policy, number);
    return *ret ? 0
                : registry_refuse(registry, REGISTRY_NOT_FOUND, "policy %s has no version %u", name, number);
}

int registry_policy_add_version(struct registry *registry, const char *name, const char *document, size_t len,
                                bool set_default, uint32_t *ret, const struct registry_by *by)
{
    struct registry_policy *policy;
    int r = find_policy(registry, name, &policy);
    if (!r)
        r = check_document(registry, name, document, len);
    if (!r && policy->version_count == REGISTRY_POLICY_VERSIONS_MAX)
        r = registry_refuse(registry, REGISTRY_VERSIONS_LIMIT, "policy %s has %d versions: delete one first",
                            name, REGISTRY_POLICY_VERSIONS_MAX);
    if (r)
        return r;
    const struct registry_policy_version *version = add_version(registry, policy, document, len);
    if (set_default) {
        policy->default_version = version->number;
        registry_policy_compile(policy);
    }
    struct registry_write *write = registry_write_new();
    registry_write_policy(write, policy);
    registry_write_version(write, name, version);
    registry_submit(registry, write, by);
    if (set_default)
        registry_decide_anew(registry);
    if (ret)
        *ret = version->number;
    tell(registry, policy, REGISTRY_UPDATED, NULL, by);
    return 0;
}

int registry_policy_set_default(struct registry *registry, const char *name, uint32_t number,
                                const struct registry_by *by)
{
    struct registry_policy *policy;
    struct registry_policy_version *version;
    int r = find_version(registry, name, number, &policy, &version);
    if (r)
        return r;
    policy->default_version = number;
    registry_policy_compile(policy);
    struct registry_write *write = registry_write_new();
    registry_write_policy(write, policy);
    registry_submit(registry, write, by);
    registry_decide_anew(registry);
    tell(registry, policy, REGISTRY_UPDATED, NULL, by);
    return 0;
}

int registry_policy_delete_version(struct registry *registry, const char *name, uint32_t number,
                                   const struct registry_by *by)
{
    struct registry_policy *policy;
    struct registry_policy_version *version;
    int r = find_version(registry, name, number, &policy, &version);
    if (!r && number == policy->default_version)
        r = registry_refuse(registry, REGISTRY_IN_USE, "version %u is the default one of policy %s", number,
                            name);
    if (r)
        return r;
    free(version->document);
    size_t at = (size_t)(version - policy->versions);
    memmove(version, version + 1, (policy->version_count - at - 1) * sizeof *version);
    policy->version_count--;
    struct registry_write *write = registry_write_new();
    registry_write_no_version(write, name, number);
    registry_submit(registry, write, by);
    tell(registry, policy, REGISTRY_UPDATED, NULL, by);
    return 0;
}

int registry_policy_delete(struct registry *registry, const char *name, const struct registry_by *by)
{
    struct registry_policy *policy;
    int r = find_policy(registry, name, &policy);
    if (!r && policy->targets)
        r = registry_refuse(registry, REGISTRY_IN_USE,
                            "policy %s is attached to %zu targets: detach it first", name, policy->targets);
    if (!r && policy->version_count > 1)
        r = registry_refuse(registry, REGISTRY_IN_USE,
                            "policy %s has more than its default version: delete them first", name);
    if (r)
        return r;
    map_remove(&registry->data->maps[REGISTRY_POLICY], &policy->key);
    struct registry_write *write = registry_write_new();
    registry_write_gone(write, REGISTRY_POLICY, name);
    registry_submit(registry, write, by);
    registry_decide_anew(registry); /* who has a token knows it by its name */
    tell(registry, policy, REGISTRY_DELETED, NULL, by);
    registry_policy_free(policy);
    return 0;
}

/* ---- what they are attached to ------------------------------------------------------------------------------------------- */

/* A principal or a group: its list of policies. */
struct target {
    struct registry_policy **list;
    size_t *count, max;
    char *name; /* as it is stored */
};

/* "arn:PARTITION:iot:REGION:ACCOUNT:cert/ID" is ID, and so for groups. */
static const char *without_arn(const char *target)
{
    if (strncmp(target, "arn:", 4) != 0)
        return target;
    for (int colons = 0; colons < 5 && target; colons++) {
        target = strchr(target, ':');
        target = target ? target + 1 : NULL;
    }
    return target ? target : "";
}

static int find_target(struct registry *registry, const char *text, struct target *ret)
{
    const char *name = without_arn(text);
    if (strncmp(name, "cert/", 5) == 0)
        name += 5;
    bool is_group = strncmp(name, group_prefix, sizeof group_prefix - 1) == 0;
    struct registry_group *group = is_group ? registry_group(registry, name + sizeof group_prefix - 1) : NULL;
    struct registry_principal *principal = is_group ? NULL : registry_principal(registry, name);
    if (!group && !principal)
        return registry_refuse(registry, REGISTRY_NOT_FOUND, "there is no %s \"%.160s\"",
                               is_group ? "group" : "principal", text);
    if (group && group->query)
        return registry_refuse(registry, REGISTRY_INVALID,
                               "group %s is made by a query: policies are for static groups",
                               group->key.text);
    *ret = group ? (struct target){group->policies, &group->policy_count, REGISTRY_GROUP_POLICIES_MAX, NULL}
                 : (struct target){principal->policies, &principal->policy_count,
                                   REGISTRY_PRINCIPAL_POLICIES_MAX, NULL};
    ret->name = str_copy(name);
    return 0;
}

static size_t place_of(const struct target *target, const struct registry_policy *policy)
{
    size_t at = 0;
    while (at < *target->count && target->list[at] != policy)
        at++;
    return at;
}

int registry_attach_policy(struct registry *registry, const char *policy_name, const char *target_name,
                           const struct registry_by *by)
{
    struct registry_policy *policy;
    struct target target;
    int r = find_policy(registry, policy_name, &policy);
    if (!r)
        r = find_target(registry, target_name, &target);
    if (r)
        return r;
    cleanup_free char *name = target.name;
    bool is_there = place_of(&target, policy) < *target.count;
    if (!is_there && *target.count == target.max)
        return registry_refuse(registry, REGISTRY_LIMIT, "%s has %zu policies already", name, target.max);
    struct registry_write *write = registry_write_new();
    if (!is_there) {
        target.list[(*target.count)++] = policy;
        policy->targets++;
        registry_write_attachment(write, name, policy_name, true);
    }
    registry_submit(registry, write, by);
    if (is_there)
        return 0;
    registry_decide_anew(registry);
    tell(registry, policy, REGISTRY_ATTACHED, name, by);
    return 0;
}

int registry_detach_policy(struct registry *registry, const char *policy_name, const char *target_name,
                           const struct registry_by *by)
{
    struct registry_policy *policy;
    struct target target;
    int r = find_policy(registry, policy_name, &policy);
    if (!r)
        r = find_target(registry, target_name, &target);
    if (r)
        return r;
    cleanup_free char *name = target.name;
    size_t at = place_of(&target, policy);
    if (at == *target.count)
        return registry_refuse(registry, REGISTRY_NOT_FOUND, "policy %s is not attached to %s", policy_name,
                               name);
    target.list[at] = target.list[--*target.count];
    policy->targets--;
    struct registry_write *write = registry_write_new();
    registry_write_attachment(write, name, policy_name, false);
    registry_submit(registry, write, by);
    registry_decide_anew(registry);
    tell(registry, policy, REGISTRY_DETACHED, name, by);
    return 0;
}

/* ---- what holds ---------------------------------------------------------------------------------------------------------- */

static size_t add(struct registry_policy *const *list, size_t count, struct policy **ret, size_t n)
{
    for (size_t i = 0; i < count; i++) {
        struct policy *compiled = list[i]->compiled;
        size_t at = 0;
        while (at < n && ret[at] != compiled)
            at++;
        if (compiled && at == n && n < REGISTRY_EFFECTIVE_MAX)
            ret[n++] = compiled;
    }
    return n;
}

size_t registry_effective(const struct registry_principal *principal, const struct registry_thing *thing,
                          struct policy *ret[REGISTRY_EFFECTIVE_MAX])
{
    size_t n = add(principal->policies, principal->policy_count, ret, 0);
    for (size_t i = 0; thing && i < thing->group_count; i++)
        for (const struct registry_group *group = thing->groups[i]; group; group = group->parent)
            n = add(group->policies, group->policy_count, ret, n);
    return n;
}
