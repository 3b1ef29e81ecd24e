/* ctl/cert: certificates, and keys of paired nodes. */
#include "services/registrar/registrar_private.h"

#include <string.h>

enum { PAGE = 250 };

static const char *kind_name(const struct registry_principal *principal)
{
    static const char *const names[] = {
        [REGISTRY_CERTIFICATE] = "certificate", [REGISTRY_KEY] = "key", [REGISTRY_USER] = "user"};
    return names[principal->kind];
}

void put_things_and_policies(struct json_writer *w, const struct registry_principal *principal)
{
    json_key(w, "things");
    json_begin_array(w);
    for (size_t i = 0; i < principal->thing_count; i++)
        json_put_string(w, principal->things[i].thing->key.text);
    json_end_array(w);
    json_key(w, "policies");
    json_begin_array(w);
    for (size_t i = 0; i < principal->policy_count; i++)
        json_put_string(w, principal->policies[i]->key.text);
    json_end_array(w);
}

static void put_principal(struct json_writer *w, const struct registry_principal *principal)
{
    put_text(w, "id", principal->key.text);
    put_text(w, "kind", kind_name(principal));
    put_text(w, "status", registry_status_names[principal->status]);
    if (principal->kind == REGISTRY_CERTIFICATE) {
        put_arn(w, "arn", "cert", principal->key.text);
        put_text(w, "subject", principal->subject);
        put_text(w, "ca", principal->ca);
        put_number(w, "notBefore", principal->not_before_s);
        put_number(w, "notAfter", principal->not_after_s);
    }
    put_things_and_policies(w, principal);
    put_number(w, "created", principal->created_ms);
    put_number(w, "modified", principal->modified_ms);
}

/* By name, or by the first 8 or more digits of a certificate's id when only one begins so. */
static const struct registry_principal *find(struct asked *asked)
{
    const char *id = asked_text(asked, "id", true);
    struct registry *registry = asked->registrar->registry;
    const struct registry_principal *principal = id ? registry_principal(registry, id) : NULL;
    if (!id || principal)
        return principal;
    size_t len = strlen(id);
    struct registry_principal *two[2];
    size_t n = len >= 8 ? registry_principals(registry, id, two, 2) : 0;
    bool first = n >= 1 && strncmp(two[0]->key.text, id, len) == 0;
    bool second = n == 2 && strncmp(two[1]->key.text, id, len) == 0;
    if (first && !second)
        return two[0];
    asked_refuse(asked, 404,
                 second ? "more than one certificate's id begins with \"%.64s\""
                        : "there is no certificate, key or user \"%.64s\"",
                 id);
    return NULL;
}

static void on_list(struct asked *asked)
{
    struct registry_principal *page[PAGE];
    const char *after = NULL;
    json_key(&asked->answer, "certificates");
    json_begin_array(&asked->answer);
    for (size_t n; (n = registry_principals(asked->registrar->registry, after, page, PAGE)) > 0;
         after = page[n - 1]->key.text)
        for (size_t i = 0; i < n; i++) {
            json_begin_object(&asked->answer);
            put_principal(&asked->answer, page[i]);
            json_end_object(&asked->answer);
        }
    json_end_array(&asked->answer);
}

/* The answer of describe waits for the certificate's bytes. */
struct describing {
    struct registry_der request;
    struct asked *asked;
};

static void on_der(struct registry_der *request, int r, uint8_t *der, size_t len)
{
    struct describing *describing = container_of(request, struct describing, request);
    cleanup_free char *pem = r == 0 ? x509_to_pem(der, len) : NULL;
    put_text(&describing->asked->answer, "pem", pem);
    asked_done(describing->asked);
    free(der);
    free(describing);
}

