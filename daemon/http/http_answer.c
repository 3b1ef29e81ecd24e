#include "http/http_answer.h"

#include "base/clock.h"
#include "net/http_head.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

static const struct {
    int status;
    const char *exception;
} exceptions[] = {
    {401, "UnauthorizedException"},
    {403, "ForbiddenException"},
    {404, "ResourceNotFoundException"},
    {405, "MethodNotAllowedException"},
    {409, "ConflictException"},
    {413, "RequestEntityTooLargeException"},
    {415, "UnsupportedDocumentEncodingException"},
    {429, "ThrottlingException"},
    {503, "ServiceUnavailableException"},
};

/* The SDKs know one word for every other 4xx and 5xx. */
static const char *exception_of(int status)
{
    for (size_t i = 0; i < array_size(exceptions); i++)
        if (exceptions[i].status == status)
            return exceptions[i].exception;
    return status < 500 ? "InvalidRequestException" : "InternalFailureException";
}

void http_id(char ret[HTTP_ID_BYTES], const uint8_t random[16])
{
    static const char digits[] = "0123456789abcdef";
    char *to = ret;
    for (size_t i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            *to++ = '-';
        *to++ = digits[random[i] >> 4];
        *to++ = digits[random[i] & 0xF];
    }
    *to = '\0';
}

static void put_date(char text[48], int64_t wall)
{
    time_t seconds = (time_t)(wall / 1000);
    struct tm tm;
    if (!clock_was_set(wall) || !gmtime_r(&seconds, &tm) ||
        !strftime(text, 48, "Date: %a, %d %b %Y %H:%M:%S GMT\r\n", &tm))
        *text = '\0';
}

size_t http_answer_head(char head[HTTP_ANSWER_HEAD_MAX], const struct http_answer *answer)
{
    char date[48];
    bool refuses = answer->status >= 400;
    put_date(date, answer->wall);
    int n = snprintf(
        head, HTTP_ANSWER_HEAD_MAX,
        "HTTP/1.1 %d %s\r\n%sContent-Type: %s\r\nContent-Length: %zu\r\n"
        "x-amzn-RequestId: %s\r\n%s%s%s%s%s%s%s%s%s%s\r\n",
        answer->status, http_phrase(answer->status), date, answer->type ? answer->type : "application/json",
        answer->len, answer->id, refuses ? "x-amzn-ErrorType: " : "",
        refuses ? exception_of(answer->status) : "", refuses ? "\r\n" : "", answer->allow ? "Allow: " : "",
        answer->allow ? answer->allow : "", answer->allow ? "\r\n" : "",
        answer->authenticate ? "WWW-Authenticate: " : "", answer->authenticate ? answer->authenticate : "",
        answer->authenticate ? "\r\n" : "", answer->last ? "Connection: close\r\n" : "");
    assert(n > 0 && n < HTTP_ANSWER_HEAD_MAX);
    return (size_t)n;
}

size_t http_answer_error(char body[HTTP_ERROR_MAX], const struct http_answer *answer, const char *why)
{
    int n = snprintf(body, HTTP_ERROR_MAX,
                     "{\"code\":%d,\"message\":\"%s\",\"timestamp\":%" PRId64 ",\"traceId\":\"%s\"}",
                     answer->status, why, answer->wall / 1000, answer->id);
    assert(n > 0 && n < HTTP_ERROR_MAX);
    return (size_t)n;
}
