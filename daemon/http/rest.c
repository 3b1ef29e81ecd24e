#include "http/rest.h"

#include "base/loop.h"
#include "bus/topics.h"
#include "http/rest_call.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* What is a shadow's is in rest_shadow.c; here are publishes, whose answer is their receipt, and what all have in common. */

const struct rest_answer rest_unavailable = {.status = 503, .why = "Service unavailable"};

struct rest *rest_new(struct bus *bus, const struct rest_options *options)
{
    struct rest *rest = mem_new(struct rest);
    rest->bus = bus;
    rest->options = *options;
    rest->subscriber.deliver = rest_on_answer;
    rest->subscriber.origin = options->credentials ? bus_new_origin(bus) : 0; /* answers are for it alone */
    list_init(&rest->waiting);
    list_init(&rest->publishing);
    bus_subscribe_to(bus, &rest->answers, &rest->subscriber, TOPIC_REST_ANSWER_FILTER);
    return rest;
}

static void free_all(struct list *calls)
{
    list_for_each_safe (link, calls)
        rest_call_free(list_entry(link, struct rest_call, link));
}

struct rest *rest_free(struct rest *rest)
{
    if (!rest)
        return NULL;
    bus_unsubscribe(rest->bus, &rest->answers);
    free_all(&rest->waiting);
    free_all(&rest->publishing);
    free(rest);
    return NULL;
}

void rest_call_free(struct rest_call *call)
{
    list_remove(&call->link);
    free(call->topic);
    if (call->question)
        explicit_bzero(call->question, strlen(call->question));
    free(call->question);
    free(call->answer_topic);
    free(call);
}

void rest_answer(struct rest_call *call, const struct rest_answer *answer)
{
    struct rest_asker *asker = call->asker;
    rest_call_free(call);
    if (asker)
        asker->answered(asker, answer);
}

struct msg *rest_msg(const struct rest_call *call, const struct rest_asker *asker, const void *payload,
                     size_t len)
{
    /* Response Topic: one property, 0x08 and a length of two bytes [MQTT 5, 3.3.2.3.5]. */
    const char *response = call->answer_topic ? call->answer_topic : "";
    size_t response_len = strlen(response);
    cleanup_free uint8_t *bytes = mem_new_bytes(response_len + 3);
    bytes[0] = 0x08;
    bytes[1] = (uint8_t)(response_len >> 8);
    bytes[2] = (uint8_t)response_len;
    memcpy(bytes + 3, response, response_len);
    const struct msg_props props = {bytes, response_len + 3, 3, response_len, SIZE_MAX, 0};
    struct msg *msg = response_len ? msg_new_props(call->topic, strlen(call->topic), &props, payload, len)
                                   : msg_new(call->topic, strlen(call->topic), payload, len);
    if (!msg)
        return NULL;
    msg->born = loop_now(bus_loop(call->rest->bus));
    msg->origin = call->verb == REST_CREDENTIALS ? call->rest->subscriber.origin : asker->origin;
    msg->is_secret = call->verb == REST_CREDENTIALS;
    msg->from = publisher_ref(asker->publisher);
    return msg;
}

/* ---- publishing ---------------------------------------------------------------------------------------------------- */

/* QoS 0 promises nothing: whatever became of it, it was taken. */
static void on_settled(struct receipt *receipt, int r)
{
    enum { QUOTA_EXCEEDED = 0x97 };
    struct rest_call *call = container_of(receipt, struct rest_call, receipt);
    struct rest_answer answer = {.status = 200};
    char body[128];
    if (call->qos && (r == QUOTA_EXCEEDED || r == -ENOSPC || r == -EDQUOT)) {
        answer = (struct rest_answer){.status = 503, .why = "There is no room for the message"};
    } else if (call->qos && r > 0) {
        answer = (struct rest_answer){.status = 503, .why = "The message was refused by who should keep it"};
    } else if (call->qos && r < 0) {
        answer = (struct rest_answer){.status = 500, .why = "Internal service failure"};
    } else if (call->asker) {
        int n = snprintf(body, sizeof body, "{\"message\":\"OK\",\"traceId\":\"%s\"}", call->asker->id);
        answer.body = body;
        answer.len = (size_t)n;
    }
    rest_answer(call, &answer);
}

