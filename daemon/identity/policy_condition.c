#include "identity/policy_condition.h"

#include "identity/policy_read.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* ---- reading -------------------------------------------------------------------------------------------------------- */

struct operator_row {
    const char *name;
    enum policy_comparison comparison;
    enum policy_order order;
    bool negated;
};

static const struct operator_row operators[] = {
    {"StringEquals", POLICY_STRING, POLICY_EQUAL, false},
    {"StringNotEquals", POLICY_STRING, POLICY_EQUAL, true},
    {"StringEqualsIgnoreCase", POLICY_STRING_CASE, POLICY_EQUAL, false},
    {"StringNotEqualsIgnoreCase", POLICY_STRING_CASE, POLICY_EQUAL, true},
    {"StringLike", POLICY_STRING_LIKE, POLICY_EQUAL, false},
    {"StringNotLike", POLICY_STRING_LIKE, POLICY_EQUAL, true},
    {"NumericEquals", POLICY_NUMERIC, POLICY_EQUAL, false},
    {"NumericNotEquals", POLICY_NUMERIC, POLICY_EQUAL, true},
    {"NumericLessThan", POLICY_NUMERIC, POLICY_LESS, false},
    {"NumericLessThanEquals", POLICY_NUMERIC, POLICY_LESS_EQUAL, false},
    {"NumericGreaterThan", POLICY_NUMERIC, POLICY_GREATER, false},
    {"NumericGreaterThanEquals", POLICY_NUMERIC, POLICY_GREATER_EQUAL, false},
    {"DateEquals", POLICY_DATE, POLICY_EQUAL, false},
    {"DateNotEquals", POLICY_DATE, POLICY_EQUAL, true},
    {"DateLessThan", POLICY_DATE, POLICY_LESS, false},
    {"DateLessThanEquals", POLICY_DATE, POLICY_LESS_EQUAL, false},
    {"DateGreaterThan", POLICY_DATE, POLICY_GREATER, false},
    {"DateGreaterThanEquals", POLICY_DATE, POLICY_GREATER_EQUAL, false},
    {"Bool", POLICY_BOOL, POLICY_EQUAL, false},
    {"IpAddress", POLICY_IP, POLICY_EQUAL, false},
    {"NotIpAddress", POLICY_IP, POLICY_EQUAL, true},
    {"ArnEquals", POLICY_ARN, POLICY_EQUAL, false},
    {"ArnLike", POLICY_ARN, POLICY_EQUAL, false},
    {"ArnNotEquals", POLICY_ARN, POLICY_EQUAL, true},
    {"ArnNotLike", POLICY_ARN, POLICY_EQUAL, true},
    {"Null", POLICY_NULL, POLICY_EQUAL, false},
};

static bool take_front(struct policy_text *text, const char *what)
{
    size_t len = strlen(what);
    if (text->len < len || memcmp(text->text, what, len) != 0)
        return false;
    text->text += len;
    text->len -= len;
    return true;
}

static bool take_back(struct policy_text *text, const char *what)
{
    size_t len = strlen(what);
    if (text->len < len || memcmp(text->text + text->len - len, what, len) != 0)
        return false;
    text->len -= len;
    return true;
}

static bool read_operator(struct policy_condition *condition, const char *name, size_t len)
{
    struct policy_text text = {name, len};
    if (take_front(&text, "ForAllValues:"))
        condition->quantifier = POLICY_FOR_ALL;
    else if (take_front(&text, "ForAnyValue:"))
        condition->quantifier = POLICY_FOR_ANY;
    condition->if_exists = take_back(&text, "IfExists");
    for (size_t i = 0; i < array_size(operators); i++) {
        const struct operator_row *row = &operators[i];
        if (text.len != strlen(row->name) || memcmp(text.text, row->name, text.len) != 0)
            continue;
        condition->comparison = row->comparison;
        condition->order = row->order;
        condition->negated = row->negated;
        /* Whether a key is there is asked of the key, not of its values. */
        return row->comparison != POLICY_NULL || (!condition->quantifier && !condition->if_exists);
    }
    return false;
}

/* Six patterns between the first five colons; false: there are less. A colon inside of ${…} separates nothing. */
static bool read_arn(struct arena *arena, const char *text, size_t len, struct policy_pattern **ret)
{
    struct policy_pattern *parts = arena_zero(arena, POLICY_ARN_PARTS * sizeof *parts);
    const char *at = text, *end = text + len, *begin = text;
    int part = 0;
    for (; at < end && part < POLICY_ARN_PARTS - 1; at++) {
        const char *close =
            end - at >= 2 && at[0] == '$' && at[1] == '{' ? memchr(at, '}', (size_t)(end - at)) : NULL;
        if (close) {
            at = close;
        } else if (*at == ':') {
            parts[part++] = policy_pattern_compile(arena, begin, (size_t)(at - begin), true);
            begin = at + 1;
        }
    }
    parts[part] = policy_pattern_compile(arena, begin, (size_t)(end - begin), true);
    *ret = parts;
    return part == POLICY_ARN_PARTS - 1;
}

