#include "model.h"

#include <stdlib.h>
#include <string.h>

enum { BYTES_MAX = 8192 };

static const char *const sections[] = {"desired", "reported"};

void model_init(struct model *model)
{
    *model = (struct model){0};
}

void model_done(struct model *model)
{
    for (uint64_t i = 0; i <= model->version; i++)
        json_decref(model->states[i]);
    json_decref(model->state);
    json_decref(model->metadata);
}

bool model_same(json_t *a, json_t *b)
{
    enum { FLAGS = JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY };
    char *x = json_dumps(a, FLAGS), *y = json_dumps(b, FLAGS);
    bool same = x && y && strcmp(x, y) == 0;
    free(x);
    free(y);
    return same;
}

/* ---- 5.1 State merge, 5.2 Metadata merge ---------------------------------------------------------------------------- */

static json_t *stamps_of(json_t *value, int64_t now_s)
{
    const char *key;
    json_t *below, *stamps;
    size_t i;
    if (json_is_object(value)) {
        stamps = json_object();
        json_object_foreach(value, key, below) json_object_set_new(stamps, key, stamps_of(below, now_s));
    } else if (json_is_array(value)) {
        stamps = json_array();
        json_array_foreach(value, i, below) json_array_append_new(stamps, stamps_of(below, now_s));
    } else {
        stamps = json_pack("{s:I}", "timestamp", (json_int_t)now_s);
    }
    return stamps;
}

static json_t *without_nulls(json_t *value, bool *only_nulls)
{
    *only_nulls = json_is_null(value);
    if (!json_is_object(value))
        return json_deep_copy(value);
    const char *key;
    json_t *below, *copy = json_object();
    json_object_foreach(value, key, below)
    {
        bool nothing;
        json_t *good = without_nulls(below, &nothing);
        if (nothing)
            json_decref(good);
        else
            json_object_set_new(copy, key, good);
    }
    *only_nulls = json_object_size(value) > 0 && json_object_size(copy) == 0;
    return copy;
}

static void merge(json_t *state, json_t *metadata, json_t *patch, int64_t now_s)
{
    const char *key;
    json_t *value;
    json_object_foreach(patch, key, value)
    {
        json_t *old = json_object_get(state, key);
        if (json_is_null(value)) {
            json_object_del(state, key);
            json_object_del(metadata, key);
        } else if (json_is_object(value) && json_is_object(old)) {
            merge(old, json_object_get(metadata, key), value, now_s);
        } else {
            bool only_nulls;
            json_t *good = without_nulls(value, &only_nulls);
            if (!only_nulls) {
                json_object_set_new(metadata, key, stamps_of(good, now_s));
                json_object_set(state, key, good);
            }
            json_decref(good);
        }
    }
}

static void merge_section(json_t *state, json_t *metadata, const char *name, json_t *patch, int64_t now_s)
{
    if (!patch)
        return;
    if (json_is_null(patch)) {
        json_object_del(state, name);
        json_object_del(metadata, name);
        return;
    }
    if (!json_object_get(state, name)) {
        json_object_set_new(state, name, json_object());
        json_object_set_new(metadata, name, json_object());
    }
    merge(json_object_get(state, name), json_object_get(metadata, name), patch, now_s);
    if (json_object_size(json_object_get(state, name)) == 0) {
        json_object_del(state, name);
        json_object_del(metadata, name);
    }
}

/* ---- 6 Delta -------------------------------------------------------------------------------------------------------- */

/* Numbers by value, and nothing else of another type is equal. */
static bool equal(json_t *a, json_t *b)
{
    if (json_is_number(a) && json_is_number(b))
        return json_number_value(a) == json_number_value(b);
    if (json_typeof(a) != json_typeof(b))
        return false;
    if (json_is_array(a)) {
        size_t i;
        json_t *value;
        if (json_array_size(a) != json_array_size(b))
            return false;
        json_array_foreach(a, i, value) if (!equal(value, json_array_get(b, i))) return false;
        return true;
    }
    if (json_is_object(a)) {
        const char *key;
        json_t *value;
        if (json_object_size(a) != json_object_size(b))
            return false;
        json_object_foreach(a, key, value)
        {
            json_t *other = json_object_get(b, key);
            if (!other || !equal(value, other))
                return false;
        }
        return true;
    }
    return model_same(a, b);
}

static json_t *delta_of(json_t *desired, json_t *metadata, json_t *reported, json_t *stamps)
{
    json_t *delta = json_object(), *want;
    const char *key;
    json_object_foreach(desired, key, want)
    {
        json_t *have = json_object_get(reported, key), *times = json_object_get(metadata, key);
        if (have && json_is_object(want) && json_is_object(have)) {
            json_t *below_stamps = json_object(), *below = delta_of(want, times, have, below_stamps);
            if (json_object_size(below)) {
                json_object_set(delta, key, below);
                json_object_set(stamps, key, below_stamps);
            }
            json_decref(below);
            json_decref(below_stamps);
        } else if (!have || !equal(want, have)) {
            json_object_set(delta, key, want);
            json_object_set(stamps, key, times);
        }
    }
    return delta;
}

