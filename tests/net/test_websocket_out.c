/* Frames that go, the codes of our own good-byes, and WebSocket over TLS. */
#include "net/web_rig.h"

#include "net/tls.h"
#include "net/tls_rig.h"
#include "net/websocket_frame.h"

#include <errno.h>
#include <openssl/err.h>
#include <sys/socket.h>

enum { BUFFER = 1024 * 1024 };

static uint8_t buffer[BUFFER];

/* ---- output -------------------------------------------------------------------------------------------------------- */

TEST(what_a_turn_wrote_goes_out_as_one_frame)
{
    cleanup(web_done) struct web web = {0};
    web_up(&web);
    pattern(buffer, 50000, 1);
    cleanup(msg_unref_p) struct msg *msg = msg_new("t", 1, buffer + 10000, 20000);
    for (size_t at = 0; at < 10000; at += 10)
        conn_write(web.recorder.conn, buffer + at, 10);
    conn_write_msg(web.recorder.conn, msg, msg->payload, 20000);
    conn_write(web.recorder.conn, buffer + 30000, 20000);
    CHECK_INT(loop_turn(web.rig->loop, 0), 1);
    web_expect(&web, WEB_BINARY, buffer, 50000);
    conn_write(web.recorder.conn, "again", 5);
    web_expect(&web, WEB_BINARY, "again", 5);
    web_expect_nothing(&web);
}

TEST(each_packet_of_mqtt_has_a_frame_of_its_own)
{
    cleanup(web_done) struct web web = {0};
    web_up(&web);
    web.site->cut = websocket_cut_mqtt;
    pattern(buffer, 1000, 1);
    cleanup(msg_unref_p) struct msg *msg = msg_new("t", 1, buffer, 1000);
    conn_write(web.recorder.conn, "\xd0\x00\x40\x02\x00\x01\x30\xeb\x07\x00\x01t", 12);
    conn_write_msg(web.recorder.conn, msg, msg->payload, 1000);
    conn_write(web.recorder.conn, "\xd0\x00", 2);
    CHECK_INT(loop_turn(web.rig->loop, 0), 1);
    uint8_t publish[6 + 1000] = {0x30, 0xeb, 0x07, 0x00, 0x01, 't'};
    memcpy(publish + 6, buffer, 1000);
    web_expect(&web, WEB_BINARY, "\xd0\x00", 2);
    web_expect(&web, WEB_BINARY, "\x40\x02\x00\x01", 4);
    web_expect(&web, WEB_BINARY, publish, sizeof publish);
    web_expect(&web, WEB_BINARY, "\xd0\x00", 2);
    web_expect_nothing(&web);
}

TEST(more_packets_than_go_out_in_one_write_are_still_one_frame_each)
{
    enum { PACKETS = 1000 };
    cleanup(web_done) struct web web = {0};
    web_up(&web);
    web.site->cut = websocket_cut_mqtt;
    for (int i = 0; i < PACKETS; i++)
        conn_write(web.recorder.conn, (uint8_t[]){0x40, 2, (uint8_t)(i >> 8), (uint8_t)i}, 4);
    for (int i = 0; i < PACKETS; i++)
        web_expect(&web, WEB_BINARY, (uint8_t[]){0x40, 2, (uint8_t)(i >> 8), (uint8_t)i}, 4);
    web_expect_nothing(&web);
}

TEST(a_packet_of_several_frames_is_not_cut_by_what_is_in_it)
{
    enum { LEN = 300000, FRAME = 256 * 1024 };
    cleanup(web_done) struct web web = {0};
    web_up(&web);
    web.site->cut = websocket_cut_mqtt;
    send_buffer(web.raw, BUFFER);
    memset(buffer, 0, LEN); /* would be packets of two bytes */
    memcpy(buffer, "\x30\xdc\xa7\x12", 4);
    conn_write(web.recorder.conn, buffer, LEN);
    conn_write(web.recorder.conn, "\xd0\x00", 2);
    web_expect(&web, WEB_BINARY, buffer, FRAME);
    web_expect(&web, WEB_BINARY, buffer + FRAME, LEN - FRAME);
    web_expect(&web, WEB_BINARY, "\xd0\x00", 2);
}

