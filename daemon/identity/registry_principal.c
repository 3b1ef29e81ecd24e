#include "identity/registry_private.h"

#include <string.h>

static bool is_id(const char *id)
{
    return id && strlen(id) == REGISTRY_CERTIFICATE_ID_BYTES - 1 &&
           strspn(id, "0123456789abcdef") == REGISTRY_CERTIFICATE_ID_BYTES - 1;
}

/* ---- principals ---------------------------------------------------------------------------------------------------------- */

static void secret_free(struct registry_principal *principal)
{
    if (principal->secret)
        explicit_bzero(principal->secret, principal->secret_len);
    free(principal->secret);
    principal->secret = NULL;
    principal->secret_len = 0;
}

void registry_principal_free(struct registry_principal *principal)
{
    secret_free(principal);
    free(principal->things);
    free(principal->ca);
    free(principal->subject);
    free(principal->serial);
    free((char *)principal->key.text);
    free(principal);
}

struct registry_principal *registry_principal(const struct registry *registry, const char *name)
{
    return registry_find(registry->data, REGISTRY_PRINCIPAL, name);
}

static void tell(struct registry *registry, const struct registry_principal *principal,
                 enum registry_event event, const struct registry_by *by)
{
    registry_tell(registry, &(struct registry_change){.kind = REGISTRY_PRINCIPAL,
                                                      .event = event,
                                                      .name = principal->key.text,
                                                      .object = principal,
                                                      .by = by});
}

static struct registry_principal *principal_new(struct registry *registry, const char *name,
                                                enum registry_principal_kind kind,
                                                enum registry_status status)
{
    struct registry_principal *principal = mem_new(struct registry_principal);
    principal->key = registry_key_of(name);
    principal->kind = kind;
    principal->status = status;
    principal->created_ms = principal->modified_ms = registry_now(registry);
    map_put(&registry->data->maps[REGISTRY_PRINCIPAL], &principal->key);
    return principal;
}

int registry_certificate_register(struct registry *registry, const struct registry_certificate *certificate,
                                  enum registry_status status, const struct registry_by *by)
{
    int r = registry_begin(registry);
    if (r)
        return r;
    if (!is_id(certificate->id))
        return registry_refuse(registry, REGISTRY_INVALID,
                               "certificate: expected an id of 64 hexadecimal digits");
    if (registry_principal(registry, certificate->id))
        return registry_refuse(registry, REGISTRY_EXISTS, "certificate %s is registered already",
                               certificate->id);
    struct registry_principal *principal =
        principal_new(registry, certificate->id, REGISTRY_CERTIFICATE, status);
    principal->ca = str_copy(certificate->ca);
    principal->subject = str_copy(certificate->subject);
    principal->serial = str_copy(certificate->serial);
    principal->not_before_s = certificate->not_before_s;
    principal->not_after_s = certificate->not_after_s;
    struct registry_write *write = registry_write_new();
    registry_write_principal(write, principal);
    registry_write_der(write, certificate->id, certificate->der, certificate->der_len);
    principal->was_revoked = registry_forget_revoked(registry, write, certificate->id);
    registry_submit(registry, write, by);
    registry_decide_anew(registry);
    tell(registry, principal, REGISTRY_CREATED, by);
    return 0;
}

/* Users are called as people are at home: alice@example.com. */
static bool name_is_valid(enum registry_principal_kind kind, const char *name)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:_-.@";
    size_t len = strlen(name);
    return kind == REGISTRY_USER ? len && len <= REGISTRY_NAME_MAX && strspn(name, letters) == len
                                 : registry_name_is_valid(name, len);
}

