/* JSON: strict, exact, without an allocation per value.
 *
 * A document is parsed into nodes in an arena. Strings without escapes and numbers stay where they are in the input and
 * nodes point at them, so the input must live as long as the tree.
 *
 *      {"rpm":900,"axes":[1,2]}
 *
 *      object ─first─▶ "rpm" 900 ─next─▶ "axes" array ─next─▶ NULL
 *                                               └─first─▶ 1 ─next─▶ 2
 *
 * Strict is RFC 8259 and no more: no trailing commas, comments, NaN, byte order mark, lone surrogates or bad UTF-8; the
 * depth is limited. Of several members with one name the last one counts, at the place of the first.
 *
 * Exact: a number keeps its text, so that 1.0 stays 1.0 and integers beyond 2^53 survive; comparing is by value.
 *
 * A node is in one container at most. Trees may share what is below a node (json_share()) as long as nobody changes it;
 * code that must keep the old document beside the new one is built on that.
 *
 * Pure functions, any thread.
 */
#pragma once

#include "base/arena.h"

enum json_type { JSON_NULL, JSON_FALSE, JSON_TRUE, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

struct json {
    union {
        const char *text;   /* number: as written; string: unescaped UTF-8, not terminated, may hold U+0000 */
        struct json *first; /* array, object: NULL when empty */
    };
    struct json *last; /* array, object */
    struct json *next; /* in the container it belongs to */
    const char *key;   /* as a string's text, when it is a member of an object */
    uint32_t key_len;
    uint32_t len; /* bytes of text; elements or members */
    enum json_type type;
    uint32_t tag; /* the caller's: 0 in what was parsed or made here, goes along with what is shared or copied */
};

enum {
    JSON_DEPTH_MAX = 128,    /* containers inside each other */
    JSON_COST_PER_BYTE = 40, /* what a document may cost its arena at most, times its length */
};

/* ---- reading ---------------------------------------------------------------------------------------------------- */

struct json_error {
    size_t offset;
    unsigned line, column; /* from 1; the column counts characters */
    const char *expected;  /* "a value", "',' or '}'", …: for "line 3, column 7: expected %s" */
};

/* What json_parse() refuses. */
enum { JSON_INVALID = 1, JSON_TOO_DEEP = 2 };

/* One value and white space around it. Limit len first: see JSON_COST_PER_BYTE. error may be NULL; it is written for
 * refusals. */
int json_parse(struct json **ret, struct arena *arena, const char *text, size_t len, struct json_error *error)
    must_check;

/* For each element of an array or member of an object; nothing for others. */
#define json_for_each(at, container) for (struct json *at = json_first(container); at; at = at->next)

static inline struct json *json_first(const struct json *json)
{
    return json && json->type >= JSON_ARRAY ? json->first : NULL;
}

/* The member of that name; NULL when there is none or it is not an object (or NULL). Walks the list. */
struct json *json_get(const struct json *object, const char *key);
struct json *json_get_n(const struct json *object, const char *key, size_t key_len);
static inline bool json_key_is(const struct json *member, const char *key, size_t key_len)
{
    return member->key_len == key_len && (!key_len || __builtin_memcmp(member->key, key, key_len) == 0);
}

/* For looking up many members: a hash table of members by name, in an arena. */
struct json_index {
    struct json **slots;
    uint32_t mask;
};
void json_index_init(struct json_index *index, struct arena *arena, size_t count); /* room for that many */
void json_index_init_from(struct json_index *index, struct arena *arena, const struct json *object);
struct json *json_index_get(const struct json_index *index, const char *key, size_t key_len);
/* Adds a member unless there is one with its name, which is returned; NULL when it was added. */
struct json *json_index_add(struct json_index *index, struct json *member);

/* Typed getters: false when it is NULL, of another type or out of range, and then *ret is untouched. */
static inline bool json_is(const struct json *json, enum json_type type)
{
    return json && json->type == type;
}
bool json_bool(const struct json *json, bool *ret);
/* Integers by value, exactly: 5, 5.0 and 50e-1 are 5. */
bool json_int(const struct json *json, int64_t min, int64_t max, int64_t *ret);
bool json_double(const struct json *json, double *ret);
/* A terminated copy; false for strings with U+0000 too. */
bool json_text(const struct json *json, struct arena *arena, const char **ret);
bool json_text_is(const struct json *json, const char *text);

/* Same value: numbers by numeric value (1 == 1.0 == 1e0, any number of digits), strings after unescaping, objects
 * without regard to order. Different types differ. */
bool json_equal(const struct json *a, const struct json *b);
/* -1, 0, 1 for two numbers, by value. */
int json_number_compare(const struct json *a, const struct json *b);

/* Containers inside each other: 0 for scalars, 1 for {} and [1], 2 for [[]]. */
unsigned json_depth(const struct json *json);

/* ---- building --------------------------------------------------------------------------------------------------- */

/* Texts and keys are not copied. */
struct json *json_new(struct arena *arena, enum json_type type); /* null, false, true, [] or {} */
struct json *json_new_string(struct arena *arena, const char *text, size_t len);
struct json *json_new_int(struct arena *arena, int64_t value);
/* From JSON's spelling of a number; NULL when it is none. */
struct json *json_new_number(struct arena *arena, const char *text, size_t len);
/* A new node with the same value: what is below is shared, and must not be changed afterwards. Its key is not set. */
struct json *json_share(struct arena *arena, const struct json *json);
/* All of it, texts too: the input is no longer needed. */
struct json *json_copy(struct arena *arena, const struct json *json);

/* The value must be in no container. json_set() takes the place of the member with that name, or the last one;
 * json_append() does not look for it: the caller knows there is none. */
void json_push(struct json *array, struct json *value);
void json_append(struct json *object, const char *key, size_t key_len, struct json *value);
void json_set(struct json *object, const char *key, size_t key_len, struct json *value);
bool json_remove(struct json *object, const char *key, size_t key_len);
