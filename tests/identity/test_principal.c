#include "identity/principal.h"

#include "rig/test.h"

static bool may_publish(const struct principal *principal, const char *topic)
{
    return policy_allows(principal, POLICY_PUBLISH, topic, strlen(topic));
}

static bool may_subscribe(const struct principal *principal, const char *filter)
{
    return policy_allows(principal, POLICY_SUBSCRIBE, filter, strlen(filter));
}

static bool may_receive(const struct principal *principal, const char *topic)
{
    return policy_allows(principal, POLICY_RECEIVE, topic, strlen(topic));
}

TEST(a_node_has_its_own_topics_and_no_others)
{
    cleanup(principal_unref_p) struct principal *node = principal_new_node("pump1");
    CHECK(may_publish(node, "dt/pump1/env"));
    CHECK(may_publish(node, "$aws/things/pump1/shadow/update"));
    CHECK(may_publish(node, "$aws/things/pump1/shadow/name/cfg/get"));
    CHECK(may_publish(node, "cmd/pump1/reset/reply"));
    CHECK(may_publish(node, "gh/nodes/pump1/online"));
    CHECK(!may_publish(node, "dt/pump2/env"));
    CHECK(!may_publish(node, "cmd/pump1/reset"));
    CHECK(!may_publish(node, "$aws/things/pump2/shadow/update"));
    CHECK(!may_publish(node, "$gatehouse/ctl/gateway/status"));
    CHECK(!may_publish(node, "anything"));

    CHECK(may_subscribe(node, "$aws/things/pump1/shadow/update/delta"));
    CHECK(may_subscribe(node, "$aws/things/pump1/#"));
    CHECK(may_subscribe(node, "cmd/pump1/+"));
    CHECK(!may_subscribe(node, "cmd/+/reset"));
    CHECK(!may_subscribe(node, "#"));
    CHECK(!may_subscribe(node, "$aws/#"));

    CHECK(may_receive(node, "cmd/pump1/reset"));
    CHECK(may_receive(node, "$aws/things/pump1/shadow/update/delta"));
    CHECK(!may_receive(node, "cmd/pump2/reset"));
    CHECK(!may_receive(node, "$aws/things/pump2/shadow/update/delta"));
}

TEST(a_node_cannot_speak_as_the_shadow_service)
{
    cleanup(principal_unref_p) struct principal *node = principal_new_node("pump1");
    CHECK(!may_publish(node, "$aws/things/pump1/shadow/update/accepted"));
    CHECK(!may_publish(node, "$aws/things/pump1/shadow/update/delta"));
    CHECK(!may_publish(node, "$aws/things/pump1/shadow/name/cfg/get/rejected"));
    CHECK(!may_publish(node, "$aws/things/pump1/shadow/name/cfg/update/documents"));
}

TEST(a_name_that_is_a_wildcard_gets_nothing)
{
    cleanup(principal_unref_p) struct principal *node = principal_new_node("+");
    CHECK(!may_publish(node, "dt/+/env"));
    CHECK(!may_publish(node, "dt/pump1/env"));
    CHECK(!may_subscribe(node, "cmd/+/x"));
}

TEST(a_plugin_has_what_its_section_lists)
{
    cleanup(principal_unref_p) struct principal *plugin =
        principal_new_plugin("threshold", " alarm/#  status/threshold", "dt/+/env");
    CHECK(may_publish(plugin, "alarm/pump1"));
    CHECK(may_publish(plugin, "status/threshold"));
    CHECK(!may_publish(plugin, "dt/pump1/env"));
    CHECK(may_subscribe(plugin, "dt/+/env"));
    CHECK(may_subscribe(plugin, "dt/pump1/env"));
    CHECK(!may_subscribe(plugin, "dt/#"));

    cleanup(principal_unref_p) struct principal *none = principal_new_plugin("none", NULL, "");
    CHECK(!may_publish(none, "a"));
    CHECK(!may_subscribe(none, "a"));
}

TEST(a_plugin_may_serve_a_hook_of_provisioning)
{
    cleanup(principal_unref_p) struct principal *plugin = principal_new_plugin(
        "gate", "$gatehouse/provisioning/answers/+", "$gatehouse/provisioning/hooks/gate");
    CHECK(may_subscribe(plugin, "$gatehouse/provisioning/hooks/gate"));
    CHECK(may_publish(plugin, "$gatehouse/provisioning/answers/0123"));
    CHECK(!may_subscribe(plugin, "$gatehouse/provisioning/hooks/other"));
}

static bool allow_everything(struct principal_permit *permit, enum policy_action action, const char *name,
                             size_t len)
{
    (void)permit, (void)action, (void)name, (void)len;
    return true;
}

static void permit_done(struct principal_permit *permit)
{
    (void)permit;
}

