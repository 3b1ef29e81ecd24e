/* Tokens for authorizers, which are signed, and connections that are asked about again. */
#include "identity/login_query.h"
#include "login_rig.h"

static const char public_key[] = "-----BEGIN PUBLIC KEY-----\n"
                                 "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA0IrfW3ycaRlMRKoROmba\n"
                                 "gylqNnZS+Og53Jil77Yrig2E5xNwdjKAiTVpkF3VmdRxr1RGn8CEWXw7shtYbML8\n"
                                 "zVIdXwZA0nvf9KxVRMZbrDZBF1NXpQYQsSPFQpRr3ZZMtMbM9UcSgDydPyxbxXJU\n"
                                 "mum07H4U2YToTuMDbvUIUpVCqP1DBttxBwUTvzXihAqAuRyrCwJE/j3dK50ND0Qn\n"
                                 "5iULtqKZwObew8ShagXScnFKS18i3zZkRtN0CAGyqiOv6G9KpHBnmQWdjO4cwLB4\n"
                                 "BHpCRns5JJ4KNUO6j8inUufisksOGbg4FU8I0ngWVjwIe9i4fh40+glvCUF9GHGG\n"
                                 "/QIDAQAB\n"
                                 "-----END PUBLIC KEY-----\n";

/* Of "abc+1". */
#define SIGNATURE                                                                                            \
    "N%2B13lBG7n5C7j7EJBndggxze7BbEscX33zg7H3mofGUmnBqeQ7uR3Li2Fy3%2FMCd7wZZcbc7YBHET9R%2BbXk81"             \
    "bEMYal%2BTfpQZHBsbAmXHdDJalbHrntvfVm7EpWfktQgSE9O%2FZXvd%2BI7rZEvFvj5HMrmM%2Fou5PTOdKJ7RWG"             \
    "9%2B1%2Fmf6en06qYBm%2BRK8wOCglR9ZrkE1KKBhvoG0gL0hr6RwUmFasXhrKdWPA4El7A%2BH3xYiCRA%2Bybddc"             \
    "7HWDA0X5zIuVLFkraysSK%2B1kBI7rCNPJDkchEMd96%2B1T8FMRIIjQs2sVMxJgeO2lOORJgeKc7nlN4ZuraBGUHH"             \
    "axreE3hBzA%3D%3D"

static int find(const char *user, const char *key, char text[32])
{
    size_t len;
    return login_query_find(user, key, text, 32, &len);
}

TEST(what_is_behind_the_question_mark_is_found_and_decoded)
{
    char text[32];
    CHECK_INT(find("alice?tok=a%2Bb%3d+c&x=1", "tok", text), 1);
    CHECK_STR(text, "a+b=+c");
    CHECK_INT(find("alice?tok=&x=1", "x", text), 1);
    CHECK_STR(text, "1");
    CHECK_INT(find("alice?tok=&x=1", "tok", text), 1);
    CHECK_STR(text, "");
    CHECK_INT(find("tok=1", "tok", text), 0);
    CHECK_INT(find("alice?token=1&xtok=2&tok", "tok", text), 0);
    CHECK_INT(find("alice?tok=1&tok=2", "tok", text), -22);
    CHECK_INT(find("alice?tok=%2", "tok", text), -22);
    CHECK_INT(find("alice?tok=%zz", "tok", text), -22);
    CHECK_INT(find("alice?tok=%00", "tok", text), -22);
    CHECK_INT(find("alice?tok=0123456789012345678901234567890", "tok", text), 1);
    CHECK_INT(find("alice?tok=01234567890123456789012345678901", "tok", text), -22);
}

static void take_keys(struct scene *scene, size_t count)
{
    const struct login_token_key key = {public_key, strlen(public_key)};
    char *why = NULL;
    CHECK_INT(login_set_token_keys(scene->login, "shop", "tok", &key, count, &why), 0);
}

