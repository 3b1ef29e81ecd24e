#include "services/pairing/pairing_rig.h"

#include "base/log.h"
#include "store/folder.h"

#include <stdio.h>

/* ---- pairing ------------------------------------------------------------------------------------------------------------ */

TEST(from_a_code_to_a_paired_node)
{
    cleanup(scene_done) struct scene scene;
    scene_open(&scene);
    CHECK(!knows(&scene, "pair:A7"));
    type_code(&scene);
    CHECK(handshake(&scene, "pair:A7"));
    struct principal *who = pairing_who(scene.pairing, "pair:A7");
    CHECK_STR(who->name, "pair:A7");
    CHECK_STR(who->client_id, "pair-A7");
    CHECK(policy_allows(who, POLICY_PUBLISH, "gh/pair/A7/hello", 16));
    CHECK(!policy_allows(who, POLICY_PUBLISH, "gh/pair/A8/hello", 16));
    CHECK(!policy_allows(who, POLICY_PUBLISH, "dt/A7/env", 9));
    CHECK(!policy_allows(who, POLICY_SUBSCRIBE, "gh/nodes/A7/#", 13));
    who = principal_unref(who);

    hello(&scene);
    CHECK_INT(scene.offers, 1);
    CHECK(strstr(scene.got[0], "{\"v\":1,\"gen\":1,\"id\":\"n:A7:1\",\"key\":\"") == scene.got[0]);
    CHECK(strstr(scene.got[0],
                 "\"thing\":\"press-7\",\"host\":\"10.0.0.1\",\"port\":8884,\"time\":1760000000}"));
    CHECK(knows(&scene, "n:A7:1"));
    CHECK(!pairing_who(scene.pairing, "n:A7:1")); /* not before its first handshake */

    CHECK(handshake(&scene, "n:A7:1"));
    CHECK_MESSAGE(scene.rig, "$gatehouse/status/pairing/A7", "\"state\":\"paired\"");
    CHECK_STR(scene.told, "A7 press-7 stm32f405 1.0.0");
    CHECK_STR(scene.expelled, "pair:A7");
    CHECK(!knows(&scene, "pair:A7"));
    who = pairing_who(scene.pairing, "n:A7:1");
    CHECK_STR(who->name, "psk:A7");
    CHECK_STR(who->client_id, "press-7");
    CHECK(policy_allows(who, POLICY_PUBLISH, "dt/press-7/env", 14));
    CHECK(!policy_allows(who, POLICY_PUBLISH, "dt/A7/env", 9));
    who = principal_unref(who);
    CHECK(
        strstr(ask(&scene, "node/list", ""), "\"serial\":\"A7\",\"thing\":\"press-7\",\"state\":\"paired\""));
}

TEST(a_key_is_told_to_its_node_and_to_nobody_who_listens)
{
    cleanup(scene_done) struct scene scene;
    scene_open(&scene);
    pair(&scene);
    say_as(&scene, "psk:A7", "gh/nodes/press-7/online", "1");
    CHECK(strstr(ask(&scene, "node/rotate", "{\"name\":\"A7\"}"), "\"state\":\"rotating\""));
    rig_turn(scene.rig);
    CHECK_INT(scene.offers, 1);
    CHECK_INT(scene.nexts, 1);
    CHECK_NO_MESSAGE(scene.rig, "gh/pair/A7/offer"); /* the rig subscribes to everything */
    CHECK_NO_MESSAGE(scene.rig, "gh/nodes/press-7/key/next");
    char key[65];
    const char *answers[] = {ask(&scene, "node/list", ""), ask(&scene, "pair/list", "")};
    for (int i = 0; i < 2; i++) {
        (void)snprintf(key, sizeof key, "%s", strstr(scene.got[i], "\"key\":\"") + 7);
        CHECK_INT((int64_t)strspn(key, "0123456789abcdef"), 64);
        for (size_t k = 0; k < array_size(answers); k++)
            CHECK(!strstr(answers[k], key));
    }
}

