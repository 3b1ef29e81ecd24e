/* Which shadows there are, asked for. */
#include "services/shadow/shadow_rig.h"

#include <stdio.h>

static const char list[] = "$gatehouse/ctl/shadow/list";

static void make(struct shadow_rig *rig, const char *shadow)
{
    char topic[200];
    (void)snprintf(topic, sizeof topic, "$aws/things/%s/update", shadow);
    ask(rig, topic, "{\"state\":{\"reported\":{\"v\":1}}}");
    rig_turn(rig->house);
}

static const char *names(struct shadow_rig *rig, const char *request)
{
    const char *answer = rig_request(rig->house, list, request);
    CHECK(answer);
    return answer;
}

TEST(shadows_are_listed_in_order_page_by_page)
{
    cleanup(shadow_rig_free_p) struct shadow_rig *rig = shadow_rig_new(NULL);
    CHECK_STR(names(rig, ""), "{\"shadows\":[],\"more\":false}");
    static const char *const shadows[] = {"b/shadow", "a/shadow/name/y", "a/shadow", "a/shadow/name/x",
                                          "gone/shadow"};
    for (size_t i = 0; i < array_size(shadows); i++)
        make(rig, shadows[i]);
    make(rig, "b/shadow");
    ask(rig, "$aws/things/gone/shadow/delete", "");
    rig_turn(rig->house);
    CHECK_STR(names(rig, "{}"),
              "{\"shadows\":[{\"thing\":\"a\",\"name\":null,\"version\":1},"
              "{\"thing\":\"a\",\"name\":\"x\",\"version\":1},{\"thing\":\"a\",\"name\":\"y\",\"version\":1},"
              "{\"thing\":\"b\",\"name\":null,\"version\":2}],\"more\":false}");
    CHECK_STR(names(rig, "{\"limit\":2}"), "{\"shadows\":[{\"thing\":\"a\",\"name\":null,\"version\":1},"
                                           "{\"thing\":\"a\",\"name\":\"x\",\"version\":1}],\"more\":true}");
    CHECK_STR(
        names(rig, "{\"after\":{\"thing\":\"a\",\"name\":\"x\"},\"limit\":2}"),
        "{\"shadows\":[{\"thing\":\"a\",\"name\":\"y\",\"version\":1},{\"thing\":\"b\",\"name\":null,\"version\":2}],"
        "\"more\":false}");
    CHECK_STR(names(rig, "{\"after\":{\"thing\":\"b\",\"name\":null}}"), "{\"shadows\":[],\"more\":false}");
}

TEST(what_is_no_such_request_is_refused)
{
    cleanup(shadow_rig_free_p) struct shadow_rig *rig = shadow_rig_new(NULL);
    static const char *const wrong[] = {"nonsense",       "[]",
                                        "{\"limit\":0}",  "{\"limit\":1001}",
                                        "{\"after\":{}}", "{\"after\":{\"thing\":\"a\",\"name\":7}}"};
    for (size_t i = 0; i < array_size(wrong); i++)
        CHECK_HAS(names(rig, wrong[i]), "\"code\":400");
}
