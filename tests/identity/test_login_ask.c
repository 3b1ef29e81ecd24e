/* Authorizers: what they are asked, what is believed of what they say, and for how long. */
#include "login_rig.h"

TEST(an_authorizer_is_asked_and_its_policies_decide)
{
    struct scene scene;
    struct caller caller;
    scene_init(&scene);
    call(&scene, &caller, "alice?token=x", "till-1");
    CHECK(!caller.at_once);
    CHECK(strstr(scene.question, "\"protocols\":[\"mqtt\"]"));
    CHECK(strstr(
        scene.question,
        "\"mqtt\":{\"username\":\"alice?token=x\",\"password\":\"cGFzcw==\",\"clientId\":\"till-1\"}"));
    login_answered(scene.login, "another", "{}", 2); /* nobody's */
    CHECK_INT(caller.calls, 0);
    answer(&scene, YES ",'disconnectAfterInSeconds':300,'refreshAfterInSeconds':300}");
    CHECK_INT(caller.calls, 1);
    CHECK_STR(caller.verdict.principal->name, "authorizer:alice01");
    CHECK_STR(principal_proven_name(caller.verdict.principal), "authorizer:alice01");
    CHECK(may_publish(caller.verdict.principal, "shop/7"));
    CHECK(!may_publish(caller.verdict.principal, "plant/7"));
    CHECK(!may_publish(caller.verdict.principal, "$gatehouse/authorizers/answers/1"));
    CHECK_INT(caller.verdict.principal->ends_at, loop_now(scene.rig->loop) + 300000);
    (void)principal_unref(caller.verdict.principal);
    answer(&scene, YES "}"); /* it has been answered */
    CHECK_INT(caller.calls, 1);
    scene_done(&scene);
}

TEST(what_it_said_is_remembered_for_as_long_as_it_says)
{
    struct scene scene;
    struct caller caller;
    scene_init(&scene);
    call(&scene, &caller, "alice", "till-1");
    answer(&scene, YES ",'refreshAfterInSeconds':300}");
    (void)principal_unref(caller.verdict.principal);
    call(&scene, &caller, "alice", "till-1");
    CHECK(caller.at_once);
    CHECK(may_publish(caller.verdict.principal, "shop/7"));
    (void)principal_unref(caller.verdict.principal);
    call(&scene, &caller, "alice", "till-2"); /* that is another question */
    CHECK(!caller.at_once);
    login_cancel(&caller.request);
    rig_wait(scene.rig, 301000);
    call(&scene, &caller, "alice", "till-1");
    CHECK(!caller.at_once);
    answer(&scene, YES "}"); /* without it nothing is remembered */
    (void)principal_unref(caller.verdict.principal);
    call(&scene, &caller, "alice", "till-1");
    CHECK(!caller.at_once);
    answer(&scene, YES ",'refreshAfterInSeconds':0}"); /* nor with none */
    CHECK(caller.verdict.principal);
    (void)principal_unref(caller.verdict.principal);
    call(&scene, &caller, "alice", "till-1");
    CHECK(!caller.at_once);
    scene_done(&scene);
}

TEST(what_is_not_a_yes_is_a_no)
{
    static const char *const answers[] = {
        "",
        "yes",
        "{}",
        "{'isAuthenticated':false}",
        "{'isAuthenticated':'true','principalId':'a','policyDocuments':[]}",
        "{'isAuthenticated':true}",
        "{'isAuthenticated':true,'principalId':'','policyDocuments':[]}",
        "{'isAuthenticated':true,'principalId':'a b','policyDocuments':[]}",
        "{'isAuthenticated':true,'principalId':'a','policyDocuments':{}}",
        "{'isAuthenticated':true,'principalId':'a','policyDocuments':['{}']}",
        "{'isAuthenticated':true,'principalId':'a','policyDocuments':[1]}",
        "{'isAuthenticated':true,'principalId':'a','policyDocuments':[" ALLOW ",{}]}",
        YES ",'disconnectAfterInSeconds':0}",
        YES ",'disconnectAfterInSeconds':'300'}",
        YES ",'refreshAfterInSeconds':86401}",
    };
    for (size_t i = 0; i < array_size(answers); i++) {
        struct scene scene;
        struct caller caller;
        scene_init(&scene);
        call(&scene, &caller, "alice", "till-1");
        answer(&scene, answers[i]);
        CHECK_INT(caller.calls, 1);
        if (caller.verdict.principal)
            FAIL("%s lets in", answers[i]);
        CHECK_INT(caller.verdict.refusal, LOGIN_DENIED);
        scene_done(&scene);
    }
}

TEST(one_that_hangs_or_is_not_there_lets_nobody_in)
{
    struct scene scene;
    struct caller caller;
    scene_init(&scene);
    call(&scene, &caller, "alice", "till-1");
    rig_wait(scene.rig, 4900);
    CHECK_INT(caller.calls, 0);
    rig_wait(scene.rig, 200);
    CHECK_INT(caller.calls, 1);
    CHECK_STR(caller.verdict.why, "its authorizer did not answer in time");
    CHECK_INT(scene.forgotten, 1);
    answer(&scene, YES "}");
    CHECK_INT(caller.calls, 1);
    scene.is_away = true;
    call(&scene, &caller, "alice", "till-1");
    CHECK(caller.at_once);
    CHECK_STR(caller.verdict.why, "its authorizer is not there");
    login_set_asker(scene.login, NULL);
    call(&scene, &caller, "alice", "till-1");
    CHECK_STR(caller.verdict.why, "its authorizer is not there");
    scene_done(&scene);
}

TEST(who_leaves_while_an_authorizer_is_asked_is_not_called)
{
    struct scene scene;
    struct caller caller;
    scene_init(&scene);
    call(&scene, &caller, "alice", "till-1");
    login_cancel(&caller.request);
    CHECK_INT(scene.forgotten, 1);
    answer(&scene, YES "}");
    CHECK_INT(caller.calls, 0);
    call(&scene, &caller, "alice", "till-1");
    scene_done(&scene); /* and one is still asked about */
}

TEST(an_authorizer_that_fails_is_not_counted_against_who_comes)
{
    static const char why[] = "its authorizer cannot be reached";
    struct scene scene;
    struct caller caller;
    scene_init(&scene);
    login_unanswered(scene.login, "another", why); /* nobody's */
    for (int i = 0; i < 12; i++) {
        call(&scene, &caller, "alice", "till-1");
        login_unanswered(scene.login, scene.number, why);
        CHECK_INT(caller.calls, 1);
        CHECK_INT(caller.verdict.refusal, LOGIN_DENIED);
        CHECK_STR(caller.verdict.why, why);
    }
    CHECK_INT(scene.forgotten, 0);
    call(&scene, &caller, "alice", "till-1");
    answer(&scene, YES "}");
    CHECK(caller.verdict.principal);
    (void)principal_unref(caller.verdict.principal);
    scene_done(&scene);
}

TEST(who_is_refused_too_often_is_not_asked_about)
{
    struct scene scene;
    struct caller caller;
    scene_init(&scene);
    for (int i = 0; i < 12; i++) {
        call(&scene, &caller, "alice", "till-1");
        answer(&scene, "{'isAuthenticated':false}");
    }
    CHECK_INT(scene.asked, 10);
    CHECK_INT(caller.verdict.refusal, LOGIN_TOO_MANY_ATTEMPTS);
    scene_done(&scene);
}
