#include "identity/registry_private.h"

#include <string.h>

/* ---- names and attributes --------------------------------------------------------------------------------------------- */

#define ALPHANUMERIC "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

bool registry_name_is_valid(const char *name, size_t len)
{
    return len >= 1 && len <= REGISTRY_NAME_MAX && strnlen(name, len) == len &&
           strspn(name, ALPHANUMERIC ":_-") >= len;
}

static int attribute_by_name(const void *a, const void *b)
{
    return strcmp(((const struct registry_attribute *)a)->name, ((const struct registry_attribute *)b)->name);
}

const char *registry_attribute(const struct registry_attributes *attributes, const char *name)
{
    const struct registry_attribute key = {.name = name};
    const struct registry_attribute *found =
        attributes->count ? bsearch(&key, attributes->list, attributes->count, sizeof key, attribute_by_name)
                          : NULL;
    return found ? found->value : NULL;
}

void registry_attributes_free(struct registry_attributes *attributes)
{
    for (size_t i = 0; i < attributes->count; i++) {
        free((char *)attributes->list[i].name);
        free((char *)attributes->list[i].value);
    }
    free(attributes->list);
    *attributes = (struct registry_attributes){0};
}

static bool comes_again(const struct registry_attribute *list, size_t count, size_t at)
{
    for (size_t i = at + 1; i < count; i++)
        if (strcmp(list[i].name, list[at].name) == 0)
            return true;
    return false;
}

void registry_attributes_set(struct registry_attributes *ret, const struct registry_attributes *before,
                             const struct registry_attribute *list, size_t count, bool merge)
{
    size_t old = merge && before ? before->count : 0, n = 0;
    struct registry_attribute *all = mem_new_bytes((old + count) * sizeof *all);
    for (size_t i = 0; i < old; i++) {
        bool is_replaced = false;
        for (size_t k = 0; k < count && !is_replaced; k++)
            is_replaced = strcmp(before->list[i].name, list[k].name) == 0;
        if (!is_replaced)
            all[n++] =
                (struct registry_attribute){str_copy(before->list[i].name), str_copy(before->list[i].value)};
    }
    for (size_t i = 0; i < count; i++)
        if (!comes_again(list, count, i) && !(merge && !*list[i].value))
            all[n++] = (struct registry_attribute){str_copy(list[i].name), str_copy(list[i].value)};
    qsort(all, n, sizeof *all, attribute_by_name);
    *ret = (struct registry_attributes){.list = all, .count = n};
}

int registry_attributes_check(struct registry *registry, const struct registry_attribute *list, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        size_t name_len = strlen(list[i].name), value_len = strlen(list[i].value);
        if (!name_len || name_len > REGISTRY_ATTRIBUTE_NAME_MAX ||
            strspn(list[i].name, ALPHANUMERIC "_.,@/:#-") != name_len)
            return registry_refuse(registry, REGISTRY_INVALID,
                                   "attribute \"%.60s\": expected a name of 1 to %d of a-zA-Z0-9_.,@/:#-",
                                   list[i].name, REGISTRY_ATTRIBUTE_NAME_MAX);
        if (value_len > REGISTRY_ATTRIBUTE_VALUE_MAX ||
            strspn(list[i].value, ALPHANUMERIC "_.,@/:#=[]-") != value_len)
            return registry_refuse(
                registry, REGISTRY_INVALID,
                "attribute %s: expected a value of at most %d of a-zA-Z0-9_.,@/:#=[]-, found \"%.60s\"",
                list[i].name, REGISTRY_ATTRIBUTE_VALUE_MAX, list[i].value);
    }
    return 0;
}

/* The limits that hold for all together. */
static int check_sum(struct registry *registry, const struct registry_attributes *attributes, bool has_type)
{
    size_t most = has_type ? REGISTRY_ATTRIBUTES_MAX : REGISTRY_ATTRIBUTES_WITHOUT_TYPE, bytes = 0;
    if (attributes->count > most)
        return registry_refuse(registry, REGISTRY_INVALID,
                               "%zu attributes: expected at most %zu of a thing %s", attributes->count, most,
                               has_type ? "with a type" : "without a type");
    for (size_t i = 0; i < attributes->count; i++)
        bytes += strlen(attributes->list[i].name) + strlen(attributes->list[i].value);
    if (bytes > REGISTRY_ATTRIBUTE_BYTES_MAX)
        return registry_refuse(registry, REGISTRY_LIMIT,
                               "attributes: expected at most %d bytes in all, found %zu",
                               REGISTRY_ATTRIBUTE_BYTES_MAX, bytes);
    return 0;
}

