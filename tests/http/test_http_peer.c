/* Connections: what they may do, and for how long. */
#include "http/http_rig.h"

#include "base/json.h"

#include <stdio.h>
#include <sys/socket.h>

#define HOST  " HTTP/1.1\r\nHost: h\r\n"
#define GET   "GET /things/pump/shadow" HOST "\r\n"
#define FIRST "{\"state\":{\"reported\":{\"rpm\":900}}}"

static char *post(const char *path, const char *headers, const char *body)
{
    return str_printf("POST %s" HOST "%sContent-Length: %zu\r\n\r\n%s", path, headers, strlen(body), body);
}

static void send_post(struct guest *guest, const char *path, const char *body)
{
    cleanup_free char *request = post(path, "", body);
    guest_send(guest, request);
}

/* ---- one after the other ------------------------------------------------------------------------------------------- */

TEST(a_connection_stays_for_further_requests)
{
    cleanup(http_rig_free_p) struct http_rig *rig = http_rig_new(NULL);
    struct guest *guest = http_guest(rig);
    guest_send(guest, GET);
    CHECK_ANSWER(guest, 404, "{\"code\":404,\"message\":\"No shadow exists with name: 'pump'\"}");
    CHECK(strstr(guest->head, "\r\nx-amzn-ErrorType: ResourceNotFoundException\r\n"));
    CHECK(strstr(guest->head, "\r\nDate: Thu, 09 Oct 2025 08:53:20 GMT\r\n"));
    CHECK(!strstr(guest->head, "Connection"));
    send_post(guest, "/things/pump/shadow", FIRST);
    CHECK_ANSWER(guest, 200, "\"version\":1,\"timestamp\":1760000000}");
    CHECK(strstr(guest->head, "\r\nContent-Type: application/json\r\n"));
    CHECK(!strstr(guest->head, "ErrorType"));
    guest_send(guest, GET);
    CHECK_ANSWER(guest, 200, "{\"state\":{\"reported\":{\"rpm\":900}}");
    CHECK_NOTHING(guest);
    CHECK_INT((int64_t)http_counters(rig->server)->requests, 3);
    CHECK_INT((int64_t)http_counters(rig->server)->refused, 1);
}

TEST(a_request_may_come_byte_by_byte)
{
    cleanup(http_rig_free_p) struct http_rig *rig = http_rig_new(NULL);
    struct guest *guest = http_guest(rig);
    cleanup_free char *request = post("/things/pump/shadow", "X: y\r\n", FIRST);
    for (size_t i = 0; request[i]; i++) {
        CHECK_NOTHING(guest);
        guest_send_bytes(guest, request + i, 1);
    }
    CHECK_ANSWER(guest, 200, "\"version\":1");
}

TEST(a_body_may_come_in_chunks)
{
    cleanup(http_rig_free_p) struct http_rig *rig = http_rig_new(NULL);
    struct guest *guest = http_guest(rig);
    guest_send(guest, "POST /things/pump/shadow" HOST "Transfer-Encoding: chunked\r\n\r\n"
                      "b\r\n{\"state\":{\"\r\n17;x\r\nreported\":{\"rpm\":900}}}\r\n");
    CHECK_NOTHING(guest);
    guest_send(guest, "0\r\n\r\n" GET);
    CHECK_ANSWER(guest, 200, "\"version\":1");
    CHECK_ANSWER(guest, 200, "{\"state\":{\"reported\":{\"rpm\":900}}");
}

TEST(requests_that_are_sent_ahead_are_answered_in_their_order)
{
    enum { COUNT = 50 };
    cleanup(http_rig_free_p) struct http_rig *rig = http_rig_new(NULL);
    struct guest *guest = http_guest(rig);
    cleanup_free char *all = str_copy("");
    for (int i = 0; i < COUNT; i++) {
        cleanup_free char *one = post("/things/pump/shadow", "", FIRST);
        char *more = str_printf("%s%s%s", all, one, i % 10 == 0 ? GET : "");
        free(all);
        all = more;
    }
    guest_send(guest, all);
    for (int i = 0; i < COUNT; i++) {
        char version[64];
        (void)snprintf(version, sizeof version, "\"version\":%d,", i + 1);
        CHECK_ANSWER(guest, 200, version);
        if (i % 10 == 0)
            CHECK_ANSWER(guest, 200, version);
    }
    CHECK_NOTHING(guest);
}

