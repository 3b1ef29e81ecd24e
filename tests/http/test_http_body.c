#include "http/http_body.h"

#include "rig/test.h"

#include <errno.h>
#include <stdio.h>

/* ---- what the head says -------------------------------------------------------------------------------------------- */

/* begins a body as these header lines say. */
static int begin(struct http_body *body, const char *headers, const char *version, const char **why)
{
    static struct http_head head;
    static char bytes[1024];
    size_t used;
    int len = snprintf(bytes, sizeof bytes, "POST / %s\r\nHost: h\r\n%s\r\n", version, headers);
    *why = NULL;
    CHECK_INT(http_head_parse(&head, bytes, (size_t)len, &used, why), 0);
    return http_body_begin(body, &head, why);
}

static const struct {
    const char *headers;
    enum http_body_state state;
    uint64_t left;
} good[] = {
    {"", HTTP_BODY_OVER, 0},
    {"Content-Length: 0\r\n", HTTP_BODY_OVER, 0},
    {"content-length:  12 \r\n", HTTP_BODY_LENGTH, 12},
    {"Content-Length: 007\r\n", HTTP_BODY_LENGTH, 7},
    {"Content-Length: 999999999999999\r\n", HTTP_BODY_LENGTH, 999999999999999},
    {"Transfer-Encoding: chunked\r\n", HTTP_BODY_SIZE, 0},
    {"transfer-encoding: CHUNKED\r\n", HTTP_BODY_SIZE, 0},
};

TEST(the_head_says_where_the_body_ends)
{
    for (size_t i = 0; i < array_size(good); i++) {
        struct http_body body;
        const char *why;
        CHECK_INT(begin(&body, good[i].headers, "HTTP/1.1", &why), 0);
        CHECK_INT(body.state, good[i].state);
        CHECK_INT((int64_t)body.left, (int64_t)good[i].left);
        CHECK_INT(http_body_is_over(&body), good[i].state == HTTP_BODY_OVER);
        CHECK_INT(body.chunked, good[i].state == HTTP_BODY_SIZE);
    }
}

#define ONE    "expected one header Content-Length or Transfer-Encoding"
#define NUMBER "expected one number in Content-Length"

