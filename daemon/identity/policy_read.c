#include "identity/policy_read.h"

#include "base/utf8.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { SHOWN_MAX = 60 };

void policy_enter(struct policy_reader *reader, const struct json *member)
{
    assert(reader->depth < POLICY_STEPS_MAX);
    reader->steps[reader->depth++] = (struct policy_step){.key = {member->key, member->key_len}};
}

void policy_enter_element(struct policy_reader *reader, uint32_t index)
{
    assert(reader->depth < POLICY_STEPS_MAX);
    reader->steps[reader->depth++] = (struct policy_step){.index = index};
}

void policy_leave(struct policy_reader *reader)
{
    reader->depth--;
}

void policy_enter_listed(struct policy_reader *reader, const struct json *list, uint32_t index)
{
    if (list->type == JSON_ARRAY)
        policy_enter_element(reader, index);
}

void policy_leave_listed(struct policy_reader *reader, const struct json *list)
{
    if (list->type == JSON_ARRAY)
        policy_leave(reader);
}

/* ---- where ---------------------------------------------------------------------------------------------------------- */

/* The text was parsed before, so it is valid and nothing below runs past its end. */

static const char *skip_blank(const char *at, const char *end)
{
    while (at < end && strchr(" \t\r\n", *at))
        at++;
    return at;
}

static const char *skip_string(const char *at)
{
    for (at++; *at != '"'; at++)
        at += *at == '\\';
    return at + 1;
}

static const char *skip_value(const char *at, const char *end)
{
    unsigned depth = 0;
    do {
        if (*at == '"') {
            at = skip_string(at);
            continue;
        }
        depth += *at == '{' || *at == '[';
        depth -= *at == '}' || *at == ']';
        at++;
    } while (at < end && (depth || !strchr(",]} \t\r\n", *at)));
    return at;
}

/* The value of the last member that is spelled so; NULL for names with escapes. */
static const char *member_at(const char *at, const char *end, const struct policy_text *key)
{
    const char *found = NULL;
    for (at = skip_blank(at + 1, end); *at != '}'; at = skip_blank(at + (*at == ','), end)) {
        const char *name = at + 1;
        at = skip_string(at);
        bool same = (size_t)(at - 1 - name) == key->len && memcmp(name, key->text, key->len) == 0;
        at = skip_blank(skip_blank(at, end) + 1, end);
        if (same)
            found = at;
        at = skip_blank(skip_value(at, end), end);
    }
    return found;
}

static const char *element_at(const char *at, const char *end, uint32_t index)
{
    for (at = skip_blank(at + 1, end); index--;)
        at = skip_blank(skip_blank(skip_value(at, end), end) + 1, end);
    return at;
}

void policy_where(const struct policy_reader *reader, unsigned *line, unsigned *column)
{
    const char *end = reader->text + reader->len, *at = skip_blank(reader->text, end);
    for (unsigned i = 0; i < reader->depth; i++) {
        const struct policy_step *step = &reader->steps[i];
        const char *next = step->key.text ? member_at(at, end, &step->key) : element_at(at, end, step->index);
        if (!next)
            break;
        at = next;
    }
    *line = *column = 1;
    for (const char *before = reader->text; before < at; before++) {
        if (*before == '\n') {
            ++*line;
            *column = 1;
        } else {
            *column += ((uint8_t)*before & 0xC0) != 0x80;
        }
    }
}

/* ---- what ----------------------------------------------------------------------------------------------------------- */

static const char *path(const struct policy_reader *reader)
{
    const char *text = "";
    for (unsigned i = 0; i < reader->depth; i++) {
        const struct policy_step *step = &reader->steps[i];
        text = step->key.text
                   ? arena_printf(reader->scratch, "%s%s%.*s", text, *text ? "." : "",
                                  (int)utf8_cut(step->key.text, step->key.len, SHOWN_MAX), step->key.text)
                   : arena_printf(reader->scratch, "%s[%u]", text, step->index);
    }
    return text;
}

static const char *shown(const struct policy_reader *reader, const struct json *got)
{
    static const char *const names[] = {[JSON_NULL] = "null", [JSON_FALSE] = "false", [JSON_TRUE] = "true"};
    switch (got->type) {
    case JSON_NULL:
    case JSON_FALSE:
    case JSON_TRUE: return names[got->type];
    case JSON_ARRAY: return got->len ? "an array" : "an empty array";
    case JSON_OBJECT: return "an object";
    case JSON_NUMBER:
    case JSON_STRING: break;
    }
    const char *quote = got->type == JSON_STRING ? "\"" : "";
    return got->len <= SHOWN_MAX
               ? arena_printf(reader->scratch, "%s%.*s%s", quote, (int)got->len, got->text, quote)
               : arena_printf(reader->scratch, "%s%.*s...%s", quote,
                              (int)utf8_cut(got->text, got->len, SHOWN_MAX), got->text, quote);
}

int policy_expected(struct policy_reader *reader, const struct json *got, const char *format, ...)
{
    if (!reader->error)
        return POLICY_MALFORMED;
    char what[400];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    const char *where = path(reader);
    struct policy_error *error = reader->error;
    policy_where(reader, &error->line, &error->column);
    (void)snprintf(error->text, sizeof error->text, "%s%sexpected %s%s%s", where, *where ? ": " : "", what,
                   got ? ", not " : "", got ? shown(reader, got) : "");
    return POLICY_MALFORMED;
}
