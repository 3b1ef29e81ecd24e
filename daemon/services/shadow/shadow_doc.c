#include "services/shadow/shadow_doc.h"

#include "base/utf8.h"
#include "services/shadow/shadow_answer.h"

#include <errno.h>
#include <string.h>

static int refuse(struct shadow_refusal *refusal, int code, const char *message)
{
    *refusal = (struct shadow_refusal){code, message};
    return code;
}

/* ---- reading a request ------------------------------------------------------------------------------------------ */

static const char too_many_levels[] =
    "JSON contains too many levels of nesting; maximum is 6"; /* the text kept its number when the limit became 8 */
static const char invalid_json[] = "Invalid JSON";

static const struct json *valid_token(const struct json *token)
{
    return json_is(token, JSON_STRING) && token->len <= SHADOW_TOKEN_MAX ? token : NULL;
}

const struct json *shadow_token(struct arena *arena, const char *payload, size_t len)
{
    struct json *request;
    if (!len || len > SHADOW_REQUEST_MAX || json_parse(&request, arena, payload, len, NULL) != 0)
        return NULL;
    return valid_token(json_get(request, "clientToken"));
}

static bool is_null_or_object(const struct json *json)
{
    return !json || json->type == JSON_NULL || json->type == JSON_OBJECT;
}

static bool has_null_in_array(const struct json *json, bool in_array)
{
    if (in_array && json->type == JSON_NULL)
        return true;
    json_for_each (at, json)
        if (has_null_in_array(at, in_array || json->type == JSON_ARRAY))
            return true;
    return false;
}

static int check_sections(struct shadow_update *update, struct arena *arena, const struct json *state,
                          const struct shadow_limits *limits, struct shadow_refusal *refusal)
{
    const struct json *sections[] = {json_get(state, "desired"), json_get(state, "reported")};
    if (!is_null_or_object(sections[0]))
        return refuse(refusal, 400, "Desired node must be an object");
    if (!is_null_or_object(sections[1]))
        return refuse(refusal, 400, "Reported node must be an object");
    json_for_each (member, state) {
        if (member == sections[0] || member == sections[1] || json_key_is(member, "delta", 5))
            continue; /* delta is dropped: clients send back what they got */
        size_t shown = utf8_cut(member->key, member->key_len, SHADOW_TOKEN_MAX);
        const char *name = arena_copy(arena, member->key, shown);
        return refuse(refusal, 400, arena_printf(arena, "State contains an invalid node: '%s'", name));
    }
    for (size_t i = 0; i < array_size(sections); i++)
        if (json_depth(sections[i]) > limits->levels)
            return refuse(refusal, 400, too_many_levels);
    for (size_t i = 0; i < array_size(sections); i++)
        if (sections[i] && has_null_in_array(sections[i], false))
            return refuse(refusal, 400, "State contains an invalid node");
    update->desired = sections[0];
    update->reported = sections[1];
    return 0;
}

int shadow_update_parse(struct shadow_update *ret, struct arena *arena, const char *payload, size_t len,
                        const struct shadow_limits *limits, struct shadow_refusal *refusal)
{
    *ret = (struct shadow_update){0};
    if (len > SHADOW_REQUEST_MAX)
        return refuse(refusal, 413, "The payload exceeds the maximum size allowed");
    struct json *request;
    int r = json_parse(&request, arena, payload, len, NULL);
    if (r != 0 && !utf8_is_valid(payload, len))
        return refuse(refusal, 415, "Unsupported documented encoding; supported encoding is UTF-8");
    if (r == JSON_TOO_DEEP)
        return refuse(refusal, 400, too_many_levels);
    if (r != 0 || request->type != JSON_OBJECT)
        return refuse(refusal, 400, invalid_json);

    const struct json *token = json_get(request, "clientToken"), *version = json_get(request, "version"),
                      *state = json_get(request, "state");
    if (token && !valid_token(token))
        return refuse(refusal, 400, "Invalid clientToken");
    ret->token = token;
    ret->has_version = version != NULL;
    if (version && !json_int(version, 0, INT64_MAX, &ret->version))
        return refuse(refusal, 400, "Invalid version");
    if (!state)
        return refuse(refusal, 400, "Missing required node: state");
    if (!is_null_or_object(state))
        return refuse(refusal, 400, "State node must be an object");
    ret->clears = state->type == JSON_NULL;
    return check_sections(ret, arena, state, limits, refusal);
}

/* ---- merging ---------------------------------------------------------------------------------------------------- */

struct merge {
    struct arena *arena;
    struct json *stamp; /* the one member of every leaf this update makes */
};

/* Objects of fewer members are searched by walking. */
enum { INDEX_FROM = 16 };

struct lookup {
    const struct json *object;
    struct json_index index;
};

