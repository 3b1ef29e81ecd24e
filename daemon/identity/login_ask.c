/* Who an authorizer says it is. The JSON is AWS IoT's: a question with what CONNECT said, an answer with a principal and
 * policies.
 *
 * What was answered is remembered for as long as it says itself (refreshAfterInSeconds), by an HMAC of all that was asked, and
 * no longer than the connection that it was for may last. */
#include "identity/login_private.h"

#include "base/base64.h"
#include "base/json_write.h"
#include "base/log.h"
#include "identity/policy_doc.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>

enum { ANSWER_MAX = 64 * 1024, SECONDS_MAX = 86400 }; /* AWS IoT: a day */

/* ---- what was said before ------------------------------------------------------------------------------------------------ */

static bool tag_of(const struct login_job *job, uint8_t ret[SECRET_HMAC_BYTES])
{
    const char *const texts[] = {job->authorizer, job->user, job->client_id, job->host ? job->host : "",
                                 job->address ? job->address : ""};
    size_t size = job->password_len;
    for (size_t i = 0; i < array_size(texts); i++)
        size += strlen(texts[i]) + 1;
    uint8_t *bytes = mem_new_bytes(size + 1), *at = bytes;
    for (size_t i = 0; i < array_size(texts); i++) {
        size_t len = strlen(texts[i]) + 1;
        memcpy(at, texts[i], len);
        at += len;
    }
    if (job->password)
        memcpy(at, job->password, job->password_len);
    bool good = secret_hmac(job->login->key, sizeof job->login->key, bytes, size, ret);
    explicit_bzero(bytes, size);
    free(bytes);
    return good;
}

static void forget(struct login_answer *answer)
{
    for (size_t i = 0; i < answer->policy_count; i++)
        (void)policy_unref(answer->policies[i]);
    *answer = (struct login_answer){0};
}

void login_answers_done(struct login *login)
{
    for (size_t i = 0; login->answers && i < LOGIN_ANSWERS_MAX; i++)
        forget(&login->answers[i]);
    free(login->answers);
    login->answers = NULL;
    while (login->authorizer_count)
        free(login->authorizers[--login->authorizer_count].name);
}

static const struct login_answer *find_remembered(const struct login_job *job)
{
    const struct login *login = job->login;
    uint8_t tag[SECRET_HMAC_BYTES];
    if (!login->answers || !tag_of(job, tag))
        return NULL;
    for (size_t i = 0; i < LOGIN_ANSWERS_MAX; i++)
        if (login->answers[i].until > loop_now(login->loop) &&
            memcmp(login->answers[i].tag, tag, sizeof login->answers[i].tag) == 0)
            return &login->answers[i];
    return NULL;
}

/* In place of the one that is good for the shortest time. */
static void remember(const struct login_job *job, const struct login_answer *answer)
{
    struct login *login = job->login;
    uint8_t tag[SECRET_HMAC_BYTES];
    if (answer->until <= loop_now(login->loop) || !tag_of(job, tag))
        return;
    if (!login->answers)
        login->answers = mem_new_bytes(LOGIN_ANSWERS_MAX * sizeof *login->answers);
    struct login_answer *place = login->answers;
    for (size_t i = 1; i < LOGIN_ANSWERS_MAX; i++)
        if (login->answers[i].until < place->until)
            place = &login->answers[i];
    forget(place);
    *place = *answer;
    memcpy(place->tag, tag, sizeof place->tag);
    for (size_t i = 0; i < place->policy_count; i++)
        (void)policy_ref(place->policies[i]);
}

/* ---- the question ---------------------------------------------------------------------------------------------------------- */

static void put(struct json_writer *w, const char *key, const char *value)
{
    json_key(w, key);
    json_put_string(w, value);
}