static bool read_truth(const struct policy_text *text, bool *ret)
{
    *ret = policy_same(text->text, text->len, "true", 4);
    return *ret || policy_same(text->text, text->len, "false", 5);
}

static int read_operand(struct policy_reader *reader, const struct policy_condition *condition,
                        const struct json *value, struct policy_operand *operand)
{
    struct policy_text text = {value->text, value->len};
    if (value->type == JSON_TRUE || value->type == JSON_FALSE)
        text = value->type == JSON_TRUE ? (struct policy_text){"true", 4} : (struct policy_text){"false", 5};
    else if (value->type != JSON_STRING && value->type != JSON_NUMBER)
        return policy_expected(reader, value, "a string, a number, true or false");
    struct arena *arena = reader->arena;
    switch (condition->comparison) {
    case POLICY_STRING:
    case POLICY_STRING_CASE:
        operand->pattern = policy_pattern_compile(arena, text.text, text.len, false);
        return 0;
    case POLICY_STRING_LIKE:
        operand->pattern = policy_pattern_compile(arena, text.text, text.len, true);
        return 0;
    case POLICY_NUMERIC:
        operand->number = (struct policy_text){arena_copy(arena, text.text, text.len), text.len};
        return policy_is_number(text.text, text.len) ? 0 : policy_expected(reader, value, "a number");
    case POLICY_DATE:
        return policy_moment(text.text, text.len, &operand->moment_ms)
                   ? 0
                   : policy_expected(reader, value,
                                     "a date like \"2026-11-27T10:00:00Z\", or seconds since 1970");
    case POLICY_IP:
        return policy_network(text.text, text.len, &operand->network)
                   ? 0
                   : policy_expected(reader, value, "an address, or a network like \"10.20.0.0/16\"");
    case POLICY_ARN:
        return read_arn(arena, text.text, text.len, &operand->parts)
                   ? 0
                   : policy_expected(reader, value, "an ARN of six parts, like \"arn:aws:iot:*:*:topic/a\"");
    case POLICY_BOOL:
    case POLICY_NULL: break;
    }
    return read_truth(&text, &operand->truth) ? 0 : policy_expected(reader, value, "true or false");
}

static int read_condition(struct policy_reader *reader, struct policy_condition *condition,
                          const struct json *values)
{
    if (!values->key_len)
        return policy_expected(reader, NULL, "the name of a key like \"iot:ClientId\"");
    condition->key = arena_new(reader->arena, struct policy_key);
    *condition->key = policy_key_of(arena_copy(reader->arena, values->key, values->key_len), values->key_len);
    condition->operands = arena_zero(reader->arena, policy_list_count(values) * sizeof *condition->operands);
    policy_for_each(value, values)
    {
        policy_enter_listed(reader, values, condition->count);
        int r = read_operand(reader, condition, value, &condition->operands[condition->count]);
        if (r != 0)
            return r;
        policy_leave_listed(reader, values);
        condition->count++;
    }
    return 0;
}

int policy_conditions_read(struct policy_reader *reader, const struct json *block,
                           struct policy_condition **ret, uint32_t *ret_count)
{
    uint32_t most = 0, count = 0;
    if (block->type != JSON_OBJECT)
        return policy_expected(reader, block, "an object of operators");
    json_for_each (keys, block)
        most += keys->type == JSON_OBJECT ? keys->len : 0;
    struct policy_condition *conditions = arena_zero(reader->arena, most * sizeof *conditions);
    json_for_each (keys, block) {
        struct policy_condition like = {0};
        policy_enter(reader, keys);
        if (!read_operator(&like, keys->key, keys->key_len))
            return policy_expected(reader, NULL,
                                   "an operator like StringEquals, IpAddress or "
                                   "ForAnyValue:StringLike here");
        if (keys->type != JSON_OBJECT)
            return policy_expected(reader, keys, "an object of keys and their values");
        like.name = (struct policy_text){arena_copy(reader->arena, keys->key, keys->key_len), keys->key_len};
        json_for_each (values, keys) {
            struct policy_condition *condition = &conditions[count++];
            *condition = like;
            policy_enter(reader, values);
            int r = read_condition(reader, condition, values);
            if (r != 0)
                return r;
            policy_leave(reader);
        }
        policy_leave(reader);
    }
    *ret = conditions;
    *ret_count = count;
    return 0;
}

/* ---- asking --------------------------------------------------------------------------------------------------------- */

static bool in_order(enum policy_order order, int64_t compared)
{
    switch (order) {
    case POLICY_EQUAL: return compared == 0;
    case POLICY_LESS: return compared < 0;
    case POLICY_LESS_EQUAL: return compared <= 0;
    case POLICY_GREATER: return compared > 0;
    case POLICY_GREATER_EQUAL: return compared >= 0;
    }
    return false;
}

