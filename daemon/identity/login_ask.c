/* Who an authorizer says it is. The question is AWS IoT's, with what CONNECT said, and so is what may be behind the ? of a user name:
 * who is to be asked, a token, and its signature, without which nobody is asked where keys are configured. */
#include "identity/login_private.h"

#include "base/base64.h"
#include "base/json_write.h"
#include "base/log.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>

/* ---- the question ---------------------------------------------------------------------------------------------------------- */

static void put(struct json_writer *w, const char *key, const char *value)
{
    json_key(w, key);
    json_put_string(w, value);
}

static const char *question_of(const struct login_job *job, const struct login_token *token,
                               struct arena *arena)
{
    struct json_writer w;
    size_t size = base64_size(job->password_len);
    char *password = mem_new_bytes(size + 1); /* not in the arena: the text grows there in place */
    json_writer_init(&w, arena);
    json_begin_object(&w);
    if (token->is_there) {
        json_key(&w, "token");
        json_put_string_n(&w, token->text, token->len);
    }
    json_key(&w, "signatureVerified");
    json_put_bool(&w, token->is_verified);
    json_key(&w, "protocols");
    json_begin_array(&w);
    if (job->tls)
        json_put_string(&w, "tls");
    json_put_string(&w, "mqtt");
    json_end_array(&w);
    json_key(&w, "protocolData");
    json_begin_object(&w);
    if (job->tls) {
        json_key(&w, "tls");
        json_begin_object(&w);
        if (job->host)
            put(&w, "serverName", job->host);
        json_end_object(&w);
    }
    json_key(&w, "mqtt");
    json_begin_object(&w);
    put(&w, "username", job->user);
    if (job->password) {
        base64_write(password, job->password, job->password_len);
        put(&w, "password", password);
    }
    explicit_bzero(password, size);
    free(password);
    put(&w, "clientId", job->client_id);
    json_end_object(&w);
    json_end_object(&w);
    json_key(&w, "connectionMetadata");
    json_begin_object(&w);
    put(&w, "id", job->number);
    if (job->address)
        put(&w, "sourceIp", job->address);
    json_end_object(&w);
    json_end_object(&w);
    return json_writer_text(&w, NULL);
}

static struct login_verdict refuse(struct login_job *job, const char *why)
{
    login_has_failed(job);
    return login_refuse(job, LOGIN_DENIED, why);
}

static struct login_verdict let_in(struct login_job *job, const struct login_answer *answer)
{
    const struct permit_origin origin = {.address = job->address, .host = job->host};
    cleanup_free char *id = str_printf(LOGIN_ASKED_PREFIX "%s", answer->principal);
    const struct permit_guest guest = {
        .name = id, .own = answer->policies, .own_count = answer->policy_count};
    struct principal *principal = NULL;
    switch (job->access) {
    case LOGIN_POLICIES: principal = permit_guest_new(job->login->registry, &guest, &origin); break;
    case LOGIN_OWN_TOPICS: principal = principal_new_guest(id, answer->principal, false); break;
    case LOGIN_EVERYTHING: principal = principal_new_guest(id, answer->principal, true); break;
    }
    principal->ends_at = loop_now(job->login->loop) + answer->lasts_s * 1000;
    login_keep(job, principal, answer->until);
    return (struct login_verdict){.principal = principal};
}

void login_ask_forget(const struct login_job *job)
{
    struct login_asker *asker = job->login->asker;
    if (asker && asker->forget)
        asker->forget(asker, job->number);
}

static void on_timeout(struct timer *timer)
{
    static const char why[] = "its authorizer did not answer in time";
    struct login_job *job = container_of(timer, struct login_job, timer);
    log_warning("authorizer %s did not answer in time", job->authorizer);
    login_ask_forget(job);
    list_remove(&job->link);
    if (job->keeper) {
        login_keeper_unanswered(job->keeper, why);
        return;
    }
    struct login_verdict verdict = refuse(job, why);
    login_finish(job, &verdict);
}

static void new_number(char ret[LOGIN_NUMBER_BYTES])
{
    uint64_t number[2];
    if (getrandom(number, sizeof number, 0) != sizeof number)
        abort(); /* does not happen for so few bytes */
    (void)snprintf(ret, LOGIN_NUMBER_BYTES, "%016lx%016lx", (unsigned long)number[0],
                   (unsigned long)number[1]);
}

