/* What is a policy document, and what is said of those that are none. */
#include "policy_rig.h"

#include <stdio.h>

static struct policy_error compile(const char *document, size_t len)
{
    struct policy *policy = NULL;
    struct policy_error error;
    int r = policy_compile(&policy, "p", document, len, &error);
    if (r == 0)
        error.line = 0;
    else
        CHECK_INT(r, POLICY_MALFORMED);
    (void)policy_unref(policy);
    return error;
}

/* The document is written with apostrophes. */
static struct policy_error compile_text(const char *text)
{
    char document[4096];
    size_t len = strlen(text);
    CHECK(len < sizeof document);
    for (size_t i = 0; i < len; i++)
        document[i] = text[i] == '\'' ? '"' : text[i];
    return compile(document, len);
}

static void check_refused(const char *document, unsigned line, unsigned column, const char *text)
{
    struct policy_error error = compile_text(document);
    CHECK_STR(error.line ? error.text : "(accepted)", text);
    CHECK_INT(error.line, line);
    CHECK_INT(error.column, column);
}

static void check_statement_refused(const char *statement, const char *text)
{
    cleanup_free char *document = policy_rig_document(statement);
    struct policy_error error = compile(document, strlen(document));
    CHECK_STR(error.line ? error.text : "(accepted)", text);
}

static void check_condition_refused(const char *condition, const char *text)
{
    char statement[512];
    (void)snprintf(statement, sizeof statement,
                   "[{'Effect':'Allow','Action':'iot:Connect','Resource':'*','Condition':%s}]", condition);
    check_statement_refused(statement, text);
}

TEST(a_document_is_compiled)
{
    cleanup_free char *document = policy_rig_document(
        "[{'Sid':'own','Effect':'Allow','Action':['iot:Connect','iot:Re*'],'Resource':'~client/${iot:ClientId}'},"
        " {'Effect':'Deny','NotAction':'iot:Publish','NotResource':['*','~topic/a'],"
        "'Condition':{'Bool':{'iot:Connection.Thing.IsAttached':true},'StringLike':{'a':[],'b':'c*'}}}]");
    cleanup(policy_unref_p) struct policy *policy = NULL;
    CHECK_INT(policy_compile(&policy, "plant", document, strlen(document), NULL), 0);
    memset(document, 'x', strlen(document)); /* it is not needed any longer */
    CHECK_STR(policy->name, "plant");
    CHECK_INT(policy->count, 2);
    const struct policy_statement *own = &policy->statements[0], *rest = &policy->statements[1];
    CHECK_MEM(own->sid.text, own->sid.len, "own", 3);
    CHECK(!own->deny && !own->not_action && !own->not_resource);
    CHECK_INT(own->actions,
              iot_action_bit(IOT_CONNECT) | iot_action_bit(IOT_RECEIVE) | iot_action_bit(IOT_RETAIN_PUBLISH));
    CHECK_INT(own->resource_count, 1);
    CHECK_INT(own->resources[0].count, 2);
    CHECK_INT(own->resources[0].pieces[1].kind, POLICY_VARIABLE);
    CHECK(rest->deny && rest->not_action && rest->not_resource && !rest->sid.text);
    CHECK_INT(rest->actions, IOT_ALL_ACTIONS & ~iot_action_bit(IOT_PUBLISH));
    CHECK_INT(rest->resource_count, 2);
    CHECK_INT(rest->condition_count, 3);
    CHECK_INT(rest->conditions[1].count, 0);
}

TEST(a_statement_may_stand_alone_and_knows_its_line)
{
    cleanup(policy_unref_p) struct policy *policy = NULL;
    static const char document[] =
        "{\"Version\": \"2012-10-17\",\n  \"Id\": \"x\",\n  \"Statement\": {\"Effect\": \"Allow\",\n"
        "\"Action\": \"*\", \"Resource\": \"*\"}}";
    CHECK_INT(policy_compile(&policy, "p", document, strlen(document), NULL), 0);
    CHECK_INT(policy->count, 1);
    CHECK_INT(policy->statements[0].line, 3);
    CHECK_INT(policy->statements[0].column, 16);
    CHECK_INT(policy->statements[0].actions, IOT_ALL_ACTIONS);
}

