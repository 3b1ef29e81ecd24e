#include "cloud/credentials_answer.h"

#include "base/json.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* Strings without escapes stay in the body, which its owner wipes; those with escapes are in the arena, and wiped here. */

enum { DEPTH_MAX = 8, RESERVE_MS = 5 * 60 * 1000 };

static int wrong(char why[CREDENTIALS_WHY_BYTES], const char *expected)
{
    (void)snprintf(why, CREDENTIALS_WHY_BYTES, "expected %s", expected);
    return -EINVAL;
}

/* Not more than a header or an environment can carry. */
static bool is_text(const struct json *json)
{
    if (!json_is(json, JSON_STRING) || json->len < 1 || json->len > CREDENTIALS_TEXT_MAX)
        return false;
    for (uint32_t i = 0; i < json->len; i++)
        if (json->text[i] <= ' ' || json->text[i] > '~')
            return false;
    return true;
}

static unsigned number(const char *text, size_t n)
{
    unsigned value = 0;
    for (size_t i = 0; i < n; i++)
        value = value * 10 + (unsigned)(text[i] - '0');
    return value;
}

int64_t credentials_time(const char *text, size_t len)
{
    static const char shape[] = "0000-00-00T00:00:00Z";
    if (len != strlen(shape))
        return -1;
    for (size_t i = 0; i < len; i++)
        if (shape[i] == '0' ? text[i] < '0' || text[i] > '9' : text[i] != shape[i])
            return -1;
    struct tm at = {.tm_year = (int)number(text, 4) - 1900,
                    .tm_mon = (int)number(text + 5, 2) - 1,
                    .tm_mday = (int)number(text + 8, 2),
                    .tm_hour = (int)number(text + 11, 2),
                    .tm_min = (int)number(text + 14, 2),
                    .tm_sec = (int)number(text + 17, 2)};
    struct tm same = at;
    time_t s = at.tm_year >= 70 ? timegm(&same) : -1;
    bool exists = s >= 0 && same.tm_mon == at.tm_mon && same.tm_mday == at.tm_mday &&
                  same.tm_hour == at.tm_hour && same.tm_min == at.tm_min &&
                  same.tm_sec == at.tm_sec; /* there is no 30th of February */
    return exists ? (int64_t)s * 1000 : -1;
}

static int take(struct credentials *ret, const struct json *in, char why[CREDENTIALS_WHY_BYTES])
{
    const struct json *access = json_get(in, "accessKeyId"), *secret = json_get(in, "secretAccessKey");
    const struct json *token = json_get(in, "sessionToken"), *ends = json_get(in, "expiration");
    if (!is_text(access) || !is_text(secret) || !is_text(token))
        return wrong(why, "\"accessKeyId\", \"secretAccessKey\" and \"sessionToken\" in \"credentials\"");
    int64_t at = json_is(ends, JSON_STRING) ? credentials_time(ends->text, ends->len) : -1;
    if (at < 0)
        return wrong(why, "\"expiration\" as 2026-01-18T09:18:06Z");
    *ret = (struct credentials){.access_key = str_copy_n(access->text, access->len),
                                .secret_key = str_copy_n(secret->text, secret->len),
                                .token = str_copy_n(token->text, token->len),
                                .ends = at};
    memcpy(ret->expiration, ends->text, ends->len);
    return 0;
}

static void wipe_unescaped(const struct json *json, const char *body, size_t len)
{
    json_for_each (member, json) {
        if (json_is(member, JSON_STRING) && member->len &&
            (member->text < body || member->text >= body + len))
            explicit_bzero((void *)(uintptr_t)member->text, member->len);
        wipe_unescaped(member, body, len);
    }
}

int credentials_parse(struct credentials *ret, const char *body, size_t len, char why[CREDENTIALS_WHY_BYTES])
{
    struct arena arena = {0};
    struct json *json = NULL;
    int r = -EINVAL;
    if (len > CREDENTIALS_ANSWER_MAX || json_parse(&json, &arena, body, len, NULL) != 0 ||
        json_depth(json) > DEPTH_MAX)
        r = wrong(why, "an object in JSON, {\"credentials\":{…}}");
    else
        r = take(ret, json_get(json, "credentials"), why);
    if (json && json_depth(json) <= DEPTH_MAX)
        wipe_unescaped(json, body, len);
    arena_done(&arena);
    return r;
}

static char *wiped(char *text)
{
    if (text)
        explicit_bzero(text, strlen(text));
    free(text);
    return NULL;
}

void credentials_done(struct credentials *credentials)
{
    credentials->access_key = wiped(credentials->access_key);
    credentials->secret_key = wiped(credentials->secret_key);
    credentials->token = wiped(credentials->token);
    *credentials = (struct credentials){0};
}

void credentials_refusal(char ret[CREDENTIALS_WHY_BYTES], const char *body, size_t len)
{
    struct arena arena = {0};
    struct json *json = NULL;
    ret[0] = '\0';
    if (len <= CREDENTIALS_ANSWER_MAX && json_parse(&json, &arena, body, len, NULL) == 0) {
        const struct json *message = json_get(json, "message");
        size_t n = json_is(message, JSON_STRING) ? size_min(message->len, CREDENTIALS_WHY_BYTES - 1) : 0;
        for (size_t i = 0; i < n; i++) /* a line of a log */
            ret[i] = message->text[i] >= ' ' && message->text[i] <= '~' ? message->text[i] : '?';
        ret[n] = '\0';
    }
    arena_done(&arena);
}

int64_t credentials_renew_after(int64_t life, uint32_t random)
{
    int64_t due = life - life / 10, with_reserve = life - RESERVE_MS;
    due = with_reserve < due ? with_reserve : due;
    due -= (int64_t)((uint64_t)(life / 20) * random / UINT32_MAX);
    return due < life / 2 ? life / 2 : due;
}
