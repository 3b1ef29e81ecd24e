/* The registry as its own files see it.
 *
 *      registry.c             what there is, who hears of changes, what happens when the disk says no
 *      registry_thing.c       things and their attributes         registry_principal.c   principals and authorities
 *      registry_group.c       types and groups                    registry_policy.c      policies and what they are attached to
 *      registry_revoked.c     what was revoked, and is deleted    registry_dynamic.c     which groups by query a thing is in
 *      registry_store.c       rows of state.db                    registry_load.c        … read back
 */
#pragma once

#include "base/loop.h"
#include "identity/registry.h"
#include "store/store.h"

enum { REGISTRY_QUERY_GROUPS_MAX = 100 }; /* AWS IoT: dynamic groups */

/* Groups by query, in the order of bits in struct registry_found. */
struct registry_dynamic {
    bool is_known;
    size_t count;
    struct registry_group *groups[REGISTRY_QUERY_GROUPS_MAX];
};

/* Everything in memory, by kind and name. */
struct registry_data {
    struct map maps[REGISTRY_KINDS];
    struct registry_dynamic dynamic;
    struct map revoked; /* by certificate id: revoked ones that are no principals any more */
};

struct registry_reading {
    struct work work;
    struct registry *registry;
    struct registry_data *data;
};

struct registry {
    struct loop *loop;
    struct store *store;
    struct registry_data *data;
    uint64_t generation;
    struct list watchers;
    bool stale; /* memory and disk differ: what is on disk is being read */
    struct registry_reading reading;
    struct timer again; /* reading has failed, too */
    char why[640];
};

/* ---- registry.c ----------------------------------------------------------------------------------------------------- */

int registry_refuse(struct registry *registry, int refusal, const char *format, ...) printf_like(3, 4);
/* REGISTRY_BUSY while the disk is being read; the first thing that every change asks. */
int registry_begin(struct registry *registry) must_check;
/* Something that decisions depend on has changed. */
void registry_decide_anew(struct registry *registry);
void registry_tell(struct registry *registry, const struct registry_change *change);

static inline void *registry_find(const struct registry_data *data, enum registry_kind kind, const char *name)
{
    return map_get(&data->maps[kind], name, __builtin_strlen(name)); /* objects begin with their key */
}

static inline struct map_key registry_key_of(const char *name)
{
    return (struct map_key){.text = str_copy(name), .len = (uint32_t)__builtin_strlen(name)};
}

struct registry_data *registry_data_free(struct registry_data *data);
/* Each frees one object, which is in no map any more. */
void registry_thing_free(struct registry_thing *thing);
void registry_type_free(struct registry_type *type);
void registry_group_free(struct registry_group *group);
void registry_principal_free(struct registry_principal *principal);
void registry_ca_free(struct registry_ca *ca);
void registry_policy_free(struct registry_policy *policy);

/* Links of two objects, in memory. */
void registry_link_thing(struct registry_principal *principal, struct registry_thing *thing, bool exclusive);
void registry_unlink_thing(struct registry_principal *principal, struct registry_thing *thing);
bool registry_is_linked(const struct registry_principal *principal, const struct registry_thing *thing);
void registry_drop_group(struct registry_thing *thing, struct registry_group *group);

/* registry_thing.c: attributes */
void registry_attributes_free(struct registry_attributes *attributes);
/* Sorted, copied; of several with one name the last counts. An empty value is none when `merge`. */
void registry_attributes_set(struct registry_attributes *ret, const struct registry_attributes *before,
                             const struct registry_attribute *list, size_t count, bool merge);
int registry_attributes_check(struct registry *registry, const struct registry_attribute *list, size_t count)
    must_check;
/* Compiles the default version; logs what cannot be compiled. */
void registry_policy_compile(struct registry_policy *policy);

struct registry_write;

/* ---- registry_dynamic.c --------------------------------------------------------------------------------------------- */

/* Which groups by query a thing is in. */
struct registry_found {
    uint64_t in[(REGISTRY_QUERY_GROUPS_MAX + 63) / 64];
};
size_t registry_dynamic_count(struct registry *registry);
/* A group has come or gone. */
void registry_dynamic_changed(struct registry_data *data);
/* Before and after a change of a thing: the second tells what is different. */
void registry_dynamic_look(struct registry *registry, const struct registry_thing *thing,
                           struct registry_found *ret);
void registry_dynamic_tell(struct registry *registry, const struct registry_thing *thing,
                           const struct registry_found *before, const struct registry_by *by);
/* It is deleted. */
void registry_dynamic_tell_gone(struct registry *registry, const struct registry_thing *thing,
                                const struct registry_found *before, const struct registry_by *by);
/* Of all things in it. */
void registry_dynamic_tell_new(struct registry *registry, const struct registry_group *group,
                               const struct registry_by *by);

/* ---- registry_revoked.c --------------------------------------------------------------------------------------------- */

void registry_revoked_done(struct registry_data *data);
/* Copies it. One of that id is not there yet. */
void registry_revoked_put(struct registry_data *data, const struct registry_revoked *revoked);
/* Of a principal that is being deleted, if it was revoked. */
void registry_remember_revoked(struct registry *registry, struct registry_write *write,
                               const struct registry_principal *principal);
/* It is registered once more: then its row says what it is. Was it there? */
bool registry_forget_revoked(struct registry *registry, struct registry_write *write, const char *id);

/* ---- registry_store.c: rows of state.db ------------------------------------------------------------------------------- */

struct registry_write *registry_write_new(void);
/* Hands over what was gathered; the receipt settles when it is on disk. */
void registry_submit(struct registry *registry, struct registry_write *write, const struct registry_by *by);

void registry_write_thing(struct registry_write *write, const struct registry_thing *thing);
void registry_write_type(struct registry_write *write, const struct registry_type *type);
void registry_write_group(struct registry_write *write, const struct registry_group *group);
void registry_write_member(struct registry_write *write, const char *thing, const char *group,
                           bool is_member);
void registry_write_principal(struct registry_write *write, const struct registry_principal *principal);
void registry_write_der(struct registry_write *write, const char *id, const uint8_t *der, size_t len);
void registry_write_link(struct registry_write *write, const char *principal, const char *thing,
                         bool attached, bool exclusive);
void registry_write_ca(struct registry_write *write, const struct registry_ca *ca);
void registry_write_policy(struct registry_write *write, const struct registry_policy *policy);
void registry_write_version(struct registry_write *write, const char *policy,
                            const struct registry_policy_version *version);
void registry_write_no_version(struct registry_write *write, const char *policy, uint32_t version);
void registry_write_attachment(struct registry_write *write, const char *target, const char *policy,
                               bool attached);
void registry_write_revoked(struct registry_write *write, const struct registry_revoked *revoked);
void registry_write_not_revoked(struct registry_write *write, const char *id);
/* The row of an object and what hangs on it. */
void registry_write_gone(struct registry_write *write, enum registry_kind kind, const char *name);

/* ---- registry_load.c --------------------------------------------------------------------------------------------------- */

/* On the store's thread; *ret is the caller's. */
int registry_load(struct registry_data **ret, struct store_db *db) must_check;