TEST(what_is_sent_ahead_is_not_read_before_it_is_wanted)
{
    cleanup(http_rig_free_p) struct http_rig *rig = http_rig_new(NULL);
    struct guest *guest = http_guest(rig);
    send_post(guest, "/topics/slow/1?qos=1", "x");
    CHECK_INT(rig->held_count, 1);
    char filler[4096];
    memset(filler, 'x', sizeof filler);
    size_t sent = 0;
    for (ssize_t n; (n = send(guest->fd, filler, sizeof filler, MSG_NOSIGNAL)) > 0; sent += (size_t)n)
        rig_turn(rig->house);
    CHECK(sent < 1 << 20); /* the kernel's buffer and one read at most */
    CHECK_INT((int64_t)http_counters(rig->server)->requests, 1);
    http_rig_settle(rig, 0);
    CHECK_ANSWER(guest, 200, "OK");
    CHECK_ANSWER(guest, 431, "expected a head of at most 8 KiB");
}

TEST(answers_that_nobody_reads_hold_up_his_further_requests)
{
    enum { COUNT = 2000 };
    cleanup(http_rig_free_p) struct http_rig *rig = http_rig_new(NULL);
    struct guest *guest = http_guest(rig);
    int small = 4096;
    CHECK_INT(setsockopt(guest->fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small), 0);
    unsigned sent = 0, answers = 0;
    for (ssize_t n = 0; sent < COUNT; sent++) {
        n = send(guest->fd, GET, strlen(GET), MSG_NOSIGNAL | MSG_DONTWAIT);
        rig_turn(rig->house);
        if (n < (ssize_t)strlen(GET))
            break;
    }
    CHECK(sent < COUNT || http_counters(rig->server)->requests < COUNT);
    while (guest_answer(guest, true) == 404)
        answers++;
    CHECK_INT(answers, sent);
    CHECK_INT((int64_t)http_counters(rig->server)->requests, sent);
}

/* ---- the end of a connection --------------------------------------------------------------------------------------- */

