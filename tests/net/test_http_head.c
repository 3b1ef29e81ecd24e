#include "net/http_head.h"

#include "rig/test.h"

#include <errno.h>
#include <stdio.h>

/* Bytes that were parsed. They end where their memory ends, so that a sanitizer sees whoever reads on. */
struct parsed {
    char *bytes;
    int r;
    size_t used;
    const char *why;
    struct http_head head;
};

static void parse(struct parsed *ret, const char *bytes, size_t len)
{
    *ret = (struct parsed){.bytes = malloc(len ? len : 1)};
    memcpy(ret->bytes, bytes, len);
    ret->r = http_head_parse(&ret->head, ret->bytes, len, &ret->used, &ret->why);
}

static void parsed_done(struct parsed *parsed)
{
    free(steal(parsed->bytes));
}

static void check_text(struct http_text text, const char *expected)
{
    CHECK_MEM(text.at, text.len, expected, strlen(expected));
}

/* Whatever part of it has come, it says the same as the whole or nothing yet. */
static void check_parts(const char *bytes, size_t len, int r, const char *why)
{
    for (size_t n = 0; n < len; n++) {
        cleanup(parsed_done) struct parsed part;
        parse(&part, bytes, n);
        if (part.r == -EAGAIN)
            continue;
        if (part.r != r || r == 0 || part.why != why)
            FAIL("%s: after %zu bytes %d: %s", bytes, n, part.r, part.why ? part.why : "good");
    }
}

/* ---- good ---------------------------------------------------------------------------------------------------------- */

static const struct {
    const char *bytes, *method, *path, *query;
    unsigned minor, count;
} good[] = {
    {"GET / HTTP/1.1\r\nHost: h\r\n\r\n", "GET", "/", "", 1, 1},
    {"GET /mqtt?a=b&c=d?e HTTP/1.1\r\nHost: h\r\n\r\n", "GET", "/mqtt", "a=b&c=d?e", 1, 1},
    {"POST /%7e/x;y HTTP/1.1\r\nhost:h\r\nA:\r\nB:  \t\r\n\r\n", "POST", "/%7e/x;y", "", 1, 3},
    {"GET /? HTTP/1.1\r\nHost:\r\n\r\n", "GET", "/", "", 1, 1},
    {"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", "OPTIONS", "*", "", 1, 1},
    {"GET http://h:80/a?b HTTP/1.1\r\nHost: h\r\n\r\n", "GET", "/a", "b", 1, 1},
    {"GET HTTPS://h HTTP/1.1\r\nHost: h\r\n\r\n", "GET", "/", "", 1, 1},
    {"GET http://h?b HTTP/1.1\r\nHost: h\r\n\r\n", "GET", "/", "b", 1, 1},
    {"GET / HTTP/1.0\r\n\r\n", "GET", "/", "", 0, 0},
    {"GET / HTTP/1.9\r\nHost: h\r\n\r\n", "GET", "/", "", 9, 1},
    {"\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", "GET", "/", "", 1, 1},
    {"g!#$%&'*+-.^_`|~9 / HTTP/1.1\r\nHost: h\r\nX: \xc3\xa4\t1\r\n\r\n", "g!#$%&'*+-.^_`|~9", "/", "", 1, 2},
};

TEST(a_head_is_taken_apart)
{
    for (size_t i = 0; i < array_size(good); i++) {
        cleanup(parsed_done) struct parsed it;
        size_t len = strlen(good[i].bytes);
        parse(&it, good[i].bytes, len);
        if (it.r != 0)
            FAIL("%s: %d: %s", good[i].bytes, it.r, it.why);
        CHECK_INT((int64_t)it.used, (int64_t)len);
        check_text(it.head.method, good[i].method);
        check_text(it.head.path, good[i].path);
        check_text(it.head.query, good[i].query);
        CHECK_INT(it.head.minor, good[i].minor);
        CHECK_INT(it.head.count, good[i].count);
        check_parts(good[i].bytes, len, 0, NULL);
    }
}

TEST(what_is_behind_a_head_is_not_part_of_it)
{
    static const char head[] = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
    cleanup(parsed_done) struct parsed it;
    cleanup_free char *bytes = str_printf("%s\x82\x80 and\r\nmore\r\n\r\n", head);
    parse(&it, bytes, strlen(bytes));
    CHECK_INT(it.r, 0);
    CHECK_INT((int64_t)it.used, sizeof head - 1);
}

/* ---- bad ----------------------------------------------------------------------------------------------------------- */

