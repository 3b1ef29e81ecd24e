#include "identity/login_private.h"

#include "base/log.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

enum { PAIR_BURST = 10, PAIR_STEP_MS = 6000, MANY_BURST = 60, MANY_STEP_MS = 1000 };

/* ---- jobs ----------------------------------------------------------------------------------------------------------- */

/* An IPv6 address counts as its /64, which one household has. */
static char *place_of(const char *address)
{
    struct in6_addr ip;
    char text[INET6_ADDRSTRLEN];
    if (!address || inet_pton(AF_INET6, address, &ip) != 1)
        return str_copy(address ? address : "");
    memset(ip.s6_addr + 8, 0, 8);
    return str_copy(inet_ntop(AF_INET6, &ip, text, sizeof text));
}

/* A user of this gateway's own, where those may come in. */
static bool is_known(const struct login_job *job, const struct login_credentials *credentials)
{
    cleanup_free char *name = str_printf("user:%s", job->user ? job->user : "");
    const struct registry_principal *found = registry_principal(job->login->registry, name);
    return credentials->ways & LOGIN_PASSWORD && found && found->kind == REGISTRY_USER;
}

struct login_job *login_job_new(struct login *login, const struct login_credentials *credentials)
{
    struct login_job *job = mem_new(struct login_job);
    job->login = login;
    job->access = credentials->access;
    job->user = credentials->user ? str_copy_n(credentials->user, credentials->user_len) : NULL;
    job->client_id = str_copy_n(credentials->client_id, credentials->client_id_len);
    job->address = str_copy(credentials->address);
    job->host = str_copy(credentials->host);
    job->place = place_of(credentials->address);
    job->pair = str_printf("%s %s", job->place, job->user ? job->user : "");
    job->is_token = credentials->ways & LOGIN_JWT && credentials->password &&
                    jwt_is_like_a_token((const char *)credentials->password, credentials->password_len);
    job->is_asked = !job->is_token && credentials->ways & LOGIN_AUTHORIZER && !is_known(job, credentials);
    job->authorizer = job->is_asked ? str_copy(credentials->authorizer) : NULL;
    job->tls = credentials->tls;
    job->is_once = credentials->once;
    if (job->is_asked && !job->user)
        job->user = str_copy("");
    /* Behind ? there may be secrets. */
    (void)snprintf(job->who, sizeof job->who, job->is_token ? "jwt" : "user:%.*s",
                   (int)(job->user ? size_min(strcspn(job->user, "?"), LOGIN_USER_MAX) : 0),
                   job->user ? job->user : "");
    job->password_len = credentials->password_len;
    if (credentials->password)
        job->password = (uint8_t *)str_copy_n((const char *)credentials->password, credentials->password_len);
    return job;
}

void login_job_free(struct login_job *job)
{
    if (job->password)
        explicit_bzero(job->password, job->password_len);
    explicit_bzero(&job->kept, sizeof job->kept);
    timer_stop(job->login->loop, &job->timer);
    login_token_release(job);
    if (job->user)
        explicit_bzero(job->user, strlen(job->user)); /* a token may be in it */
    free(job->authorizer);
    free(job->password);
    free(job->user);
    free(job->client_id);
    free(job->address);
    free(job->host);
    free(job->place);
    free(job->pair);
    free(job->kept_text);
    free(job);
}

struct login_verdict login_refuse(struct login_job *job, enum login_refusal refusal, const char *why)
{
    audit_refused(job->login->audit, job->who, "refused/login", job->address ? job->address : "", why);
    return (struct login_verdict){.refusal = refusal, .why = why};
}

bool login_has_failed_too_often(const struct login_job *job)
{
    const struct login *login = job->login;
    int64_t now = loop_now(login->loop);
    return attempts_are_too_many(&login->pairs, job->pair, strlen(job->pair), now) ||
           attempts_are_too_many(&login->addresses, job->place, strlen(job->place), now) ||
           attempts_are_too_many(&login->users, job->user, strlen(job->user), now);
}

void login_has_failed(const struct login_job *job)
{
    struct login *login = job->login;
    int64_t now = loop_now(login->loop);
    attempts_failed(&login->pairs, job->pair, strlen(job->pair), now);
    attempts_failed(&login->addresses, job->place, strlen(job->place), now);
    attempts_failed(&login->users, job->user, strlen(job->user), now);
}

/* ---- one after the other ---------------------------------------------------------------------------------------------- */

static void next(struct login *login);

/* On the worker's thread. */
static void on_run(struct work *work, void *resource)
{
    (void)resource;
    struct login_job *job = container_of(work, struct login_job, work);
    if (job->is_token)
        login_token_run(job);
    else
        login_password_run(job);
}

static void on_done(struct work *work)
{
    struct login_job *job = container_of(work, struct login_job, work);
    struct login *login = job->login;
    login->working = NULL;
    struct login_verdict verdict = job->is_token ? login_token_judge(job) : login_password_judge(job);
    login_finish(job, &verdict);
    next(login);
}

void login_finish(struct login_job *job, const struct login_verdict *verdict)
{
    struct login_request *request = job->request;
    job->login->jobs--;
    login_job_free(job);
    if (request)
        request->job = NULL;
    if (request)
        request->done(request, verdict);
    else
        (void)principal_unref(verdict->principal);
}

