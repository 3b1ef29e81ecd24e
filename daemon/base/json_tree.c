#include "base/json.h"

#include "base/map.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

/* ---- looking -------------------------------------------------------------------------------------------------- */

struct json *json_get_n(const struct json *object, const char *key, size_t key_len)
{
    if (!json_is(object, JSON_OBJECT))
        return NULL;
    json_for_each (member, object)
        if (json_key_is(member, key, key_len))
            return member;
    return NULL;
}

struct json *json_get(const struct json *object, const char *key)
{
    return json_get_n(object, key, strlen(key));
}

void json_index_init(struct json_index *index, struct arena *arena, size_t count)
{
    uint32_t capacity = 8;
    while (capacity < 2 * count)
        capacity *= 2;
    *index = (struct json_index){arena_zero(arena, capacity * sizeof *index->slots), capacity - 1};
}

void json_index_init_from(struct json_index *index, struct arena *arena, const struct json *object)
{
    json_index_init(index, arena, json_is(object, JSON_OBJECT) ? object->len : 0);
    if (json_is(object, JSON_OBJECT))
        json_for_each (member, object)
            (void)json_index_add(index, member);
}

/* The slot that holds the name, or the empty one where it belongs. */
static struct json **slot_of(const struct json_index *index, const char *key, size_t key_len)
{
    uint32_t i = map_hash(key, key_len) & index->mask;
    while (index->slots[i] && !json_key_is(index->slots[i], key, key_len))
        i = (i + 1) & index->mask;
    return &index->slots[i];
}

struct json *json_index_get(const struct json_index *index, const char *key, size_t key_len)
{
    return *slot_of(index, key, key_len);
}

struct json *json_index_add(struct json_index *index, struct json *member)
{
    struct json **slot = slot_of(index, member->key, member->key_len);
    if (*slot)
        return *slot;
    *slot = member;
    return NULL;
}

bool json_bool(const struct json *json, bool *ret)
{
    if (!json_is(json, JSON_TRUE) && !json_is(json, JSON_FALSE))
        return false;
    *ret = json->type == JSON_TRUE;
    return true;
}

bool json_text(const struct json *json, struct arena *arena, const char **ret)
{
    if (!json_is(json, JSON_STRING) || memchr(json->text, '\0', json->len))
        return false;
    *ret = arena_copy(arena, json->text, json->len);
    return true;
}

bool json_text_is(const struct json *json, const char *text)
{
    return json_is(json, JSON_STRING) && json->len == strlen(text) &&
           memcmp(json->text, text, json->len) == 0;
}

/* Members mostly come in the same order on both sides: the one behind the last that was found is tried first. */
static bool objects_equal(const struct json *a, const struct json *b)
{
    const struct json *guess = b->first;
    json_for_each (member, a) {
        const struct json *other = guess;
        if (!other || !json_key_is(other, member->key, member->key_len))
            other = json_get_n(b, member->key, member->key_len);
        if (!other || !json_equal(member, other))
            return false;
        guess = other->next;
    }
    return true;
}

bool json_equal(const struct json *a, const struct json *b)
{
    if (a->type != b->type)
        return false;
    switch (a->type) {
    case JSON_NULL:
    case JSON_FALSE:
    case JSON_TRUE: return true;
    case JSON_NUMBER: return json_number_compare(a, b) == 0;
    case JSON_STRING: return a->len == b->len && memcmp(a->text, b->text, a->len) == 0;
    case JSON_ARRAY:
        if (a->len != b->len)
            return false;
        for (const struct json *x = a->first, *y = b->first; x; x = x->next, y = y->next)
            if (!json_equal(x, y))
                return false;
        return true;
    case JSON_OBJECT: return a->len == b->len && objects_equal(a, b);
    }
    return false;
}

unsigned json_depth(const struct json *json)
{
    if (!json || json->type < JSON_ARRAY)
        return 0;
    unsigned deepest = 0;
    json_for_each (at, json) {
        unsigned depth = json_depth(at);
        if (depth > deepest)
            deepest = depth;
    }
    return deepest + 1;
}

/* ---- building --------------------------------------------------------------------------------------------------- */

struct json *json_new(struct arena *arena, enum json_type type)
{
    assert(type != JSON_NUMBER && type != JSON_STRING);
    struct json *json = arena_new(arena, struct json);
    json->type = type;
    return json;
}

struct json *json_new_string(struct arena *arena, const char *text, size_t len)
{
    assert(len <= UINT32_MAX);
    struct json *json = arena_new(arena, struct json);
    json->type = JSON_STRING;
    json->text = text;
    json->len = (uint32_t)len;
    return json;
}

struct json *json_new_int(struct arena *arena, int64_t value)
{
    char text[24];
    int n = snprintf(text, sizeof text, "%lld", (long long)value);
    struct json *json = arena_new(arena, struct json);
    json->type = JSON_NUMBER;
    json->text = arena_copy(arena, text, (size_t)n);
    json->len = (uint32_t)n;
    return json;
}

struct json *json_share(struct arena *arena, const struct json *json)
{
    struct json *same = arena_alloc(arena, sizeof *same);
    *same = *json;
    same->next = NULL;
    same->key = NULL;
    same->key_len = 0;
    return same;
}

struct json *json_copy(struct arena *arena, const struct json *json)
{
    struct json *copy = json_share(arena, json);
    if (json->type == JSON_NUMBER || json->type == JSON_STRING) {
        copy->text = arena_copy(arena, json->text, json->len);
        return copy;
    }
    copy->first = copy->last = NULL;
    copy->len = 0;
    json_for_each (at, json) {
        struct json *below = json_copy(arena, at);
        if (json->type == JSON_OBJECT)
            json_append(copy, arena_copy(arena, at->key, at->key_len), at->key_len, below);
        else
            json_push(copy, below);
    }
    return copy;
}

static void link_last(struct json *container, struct json *json)
{
    json->next = NULL;
    if (container->first)
        container->last->next = json;
    else
        container->first = json;
    container->last = json;
    container->len++;
}

void json_push(struct json *array, struct json *value)
{
    assert(array->type == JSON_ARRAY);
    link_last(array, value);
}

void json_append(struct json *object, const char *key, size_t key_len, struct json *value)
{
    assert(object->type == JSON_OBJECT);
    value->key = key;
    value->key_len = (uint32_t)key_len;
    link_last(object, value);
}

void json_set(struct json *object, const char *key, size_t key_len, struct json *value)
{
    struct json *before = NULL;
    json_for_each (member, object) {
        if (json_key_is(member, key, key_len)) {
            value->key = member->key;
            value->key_len = member->key_len;
            value->next = member->next;
            *(before ? &before->next : &object->first) = value;
            if (object->last == member)
                object->last = value;
            return;
        }
        before = member;
    }
    json_append(object, key, key_len, value);
}

bool json_remove(struct json *object, const char *key, size_t key_len)
{
    struct json *before = NULL;
    json_for_each (member, object) {
        if (json_key_is(member, key, key_len)) {
            *(before ? &before->next : &object->first) = member->next;
            if (object->last == member)
                object->last = before;
            object->len--;
            return true;
        }
        before = member;
    }
    return false;
}
