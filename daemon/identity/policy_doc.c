#include "identity/policy_doc.h"

#include "base/json.h"
#include "identity/policy_read.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define VERSION "2012-10-17"

static bool begins(const struct json *string, const char *what)
{
    size_t len = strlen(what);
    return string->len >= len && policy_same(string->text, len, what, len);
}

/* ---- statements ----------------------------------------------------------------------------------------------------- */

/* Action and Resource are lists of texts that are not empty. */
static int check_texts(struct policy_reader *reader, const struct json *list, const char *what,
                       bool (*is_good)(const struct json *text))
{
    if (list->type == JSON_ARRAY && !list->len)
        return policy_expected(reader, list, "%s, or a list of at least one", what);
    uint32_t i = 0;
    policy_for_each(text, list)
    {
        policy_enter_listed(reader, list, i++);
        if (text->type != JSON_STRING || !is_good(text))
            return policy_expected(reader, text, "%s", what);
        policy_leave_listed(reader, list);
    }
    return 0;
}

/* greengrass:Discover stands in the policies of many devices; it allows nothing here. */
static bool is_action(const struct json *text)
{
    static const char *const prefixes[] = {"iot:", "iotjobsdata:", "greengrass:"};
    for (size_t i = 0; i < array_size(prefixes); i++)
        if (begins(text, prefixes[i]) && text->len > strlen(prefixes[i]))
            return true;
    return json_text_is(text, "*");
}

static bool is_resource(const struct json *text)
{
    return json_text_is(text, "*") || (text->len > 4 && memcmp(text->text, "arn:", 4) == 0);
}

static int read_actions(struct policy_reader *reader, struct policy_statement *statement,
                        const struct json *list)
{
    policy_enter(reader, list);
    int r = check_texts(reader, list, "\"*\" or an action like \"iot:Publish\"", is_action);
    if (r != 0)
        return r;
    statement->action_names =
        arena_zero(reader->arena, policy_list_count(list) * sizeof *statement->action_names);
    policy_for_each(text, list)
    {
        statement->actions |= iot_actions_matching(text->text, text->len);
        statement->action_names[statement->action_count++] =
            (struct policy_text){arena_copy(reader->arena, text->text, text->len), text->len};
    }
    if (statement->not_action)
        statement->actions = IOT_ALL_ACTIONS & ~statement->actions;
    policy_leave(reader);
    return 0;
}

static int read_resources(struct policy_reader *reader, struct policy_statement *statement,
                          const struct json *list)
{
    policy_enter(reader, list);
    int r = check_texts(reader, list, "\"*\" or an ARN like \"arn:aws:iot:*:*:topic/a\"", is_resource);
    if (r != 0)
        return r;
    statement->resources = arena_zero(reader->arena, policy_list_count(list) * sizeof *statement->resources);
    policy_for_each(text, list) statement->resources[statement->resource_count++] =
        policy_pattern_compile(reader->arena, text->text, text->len, true);
    policy_leave(reader);
    return 0;
}

/* Refuses names that are not in the list, which ends with NULL. */
static int check_names(struct policy_reader *reader, const struct json *object, const char *const *names,
                       const char *expected)
{
    json_for_each (member, object) {
        size_t i = 0;
        while (names[i] && !json_key_is(member, names[i], strlen(names[i])))
            i++;
        if (names[i])
            continue;
        policy_enter(reader, member);
        return policy_expected(reader, NULL, "%s here", expected);
    }
    return 0;
}

/* One of two elements, and not both. */
static int either(struct policy_reader *reader, const struct json *object, const char *name,
                  const char *negated, const struct json **ret, bool *is_negated)
{
    const struct json *plain = json_get(object, name), *other = json_get(object, negated);
    if (!plain == !other)
        return policy_expected(reader, NULL, "%s or %s%s", name, negated, plain ? ", not both" : "");
    *ret = plain ? plain : other;
    *is_negated = !plain;
    return 0;
}

