/* Tokens, in place of a password. */
#include "identity/login_private.h"

#include <stdio.h>
#include <string.h>

static int signer_new(struct login_signer **ret, const struct login_tokens *tokens, enum jwt_source source,
                      const char *text, size_t len, char **why)
{
    struct jwt *jwt;
    int r = jwt_new(&jwt, &tokens->check, source, text, len, why);
    if (r < 0)
        return r;
    struct login_signer *signer = mem_new(struct login_signer);
    *signer = (struct login_signer){.refs = 1, .jwt = jwt, .only_own_client_id = tokens->only_own_client_id};
    for (const char *at = tokens->policies; *(at += strspn(at, " \t")); at += strcspn(at, " \t"))
        if (signer->policy_count < REGISTRY_PRINCIPAL_POLICIES_MAX)
            signer->policies[signer->policy_count++] = str_copy_n(at, strcspn(at, " \t"));
    *ret = signer;
    return 0;
}

static void signer_unref(struct login_signer *signer)
{
    if (--signer->refs)
        return;
    (void)jwt_free(signer->jwt);
    while (signer->policy_count)
        free(signer->policies[--signer->policy_count]);
    free(signer);
}

int login_add_tokens(struct login *login, const struct login_tokens *tokens, enum jwt_source source,
                     const char *text, size_t len, char **why)
{
    if (login->token_count == LOGIN_TOKENS_MAX) {
        *why = str_printf("expected at most %d sections", LOGIN_TOKENS_MAX);
        return -1;
    }
    int r = signer_new(&login->tokens[login->token_count], tokens, source, text, len, why);
    if (r == 0)
        login->token_count++;
    return r;
}

int login_renew_tokens(struct login *login, size_t at, const struct login_tokens *tokens,
                       enum jwt_source source, const char *text, size_t len, char **why)
{
    struct login_signer *fresh;
    int r = signer_new(&fresh, tokens, source, text, len, why);
    if (r < 0)
        return r;
    signer_unref(login->tokens[at]);
    login->tokens[at] = fresh;
    return 0;
}

void login_tokens_done(struct login *login)
{
    while (login->token_count)
        signer_unref(login->tokens[--login->token_count]);
}

void login_set_clock(struct login *login, bool is_set)
{
    login->clock_is_set = is_set;
}

void login_token_release(struct login_job *job)
{
    while (job->signer_count)
        signer_unref(job->signers[--job->signer_count]);
}

bool login_token_begin(struct login_job *job, struct login_verdict *ret)
{
    const struct login *login = job->login;
    if (!login->clock_is_set) {
        *ret = login_refuse(job, LOGIN_BUSY, "the gateway's clock is not set, so no token can be looked at");
        return true;
    }
    login_token_release(job); /* of those that were there when it got in line */
    for (; job->signer_count < login->token_count; job->signer_count++) {
        job->signers[job->signer_count] = login->tokens[job->signer_count];
        job->signers[job->signer_count]->refs++;
    }
    return false;
}

/* On the worker's thread: nothing of what it looks at changes. */
void login_token_run(struct login_job *job)
{
    job->why = "no token is taken here";
    for (size_t i = 0; i < job->signer_count; i++) {
        bool is_ours;
        job->why = jwt_check(job->signers[i]->jwt, (const char *)job->password, job->password_len, job->now_s,
                             &job->claims, &is_ours);
        job->signer = job->signers[i];
        if (is_ours)
            return;
    }
}

static struct principal *principal_of(const struct login_job *job)
{
    const struct permit_origin origin = {.address = job->address, .host = job->host};
    cleanup_free char *id = str_printf("jwt:%s", job->claims.subject);
    const struct permit_guest guest = {.name = id,
                                       .thing = job->claims.subject,
                                       .policies = (const char *const *)job->signer->policies,
                                       .policy_count = job->signer->policy_count};
    switch (job->access) {
    case LOGIN_POLICIES: return permit_guest_new(job->login->registry, &guest, &origin);
    case LOGIN_OWN_TOPICS: return principal_new_guest(id, job->claims.subject, false);
    case LOGIN_EVERYTHING: return principal_new_guest(id, job->claims.subject, true);
    }
    return NULL;
}

struct login_verdict login_token_judge(struct login_job *job)
{
    struct loop *loop = job->login->loop;
    if (job->claims.subject[0]) /* a signature was good, or nothing would be there */
        (void)snprintf(job->who, sizeof job->who, "jwt:%s", job->claims.subject);
    if (job->why)
        return login_refuse(job, LOGIN_DENIED, job->why);
    struct principal *principal = principal_of(job);
    principal->ends_at = loop_now(loop) + job->claims.expires_s * 1000 - loop_wall(loop);
    if (job->signer->only_own_client_id)
        principal->client_id = str_copy(job->claims.subject);
    return (struct login_verdict){.principal = principal};
}
