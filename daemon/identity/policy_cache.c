#include "identity/policy_cache.h"

#include <string.h>

/* Names of different kinds may be spelled alike, client "a" and topic "a": each action has its own bits, so they share an
 * entry and nothing else. */
struct entry {
    struct map_key key;
    uint32_t allowed, explicitly_denied, implicitly_denied; /* bits of enum iot_action */
    char text[];
};

void policy_cache_init(struct policy_cache *cache, uint32_t entries_max, size_t bytes_max)
{
    *cache = (struct policy_cache){.entries_max = entries_max, .bytes_max = bytes_max};
}

void policy_cache_clear(struct policy_cache *cache)
{
    map_for_each(i, key, &cache->map) free(container_of(key, struct entry, key));
    map_done(&cache->map);
    cache->bytes = 0;
}

/* Makes an entry; NULL where it is not to be remembered. */
static struct entry *entry_new(struct policy_cache *cache, const char *name, size_t len)
{
    if (!cache->entries_max || len > cache->bytes_max / 4)
        return NULL;
    if (cache->map.count >= cache->entries_max || cache->bytes + len > cache->bytes_max)
        policy_cache_clear(cache);
    struct entry *entry = calloc(1, sizeof *entry + len);
    if (!entry)
        return NULL;
    if (len)
        memcpy(entry->text, name, len);
    entry->key = (struct map_key){.text = entry->text, .len = (uint32_t)len};
    map_put(&cache->map, &entry->key);
    cache->bytes += len;
    return entry;
}

static uint32_t *bits_of(struct entry *entry, enum policy_decision decision)
{
    switch (decision) {
    case POLICY_ALLOWED: return &entry->allowed;
    case POLICY_EXPLICIT_DENY: return &entry->explicitly_denied;
    case POLICY_IMPLICIT_DENY: break;
    }
    return &entry->implicitly_denied;
}

enum policy_decision policy_cache_decide(struct policy_cache *cache, uint64_t generation,
                                         const struct policy_set *set, const struct policy_context *context,
                                         const struct policy_request *request)
{
    if (cache->generation != generation) {
        policy_cache_clear(cache);
        cache->generation = generation;
    }
    struct map_key *key = map_get(&cache->map, request->name, request->len);
    struct entry *entry = key ? container_of(key, struct entry, key) : NULL;
    uint32_t bit = iot_action_bit(request->action);
    if (entry && (entry->allowed & bit))
        return POLICY_ALLOWED;
    if (entry && (entry->explicitly_denied & bit))
        return POLICY_EXPLICIT_DENY;
    if (entry && (entry->implicitly_denied & bit))
        return POLICY_IMPLICIT_DENY;
    struct policy_verdict verdict;
    (void)policy_decide(set, context, request, &verdict);
    if (!verdict.of_time && (entry || (entry = entry_new(cache, request->name, request->len))))
        *bits_of(entry, verdict.decision) |= bit;
    return verdict.decision;
}
