#include "net/net_rig.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BUFFER = 1024 * 1024 };

static uint8_t buffer[BUFFER];

static size_t count_to_the_end(struct net_rig *rig, int raw)
{
    size_t len = 0;
    for (ssize_t n; (n = raw_read(raw, buffer, sizeof buffer)) != 0; net_turn(rig)) {
        CHECK(n > 0);
        len += (size_t)n;
    }
    return len;
}

/* ---- the peer ends it ---------------------------------------------------------------------------------------------- */

TEST(everything_that_came_before_the_end_is_given_and_then_the_end)
{
    cleanup(net_rig_free_p) struct net_rig *rig = net_rig_new();
    cleanup(recorder_done) struct recorder recorder = {0};
    int raw = net_pair(rig, &recorder);
    raw_write(raw, buffer, 150000);
    (void)close(raw);
    net_turn(rig);
    CHECK_INT((int64_t)recorder.len, 150000);
    CHECK_INT(recorder.closed, 1);
    CHECK_INT(recorder.why, 0);
    CHECK(strncmp(recorder.peer, "unix:pid=", 9) == 0);
}

TEST(an_end_in_the_middle_of_a_packet_is_a_lost_connection)
{
    cleanup(net_rig_free_p) struct net_rig *rig = net_rig_new();
    static const size_t sent[] = {3, 100, 9000}; /* of the length, of a small tail, of a gathered packet */
    for (size_t i = 0; i < array_size(sent); i++) {
        cleanup(recorder_done) struct recorder recorder = {.take = take_packets};
        int raw = net_pair(rig, &recorder);
        CHECK_INT((int64_t)packet_put(buffer, i == 2 ? 20000 : 200), i == 2 ? 20004 : 204);
        raw_write(raw, buffer, sent[i]);
        net_turn(rig);
        (void)close(raw);
        net_turn(rig);
        CHECK_INT(recorder.closed, 1);
        CHECK_INT(recorder.why, -ECONNRESET);
    }
}

TEST(a_peer_that_has_closed_its_side_still_gets_what_is_queued)
{
    cleanup(net_rig_free_p) struct net_rig *rig = net_rig_new();
    cleanup(recorder_done) struct recorder recorder = {0};
    cleanup(fd_close_p) int raw = net_pair(rig, &recorder);
    conn_write(recorder.conn, buffer, 600000);
    (void)shutdown(raw, SHUT_WR);
    net_turn(rig);
    CHECK_INT(recorder.closed, 0);
    CHECK_INT((int64_t)count_to_the_end(rig, raw), 600000);
    CHECK_INT(recorder.closed, 1);
    CHECK_INT(recorder.why, 0);
}

static ssize_t take_and_answer(struct recorder *recorder, const uint8_t *bytes, size_t len)
{
    conn_write(recorder->conn, bytes, len);
    return (ssize_t)len;
}

TEST(an_answer_to_the_last_words_goes_out_to_a_peer_that_has_closed_its_side)
{
    cleanup(net_rig_free_p) struct net_rig *rig = net_rig_new();
    cleanup(recorder_done) struct recorder recorder = {.take = take_and_answer};
    cleanup(fd_close_p) int raw = net_pair(rig, &recorder);
    raw_write(raw, "last words", 10);
    (void)shutdown(raw, SHUT_WR);
    net_turn(rig);
    CHECK_INT(raw_read(raw, buffer, sizeof buffer), 10);
    CHECK_INT(raw_read(raw, buffer, sizeof buffer), 0);
}

TEST(writing_to_a_peer_that_is_gone_ends_the_connection_without_a_signal)
{
    cleanup(net_rig_free_p) struct net_rig *rig = net_rig_new();
    cleanup(recorder_done) struct recorder recorder = {0};
    int raw = net_pair(rig, &recorder);
    conn_pause(recorder.conn); /* reading would find out first */
    (void)close(raw);
    net_turn(rig);
    CHECK_INT(recorder.closed, 0);
    INSIDE(&recorder, conn_write(recorder.conn, "x", 1));
    net_turn(rig);
    CHECK_INT(recorder.closed, 1);
    CHECK_INT(recorder.why, -EPIPE);
}

