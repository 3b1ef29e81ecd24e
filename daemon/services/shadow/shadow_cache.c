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

static size_t size_of(const struct twin *twin)
{
    return sizeof *twin + twin->key.len + 1 + shadow_row_size(twin->row);
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
    char *own = (char *)(twin + 1);
    memcpy(own, text, len);
    twin->key.text = own;
    twin->key.len = (uint32_t)len;
    twin->shadow = shadow;
    twin->io.thing = own;
    twin->io.name = own + thing_len + 1;
    list_init(&twin->queue);
    list_init(&twin->batch);
    map_put(&shadow->twins, &twin->key);
    shadow->counters.cached++;
    shadow->counters.cached_bytes += size_of(twin);
    return twin;
}

const char *twin_thing(const struct twin *twin)
{
    return twin->io.thing;
}

const char *twin_name(const struct twin *twin)
{
    return twin->io.name;
}

bool twin_is_classic(const struct twin *twin)
{
    return !*twin->io.name;
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
