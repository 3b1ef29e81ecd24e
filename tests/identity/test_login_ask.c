/* Authorizers: what they are asked, what is believed of what they say, and for how long. */
#include "identity/login_private.h"

#include "rig/rig.h"

#include <stdio.h>

struct scene {
    struct rig *rig;
    struct registry *registry;
    struct login *login;
    struct login_asker asker;
    unsigned asked, forgotten;
    bool is_away;
    char number[LOGIN_NUMBER_BYTES], *question;
};

static const char *on_ask(struct login_asker *asker, const char *authorizer, const char *number,
                          const char *json)
{
    struct scene *scene = container_of(asker, struct scene, asker);
    CHECK_STR(authorizer, "shop");
    if (scene->is_away)
        return "its authorizer is not there";
    scene->asked++;
    (void)snprintf(scene->number, sizeof scene->number, "%s", number);
    free(scene->question);
    scene->question = str_copy(json);
    return NULL;
}

static void on_forget(struct login_asker *asker, const char *number)
{
    struct scene *scene = container_of(asker, struct scene, asker);
    CHECK_STR(number, scene->number);
    scene->forgotten++;
}

static void scene_init(struct scene *scene)
{
    *scene = (struct scene){.rig = rig_new(), .asker = {on_ask, on_forget}};
    CHECK_INT(registry_open(&scene->registry, scene->rig->loop, scene->rig->store), 0);
    scene->login = login_new(scene->rig->loop, scene->registry, NULL, WORKER_INLINE);
    login_add_authorizer(scene->login, "shop", 5000);
    login_set_asker(scene->login, &scene->asker);
}

static void scene_done(struct scene *scene)
{
    free(scene->question);
    scene->login = login_free(scene->login);
    store_quiesce(scene->rig->store);
    scene->registry = registry_close(scene->registry);
    scene->rig = rig_free(scene->rig);
}

struct caller {
    struct login_request request;
    struct login_verdict verdict;
    unsigned calls;
    bool at_once;
};

static void on_done(struct login_request *request, const struct login_verdict *verdict)
{
    struct caller *caller = container_of(request, struct caller, request);
    caller->verdict = *verdict;
    caller->calls++;
}

static void call(struct scene *scene, struct caller *caller, const char *user, const char *client_id)
{
    *caller = (struct caller){.request.done = on_done};
    const struct login_credentials credentials = {.ways = LOGIN_AUTHORIZER,
                                                  .authorizer = "shop",
                                                  .user = user,
                                                  .user_len = strlen(user),
                                                  .password = (const uint8_t *)"pass",
                                                  .password_len = 4,
                                                  .client_id = client_id,
                                                  .client_id_len = strlen(client_id),
                                                  .address = "10.0.0.7"};
    caller->at_once = login_begin(scene->login, &caller->request, &credentials, &caller->verdict);
}

static void answer(struct scene *scene, const char *json)
{
    cleanup_free char *text = str_copy(json);
    for (char *c = text; *c; c++)
        *c = (char)(*c == '\'' ? '"' : *c);
    login_answered(scene->login, scene->number, text, strlen(text));
}

#define ALLOW                                                                                                \
    "{'Version':'2012-10-17','Statement':[{'Effect':'Allow','Action':['iot:Connect','iot:Publish'],"         \
    "'Resource':['arn:aws:iot:*:*:client/${iot:ClientId}','arn:aws:iot:*:*:topic/shop/*']}]}"
#define YES "{'isAuthenticated':true,'principalId':'alice01','policyDocuments':[" ALLOW "]"

static bool may_publish(struct principal *principal, const char *topic)
{
    const struct principal_connect connect = {.client_id = "till-1", .client_id_len = 6};
    const char *why;
    CHECK(principal->permit->connect(principal->permit, &connect, &why));
    return policy_allows(principal, POLICY_PUBLISH, topic, strlen(topic));
}

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