TEST(a_lot_of_output_goes_out_in_frames_that_a_client_can_hold)
{
    enum { LEN = 900000, FRAME = 256 * 1024 };
    cleanup(web_done) struct web web = {0};
    web_up(&web);
    send_buffer(web.raw, BUFFER);
    pattern(buffer, LEN, 2);
    cleanup(msg_unref_p) struct msg *msg = msg_new("t", 1, buffer, LEN);
    conn_write_msg(web.recorder.conn, msg, msg->payload, LEN);
    for (size_t at = 0; at < LEN; at += FRAME)
        web_expect(&web, WEB_BINARY, buffer + at, size_min(FRAME, LEN - at));
}

TEST(whatever_the_kernel_takes_at_once_the_frames_are_whole)
{
    enum { LEN = 300000 };
    for (int size = 1; size <= 40000; size *= 8) {
        cleanup(web_done) struct web web = {0};
        web_up(&web);
        send_buffer(web.near, size);
        pattern(buffer, LEN, (uint32_t)size);
        cleanup_free uint8_t *payloads = NULL;
        size_t len, written = 0;
        for (size_t piece = 1; written < LEN; piece = piece * 3 % 70001) {
            size_t n = size_min(piece, LEN - written);
            conn_write(web.recorder.conn, buffer + written, n);
            written += n;
            if (piece % 5) /* sometimes more is written before anything could go out */
                net_turn(web.rig);
            if (piece % 7 == 0)
                web_take(&web);
        }
        CHECK(web_payloads(&web, &payloads, &len) > 1);
        CHECK_MEM(payloads, len, buffer, LEN);
        CHECK_INT(web.recorder.closed, 0);
    }
}

TEST(a_pong_waits_for_the_frame_that_is_going_out)
{
    cleanup(web_done) struct web web = {0};
    web_up(&web);
    send_buffer(web.near, 1);
    pattern(buffer, 100000, 3);
    conn_write(web.recorder.conn, buffer, 100000);
    net_turn(web.rig);
    CHECK(conn_pending(web.recorder.conn) > 0);
    web_send(&web, WEB_PING, "first", 5);
    web_send(&web, WEB_PING, "second", 6);
    conn_write(web.recorder.conn, "behind", 6);
    web_expect(&web, WEB_BINARY, buffer, 100000);
    web_expect(&web, WEB_PONG, "second", 6);
    web_expect(&web, WEB_BINARY, "behind", 6);
}

TEST(output_drains_as_without_frames)
{
    cleanup(web_done) struct web web = {0};
    web_up(&web);
    send_buffer(web.near, 1);
    conn_write(web.recorder.conn, buffer, 200000);
    CHECK(conn_is_congested(web.recorder.conn));
    web_take(&web);
    CHECK_INT(web.recorder.drained, 1);
    CHECK_INT((int64_t)conn_pending(web.recorder.conn), 0);
}

/* ---- our good-byes ------------------------------------------------------------------------------------------------- */

TEST(who_closes_says_good_bye_behind_everything_that_was_written)
{
    cleanup(web_done) struct web web = {0};
    web_up(&web);
    conn_write(web.recorder.conn, "goodbye", 7);
    INSIDE(&web.recorder, conn_close(web.recorder.conn));
    web_expect(&web, WEB_BINARY, "goodbye", 7);
    web_expect(&web, WEB_CLOSE, "\x03\xe8", 2);
    web_expect_end(&web);
    CHECK_INT(web.recorder.why, 0);
}

TEST(a_long_good_bye_to_a_slow_reader_is_whole)
{
    cleanup(web_done) struct web web = {0};
    web_up(&web);
    send_buffer(web.near, 1);
    pattern(buffer, 100000, 4);
    conn_write(web.recorder.conn, buffer, 100000);
    conn_close(web.recorder.conn);
    net_turn(web.rig);
    CHECK_INT(web.recorder.closed, 0);
    web_expect(&web, WEB_BINARY, buffer, 100000);
    web_expect(&web, WEB_CLOSE, "\x03\xe8", 2);
    web_expect_end(&web);
    CHECK_INT(web.recorder.why, 0);
}

TEST(who_does_not_read_our_good_bye_is_left_after_a_while)
{
    cleanup(web_done) struct web web = {0};
    web_up(&web);
    send_buffer(web.near, 1);
    conn_write(web.recorder.conn, buffer, 100000);
    conn_close(web.recorder.conn);
    net_wait(web.rig, 4999);
    CHECK_INT(web.recorder.closed, 0);
    net_wait(web.rig, 1);
    CHECK_INT(web.recorder.closed, 1);
    CHECK_INT(web.recorder.why, -ETIMEDOUT);
}

