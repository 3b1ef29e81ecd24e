/* A permit: what somebody in the registry may do on one connection.
 *
 *      principal ─▶ policies of his, and of the groups of his thing ─┐
 *      certificate, client id, thing, address ─▶ context ────────────┴─▶ decision, remembered (policy_cache.h)
 *
 * All of it is found anew when the registry's generation is another one: a policy that is detached does not hold for the next
 * message, without anybody walking through connections. Whoever is not there or not ACTIVE any more may do nothing.
 */
#pragma once

#include "identity/policy_eval.h"
#include "identity/principal.h"
#include "identity/registry.h"

/* Where he comes from; all of it is copied. */
struct permit_origin {
    const uint8_t *der; /* his certificate; NULL: none */
    size_t der_len;
    const char *address; /* "10.0.0.7"; NULL: not known */
    const char *host;    /* that he asked for (SNI); NULL: none */
};

/* The principal of a connection. */
struct principal *permit_principal_new(struct registry *registry, const struct registry_principal *who,
                                       const struct permit_origin *origin);

/* Somebody who is not in the registry and has policies all the same. All of it is copied. */
struct permit_guest {
    const char *name;            /* "jwt:press-07" */
    const char *thing;           /* whose attributes and groups count, if there is such a thing; NULL: none */
    const char *const *policies; /* names in the registry; those that are not there allow nothing */
    size_t policy_count;         /* at most REGISTRY_PRINCIPAL_POLICIES_MAX */
    struct policy *const *own;   /* and policies that are nowhere else; referenced */
    size_t own_count;            /* at most as many */
};
struct principal *permit_guest_new(struct registry *registry, const struct permit_guest *guest,
                                   const struct permit_origin *origin);

/* He has these policies of his own from now on, in place of those he came with. Of permit_guest_new() only. */
void permit_guest_renew(struct principal *principal, struct policy *const *own, size_t own_count);

/* A decision with its reason, not remembered: for `gatehouse can`. As of somebody who connects with that client id (NULL: by
 * HTTP, without one). The context is init'ed here and the caller's to free; verdict->policy lives until the loop's next turn. */
enum policy_decision permit_explain(const struct registry_principal *who, const struct permit_origin *origin,
                                    const char *client_id, const struct policy_request *request,
                                    struct policy_context *context, struct policy_verdict *verdict);
