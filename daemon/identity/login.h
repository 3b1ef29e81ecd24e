/* Logins: who comes with a user name and a password, a token, or what an authorizer understands.
 *
 *      CONNECT ─▶ login_begin() ─┬─ proved it before: known by a keyed hash ──────────────▶ verdict, at once
 *                                └─ in line ─▶ worker: scrypt, or a token's signature ────▶ done()
 *                                            └ authorizer: a request on the bus, or HTTP ─▶ done()
 *
 * A password costs tens of milliseconds on purpose, so one is computed at a time, off the loop; a user who is not there costs as
 * much as a wrong password. Whoever fails too often waits (attempts.h): a user from one address ten times at once and then once
 * in six seconds; all users of an address, and one user from wherever, sixty times and then once a second. So a device with an old
 * password that never rests keeps nobody else out. One who has proved it before is let in all the same. What was proved is
 * remembered by an HMAC of user, password and the hash that is kept, with a key that this process made up: another password
 * forgets it.
 *
 * Passwords are copied for as long as they are in line, and wiped. Every refusal is in the audit log. One thread.
 */
#pragma once

#include "base/worker.h"
#include "identity/admission.h"
#include "identity/jwt.h"

struct login;
struct login_job;

/* Ways that a listener takes, bits. */
enum login_way { LOGIN_PASSWORD = 1, LOGIN_JWT = 2, LOGIN_AUTHORIZER = 4 };
/* What who has come in may do: what his policies say, the topics of his name, everything. */
enum login_access { LOGIN_POLICIES, LOGIN_OWN_TOPICS, LOGIN_EVERYTHING };
enum login_refusal {
    LOGIN_BAD,    /* user or password */
    LOGIN_DENIED, /* a token, or an authorizer's no */
    LOGIN_TOO_MANY_ATTEMPTS,
    LOGIN_BUSY, /* later, perhaps */
};

enum {
    LOGIN_AUTHORIZERS_MAX = 32,
    LOGIN_TOKEN_KEYS_MAX = 4,
    LOGIN_TOKENS_MAX = 8,
    LOGIN_WAITING_MAX = 4096,
    LOGIN_REMEMBERED_MAX = 1024
};

/* All of it is copied. */
struct login_credentials {
    unsigned ways;
    enum login_access access;
    const char *authorizer; /* with LOGIN_AUTHORIZER */
    const char *user;       /* NULL: none */
    size_t user_len;
    const uint8_t *password; /* NULL: none */
    size_t password_len;
    const char *client_id; /* may be empty */
    size_t client_id_len;
    const char *address, *host; /* as in permit_origin */
    bool tls;
    bool once; /* for one request: nobody is asked about him again */
};

struct login_verdict {
    struct principal *principal; /* a reference; NULL: he is refused */
    enum login_refusal refusal;
    const char *why; /* a constant */
};

struct login_request {
    void (*done)(struct login_request *request, const struct login_verdict *verdict);
    struct login_job *job; /* private */
};

struct login *login_new(struct loop *loop, struct registry *registry, struct audit *audit,
                        enum worker_mode mode);
struct login *login_free(struct login *login); /* after those who asked */
define_cleanup(struct login *, login_free)

/* Who signs tokens, and what those who come with one may do where policies decide; copied. */
struct login_tokens {
    struct jwt_options check;
    const char *policies;    /* names in the registry, with blanks between them */
    bool only_own_client_id; /* it has to be the subject */
};
int login_add_tokens(struct login *login, const struct login_tokens *tokens, enum jwt_source source,
                     const char *text, size_t len, char **why) must_check;
/* In place of the one that was added as number `at`, from 0 on; -EINVAL: that one stays, and *why (free it) says what was expected. */
int login_renew_tokens(struct login *login, size_t at, const struct login_tokens *tokens,
                       enum jwt_source source, const char *text, size_t len, char **why) must_check;
/* Can the wall clock be believed? Until it can, no token is taken. At first it cannot. */
void login_set_clock(struct login *login, bool is_set);

/* Who carries questions to authorizers. */
struct login_asker {
    /* json: the question, valid during the call. NULL: login_answered() says what was answered to that number, or login_unanswered()
     * that nothing was, not from inside. Else why it is not asked, a constant. */
    const char *(*ask)(struct login_asker *asker, const char *authorizer, const char *number,
                       const char *json);
    /* Nobody waits for the answer to that number any more; may be NULL. */
    void (*forget)(struct login_asker *asker, const char *number);
};
/* There is such an authorizer, and it has so long to answer. Before anybody comes. */
void login_add_authorizer(struct login *login, const char *name, int64_t limit);
/* Its tokens are behind the ? of user names by that name, signed with one of these keys (PEM; AWS IoT: RSA, SHA-256; none: they need
 * not be). Copied, in place of what was said before; what is remembered of authorizers' answers is forgotten. -EINVAL: *why (free it)
 * says what was expected, and nothing has changed. */
struct login_token_key {
    const char *pem;
    size_t len;
};
int login_set_token_keys(struct login *login, const char *name, const char *token_name,
                         const struct login_token_key *keys, size_t count, char **why) must_check;
void login_set_asker(struct login *login, struct login_asker *asker); /* NULL: nobody */
/* A number that nobody waits for is passed over. */
void login_answered(struct login *login, const char *number, const char *json, size_t len);
/* He is refused, and it does not count as an attempt of his: the authorizer's fault. why: a constant. */
void login_unanswered(struct login *login, const char *number, const char *why);

/* true: *ret is the verdict. false: done() comes later. */
bool login_begin(struct login *login, struct login_request *request,
                 const struct login_credentials *credentials, struct login_verdict *ret);
/* He is gone: done() is not called any more. One that is not under way is none. */
void login_cancel(struct login_request *request);