static int read_text(struct policy_reader *reader, const struct json *object, const char *name,
                     struct policy_text *ret)
{
    const struct json *text = json_get(object, name);
    if (!text)
        return 0;
    policy_enter(reader, text);
    if (text->type != JSON_STRING)
        return policy_expected(reader, text, "a string");
    if (ret)
        *ret = (struct policy_text){arena_copy(reader->arena, text->text, text->len), text->len};
    policy_leave(reader);
    return 0;
}

static int read_effect(struct policy_reader *reader, const struct json *object, bool *deny)
{
    const struct json *effect = json_get(object, "Effect");
    if (!effect)
        return policy_expected(reader, NULL, "an Effect: \"Allow\" or \"Deny\"");
    policy_enter(reader, effect);
    *deny = json_text_is(effect, "Deny");
    if (!*deny && !json_text_is(effect, "Allow"))
        return policy_expected(reader, effect, "\"Allow\" or \"Deny\"");
    policy_leave(reader);
    return 0;
}

static int read_statement(struct policy_reader *reader, struct policy_statement *statement,
                          const struct json *object)
{
    static const char *const names[] = {"Sid",      "Effect",      "Action",    "NotAction",
                                        "Resource", "NotResource", "Condition", NULL};
    const struct json *actions = NULL, *resources = NULL, *condition;
    policy_where(reader, &statement->line, &statement->column);
    if (object->type != JSON_OBJECT)
        return policy_expected(reader, object, "a statement: an object with Effect, Action and Resource");
    int r = check_names(reader, object, names,
                        "Sid, Effect, Action, NotAction, Resource, NotResource or Condition");
    if (r == 0)
        r = read_text(reader, object, "Sid", &statement->sid);
    if (r == 0)
        r = read_effect(reader, object, &statement->deny);
    if (r == 0)
        r = either(reader, object, "Action", "NotAction", &actions, &statement->not_action);
    if (r == 0)
        r = read_actions(reader, statement, actions);
    if (r == 0)
        r = either(reader, object, "Resource", "NotResource", &resources, &statement->not_resource);
    if (r == 0)
        r = read_resources(reader, statement, resources);
    if (r == 0 && (condition = json_get(object, "Condition"))) {
        policy_enter(reader, condition);
        r = policy_conditions_read(reader, condition, &statement->conditions, &statement->condition_count);
        if (r == 0)
            policy_leave(reader);
    }
    return r;
}

/* ---- documents ------------------------------------------------------------------------------------------------------ */

static int read_statements(struct policy_reader *reader, struct policy *policy, const struct json *root)
{
    const struct json *list = json_get(root, "Statement");
    if (!list)
        return policy_expected(reader, NULL, "a Statement");
    policy_enter(reader, list);
    if (list->type == JSON_ARRAY && !list->len)
        return policy_expected(reader, list, "a statement, or a list of at least one");
    policy->statements = arena_zero(reader->arena, policy_list_count(list) * sizeof *policy->statements);
    policy_for_each(object, list)
    {
        policy_enter_listed(reader, list, policy->count);
        int r = read_statement(reader, &policy->statements[policy->count], object);
        if (r != 0)
            return r;
        policy_leave_listed(reader, list);
        policy->count++;
    }
    policy_leave(reader);
    return 0;
}

static int read_document(struct policy_reader *reader, struct policy *policy, const struct json *root)
{
    static const char *const names[] = {"Version", "Id", "Statement", NULL};
    if (root->type != JSON_OBJECT)
        return policy_expected(reader, root, "a policy: an object with Version and Statement");
    int r = check_names(reader, root, names, "Version, Id or Statement");
    if (r != 0)
        return r;
    const struct json *version = json_get(root, "Version");
    if (!version)
        return policy_expected(reader, NULL, "a Version: \"" VERSION "\"");
    policy_enter(reader, version);
    if (!json_text_is(version, VERSION))
        return policy_expected(reader, version, "\"" VERSION "\"");
    policy_leave(reader);
    r = read_text(reader, root, "Id", NULL);
    return r == 0 ? read_statements(reader, policy, root) : r;
}

