/* Logins as their own files see them. */
#pragma once

#include "identity/attempts.h"
#include "identity/login.h"
#include "identity/password.h"

enum { LOGIN_TAG_BYTES = 16, LOGIN_USER_MAX = 128 };

enum {
    LOGIN_ANSWERS_MAX = 128, /* that are remembered */
    LOGIN_DOCUMENTS_MAX = 10,
    LOGIN_NUMBER_BYTES = 33,
    LOGIN_ASKED_USER_MAX = 2048, /* with the query that AWS IoT has behind it */
};

#define LOGIN_ASKED_PREFIX "authorizer:" /* names of who came in so */

struct login_authorizer {
    char *name, *token_name; /* token_name NULL: it has no tokens */
    int64_t limit;
    struct secret_key *keys[LOGIN_TOKEN_KEYS_MAX]; /* none: tokens need not be signed */
    size_t key_count;
};

/* What an authorizer has said. */
struct login_answer {
    uint8_t tag[LOGIN_TAG_BYTES];
    int64_t until, lasts_s; /* it is remembered; and its connection lasts */
    char principal[LOGIN_USER_MAX + 1];
    struct policy *policies[LOGIN_DOCUMENTS_MAX];
    size_t policy_count;
};

/* Who signs tokens, and what those who come with one may do; does not change, and lives as long as somebody looks at one. */
struct login_signer {
    unsigned refs;
    struct jwt *jwt;
    char *policies[REGISTRY_PRINCIPAL_POLICIES_MAX];
    size_t policy_count;
    bool only_own_client_id;
};

struct login {
    struct loop *loop;
    struct registry *registry;
    struct audit *audit;
    struct worker *worker; /* NULL: nobody has come yet */
    enum worker_mode mode;
    struct login_signer *tokens[LOGIN_TOKENS_MAX];
    size_t token_count;
    bool clock_is_set;
    struct login_authorizer authorizers[LOGIN_AUTHORIZERS_MAX];
    size_t authorizer_count;
    struct login_asker *asker;    /* NULL: nobody */
    struct login_answer *answers; /* LOGIN_ANSWERS_MAX; NULL: none yet */
    struct list waiting, asked;   /* for the worker; for authorizers */
    struct list keepers;          /* of connections that are asked about again */
    struct login_job *working;    /* NULL: none */
    size_t jobs;
    struct attempts pairs, addresses, users; /* a pair: somebody at an address */

    uint8_t key[SECRET_HMAC_BYTES];         /* of this process */
    uint8_t (*remembered)[LOGIN_TAG_BYTES]; /* LOGIN_REMEMBERED_MAX; NULL: nothing yet */
    unsigned next;
};

/* Somebody in line. */
struct login_job {
    struct work work;
    struct login *login;
    struct login_request *request; /* NULL: he is gone */
    struct list link;
    enum login_access access;
    char *user, *client_id, *address, *host;
    char *place, *pair; /* what counts as one address; and with the user */
    uint8_t *password;
    size_t password_len;

    char who[LOGIN_USER_MAX + 8]; /* for the audit log */

    bool is_asked, tls;
    bool is_once;                /* nobody looks after him later */
    struct login_keeper *keeper; /* whose question it is; NULL: of somebody who comes */
    char *authorizer;
    char number[LOGIN_NUMBER_BYTES]; /* of the question */
    struct timer timer;

    bool is_token;
    int64_t now_s;
    const char *why; /* NULL: it is good */
    struct jwt_claims claims;
    struct login_signer *signers[LOGIN_TOKENS_MAX]; /* referenced: they may be others when it is done */
    size_t signer_count;
    const struct login_signer *signer; /* of them */

    bool is_user;         /* there is one of that name, and this is what is kept of him: */
    struct password kept; /* else made up, for the same work */
    char *kept_text;
    bool good;                      /* what the worker has found */
    char better[PASSWORD_TEXT_MAX]; /* what is to be kept from now on; "": as it is */
};

void login_job_free(struct login_job *job);
struct login_job *login_job_new(struct login *login, const struct login_credentials *credentials);
/* In line for the worker. */
void login_submit(struct login_job *job, struct login_request *request);
/* Tells whoever asked and frees the job. */
void login_finish(struct login_job *job, const struct login_verdict *verdict);
/* The verdict of somebody who is refused, noted in the audit log. */
struct login_verdict login_refuse(struct login_job *job, enum login_refusal refusal, const char *why);

/* Attempts: of that user, from that address. */
bool login_has_failed_too_often(const struct login_job *job);
void login_has_failed(const struct login_job *job);

/* login_password.c: true: *ret is the verdict, and the job is still the caller's. */
bool login_password_begin(struct login_job *job, struct login_verdict *ret);
/* login_ask.c */
bool login_ask_begin(struct login_job *job, struct login_request *request, struct login_verdict *ret);
/* Asks again. NULL: it is among the asked. Else why not, a constant. */
const char *login_ask(struct login_job *job);
void login_ask_forget(const struct login_job *job);

/* login_answer.c. NULL: *ret says who it is; forget it. Else why he is refused; *is_no: because his authorizer wants it so. */
const char *login_read_answer(struct login_answer *ret, const char *text, size_t len, int64_t now,
                              bool *is_no);
void login_forget_answer(struct login_answer *answer);
const struct login_answer *login_find_answer(const struct login_job *job);
/* NULL: what it said is forgotten. */
void login_remember_answer(const struct login_job *job, const struct login_answer *answer);
void login_answers_done(struct login *login);

/* login_authorizer.c */
struct login_token {
    bool is_there, is_verified;
    size_t len;
    char text[LOGIN_ASKED_USER_MAX + 1];
};
const struct login_authorizer *login_authorizer_of(const struct login_job *job);
/* NULL, or why nobody is asked. */
const char *login_find_token(const struct login_job *job, const struct login_authorizer *authorizer,
                             struct login_token *ret);
void login_authorizers_done(struct login *login);

/* login_refresh.c: that connection is asked about again at `until`. */
void login_keep(struct login_job *job, struct principal *principal, int64_t until);
void login_keeper_answered(struct login_keeper *keeper, const struct login_answer *answer);
void login_keeper_refused(struct login_keeper *keeper, const char *why);
void login_keeper_unanswered(struct login_keeper *keeper, const char *why);
void login_keepers_done(struct login *login);

bool login_token_begin(struct login_job *job, struct login_verdict *ret);
void login_token_release(struct login_job *job);
void login_token_run(struct login_job *job);
struct login_verdict login_token_judge(struct login_job *job);
void login_tokens_done(struct login *login);

void login_password_run(struct login_job *job);
struct login_verdict login_password_judge(struct login_job *job);
