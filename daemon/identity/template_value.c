#include "identity/template_value.h"

#include "base/json.h"
#include "base/utf8.h"
#include "identity/policy_read.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* One table says of each function what it gives, how its argument is checked, and how it is evaluated. */

#define PSEUDO "AWS::IoT::Certificate::"
static const char ID[] = PSEUDO "Id";

struct checker {
    struct policy_reader *reader;
    const struct template *template;
    unsigned nesting;
};

struct function {
    const char *name;
    unsigned gives;
    int (*check)(struct checker *checker, const struct json *argument);
    struct json *(*evaluate)(struct template_run *run, const struct json *argument);
};

static int check_value(struct checker *checker, const struct json *value, unsigned wanted);
static const struct function *function_of(const struct json *value);

bool template_is_pseudo(const char *name, size_t len)
{
    return len >= sizeof PSEUDO - 1 && memcmp(name, PSEUDO, sizeof PSEUDO - 1) == 0;
}

bool template_has_pseudo(enum template_kind kind, const char *name, size_t len)
{
    static const char *const names[] = {PSEUDO "Country",
                                        PSEUDO "Organization",
                                        PSEUDO "OrganizationalUnit",
                                        PSEUDO "DistinguishedNameQualifier",
                                        PSEUDO "StateName",
                                        PSEUDO "CommonName",
                                        PSEUDO "SerialNumber"};
    if (len == sizeof ID - 1 && memcmp(name, ID, len) == 0)
        return true;
    for (size_t i = 0; kind == TEMPLATE_JITP && i < array_size(names); i++)
        if (len == strlen(names[i]) && memcmp(name, names[i], len) == 0)
            return true;
    return false;
}

/* ---- text with ${} in it --------------------------------------------------------------------------------------------- */

enum piece_kind { PIECE_LITERAL, PIECE_NAME, PIECE_UNCLOSED };

struct piece {
    enum piece_kind kind;
    const char *text;
    size_t len;
};

/* The next piece from *at; false: there is no more. "${!X}" is "${X}". */
static bool next_piece(const char **at, const char *end, struct piece *piece)
{
    if (*at == end)
        return false;
    const char *open = memmem(*at, (size_t)(end - *at), "${", 2);
    if (open != *at) {
        const char *stop = open ? open : end;
        *piece = (struct piece){PIECE_LITERAL, *at, (size_t)(stop - *at)};
        *at = stop;
        return true;
    }
    const char *close = memchr(open, '}', (size_t)(end - open));
    if (!close) {
        *piece = (struct piece){PIECE_UNCLOSED, open, (size_t)(end - open)};
        *at = end;
        return true;
    }
    *piece = (struct piece){PIECE_NAME, open + 2, (size_t)(close - open - 2)};
    *at = close + 1;
    return true;
}

/* ---- checking -------------------------------------------------------------------------------------------------------- */

static bool is_known(const struct template *template, const char *name, size_t len)
{
    return json_get_n(template->parameters, name, len) || template_has_pseudo(template->kind, name, len);
}

static const char *known_names(const struct template *template)
{
    return template->kind == TEMPLATE_JITP ? "a parameter that is declared, or one of the certificate's"
                                           : "a parameter that is declared, or AWS::IoT::Certificate::Id";
}

static int check_ref(struct checker *checker, const struct json *name)
{
    if (name->type != JSON_STRING || !is_known(checker->template, name->text, name->len))
        return policy_expected(checker->reader, name, "%s", known_names(checker->template));
    return 0;
}

/* An array of two: something that is written out, and a value. */
static int check_pair(struct checker *checker, const struct json *pair, bool (*is_good)(const struct json *),
                      const char *first, unsigned wanted)
{
    if (pair->type != JSON_ARRAY || pair->len != 2)
        return policy_expected(checker->reader, pair, "an array of two: %s, and %s", first,
                               wanted == TEMPLATE_LIST ? "a list" : "a text");
    policy_enter_element(checker->reader, 0);
    if (!is_good(pair->first))
        return policy_expected(checker->reader, pair->first, "%s", first);
    policy_leave(checker->reader);
    policy_enter_element(checker->reader, 1);
    int r = check_value(checker, pair->last, wanted);
    if (r != 0)
        return r;
    policy_leave(checker->reader);
    return 0;
}

static bool is_text(const struct json *json)
{
    return json->type == JSON_STRING;
}

static bool is_some_text(const struct json *json)
{
    return json->type == JSON_STRING && json->len;
}

