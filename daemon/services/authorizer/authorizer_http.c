#include "services/authorizer/authorizer_http.h"

#include "base/list.h"
#include "base/log.h"
#include "base/worker.h"
#include "cloud/post_curl.h"
#include "identity/login.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

enum {
    TOLD_PAUSE = 10 * 1000
}; /* a server that is away fails for everybody: one line in the log for all of them */

struct question {
    struct list link; /* while it waits */
    char *number, *text;
    size_t len;
};

/* The thread sees these: question, curl, running, abort, reply, and the constant members of `far`. */
struct line {
    struct authorizer_http *far;
    struct worker *worker;
    struct work work;
    struct question *question; /* NULL: it is free */
    struct post_curl *curl;    /* the thread's, and at the end the loop's */
    _Atomic(struct post_curl *) running;
    atomic_bool abort;
    struct post_reply reply;
};

struct authorizer_http {
    char *name, *uri, *ca, *cert, *key;
    int64_t limit;
    struct loop *loop;
    struct login *login;
    struct line *lines[AUTHORIZER_LINES];
    size_t line_count;
    struct list waiting;
    size_t waiting_count;
    int64_t quiet_until; /* the log */
    bool is_closing;
};

static struct question *question_free(struct question *question)
{
    explicit_bzero(question->text, question->len);
    free(question->text);
    free(question->number);
    free(question);
    return NULL;
}

/* ---- on the line's thread ---------------------------------------------------------------------------------------------------- */

static void on_run(struct work *work, void *resource)
{
    static const char *const headers[] = {"Content-Type: application/json", "Accept: application/json", NULL};
    (void)work;
    struct line *line = resource;
    const struct authorizer_http *far = line->far;
    char *why = NULL;
    if (!line->curl && post_curl_new(&line->curl, &why) < 0) {
        (void)snprintf(line->reply.reason, sizeof line->reply.reason, "%s", why);
        free(why);
        return;
    }
    atomic_store(&line->running, line->curl);
    const struct post_request request = {
        .method = "POST",
        .url = far->uri,
        .headers = headers,
        .body = line->question->text,
        .body_len = line->question->len,
        .ca = far->ca,
        .cert = far->cert,
        .key = far->key,
        .connect_limit = far->limit,
        .stall_limit_s = (unsigned)(far->limit / 1000),
        .answer_max = AUTHORIZER_ANSWER_MAX,
        .secret = true,
        .abort = &line->abort,
    };
    post_curl_send(line->curl, &request, &line->reply);
}

/* ---- answers ----------------------------------------------------------------------------------------------------------------- */

printf_like(2, 3) static void tell(struct authorizer_http *far, const char *format, ...)
{
    char text[POST_REASON_MAX + 64];
    va_list args;
    int64_t now = loop_now(far->loop);
    if (now < far->quiet_until)
        return;
    far->quiet_until = now + TOLD_PAUSE;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    log_warning("authorizer %s %s", far->name, text);
}

static void judge(struct line *line)
{
    static const char no[] = "{\"isAuthenticated\":false}";
    struct authorizer_http *far = line->far;
    const struct post_reply *reply = &line->reply;
    const char *number = line->question->number;
    if (!reply->status) {
        tell(far, "cannot be asked: %s", reply->reason);
        login_unanswered(far->login, number, "its authorizer cannot be reached");
    } else if (reply->status == 401 || reply->status == 403) {
        login_answered(far->login, number, no, strlen(no));
    } else if (reply->status != 200) {
        tell(far, "answers with status %d, expected 200, 401 or 403", reply->status);
        login_unanswered(far->login, number, "its authorizer answers with a status that is not 200");
    } else if (reply->cut) {
        tell(far, "answers with more than %d bytes", AUTHORIZER_ANSWER_MAX);
        login_unanswered(far->login, number, "its authorizer's answer is too long");
    } else {
        login_answered(far->login, number, reply->body ? reply->body : "", reply->body_len);
    }
}

static void ask_next(struct authorizer_http *far);

