/* The registrar: who keeps the registry. Answers what is asked about it on $gatehouse/ctl/…, says its events, and owns the
 * gateway's own certificate authority.
 *
 *      ctl/thing/create  {"name":"press-07","attributes":{"hall":"7"}} ─▶ registry ─▶ disk ─▶ answer
 *                                                                            └─▶ $aws/events/thing/press-07/created
 *
 * A change is answered when it is on disk. Requests and answers are in schema/topics.md.
 */
#pragma once

#include "bus/bus.h"
#include "identity/admission.h"
#include "identity/authority.h"

struct registrar;

struct registrar_options {
    struct registry *registry;
    struct audit *audit;
    const char *folder;                   /* of the authority: STATE/identity */
    const char *name;                     /* the gateway's */
    const char *ca, *ca_key, *server_key; /* as in authority.h; as long as the registrar lives */
    const char *const *names;             /* further names and addresses that clients know it by */
    size_t name_count;
    /* The certificate that it shows is another one: listeners are to read it. May be NULL. */
    void (*server_changed)(void *self);
    void *self;
};

int registrar_new(struct registrar **ret, struct bus *bus, const struct registrar_options *options)
    must_check;
struct registrar *registrar_free(struct registrar *registrar);

/* The gateway's authority, made or read with the first call. NULL: *why (free it) says what is wrong. */
struct authority *registrar_authority(struct registrar *registrar, char **why);
