/* What requests have in common: members of a JSON object in, an object or a refusal out. */
#include "services/registrar/registrar_private.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void asked_refuse(struct asked *asked, int code, const char *format, ...)
{
    if (asked->answered)
        return;
    va_list args;
    va_start(args, format);
    char *why = NULL;
    if (vasprintf(&why, format, args) < 0)
        abort();
    va_end(args);
    struct json_writer w;
    json_writer_init(&w, &asked->arena);
    json_begin_object(&w);
    put_number(&w, "code", code);
    put_text(&w, "message", why);
    json_end_object(&w);
    free(why);
    bus_reply(asked->registrar->bus, asked->msg, json_writer_text(&w, NULL));
    asked->answered = true;
}

bool asked_is_good(struct asked *asked, int r)
{
    if (r)
        asked_refuse(asked, registry_http_code(r), "%s", registry_why(asked->registrar->registry));
    return r == 0;
}

const char *asked_text(struct asked *asked, const char *name, bool required)
{
    const struct json *member = json_get(asked->json, name);
    const char *text = NULL;
    if (!member && required)
        asked_refuse(asked, 400, "expected a member \"%s\"", name);
    else if (member && !json_text(member, &asked->arena, &text))
        asked_refuse(asked, 400, "%s: expected a text", name);
    return text;
}

bool asked_bool(struct asked *asked, const char *name, bool fallback)
{
    const struct json *member = json_get(asked->json, name);
    bool value = fallback;
    if (member && !json_bool(member, &value))
        asked_refuse(asked, 400, "%s: expected true or false", name);
    return value;
}

int64_t asked_number(struct asked *asked, const char *name, int64_t max, int64_t fallback)
{
    const struct json *member = json_get(asked->json, name);
    int64_t value = fallback;
    if (member && !json_int(member, 0, max, &value))
        asked_refuse(asked, 400, "%s: expected a number from 0 to %lld", name, (long long)max);
    return value;
}

const struct registry_attribute *asked_attributes(struct asked *asked, size_t *count)
{
    const struct json *member = json_get(asked->json, "attributes");
    *count = 0;
    if (!member)
        return NULL;
    if (!json_is(member, JSON_OBJECT)) {
        asked_refuse(asked, 400, "attributes: expected an object of texts");
        return NULL;
    }
    struct registry_attribute *list = arena_alloc(&asked->arena, (member->len + 1) * sizeof *list);
    json_for_each (at, member) {
        list[*count].name = arena_copy(&asked->arena, at->key, at->key_len);
        if (json_text(at, &asked->arena, &list[*count].value))
            ++*count;
        else
            asked_refuse(asked, 400, "attributes: %s: expected a text", list[*count].name);
    }
    return list;
}

/* ---- answers ------------------------------------------------------------------------------------------------------------- */

void put_text(struct json_writer *w, const char *key, const char *value)
{
    if (!value)
        return;
    json_key(w, key);
    json_put_string(w, value);
}

void put_number(struct json_writer *w, const char *key, int64_t value)
{
    json_key(w, key);
    json_put_int(w, value);
}

void put_bool(struct json_writer *w, const char *key, bool value)
{
    json_key(w, key);
    json_put_bool(w, value);
}

void put_arn(struct json_writer *w, const char *key, const char *kind, const char *name)
{
    put_text(w, key, arena_printf(w->arena, "%s%s/%s", POLICY_PLACE, kind, name));
}

void put_attributes(struct json_writer *w, const struct registry_attributes *attributes)
{
    json_key(w, "attributes");
    json_begin_object(w);
    for (size_t i = 0; i < attributes->count; i++)
        put_text(w, attributes->list[i].name, attributes->list[i].value);
    json_end_object(w);
}
