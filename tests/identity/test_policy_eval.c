/* How decisions come about: patterns, variables, conditions. */
#include "policy_rig.h"

#include <stdio.h>

#define ALLOWED  "ALLOWED"
#define IMPLICIT "IMPLICIT_DENY"
#define EXPLICIT "EXPLICIT_DENY"

static bool matches(const char *pattern, const char *text)
{
    struct arena arena;
    struct policy_context context;
    arena_init(&arena);
    policy_context_init(&context, NULL);
    policy_context_add(&context, "x", "v*", 2);
    struct policy_match match = {.context = &context};
    struct policy_pattern compiled = policy_pattern_compile(&arena, pattern, strlen(pattern), true);
    bool matched = policy_pattern_matches(&compiled, &match, text, strlen(text));
    policy_context_done(&context);
    arena_done(&arena);
    return matched;
}

TEST(a_pattern_matches_the_whole_text)
{
    static const struct {
        const char *pattern, *text;
        bool matches;
    } cases[] = {
        {"", "", true},
        {"", "a", false},
        {"a", "", false},
        {"a", "a", true},
        {"a", "ab", false},
        {"*", "", true},
        {"*", "a/b:c", true},
        {"a*", "a", true},
        {"*a", "bab", false},
        {"*a", "baba", true},
        {"*ab*", "aab", true},
        {"a*b*c", "a1b2b3c", true},
        {"a*b*c", "a1c2b", false},
        {"?", "", false},
        {"?", "/", true},
        {"?", "\xE2\x82\xAC", true},
        {"??", "\xE2\x82\xAC", false},
        {"*??", "\xE2\x82\xAC", false},
        {"*?", "\xC3\xA9\xC3\xA9", true},
        {"*aab", "aaaab", true},
        {"*aab*aab", "aab", false},
        {"a**b", "ab", true},
        {"${x}", "v*", true},
        {"${x}", "vx", false},
        {"*${x}", "vv*", true},
        {"${y}", "${y}", false},
        {"*${y}*", "${y}", false},
        {"$", "$", true},
        {"${", "${", true},
        {"${x", "${x", true},
        {"${}", "${}", true},
        {"${*}?", "*a", true},
        {"${*}?", "aa", false},
        {"${$}{x}", "${x}", true},
        {"+/#", "+/#", true},
        {"+", "a", false},
        {"#", "a/b", false},
    };
    for (size_t i = 0; i < array_size(cases); i++)
        if (matches(cases[i].pattern, cases[i].text) != cases[i].matches)
            FAIL("%s on %s", cases[i].pattern, cases[i].text);
}

TEST(the_statement_that_decided_is_named)
{
    cleanup(policy_rig_free_p) struct policy_rig *rig = policy_rig_new();
    policy_rig_add(rig, "[{'Effect':'Allow','Action':'iot:Connect','Resource':'*'},"
                        "{'Effect':'Allow','Action':'iot:Publish','Resource':'~topic/a/*'},"
                        "{'Effect':'Allow','Action':'iot:Publish','Resource':'~topic/*'}]");
    policy_rig_add(rig, "[{'Effect':'Allow','Action':'iot:Receive','Resource':'*'},"
                        "{'Effect':'Deny','Action':'iot:Publish','Resource':'~topic/a/x'}]");
    CHECK_STR(policy_rig_ask(rig, "Publish", "topic/a/b"), ALLOWED);
    CHECK(rig->verdict.policy == rig->policies[0]);
    CHECK_INT(rig->verdict.statement, 1);
    CHECK_STR(policy_rig_ask(rig, "Publish", "topic/a/x"), EXPLICIT);
    CHECK(rig->verdict.policy == rig->policies[1]);
    CHECK_INT(rig->verdict.statement, 1);
    CHECK_STR(policy_rig_ask(rig, "Subscribe", "topicfilter/a"), IMPLICIT);
    CHECK(rig->verdict.policy == NULL);
}