/* ---- things ------------------------------------------------------------------------------------------------------------ */

void registry_thing_free(struct registry_thing *thing)
{
    registry_attributes_free(&thing->attributes);
    free(thing->principals);
    free((char *)thing->key.text);
    free(thing);
}

struct registry_thing *registry_thing(const struct registry *registry, const char *name)
{
    return registry_find(registry->data, REGISTRY_THING, name);
}

bool registry_thing_is(const struct registry_thing *thing, const char *type,
                       const struct registry_attribute *attributes, size_t count)
{
    const char *has = thing->type ? thing->type->key.text : "";
    if (strcmp(has, type ? type : "") != 0 || thing->attributes.count != count)
        return false;
    for (size_t i = 0; i < count; i++) {
        const char *value = registry_attribute(&thing->attributes, attributes[i].name);
        if (!value || strcmp(value, attributes[i].value) != 0)
            return false;
    }
    return true;
}

static int find_type(struct registry *registry, const char *name, struct registry_type **ret)
{
    *ret = NULL;
    if (!name)
        return 0;
    struct registry_type *type = registry_find(registry->data, REGISTRY_TYPE, name);
    if (!type)
        return registry_refuse(registry, REGISTRY_NOT_FOUND, "there is no thing type \"%.128s\"", name);
    if (type->deprecated_ms)
        return registry_refuse(registry, REGISTRY_INVALID, "thing type %s is deprecated", name);
    *ret = type;
    return 0;
}

static void tell_type(struct registry *registry, const struct registry_thing *thing,
                      const struct registry_type *type, enum registry_event event,
                      const struct registry_by *by)
{
    if (type)
        registry_tell(registry, &(struct registry_change){.kind = REGISTRY_TYPE,
                                                          .event = event,
                                                          .name = type->key.text,
                                                          .other = thing->key.text,
                                                          .object = type,
                                                          .other_object = thing,
                                                          .by = by});
}

static void tell(struct registry *registry, const struct registry_thing *thing, enum registry_event event,
                 const struct registry_by *by)
{
    registry_tell(
        registry,
        &(struct registry_change){
            .kind = REGISTRY_THING, .event = event, .name = thing->key.text, .object = thing, .by = by});
}

int registry_thing_create(struct registry *registry, const char *name, const char *type_name,
                          const struct registry_attribute *attributes, size_t count,
                          const struct registry_by *by)
{
    struct registry_type *type;
    int r = registry_begin(registry);
    if (r)
        return r;
    if (!registry_name_is_valid(name, strlen(name)))
        return registry_refuse(registry, REGISTRY_INVALID,
                               "thing \"%.128s\": expected a name of 1 to %d of a-zA-Z0-9:_-", name,
                               REGISTRY_NAME_MAX);
    struct registry_thing *thing = registry_thing(registry, name);
    if (thing && registry_thing_is(thing, type_name, attributes, count)) {
        registry_submit(registry, registry_write_new(), by); /* behind the one that made it */
        return 0;
    }
    if (thing)
        return registry_refuse(registry, REGISTRY_EXISTS,
                               "there is a thing %s already, and it is another one", name);
    r = find_type(registry, type_name, &type);
    if (!r)
        r = registry_attributes_check(registry, attributes, count);
    if (r)
        return r;

    thing = mem_new(struct registry_thing);
    registry_attributes_set(&thing->attributes, NULL, attributes, count, false);
    r = check_sum(registry, &thing->attributes, type != NULL);
    if (r) {
        registry_thing_free(thing);
        return r;
    }
    thing->key = registry_key_of(name);
    registry_new_uuid(thing->id);
    thing->type = type;
    if (type)
        type->things++;
    thing->version = 1;
    thing->created_ms = registry_now(registry);
    map_put(&registry->data->maps[REGISTRY_THING], &thing->key);

    struct registry_write *write = registry_write_new();
    registry_write_thing(write, thing);
    registry_submit(registry, write, by);
    registry_decide_anew(registry);
    tell(registry, thing, REGISTRY_CREATED, by);
    tell_type(registry, thing, type, REGISTRY_ATTACHED, by);
    registry_dynamic_tell(registry, thing, &(const struct registry_found){0}, by);
    return 0;
}

static int find_thing(struct registry *registry, const char *name, struct registry_thing **ret)
{
    int r = registry_begin(registry);
    if (r)
        return r;
    *ret = registry_thing(registry, name);
    return *ret ? 0 : registry_refuse(registry, REGISTRY_NOT_FOUND, "there is no thing \"%.128s\"", name);
}