TEST(a_reset_is_a_lost_connection)
{
    cleanup(net_rig_free_p) struct net_rig *rig = net_rig_new();
    cleanup(recorder_done) struct recorder recorder = {0};
    int raw, fd = tcp_pair(&raw);
    net_conn(rig, &recorder, fd, NULL);
    struct linger linger = {.l_onoff = 1};
    CHECK_INT(setsockopt(raw, SOL_SOCKET, SO_LINGER, &linger, sizeof linger), 0);
    (void)close(raw);
    net_turn_until(rig, &recorder.closed);
    CHECK_INT(recorder.why, -ECONNRESET);
    CHECK(strncmp(recorder.peer, "127.0.0.1:", 10) == 0);
}

/* ---- the peer ends it while we do not read ------------------------------------------------------------------------- */

TEST(a_peer_that_goes_during_a_pause_keeps_nobody_busy)
{
    cleanup(net_rig_free_p) struct net_rig *rig = net_rig_new();
    cleanup(recorder_done) struct recorder recorder = {0};
    int raw = net_pair(rig, &recorder);
    conn_pause(recorder.conn);
    raw_write(raw, "before", 6);
    (void)close(raw);
    net_turn(rig); /* comes to rest */
    CHECK_INT(loop_turn(rig->loop, 0), 0);
    conn_pause(recorder.conn);
    conn_resume(recorder.conn);
    CHECK_INT(loop_turn(rig->loop, 0), 0);
    CHECK_INT(recorder.closed, 0);

    conn_resume(recorder.conn);
    net_turn(rig);
    CHECK_MEM(recorder.bytes, recorder.len, "before", 6);
    CHECK_INT(recorder.closed, 1);
    CHECK_INT(recorder.why, 0);
}

TEST(a_peer_that_goes_while_writing_waits_and_reading_pauses_is_noticed)
{
    cleanup(net_rig_free_p) struct net_rig *rig = net_rig_new();
    cleanup(recorder_done) struct recorder recorder = {0};
    int raw = net_pair(rig, &recorder);
    conn_pause(recorder.conn);
    conn_write(recorder.conn, buffer, BUFFER);
    net_turn(rig);
    (void)close(raw);
    net_turn(rig);
    CHECK_INT(recorder.closed, 1);
    CHECK(recorder.why == -EPIPE || recorder.why == -ECONNRESET);
}

TEST(closing_a_connection_whose_peer_has_gone_during_a_pause_ends_it)
{
    cleanup(net_rig_free_p) struct net_rig *rig = net_rig_new();
    cleanup(recorder_done) struct recorder recorder = {0};
    int raw = net_pair(rig, &recorder);
    conn_pause(recorder.conn);
    (void)close(raw);
    net_turn(rig);
    INSIDE(&recorder, conn_close(recorder.conn));
    net_turn(rig);
    CHECK_INT(recorder.closed, 1);
    CHECK_INT(recorder.why, 0);
}

/* ---- we end it ----------------------------------------------------------------------------------------------------- */

TEST(closing_writes_what_is_queued_first)
{
    cleanup(net_rig_free_p) struct net_rig *rig = net_rig_new();
    cleanup(recorder_done) struct recorder recorder = {0};
    cleanup(fd_close_p) int raw = net_pair(rig, &recorder);
    conn_write(recorder.conn, buffer, 600000);
    INSIDE(&recorder, conn_close(recorder.conn));
    net_turn(rig);
    CHECK_INT(recorder.closed, 0);
        CHECK_INT((int64_t)count_to_the_end(rig, raw), 600000);
    CHECK_INT(recorder.closed, 0); /* the peer has not closed its side: it is given the time to read all of that */
    net_wait(rig, 1000);
    CHECK_INT(recorder.closed, 1);
    CHECK_INT(recorder.why, 0);
    net_wait(rig, 100000); /* no timer is left */
}

