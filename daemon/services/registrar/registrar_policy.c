/* ctl/policy and ctl/audit: policies, what they decide and why, and what has been done and refused. */
#include "services/registrar/registrar_private.h"

#include <string.h>

enum { PAGE = 250 };

static void put_versions(struct json_writer *w, const struct registry_policy *policy)
{
    json_key(w, "versions");
    json_begin_array(w);
    for (size_t i = 0; i < policy->version_count; i++) {
        json_begin_object(w);
        put_number(w, "version", policy->versions[i].number);
        put_number(w, "created", policy->versions[i].created_ms);
        put_text(w, "document", policy->versions[i].document);
        json_end_object(w);
    }
    json_end_array(w);
}

static void put_policy(struct json_writer *w, const struct registry_policy *policy)
{
    put_text(w, "name", policy->key.text);
    put_arn(w, "arn", "policy", policy->key.text);
    put_number(w, "default", policy->default_version);
    put_number(w, "targets", (int64_t)policy->targets);
    put_number(w, "created", policy->created_ms);
}

/* A document is a text, or the object itself. */
static const char *document_of(struct asked *asked, size_t *len)
{
    const struct json *member = json_get(asked->json, "document");
    const char *text = json_is(member, JSON_OBJECT) ? json_write(&asked->arena, member, len)
                                                    : asked_text(asked, "document", true);
    if (text)
        *len = strlen(text);
    return text;
}

static void on_create(struct asked *asked)
{
    size_t len;
    const char *name = asked_text(asked, "name", true), *document = document_of(asked, &len);
    struct registry *registry = asked->registrar->registry;
    if (!asked->answered &&
        asked_is_good(asked, registry_policy_create(registry, name, document, len, &asked->by)))
        put_policy(&asked->answer, registry_policy(registry, name));
}

static void on_update(struct asked *asked)
{
    size_t len;
    uint32_t version;
    const char *name = asked_text(asked, "name", true), *document = document_of(asked, &len);
    bool set_default = asked_bool(asked, "default", true);
    struct registry *registry = asked->registrar->registry;
    if (asked->answered ||
        !asked_is_good(asked, registry_policy_add_version(registry, name, document, len, set_default,
                                                          &version, &asked->by)))
        return;
    put_policy(&asked->answer, registry_policy(registry, name));
    put_number(&asked->answer, "version", version);
}

static void on_default(struct asked *asked)
{
    const char *name = asked_text(asked, "name", true);
    uint32_t version = (uint32_t)asked_number(asked, "version", UINT32_MAX, 0);
    struct registry *registry = asked->registrar->registry;
    if (!asked->answered &&
        asked_is_good(asked, registry_policy_set_default(registry, name, version, &asked->by)))
        put_policy(&asked->answer, registry_policy(registry, name));
}

/* A version, or the policy when none is named. */
static void on_delete(struct asked *asked)
{
    const char *name = asked_text(asked, "name", true);
    uint32_t version = (uint32_t)asked_number(asked, "version", UINT32_MAX, 0);
    struct registry *registry = asked->registrar->registry;
    if (asked->answered)
        return;
    int r = version ? registry_policy_delete_version(registry, name, version, &asked->by)
                    : registry_policy_delete(registry, name, &asked->by);
    if (asked_is_good(asked, r))
        put_text(&asked->answer, "name", name);
}

static void on_describe(struct asked *asked)
{
    const char *name = asked_text(asked, "name", true);
    const struct registry_policy *policy = name ? registry_policy(asked->registrar->registry, name) : NULL;
    if (name && !policy)
        asked_refuse(asked, 404, "there is no policy \"%.128s\"", name);
    if (asked->answered)
        return;
    put_policy(&asked->answer, policy);
    put_versions(&asked->answer, policy);
}

static void on_list(struct asked *asked)
{
    struct registry_policy *page[PAGE];
    const char *after = NULL;
    json_key(&asked->answer, "policies");
    json_begin_array(&asked->answer);
    for (size_t n; (n = registry_policies(asked->registrar->registry, after, page, PAGE)) > 0;
         after = page[n - 1]->key.text)
        for (size_t i = 0; i < n; i++) {
            json_begin_object(&asked->answer);
            put_policy(&asked->answer, page[i]);
            json_end_object(&asked->answer);
        }
    json_end_array(&asked->answer);
}

