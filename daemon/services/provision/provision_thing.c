#include "services/provision/provisioning.h"

#include "base/json_write.h"

#include <errno.h>
#include <string.h>

/* A token is changed for a thing. Everything that it takes is looked at before anything is changed, and all changes are made in
 * one turn, so that a power cut leaves all of them or none. */

static void reject(struct provision_request *request, int status, const char *code, const char *text)
{
    provision_reject(request, &(struct provision_fault){status, code, text});
}

/* ---- what the request says -------------------------------------------------------------------------------------------- */

static bool take_token(struct provision_request *request, const struct json *payload)
{
    const struct publisher *from = request->msg->from;
    const struct json *text = json_get(payload, "certificateOwnershipToken");
    if (!cbor_is_text(text)) {
        reject(request, 400, "InvalidPayload", "certificateOwnershipToken is missing or not a string.");
        return false;
    }
    if (!text->len) {
        reject(request, 400, "InvalidCertificateOwnershipToken",
               "Certificate ownership token cannot be empty.");
        return false;
    }
    struct provision_token *token =
        provision_token_find(request->provision, text, from && from->principal ? from->principal : "");
    if (!token) {
        reject(request, 400, "InvalidCertificateOwnershipToken",
               "Certificate ownership token is unknown, expired or somebody else's.");
        return false;
    }
    if (token->busy) {
        reject(request, 409, "ResourceConflict", "Another request with this token is under way.");
        return false;
    }
    token->busy = true;
    request->token = token;
    return true;
}

static bool take_parameters(struct provision_request *request, struct arena *arena,
                            const struct json *payload)
{
    const struct json *parameters = json_get(payload, "parameters");
    if (!parameters)
        parameters = json_new(arena, JSON_OBJECT);
    if (parameters->type != JSON_OBJECT) {
        reject(request, 400, "InvalidPayload", "parameters is not an object.");
        return false;
    }
    json_for_each (parameter, parameters) {
        if (cbor_is_text(parameter))
            continue;
        reject(request, 400, "InvalidParameters",
               arena_printf(arena, "The parameter %.*s is not a string.",
                            (int)size_min(parameter->key_len, 128), parameter->key));
        return false;
    }
    request->parameters = str_copy(json_write(arena, parameters, NULL));
    return true;
}

/* NULL: rejected. */
static const struct provision_template *template_of(struct provision_request *request, struct arena *arena)
{
    const struct provision_template *template =
        provision_template_find(request->provision, request->template, strlen(request->template));
    if (!template || template->kind != TEMPLATE_FLEET) {
        reject(request, 404, "ResourceNotFound",
               arena_printf(arena, "There is no provisioning template %.*s.", TEMPLATE_NAME_MAX,
                            request->template));
        return NULL;
    }
    if (!template->enabled) {
        reject(request, 403, "AccessDenied", "The provisioning template is not enabled.");
        return NULL;
    }
    return template;
}

void provision_register(struct provision_request *request, struct arena *arena, const struct json *payload)
{
    const struct provision_template *template = template_of(request, arena);
    if (!template || !take_token(request, payload) || !take_parameters(request, arena, payload))
        return;
    if (*template->hook)
        provision_hook_ask(request);
    else
        provision_register_go_on(request);
}

/* ---- what comes of it --------------------------------------------------------------------------------------------------- */

static bool plan_of(struct provision_request *request, struct arena *arena, struct template_plan *plan)
{
    const struct provision_template *entry = template_of(request, arena);
    if (!entry)
        return false;
    const struct template_pseudo pseudo[] = {{"AWS::IoT::Certificate::Id", request->token->certificate}};
    struct template_input input = {.pseudo = pseudo, .pseudo_count = array_size(pseudo)};
    struct json *parameters = NULL, *overrides = NULL;
    struct template template;
    struct policy_error error = {0};
    const char *why = NULL;
    int r = json_parse(&parameters, arena, request->parameters, strlen(request->parameters), NULL);
    if (r == 0 && request->overrides)
        r = json_parse(&overrides, arena, request->overrides, strlen(request->overrides), NULL);
    if (r == 0)
        r = template_read(&template, arena, TEMPLATE_FLEET, entry->body, strlen(entry->body), &error);
    if (r != 0) { /* what is stored was good once */
        reject(request, 500, "InternalError",
               arena_printf(arena, "The provisioning template cannot be read: %s.", error.text));
        return false;
    }
    input.parameters = parameters;
    input.overrides = overrides;
    if (template_evaluate(plan, arena, &template, &input, &why) == 0)
        return true;
    reject(request, 400, "InvalidParameters",
           arena_printf(arena, "The template cannot be evaluated: %s.", why));
    return false;
}

static bool apply(struct provision_request *request, struct arena *arena, const struct template_plan *plan)
{
    struct provision *provision = request->provision;
    struct provision_token *token = request->token;
    const struct registry_principal *principal = registry_principal(provision->registry, token->certificate);
    struct provision_fault fault;
    if (!principal || principal->status != REGISTRY_PENDING_ACTIVATION) {
        reject(request, 403, "AccessDenied", "The certificate does not wait to be provisioned any more.");
        return false;
    }
    const struct registry_by by = {.who = arena_printf(arena, "template:%s", request->template),
                                   .receipt = &request->kept};
    if (!provision_apply(provision->registry, arena, plan, token->certificate, &by, &fault)) {
        provision_reject(request, &fault);
        return false;
    }
    request->is_first = true;
    provision_token_used(provision, token, request->template, plan->thing, &request->kept);
    return true;
}

void provision_register_go_on(struct provision_request *request)
{
    struct arena arena = {0};
    struct template_plan plan;
    const struct provision_token *token = request->token;
    bool good = plan_of(request, &arena, &plan);
    if (good && token->template) {
        /* Once more, because the answer was lost: the same question has the same answer. */
        good = strcmp(token->template, request->template) == 0 && strcmp(token->thing, plan.thing) == 0;
        if (!good)
            reject(request, 400, "InvalidCertificateOwnershipToken",
                   "Certificate ownership token was used for another thing.");
    } else if (good) {
        good = apply(request, &arena, &plan);
    }
    if (good) {
        struct json *document = json_new(&arena, JSON_OBJECT);
        json_append(document, "deviceConfiguration", 19, plan.configuration);
        (void)provision_put_text(&arena, document, "thingName", plan.thing);
        request->accepted = provision_answer(request, "accepted", &arena, document);
        provision_finish(request);
    }
    arena_done(&arena);
}
