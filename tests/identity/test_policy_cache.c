/* How decisions are remembered, and when they are not. */
#include "identity/policy_cache.h"

#include "policy_rig.h"

#include <stdio.h>

static enum policy_decision ask_cache(struct policy_cache *cache, uint64_t generation, struct policy_rig *rig,
                                      enum iot_action action, const char *name, int64_t wall_ms)
{
    struct policy_request request = {.action = action, .name = name, .len = strlen(name), .wall_ms = wall_ms};
    return policy_cache_decide(cache, generation, &rig->set, &rig->context, &request);
}

TEST(a_decision_is_remembered_until_the_generation_changes)
{
    cleanup(policy_rig_free_p) struct policy_rig *rig = policy_rig_new();
    policy_rig_add(rig, "[{'Effect':'Allow','Action':['iot:Publish','iot:Connect'],'Resource':'*'},"
                        "{'Effect':'Deny','Action':'iot:Connect','Resource':'*'}]");
    struct policy_cache cache;
    policy_cache_init(&cache, 8, 1000);
    CHECK_INT(cache.map.capacity, 0);
    CHECK_INT(ask_cache(&cache, 1, rig, IOT_PUBLISH, "a", -1), POLICY_ALLOWED);
    CHECK_INT(ask_cache(&cache, 1, rig, IOT_CONNECT, "a", -1), POLICY_EXPLICIT_DENY);
    CHECK_INT(ask_cache(&cache, 1, rig, IOT_RECEIVE, "a", -1), POLICY_IMPLICIT_DENY);
    CHECK_INT(cache.map.count, 1);
    rig->set.count = 0; /* detached, and nobody has told */
    CHECK_INT(ask_cache(&cache, 1, rig, IOT_PUBLISH, "a", -1), POLICY_ALLOWED);
    CHECK_INT(ask_cache(&cache, 1, rig, IOT_CONNECT, "a", -1), POLICY_EXPLICIT_DENY);
    CHECK_INT(ask_cache(&cache, 1, rig, IOT_PUBLISH, "b", -1), POLICY_IMPLICIT_DENY);
    CHECK_INT(ask_cache(&cache, 2, rig, IOT_PUBLISH, "a", -1), POLICY_IMPLICIT_DENY);
    CHECK_INT(ask_cache(&cache, 2, rig, IOT_CONNECT, "a", -1), POLICY_IMPLICIT_DENY);
    rig->set.count = 1;
    policy_cache_clear(&cache);
    CHECK_INT(cache.map.capacity, 0);
}

TEST(a_cache_is_bounded_in_entries_and_bytes)
{
    cleanup(policy_rig_free_p) struct policy_rig *rig = policy_rig_new();
    policy_rig_add(rig, "{'Effect':'Allow','Action':'iot:Publish','Resource':'~topic/a*'}");
    struct policy_cache cache;
    policy_cache_init(&cache, 10, 100);
    char name[64];
    for (int i = 0; i < 1000; i++) {
        (void)snprintf(name, sizeof name, "%s%0*d", i % 2 ? "a" : "b", 1 + i % 20, i);
        CHECK_INT(ask_cache(&cache, 0, rig, IOT_PUBLISH, name, -1),
                  i % 2 ? POLICY_ALLOWED : POLICY_IMPLICIT_DENY);
        CHECK(cache.map.count <= 10 && cache.bytes <= 100);
    }
    policy_cache_clear(&cache);
    CHECK_INT(ask_cache(&cache, 0, rig, IOT_PUBLISH, "a0123456789012345678901234567", -1), POLICY_ALLOWED);
    CHECK_INT(cache.map.count, 0); /* more than a quarter of it */
    policy_cache_init(&cache, 0, 100);
    CHECK_INT(ask_cache(&cache, 0, rig, IOT_PUBLISH, "a", -1), POLICY_ALLOWED);
    CHECK_INT(cache.map.count, 0);
}

TEST(what_depends_on_the_time_is_not_remembered)
{
    cleanup(policy_rig_free_p) struct policy_rig *rig = policy_rig_new();
    policy_rig_add(rig, "[{'Effect':'Allow','Action':'iot:Publish','Resource':'~topic/a','Condition':"
                        "{'DateLessThan':{'aws:EpochTime':1000}}},"
                        "{'Effect':'Allow','Action':'iot:Publish','Resource':'~topic/b'}]");
    struct policy_cache cache;
    policy_cache_init(&cache, 8, 1000);
    CHECK_INT(ask_cache(&cache, 0, rig, IOT_PUBLISH, "a", 999000), POLICY_ALLOWED);
    CHECK_INT(ask_cache(&cache, 0, rig, IOT_PUBLISH, "a", 1000000), POLICY_IMPLICIT_DENY);
    CHECK_INT(cache.map.count, 0);
    CHECK_INT(ask_cache(&cache, 0, rig, IOT_PUBLISH, "b", 1000000), POLICY_ALLOWED);
    CHECK_INT(cache.map.count, 1);
    policy_cache_clear(&cache);
}
