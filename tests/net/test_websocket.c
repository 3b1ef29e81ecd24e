/* The handshake, and how it ends. */
#include "net/door_rig.h"
#include "net/web_rig.h"

#include <errno.h>
#include <sys/socket.h>

static void check_log(const char *said)
{
    if (!strstr(log_lines.last, said))
        FAIL("the log says \"%s\", expected \"%s\"", log_lines.last, said);
}

/* ---- the handshake ------------------------------------------------------------------------------------------------- */

TEST(a_handshake_may_come_byte_by_byte)
{
    cleanup(web_done) struct web web = {0};
    web_open(&web);
    for (const char *at = web_request; *at; at++) {
        web_expect_nothing(&web);
        web_send_raw(&web, at, 1);
    }
    web_expect_raw(&web, web_answer, strlen(web_answer));
    web_send(&web, WEB_BINARY, "hello", 5);
    CHECK_MEM(web.recorder.bytes, web.recorder.len, "hello", 5);
    CHECK_INT(log_lines.count, 0);
}

TEST(frames_may_come_right_behind_the_request)
{
    uint8_t bytes[1024];
    size_t len = strlen(web_request);
    memcpy(bytes, web_request, len);
    len += web_frame(bytes + len, WEB_BEGIN, "hel", 3);
    len += web_frame(bytes + len, WEB_PING, "?", 1);
    len += web_frame(bytes + len, WEB_LAST, "lo", 2);
    for (size_t split = 0; split <= len; split++) {
        cleanup(web_done) struct web web = {0};
        web_open(&web);
        web_send_raw(&web, bytes, split);
        web_send_raw(&web, bytes + split, len - split);
        CHECK_MEM(web.recorder.bytes, web.recorder.len, "hello", 5);
        web_expect_raw(&web, web_answer, strlen(web_answer));
        web_expect(&web, WEB_PONG, "?", 1);
    }
}

TEST(what_came_behind_the_request_waits_while_the_user_pauses)
{
    uint8_t bytes[1024];
    size_t len = strlen(web_request);
    memcpy(bytes, web_request, len);
    len += web_frame(bytes + len, WEB_BINARY, "hello", 5);
    cleanup(web_done) struct web web = {0};
    web_open(&web);
    conn_pause(web.recorder.conn);
    web_send_raw(&web, bytes, len);
    CHECK_INT((int64_t)web.recorder.len, 0);
    conn_resume(web.recorder.conn);
    net_turn(web.rig);
    CHECK_MEM(web.recorder.bytes, web.recorder.len, "hello", 5);
}

TEST(what_the_user_wrote_before_the_handshake_goes_out_behind_its_answer)
{
    cleanup(web_done) struct web web = {0};
    web_open(&web);
    conn_write(web.recorder.conn, "early", 5);
    web_expect_nothing(&web);
    web_send_raw(&web, web_request, strlen(web_request));
    web_expect_raw(&web, web_answer, strlen(web_answer));
    web_expect(&web, WEB_BINARY, "early", 5);
}

TEST(who_is_refused_gets_an_answer_and_nothing_else)
{
    static const struct {
        const char *request, *status, *why;
    } cases[] = {
        {"GET / HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 404 Not Found\r\n", "nothing is at this path"},
        {"GET /mqtt HTTP/1.1\r\nHost: h\r\n\r\n\x82\x80", "HTTP/1.1 426 Upgrade Required\r\n",
         "expected a WebSocket handshake"},
        {"\x10\x0c\x00\x04MQTT", "HTTP/1.1 400 Bad Request\r\n", "expected a line METHOD TARGET HTTP/1.1"},
    };
    for (size_t i = 0; i < array_size(cases); i++) {
        cleanup(web_done) struct web web = {0};
        web_open(&web);
        conn_write(web.recorder.conn, "secret", 6);
        web_send_raw(&web, cases[i].request, strlen(cases[i].request));
        web_take(&web);
        CHECK(web.len > strlen(cases[i].status));
        CHECK_MEM(web.bytes, strlen(cases[i].status), cases[i].status, strlen(cases[i].status));
        cleanup_free char *end = str_printf("\r\n\r\n%s\n", cases[i].why);
        CHECK_MEM(web.bytes + web.len - strlen(end), strlen(end), end, strlen(end));
        web.len = 0;
        web_expect_end(&web);
        CHECK_INT(web.recorder.why, -EPROTO);
        CHECK_INT(web.recorder.received, 0);
        check_log(cases[i].why);
    }
}

TEST(a_head_that_is_too_long_is_refused_however_it_comes)
{
    for (size_t piece = 1; piece <= 16384; piece *= 128) {
        cleanup(web_done) struct web web = {0};
        web_open(&web);
        static char filler[16384];
        memset(filler, 'x', sizeof filler);
        web_send_raw(&web, "GET /mqtt HTTP/1.1\r\nX: ", 23);
        for (size_t at = 23; at < HTTP_HEAD_MAX; at += piece)
            web_send_raw(&web, filler, size_min(piece, HTTP_HEAD_MAX - at));
        web_take(&web);
        CHECK_MEM(web.bytes, size_min(web.len, 13), "HTTP/1.1 431 ", 13);
        web.len = 0;
        web_expect_end(&web);
    }
}

/* ---- how it ends --------------------------------------------------------------------------------------------------- */

