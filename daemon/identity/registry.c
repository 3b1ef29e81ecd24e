#include "identity/registry.h"

#include "base/log.h"
#include "identity/registry_private.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

/* What must hold: what is in memory is what is on disk after everything submitted has been committed. When a commit fails
 * that is not so any more, and nobody can say in which order to take back what; so everything is read again. */

enum { READ_AGAIN_MS = 5000 };

const char *const registry_status_names[REGISTRY_STATUSES] = {"ACTIVE", "INACTIVE", "REVOKED",
                                                              "PENDING_ACTIVATION"};

int registry_status_of(const char *name)
{
    for (int i = 0; i < REGISTRY_STATUSES; i++)
        if (strcmp(registry_status_names[i], name) == 0)
            return i;
    return -1;
}

/* ---- refusals ------------------------------------------------------------------------------------------------------ */

static const struct exception {
    const char *name;
    int code;
} exceptions[] = {
    [REGISTRY_INVALID] = {"InvalidRequestException", 400},
    [REGISTRY_NOT_FOUND] = {"ResourceNotFoundException", 404},
    [REGISTRY_STATE] = {"CertificateStateException", 406},
    [REGISTRY_EXISTS] = {"ResourceAlreadyExistsException", 409},
    [REGISTRY_VERSION] = {"VersionConflictException", 409},
    [REGISTRY_IN_USE] = {"DeleteConflictException", 409},
    [REGISTRY_VERSIONS_LIMIT] = {"VersionsLimitExceededException", 409},
    [REGISTRY_LIMIT] = {"LimitExceededException", 410},
    [REGISTRY_MALFORMED] = {"MalformedPolicyException", 400},
    [REGISTRY_BUSY] = {"ServiceUnavailableException", 503},
};

const char *registry_exception(int refusal)
{
    bool known = refusal > 0 && refusal < (int)array_size(exceptions);
    return known ? exceptions[refusal].name : "InternalFailureException";
}

int registry_http_code(int refusal)
{
    return refusal > 0 && refusal < (int)array_size(exceptions) ? exceptions[refusal].code : 500;
}

int registry_refuse(struct registry *registry, int refusal, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(registry->why, sizeof registry->why, format, args);
    va_end(args);
    return refusal;
}

const char *registry_why(const struct registry *registry)
{
    return registry->why;
}

int registry_begin(struct registry *registry)
{
    return registry->stale
               ? registry_refuse(registry, REGISTRY_BUSY,
                                 "a change could not be written, and what is on disk is being read again")
               : 0;
}

/* ---- life ----------------------------------------------------------------------------------------------------------- */

static int read_all(struct store_db *db, void *arg)
{
    return registry_load(arg, db);
}

static void on_again(struct timer *timer)
{
    struct registry *registry = container_of(timer, struct registry, again);
    store_submit(registry->store, &registry->reading.work);
}

static void run_reading(struct work *work, void *db)
{
    struct registry_reading *reading = container_of(work, struct registry_reading, work);
    work->r = registry_load(&reading->data, db);
}

/* Who is connected is known here only. */
static void keep_connectivity(struct registry_data *data, const struct registry_data *before)
{
    const struct map *things = &before->maps[REGISTRY_THING];
    map_for_each(i, key, things)
    {
        const struct registry_thing *old = (const struct registry_thing *)key;
        struct registry_thing *thing = registry_find(data, REGISTRY_THING, key->text);
        if (!thing)
            continue;
        thing->connected = old->connected;
        thing->connectivity_ms = old->connectivity_ms;
        thing->disconnect_reason = old->disconnect_reason;
    }
}

static void done_reading(struct work *work)
{
    struct registry_reading *reading = container_of(work, struct registry_reading, work);
    struct registry *registry = reading->registry;
    if (work->r < 0) {
        log_error("registry: cannot be read: %s; trying again", strerror(-work->r));
        reading->data = registry_data_free(reading->data);
        timer_start(registry->loop, &registry->again, READ_AGAIN_MS);
        return;
    }
    keep_connectivity(reading->data, registry->data);
    registry->data = registry_data_free(registry->data);
    registry->data = steal(reading->data);
    registry->stale = false;
    registry_decide_anew(registry);
    registry_tell(registry, &(struct registry_change){.kind = REGISTRY_KINDS, .event = REGISTRY_UPDATED});
}

int registry_open(struct registry **ret, struct loop *loop, struct store *store)
{
    struct registry *registry = mem_new(struct registry);
    registry->loop = loop;
    registry->store = store;
    registry->generation = 1;
    registry->again.fire = on_again;
    registry->reading =
        (struct registry_reading){.work = {.run = run_reading, .done = done_reading}, .registry = registry};
    list_init(&registry->watchers);
    int r = store_run_now(store, read_all, &registry->data);
    if (r < 0) {
        free(registry);
        return r;
    }
    *ret = registry;
    return 0;
}

