#include "services/provision/provisioning.h"

#include "base/json_write.h"
#include "base/log.h"
#include "bus/topics.h"
#include "identity/x509.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

/* Foreign authorities whose devices are to come in. Whoever registers one proves that he has its key: by a certificate that it signed and whose common name
 * is this gateway's registration code. Without that the request has to say so. */

/* ---- answers -------------------------------------------------------------------------------------------------------------- */

static struct json *truth(struct arena *arena, bool value)
{
    return json_new(arena, value ? JSON_TRUE : JSON_FALSE);
}

static void put_text_or_null(struct arena *arena, struct json *object, const char *key, const char *text)
{
    if (text)
        (void)provision_put_text(arena, object, key, text);
    else
        json_append(object, key, strlen(key), json_new(arena, JSON_NULL));
}

static struct json *description_of(struct arena *arena, const struct registry_ca *ca)
{
    struct json *object = json_new(arena, JSON_OBJECT);
    (void)provision_put_text(arena, object, "id", ca->key.text);
    put_text_or_null(arena, object, "subject", ca->subject);
    (void)provision_put_text(arena, object, "status", ca->active ? "ACTIVE" : "INACTIVE");
    json_append(object, "autoRegistration", 16, truth(arena, ca->auto_registration));
    put_text_or_null(arena, object, "template", ca->template_name);
    json_append(object, "notBefore", 9, json_new_int(arena, ca->not_before_s * 1000));
    json_append(object, "notAfter", 8, json_new_int(arena, ca->not_after_s * 1000));
    json_append(object, "created", 7, json_new_int(arena, ca->created_ms));
    json_append(object, "modified", 8, json_new_int(arena, ca->modified_ms));
    return object;
}

/* ---- the code --------------------------------------------------------------------------------------------------------------- */

static void on_code_failed(struct provision *provision, const char *name)
{
    (void)name;
    free(steal(provision->registration_code));
}

static void on_code(struct provision *provision, struct msg *msg, struct arena *arena,
                    const struct json *request)
{
    static const char *const none[] = {NULL};
    if (!provision_members_are_known(provision, msg, arena, request, none))
        return;
    struct json *answer = json_new(arena, JSON_OBJECT);
    if (provision->registration_code) {
        (void)provision_put_text(arena, answer, "registrationCode", provision->registration_code);
        provision_answer_command(provision, msg, arena, answer);
        return;
    }
    uint8_t bytes[32];
    char code[2 * sizeof bytes + 1];
    if (getrandom(bytes, sizeof bytes, 0) != sizeof bytes)
        abort(); /* as in provision_token.c */
    for (size_t i = 0; i < sizeof bytes; i++)
        (void)snprintf(code + 2 * i, 3, "%02x", bytes[i]);
    provision->registration_code = str_copy(code);
    (void)provision_put_text(arena, answer, "registrationCode", code);
    struct provision_pending *pending = provision_pending_new(provision, msg, "");
    pending->failed = on_code_failed;
    pending->answer = str_copy(json_write(arena, answer, NULL));
    provision_store_put_code(provision->store, code, &pending->receipt);
    receipt_settle(&pending->receipt, 0);
}

/* ---- registering ------------------------------------------------------------------------------------------------------------- */

struct der {
    uint8_t *bytes;
    size_t len;
    struct x509_facts facts;
};

static void der_done(struct der *der)
{
    free(der->bytes);
    x509_facts_done(&der->facts);
}

/* NULL, or what is wrong. */
static const char *der_read(struct der *der, struct arena *arena, const char *what, const char *pem)
{
    cleanup_free char *why = NULL;
    if (x509_from_pem(&der->bytes, &der->len, pem, strlen(pem), &why) < 0 ||
        x509_facts(&der->facts, der->bytes, der->len, &why) < 0)
        return arena_printf(arena, "%s: %s", what, why ? why : "cannot be read");
    return NULL;
}

static const char *check_ca(struct arena *arena, const struct der *ca, int64_t now_s)
{
    if (!ca->facts.is_ca)
        return "certificate: expected one of an authority (basicConstraints CA:TRUE)";
    if (ca->facts.key_is_weak)
        return "certificate: expected a key of RSA 2048 or more, P-256, P-384 or P-521, and a signature with SHA-256 or "
               "better";
    if (now_s > ca->facts.not_after_s)
        return arena_printf(arena, "certificate: it has expired");
    return NULL;
}

