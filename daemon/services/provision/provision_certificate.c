#include "services/provision/provisioning.h"

#include "base/log.h"
#include "identity/x509.h"

#include <errno.h>
#include <string.h>

/* A certificate is registered and its token written in one turn, so both are on disk or neither. */

static const struct provision_fault
    no_csr = {400, "InvalidPayload", "certificateSigningRequest is missing or not a string."},
    long_csr = {400, "InvalidCertificateSigningRequest",
                "The certificate signing request has more than 4096 characters."},
    no_key = {500, "InternalError", "The certificate could not be signed."},
    too_many = {429, "Throttled", "Too many certificates wait to be provisioned."};

/* In the arena, without line's ends. */
static const char *sentence(struct arena *arena, const char *what, const char *why)
{
    return arena_printf(arena, "%s: %s.", what, why ? why : "not known why");
}

static int register_certificate(struct provision_request *request, const struct x509_issued *issued)
{
    struct provision *provision = request->provision;
    struct x509_facts facts;
    int r = x509_facts(&facts, issued->der, issued->len, NULL);
    if (r < 0)
        return r;
    char *who = str_printf("claim:%s", publisher_name(request->msg->from));
    const struct registry_by by = {.who = who, .receipt = &request->kept};
    const struct registry_certificate certificate = {
        .der = issued->der,
        .der_len = issued->len,
        .id = issued->id,
        .ca = provision->options.issuer_id ? provision->options.issuer_id(provision->options.issuer) : NULL,
        .subject = facts.subject,
        .serial = facts.serial,
        .not_before_s = facts.not_before_s,
        .not_after_s = facts.not_after_s,
    };
    r = registry_certificate_register(provision->registry, &certificate, REGISTRY_PENDING_ACTIVATION, &by);
    x509_facts_done(&facts);
    free(who);
    return r;
}

static void hand_out(struct provision_request *request, struct arena *arena, const struct x509_issued *issued)
{
    struct provision *provision = request->provision;
    const struct publisher *from = request->msg->from;
    int r = register_certificate(request, issued);
    if (r != 0) {
        const struct provision_fault fault =
            r < 0 ? no_key : provision_fault_of(provision->registry, arena, r);
        provision_reject(request, &fault);
        return;
    }
    struct provision_token *token = provision_token_new(
        provision, issued->id, from && from->principal ? from->principal : "", &request->kept);
    token->busy = true;
    request->token = token;
    request->is_first = true;

    struct json *document = json_new(arena, JSON_OBJECT);
    (void)provision_put_text(arena, document, "certificateId", issued->id);
    (void)provision_put_text(arena, document, "certificatePem", issued->pem);
    if (issued->key_pem)
        (void)provision_put_text(arena, document, "privateKey", issued->key_pem);
    (void)provision_put_text(arena, document, "certificateOwnershipToken", token->key.text);
    request->accepted = provision_answer(request, "accepted", arena, document);
    if (request->accepted && issued->key_pem)
        request->accepted->qos = 0; /* or the queue of a session that outlives its connection would have the key on disk */
    provision_finish(request);
}

static void issue(struct provision_request *request, struct arena *arena, const struct x509_wish *wish)
{
    struct provision *provision = request->provision;
    struct x509_issued issued = {0};
    cleanup_free char *why = NULL;
    if (provision->tokens.count >= provision->options.tokens_max) {
        provision_reject(request, &too_many);
        return;
    }
    int r = provision->options.issue(provision->options.issuer, &issued, wish, &why);
    if (r == 0) {
        hand_out(request, arena, &issued);
        x509_issued_done(&issued);
        return;
    }
    if (r == -EINVAL && wish->request) {
        const struct provision_fault bad = {400, "InvalidCertificateSigningRequest",
                                            sentence(arena, "The certificate signing request", why)};
        provision_reject(request, &bad);
        return;
    }
    log_error("provisioning: a certificate cannot be signed: %s", why ? why : strerror(-r));
    provision_reject(request, &no_key);
}

void provision_create(struct provision_request *request, struct arena *arena, const struct json *payload)
{
    (void)payload; /* AWS IoT: ignored */
    issue(request, arena,
          &(struct x509_wish){.usage = X509_CLIENT, .key = X509_EC_P256, .common_name = "Gatehouse device"});
}

void provision_from_csr(struct provision_request *request, struct arena *arena, const struct json *payload)
{
    const struct json *csr = json_get(payload, "certificateSigningRequest");
    if (!cbor_is_text(csr)) {
        provision_reject(request, &no_csr);
        return;
    }
    if (csr->len > X509_REQUEST_MAX) {
        provision_reject(request, &long_csr);
        return;
    }
    issue(request, arena,
          &(struct x509_wish){.usage = X509_CLIENT, .request = csr->text, .request_len = csr->len});
}
