#include "http/http_answer.h"
#include "http/http_page.h"

#include "rig/test.h"

static const uint8_t random_bytes[16] = {0xb0, 0x93, 0x8f, 0x01, 0x23, 0x45, 0x67, 0x89,
                                         0xab, 0xcd, 0xef, 0x00, 0xff, 0x10, 0x20, 0x30};
#define ID "b0938f01-2345-6789-abcd-ef00ff102030"

TEST(a_request_has_a_number_as_aws_writes_it)
{
    char id[HTTP_ID_BYTES];
    http_id(id, random_bytes);
    CHECK_STR(id, ID);
}

TEST(the_head_of_an_answer_says_all_that_clients_look_for)
{
    char head[HTTP_ANSWER_HEAD_MAX];
    struct http_answer answer = {.status = 200, .len = 17, .id = ID, .wall = 1760000000999};
    size_t len = http_answer_head(head, &answer);
    static const char good[] = "HTTP/1.1 200 OK\r\nDate: Thu, 09 Oct 2025 08:53:20 GMT\r\n"
                               "Content-Type: application/json\r\nContent-Length: 17\r\n"
                               "x-amzn-RequestId: " ID "\r\n\r\n";
    CHECK_MEM(head, len, good, sizeof good - 1);

    answer = (struct http_answer){
        .status = 405, .id = ID, .allow = "GET, POST, DELETE", .wall = 1760000000999, .last = true};
    len = http_answer_head(head, &answer);
    static const char refused[] =
        "HTTP/1.1 405 Method Not Allowed\r\nDate: Thu, 09 Oct 2025 08:53:20 GMT\r\n"
        "Content-Type: application/json\r\nContent-Length: 0\r\nx-amzn-RequestId: " ID "\r\n"
        "x-amzn-ErrorType: MethodNotAllowedException\r\nAllow: GET, POST, DELETE\r\nConnection: close\r\n\r\n";
    CHECK_MEM(head, len, refused, sizeof refused - 1);
}

TEST(a_clock_that_was_never_set_gives_no_date)
{
    char head[HTTP_ANSWER_HEAD_MAX];
    struct http_answer answer = {.status = 200, .id = ID, .wall = 5000};
    (void)http_answer_head(head, &answer);
    CHECK(!strstr(head, "Date"));
}

/* What botocore's model of the data plane calls them. */
static const struct {
    int status;
    const char *exception;
} exceptions[] = {
    {400, "InvalidRequestException"},
    {401, "UnauthorizedException"},
    {403, "ForbiddenException"},
    {404, "ResourceNotFoundException"},
    {405, "MethodNotAllowedException"},
    {408, "InvalidRequestException"},
    {409, "ConflictException"},
    {413, "RequestEntityTooLargeException"},
    {415, "UnsupportedDocumentEncodingException"},
    {417, "InvalidRequestException"},
    {429, "ThrottlingException"},
    {500, "InternalFailureException"},
    {501, "InternalFailureException"},
    {503, "ServiceUnavailableException"},
};

TEST(every_status_has_the_exception_that_sdks_raise_for_it)
{
    for (size_t i = 0; i < array_size(exceptions); i++) {
        char head[HTTP_ANSWER_HEAD_MAX];
        struct http_answer answer = {.status = exceptions[i].status, .id = ID};
        cleanup_free char *line = str_printf("\r\nx-amzn-ErrorType: %s\r\n", exceptions[i].exception);
        (void)http_answer_head(head, &answer);
        CHECK(strstr(head, line));
        CHECK(!strstr(head, "  ") && !strstr(head, " \r\n")); /* each has a phrase */
    }
}

TEST(a_refusal_says_why_in_json)
{
    char body[HTTP_ERROR_MAX];
    struct http_answer answer = {.status = 403, .id = ID, .wall = 1760000000999};
    size_t len = http_answer_error(body, &answer, "Forbidden");
    static const char expected[] =
        "{\"code\":403,\"message\":\"Forbidden\",\"timestamp\":1760000000,\"traceId\":\"" ID "\"}";
    CHECK_MEM(body, len, expected, sizeof expected - 1);
}

/* ---- pages --------------------------------------------------------------------------------------------------------- */

static const struct {
    const char *headers;
    bool from_page, at_loopback; /* seen as a page's, at another address and at a loopback address */
} requests[] = {
    {"Host: gateway:8443\r\n", false, true},
    {"Host: localhost:8080\r\n", false, false},
    {"Host: 127.0.0.1\r\n", false, false},
    {"Host: 127.0.0.1:8080\r\n", false, false},
    {"Host: [::1]:8080\r\n", false, false},
    {"Host: [::1]\r\n", false, false},
    {"Host: evil.example:8080\r\n", false, true},
    {"Host: localhost.evil.example\r\n", false, true},
    {"Host:\r\n", false, true},
    {"Host: [\r\n", false, true},
    {"Host: localhost\r\nOrigin: https://evil.example\r\n", true, true},
    {"Host: localhost\r\norigin: null\r\n", true, true},
    {"Host: localhost\r\nOrigin: http://localhost\r\n", true, true},
};

TEST(a_page_in_a_browser_is_known)
{
    for (size_t i = 0; i < array_size(requests); i++) {
        struct http_head head;
        size_t used;
        const char *why = NULL;
        cleanup_free char *text = str_printf("GET / HTTP/1.1\r\n%s\r\n", requests[i].headers);
        CHECK_INT(http_head_parse(&head, text, strlen(text), &used, &why), 0);
        if (http_is_from_page(&head, false) != requests[i].from_page ||
            http_is_from_page(&head, true) != requests[i].at_loopback)
            FAIL("%s", requests[i].headers);
    }
    struct http_head old;
    size_t used;
    const char *why = NULL;
    CHECK_INT(http_head_parse(&old, "GET / HTTP/1.0\r\n\r\n", 18, &used, &why), 0);
    CHECK(!http_is_from_page(&old, true)); /* no browser is so old */
}
