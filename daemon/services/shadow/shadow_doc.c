#include "services/shadow/shadow_doc.h"

#include "base/utf8.h"
#include "services/shadow/shadow_answer.h"
#include "services/shadow/shadow_lookup.h"
#include "services/shadow/shadow_stamps.h"

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

/* C programs send a document with its terminator, AWS IoT's own shadow demo among them, and AWS IoT takes it. */
static size_t without_terminator(const char *payload, size_t len)
{
    while (len && !payload[len - 1])
        len--;
    return len;
}

const struct json *shadow_token(struct arena *arena, const char *payload, size_t len)
{
    struct json *request;
    len = without_terminator(payload, len);
    if (!len || len > SHADOW_REQUEST_MAX || json_parse(&request, arena, payload, len, NULL) != 0)
        return NULL;
    return valid_token(json_get(request, "clientToken"));
}

static bool is_null_or_object(const struct json *json)
{
    return !json || json->type == JSON_NULL || json->type == JSON_OBJECT;
}

/* One walk over a section: stamps its scalars, and sees what must not be. */
struct look {
    uint32_t stamp;
    unsigned deepest;
    bool null_in_array;
};

static void look_through(struct look *look, struct json *json, unsigned level, bool in_array)
{
    if (json->type < JSON_ARRAY) {
        json->tag = look->stamp;
        look->null_in_array |= in_array && json->type == JSON_NULL;
        return;
    }
    if (++level > look->deepest)
        look->deepest = level;
    json_for_each (below, json)
        look_through(look, below, level, in_array || json->type == JSON_ARRAY);
}

static int check_sections(struct shadow_update *update, struct arena *arena, const struct json *state,
                          const struct shadow_limits *limits, struct shadow_refusal *refusal)
{
    struct json *sections[] = {json_get(state, "desired"), json_get(state, "reported")};
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
    struct look look = {.stamp = shadow_stamp_of(update->now_s)};
    for (size_t i = 0; i < array_size(sections); i++)
        if (sections[i])
            look_through(&look, sections[i], 0, false);
    if (look.deepest > limits->levels)
        return refuse(refusal, 400, too_many_levels);
    if (look.null_in_array)
        return refuse(refusal, 400, "State contains an invalid node");
    update->desired = sections[0];
    update->reported = sections[1];
    return 0;
}

