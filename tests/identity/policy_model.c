#include "policy_model.h"

#include <jansson.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define PLACE "arn:aws:iot:local:000000000000:"

/* In a string that is written out, a wildcard is one of these bytes, which no UTF-8 text has; all else is itself. */
enum { MARK_ANY = '\xFE', MARK_ONE = '\xFF', WRITTEN_MAX = 8192 };

struct asker {
    const struct model_known *known;
    size_t count;
};

static void must(bool holds)
{
    if (!holds)
        abort();
}

/* ---- keys ----------------------------------------------------------------------------------------------------------- */

/* All values that a key has: a new list, of which `*count` are to be seen. */
static size_t values_of(const struct asker *asker, const char *name, const char **list)
{
    size_t name_len = strlen(name), from = 0, to = 99;
    bool of_certificate = strncasecmp(name, "iot:Certificate.", 16) == 0 &&
                          strcasecmp(name, "iot:Certificate.AvailableKeys") != 0;
    if (of_certificate) {
        const char *dot = strrchr(name, '.');
        to = 1;
        if (strcasecmp(dot, ".list") == 0) {
            name_len -= 5;
            to = 5;
        } else if (strlen(dot) == 2 && dot[1] >= '0' && dot[1] <= '9') {
            name_len -= 2;
            from = (size_t)(dot[1] - '0');
            to = from + 1;
        }
        if (to > 5)
            to = 5;
    }
    size_t count = 0;
    for (size_t i = 0; i < asker->count; i++)
        if (strlen(asker->known[i].key) == name_len && strncasecmp(asker->known[i].key, name, name_len) == 0)
            for (size_t k = from; k < to && k < asker->known[i].count; k++)
                list[count++] = asker->known[i].values[k];
    return count;
}

/* What is substituted for a variable, or NULL. */
static const char *value_of(const struct asker *asker, const char *name)
{
    const char *list[MODEL_VALUES_MAX];
    if (values_of(asker, name, list) == 0 || strlen(list[0]) > 1024)
        return NULL;
    if (strncasecmp(name, "iot:Certificate.", 16) == 0 &&
        strcasecmp(name, "iot:Certificate.AvailableKeys") != 0 && strpbrk(list[0], "*$+?#"))
        return NULL;
    return list[0];
}

/* ---- strings -------------------------------------------------------------------------------------------------------- */

/* False: a variable has no value, and stays as it is. */
static bool write_out(const struct asker *asker, const char *text, bool wildcards, char *out)
{
    bool resolved = true;
    size_t len = 0;
    while (*text) {
        const char *close = strncmp(text, "${", 2) == 0 ? strchr(text, '}') : NULL;
        if (close && close != text + 2) {
            char name[WRITTEN_MAX];
            (void)snprintf(name, sizeof name, "%.*s", (int)(close - text - 2), text + 2);
            bool special = strcmp(name, "*") == 0 || strcmp(name, "?") == 0 || strcmp(name, "$") == 0;
            const char *value = special ? name : value_of(asker, name);
            if (!value) {
                resolved = false;
                len += (size_t)snprintf(out + len, WRITTEN_MAX - len, "${%s}", name);
            } else {
                len += (size_t)snprintf(out + len, WRITTEN_MAX - len, "%s", value);
            }
            must(len < WRITTEN_MAX - 8);
            text = close + 1;
            continue;
        }
        out[len++] = wildcards && *text == '*' ? MARK_ANY : (wildcards && *text == '?' ? MARK_ONE : *text);
        must(len < WRITTEN_MAX - 8);
        text++;
    }
    out[len] = '\0';
    return resolved;
}

static bool glob(const char *pattern, const char *text)
{
    if (!*pattern)
        return !*text;
    if (*pattern == MARK_ANY)
        return glob(pattern + 1, text) || (*text && glob(pattern, text + 1));
    if (!*text)
        return false;
    if (*pattern != MARK_ONE)
        return *pattern == *text && glob(pattern + 1, text + 1);
    do
        text++;
    while (((unsigned char)*text & 0xC0) == 0x80);
    return glob(pattern + 1, text);
}

static bool glob_of_arns(char *pattern, const char *text)
{
    for (int i = 0; i < 5; i++) {
        char *colon = strchr(pattern, ':');
        const char *text_colon = strchr(text, ':');
        if (!colon || !text_colon)
            return false;
        *colon = '\0';
        char part[WRITTEN_MAX];
        (void)snprintf(part, sizeof part, "%.*s", (int)(text_colon - text), text);
        if (!glob(pattern, part))
            return false;
        pattern = colon + 1;
        text = text_colon + 1;
    }
    return glob(pattern, text);
}

/* An IPv4 address of four numbers, and after a slash how many bits of it count. */
static bool in_network(const char *network, const char *address)
{
    unsigned a[4], b[4], bits = 32;
    if (sscanf(network, "%u.%u.%u.%u/%u", &a[0], &a[1], &a[2], &a[3], &bits) < 4 ||
        sscanf(address, "%u.%u.%u.%u", &b[0], &b[1], &b[2], &b[3]) != 4)
        return false;
    for (unsigned bit = 0; bit < bits; bit++)
        if (((a[bit / 8] ^ b[bit / 8]) >> (7 - bit % 8)) & 1)
            return false;
    return true;
}

/* ---- statements ----------------------------------------------------------------------------------------------------- */

