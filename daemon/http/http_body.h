/* The body of an HTTP/1.1 request: where it ends (RFC 9112, sections 6 and 7), and its bytes, from pieces of any size.
 *
 *      Content-Length: 5               hello
 *      Transfer-Encoding: chunked      3 CR LF hel CR LF  2;more=x CR LF lo CR LF  0 CR LF [trailers] CR LF
 *
 * Strict, because requests are smuggled where two readers do not agree on the end of a body: both headers, or one of
 * them twice, are refused; so are chunks that are not written as above. Pure; keeps nothing of the bytes. */
#pragma once

#include "net/http_head.h"

enum http_body_state {
    HTTP_BODY_OVER, /* nothing (more) of it comes */
    HTTP_BODY_LENGTH,
    HTTP_BODY_SIZE, /* of a chunk, from here on */
    HTTP_BODY_EXTENSION,
    HTTP_BODY_SIZE_LF,
    HTTP_BODY_DATA,
    HTTP_BODY_DATA_CR,
    HTTP_BODY_DATA_LF,
    HTTP_BODY_TRAILER, /* at the beginning of a line */
    HTTP_BODY_TRAILER_LINE,
    HTTP_BODY_TRAILER_LF,
    HTTP_BODY_END_LF
};

enum {
    HTTP_CHUNK_LINE_MAX = 256, /* size and extensions */
    HTTP_TRAILERS_MAX = 2048,
};

struct http_body {
    enum http_body_state state;
    bool chunked;
    uint64_t left;   /* of a body with a length; of this chunk */
    unsigned line;   /* bytes of the chunk's line, or of all trailers */
    unsigned digits; /* of the chunk's size */
};

/* What the head says about its body: 0, or the status that refuses it (400, 413, 501) and *why. `left` is the length when
 * there is one. */
int http_body_begin(struct http_body *ret, const struct http_head *head, const char **why) must_check;

/* Takes bytes until a piece of the body has come or all are used: *used of them, with the piece in *ret (or an empty
 * one). 0, or the status that refuses them and *why. */
int http_body_take(struct http_body *body, const void *bytes, size_t len, size_t *used, struct http_text *ret,
                   const char **why) must_check;

static inline bool http_body_is_over(const struct http_body *body)
{
    return body->state == HTTP_BODY_OVER;
}