TEST(keys_that_had_no_value_are_named)
{
    cleanup(policy_rig_free_p) struct policy_rig *rig = policy_rig_new();
    policy_rig_add(
        rig, "[{'Effect':'Allow','Action':'iot:Publish','Resource':["
             "'~topic/a/${iot:Connection.Thing.ThingName}','~topic/a/${IOT:connection.thing.thingname}/*',"
             "'~topic/other/${iot:DomainName}']},"
             "{'Effect':'Allow','Action':'*','Resource':'*','Condition':{'Bool':"
             "{'iot:Connection.Thing.IsAttached':true}}}]");
    CHECK_STR(policy_rig_ask(rig, "Publish", "topic/a/b"), IMPLICIT);
    CHECK_INT(rig->verdict.missing_count, 2);
    CHECK_MEM(rig->verdict.missing[0]->name.text, rig->verdict.missing[0]->name.len,
              "iot:Connection.Thing.ThingName", 30);
    CHECK_MEM(rig->verdict.missing[1]->name.text, rig->verdict.missing[1]->name.len,
              "iot:Connection.Thing.IsAttached", 31);
}

TEST(a_client_id_that_is_a_variable_opens_nothing)
{
    cleanup(policy_rig_free_p) struct policy_rig *rig = policy_rig_new();
    policy_rig_know(rig, "iot:ClientId", "${iot:Connection.Thing.ThingName}");
    policy_rig_add(rig, "[{'Effect':'Allow','Action':'iot:Connect','Resource':'~client/"
                        "${iot:Connection.Thing.ThingName}'}]");
    CHECK_STR(policy_rig_ask(rig, "Connect", "client/${iot:Connection.Thing.ThingName}"), IMPLICIT);
    policy_rig_know(rig, "iot:Connection.Thing.ThingName", "press-07");
    CHECK_STR(policy_rig_ask(rig, "Connect", "client/press-07"), ALLOWED);
}

TEST(long_values_and_certificates_with_wildcards_are_not_substituted)
{
    static char longest[2 * POLICY_SUBSTITUTE_MAX + 3], resource[sizeof longest + 8];
    for (size_t i = 0; i < POLICY_SUBSTITUTE_MAX; i++)
        memcpy(longest + 2 * i, "\xC3\xA9", 2);
    cleanup(policy_rig_free_p) struct policy_rig *rig = policy_rig_new();
    policy_rig_add(rig, "{'Effect':'Allow','Action':'iot:Publish','Resource':['~topic/${iot:ClientId}',"
                        "'~topic/${iot:DomainName}','~topic/${iot:Certificate.Subject.Title}']}");
    policy_rig_know(rig, "iot:ClientId", longest);
    (void)snprintf(resource, sizeof resource, "topic/%s", longest);
    CHECK_STR(policy_rig_ask(rig, "Publish", resource), ALLOWED);
    memcpy(longest + strlen(longest), "x", 2);
    policy_rig_know(rig, "iot:DomainName", longest);
    (void)snprintf(resource, sizeof resource, "topic/%s", longest);
    CHECK_STR(policy_rig_ask(rig, "Publish", resource), IMPLICIT);
    policy_rig_know(rig, "iot:Certificate.Subject.Title", "a#");
    CHECK_STR(policy_rig_ask(rig, "Publish", "topic/a#"), IMPLICIT);
}

