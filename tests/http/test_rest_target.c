#include "http/rest_target.h"

#include "rig/test.h"

#include <stdio.h>

struct parsed {
    char bytes[HTTP_HEAD_MAX], room[REST_ROOM];
    struct http_head head;
    struct rest_target target;
    int status;
    const char *allow, *why;
};

static void parse(struct parsed *ret, const char *method, const char *path)
{
    size_t used;
    const char *why = NULL;
    int len = snprintf(ret->bytes, sizeof ret->bytes, "%s %s HTTP/1.1\r\nHost: h\r\n\r\n", method, path);
    CHECK(len > 0 && len < (int)sizeof ret->bytes);
    CHECK_INT(http_head_parse(&ret->head, ret->bytes, (size_t)len, &used, &why), 0);
    ret->allow = ret->why = NULL;
    ret->status = rest_target_parse(&ret->target, &ret->head, ret->room, &ret->allow, &ret->why);
}

static void check_text(struct http_text text, const char *expected)
{
    CHECK_MEM(text.at, text.len, expected, strlen(expected));
}

/* ---- shadows ------------------------------------------------------------------------------------------------------- */

static const struct {
    const char *method, *path;
    enum rest_verb verb;
    const char *thing, *name;
} shadows[] = {
    {"GET", "/things/pump1/shadow", REST_GET_SHADOW, "pump1", ""},
    {"POST", "/things/pump1/shadow", REST_UPDATE_SHADOW, "pump1", ""},
    {"DELETE", "/things/pump1/shadow", REST_DELETE_SHADOW, "pump1", ""},
    {"GET", "/things/a:b_C-9/shadow?name=cfg", REST_GET_SHADOW, "a:b_C-9", "cfg"},
    {"GET", "/things/a%3Ab/shadow?name=x%3ay", REST_GET_SHADOW, "a:b", "x:y"},
    {"GET", "/things/%70%75mp/shadow?other=%zz&name=n&&x", REST_GET_SHADOW, "pump", "n"},
    {"GET", "/things/shadow/shadow", REST_GET_SHADOW, "shadow", ""},
    {"GET", "http://h:1/things/p/shadow?name=n", REST_GET_SHADOW, "p", "n"},
    {"GET", "/things/p/shadow?", REST_GET_SHADOW, "p", ""},
};

TEST(a_path_names_a_shadow)
{
    for (size_t i = 0; i < array_size(shadows); i++) {
        static struct parsed it;
        parse(&it, shadows[i].method, shadows[i].path);
        CHECK_INT(it.status, 0);
        CHECK_INT(it.target.verb, shadows[i].verb);
        check_text(it.target.thing, shadows[i].thing);
        check_text(it.target.name, shadows[i].name);
    }
}

TEST(names_have_their_limits)
{
    static struct parsed it;
    char thing[REST_THING_MAX + 2] = {0}, name[REST_NAME_MAX + 2] = {0};
    memset(thing, 't', REST_THING_MAX);
    memset(name, 'n', REST_NAME_MAX);
    cleanup_free char *longest = str_printf("/things/%s/shadow?name=%s", thing, name);
    parse(&it, "GET", longest);
    CHECK_INT(it.status, 0);
    cleanup_free char *long_name = str_printf("/things/%s/shadow?name=%sn", thing, name);
    parse(&it, "GET", long_name);
    CHECK_INT(it.status, 400);
    CHECK_STR(it.why, "Invalid shadow name");
    thing[REST_THING_MAX] = 't';
    cleanup_free char *long_thing = str_printf("/things/%s/shadow", thing);
    parse(&it, "GET", long_thing);
    CHECK_INT(it.status, 400);
    CHECK_STR(it.why, "Invalid thing name");
}

/* ---- lists and topics ---------------------------------------------------------------------------------------------- */

#define LIST "/api/things/shadow/ListNamedShadowsForThing/"