static void attach(struct asked *asked, bool attached)
{
    const char *name = asked_text(asked, "name", true), *target = asked_text(asked, "target", true);
    struct registry *registry = asked->registrar->registry;
    if (asked->answered)
        return;
    int r = attached ? registry_attach_policy(registry, name, target, &asked->by)
                     : registry_detach_policy(registry, name, target, &asked->by);
    if (asked_is_good(asked, r)) {
        put_text(&asked->answer, "name", name);
        put_text(&asked->answer, "target", target);
    }
}

static void on_attach(struct asked *asked)
{
    attach(asked, true);
}

static void on_detach(struct asked *asked)
{
    attach(asked, false);
}

/* ---- may he? ---------------------------------------------------------------------------------------------------------------- */

/* The decision waits for the certificate's bytes: its names may be in conditions. */
struct deciding {
    struct registry_der request;
    struct asked *asked;
    const char *client_id;
    enum iot_action action;
    const char *name;
};

static void put_verdict(struct asked *asked, const struct policy_verdict *verdict)
{
    struct json_writer *w = &asked->answer;
    put_text(w, "decision", policy_decision_names[verdict->decision]);
    if (verdict->policy) {
        const struct policy_statement *statement = &verdict->policy->statements[verdict->statement];
        const struct registry_policy *policy =
            registry_policy(asked->registrar->registry, verdict->policy->name);
        put_text(w, "policy", verdict->policy->name);
        put_number(w, "version", policy ? policy->default_version : 0);
        put_number(w, "statement", verdict->statement + 1);
        if (statement->sid.text) {
            json_key(w, "sid");
            json_put_string_n(w, statement->sid.text, statement->sid.len);
        }
    }
    json_key(w, "missing");
    json_begin_array(w);
    for (uint32_t i = 0; i < verdict->missing_count; i++)
        json_put_string_n(w, verdict->missing[i]->name.text, verdict->missing[i]->name.len);
    json_end_array(w);
}

static void decide(struct deciding *deciding, const struct registry_principal *who, const uint8_t *der,
                   size_t len)
{
    struct asked *asked = deciding->asked;
    struct policy_context context;
    struct policy_verdict verdict;
    const struct permit_origin origin = {.der = der, .der_len = len};
    const struct policy_request request = {.action = deciding->action,
                                           .name = deciding->name,
                                           .len = strlen(deciding->name),
                                           .wall_ms = registry_now(asked->registrar->registry)};
    (void)permit_explain(who, &origin, deciding->client_id, &request, &context, &verdict);
    put_text(&asked->answer, "principal", who->key.text);
    put_text(&asked->answer, "status", registry_status_names[who->status]);
    put_text(&asked->answer, "clientId", deciding->client_id);
    put_verdict(asked, &verdict);
    policy_context_done(&context);
}

static void on_der(struct registry_der *request, int r, uint8_t *der, size_t len)
{
    struct deciding *deciding = container_of(request, struct deciding, request);
    struct asked *asked = deciding->asked;
    const char *id = asked_text(asked, "principal", true); /* as it was found */
    const struct registry_principal *who = registry_principal(asked->registrar->registry, id);
    if (who)
        decide(deciding, who, r == 0 ? der : NULL, r == 0 ? len : 0);
    else
        asked_refuse(asked, 404, "%s is gone", id);
    asked_done(asked);
    free(der);
    free(deciding);
}

/* A thing's first ACTIVE principal, or a principal by its name. */
static const struct registry_principal *who_is(struct asked *asked, const char *name)
{
    const struct registry *registry = asked->registrar->registry;
    const struct registry_thing *thing = registry_thing(registry, name);
    const struct registry_principal *who = registry_principal(registry, name);
    for (size_t i = 0; thing && !who && i < thing->principal_count; i++)
        if (thing->principals[i]->status == REGISTRY_ACTIVE)
            who = thing->principals[i];
    if (!who)
        asked_refuse(asked, 404,
                     thing ? "thing %s has no certificate that is ACTIVE"
                           : "there is no thing, certificate, "
                             "key or user \"%.128s\"",
                     name);
    return who;
}