static void on_done(struct work *work)
{
    struct line *line = container_of(work, struct line, work);
    if (!atomic_load(&line->abort))
        judge(line);
    if (line->reply.body)
        explicit_bzero(line->reply.body, line->reply.body_len);
    free(line->reply.body);
    line->reply = (struct post_reply){0};
    line->question = question_free(line->question);
    if (!line->far->is_closing)
        ask_next(line->far);
}

/* ---- questions --------------------------------------------------------------------------------------------------------------- */

/* A free one, or another one; the first has the connection that was used last, mostly. NULL: there are no more. */
static struct line *find_line(struct authorizer_http *far)
{
    for (size_t i = 0; i < far->line_count; i++)
        if (!far->lines[i]->question)
            return far->lines[i];
    if (far->line_count == AUTHORIZER_LINES)
        return NULL;
    struct line *line = mem_new(struct line);
    line->far = far;
    line->work = (struct work){.run = on_run, .done = on_done};
    int r = worker_new(&line->worker, far->loop, "gh-authorizer", NULL, line, WORKER_THREAD);
    if (r < 0) {
        tell(far, "cannot be asked: %s", strerror(-r));
        free(line);
        return NULL;
    }
    return far->lines[far->line_count++] = line;
}

static void ask_next(struct authorizer_http *far)
{
    struct line *line;
    while (!list_is_empty(&far->waiting) && (line = find_line(far))) {
        line->question = list_entry(list_pop(&far->waiting), struct question, link);
        far->waiting_count--;
        atomic_store(&line->abort, false);
        worker_submit(line->worker, &line->work);
    }
}

const char *authorizer_http_ask(struct authorizer_http *far, const char *number, const char *json)
{
    if (far->waiting_count == AUTHORIZER_WAITING_MAX) {
        tell(far, "is too slow: %d wait in line for it", AUTHORIZER_WAITING_MAX);
        return "too many wait for its authorizer";
    }
    if (!find_line(far) && !far->line_count)
        return "its authorizer cannot be asked";
    struct question *question = mem_new(struct question);
    question->number = str_copy(number);
    question->text = str_copy(json);
    question->len = strlen(json);
    list_append(&far->waiting, &question->link);
    far->waiting_count++;
    ask_next(far);
    return NULL;
}

static void give_up(struct line *line)
{
    atomic_store(&line->abort, true);
    struct post_curl *running = atomic_load(&line->running);
    if (running)
        post_curl_wake(running);
}

void authorizer_http_forget(struct authorizer_http *far, const char *number)
{
    list_for_each_safe (link, &far->waiting) {
        struct question *question = list_entry(link, struct question, link);
        if (strcmp(question->number, number) != 0)
            continue;
        list_remove(link);
        far->waiting_count--;
        (void)question_free(question);
        return;
    }
    for (size_t i = 0; i < far->line_count; i++)
        if (far->lines[i]->question && strcmp(far->lines[i]->question->number, number) == 0)
            give_up(far->lines[i]);
}

/* ---- life -------------------------------------------------------------------------------------------------------------------- */

struct authorizer_http *authorizer_http_new(struct loop *loop, struct login *login,
                                            const struct authorizer_server *server)
{
    struct authorizer_http *far = mem_new(struct authorizer_http);
    far->name = str_copy(server->name);
    far->uri = str_copy(server->uri);
    far->ca = str_copy(server->ca);
    far->cert = str_copy(server->cert);
    far->key = str_copy(server->key);
    far->limit = server->limit;
    far->loop = loop;
    far->login = login;
    list_init(&far->waiting);
    return far;
}

struct authorizer_http *authorizer_http_free(struct authorizer_http *far)
{
    if (!far)
        return NULL;
    far->is_closing = true;
    for (size_t i = 0; i < far->line_count; i++)
        give_up(far->lines[i]);
    for (size_t i = 0; i < far->line_count; i++) {
        (void)worker_free(far->lines[i]->worker);
        (void)post_curl_free(far->lines[i]->curl);
        free(far->lines[i]);
    }
    for (struct list *link; (link = list_pop(&far->waiting));)
        (void)question_free(list_entry(link, struct question, link));
    free(far->name), free(far->uri);
    free(far->ca), free(far->cert), free(far->key);
    free(far);
    return NULL;
}

bool authorizer_http_is(const struct authorizer_http *far, const char *name)
{
    return strcmp(far->name, name) == 0;
}
