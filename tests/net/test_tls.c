#include "net/tls_rig.h"

#include "net/tls.h"

#include <errno.h>
#include <openssl/sslerr.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BUFFER = 1024 * 1024, RECORD = 16384 };

static uint8_t buffer[BUFFER];

/* One world with one connection that is up. */
struct scene {
    struct net_rig *rig;
    struct tls_world *world;
    struct recorder recorder;
    struct far far;
};

static void scene_open(struct scene *scene, int version)
{
    scene->rig = net_rig_new();
    scene->world = tls_world_new();
    scene->world->version = version;
    far_pair(&scene->far, scene->rig, scene->world, &scene->recorder);
    log_listen();
}

static void scene_up(struct scene *scene, int version)
{
    scene_open(scene, version);
    far_settle(&scene->far, scene->rig);
    CHECK(far_is_up(&scene->far));
    CHECK_INT(scene->recorder.closed, 0);
    scene->far.records = 0;
}

static void scene_done(struct scene *scene)
{
    recorder_done(&scene->recorder);
    far_done(&scene->far);
    scene->world = tls_world_free(scene->world);
    scene->rig = net_rig_free(scene->rig);
}

/* ---- bytes --------------------------------------------------------------------------------------------------------- */

static void check_exchange(int version)
{
    cleanup(scene_done) struct scene scene = {0};
    scene_up(&scene, version);
    CHECK_STR(SSL_get_version(scene.far.tls), version == TLS1_2_VERSION ? "TLSv1.2" : "TLSv1.3");
    pattern(buffer, 300000, 1);
    far_write(&scene.far, buffer, 300000);
    far_settle(&scene.far, scene.rig);
    CHECK_MEM(scene.recorder.bytes, scene.recorder.len, buffer, 300000);
    conn_write(scene.recorder.conn, buffer, 300000);
    far_settle(&scene.far, scene.rig);
    CHECK_MEM(scene.far.bytes, scene.far.len, buffer, 300000);
    CHECK_STR(conn_certificate_name(scene.recorder.conn), "pump-7");
    CHECK_INT(scene.recorder.drained, 1);
    CHECK_INT(log_lines.count, 0);
}

TEST(bytes_go_both_ways_over_tls_1_3)
{
    check_exchange(0);
}

TEST(bytes_go_both_ways_over_tls_1_2)
{
    check_exchange(TLS1_2_VERSION);
}

TEST(a_handshake_may_come_byte_by_byte)
{
    cleanup(scene_done) struct scene scene = {0};
    scene_open(&scene, 0);
    scene.far.piece = 1;
    far_settle(&scene.far, scene.rig);
    CHECK(far_is_up(&scene.far));
    far_write(&scene.far, "hello", 5);
    far_settle(&scene.far, scene.rig);
    CHECK_MEM(scene.recorder.bytes, scene.recorder.len, "hello", 5);
}

TEST(packets_arrive_whatever_the_size_of_the_pieces_the_records_come_in)
{
    static const size_t pieces[] = {37, 1000, 16384, 16411, 70000, 0};
    for (size_t i = 0; i < array_size(pieces); i++) {
        cleanup(scene_done) struct scene scene = {.recorder.take = take_packets};
        scene_up(&scene, 0);
        scene.far.piece = pieces[i];
        size_t total = 0;
        static const size_t sizes[] = {0, 5, 20000, 1, 70000, 16380, 100000, 7};
        for (size_t k = 0; k < array_size(sizes); k++)
            total += packet_put(buffer + total, sizes[k]);
        far_write(&scene.far, buffer, total);
        far_settle(&scene.far, scene.rig);
        CHECK_MEM(scene.recorder.bytes, scene.recorder.len, buffer, total);
    }
}

