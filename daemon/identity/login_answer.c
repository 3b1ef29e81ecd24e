/* What authorizers have said: read, and remembered for as long as it says itself (refreshAfterInSeconds), by an HMAC of all that was
 * asked, and no longer than the connection that it was for may last. The JSON is AWS IoT's. */
#include "identity/login_private.h"

#include "base/json_write.h"
#include "base/log.h"
#include "identity/policy_doc.h"

#include <string.h>

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

void login_forget_answer(struct login_answer *answer)
{
    for (size_t i = 0; i < answer->policy_count; i++)
        (void)policy_unref(answer->policies[i]);
    *answer = (struct login_answer){0};
}

void login_answers_done(struct login *login)
{
    for (size_t i = 0; login->answers && i < LOGIN_ANSWERS_MAX; i++)
        login_forget_answer(&login->answers[i]);
    free(login->answers);
    login->answers = NULL;
}

const struct login_answer *login_find_answer(const struct login_job *job)
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

/* In place of what it said before, or of the one that is good for the shortest time. */
void login_remember_answer(const struct login_job *job, const struct login_answer *answer)
{
    struct login *login = job->login;
    uint8_t tag[SECRET_HMAC_BYTES];
    bool is_kept = answer && answer->until > loop_now(login->loop);
    if ((!is_kept && !login->answers) || !tag_of(job, tag))
        return;
    if (!login->answers)
        login->answers = mem_new_bytes(LOGIN_ANSWERS_MAX * sizeof *login->answers);
    struct login_answer *place = login->answers;
    for (size_t i = 0; i < LOGIN_ANSWERS_MAX; i++) {
        struct login_answer *at = &login->answers[i];
        if (memcmp(at->tag, tag, sizeof at->tag) == 0)
            login_forget_answer(at);
        if (at->until < place->until)
            place = at;
    }
    if (!is_kept)
        return;
    login_forget_answer(place);
    *place = *answer;
    memcpy(place->tag, tag, sizeof place->tag);
    for (size_t i = 0; i < place->policy_count; i++)
        (void)policy_ref(place->policies[i]);
}

/* ---- reading -------------------------------------------------------------------------------------------------------------- */

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

const char *login_read_answer(struct login_answer *ret, const char *text, size_t len, int64_t now,
                              bool *is_no)
{
    static const char wrong[] = "its authorizer's answer is none";
    struct arena arena;
    struct json *answer = NULL;
    bool is_good = false;
    int64_t refresh_s;
    const char *why = NULL;
    *ret = (struct login_answer){0};
    *is_no = false;
    arena_init(&arena);
    if (len > ANSWER_MAX || json_parse(&answer, &arena, text, len, NULL) != 0 ||
        !json_bool(json_get(answer, "isAuthenticated"), &is_good))
        why = wrong;
    else if ((*is_no = !is_good))
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
        login_forget_answer(ret);
    arena_done(&arena);
    return why;
}
