#include "base/json.h"
#include "base/log.h"
#include "identity/registry_private.h"

#include <string.h>

/* State.db read into memory, on the store's thread; the loop gets everything at once. Rows that refer to what is not there (a
 * salvaged database may have lost some) are left out with a line in the log: a certificate without its policies may do
 * nothing, which is safe. */

struct loading {
    struct registry_data *data;
    struct arena arena;
    size_t dangling;
};

static char *text_of(sqlite3_stmt *st, int column)
{
    const char *text = (const char *)sqlite3_column_text(st, column);
    return text ? str_copy_n(text, (size_t)sqlite3_column_bytes(st, column)) : NULL;
}

/* Into room for a name of a fixed size. */
static void id_of(sqlite3_stmt *st, int column, char *ret, size_t size)
{
    const char *text = (const char *)sqlite3_column_text(st, column);
    size_t len = text ? size_min(strlen(text), size - 1) : 0;
    if (len)
        memcpy(ret, text, len);
    ret[len] = '\0';
}

static uint8_t *blob_of(sqlite3_stmt *st, int column, size_t *len)
{
    const void *bytes = sqlite3_column_blob(st, column);
    *len = (size_t)sqlite3_column_bytes(st, column);
    return bytes ? (uint8_t *)str_copy_n(bytes, *len) : NULL;
}

/* Adds an object under the name in the first column. */
static void put(struct loading *loading, enum registry_kind kind, struct map_key *key, sqlite3_stmt *st)
{
    char *name = text_of(st, 0);
    *key = (struct map_key){.text = name ? name : str_copy(""), .len = (uint32_t)(name ? strlen(name) : 0)};
    map_put(&loading->data->maps[kind], key);
}

static void *find(struct loading *loading, enum registry_kind kind, sqlite3_stmt *st, int column)
{
    const char *name = (const char *)sqlite3_column_text(st, column);
    void *object = name ? registry_find(loading->data, kind, name) : NULL;
    if (!object && name)
        loading->dangling++;
    return object;
}

static void read_attributes(struct loading *loading, struct registry_attributes *ret, sqlite3_stmt *st,
                            int column)
{
    const char *text = (const char *)sqlite3_column_text(st, column);
    struct json *json;
    if (!text || strcmp(text, "{}") == 0 ||
        json_parse(&json, &loading->arena, text, strlen(text), NULL) != 0 || !json_is(json, JSON_OBJECT))
        return;
    struct registry_attribute *list = arena_alloc(&loading->arena, (json->len + 1) * sizeof *list);
    size_t count = 0;
    json_for_each (member, json) {
        list[count].name = arena_copy(&loading->arena, member->key, member->key_len);
        if (json_text(member, &loading->arena, &list[count].value))
            count++;
    }
    registry_attributes_set(ret, NULL, list, count, false);
    arena_reset(&loading->arena);
}

/* ---- one kind after the other: what others refer to comes first ----------------------------------------------------------- */

static void on_type(struct loading *loading, sqlite3_stmt *st)
{
    struct registry_type *type = mem_new(struct registry_type);
    put(loading, REGISTRY_TYPE, &type->key, st);
    id_of(st, 1, type->id, sizeof type->id);
    type->description = text_of(st, 2);
    const char *text = (const char *)sqlite3_column_text(st, 3);
    struct json *json = NULL;
    if (text && json_parse(&json, &loading->arena, text, strlen(text), NULL) == 0)
        json_for_each (name, json)
            if (type->searchable_count < REGISTRY_SEARCHABLE_MAX && json_is(name, JSON_STRING))
                type->searchable[type->searchable_count++] = str_copy_n(name->text, name->len);
    arena_reset(&loading->arena);
    type->created_ms = sqlite3_column_int64(st, 4);
    type->deprecated_ms = sqlite3_column_int64(st, 5);
}

static void on_group(struct loading *loading, sqlite3_stmt *st)
{
    struct registry_group *group = mem_new(struct registry_group);
    put(loading, REGISTRY_GROUP, &group->key, st);
    id_of(st, 1, group->id, sizeof group->id);
    group->description = text_of(st, 2);
    group->query = text_of(st, 3);
    read_attributes(loading, &group->attributes, st, 4);
    group->version = (uint64_t)sqlite3_column_int64(st, 5);
    group->created_ms = sqlite3_column_int64(st, 6);
}

