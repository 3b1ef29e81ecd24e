/* The registry: things, who may be them, and what they may do.
 *
 *      principal ──────────▶ thing ──▶ groups ──▶ their parents         certificate: 64 hex digits, SHA-256 of its DER form
 *      (certificate,         │ type                  │                  psk:SERIAL   a paired node's key
 *       key, user)           │ attributes            │                  user:NAME    a user with a password
 *          │                                         │
 *          └──────────────▶ policies ◀───────────────┘                  five versions each, of which the default one counts
 *
 * Everything is in memory, so that a connection's certificate, thing and policies are found without the disk; what is
 * large and hardly ever wanted (a certificate's bytes) is only there. A change is looked at, takes effect and is then
 * written: the receipt of who made it settles when it is on disk, and nobody is answered before. Changes of one turn are
 * written together, so all of them survive a power cut or none. When they cannot be written, everything is read again as
 * it is on disk, and changes are refused with REGISTRY_BUSY until that is done.
 *
 * Every change that can make a decision another one counts a generation up: what was remembered before it is worth nothing
 * (permit.h).
 *
 * Functions that change return 0, or what is refused; registry_why() then says why. Pointers to what is in here are good until
 * the loop's next turn. One thread.
 */
#pragma once

#include "base/map.h"
#include "base/receipt.h"
#include "identity/policy_doc.h"
#include "identity/registry_object.h"

struct loop;
struct registry;
struct store;

/* What is refused. */
enum registry_refusal {
    REGISTRY_INVALID = 1,    /* a name, an attribute, a combination that cannot be */
    REGISTRY_NOT_FOUND,      /* what it is about is not there */
    REGISTRY_STATE,          /* not with a certificate or an authority in this state */
    REGISTRY_EXISTS,         /* there is one of that name, and it is another one */
    REGISTRY_VERSION,        /* the version is not the expected one */
    REGISTRY_IN_USE,         /* it is attached to something */
    REGISTRY_VERSIONS_LIMIT, /* a policy has all the versions it may have */
    REGISTRY_LIMIT,          /* another number that is too high */
    REGISTRY_MALFORMED,      /* a policy document */
    REGISTRY_BUSY,           /* what is on disk is being read again; ask later */
};

/* As AWS IoT says it: "ResourceNotFoundException" and 404. */
const char *registry_exception(int refusal);
int registry_http_code(int refusal);

/* Who changes something, for the audit log, and who waits until it is on disk. */
struct registry_by {
    const char *who;         /* "operator:1000", "template:press", …; NULL: the gateway itself */
    struct receipt *receipt; /* may be NULL */
};

enum {
    REGISTRY_NAME_MAX = 128,
    REGISTRY_ATTRIBUTES_WITHOUT_TYPE = 3,
    REGISTRY_ATTRIBUTES_MAX = 50,
    REGISTRY_ATTRIBUTE_BYTES_MAX = 47 * 1024,
    REGISTRY_ATTRIBUTE_NAME_MAX = 128,
    REGISTRY_ATTRIBUTE_VALUE_MAX = 800,
    REGISTRY_GROUP_DEPTH_MAX = 7,
    REGISTRY_CHILDREN_MAX = 100,
};

/* Reads everything; blocks, so before the loop turns. */
int registry_open(struct registry **ret, struct loop *loop, struct store *store) must_check;
struct registry *registry_close(struct registry *registry); /* after the store is quiet */
define_cleanup(struct registry *, registry_close)

/* Why the last call refused, in a sentence. */
const char *registry_why(const struct registry *registry);
/* Another number after every change that decisions depend on; never 0. */
uint64_t registry_generation(const struct registry *registry);
/* A random UUID. */
void registry_new_uuid(char ret[REGISTRY_UUID_BYTES]);
/* Wall time in ms. */
int64_t registry_now(const struct registry *registry);

/* ---- things ------------------------------------------------------------------------------------------------------- */

bool registry_name_is_valid(const char *name, size_t len); /* of things, types and groups */
struct registry_thing *registry_thing(const struct registry *registry, const char *name);
/* A thing that is there already with the same type and attributes is created once more without a fault. */
int registry_thing_create(struct registry *registry, const char *name, const char *type,
                          const struct registry_attribute *attributes, size_t count,
                          const struct registry_by *by) must_check;

/* What is to be different. */
struct registry_thing_update {
    const char *type; /* NULL: stays */
    bool remove_type;
    const struct registry_attribute *attributes; /* NULL: stay; "" as a value removes one with `merge` */
    size_t count;
    bool merge;                /* the others stay; else these are all */
    uint64_t expected_version; /* 0: any */
};
int registry_thing_update(struct registry *registry, const char *name,
                          const struct registry_thing_update *update, const struct registry_by *by)
    must_check;
/* One that is not there is deleted without a fault. REGISTRY_IN_USE: principals are attached to it. */
int registry_thing_delete(struct registry *registry, const char *name, uint64_t expected_version,
                          const struct registry_by *by) must_check;