static const char *question_of(const struct login_job *job, struct arena *arena)
{
    struct json_writer w;
    size_t size = base64_size(job->password_len);
    char *password = mem_new_bytes(size + 1); /* not in the arena: the text grows there in place */
    json_writer_init(&w, arena);
    json_begin_object(&w);
    json_key(&w, "signatureVerified");
    json_put_bool(&w, false);
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
    cleanup_free char *id = str_printf("authorizer:%s", answer->principal);
    const struct permit_guest guest = {
        .name = id, .own = answer->policies, .own_count = answer->policy_count};
    struct principal *principal = NULL;
    switch (job->access) {
    case LOGIN_POLICIES: principal = permit_guest_new(job->login->registry, &guest, &origin); break;
    case LOGIN_OWN_TOPICS: principal = principal_new_guest(id, answer->principal, false); break;
    case LOGIN_EVERYTHING: principal = principal_new_guest(id, answer->principal, true); break;
    }
    principal->ends_at = loop_now(job->login->loop) + answer->lasts_s * 1000;
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
    struct login_job *job = container_of(timer, struct login_job, timer);
    log_warning("authorizer %s did not answer in time", job->authorizer);
    login_ask_forget(job);
    struct login_verdict verdict = refuse(job, "its authorizer did not answer in time");
    list_remove(&job->link);
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

/* 0: there is no such authorizer. */
static int64_t limit_of(const struct login_job *job)
{
    const struct login *login = job->login;
    for (size_t i = 0; i < login->authorizer_count; i++)
        if (strcmp(login->authorizers[i].name, job->authorizer) == 0)
            return login->authorizers[i].limit;
    return 0;
}

bool login_ask_begin(struct login_job *job, struct login_request *request, struct login_verdict *ret)
{
    struct login *login = job->login;
    const struct login_answer *before = find_remembered(job);
    if (before) {
        *ret = let_in(job, before);
        return true;
    }
    if (login_has_failed_too_often(job)) {
        *ret = login_refuse(job, LOGIN_TOO_MANY_ATTEMPTS, "too many attempts have failed; it has to wait");
        return true;
    }
    int64_t limit = limit_of(job);
    struct arena arena;
    arena_init(&arena);
    new_number(job->number);
    const char *question = question_of(job, &arena);
    const char *why = limit && login->asker
                          ? login->asker->ask(login->asker, job->authorizer, job->number, question)
                          : "its authorizer is not there";
    explicit_bzero((char *)(uintptr_t)question, strlen(question));
    arena_done(&arena);
    if (why) {
        *ret = login_refuse(job, LOGIN_DENIED, why);
        return true;
    }
    job->request = request;
    request->job = job;
    login->jobs++;
    list_append(&login->asked, &job->link);
    job->timer.fire = on_timeout;
    timer_start(login->loop, &job->timer, limit);
    return false;
}

/* ---- the answer -------------------------------------------------------------------------------------------------------------- */

static bool take_policy(struct login_answer *answer, const struct json *document, struct arena *arena)
{
    const char *text = NULL;
    if (answer->policy_count == LOGIN_DOCUMENTS_MAX)
        return false;
    if (json_is(document, JSON_OBJECT))
        text = json_write(arena, document, NULL);
    else if (!json_text(document, arena, &text))
        return false;
    struct policy_error error = {.text = "no memory"};
    struct policy *policy;
    if (policy_compile(&policy, "of an authorizer", text, strlen(text), &error) != 0) {
        log_info("an authorizer's policy is none: %s", error.text);
        return false;
    }
    answer->policies[answer->policy_count++] = policy;
    return true;
}

static bool take_seconds(const struct json *member, int64_t min, int64_t fallback, int64_t *ret)
{
    *ret = fallback;
    return !member || json_int(member, min, SECONDS_MAX, ret);
}

static bool take_principal(struct login_answer *answer, const struct json *member)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:_-.@";
    if (!json_is(member, JSON_STRING) || !member->len || member->len >= sizeof answer->principal)
        return false;
    memcpy(answer->principal, member->text, member->len);
    return strspn(answer->principal, letters) == member->len;
}

/* NULL: *ret says who it is; forget() it. Else why he is refused. */
const char *login_read_answer(struct login_answer *ret, const char *text, size_t len, int64_t now)
{
    static const char wrong[] = "its authorizer's answer is none";
    struct arena arena;
    struct json *answer = NULL;
    bool is_good = false;
    int64_t refresh_s;
    const char *why = NULL;
    *ret = (struct login_answer){0};
    arena_init(&arena);
    if (len > ANSWER_MAX || json_parse(&answer, &arena, text, len, NULL) != 0 ||
        !json_bool(json_get(answer, "isAuthenticated"), &is_good))
        why = wrong;
    else if (!is_good)
        why = "its authorizer says no";
    else if (!take_principal(ret, json_get(answer, "principalId")) ||
             !take_seconds(json_get(answer, "disconnectAfterInSeconds"), 1, SECONDS_MAX, &ret->lasts_s) ||
             !take_seconds(json_get(answer, "refreshAfterInSeconds"), 0, 0, &refresh_s) ||
             !json_is(json_get(answer, "policyDocuments"), JSON_ARRAY))
        why = wrong;
    else
        json_for_each (document, json_get(answer, "policyDocuments"))
            if (!why && !take_policy(ret, document, &arena))
                why = wrong;
    if (!why)
        ret->until = now + (refresh_s < ret->lasts_s ? refresh_s : ret->lasts_s) * 1000;
    if (why)
        forget(ret);
    arena_done(&arena);
    return why;
}

void login_forget_answer(struct login_answer *answer)
{
    forget(answer);
}

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

void login_answered(struct login *login, const char *number, const char *text, size_t len)
{
    struct login_job *job = take_asked(login, number);
    if (!job)
        return;
    struct login_answer answer;
    const char *why = login_read_answer(&answer, text, len, loop_now(login->loop));
    struct login_verdict verdict = why ? refuse(job, why) : let_in(job, &answer);
    if (!why)
        remember(job, &answer);
    forget(&answer);
    login_finish(job, &verdict);
}

void login_unanswered(struct login *login, const char *number, const char *why)
{
    struct login_job *job = take_asked(login, number);
    if (!job)
        return;
    struct login_verdict verdict = login_refuse(job, LOGIN_DENIED, why);
    login_finish(job, &verdict);
}

void login_add_authorizer(struct login *login, const char *name, int64_t limit)
{
    if (login->authorizer_count == LOGIN_AUTHORIZERS_MAX)
        return; /* the configuration has no more */
    login->authorizers[login->authorizer_count].name = str_copy(name);
    login->authorizers[login->authorizer_count++].limit = limit;
}

void login_set_asker(struct login *login, struct login_asker *asker)
{
    login->asker = asker;
}