static void publish(struct rest_call *call, struct rest_asker *asker, const void *body, size_t len)
{
    cleanup(msg_unref_p) struct msg *msg = rest_msg(call, asker, body, len);
    if (!msg) {
        rest_answer(call, &rest_unavailable);
        return;
    }
    msg->qos = call->qos;
    msg->retain = call->retain;
    receipt_init(&call->receipt, on_settled);
    list_append(&call->rest->publishing, &call->link);
    bus_publish(call->rest->bus, msg, &call->receipt);
}

static int judge_topic(const struct rest *rest, const struct rest_target *target, const char **why)
{
    const struct rest_options *options = &rest->options;
    unsigned levels = 1;
    for (size_t i = 0; i < target->topic.len; i++)
        levels += target->topic.at[i] == '/';
    *why = "The topic is too long or has too many levels";
    if (target->topic.len > options->topic_len_max || levels > options->topic_levels_max)
        return 400;
    *why = "A message on a topic that begins with $ is not retained";
    return target->retain && options->no_retain_on_dollar && *target->topic.at == '$' ? 400 : 0;
}

/* ---- requests ------------------------------------------------------------------------------------------------------ */

int rest_begin(struct rest_call **ret, struct rest *rest, const struct rest_asker *asker,
               const struct http_head *head, const char **allow, const char **why)
{
    char room[REST_ROOM];
    struct rest_target target;
    if (rest->options.credentials)
        return rest_credentials_begin(ret, rest, asker, head, allow, why);
    int status = rest_target_parse(&target, head, room, allow, why);
    if (status == 0 && target.verb == REST_PUBLISH)
        status = judge_topic(rest, &target, why);
    if (status != 0)
        return status;

    struct rest_call *call = mem_new(struct rest_call);
    call->rest = rest;
    call->verb = target.verb;
    call->qos = target.qos;
    call->retain = target.retain;
    bool allowed;
    if (target.verb == REST_PUBLISH) {
        call->topic = str_copy_n(target.topic.at, target.topic.len);
        allowed = policy_allows(asker->principal, POLICY_PUBLISH, target.topic.at, target.topic.len) &&
                  (!target.retain ||
                   policy_allows(asker->principal, POLICY_RETAIN, target.topic.at, target.topic.len));
    } else {
        rest_shadow_begin(call, &target, asker->id);
        allowed = rest_shadow_allows(call, asker->principal, &target);
    }
    if (!allowed) {
        rest_call_free(call);
        *why = "Forbidden";
        return 403;
    }
    *ret = call;
    return 0;
}

size_t rest_body_max(const struct rest_call *call)
{
    switch (call->verb) {
    case REST_PUBLISH: return call->rest->options.payload_max;
    case REST_UPDATE_SHADOW: return REST_SHADOW_BODY_MAX;
    case REST_GET_SHADOW:
    case REST_DELETE_SHADOW:
    case REST_LIST_SHADOWS:
    case REST_METRICS:
    case REST_CREDENTIALS: break;
    }
    return REST_OTHER_BODY_MAX;
}

void rest_ask(struct rest_call *call, struct rest_asker *asker, const void *body, size_t len)
{
    call->asker = asker;
    if (call->verb == REST_PUBLISH)
        publish(call, asker, body, len);
    else
        rest_shadow_ask(call, asker, body, len);
}

/* A publish waits for its receipt all the same: somebody holds it. */
void rest_forget(struct rest_call *call)
{
    call->asker = NULL;
    if (!call->receipt.holds)
        rest_call_free(call);
}
