/* Random requests, and what the service makes of them against what the model does: documents, metadata, versions, deltas,
 * refusals, and the past. */
#include "model.h"
#include "shadow_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BASE "$aws/things/pump/shadow/"

enum { SEQUENCES = 1200, STEPS = 20 };

/* ---- random documents ----------------------------------------------------------------------------------------------- */

static unsigned seed;

static unsigned below(unsigned n)
{
    return (unsigned)rand_r(&seed) % n;
}

static const char *some_name(void)
{
    static const char *const names[] = {"a", "b", "c", "timestamp", "desired", "delta", "\xC3\xA4", "x y"};
    return names[below(sizeof names / sizeof *names)];
}

static json_t *some_scalar(void)
{
    switch (below(8)) {
    case 0: return json_true();
    case 1: return json_false();
    case 2: return json_real(0.5 * (double)below(4)); /* 1.0 is 1 */
    case 3: return json_string("");
    case 4: return json_sprintf("t\"%u", below(3));
    default: return json_integer((json_int_t)below(3));
    }
}

static json_t *some_value(unsigned level, bool nulls)
{
    unsigned kind = below(10);
    if (nulls && kind < 2)
        return json_null();
    if (level >= 5 || kind < 6)
        return some_scalar();
    json_t *value = kind < 7 ? json_array() : json_object();
    for (unsigned n = below(4); n; n--) {
        if (json_is_array(value))
            json_array_append_new(value, some_value(level + 1, false));
        else
            json_object_set_new(value, some_name(), some_value(level + 1, nulls));
    }
    return value;
}

static json_t *some_section(void)
{
    if (below(20) == 0)
        return json_null();
    json_t *section = json_object();
    for (unsigned n = below(4); n; n--)
        json_object_set_new(section, some_name(), some_value(2, true));
    return section;
}

static json_t *some_request(const struct model *model)
{
    json_t *request = json_object(), *state = json_object();
    if (below(3))
        json_object_set_new(state, "desired", some_section());
    if (below(3))
        json_object_set_new(state, "reported", some_section());
    if (below(40) == 0) {
        json_decref(state);
        state = json_null();
    } else if (below(30) == 0) { /* nearly all that there is room for, or a little more */
        char fill[4200];
        memset(fill, 'f', sizeof fill);
        fill[4000 + below(190)] = '\0';
        json_t *section = json_object();
        json_object_set_new(section, below(2) ? "f" : "g", json_string(fill));
        json_object_set_new(state, below(2) ? "desired" : "reported", section);
    }
    json_object_set_new(request, "state", state);
    if (below(6) == 0) {
        json_int_t version = (json_int_t)(model->version + below(3)) - 1;
        json_object_set_new(request, "version", json_integer(version > 0 ? version : 0));
    }
    if (below(2))
        json_object_set_new(request, "clientToken", json_sprintf("t%u", below(100)));
    return request;
}

/* ---- comparing ------------------------------------------------------------------------------------------------------ */

static const char *last_request = "";

