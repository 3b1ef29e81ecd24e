/* One HTTP connection after another with libcurl, kept alive between requests: the part of an HTTP link that runs on a
 * worker's thread.
 *
 * The daemon loads this with the first request: a function that is added here is added in lazy/curl*, too. An HTTP
 * server's bytes are not looked at here but passed on.
 */
#pragma once

#include "base/base.h"

#include <stdatomic.h>

enum { POST_REASON_MAX = 200, POST_RETRY_TEXT_MAX = 64 };

struct post_curl;

struct post_request {
    const char *method, *url;
    const char *const *headers; /* "Name: value", the last one is NULL */
    const void *body;           /* not looked at with GET */
    size_t body_len;
    bool gzip;                               /* the body is packed */
    const char *ca, *cert, *key;             /* PEM files, the key also elsewhere (keys/key_uri.h), or NULL */
    const char *username, *password, *proxy; /* or NULL */
    int64_t connect_limit;                   /* ms for name, connection and TLS */
    unsigned stall_limit_s;                  /* without a byte in either direction */
    size_t answer_max;                       /* what is kept of the answer's body */
    bool secret; /* the answer is nobody else's: no copies of it are left in memory that is freed here */
    const atomic_bool *abort; /* looked at after post_curl_wake() */
};

struct post_reply {
    int status; /* 0: none came, and `reason` says why */
    char reason[POST_REASON_MAX];
    char retry_after[POST_RETRY_TEXT_MAX]; /* as it was sent, "" when it was not */
    char *body;                            /* malloc()ed; may be NULL */
    size_t body_len;
    bool cut; /* there was more */
};

/* -ENOTSUP: libcurl cannot be loaded, and *why (free it) says it. */
int post_curl_new(struct post_curl **ret, char **why) must_check;
struct post_curl *post_curl_free(struct post_curl *curl);
define_cleanup(struct post_curl *, post_curl_free)

/* Sends it and waits for all of the answer. The reply is written; its body is the caller's. */
void post_curl_send(struct post_curl *curl, const struct post_request *request, struct post_reply *reply);
/* From any thread: whoever is waiting in post_curl_send() looks at `abort`, now. */
void post_curl_wake(struct post_curl *curl);
