/* What is in the registry. To be read by everybody on the loop's thread, and changed by the registry's functions only. */
#pragma once

#include "base/list.h"
#include "base/map.h"

struct policy;
struct registry_group;
struct registry_policy;
struct registry_principal;
struct registry_thing;

enum registry_kind {
    REGISTRY_THING,
    REGISTRY_TYPE,
    REGISTRY_GROUP,
    REGISTRY_PRINCIPAL, /* certificates, keys, users */
    REGISTRY_CA,
    REGISTRY_POLICY,
    REGISTRY_KINDS
};
enum registry_event {
    REGISTRY_CREATED,
    REGISTRY_UPDATED,
    REGISTRY_DELETED,
    REGISTRY_ATTACHED, /* `name` to `other`: principal to thing, policy to principal or group, thing to group or type */
    REGISTRY_DETACHED,
};
enum registry_status {
    REGISTRY_ACTIVE,
    REGISTRY_INACTIVE,
    REGISTRY_REVOKED,
    REGISTRY_PENDING_ACTIVATION,
    REGISTRY_STATUSES
};
/* "ACTIVE", … */
extern const char *const registry_status_names[REGISTRY_STATUSES];
/* -1: it is none. */
int registry_status_of(const char *name);

enum registry_principal_kind { REGISTRY_CERTIFICATE, REGISTRY_KEY, REGISTRY_USER };

enum {
    REGISTRY_UUID_BYTES = 37, /* with their terminators */
    REGISTRY_CERTIFICATE_ID_BYTES = 65,
    REGISTRY_THING_GROUPS_MAX = 10,
    REGISTRY_GROUP_POLICIES_MAX = 2,
    REGISTRY_PRINCIPAL_POLICIES_MAX = 10,
    REGISTRY_POLICY_VERSIONS_MAX = 5,
    REGISTRY_SEARCHABLE_MAX = 3,
};

struct registry_attribute {
    const char *name, *value;
};

/* Sorted by name. */
struct registry_attributes {
    struct registry_attribute *list;
    size_t count;
};
/* NULL: there is none of that name. */
const char *registry_attribute(const struct registry_attributes *attributes, const char *name);

struct registry_type {
    struct map_key key; /* its name, as all keys here are */
    char id[REGISTRY_UUID_BYTES];
    char *description; /* NULL: none */
    char *searchable[REGISTRY_SEARCHABLE_MAX];
    size_t searchable_count;
    int64_t created_ms, deprecated_ms; /* 0: it is not */
    size_t things;                     /* that have it */
};

struct registry_thing {
    struct map_key key;
    char id[REGISTRY_UUID_BYTES];
    struct registry_type *type; /* NULL: none */
    struct registry_attributes attributes;
    uint64_t version;
    int64_t created_ms;
    struct registry_group *groups[REGISTRY_THING_GROUPS_MAX];
    size_t group_count;
    struct registry_principal **principals;
    size_t principal_count;

    /* Its connection, as far as this run of the daemon knows; not on disk. */
    bool connected;
    int64_t connectivity_ms; /* when it came or went; 0: never seen */
    const char *disconnect_reason;
};

struct registry_group {
    struct map_key key;
    char id[REGISTRY_UUID_BYTES];
    struct registry_group *parent;   /* NULL: none */
    char *description, *query;       /* NULL: none */
    struct registry_query *compiled; /* NULL: not yet */
    struct registry_attributes attributes;
    uint64_t version;
    int64_t created_ms;
    size_t children, things; /* of a static group; things of its own, not its children's */
    struct registry_policy *policies[REGISTRY_GROUP_POLICIES_MAX];
    size_t policy_count;
};

struct registry_link {
    struct registry_thing *thing;
    bool exclusive;
};

struct registry_principal {
    struct map_key key;
    enum registry_principal_kind kind;
    enum registry_status status;
    int64_t created_ms, modified_ms;
    struct registry_link *things;
    size_t thing_count;
    struct registry_policy *policies[REGISTRY_PRINCIPAL_POLICIES_MAX];
    size_t policy_count;
    /* A certificate: */
    char *ca, *subject, *serial; /* NULL: not known */
    bool was_revoked;            /* and deleted, until it was registered once more */
    int64_t not_before_s, not_after_s;
    /* A key, or a user's hash: */
    uint8_t *secret;
    size_t secret_len;
};

struct registry_ca {
    struct map_key key;
    bool active, auto_registration;
    char *subject, *template_name, *template_body; /* NULL: none */
    uint8_t *der;
    size_t der_len;
    int64_t not_before_s, not_after_s, created_ms, modified_ms;
};

struct registry_policy_version {
    uint32_t number;
    int64_t created_ms;
    char *document;
};

struct registry_policy {
    struct map_key key;
    struct registry_policy_version versions[REGISTRY_POLICY_VERSIONS_MAX]; /* oldest first */
    size_t version_count;
    uint32_t default_version, last_version;
    struct policy
        *compiled;  /* the default version; NULL: what is on disk cannot be compiled, and allows nothing */
    size_t targets; /* that it is attached to */
    int64_t created_ms;
};