static void on_parent(struct loading *loading, sqlite3_stmt *st)
{
    struct registry_group *group = find(loading, REGISTRY_GROUP, st, 0);
    struct registry_group *parent = find(loading, REGISTRY_GROUP, st, 1);
    for (const struct registry_group *at = parent; at; at = at->parent)
        if (at == group)
            return; /* a circle can only be damage */
    if (!group || !parent)
        return;
    group->parent = parent;
    parent->children++;
}

static void on_thing(struct loading *loading, sqlite3_stmt *st)
{
    struct registry_thing *thing = mem_new(struct registry_thing);
    put(loading, REGISTRY_THING, &thing->key, st);
    id_of(st, 1, thing->id, sizeof thing->id);
    thing->type = find(loading, REGISTRY_TYPE, st, 2);
    if (thing->type)
        thing->type->things++;
    read_attributes(loading, &thing->attributes, st, 3);
    thing->version = (uint64_t)sqlite3_column_int64(st, 4);
    thing->created_ms = sqlite3_column_int64(st, 5);
}

static void on_member(struct loading *loading, sqlite3_stmt *st)
{
    struct registry_thing *thing = find(loading, REGISTRY_THING, st, 0);
    struct registry_group *group = find(loading, REGISTRY_GROUP, st, 1);
    if (!thing || !group || thing->group_count == REGISTRY_THING_GROUPS_MAX)
        return;
    thing->groups[thing->group_count++] = group;
    group->things++;
}

static void on_principal(struct loading *loading, sqlite3_stmt *st)
{
    int64_t kind = sqlite3_column_int64(st, 1), status = sqlite3_column_int64(st, 2);
    if (kind < 0 || kind > REGISTRY_USER || status < 0 || status >= REGISTRY_STATUSES) {
        loading->dangling++;
        return;
    }
    struct registry_principal *principal = mem_new(struct registry_principal);
    put(loading, REGISTRY_PRINCIPAL, &principal->key, st);
    principal->kind = (enum registry_principal_kind)kind;
    principal->status = (enum registry_status)status;
    principal->created_ms = sqlite3_column_int64(st, 3);
    principal->modified_ms = sqlite3_column_int64(st, 4);
    principal->ca = text_of(st, 5);
    principal->subject = text_of(st, 6);
    principal->serial = text_of(st, 7);
    principal->not_before_s = sqlite3_column_int64(st, 8);
    principal->not_after_s = sqlite3_column_int64(st, 9);
    principal->secret = blob_of(st, 10, &principal->secret_len);
}

static void on_link(struct loading *loading, sqlite3_stmt *st)
{
    struct registry_principal *principal = find(loading, REGISTRY_PRINCIPAL, st, 0);
    struct registry_thing *thing = find(loading, REGISTRY_THING, st, 1);
    if (principal && thing)
        registry_link_thing(principal, thing, sqlite3_column_int64(st, 2) != 0);
}

static void on_ca(struct loading *loading, sqlite3_stmt *st)
{
    struct registry_ca *ca = mem_new(struct registry_ca);
    put(loading, REGISTRY_CA, &ca->key, st);
    ca->active = sqlite3_column_int64(st, 1) != 0;
    ca->auto_registration = sqlite3_column_int64(st, 2) != 0;
    ca->subject = text_of(st, 3);
    ca->template_name = text_of(st, 4);
    ca->template_body = text_of(st, 5);
    ca->not_before_s = sqlite3_column_int64(st, 6);
    ca->not_after_s = sqlite3_column_int64(st, 7);
    ca->created_ms = sqlite3_column_int64(st, 8);
    ca->modified_ms = sqlite3_column_int64(st, 9);
    ca->der = blob_of(st, 10, &ca->der_len);
}

static void on_policy(struct loading *loading, sqlite3_stmt *st)
{
    struct registry_policy *policy = mem_new(struct registry_policy);
    put(loading, REGISTRY_POLICY, &policy->key, st);
    policy->default_version = (uint32_t)sqlite3_column_int64(st, 1);
    policy->last_version = (uint32_t)sqlite3_column_int64(st, 2);
    policy->created_ms = sqlite3_column_int64(st, 3);
}

static void on_version(struct loading *loading, sqlite3_stmt *st)
{
    struct registry_policy *policy = find(loading, REGISTRY_POLICY, st, 0);
    char *document = text_of(st, 3);
    if (!policy || !document || policy->version_count == REGISTRY_POLICY_VERSIONS_MAX) {
        free(document);
        return;
    }
    policy->versions[policy->version_count++] = (struct registry_policy_version){
        .number = (uint32_t)sqlite3_column_int64(st, 1),
        .created_ms = sqlite3_column_int64(st, 2),
        .document = document,
    };
}