/* ---- 3 Requests and responses --------------------------------------------------------------------------------------- */

static json_t *document_of(json_t *state, json_t *metadata, uint64_t version)
{
    return state ? json_pack("{s:O, s:O, s:I}", "state", state, "metadata", metadata, "version",
                             (json_int_t)version)
                 : json_null();
}

static void add_token(json_t *answer, json_t *request)
{
    json_t *token = json_object_get(request, "clientToken");
    if (answer && token)
        json_object_set(answer, "clientToken", token);
}

static json_t *accepted_of(json_t *request, uint64_t version, int64_t now_s)
{
    json_t *state = json_object_get(request, "state"), *echo, *stamps;
    if (json_is_null(state)) {
        echo = json_null();
        stamps = stamps_of(state, now_s);
    } else {
        echo = json_object();
        stamps = json_object();
        for (size_t i = 0; i < 2; i++) {
            json_t *section = json_object_get(state, sections[i]);
            if (!section)
                continue;
            json_object_set(echo, sections[i], section);
            json_object_set_new(stamps, sections[i], stamps_of(section, now_s));
        }
    }
    return json_pack("{s:o, s:o, s:I, s:I}", "state", echo, "metadata", stamps, "version",
                     (json_int_t)version, "timestamp", (json_int_t)now_s);
}

static json_t *delta_message(const struct model *model, int64_t now_s)
{
    json_t *stamps = json_object();
    json_t *delta =
        delta_of(json_object_get(model->state, "desired"), json_object_get(model->metadata, "desired"),
                 json_object_get(model->state, "reported"), stamps);
    json_t *message = NULL;
    if (json_object_size(delta))
        message = json_pack("{s:I, s:I, s:O, s:O}", "version", (json_int_t)model->version, "timestamp",
                            (json_int_t)now_s, "state", delta, "metadata", stamps);
    json_decref(delta);
    json_decref(stamps);
    return message;
}

static size_t size_of(json_t *state)
{
    size_t size = 0;
    for (size_t i = 0; i < 2; i++) {
        json_t *section = json_object_get(state, sections[i]);
        char *text = section ? json_dumps(section, JSON_COMPACT) : NULL;
        size += text ? strlen(text) : 0;
        free(text);
    }
    return size;
}

static int check_version(const struct model *model, json_t *request)
{
    json_t *version = json_object_get(request, "version");
    if (!version)
        return 0;
    if (!model->state)
        return json_integer_value(version) > 1 ? 400 : 0;
    return (uint64_t)json_integer_value(version) == model->version ? 0 : 409;
}

int model_update(struct model *model, json_t *request, int64_t now_s, struct model_answers *ret)
{
    int code = check_version(model, request);
    if (code)
        return code;
    json_t *patch = json_object_get(request, "state");
    bool clears = json_is_null(patch);
    json_t *state = model->state && !clears ? json_deep_copy(model->state) : json_object();
    json_t *metadata = model->state && !clears ? json_deep_copy(model->metadata) : json_object();
    for (size_t i = 0; i < 2; i++)
        merge_section(state, metadata, sections[i], json_object_get(patch, sections[i]), now_s);
    if (size_of(state) > BYTES_MAX) {
        json_decref(state);
        json_decref(metadata);
        return 413;
    }
    json_t *previous = document_of(model->state, model->metadata, model->version);
    json_decref(model->state);
    json_decref(model->metadata);
    model->state = state;
    model->metadata = metadata;
    model->version++;
    if (model->version < MODEL_VERSIONS)
        model->states[model->version] = json_deep_copy(state);
    *ret = (struct model_answers){
        .delta = delta_message(model, now_s),
        .documents = json_pack("{s:o, s:o, s:I}", "previous", previous, "current",
                               document_of(state, metadata, model->version), "timestamp", (json_int_t)now_s),
        .accepted = accepted_of(request, model->version, now_s),
    };
    add_token(ret->delta, request);
    add_token(ret->documents, request);
    add_token(ret->accepted, request);
    return 0;
}

void model_answers_done(struct model_answers *answers)
{
    json_decref(answers->delta);
    json_decref(answers->documents);
    json_decref(answers->accepted);
    *answers = (struct model_answers){0};
}

json_t *model_get(const struct model *model, int64_t now_s)
{
    if (!model->state)
        return NULL;
    json_t *state = json_deep_copy(model->state), *delta = delta_message(model, now_s);
    if (delta)
        json_object_set(state, "delta", json_object_get(delta, "state"));
    json_decref(delta);
    return json_pack("{s:o, s:O, s:I, s:I}", "state", state, "metadata", model->metadata, "version",
                     (json_int_t)model->version, "timestamp", (json_int_t)now_s);
}

bool model_delete(struct model *model)
{
    if (!model->state)
        return false;
    json_decref(model->state);
    json_decref(model->metadata);
    model->state = model->metadata = NULL;
    model->version++;
    return true;
}
