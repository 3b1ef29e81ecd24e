/* Shadows over REST.
 *
 *      POST body ─▶ token? ─▶ …/update, with it ─▶ bus ─▶ …/update/accepted or rejected, with it ─▶ 200 or its code
 *                   none: one of ours
 *
 * The answers' topics are listened to while a request is under way and no longer, so that the service does not compose
 * what nobody wants. Requests to one shadow are answered in their order, which decides between equal tokens. */
#include "http/rest_call.h"

#include "base/json_write.h"
#include "bus/topics.h"

#include <string.h>

enum { TOKEN_MAX = 64 /* bytes [AWS IoT] */ };

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
    cleanup_free char *token = str_printf("rest-%s", id);
    if (target->verb == REST_LIST_SHADOWS) {
        call->topic = str_copy(TOPIC_CTL_SHADOW_LIST);
        call->question = list_question(target);
        call->answer_topic = str_printf(TOPIC_CTL_ANSWER_FORMAT, token);
    } else {
        call->topic = shadow_topic(target);
    }
    call->token_kind = REST_TOKEN_OURS;
    call->token_len = strlen(token);
    call->token = steal(token);
}

bool rest_shadow_allows(const struct rest_call *call, const struct principal *principal,
                        const struct rest_target *target)
{
    cleanup_free char *heard =
        target->verb == REST_LIST_SHADOWS
            ? str_printf("$aws/things/%.*s/shadow/#", (int)target->thing.len, target->thing.at)
            : str_printf("%s/accepted", call->topic);
    if (!policy_allows(principal, POLICY_SUBSCRIBE, heard, strlen(heard)))
        return false;
    return target->verb == REST_LIST_SHADOWS ||
           policy_allows(principal, POLICY_PUBLISH, call->topic, strlen(call->topic));
}

/* ---- asking -------------------------------------------------------------------------------------------------------- */

static void listen(struct rest_call *call, struct subscription *subscription, const char *suffix)
{
    cleanup_free char *filter =
        str_printf("%s%s", call->answer_topic ? call->answer_topic : call->topic, suffix);
    bus_subscribe_to(call->rest->bus, subscription, &call->rest->subscriber, filter);
}

void rest_shadow_stop(struct rest_call *call)
{
    for (size_t i = 0; i < array_size(call->subscriptions); i++)
        if (call->subscriptions[i].subscriber) {
            bus_unsubscribe(call->rest->bus, &call->subscriptions[i]);
            call->subscriptions[i].subscriber = NULL;
        }
}

/* An object's text with a member more: `{"a":1 }` becomes `{"a":1 ,"clientToken":"…"}`. */
static char *with_token(struct arena *arena, const struct json *object, const char *text, size_t len,
                        const char *token)
{
    while (text[len - 1] != '}')
        len--;
    return arena_printf(arena, "%.*s%s\"clientToken\":\"%s\"}", (int)(len - 1), text, object->len ? "," : "",
                        token);
}

/* The update as it is published, with a token in it if that can be. */
static const char *update_of(struct rest_call *call, struct arena *arena, const char *body, size_t *len)
{
    struct json *update = NULL;
    while (*len && !body[*len - 1]) /* as C programs send it, with its end; AWS IoT takes that */
        --*len;
    if (json_parse(&update, arena, body, *len, NULL) == 0 && json_is(update, JSON_OBJECT)) {
        const struct json *token = json_get(update, "clientToken");
        if (!token) {
            body = with_token(arena, update, body, *len, call->token);
            *len = strlen(body);
            return body;
        }
        if (json_is(token, JSON_STRING) && token->len <= TOKEN_MAX) {
            free(call->token);
            call->token = str_copy_n(token->text, token->len);
            call->token_len = token->len;
            call->token_kind = REST_TOKEN_THEIRS;
            return body;
        }
    }
    free(steal(call->token)); /* it will be rejected, and without a token */
    call->token_kind = REST_TOKEN_NONE;
    return body;
}