/* What can be said before the worker has looked. */
static bool job_begin(struct login_job *job, struct login_verdict *ret)
{
    job->now_s = loop_wall(job->login->loop) / 1000;
    return job->is_token ? login_token_begin(job, ret) : login_password_begin(job, ret);
}

static struct login_job *first(struct list *list)
{
    struct list *link = list_pop(list);
    return link ? list_entry(link, struct login_job, link) : NULL;
}

static void next(struct login *login)
{
    struct login_job *job;
    struct login_verdict verdict;
    while (!login->working && (job = first(&login->waiting))) {
        if (job_begin(job, &verdict)) { /* it was known, or too much, by now */
            login_finish(job, &verdict);
            continue;
        }
        login->working = job;
        job->work.run = on_run;
        job->work.done = on_done;
        worker_submit(login->worker, &job->work);
    }
}

void login_submit(struct login_job *job, struct login_request *request)
{
    struct login *login = job->login;
    job->request = request;
    request->job = job;
    login->jobs++;
    list_append(&login->waiting, &job->link);
    next(login);
}

void login_cancel(struct login_request *request)
{
    struct login_job *job = request->job;
    request->job = NULL;
    if (!job)
        return;
    job->request = NULL;
    if (job == job->login->working)
        return;
    if (job->is_asked)
        login_ask_forget(job);
    list_remove(&job->link);
    job->login->jobs--;
    login_job_free(job);
}

/* ---- begin -------------------------------------------------------------------------------------------------------------- */

static bool is_ready(struct login *login)
{
    char *why = NULL;
    if (login->worker)
        return true;
    int r =
        secret_ready(&why) ? worker_new(&login->worker, login->loop, "logins", NULL, NULL, login->mode) : -1;
    if (r < 0)
        log_error("nobody can log in: %s", why ? why : strerror(-r));
    free(why);
    return r >= 0;
}

static bool is_too_long(const struct login_job *job, const struct login_credentials *credentials)
{
    size_t password_max = job->is_token || job->is_asked ? (size_t)JWT_MAX : (size_t)PASSWORD_MAX;
    size_t user_max = job->is_asked ? (size_t)LOGIN_ASKED_USER_MAX : (size_t)LOGIN_USER_MAX;
    return credentials->password_len > password_max ||
           (!job->is_token && credentials->user &&
            (credentials->user_len > user_max || memchr(credentials->user, '\0', credentials->user_len)));
}

/* NULL, or what is wrong with what he has come with. */
static const char *problem(const struct login_job *job, const struct login_credentials *credentials)
{
    if (is_too_long(job, credentials))
        return "its user name or password is too long";
    if (job->is_asked)
        return NULL;
    if (!job->password || (!job->user && !job->is_token))
        return "it comes without a user name and a password";
    return job->is_token || credentials->ways & LOGIN_PASSWORD ? NULL : "it comes without a token";
}

static bool judge_at_once(struct login_job *job, struct login_request *request,
                          const struct login_credentials *credentials, struct login_verdict *ret)
{
    struct login *login = job->login;
    const char *why = problem(job, credentials);
    if (why) {
        *ret = login_refuse(job, LOGIN_BAD, why);
        return true;
    }
    if (!is_ready(login) || login->jobs >= LOGIN_WAITING_MAX) {
        *ret = (struct login_verdict){.refusal = LOGIN_BUSY, .why = "too many wait to be let in"};
        return true;
    }
    return job->is_asked ? login_ask_begin(job, request, ret) : job_begin(job, ret);
}

bool login_begin(struct login *login, struct login_request *request,
                 const struct login_credentials *credentials, struct login_verdict *ret)
{
    struct login_job *job = login_job_new(login, credentials);
    request->job = NULL;
    if (judge_at_once(job, request, credentials, ret)) {
        login_job_free(job);
        return true;
    }
    if (!job->is_asked)
        login_submit(job, request);
    return false;
}

/* ---- life --------------------------------------------------------------------------------------------------------------- */

struct login *login_new(struct loop *loop, struct registry *registry, struct audit *audit,
                        enum worker_mode mode)
{
    struct login *login = mem_new(struct login);
    login->loop = loop;
    login->registry = registry;
    login->audit = audit;
    login->mode = mode;
    list_init(&login->waiting);
    list_init(&login->asked);
    list_init(&login->keepers);
    attempts_init(&login->pairs, PAIR_BURST, PAIR_STEP_MS);
    attempts_init(&login->addresses, MANY_BURST, MANY_STEP_MS);
    attempts_init(&login->users, MANY_BURST, MANY_STEP_MS);
    if (getrandom(login->key, sizeof login->key, 0) != sizeof login->key)
        abort(); /* does not happen for so few bytes */
    return login;
}

struct login *login_free(struct login *login)
{
    if (!login)
        return NULL;
    login_keepers_done(login);
    for (struct login_job *job; (job = first(&login->waiting)) || (job = first(&login->asked));)
        login_job_free(job);
    login->worker = worker_free(login->worker);
    login_tokens_done(login);
    login_answers_done(login);
    login_authorizers_done(login);
    attempts_done(&login->pairs);
    attempts_done(&login->addresses);
    attempts_done(&login->users);
    free(login->remembered);
    explicit_bzero(login->key, sizeof login->key);
    free(login);
    return NULL;
}