static void check_same(const char *what, const char *text, json_t *expected)
{
    json_t *found = text ? json_loads(text, JSON_DECODE_ANY, NULL) : NULL;
    if ((!found && !expected) || (found && expected && model_same(found, expected))) {
        json_decref(found);
        return;
    }
    char *shown = expected ? json_dumps(expected, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
    print_error("%s after %s\n    is       %s\n    expected %s\n", what, last_request,
                text ? text : "nothing", shown ? shown : "nothing");
    free(shown);
    FAIL("the model says something else");
}

static void check_code(const char *text, int code)
{
    char part[40];
    (void)snprintf(part, sizeof part, "\"code\":%d,", code);
    CHECK_HAS(text, part);
}

static int64_t now_s(const struct shadow_rig *rig)
{
    return rig->house->clock.wall / 1000;
}

static void update(struct shadow_rig *rig, struct model *model, json_t *request)
{
    char *payload = json_dumps(request, JSON_COMPACT);
    struct model_answers expected = {0};
    last_request = payload;
    int code = model_update(model, request, now_s(rig), &expected);
    const char *answer = answer_to(rig, BASE "update", payload);
    if (code) {
        check_code(answer, code);
    } else {
        check_same("delta", rig_last(rig->house, BASE "update/delta"), expected.delta);
        check_same("documents", rig_last(rig->house, BASE "update/documents"), expected.documents);
        check_same("accepted", answer, expected.accepted);
    }
    model_answers_done(&expected);
    free(payload);
}

static void get(struct shadow_rig *rig, const struct model *model)
{
    json_t *expected = model_get(model, now_s(rig));
    const char *answer = answer_to(rig, BASE "get", "");
    if (expected)
        check_same("get", answer, expected);
    else
        check_code(answer, 404);
    json_decref(expected);
}

static void delete (struct shadow_rig *rig, struct model *model)
{
    uint64_t version = model->version;
    bool existed = model_delete(model);
    const char *answer = answer_to(rig, BASE "delete", "");
    if (!existed) {
        check_code(answer, 404);
        return;
    }
    json_t *document = json_loads(answer, 0, NULL);
    CHECK_INT((int64_t)json_integer_value(json_object_get(document, "version")), (int64_t)version);
    json_decref(document);
}

/* ---- the past ------------------------------------------------------------------------------------------------------- */

static json_t *state_at(struct shadow_rig *rig, uint64_t version)
{
    char request[80];
    (void)snprintf(request, sizeof request, "{\"thing\":\"pump\",\"version\":%llu}",
                   (unsigned long long)version);
    const char *text = rig_request(rig->house, "$gatehouse/ctl/shadow/at", request);
    json_t *answer = text ? json_loads(text, 0, NULL) : NULL;
    json_t *state = json_object_get(answer, "state");
    if (!state)
        FAIL("version %llu: %s", (unsigned long long)version, text ? text : "no answer");
    json_incref(state);
    json_decref(answer);
    return state;
}

static void check_past(struct shadow_rig *rig, const struct model *model)
{
    for (uint64_t version = 1; version <= model->version; version++) {
        json_t *found = state_at(rig, version), *expected = model->states[version];
        bool same = expected ? model_same(found, expected) : json_is_null(found);
        if (!same)
            print_error("version %llu of %llu\n", (unsigned long long)version,
                        (unsigned long long)model->version);
        CHECK(same);
        json_decref(found);
    }
}

static void revert(struct shadow_rig *rig, struct model *model)
{
    if (!model->version)
        return;
    uint64_t version = 1 + below((unsigned)model->version);
    char request[80], part[40];
    (void)snprintf(request, sizeof request, "{\"thing\":\"pump\",\"version\":%llu}",
                   (unsigned long long)version);
    const char *answer = rig_request(rig->house, "$gatehouse/ctl/shadow/revert", request);
    if (!model->states[version]) {
        check_code(answer, 400);
        return;
    }
    /* The model is told what an update would say that names everything; only its times would be others. */
    json_t *expected = json_deep_copy(model->states[version]);
    (void)snprintf(part, sizeof part, "{\"version\":%llu,", (unsigned long long)model->version + 1);
    CHECK_HAS(answer, part);
    const char *text = answer_to(rig, BASE "get", "");
    json_t *document = json_loads(text, 0, NULL), *state = json_object_get(document, "state");
    json_object_del(state, "delta");
    CHECK(model_same(state, expected));
    json_decref(model->state);
    json_decref(model->metadata);
    model->state = expected;
    model->metadata = json_incref(json_object_get(document, "metadata"));
    model->states[++model->version] = json_deep_copy(expected);
    json_decref(document);
}

static void run_sequence(unsigned number)
{
    cleanup(shadow_rig_free_p) struct shadow_rig *rig = shadow_rig_new(NULL);
    struct model model;
    seed = number;
    model_init(&model);
    for (int step = 0; step < STEPS; step++) {
        unsigned what = below(20);
        rig->house->clock.wall += 1000 * (int64_t)below(3);
        if (what == 0)
            delete (rig, &model);
        else if (what == 1)
            shadow_rig_restart(rig, NULL);
        else if (what == 2)
            get(rig, &model);
        else if (what == 3)
            revert(rig, &model);
        else {
            json_t *request = some_request(&model);
            update(rig, &model, request);
            json_decref(request);
        }
    }
    get(rig, &model);
    if (number % 4 == 0)
        check_past(rig, &model);
    model_done(&model);
}

TEST(thousands_of_random_sequences_come_out_as_the_model_says)
{
    for (unsigned number = 1; number <= SEQUENCES; number++)
        run_sequence(number);
}