TEST(five_values_of_a_certificates_field_count_and_its_name_is_available)
{
    cleanup(policy_rig_free_p) struct policy_rig *rig = policy_rig_new();
    for (char unit[] = "a"; *unit < 'g'; ++*unit)
        policy_rig_know(rig, "iot:Certificate.Subject.OrganizationalUnit", unit);
    policy_rig_add(
        rig,
        "[{'Effect':'Allow','Action':'iot:Publish','Resource':["
        "'~topic/0/${iot:Certificate.Subject.OrganizationalUnit.0}',"
        "'~topic/1/${iot:Certificate.Subject.OrganizationalUnit.1}',"
        "'~topic/4/${iot:Certificate.Subject.OrganizationalUnit.4}',"
        "'~topic/5/${iot:Certificate.Subject.OrganizationalUnit.5}']},"
        "{'Effect':'Allow','Action':'iot:Receive','Resource':'~topic/*','Condition':"
        "{'ForAnyValue:StringEquals':{'iot:Certificate.Subject.OrganizationalUnit.List':'f'}}},"
        "{'Effect':'Allow','Action':'iot:Connect','Resource':'*','Condition':{'ForAllValues:StringEquals':"
        "{'iot:Certificate.AvailableKeys':'iot:Certificate.Subject.OrganizationalUnit'}}}]");
    CHECK_STR(policy_rig_ask(rig, "Publish", "topic/0/a"), ALLOWED);
    CHECK_STR(policy_rig_ask(rig, "Publish", "topic/1/b"), ALLOWED);
    CHECK_STR(policy_rig_ask(rig, "Publish", "topic/4/e"), ALLOWED);
    CHECK_STR(policy_rig_ask(rig, "Publish", "topic/5/f"), IMPLICIT);
    CHECK_STR(policy_rig_ask(rig, "Receive", "topic/a"), IMPLICIT);
    CHECK_STR(policy_rig_ask(rig, "Connect", "client/a"), ALLOWED);
    policy_rig_know(rig, "iot:Certificate.Subject.Country", "DE");
    CHECK_STR(policy_rig_ask(rig, "Connect", "client/a"), IMPLICIT);
}

/* Whether the condition holds for what the rig knows. */
static bool holds_at(const struct policy_rig *rig, const char *condition, int64_t wall_ms)
{
    char statements[512];
    struct policy_request request = {.action = IOT_CONNECT, .name = "c", .len = 1, .wall_ms = wall_ms};
    cleanup(policy_rig_free_p) struct policy_rig *asked = policy_rig_new();
    (void)snprintf(statements, sizeof statements,
                   "[{'Effect':'Allow','Action':'*','Resource':'*','Condition':%s}]", condition);
    policy_rig_add(asked, statements);
    return policy_decide(&asked->set, &rig->context, &request, NULL) == POLICY_ALLOWED;
}