static ssize_t take_badly(struct recorder *recorder, const uint8_t *bytes, size_t len)
{
    (void)bytes, (void)len;
    conn_write(recorder->conn, "no", 2);
    return recorder->why; /* what the test has put there */
}

TEST(a_user_who_cannot_take_it_has_the_peer_told_why)
{
    static const struct {
        int fault;
        const char *code;
    } cases[] = {{-EPROTO, "\x03\xea"}, {-EMSGSIZE, "\x03\xf1"}};
    for (size_t i = 0; i < array_size(cases); i++) {
        cleanup(web_done) struct web web = {.recorder = {.take = take_badly, .why = cases[i].fault}};
        web_up(&web);
        web_send(&web, WEB_BINARY, "hello", 5);
        web_expect(&web, WEB_BINARY, "no", 2);
        web_expect(&web, WEB_CLOSE, cases[i].code, 2);
        web_expect_end(&web);
        CHECK_INT(web.recorder.why, cases[i].fault);
    }
}

TEST(a_packet_that_is_too_big_is_called_that)
{
    cleanup(web_done) struct web web = {.recorder.take = take_packets};
    web_up(&web);
    web_send(&web, WEB_BINARY, "\x00\xff\xff\xff", 4); /* 16 MiB are announced */
    web_expect(&web, WEB_CLOSE, "\x03\xf1", 2);
    web_expect_end(&web);
    CHECK_INT(web.recorder.why, -EMSGSIZE);
}

TEST(an_abort_says_nothing)
{
    cleanup(web_done) struct web web = {0};
    web_up(&web);
    conn_write(web.recorder.conn, "never", 5);
    INSIDE(&web.recorder, conn_abort(web.recorder.conn, -ECANCELED));
    web_expect_end(&web);
    CHECK_INT(web.recorder.why, -ECANCELED);
}

/* ---- over TLS ------------------------------------------------------------------------------------------------------ */

struct scene {
    struct net_rig *rig;
    struct tls_world *world;
    struct websocket_site *site;
    struct recorder recorder;
    struct far far;
};

static void scene_open(struct scene *scene, size_t piece)
{
    int fds[2];
    scene->rig = net_rig_new();
    scene->world = tls_world_new();
    scene->site = websocket_site_new("/mqtt", NULL, true);
    CHECK_INT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
    struct endpoint endpoint = {.fd = fds[0],
                                .tls = tls_accept(scene->world->server_context),
                                .websocket = websocket_accept(scene->site)};
    net_endpoint(scene->rig, &scene->recorder, &endpoint);
    far_init(&scene->far, scene->world->client_context, fds[1], false);
    scene->far.piece = piece;
    log_listen();
}

static void scene_done(struct scene *scene)
{
    recorder_done(&scene->recorder);
    far_done(&scene->far);
    scene->site = websocket_site_unref(scene->site);
    scene->world = tls_world_free(scene->world);
    scene->rig = net_rig_free(scene->rig);
}

/* What has come, decrypted, is this; and is forgotten. */
static void far_expect(struct scene *scene, const void *bytes, size_t len)
{
    far_settle(&scene->far, scene->rig);
    CHECK_MEM(scene->far.bytes, scene->far.len, bytes, len);
    scene->far.len = 0;
}

static void check_exchange(size_t piece)
{
    cleanup(scene_done) struct scene scene = {0};
    scene_open(&scene, piece);
    far_settle(&scene.far, scene.rig);
    CHECK(far_is_up(&scene.far));
    far_write(&scene.far, web_request, strlen(web_request));
    far_expect(&scene, web_answer, strlen(web_answer));
    CHECK_STR(conn_certificate_name(scene.recorder.conn), "pump-7");

    static uint8_t frame[BUFFER];
    pattern(buffer, 200000, 6);
    size_t len = web_frame(frame, WEB_BEGIN, buffer, 100000);
    len += web_frame(frame + len, WEB_PING, "?", 1);
    len += web_frame(frame + len, WEB_LAST, buffer + 100000, 100000);
    far_write(&scene.far, frame, len);
    far_expect(&scene, "\x8a\x01?", 3);
    CHECK_MEM(scene.recorder.bytes, scene.recorder.len, buffer, 200000);

    conn_write(scene.recorder.conn, buffer, 200000);
    memcpy(frame, "\x82\x7f\0\0\0\0\0\x03\x0d\x40", 10);
    memcpy(frame + 10, buffer, 200000);
    far_expect(&scene, frame, 200010);

    conn_close(scene.recorder.conn);
    far_expect(&scene, "\x88\x02\x03\xe8", 4);
    CHECK(scene.far.goodbye);
    fd_close_p(&scene.far.fd);
    net_turn(scene.rig);
    CHECK_INT(scene.recorder.closed, 1);
    CHECK_INT(log_lines.count, 0);
}

