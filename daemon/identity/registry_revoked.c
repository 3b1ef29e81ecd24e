#include "identity/registry_private.h"

#include <string.h>

enum { EXPIRED_MAX = 1000, EXPIRED_S = 30 * 86400 };

/* What was revoked, beyond its row among the principals. Somebody who looks at the list of revoked certificates knows nothing of
 * the registry: for him a certificate that is deleted here would be good again. */

static void revoked_free(struct registry_revoked *revoked)
{
    free(revoked->ca);
    free(revoked->serial);
    free((char *)revoked->key.text);
    free(revoked);
}

void registry_revoked_done(struct registry_data *data)
{
    map_for_each(i, key, &data->revoked) revoked_free((struct registry_revoked *)key);
    map_done(&data->revoked);
}

void registry_revoked_put(struct registry_data *data, const struct registry_revoked *revoked)
{
    struct registry_revoked *kept = mem_new(struct registry_revoked);
    *kept = *revoked;
    kept->key = registry_key_of(revoked->key.text);
    kept->ca = str_copy(revoked->ca);
    kept->serial = str_copy(revoked->serial);
    map_put(&data->revoked, &kept->key);
}

void registry_remember_revoked(struct registry *registry, struct registry_write *write,
                               const struct registry_principal *principal)
{
    if (principal->status != REGISTRY_REVOKED || !principal->ca || !principal->serial)
        return;
    const struct registry_revoked revoked = {.key.text = principal->key.text,
                                             .ca = principal->ca,
                                             .serial = principal->serial,
                                             .at_s = principal->modified_ms / 1000,
                                             .not_after_s = principal->not_after_s};
    registry_revoked_put(registry->data, &revoked);
    registry_write_revoked(write, &revoked);
}

bool registry_forget_revoked(struct registry *registry, struct registry_write *write, const char *id)
{
    struct map_key *key = map_get(&registry->data->revoked, id, strlen(id));
    if (!key)
        return false;
    registry_write_not_revoked(write, id);
    map_remove(&registry->data->revoked, key);
    revoked_free((struct registry_revoked *)key);
    return true;
}

void registry_forget_expired(struct registry *registry)
{
    struct registry_data *data = registry->data;
    int64_t now_s = registry_now(registry) / 1000;
    char *gone[EXPIRED_MAX];
    size_t count = 0;
    if (registry_begin(registry))
        return;
    map_for_each(i, key, &data->revoked)
    {
        const struct registry_revoked *revoked = (const struct registry_revoked *)key;
        if (count < EXPIRED_MAX && revoked->not_after_s < now_s - EXPIRED_S)
            gone[count++] = str_copy(key->text);
    }
    if (!count)
        return;
    struct registry_write *write = registry_write_new();
    while (count) {
        (void)registry_forget_revoked(registry, write, gone[--count]);
        free(gone[count]);
    }
    registry_submit(registry, write, NULL);
}

bool registry_was_revoked(const struct registry *registry, const char *id)
{
    return map_get(&registry->data->revoked, id, strlen(id)) != NULL;
}

static bool belongs(const struct registry_principal *principal, const char *ca)
{
    return principal->status == REGISTRY_REVOKED && principal->serial && principal->ca &&
           strcmp(principal->ca, ca) == 0;
}

size_t registry_revoked(const struct registry *registry, const char *ca, struct registry_revoked *ret,
                        size_t max)
{
    const struct registry_data *data = registry->data;
    int64_t now_s = registry_now(registry) / 1000;
    size_t count = 0;
    map_for_each(i, key, &data->maps[REGISTRY_PRINCIPAL])
    {
        const struct registry_principal *principal = (const struct registry_principal *)key;
        bool is_over = principal->not_after_s && principal->not_after_s < now_s;
        if (belongs(principal, ca) && !is_over && count < max)
            ret[count++] = (struct registry_revoked){.key = *key,
                                                     .ca = principal->ca,
                                                     .serial = principal->serial,
                                                     .at_s = principal->modified_ms / 1000,
                                                     .not_after_s = principal->not_after_s};
    }
    map_for_each(i, key, &data->revoked)
    {
        const struct registry_revoked *gone = (const struct registry_revoked *)key;
        if (strcmp(gone->ca, ca) == 0 && gone->not_after_s >= now_s && count < max)
            ret[count++] = *gone;
    }
    return count;
}
