/* The worked examples of the shadow reference as requests: the answer is what would have been published as accepted or
 * rejected, and those who listen to the shadow hear the same. */
#include "http/http_rig.h"
#include "services/shadow/examples.h"

#include "base/json_write.h"

#include <stdio.h>

struct asked {
    const char *method;
    char path[512];
};

/* $aws/things/THING/shadow[/name/NAME]/VERB as a request. */
static void request_of(struct asked *ret, const char *topic)
{
    char thing[200] = "", name[200] = "", verb[32] = "";
    if (sscanf(topic, "$aws/things/%199[^/]/shadow/name/%199[^/]/%31s", thing, name, verb) != 3)
        CHECK_INT(sscanf(topic, "$aws/things/%199[^/]/shadow/%31s", thing, verb), 2);
    ret->method = strcmp(verb, "get") == 0 ? "GET" : strcmp(verb, "delete") == 0 ? "DELETE" : "POST";
    (void)snprintf(ret->path, sizeof ret->path, "/things/%s/shadow%s%s", thing, *name ? "?name=" : "", name);
}

static int ask(struct guest *guest, const char *topic, const char *payload)
{
    struct asked asked;
    request_of(&asked, topic);
    if (strcmp(asked.method, "POST") != 0)
        payload = "";
    cleanup_free char *text = str_printf("%s %s HTTP/1.1\r\nHost: h\r\nContent-Length: %zu\r\n\r\n%s",
                                         asked.method, asked.path, strlen(payload), payload);
    guest_send(guest, text);
    return guest_answer(guest, true);
}

static bool ends_with(const char *text, const char *end)
{
    return strlen(text) >= strlen(end) && strcmp(text + strlen(text) - strlen(end), end) == 0;
}

/* A request's messages: its answer came back, what it changed is on the bus. */
static void check_step(struct http_rig *rig, struct guest *guest, struct arena *arena,
                       const struct json *example, const struct json *step, int status)
{
    bool is_get = ends_with(examples_text(arena, step, "topic"), "/get");
    bool is_update = ends_with(examples_text(arena, step, "topic"), "/update");
    json_for_each (message, json_get(step, "messages")) {
        const char *where = examples_text(arena, message, "topic");
        struct json *expected = json_copy(arena, json_get(message, "payload"));
        bool accepted = ends_with(where, "/accepted"), rejected = ends_with(where, "/rejected");
        if (!accepted && !rejected) {
            examples_check(example, rig_last(rig->house, where), expected);
            continue;
        }
        int64_t code = 200;
        (void)json_int(json_get(expected, "code"), 400, 599, &code);
        CHECK_INT(status, code);
        if (!is_update) /* the request had no body */
            (void)json_remove(expected, "clientToken", strlen("clientToken"));
        examples_check(example, guest->body, expected);
        CHECK_INT((int64_t)rig_count(rig->house, where), accepted && !is_get ? 1 : 0);
    }
}

TEST(the_worked_examples_come_out_as_written_over_rest)
{
    cleanup(http_rig_free_p) struct http_rig *rig = http_rig_new(NULL);
    struct guest *guest = http_guest(rig);
    struct arena arena = {0};
    unsigned steps = 0;
    json_for_each (example, examples_load(&arena)) {
        rig->house->clock.wall = EXAMPLES_START_S * INT64_C(1000);
        json_for_each (payload, json_get(example, "before"))
            (void)ask(guest, examples_update_topic(&arena, example),
                      arena_copy(&arena, payload->text, payload->len));
        json_for_each (step, json_get(example, "steps")) {
            int64_t now_s = 0;
            CHECK(json_int(json_get(step, "t"), 0, INT64_MAX, &now_s));
            rig->house->clock.wall = now_s * 1000;
            rig_forget(rig->house);
            int status =
                ask(guest, examples_text(&arena, step, "topic"), examples_text(&arena, step, "payload"));
            check_step(rig, guest, &arena, example, step, status);
            steps++;
        }
    }
    CHECK(steps > 50);
    arena_done(&arena);
}
