/* ctl/ca: the gateway's own authority: what it is, certificates from it, another one in its place; and authorities of others. */
#include "base/log.h"
#include "services/registrar/registrar_private.h"

#include <errno.h>
#include <string.h>

enum { PAGE = 64, REVOKED_MAX = 10000 };

/* What a certificate from `ca issue` may do: what every node could do before there were policies, by its own client id. */
static const char node_policy_name[] = "gatehouse-node";
static const char node_policy[] =
    "{\"Version\":\"2012-10-17\",\"Statement\":["
    "{\"Sid\":\"Connect\",\"Effect\":\"Allow\",\"Action\":\"iot:Connect\",\"Resource\":"
    "\"arn:aws:iot:*:*:client/${iot:Connection.Thing.ThingName}\"},"
    "{\"Sid\":\"Speak\",\"Effect\":\"Allow\",\"Action\":\"iot:Publish\",\"Resource\":["
    "\"arn:aws:iot:*:*:topic/dt/${iot:Connection.Thing.ThingName}/*\","
    "\"arn:aws:iot:*:*:topic/gh/nodes/${iot:Connection.Thing.ThingName}/*\","
    "\"arn:aws:iot:*:*:topic/cmd/${iot:Connection.Thing.ThingName}/*/reply\","
    "\"arn:aws:iot:*:*:topic/$aws/things/${iot:Connection.Thing.ThingName}/*\","
    "\"arn:aws:iot:*:*:topic/$aws/rules/*\"]},"
    "{\"Sid\":\"Retain\",\"Effect\":\"Allow\",\"Action\":\"iot:RetainPublish\",\"Resource\":["
    "\"arn:aws:iot:*:*:topic/dt/${iot:Connection.Thing.ThingName}/*\","
    "\"arn:aws:iot:*:*:topic/gh/nodes/${iot:Connection.Thing.ThingName}/*\"]},"
    "{\"Sid\":\"Listen\",\"Effect\":\"Allow\",\"Action\":\"iot:Subscribe\",\"Resource\":["
    "\"arn:aws:iot:*:*:topicfilter/cmd/${iot:Connection.Thing.ThingName}/*\","
    "\"arn:aws:iot:*:*:topicfilter/gh/nodes/${iot:Connection.Thing.ThingName}/*\","
    "\"arn:aws:iot:*:*:topicfilter/$aws/things/${iot:Connection.Thing.ThingName}/*\"]},"
    "{\"Sid\":\"Hear\",\"Effect\":\"Allow\",\"Action\":\"iot:Receive\",\"Resource\":["
    "\"arn:aws:iot:*:*:topic/cmd/${iot:Connection.Thing.ThingName}/*\","
    "\"arn:aws:iot:*:*:topic/gh/nodes/${iot:Connection.Thing.ThingName}/*\","
    "\"arn:aws:iot:*:*:topic/$aws/things/${iot:Connection.Thing.ThingName}/*\"]}]}";

static struct authority *authority_of(struct asked *asked)
{
    char *why = NULL;
    struct authority *authority = registrar_authority(asked->registrar, &why);
    if (!authority)
        asked_refuse(asked, 500, "the gateway's own authority: %s", why);
    free(why);
    return authority;
}

static void put_authority(struct json_writer *w, const struct authority *authority)
{
    size_t len;
    struct x509_facts facts;
    const uint8_t *der = x509_signer_der(authority_signer(authority), &len);
    put_text(w, "id", authority_id(authority));
    if (x509_facts(&facts, der, len, NULL) == 0) {
        put_text(w, "subject", facts.subject);
        put_number(w, "notBefore", facts.not_before_s);
        put_number(w, "notAfter", facts.not_after_s);
        x509_facts_done(&facts);
    }
    put_text(w, "file", authority_ca_path(authority));
    put_text(w, "server", authority_server_path(authority));
    put_text(w, "pem", authority_ca_pem(authority));
}

static void on_show(struct asked *asked)
{
    struct authority *authority = authority_of(asked);
    if (authority)
        put_authority(&asked->answer, authority);
}

static void on_rotate(struct asked *asked)
{
    struct registrar *registrar = asked->registrar;
    struct authority *authority = authority_of(asked);
    char *why = NULL;
    if (!authority)
        return;
    int r = authority_rotate(authority, registry_now(registrar->registry) / 1000, &why);
    if (r < 0) {
        asked_refuse(asked, r == -EPERM ? 409 : 500, "%s", why);
        free(why);
        return;
    }
    audit_note(registrar->options.audit, asked->who, "authority/rotated", authority_id(authority), "");
    (void)authority_of(asked); /* it is registered now */
    if (registrar->options.server_changed)
        registrar->options.server_changed(registrar->options.self);
    put_authority(&asked->answer, authority);
}

