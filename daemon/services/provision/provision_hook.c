#include "services/provision/provisioning.h"

#include "base/json_write.h"
#include "base/log.h"
#include "bus/topics.h"
#include "identity/x509.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

/* The question is a request on the hook's topic; whoever serves it answers on the response topic, whose last level nobody can
 * guess. No answer in five seconds, or one that does not say yes, is a no. */

static const struct provision_fault refused = {403, "AccessDenied", "The pre-provisioning hook refused."},
                                    silent = {403, "AccessDenied",
                                              "The pre-provisioning hook did not answer in 5 seconds."},
                                    absent = {403, "AccessDenied", "The pre-provisioning hook is not there."},
                                    wrong = {403, "AccessDenied",
                                             "The pre-provisioning hook did not give a valid answer."},
                                    unread = {500, "InternalError", "The certificate cannot be read."};

void provision_hook_forget(struct provision_request *request)
{
    timer_stop(request->provision->loop, &request->hook_timer);
    *request->hook = '\0';
}

static void on_timeout(struct timer *timer)
{
    struct provision_request *request = container_of(timer, struct provision_request, hook_timer);
    log_warning("provisioning: the hook of template %s did not answer", request->template);
    provision_hook_forget(request);
    provision_reject(request, &silent);
}

/* ---- the question -------------------------------------------------------------------------------------------------------- */

static bool is_certificate_id(const char *text)
{
    return text && strlen(text) == REGISTRY_CERTIFICATE_ID_BYTES - 1 &&
           strspn(text, "0123456789abcdef") == REGISTRY_CERTIFICATE_ID_BYTES - 1;
}

static const char *question(const struct provision_request *request, struct arena *arena, const char *pem)
{
    struct provision *provision = request->provision;
    const struct publisher *from = request->msg->from;
    const char *place = provision->options.place ? provision->options.place : POLICY_PLACE;
    struct json *document = json_new(arena, JSON_OBJECT), *parameters = NULL;
    if (from && is_certificate_id(from->principal))
        (void)provision_put_text(arena, document, "claimCertificateId", from->principal);
    (void)provision_put_text(arena, document, "certificateId", request->token->certificate);
    (void)provision_put_text(arena, document, "certificatePem", pem);
    (void)provision_put_text(arena, document, "templateArn",
                             arena_printf(arena, "%sprovisioningtemplate/%s", place, request->template));
    (void)provision_put_text(arena, document, "clientId", from ? from->client_id : "");
    if (json_parse(&parameters, arena, request->parameters, strlen(request->parameters), NULL) == 0)
        json_append(document, "parameters", 10, parameters);
    return json_write(arena, document, NULL);
}

static void ask(struct provision_request *request, const char *pem)
{
    struct provision *provision = request->provision;
    const struct provision_template *template =
        provision_template_find(provision, request->template, strlen(request->template));
    cleanup_free char *topic = str_printf(TOPIC_PROVISION_HOOK_FORMAT, template ? template->hook : "");
    if (!bus_is_heard(provision->bus, topic, strlen(topic))) {
        log_warning("provisioning: nobody listens on %s, the hook of template %s", topic, request->template);
        provision_reject(request, &absent);
        return;
    }
    uint64_t number[2];
    if (getrandom(number, sizeof number, 0) != sizeof number)
        abort(); /* as in provision_token.c */
    (void)snprintf(request->hook, sizeof request->hook, "%016lx%016lx", (unsigned long)number[0],
                   (unsigned long)number[1]);
    cleanup_free char *answer_topic = str_printf(TOPIC_PROVISION_ANSWER_FORMAT, request->hook);
    struct arena arena = {0};
    bus_ask(provision->bus, topic, question(request, &arena, pem), answer_topic);
    arena_done(&arena);
    request->hook_timer.fire = on_timeout;
    timer_start(provision->loop, &request->hook_timer, PROVISION_HOOK_MS);
}

static void on_der(struct registry_der *der, int r, uint8_t *bytes, size_t len)
{
    struct provision_request *request = container_of(der, struct provision_request, der);
    cleanup_free char *pem = r == 0 ? x509_to_pem(bytes, len) : NULL;
    request->reading = false;
    free(bytes);
    if (pem)
        ask(request, pem);
    else
        provision_reject(request, &unread);
}

void provision_hook_ask(struct provision_request *request)
{
    request->reading = true;
    request->der.done = on_der;
    registry_certificate_der(request->provision->registry, request->token->certificate, &request->der);
}

/* ---- the answer ----------------------------------------------------------------------------------------------------------- */

static bool is_map_of_texts(const struct json *json)
{
    if (!json_is(json, JSON_OBJECT))
        return false;
    json_for_each (member, json)
        if (member->type != JSON_STRING)
            return false;
    return true;
}

/* NULL: go on. */
static const struct provision_fault *judge(struct provision_request *request, const struct msg *msg)
{
    struct arena arena = {0};
    struct json *answer = NULL;
    bool allow = false;
    const struct provision_fault *fault = &wrong;
    if (msg->payload_len <= PROVISION_REQUEST_MAX &&
        json_parse(&answer, &arena, (const char *)msg->payload, msg->payload_len, NULL) == 0 &&
        json_bool(json_get(answer, "allowProvisioning"), &allow)) {
        const struct json *overrides = json_get(answer, "parameterOverrides");
        if (!allow)
            fault = &refused;
        else if (!overrides || overrides->type == JSON_NULL || is_map_of_texts(overrides))
            fault = NULL;
        if (!fault && json_is(overrides, JSON_OBJECT))
            request->overrides = str_copy(json_write(&arena, overrides, NULL));
    }
    arena_done(&arena);
    return fault;
}

static void on_answer(struct subscriber *subscriber, struct msg *msg, const struct delivery *delivery,
                      struct receipt *receipt)
{
    (void)delivery, (void)receipt;
    struct provision *provision = container_of(subscriber, struct provision, hook_answers);
    const char *number = strrchr(msg->topic, '/') + 1;
    list_for_each_safe (link, &provision->requests) {
        struct provision_request *request = list_entry(link, struct provision_request, link);
        if (!*request->hook || strcmp(request->hook, number) != 0)
            continue;
        provision_hook_forget(request);
        const struct provision_fault *fault = judge(request, msg);
        if (fault)
            provision_reject(request, fault);
        else
            provision_register_go_on(request);
        return;
    }
}

void provision_hook_init(struct provision *provision)
{
    provision->hook_answers.deliver = on_answer;
    bus_subscribe_to(provision->bus, &provision->hook_answer_subscription, &provision->hook_answers,
                     TOPIC_PROVISION_ANSWER_FILTER);
}

void provision_hook_done(struct provision *provision)
{
    bus_unsubscribe(provision->bus, &provision->hook_answer_subscription);
}