static const char *ask(struct login_job *job, const struct login_authorizer *authorizer,
                       const struct login_token *token)
{
    struct login *login = job->login;
    struct arena arena;
    if (!login->asker)
        return "its authorizer is not there";
    arena_init(&arena);
    new_number(job->number);
    const char *question = question_of(job, token, &arena);
    const char *why = login->asker->ask(login->asker, job->authorizer, job->number, question);
    explicit_bzero((char *)(uintptr_t)question, strlen(question));
    arena_done(&arena);
    if (why)
        return why;
    list_append(&login->asked, &job->link);
    job->timer.fire = on_timeout;
    timer_start(login->loop, &job->timer, authorizer->limit);
    return NULL;
}

const char *login_ask(struct login_job *job)
{
    struct login_token token = {0};
    const struct login_authorizer *authorizer = login_authorizer_of(job);
    const char *why = authorizer ? login_find_token(job, authorizer, &token) : "its authorizer is not there";
    if (!why)
        why = ask(job, authorizer, &token);
    explicit_bzero(&token, sizeof token);
    return why;
}

bool login_ask_begin(struct login_job *job, struct login_request *request, struct login_verdict *ret)
{
    const struct login_answer *before = login_find_answer(job);
    if (before) {
        *ret = let_in(job, before);
        return true;
    }
    if (login_has_failed_too_often(job)) {
        *ret = login_refuse(job, LOGIN_TOO_MANY_ATTEMPTS, "too many attempts have failed; it has to wait");
        return true;
    }
    struct login_token token;
    const struct login_authorizer *authorizer = login_authorizer_of(job);
    const char *why = authorizer ? login_find_token(job, authorizer, &token) : NULL;
    if (why) {
        *ret = refuse(job, why);
    } else {
        why = authorizer ? ask(job, authorizer, &token) : "its authorizer is not there";
        if (why)
            *ret = login_refuse(job, LOGIN_DENIED, why);
    }
    explicit_bzero(&token, sizeof token);
    if (why)
        return true;
    job->request = request;
    request->job = job;
    job->login->jobs++;
    return false;
}

/* ---- the answer -------------------------------------------------------------------------------------------------------------- */

/* Whose question it is; taken out of the line. NULL: nobody waits. */
static struct login_job *take_asked(struct login *login, const char *number)
{
    list_for_each_safe (link, &login->asked) {
        struct login_job *job = list_entry(link, struct login_job, link);
        if (strcmp(job->number, number) != 0)
            continue;
        list_remove(&job->link);
        return job;
    }
    return NULL;
}

static void answered_keeper(struct login_job *job, const struct login_answer *answer, const char *why,
                            bool is_no)
{
    timer_stop(job->login->loop, &job->timer);
    if (!why)
        login_keeper_answered(job->keeper, answer);
    else if (is_no)
        login_keeper_refused(job->keeper, why);
    else
        login_keeper_unanswered(job->keeper, why);
}

void login_answered(struct login *login, const char *number, const char *text, size_t len)
{
    struct login_job *job = take_asked(login, number);
    if (!job)
        return;
    struct login_answer answer;
    bool is_no;
    const char *why = login_read_answer(&answer, text, len, loop_now(login->loop), &is_no);
    if (!why || is_no)
        login_remember_answer(job, why ? NULL : &answer);
    if (job->keeper) {
        answered_keeper(job, &answer, why, is_no);
    } else {
        struct login_verdict verdict = why ? refuse(job, why) : let_in(job, &answer);
        login_finish(job, &verdict);
    }
    login_forget_answer(&answer);
}

void login_unanswered(struct login *login, const char *number, const char *why)
{
    struct login_job *job = take_asked(login, number);
    if (job && job->keeper) {
        timer_stop(login->loop, &job->timer);
        login_keeper_unanswered(job->keeper, why);
    } else if (job) {
        struct login_verdict verdict = login_refuse(job, LOGIN_DENIED, why);
        login_finish(job, &verdict);
    }
}

void login_set_asker(struct login *login, struct login_asker *asker)
{
    login->asker = asker;
}