static struct lookup lookup_in(struct arena *arena, const struct json *object)
{
    struct lookup lookup = {.object = object};
    if (object && object->len >= INDEX_FROM)
        json_index_init_from(&lookup.index, arena, object);
    return lookup;
}

static const struct json *look_up(const struct lookup *lookup, const struct json *member)
{
    return lookup->index.slots ? json_index_get(&lookup->index, member->key, member->key_len)
                               : json_get_n(lookup->object, member->key, member->key_len);
}

static struct json *new_leaf(const struct merge *m)
{
    struct json *leaf = json_new(m->arena, JSON_OBJECT);
    leaf->first = leaf->last = m->stamp;
    leaf->len = 1;
    return leaf;
}

static struct shadow_section new_objects(struct arena *arena)
{
    return (struct shadow_section){json_new(arena, JSON_OBJECT), json_new(arena, JSON_OBJECT)};
}

static void put(struct shadow_section *objects, const struct json *name, struct shadow_section value)
{
    json_append(objects->state, name->key, name->key_len, value.state);
    json_append(objects->metadata, name->key, name->key_len, value.metadata);
}

static struct shadow_section share(struct arena *arena, const struct json *state, const struct json *metadata)
{
    return (struct shadow_section){json_share(arena, state), json_share(arena, metadata)};
}

/* For values below an array, where nothing is null. */
static struct json *new_metadata(const struct merge *m, const struct json *value)
{
    if (value->type < JSON_ARRAY)
        return new_leaf(m);
    struct json *metadata = json_new(m->arena, value->type);
    json_for_each (at, value) {
        struct json *below = new_metadata(m, at);
        if (value->type == JSON_OBJECT)
            json_append(metadata, at->key, at->key_len, below);
        else
            json_push(metadata, below);
    }
    return metadata;
}

/* A value that takes no old one in: without its null members. False when nothing but nulls was in it: then there is no
 * value. */
static bool create(const struct merge *m, const struct json *patch, struct shadow_section *ret)
{
    if (patch->type != JSON_OBJECT) {
        *ret = (struct shadow_section){json_share(m->arena, patch), new_metadata(m, patch)};
        return true;
    }
    struct shadow_section made = new_objects(m->arena);
    json_for_each (member, patch) {
        struct shadow_section below;
        if (member->type != JSON_NULL && create(m, member, &below))
            put(&made, member, below);
    }
    *ret = made;
    return patch->len == 0 || made.state->len > 0;
}

static struct shadow_section merge(const struct merge *m, const struct json *state,
                                   const struct json *metadata, const struct json *patch)
{
    struct shadow_section merged = new_objects(m->arena);
    struct lookup patches = lookup_in(m->arena, patch), olds = lookup_in(m->arena, state);
    const struct json *old_metadata = json_first(metadata);
    for (const struct json *old = json_first(state); old;
         old = old->next, old_metadata = old_metadata->next) {
        const struct json *change = look_up(&patches, old);
        struct shadow_section value;
        if (change && change->type == JSON_NULL)
            continue;
        if (change && change->type == JSON_OBJECT && old->type == JSON_OBJECT)
            value = merge(m, old, old_metadata, change);
        else if (!change ||
                 !create(m, change, &value)) /* removing members of what has none changes nothing */
            value = share(m->arena, old, old_metadata);
        put(&merged, old, value);
    }
    json_for_each (change, patch) {
        struct shadow_section value;
        if (change->type != JSON_NULL && !look_up(&olds, change) && create(m, change, &value))
            put(&merged, change, value);
    }
    return merged;
}

static struct shadow_section merge_section(const struct merge *m, struct shadow_section old,
                                           const struct json *patch)
{
    if (!patch)
        return old;
    if (patch->type == JSON_NULL)
        return (struct shadow_section){0};
    struct shadow_section merged = merge(m, old.state, old.metadata, patch);
    return merged.state->len ? merged : (struct shadow_section){0};
}

static int check_version(const struct shadow_doc *old, const struct shadow_update *update,
                         struct shadow_refusal *refusal)
{
    if (!update->has_version)
        return 0;
    if (!old->exists)
        return update->version > 1 ? refuse(refusal, 400, "Invalid version") : 0;
    return (uint64_t)update->version != old->version ? refuse(refusal, 409, "Version conflict") : 0;
}

int shadow_doc_update(struct shadow_doc *ret, struct arena *arena, const struct shadow_doc *old,
                      const struct shadow_update *update, int64_t now_s, const struct shadow_limits *limits,
                      struct shadow_refusal *refusal)
{
    int r = check_version(old, update, refusal);
    if (r != 0)
        return r;
    struct shadow_doc doc = {.exists = true, .version = old->version + 1};
    if (!update->clears) {
        struct merge m = {arena, json_new_int(arena, now_s)};
        m.stamp->key = "timestamp";
        m.stamp->key_len = 9;
        doc.desired = merge_section(&m, old->desired, update->desired);
        doc.reported = merge_section(&m, old->reported, update->reported);
    }
    if (shadow_doc_size(&doc) > limits->bytes)
        return refuse(refusal, 413, "The payload exceeds the maximum size allowed");
    *ret = doc;
    return 0;
}