TEST(nobody_has_more_than_ten_seconds_for_the_handshake_however_busy_he_looks)
{
    cleanup(web_done) struct web silent = {0}, slow = {0};
    web_open(&silent);
    net_wait(silent.rig, 9999);
    CHECK_INT(silent.recorder.closed, 0);
    net_wait(silent.rig, 1);
    CHECK_INT(silent.recorder.closed, 1);
    CHECK_INT(silent.recorder.why, -ETIMEDOUT);
    check_log("WebSocket: no handshake within 10 s");

    web_open(&slow);
    for (int i = 0; i < 10; i++) {
        CHECK_INT(slow.recorder.closed, 0);
        web_send_raw(&slow, web_request + i, 1);
        net_wait(slow.rig, 1000);
    }
    CHECK_INT(slow.recorder.closed, 1);
    CHECK_INT(slow.recorder.why, -ETIMEDOUT);
}

TEST(after_the_handshake_there_is_no_limit)
{
    cleanup(web_done) struct web web = {0};
    web_up(&web);
    net_wait(web.rig, 100000);
    CHECK_INT(web.recorder.closed, 0);
    web_send(&web, WEB_BINARY, "hello", 5);
    CHECK_MEM(web.recorder.bytes, web.recorder.len, "hello", 5);
}

TEST(who_leaves_during_the_handshake_leaves_nothing)
{
    cleanup(web_done) struct web web = {0};
    web_open(&web);
    web_send_raw(&web, web_request, 20);
    fd_close_p(&web.raw);
    net_turn(web.rig);
    CHECK_INT(web.recorder.closed, 1);
    CHECK_INT(web.recorder.why, -ECONNRESET);
}

TEST(a_user_may_close_before_the_handshake_and_nothing_is_said)
{
    cleanup(web_done) struct web web = {0};
    web_open(&web);
    web_send_raw(&web, web_request, 20);
    conn_write(web.recorder.conn, "goodbye", 7);
    INSIDE(&web.recorder, conn_close(web.recorder.conn));
    web_expect_end(&web);
    CHECK_INT(web.recorder.why, 0);
}

/* ---- listeners ----------------------------------------------------------------------------------------------------- */

/* The first guest's endpoint, which is then the test's. */
static struct endpoint guest_of(struct door *door)
{
    net_turn_until(door->rig, &door->count);
    door->count = 0;
    return (struct endpoint){.fd = door->fds[0], .tls = door->tls[0], .websocket = door->websocket[0]};
}

TEST(a_listener_has_its_path_in_its_name_and_lets_in_who_asks_for_it)
{
    cleanup(door_done) struct door door = {0};
    door_init(&door);
    door_must_open(&door, "ws://127.0.0.1:0/here?access=open");
    cleanup_free char *name = str_printf("ws://127.0.0.1:%u/here", port_of(&door));
    CHECK_STR(listener_name(door.listener), name);

    cleanup(fd_close_p) int guest = knock_tcp(&door);
    struct endpoint endpoint = guest_of(&door);
    cleanup(recorder_done) struct recorder recorder = {0};
    net_endpoint(door.rig, &recorder, &endpoint);
    cleanup_free char *request = str_printf("GET /here%s", web_request + strlen("GET /mqtt"));
    char answer[512];
    uint8_t frame[32];
    raw_write(guest, request, strlen(request));
    raw_write(guest, frame, web_frame(frame, WEB_BINARY, "hello", 5));
    net_turn_until(door.rig, &recorder.received);
    CHECK_MEM(recorder.bytes, recorder.len, "hello", 5);
    net_turn(door.rig);
    CHECK_INT(recv(guest, answer, sizeof answer, 0), (int64_t)strlen(web_answer));
    CHECK_MEM(answer, strlen(web_answer), web_answer, strlen(web_answer));
}

TEST(who_was_let_in_is_told_that_we_go_away_when_the_listener_is_closed)
{
    cleanup(door_done) struct door door = {0};
    door_init(&door);
    door_must_open(&door, "ws://127.0.0.1:0?access=open");
    cleanup(fd_close_p) int guest = knock_tcp(&door);
    struct endpoint endpoint = guest_of(&door);
    cleanup(recorder_done) struct recorder recorder = {0};
    net_endpoint(door.rig, &recorder, &endpoint);
    raw_write(guest, web_request, strlen(web_request));
    char answer[512];
    uint8_t frame[32];
    raw_write(guest, frame, web_frame(frame, WEB_BINARY, "hello", 5));
    net_turn_until(door.rig, &recorder.received);
    net_turn(door.rig);
    door.listener = listener_close(door.listener);
    conn_close(recorder.conn);
    net_turn(door.rig);
    CHECK_INT(recv(guest, answer, strlen(web_answer) + 4, MSG_WAITALL), (int64_t)strlen(web_answer) + 4);
    CHECK_MEM(answer + strlen(web_answer), 4, "\x88\x02\x03\xe9", 4);
}

TEST(somebody_who_is_not_wanted_is_given_back_with_all_that_belongs_to_him)
{
    cleanup(door_done) struct door door = {0};
    door_init(&door);
    door_must_open(&door, "ws://127.0.0.1:0?access=open");
    cleanup(fd_close_p) int guest = knock_tcp(&door);
    struct endpoint endpoint = guest_of(&door);
    endpoint_close(&endpoint);
    char byte;
    CHECK_INT(recv(guest, &byte, 1, 0), 0);
}