/* ---- issuing ---------------------------------------------------------------------------------------------------------------- */

static int register_issued(struct asked *asked, const struct x509_issued *issued,
                           const struct authority *authority)
{
    struct x509_facts facts;
    if (x509_facts(&facts, issued->der, issued->len, NULL) < 0)
        return REGISTRY_INVALID;
    const struct registry_certificate certificate = {.der = issued->der,
                                                     .der_len = issued->len,
                                                     .id = facts.id,
                                                     .ca = authority_id(authority),
                                                     .subject = facts.subject,
                                                     .serial = facts.serial,
                                                     .not_before_s = facts.not_before_s,
                                                     .not_after_s = facts.not_after_s};
    int r =
        registry_certificate_register(asked->registrar->registry, &certificate, REGISTRY_ACTIVE, &asked->by);
    x509_facts_done(&facts);
    return r;
}

/* The thing, if it is not there; the certificate, attached to it; the policy, attached to the certificate. */
static bool enrol(struct asked *asked, const struct x509_issued *issued, const struct authority *authority,
                  const char *name, const char *policy)
{
    struct registry *registry = asked->registrar->registry;
    if (!registry_thing(registry, name) &&
        !asked_is_good(asked, registry_thing_create(registry, name, NULL, NULL, 0, &asked->by)))
        return false;
    return asked_is_good(asked, register_issued(asked, issued, authority)) &&
           asked_is_good(asked, registry_attach_thing(registry, issued->id, name, true, &asked->by)) &&
           asked_is_good(asked, registry_attach_policy(registry, policy, issued->id, &asked->by));
}

/* The policy of an earlier gateway stays as it is: its nodes may have other client ids. */
static void tell_of_older(const struct registry_policy *policy)
{
    static const char any[] = "\"Action\":\"iot:Connect\",\"Resource\":\"*\"";
    for (size_t i = 0; i < policy->version_count; i++)
        if (policy->versions[i].number == policy->default_version &&
            strstr(policy->versions[i].document, any))
            log_notice(
                "policy %s is from before certificates had to come with their thing's name as client id, and lets "
                "them have any; without it, `gatehouse ca issue` makes the new one",
                policy->key.text);
}

static bool policy_is_there(struct asked *asked, const char *name)
{
    struct registry *registry = asked->registrar->registry;
    const struct registry_policy *there = registry_policy(registry, name);
    if (there && strcmp(name, node_policy_name) == 0)
        tell_of_older(there);
    if (there)
        return true;
    if (strcmp(name, node_policy_name) == 0)
        return asked_is_good(
            asked, registry_policy_create(registry, name, node_policy, strlen(node_policy), &asked->by));
    asked_refuse(asked, 404, "there is no policy \"%.128s\"", name);
    return false;
}

static void on_issue(struct asked *asked)
{
    const char *name = asked_text(asked, "name", true), *csr = asked_text(asked, "csr", false);
    const char *policy = asked_text(asked, "policy", false);
    int64_t days = asked_number(asked, "days", 36500, 0);
    int64_t now_s = registry_now(asked->registrar->registry) / 1000;
    if (name && !registry_name_is_valid(name, strlen(name)))
        asked_refuse(asked, 400, "name: expected 1 to %d of a-zA-Z0-9:_-", REGISTRY_NAME_MAX);
    struct authority *authority = asked->answered ? NULL : authority_of(asked);
    policy = policy ? policy : node_policy_name;
    if (!authority || !policy_is_there(asked, policy))
        return;
    const struct x509_wish wish = {.usage = X509_CLIENT,
                                   .key = X509_EC_P256,
                                   .request = csr,
                                   .request_len = csr ? strlen(csr) : 0,
                                   .common_name = name,
                                   .not_after_s = days ? now_s + days * 86400 : 0};
    struct x509_issued issued;
    cleanup_free char *why = NULL;
    if (authority_issue(authority, &issued, &wish, now_s, &why) < 0) {
        asked_refuse(asked, csr ? 400 : 500, "%s", why);
        return;
    }
    if (enrol(asked, &issued, authority, name, policy)) {
        put_text(&asked->answer, "name", name);
        put_text(&asked->answer, "id", issued.id);
        put_text(&asked->answer, "certificate", issued.pem);
        put_text(&asked->answer, "key", issued.key_pem); /* kept nowhere */
        asked->has_secret = issued.key_pem != NULL;
        put_text(&asked->answer, "ca", authority_ca_pem(authority));
    }
    x509_issued_done(&issued);
}

/* ---- revoked ------------------------------------------------------------------------------------------------------------------ */

