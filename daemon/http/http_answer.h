/* Heads of answers, and the bodies of those that refuse. Pure.
 *
 * What AWS IoT's endpoint says is said in its words: JSON with "message", a header x-amzn-ErrorType with the exception
 * that its SDKs raise. "code" and "timestamp" (seconds) are there as in the shadow service's own refusals; traceId is
 * x-amzn-RequestId once more, to be found by whoever has only the body. */
#pragma once

#include "base/base.h"

enum { HTTP_ID_BYTES = 37, HTTP_ANSWER_HEAD_MAX = 640, HTTP_ERROR_MAX = 640 };

/* A request's number as AWS writes it, from 16 random bytes. */
void http_id(char ret[HTTP_ID_BYTES], const uint8_t random[16]);

struct http_answer {
    int status;
    size_t len;               /* of the body */
    const char *type;         /* of the body; NULL: JSON */
    const char *id;           /* of the request */
    const char *allow;        /* methods, for 405; NULL: none */
    const char *authenticate; /* how to say who one is, for 401; NULL: not in any header */
    int64_t wall;             /* ms; the date is not told before the clock was set */
    bool last;                /* the connection ends with it */
};

/* How many bytes. */
size_t http_answer_head(char head[HTTP_ANSWER_HEAD_MAX], const struct http_answer *answer);
/* Body of a refusal; `why` is at most 200 bytes that JSON takes as they are. */
size_t http_answer_error(char body[HTTP_ERROR_MAX], const struct http_answer *answer, const char *why);