TEST(who_says_that_he_closes_is_told_so)
{
    cleanup(http_rig_free_p) struct http_rig *rig = http_rig_new(NULL);
    static const char *const requests[] = {
        "GET /things/pump/shadow" HOST "Connection: close\r\n\r\n" GET,
        "GET /things/pump/shadow" HOST "connection: x, CLOSE\r\n\r\n",
        "GET /things/pump/shadow HTTP/1.0\r\n\r\n",
        "GET /things/pump/shadow HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    };
    for (size_t i = 0; i < array_size(requests); i++) {
        struct guest *guest = http_guest(rig);
        guest_send(guest, requests[i]);
        CHECK_ANSWER(guest, 404, "No shadow");
        CHECK(strstr(guest->head, "\r\nConnection: close\r\n"));
        CHECK_END(guest);
    }
}

TEST(who_closes_his_side_gets_his_answer)
{
    cleanup(http_rig_free_p) struct http_rig *rig = http_rig_new(NULL);
    struct guest *guest = http_guest(rig);
    send_post(guest, "/topics/slow/1?qos=1", "x");
    CHECK_INT(shutdown(guest->fd, SHUT_WR), 0);
    CHECK_NOTHING(guest);
    http_rig_settle(rig, 0);
    CHECK_ANSWER(guest, 200, "OK");
    CHECK_END(guest);
}

TEST(who_is_gone_before_his_answer_is_not_waited_for)
{
    cleanup(http_rig_free_p) struct http_rig *rig = http_rig_new(NULL);
    struct guest *guest = http_guest(rig);
    send_post(guest, "/topics/slow/1?qos=1", "x");
    guest_hang_up(guest);
    http_rig_settle(rig, 0);
    CHECK_INT((int64_t)http_counters(rig->server)->connections, 0);
    struct guest *another = http_guest(rig);
    send_post(another, "/topics/slow/2?qos=1", "x");
    guest_hang_up(another);
    rig_wait(rig->house, 31 * 1000); /* the wait for the answer ends before the answer comes */
    CHECK_INT((int64_t)http_counters(rig->server)->connections, 0);
    http_rig_settle(rig, 0);
}

TEST(a_server_that_stops_answers_what_it_was_asked_and_takes_nothing_more)
{
    cleanup(http_rig_free_p) struct http_rig *rig = http_rig_new(NULL);
    struct guest *quiet = http_guest(rig), *busy = http_guest(rig), *late = http_guest(rig);
    cleanup_free char *request = post("/topics/slow/1?qos=1", "", "x");
    guest_send(busy, request);
    guest_send_bytes(late, request, strlen(request) - 1);
    http_server_shutdown(rig->server);
    CHECK_END(quiet);
    CHECK_NOTHING(busy);
    CHECK(!http_server_is_quiet(rig->server));
    http_rig_settle(rig, 0);
    CHECK_ANSWER(busy, 200, "OK");
    CHECK(strstr(busy->head, "\r\nConnection: close\r\n"));
    CHECK_END(busy);
    guest_send(late, "x");
    http_rig_settle(rig, 0);
    CHECK_ANSWER(late, 200, "OK");
    CHECK_END(late);
    guest_hang_up(quiet);
    guest_hang_up(busy);
    guest_hang_up(late);
    CHECK(http_server_is_quiet(rig->server));
}

/* ---- what is refused ----------------------------------------------------------------------------------------------- */

static const struct {
    const char *request;
    int status;
    const char *text;
    bool ends;
} refused[] = {
    {"\x16\x03\x01\x02", 400, "expected a line METHOD TARGET HTTP/1.1", true},
    {"\x10\x0c\x00\x04MQTT", 400, "expected a line METHOD TARGET HTTP/1.1", true},
    {"GET / HTTP/1.1\r\n\r\n", 400, "expected one header Host", true},
    {"GET / HTTP/2.0\r\n", 505, "expected HTTP/1.1", true},
    {"GET /nowhere" HOST "\r\n", 404, "expected /things/THING/shadow", false},
    {"PUT /things/pump/shadow" HOST "\r\n", 405, "Method not allowed", false},
    {"PUT /things/pump/shadow" HOST "Content-Length: 2\r\n\r\n{}", 405, "Method not allowed", true},
    {"GET /things/p%zz/shadow" HOST "\r\n", 400, "expected two hexadecimal digits behind %", false},
    {"POST /things/pump/shadow" HOST "Content-Length: x\r\n\r\n", 400, "expected one number", true},
    {"POST /things/pump/shadow" HOST "Transfer-Encoding: br\r\n\r\n", 501, "chunked", true},
    {"POST /things/pump/shadow" HOST "Content-Length: 131073\r\n\r\n", 413, "exceeds the maximum size", true},
    {"GET /things/pump/shadow" HOST "Content-Length: 8193\r\n\r\n", 413, "exceeds the maximum size", true},
    {"POST /topics/a" HOST "Content-Length: 1048577\r\n\r\n", 413, "exceeds the maximum size", true},
    {"POST /topics/a" HOST "Content-Length: 1\r\nExpect: 200-ok\r\n\r\n", 417, "100-continue", true},
    {"POST /topics/a" HOST "Transfer-Encoding: chunked\r\n\r\nhello", 400, "size in hexadecimal", true},
    {"GET /things/pump/shadow" HOST "Origin: http://h\r\n\r\n", 403, "Pages in a browser", false},
    {"POST /topics/a/%23" HOST "Content-Length: 0\r\n\r\n", 400, "expected a topic", false},
};

TEST(what_is_wrong_is_refused_with_a_reason)
{
    cleanup(http_rig_free_p) struct http_rig *rig = http_rig_new(NULL);
    for (size_t i = 0; i < array_size(refused); i++) {
        rig->guest_count = 0; /* the place is used again */
        struct guest *guest = http_guest(rig);
        guest_send(guest, refused[i].request);
        CHECK_ANSWER(guest, refused[i].status, refused[i].text);
        CHECK(strstr(guest->body, "\"traceId\":\""));
        struct arena arena = {0};
        struct json *json;
        CHECK_INT(json_parse(&json, &arena, guest->body, strlen(guest->body), NULL), 0);
        arena_done(&arena);
        CHECK_INT(!!strstr(guest->head, "Connection: close"), refused[i].ends);
        CHECK_INT(!!strstr(guest->head, "\r\nAllow: GET, POST, DELETE\r\n"), refused[i].status == 405);
        if (refused[i].ends)
            CHECK_END(guest);
        else
            CHECK_NOTHING(guest);
        guest_hang_up(guest);
        free(guest->in);
    }
    rig->guest_count = 0;
    CHECK_INT((int64_t)http_counters(rig->server)->connections, 0);
    CHECK_INT((int64_t)http_counters(rig->server)->body_bytes, 0);
}

TEST(the_answer_to_HEAD_has_no_body)
{
    cleanup(http_rig_free_p) struct http_rig *rig = http_rig_new(NULL);
    struct guest *guest = http_guest(rig);
    guest_send(guest, "HEAD /things/pump/shadow" HOST "\r\n" GET);
    CHECK_INT(guest_answer(guest, false), 405);
    CHECK_ANSWER(guest, 404, "No shadow");
}

TEST(who_waits_for_leave_to_send_a_body_gets_it_or_a_refusal)
{
    cleanup(http_rig_free_p) struct http_rig *rig = http_rig_new(NULL);
    struct guest *guest = http_guest(rig);
    guest_send(guest, "POST /things/pump/shadow" HOST "Expect: 100-Continue\r\nContent-Length: 34\r\n\r\n");
    CHECK_INT(guest_answer(guest, false), 100);
    CHECK_NOTHING(guest);
    guest_send(guest, FIRST);
    CHECK_ANSWER(guest, 200, "\"version\":1");
    guest_send(guest, "POST /things/pump/shadow" HOST "Expect: 100-continue\r\nContent-Length: 0\r\n\r\n");
    CHECK_ANSWER(guest, 400, "Invalid JSON"); /* without a body there is nothing to wait for */
    guest_send(guest, "POST /nowhere" HOST "Expect: 100-continue\r\nContent-Length: 34\r\n\r\n");
    CHECK_ANSWER(guest, 404, "expected /things");
    CHECK_END(guest);
}

TEST(a_chunked_body_may_not_be_larger_than_one_with_a_length)
{
    cleanup(http_rig_free_p) struct http_rig *rig = http_rig_new(NULL);
    struct guest *guest = http_guest(rig);
    char chunk[0x1000 + 16] = "1000\r\n";
    memset(chunk + 6, 'x', 0x1000);
    memcpy(chunk + 6 + 0x1000, "\r\n", 2);
    guest_send(guest, "POST /things/pump/shadow" HOST "Transfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < 32; i++)
        guest_send_bytes(guest, chunk, 6 + 0x1000 + 2);
    CHECK_NOTHING(guest);
    CHECK_INT((int64_t)http_counters(rig->server)->body_bytes, 128 * 1024);
    guest_send(guest, "1\r\n!\r\n");
    CHECK_ANSWER(guest, 413, "exceeds the maximum size");
    CHECK_END(guest);
    CHECK_INT((int64_t)http_counters(rig->server)->body_bytes, 0);
}

TEST(bodies_of_all_have_a_limit_and_connections_too)
{
    struct http_options options = http_rig_options();
    options.bodies_max = 10000;
    options.connections_max = 2;
    cleanup(http_rig_free_p) struct http_rig *rig = http_rig_new(&options);
    struct guest *one = http_guest(rig), *two = http_guest(rig), *three = http_guest(rig);
    CHECK_END(three);
    CHECK_INT((int64_t)http_counters(rig->server)->turned_away, 1);
    guest_send(one, "POST /topics/a" HOST "Content-Length: 9000\r\n\r\nx");
    guest_send(two, "POST /topics/a" HOST "Content-Length: 9000\r\n\r\nx");
    CHECK_NOTHING(one);
    CHECK_NOTHING(two);
    char more[8999];
    memset(more, 'y', sizeof more);
    guest_send_bytes(one, more, 5000);
    CHECK_ANSWER(one, 503, "Too much is being sent at the same time");
    guest_send_bytes(two, more, sizeof more);
    CHECK_ANSWER(two, 200, "OK");
    CHECK_INT((int64_t)http_counters(rig->server)->body_bytes, 0);
}

/* ---- time ---------------------------------------------------------------------------------------------------------- */

TEST(who_says_nothing_is_not_kept)
{
    cleanup(http_rig_free_p) struct http_rig *rig = http_rig_new(NULL);
    struct guest *guest = http_guest(rig), *another = http_guest(rig);
    guest_send(another, GET);
    CHECK_ANSWER(another, 404, "No shadow");
    rig_wait(rig->house, 9 * 1000);
    CHECK_NOTHING(guest);
    rig_wait(rig->house, 2 * 1000);
    CHECK_END(guest);
    CHECK_NOTHING(another);
    rig_wait(rig->house, 50 * 1000);
    CHECK_END(another);
    CHECK_INT((int64_t)http_counters(rig->server)->timeouts, 2);
}

TEST(a_head_that_comes_slowly_is_given_up)
{
    cleanup(http_rig_free_p) struct http_rig *rig = http_rig_new(NULL);
    struct guest *guest = http_guest(rig);
    for (int i = 0; i < 9; i++) {
        guest_send(guest, i ? "X: y\r\n" : "GET /things/pump/shadow" HOST);
        rig_wait(rig->house, 1000);
        CHECK_NOTHING(guest);
    }
    guest_send(guest, "X: y\r\n");
    rig_wait(rig->house, 1001);
    CHECK_ANSWER(guest, 408, "did not come in time");
    CHECK_END(guest);
}

TEST(a_body_may_be_slow_but_not_too_slow)
{
    cleanup(http_rig_free_p) struct http_rig *rig = http_rig_new(NULL);
    struct guest *steady = http_guest(rig), *slow = http_guest(rig);
    char piece[4200];
    memset(piece, 'x', sizeof piece);
    guest_send(steady, "POST /topics/a" HOST "Content-Length: 168000\r\n\r\n");
    guest_send(slow, "POST /topics/a" HOST "Content-Length: 168000\r\n\r\n");
    for (int i = 0; i < 39; i++) {
        guest_send_bytes(steady, piece, sizeof piece);
        if (i < 21)
            guest_send_bytes(slow, piece, 10);
        rig_wait(rig->house, 1000);
    }
    CHECK_ANSWER(slow, 408, "did not come in time");
    CHECK_END(slow);
    CHECK_NOTHING(steady);
    guest_send_bytes(steady, piece, sizeof piece);
    CHECK_ANSWER(steady, 200, "OK");
}

TEST(an_answer_that_does_not_come_is_given_up)
{
    cleanup(http_rig_free_p) struct http_rig *rig = http_rig_new(NULL);
    struct guest *guest = http_guest(rig);
    send_post(guest, "/topics/slow/1?qos=1", "x");
    rig_wait(rig->house, 29 * 1000);
    CHECK_NOTHING(guest);
    rig_wait(rig->house, 2 * 1000);
    CHECK_ANSWER(guest, 503, "Nobody has answered in time");
    CHECK_END(guest);
    http_rig_settle(rig, 0);
    CHECK_END(guest);
}