#define LINE    "expected a line METHOD TARGET HTTP/1.1"
#define CRLF    "expected lines that end with CR LF"
#define HEADER  "expected header lines NAME: VALUE"
#define CONTROL "expected headers without control characters"
#define HOST    "expected one header Host"
#define TARGET  "expected a target that begins with /"
#define METHOD  "expected a method made of letters"

static const struct {
    const char *bytes;
    int status;
    const char *why;
} bad[] = {
    {"\x16\x03\x01\x02", 400, LINE}, /* TLS */
    {"\x10\x10", 400, LINE},         /* MQTT */
    {"GET / HTTP/1.1\n\n", 400, CRLF},
    {"\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", 400, CRLF},
    {"GET /\xc3\xa4 HTTP/1.1\r\n", 400, LINE},
    {"GET\t/ HTTP/1.1\r\n", 400, LINE},
    {"GET /\r HTTP/1.1\r\n", 400, LINE},
    {"GET\r\n", 400, LINE},
    {"GET /\r\n", 400, LINE},
    {"GET / HTTP/1.1 \r\n", 400, LINE},
    {"GET / x HTTP/1.1\r\n", 400, LINE},
    {"GET / http/1.1\r\n", 400, LINE},
    {"GET / HTTP/1\r\n", 400, LINE},
    {"GET / HTTP/11.1\r\n", 400, LINE},
    {"GET / HTTP/x.1\r\n", 400, LINE},
    {"GET / HTTP/1.x\r\n", 400, LINE},
    {"GET / HTTP/1,1\r\n", 400, LINE},
    {"GET / HTTP/2.0\r\n", 505, "expected HTTP/1.1"},
    {"PRI * HTTP/2.0\r\n", 505, "expected HTTP/1.1"},
    {"GET / HTTP/0.9\r\n", 505, "expected HTTP/1.1"},
    {" / HTTP/1.1\r\n", 400, METHOD},
    {"G(T / HTTP/1.1\r\n", 400, METHOD},
    {"GET  HTTP/1.1\r\n", 400, TARGET},
    {"GET mqtt HTTP/1.1\r\n", 400, TARGET},
    {"CONNECT h:1 HTTP/1.1\r\n", 400, TARGET},
    {"GET http:///x HTTP/1.1\r\n", 400, TARGET},
    {"GET ftp://h/x HTTP/1.1\r\n", 400, TARGET},
    {"GET ** HTTP/1.1\r\n", 400, TARGET},

    {"GET / HTTP/1.1\r\nHost: h\n\r\n", 400, CRLF},
    {"GET / HTTP/1.1\r\nHost\r\n", 400, HEADER},
    {"GET / HTTP/1.1\r\n: h\r\n", 400, HEADER},
    {"GET / HTTP/1.1\r\nHost : h\r\n", 400, HEADER},
    {"GET / HTTP/1.1\r\n Host: h\r\n", 400, HEADER},
    {"GET / HTTP/1.1\r\nHost: h\r\n\tfolded\r\n", 400, HEADER},
    {"GET / HTTP/1.1\r\nHost: h\r\n folded: x\r\n", 400, HEADER},
    {"GET / HTTP/1.1\r\nX-\xc3\xa4: h\r\n", 400, HEADER},
    {"GET / HTTP/1.1\r\nHost: a\x01z\r\n", 400, CONTROL},
    {"GET / HTTP/1.1\r\nHost: a\x7fz\r\n", 400, CONTROL},
    {"GET / HTTP/1.1\r\nHost: a\rz\r\n", 400, CONTROL},
    {"GET / HTTP/1.1\r\n\r\n", 400, HOST},
    {"GET / HTTP/1.1\r\nHost: a\r\nX: y\r\nHOST: a\r\n\r\n", 400, HOST},
    {"GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", 400, HOST},
};

TEST(a_head_that_is_none_is_refused_as_soon_as_that_is_certain)
{
    for (size_t i = 0; i < array_size(bad); i++) {
        cleanup(parsed_done) struct parsed it;
        parse(&it, bad[i].bytes, strlen(bad[i].bytes));
        if (it.r != bad[i].status)
            FAIL("%s: %d: %s", bad[i].bytes, it.r, it.why ? it.why : "taken");
        CHECK_STR(it.why, bad[i].why);
        check_parts(bad[i].bytes, strlen(bad[i].bytes), it.r, it.why);
    }
}

TEST(a_zero_byte_is_refused_wherever_it_is)
{
    static const char head[] = "GET /mqtt HTTP/1.1\r\nHost: h\r\nX: y\r\n\r\n";
    for (size_t i = 0; i < sizeof head - 1; i++) {
        char bytes[sizeof head];
        cleanup(parsed_done) struct parsed it;
        memcpy(bytes, head, sizeof head);
        bytes[i] = '\0';
        parse(&it, bytes, sizeof head - 1);
        if (it.r != 400 && it.r != -EAGAIN) /* in the last end of line there may be none yet */
            FAIL("a zero at %zu: %d", i, it.r);
    }
}