TEST(what_a_turn_wrote_goes_into_records_as_large_as_possible)
{
    cleanup(scene_done) struct scene scene = {0};
    scene_up(&scene, 0);
    for (int i = 0; i < 1000; i++)
        conn_write(scene.recorder.conn, "0123456789", 10);
    far_settle(&scene.far, scene.rig);
    CHECK_INT((int64_t)scene.far.len, 10000);
    CHECK_INT(scene.far.records, 1);

    pattern(buffer, 1500, 2);
    cleanup(msg_unref_p) struct msg *msg = msg_new("t", 1, buffer, 1500);
    for (int i = 0; i < 60; i++) {
        conn_write(scene.recorder.conn, "head", 4);
        conn_write_msg(scene.recorder.conn, msg, msg->payload, msg->payload_len);
    }
    scene.far.records = 0;
    far_settle(&scene.far, scene.rig);
    size_t total = (size_t)60 * 1504;
    CHECK_INT((int64_t)scene.far.len, (int64_t)(10000 + total));
    for (size_t i = 0; i < 60; i++) {
        CHECK_MEM(scene.far.bytes + 10000 + i * 1504, 4, "head", 4);
        CHECK_MEM(scene.far.bytes + 10000 + i * 1504 + 4, 1500, buffer, 1500);
    }
    CHECK(scene.far.records <= total / RECORD + 2); /* two gathered writes, each with a rest */
    CHECK(scene.far.record_max > RECORD);
}

TEST(any_mix_of_writing_and_reading_keeps_the_order_of_bytes_over_tls)
{
    cleanup(scene_done) struct scene scene = {0};
    scene_up(&scene, 0);
    pattern(buffer, BUFFER, 5);
    cleanup(msg_unref_p) struct msg *msg = msg_new("t", 1, buffer, BUFFER);
    uint32_t random = 7;
    size_t sent = 0;
    scene.far.piece = 3000;
    while (sent < BUFFER) {
        random = random * 1664525 + 1013904223;
        size_t len = size_min((random >> 8) % 30000 >> (random >> 24) % 12, BUFFER - sent);
        if (random >> 31)
            conn_write(scene.recorder.conn, msg->payload + sent, len);
        else
            conn_write_msg(scene.recorder.conn, msg, msg->payload + sent, len);
        sent += len;
        if (random % 3 == 0)
            net_turn(scene.rig);
        if (random % 5 == 0)
            (void)far_step(
                &scene.far); /* reads less than is sent: writes are cut short and repeated with more */
    }
    scene.far.piece = 0;
    far_settle(&scene.far, scene.rig);
    CHECK_MEM(scene.far.bytes, scene.far.len, buffer, BUFFER);
    CHECK_INT(scene.recorder.closed, 0);
}

/* ---- input that epoll does not know of ------------------------------------------------------------------------------ */

TEST(what_comes_with_the_last_message_of_the_handshake_is_given_at_once)
{
    for (int paused = 0; paused < 2; paused++) {
        cleanup(scene_done) struct scene scene = {0};
        scene_open(&scene, 0);
        if (paused)
            conn_pause(scene.recorder.conn);
        while (!far_is_up(&scene.far)) { /* its last message waits in the memory */
            net_turn(scene.rig);
            scene.far.piece = 1;
            (void)far_step(&scene.far);
        }
        scene.far.piece = 0;
        far_write(&scene.far, "hello", 5);
        far_settle(&scene.far, scene.rig);
        if (paused) {
            CHECK_INT(scene.recorder.received, 0);
            conn_resume(scene.recorder.conn);
            net_turn(scene.rig);
        }
        CHECK_MEM(scene.recorder.bytes, scene.recorder.len, "hello", 5);
    }
}

static ssize_t take_some_and_pause(struct recorder *recorder, const uint8_t *bytes, size_t len)
{
    (void)bytes;
    conn_pause(recorder->conn);
    return (ssize_t)size_min(len, 10000);
}

TEST(resuming_finds_what_tls_has_read_ahead)
{
    cleanup(scene_done) struct scene scene = {.recorder.take = take_some_and_pause};
    scene_up(&scene, 0);
    pattern(buffer, 150000, 9);
    far_write(&scene.far, buffer, 150000);
    far_settle(&scene.far, scene.rig);
    for (int i = 0; scene.recorder.len < 150000; i++) {
        CHECK(i < 100);
        conn_resume(scene.recorder.conn);
        net_turn(scene.rig);
    }
    CHECK_MEM(scene.recorder.bytes, scene.recorder.len, buffer, 150000);
}

TEST(what_came_before_a_broken_record_is_given_first)
{
    cleanup(scene_done) struct scene scene = {0};
    scene_up(&scene, 0);
    pattern(buffer, 3000, 9);
    far_write(&scene.far, buffer, 3000);
    static const uint8_t broken[] = {23, 3,  3,  0,  20, 1,  2,  3,  4,  5,  6,  7, 8,
                                     9,  10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20};
    CHECK_INT(BIO_write(scene.far.out, broken, sizeof broken), sizeof broken);
    far_settle(&scene.far, scene.rig);
    CHECK_MEM(scene.recorder.bytes, scene.recorder.len, buffer, 3000);
    CHECK_INT(scene.recorder.closed, 1);
    CHECK_INT(scene.recorder.why, -EPROTO);
    CHECK_INT(log_lines.count, 1);
}

