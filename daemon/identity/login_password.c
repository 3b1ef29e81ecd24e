/* Users and their passwords. */
#include "identity/login_private.h"

#include "base/log.h"

#include <string.h>

/* ---- who has proved it before -------------------------------------------------------------------------------------------- */

static void put(uint8_t **at, const void *bytes, size_t len)
{
    memcpy(*at, bytes, len);
    *at += len;
}

/* Of user, what is kept of his password, and the password that came. */
static bool tag_of(const struct login_job *job, uint8_t ret[SECRET_HMAC_BYTES])
{
    uint8_t bytes[LOGIN_USER_MAX + 1 + PASSWORD_TEXT_MAX + PASSWORD_MAX], *at = bytes;
    if (!job->is_user || strlen(job->kept_text) >= PASSWORD_TEXT_MAX)
        return false;
    put(&at, job->user, strlen(job->user) + 1);
    put(&at, job->kept_text, strlen(job->kept_text) + 1);
    put(&at, job->password, job->password_len);
    bool good = secret_hmac(job->login->key, sizeof job->login->key, bytes, (size_t)(at - bytes), ret);
    explicit_bzero(bytes, sizeof bytes);
    return good;
}

static bool is_remembered(const struct login_job *job)
{
    uint8_t tag[SECRET_HMAC_BYTES];
    const struct login *login = job->login;
    bool found = false;
    if (!login->remembered || !tag_of(job, tag))
        return false;
    for (size_t i = 0; i < LOGIN_REMEMBERED_MAX && !found; i++)
        found = memcmp(login->remembered[i], tag, LOGIN_TAG_BYTES) ==
                0; /* nobody chooses a tag: no bit of it leaks */
    return found;
}

static void remember(const struct login_job *job)
{
    uint8_t tag[SECRET_HMAC_BYTES];
    struct login *login = job->login;
    if (is_remembered(job) || !tag_of(job, tag))
        return;
    if (!login->remembered)
        login->remembered = mem_new_bytes(LOGIN_REMEMBERED_MAX * sizeof *login->remembered);
    memcpy(login->remembered[login->next++ % LOGIN_REMEMBERED_MAX], tag, LOGIN_TAG_BYTES);
}

/* ---- the verdict ------------------------------------------------------------------------------------------------------------ */

static const struct registry_principal *find(const struct login_job *job)
{
    cleanup_free char *name = str_printf("user:%s", job->user);
    const struct registry_principal *found = registry_principal(job->login->registry, name);
    return found && found->kind == REGISTRY_USER ? found : NULL;
}

static struct login_verdict let_in(struct login_job *job, const struct registry_principal *who)
{
    const struct permit_origin origin = {.address = job->address, .host = job->host};
    if (who->status != REGISTRY_ACTIVE)
        return login_refuse(job, LOGIN_DENIED, "its user is not ACTIVE");
    struct login_verdict verdict = {0};
    switch (job->access) {
    case LOGIN_POLICIES: verdict.principal = permit_principal_new(job->login->registry, who, &origin); break;
    case LOGIN_OWN_TOPICS: verdict.principal = principal_new_user(who->key.text, job->user, false); break;
    case LOGIN_EVERYTHING: verdict.principal = principal_new_user(who->key.text, job->user, true); break;
    }
    return verdict;
}

/* What is kept of him now; one who is not there has a hash that nothing fits. */
static void look_up(struct login_job *job)
{
    const struct registry_principal *who = find(job);
    free(job->kept_text);
    job->kept_text = who ? str_copy_n((const char *)who->secret, who->secret_len) : NULL;
    job->is_user = who && password_parse(&job->kept, job->kept_text, who->secret_len);
    if (!job->is_user)
        job->kept = (struct password){.kind = PASSWORD_SCRYPT,
                                      .cost = password_cost,
                                      .salt = "gatehouse",
                                      .salt_len = PASSWORD_SALT_BYTES,
                                      .hash_len = PASSWORD_HASH_BYTES};
}

bool login_password_begin(struct login_job *job, struct login_verdict *ret)
{
    look_up(job);
    if (is_remembered(job)) {
        *ret = let_in(job, find(job));
        return true;
    }
    if (!login_has_failed_too_often(job))
        return false;
    *ret = login_refuse(job, LOGIN_TOO_MANY_ATTEMPTS, "too many attempts have failed; it has to wait");
    return true;
}

void login_password_run(struct login_job *job)
{
    struct password better;
    bool weak = password_is_weak(&job->kept);
    job->good = password_is(&job->kept, job->password, job->password_len) && job->is_user;
    /* Made whether it was good or not, or one could see who has a weak one. */
    if (weak && password_make(&better, job->password, job->password_len) && job->good)
        password_write(&better, job->better);
}

/* What is kept is made better when he comes. */
static void keep_better(struct login_job *job)
{
    if (!*job->better || registry_user_rehash(job->login->registry, job->user, job->better) != 0)
        return;
    log_info("user %s: its password is kept with a stronger hash from now on", job->user);
    look_up(job);
}

struct login_verdict login_password_judge(struct login_job *job)
{
    const struct registry_principal *who = find(job);
    if (job->good && who && who->secret_len == strlen(job->kept_text) &&
        memcmp(who->secret, job->kept_text, who->secret_len) == 0) { /* not changed meanwhile */
        keep_better(job);
        remember(job);
        return let_in(job, who);
    }
    login_has_failed(job);
    return login_refuse(job, LOGIN_BAD, "its user name or password is wrong");
}