static const struct {
    const char *headers, *version;
    int status;
    const char *why;
} bad[] = {
    {"Content-Length: 5\r\nContent-Length: 5\r\n", "HTTP/1.1", 400, ONE},
    {"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "HTTP/1.1", 400, ONE},
    {"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", "HTTP/1.1", 400, ONE},
    {"Content-Length: 5, 5\r\n", "HTTP/1.1", 400, NUMBER},
    {"Content-Length:\r\n", "HTTP/1.1", 400, NUMBER},
    {"Content-Length: +5\r\n", "HTTP/1.1", 400, NUMBER},
    {"Content-Length: -1\r\n", "HTTP/1.1", 400, NUMBER},
    {"Content-Length: 0x10\r\n", "HTTP/1.1", 400, NUMBER},
    {"Content-Length: 1000000000000000\r\n", "HTTP/1.1", 413, "the body is too long"},
    {"Content-Length: 18446744073709551617\r\n", "HTTP/1.1", 413, "the body is too long"},
    {"Transfer-Encoding: gzip, chunked\r\n", "HTTP/1.1", 501, "expected Transfer-Encoding: chunked"},
    {"Transfer-Encoding: chunked\r\n", "HTTP/1.0", 400, "expected no Transfer-Encoding in HTTP/1.0"},
};

TEST(a_head_that_two_readers_could_understand_in_two_ways_is_refused)
{
    for (size_t i = 0; i < array_size(bad); i++) {
        struct http_body body;
        const char *why;
        CHECK_INT(begin(&body, bad[i].headers, bad[i].version, &why), bad[i].status);
        CHECK_STR(why, bad[i].why);
    }
}

/* ---- bodies -------------------------------------------------------------------------------------------------------- */

struct taken {
    char bytes[8192];
    size_t len, used;
    int status;
    const char *why;
};

/* Takes bytes in pieces of `step`, each in memory of its own size, so that a sanitizer sees whoever reads on. */
static void take(struct taken *ret, const char *headers, const char *bytes, size_t len, size_t step)
{
    struct http_body body;
    *ret = (struct taken){0};
    CHECK_INT(begin(&body, headers, "HTTP/1.1", &ret->why), 0);
    while (ret->used < len && !http_body_is_over(&body) && !ret->status) {
        size_t n = size_min(step, len - ret->used), used = 0;
        cleanup_free char *copy = malloc(n);
        memcpy(copy, bytes + ret->used, n);
        struct http_text piece;
        ret->status = http_body_take(&body, copy, n, &used, &piece, &ret->why);
        CHECK(used > 0 && used <= n);
        CHECK(piece.len <= used && (!piece.len || (piece.at >= copy && piece.at + piece.len <= copy + n)));
        memcpy(ret->bytes + ret->len, piece.at, piece.len);
        ret->len += piece.len;
        ret->used += used;
    }
    if (!ret->status && !http_body_is_over(&body))
        ret->status = -EAGAIN;
}

#define CHUNKED "Transfer-Encoding: chunked\r\n"

static const struct {
    const char *headers, *bytes, *body;
} bodies[] = {
    {"Content-Length: 5\r\n", "hello", "hello"},
    {CHUNKED, "0\r\n\r\n", ""},
    {CHUNKED, "5\r\nhello\r\n0\r\n\r\n", "hello"},
    {CHUNKED, "3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n", "hello"},
    {CHUNKED, "00000005\r\nhello\r\n0000\r\n\r\n", "hello"},
    {CHUNKED, "A\r\n0123456789\r\na\r\nabcdefghij\r\n0\r\n\r\n", "0123456789abcdefghij"},
    {CHUNKED, "5;a=\"b;c\";d\r\nhello\r\n0;e\r\n\r\n", "hello"},
    {CHUNKED, "4\r\n\r\n\r\n\r\n0\r\n\r\n", "\r\n\r\n"},
    {CHUNKED, "1\r\nx\r\n0\r\nChecksum: 7\r\nOther:\ta\r\n\r\n", "x"},
};

TEST(a_body_comes_out_as_it_was_sent_in_pieces_of_any_size)
{
    for (size_t i = 0; i < array_size(bodies); i++)
        for (size_t step = 1; step <= strlen(bodies[i].bytes) + 7; step++) {
            cleanup_free char *bytes = str_printf("%sGET / ", bodies[i].bytes);
            struct taken it;
            take(&it, bodies[i].headers, bytes, strlen(bytes), step);
            CHECK_INT(it.status, 0);
            CHECK_INT((int64_t)it.used, (int64_t)strlen(bodies[i].bytes));
            CHECK_MEM(it.bytes, it.len, bodies[i].body, strlen(bodies[i].body));
        }
}

#define SIZE "expected a chunk that begins with its size in hexadecimal digits"
#define FEED "expected chunks whose lines end with CR LF"

static const struct {
    const char *bytes;
    int status;
    const char *why;
} broken[] = {
    {"\r\n", 400, SIZE},
    {";a\r\n", 400, SIZE},
    {" 5\r\n", 400, SIZE},
    {"5 \r\n", 400, SIZE},
    {"-5\r\n", 400, SIZE},
    {"0x5\r\n", 400, SIZE},
    {"g\r\n", 400, SIZE},
    {"5\nhello", 400, SIZE},
    {"5\rhello", 400, FEED},
    {"123456789\r\n", 413, "the chunk is too long"},
    {"5;a\nb\r\nhello", 400, "expected no control characters around chunks"},
    {"5\r\nhello!\r\n", 400, "expected CR LF behind a chunk's bytes"},
    {"5\r\nhello\n", 400, "expected CR LF behind a chunk's bytes"},
    {"5\r\nhello\r5", 400, FEED},
    {"0\r\nA: b\nC: d\r\n\r\n", 400, "expected no control characters around chunks"},
    {"0\r\nA: b\r\r", 400, FEED},
    {"0\r\n\r\r", 400, FEED},
};

TEST(chunks_that_are_not_as_they_should_be_are_refused_in_pieces_of_any_size)
{
    for (size_t i = 0; i < array_size(broken); i++)
        for (size_t step = 1; step <= strlen(broken[i].bytes); step++) {
            struct taken it;
            take(&it, CHUNKED, broken[i].bytes, strlen(broken[i].bytes), step);
            CHECK_INT(it.status, broken[i].status);
            CHECK_STR(it.why, broken[i].why);
        }
}

/* count times x between two texts. */
static void take_long(struct taken *ret, const char *before, size_t count, const char *after)
{
    cleanup_free char *xs = malloc(count + 1);
    memset(xs, 'x', count);
    xs[count] = '\0';
    cleanup_free char *bytes = str_printf("%s%s%s", before, xs, after);
    take(ret, CHUNKED, bytes, strlen(bytes), strlen(bytes));
}

TEST(what_is_around_chunks_has_limits)
{
    struct taken it;
    take_long(&it, "1;", HTTP_CHUNK_LINE_MAX - 1, "\r\nx\r\n0\r\n\r\n");
    CHECK_INT(it.status, 0);
    take_long(&it, "1;", HTTP_CHUNK_LINE_MAX, "\r\nx\r\n0\r\n\r\n");
    CHECK_INT(it.status, 431);
    take_long(&it, "1\r\nx\r\n0\r\nA: ", HTTP_TRAILERS_MAX - 4, "\r\n\r\n");
    CHECK_INT(it.status, 0);
    take_long(&it, "1\r\nx\r\n0\r\nA: ", HTTP_TRAILERS_MAX, "\r\n\r\n");
    CHECK_INT(it.status, 431);
}

TEST(a_body_of_which_something_is_missing_is_not_over)
{
    struct taken it;
    take(&it, "Content-Length: 5\r\n", "hell", 4, 3);
    CHECK_INT(it.status, -EAGAIN);
    for (size_t len = 1; len < strlen("5\r\nhello\r\n0\r\n\r\n"); len++) {
        take(&it, CHUNKED, "5\r\nhello\r\n0\r\n\r\n", len, 100);
        CHECK_INT(it.status, -EAGAIN);
    }
}