TEST(a_hello_counts_only_from_the_one_whom_it_is_about)
{
    cleanup(scene_done) struct scene scene;
    scene_open(&scene);
    say_as(&scene, "pair:A7", "gh/pair/A7/hello", "{\"v\":1}"); /* no code was typed */
    type_code(&scene);
    say_as(&scene, "pair:A8", "gh/pair/A7/hello", "{\"v\":1}");
    say_as(&scene, NULL, "gh/pair/A7/hello", "{\"v\":1}");
    say_as(&scene, "pair:A7", "gh/pair/A7/hello", "{\"v\":2}");
    say_as(&scene, "pair:A7", "gh/pair/A7/hello", "hello");
    CHECK_INT(scene.offers, 0);
    CHECK_STR(ask(&scene, "node/list", ""), "{\"nodes\":[]}");
}

TEST(a_key_is_on_disk_before_it_is_offered)
{
    cleanup(scene_done) struct scene scene;
    scene_open(&scene);
    type_code(&scene);
    store_fail_next_commit(scene.rig->store, -28);
    hello(&scene);
    CHECK_INT(scene.offers, 0);
    hello(&scene); /* it says so again, and gets another */
    CHECK_INT(scene.offers, 1);
    CHECK(strstr(scene.got[0], "\"gen\":2,"));
}

/* ---- what is lost or broken ---------------------------------------------------------------------------------------------- */

TEST(an_offer_that_is_lost_is_void_when_the_node_says_hello_again)
{
    cleanup(scene_done) struct scene scene;
    scene_open(&scene);
    type_code(&scene);
    hello(&scene);
    hello(&scene);
    CHECK_INT(scene.offers, 2);
    CHECK(strstr(scene.got[0], "\"gen\":2,\"id\":\"n:A7:2\""));
    CHECK(!knows(&scene, "n:A7:1"));
    CHECK(knows(&scene, "n:A7:2"));
}

TEST(a_commit_that_is_lost_is_made_up_for_by_the_first_connection)
{
    cleanup(scene_done) struct scene scene;
    scene_open(&scene);
    pair(&scene); /* says no commit */
    CHECK(strstr(ask(&scene, "node/list", ""), "\"state\":\"paired\""));
}

TEST(a_commit_alone_does_not_pair)
{
    cleanup(scene_done) struct scene scene;
    scene_open(&scene);
    type_code(&scene);
    hello(&scene);
    say_as(&scene, "pair:A7", "gh/pair/A7/commit", "{\"gen\":1}");
    CHECK(strstr(ask(&scene, "node/list", ""), "\"state\":\"offered\""));
}

TEST(a_node_that_cannot_keep_its_key_says_so_and_may_try_again)
{
    cleanup(scene_done) struct scene scene;
    scene_open(&scene);
    type_code(&scene);
    hello(&scene);
    say_as(&scene, "pair:A7", "gh/pair/A7/refuse", "{\"reason\":\"storage\"}");
    CHECK_MESSAGE(scene.rig, "$gatehouse/status/pairing/A7",
                  "\"state\":\"refused\",\"thing\":\"press-7\",\"reason\":\"storage\"");
    hello(&scene);
    CHECK_INT(scene.offers, 2);
}

TEST(five_wrong_codes_close_the_window)
{
    cleanup(scene_done) struct scene scene;
    scene_open(&scene);
    type_code(&scene);
    for (int i = 0; i < 4; i++)
        wrong_key(&scene, "pair:A7");
    CHECK(knows(&scene, "pair:A7"));
    wrong_key(&scene, "pair:A7");
    CHECK(!knows(&scene, "pair:A7"));
    CHECK(strstr(scene.noted, "node/closed A7 5 times another code was tried"));
    hello(&scene);
    CHECK_INT(scene.offers, 0);
    type_code(&scene); /* counts anew */
    wrong_key(&scene, "pair:A7");
    CHECK(knows(&scene, "pair:A7"));
}

TEST(a_code_is_good_for_ten_minutes)
{
    cleanup(scene_done) struct scene scene;
    scene_open(&scene);
    type_code(&scene);
    rig_wait(scene.rig, 599999);
    CHECK(knows(&scene, "pair:A7"));
    rig_wait(scene.rig, 1);
    CHECK(!knows(&scene, "pair:A7"));
    CHECK_MESSAGE(scene.rig, "$gatehouse/status/pairing/A7", "\"state\":\"closed\"");
}

TEST(a_session_of_pairing_ends_after_two_minutes)
{
    cleanup(scene_done) struct scene scene;
    scene_open(&scene);
    type_code(&scene);
    CHECK(handshake(&scene, "pair:A7"));
    rig_wait(scene.rig, 119999);
    CHECK_INT(scene.expelled_count, 0);
    rig_wait(scene.rig, 1);
    CHECK_INT(scene.expelled_count, 1);
    CHECK_STR(scene.expelled, "pair:A7");
    CHECK(knows(&scene, "pair:A7")); /* it may come again */
}