struct shadow_doc shadow_doc_delete(const struct shadow_doc *old)
{
    return (struct shadow_doc){.exists = false, .version = old->version + 1};
}

bool shadow_tombstone_is_over(int64_t deleted_s, int64_t now_s)
{
    return deleted_s >= SHADOW_CLOCK_IS_SET_S && now_s - deleted_s >= SHADOW_TOMBSTONE_S;
}

size_t shadow_doc_size(const struct shadow_doc *doc)
{
    return (doc->desired.state ? json_size(doc->desired.state) : 0) +
           (doc->reported.state ? json_size(doc->reported.state) : 0);
}

/* ---- difference ------------------------------------------------------------------------------------------------- */

static struct shadow_section delta(struct arena *arena, const struct json *desired,
                                   const struct json *metadata, const struct json *reported)
{
    struct shadow_section different = new_objects(arena);
    struct lookup reports = lookup_in(arena, reported);
    const struct json *stamps = json_first(metadata);
    for (const struct json *want = json_first(desired); want; want = want->next, stamps = stamps->next) {
        const struct json *have = look_up(&reports, want);
        if (have && want->type == JSON_OBJECT && have->type == JSON_OBJECT) {
            struct shadow_section below = delta(arena, want, stamps, have);
            if (below.state->len)
                put(&different, want, below);
        } else if (!have || !json_equal(want, have)) {
            put(&different, want, share(arena, want, stamps));
        }
    }
    return different;
}

struct shadow_section shadow_doc_delta(struct arena *arena, const struct shadow_doc *doc)
{
    if (!doc->desired.state)
        return (struct shadow_section){0};
    struct shadow_section different =
        delta(arena, doc->desired.state, doc->desired.metadata, doc->reported.state);
    return different.state->len ? different : (struct shadow_section){0};
}

/* ---- stored documents ------------------------------------------------------------------------------------------- */

/* Is it what this file would have written for that state? Then walking both together is safe. */
static bool mirrors(const struct json *metadata, const struct json *state)
{
    int64_t timestamp;
    if (state->type < JSON_ARRAY)
        return json_is(metadata, JSON_OBJECT) && metadata->len == 1 &&
               json_int(json_get(metadata, "timestamp"), INT64_MIN, INT64_MAX, &timestamp);
    if (!json_is(metadata, state->type) || metadata->len != state->len)
        return false;
    for (const struct json *m = metadata->first, *s = state->first; s; m = m->next, s = s->next)
        if (m->key_len != s->key_len || (s->key_len && memcmp(m->key, s->key, s->key_len) != 0) ||
            !mirrors(m, s))
            return false;
    return true;
}

static int read_section(struct shadow_section *ret, const struct json *state, const struct json *metadata,
                        const char *name)
{
    struct shadow_section section = {json_get(state, name), json_get(metadata, name)};
    if (!section.state && !section.metadata) {
        *ret = section;
        return 0;
    }
    if (!json_is(section.state, JSON_OBJECT) || !section.state->len ||
        !mirrors(section.metadata, section.state))
        return -EUCLEAN;
    *ret = section;
    return 0;
}

int shadow_doc_read(struct shadow_doc *ret, struct arena *arena, uint64_t version, const char *state,
                    size_t state_len, const char *metadata, size_t metadata_len)
{
    struct json *s, *m;
    if (json_parse(&s, arena, state, state_len, NULL) != 0 ||
        json_parse(&m, arena, metadata, metadata_len, NULL) != 0)
        return -EUCLEAN;
    struct shadow_doc doc = {.exists = true, .version = version};
    int r = read_section(&doc.desired, s, m, "desired");
    if (r == 0)
        r = read_section(&doc.reported, s, m, "reported");
    if (r == 0)
        *ret = doc;
    return r;
}

static char *write_sections(struct arena *arena, const struct json *desired, const struct json *reported,
                            size_t *len)
{
    struct json_writer writer;
    json_writer_init(&writer, arena);
    shadow_put_sections(&writer, desired, reported);
    return json_writer_text(&writer, len);
}

char *shadow_doc_state(struct arena *arena, const struct shadow_doc *doc, size_t *len)
{
    return write_sections(arena, doc->desired.state, doc->reported.state, len);
}

char *shadow_doc_metadata(struct arena *arena, const struct shadow_doc *doc, size_t *len)
{
    return write_sections(arena, doc->desired.metadata, doc->reported.metadata, len);
}
