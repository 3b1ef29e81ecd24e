/* Requests from any bytes: whatever pieces a body comes in, it is the same or refused the same; what is found in a path is
 * fit to be put into a topic. */
#include "http/http_body.h"
#include "http/http_claim.h"
#include "http/rest_target.h"
#include "wire/mqtt.h"

#include <errno.h>
#include <string.h>

static void must(bool holds)
{
    if (!holds)
        abort();
}

/* ---- paths --------------------------------------------------------------------------------------------------------- */

static bool is_name(struct http_text text, size_t max)
{
    for (size_t i = 0; i < text.len; i++)
        if (!text.at[i] ||
            !strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:_-", text.at[i]))
            return false;
    return text.len >= 1 && text.len <= max;
}

static bool lies_in(struct http_text text, const char *room)
{
    return !text.len || (text.at >= room && text.at + text.len <= room + REST_ROOM);
}

static void check_target(const struct rest_target *target, const char *room)
{
    must(lies_in(target->thing, room) && lies_in(target->name, room) && lies_in(target->topic, room));
    must(lies_in(target->page_size, room) && lies_in(target->next_token, room));
    if (target->verb == REST_PUBLISH) {
        must(target->topic.len && wire_utf8_is_valid(target->topic.at, target->topic.len));
        must(wire_topic_is_valid(target->topic.at, target->topic.len));
        must(target->qos <= 1 && !target->thing.len && !target->name.len);
        return;
    }
    must(is_name(target->thing, REST_THING_MAX) && !target->topic.len && !target->qos && !target->retain);
    must(!target->name.len || is_name(target->name, REST_NAME_MAX));
    must(target->verb == REST_LIST_SHADOWS || (!target->page_size.len && !target->next_token.at));
    must(target->page_size.len <= 3 && target->next_token.len <= REST_TOKEN_MAX);
}

static void check_path(const struct http_head *head)
{
    char *room = malloc(REST_ROOM); /* so that a sanitizer sees whoever writes on */
    struct rest_target target;
    const char *allow = NULL, *why = NULL;
    int status = rest_target_parse(&target, head, room, &allow, &why);
    must(status == 0 || status == 400 || status == 404 || status == 405);
    must((status != 0) == (why != NULL) && (status == 405) == (allow != NULL));
    if (status == 0)
        check_target(&target, room);
    free(room);
}

/* ---- bodies -------------------------------------------------------------------------------------------------------- */

struct outcome {
    int status;
    const char *why;
    size_t used, len;
    uint64_t sum; /* of the body's bytes and their places */
};

static struct outcome take(const struct http_head *head, const uint8_t *data, size_t len, size_t step)
{
    struct http_body body;
    struct outcome it = {0};
    it.status = http_body_begin(&body, head, &it.why);
    must(it.status == 0 || it.status == 400 || it.status == 413 || it.status == 501);
    while (it.status == 0 && !http_body_is_over(&body) && it.used < len) {
        struct http_text piece;
        size_t n = size_min(step, len - it.used), used = 0;
        it.status = http_body_take(&body, data + it.used, n, &used, &piece, &it.why);
        must(used > 0 && used <= n && piece.len <= used);
        for (size_t i = 0; i < piece.len; i++)
            it.sum = it.sum * 31 + (uint8_t)piece.at[i] + 1;
        it.len += piece.len;
        it.used += used;
    }
    must((it.status != 0) == (it.why != NULL));
    if (it.status == 0 && !http_body_is_over(&body))
        it.status = -EAGAIN;
    return it;
}

static void check_body(const struct http_head *head, const uint8_t *data, size_t len)
{
    static const size_t steps[] = {1, 2, 7, 300};
    struct outcome whole = take(head, data, len, len ? len : 1);
    for (size_t i = 0; i < array_size(steps); i++) {
        struct outcome parts = take(head, data, len, steps[i]);
        must(parts.status == whole.status && parts.why == whole.why && parts.used == whole.used);
        must(parts.len == whole.len && parts.sum == whole.sum);
    }
}

/* ---- who asks -------------------------------------------------------------------------------------------------------- */

static void check_claim(const struct http_head *head)
{
    struct http_claim *claim = malloc(sizeof *claim);
    const char *why = NULL;
    must(claim);
    int status = http_claim_take(claim, head, &why);
    const char *end = claim->text + sizeof claim->text;
    must((status == 0 && (!claim->ways || claim->password)) || (status == 400 && why));
    must(!claim->password ||
         (claim->password >= claim->text && claim->password + claim->password_len <= end));
    must(!claim->user ||
         (claim->user == claim->text && claim->user_len < claim->user_len + claim->password_len + 1));
    free(claim);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct http_head head;
    size_t used = 0;
    const char *why = NULL;
    if (!len || http_head_parse(&head, data, len, &used, &why) != 0)
        return 0;
    check_path(&head);
    check_claim(&head);
    check_body(&head, data + used, len - used);
    return 0;
}