TEST(the_identity_for_a_cable_is_never_known)
{
    cleanup(scene_done) struct scene scene;
    scene_open(&scene);
    type_code(&scene);
    CHECK(!knows(&scene, "cable:A7"));
    wrong_key(&scene, "cable:A7");
    CHECK_STR(scene.noted, "refused/connect A7 this identity is for a cable");
}

/* ---- who asks --------------------------------------------------------------------------------------------------------------- */

TEST(who_asks_is_shown_and_a_flood_of_serials_takes_sixteen_places)
{
    cleanup(scene_done) struct scene scene;
    scene_open(&scene);
    wrong_key(&scene, "pair:A7");
    wrong_key(&scene, "pair:A7");
    CHECK_INT((int64_t)rig_count(scene.rig, "$gatehouse/status/pairing/A7"), 1);
    CHECK(strstr(
        ask(&scene, "pair/list", ""),
        "{\"serial\":\"A7\",\"from\":\"10.0.0.9\",\"cable\":false,\"attempts\":2,\"since\":0,\"last\":0,\"known\":false}"));
    for (int i = 0; i < 100; i++) {
        char identity[32];
        (void)snprintf(identity, sizeof identity, "pair:B%d", i);
        rig_wait(scene.rig, 1);
        wrong_key(&scene, identity);
    }
    const char *list = ask(&scene, "pair/list", "");
    unsigned count = 0;
    for (const char *at = list; (at = strstr(at, "\"serial\"")); at++)
        count++;
    CHECK_INT(count, 16);
    CHECK(strstr(list, "\"B99\""));
    rig_wait(scene.rig, 600000);
    CHECK_STR(ask(&scene, "pair/list", ""), "{\"asking\":[],\"waiting\":[]}");
}

TEST(somebody_who_waits_hears_who_asks_and_what_becomes_of_it)
{
    cleanup(scene_done) struct scene scene;
    scene_open(&scene);
    CHECK(!rig_request(scene.rig, "$gatehouse/ctl/pair/wait", "{}"));
    wrong_key(&scene, "pair:A7");
    CHECK(
        strstr(rig_payload(scene.rig, "rig/#", 0) ? rig_payload(scene.rig, "rig/#", 0) : "asking", "asking"));
    CHECK(
        strstr(ask(&scene, "pair/wait", "{}"), "\"serial\":\"A7\",\"state\":\"asking\"")); /* a moment ago */
    CHECK(strstr(ask(&scene, "pair/wait", "{\"serial\":\"A7\"}"), "\"code\":404"));
    CHECK(strstr(ask(&scene, "pair/wait", "{\"timeout\":0}"), "\"code\":400"));
}

/* ---- what is refused ----------------------------------------------------------------------------------------------------------- */

TEST(what_is_typed_wrong_is_said)
{
    static const struct {
        const char *payload, *said;
    } wrong[] = {
        {"", "expected serial"},
        {"[]", "expected a JSON object"},
        {"{\"serial\":\"A 7\",\"code\":\"x\"}", "expected serial"},
        {"{\"serial\":\"A7\",\"code\":\"x\"}", "expected 16 letters and digits"},
        {"{\"serial\":\"A7\",\"code\":\"QTH5-GKR5-WXFC-1V1Z\"}", "a character is mistyped"},
        {"{\"serial\":\"A7\",\"code\":\"" CODE "\",\"thing\":\"a/b\"}", "thing: expected"},
        {"{\"qr\":\"GHN1:A7\"}", "expected GHN1:SERIAL:CODE:MODEL"},
    };
    cleanup(scene_done) struct scene scene;
    scene_open(&scene);
    for (size_t i = 0; i < array_size(wrong); i++) {
        const char *answer = ask(&scene, "pair/code", wrong[i].payload);
        if (!strstr(answer, "\"code\":400") || !strstr(answer, wrong[i].said))
            FAIL("%s: %s", wrong[i].payload, answer);
    }
    CHECK(strstr(ask(&scene, "pair/code", "{\"qr\":\"GHN1:A7:" CODE ":stm32f405\"}"), "\"thing\":\"A7\""));
}

