/* $aws/events/…: what changed in the registry, as AWS IoT says it; composed only when somebody listens. */
#include "bus/topics.h"
#include "services/registrar/registrar_private.h"

#include <stdio.h>
#include <string.h>

static const char *const operations[] = {[REGISTRY_CREATED] = "CREATED",
                                         [REGISTRY_UPDATED] = "UPDATED",
                                         [REGISTRY_DELETED] = "DELETED",
                                         [REGISTRY_ATTACHED] = "ADDED",
                                         [REGISTRY_DETACHED] = "REMOVED"};
static const char *const suffixes[] = {[REGISTRY_CREATED] = "created",
                                       [REGISTRY_UPDATED] = "updated",
                                       [REGISTRY_DELETED] = "deleted",
                                       [REGISTRY_ATTACHED] = "added",
                                       [REGISTRY_DETACHED] = "removed"};

static void put_or_null(struct json_writer *w, const char *key, const char *value)
{
    json_key(w, key);
    json_put_string(w, value);
}

static void begin(struct registrar *registrar, struct json_writer *w, const char *type,
                  const struct registry_change *change)
{
    char id[37];
    registry_new_uuid(id);
    json_begin_object(w);
    put_text(w, "eventType", type);
    put_text(w, "eventId", id);
    put_number(w, "timestamp", registry_now(registrar->registry));
    put_text(w, "operation", operations[change->event]);
    put_text(w, "accountId", "000000000000");
}

static void put_thing(struct json_writer *w, const struct registry_thing *thing)
{
    put_text(w, "thingId", thing->id);
    put_text(w, "thingName", thing->key.text);
    put_number(w, "versionNumber", (int64_t)thing->version);
    put_or_null(w, "thingTypeName", thing->type ? thing->type->key.text : NULL);
    put_attributes(w, &thing->attributes);
}

static void put_type(struct json_writer *w, const struct registry_type *type)
{
    put_text(w, "thingTypeId", type->id);
    put_text(w, "thingTypeName", type->key.text);
    put_bool(w, "isDeprecated", type->deprecated_ms != 0);
    json_key(w, "deprecationDate");
    if (type->deprecated_ms)
        json_put_int(w, type->deprecated_ms);
    else
        json_put_null(w);
    json_key(w, "searchableAttributes");
    json_begin_array(w);
    for (size_t i = 0; i < type->searchable_count; i++)
        json_put_string(w, type->searchable[i]);
    json_end_array(w);
    put_or_null(w, "description", type->description);
}

static void put_parents(struct json_writer *w, const struct registry_group *group)
{
    json_key(w, "rootToParentThingGroups");
    json_begin_array(w);
    const struct registry_group *chain[16];
    size_t n = 0;
    for (const struct registry_group *at = group->parent; at && n < array_size(chain); at = at->parent)
        chain[n++] = at;
    while (n--) {
        json_begin_object(w);
        put_arn(w, "groupArn", "thinggroup", chain[n]->key.text);
        put_text(w, "groupId", chain[n]->id);
        json_end_object(w);
    }
    json_end_array(w);
}

static void put_group(struct json_writer *w, const struct registry_group *group)
{
    put_text(w, "thingGroupId", group->id);
    put_text(w, "thingGroupName", group->key.text);
    put_number(w, "versionNumber", (int64_t)group->version);
    put_or_null(w, "parentGroupName", group->parent ? group->parent->key.text : NULL);
    put_or_null(w, "parentGroupId", group->parent ? group->parent->id : NULL);
    put_or_null(w, "description", group->description);
    put_parents(w, group);
    put_attributes(w, &group->attributes);
    put_or_null(w, "dynamicGroupMappingId", NULL);
}

static void put_membership(struct json_writer *w, const struct registry_group *group,
                           const struct registry_thing *thing)
{
    put_arn(w, "groupArn", "thinggroup", group->key.text);
    put_text(w, "groupId", group->id);
    put_arn(w, "thingArn", "thing", thing->key.text);
    put_text(w, "thingId", thing->id);
    put_text(w, "membershipId", arena_printf(w->arena, "%s/%s", group->id, thing->id));
}

static void put_certificate(struct json_writer *w, const struct registry_principal *principal)
{
    put_text(w, "certificateId", principal->key.text);
    put_text(w, "status", registry_status_names[principal->status]);
    put_or_null(w, "caCertificateId", principal->ca);
}

