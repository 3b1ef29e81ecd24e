/* What lint finds, and what it leaves alone. */
#include "identity/policy_lint.h"
#include "policy_rig.h"

#include <stdio.h>

/* All findings of a list of statements as "1 over-broad: text" lines. */
static const char *lint(const char *statements)
{
    static char all[4096];
    struct arena arena;
    struct policy_finding *findings;
    cleanup(policy_rig_free_p) struct policy_rig *rig = policy_rig_new();
    policy_rig_add(rig, statements);
    arena_init(&arena);
    size_t count = policy_lint(rig->policies[0], &arena, &findings), len = 0;
    all[0] = '\0';
    for (size_t i = 0; i < count && len < sizeof all; i++)
        len += (size_t)snprintf(all + len, sizeof all - len, "%s%u %s: %s", i ? "\n" : "",
                                findings[i].statement + 1, policy_finding_names[findings[i].kind],
                                findings[i].text);
    arena_done(&arena);
    return all;
}

#define CHECK_LINT(statements, expected) CHECK_STR(lint(statements), (expected))

TEST(a_careful_policy_has_no_findings)
{
    CHECK_LINT(
        "[{'Effect':'Allow','Action':'iot:Connect','Resource':'~client/${iot:Connection.Thing.ThingName}',"
        "'Condition':{'Bool':{'iot:Connection.Thing.IsAttached':'true'}}},"
        "{'Effect':'Allow','Action':['iot:Publish','iot:Receive','iot:RetainPublish'],'Resource':["
        "'arn:aws:iot:*:*:topic/dt/${iot:Connection.Thing.ThingName}/*',"
        "'~topic/$aws/things/${iot:Connection.Thing.ThingName}/shadow/*','~topic/hall/?/temp']},"
        "{'Effect':'Allow','Action':'iot:Subscribe','Resource':["
        "'~topicfilter/$aws/things/${iot:Connection.Thing.ThingName}/#','~topicfilter/s/+/temp/#']},"
        "{'Effect':'Allow','Action':'iot:ListRetainedMessages','Resource':'*'},"
        "{'Effect':'Allow','Action':['iot:Get*'],'Resource':['~thing/press-07','~topic/st/*','~client/press-*']},"
        "{'Effect':'Allow','Action':'iotjobsdata:*','Resource':'~thing/${iot:Certificate.Subject.CommonName.1}'},"
        "{'Effect':'Deny','Action':'iot:Publish','Resource':'~topic/dt/*/secret'}]",
        "");
}

TEST(actions_and_keys_that_there_are_not_are_found)
{
    CHECK_LINT(
        "{'Effect':'Allow','Action':['iot:Publsh','greengrass:Discover','iot:Publish'],'Resource':'~topic/a'}",
        "1 unknown-action: there is no action \"iot:Publsh\" here\n"
        "1 unknown-action: there is no action \"greengrass:Discover\" here");
    CHECK_LINT(
        "{'Effect':'Allow','Action':'iot:Publish','Resource':['~topic/${iot:ClientID}/${iot:ThingName}',"
        "'~topic/${iot:Connection.Thing.Attributes[hall]}','~topic/${iot:Certificate.Subject.Title.7}'],"
        "'Condition':{'StringEquals':{'aws:UserAgent':'${iot:Certificate.Issuer.CommonName}'},"
        "'ArnLike':{'iot:LastWillTopic':'arn:aws:iot:*:*:topic/${x}'}}}",
        "1 unknown-key: \"iot:ThingName\" in Resource \"arn:aws:iot:local:000000000000:topic/${iot:ClientID}/"
        "${iot:ThingName}\" never has a value\n"
        "1 unknown-key: \"iot:Certificate.Subject.Title.7\" in Resource "
        "\"arn:aws:iot:local:000000000000:topic/${iot:Certificate.Subject.Title.7}\" never has a value\n"
        "1 unknown-key: \"aws:UserAgent\" in Condition StringEquals never has a value\n"
        "1 unknown-key: \"x\" in Condition ArnLike never has a value");
}