TEST(what_is_no_document_is_told_with_its_place)
{
    check_refused("", 1, 1, "expected a value");
    check_refused("{", 1, 2, "expected a member's name in quotes or '}'");
    check_refused("[]", 1, 1, "expected a policy: an object with Version and Statement, not an empty array");
    check_refused("{}", 1, 1, "expected a Version: \"2012-10-17\"");
    check_refused("{'Version':'2008-10-17','Statement':[]}", 1, 12,
                  "Version: expected \"2012-10-17\", not \"2008-10-17\"");
    check_refused("{'Version':20121017,'Statement':[]}", 1, 12,
                  "Version: expected \"2012-10-17\", not 20121017");
    check_refused("{'Version':'2012-10-17'}", 1, 1, "expected a Statement");
    check_refused("{'Version':'2012-10-17',\n 'Statement':[]}", 2, 14,
                  "Statement: expected a statement, or a list of at least one, not an empty array");
    check_refused("{'Version':'2012-10-17','Id':7,'Statement':[]}", 1, 30, "Id: expected a string, not 7");
    check_refused("{'Version':'2012-10-17','statement':[]}", 1, 37,
                  "statement: expected Version, Id or Statement here");
    check_refused("{'Version':'2012-10-17','Statement':\n[true]}", 2, 2,
                  "Statement[0]: expected a statement: an object with Effect, Action and Resource, not true");
    /* Columns count characters, and a member that comes twice is its last. */
    check_refused("{'Id':'\xC3\xA9','Version':'2012-10-17','Statement':[],\n'Statement':{}}", 2, 13,
                  "Statement: expected an Effect: \"Allow\" or \"Deny\"");
}

TEST(what_is_no_statement_is_told)
{
    check_statement_refused("[{'Effect':'allow','Action':'*','Resource':'*'}]",
                            "Statement[0].Effect: expected \"Allow\" or \"Deny\", not \"allow\"");
    check_statement_refused("[{'Action':'*','Resource':'*'}]",
                            "Statement[0]: expected an Effect: \"Allow\" or \"Deny\"");
    check_statement_refused(
        "[{'Effect':'Allow','Action':'*','Resource':'*','Principal':'*'}]",
        "Statement[0].Principal: expected Sid, Effect, Action, NotAction, Resource, NotResource or "
        "Condition here");
    check_statement_refused("{'Sid':[],'Effect':'Allow','Action':'*','Resource':'*'}",
                            "Statement.Sid: expected a string, not an empty array");
    check_statement_refused("[{'Effect':'Allow','Resource':'*'}]",
                            "Statement[0]: expected Action or NotAction");
    check_statement_refused("[{'Effect':'Allow','Action':'*','NotAction':'*','Resource':'*'}]",
                            "Statement[0]: expected Action or NotAction, not both");
    check_statement_refused("[{'Effect':'Allow','Action':'*'}]",
                            "Statement[0]: expected Resource or NotResource");
    check_statement_refused("[{'Effect':'Allow','Action':'*','Resource':'*','NotResource':'*'}]",
                            "Statement[0]: expected Resource or NotResource, not both");
    check_statement_refused(
        "[{'Effect':'Allow','Action':[],'Resource':'*'}]",
        "Statement[0].Action: expected \"*\" or an action like \"iot:Publish\", or a list of at "
        "least one, not an empty array");
    check_statement_refused("[{'Effect':'Allow','Action':['iot:Publish','s3:GetObject'],'Resource':'*'}]",
                            "Statement[0].Action[1]: expected \"*\" or an action like \"iot:Publish\", not "
                            "\"s3:GetObject\"");
    check_statement_refused(
        "[{'Effect':'Allow','Action':'Publish','Resource':'*'}]",
        "Statement[0].Action: expected \"*\" or an action like \"iot:Publish\", not \"Publish\"");
    check_statement_refused(
        "[{'Effect':'Allow','Action':'*','Resource':'topic/a'}]",
        "Statement[0].Resource: expected \"*\" or an ARN like \"arn:aws:iot:*:*:topic/a\", not "
        "\"topic/a\"");
    check_statement_refused(
        "[{'Effect':'Allow','Action':'*','Resource':'*'},"
        "{'Effect':'Deny','Action':'*','Resource':['*',{}]}]",
        "Statement[1].Resource[1]: expected \"*\" or an ARN like \"arn:aws:iot:*:*:topic/a\", not "
        "an object");
}