struct registry *registry_close(struct registry *registry)
{
    if (!registry)
        return NULL;
    timer_stop(registry->loop, &registry->again);
    registry->data = registry_data_free(registry->data);
    free(registry);
    return NULL;
}

static void free_object(enum registry_kind kind, struct map_key *key)
{
    switch (kind) {
    case REGISTRY_THING: registry_thing_free((struct registry_thing *)key); break;
    case REGISTRY_TYPE: registry_type_free((struct registry_type *)key); break;
    case REGISTRY_GROUP: registry_group_free((struct registry_group *)key); break;
    case REGISTRY_PRINCIPAL: registry_principal_free((struct registry_principal *)key); break;
    case REGISTRY_CA: registry_ca_free((struct registry_ca *)key); break;
    case REGISTRY_POLICY: registry_policy_free((struct registry_policy *)key); break;
    case REGISTRY_KINDS: break;
    }
}

struct registry_data *registry_data_free(struct registry_data *data)
{
    for (int kind = 0; data && kind < REGISTRY_KINDS; kind++) {
        map_for_each(i, key, &data->maps[kind]) free_object((enum registry_kind)kind, key);
        map_done(&data->maps[kind]);
    }
    if (data)
        registry_revoked_done(data);
    free(data);
    return NULL;
}

/* ---- what is asked of it ---------------------------------------------------------------------------------------------- */

uint64_t registry_generation(const struct registry *registry)
{
    return registry->generation;
}

int64_t registry_now(const struct registry *registry)
{
    return loop_wall(registry->loop);
}

void registry_decide_anew(struct registry *registry)
{
    registry->generation++;
}

size_t registry_count(const struct registry *registry, enum registry_kind kind)
{
    return registry->data->maps[kind].count;
}

static int by_name(const void *a, const void *b)
{
    return strcmp((*(struct map_key *const *)a)->text, (*(struct map_key *const *)b)->text);
}

static size_t list_kind(const struct registry *registry, enum registry_kind kind, const char *after,
                        void *ret, size_t max)
{
    const struct map *map = &registry->data->maps[kind];
    struct map_key **all = mem_new_bytes((map->count + 1) * sizeof *all);
    size_t count = 0;
    map_for_each(i, key, map) if (!after || strcmp(key->text, after) > 0) all[count++] = key;
    qsort(all, count, sizeof *all, by_name);
    count = size_min(count, max);
    memcpy(ret, all, count * sizeof *all); /* objects begin with their key */
    free(all);
    return count;
}

size_t registry_things(const struct registry *registry, const char *after, struct registry_thing **ret,
                       size_t max)
{
    return list_kind(registry, REGISTRY_THING, after, ret, max);
}

size_t registry_types(const struct registry *registry, const char *after, struct registry_type **ret,
                      size_t max)
{
    return list_kind(registry, REGISTRY_TYPE, after, ret, max);
}

size_t registry_groups(const struct registry *registry, const char *after, struct registry_group **ret,
                       size_t max)
{
    return list_kind(registry, REGISTRY_GROUP, after, ret, max);
}

size_t registry_principals(const struct registry *registry, const char *after,
                           struct registry_principal **ret, size_t max)
{
    return list_kind(registry, REGISTRY_PRINCIPAL, after, ret, max);
}

size_t registry_policies(const struct registry *registry, const char *after, struct registry_policy **ret,
                         size_t max)
{
    return list_kind(registry, REGISTRY_POLICY, after, ret, max);
}

size_t registry_cas(const struct registry *registry, const char *after, struct registry_ca **ret, size_t max)
{
    return list_kind(registry, REGISTRY_CA, after, ret, max);
}

/* ---- hearing of changes ------------------------------------------------------------------------------------------------ */

void registry_watch(struct registry *registry, struct registry_watcher *watcher)
{
    list_append(&registry->watchers, &watcher->link);
}

void registry_unwatch(struct registry_watcher *watcher)
{
    list_remove(&watcher->link);
}

void registry_tell(struct registry *registry, const struct registry_change *change)
{
    list_for_each_safe (link, &registry->watchers) {
        struct registry_watcher *watcher = list_entry(link, struct registry_watcher, link);
        watcher->changed(watcher, change);
    }
}

/* ---- ids --------------------------------------------------------------------------------------------------------------- */

void registry_new_uuid(char ret[REGISTRY_UUID_BYTES])
{
    uint8_t b[16];
    if (getrandom(b, sizeof b, 0) != sizeof b)
        abort();                            /* as in map.c: Linux gives so few at once, always */
    b[6] = (uint8_t)((b[6] & 0x0f) | 0x40); /* version 4, RFC 9562 */
    b[8] = (uint8_t)((b[8] & 0x3f) | 0x80);
    (void)snprintf(ret, REGISTRY_UUID_BYTES,
                   "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0], b[1], b[2],
                   b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]);
}
