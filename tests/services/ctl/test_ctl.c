/* What the gateway says about itself. */
#include "base/json.h"
#include "rig/rig.h"
#include "services/ctl/ctl.h"

#include <unistd.h>

static const char topic[] = "$gatehouse/ctl/gateway/status";

/* The answer, and numbers in it by path: "bus", "published". */
struct answer {
    struct arena arena;
    struct json *json;
};

static void ask(struct rig *rig, struct answer *answer)
{
    const char *text = rig_request(rig, topic, "");
    CHECK(text);
    *answer = (struct answer){0};
    CHECK_INT(json_parse(&answer->json, &answer->arena, text, strlen(text), NULL), 0);
}

static int64_t number(const struct answer *answer, const char *part, const char *key)
{
    const struct json *in = part ? json_get(answer->json, part) : answer->json;
    int64_t value = -1;
    CHECK(json_int(json_get(in, key), 0, INT64_MAX, &value));
    return value;
}

TEST(the_gateway_says_who_it_is_and_since_when_it_runs)
{
    cleanup(rig_free_p) struct rig *rig = rig_new();
    struct answer answer;
    struct ctl *ctl;
    CHECK_INT(ctl_new(&ctl, rig->bus, rig->store, "plant \"1\"", "0.1.0"), 0);
    rig_wait(rig, 90 * 1000 + 999);
    ask(rig, &answer);
    CHECK(json_text_is(json_get(answer.json, "name"), "plant \"1\""));
    CHECK(json_text_is(json_get(answer.json, "version"), "0.1.0"));
    CHECK_INT(number(&answer, NULL, "pid"), getpid());
    CHECK_INT(number(&answer, NULL, "uptime"), 90);
    CHECK(number(&answer, NULL, "turns") > 0);
    CHECK(number(&answer, NULL, "slowCallbacks") >= 0);
    arena_done(&answer.arena);
    ctl = ctl_free(ctl);
}

TEST(the_counters_are_those_of_bus_and_store)
{
    static const char *const bus_keys[] = {"published",     "delivered", "unmatched",     "hopsExceeded",
                                           "subscriptions", "retained",  "retainedBytes", "retainedRefused"};
    static const char *const store_keys[] = {"commits", "writes", "failures", "bytes"};
    cleanup(rig_free_p) struct rig *rig = rig_new();
    struct answer before, after;
    struct ctl *ctl;
    CHECK_INT(ctl_new(&ctl, rig->bus, rig->store, "g", "1"), 0);
    ask(rig, &before);
    rig_publish(rig, "a/b", "1");
    bus_say(rig->bus, "a/kept", "12345", BUS_STORE);
    rig_turn(rig);
    ask(rig, &after);
    for (size_t i = 0; i < array_size(bus_keys); i++)
        CHECK(number(&after, "bus", bus_keys[i]) >= number(&before, "bus", bus_keys[i]));
    for (size_t i = 0; i < array_size(store_keys); i++)
        CHECK(number(&after, "store", store_keys[i]) >= number(&before, "store", store_keys[i]));
    CHECK_INT(number(&after, "bus", "published") - number(&before, "bus", "published"),
              4); /* with the answer */
    CHECK_INT(number(&after, "bus", "retained") - number(&before, "bus", "retained"), 1);
    CHECK_INT(number(&after, "store", "writes") - number(&before, "store", "writes"), 1);
    CHECK_INT(number(&after, "store", "commits") - number(&before, "store", "commits"), 1);
    CHECK_INT(number(&after, "bus", "subscriptions"), (int64_t)bus_counters(rig->bus)->subscriptions);
    arena_done(&before.arena);
    arena_done(&after.arena);
    ctl = ctl_free(ctl);
}

TEST(who_gives_no_response_topic_gets_no_answer)
{
    cleanup(rig_free_p) struct rig *rig = rig_new();
    struct ctl *ctl;
    CHECK_INT(ctl_new(&ctl, rig->bus, rig->store, "g", "1"), 0);
    rig_publish(rig, topic, "");
    rig_turn(rig);
    CHECK_INT((int64_t)rig_count(rig, "#") + (int64_t)rig_count(rig, "$gatehouse/#"),
              1); /* the request itself */
    ctl = ctl_free(ctl);
}

TEST(after_its_end_nobody_answers)
{
    cleanup(rig_free_p) struct rig *rig = rig_new();
    struct ctl *ctl;
    CHECK_INT(ctl_new(&ctl, rig->bus, rig->store, "g", "1"), 0);
    CHECK(rig_request(rig, topic, ""));
    ctl = ctl_free(ctl);
    rig_forget(rig);
    CHECK(!rig_request(rig, topic, ""));
    CHECK(!ctl_free(NULL));
}