TEST(a_paired_node_is_paired_again_only_when_somebody_allows_it)
{
    cleanup(scene_done) struct scene scene;
    scene_open(&scene);
    pair(&scene);
    static const char again[] = "{\"serial\":\"A7\",\"code\":\"" CODE "\"}";
    CHECK(strstr(ask(&scene, "pair/code", again), "\"code\":409"));
    CHECK(strstr(ask(&scene, "node/re-pair", "{\"name\":\"press-7\"}"), "\"rePair\":true"));
    CHECK(strstr(ask(&scene, "pair/code", "{\"serial\":\"A7\",\"code\":\"" CODE "\",\"thing\":\"other\"}"),
                 "stays it"));
    CHECK(strstr(ask(&scene, "pair/code", again), "\"thing\":\"press-7\""));
    hello(&scene);
    CHECK(knows(&scene, "n:A7:1")); /* the old one is good until the new one is used */
    CHECK(handshake(&scene, "n:A7:2"));
    CHECK(!knows(&scene, "n:A7:1"));
    CHECK(strstr(ask(&scene, "pair/code", again), "\"code\":409"));
}

TEST(permission_to_pair_again_is_over_after_ten_minutes)
{
    cleanup(scene_done) struct scene scene;
    scene_open(&scene);
    pair(&scene);
    (void)ask(&scene, "node/re-pair", "{\"name\":\"A7\"}");
    rig_wait(scene.rig, 600000);
    CHECK(strstr(ask(&scene, "pair/code", "{\"serial\":\"A7\",\"code\":\"" CODE "\"}"), "\"code\":409"));
}

TEST(two_nodes_cannot_be_one_thing)
{
    static const char other[] = "{\"serial\":\"A8\",\"code\":\"" CODE "\",\"thing\":\"press-7\"}";
    cleanup(scene_done) struct scene scene;
    scene_open(&scene);
    type_code(&scene);
    CHECK(strstr(ask(&scene, "pair/code", other), "whose code waits"));
    pair(&scene);
    CHECK(strstr(ask(&scene, "pair/code", other), "the name of node A7"));
}

/* ---- rotation and revocation ------------------------------------------------------------------------------------------------------ */

TEST(both_keys_are_good_until_the_new_one_is_used)
{
    cleanup(scene_done) struct scene scene;
    scene_open(&scene);
    pair(&scene);
    (void)ask(&scene, "node/rotate", "{\"name\":\"press-7\"}");
    CHECK_INT(scene.nexts, 0); /* it is not here */
    CHECK(knows(&scene, "n:A7:1") && knows(&scene, "n:A7:2"));
    say_as(&scene, "psk:A7", "gh/nodes/press-7/online", "1");
    CHECK_INT(scene.nexts, 1);
    CHECK(strstr(scene.got[1], "{\"gen\":2,\"id\":\"n:A7:2\",\"key\":\"") == scene.got[1]);
    say_as(&scene, "psk:A7", "gh/nodes/press-7/online", "1"); /* again, until it has kept it */
    CHECK_INT(scene.nexts, 2);
    say_as(&scene, "psk:A7", "gh/nodes/press-7/key/commit", "{\"gen\":2}");
    say_as(&scene, "psk:A7", "gh/nodes/press-7/online", "1");
    CHECK_INT(scene.nexts, 2);
    (void)ask(&scene, "node/rotate", "{\"name\":\"press-7\"}"); /* it is under way: no third key */
    CHECK(knows(&scene, "n:A7:1") && knows(&scene, "n:A7:2") && !knows(&scene, "n:A7:3"));
    CHECK(handshake(&scene, "n:A7:2"));
    CHECK(!knows(&scene, "n:A7:1"));
    CHECK_MESSAGE(scene.rig, "$gatehouse/status/pairing/A7", "\"state\":\"rotated\"");
}

TEST(somebody_else_does_not_get_the_next_key_by_saying_that_he_is_online)
{
    cleanup(scene_done) struct scene scene;
    scene_open(&scene);
    pair(&scene);
    (void)ask(&scene, "node/rotate", "{\"name\":\"A7\"}");
    say_as(&scene, NULL, "gh/nodes/press-7/online", "1");
    say_as(&scene, "psk:A8", "gh/nodes/press-7/online", "1");
    say_as(&scene, "psk:A7", "gh/nodes/press-77/online", "1");
    CHECK_INT(scene.nexts, 0);
}

