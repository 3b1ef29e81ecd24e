/* Authorizers that there are, and the keys that tokens for them have to be signed with. A token without a good signature costs its
 * authorizer nothing: it is not asked. */
#include "identity/login_private.h"

#include "base/base64.h"
#include "identity/login_query.h"

#include <string.h>

enum { SIGNATURE_MAX = 1024 }; /* RSA of 8192 bits */

void login_add_authorizer(struct login *login, const char *name, int64_t limit)
{
    if (login->authorizer_count == LOGIN_AUTHORIZERS_MAX)
        return; /* the configuration has no more */
    login->authorizers[login->authorizer_count].name = str_copy(name);
    login->authorizers[login->authorizer_count++].limit = limit;
}

static void forget_keys(struct login_authorizer *authorizer)
{
    while (authorizer->key_count)
        (void)secret_key_free(authorizer->keys[--authorizer->key_count]);
}

void login_authorizers_done(struct login *login)
{
    while (login->authorizer_count) {
        struct login_authorizer *authorizer = &login->authorizers[--login->authorizer_count];
        forget_keys(authorizer);
        free(authorizer->name);
        free(authorizer->token_name);
    }
}

static struct login_authorizer *find(struct login *login, const char *name)
{
    for (size_t i = 0; i < login->authorizer_count; i++)
        if (strcmp(login->authorizers[i].name, name) == 0)
            return &login->authorizers[i];
    return NULL;
}

const struct login_authorizer *login_authorizer_of(const struct login_job *job)
{
    return find(job->login, job->authorizer);
}

int login_set_token_keys(struct login *login, const char *name, const char *token_name,
                         const struct login_token_key *keys, size_t count, char **why)
{
    struct login_authorizer *authorizer = find(login, name), fresh = {0};
    int r = 0;
    for (size_t i = 0; r >= 0 && i < count && i < LOGIN_TOKEN_KEYS_MAX; i++) {
        r = secret_key_from_pem(&fresh.keys[i], keys[i].pem, keys[i].len, why);
        if (r >= 0)
            fresh.key_count++;
    }
    if (r < 0 || !authorizer) {
        forget_keys(&fresh);
        return r;
    }
    forget_keys(authorizer);
    memcpy(authorizer->keys, fresh.keys, sizeof fresh.keys);
    authorizer->key_count = fresh.key_count;
    free(authorizer->token_name);
    authorizer->token_name = str_copy(token_name);
    login_answers_done(login); /* what was remembered was signed with the keys that were */
    return 0;
}

static bool is_signed(const struct login_authorizer *authorizer, const struct login_token *token,
                      const char *signature, size_t len)
{
    uint8_t bytes[SIGNATURE_MAX];
    size_t n;
    if (!base64_read(bytes, sizeof bytes, &n, signature, len))
        return false;
    for (size_t i = 0; i < authorizer->key_count; i++)
        if (secret_key_verify(authorizer->keys[i], token->text, token->len, bytes, n))
            return true;
    return false;
}

const char *login_find_token(const struct login_job *job, const struct login_authorizer *authorizer,
                             struct login_token *ret)
{
    char text[LOGIN_ASKED_USER_MAX + 1];
    size_t len;
    *ret = (struct login_token){0};
    int named = login_query_find(job->user, LOGIN_QUERY_AUTHORIZER, text, sizeof text, &len);
    if (named < 0 || (named && strcmp(text, job->authorizer) != 0))
        return "it asks for an authorizer that is not this listener's";
    if (!authorizer->token_name)
        return NULL;
    int r = login_query_find(job->user, authorizer->token_name, ret->text, sizeof ret->text, &ret->len);
    if (r < 0 || (!r && authorizer->key_count))
        return r < 0 ? "its token cannot be read" : "it comes without its authorizer's token";
    ret->is_there = r;
    if (!authorizer->key_count)
        return NULL;
    r = login_query_find(job->user, LOGIN_QUERY_SIGNATURE, text, sizeof text, &len);
    ret->is_verified = r == 1 && is_signed(authorizer, ret, text, len);
    return ret->is_verified ? NULL : r ? "its token's signature is wrong" : "its token is not signed";
}
