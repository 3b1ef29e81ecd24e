/* The head of an HTTP/1.1 request, taken apart where it lies, and the answer that refuses one. Knows nothing of what is
 * behind it: WebSocket, or requests and answers.
 *
 *      POST /things/pump?name=x HTTP/1.1         method, path, query, HTTP/1.minor
 *      Host: gateway:8443                        headers[0]
 *      Content-Length: 2                         headers[1]
 *
 * Strict where being generous has let people smuggle (RFC 9112, sections 2.2, 3, 5, 11.2): lines end with CR LF, no
 * blank before a colon, no folded lines, no control characters, one Host. */
#pragma once

#include "base/base.h"

enum { HTTP_HEAD_MAX = 8 * 1024, HTTP_HEADERS_MAX = 64 };

/* Points into what was parsed; no terminator. */
struct http_text {
    const char *at;
    size_t len;
};

struct http_header {
    struct http_text name, value;
};

struct http_head {
    struct http_text method, path, query; /* query: behind the ?, empty without one. Nothing is decoded */
    unsigned minor;                       /* HTTP/1.minor */
    unsigned count;
    struct http_header headers[HTTP_HEADERS_MAX];
};

/* 0: the first *used bytes are a head. -EAGAIN: so far they can become one. Positive: the status that refuses them (400,
 * 431, 505), and *why, a sentence for the answer. However many bytes are there already, the outcome is the same. */
int http_head_parse(struct http_head *ret, const void *bytes, size_t len, size_t *used, const char **why)
    must_check;

bool http_text_is(struct http_text text, const char *word);      /* letter by letter */
bool http_text_is_like(struct http_text text, const char *word); /* without regard to case */

/* How many headers have that name; the first one's value into ret. */
unsigned http_head_find(const struct http_head *head, const char *name, struct http_text *ret);
/* Is the word in the comma-separated lists of these headers, in any case? */
bool http_head_has(const struct http_head *head, const char *name, const char *word);
/* The next item of a comma-separated list, without blanks; false at its end. */
bool http_list_next(struct http_text *list, struct http_text *item);

/* What a status is called, "Not Found". */
const char *http_phrase(int status);

enum { HTTP_REFUSAL_MAX = 512 };

/* An answer that ends the connection, with `why` as its only line: how many bytes. headers: "" or lines with CR LF. */
size_t http_refusal(char answer[HTTP_REFUSAL_MAX], int status, const char *headers, const char *why);