/* As a string or as a number: people write both. */
static bool index_of(const struct json *json, int64_t *ret)
{
    if (json->type == JSON_NUMBER)
        return json_int(json, 0, TEMPLATE_SIZE_MAX, ret);
    if (json->type != JSON_STRING || !json->len || json->len > 5)
        return false;
    *ret = 0;
    for (uint32_t i = 0; i < json->len; i++) {
        if (json->text[i] < '0' || json->text[i] > '9')
            return false;
        *ret = *ret * 10 + (json->text[i] - '0');
    }
    return true;
}

static bool is_index(const struct json *json)
{
    int64_t index;
    return index_of(json, &index);
}

static int check_join(struct checker *checker, const struct json *pair)
{
    return check_pair(checker, pair, is_text, "a separator", TEMPLATE_LIST);
}

static int check_select(struct checker *checker, const struct json *pair)
{
    return check_pair(checker, pair, is_index, "an index from \"0\"", TEMPLATE_LIST);
}

static int check_split(struct checker *checker, const struct json *pair)
{
    return check_pair(checker, pair, is_some_text, "a separator", TEMPLATE_TEXT);
}

static int check_find(struct checker *checker, const struct json *argument)
{
    if (argument->type != JSON_ARRAY || argument->len != 3)
        return policy_expected(checker->reader, argument,
                               "an array of three: a mapping's name, and two keys");
    uint32_t i = 0;
    json_for_each (part, argument) {
        policy_enter_element(checker->reader, i);
        int r = i++ ? check_value(checker, part, TEMPLATE_TEXT) : 0;
        if (r == 0 && i == 1 &&
            (part->type != JSON_STRING || !json_get_n(checker->template->mappings, part->text, part->len)))
            r = policy_expected(checker->reader, part, "the name of a mapping");
        if (r != 0)
            return r;
        policy_leave(checker->reader);
    }
    return 0;
}

static int check_sub(struct checker *checker, const struct json *argument)
{
    const struct json *text = argument, *names = NULL;
    if (argument->type == JSON_ARRAY && argument->len == 2 && argument->last->type == JSON_OBJECT) {
        text = argument->first;
        names = argument->last;
        policy_enter_element(checker->reader, 1);
        json_for_each (member, names) {
            policy_enter(checker->reader, member);
            int r = check_value(checker, member, TEMPLATE_TEXT);
            if (r != 0)
                return r;
            policy_leave(checker->reader);
        }
        policy_leave(checker->reader);
    }
    if (text->type != JSON_STRING)
        return policy_expected(checker->reader, argument,
                               "a text with ${NAME} in it, or an array of one and an object");
    struct piece piece;
    for (const char *at = text->text; next_piece(&at, text->text + text->len, &piece);) {
        if (piece.kind == PIECE_UNCLOSED)
            return policy_expected(checker->reader, text, "a } behind each ${");
        if (piece.kind == PIECE_NAME && (!piece.len || *piece.text != '!') &&
            !json_get_n(names, piece.text, piece.len) && !is_known(checker->template, piece.text, piece.len))
            return policy_expected(checker->reader, text, "in each ${} %s", known_names(checker->template));
    }
    return 0;
}

static int check_list(struct checker *checker, const struct json *list)
{
    uint32_t i = 0;
    json_for_each (element, list) {
        policy_enter_element(checker->reader, i++);
        int r = check_value(checker, element, TEMPLATE_TEXT);
        if (r != 0)
            return r;
        policy_leave(checker->reader);
    }
    return 0;
}

static int check_value(struct checker *checker, const struct json *value, unsigned wanted)
{
    const char *expected = wanted == TEMPLATE_LIST ? "a list, or a function that gives one"
                                                   : "a text, {\"Ref\": NAME}, or a function that gives one";
    if (value->type == JSON_STRING && wanted & TEMPLATE_TEXT)
        return 0;
    if (value->type == JSON_ARRAY && wanted & TEMPLATE_LIST)
        return check_list(checker, value);
    const struct function *function = function_of(value);
    if (!function || !(function->gives & wanted))
        return policy_expected(checker->reader, value, "%s", expected);
    if (checker->nesting == TEMPLATE_NESTING_MAX)
        return policy_expected(checker->reader, NULL, "at most %d functions inside each other",
                               TEMPLATE_NESTING_MAX);
    checker->nesting++;
    policy_enter(checker->reader, value->first);
    int r = function->check(checker, value->first);
    if (r != 0)
        return r;
    policy_leave(checker->reader);
    checker->nesting--;
    return 0;
}

int template_check_value(struct policy_reader *reader, const struct template *template,
                         const struct json *value, unsigned wanted)
{
    struct checker checker = {.reader = reader, .template = template};
    return check_value(&checker, value, wanted);
}