static const char *check_proof(struct provision *provision, struct arena *arena, const struct der *ca,
                               const char *pem)
{
    struct der proof = {0};
    const char *why = der_read(&proof, arena, "verification", pem);
    if (!why && !provision->registration_code)
        why = "verification: ask for the registration code first: nothing can have been signed for it";
    if (!why && !x509_is_issued_by(proof.bytes, proof.len, ca->bytes, ca->len))
        why = "verification: it was not signed by this authority";
    if (!why &&
        (!proof.facts.common_name || strcmp(proof.facts.common_name, provision->registration_code) != 0))
        why = arena_printf(
            arena, "verification: expected the registration code as its common name, found \"%.100s\"",
            proof.facts.common_name ? proof.facts.common_name : "");
    if (!why && loop_wall(provision->loop) / 1000 > proof.facts.not_after_s)
        why = "verification: it has expired";
    der_done(&proof);
    return why;
}

/* NULL: it is one of JITP, or none is wanted. */
static const char *check_template(struct provision *provision, struct arena *arena, const char *name)
{
    const struct provision_template *template = provision_template_find(provision, name, strlen(name));
    if (!*name)
        return NULL;
    if (!template)
        return arena_printf(arena, "template: there is no template \"%.100s\"", name);
    if (template->kind != TEMPLATE_JITP)
        return arena_printf(arena, "template: expected one of type JITP, \"%s\" is of type %s", name,
                            template_kind_names[template->kind]);
    return NULL;
}

/* The answer is what the authority is now; it waits for the disk. */
static void answer_when_kept(struct provision_pending *pending, struct arena *arena, int r, const char *id)
{
    struct provision *provision = pending->provision;
    if (r == 0) {
        const struct registry_ca *ca = registry_ca(provision->registry, id);
        struct json *answer = ca ? description_of(arena, ca) : json_new(arena, JSON_OBJECT);
        if (!ca)
            (void)provision_put_text(arena, answer, "id", id);
        pending->answer = str_copy(json_write(arena, answer, NULL));
    } else {
        /* Nothing was changed: nothing is waited for. */
        struct json *answer = json_new(arena, JSON_OBJECT);
        json_append(answer, "code", 4, json_new_int(arena, registry_http_code(r)));
        (void)provision_put_text(arena, answer, "message", registry_why(provision->registry));
        pending->answer = str_copy(json_write(arena, answer, NULL));
    }
    receipt_settle(&pending->receipt, 0);
}

static struct registry_by by_operator(struct provision_pending *pending)
{
    const char *who = publisher_name(pending->request->from);
    return (struct registry_by){.who = *who ? who : "operator", .receipt = &pending->receipt};
}

static void register_ca(struct provision *provision, struct msg *msg, struct arena *arena,
                        const struct json *request, const struct der *ca, const char *template)
{
    bool active = true, auto_registration = true;
    (void)json_bool(json_get(request, "active"), &active);
    (void)json_bool(json_get(request, "autoRegistration"), &auto_registration);
    struct provision_pending *pending = provision_pending_new(provision, msg, ca->facts.id);
    const struct registry_by by = by_operator(pending);
    const struct registry_certificate certificate = {
        .der = ca->bytes,
        .der_len = ca->len,
        .id = ca->facts.id,
        .subject = ca->facts.subject,
        .not_before_s = ca->facts.not_before_s,
        .not_after_s = ca->facts.not_after_s,
    };
    int r = registry_ca_register(provision->registry, &certificate, active, auto_registration,
                                 *template ? template : NULL, NULL, &by);
    if (r == 0)
        log_notice("provisioning: authority %s (%s) is registered", ca->facts.id, ca->facts.subject);
    answer_when_kept(pending, arena, r, ca->facts.id);
}

static void on_register(struct provision *provision, struct msg *msg, struct arena *arena,
                        const struct json *request)
{
    static const char *const names[] = {"certificate", "verification",     "unverified", "template",
                                        "active",      "autoRegistration", NULL};
    const char *pem, *proof, *template;
    bool unverified = false;
    struct der ca = {0};
    if (!provision_members_are_known(provision, msg, arena, request, names) ||
        !provision_member(provision, msg, arena, request, "certificate", NULL, &pem) ||
        !provision_member(provision, msg, arena, request, "verification", "", &proof) ||
        !provision_member(provision, msg, arena, request, "template", "", &template))
        return;
    (void)json_bool(json_get(request, "unverified"), &unverified);
    const char *why = der_read(&ca, arena, "certificate", pem);
    if (!why)
        why = check_ca(arena, &ca, loop_wall(provision->loop) / 1000);
    if (!why && !*proof && !unverified)
        why =
            "verification: expected a certificate that the authority has signed, with the registration code as its common "
            "name";
    if (!why && *proof)
        why = check_proof(provision, arena, &ca, proof);
    if (!why)
        why = check_template(provision, arena, template);
    if (why)
        provision_refuse(provision, msg, 400, why);
    else
        register_ca(provision, msg, arena, request, &ca, template);
    der_done(&ca);
}

void provision_ca_commands(struct provision *provision)
{
    provision_command_add(provision, TOPIC_CTL_PROVISIONING_CODE, on_code);
    provision_command_add(provision, TOPIC_CTL_PROVISIONING_REGISTER, on_register);
}