static void on_can(struct asked *asked)
{
    const char *node = asked_text(asked, "node", true), *action_name = asked_text(asked, "action", true);
    const char *name = asked_text(asked, "resource", true), *client_id = asked_text(asked, "clientId", false);
    if (asked->answered)
        return;
    enum iot_action action = iot_action_find(action_name, strlen(action_name));
    if (strcasecmp(action_name, "retain") == 0)
        action = IOT_RETAIN_PUBLISH;
    const struct registry_principal *who = who_is(asked, node);
    if (action == IOT_ACTIONS)
        asked_refuse(
            asked, 400,
            "action: expected connect, publish, retain, subscribe, receive, GetThingShadow or another "
            "of AWS IoT's, found \"%.60s\"",
            action_name);
    if (asked->answered)
        return;
    if (!client_id)
        client_id = action == IOT_CONNECT                              ? name
                    : registry_thing(asked->registrar->registry, node) ? node
                                                                       : NULL;
    if (!client_id && who->thing_count)
        client_id = who->things[0].thing->key.text;
    struct deciding *deciding = mem_new(struct deciding);
    *deciding = (struct deciding){
        .request.done = on_der, .asked = asked, .client_id = client_id, .action = action, .name = name};
    if (client_id)
        deciding->client_id = arena_copy(&asked->arena, client_id, strlen(client_id));
    if (who->kind != REGISTRY_CERTIFICATE) {
        decide(deciding, who, NULL, 0);
        free(deciding);
        return;
    }
    struct json *found =
        json_new_string(&asked->arena, arena_copy(&asked->arena, who->key.text, who->key.len), who->key.len);
    json_set(asked->json, "principal", 9, found);
    receipt_hold(&asked->receipt);
    registry_certificate_der(asked->registrar->registry, who->key.text, &deciding->request);
}

/* ---- audit ------------------------------------------------------------------------------------------------------------------- */

struct auditing {
    struct audit_query query;
    struct asked *asked;
};

static void on_audited(struct audit_query *query, int r, const char *json)
{
    struct auditing *auditing = container_of(query, struct auditing, query);
    struct asked *asked = auditing->asked;
    if (r < 0) {
        asked_refuse(asked, 500, "the audit log cannot be read: %s", strerror(-r));
    } else if (!asked->answered) {
        bus_reply(asked->registrar->bus, asked->msg, json);
        asked->answered = true;
    }
    asked_done(asked);
    free(auditing);
}

static void on_audit(struct asked *asked)
{
    struct auditing *auditing = mem_new(struct auditing);
    auditing->asked = asked;
    auditing->query = (struct audit_query){.since_ms = asked_number(asked, "since", INT64_MAX, 0),
                                           .until_ms = asked_number(asked, "until", INT64_MAX, 0),
                                           .what = asked_text(asked, "what", false),
                                           .who = asked_text(asked, "who", false),
                                           .max = (size_t)asked_number(asked, "max", AUDIT_ANSWER_MAX, 100),
                                           .done = on_audited};
    if (asked->answered) {
        free(auditing);
        return;
    }
    receipt_hold(&asked->receipt);
    audit_ask(asked->registrar->options.audit, &auditing->query);
}

const struct registrar_request registrar_policy_requests[] = {
    {"policy/create", on_create, "name document"},
    {"policy/update", on_update, "name document default"},
    {"policy/default", on_default, "name version"},
    {"policy/delete", on_delete, "name version"},
    {"policy/describe", on_describe, "name"},
    {"policy/list", on_list, ""},
    {"policy/attach", on_attach, "name target"},
    {"policy/detach", on_detach, "name target"},
    {"policy/can", on_can, "node action resource clientId"},
    {"audit/list", on_audit, "since until what who max"},
    {0},
};
