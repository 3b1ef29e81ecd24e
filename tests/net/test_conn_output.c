#include "net/net_rig.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BUFFER = 1024 * 1024 };

static uint8_t buffer[BUFFER], got[BUFFER];

/* Everything that is there, turning in between. */
static size_t read_all(struct net_rig *rig, int raw, size_t at_once)
{
    size_t len = 0;
    for (ssize_t n; (n = raw_read(raw, got + len, size_min(at_once, sizeof got - len))) > 0; net_turn(rig))
        len += (size_t)n;
    return len;
}

static struct msg *message(size_t len, uint32_t seed)
{
    pattern(buffer, len, seed);
    struct msg *msg = msg_new("t", 1, buffer, len);
    CHECK(msg);
    return msg;
}

/* A connection whose writes are seen one by one: every sendmsg() is a packet of its own. */
static int packet_pair(struct net_rig *rig, struct recorder *recorder)
{
    int fds[2];
    CHECK_INT(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
    net_conn(rig, recorder, fds[0], NULL);
    return fds[1];
}

/* ---- what goes out ------------------------------------------------------------------------------------------------- */

TEST(what_a_turn_wrote_goes_out_with_one_write)
{
    cleanup(net_rig_free_p) struct net_rig *rig = net_rig_new();
    cleanup(recorder_done) struct recorder recorder = {0};
    cleanup(fd_close_p) int raw = packet_pair(rig, &recorder);
    cleanup(msg_unref_p) struct msg *msg = message(3000, 1);
    conn_write(recorder.conn, "head", 4);
    conn_write_msg(recorder.conn, msg, msg->payload, msg->payload_len);
    conn_write(recorder.conn, "next", 4);
    CHECK_INT(raw_read(raw, got, sizeof got), -EAGAIN); /* not before its phase */
    CHECK_INT((int64_t)conn_pending(recorder.conn), 3008);
    net_turn(rig);
    CHECK_INT((int64_t)conn_pending(recorder.conn), 0);
    CHECK_INT(raw_read(raw, got, sizeof got), 3008);
    CHECK_MEM(got, 4, "head", 4);
    CHECK_MEM(got + 4, 3000, buffer, 3000);
    CHECK_MEM(got + 3004, 4, "next", 4);
}

TEST(a_large_payload_goes_out_by_reference_and_is_let_go_when_it_is_out)
{
    cleanup(net_rig_free_p) struct net_rig *rig = net_rig_new();
    cleanup(recorder_done) struct recorder recorder = {0};
    cleanup(fd_close_p) int raw = net_pair(rig, &recorder);
    cleanup(msg_unref_p) struct msg *msg = message(100000, 2);
    conn_write_msg(recorder.conn, msg, msg->payload, msg->payload_len);
    CHECK_INT(msg->refs, 2);
    net_turn(rig);
    CHECK_INT((int64_t)read_all(rig, raw, 4096), 100000);
    CHECK_MEM(got, 100000, msg->payload, 100000);
    CHECK_INT(msg->refs, 1);
}

TEST(a_small_payload_is_copied)
{
    cleanup(net_rig_free_p) struct net_rig *rig = net_rig_new();
    cleanup(recorder_done) struct recorder recorder = {0};
    cleanup(fd_close_p) int raw = net_pair(rig, &recorder);
    struct msg *msg = message(100, 3);
    conn_write_msg(recorder.conn, msg, msg->payload, msg->payload_len);
    CHECK_INT(msg->refs, 1);
    (void)msg_unref(msg);
    net_turn(rig);
    CHECK_INT((int64_t)read_all(rig, raw, 4096), 100);
    CHECK_MEM(got, 100, buffer, 100);
}

TEST(messages_that_were_not_sent_are_let_go_with_the_connection)
{
    cleanup(net_rig_free_p) struct net_rig *rig = net_rig_new();
    cleanup(msg_unref_p) struct msg *msg = message(5000, 3);
    struct recorder recorder = {0};
    cleanup(fd_close_p) int raw = net_pair(rig, &recorder);
    conn_write_msg(recorder.conn, msg, msg->payload, msg->payload_len);
    recorder_done(&recorder);
    CHECK_INT(msg->refs, 1);
    CHECK_INT(raw_read(raw, got, sizeof got), 0);
}

TEST(many_pieces_arrive_complete_and_in_order)
{
    cleanup(net_rig_free_p) struct net_rig *rig = net_rig_new();
    cleanup(recorder_done) struct recorder recorder = {0};
    cleanup(fd_close_p) int raw = net_pair(rig, &recorder);
    cleanup(msg_unref_p) struct msg *msg = message(1500, 4);
    enum { MANY = 500 };
    for (uint32_t i = 0; i < MANY; i++) {
        conn_write(recorder.conn, &i, sizeof i);
        conn_write_msg(recorder.conn, msg, msg->payload, msg->payload_len);
    }
    net_turn(rig);
    CHECK_INT((int64_t)read_all(rig, raw, 10000), MANY * 1504);
    for (uint32_t i = 0; i < MANY; i++) {
        CHECK_MEM(got + i * 1504, 4, &i, 4);
        CHECK_MEM(got + i * 1504 + 4, 1500, msg->payload, 1500);
    }
    CHECK_INT(recorder.closed, 0);
}

TEST(any_mix_of_writing_and_reading_keeps_the_order_of_bytes)
{
    cleanup(net_rig_free_p) struct net_rig *rig = net_rig_new();
    cleanup(recorder_done) struct recorder recorder = {0};
    cleanup(fd_close_p) int raw = net_pair(rig, &recorder);
    cleanup(msg_unref_p) struct msg *msg = message(BUFFER, 5);
    uint32_t random = 99;
    size_t sent = 0, read = 0;
    while (sent < BUFFER || read < BUFFER) {
        random = random * 1664525 + 1013904223;
        size_t len = size_min((random >> 8) % 30000 >> (random >> 24) % 12, BUFFER - sent);
        const uint8_t *bytes = msg->payload + sent;
        switch (random >> 30) {
        case 0: conn_write(recorder.conn, bytes, len); break;
        case 1: conn_write_msg(recorder.conn, msg, bytes, len); break;
        case 2: {
            uint8_t *room = conn_room(recorder.conn, len + 100); /* more than is needed */
            memcpy(room, bytes, len);
            conn_wrote(recorder.conn, len);
            break;
        }
        default: {
            len = 0;
            net_turn(rig);
            ssize_t n = raw_read(raw, got + read, size_min((random >> 4) % 50000 + 1, sizeof got - read));
            read += n > 0 ? (size_t)n : 0;
        }
        }
        sent += len;
    }
    CHECK_MEM(got, read, msg->payload, BUFFER);
    CHECK_INT((int64_t)conn_pending(recorder.conn), 0);
    CHECK_INT(recorder.closed, 0);
}

TEST(room_that_is_not_used_is_no_output)
{
    cleanup(net_rig_free_p) struct net_rig *rig = net_rig_new();
    cleanup(recorder_done) struct recorder recorder = {0};
    cleanup(fd_close_p) int raw = net_pair(rig, &recorder);
    CHECK(conn_room(recorder.conn, 100000));
    conn_wrote(recorder.conn, 0);
    CHECK(conn_room(recorder.conn, 10));
    net_turn(rig);
    CHECK_INT(raw_read(raw, got, sizeof got), -EAGAIN);
    uint8_t *room = conn_room(recorder.conn, 500000);
    pattern(room, 3, 7);
    conn_wrote(recorder.conn, 3);
    net_turn(rig);
    pattern(buffer, 3, 7);
    CHECK_INT(raw_read(raw, got, sizeof got), 3);
    CHECK_MEM(got, 3, buffer, 3);
}

/* ---- back-pressure ------------------------------------------------------------------------------------------------- */

TEST(a_peer_that_does_not_read_makes_a_backlog_and_no_turns)
{
    cleanup(net_rig_free_p) struct net_rig *rig = net_rig_new();
    cleanup(recorder_done) struct recorder recorder = {0};
    cleanup(fd_close_p) int raw = net_pair(rig, &recorder);
    cleanup(msg_unref_p) struct msg *msg = message(BUFFER, 6);
    conn_write_msg(recorder.conn, msg, msg->payload, msg->payload_len);
    CHECK(conn_is_congested(recorder.conn));
    net_turn(rig); /* comes to rest */
    CHECK(conn_is_congested(recorder.conn));
    CHECK_INT(recorder.drained, 0);

    CHECK_INT((int64_t)read_all(rig, raw, 65536), BUFFER);
    CHECK_MEM(got, BUFFER, msg->payload, BUFFER);
    CHECK(!conn_is_congested(recorder.conn));
    CHECK_INT(recorder.drained, 1);
}

TEST(the_user_hears_of_draining_at_half_of_the_mark_and_only_after_having_been_above_it)
{
    cleanup(net_rig_free_p) struct net_rig *rig = net_rig_new();
    cleanup(recorder_done) struct recorder recorder = {0};
    int fds[2];
    CHECK_INT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
    cleanup(fd_close_p) int raw = fds[1];
    send_buffer(fds[0], 4096); /* what is pending shrinks in small steps */
    net_conn(rig, &recorder, fds[0], NULL);
    conn_write(recorder.conn, buffer, net_limits.high_water);
    CHECK(!conn_is_congested(recorder.conn));
    net_turn(rig);
    CHECK_INT((int64_t)read_all(rig, raw, 65536), (int64_t)net_limits.high_water);
    CHECK_INT(recorder.drained, 0);

    for (int i = 0; i < 200; i++)
        conn_write(recorder.conn, buffer, 1000);
    net_turn(rig);
    while (!recorder.drained) {
        CHECK(conn_pending(recorder.conn) > net_limits.high_water / 2);
        CHECK(raw_read(raw, got, 4096) > 0);
        net_turn(rig);
    }
    CHECK(conn_pending(recorder.conn) <= net_limits.high_water / 2);
    CHECK(read_all(rig, raw, 4096) > 0);
    CHECK_INT(recorder.drained, 1);
}

static void write_again(struct recorder *recorder)
{
    if (recorder->drained < 5)
        conn_write(recorder->conn, buffer, 200000);
}

TEST(a_user_may_write_again_when_he_hears_of_draining)
{
    cleanup(net_rig_free_p) struct net_rig *rig = net_rig_new();
    cleanup(recorder_done) struct recorder recorder = {.on_drained = write_again};
    cleanup(fd_close_p) int raw = net_pair(rig, &recorder);
    conn_write(recorder.conn, buffer, 200000);
    net_turn(rig);
    CHECK_INT((int64_t)read_all(rig, raw, 30000), 5 * 200000);
    CHECK_INT(recorder.drained, 5);
}

static void close_it(struct recorder *recorder)
{
    conn_write(recorder->conn, "end", 3);
    INSIDE(recorder, conn_close(recorder->conn));
}

TEST(a_user_may_close_when_he_hears_of_draining)
{
    cleanup(net_rig_free_p) struct net_rig *rig = net_rig_new();
    cleanup(recorder_done) struct recorder recorder = {.on_drained = close_it};
    cleanup(fd_close_p) int raw = net_pair(rig, &recorder);
    conn_write(recorder.conn, buffer, 400000);
    net_turn(rig);
    CHECK_INT((int64_t)read_all(rig, raw, 30000), 400003);
        CHECK_MEM(got + 400000, 3, "end", 3);
    net_wait(rig, 1000);
    CHECK_INT(recorder.closed, 1);
    CHECK_INT(recorder.why, 0);
}

TEST(reading_goes_on_while_writing_waits)
{
    cleanup(net_rig_free_p) struct net_rig *rig = net_rig_new();
    cleanup(recorder_done) struct recorder recorder = {0};
    cleanup(fd_close_p) int raw = net_pair(rig, &recorder);
    conn_write(recorder.conn, buffer, BUFFER);
    net_turn(rig);
    raw_write(raw, "hello", 5);
    net_turn(rig);
    CHECK_MEM(recorder.bytes, recorder.len, "hello", 5);
    conn_pause(recorder.conn); /* and writing goes on while reading pauses */
    CHECK_INT((int64_t)read_all(rig, raw, 65536), BUFFER);
}

TEST(two_connections_share_the_chunks_that_are_free_and_no_bytes)
{
    cleanup(net_rig_free_p) struct net_rig *rig = net_rig_new();
    for (int round = 0; round < 3; round++) {
        cleanup(recorder_done) struct recorder first = {0}, second = {0};
        cleanup(fd_close_p) int raw_first = net_pair(rig, &first);
        cleanup(fd_close_p) int raw_second = net_pair(rig, &second);
        for (int i = 0; i < 300; i++) { /* more chunks than the pool keeps */
            pattern(buffer, 1000, (uint32_t)i);
            conn_write(first.conn, buffer, 1000);
            pattern(buffer, 900, (uint32_t)i + 1000);
            conn_write(second.conn, buffer, 900);
        }
        net_turn(rig);
        CHECK_INT((int64_t)read_all(rig, raw_first, 50000), 300000);
        for (int i = 0; i < 300; i++) {
            pattern(buffer, 1000, (uint32_t)i);
            CHECK_MEM(got + i * 1000, 1000, buffer, 1000);
        }
        CHECK_INT((int64_t)read_all(rig, raw_second, 50000), 270000);
        for (int i = 0; i < 300; i++) {
            pattern(buffer, 900, (uint32_t)i + 1000);
            CHECK_MEM(got + i * 900, 900, buffer, 900);
        }
    }
}
