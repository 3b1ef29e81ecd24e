/* Templates, as an operator manages them. */
#include "provision_rig.h"

#include <stdio.h>

#define CTL "$gatehouse/ctl/template/"

static const char *ask(struct house *house, const char *command, const char *payload)
{
    cleanup_free char *topic = str_printf(CTL "%s", command);
    const char *answer = rig_request(house->rig, topic, payload);
    if (!answer)
        FAIL("%s is not answered", topic);
    return answer;
}

TEST(a_template_is_made_listed_described_replaced_and_deleted)
{
    cleanup(house_free_p) struct house *house = house_new(NULL);
    CHECK_STR(ask(house, "list", ""), "{\"templates\":[]}");
    make_template(house, "press", TEMPLATE_PRESS, ",\"description\":\"all presses\",\"hook\":\"gate\"");
    make_template(house, "a", TEMPLATE_PRESS, ",\"enabled\":false");
    CHECK_STR(
        ask(house, "list", ""),
        "{\"templates\":[{\"name\":\"a\",\"type\":\"FLEET_PROVISIONING\",\"enabled\":false,\"hook\":null,\"description\":\"\","
        "\"version\":1,\"created\":1760000000000,\"modified\":1760000000000},{\"name\":\"press\",\"type\":"
        "\"FLEET_PROVISIONING\",\"enabled\":true,\"hook\":\"gate\",\"description\":\"all presses\",\"version\":1,\"created\":"
        "1760000000000,\"modified\":1760000000000}]}");
    CHECK(strstr(ask(house, "describe", "{\"name\":\"press\"}"), ",\"body\":\"{\\\"Parameters\\\":"));
    rig_wait(house->rig, 1000);
    make_template(house, "press", TEMPLATE_PRESS, ",\"replace\":true");
    house_restart(house);
    const char *answer = ask(house, "describe", "{\"name\":\"press\"}");
    CHECK(strstr(
        answer,
        "\"hook\":null,\"description\":\"\",\"version\":2,\"created\":1760000000000,\"modified\":1760000001000"));
    CHECK(strstr(ask(house, "enable", "{\"name\":\"a\"}"), "\"enabled\":true"));
    house_restart(house);
    CHECK(strstr(ask(house, "disable", "{\"name\":\"a\"}"), "\"enabled\":false"));
    CHECK_STR(ask(house, "delete", "{\"name\":\"press\"}"), "{\"name\":\"press\"}");
    house_restart(house);
    CHECK(strstr(ask(house, "describe", "{\"name\":\"press\"}"), "{\"code\":404,"));
    CHECK(strstr(ask(house, "list", ""), "{\"templates\":[{\"name\":\"a\","));
}

TEST(what_is_wrong_with_a_command_is_said)
{
    cleanup(house_free_p) struct house *house = house_new(NULL);
    make_template(house, "press", TEMPLATE_PRESS, "");
    static const struct {
        const char *command, *payload, *answer;
    } cases[] = {
        {"create", "{", "{\"code\":400,\"message\":\"expected a JSON object\"}"},
        {"create", "{}", "{\"code\":400,\"message\":\"name: expected a string\"}"},
        {"create", "{\"name\":\"a\"}", "{\"code\":400,\"message\":\"body: expected a string\"}"},
        {"create", "{\"name\":\"a/b\",\"body\":\"{}\"}",
         "{\"code\":400,\"message\":\"name: expected 1 to 36 letters, digits, _ or -, found \\\"a/b\\\"\"}"},
        {"create", "{\"name\":\"a\",\"body\":\"{}\"}",
         "{\"code\":400,\"message\":\"body: line 1, column 1: expected Resources\"}"},
        {"create", "{\"name\":\"a\",\"body\":\"{}\",\"type\":\"x\"}",
         "{\"code\":400,\"message\":\"type: expected FLEET_PROVISIONING or JITP\"}"},
        {"create", "{\"name\":\"a\",\"body\":\"{}\",\"hook\":\"+\"}",
         "{\"code\":400,\"message\":\"hook: expected 1 to 36 letters, digits, _ or -, found \\\"+\\\"\"}"},
        {"create", "{\"name\":\"a\",\"body\":\"{}\",\"hook\":\"h\",\"type\":\"JITP\"}",
         "{\"code\":400,\"message\":\"hook: expected none for a template of this type, found \\\"h\\\"\"}"},
        {"create", "{\"names\":\"a\"}",
         "{\"code\":400,\"message\":\"expected name, type, body, description, hook, enabled or replace, found a member "
         "\\\"names\\\"\"}"},
        {"list", "{\"a\":1}", "{\"code\":400,\"message\":\"expected nothing, found a member \\\"a\\\"\"}"},
        {"describe", "{\"name\":\"x\"}", "{\"code\":404,\"message\":\"there is no template \\\"x\\\"\"}"},
        {"enable", "{\"name\":\"x\"}", "{\"code\":404,\"message\":\"there is no template \\\"x\\\"\"}"},
        {"delete", "{\"name\":5}", "{\"code\":400,\"message\":\"name: expected a string\"}"},
    };
    for (size_t i = 0; i < array_size(cases); i++)
        CHECK_STR(ask(house, cases[i].command, cases[i].payload), cases[i].answer);
    struct arena arena = {0};
    struct json_writer w;
    json_writer_init(&w, &arena);
    json_put_string(&w, TEMPLATE_PRESS);
    const char *again = arena_printf(&arena, "{\"name\":\"press\",\"body\":%s}", json_writer_text(&w, NULL));
    CHECK_STR(ask(house, "create", again),
              "{\"code\":409,\"message\":\"there is a template \\\"press\\\" already\"}");
    again = arena_printf(&arena, "{\"name\":\"press\",\"type\":\"JITP\",\"replace\":true,\"body\":%s}",
                         json_writer_text(&w, NULL));
    CHECK(strstr(ask(house, "create", again), "\"code\":4"));
    arena_done(&arena);
}

TEST(a_template_that_does_not_get_to_the_disk_is_not_used)
{
    cleanup(house_free_p) struct house *house = house_new(NULL);
    make_template(house, "press", TEMPLATE_PRESS, ",\"enabled\":false");
    store_fail_next_commit(house->rig->store, -28);
    CHECK_STR(ask(house, "enable", "{\"name\":\"press\"}"),
              "{\"code\":500,\"message\":\"it could not be stored\"}");
    CHECK(strstr(ask(house, "describe", "{\"name\":\"press\"}"), "\"enabled\":false"));
    CHECK(strstr(ask(house, "enable", "{\"name\":\"press\"}"), "\"enabled\":true"));
}