TEST(a_path_names_a_thing_whose_shadows_are_listed)
{
    static struct parsed it;
    parse(&it, "GET", LIST "pump%3a1");
    CHECK_INT(it.status, 0);
    CHECK_INT(it.target.verb, REST_LIST_SHADOWS);
    check_text(it.target.thing, "pump:1");
    CHECK(!it.target.next_token.at);
    CHECK_INT((int64_t)it.target.page_size.len, 0);
    parse(&it, "GET", LIST "p?pageSize=25&nextToken=Y2Zn%3D&name=x");
    CHECK_INT(it.status, 0);
    check_text(it.target.page_size, "25");
    check_text(it.target.next_token, "Y2Zn=");
    parse(&it, "GET", LIST "p?nextToken=");
    CHECK_INT(it.status, 0);
    CHECK(it.target.next_token.at && !it.target.next_token.len);
}

static const struct {
    const char *path, *topic;
    unsigned qos;
    bool retain;
} topics[] = {
    {"/topics/a", "a", 0, false},
    {"/topics/a/b?qos=1", "a/b", 1, false},
    {"/topics/a%2Fb%2fc?qos=0&retain=true", "a/b/c", 0, true},
    {"/topics//a/", "/a/", 0, false},
    {"/topics/%24aws/rules/x", "$aws/rules/x", 0, false},
    {"/topics/$aws/rules/x?retain=false", "$aws/rules/x", 0, false},
    {"/topics/gr%C3%BC%C3%9Fe",
     "gr\xc3\xbc\xc3\x9f"
     "e",
     0, false},
    {"/topics/100%25", "100%", 0, false},
    {"/topics/things/x/shadow", "things/x/shadow", 0, false},
};

TEST(a_path_names_a_topic)
{
    for (size_t i = 0; i < array_size(topics); i++) {
        static struct parsed it;
        parse(&it, "POST", topics[i].path);
        CHECK_INT(it.status, 0);
        CHECK_INT(it.target.verb, REST_PUBLISH);
        check_text(it.target.topic, topics[i].topic);
        CHECK_INT(it.target.qos, topics[i].qos);
        CHECK_INT(it.target.retain, topics[i].retain);
    }
}

/* ---- refused ------------------------------------------------------------------------------------------------------- */

#define NOWHERE                                                                                              \
    "expected /things/THING/shadow, /api/things/shadow/ListNamedShadowsForThing/THING, /topics/TOPIC or /metrics"
#define HEX   "expected two hexadecimal digits behind %"
#define TOPIC "expected a topic in UTF-8, without + and # and control characters"

