/* Temporary credentials, in the form that AWS's SDKs ask a container's endpoint for them:
 *
 *      GET /credentials/NAME, Authorization: TOKEN ─▶ $gatehouse/credentials/NAME/get {"authorization":"TOKEN"} ─▶ the answer
 *
 * The token is judged by who knows it. The SDKs come to a loopback address without TLS, so only this is served there. */
#include "http/rest_call.h"

#include "base/json_write.h"
#include "bus/topics.h"

#include <string.h>

enum { NAME_MAX_BYTES = 64, TOKEN_MAX = 256 };

static bool take_name(struct http_text path, char name[NAME_MAX_BYTES + 1])
{
    static const char prefix[] = "/credentials/";
    size_t len = strlen(prefix);
    if (path.len <= len || path.len - len > NAME_MAX_BYTES || memcmp(path.at, prefix, len) != 0)
        return false;
    for (size_t i = len; i < path.len; i++) {
        char c = path.at[i];
        bool good = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
                    c == '-';
        if (!good)
            return false;
        name[i - len] = c;
    }
    name[path.len - len] = '\0';
    return true;
}

static char *question_of(struct http_text token)
{
    struct arena arena = {0};
    struct json_writer w;
    json_writer_init(&w, &arena);
    json_begin_object(&w);
    json_key(&w, "authorization");
    json_put_string_n(&w, token.at, token.len);
    json_end_object(&w);
    const char *text = json_writer_text(&w, NULL);
    char *question = str_copy(text);
    explicit_bzero((char *)(uintptr_t)text, strlen(text));
    arena_done(&arena);
    return question;
}

static bool is_plain(struct http_text text)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.at[i] <= ' ' || text.at[i] > '~')
            return false;
    return text.len >= 1 && text.len <= TOKEN_MAX;
}

int rest_credentials_begin(struct rest_call **ret, struct rest *rest, const struct rest_asker *asker,
                           const struct http_head *head, const char **allow, const char **why)
{
    char name[NAME_MAX_BYTES + 1];
    struct http_text token = {"", 0};
    if (!take_name(head->path, name)) {
        *why = "expected /credentials/NAME";
        return 404;
    }
    if (!http_text_is(head->method, "GET")) {
        *allow = "GET";
        *why = "Method not allowed";
        return 405;
    }
    if (http_head_find(head, "Authorization", &token) != 1 || !is_plain(token)) {
        *why = "expected the token in Authorization";
        return 403;
    }
    struct rest_call *call = mem_new(struct rest_call);
    call->rest = rest;
    call->verb = REST_CREDENTIALS;
    call->topic = str_printf(TOPIC_CREDENTIALS_FORMAT, name);
    call->question = question_of(token);
    call->answer_topic = str_printf(TOPIC_REST_ANSWER_FORMAT, asker->id);
    *ret = call;
    return 0;
}