static void put_ca(struct json_writer *w, const struct registry_ca *ca)
{
    put_text(w, "caCertificateId", ca->key.text);
    put_text(w, "status", ca->active ? "ACTIVE" : "INACTIVE");
    put_bool(w, "autoRegistration", ca->auto_registration);
}

static void put_policy(struct json_writer *w, const struct registry_policy *policy, const char *target)
{
    put_text(w, "policyName", policy->key.text);
    put_number(w, "defaultVersion", policy->default_version);
    put_or_null(w, "target", target);
}

/* The topic, in the arena; NULL: there is no event for it. */
static const char *topic_of(struct arena *arena, const struct registry_change *change)
{
    bool links = change->event == REGISTRY_ATTACHED || change->event == REGISTRY_DETACHED;
    const char *suffix = suffixes[change->event], *name = change->name, *other = change->other;
    switch (change->kind) {
    case REGISTRY_THING: return arena_printf(arena, TOPIC_EVENT_THING_FORMAT, name, suffix);
    case REGISTRY_TYPE:
        return links ? arena_printf(arena, TOPIC_EVENT_TYPE_ASSOCIATION_FORMAT, other, name, suffix)
                     : arena_printf(arena, TOPIC_EVENT_TYPE_FORMAT, name, suffix);
    case REGISTRY_GROUP:
        return links ? arena_printf(arena, TOPIC_EVENT_MEMBERSHIP_FORMAT, name, other, suffix)
                     : arena_printf(arena, TOPIC_EVENT_GROUP_FORMAT, name, suffix);
    case REGISTRY_PRINCIPAL:
        return links || ((const struct registry_principal *)change->object)->kind != REGISTRY_CERTIFICATE
                   ? NULL
                   : arena_printf(arena, TOPIC_EVENT_CERTIFICATE_FORMAT, name, suffix);
    case REGISTRY_CA: return arena_printf(arena, TOPIC_EVENT_CA_FORMAT, name, suffix);
    case REGISTRY_POLICY: return arena_printf(arena, TOPIC_EVENT_POLICY_FORMAT, name, suffix);
    case REGISTRY_KINDS: break;
    }
    return NULL;
}

static void put_event(struct registrar *registrar, struct json_writer *w,
                      const struct registry_change *change)
{
    bool links = change->event == REGISTRY_ATTACHED || change->event == REGISTRY_DETACHED;
    switch (change->kind) {
    case REGISTRY_THING:
        begin(registrar, w, "THING_EVENT", change);
        put_thing(w, change->object);
        break;
    case REGISTRY_TYPE:
        begin(registrar, w, links ? "THING_TYPE_ASSOCIATION_EVENT" : "THING_TYPE_EVENT", change);
        if (links) {
            put_text(w, "thingId", ((const struct registry_thing *)change->other_object)->id);
            put_text(w, "thingName", change->other);
            put_text(w, "thingTypeName", change->name);
        } else {
            put_type(w, change->object);
        }
        break;
    case REGISTRY_GROUP:
        begin(registrar, w, links ? "THING_GROUP_MEMBERSHIP_EVENT" : "THING_GROUP_EVENT", change);
        if (links)
            put_membership(w, change->object, change->other_object);
        else
            put_group(w, change->object);
        break;
    case REGISTRY_PRINCIPAL:
        begin(registrar, w, "CERTIFICATE_EVENT", change);
        put_certificate(w, change->object);
        break;
    case REGISTRY_CA:
        begin(registrar, w, "CA_CERTIFICATE_EVENT", change);
        put_ca(w, change->object);
        break;
    case REGISTRY_POLICY:
        begin(registrar, w, "POLICY_EVENT", change);
        put_policy(w, change->object, change->other);
        break;
    case REGISTRY_KINDS: return;
    }
    json_end_object(w);
}

void registrar_say_event(struct registrar *registrar, const struct registry_change *change)
{
    struct arena arena;
    arena_init(&arena);
    const char *topic = topic_of(&arena, change);
    if (topic && bus_is_heard(registrar->bus, topic, strlen(topic))) {
        struct json_writer w;
        json_writer_init(&w, &arena);
        put_event(registrar, &w, change);
        bus_say(registrar->bus, topic, json_writer_text(&w, NULL), BUS_PASS);
    }
    arena_done(&arena);
}
