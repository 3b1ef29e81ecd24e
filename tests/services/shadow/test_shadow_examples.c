/* The worked examples of the reference against the service, over the bus. */
#include "examples.h"
#include "shadow_rig.h"

static void at(struct shadow_rig *rig, int64_t now_s)
{
    rig->house->clock.wall = now_s * 1000;
}

/* Publishes, turns, and returns how many messages came out. The first that is heard is the request itself. */
static size_t request(struct shadow_rig *rig, const char *topic, const char *payload)
{
    rig_forget(rig->house);
    ask(rig, topic, payload);
    rig_turn(rig->house);
    return rig_count(rig->house, "$aws/#") - 1;
}

static void run_examples(bool restart)
{
    cleanup(shadow_rig_free_p) struct shadow_rig *rig = shadow_rig_new(NULL);
    struct arena arena = {0};
    unsigned steps = 0;
    json_for_each (example, examples_load(&arena)) {
        at(rig, EXAMPLES_START_S);
        json_for_each (payload, json_get(example, "before"))
            (void)request(rig, examples_update_topic(&arena, example),
                          arena_copy(&arena, payload->text, payload->len));
        json_for_each (step, json_get(example, "steps")) {
            int64_t now_s = 0;
            CHECK(json_int(json_get(step, "t"), 0, INT64_MAX, &now_s));
            at(rig, now_s);
            size_t n =
                request(rig, examples_text(&arena, step, "topic"), examples_text(&arena, step, "payload"));
            size_t i = 0;
            json_for_each (message, json_get(step, "messages")) {
                i++;
                CHECK_STR(rig_topic(rig->house, "$aws/#", i), examples_text(&arena, message, "topic"));
                examples_check(example, rig_payload(rig->house, "$aws/#", i), json_get(message, "payload"));
            }
            CHECK_INT((int64_t)n, (int64_t)i);
            if (restart)
                shadow_rig_restart(rig, NULL);
            steps++;
        }
    }
    CHECK(steps > 50);
    arena_done(&arena);
}

TEST(the_worked_examples_come_out_as_written_over_the_bus)
{
    run_examples(false);
}

TEST(the_worked_examples_come_out_as_written_with_a_restart_after_every_step)
{
    run_examples(true);
}

TEST(two_clients_of_one_shadow_see_what_the_reference_says)
{
    cleanup(shadow_rig_free_p) struct shadow_rig *rig = shadow_rig_new(NULL);
    for (int i = 0; i < 4; i++)
        (void)answer_to(rig, "$aws/things/t/shadow/update", "{\"state\":{\"reported\":{\"v\":1}}}");
    rig_forget(rig->house);
    ask_as(rig, 2, "$aws/things/t/shadow/update",
           "{\"state\":{\"desired\":{\"v\":2}},\"clientToken\":\"B1\"}", NULL);
    rig_turn(rig->house);
    ask_as(rig, 1, "$aws/things/t/shadow/update",
           "{\"state\":{\"reported\":{\"v\":2}},\"clientToken\":\"A1\"}", NULL);
    rig_turn(rig->house);

    CHECK_INT((int64_t)rig_count(rig->house, "$aws/things/t/shadow/update/delta"), 1);
    CHECK_MESSAGE(rig->house, "$aws/things/t/shadow/update/delta", "\"version\":5");
    CHECK_MESSAGE(rig->house, "$aws/things/t/shadow/update/delta", "\"clientToken\":\"B1\"");
    CHECK_INT((int64_t)rig_count(rig->house, "$aws/things/t/shadow/update/documents"), 2);
    CHECK_INT((int64_t)rig_count(rig->house, "$aws/things/t/shadow/update/accepted"), 2);
    CHECK_HAS(rig_payload(rig->house, "$aws/things/t/shadow/update/accepted", 0), "\"clientToken\":\"B1\"");
    CHECK_HAS(rig_payload(rig->house, "$aws/things/t/shadow/update/accepted", 1), "\"clientToken\":\"A1\"");
}