static void on_describe(struct asked *asked)
{
    const struct registry_principal *principal = find(asked);
    if (!principal)
        return;
    put_principal(&asked->answer, principal);
    if (principal->kind != REGISTRY_CERTIFICATE)
        return;
    struct describing *describing = mem_new(struct describing);
    describing->request.done = on_der;
    describing->asked = asked;
    receipt_hold(&asked->receipt);
    registry_certificate_der(asked->registrar->registry, principal->key.text, &describing->request);
}

/* The registered authority that signed it; NULL: none. */
static const char *ca_of(struct asked *asked, const uint8_t *der, size_t len)
{
    struct registry_ca *page[PAGE];
    const char *after = NULL;
    for (size_t n; (n = registry_cas(asked->registrar->registry, after, page, PAGE)) > 0;
         after = page[n - 1]->key.text)
        for (size_t i = 0; i < n; i++)
            if (x509_is_issued_by(der, len, page[i]->der, page[i]->der_len))
                return page[i]->key.text;
    return NULL;
}

static void register_pem(struct asked *asked, const char *pem, bool active)
{
    uint8_t *der;
    size_t len;
    struct x509_facts facts;
    cleanup_free char *why = NULL;
    if (x509_from_pem(&der, &len, pem, strlen(pem), &why) < 0 || x509_facts(&facts, der, len, &why) < 0) {
        asked_refuse(asked, 400, "pem: %s", why);
        return;
    }
    const struct registry_certificate certificate = {.der = der,
                                                     .der_len = len,
                                                     .id = facts.id,
                                                     .ca = ca_of(asked, der, len),
                                                     .subject = facts.subject,
                                                     .serial = facts.serial,
                                                     .not_before_s = facts.not_before_s,
                                                     .not_after_s = facts.not_after_s};
    struct registry *registry = asked->registrar->registry;
    if (facts.key_is_weak)
        asked_refuse(asked, 400,
                     "pem: expected a key of RSA with 2048 bits or more, P-256, P-384 or P-521, and a "
                     "signature with SHA-256 or better");
    else if (asked_is_good(asked, registry_certificate_register(registry, &certificate,
                                                                active ? REGISTRY_ACTIVE : REGISTRY_INACTIVE,
                                                                &asked->by)))
        put_principal(&asked->answer, registry_principal(registry, facts.id));
    x509_facts_done(&facts);
    free(der);
}

static void on_register(struct asked *asked)
{
    const char *pem = asked_text(asked, "pem", true);
    bool active = asked_bool(asked, "active", true);
    if (!asked->answered)
        register_pem(asked, pem, active);
}

static void on_status(struct asked *asked)
{
    const struct registry_principal *principal = find(asked);
    const char *text = asked_text(asked, "status", true);
    int status = text ? registry_status_of(text) : -1;
    if (status < 0)
        asked_refuse(asked, 400, "status: expected ACTIVE, INACTIVE or REVOKED");
    if (!asked->answered &&
        asked_is_good(asked, registry_principal_set_status(asked->registrar->registry, principal->key.text,
                                                           (enum registry_status)status, &asked->by)))
        put_principal(&asked->answer, principal);
}

static void on_delete(struct asked *asked)
{
    const struct registry_principal *principal = find(asked);
    bool force = asked_bool(asked, "force", false);
    /* Without its entry nothing would say that it may not come in. */
    if (!asked->answered && principal->kind == REGISTRY_KEY)
        asked_refuse(asked, 409, "%s is a node's, and stays: gatehouse node revoke %s takes its key away",
                     principal->key.text, principal->key.text + strlen("psk:"));
    if (asked->answered)
        return;
    cleanup_free char *name = str_copy(principal->key.text);
    if (asked_is_good(asked, registry_principal_delete(asked->registrar->registry, name, force, &asked->by)))
        put_text(&asked->answer, "id", name);
}

const struct registrar_request registrar_principal_requests[] = {
    {"cert/list", on_list, ""},
    {"cert/describe", on_describe, "id"},
    {"cert/register", on_register, "pem active"},
    {"cert/status", on_status, "id status"},
    {"cert/delete", on_delete, "id force"},
    {0},
};