/* ---- one direction waits for the other ------------------------------------------------------------------------------- */

TEST(a_handshake_waits_for_a_socket_that_takes_nothing_without_turning)
{
    cleanup(scene_done) struct scene scene = {0};
    scene.rig = net_rig_new();
    scene.world = tls_world_new();
    int fds[2];
    CHECK_INT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
    far_init(&scene.far, scene.world->client_context, fds[1], false);
    far_clog(&scene.far, fds[0]);
    net_conn(scene.rig, &scene.recorder, fds[0], tls_accept(scene.world->server_context));
    scene.far.deaf = true;
    far_settle(&scene.far,
               scene.rig); /* the loop comes to rest, though there is input and no way to answer */
    CHECK(!far_is_up(&scene.far));
    scene.far.deaf = false;
    far_settle(&scene.far, scene.rig);
    CHECK(far_is_up(&scene.far));
}

TEST(a_request_for_new_keys_is_answered_amid_a_backlog)
{
    cleanup(scene_done) struct scene scene = {0};
    scene_up(&scene, 0);
    pattern(buffer, 900000, 3);
    for (size_t round = 1; round <= 3; round++) {
        conn_write(scene.recorder.conn, buffer, 900000);
        net_turn(scene.rig);
        CHECK(conn_pending(scene.recorder.conn) > 0);
        scene.far.deaf = true;
        CHECK_INT(SSL_key_update(scene.far.tls, SSL_KEY_UPDATE_REQUESTED), 1);
        far_write(&scene.far, "new keys", 8);
        far_settle(&scene.far, scene.rig);                            /* comes to rest */
        CHECK_INT((int64_t)scene.recorder.len, (int64_t)(8 * round)); /* read while writing waits */
        scene.far.deaf = false;
        far_settle(&scene.far, scene.rig);
        CHECK_MEM(scene.far.bytes + (round - 1) * 900000, scene.far.len - (round - 1) * 900000, buffer,
                  900000);
    }
    CHECK_INT(scene.recorder.closed, 0);
}

/* A connection that connects with TLS 1.2 to a far side that accepts, because only a server of TLS 1.2 can make a client
 * shake hands again in the middle of reading and writing. */
static void scene_connecting(struct scene *scene, int *clog)
{
    scene->rig = net_rig_new();
    scene->world = tls_world_new();
    int fds[2];
    CHECK_INT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    CHECK(SSL_CTX_use_certificate(context, scene->world->server.certificate));
    CHECK(SSL_CTX_use_PrivateKey(context, scene->world->server.key));
    far_init(&scene->far, context, fds[1], true);
    SSL_CTX_free(context);
    SSL *tls = SSL_new(scene->world->client_context);
    SSL_set_connect_state(tls);
    CHECK(SSL_set_max_proto_version(tls, TLS1_2_VERSION));
    *clog = dup(fds[0]);
    net_conn(scene->rig, &scene->recorder, fds[0], tls);
    far_settle(&scene->far, scene->rig);
    CHECK(far_is_up(&scene->far));
}

TEST(reading_that_has_to_write_waits_for_the_socket_without_turning)
{
    cleanup(scene_done) struct scene scene = {0};
    cleanup(fd_close_p) int clog = -1;
    scene_connecting(&scene, &clog);
    far_clog(&scene.far, clog);
    scene.far.deaf = true;
    CHECK(SSL_renegotiate(scene.far.tls));
    CHECK_INT(SSL_do_handshake(scene.far.tls), 1); /* the request */
    far_settle(&scene.far, scene.rig);
    CHECK(SSL_renegotiate_pending(scene.far.tls));
    scene.far.deaf = false;
    far_settle(&scene.far, scene.rig);
    CHECK(!SSL_renegotiate_pending(scene.far.tls));
    far_write(&scene.far, "after", 5);
    conn_write(scene.recorder.conn, "afterwards", 10);
    far_settle(&scene.far, scene.rig);
    CHECK_MEM(scene.recorder.bytes, scene.recorder.len, "after", 5);
    CHECK_MEM(scene.far.bytes, scene.far.len, "afterwards", 10);
}

