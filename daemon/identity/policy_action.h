/* The actions of AWS IoT policies, and what each is done to.
 *
 *      iot:Publish   topic/dt/press-07/temp        the resource is an ARN that ends like this: its kind, "/", a name
 *
 * Policies are written in these words whoever asks: an MQTT client, an HTTP request, a plugin.
 */
#pragma once

#include "base/base.h"

enum iot_action {
    IOT_CONNECT,
    IOT_PUBLISH,
    IOT_RETAIN_PUBLISH, /* in addition to IOT_PUBLISH when the message is to be retained */
    IOT_SUBSCRIBE,
    IOT_RECEIVE,
    IOT_GET_RETAINED_MESSAGE,
    IOT_LIST_RETAINED_MESSAGES,
    IOT_DELETE_CONNECTION,
    IOT_GET_CONNECTION,
    IOT_LIST_SUBSCRIPTIONS,
    IOT_SEND_DIRECT_MESSAGE,
    IOT_GET_THING_SHADOW, /* HTTP only: over MQTT a shadow is its topics */
    IOT_UPDATE_THING_SHADOW,
    IOT_DELETE_THING_SHADOW,
    IOT_LIST_NAMED_SHADOWS_FOR_THING,
    IOT_DESCRIBE_JOB_EXECUTION,
    IOT_GET_PENDING_JOB_EXECUTIONS,
    IOT_START_NEXT_PENDING_JOB_EXECUTION,
    IOT_UPDATE_JOB_EXECUTION,
    IOT_ASSUME_ROLE_WITH_CERTIFICATE,
    IOT_ACTIONS
};

#define iot_action_bit(action) (UINT32_C(1) << (action))
#define IOT_ALL_ACTIONS        (iot_action_bit(IOT_ACTIONS) - 1)

enum iot_resource { IOT_CLIENT, IOT_TOPIC, IOT_TOPICFILTER, IOT_THING, IOT_ROLEALIAS, IOT_EVERYTHING };

struct iot_action_row {
    const char *name;        /* without prefix: "Publish" */
    const char *prefixes[2]; /* "iot:", and of what has a second service name "iotjobsdata:" */
    enum iot_resource resource;
};

extern const struct iot_action_row iot_actions[IOT_ACTIONS];
/* "client/", "topic/", …; "*" for IOT_EVERYTHING, which has no name behind it. */
extern const char *const iot_resource_kinds[IOT_EVERYTHING + 1];

/* The action with that name, with its prefix or without, in any case; IOT_ACTIONS: there is none. */
enum iot_action iot_action_find(const char *name, size_t len);
/* Those whose name a pattern of a policy matches: `*` is any text, `?` one character, case does not matter. */
uint32_t iot_actions_matching(const char *pattern, size_t len);