/* ---- evaluating ------------------------------------------------------------------------------------------------------ */

printf_like(3, 0) static void put_fault(struct template_run *run, int r, const char *format,
                                        va_list arguments)
{
    char text[320];
    if (run->why)
        return;
    (void)vsnprintf(text, sizeof text, format, arguments);
    run->why = arena_copy(run->arena, text, strlen(text));
    run->r = r;
}

bool template_fault(struct template_run *run, int r, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    put_fault(run, r, format, arguments);
    va_end(arguments);
    return false;
}

/* What cannot be evaluated: NULL. */
printf_like(2, 3) static struct json *nothing(struct template_run *run, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    put_fault(run, TEMPLATE_RESULT, format, arguments);
    va_end(arguments);
    return NULL;
}

static bool pseudo_value(struct template_run *run, const char *name, size_t len, const struct json **ret)
{
    for (size_t i = 0; i < run->input->pseudo_count; i++) {
        const struct template_pseudo *pseudo = &run->input->pseudo[i];
        if (strlen(pseudo->name) == len && memcmp(pseudo->name, name, len) == 0 && pseudo->value) {
            *ret = json_new_string(run->arena, pseudo->value, strlen(pseudo->value));
            return true;
        }
    }
    return template_fault(run, TEMPLATE_PARAMETER, "the certificate has no %.*s", (int)len, name);
}

bool template_parameter(struct template_run *run, const char *name, size_t len, const struct json **ret)
{
    if (template_is_pseudo(name, len))
        return pseudo_value(run, name, len, ret);
    const struct json *value = json_get_n(run->input->overrides, name, len);
    if (!value)
        value = json_get_n(run->input->parameters, name, len);
    if (!value)
        value = json_get(json_get_n(run->template->parameters, name, len), "Default");
    if (!value)
        return template_fault(run, TEMPLATE_PARAMETER, "the parameter %.*s is missing",
                              (int)size_min(len, 128), name);
    if (value->type != JSON_STRING || value->len > TEMPLATE_VALUE_MAX)
        return template_fault(run, TEMPLATE_PARAMETER,
                              "the parameter %.*s is not a string of at most %d bytes",
                              (int)size_min(len, 128), name, TEMPLATE_VALUE_MAX);
    *ret = value;
    return true;
}

static struct json *evaluate_ref(struct template_run *run, const struct json *name)
{
    const struct json *value;
    if (!template_parameter(run, name->text, name->len, &value))
        return NULL;
    return json_new_string(run->arena, value->text, value->len);
}

/* A text that is put together. */
struct text {
    char *at;
    size_t len, size;
};

static bool text_add(struct template_run *run, struct text *text, const char *piece, size_t len)
{
    if (text->len + len > TEMPLATE_VALUE_MAX)
        return template_fault(run, TEMPLATE_RESULT, "a value would have more than %d bytes",
                              TEMPLATE_VALUE_MAX);
    if (text->len + len > text->size) {
        size_t size = size_max(2 * text->size, size_max(64, text->len + len));
        text->at = arena_grow(run->arena, text->at, text->size, size);
        text->size = size;
    }
    if (len)
        memcpy(text->at + text->len, piece, len);
    text->len += len;
    return true;
}

static struct json *text_done(struct template_run *run, const struct text *text)
{
    return json_new_string(run->arena, text->len ? text->at : "", text->len);
}

static struct json *evaluate_join(struct template_run *run, const struct json *pair)
{
    const struct json *separator = pair->first, *list = template_value(run, pair->last);
    struct text text = {0};
    if (!list)
        return NULL;
    if (list->type != JSON_ARRAY)
        return nothing(run, "Fn::Join was given a text in place of a list");
    json_for_each (element, list) {
        if (element != list->first && !text_add(run, &text, separator->text, separator->len))
            return NULL;
        if (!text_add(run, &text, element->text, element->len))
            return NULL;
    }
    return text_done(run, &text);
}

static struct json *evaluate_select(struct template_run *run, const struct json *pair)
{
    int64_t index = 0;
    struct json *list = template_value(run, pair->last);
    (void)index_of(pair->first, &index); /* it was checked */
    if (!list)
        return NULL;
    json_for_each (element, list)
        if (index-- == 0)
            return json_share(run->arena, element);
    return nothing(run, "Fn::Select: the list has no element %.*s", (int)pair->first->len, pair->first->text);
}