/* ---- limits -------------------------------------------------------------------------------------------------------- */

/* A head of so many headers and, filled up by its last one, of so many bytes. */
static char *head_of(unsigned headers, size_t bytes)
{
    char *head = malloc(bytes + 1);
    size_t len = (size_t)snprintf(head, bytes + 1, "GET / HTTP/1.1\r\nHost: h\r\n");
    for (unsigned i = 2; i < headers; i++)
        len += (size_t)snprintf(head + len, bytes + 1 - len, "X: y\r\n");
    len += (size_t)snprintf(head + len, bytes + 1 - len, "Z: ");
    memset(head + len, 'z', bytes - len - 4);
    memcpy(head + bytes - 4, "\r\n\r\n", 5);
    return head;
}

TEST(a_head_has_at_most_64_headers)
{
    cleanup(parsed_done) struct parsed most, more;
    cleanup_free char *bytes = head_of(64, 1000), *too_many = head_of(65, 1000);
    parse(&most, bytes, 1000);
    CHECK_INT(most.r, 0);
    CHECK_INT(most.head.count, 64);
    parse(&more, too_many, 1000);
    CHECK_INT(more.r, 431);
    CHECK_STR(more.why, "expected at most 64 headers");
    check_parts(too_many, 1000, more.r, more.why);
}

TEST(a_head_has_at_most_8_KiB)
{
    cleanup(parsed_done) struct parsed most, more, line;
    cleanup_free char *bytes = head_of(3, HTTP_HEAD_MAX), *too_long = head_of(3, HTTP_HEAD_MAX + 1);
    parse(&most, bytes, HTTP_HEAD_MAX);
    CHECK_INT(most.r, 0);
    CHECK_INT((int64_t)most.used, HTTP_HEAD_MAX);
    parse(&more, too_long, HTTP_HEAD_MAX);
    CHECK_INT(more.r, 431);
    CHECK_STR(more.why, "expected a head of at most 8 KiB");
    check_parts(too_long, HTTP_HEAD_MAX + 1, more.r, more.why);
    memset(too_long, 'G', HTTP_HEAD_MAX);
    parse(&line, too_long, HTTP_HEAD_MAX);
    CHECK_INT(line.r, 431);
}

/* ---- what a head says ---------------------------------------------------------------------------------------------- */

TEST(headers_are_found_by_name_in_any_case)
{
    static const char bytes[] =
        "GET / HTTP/1.1\r\nHost: h\r\nOne:  a b\t \r\nTWO: first\r\ntwo: second\r\n\r\n";
    cleanup(parsed_done) struct parsed it;
    struct http_text value = {0};
    parse(&it, bytes, sizeof bytes - 1);
    CHECK_INT(http_head_find(&it.head, "one", &value), 1);
    check_text(value, "a b");
    CHECK_INT(http_head_find(&it.head, "Two", &value), 2);
    check_text(value, "first");
    CHECK_INT(http_head_find(&it.head, "Tw", &value), 0);
    check_text(value, "first"); /* not touched */
}

TEST(a_word_is_found_in_lists_over_several_headers)
{
    static const char bytes[] =
        "GET / HTTP/1.1\r\nHost: h\r\nList: , a ,\tKeep-Alive,,\r\nother: b\r\nlist: c d,e\r\n\r\n";
    static const struct {
        const char *word;
        bool there;
    } words[] = {{"a", true},  {"keep-alive", true}, {"e", true}, {"b", false},
                 {"c", false}, {"c d", true},        {"", false}, {"keep", false}};
    cleanup(parsed_done) struct parsed it;
    parse(&it, bytes, sizeof bytes - 1);
    for (size_t i = 0; i < array_size(words); i++)
        CHECK_INT(http_head_has(&it.head, "List", words[i].word), words[i].there);
}

TEST(a_refusal_says_its_status_and_why_and_that_it_is_the_last_word)
{
    char answer[HTTP_REFUSAL_MAX];
    size_t len = http_refusal(answer, 405, "Allow: GET\r\n", "expected GET");
    static const char expected[] = "HTTP/1.1 405 Method Not Allowed\r\nAllow: GET\r\nConnection: close\r\n"
                                   "Content-Type: text/plain; charset=utf-8\r\nContent-Length: 13\r\n\r\n"
                                   "expected GET\n";
    CHECK_MEM(answer, len, expected, sizeof expected - 1);
}
