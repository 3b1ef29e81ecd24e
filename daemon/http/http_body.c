#include "http/http_body.h"

#include <string.h>

/* A chunk's frame is read byte by byte, so that there is never a part of it to keep; its data are passed on as they lie. */

enum { LENGTH_DIGITS = 15, CHUNK_DIGITS = 8 };

static int refuse(const char **why, int status, const char *sentence)
{
    *why = sentence;
    return status;
}

/* ---- what the head says -------------------------------------------------------------------------------------------- */

static int take_length(struct http_body *body, struct http_text value, const char **why)
{
    uint64_t length = 0;
    for (size_t i = 0; i < value.len; i++) {
        if (value.at[i] < '0' || value.at[i] > '9')
            return refuse(why, 400, "expected one number in Content-Length");
        if (i < LENGTH_DIGITS)
            length = length * 10 + (uint64_t)(value.at[i] - '0');
    }
    if (!value.len)
        return refuse(why, 400, "expected one number in Content-Length");
    if (value.len > LENGTH_DIGITS)
        return refuse(why, 413, "the body is too long");
    body->left = length;
    body->state = length ? HTTP_BODY_LENGTH : HTTP_BODY_OVER;
    return 0;
}

int http_body_begin(struct http_body *ret, const struct http_head *head, const char **why)
{
    struct http_text length = {0}, coding = {0};
    unsigned lengths = http_head_find(head, "Content-Length", &length);
    unsigned codings = http_head_find(head, "Transfer-Encoding", &coding);
    *ret = (struct http_body){.state = HTTP_BODY_OVER};
    if (lengths + codings > 1)
        return refuse(why, 400, "expected one header Content-Length or Transfer-Encoding");
    if (lengths)
        return take_length(ret, length, why);
    if (!codings)
        return 0;
    if (head->minor == 0)
        return refuse(why, 400, "expected no Transfer-Encoding in HTTP/1.0");
    if (!http_text_is_like(coding, "chunked"))
        return refuse(why, 501, "expected Transfer-Encoding: chunked");
    ret->chunked = true;
    ret->state = HTTP_BODY_SIZE;
    return 0;
}

/* ---- chunks -------------------------------------------------------------------------------------------------------- */

static int hex_of(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool is_control(char c)
{
    return ((unsigned char)c < ' ' && c != '\t') || c == 0x7f;
}

static int take_size(struct http_body *body, char c, const char **why)
{
    static const char expected[] = "expected a chunk that begins with its size in hexadecimal digits";
    int digit = hex_of(c);
    if (digit >= 0) {
        if (body->digits++ == CHUNK_DIGITS)
            return refuse(why, 413, "the chunk is too long");
        body->left = body->left << 4 | (unsigned)digit;
        return 0;
    }
    if (!body->digits || (c != '\r' && c != ';'))
        return refuse(why, 400, expected);
    body->state = c == ';' ? HTTP_BODY_EXTENSION : HTTP_BODY_SIZE_LF;
    return 0;
}

/* A line that means nothing to us: its end is what counts. */
static int skip(struct http_body *body, char c, enum http_body_state at_end, unsigned max, const char **why)
{
    if (++body->line > max)
        return refuse(why, 431,
                      max == HTTP_TRAILERS_MAX ? "expected trailers of at most 2 KiB"
                                               : "expected at most 256 bytes before a chunk");
    if (c == '\r')
        body->state = at_end;
    else if (is_control(c))
        return refuse(why, 400, "expected no control characters around chunks");
    return 0;
}

static int take_feed(struct http_body *body, char c, enum http_body_state next, const char **why)
{
    if (c != '\n')
        return refuse(why, 400, "expected chunks whose lines end with CR LF");
    body->state = next;
    return 0;
}

static void begin_chunk(struct http_body *body)
{
    body->state = HTTP_BODY_SIZE;
    body->left = body->digits = body->line = 0;
}

/* A byte of a chunk's frame. */
static int take_frame(struct http_body *body, char c, const char **why)
{
    int r = 0;
    switch (body->state) {
    case HTTP_BODY_SIZE: return take_size(body, c, why);
    case HTTP_BODY_EXTENSION: return skip(body, c, HTTP_BODY_SIZE_LF, HTTP_CHUNK_LINE_MAX, why);
    case HTTP_BODY_SIZE_LF:
        body->line = 0;
        return take_feed(body, c, body->left ? HTTP_BODY_DATA : HTTP_BODY_TRAILER, why);
    case HTTP_BODY_DATA_CR:
        body->state = HTTP_BODY_DATA_LF;
        return c == '\r' ? 0 : refuse(why, 400, "expected CR LF behind a chunk's bytes");
    case HTTP_BODY_DATA_LF:
        r = take_feed(body, c, HTTP_BODY_SIZE, why);
        begin_chunk(body);
        return r;
    case HTTP_BODY_TRAILER:
        body->state = c == '\r' ? HTTP_BODY_END_LF : HTTP_BODY_TRAILER_LINE;
        return c == '\r' ? 0 : skip(body, c, HTTP_BODY_TRAILER_LF, HTTP_TRAILERS_MAX, why);
    case HTTP_BODY_TRAILER_LINE: return skip(body, c, HTTP_BODY_TRAILER_LF, HTTP_TRAILERS_MAX, why);
    case HTTP_BODY_TRAILER_LF: return take_feed(body, c, HTTP_BODY_TRAILER, why);
    case HTTP_BODY_END_LF: return take_feed(body, c, HTTP_BODY_OVER, why);
    case HTTP_BODY_OVER:
    case HTTP_BODY_LENGTH:
    case HTTP_BODY_DATA: break; /* not frames */
    }
    return r;
}

int http_body_take(struct http_body *body, const void *bytes, size_t len, size_t *used, struct http_text *ret,
                   const char **why)
{
    const char *at = bytes, *end = at + len;
    int r = 0;
    *ret = (struct http_text){at, 0};
    while (r == 0 && at < end && body->state != HTTP_BODY_OVER) {
        if (body->state != HTTP_BODY_LENGTH && body->state != HTTP_BODY_DATA) {
            r = take_frame(body, *at++, why);
            continue;
        }
        *ret =
            (struct http_text){at, body->left < (size_t)(end - at) ? (size_t)body->left : (size_t)(end - at)};
        at += ret->len;
        body->left -= ret->len;
        if (!body->left)
            body->state = body->state == HTTP_BODY_LENGTH ? HTTP_BODY_OVER : HTTP_BODY_DATA_CR;
        break;
    }
    *used = (size_t)(at - (const char *)bytes);
    return r;
}