static int check_version(struct registry *registry, const char *what, const char *name, uint64_t version,
                         uint64_t expected)
{
    return !expected || expected == version
               ? 0
               : registry_refuse(registry, REGISTRY_VERSION, "%s %s has version %llu, expected %llu", what,
                                 name, (unsigned long long)version, (unsigned long long)expected);
}

int registry_thing_update(struct registry *registry, const char *name,
                          const struct registry_thing_update *update, const struct registry_by *by)
{
    struct registry_thing *thing;
    struct registry_type *type;
    int r = find_thing(registry, name, &thing);
    if (!r)
        r = check_version(registry, "thing", name, thing->version, update->expected_version);
    if (!r && update->remove_type && update->type)
        r = registry_refuse(registry, REGISTRY_INVALID, "a thing type cannot be given and removed at once");
    if (!r && (!thing->type || !update->type || strcmp(thing->type->key.text, update->type) != 0))
        r = find_type(registry, update->type, &type);
    else
        type = NULL; /* the one it has, perhaps deprecated since */
    if (!r && update->attributes)
        r = registry_attributes_check(registry, update->attributes, update->count);
    if (r)
        return r;

    struct registry_type *before = thing->type;
    struct registry_type *after = update->remove_type ? NULL : type ? type : before;
    struct registry_attributes attributes;
    if (update->attributes)
        registry_attributes_set(&attributes, &thing->attributes, update->attributes, update->count,
                                update->merge);
    else
        registry_attributes_set(&attributes, NULL, thing->attributes.list, thing->attributes.count, false);
    r = check_sum(registry, &attributes, after != NULL);
    if (r) {
        registry_attributes_free(&attributes);
        return r;
    }
    struct registry_found found;
    registry_dynamic_look(registry, thing, &found);
    registry_attributes_free(&thing->attributes);
    thing->attributes = attributes;
    thing->type = after;
    if (before)
        before->things--;
    if (after)
        after->things++;
    thing->version++;

    struct registry_write *write = registry_write_new();
    registry_write_thing(write, thing);
    registry_submit(registry, write, by);
    registry_decide_anew(registry);
    tell(registry, thing, REGISTRY_UPDATED, by);
    if (before != after) {
        tell_type(registry, thing, before, REGISTRY_DETACHED, by);
        tell_type(registry, thing, after, REGISTRY_ATTACHED, by);
    }
    registry_dynamic_tell(registry, thing, &found, by);
    return 0;
}

int registry_thing_delete(struct registry *registry, const char *name, uint64_t expected_version,
                          const struct registry_by *by)
{
    int r = registry_begin(registry);
    struct registry_thing *thing = registry_thing(registry, name);
    if (!r && thing)
        r = check_version(registry, "thing", name, thing->version, expected_version);
    if (!r && thing && thing->principal_count)
        r = registry_refuse(registry, REGISTRY_IN_USE, "%s %s is attached to thing %s: detach it first",
                            thing->principals[0]->kind == REGISTRY_CERTIFICATE ? "certificate" : "principal",
                            thing->principals[0]->key.text, name);
    if (r)
        return r;
    struct registry_write *write = registry_write_new();
    if (!thing) {
        registry_submit(registry, write, by);
        return 0;
    }
    struct registry_found found;
    registry_dynamic_look(registry, thing, &found);
    while (thing->group_count)
        registry_drop_group(thing, thing->groups[0]);
    if (thing->type)
        thing->type->things--;
    map_remove(&registry->data->maps[REGISTRY_THING], &thing->key);
    registry_write_gone(write, REGISTRY_THING, name);
    registry_submit(registry, write, by);
    registry_decide_anew(registry);
    registry_dynamic_tell_gone(registry, thing, &found, by);
    tell(registry, thing, REGISTRY_DELETED, by);
    registry_thing_free(thing);
    return 0;
}

void registry_thing_connected(struct registry *registry, const char *name, bool connected, const char *reason)
{
    struct registry_thing *thing = registry_thing(registry, name);
    if (!thing)
        return;
    struct registry_found before;
    registry_dynamic_look(registry, thing, &before);
    thing->connected = connected;
    thing->connectivity_ms = registry_now(registry);
    thing->disconnect_reason = connected ? NULL : reason;
    registry_dynamic_tell(registry, thing, &before, NULL);
}

/* ---- principals of things ------------------------------------------------------------------------------------------------ */

bool registry_is_linked(const struct registry_principal *principal, const struct registry_thing *thing)
{
    for (size_t i = 0; i < principal->thing_count; i++)
        if (principal->things[i].thing == thing)
            return true;
    return false;
}

