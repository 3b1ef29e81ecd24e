/* Logins: who is let in, who is refused and why, who waits, and what is remembered. Work runs in its phase of the turn. */
#include "identity/login.h"

#include "identity/password.h"
#include "rig/rig.h"

struct scene {
    struct rig *rig;
    struct registry *registry;
    struct audit *audit;
    struct login *login;
};

static struct scene scene_new(void)
{
    struct scene scene = {.rig = rig_new()};
    CHECK_INT(registry_open(&scene.registry, scene.rig->loop, scene.rig->store), 0);
    CHECK_INT(audit_new(&scene.audit, scene.rig->loop, scene.rig->store, scene.registry), 0);
    scene.login = login_new(scene.rig->loop, scene.registry, scene.audit, WORKER_INLINE);
    return scene;
}

static void scene_done(struct scene *scene)
{
    scene->login = login_free(scene->login);
    store_quiesce(scene->rig->store);
    scene->audit = audit_free(scene->audit);
    scene->registry = registry_close(scene->registry);
    scene->rig = rig_free(scene->rig);
}

/* Cheap ones, for there are many. */
static void add_user(struct scene *scene, const char *name, const char *text)
{
    struct password password = {.kind = PASSWORD_SCRYPT,
                                .cost = {13, 8, 1},
                                .salt = "salt",
                                .salt_len = PASSWORD_SALT_BYTES,
                                .hash_len = PASSWORD_HASH_BYTES};
    char kept[PASSWORD_TEXT_MAX];
    CHECK(secret_scrypt(password.cost, text, strlen(text), password.salt, password.salt_len, password.hash,
                        password.hash_len));
    password_write(&password, kept);
    CHECK_INT(registry_user_put(scene->registry, name, kept, NULL), 0);
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

static void call(struct scene *scene, struct caller *caller, const char *user, const char *password,
                 const char *address)
{
    *caller = (struct caller){.request.done = on_done};
    const struct login_credentials credentials = {.ways = LOGIN_PASSWORD,
                                                  .user = user,
                                                  .user_len = user ? strlen(user) : 0,
                                                  .password = (const uint8_t *)password,
                                                  .password_len = password ? strlen(password) : 0,
                                                  .client_id = "c",
                                                  .client_id_len = 1,
                                                  .address = address};
    caller->at_once = login_begin(scene->login, &caller->request, &credentials, &caller->verdict);
}

enum { LET_IN = -1 };

/* LET_IN, or why not. */
static int come(struct scene *scene, const char *user, const char *password, const char *address)
{
    struct caller caller;
    call(scene, &caller, user, password, address);
    rig_turn(scene->rig);
    CHECK_INT(caller.calls, caller.at_once ? 0 : 1);
    if (!caller.verdict.principal)
        return (int)caller.verdict.refusal;
    (void)principal_unref(caller.verdict.principal);
    return LET_IN;
}

TEST(who_has_the_password_is_let_in_as_that_user)
{
    struct scene scene = scene_new();
    struct caller caller;
    add_user(&scene, "alice@home", "secret");
    call(&scene, &caller, "alice@home", "secret", "10.0.0.7");
    CHECK(!caller.at_once);
    rig_turn(scene.rig);
    CHECK(caller.verdict.principal);
    CHECK_STR(caller.verdict.principal->id, "user:alice@home");
    CHECK_STR(principal_proven_name(caller.verdict.principal), "user:alice@home");
    CHECK(!policy_allows(caller.verdict.principal, POLICY_PUBLISH, "t", 1)); /* nothing is attached */
    (void)principal_unref(caller.verdict.principal);
    scene_done(&scene);
}

TEST(who_has_not_is_refused_whatever_is_wrong)
{
    struct scene scene = scene_new();
    add_user(&scene, "alice", "secret");
    CHECK_INT(come(&scene, "alice", "secre", "10.0.0.7"), LOGIN_BAD);
    CHECK_INT(come(&scene, "alice", "", "10.0.0.7"), LOGIN_BAD);
    CHECK_INT(come(&scene, "bob", "secret", "10.0.0.7"), LOGIN_BAD);
    CHECK_INT(come(&scene, NULL, NULL, "10.0.0.7"), LOGIN_BAD);
    CHECK_INT(come(&scene, "alice", NULL, "10.0.0.7"), LOGIN_BAD);
    CHECK_INT(registry_principal_set_status(scene.registry, "user:alice", REGISTRY_INACTIVE, NULL), 0);
    CHECK_INT(come(&scene, "alice", "secret", "10.0.0.7"), LOGIN_DENIED);
    scene_done(&scene);
}

TEST(what_was_proved_is_remembered_until_the_password_is_another)
{
    struct scene scene = scene_new();
    struct caller caller;
    add_user(&scene, "alice", "secret");
    CHECK_INT(come(&scene, "alice", "secret", "10.0.0.7"), LET_IN);
    call(&scene, &caller, "alice", "secret", "10.0.0.8");
    CHECK(caller.at_once);
    (void)principal_unref(caller.verdict.principal);
    call(&scene, &caller, "alice", "secreT", "10.0.0.8");
    CHECK(!caller.at_once);
    rig_turn(scene.rig);
    CHECK(!caller.verdict.principal);
    add_user(&scene, "alice", "another");
    CHECK_INT(come(&scene, "alice", "secret", "10.0.0.7"), LOGIN_BAD);
    CHECK_INT(come(&scene, "alice", "another", "10.0.0.7"), LET_IN);
    scene_done(&scene);
}

TEST(who_fails_too_often_waits_and_keeps_no_other_out)
{
    struct scene scene = scene_new();
    add_user(&scene, "alice", "secret");
    add_user(&scene, "bob", "secret");
    for (int i = 0; i < 10; i++)
        CHECK_INT(come(&scene, "alice", "guess", "10.0.0.7"), LOGIN_BAD);
    CHECK_INT(come(&scene, "alice", "guess", "10.0.0.7"), LOGIN_TOO_MANY_ATTEMPTS);
    CHECK_INT(come(&scene, "alice", "secret", "10.0.0.7"), LOGIN_TOO_MANY_ATTEMPTS); /* nobody learns */
    CHECK_INT(come(&scene, "alice", "secret", "10.0.0.8"), LET_IN);
    CHECK_INT(come(&scene, "alice", "secret", "10.0.0.7"), LET_IN); /* it is known by now */
    CHECK_INT(come(&scene, "bob", "secret", "10.0.0.7"), LET_IN);
    rig_wait(scene.rig, 7000);
    CHECK_INT(come(&scene, "alice", "guess", "10.0.0.7"), LOGIN_BAD);
    CHECK_INT(come(&scene, "alice", "guess", "10.0.0.7"), LOGIN_TOO_MANY_ATTEMPTS);
    scene_done(&scene);
}

TEST(an_ipv6_address_counts_as_its_network)
{
    struct scene scene = scene_new();
    for (int i = 0; i < 10; i++) {
        cleanup_free char *address = str_printf("2001:db8::%x", i + 1);
        CHECK_INT(come(&scene, "alice", "guess", address), LOGIN_BAD);
    }
    CHECK_INT(come(&scene, "alice", "guess", "2001:db8::1:1"), LOGIN_TOO_MANY_ATTEMPTS);
    CHECK_INT(come(&scene, "alice", "guess", "2001:db8:0:1::1"), LOGIN_BAD);
    scene_done(&scene);
}

TEST(those_in_line_are_judged_by_what_became_of_those_before_them)
{
    struct scene scene = scene_new();
    struct caller callers[14];
    for (size_t i = 0; i < array_size(callers); i++)
        call(&scene, &callers[i], "alice", "guess", "10.0.0.7");
    rig_turn(scene.rig);
    for (size_t i = 0; i < array_size(callers); i++) {
        CHECK_INT(callers[i].calls, 1);
        CHECK_INT(callers[i].verdict.refusal, i < 10 ? LOGIN_BAD : LOGIN_TOO_MANY_ATTEMPTS);
    }
    scene_done(&scene);
}

TEST(who_leaves_is_not_called)
{
    struct scene scene = scene_new();
    struct caller callers[3];
    add_user(&scene, "alice", "secret");
    for (size_t i = 0; i < array_size(callers); i++)
        call(&scene, &callers[i], "alice", "secret", "10.0.0.7");
    login_cancel(&callers[0].request); /* it is being looked at */
    login_cancel(&callers[1].request);
    rig_turn(scene.rig);
    CHECK_INT(callers[0].calls, 0);
    CHECK_INT(callers[1].calls, 0);
    CHECK_INT(callers[2].calls, 1);
    CHECK(callers[2].verdict.principal);
    (void)principal_unref(callers[2].verdict.principal);
    call(&scene, &callers[0], "alice", "wrong", "10.0.0.7");
    login_cancel(&callers[0].request);
    scene_done(&scene); /* and one is still under way */
}

TEST(a_password_that_changes_while_it_is_looked_at_is_not_taken)
{
    struct scene scene = scene_new();
    struct caller caller;
    add_user(&scene, "alice", "secret");
    call(&scene, &caller, "alice", "secret", "10.0.0.7");
    add_user(&scene, "alice", "another");
    rig_turn(scene.rig);
    CHECK(!caller.verdict.principal);
    CHECK_INT(caller.verdict.refusal, LOGIN_BAD);
    scene_done(&scene);
}

TEST(a_weak_hash_becomes_a_strong_one_when_its_user_comes)
{
    struct scene scene = scene_new();
    struct password weak = {
        .kind = PASSWORD_PBKDF2_SHA512, .rounds = 101, .salt = "pepper", .salt_len = 12, .hash_len = 64};
    char kept[PASSWORD_TEXT_MAX];
    CHECK(secret_pbkdf2_sha512(weak.rounds, "secret", 6, weak.salt, weak.salt_len, weak.hash, 64));
    password_write(&weak, kept);
    CHECK_INT(registry_user_put(scene.registry, "dave", kept, NULL), 0);
    const struct registry_principal *dave = registry_principal(scene.registry, "user:dave");
    CHECK_INT(come(&scene, "dave", "wrong", "10.0.0.7"), LOGIN_BAD);
    CHECK_MEM(dave->secret, 3, "$7$", 3);
    CHECK_INT(come(&scene, "dave", "secret", "10.0.0.7"), LET_IN);
    CHECK_MEM(dave->secret, 8, "$scrypt$", 8);
    CHECK_INT(come(&scene, "dave", "secret", "10.0.0.7"), LET_IN);
    CHECK_INT(come(&scene, "dave", "wrong", "10.0.0.7"), LOGIN_BAD);
    scene_done(&scene);
}
