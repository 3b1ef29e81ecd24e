#include "cloud/post_answer.h"

#include "base/json.h"
#include "base/utf8.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

enum { WHY_SIZE = 200 };

enum outbox_verdict post_verdict(int status)
{
    if (status >= 200 && status < 300)
        return OUTBOX_TAKEN;
    if (status >= 500)
        return OUTBOX_AGAIN;
    switch (status) {
    case 408:
    case 425:
    case 429: return OUTBOX_AGAIN;
    case 400:
    case 415:
    case 422: return OUTBOX_NEVER;
    case 413: return OUTBOX_TOO_LARGE;
    default: return OUTBOX_STUCK; /* when in doubt, nothing is thrown away */
    }
}

/* ---- Retry-After ------------------------------------------------------------------------------------------------- */

struct scan {
    const char *at, *end;
    bool bad;
};

static bool skip(struct scan *scan, const char *text)
{
    size_t len = strlen(text);
    if (scan->bad || (size_t)(scan->end - scan->at) < len || memcmp(scan->at, text, len) != 0) {
        scan->bad = true;
        return false;
    }
    scan->at += len;
    return true;
}

static int number(struct scan *scan, unsigned digits)
{
    int value = 0;
    for (unsigned i = 0; i < digits; i++) {
        if (scan->bad || scan->at == scan->end || !isdigit((unsigned char)*scan->at)) {
            scan->bad = true;
            return 0;
        }
        value = 10 * value + (*scan->at++ - '0');
    }
    return value;
}

static int month(struct scan *scan)
{
    static const char names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    for (int i = 0; !scan->bad && i < 12; i++)
        if (scan->end - scan->at >= 3 && memcmp(scan->at, names + 3 * i, 3) == 0) {
            scan->at += 3;
            return i + 1;
        }
    scan->bad = true;
    return 1;
}

static void word(struct scan *scan)
{
    if (scan->at == scan->end || !isalpha((unsigned char)*scan->at))
        scan->bad = true;
    while (scan->at < scan->end && isalpha((unsigned char)*scan->at))
        scan->at++;
}

static int64_t days(int year, int at_month, int day)
{
    /* The year begins in March, so that leap days are at its end. */
    int64_t y = at_month <= 2 ? year - 1 : year;
    int64_t of_year = (153 * (at_month + (at_month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    int64_t era = y / 400, of_era = y - era * 400;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

struct date {
    int year, month, day, hour, minute, second;
};

static void clock_time(struct scan *scan, struct date *date)
{
    date->hour = number(scan, 2);
    (void)skip(scan, ":");
    date->minute = number(scan, 2);
    (void)skip(scan, ":");
    date->second = number(scan, 2);
}

static bool parse_date(const char *text, size_t len, struct date *ret)
{
    struct scan scan = {text, text + len, false};
    struct date date = {0};
    word(&scan);
    if (scan.at < scan.end && *scan.at == ',') {
        (void)skip(&scan, ", ");
        date.day = number(&scan, 2);
        bool old = scan.at < scan.end && *scan.at == '-'; /* Sunday, 06-Nov-94 08:49:37 GMT */
        (void)skip(&scan, old ? "-" : " ");
        date.month = month(&scan);
        (void)skip(&scan, old ? "-" : " ");
        date.year = number(&scan, old ? 2 : 4);
        if (old)
            date.year += date.year < 70 ? 2000 : 1900;
        (void)skip(&scan, " ");
        clock_time(&scan, &date);
        (void)skip(&scan, " GMT");
    } else { /* Sun Nov  6 08:49:37 1994 */
        (void)skip(&scan, " ");
        date.month = month(&scan);
        (void)skip(&scan, " ");
        bool one = scan.at < scan.end && *scan.at == ' ';
        if (one)
            scan.at++;
        date.day = number(&scan, one ? 1 : 2);
        (void)skip(&scan, " ");
        clock_time(&scan, &date);
        (void)skip(&scan, " ");
        date.year = number(&scan, 4);
    }
    *ret = date;
    return !scan.bad && scan.at == scan.end && date.day >= 1 && date.day <= 31 && date.hour < 24 &&
           date.minute < 60 && date.second <= 60;
}

static int64_t within(int64_t pause)
{
    return pause < 0 ? 0 : pause > POST_RETRY_AFTER_MAX ? POST_RETRY_AFTER_MAX : pause;
}

int64_t post_retry_after(const char *text, size_t len, int64_t now)
{
    while (len && (*text == ' ' || *text == '\t'))
        text++, len--;
    while (len && (text[len - 1] == ' ' || text[len - 1] == '\t'))
        len--;
    if (len && isdigit((unsigned char)*text)) {
        int64_t seconds = 0;
        for (size_t i = 0; i < len; i++) {
            if (!isdigit((unsigned char)text[i]))
                return 0;
            if (seconds <= POST_RETRY_AFTER_MAX)
                seconds = 10 * seconds + (text[i] - '0');
        }
        return within(seconds * 1000);
    }
    struct date date;
    if (!parse_date(text, len, &date))
        return 0;
    int64_t seconds =
        days(date.year, date.month, date.day) * 86400 + date.hour * 3600 + date.minute * 60 + date.second;
    return within(seconds * 1000 - now);
}

/* ---- results ----------------------------------------------------------------------------------------------------- */

static void say_first(char *why, const struct json *result, int64_t status, unsigned at)
{
    const struct json *message = json_get(result, "message");
    if (*why)
        return;
    if (json_is(message, JSON_STRING))
        (void)snprintf(why, WHY_SIZE, "the server answers %d to record %u of a batch: %.*s", (int)status,
                       at + 1, (int)utf8_cut(message->text, message->len, 100), message->text);
    else
        (void)snprintf(why, WHY_SIZE, "the server answers %d to record %u of a batch", (int)status, at + 1);
}

static enum post_results take(const struct json *results, enum outbox_verdict *verdicts, unsigned count,
                              char *why)
{
    if (results->len != count) {
        (void)snprintf(why, WHY_SIZE, "the server's answer has %u results for %u records", results->len,
                       count);
        return POST_BAD_RESULTS;
    }
    unsigned i = 0;
    json_for_each (result, results) {
        int64_t status;
        if (!json_int(json_get(result, "status"), 100, 599, &status)) {
            (void)snprintf(why, WHY_SIZE,
                           "result %u in the server's answer: expected a \"status\" from 100 to 599", i + 1);
            return POST_BAD_RESULTS;
        }
        verdicts[i] = post_verdict((int)status);
        if (verdicts[i] != OUTBOX_TAKEN)
            say_first(why, result, status, i);
        i++;
    }
    return POST_RESULTS;
}

enum post_results post_results(const char *body, size_t len, enum outbox_verdict *verdicts, unsigned count,
                               char *why)
{
    struct arena arena = {0};
    struct json *answer;
    enum post_results r = POST_NO_RESULTS;
    *why = '\0';
    if (len && len <= POST_RESULTS_MAX && json_parse(&answer, &arena, body, len, NULL) == 0) {
        const struct json *results = json_get(answer, "results");
        if (json_is(results, JSON_ARRAY))
            r = take(results, verdicts, count, why);
    }
    arena_done(&arena);
    return r;
}