/* A key or a hash, new or in place of the one there is. is_same: of the same password. */
static int put_secret(struct registry *registry, enum registry_principal_kind kind, const char *prefix,
                      const char *name, const uint8_t *secret, size_t len, bool is_same,
                      const struct registry_by *by)
{
    int r = registry_begin(registry);
    if (r)
        return r;
    if (!name_is_valid(kind, name))
        return registry_refuse(registry, REGISTRY_INVALID,
                               "\"%.128s\": expected a name of 1 to %d of a-zA-Z0-9:_-%s", name,
                               REGISTRY_NAME_MAX, kind == REGISTRY_USER ? ".@" : "");
    cleanup_free char *full = str_printf("%s%s", prefix, name);
    struct registry_principal *principal = registry_principal(registry, full);
    bool is_new = !principal;
    if (is_new)
        principal = principal_new(registry, full, kind, REGISTRY_ACTIVE);
    secret_free(principal);
    principal->secret = (uint8_t *)str_copy_n((const char *)secret, len);
    principal->secret_len = len;
    principal->modified_ms = registry_now(registry);
    struct registry_write *write = registry_write_new();
    registry_write_principal(write, principal);
    registry_submit(registry, write, by);
    registry_decide_anew(registry);
    registry_tell(registry, &(struct registry_change){.kind = REGISTRY_PRINCIPAL,
                                                      .event = is_new ? REGISTRY_CREATED : REGISTRY_UPDATED,
                                                      .name = principal->key.text,
                                                      .object = principal,
                                                      .by = by,
                                                      .proof_changed = !is_new && !is_same});
    return 0;
}

int registry_key_put(struct registry *registry, const char *serial, const uint8_t *secret, size_t len,
                     const struct registry_by *by)
{
    return put_secret(registry, REGISTRY_KEY, "psk:", serial, secret, len, false, by);
}

int registry_user_put(struct registry *registry, const char *user, const char *hash,
                      const struct registry_by *by)
{
    return put_secret(registry, REGISTRY_USER, "user:", user, (const uint8_t *)hash, strlen(hash), false, by);
}

int registry_user_rehash(struct registry *registry, const char *user, const char *hash)
{
    return put_secret(registry, REGISTRY_USER, "user:", user, (const uint8_t *)hash, strlen(hash), true,
                      NULL);
}

static int find_principal(struct registry *registry, const char *name, struct registry_principal **ret)
{
    int r = registry_begin(registry);
    if (r)
        return r;
    *ret = registry_principal(registry, name);
    return *ret ? 0 : registry_refuse(registry, REGISTRY_NOT_FOUND, "there is no principal \"%.128s\"", name);
}

int registry_principal_set_status(struct registry *registry, const char *name, enum registry_status status,
                                  const struct registry_by *by)
{
    struct registry_principal *principal;
    int r = find_principal(registry, name, &principal);
    if (!r && status == REGISTRY_PENDING_ACTIVATION)
        r = registry_refuse(registry, REGISTRY_INVALID, "status: expected ACTIVE, INACTIVE or REVOKED");
    if (r)
        return r;
    bool changes = principal->status != status;
    principal->status = status;
    if (changes)
        principal->modified_ms = registry_now(registry);
    struct registry_write *write = registry_write_new();
    if (changes)
        registry_write_principal(write, principal);
    registry_submit(registry, write, by);
    if (!changes)
        return 0;
    registry_decide_anew(registry);
    tell(registry, principal, REGISTRY_UPDATED, by);
    return 0;
}

int registry_principal_delete(struct registry *registry, const char *name, bool force,
                              const struct registry_by *by)
{
    struct registry_principal *principal;
    int r = find_principal(registry, name, &principal);
    if (!r && principal->status == REGISTRY_ACTIVE)
        r = registry_refuse(registry, REGISTRY_STATE, "%s is ACTIVE: make it INACTIVE or REVOKED first",
                            name);
    if (!r && principal->thing_count && !force)
        r = registry_refuse(registry, REGISTRY_IN_USE, "%s is attached to thing %s: detach it first", name,
                            principal->things[0].thing->key.text);
    if (!r && principal->policy_count && !force)
        r = registry_refuse(registry, REGISTRY_IN_USE, "policy %s is attached to %s: detach it first",
                            principal->policies[0]->key.text, name);
    if (r)
        return r;
    while (principal->thing_count)
        registry_unlink_thing(principal, principal->things[0].thing);
    for (size_t i = 0; i < principal->policy_count; i++)
        principal->policies[i]->targets--;
    principal->policy_count = 0;
    map_remove(&registry->data->maps[REGISTRY_PRINCIPAL], &principal->key);
    struct registry_write *write = registry_write_new();
    registry_write_gone(write, REGISTRY_PRINCIPAL, name);
    registry_remember_revoked(registry, write, principal);
    registry_submit(registry, write, by);
    registry_decide_anew(registry);
    tell(registry, principal, REGISTRY_DELETED, by);
    registry_principal_free(principal);
    return 0;
}