TEST(keys_are_replaced_after_ninety_days)
{
    cleanup(scene_done) struct scene scene;
    scene_open(&scene);
    pair(&scene);
    for (int day = 0; day < 89; day++)
        rig_wait(scene.rig, 86400000);
    CHECK(!knows(&scene, "n:A7:2"));
    rig_wait(scene.rig, 2 * 86400000);
    CHECK(knows(&scene, "n:A7:2"));
    CHECK(knows(&scene, "n:A7:1"));
}

TEST(all_keys_are_replaced_at_once)
{
    cleanup(scene_done) struct scene scene;
    scene_open(&scene);
    pair(&scene);
    CHECK_STR(ask(&scene, "node/rotate", "{\"all\":true}"), "{\"rotating\":1}");
    CHECK(knows(&scene, "n:A7:2"));
}

TEST(a_revoked_node_is_nobody_and_is_disconnected)
{
    cleanup(scene_done) struct scene scene;
    scene_open(&scene);
    pair(&scene);
    (void)ask(&scene, "node/rotate", "{\"name\":\"A7\"}");
    CHECK(strstr(ask(&scene, "node/revoke", "{\"name\":\"A7\"}"), "\"state\":\"revoked\""));
    CHECK_STR(scene.expelled, "psk:A7");
    CHECK(!knows(&scene, "n:A7:1"));
    CHECK(!knows(&scene, "n:A7:2"));
    CHECK(!pairing_who(scene.pairing, "n:A7:1"));
    CHECK(strstr(ask(&scene, "node/rotate", "{\"name\":\"A7\"}"), "\"code\":409"));
    CHECK(
        strstr(ask(&scene, "pair/code", "{\"serial\":\"A7\",\"code\":\"" CODE "\"}"), "is revoked already"));
    CHECK(strstr(ask(&scene, "node/revoke", "{\"name\":\"nobody\"}"), "\"code\":404"));
    CHECK(strstr(ask(&scene, "node/revoke", "{}"), "\"code\":400"));
}

/* ---- starts ------------------------------------------------------------------------------------------------------------------------ */

TEST(every_state_outlives_a_start)
{
    char *folder = folder_new();
    cleanup_free char *db = str_printf("%s/state.db", folder);
    struct scene scene = {0};
    log_capture(quiet);
    scene_start(&scene, db);
    type_code(&scene);
    hello(&scene);
    char offer[512];
    (void)snprintf(offer, sizeof offer, "%s", scene.got[0]);
    scene_stop(&scene);

    scene_start(
        &scene,
        db); /* offered: the key that it was given is the commit; the code would have to be typed again */
    CHECK(!knows(&scene, "pair:A7"));
    uint8_t key[PAIRING_KEY_BYTES];
    char text[3];
    CHECK(pairing_find(scene.pairing, PAIRING_NETWORK, "n:A7:1", key));
    (void)snprintf(text, sizeof text, "%02x", key[0]);
    CHECK(strncmp(strstr(offer, "\"key\":\"") + 7, text, 2) == 0);
    CHECK(handshake(&scene, "n:A7:1"));
    scene_stop(&scene);

    scene_start(&scene, db); /* paired */
    CHECK(knows(&scene, "n:A7:1"));
    (void)ask(&scene, "node/rotate", "{\"name\":\"A7\"}");
    scene_stop(&scene);

    scene_start(&scene, db); /* rotating */
    CHECK(knows(&scene, "n:A7:1"));
    CHECK(knows(&scene, "n:A7:2"));
    CHECK(handshake(&scene, "n:A7:2"));
    scene_stop(&scene);

    scene_start(&scene, db); /* rotated */
    CHECK(!knows(&scene, "n:A7:1"));
    CHECK(knows(&scene, "n:A7:2"));
    (void)ask(&scene, "node/revoke", "{\"name\":\"A7\"}");
    scene_stop(&scene);

    scene_start(&scene, db); /* revoked, and no number of a key is used twice */
    CHECK(!knows(&scene, "n:A7:2"));
    (void)ask(&scene, "node/re-pair", "{\"name\":\"A7\"}");
    type_code(&scene);
    hello(&scene);
    CHECK(strstr(scene.got[0], "\"gen\":3,"));
    scene_done(&scene);
    folder = folder_free(folder);
}
