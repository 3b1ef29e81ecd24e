/* Provisioning as its own files see it.
 *
 *      provision.c              doors, what a request must be, room and rate
 *      provision_certificate.c  certificates for claimants          provision_thing.c   what a token is changed for
 *      provision_hook.c         whoever is asked before             provision_apply.c   a plan becomes things in the registry
 *      provision_token.c        tokens and their end                provision_answer.c  answers, in JSON and CBOR
 *      provision_template.c     templates, and their commands       provision_ca.c      foreign authorities, and theirs
 *      provision_jitp.c         certificates of those               provision_store.c   rows of state.db
 */
#pragma once

#include "base/cbor.h"
#include "base/loop.h"
#include "bus/bus.h"
#include "identity/admission.h"
#include "identity/registry.h"
#include "identity/template.h"
#include "services/provision/provision.h"
#include "services/provision/provision_store.h"

enum {
    PROVISION_TOKEN_MS = 3600 * 1000, /* AWS IoT: an hour */
    PROVISION_TOKEN_CHARS = 43,       /* 32 bytes as base64url */
    PROVISION_HOOK_MS = 5000,
    PROVISION_REQUEST_MAX = 16 * 1024,
    PROVISION_TEMPLATES_MAX = 256,
    PROVISION_COMMAND_MAX = 64 * 1024,
};

enum provision_format { PROVISION_JSON, PROVISION_CBOR };
enum provision_verb { PROVISION_CREATE, PROVISION_FROM_CSR, PROVISION_REGISTER, PROVISION_VERBS };

/* What a request is refused with. */
struct provision_fault {
    int status;
    const char *code, *text;
};

struct provision_template {
    struct map_key key;
    enum template_kind kind;
    bool enabled, changing; /* changing: not on disk as it is here */
    char *description, *body, *hook;
    uint32_t version;
    int64_t created_ms, modified_ms;
};

struct provision_token {
    struct map_key key;
    struct list link;   /* in provision->ages: the first one to end first */
    int64_t ends;       /* loop's time */
    int64_t expires_ms; /* wall time, as on disk */
    char certificate[REGISTRY_CERTIFICATE_ID_BYTES];
    char *claimant;         /* "": nobody knows */
    char *template, *thing; /* NULL: not used yet */
    bool busy;              /* a request with it is under way */
};

/* A request of a device, from its message to its answer. */
struct provision_request {
    struct provision *provision;
    struct list link;
    enum provision_verb verb;
    enum provision_format format;
    struct msg *msg;
    struct receipt *receipt; /* the publisher's: settled with the answer */
    struct receipt kept;     /* settles when what the answer says is on disk */
    struct msg *accepted;    /* what is sent then, unless it is refused: */
    char *refusal;
    const char *code;
    int status;

    struct provision_token *token; /* busy; NULL: none */
    bool is_first;                 /* the token is made or used for the first time */
    char *template;                /* its name: it may go while the hook thinks */
    char *parameters;              /* JSON text of an object of strings */
    char *overrides;               /* from the hook; NULL: none */
    struct registry_der der;
    bool reading;  /* the certificate */
    char hook[33]; /* the number of the question; "": none is asked */
    struct timer hook_timer;
};

/* A bucket of what may happen in a second. */
struct provision_rate {
    double left;
    int64_t at;
};

struct provision_door {
    struct subscriber subscriber;
    struct subscription subscription;
    struct provision *provision;
    const char *filter;
    enum provision_verb verb;
};

/* A command: its topic, and what it does with a request that is a JSON object. */
struct provision_command {
    struct subscriber subscriber;
    struct subscription subscription;
    struct provision *provision;
    void (*run)(struct provision *provision, struct msg *msg, struct arena *arena,
                const struct json *request);
};
enum { PROVISION_COMMANDS_MAX = 16 };

struct provision {
    struct bus *bus;
    struct loop *loop;
    struct store *store;
    struct registry *registry;
    struct provision_options options;
    struct provision_counters counters;
    struct provision_rate rates[PROVISION_VERBS];
    struct provision_door doors[PROVISION_VERBS];
    struct list requests;
    unsigned request_count;

    struct map templates;
    struct map tokens;
    struct list ages;
    struct timer ageing;

    struct subscriber hook_answers;
    struct subscription hook_answer_subscription;
    struct newcomer_handler newcomers;
    struct list arrivals; /* newcomers whose registration is on its way to the disk */

    struct provision_command commands[PROVISION_COMMANDS_MAX];
    size_t command_count;
    struct list pending;     /* commands that wait for the disk */
    char *registration_code; /* NULL: not asked for yet */
};

/* ---- provision.c ------------------------------------------------------------------------------------------------------ */