static struct json *evaluate_split(struct template_run *run, const struct json *pair)
{
    const struct json *separator = pair->first, *text = template_value(run, pair->last);
    if (!text)
        return NULL;
    if (text->type != JSON_STRING)
        return nothing(run, "Fn::Split was given a list in place of a text");
    struct json *list = json_new(run->arena, JSON_ARRAY);
    const char *at = text->text, *end = at + text->len;
    for (;;) {
        const char *next = memmem(at, (size_t)(end - at), separator->text, separator->len);
        if (list->len == TEMPLATE_LIST_MAX)
            return nothing(run, "Fn::Split would give more than %d texts", TEMPLATE_LIST_MAX);
        json_push(list, json_new_string(run->arena, at, (size_t)((next ? next : end) - at)));
        if (!next)
            return list;
        at = next + separator->len;
    }
}

static struct json *evaluate_find(struct template_run *run, const struct json *argument)
{
    const struct json *map = argument->first, *at = json_get_n(run->template->mappings, map->text, map->len);
    for (const struct json *part = map->next; part; part = part->next) {
        const struct json *key = template_value(run, part);
        if (!key)
            return NULL;
        if (key->type != JSON_STRING)
            return nothing(run, "Fn::FindInMap was given a list as a key");
        at = json_get_n(at, key->text, key->len);
        if (!at)
            return nothing(run, "Fn::FindInMap: %.*s has no key \"%.*s\"", (int)map->len, map->text,
                           (int)utf8_cut(key->text, key->len, 64), key->text);
    }
    return json_share(run->arena, at);
}

static struct json *evaluate_sub(struct template_run *run, const struct json *argument)
{
    const struct json *template = argument->type == JSON_ARRAY ? argument->first : argument;
    const struct json *names = argument->type == JSON_ARRAY ? argument->last : NULL;
    struct text text = {0};
    struct piece piece;
    for (const char *at = template->text; next_piece(&at, template->text + template->len, &piece);) {
        if (piece.kind == PIECE_NAME && piece.len && *piece.text == '!') {
            if (!text_add(run, &text, "${", 2) || !text_add(run, &text, piece.text + 1, piece.len - 1) ||
                !text_add(run, &text, "}", 1))
                return NULL;
            continue;
        }
        const char *put = piece.text;
        size_t len = piece.len;
        if (piece.kind == PIECE_NAME) {
            const struct json *named = json_get_n(names, piece.text, piece.len), *value;
            if (named ? !(value = template_value(run, named))
                      : !template_parameter(run, piece.text, piece.len, &value))
                return NULL;
            if (value->type != JSON_STRING)
                return nothing(run, "Fn::Sub was given a list in place of a text");
            put = value->text;
            len = value->len;
        }
        if (!text_add(run, &text, put, len))
            return NULL;
    }
    return text_done(run, &text);
}

/* ---- all of them ------------------------------------------------------------------------------------------------------ */

static const struct function functions[] = {
    {"Ref", TEMPLATE_TEXT, check_ref, evaluate_ref},
    {"Fn::Join", TEMPLATE_TEXT, check_join, evaluate_join},
    {"Fn::Select", TEMPLATE_TEXT, check_select, evaluate_select},
    {"Fn::Split", TEMPLATE_LIST, check_split, evaluate_split},
    {"Fn::FindInMap", TEMPLATE_TEXT | TEMPLATE_LIST, check_find, evaluate_find},
    {"Fn::Sub", TEMPLATE_TEXT, check_sub, evaluate_sub},
};

static const struct function *function_of(const struct json *value)
{
    if (value->type != JSON_OBJECT || value->len != 1)
        return NULL;
    for (size_t i = 0; i < array_size(functions); i++)
        if (json_key_is(value->first, functions[i].name, strlen(functions[i].name)))
            return &functions[i];
    return NULL;
}

struct json *template_value(struct template_run *run, const struct json *value)
{
    if (value->type == JSON_STRING)
        return json_new_string(run->arena, value->text, value->len);
    if (value->type == JSON_ARRAY) {
        struct json *list = json_new(run->arena, JSON_ARRAY);
        json_for_each (element, value) {
            struct json *text = template_value(run, element);
            if (!text)
                return NULL;
            if (text->type != JSON_STRING)
                return nothing(run, "there would be a list inside of a list");
            json_push(list, text);
        }
        return list;
    }
    return function_of(value)->evaluate(run, value->first);
}

bool template_text(struct template_run *run, const struct json *value, const char *what, const char **ret)
{
    const struct json *text = template_value(run, value);
    if (!text)
        return false;
    if (text->type != JSON_STRING || !json_text(text, run->arena, ret))
        return template_fault(run, TEMPLATE_RESULT, "%s is not a text", what);
    return true;
}