TEST(frames_go_both_ways_over_tls)
{
    check_exchange(0);
}

TEST(frames_go_both_ways_over_tls_in_small_pieces)
{
    check_exchange(977);
}

TEST(a_request_in_the_same_segment_as_the_end_of_the_tls_handshake_is_not_left_lying)
{
    cleanup(scene_done) struct scene scene = {0};
    scene_open(&scene, 0);
    net_turn(scene.rig);
    while (!far_is_up(&scene.far)) { /* until the client could write, and has not said so */
        CHECK(!scene.recorder.closed);
        net_turn(scene.rig);
        uint8_t bytes[8192];
        ssize_t n = raw_read(scene.far.fd, bytes, sizeof bytes);
        if (n > 0)
            CHECK_INT(BIO_write(scene.far.in, bytes, (int)n), n);
        ERR_clear_error();
        (void)SSL_do_handshake(scene.far.tls);
        if (!far_is_up(&scene.far))
            (void)far_step(&scene.far);
    }
    uint8_t frame[32];
    far_write(&scene.far, web_request, strlen(web_request));
    far_write(&scene.far, frame, web_frame(frame, WEB_BINARY, "hello", 5));
    far_expect(&scene, web_answer, strlen(web_answer));
    CHECK_MEM(scene.recorder.bytes, scene.recorder.len, "hello", 5);
}

TEST(who_is_refused_over_tls_gets_his_answer_over_tls)
{
    cleanup(scene_done) struct scene scene = {0};
    scene_open(&scene, 0);
    far_settle(&scene.far, scene.rig);
    far_write(&scene.far, "GET / HTTP/1.1\r\nHost: h\r\n\r\n", 27);
    far_settle(&scene.far, scene.rig);
    CHECK_MEM(scene.far.bytes, 13, "HTTP/1.1 404 ", 13);
    CHECK(scene.far.goodbye);
    fd_close_p(&scene.far.fd);
    net_turn(scene.rig);
    CHECK_INT(scene.recorder.closed, 1);
    CHECK_INT(scene.recorder.why, -EPROTO);
}

TEST(the_ten_seconds_are_for_both_handshakes_together)
{
    cleanup(scene_done) struct scene scene = {0};
    scene_open(&scene, 0);
    net_wait(scene.rig, 6000);
    far_settle(&scene.far, scene.rig);
    CHECK(far_is_up(&scene.far));
    net_wait(scene.rig, 3999);
    CHECK_INT(scene.recorder.closed, 0);
    net_wait(scene.rig, 1);
    CHECK_INT(scene.recorder.closed, 1);
    CHECK(strstr(log_lines.last, "WebSocket: no handshake within 10 s"));
}

TEST(who_writes_to_a_reader_who_is_slow_over_tls_repeats_what_was_begun)
{
    cleanup(scene_done) struct scene scene = {0};
    scene_open(&scene, 0);
    far_settle(&scene.far, scene.rig);
    far_write(&scene.far, web_request, strlen(web_request));
    far_expect(&scene, web_answer, strlen(web_answer));
    static uint8_t expected[BUFFER], frame[64];
    pattern(buffer, 600000, 8);
    scene.far.deaf = true;
    conn_write(scene.recorder.conn, buffer, 250000);
    far_settle(&scene.far, scene.rig); /* the kernel takes no more */
    CHECK(conn_pending(scene.recorder.conn) > 0);
    far_write(&scene.far, frame, web_frame(frame, WEB_PING, "?", 1));
    far_settle(&scene.far, scene.rig);
    conn_write(scene.recorder.conn, buffer + 250000, 50000);
    scene.far.deaf = false;
    memcpy(expected, "\x82\x7f\0\0\0\0\0\x03\xd0\x90", 10);
    memcpy(expected + 10, buffer, 250000);
    memcpy(expected + 250010, "\x8a\x01?\x82\x7e\xc3\x50", 7);
    memcpy(expected + 250017, buffer + 250000, 50000);
    far_expect(&scene, expected, 300017);
}