int shadow_update_parse(struct shadow_update *ret, struct arena *arena, const char *payload, size_t len,
                        int64_t now_s, const struct shadow_limits *limits, struct shadow_refusal *refusal)
{
    *ret = (struct shadow_update){.now_s = now_s};
    if (len > SHADOW_REQUEST_MAX)
        return refuse(refusal, 413, "The payload exceeds the maximum size allowed");
    struct json *request;
    len = without_terminator(payload, len);
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

static void put(struct json *object, const struct json *name, struct json *value)
{
    json_append(object, name->key, name->key_len, value);
}

/* A value that takes no old one in: without its null members. NULL when nothing but nulls was in it: then there is no
 * value. */
static struct json *create(struct arena *arena, const struct json *patch)
{
    if (patch->type != JSON_OBJECT)
        return json_share(arena, patch);
    struct json *made = json_new(arena, JSON_OBJECT);
    json_for_each (member, patch) {
        struct json *below = member->type == JSON_NULL ? NULL : create(arena, member);
        if (below)
            put(made, member, below);
    }
    return made->len || !patch->len ? made : NULL;
}

static struct json *merge(struct arena *arena, const struct json *state, const struct json *patch)
{
    struct json *merged = json_new(arena, JSON_OBJECT);
    struct lookup patches = lookup_in(arena, patch);
    size_t found = 0;
    json_for_each (old, state) {
        const struct json *change = look_up(&patches, old);
        struct json *value = NULL;
        found += change != NULL;
        if (change && change->type == JSON_NULL)
            continue;
        if (change && change->type == JSON_OBJECT && old->type == JSON_OBJECT)
            value = merge(arena, old, change);
        else if (change)
            value = create(arena, change); /* NULL: removing members of what has none changes nothing */
        put(merged, old, value ? value : json_share(arena, old));
    }
    if (found == patch->len)
        return merged;
    struct lookup olds = lookup_in(arena, state);
    json_for_each (change, patch) {
        struct json *value =
            change->type == JSON_NULL || look_up(&olds, change) ? NULL : create(arena, change);
        if (value)
            put(merged, change, value);
    }
    return merged;
}

static const struct json *merge_section(struct arena *arena, const struct json *old, const struct json *patch)
{
    if (!patch)
        return old;
    if (patch->type == JSON_NULL)
        return NULL;
    const struct json *merged = merge(arena, old, patch);
    return merged->len ? merged : NULL;
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

static void write_text(struct shadow_doc *doc, struct arena *arena)
{
    struct json_writer writer;
    json_writer_init(&writer, arena);
    shadow_put_sections(&writer, doc->desired, doc->reported);
    doc->text = json_writer_text(&writer, &doc->text_len);
}

int shadow_doc_update(struct shadow_doc *ret, struct arena *arena, const struct shadow_doc *old,
                      const struct shadow_update *update, const struct shadow_limits *limits,
                      struct shadow_refusal *refusal)
{
    int r = check_version(old, update, refusal);
    if (r != 0)
        return r;
    struct shadow_doc doc = {.exists = true, .version = old->version + 1};
    if (!update->clears) {
        doc.desired = merge_section(arena, old->desired, update->desired);
        doc.reported = merge_section(arena, old->reported, update->reported);
    }
    write_text(&doc, arena);
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
    size_t around = strlen("{}");
    if (doc->desired)
        around += strlen("\"desired\":");
    if (doc->reported)
        around += strlen("\"reported\":");
    if (doc->desired && doc->reported)
        around += strlen(",");
    return doc->exists ? doc->text_len - around : 0;
}

/* ---- difference ------------------------------------------------------------------------------------------------- */

/* NULL: they do not differ. */
static struct json *delta(struct arena *arena, const struct json *desired, const struct json *reported)
{
    struct json *different = NULL;
    struct lookup reports = lookup_in(arena, reported);
    json_for_each (want, desired) {
        const struct json *have = look_up(&reports, want);
        struct json *value = NULL;
        if (have && want->type == JSON_OBJECT && have->type == JSON_OBJECT)
            value = delta(arena, want, have);
        else if (!have || !json_equal(want, have))
            value = json_share(arena, want);
        if (!value)
            continue;
        if (!different)
            different = json_new(arena, JSON_OBJECT);
        put(different, want, value);
    }
    return different;
}

const struct json *shadow_doc_delta(struct arena *arena, const struct shadow_doc *doc)
{
    return doc->desired ? delta(arena, doc->desired, doc->reported) : NULL;
}

/* ---- stored documents ------------------------------------------------------------------------------------------- */

static bool is_section(const struct json *section)
{
    return !section || (section->type == JSON_OBJECT && section->len);
}

int shadow_doc_read(struct shadow_doc *ret, struct arena *arena, uint64_t version, const char *state,
                    size_t state_len, const char *stamps, size_t stamps_len)
{
    struct json *json;
    if (json_parse(&json, arena, state, state_len, NULL) != 0 || json->type != JSON_OBJECT)
        return -EUCLEAN;
    struct json *sections[] = {json_get(json, "desired"), json_get(json, "reported")};
    if (!is_section(sections[0]) || !is_section(sections[1]) ||
        json->len != (uint32_t)(!!sections[0] + !!sections[1]) ||
        !shadow_stamps_read(sections, array_size(sections), stamps, stamps_len))
        return -EUCLEAN;
    *ret = (struct shadow_doc){.exists = true,
                               .version = version,
                               .desired = sections[0],
                               .reported = sections[1],
                               .text = state,
                               .text_len = state_len};
    return 0;
}

char *shadow_doc_stamps(struct arena *arena, const struct shadow_doc *doc, size_t *len)
{
    const struct json *const sections[] = {doc->desired, doc->reported};
    return shadow_stamps_write(arena, sections, array_size(sections), len);
}