TEST(resources_that_no_request_has_are_found)
{
    CHECK_LINT(
        "{'Effect':'Allow','Action':'iot:Publish','Resource':['~topic/a/#','~topic/a','~topic/+/b']}",
        "1 never-matches: Resource \"arn:aws:iot:local:000000000000:topic/a/#\" matches no request: a topic has no "
        "+ or # in it; any text is * in a policy\n"
        "1 never-matches: Resource \"arn:aws:iot:local:000000000000:topic/+/b\" matches no request: a topic has no "
        "+ or # in it; any text is * in a policy");
    CHECK_LINT(
        "{'Effect':'Allow','Action':'iot:Subscribe','Resource':['~topic/a','~topicfilter/#/a']}",
        "1 never-matches: Resource \"arn:aws:iot:local:000000000000:topic/a\" matches no request: iot:Subscribe is "
        "about arn:aws:iot:REGION:ACCOUNT:topicfilter/...\n"
        "1 never-matches: Resource \"arn:aws:iot:local:000000000000:topicfilter/#/a\" matches no request: in a "
        "filter # is the last character; any text is * in a policy");
    CHECK_LINT(
        "{'Effect':'Allow','Action':['iot:Publish','iot:Subscribe'],'Resource':['~topic/a','arn:aws:s3:::bucket']}",
        "1 never-matches: Resource \"arn:aws:s3:::bucket\" matches no request: iot:Publish is about "
        "arn:aws:iot:REGION:ACCOUNT:topic/...\n"
        "1 never-matches: no Resource here is one of iot:Subscribe: that is about topicfilter/...");
    CHECK_LINT("{'Effect':'Allow','Action':'iot:ListRetainedMessages','Resource':'~topic/a'}",
               "1 never-matches: Resource \"arn:aws:iot:local:000000000000:topic/a\" matches no request: "
               "iot:ListRetainedMessages has the resource *");
    /* Odd, and not impossible. */
    CHECK_LINT("{'Effect':'Allow','Action':'iot:Publish','Resource':['~t*a','arn:aws-cn:iot:*/a/${*}',"
               "'arn:*:${iot:ClientId}']}",
               "");
}

TEST(what_is_allowed_to_everybody_is_found)
{
    CHECK_LINT(
        "{'Effect':'Allow','Action':'iot:*','Resource':'*'}",
        "1 over-broad: it allows every action\n"
        "1 over-broad: Resource \"*\": any client id may connect, also that of another; "
        "${iot:Connection.Thing.ThingName} is its own\n"
        "1 over-broad: Resource \"*\": it may publish on every topic, also on those of others and of the gateway\n"
        "1 over-broad: Resource \"*\": it may subscribe to every topic\n"
        "1 over-broad: Resource \"*\": it may receive every topic\n"
        "1 over-broad: Resource \"*\": it may use the shadows of every thing");
    CHECK_LINT(
        "[{'Effect':'Allow','Action':'iot:Connect','Resource':'~client/${iot:ClientId}'},"
        "{'Effect':'Allow','Action':'iot:Subscribe','Resource':'arn:aws:iot:eu-central-1:1:topicfilter/#'},"
        "{'Effect':'Allow','Action':'iot:Publish','Resource':'~topic/$aws/*'},"
        "{'Effect':'Allow','NotAction':'iot:Connect','NotResource':'~topic/a'}]",
        "1 over-broad: Resource \"arn:aws:iot:local:000000000000:client/${iot:ClientId}\": any client id may "
        "connect, also that of another; ${iot:Connection.Thing.ThingName} is its own\n"
        "2 over-broad: Resource \"arn:aws:iot:eu-central-1:1:topicfilter/#\": it may subscribe to every topic\n"
        "3 over-broad: Resource \"arn:aws:iot:local:000000000000:topic/$aws/*\": it may publish on the reserved "
        "topics of every thing\n"
        "4 over-broad: Allow with NotAction allows everything else, also what is yet to come\n"
        "4 over-broad: Allow with NotResource allows everything else");
    /* Who is asked for more may have more; and to deny everything is to be careful. */
    CHECK_LINT("[{'Effect':'Allow','Action':'iot:Connect','Resource':'*','Condition':{'IpAddress':"
               "{'aws:SourceIp':'10.0.0.0/8'}}},{'Effect':'Deny','Action':'iot:Publish','Resource':'*'}]",
               "");
}