TEST(conditions_compare)
{
    static const struct {
        const char *condition;
        bool holds;
    } cases[] = {
        {"{'StringEquals':{'k':'Plant'}}", true},
        {"{'StringEquals':{'K':['x','Plant']}}", true},
        {"{'StringEquals':{'k':'plant'}}", false},
        {"{'StringEquals':{'k':'Pl*'}}", false},
        {"{'StringEquals':{'k':'${k}'}}", true},
        {"{'StringEquals':{'v':'${nothing}'}}", true}, /* stays as text, and that is the value */
        {"{'StringNotEquals':{'k':['x','Plant']}}", false},
        {"{'StringNotEquals':{'k':['x','y']}}", true},
        {"{'StringEqualsIgnoreCase':{'k':'pLANT'}}", true},
        {"{'StringNotEqualsIgnoreCase':{'k':'pLANT'}}", false},
        {"{'StringLike':{'k':'P?a*'}}", true},
        {"{'StringNotLike':{'k':'P?a*'}}", false},
        {"{'StringEquals':{'n':7.50}}", true},
        {"{'NumericEquals':{'n':7.5}}", true},
        {"{'NumericEquals':{'n':'75e-1'}}", true},
        {"{'NumericNotEquals':{'n':[1,7.5]}}", false},
        {"{'NumericLessThan':{'n':7.5}}", false},
        {"{'NumericLessThanEquals':{'n':7.5}}", true},
        {"{'NumericGreaterThan':{'n':-8}}", true},
        {"{'NumericGreaterThanEquals':{'n':10}}", false},
        {"{'NumericEquals':{'k':1}}", false},
        {"{'NumericNotEquals':{'k':1}}", true},
        {"{'Bool':{'t':'TRUE'}}", true},
        {"{'Bool':{'t':false}}", false},
        {"{'Bool':{'k':false}}", false},
        {"{'IpAddress':{'ip':'10.20.0.0/16'}}", true},
        {"{'IpAddress':{'ip':'10.20.3.4'}}", true},
        {"{'IpAddress':{'ip':['10.20.3.5','10.21.0.0/16']}}", false},
        {"{'IpAddress':{'ip':'::ffff:10.20.3.4'}}", true},
        {"{'NotIpAddress':{'ip':'10.20.3.0/29'}}", false},
        {"{'IpAddress':{'ip6':'2001:db8::/33'}}", true},
        {"{'IpAddress':{'ip6':'0.0.0.0/0'}}", false},
        {"{'IpAddress':{'k':'0.0.0.0/0'}}", false},
        {"{'ArnLike':{'arn':'arn:aws:iot:*:*:topic/will/*'}}", true},
        {"{'ArnEquals':{'arn':'arn:aws:iot:l?cal:*:*'}}", true},
        {"{'ArnNotLike':{'arn':'arn:aws:iot:*:*:topic/other'}}", true},
        {"{'ArnLike':{'k':'arn:*:*:*:*:*'}}", false},
        {"{'Null':{'k':false}}", true},
        {"{'Null':{'none':true}}", true},
        {"{'Null':{'empty':true}}", true},
        {"{'Null':{'k':true}}", false},
        {"{'StringEquals':{'none':'x'}}", false},
        {"{'StringNotEquals':{'none':'x'}}", true},
        {"{'StringEqualsIfExists':{'none':'x'}}", true},
        {"{'ForAllValues:StringEquals':{'none':'x'}}", true},
        {"{'ForAnyValue:StringNotEquals':{'none':'x'}}", false},
        {"{'ForAllValues:StringEquals':{'set':['a','b','c']}}", true},
        {"{'ForAllValues:StringEquals':{'set':['a']}}", false},
        {"{'ForAllValues:StringEquals':{'set':[]}}", false},
        {"{'ForAllValues:StringEquals':{'empty':[]}}", true},
        {"{'ForAnyValue:StringEquals':{'set':['b']}}", true},
        {"{'ForAnyValue:StringNotEquals':{'set':['b']}}", true},
        {"{'ForAllValues:StringNotEquals':{'set':['b']}}", false},
        {"{'StringEquals':{'set':'b'}}", false}, /* the first counts */
        {"{'StringEquals':{'k':'Plant'},'Bool':{'t':false}}", false},
        {"{'StringEquals':{'k':'Plant','n':'x'}}", false},
        {"{}", true},
    };
    cleanup(policy_rig_free_p) struct policy_rig *rig = policy_rig_new();
    policy_rig_know(rig, "k", "Plant");
    policy_rig_know(rig, "v", "${nothing}");
    policy_rig_know(rig, "n", "7.50");
    policy_rig_know(rig, "t", "true");
    policy_rig_know(rig, "ip", "10.20.3.4");
    policy_rig_know(rig, "ip6", "2001:db8::1");
    policy_rig_know(rig, "arn", "arn:aws:iot:local:000000000000:topic/will/a");
    policy_rig_know(rig, "set", "a");
    policy_rig_know(rig, "set", "b");
    policy_context_add_key(&rig->context, "empty");
    for (size_t i = 0; i < array_size(cases); i++)
        if (holds_at(rig, cases[i].condition, -1) != cases[i].holds)
            FAIL("%s", cases[i].condition);
}