/* Is it there with exactly this, so that creating it once more is no fault? */
bool registry_thing_is(const struct registry_thing *thing, const char *type,
                       const struct registry_attribute *attributes, size_t count);

/* A principal and a thing. exclusive: the principal is this thing's only and whatever client id it comes with. */
int registry_attach_thing(struct registry *registry, const char *principal, const char *thing, bool exclusive,
                          const struct registry_by *by) must_check;
int registry_detach_thing(struct registry *registry, const char *principal, const char *thing,
                          const struct registry_by *by) must_check;

/* Its connection has come or gone; not on disk. The reason is a constant. */
void registry_thing_connected(struct registry *registry, const char *name, bool connected,
                              const char *reason);

/* ---- types and groups ----------------------------------------------------------------------------------------------- */

struct registry_type *registry_type(const struct registry *registry, const char *name);
int registry_type_create(struct registry *registry, const char *name, const char *description,
                         const char *const *searchable, size_t count, const struct registry_by *by)
    must_check;
int registry_type_deprecate(struct registry *registry, const char *name, bool deprecate,
                            const struct registry_by *by) must_check;
/* Only a deprecated one that no thing has. */
int registry_type_delete(struct registry *registry, const char *name, const struct registry_by *by)
    must_check;

struct registry_group *registry_group(const struct registry *registry, const char *name);
/* query not NULL: of the things that match it (registry_query.h); else a static one, perhaps in another. */
int registry_group_create(struct registry *registry, const char *name, const char *parent, const char *query,
                          const char *description, const struct registry_attribute *attributes, size_t count,
                          const struct registry_by *by) must_check;
int registry_group_update(struct registry *registry, const char *name, const char *description,
                          const struct registry_attribute *attributes, size_t count,
                          uint64_t expected_version, const struct registry_by *by) must_check;
int registry_group_delete(struct registry *registry, const char *name, uint64_t expected_version,
                          const struct registry_by *by) must_check;
/* Adding a member once more, or removing one that is none, is no fault. */
int registry_group_add(struct registry *registry, const char *group, const char *thing,
                       const struct registry_by *by) must_check;
int registry_group_remove(struct registry *registry, const char *group, const char *thing,
                          const struct registry_by *by) must_check;
bool registry_group_has(const struct registry_group *group, const struct registry_thing *thing);

/* ---- principals ------------------------------------------------------------------------------------------------------ */

/* By name: a certificate's id, "psk:SERIAL", "user:NAME". */
struct registry_principal *registry_principal(const struct registry *registry, const char *name);

/* What there is to say about a certificate when it is registered; x509_facts() finds it. */
struct registry_certificate {
    const uint8_t *der;
    size_t der_len;
    const char *id;      /* of the DER form: 64 hex digits */
    const char *ca;      /* id of the authority that signed it; NULL: not known here */
    const char *subject; /* for people */
    const char *serial;  /* hex; may be NULL */
    int64_t not_before_s, not_after_s;
};
/* One that is there already: REGISTRY_EXISTS. */
int registry_certificate_register(struct registry *registry, const struct registry_certificate *certificate,
                                  enum registry_status status, const struct registry_by *by) must_check;
/* A paired node's key, or another one for it; and a user. `secret` is the key, `hash` what password_write() wrote. Who came with
 * a user's old password is disconnected at once. */
int registry_key_put(struct registry *registry, const char *serial, const uint8_t *secret, size_t len,
                     const struct registry_by *by) must_check;
int registry_user_put(struct registry *registry, const char *user, const char *hash,
                      const struct registry_by *by) must_check;
/* Another hash of the same password. */
int registry_user_rehash(struct registry *registry, const char *user, const char *hash) must_check;
/* Of all kinds. Whoever is not ACTIVE any more is disconnected at once. PENDING_ACTIVATION cannot be set. */
int registry_principal_set_status(struct registry *registry, const char *name, enum registry_status status,
                                  const struct registry_by *by) must_check;
/* A certificate that was revoked stays revoked when it is deleted (registry_revoked()), until it is registered once more.
 * Not an ACTIVE one (REGISTRY_STATE), and not one that is attached to something (REGISTRY_IN_USE) unless `force`. */
int registry_principal_delete(struct registry *registry, const char *name, bool force,
                              const struct registry_by *by) must_check;

/* What an authority has to list as revoked. */
struct registry_revoked {
    struct map_key key; /* the certificate's id */
    char *ca, *serial;
    int64_t at_s, not_after_s;
};
/* At most max, in no order; the texts are the registry's, until it changes. Deleted ones until they would have ended. */
size_t registry_revoked(const struct registry *registry, const char *ca, struct registry_revoked *ret,
                        size_t max);
/* Those that would have ended a month ago are not remembered any more; a clock that is wrong by less destroys nothing. */
void registry_forget_expired(struct registry *registry);
/* A certificate that was revoked and then deleted. */
bool registry_was_revoked(const struct registry *registry, const char *id);