void registrar_write_crl(struct task *task)
{
    struct registrar *registrar = container_of(task, struct registrar, crl);
    struct registry_revoked *found = mem_new_bytes(REVOKED_MAX * sizeof *found);
    size_t count =
        registry_revoked(registrar->registry, authority_id(registrar->authority), found, REVOKED_MAX);
    struct x509_revoked *revoked = mem_new_bytes(REVOKED_MAX * sizeof *revoked);
    for (size_t i = 0; i < count; i++)
        revoked[i] = (struct x509_revoked){found[i].serial, found[i].at_s};
    if (count == REVOKED_MAX)
        log_error("the list of revoked certificates is full: it has the first %d", REVOKED_MAX);
    registrar->nobody_revoked = !count;
    char *why = NULL;
    if (authority_write_crl(registrar->authority, revoked, count, registry_now(registrar->registry) / 1000,
                            &why) < 0)
        log_error("the list of revoked certificates: %s", why);
    free(why);
    free(revoked);
    free(found);
}

/* ---- authorities of others ----------------------------------------------------------------------------------------------------- */

static void put_ca(struct json_writer *w, const struct registry_ca *ca)
{
    put_text(w, "id", ca->key.text);
    put_text(w, "subject", ca->subject);
    put_text(w, "status", ca->active ? "ACTIVE" : "INACTIVE");
    put_bool(w, "autoRegistration", ca->auto_registration);
    put_text(w, "template", ca->template_name);
    put_number(w, "notBefore", ca->not_before_s);
    put_number(w, "notAfter", ca->not_after_s);
}

static void on_list(struct asked *asked)
{
    struct registry_ca *page[PAGE];
    const char *after = NULL;
    json_key(&asked->answer, "authorities");
    json_begin_array(&asked->answer);
    for (size_t n; (n = registry_cas(asked->registrar->registry, after, page, PAGE)) > 0;
         after = page[n - 1]->key.text)
        for (size_t i = 0; i < n; i++) {
            json_begin_object(&asked->answer);
            put_ca(&asked->answer, page[i]);
            json_end_object(&asked->answer);
        }
    json_end_array(&asked->answer);
}

static void on_register(struct asked *asked)
{
    uint8_t *der = NULL;
    size_t len;
    struct x509_facts facts = {0};
    cleanup_free char *why = NULL;
    const char *pem = asked_text(asked, "pem", true), *template = asked_text(asked, "template", false);
    bool active = asked_bool(asked, "active", true), automatic = asked_bool(asked, "autoRegistration", false);
    if (asked->answered)
        return;
    if (x509_from_pem(&der, &len, pem, strlen(pem), &why) < 0 || x509_facts(&facts, der, len, &why) < 0)
        asked_refuse(asked, 400, "pem: %s", why);
    else if (!facts.is_ca || facts.key_is_weak)
        asked_refuse(asked, 400,
                     "pem: expected an authority's certificate (CA:TRUE) with a key of RSA with 2048 bits or "
                     "more, P-256, P-384 or P-521");
    const struct registry_certificate certificate = {.der = der,
                                                     .der_len = len,
                                                     .id = facts.id,
                                                     .subject = facts.subject,
                                                     .not_before_s = facts.not_before_s,
                                                     .not_after_s = facts.not_after_s};
    struct registry *registry = asked->registrar->registry;
    if (!asked->answered && asked_is_good(asked, registry_ca_register(registry, &certificate, active,
                                                                      automatic, template, NULL, &asked->by)))
        put_ca(&asked->answer, registry_ca(registry, facts.id));
    x509_facts_done(&facts);
    free(der);
}

static int choice(struct asked *asked, const char *name)
{
    return json_get(asked->json, name) ? asked_bool(asked, name, false) : -1;
}

static void on_update(struct asked *asked)
{
    const char *id = asked_text(asked, "id", true);
    const struct registry_ca_update update = {.active = choice(asked, "active"),
                                              .auto_registration = choice(asked, "autoRegistration"),
                                              .template_name = asked_text(asked, "template", false)};
    struct registry *registry = asked->registrar->registry;
    if (!asked->answered && asked_is_good(asked, registry_ca_update(registry, id, &update, &asked->by)))
        put_ca(&asked->answer, registry_ca(registry, id));
}

static void on_delete(struct asked *asked)
{
    const char *id = asked_text(asked, "id", true);
    if (!asked->answered &&
        asked_is_good(asked, registry_ca_delete(asked->registrar->registry, id, &asked->by)))
        put_text(&asked->answer, "id", id);
}

const struct registrar_request registrar_ca_requests[] = {
    {"ca/show", on_show, ""},
    {"ca/issue", on_issue, "name csr policy days"},
    {"ca/rotate", on_rotate, ""},
    {"ca/list", on_list, ""},
    {"ca/register", on_register, "pem active autoRegistration template"},
    {"ca/update", on_update, "id active autoRegistration template"},
    {"ca/delete", on_delete, "id"},
    {0},
};