TEST(a_closing_connection_reads_nothing_and_takes_no_output)
{
    cleanup(net_rig_free_p) struct net_rig *rig = net_rig_new();
    cleanup(recorder_done) struct recorder recorder = {0};
    cleanup(fd_close_p) int raw = net_pair(rig, &recorder);
    cleanup(msg_unref_p) struct msg *msg = msg_new("t", 1, buffer, 5000);
    conn_write(recorder.conn, buffer, 600000);
    conn_close(recorder.conn);
    CHECK(!conn_room(recorder.conn, 1));
    conn_write(recorder.conn, "more", 4);
    conn_write_msg(recorder.conn, msg, msg->payload, msg->payload_len);
    CHECK_INT((int64_t)conn_pending(recorder.conn), 600000);
    CHECK_INT(msg->refs, 1);
    raw_write(raw, "x", 1);
    net_turn(rig);
    CHECK_INT(recorder.received, 0);
    CHECK_INT((int64_t)count_to_the_end(rig, raw), 600000);
}

TEST(closing_gives_up_when_the_peer_does_not_read_for_five_seconds)
{
    cleanup(net_rig_free_p) struct net_rig *rig = net_rig_new();
    cleanup(recorder_done) struct recorder recorder = {0};
    cleanup(fd_close_p) int raw = net_pair(rig, &recorder);
    conn_write(recorder.conn, buffer, 600000);
    net_turn(rig);
    conn_close(recorder.conn);
    net_wait(rig, 4999);
    CHECK_INT(recorder.closed, 0);
    net_wait(rig, 1);
    CHECK_INT(recorder.closed, 1);
    CHECK_INT(recorder.why, -ETIMEDOUT);
    CHECK((int64_t)count_to_the_end(rig, raw) < 600000);
}

TEST(a_peer_that_goes_while_we_close_is_a_lost_connection)
{
    cleanup(net_rig_free_p) struct net_rig *rig = net_rig_new();
    cleanup(recorder_done) struct recorder recorder = {0};
    int raw = net_pair(rig, &recorder);
    conn_write(recorder.conn, buffer, 600000);
    conn_close(recorder.conn);
    net_turn(rig);
    (void)close(raw);
    net_turn(rig);
    CHECK_INT(recorder.closed, 1);
    CHECK_INT(recorder.why, -ECONNRESET);
}

TEST(closing_with_input_unread_does_not_take_the_last_words_from_the_peer)
{
    cleanup(net_rig_free_p) struct net_rig *rig = net_rig_new();
    cleanup(recorder_done) struct recorder recorder = {0};
    cleanup(fd_close_p) int raw = -1;
    int fd = tcp_pair(&raw);
    net_conn(rig, &recorder, fd, NULL);
    conn_pause(recorder.conn);
    raw_write(raw, buffer, 100000);
    conn_write(recorder.conn, "why", 3);
    conn_close(recorder.conn);
    net_turn_until(rig, &recorder.closed);
    CHECK_INT(recv(raw, buffer, sizeof buffer, 0), 3);
    CHECK_INT(recv(raw, buffer, sizeof buffer, 0), 0); /* and not ECONNRESET */
}

TEST(aborting_writes_nothing)
{
    cleanup(net_rig_free_p) struct net_rig *rig = net_rig_new();
    cleanup(recorder_done) struct recorder recorder = {0};
    cleanup(fd_close_p) int raw = net_pair(rig, &recorder);
    conn_write(recorder.conn, "x", 1);
    INSIDE(&recorder, conn_abort(recorder.conn, -EPROTO));
    CHECK_INT(recorder.closed, 0);
    net_turn(rig);
    CHECK_INT(recorder.closed, 1);
    CHECK_INT(recorder.why, -EPROTO);
    CHECK_INT(raw_read(raw, buffer, sizeof buffer), 0);
}

