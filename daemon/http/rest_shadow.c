/* Shadows over REST, and questions to the house.
 *
 *      POST body ─▶ …/update, with a Response Topic ─▶ bus ─▶ the answer on that topic ─▶ 200 or its code
 *
 * The topic has the request's number in it, which nobody else knows. */
#include "http/rest_call.h"

#include "base/json_write.h"
#include "bus/topics.h"

#include <string.h>

static const char *const words[] = {
    [REST_GET_SHADOW] = "get", [REST_UPDATE_SHADOW] = "update", [REST_DELETE_SHADOW] = "delete"};

/* ---- what is asked ------------------------------------------------------------------------------------------------- */

static char *shadow_topic(const struct rest_target *target)
{
    return str_printf("$aws/things/%.*s/shadow%s%.*s/%s", (int)target->thing.len, target->thing.at,
                      target->name.len ? "/name/" : "", (int)target->name.len, target->name.at,
                      words[target->verb]);
}

static char *list_question(const struct rest_target *target)
{
    struct arena arena = {0};
    struct json_writer w;
    json_writer_init(&w, &arena);
    json_begin_object(&w);
    json_key(&w, "thing");
    json_put_string_n(&w, target->thing.at, target->thing.len);
    if (target->page_size.len) {
        json_key(&w, "pageSize");
        json_put_raw(&w, target->page_size.at, target->page_size.len);
    }
    if (target->next_token.at) {
        json_key(&w, "nextToken");
        json_put_string_n(&w, target->next_token.at, target->next_token.len);
    }
    json_end_object(&w);
    char *question = str_copy(json_writer_text(&w, NULL));
    arena_done(&arena);
    return question;
}

void rest_shadow_begin(struct rest_call *call, const struct rest_target *target, const char *id)
{
    call->answer_topic = str_printf(TOPIC_REST_ANSWER_FORMAT, id);
    if (target->verb == REST_LIST_SHADOWS) {
        call->topic = str_copy(TOPIC_CTL_SHADOW_LIST);
        call->question = list_question(target);
    } else if (target->verb == REST_METRICS) {
        call->topic = str_copy(TOPIC_CTL_GATEWAY_METRICS);
    } else {
        call->topic = shadow_topic(target);
    }
}

/* Policies speak of shadows by HTTP in actions of their own. */
static bool policies_allow(const struct principal *principal, const struct rest_target *target)
{
    static const enum policy_action actions[] = {[REST_GET_SHADOW] = POLICY_GET_SHADOW,
                                                 [REST_UPDATE_SHADOW] = POLICY_UPDATE_SHADOW,
                                                 [REST_DELETE_SHADOW] = POLICY_DELETE_SHADOW,
                                                 [REST_LIST_SHADOWS] = POLICY_LIST_SHADOWS};
    cleanup_free char *name = str_printf("%.*s%s%.*s", (int)target->thing.len, target->thing.at,
                                         target->name.len ? "/" : "", (int)target->name.len, target->name.at);
    return policy_allows(principal, actions[target->verb], name, strlen(name));
}

bool rest_shadow_allows(const struct rest_call *call, const struct principal *principal,
                        const struct rest_target *target)
{
    if (principal->permit && target->verb != REST_METRICS)
        return policies_allow(principal, target);
    bool asks_house = target->verb == REST_LIST_SHADOWS || target->verb == REST_METRICS;
    cleanup_free char *heard =
        target->verb == REST_METRICS ? str_copy("$SYS/#")
        : target->verb == REST_LIST_SHADOWS
            ? str_printf("$aws/things/%.*s/shadow/#", (int)target->thing.len, target->thing.at)
            : str_printf("%s/accepted", call->topic);
    if (!policy_allows(principal, POLICY_SUBSCRIBE, heard, strlen(heard)))
        return false;
    return asks_house || policy_allows(principal, POLICY_PUBLISH, call->topic, strlen(call->topic));
}

/* ---- asking and answering ------------------------------------------------------------------------------------------ */

void rest_shadow_ask(struct rest_call *call, struct rest_asker *asker, const void *body, size_t len)
{
    if (call->verb != REST_UPDATE_SHADOW) {
        body = call->question ? call->question : "";
        len = strlen(body);
    }
    cleanup(msg_unref_p) struct msg *msg = rest_msg(call, asker, body, len);
    if (!msg) {
        rest_answer(call, &rest_unavailable);
        return;
    }
    msg->qos = 1;
    msg->is_secret = call->verb == REST_CREDENTIALS; /* the token */
    list_append(&call->rest->waiting, &call->link);
    bus_publish(call->rest->bus, msg, NULL);
}

static struct rest_call *find_call(const struct rest *rest, const struct msg *msg)
{
    list_for_each (link, &rest->waiting) {
        struct rest_call *call = list_entry(link, struct rest_call, link);
        if (strcmp(call->answer_topic, msg->topic) == 0)
            return call;
    }
    return NULL;
}

void rest_on_answer(struct subscriber *subscriber, struct msg *msg, const struct delivery *delivery,
                    struct receipt *receipt)
{
    (void)delivery, (void)receipt;
    enum { REFUSALS = 400, STATUS_MAX = 599, UNKNOWN = 500 };
    struct rest *rest = container_of(subscriber, struct rest, subscriber);
    struct rest_call *call = find_call(rest, msg);
    if (!call) /* it was not waited for any longer */
        return;
    const char *payload = (const char *)msg->payload;
    bool is_refusal = msg->payload_len && *payload == '{';
    if (call->verb == REST_METRICS && !is_refusal) {
        rest_answer(call, &(struct rest_answer){.status = 200,
                                                .body = payload,
                                                .len = msg->payload_len,
                                                .type = "text/plain; version=0.0.4; charset=utf-8"});
        return;
    }
    struct arena arena = {0};
    struct json *doc = NULL;
    int64_t status = 200;
    if (json_parse(&doc, &arena, payload, msg->payload_len, NULL) != 0)
        status = UNKNOWN;
    const struct json *code = json_get(doc, "code");
    if (code && !json_int(code, REFUSALS, STATUS_MAX, &status))
        status = UNKNOWN;
    rest_answer(call, &(struct rest_answer){.status = (int)status, .body = payload, .len = msg->payload_len});
    arena_done(&arena);
}
