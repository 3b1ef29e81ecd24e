#include "identity/admission.h"

#include "base/log.h"
#include "base/sha256.h"
#include "identity/x509.h"

#include <string.h>

struct admission {
    struct registry *registry;
    struct audit *audit;
    struct newcomer_handler *newcomers;
};

static const int64_t clock_floor_s = 1704067200; /* 2024: before that the clock was never set */

struct admission *admission_new(struct registry *registry, struct audit *audit)
{
    struct admission *admission = mem_new(struct admission);
    admission->registry = registry;
    admission->audit = audit;
    return admission;
}

struct admission *admission_free(struct admission *admission)
{
    free(admission);
    return NULL;
}

void admission_set_newcomers(struct admission *admission, struct newcomer_handler *handler)
{
    admission->newcomers = handler;
}

struct registry *admission_registry(const struct admission *admission)
{
    return admission->registry;
}

void admission_refused(struct admission *admission, const char *who, const char *what, const char *object,
                       const char *reason)
{
    audit_refused(admission->audit, who, what, object, reason);
}

/* Authorities are few; their names are compared before anything is computed. */
static const struct registry_ca *issuer_of(const struct admission *admission, const uint8_t *der, size_t len)
{
    struct registry_ca *all[64];
    const char *after = NULL;
    for (size_t n; (n = registry_cas(admission->registry, after, all, array_size(all)));
         after = all[n - 1]->key.text)
        for (size_t i = 0; i < n; i++)
            if (x509_is_issued_by(der, len, all[i]->der, all[i]->der_len))
                return all[i];
    return NULL;
}

/* What the registry says of it. One that is there is not taken apart again: that costs as much as a tenth of a handshake. */
struct finding {
    char id[SHA256_TEXT];
    const char *subject;
    int64_t not_before_s, not_after_s;
    struct x509_facts facts;                    /* of one that is not registered */
    const struct registry_principal *principal; /* NULL: not registered */
    const struct registry_ca *ca;               /* of one that is not registered */
    const char *why;                            /* it is refused; NULL: it is not */
    bool is_newcomer;
};

static const char *why_not(enum registry_status status)
{
    switch (status) {
    case REGISTRY_ACTIVE: break;
    case REGISTRY_INACTIVE: return "its certificate is INACTIVE";
    case REGISTRY_REVOKED: return "its certificate is REVOKED";
    case REGISTRY_PENDING_ACTIVATION: return "its certificate waits for its activation";
    case REGISTRY_STATUSES: break;
    }
    return NULL;
}

static bool find_facts(const uint8_t *der, size_t len, struct finding *ret)
{
    if (ret->principal && ret->principal->not_after_s) { /* its dates are known */
        ret->subject = ret->principal->subject ? ret->principal->subject : "";
        ret->not_before_s = ret->principal->not_before_s;
        ret->not_after_s = ret->principal->not_after_s;
        return true;
    }
    if (x509_facts(&ret->facts, der, len, NULL) < 0)
        return false;
    ret->subject = ret->facts.subject;
    ret->not_before_s = ret->facts.not_before_s;
    ret->not_after_s = ret->facts.not_after_s;
    return true;
}

static bool find(const struct admission *admission, const uint8_t *der, size_t len, struct finding *ret)
{
    *ret = (struct finding){0};
    sha256_text(ret->id, der, len);
    ret->principal = registry_principal(admission->registry, ret->id);
    if (!find_facts(der, len, ret))
        return false;
    int64_t now_s = registry_now(admission->registry) / 1000;
    if (now_s > ret->not_after_s) {
        ret->why = "its certificate has expired";
    } else if (now_s >= clock_floor_s && now_s < ret->not_before_s) {
        ret->why = "its certificate is not valid yet";
    } else if (ret->principal) {
        ret->why = why_not(ret->principal->status);
        ret->is_newcomer = ret->principal->status == REGISTRY_PENDING_ACTIVATION;
        if (ret->is_newcomer && ret->principal->ca)
            ret->ca = registry_ca(admission->registry, ret->principal->ca);
    } else if (registry_was_revoked(admission->registry, ret->id)) {
        ret->why = "its certificate was REVOKED before it was deleted";
    } else if ((ret->ca = issuer_of(admission, der, len))) {
        ret->is_newcomer = ret->ca->active && ret->ca->auto_registration;
        ret->why = ret->is_newcomer ? "its certificate is new here and waits for its activation"
                                    : "its certificate is not registered, though its authority is";
    }
    return true;
}

bool admission_judge(struct admission *admission, const uint8_t *der, size_t len, const char *problem)
{
    struct finding finding;
    if (!find(admission, der, len, &finding)) {
        audit_refused(admission->audit, "somebody", "refused/handshake", "",
                      "its certificate cannot be read");
        return false;
    }
    const char *why = problem ? problem : finding.why;
    if (!why && !finding.principal)
        why = "its certificate is not registered, and no authority here has signed it";
    /* A newcomer is let in as far as CONNECT: only then he is one, and not somebody who knocks. */
    bool good = !why || (!problem && finding.is_newcomer);
    if (!good) {
        log_info("certificate %s (%s): refused: %s", finding.id, finding.subject, why);
        audit_refused(admission->audit, finding.subject, "refused/handshake", finding.id, why);
    }
    x509_facts_done(&finding.facts);
    return good;
}

int admission_enter(struct admission *admission, const struct permit_origin *origin, bool strict,
                    struct principal **ret, const char **why)
{
    struct finding finding;
    *why = "its certificate cannot be read";
    if (!origin->der || !find(admission, origin->der, origin->der_len, &finding))
        return ADMISSION_REFUSED;
    if (finding.is_newcomer && admission->newcomers) {
        const struct newcomer newcomer = {origin->der, origin->der_len, finding.id, finding.ca,
                                          finding.principal};
        admission->newcomers->came(admission->newcomers, &newcomer);
    }
    int r = 0;
    if (finding.why) {
        *why = finding.why;
        r = ADMISSION_REFUSED;
    } else if (!finding.principal) {
        *why = "its certificate is not registered";
        r = strict ? ADMISSION_REFUSED : ADMISSION_UNKNOWN;
    } else {
        *ret = permit_principal_new(admission->registry, finding.principal, origin);
    }
    if (r == ADMISSION_REFUSED)
        audit_refused(admission->audit, finding.subject, "refused/connect", finding.id, *why);
    x509_facts_done(&finding.facts);
    return r;
}