TEST(a_token_whose_signature_is_good_is_asked_about_and_no_other)
{
    static const struct {
        const char *user, *why;
    } bad[] = {
        {"alice", "it comes without its authorizer's token"},
        {"alice?tok=abc%2B1", "its token is not signed"},
        {"alice?tok=abc%2B2&" LOGIN_QUERY_SIGNATURE "=" SIGNATURE, "its token's signature is wrong"},
        {"alice?tok=abc%2B1&" LOGIN_QUERY_SIGNATURE "=QUJD", "its token's signature is wrong"},
        {"alice?tok=abc%2B1&" LOGIN_QUERY_SIGNATURE "=%", "its token's signature is wrong"},
        {"alice?tok=%&" LOGIN_QUERY_SIGNATURE "=" SIGNATURE, "its token cannot be read"},
        {"alice?" LOGIN_QUERY_AUTHORIZER "=bar&tok=abc%2B1&" LOGIN_QUERY_SIGNATURE "=" SIGNATURE,
         "it asks for an authorizer that is not this listener's"},
    };
    struct scene scene;
    struct caller caller;
    scene_init(&scene);
    take_keys(&scene, 1);
    for (size_t i = 0; i < array_size(bad); i++) {
        call(&scene, &caller, bad[i].user, "till-1");
        CHECK(caller.at_once);
        CHECK(!caller.verdict.principal);
        CHECK_STR(caller.verdict.why, bad[i].why);
        CHECK_INT(caller.verdict.refusal, LOGIN_DENIED);
    }
    CHECK_INT(scene.asked, 0);
    call(&scene, &caller,
         "alice?" LOGIN_QUERY_AUTHORIZER "=shop&tok=abc%2B1&" LOGIN_QUERY_SIGNATURE "=" SIGNATURE, "till-1");
    CHECK(!caller.at_once);
    CHECK(strstr(scene.question, "\"token\":\"abc+1\",\"signatureVerified\":true"));
    answer(&scene, YES "}");
    CHECK(caller.verdict.principal);
    (void)principal_unref(caller.verdict.principal);
    scene_done(&scene);
}

TEST(without_keys_a_token_is_handed_on_unverified)
{
    struct scene scene;
    struct caller caller;
    scene_init(&scene);
    take_keys(&scene, 0);
    call(&scene, &caller, "alice?tok=t1", "till-1");
    CHECK(strstr(scene.question, "\"token\":\"t1\",\"signatureVerified\":false"));
    login_cancel(&caller.request);
    call(&scene, &caller, "alice", "till-1");
    CHECK(!strstr(scene.question, "\"token\""));
    login_cancel(&caller.request);
    scene_done(&scene);
}

TEST(keys_that_are_none_change_nothing)
{
    const struct login_token_key none = {"-----BEGIN", 10};
    struct scene scene;
    struct caller caller;
    char *why = NULL;
    scene_init(&scene);
    take_keys(&scene, 1);
    CHECK(login_set_token_keys(scene.login, "shop", "other", &none, 1, &why) < 0);
    CHECK(strstr(why, "expected a public key"));
    free(why);
    call(&scene, &caller, "alice?other=1", "till-1");
    CHECK_STR(caller.verdict.why, "it comes without its authorizer's token");
    scene_done(&scene);
}

/* A connection that is to be asked about again after five minutes, and who has it. */
struct connection {
    struct caller caller;
    struct principal *principal;
    struct principal_end end;
    unsigned ended;
    const char *why;
};

static void on_ended(struct principal_end *end, const char *why)
{
    struct connection *connection = container_of(end, struct connection, end);
    connection->ended++;
    connection->why = why;
}

static void connect(struct scene *scene, struct connection *connection)
{
    *connection = (struct connection){.end.ended = on_ended};
    call(scene, &connection->caller, "alice", "till-1");
    answer(scene, YES ",'refreshAfterInSeconds':300,'disconnectAfterInSeconds':3600}");
    connection->principal = connection->caller.verdict.principal;
    connection->principal->end = &connection->end;
    CHECK(may_publish(connection->principal, "shop/1"));
}

/* Until that many questions were asked: how long it took. */
static int64_t wait_for_question(struct scene *scene, unsigned count)
{
    int64_t begin = loop_now(scene->rig->loop);
    while (scene->asked < count && loop_now(scene->rig->loop) - begin < 1000000)
        rig_wait(scene->rig, 1000);
    CHECK_INT(scene->asked, count);
    return loop_now(scene->rig->loop) - begin;
}

