/* Connections whose policies are an authorizer's are asked about again, as often as it says (refreshAfterInSeconds).
 *
 *      yes          its policies are those that come with it
 *      no           the connection ends, as it does when it is somebody else now
 *      no answer    it goes on with the policies that it has, and asks again after a minute: the plant does not stand still because an
 *                   authorizer does. disconnectAfterInSeconds, which is counted from the connection's begin, bounds that.
 *
 * What CONNECT said, with the password in it, is kept for as long as that, and wiped. A keeper is its principal's, and at most
 * one question of it is under way. */
#include "identity/login_private.h"

#include "base/log.h"

#include <string.h>
#include <sys/random.h>

enum { AGAIN = 60 * 1000 };

struct login_keeper {
    struct principal_keeper keeper;
    struct list link; /* in the login's keepers */
    struct login *login;
    struct principal *principal; /* not referenced: it ends with him */
    struct login_job *job;       /* what is asked */
    struct timer timer;
    int64_t pause; /* until the next question; ms */
    bool is_asked;
};

static void forget(struct login_keeper *keeper)
{
    if (keeper->is_asked) {
        login_ask_forget(keeper->job);
        list_remove(&keeper->job->link);
    }
    timer_stop(keeper->login->loop, &keeper->timer);
    login_job_free(keeper->job);
    list_remove(&keeper->link);
    free(keeper);
}

static void on_done(struct principal_keeper *base)
{
    forget(container_of(base, struct login_keeper, keeper));
}

void login_keepers_done(struct login *login)
{
    for (struct list *link; (link = list_pop(&login->keepers));) {
        struct login_keeper *keeper = list_entry(link, struct login_keeper, link);
        keeper->principal->keeper = NULL;
        forget(keeper);
    }
}

/* A plant's clients come back in one second, and do not have to be asked about in one. */
static int64_t earlier(int64_t pause)
{
    uint16_t random = 0;
    if (getrandom(&random, sizeof random, GRND_NONBLOCK) != sizeof random)
        random = 0;
    return pause - pause / 10 * random / UINT16_MAX;
}

static void wait_again(struct login_keeper *keeper, int64_t pause)
{
    timer_start(keeper->login->loop, &keeper->timer, pause > 0 ? pause : 1);
}

static void end(struct login_keeper *keeper, const char *why)
{
    struct principal *principal = keeper->principal;
    struct login *login = keeper->login;
    audit_refused(login->audit, principal->name, "refused/refresh",
                  keeper->job->address ? keeper->job->address : "", why);
    principal->keeper = NULL;
    forget(keeper);
    principal->ends_at = loop_now(login->loop);
    if (principal->end)
        principal->end->ended(principal->end, why); /* the principal may be gone */
}

static void on_time(struct timer *timer)
{
    struct login_keeper *keeper = container_of(timer, struct login_keeper, timer);
    keeper->is_asked = true;
    const char *why = login_ask(keeper->job);
    if (why)
        login_keeper_unanswered(keeper, why);
}

void login_keep(struct login_job *job, struct principal *principal, int64_t until)
{
    struct login *login = job->login;
    int64_t pause = until - loop_now(login->loop);
    if (pause <= 0 || job->is_once)
        return;
    const struct login_credentials again = {
        .ways = LOGIN_AUTHORIZER,
        .access = job->access,
        .authorizer = job->authorizer,
        .user = job->user,
        .user_len = strlen(job->user),
        .password = job->password,
        .password_len = job->password_len,
        .client_id = job->client_id,
        .client_id_len = strlen(job->client_id),
        .address = job->address,
        .host = job->host,
        .tls = job->tls,
    };
    struct login_keeper *keeper = mem_new(struct login_keeper);
    keeper->keeper.done = on_done;
    keeper->login = login;
    keeper->principal = principal;
    keeper->job = login_job_new(login, &again);
    keeper->job->keeper = keeper;
    keeper->timer.fire = on_time;
    keeper->pause = pause;
    principal->keeper = &keeper->keeper;
    list_append(&login->keepers, &keeper->link);
    wait_again(keeper, earlier(pause));
}

void login_keeper_unanswered(struct login_keeper *keeper, const char *why)
{
    keeper->is_asked = false;
    log_info("%s keeps its policies for now: %s", keeper->principal->name, why);
    wait_again(keeper, keeper->pause < AGAIN ? keeper->pause : AGAIN);
}

void login_keeper_answered(struct login_keeper *keeper, const struct login_answer *answer)
{
    struct principal *principal = keeper->principal;
    keeper->is_asked = false;
    if (strcmp(principal->name + strlen(LOGIN_ASKED_PREFIX), answer->principal) != 0) {
        end(keeper, "its authorizer says that it is somebody else now");
        return;
    }
    if (principal->permit)
        permit_guest_renew(principal, answer->policies, answer->policy_count);
    keeper->pause = answer->until - loop_now(keeper->login->loop);
    if (keeper->pause > 0)
        wait_again(keeper, earlier(keeper->pause));
}

void login_keeper_refused(struct login_keeper *keeper, const char *why)
{
    keeper->is_asked = false;
    end(keeper, why);
}