/* The request is over; its answer, if there is one, has been sent. */
void provision_request_end(struct provision_request *request, int r);
/* Nothing more will change: answers when what the request's receipt waits for is on disk. The request may be gone then. */
void provision_finish(struct provision_request *request);
/* The same, with a refusal. */
void provision_reject(struct provision_request *request, const struct provision_fault *fault);

/* ---- provision_answer.c ------------------------------------------------------------------------------------------------ */

/* The payload as a tree; NULL: it is none. No payload is an empty object. */
struct json *provision_payload(struct arena *arena, const struct provision_request *request);
/* A message for the asker alone, on the request's topic and /accepted or /rejected. NULL: no memory. */
struct msg *provision_answer(const struct provision_request *request, const char *verdict,
                             struct arena *arena, const struct json *document);
struct json *provision_put_text(struct arena *arena, struct json *object, const char *key, const char *text);

/* ---- the three requests --------------------------------------------------------------------------------------------------- */

void provision_create(struct provision_request *request, struct arena *arena, const struct json *payload);
void provision_from_csr(struct provision_request *request, struct arena *arena, const struct json *payload);
void provision_register(struct provision_request *request, struct arena *arena, const struct json *payload);
/* The hook has agreed, or there is none. */
void provision_register_go_on(struct provision_request *request);

/* ---- provision_hook.c -------------------------------------------------------------------------------------------------- */

void provision_hook_init(struct provision *provision);
void provision_hook_done(struct provision *provision);
void provision_hook_ask(struct provision_request *request);
void provision_hook_forget(struct provision_request *request);

/* ---- provision_apply.c -------------------------------------------------------------------------------------------------- */

/* Makes of a certificate what the plan says, or changes nothing: false, and *fault (its text in the arena). */
bool provision_apply(struct registry *registry, struct arena *arena, const struct template_plan *plan,
                     const char *certificate, const struct registry_by *by, struct provision_fault *fault)
    must_check;
/* What a refusal of the registry is to a device. */
struct provision_fault provision_fault_of(const struct registry *registry, struct arena *arena, int refusal);

/* ---- provision_token.c --------------------------------------------------------------------------------------------------- */

void provision_tokens_load(struct provision *provision, struct provision_token_row *rows);
void provision_tokens_done(struct provision *provision);
/* A new one for a certificate, on its way to the disk; NULL: there are too many. */
struct provision_token *provision_token_new(struct provision *provision, const char *certificate,
                                            const char *claimant, struct receipt *receipt);
/* NULL: there is none of that text for this claimant. */
struct provision_token *provision_token_find(struct provision *provision, const struct json *text,
                                             const char *claimant);
void provision_token_used(struct provision *provision, struct provision_token *token, const char *template,
                          const char *thing, struct receipt *receipt);
/* What was done last is not on disk: it is unused again, or is none if it never was there. */
void provision_token_undo(struct provision *provision, struct provision_token *token);

/* ---- provision_template.c, provision_ca.c ---------------------------------------------------------------------------------- */

void provision_templates_load(struct provision *provision, struct provision_template_row *rows);
void provision_templates_done(struct provision *provision);
struct provision_template *provision_template_find(struct provision *provision, const char *name, size_t len);
void provision_template_commands(struct provision *provision);
void provision_ca_commands(struct provision *provision);

/* ---- provision_command.c --------------------------------------------------------------------------------------------------- */

void provision_command_add(struct provision *provision, const char *topic,
                           void (*run)(struct provision *provision, struct msg *msg, struct arena *arena,
                                       const struct json *request));
void provision_commands_done(struct provision *provision);
void provision_refuse(struct provision *provision, const struct msg *request, int code, const char *message);
void provision_answer_command(struct provision *provision, const struct msg *request, struct arena *arena,
                              const struct json *answer);
/* A command that waits for the disk: the answer is sent when the receipt, of which the caller has one hold, settles well. It
 * frees itself; `failed` (may be NULL) is called first when it does not. */
struct provision_pending {
    struct receipt receipt;
    struct list link;
    struct provision *provision;
    struct msg *request;
    char *answer;
    void (*failed)(struct provision *provision, const char *name);
    char *name;
};
struct provision_pending *provision_pending_new(struct provision *provision, struct msg *request,
                                                const char *name);
/* The text of a member in *ret; true: it is there and a string, or may be missing and is, which is `otherwise`. false: it has
 * been refused. */
bool provision_member(struct provision *provision, const struct msg *msg, struct arena *arena,
                      const struct json *request, const char *name, const char *otherwise, const char **ret);
/* Only these members, of which the list ends with NULL; false: it has been refused. */
bool provision_members_are_known(struct provision *provision, const struct msg *msg, struct arena *arena,
                                 const struct json *request, const char *const *names);
/* ---- provision_jitp.c -------------------------------------------------------------------------------------------------------- */

void provision_jitp_init(struct provision *provision);
void provision_jitp_done(struct provision *provision);
