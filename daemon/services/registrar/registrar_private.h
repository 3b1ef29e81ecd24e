/* The registrar as its own files see it. */
#pragma once

#include "base/json_write.h"
#include "services/registrar/registrar.h"

struct registrar {
    struct bus *bus;
    struct registrar_options options;
    struct registry *registry;
    struct authority *authority; /* NULL: nobody has wanted it yet */
    char *folder, *name;
    char **names;
    struct timer refresh; /* names and dates of the server's certificate */
    struct subscriber subscriber;
    struct subscription subscriptions[12];
    size_t subscription_count;
    struct registry_watcher watcher;
    struct task crl;     /* written once a turn */
    bool nobody_revoked; /* as the list of revoked certificates was written last */
};

/* One request: what came, and what is to be answered. It lives until its answer is said. */
struct asked {
    struct registrar *registrar;
    struct msg *msg;
    struct arena arena;
    struct json *json;         /* the request */
    struct json_writer answer; /* an object that has been begun */
    char who[64];              /* for the audit log */
    struct receipt receipt;    /* of changes; held once while the request is being done */
    struct registry_by by;
    bool answered;   /* refused, or somebody else answers later */
    bool has_secret; /* the answer has */
};

/* Refuses with that code, unless it has been refused before. */
void asked_refuse(struct asked *asked, int code, const char *format, ...) printf_like(3, 4);
/* What a function of the registry returned: false when it was a refusal, which is answered. */
bool asked_is_good(struct asked *asked, int r);
/* A member that is a text; NULL when it is missing. `required`: then that is refused. Wrong types are refused. */
const char *asked_text(struct asked *asked, const char *name, bool required);
bool asked_bool(struct asked *asked, const char *name, bool fallback);
int64_t asked_number(struct asked *asked, const char *name, int64_t max, int64_t fallback);
/* {"NAME":"VALUE",…} as attributes in the arena. */
const struct registry_attribute *asked_attributes(struct asked *asked, size_t *count);
/* The answer comes later: the receipt is held until asked_done(). */
void asked_done(struct asked *asked);

void put_text(struct json_writer *w, const char *key, const char *value); /* NULL writes nothing */
void put_number(struct json_writer *w, const char *key, int64_t value);
void put_bool(struct json_writer *w, const char *key, bool value);
void put_arn(struct json_writer *w, const char *key, const char *kind, const char *name);
void put_things_and_policies(struct json_writer *w, const struct registry_principal *principal);
void put_attributes(struct json_writer *w, const struct registry_attributes *attributes);

typedef void registrar_handler(struct asked *asked);
struct registrar_request {
    const char *topic; /* behind $gatehouse/ctl/ */
    registrar_handler *handle;
    const char *members; /* that it may have, with blanks between them */
};
/* One table a file, ended by {0}. */
extern const struct registrar_request registrar_thing_requests[];
extern const struct registrar_request registrar_group_requests[];
extern const struct registrar_request registrar_principal_requests[];
extern const struct registrar_request registrar_user_requests[];
extern const struct registrar_request registrar_policy_requests[];
extern const struct registrar_request registrar_ca_requests[];

/* registrar_ca.c: what was revoked of the own authority, in ca.crl */
void registrar_write_crl(struct task *task);

/* registrar_events.c */
void registrar_say_event(struct registrar *registrar, const struct registry_change *change);
