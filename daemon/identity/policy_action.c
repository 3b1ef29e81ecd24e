#include "identity/policy_action.h"

#include "identity/policy_context.h"

#include <stdio.h>
#include <string.h>

enum { NAME_MAX_LEN = 64 };

const char *const iot_resource_kinds[IOT_EVERYTHING + 1] = {
    [IOT_CLIENT] = "client/", [IOT_TOPIC] = "topic/",         [IOT_TOPICFILTER] = "topicfilter/",
    [IOT_THING] = "thing/",   [IOT_ROLEALIAS] = "rolealias/", [IOT_EVERYTHING] = "*",
};

#define IOT                                                                                                  \
    {                                                                                                        \
        "iot:", NULL                                                                                         \
    }
#define JOBS                                                                                                 \
    {                                                                                                        \
        "iot:", "iotjobsdata:"                                                                               \
    } /* the old name and the present one */

const struct iot_action_row iot_actions[IOT_ACTIONS] = {
    [IOT_CONNECT] = {"Connect", IOT, IOT_CLIENT},
    [IOT_PUBLISH] = {"Publish", IOT, IOT_TOPIC},
    [IOT_RETAIN_PUBLISH] = {"RetainPublish", IOT, IOT_TOPIC},
    [IOT_SUBSCRIBE] = {"Subscribe", IOT, IOT_TOPICFILTER},
    [IOT_RECEIVE] = {"Receive", IOT, IOT_TOPIC},
    [IOT_GET_RETAINED_MESSAGE] = {"GetRetainedMessage", IOT, IOT_TOPIC},
    [IOT_LIST_RETAINED_MESSAGES] = {"ListRetainedMessages", IOT, IOT_EVERYTHING},
    [IOT_DELETE_CONNECTION] = {"DeleteConnection", IOT, IOT_CLIENT},
    [IOT_GET_CONNECTION] = {"GetConnection", IOT, IOT_CLIENT},
    [IOT_LIST_SUBSCRIPTIONS] = {"ListSubscriptions", IOT, IOT_CLIENT},
    [IOT_SEND_DIRECT_MESSAGE] = {"SendDirectMessage", IOT, IOT_CLIENT},
    [IOT_GET_THING_SHADOW] = {"GetThingShadow", IOT, IOT_THING},
    [IOT_UPDATE_THING_SHADOW] = {"UpdateThingShadow", IOT, IOT_THING},
    [IOT_DELETE_THING_SHADOW] = {"DeleteThingShadow", IOT, IOT_THING},
    [IOT_LIST_NAMED_SHADOWS_FOR_THING] = {"ListNamedShadowsForThing", IOT, IOT_THING},
    [IOT_DESCRIBE_JOB_EXECUTION] = {"DescribeJobExecution", JOBS, IOT_THING},
    [IOT_GET_PENDING_JOB_EXECUTIONS] = {"GetPendingJobExecutions", JOBS, IOT_THING},
    [IOT_START_NEXT_PENDING_JOB_EXECUTION] = {"StartNextPendingJobExecution", JOBS, IOT_THING},
    [IOT_UPDATE_JOB_EXECUTION] = {"UpdateJobExecution", JOBS, IOT_THING},
    [IOT_ASSUME_ROLE_WITH_CERTIFICATE] = {"AssumeRoleWithCertificate", IOT, IOT_ROLEALIAS},
};

static bool same(const char *a, size_t a_len, const char *b)
{
    return policy_same(a, a_len, b, strlen(b));
}

enum iot_action iot_action_find(const char *name, size_t len)
{
    for (enum iot_action i = 0; i < IOT_ACTIONS; i++) {
        if (same(name, len, iot_actions[i].name))
            return i;
        for (size_t k = 0; k < 2 && iot_actions[i].prefixes[k]; k++) {
            size_t prefix_len = strlen(iot_actions[i].prefixes[k]);
            if (len > prefix_len && same(name, prefix_len, iot_actions[i].prefixes[k]) &&
                same(name + prefix_len, len - prefix_len, iot_actions[i].name))
                return i;
        }
    }
    return IOT_ACTIONS;
}

static bool equal_letters(char a, char b)
{
    return policy_same(&a, 1, &b, 1);
}

/* Names of actions are ASCII, so a character is a byte. */
static bool name_matches(const char *pattern, size_t len, const char *name)
{
    const char *end = pattern + len, *star = NULL, *star_name = NULL;
    while (*name) {
        if (pattern < end && *pattern == '*') {
            star = ++pattern;
            star_name = name;
        } else if (pattern < end && (*pattern == '?' || equal_letters(*pattern, *name))) {
            pattern++;
            name++;
        } else if (star) {
            pattern = star;
            name = ++star_name;
        } else {
            return false;
        }
    }
    while (pattern < end && *pattern == '*')
        pattern++;
    return pattern == end;
}

uint32_t iot_actions_matching(const char *pattern, size_t len)
{
    uint32_t bits = 0;
    for (unsigned i = 0; i < IOT_ACTIONS; i++)
        for (size_t k = 0; k < 2 && iot_actions[i].prefixes[k]; k++) {
            char name[NAME_MAX_LEN];
            (void)snprintf(name, sizeof name, "%s%s", iot_actions[i].prefixes[k], iot_actions[i].name);
            if (name_matches(pattern, len, name))
                bits |= iot_action_bit(i);
        }
    return bits;
}