/* ---- authorities --------------------------------------------------------------------------------------------------------- */

void registry_ca_free(struct registry_ca *ca)
{
    free(ca->subject);
    free(ca->template_name);
    free(ca->template_body);
    free(ca->der);
    free((char *)ca->key.text);
    free(ca);
}

struct registry_ca *registry_ca(const struct registry *registry, const char *id)
{
    return registry_find(registry->data, REGISTRY_CA, id);
}

static void write_ca(struct registry *registry, const struct registry_ca *ca, enum registry_event event,
                     const struct registry_by *by)
{
    struct registry_write *write = registry_write_new();
    registry_write_ca(write, ca);
    registry_submit(registry, write, by);
    registry_tell(registry,
                  &(struct registry_change){
                      .kind = REGISTRY_CA, .event = event, .name = ca->key.text, .object = ca, .by = by});
}

static char *or_none(const char *text)
{
    return text && *text ? str_copy(text) : NULL;
}

int registry_ca_register(struct registry *registry, const struct registry_certificate *certificate,
                         bool active, bool auto_registration, const char *template_name,
                         const char *template_body, const struct registry_by *by)
{
    int r = registry_begin(registry);
    if (r)
        return r;
    if (!is_id(certificate->id))
        return registry_refuse(registry, REGISTRY_INVALID,
                               "authority: expected an id of 64 hexadecimal digits");
    if (registry_ca(registry, certificate->id))
        return registry_refuse(registry, REGISTRY_EXISTS, "authority %s is registered already",
                               certificate->id);
    struct registry_ca *ca = mem_new(struct registry_ca);
    ca->key = registry_key_of(certificate->id);
    ca->active = active;
    ca->auto_registration = auto_registration;
    ca->subject = str_copy(certificate->subject);
    ca->template_name = or_none(template_name);
    ca->template_body = or_none(template_body);
    ca->der = (uint8_t *)str_copy_n((const char *)certificate->der, certificate->der_len);
    ca->der_len = certificate->der_len;
    ca->not_before_s = certificate->not_before_s;
    ca->not_after_s = certificate->not_after_s;
    ca->created_ms = ca->modified_ms = registry_now(registry);
    map_put(&registry->data->maps[REGISTRY_CA], &ca->key);
    write_ca(registry, ca, REGISTRY_CREATED, by);
    return 0;
}

static int find_ca(struct registry *registry, const char *id, struct registry_ca **ret)
{
    int r = registry_begin(registry);
    if (r)
        return r;
    *ret = registry_ca(registry, id);
    return *ret ? 0 : registry_refuse(registry, REGISTRY_NOT_FOUND, "there is no authority \"%.64s\"", id);
}

int registry_ca_update(struct registry *registry, const char *id, const struct registry_ca_update *update,
                       const struct registry_by *by)
{
    struct registry_ca *ca;
    int r = find_ca(registry, id, &ca);
    if (r)
        return r;
    if (update->active >= 0)
        ca->active = update->active != 0;
    if (update->auto_registration >= 0)
        ca->auto_registration = update->auto_registration != 0;
    if (update->template_name) {
        free(ca->template_name);
        ca->template_name = or_none(update->template_name);
    }
    if (update->template_body) {
        free(ca->template_body);
        ca->template_body = or_none(update->template_body);
    }
    ca->modified_ms = registry_now(registry);
    write_ca(registry, ca, REGISTRY_UPDATED, by);
    return 0;
}

int registry_ca_delete(struct registry *registry, const char *id, const struct registry_by *by)
{
    struct registry_ca *ca;
    int r = find_ca(registry, id, &ca);
    if (!r && ca->active)
        r = registry_refuse(registry, REGISTRY_STATE, "authority %s is ACTIVE: make it INACTIVE first", id);
    if (r)
        return r;
    map_remove(&registry->data->maps[REGISTRY_CA], &ca->key);
    struct registry_write *write = registry_write_new();
    registry_write_gone(write, REGISTRY_CA, id);
    registry_submit(registry, write, by);
    registry_tell(registry,
                  &(struct registry_change){
                      .kind = REGISTRY_CA, .event = REGISTRY_DELETED, .name = id, .object = ca, .by = by});
    registry_ca_free(ca);
    return 0;
}
