/* The worked examples of the reference against the pure functions, without a bus. */
#include "services/shadow/shadow_doc.h"

#include "examples.h"
#include "rig/test.h"
#include "services/shadow/shadow_answer.h"

#include <stdio.h>

static const struct shadow_limits limits = {SHADOW_DOCUMENT_MAX, SHADOW_LEVELS_MAX};

/* What the service is around the functions, in small: documents by topic, and the answers to one request. */
struct twin {
    struct twin *next;
    char *prefix; /* topic up to the verb */
    struct shadow_doc doc;
};

struct house {
    struct arena arena;
    struct twin *twins;
    struct shadow_text answers[3];
    const char *suffixes[3];
    size_t count;
};

static struct twin *twin_of(struct house *house, const char *topic)
{
    size_t len = (size_t)(strrchr(topic, '/') - topic);
    for (struct twin *twin = house->twins; twin; twin = twin->next)
        if (strlen(twin->prefix) == len && memcmp(twin->prefix, topic, len) == 0)
            return twin;
    struct twin *twin = arena_new(&house->arena, struct twin);
    twin->prefix = arena_copy(&house->arena, topic, len);
    twin->next = house->twins;
    return house->twins = twin;
}

static void say(struct house *house, const char *suffix, struct shadow_text text)
{
    if (!text.text)
        return;
    house->suffixes[house->count] = suffix;
    house->answers[house->count++] = text;
}

static void update(struct house *house, struct twin *twin, const char *payload, int64_t now_s)
{
    struct arena *arena = &house->arena;
    struct shadow_update request;
    struct shadow_refusal refusal;
    struct shadow_doc doc;
    int r = shadow_update_parse(&request, arena, payload, strlen(payload), now_s, &limits, &refusal);
    if (r == 0)
        r = shadow_doc_update(&doc, arena, &twin->doc, &request, &limits, &refusal);
    if (r != 0) {
        CHECK_INT(r, refusal.code);
        say(house, "/rejected", shadow_answer_rejected(arena, &refusal, request.token, now_s));
        return;
    }
    say(house, "/delta", shadow_answer_delta(arena, &doc, request.token, now_s));
    say(house, "/documents", shadow_answer_documents(arena, &twin->doc, &doc, request.token, now_s));
    say(house, "/accepted", shadow_answer_accepted(arena, &request, doc.version));
    twin->doc = doc;
}

static const char *name_in(struct arena *arena, const char *prefix)
{
    const char *name = strstr(prefix, "/name/");
    if (name)
        return name + strlen("/name/");
    const char *thing = prefix + strlen("$aws/things/");
    return arena_copy(arena, thing, strcspn(thing, "/"));
}

static void request(struct house *house, const char *topic, const char *payload, int64_t now_s)
{
    struct arena *arena = &house->arena;
    struct twin *twin = twin_of(house, topic);
    const char *verb = strrchr(topic, '/') + 1;
    house->count = 0;
    if (strcmp(verb, "update") == 0) {
        update(house, twin, payload, now_s);
        return;
    }
    const struct json *token = shadow_token(arena, payload, strlen(payload));
    if (!twin->doc.exists) {
        struct shadow_refusal refusal = {
            404, arena_printf(arena, "No shadow exists with name: '%s'", name_in(arena, twin->prefix))};
        say(house, "/rejected", shadow_answer_rejected(arena, &refusal, token, now_s));
    } else if (strcmp(verb, "get") == 0) {
        say(house, "/accepted", shadow_answer_document(arena, &twin->doc, token, now_s));
    } else {
        say(house, "/accepted", shadow_answer_deleted(arena, twin->doc.version, token, now_s));
        twin->doc = shadow_doc_delete(&twin->doc);
    }
}

/* What is stored and read back must do as well as what was in memory. */
static void store_and_read(struct house *house, struct twin *twin)
{
    if (!twin->doc.exists)
        return;
    size_t stamps_len;
    char *stamps = shadow_doc_stamps(&house->arena, &twin->doc, &stamps_len);
    CHECK_INT(shadow_doc_read(&twin->doc, &house->arena, twin->doc.version, twin->doc.text,
                              twin->doc.text_len, stamps, stamps_len),
              0);
}

static void run_examples(bool through_text)
{
    struct house house = {0};
    arena_init(&house.arena);
    unsigned steps = 0;
    json_for_each (example, examples_load(&house.arena)) {
        json_for_each (payload, json_get(example, "before"))
            request(&house, examples_update_topic(&house.arena, example),
                    arena_copy(&house.arena, payload->text, payload->len), EXAMPLES_START_S);
        json_for_each (step, json_get(example, "steps")) {
            const char *topic = examples_text(&house.arena, step, "topic");
            int64_t now_s = 0;
            CHECK(json_int(json_get(step, "t"), 0, INT64_MAX, &now_s));
            request(&house, topic, examples_text(&house.arena, step, "payload"), now_s);
            size_t i = 0;
            json_for_each (message, json_get(step, "messages")) {
                CHECK(i < house.count);
                CHECK_STR(arena_printf(&house.arena, "%s%s", topic, house.suffixes[i]),
                          examples_text(&house.arena, message, "topic"));
                CHECK_INT((int64_t)strlen(house.answers[i].text), (int64_t)house.answers[i].len);
                examples_check(example, house.answers[i++].text, json_get(message, "payload"));
            }
            CHECK_INT((int64_t)house.count, (int64_t)i);
            if (through_text)
                store_and_read(&house, twin_of(&house, topic));
            steps++;
        }
    }
    CHECK(steps > 50);
    arena_done(&house.arena);
}

TEST(the_worked_examples_of_the_reference_come_out_as_written)
{
    run_examples(false);
}

TEST(the_worked_examples_come_out_as_written_when_every_document_was_stored_and_read_in_between)
{
    run_examples(true);
}

TEST(a_request_may_come_with_its_terminator)
{
    static const char payload[] =
        "{\"state\":{\"reported\":{\"a\":1}},\"clientToken\":\"t\"}\0"; /* two of them */
    struct arena arena = {0};
    struct shadow_update request;
    struct shadow_refusal refusal;
    CHECK_INT(shadow_update_parse(&request, &arena, payload, sizeof payload, 1, &limits, &refusal), 0);
    CHECK(json_text_is(request.token, "t"));
    CHECK(json_text_is(shadow_token(&arena, payload, sizeof payload), "t"));
    CHECK_INT(shadow_update_parse(&request, &arena, "\0", 2, 1, &limits, &refusal), 400);
    static const char inside[] = "{\"state\":\0{}}";
    CHECK_INT(shadow_update_parse(&request, &arena, inside, sizeof inside - 1, 1, &limits, &refusal), 400);
    arena_done(&arena);
}