TEST(the_first_end_is_the_end)
{
    cleanup(net_rig_free_p) struct net_rig *rig = net_rig_new();
    cleanup(recorder_done) struct recorder aborted = {0}, closed = {0};
    cleanup(fd_close_p) int raw_aborted = net_pair(rig, &aborted);
    cleanup(fd_close_p) int raw_closed = net_pair(rig, &closed);
    INSIDE(&aborted, conn_abort(aborted.conn, -EPROTO));
    INSIDE(&aborted, conn_abort(aborted.conn, -EIO));
    INSIDE(&aborted, conn_close(aborted.conn));
    INSIDE(&closed, conn_close(closed.conn));
    INSIDE(&closed, conn_abort(closed.conn, -EIO));
    INSIDE(&closed, conn_pause(closed.conn));
    INSIDE(&closed, conn_resume(closed.conn));
    INSIDE(&closed, conn_write(closed.conn, "x", 1));
    net_turn(rig);
    CHECK_INT(aborted.why, -EPROTO);
    CHECK_INT(closed.why, 0);
    CHECK_INT(aborted.closed + closed.closed, 2);
    CHECK_INT((int64_t)(count_to_the_end(rig, raw_aborted) + count_to_the_end(rig, raw_closed)), 0);
}

TEST(freeing_calls_nobody)
{
    cleanup(net_rig_free_p) struct net_rig *rig = net_rig_new();
    struct recorder recorder = {0}, aborted = {0};
    cleanup(fd_close_p) int raw = net_pair(rig, &recorder);
    cleanup(fd_close_p) int raw_aborted = net_pair(rig, &aborted);
    conn_write(recorder.conn, "x", 1);
    conn_abort(aborted.conn, -EIO);
    recorder_done(&recorder);
    recorder_done(&aborted);
    net_turn(rig);
    CHECK_INT(recorder.closed + aborted.closed, 0);
    CHECK_INT(raw_read(raw, buffer, sizeof buffer), 0);
    CHECK_INT(raw_read(raw_aborted, buffer, sizeof buffer), 0);
}

/* ---- who was it ---------------------------------------------------------------------------------------------------- */

TEST(a_descriptor_that_cannot_be_watched_is_refused_and_closed)
{
    cleanup(net_rig_free_p) struct net_rig *rig = net_rig_new();
    struct recorder recorder = {0};
    recorder_init(&recorder);
    struct conn *conn = NULL;
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC); /* epoll does not take it */
    CHECK(fd >= 0);
    struct endpoint endpoint = {.fd = fd};
    CHECK_INT(conn_new(&conn, rig->loop, &endpoint, &net_limits, &recorder.user), -EPERM);
    CHECK(!conn);
    CHECK_INT(fcntl(fd, F_GETFD), -1);
    CHECK_INT(errno, EBADF);
}

TEST(the_kernel_says_who_is_at_the_other_end_of_a_unix_socket)
{
    cleanup(net_rig_free_p) struct net_rig *rig = net_rig_new();
    cleanup(recorder_done) struct recorder local = {0}, tcp = {0};
    cleanup(fd_close_p) int raw = net_pair(rig, &local), raw_tcp = -1;
    net_conn(rig, &tcp, tcp_pair(&raw_tcp), NULL);
    pid_t pid = 0;
    uid_t uid = 12345;
    CHECK(conn_credentials(local.conn, &pid, &uid));
    CHECK_INT(pid, getpid());
    CHECK_INT(uid, getuid());
    char text[64];
    (void)snprintf(text, sizeof text, "unix:pid=%d,uid=%u", (int)getpid(), (unsigned)getuid());
    CHECK_STR(conn_peer(local.conn), text);
    CHECK(!conn_credentials(tcp.conn, &pid, &uid));
    CHECK(!conn_certificate_name(tcp.conn));
    CHECK_INT(raw_read(raw, buffer, 1), -EAGAIN);
}