TEST(no_policy_lets_a_device_answer_in_place_of_who_provisions)
{
    struct principal_permit permit = {.allows = allow_everything, .done = permit_done};
    cleanup(principal_unref_p) struct principal *device = principal_new_registered("00ff", "claim", &permit);
    CHECK(may_publish(device, "$aws/certificates/create/json"));
    CHECK(may_publish(device, "$aws/provisioning-templates/press/provision/cbor"));
    CHECK(may_subscribe(device, "$aws/certificates/create/json/accepted"));
    CHECK(!may_publish(device, "$aws/certificates/create/json/accepted"));
    CHECK(!may_publish(device, "$aws/certificates/create-from-csr/cbor/rejected"));
    CHECK(!may_publish(device, "$aws/provisioning-templates/press/provision/json/accepted"));
    CHECK(!may_publish(device, "$gatehouse/provisioning/answers/0123"));
    CHECK(!may_subscribe(device, "$gatehouse/provisioning/hooks/gate"));
    static const char question[] = "$gatehouse/provisioning/hooks/gate";
    CHECK(!policy_allows(device, POLICY_RECEIVE, question, strlen(question)));
}

TEST(no_policy_makes_a_device_an_operator_of_plugins)
{
    struct principal_permit permit = {.allows = allow_everything, .done = permit_done};
    cleanup(principal_unref_p) struct principal *device = principal_new_registered("00ff", "press", &permit);
    static const char config[] = "$gatehouse/plugins/threshold/config";
    CHECK(!may_publish(device, config));
    CHECK(!may_subscribe(device, config));
    CHECK(!policy_allows(device, POLICY_RECEIVE, config, strlen(config)));
    CHECK(!may_publish(device, "$gatehouse/plugins/influx/delivered/plant"));
    CHECK(!may_publish(device, "$gatehouse/rest/answer/0123"));
    CHECK(may_publish(device, "$gatehouse/streams/x/append"));
}

static bool may_be_answered(const struct principal *principal, const char *topic)
{
    return principal_may_be_answered(principal, topic, strlen(topic));
}

TEST(nobody_makes_the_house_speak_where_it_speaks_alone_by_asking_for_an_answer_there)
{
    struct principal_permit permit = {.allows = allow_everything, .done = permit_done};
    cleanup(principal_unref_p) struct principal *device = principal_new_registered("00ff", "press", &permit);
    cleanup(principal_unref_p) struct principal *node = principal_new_node("press-7");
    cleanup(principal_unref_p) struct principal *open = principal_new_unlimited(PRINCIPAL_OPEN, "anybody");
    static const char *const closed[] = {
        "$gatehouse/ctl/ca/rotate", "$gatehouse/status/gateway", "$aws/things/other/shadow/update/accepted",
        "$gatehouse/cloud/aws/receive/$aws/things/other/shadow/get/accepted"};
    for (size_t i = 0; i < array_size(closed); i++) {
        CHECK(!may_be_answered(device, closed[i]));
        CHECK(!may_be_answered(node, closed[i]));
        CHECK(may_be_answered(open, closed[i]));
    }
    CHECK(may_be_answered(device, "answers/press"));
    CHECK(may_be_answered(node, "cmd/press-7/answer"));
}

TEST(a_name_that_keys_prove_is_proven_by_nothing_else)
{
    struct principal_permit permit = {.allows = allow_everything, .done = permit_done};
    cleanup(principal_unref_p) struct principal *key = principal_new_paired("A7", "press-7");
    cleanup(principal_unref_p) struct principal *pairing = principal_new_pairing("A7");
    cleanup(principal_unref_p) struct principal *node = principal_new_node("press-7");
    cleanup(principal_unref_p) struct principal *false_key = principal_new_node("psk:A7");
    cleanup(principal_unref_p) struct principal *thing = principal_new_registered("0f", "pair:A7", &permit);
    cleanup(principal_unref_p) struct principal *open = principal_new_unlimited(PRINCIPAL_OPEN, "anybody");
    CHECK_STR(principal_proven_name(key), "psk:A7");
    CHECK_STR(principal_proven_name(pairing), "pair:A7");
    CHECK_STR(principal_proven_name(node), "press-7");
    CHECK(!principal_proven_name(false_key));
    CHECK(!principal_proven_name(thing));
    cleanup(principal_unref_p) struct principal *user = principal_new_registered("user:a", "user:a", &permit);
    cleanup(principal_unref_p) struct principal *as_thing =
        principal_new_registered("user:a", "psk:A7", &permit);
    user->kind = as_thing->kind = PRINCIPAL_USER;
    CHECK_STR(principal_proven_name(user), "user:a");
    CHECK(!principal_proven_name(as_thing));
    CHECK(!principal_proven_name(open));
}

TEST(an_open_principal_may_do_everything)
{
    cleanup(principal_unref_p) struct principal *open = principal_new_unlimited(PRINCIPAL_OPEN, "anybody");
    CHECK(may_publish(open, "$gatehouse/streams/x/append"));
    CHECK(may_subscribe(open, "#"));
}