/* A question to the house: answered on a topic of its own. */
static struct msg *question_of(const struct rest_call *call, const struct rest_asker *asker)
{
    /* Response Topic: one property, 0x08 and a length of two bytes [MQTT 5, 3.3.2.3.5]. */
    size_t len = strlen(call->answer_topic);
    cleanup_free uint8_t *bytes = mem_new_bytes(len + 3);
    bytes[0] = 0x08;
    bytes[1] = (uint8_t)(len >> 8);
    bytes[2] = (uint8_t)len;
    memcpy(bytes + 3, call->answer_topic, len);
    const struct msg_props props = {bytes, len + 3, 3, len, SIZE_MAX, 0};
    struct msg *msg =
        msg_new_props(call->topic, strlen(call->topic), &props, call->question, strlen(call->question));
    if (msg) {
        msg->born = loop_now(bus_loop(call->rest->bus));
        msg->from = publisher_ref(asker->publisher);
    }
    return msg;
}

static struct msg *request_of(struct rest_call *call, const struct rest_asker *asker, const void *body,
                              size_t len)
{
    if (call->question)
        return question_of(call, asker);
    struct arena arena = {0};
    const char *payload;
    if (call->verb == REST_UPDATE_SHADOW) {
        payload = update_of(call, &arena, body, &len);
    } else {
        payload = arena_printf(&arena, "{\"clientToken\":\"%s\"}", call->token);
        len = strlen(payload);
    }
    struct msg *msg = rest_msg(call, asker, payload, len);
    arena_done(&arena);
    return msg;
}

void rest_shadow_ask(struct rest_call *call, struct rest_asker *asker, const void *body, size_t len)
{
    cleanup(msg_unref_p) struct msg *msg = request_of(call, asker, body, len);
    if (!msg) {
        rest_answer(call, &rest_unavailable);
        return;
    }
    msg->qos = 1;
    if (call->question) {
        listen(call, &call->subscriptions[0], "");
    } else {
        listen(call, &call->subscriptions[0], "/accepted");
        listen(call, &call->subscriptions[1], "/rejected");
    }
    list_append(&call->rest->waiting, &call->link);
    bus_publish(call->rest->bus, msg, NULL);
}

/* ---- answering ----------------------------------------------------------------------------------------------------- */

/* What is behind the request's topic in an answer to it; NULL: it is none. */
static const char *suffix_of(const struct rest_call *call, const struct msg *msg)
{
    const char *topic = call->answer_topic ? call->answer_topic : call->topic;
    size_t len = strlen(topic);
    return msg->topic_len >= len && memcmp(msg->topic, topic, len) == 0 ? msg->topic + len : NULL;
}

static bool is_answer_to(const struct rest_call *call, const struct msg *msg, const struct json *doc)
{
    const char *suffix = suffix_of(call, msg);
    if (!suffix)
        return false;
    if (call->question)
        return !*suffix;
    bool rejected = strcmp(suffix, "/rejected") == 0;
    if (!rejected && strcmp(suffix, "/accepted") != 0)
        return false;
    const struct json *token = json_get(doc, "clientToken");
    if (call->token_kind == REST_TOKEN_NONE)
        return rejected && !token;
    return json_is(token, JSON_STRING) && token->len == call->token_len &&
           (!token->len || memcmp(token->text, call->token, token->len) == 0);
}

static struct rest_call *find_call(const struct rest *rest, const struct msg *msg, const struct json *doc)
{
    list_for_each (link, &rest->waiting) {
        struct rest_call *call = list_entry(link, struct rest_call, link);
        if (is_answer_to(call, msg, doc))
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
    struct arena arena = {0};
    struct json *doc = NULL;
    const char *payload = (const char *)msg->payload;
    size_t len = msg->payload_len;
    if (json_parse(&doc, &arena, payload, len, NULL) != 0 || !json_is(doc, JSON_OBJECT))
        doc = NULL;
    struct rest_call *call = doc ? find_call(rest, msg, doc) : NULL;
    if (call) {
        int64_t status = 200;
        const struct json *code = json_get(doc, "code");
        if (code && !json_int(code, REFUSALS, STATUS_MAX, &status))
            status = UNKNOWN;
        if (call->token_kind == REST_TOKEN_OURS && json_remove(doc, "clientToken", strlen("clientToken")))
            payload = json_write(&arena, doc, &len);
        rest_answer(call, &(struct rest_answer){.status = (int)status, .body = payload, .len = len});
    }
    arena_done(&arena);
}