/* A certificate's DER form from disk: r is REGISTRY_NOT_FOUND or −errno when there is none; der is done()'s to free. */
struct registry_der {
    struct registry_der_private *private;
    void (*done)(struct registry_der *request, int r, uint8_t *der, size_t len);
};
void registry_certificate_der(struct registry *registry, const char *id, struct registry_der *request);

/* ---- authorities ------------------------------------------------------------------------------------------------------ */

struct registry_ca *registry_ca(const struct registry *registry, const char *id);
int registry_ca_register(struct registry *registry, const struct registry_certificate *certificate,
                         bool active, bool auto_registration, const char *template_name,
                         const char *template_body, const struct registry_by *by) must_check;
struct registry_ca_update {
    int active, auto_registration;             /* -1: stays */
    const char *template_name, *template_body; /* NULL: stay; "": none */
};
int registry_ca_update(struct registry *registry, const char *id, const struct registry_ca_update *update,
                       const struct registry_by *by) must_check;
int registry_ca_delete(struct registry *registry, const char *id, const struct registry_by *by) must_check;

/* ---- policies --------------------------------------------------------------------------------------------------------- */

struct registry_policy *registry_policy(const struct registry *registry, const char *name);
/* REGISTRY_MALFORMED: registry_why() says where. One that is there already with the same document is no fault. */
int registry_policy_create(struct registry *registry, const char *name, const char *document, size_t len,
                           const struct registry_by *by) must_check;
int registry_policy_add_version(struct registry *registry, const char *name, const char *document, size_t len,
                                bool set_default, uint32_t *ret, const struct registry_by *by) must_check;
int registry_policy_set_default(struct registry *registry, const char *name, uint32_t version,
                                const struct registry_by *by) must_check;
int registry_policy_delete_version(struct registry *registry, const char *name, uint32_t version,
                                   const struct registry_by *by) must_check;
int registry_policy_delete(struct registry *registry, const char *name, const struct registry_by *by)
    must_check;
const struct registry_policy_version *registry_policy_default(const struct registry_policy *policy);

/* target: a principal's name, "thinggroup/NAME", or an ARN of either. Twice is once. */
int registry_attach_policy(struct registry *registry, const char *policy, const char *target,
                           const struct registry_by *by) must_check;
int registry_detach_policy(struct registry *registry, const char *policy, const char *target,
                           const struct registry_by *by) must_check;

/* ---- what a connection is ---------------------------------------------------------------------------------------------- */

/* The thing of a connection: the one that the principal is attached to exclusively, or else the one it is attached to whose
 * name is the client id; NULL: none. */
struct registry_thing *registry_thing_of(const struct registry_principal *principal, const char *client_id,
                                         size_t len);

enum {
    REGISTRY_EFFECTIVE_MAX = 192
}; /* 10 of the principal, and 2 for each of 7 levels of 10 groups, and some */
/* Default versions of all policies that hold for the principal as that thing (may be NULL), not referenced; returns how many. */
size_t registry_effective(const struct registry_principal *principal, const struct registry_thing *thing,
                          struct policy *ret[REGISTRY_EFFECTIVE_MAX]);

/* ---- everything ---------------------------------------------------------------------------------------------------------- */

/* In order of name, from behind `after` (NULL: from the first): those of one kind, at most `max`. Returns how many. */
size_t registry_things(const struct registry *registry, const char *after, struct registry_thing **ret,
                       size_t max);
size_t registry_types(const struct registry *registry, const char *after, struct registry_type **ret,
                      size_t max);
size_t registry_groups(const struct registry *registry, const char *after, struct registry_group **ret,
                       size_t max);
size_t registry_principals(const struct registry *registry, const char *after,
                           struct registry_principal **ret, size_t max);
size_t registry_policies(const struct registry *registry, const char *after, struct registry_policy **ret,
                         size_t max);
size_t registry_cas(const struct registry *registry, const char *after, struct registry_ca **ret, size_t max);
size_t registry_count(const struct registry *registry, enum registry_kind kind);

/* ---- hearing of changes --------------------------------------------------------------------------------------------------- */

/* Something has changed: in memory, not yet on disk. `name` is of what changed, `other` of what it was attached to or taken
 * from; `object` is the thing, type, … after the change, or before it was deleted. Called from inside the change: the
 * registry is not to be changed from there. */
struct registry_change {
    enum registry_kind kind;
    enum registry_event event;
    const char *name, *other;
    const void *object, *other_object;
    const struct registry_by *by;
    bool proof_changed; /* a principal's key or password is another one */
    bool is_found;      /* a thing is found by a group's query, or not any more: nobody has written that */
};
struct registry_watcher {
    void (*changed)(struct registry_watcher *watcher, const struct registry_change *change);
    struct list link; /* private */
};
void registry_watch(struct registry *registry, struct registry_watcher *watcher);
void registry_unwatch(struct registry_watcher *watcher);