TEST(conditions_on_the_time_ask_the_request)
{
    static const struct {
        const char *condition;
        bool holds;
    } cases[] = {
        {"{'DateGreaterThan':{'aws:CurrentTime':'2026-11-27T10:00:00Z'}}", true},
        {"{'DateLessThan':{'aws:CurrentTime':'2026-11-27T11:00:02+01:00'}}", true},
        {"{'DateLessThan':{'aws:CurrentTime':'2026-11-27T11:00:01+01:00'}}", false},
        {"{'DateEquals':{'aws:CurrentTime':'2026-11-27T10:00:01.5Z'}}", true},
        {"{'DateGreaterThanEquals':{'aws:CurrentTime':'2026-11-28'}}", false},
        {"{'DateLessThanEquals':{'aws:EpochTime':1795773601}}", true},
        {"{'DateNotEquals':{'aws:EpochTime':'1795773601'}}", false},
        {"{'NumericGreaterThan':{'aws:EpochTime':1795773600}}", true},
    };
    cleanup(policy_rig_free_p) struct policy_rig *rig = policy_rig_new();
    int64_t now = INT64_C(1795773601500); /* 2026-11-27T10:00:01.5Z */
    for (size_t i = 0; i < array_size(cases); i++)
        if (holds_at(rig, cases[i].condition, now) != cases[i].holds)
            FAIL("%s", cases[i].condition);
    CHECK(!holds_at(rig, cases[0].condition, -1));
}

TEST(moments_are_read_and_written)
{
    static const char *const texts[] = {"1970-01-01T00:00:00.000Z", "2000-02-29T23:59:59.999Z",
                                        "2026-11-27T10:00:01.500Z", "1969-12-31T23:59:59.001Z",
                                        "2100-03-01T00:00:00.000Z", "0001-01-01T00:00:00.000Z"};
    static const char *const wrong[] = {"",
                                        "2026-13-01",
                                        "2026-11-31",
                                        "2100-02-29",
                                        "2026-11-27T",
                                        "2026-11-27T10",
                                        "2026-11-27T10:00:00",
                                        "2026-11-27T24:00Z",
                                        "2026-11-27T10:00:00.Z",
                                        "2026-11-27T10:00:00+1:00",
                                        "2026-11-27 10:00:00Z",
                                        "2026-11-27T10:00:00Zx",
                                        "-1"};
    for (size_t i = 0; i < array_size(texts); i++) {
        int64_t ms;
        char again[POLICY_MOMENT_SIZE];
        CHECK(policy_moment(texts[i], strlen(texts[i]), &ms));
        policy_moment_text(ms, again);
        CHECK_STR(again, texts[i]);
    }
    for (size_t i = 0; i < array_size(wrong); i++) {
        int64_t ms;
        if (policy_moment(wrong[i], strlen(wrong[i]), &ms))
            FAIL("%s", wrong[i]);
    }
}

TEST(a_name_longer_than_any_buffer_is_decided)
{
    static char resource[70000];
    memcpy(resource, "topic/", 6);
    memset(resource + 6, 'a', sizeof resource - 8);
    cleanup(policy_rig_free_p) struct policy_rig *rig = policy_rig_new();
    policy_rig_add(rig, "{'Effect':'Allow','Action':'iot:Publish','Resource':'~topic/*a'}");
    CHECK_STR(policy_rig_ask(rig, "Publish", resource), ALLOWED);
    resource[sizeof resource - 2] = 'b';
    CHECK_STR(policy_rig_ask(rig, "Publish", resource), IMPLICIT);
}

TEST(the_place_may_be_another)
{
    cleanup(policy_rig_free_p) struct policy_rig *rig = policy_rig_new();
    policy_context_done(&rig->context);
    policy_context_init(&rig->context, "arn:aws-cn:iot:cn-north-1:123456789012:");
    policy_rig_add(
        rig, "{'Effect':'Allow','Action':'*','Resource':['arn:aws-cn:iot:cn-north-1:*:topic/a','~topic/b']}");
    CHECK_STR(policy_rig_ask(rig, "Publish", "topic/a"), ALLOWED);
    CHECK_STR(policy_rig_ask(rig, "Publish", "topic/b"), IMPLICIT);
}