TEST(what_is_no_condition_is_told)
{
    static const char at[] = "Statement[0].Condition";
    char text[256];
    static const struct {
        const char *condition, *where, *text;
    } cases[] = {
        {"[]", "", "expected an object of operators, not an empty array"},
        {"{'StringEqual':{}}", ".StringEqual",
         "expected an operator like StringEquals, IpAddress or ForAnyValue:StringLike here"},
        {"{'stringEquals':{}}", ".stringEquals",
         "expected an operator like StringEquals, IpAddress or ForAnyValue:StringLike here"},
        {"{'NullIfExists':{}}", ".NullIfExists",
         "expected an operator like StringEquals, IpAddress or ForAnyValue:StringLike here"},
        {"{'ForAllValues:Null':{}}", ".ForAllValues:Null",
         "expected an operator like StringEquals, IpAddress or ForAnyValue:StringLike here"},
        {"{'Bool':'x'}", ".Bool", "expected an object of keys and their values, not \"x\""},
        {"{'Bool':{'':true}}", ".Bool.", "expected the name of a key like \"iot:ClientId\""},
        {"{'Bool':{'a':'yes'}}", ".Bool.a", "expected true or false, not \"yes\""},
        {"{'Null':{'a':1}}", ".Null.a", "expected true or false, not 1"},
        {"{'StringLike':{'a':['b',null]}}", ".StringLike.a[1]",
         "expected a string, a number, true or false, not null"},
        {"{'NumericLessThan':{'a':['1','1x']}}", ".NumericLessThan.a[1]", "expected a number, not \"1x\""},
        {"{'DateEquals':{'a':'2026-02-29'}}", ".DateEquals.a",
         "expected a date like \"2026-11-27T10:00:00Z\", or seconds since 1970, not \"2026-02-29\""},
        {"{'IpAddress':{'aws:SourceIp':'10.0.0.0/33'}}", ".IpAddress.aws:SourceIp",
         "expected an address, or a network like \"10.20.0.0/16\", not \"10.0.0.0/33\""},
        {"{'ArnLike':{'a':'topic/*'}}", ".ArnLike.a",
         "expected an ARN of six parts, like \"arn:aws:iot:*:*:topic/a\", not \"topic/*\""},
    };
    for (size_t i = 0; i < array_size(cases); i++) {
        (void)snprintf(text, sizeof text, "%s%s: %s", at, cases[i].where, cases[i].text);
        check_condition_refused(cases[i].condition, text);
    }
}

TEST(a_document_has_2048_characters_without_white_space_at_most)
{
    static const char head[] = "{\"Version\":\"2012-10-17\",\"Id\":\"";
    static const char tail[] = "\",\"Statement\":{\"Effect\":\"Deny\",\"Action\":\"*\",\"Resource\":\"*\"}}";
    size_t fill = POLICY_SIZE_MAX - (sizeof head - 1) - (sizeof tail - 1);
    cleanup_free char *document = mem_new_bytes(4 * POLICY_SIZE_MAX);
    for (size_t more = 0; more < 2; more++) {
        char *at = document;
        memcpy(at, head, sizeof head - 1);
        at += sizeof head - 1;
        /* A character of two bytes is one, a blank in a string counts, an escape is as long as it is written. */
        memcpy(at, "\xC3\xA9 \\\"", 5);
        memset(at + 5, 'x', fill - 4 + more);
        at += fill + 1 + more;
        memcpy(at, tail, sizeof tail - 1);
        at += sizeof tail - 1;
        memset(at, ' ', 1000); /* behind the value: not counted */
        struct policy_error error = compile(document, (size_t)(at - document) + 1000);
        CHECK_STR(error.line ? error.text : "(accepted)",
                  more ? "expected at most 2048 characters without white space, there are 2049"
                       : "(accepted)");
    }
    cleanup_free char *blank = mem_new_bytes(POLICY_TEXT_MAX + 1);
    memset(blank, ' ', POLICY_TEXT_MAX + 1);
    CHECK_STR(compile(blank, POLICY_TEXT_MAX + 1).text, "expected at most 65536 bytes, there are 65537");
}