static bool add_policy(struct registry_policy **list, size_t *count, size_t max,
                       struct registry_policy *policy)
{
    if (*count == max)
        return false;
    list[(*count)++] = policy;
    policy->targets++;
    return true;
}

static void on_attachment(struct loading *loading, sqlite3_stmt *st)
{
    static const char prefix[] = "thinggroup/";
    struct registry_policy *policy = find(loading, REGISTRY_POLICY, st, 1);
    const char *target = (const char *)sqlite3_column_text(st, 0);
    if (!policy || !target)
        return;
    bool is_group = strncmp(target, prefix, sizeof prefix - 1) == 0;
    struct registry_group *group =
        is_group ? registry_find(loading->data, REGISTRY_GROUP, target + sizeof prefix - 1) : NULL;
    struct registry_principal *principal =
        is_group ? NULL : registry_find(loading->data, REGISTRY_PRINCIPAL, target);
    bool added = group
                     ? add_policy(group->policies, &group->policy_count, REGISTRY_GROUP_POLICIES_MAX, policy)
                 : principal ? add_policy(principal->policies, &principal->policy_count,
                                          REGISTRY_PRINCIPAL_POLICIES_MAX, policy)
                             : false;
    if (!added)
        loading->dangling++;
}

static void on_revoked(struct loading *loading, sqlite3_stmt *st)
{
    const struct registry_revoked revoked = {.key.text = (const char *)sqlite3_column_text(st, 0),
                                             .ca = (char *)sqlite3_column_text(st, 1),
                                             .serial = (char *)sqlite3_column_text(st, 2),
                                             .at_s = sqlite3_column_int64(st, 3),
                                             .not_after_s = sqlite3_column_int64(st, 4)};
    if (revoked.key.text && revoked.ca && revoked.serial)
        registry_revoked_put(loading->data, &revoked);
}

/* In the order in which they refer to each other. What only ties others together is not asked for when there are none. */
static const struct table {
    const char *sql;
    void (*on_row)(struct loading *loading, sqlite3_stmt *st);
    bool is_tie;
    enum registry_kind of;
} tables[] = {
    {"SELECT name, id, description, searchable, created, deprecated FROM thing_type", on_type},
    {"SELECT name, id, description, query, attributes, version, created FROM thing_group", on_group},
    {"SELECT name, parent FROM thing_group WHERE parent IS NOT NULL", on_parent, true, REGISTRY_GROUP},
    {"SELECT name, id, type, attributes, version, created FROM thing", on_thing},
    {"SELECT thing, thing_group FROM thing_group_member", on_member, true, REGISTRY_GROUP},
    {"SELECT name, kind, status, created, modified, ca, subject, serial, not_before_s, not_after_s, secret "
     "FROM principal",
     on_principal},
    {"SELECT principal, thing, exclusive FROM thing_principal", on_link, true, REGISTRY_PRINCIPAL},
    {"SELECT id, active, auto_registration, subject, template_name, template_body, not_before_s, "
     "not_after_s, created, modified, der FROM authority",
     on_ca},
    {"SELECT name, default_version, last_version, created FROM policy", on_policy},
    {"SELECT policy, version, created, document FROM policy_version ORDER BY policy, version", on_version,
     true, REGISTRY_POLICY},
    {"SELECT target, policy FROM policy_attachment", on_attachment, true, REGISTRY_POLICY},
    {"SELECT id, ca, serial, at_s, not_after_s FROM revoked", on_revoked},
};

static int read_tables(struct loading *loading, struct store_db *db)
{
    for (size_t i = 0; i < array_size(tables); i++) {
        if (tables[i].is_tie && loading->data->maps[tables[i].of].count == 0)
            continue;
        sqlite3_stmt *st = store_statement(db, tables[i].sql);
        int r;
        while ((r = store_step(db, st)) > 0)
            tables[i].on_row(loading, st);
        if (r < 0)
            return r;
    }
    return 0;
}

int registry_load(struct registry_data **ret, struct store_db *db)
{
    struct loading loading = {.data = mem_new(struct registry_data)};
    arena_init(&loading.arena);
    int r = read_tables(&loading, db);
    arena_done(&loading.arena);
    if (r < 0) {
        (void)registry_data_free(loading.data);
        return r;
    }
    map_for_each(i, key, &loading.data->maps[REGISTRY_POLICY])
        registry_policy_compile((struct registry_policy *)key);
    if (loading.dangling)
        log_warning("registry: %zu rows refer to what is not there, and are left out", loading.dangling);
    *ret = loading.data;
    return 0;
}
