/* Which twins are in memory: a map by name, and a budget.
 *
 *      resting   [longest ago] ─ [ ] ─ [ ] ─ [just now]
 *                 evicted first
 *
 * A twin counts what it and its row take. Only one without requests is evicted, so there may be more than the budget
 * while many are worked on; those are limited by the requests.
 */
#include "services/shadow/shadow_twin.h"

#include <string.h>

enum { OVERHEAD = 64 }; /* what malloc() and the map take besides, measured */

static size_t size_of(const struct twin *twin)
{
    return sizeof *twin + twin->key.len + 1 + shadow_row_size(twin->row) + OVERHEAD;
}

struct twin *twin_of(struct shadow *shadow, const char *thing, size_t thing_len, const char *name,
                     size_t name_len)
{
    char text[SHADOW_THING_MAX + 1 + SHADOW_NAME_MAX];
    size_t len = thing_len + 1 + name_len;
    memcpy(text, thing, thing_len);
    text[thing_len] = '\0';
    if (name_len)
        memcpy(text + thing_len + 1, name, name_len);
    struct map_key *key = map_get(&shadow->twins, text, len);
    if (key)
        return container_of(key, struct twin, key);

    struct twin *twin = mem_new_bytes(sizeof *twin + len + 1);
    memcpy(twin + 1, text, len);
    twin->key.text = (char *)(twin + 1);
    twin->key.len = (uint32_t)len;
    twin->shadow = shadow;
    list_init(&twin->queue);
    map_put(&shadow->twins, &twin->key);
    shadow->counters.cached++;
    shadow->counters.cached_bytes += size_of(twin);
    return twin;
}

struct shadow_key twin_key(const struct twin *twin)
{
    return (struct shadow_key){twin->key.text, twin->key.text + strlen(twin->key.text) + 1};
}

bool twin_is_classic(const struct twin *twin)
{
    return strlen(twin->key.text) + 1 == twin->key.len;
}

void twin_set_row(struct twin *twin, struct shadow_row *row)
{
    twin->shadow->counters.cached_bytes -= size_of(twin);
    free(twin->row);
    twin->row = row;
    twin->shadow->counters.cached_bytes += size_of(twin);
}

void twin_forget(struct twin *twin)
{
    struct shadow *shadow = twin->shadow;
    shadow->counters.cached--;
    shadow->counters.cached_bytes -= size_of(twin);
    map_remove(&shadow->twins, &twin->key);
    list_remove(&twin->link);
    free(twin->row);
    free(twin);
}

void twin_rest(struct twin *twin)
{
    struct shadow *shadow = twin->shadow;
    list_append(&shadow->resting, &twin->link);
    while (shadow->counters.cached_bytes > shadow->options.cache_bytes && !list_is_empty(&shadow->resting)) {
        twin_forget(list_entry(shadow->resting.next, struct twin, link));
        shadow->counters.evicted++;
    }
}
