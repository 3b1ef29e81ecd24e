/* Admission: whom a certificate lets in.
 *
 *      in the registry, ACTIVE                                 that principal, with its policies
 *      in the registry, not ACTIVE                             refused
 *      not there, signed by an authority that is there         refused; one that registers by itself: a newcomer, told to
 *                                                              whoever provisions, and refused until he has been
 *      neither                                                 where policies decide: refused; else by the listener's rules
 *
 * The status of the authority of a registered certificate does not matter, as at AWS IoT. Every refusal is in the log and in
 * the audit log, with its reason.
 */
#pragma once

#include "identity/audit.h"
#include "identity/permit.h"

struct admission;

/* Somebody whose certificate is not registered yet, or still waits: by an authority that registers by itself. */
struct newcomer {
    const uint8_t *der;
    size_t der_len;
    const char *id;
    const struct registry_ca *ca;               /* NULL: gone since */
    const struct registry_principal *principal; /* PENDING_ACTIVATION; NULL: not registered */
};
struct newcomer_handler {
    void (*came)(struct newcomer_handler *handler, const struct newcomer *newcomer);
};

/* audit may be NULL. */
struct admission *admission_new(struct registry *registry, struct audit *audit);
struct admission *admission_free(struct admission *admission);
/* Who provisions newcomers; NULL: nobody. */
void admission_set_newcomers(struct admission *admission, struct newcomer_handler *handler);

/* In the TLS handshake of a listener where policies decide: may it go on? problem: what is wrong with the certificate already;
 * NULL: nothing. */
bool admission_judge(struct admission *admission, const uint8_t *der, size_t len, const char *problem);

/* When he says who he is: 0 with a principal; ADMISSION_REFUSED, and *why (a constant) says why; ADMISSION_UNKNOWN: the
 * registry knows neither him nor who signed him. `strict`: that is refused, too. */
enum { ADMISSION_REFUSED = 1, ADMISSION_UNKNOWN };
int admission_enter(struct admission *admission, const struct permit_origin *origin, bool strict,
                    struct principal **ret, const char **why) must_check;

/* He was refused something that is worth noting. what: "refused/publish"; who: a client id, an address. */
void admission_refused(struct admission *admission, const char *who, const char *what, const char *object,
                       const char *reason);
struct registry *admission_registry(const struct admission *admission);