/* Characters without the white space between values. */
static size_t size_of(const char *text, size_t len)
{
    size_t size = 0;
    bool in_string = false;
    for (size_t i = 0; i < len; i++) {
        bool blank = !in_string && (text[i] == ' ' || text[i] == '\t' || text[i] == '\r' || text[i] == '\n');
        size += !blank && ((uint8_t)text[i] & 0xC0) != 0x80;
        if (in_string && text[i] == '\\' && i + 1 < len) {
            size++; /* what is escaped is ASCII */
            i++;
        } else if (text[i] == '"') {
            in_string = !in_string;
        }
    }
    return size;
}

/* The text is too long: by what, and by how much. */
static int too_long(const struct policy_reader *reader, size_t is, size_t most, const char *of)
{
    if (reader->error)
        (void)snprintf(reader->error->text, sizeof reader->error->text,
                       "expected at most %zu %s, there are %zu", most, of, is);
    return POLICY_MALFORMED;
}

static int parse(struct policy_reader *reader, struct json **ret)
{
    if (reader->len > POLICY_TEXT_MAX)
        return too_long(reader, reader->len, POLICY_TEXT_MAX, "bytes");
    size_t size = size_of(reader->text, reader->len);
    if (size > POLICY_SIZE_MAX)
        return too_long(reader, size, POLICY_SIZE_MAX, "characters without white space");
    struct json_error json_error;
    int r = json_parse(ret, reader->scratch, reader->text, reader->len, &json_error);
    if (r <= 0)
        return r;
    if (reader->error) {
        reader->error->line = json_error.line;
        reader->error->column = json_error.column;
        (void)snprintf(reader->error->text, sizeof reader->error->text, "expected %s", json_error.expected);
    }
    return POLICY_MALFORMED;
}

/* Room for whatever a document becomes: 50 bytes for each of its 2,048 characters at most, when they are all stars. */
enum { FIRST_ROOM = 128 * POLICY_SIZE_MAX };

/* Reads the document into a piece of memory, as an arena that is not to grow. */
static int build(struct policy_reader *reader, const char *name, const struct json *root, char *room,
                 size_t size, struct policy **ret, size_t *used)
{
    struct arena arena = {.at = room, .end = room + size};
    struct policy *policy = arena_new(&arena, struct policy);
    reader->arena = &arena;
    policy->refs = 1;
    policy->name = arena_copy(&arena, name, strlen(name));
    int r = read_document(reader, policy, root);
    policy->bytes = *used = (size_t)(arena.at - room);
    *ret = policy;
    assert(!arena.chunks);
    return r;
}

/* Where there is an escape in a string, anything may be meant. */
static bool may_ask_certificate(const char *text, size_t len)
{
    static const char field[] = "iot:Certificate.";
    size_t size = sizeof field - 1;
    for (size_t i = 0; i < len; i++)
        if (text[i] == '\\' || (len - i >= size && policy_same(text + i, size, field, size)))
            return true;
    return false;
}

int policy_compile(struct policy **ret, const char *name, const char *text, size_t len,
                   struct policy_error *error)
{
    if (error)
        *error = (struct policy_error){.line = 1, .column = 1};
    struct arena scratch;
    arena_init(&scratch);
    struct policy_reader reader = {.scratch = &scratch, .text = text, .len = len, .error = error};
    struct json *root;
    struct policy *policy;
    size_t used;
    int r = parse(&reader, &root);
    /* Twice: to know how large it is, and into a piece of that size. Pointers go all through it, so it cannot be moved. */
    if (r == 0)
        r = build(&reader, name, root, arena_alloc(&scratch, FIRST_ROOM), FIRST_ROOM, &policy, &used);
    if (r == 0)
        r = build(&reader, name, root, mem_new_bytes(used), used, ret, &used);
    if (r == 0)
        (*ret)->may_ask_certificate = may_ask_certificate(text, len);
    arena_done(&scratch);
    return r;
}

struct policy *policy_ref(struct policy *policy)
{
    policy->refs++;
    return policy;
}

struct policy *policy_unref(struct policy *policy)
{
    if (policy && --policy->refs == 0)
        free(policy);
    return NULL;
}
