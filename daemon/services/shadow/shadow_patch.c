#include "services/shadow/shadow_patch.h"

#include "services/shadow/shadow_lookup.h"

#include <string.h>

static bool same(const struct json *a, const struct json *b);

/* Trees that share what is below their nodes are the same without a look at it: most of a document is shared with the
 * one before it. */
static bool same_inside(const struct json *a, const struct json *b)
{
    if (a->first == b->first)
        return true;
    const struct json *x = a->first, *y = b->first;
    for (; x && y; x = x->next, y = y->next)
        if (x->key_len != y->key_len || (x->key_len && memcmp(x->key, y->key, x->key_len) != 0) ||
            !same(x, y))
            return false;
    return true;
}

static bool same(const struct json *a, const struct json *b)
{
    if (a->type != b->type || a->len != b->len)
        return false;
    if (a->type >= JSON_ARRAY)
        return same_inside(a, b);
    return a->type < JSON_NUMBER || a->text == b->text || memcmp(a->text, b->text, a->len) == 0;
}

static void put_changes(struct json_writer *writer, const struct json *from, const struct json *to)
{
    json_begin_object(writer);
    struct lookup olds = lookup_in(writer->arena, from);
    size_t found = 0;
    json_for_each (want, to) {
        const struct json *have = look_up(&olds, want);
        found += have != NULL;
        if (have && same(have, want))
            continue;
        json_key_n(writer, want->key, want->key_len);
        if (have && have->type == JSON_OBJECT && want->type == JSON_OBJECT)
            put_changes(writer, have, want);
        else
            json_put(writer, want);
    }
    if (from && found < from->len) {
        struct lookup news = lookup_in(writer->arena, to);
        json_for_each (have, from) {
            if (look_up(&news, have))
                continue;
            json_key_n(writer, have->key, have->key_len);
            json_put_null(writer);
        }
    }
    json_end_object(writer);
}

void shadow_patch_put(struct json_writer *writer, const struct json *from, const struct json *to)
{
    if (to)
        put_changes(writer, from, to);
    else
        json_put_null(writer);
}

struct json *shadow_patch_apply(struct arena *arena, const struct json *from, const struct json *patch)
{
    if (patch->type != JSON_OBJECT)
        return patch->type == JSON_NULL ? NULL : json_share(arena, patch);
    struct json *made = json_new(arena, JSON_OBJECT);
    struct lookup changes = lookup_in(arena, patch), olds = lookup_in(arena, from);
    json_for_each (old, olds.object) {
        const struct json *change = look_up(&changes, old);
        struct json *value = change ? shadow_patch_apply(arena, old, change) : json_share(arena, old);
        if (value)
            json_append(made, old->key, old->key_len, value);
    }
    json_for_each (change, patch) {
        struct json *value = look_up(&olds, change) ? NULL : shadow_patch_apply(arena, NULL, change);
        if (value)
            json_append(made, change->key, change->key_len, value);
    }
    return made;
}