/* Calls for each text of "S | [S, ...]" until one says yes. */
static bool any_text(const json_t *list, bool (*says_yes)(const char *text, void *self), void *self)
{
    if (!json_is_array(list)) {
        const char *text =
            json_is_boolean(list) ? (json_is_true(list) ? "true" : "false") : json_string_value(list);
        return text && says_yes(text, self);
    }
    for (size_t i = 0; i < json_array_size(list); i++)
        if (any_text(json_array_get(list, i), says_yes, self))
            return true;
    return false;
}

struct question {
    const struct asker *asker;
    const char *action, *arn;
    /* of a condition */
    const char *comparison, *value;
};

static bool is_job(const char *action)
{
    return strstr(action, "JobExecution") != NULL;
}

static bool action_says_yes(const char *text, void *self)
{
    const struct question *q = self;
    char pattern[256], name[256];
    size_t i = 0;
    for (; text[i]; i++)
        pattern[i] = text[i] == '*' ? MARK_ANY : (text[i] == '?' ? MARK_ONE : (char)(text[i] | 0x20));
    pattern[i] = '\0';
    for (int jobs = 0; jobs <= is_job(q->action); jobs++) {
        (void)snprintf(name, sizeof name, "%s%s", jobs ? "iotjobsdata:" : "iot:", q->action);
        for (i = 0; name[i]; i++)
            name[i] = (char)(name[i] | 0x20);
        if (glob(pattern, name))
            return true;
    }
    return false;
}

static bool resource_says_yes(const char *text, void *self)
{
    const struct question *q = self;
    char pattern[WRITTEN_MAX];
    return write_out(q->asker, text, true, pattern) && glob(pattern, q->arn);
}

static bool value_says_yes(const char *text, void *self)
{
    const struct question *q = self;
    char pattern[WRITTEN_MAX];
    bool wild = strstr(q->comparison, "Like") || strstr(q->comparison, "Arn");
    (void)write_out(q->asker, text, wild, pattern);
    if (strstr(q->comparison, "Arn"))
        return glob_of_arns(pattern, q->value);
    if (strstr(q->comparison, "Like"))
        return glob(pattern, q->value);
    if (strstr(q->comparison, "Ip"))
        return in_network(text, q->value);
    if (strstr(q->comparison, "IgnoreCase") || strcmp(q->comparison, "Bool") == 0)
        return strcasecmp(pattern, q->value) == 0;
    return strcmp(pattern, q->value) == 0;
}

static bool holds(struct question *q, const char *operator_name, const char *key, const json_t *operands)
{
    char name[128];
    const char *list[MODEL_VALUES_MAX];
    bool all = strncmp(operator_name, "ForAllValues:", 13) == 0;
    bool any = strncmp(operator_name, "ForAnyValue:", 12) == 0;
    (void)snprintf(name, sizeof name, "%s", operator_name + (all ? 13 : (any ? 12 : 0)));
    char *suffix = strstr(name, "IfExists");
    if (suffix)
        *suffix = '\0';
    bool negated = strstr(name, "Not") != NULL;
    size_t count = values_of(q->asker, key, list), yes = 0;
    q->comparison = name;
    if (strcmp(name, "Null") == 0) {
        q->value = count ? "false" : "true";
        q->comparison = "Bool";
        return any_text(operands, value_says_yes, q);
    }
    if (!count)
        return suffix || all || (negated && !any);
    if (!all && !any)
        count = 1;
    for (size_t i = 0; i < count; i++) {
        q->value = list[i];
        yes += any_text(operands, value_says_yes, q) != negated;
    }
    return all ? yes == count : yes > 0;
}

static bool applies(struct question *q, const json_t *statement)
{
    const json_t *action = json_object_get(statement, "Action"),
                 *resource = json_object_get(statement, "Resource");
    if (action ? !any_text(action, action_says_yes, q)
               : any_text(json_object_get(statement, "NotAction"), action_says_yes, q))
        return false;
    if (resource ? !any_text(resource, resource_says_yes, q)
                 : any_text(json_object_get(statement, "NotResource"), resource_says_yes, q))
        return false;
    const char *name, *key;
    json_t *keys, *operands;
    json_object_foreach(json_object_get(statement, "Condition"), name, keys)
        json_object_foreach(keys, key, operands) if (!holds(q, name, key, operands)) return false;
    return true;
}

static void judge(struct question *q, const json_t *statement, bool *allowed, bool *denied)
{
    if (applies(q, statement))
        *(strcmp(json_string_value(json_object_get(statement, "Effect")), "Deny") == 0 ? denied : allowed) =
            true;
}

const char *model_decide(const char *const *documents, size_t count, const struct model_known *known,
                         size_t known_count, const char *action, const char *resource)
{
    char arn[WRITTEN_MAX];
    struct asker asker = {known, known_count};
    struct question q = {.asker = &asker, .action = action, .arn = arn};
    bool allowed = false, denied = false;
    (void)snprintf(arn, sizeof arn, "%s%s", strcmp(resource, "*") == 0 ? "" : PLACE, resource);
    for (size_t i = 0; i < count; i++) {
        json_t *document = json_loads(documents[i], 0, NULL);
        must(document);
        const json_t *list = json_object_get(document, "Statement");
        if (json_is_object(list))
            judge(&q, list, &allowed, &denied);
        for (size_t k = 0; k < json_array_size(list); k++)
            judge(&q, json_array_get(list, k), &allowed, &denied);
        json_decref(document);
    }
    return denied ? "EXPLICIT_DENY" : (allowed ? "ALLOWED" : "IMPLICIT_DENY");
}