TEST(writing_that_has_to_read_first_goes_on_when_it_has_read)
{
    for (int paused = 0; paused < 2; paused++) {
        cleanup(scene_done) struct scene scene = {0};
        cleanup(fd_close_p) int clog = -1;
        scene_connecting(&scene, &clog);
        scene.far.deaf = true;
        CHECK(SSL_renegotiate(scene.far.tls));
        CHECK_INT(SSL_do_handshake(scene.far.tls), 1);
        far_settle(&scene.far,
                   scene.rig); /* the connection has begun to shake hands and waits for the answer */
        if (paused)
            conn_pause(scene.recorder.conn);
        conn_write(scene.recorder.conn, "in the middle", 13);
        net_turn(scene.rig); /* comes to rest */
        CHECK_INT((int64_t)conn_pending(scene.recorder.conn), 13);
        scene.far.deaf = false;
        far_settle(&scene.far, scene.rig);
        CHECK_MEM(scene.far.bytes, scene.far.len, "in the middle", 13);
        CHECK(!SSL_renegotiate_pending(scene.far.tls));
    }
}

TEST(a_client_that_wants_to_shake_hands_again_is_refused)
{
    cleanup(scene_done) struct scene scene = {0};
    scene_up(&scene, TLS1_2_VERSION);
    CHECK(SSL_renegotiate(scene.far.tls));
    far_settle(&scene.far, scene.rig);
    CHECK_INT(scene.far.reason, SSL_R_NO_RENEGOTIATION); /* he reads our refusal, and leaves */
    CHECK_INT(scene.recorder.closed, 1);
    CHECK_INT(scene.recorder.why, -EPROTO);
}

/* ---- the end ------------------------------------------------------------------------------------------------------- */

TEST(closing_says_goodbye_behind_the_last_words)
{
    cleanup(scene_done) struct scene scene = {0};
    scene_up(&scene, 0);
    pattern(buffer, 600000, 3);
    conn_write(scene.recorder.conn, buffer, 600000);
    conn_close(scene.recorder.conn);
    far_settle(&scene.far, scene.rig);
    CHECK_MEM(scene.far.bytes, scene.far.len, buffer, 600000);
        CHECK(scene.far.goodbye);
    net_wait(scene.rig, 1000);
    CHECK_INT(scene.recorder.closed, 1);
    CHECK_INT(scene.recorder.why, 0);
}



TEST(a_goodbye_is_an_end_and_so_is_its_absence)
{
    for (int polite = 0; polite < 2; polite++) {
        cleanup(scene_done) struct scene scene = {0};
        scene_up(&scene, 0);
        far_write(&scene.far, "last words", 10);
        if (polite)
            (void)SSL_shutdown(scene.far.tls);
        while (far_step(&scene.far))
            ;
        (void)shutdown(scene.far.fd, SHUT_WR);
        net_turn(scene.rig);
        CHECK_MEM(scene.recorder.bytes, scene.recorder.len, "last words", 10);
        CHECK_INT(scene.recorder.closed, 1);
        CHECK_INT(scene.recorder.why, 0);
        CHECK_INT(log_lines.count, 0);
    }
}

TEST(a_peer_that_goes_amid_a_backlog_is_a_lost_connection_without_a_signal)
{
    cleanup(scene_done) struct scene scene = {0};
    scene_up(&scene, 0);
    conn_pause(scene.recorder.conn);
    conn_write(scene.recorder.conn, buffer, 900000);
    net_turn(scene.rig);
    fd_close_p(&scene.far.fd);
    net_turn(scene.rig);
    CHECK_INT(scene.recorder.closed, 1);
    CHECK(scene.recorder.why == -EPIPE || scene.recorder.why == -ECONNRESET);
}

TEST(a_peer_that_goes_during_a_pause_keeps_nobody_busy_over_tls)
{
    cleanup(scene_done) struct scene scene = {0};
    scene_up(&scene, 0);
    conn_pause(scene.recorder.conn);
    far_write(&scene.far, "last words", 10);
    while (far_step(&scene.far))
        ;
    fd_close_p(&scene.far.fd);
    net_turn(scene.rig);
    CHECK_INT(scene.recorder.closed, 0);
    conn_resume(scene.recorder.conn);
    net_turn(scene.rig);
    CHECK_MEM(scene.recorder.bytes, scene.recorder.len, "last words", 10);
    CHECK_INT(scene.recorder.closed, 1);
}
