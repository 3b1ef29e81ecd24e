/* Provisioning: how a device that nobody knows becomes a thing with a certificate and policies.
 *
 *      claim certificate ─▶ $aws/certificates/create…/FORMAT                  ─▶ certificate, PENDING_ACTIVATION, and a token
 *                       └▶ $aws/provisioning-templates/NAME/provision/FORMAT  ─▶ token + template ─▶ thing, policies, ACTIVE
 *      certificate of a foreign authority ─▶ $aws/events/certificates/registered/CA ─▶ the authority's template ─▶ the same
 *
 * FORMAT is json or cbor. An answer goes to the asker alone, since the topic is everybody's and the answer may hold a private
 * key; and only if he has subscribed to it. It comes when everything that it says is on disk.
 *
 * A token is bound to who asked for the certificate, lives for an hour, also across a restart, and is what the second request
 * proves with. It may be used again with the same template for as long as it lives: a reply may have been lost. A certificate
 * that nothing was made of in that hour is deleted.
 *
 * Templates and authorities are managed by commands: $gatehouse/ctl/template/… and $gatehouse/ctl/ca/….
 */
#pragma once

#include "base/base.h"

struct admission;
struct audit;
struct bus;
struct provision;
struct registry;
struct store;
struct x509_issued;
struct x509_wish;

struct provision_options {
    /* Signs with the gateway's own authority, as authority_issue() does. */
    int (*issue)(void *issuer, struct x509_issued *ret, const struct x509_wish *wish, char **why);
    const char *(*issuer_id)(void *issuer); /* of the authority's certificate; NULL: not known */
    void *issuer;
    struct admission *admission; /* tells of newcomers; NULL: nobody does */
    struct audit *audit;         /* hears of what is refused; may be NULL */
    const char *place;           /* what ARNs begin with; NULL: POLICY_PLACE. Not copied */
    unsigned requests_max;       /* under way; 0: 64 */
    unsigned tokens_max;         /* certificates that wait to be provisioned; 0: 4096 */
    unsigned rate, rate_burst;   /* of each of the three requests, a second; 0: 10, and 50 at once */
};

struct provision_counters {
    uint64_t created, provisioned, rejected, just_in_time, expired;
};

/* Reads templates and tokens: blocks, so before the loop turns. */
int provision_new(struct provision **ret, struct bus *bus, struct store *store, struct registry *registry,
                  const struct provision_options *options) must_check;
struct provision *provision_free(struct provision *provision);
define_cleanup(struct provision *, provision_free)

const struct provision_counters *provision_counters(const struct provision *provision);