static bool is_within(int64_t ms, int64_t min, int64_t max)
{
    return ms >= min && ms <= max + 1000;
}

TEST(a_connection_is_asked_about_again_and_has_the_new_policies)
{
    struct scene scene;
    struct connection one;
    scene_init(&scene);
    connect(&scene, &one);
    int64_t ends_at = one.principal->ends_at;
    CHECK(is_within(wait_for_question(&scene, 2), 270000, 300000)); /* at most a tenth earlier */
    CHECK(strstr(scene.question, "\"password\":\"cGFzcw==\""));
    CHECK(may_publish(one.principal, "shop/1"));
    answer(&scene, YES_FOR("alice01", ALLOW_TOPIC("plant")) ",'refreshAfterInSeconds':600}");
    CHECK(may_publish(one.principal, "plant/1"));
    CHECK(!may_publish(one.principal, "shop/1"));
    CHECK_INT(one.principal->ends_at, ends_at);
    CHECK(is_within(wait_for_question(&scene, 3), 540000, 600000));
    answer(&scene, YES "}"); /* that is for good */
    rig_wait(scene.rig, 1000000);
    CHECK_INT(scene.asked, 3);
    CHECK_INT(one.ended, 0);
    (void)principal_unref(one.principal);
    scene_done(&scene);
}

TEST(a_connection_ends_when_its_authorizer_says_no_or_that_it_is_somebody_else)
{
    static const struct {
        const char *json, *why;
    } answers[] = {{"{'isAuthenticated':false}", "its authorizer says no"},
                   {YES_FOR("bob", ALLOW) ",'refreshAfterInSeconds':300}",
                    "its authorizer says that it is somebody else now"}};
    for (size_t i = 0; i < array_size(answers); i++) {
        struct scene scene;
        struct connection one;
        scene_init(&scene);
        connect(&scene, &one);
        (void)wait_for_question(&scene, 2);
        answer(&scene, answers[i].json);
        CHECK_INT(one.ended, 1);
        CHECK_STR(one.why, answers[i].why);
        struct caller caller;
        call(&scene, &caller, "alice", "till-1");
        CHECK(i == 1 || !caller.at_once); /* nor is it remembered */
        rig_wait(scene.rig, 1000000);
        (void)principal_unref(i == 1 ? caller.verdict.principal : NULL);
        (void)principal_unref(one.principal);
        scene_done(&scene);
    }
}

TEST(a_connection_keeps_its_policies_while_its_authorizer_is_away)
{
    struct scene scene;
    struct connection one;
    scene_init(&scene);
    connect(&scene, &one);
    scene.is_away = true;
    rig_wait(scene.rig, 301000);
    scene.is_away = false;
    (void)wait_for_question(&scene, 2);
    rig_wait(scene.rig, 6000); /* nor does it answer */
    CHECK_INT(scene.forgotten, 1);
    (void)wait_for_question(&scene, 3);
    answer(&scene, "garbage");
    CHECK(is_within(wait_for_question(&scene, 4), 60000, 60000));
    login_unanswered(scene.login, scene.number, "its authorizer cannot be reached");
    CHECK(is_within(wait_for_question(&scene, 5), 60000, 60000));
    CHECK(may_publish(one.principal, "shop/1"));
    CHECK_INT(one.ended, 0);
    (void)principal_unref(one.principal); /* while it is asked about */
    CHECK_INT(scene.forgotten, 2);
    answer(&scene, YES "}");
    scene_done(&scene);
}

TEST(what_was_said_again_is_what_is_remembered)
{
    struct scene scene;
    struct connection one;
    struct caller caller;
    scene_init(&scene);
    connect(&scene, &one);
    (void)wait_for_question(&scene, 2);
    answer(&scene, YES_FOR("alice01", ALLOW_TOPIC("plant")) ",'refreshAfterInSeconds':600}");
    call(&scene, &caller, "alice", "till-1");
    CHECK(caller.at_once);
    CHECK(may_publish(caller.verdict.principal, "plant/1"));
    (void)principal_unref(caller.verdict.principal);
    scene.login = login_free(scene.login); /* before he is gone */
    CHECK(may_publish(one.principal, "plant/1"));
    (void)principal_unref(one.principal);
    scene_done(&scene);
}
