/* Looking up the members of one object in another. They mostly come in the same order, so the one behind the last that was
 * found is tried first; a large object gets an index. */
#pragma once

#include "base/json.h"

struct lookup {
    const struct json *object, *guess; /* NULL: nothing is in it */
    struct json_index index;
};

enum { LOOKUP_INDEX_FROM = 16 }; /* fewer members are searched by walking */

static inline struct lookup lookup_in(struct arena *arena, const struct json *object)
{
    struct lookup lookup = {.object = json_is(object, JSON_OBJECT) ? object : NULL};
    lookup.guess = json_first(lookup.object);
    if (lookup.object && object->len >= LOOKUP_INDEX_FROM)
        json_index_init_from(&lookup.index, arena, object);
    return lookup;
}

/* The member with that one's name, or NULL. */
static inline const struct json *look_up(struct lookup *lookup, const struct json *member)
{
    const struct json *found = lookup->guess;
    if (!found || !json_key_is(found, member->key, member->key_len))
        found = lookup->index.slots ? json_index_get(&lookup->index, member->key, member->key_len)
                                    : json_get_n(lookup->object, member->key, member->key_len);
    if (found)
        lookup->guess = found->next;
    return found;
}