static bool number_matches(const struct policy_condition *condition, const struct policy_operand *operand,
                           const struct policy_text *value)
{
    if (!policy_is_number(value->text, value->len))
        return false;
    struct json a = {.text = value->text, .len = (uint32_t)value->len, .type = JSON_NUMBER};
    struct json b = {.text = operand->number.text, .len = (uint32_t)operand->number.len, .type = JSON_NUMBER};
    return in_order(condition->order, json_number_compare(&a, &b));
}

static bool arn_matches(const struct policy_operand *operand, const struct policy_match *match,
                        const struct policy_text *value)
{
    const char *at = value->text, *end = at + value->len;
    for (int i = 0; i < POLICY_ARN_PARTS; i++) {
        const char *colon = i < POLICY_ARN_PARTS - 1 ? memchr(at, ':', (size_t)(end - at)) : end;
        if (!colon || !policy_pattern_matches(&operand->parts[i], match, at, (size_t)(colon - at)))
            return false;
        at = colon + (colon < end);
    }
    return true;
}

static bool value_matches(const struct policy_condition *condition, const struct policy_operand *operand,
                          const struct policy_match *match, const struct policy_text *value)
{
    struct policy_match how = *match;
    struct policy_network address;
    int64_t moment_ms;
    bool truth;
    how.keep_as_text = true;
    switch (condition->comparison) {
    case POLICY_STRING_CASE: how.ignore_case = true; /* fall through */
    case POLICY_STRING:
    case POLICY_STRING_LIKE: return policy_pattern_matches(&operand->pattern, &how, value->text, value->len);
    case POLICY_NUMERIC: return number_matches(condition, operand, value);
    case POLICY_DATE:
        return policy_moment(value->text, value->len, &moment_ms) &&
               in_order(condition->order,
                        (moment_ms > operand->moment_ms) - (moment_ms < operand->moment_ms));
    case POLICY_BOOL: return read_truth(value, &truth) && truth == operand->truth;
    case POLICY_IP:
        return policy_network(value->text, value->len, &address) &&
               policy_network_contains(&operand->network, &address);
    case POLICY_ARN: return arn_matches(operand, &how, value);
    case POLICY_NULL: break;
    }
    return false;
}

/* Any operand, or none where the operator is negated. */
static bool satisfies(const struct policy_condition *condition, const struct policy_match *match,
                      const struct policy_text *value)
{
    for (uint32_t i = 0; i < condition->count; i++)
        if (value_matches(condition, &condition->operands[i], match, value))
            return !condition->negated;
    return condition->negated;
}

static bool null_holds(const struct policy_condition *condition, bool is_missing)
{
    for (uint32_t i = 0; i < condition->count; i++)
        if (condition->operands[i].truth == is_missing)
            return true;
    return false;
}

bool policy_condition_is_of_time(const struct policy_condition *condition)
{
    return condition->key->kind == POLICY_KEY_TIME || condition->key->kind == POLICY_KEY_EPOCH;
}

/* The key's values; those of time are written into room. */
static size_t values_of(const struct policy_condition *condition, const struct policy_match *match,
                        int64_t wall_ms, char room[POLICY_MOMENT_SIZE], struct policy_text *one,
                        const struct policy_text **ret)
{
    if (!policy_condition_is_of_time(condition))
        return policy_context_values(match->context, condition->key, ret);
    if (wall_ms < 0)
        return 0;
    if (condition->key->kind == POLICY_KEY_TIME)
        policy_moment_text(wall_ms, room);
    else
        (void)snprintf(room, POLICY_MOMENT_SIZE, "%" PRId64, wall_ms / 1000);
    *one = (struct policy_text){room, strlen(room)};
    *ret = one;
    return 1;
}

static bool holds_without(const struct policy_condition *condition)
{
    if (condition->if_exists)
        return true;
    switch (condition->quantifier) {
    case POLICY_FOR_ALL: return true;
    case POLICY_FOR_ANY: return false;
    case POLICY_FIRST_VALUE: break;
    }
    return condition->negated;
}

bool policy_condition_holds(const struct policy_condition *condition, const struct policy_match *match,
                            int64_t wall_ms)
{
    char room[POLICY_MOMENT_SIZE];
    struct policy_text one;
    const struct policy_text *values = NULL;
    size_t count = values_of(condition, match, wall_ms, room, &one, &values);
    if (condition->comparison == POLICY_NULL)
        return null_holds(condition, count == 0);
    if (!count) {
        if (match->on_missing)
            match->on_missing(match->self, condition->key);
        return holds_without(condition);
    }
    if (condition->quantifier == POLICY_FIRST_VALUE)
        return satisfies(condition, match, values);
    bool any = condition->quantifier == POLICY_FOR_ANY;
    for (size_t i = 0; i < count; i++)
        if (satisfies(condition, match, &values[i]) == any)
            return any;
    return !any;
}