TEST(statements_that_make_no_difference_are_found)
{
    CHECK_LINT(
        "[{'Effect':'Allow','Action':'iot:Re*','Resource':'~topic/a/*'},"
        "{'Effect':'Allow','Action':'iot:Receive','Resource':['~topic/a/b','~topic/a/?/${iot:ClientId}']},"
        "{'Effect':'Allow','Action':'iot:Receive','Resource':'~topic/b'}]",
        "2 unreachable: it makes no difference: statement 1 says as much");
    /* The order does not matter; of two that are equal the first stays. */
    CHECK_LINT("[{'Effect':'Allow','Action':'iot:Publish','Resource':'~topic/a/b'},"
               "{'Sid':'wide','Effect':'Allow','Action':'iot:Publish','Resource':'~topic/a/*'},"
               "{'Effect':'Allow','Action':'IOT:Publish','Resource':'~topic/a/*'}]",
               "1 unreachable: it makes no difference: statement 2 (wide) says as much\n"
               "3 unreachable: it makes no difference: statement 2 (wide) says as much");
    CHECK_LINT("[{'Effect':'Allow','Action':'iot:Publish','Resource':'~topic/a/b'},"
               "{'Effect':'Deny','Action':'*','Resource':'arn:aws:iot:*:*:topic/a*'}]",
               "1 unreachable: it allows nothing: statement 2 denies all of it");
    /* A Deny is not shadowed by an Allow, nor by one with a condition it has not; one with the same is. */
    CHECK_LINT(
        "[{'Effect':'Allow','Action':'iot:Publish','Resource':'~topic/a/*'},"
        "{'Effect':'Deny','Action':'iot:Publish','Resource':'~topic/a/b'},"
        "{'Effect':'Deny','Action':'iot:Publish','Resource':'~topic/a/*','Condition':{'Bool':"
        "{'iot:Connection.Thing.IsAttached':false},'StringLike':{'iot:ClientId':['a','b']}}},"
        "{'Effect':'Deny','Action':'iot:Publish','Resource':'~topic/a/c*','Condition':{'StringLike':"
        "{'iot:clientid':['a','b']},'Bool':{'iot:Connection.Thing.IsAttached':'False'},"
        "'IpAddress':{'aws:SourceIp':'10.0.0.1'}}},"
        "{'Effect':'Allow','Action':'iot:Publish','NotResource':'~topic/a','Condition':{'Bool':"
        "{'iot:Connection.Thing.IsAttached':true}}},"
        "{'Effect':'Allow','Action':'iot:Publish','Resource':['~topic/x','~topic/y','~topic/x'],'Condition':{'Bool':"
        "{'iot:Connection.Thing.IsAttached':true}}}]",
        "4 unreachable: it makes no difference: statement 3 says as much\n"
        "6 unreachable: Resource \"arn:aws:iot:local:000000000000:topic/x\" makes no difference: "
        "\"arn:aws:iot:local:000000000000:topic/x\" beside it says as much");
}

TEST(a_deny_that_does_not_deny_or_denies_too_much_is_found)
{
    CHECK_LINT(
        "[{'Effect':'Deny','Action':'iot:Publish','Resource':['~topic/b/${iot:Connection.Thing.ThingName}',"
        "'~topic/c/${iot:ClientId}']},"
        "{'Effect':'Deny','Action':'iot:Connect','Resource':'*','Condition':{'ForAllValues:StringEquals':"
        "{'iot:ConnectAttributes':'PersistentConnect'}}}]",
        "1 weak-deny: where ${iot:Connection.Thing.ThingName} has no value, Resource "
        "\"arn:aws:iot:local:000000000000:topic/b/${iot:Connection.Thing.ThingName}\" is not denied\n"
        "2 vacuous-deny: ForAllValues is true for whoever has no iot:ConnectAttributes: they are denied, too; "
        "ForAnyValue is not");
}