/* What takes most memory for its length: a resource of stars, operands of nothing, ARNs of nothing. */
TEST(the_worst_documents_are_compiled_in_one_piece)
{
    static const struct {
        const char *head, *again, *tail;
    } cases[] = {
        {"{'Effect':'Allow','Action':'*','Resource':'arn:", "*", "'}"},
        {"{'Effect':'Allow','Action':'*','Resource':'arn:", "$", "'}"},
        {"{'Effect':'Allow','Action':'*','Resource':'arn:", "${a}", "'}"},
        {"{'Effect':'Allow','Action':['*'", ",'*'", "],'Resource':'*'}"},
        {"{'Effect':'Allow','Action':'*','Resource':['*'", ",'*'", "]}"},
        {"{'Effect':'Allow','Action':'*','Resource':'*','Condition':{'StringLike':{'k':[''", ",''", "]}}}"},
        {"{'Effect':'Allow','Action':'*','Resource':'*','Condition':{'ArnLike':{'k':['*:::::'", ",'*:::::*'",
         "]}}}"},
        {"{'Effect':'Allow','Action':'*','Resource':'*','Condition':{'Bool':{'k':[true", ",true", "]}}}"},
    };
    for (size_t i = 0; i < array_size(cases); i++) {
        char statement[2 * POLICY_SIZE_MAX];
        size_t len = (size_t)snprintf(statement, sizeof statement, "%s", cases[i].head);
        while (len < 1900)
            len += (size_t)snprintf(statement + len, sizeof statement - len, "%s", cases[i].again);
        (void)snprintf(statement + len, sizeof statement - len, "%s", cases[i].tail);
        cleanup_free char *document = policy_rig_document(statement);
        cleanup(policy_unref_p) struct policy *policy = NULL;
        CHECK_INT(policy_compile(&policy, "p", document, strlen(document), NULL), 0);
        CHECK(policy->bytes <= 128 * (size_t)POLICY_SIZE_MAX);
    }
}

TEST(long_texts_are_cut_in_what_is_said)
{
    char statement[1000];
    (void)snprintf(statement, sizeof statement, "[{'Effect':'%0500d','Action':'*','Resource':'*'}]", 0);
    check_statement_refused(
        statement, "Statement[0].Effect: expected \"Allow\" or \"Deny\", not \"000000000000000000000000000"
                   "000000000000000000000000000000000...\"");
    (void)snprintf(statement, sizeof statement, "{'%0300d':1}", 0);
    check_statement_refused(
        statement, "Statement.000000000000000000000000000000000000000000000000000000000000: expected "
                   "Sid, Effect, Action, NotAction, Resource, NotResource or Condition here");
}

TEST(a_name_with_an_escape_is_a_name)
{
    struct policy_error error = compile_text(
        "{'V\\u0065rsion':'2012-10-17','Statement':{'Effect':'Allow','Action':'iot:*','Resource':'*'}}");
    CHECK_INT(error.line, 0);
    /* Where it is written is not found by its name; what it is in is. */
    check_refused("{'V\\u0065rsion':'2012',\n'Statement':{}}", 1, 1,
                  "Version: expected \"2012-10-17\", not \"2012\"");
}

TEST(actions_are_found_by_name_and_pattern)
{
    CHECK_INT(iot_action_find("iot:publish", 11), IOT_PUBLISH);
    CHECK_INT(iot_action_find("RetainPublish", 13), IOT_RETAIN_PUBLISH);
    CHECK_INT(iot_action_find("iotjobsdata:UpdateJobExecution", 30), IOT_UPDATE_JOB_EXECUTION);
    CHECK_INT(iot_action_find("iotjobsdata:Publish", 19), IOT_ACTIONS);
    CHECK_INT(iot_action_find("iot:", 4), IOT_ACTIONS);
    CHECK_INT(iot_actions_matching("iotjobsdata:*", 13),
              iot_action_bit(IOT_DESCRIBE_JOB_EXECUTION) | iot_action_bit(IOT_GET_PENDING_JOB_EXECUTIONS) |
                  iot_action_bit(IOT_START_NEXT_PENDING_JOB_EXECUTION) |
                  iot_action_bit(IOT_UPDATE_JOB_EXECUTION));
    CHECK_INT(iot_actions_matching("iot:*ublish", 11),
              iot_action_bit(IOT_PUBLISH) | iot_action_bit(IOT_RETAIN_PUBLISH));
    CHECK_INT(iot_actions_matching("iot:Publish?", 12), 0);
    CHECK_INT(iot_actions_matching("iot:Publis", 10), 0);
}
