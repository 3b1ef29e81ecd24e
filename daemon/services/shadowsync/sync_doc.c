#include "services/shadowsync/sync_doc.h"

#include "base/json_write.h"

#include <inttypes.h>
#include <string.h>

/* ---- reading ----------------------------------------------------------------------------------------------------- */

/* No service has null members; another one than ours might. Elements of arrays stay what they are. */
static const struct json *without_nulls(struct arena *arena, const struct json *value)
{
    if (value->type != JSON_OBJECT)
        return value;
    struct json *clean = json_new(arena, JSON_OBJECT);
    json_for_each (member, value)
        if (member->type != JSON_NULL)
            json_append(clean, member->key, member->key_len, json_share(arena, without_nulls(arena, member)));
    return clean;
}

/* desired and reported, each unless it is empty; delta and what else there may be is left out. */
static const struct json *sections(struct arena *arena, const struct json *state)
{
    static const char *const names[] = {"desired", "reported"};
    struct json *clean = json_new(arena, JSON_OBJECT);
    for (size_t i = 0; i < array_size(names); i++) {
        const struct json *section = json_get(state, names[i]);
        if (!json_is(section, JSON_OBJECT))
            continue;
        section = without_nulls(arena, section);
        if (section->len)
            json_append(clean, names[i], strlen(names[i]), json_share(arena, section));
    }
    return clean;
}

static uint64_t number_of(const struct json *token, const char *prefix)
{
    size_t prefix_len = strlen(prefix);
    uint64_t number = 0;
    if (!json_is(token, JSON_STRING) || token->len <= prefix_len || token->len > prefix_len + 18 ||
        memcmp(token->text, prefix, prefix_len) != 0)
        return 0;
    for (size_t i = prefix_len; i < token->len; i++) {
        if (token->text[i] < '0' || token->text[i] > '9')
            return 0;
        number = 10 * number + (uint64_t)(token->text[i] - '0');
    }
    return number;
}

bool sync_answer_read(struct sync_answer *ret, struct arena *arena, const char *token_prefix,
                      const struct sync_topic *topic, const char *payload, size_t len)
{
    struct json *json;
    if (len > SYNC_PAYLOAD_MAX || json_parse(&json, arena, payload, len, NULL) != 0 ||
        !json_is(json, JSON_OBJECT))
        return false;
    struct sync_answer answer = {.version = -1, .message = ""};
    int64_t code = 0;
    answer.has_token = json_get(json, "clientToken") != NULL;
    answer.number = number_of(json_get(json, "clientToken"), token_prefix);
    (void)json_int(json_get(json, "version"), 0, INT64_MAX, &answer.version);
    if (json_int(json_get(json, "code"), 1, 999, &code))
        answer.code = (int)code;
    (void)json_text(json_get(json, "message"), arena, &answer.message);
    if (topic->verb == SYNC_GET && topic->accepted) {
        if (answer.version < 0)
            return false;
        answer.doc = (struct sync_doc){sections(arena, json_get(json, "state")), json_get(json, "metadata")};
    }
    *ret = answer;
    return true;
}

bool sync_answer_is_ours(const char *token_prefix, const char *payload, size_t len)
{
    return memmem(payload, len, token_prefix, strlen(token_prefix)) != NULL;
}

/* ---- writing ----------------------------------------------------------------------------------------------------- */

static void put_token(struct json_writer *w, const char *prefix, uint64_t number)
{
    json_key(w, "clientToken");
    json_put_string(w, arena_printf(w->arena, "%s%" PRIu64, prefix, number));
}

char *sync_request(struct arena *arena, const char *token_prefix, uint64_t number)
{
    struct json_writer w;
    json_writer_init(&w, arena);
    json_begin_object(&w);
    put_token(&w, token_prefix, number);
    json_end_object(&w);
    return json_writer_text(&w, NULL);
}

char *sync_request_update(struct arena *arena, const char *token_prefix, uint64_t number,
                          const struct json *state, int64_t version)
{
    struct json_writer w;
    json_writer_init(&w, arena);
    json_begin_object(&w);
    json_key(&w, "state");
    json_put(&w, state);
    if (version >= 0) {
        json_key(&w, "version");
        json_put_int(&w, version);
    }
    put_token(&w, token_prefix, number);
    json_end_object(&w);
    return json_writer_text(&w, NULL);
}

char *sync_state_write(struct arena *arena, const struct json *state)
{
    return state ? json_write(arena, state, NULL) : NULL;
}

const struct json *sync_state_read(struct arena *arena, const char *text)
{
    size_t len = text ? strlen(text) : 0;
    struct json *json;
    const char *copy =
        arena_copy(arena, text ? text : "", len); /* the row's text may change before the tree is done with */
    return text && json_parse(&json, arena, copy, len, NULL) == 0 && json_is(json, JSON_OBJECT) ? json : NULL;
}