static void *grown(void *list, size_t count, size_t size)
{
    void *larger = realloc(list, (count + 1) * size);
    if (!larger)
        abort(); /* a pointer in a list: the rule of mem_new() */
    return larger;
}

void registry_link_thing(struct registry_principal *principal, struct registry_thing *thing, bool exclusive)
{
    if (registry_is_linked(principal, thing))
        return;
    principal->things = grown(principal->things, principal->thing_count, sizeof *principal->things);
    principal->things[principal->thing_count++] = (struct registry_link){thing, exclusive};
    thing->principals = grown(thing->principals, thing->principal_count, sizeof(struct registry_principal *));
    thing->principals[thing->principal_count++] = principal;
}

void registry_unlink_thing(struct registry_principal *principal, struct registry_thing *thing)
{
    for (size_t i = 0; i < principal->thing_count; i++)
        if (principal->things[i].thing == thing) {
            principal->things[i] = principal->things[--principal->thing_count];
            break;
        }
    for (size_t i = 0; i < thing->principal_count; i++)
        if (thing->principals[i] == principal) {
            thing->principals[i] = thing->principals[--thing->principal_count];
            break;
        }
}

static void tell_link(struct registry *registry, const struct registry_principal *principal,
                      const struct registry_thing *thing, enum registry_event event,
                      const struct registry_by *by)
{
    registry_tell(registry, &(struct registry_change){.kind = REGISTRY_PRINCIPAL,
                                                      .event = event,
                                                      .name = principal->key.text,
                                                      .other = thing->key.text,
                                                      .object = principal,
                                                      .other_object = thing,
                                                      .by = by});
}

int registry_attach_thing(struct registry *registry, const char *principal_name, const char *thing_name,
                          bool exclusive, const struct registry_by *by)
{
    struct registry_thing *thing;
    int r = find_thing(registry, thing_name, &thing);
    struct registry_principal *principal = registry_principal(registry, principal_name);
    if (!r && !principal)
        r = registry_refuse(registry, REGISTRY_NOT_FOUND, "there is no principal \"%.128s\"", principal_name);
    if (r)
        return r;
    bool is_there = registry_is_linked(principal, thing);
    for (size_t i = 0; i < principal->thing_count; i++) {
        const struct registry_link *link = &principal->things[i];
        if (link->thing != thing && (link->exclusive || exclusive))
            return registry_refuse(registry, REGISTRY_INVALID, "%s is %sattached to thing %s", principal_name,
                                   link->exclusive ? "exclusively " : "", link->thing->key.text);
        if (link->thing == thing && link->exclusive != exclusive)
            return registry_refuse(registry, REGISTRY_INVALID,
                                   "%s is attached to thing %s %sexclusively: detach it first",
                                   principal_name, thing_name, link->exclusive ? "" : "not ");
    }
    struct registry_write *write = registry_write_new();
    if (!is_there) {
        registry_link_thing(principal, thing, exclusive);
        registry_write_link(write, principal_name, thing_name, true, exclusive);
    }
    registry_submit(registry, write, by);
    if (is_there)
        return 0;
    registry_decide_anew(registry);
    tell_link(registry, principal, thing, REGISTRY_ATTACHED, by);
    return 0;
}

int registry_detach_thing(struct registry *registry, const char *principal_name, const char *thing_name,
                          const struct registry_by *by)
{
    struct registry_thing *thing;
    int r = find_thing(registry, thing_name, &thing);
    struct registry_principal *principal = registry_principal(registry, principal_name);
    if (!r && (!principal || !registry_is_linked(principal, thing)))
        r = registry_refuse(registry, REGISTRY_NOT_FOUND, "\"%.128s\" is not attached to thing %s",
                            principal_name, thing_name);
    if (r)
        return r;
    registry_unlink_thing(principal, thing);
    struct registry_write *write = registry_write_new();
    registry_write_link(write, principal_name, thing_name, false, false);
    registry_submit(registry, write, by);
    registry_decide_anew(registry);
    tell_link(registry, principal, thing, REGISTRY_DETACHED, by);
    return 0;
}

struct registry_thing *registry_thing_of(const struct registry_principal *principal, const char *client_id,
                                         size_t len)
{
    for (size_t i = 0; i < principal->thing_count; i++) {
        struct registry_thing *thing = principal->things[i].thing;
        if (principal->things[i].exclusive ||
            (thing->key.len == len && memcmp(thing->key.text, client_id, len) == 0))
            return thing;
    }
    return NULL;
}