static const struct {
    const char *method, *path;
    int status;
    const char *why, *allow;
} bad[] = {
    {"GET", "/", 404, NOWHERE},
    {"OPTIONS", "*", 404, NOWHERE},
    {"GET", "/metrics/", 404, NOWHERE},
    {"POST", "/metrics", 405, "Method not allowed", "GET"},
    {"GET", "/things", 404, NOWHERE},
    {"GET", "/things/shadow", 404, NOWHERE},
    {"GET", "/things//shadow", 404, NOWHERE},
    {"GET", "/things/p/shadow/", 404, NOWHERE},
    {"GET", "/things/p/shadows", 404, NOWHERE},
    {"GET", "/things/a/b/shadow", 404, NOWHERE},
    {"GET", "/Things/p/shadow", 404, NOWHERE},
    {"GET", "/things/p%2Fshadow", 404, NOWHERE},
    {"GET", LIST, 404, NOWHERE},
    {"GET", LIST "a/b", 404, NOWHERE},
    {"POST", "/topics", 404, NOWHERE},

    {"PUT", "/things/p/shadow", 405, "Method not allowed", "GET, POST, DELETE"},
    {"HEAD", "/things/p/shadow", 405, "Method not allowed", "GET, POST, DELETE"},
    {"get", "/things/p/shadow", 405, "Method not allowed", "GET, POST, DELETE"},
    {"POST", LIST "p", 405, "Method not allowed", "GET"},
    {"GET", "/topics/a", 405, "Method not allowed", "POST"},

    {"GET", "/things/p%/shadow", 400, HEX},
    {"GET", "/things/p%4/shadow", 400, HEX},
    {"GET", "/things/p%4g/shadow", 400, HEX},
    {"GET", "/things/p%g4/shadow", 400, HEX},
    {"GET", "/things/p%%41/shadow", 400, HEX},
    {"GET", "/things/p/shadow?name=%", 400, HEX},
    {"GET", "/things/p/shadow?name=a%f", 400, HEX},
    {"POST", "/topics/a%0", 400, HEX},
    {"GET", "/things/a%2Fb/shadow", 400, "Invalid thing name"},
    {"GET", "/things/a.b/shadow", 400, "Invalid thing name"},
    {"GET", "/things/a%00/shadow", 400, "Invalid thing name"},
    {"GET", "/things/+/shadow", 400, "Invalid thing name"},
    {"GET", "/things/%C3%A4/shadow", 400, "Invalid thing name"},
    {"GET", "/things/p/shadow?name=", 400, "Invalid shadow name"},
    {"GET", "/things/p/shadow?name", 400, "Invalid shadow name"},
    {"GET", "/things/p/shadow?name=a/b", 400, "Invalid shadow name"},
    {"GET", "/things/p/shadow?name=%24package", 400, "Invalid shadow name"},
    {"GET", "/things/p/shadow?name=a+b", 400, "Invalid shadow name"},
    {"GET", "/things/p/shadow?name=a&name=a", 400, "expected one name"},
    {"GET", LIST "a%20b", 400, "Invalid thing name"},
    {"GET", LIST "p?pageSize=", 400, "Invalid pageSize"},
    {"GET", LIST "p?pageSize=0", 400, "Invalid pageSize"},
    {"GET", LIST "p?pageSize=-1", 400, "Invalid pageSize"},
    {"GET", LIST "p?pageSize=01", 400, "Invalid pageSize"},
    {"GET", LIST "p?pageSize=1000", 400, "Invalid pageSize"},
    {"GET", LIST "p?pageSize=1e1", 400, "Invalid pageSize"},
    {"GET", LIST "p?pageSize=1&pageSize=2", 400, "expected one pageSize"},
    {"GET", LIST "p?nextToken=%00", 400, "Invalid nextToken"},
    {"GET", LIST "p?nextToken=%ff", 400, "Invalid nextToken"},
    {"POST", "/topics/", 400, TOPIC},
    {"POST", "/topics/a/%2B", 400, TOPIC},
    {"POST", "/topics/a/#", 400, TOPIC},
    {"POST", "/topics/a+b", 400, TOPIC},
    {"POST", "/topics/a%00b", 400, TOPIC},
    {"POST", "/topics/a%0ab", 400, TOPIC},
    {"POST", "/topics/%C0%AF", 400, TOPIC},
    {"POST", "/topics/%ED%A0%80", 400, TOPIC},
    {"POST", "/topics/a?qos=2", 400, "expected qos=0 or qos=1"},
    {"POST", "/topics/a?qos=", 400, "expected qos=0 or qos=1"},
    {"POST", "/topics/a?qos=1&qos=1", 400, "expected one qos"},
    {"POST", "/topics/a?retain=1", 400, "expected retain=true or retain=false"},
    {"POST", "/topics/a?retain=true&retain=true", 400, "expected one retain"},
};

TEST(what_is_not_there_or_not_well_formed_is_refused)
{
    for (size_t i = 0; i < array_size(bad); i++) {
        static struct parsed it;
        parse(&it, bad[i].method, bad[i].path);
        if (it.status != bad[i].status || strcmp(it.why, bad[i].why) != 0)
            FAIL("%s %s: %d: %s", bad[i].method, bad[i].path, it.status, it.why ? it.why : "taken");
        CHECK_STR(it.allow ? it.allow : "", bad[i].allow ? bad[i].allow : "");
    }
}

TEST(a_path_as_long_as_a_head_can_have_fits_in_the_room)
{
    static struct parsed it;
    static char path[8000];
    size_t at = (size_t)snprintf(path, sizeof path, "/topics/");
    memset(path + at, 'a', sizeof path - 1 - at);
    parse(&it, "POST", path);
    CHECK_INT(it.status, 0);
    CHECK_INT((int64_t)it.target.topic.len, (int64_t)(sizeof path - 1 - at));
    char *token = path + snprintf(path, sizeof path, LIST "p?nextToken=");
    memset(token, 'a', REST_TOKEN_MAX + 1);
    token[REST_TOKEN_MAX] = '\0';
    parse(&it, "GET", path);
    CHECK_INT(it.status, 0);
    token[REST_TOKEN_MAX] = 'a';
    token[REST_TOKEN_MAX + 1] = '\0';
    parse(&it, "GET", path);
    CHECK_INT(it.status, 400);
}
