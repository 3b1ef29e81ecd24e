#include "net/net_rig.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BUFFER = 1536 * 1024 };

static uint8_t buffer[BUFFER];

/* ---- packets in pieces --------------------------------------------------------------------------------------------- */

static const size_t sizes[] = {0,    1,    2,    3,    4,    5,    100,  1000, 4087,
                               4088, 4091, 4092, 4093, 4096, 4097, 8192, 20000};
static const size_t large[] = {32 * 1024 - 5, 32 * 1024 - 4, 32 * 1024, 65531, 65532, 65533,
                               65536,         100000,        300000,    1,     0,     7};

static size_t stream_of(const size_t *lengths, size_t count)
{
    size_t total = 0;
    for (size_t i = 0; i < count; i++)
        total += packet_put(buffer + total, lengths[i]);
    return total;
}

/* Sends the stream in pieces of one size, with a turn of the loop behind each. */
static void send_in_pieces(struct net_rig *rig, int raw, size_t total, size_t piece)
{
    for (size_t at = 0; at < total; at += piece) {
        raw_write(raw, buffer + at, size_min(piece, total - at));
        net_turn(rig);
    }
}

static void check_pieces(const size_t *lengths, size_t count, const size_t *pieces, size_t piece_count)
{
    cleanup(net_rig_free_p) struct net_rig *rig = net_rig_new();
    size_t total = stream_of(lengths, count);
    for (size_t i = 0; i < piece_count; i++) {
        cleanup(recorder_done) struct recorder recorder = {.take = take_packets};
        cleanup(fd_close_p) int raw = net_pair(rig, &recorder);
        send_in_pieces(rig, raw, total, pieces[i]);
        CHECK_MEM(recorder.bytes, recorder.len, buffer, total);
        CHECK_INT(recorder.closed, 0);
    }
}

TEST(packets_arrive_whatever_the_size_of_the_pieces_they_come_in)
{
    static const size_t pieces[] = {1, 2, 3, 5, 64, 1000, 4096, 4097, 65536, 100000};
    check_pieces(sizes, array_size(sizes), pieces, array_size(pieces));
}

TEST(large_packets_arrive_whatever_the_size_of_the_pieces_they_come_in)
{
    static const size_t pieces[] = {997, 4096, 32 * 1024, 65535, 65536, 65537, 150000};
    check_pieces(large, array_size(large), pieces, array_size(pieces));
}

TEST(a_large_packet_is_gathered_and_given_once)
{
    cleanup(net_rig_free_p) struct net_rig *rig = net_rig_new();
    cleanup(recorder_done) struct recorder recorder = {.take = take_packets};
    cleanup(fd_close_p) int raw = net_pair(rig, &recorder);
    size_t total = stream_of((size_t[]){200000}, 1);
    send_in_pieces(rig, raw, total, 1000);
    CHECK_MEM(recorder.bytes, recorder.len, buffer, total);
    CHECK_INT(recorder.received, 2); /* the beginning, and all of it */
}

TEST(what_comes_behind_a_large_packet_comes_in_the_same_turn)
{
    cleanup(net_rig_free_p) struct net_rig *rig = net_rig_new();
    cleanup(recorder_done) struct recorder recorder = {.take = take_packets};
    cleanup(fd_close_p) int raw = net_pair(rig, &recorder);
    size_t total = stream_of((size_t[]){10000, 5, 6, 7}, 4);
    raw_write(raw, buffer, 100);
    net_turn(rig);
    raw_write(raw, buffer + 100, total - 100);
    CHECK_INT(loop_turn(rig->loop, 0), 1);
    CHECK_MEM(recorder.bytes, recorder.len, buffer, total);
}

TEST(tails_of_two_connections_do_not_mix)
{
    cleanup(net_rig_free_p) struct net_rig *rig = net_rig_new();
    cleanup(recorder_done) struct recorder first = {.take = take_packets}, second = {.take = take_packets};
    cleanup(fd_close_p) int raw_first = net_pair(rig, &first);
    cleanup(fd_close_p) int raw_second = net_pair(rig, &second);
    static uint8_t other[3000];
    size_t len = stream_of((size_t[]){1500, 1000}, 2), other_len = packet_put(other, 2500);
    for (size_t at = 0; at < size_max(len, other_len); at += 100) {
        if (at < len)
            raw_write(raw_first, buffer + at, size_min(100, len - at));
        if (at < other_len)
            raw_write(raw_second, other + at, size_min(100, other_len - at));
        net_turn(rig);
    }
    CHECK_MEM(first.bytes, first.len, buffer, len);
    CHECK_MEM(second.bytes, second.len, other, other_len);
}

/* ---- limits -------------------------------------------------------------------------------------------------------- */

TEST(what_nobody_expects_is_kept_up_to_a_limit)
{
    cleanup(net_rig_free_p) struct net_rig *rig = net_rig_new();
    cleanup(recorder_done) struct recorder recorder = {.take = take_nothing};
    cleanup(fd_close_p) int raw = net_pair(rig, &recorder);
    raw_write(raw, buffer, CONN_UNEXPECTED_MAX);
    net_turn(rig);
    CHECK_INT(recorder.closed, 0);
    CHECK_INT((int64_t)recorder.offered, CONN_UNEXPECTED_MAX);
    raw_write(raw, buffer, 1);
    net_turn(rig);
    CHECK_INT(recorder.closed, 1);
    CHECK_INT(recorder.why, -EMSGSIZE);
}

TEST(a_packet_larger_than_the_limit_ends_the_connection_when_it_is_announced)
{
    cleanup(net_rig_free_p) struct net_rig *rig = net_rig_new();
    cleanup(recorder_done) struct recorder fits = {.take = take_packets}, large_one = {.take = take_packets};
    cleanup(fd_close_p) int raw_fits = net_pair(rig, &fits);
    cleanup(fd_close_p) int raw = net_pair(rig, &large_one);
    (void)packet_put(buffer, net_limits.tail_max - 4);
    raw_write(raw_fits, buffer, 10);
    (void)packet_put(buffer, net_limits.tail_max - 3);
    raw_write(raw, buffer, 10);
    net_turn(rig);
    CHECK_INT(fits.closed, 0);
    CHECK_INT(large_one.closed, 1);
    CHECK_INT(large_one.why, -EMSGSIZE);
}

/* ---- what a user says in received() -------------------------------------------------------------------------------- */

static ssize_t take_in_two_steps(struct recorder *recorder, const uint8_t *bytes, size_t len)
{
    (void)bytes;
    if (len < 20000) { /* first he thinks it will be that long, then he sees that it is longer */
        conn_expect(recorder->conn, 20000);
        return 0;
    }
    if (len < 30000) {
        conn_expect(recorder->conn, 30000);
        return 0;
    }
    return 30000;
}

TEST(a_user_may_find_out_that_he_needs_more_than_he_expected)
{
    cleanup(net_rig_free_p) struct net_rig *rig = net_rig_new();
    cleanup(recorder_done) struct recorder recorder = {.take = take_in_two_steps};
    cleanup(fd_close_p) int raw = net_pair(rig, &recorder);
    pattern(buffer, 30000, 1);
    raw_write(raw, buffer, 100);
    net_turn(rig);
    raw_write(raw, buffer + 100, 24900); /* more than expected, less than needed */
    net_turn(rig);
    CHECK_INT((int64_t)recorder.len, 0);
    raw_write(raw, buffer + 25000, 5000);
    net_turn(rig);
    CHECK_MEM(recorder.bytes, recorder.len, buffer, 30000);
}

static ssize_t take_and_fail(struct recorder *recorder, const uint8_t *bytes, size_t len)
{
    (void)bytes, (void)len;
    return recorder->why; /* what the test has put there */
}

TEST(whatever_fault_a_user_returns_ends_the_connection)
{
    static const int faults[] = {-EPROTO, -EPIPE, -EAGAIN, -EINTR};
    for (size_t i = 0; i < array_size(faults); i++) {
        cleanup(net_rig_free_p) struct net_rig *rig = net_rig_new();
        cleanup(recorder_done) struct recorder recorder = {.take = take_and_fail, .why = faults[i]};
        cleanup(fd_close_p) int raw = net_pair(rig, &recorder);
        raw_write(raw, "x", 1);
        net_turn(rig);
        CHECK_INT(recorder.closed, 1);
        CHECK_INT(recorder.why, faults[i]);
    }
}

static ssize_t take_and_say_goodbye(struct recorder *recorder, const uint8_t *bytes, size_t len)
{
    (void)bytes, (void)len;
    conn_write(recorder->conn, "goodbye", 7);
    INSIDE(recorder, conn_close(recorder->conn));
    return -EPROTO;
}

TEST(a_user_who_has_closed_gets_his_last_words_out_whatever_he_returns)
{
    cleanup(net_rig_free_p) struct net_rig *rig = net_rig_new();
    cleanup(recorder_done) struct recorder recorder = {.take = take_and_say_goodbye};
    cleanup(fd_close_p) int raw = net_pair(rig, &recorder);
    raw_write(raw, "x", 1);
    net_turn(rig);
    CHECK_INT(recorder.why, 0);
    char text[16];
    CHECK_INT(raw_read(raw, text, sizeof text), 7);
    CHECK_MEM(text, 7, "goodbye", 7);
    CHECK_INT(raw_read(raw, text, sizeof text), 0);
}

static ssize_t take_and_close_another(struct recorder *recorder, const uint8_t *bytes, size_t len)
{
    INSIDE(recorder->another, conn_close(recorder->another->conn));
    CHECK_MEM(bytes, len, "these are mine", 14);
    return (ssize_t)len;
}

TEST(bytes_in_the_users_hands_stay_when_another_connection_with_unread_input_is_closed)
{
    cleanup(net_rig_free_p) struct net_rig *rig = net_rig_new();
    cleanup(recorder_done) struct recorder other = {0};
    cleanup(recorder_done) struct recorder recorder = {.take = take_and_close_another, .another = &other};
    cleanup(fd_close_p) int raw = net_pair(rig, &recorder);
    cleanup(fd_close_p) int raw_other = net_pair(rig, &other);
    conn_pause(other.conn);
    raw_write(raw_other, "these belong to somebody else", 29);
    raw_write(raw, "these are mine", 14);
    net_turn(rig);
    CHECK_INT((int64_t)recorder.len, 14);
    CHECK_INT(other.closed, 1);
}

static ssize_t take_and_close(struct recorder *recorder, const uint8_t *bytes, size_t len)
{
    uint8_t copy[64];
    memcpy(copy, bytes, size_min(len, sizeof copy));
    INSIDE(recorder, conn_close(recorder->conn));
    CHECK_MEM(bytes, size_min(len, sizeof copy), copy, size_min(len, sizeof copy));
    return (ssize_t)len;
}

TEST(bytes_in_the_users_hands_stay_when_he_closes_the_connection)
{
    cleanup(net_rig_free_p) struct net_rig *rig = net_rig_new();
    cleanup(recorder_done) struct recorder recorder = {.take = take_and_close};
    cleanup(fd_close_p) int raw = net_pair(rig, &recorder);
    pattern(buffer, 150000, 3);
    raw_write(raw, buffer, 150000); /* more than one read */
    net_turn(rig);
    CHECK_INT(recorder.received, 1);
    CHECK_INT(recorder.closed, 1);
}

/* ---- pausing ------------------------------------------------------------------------------------------------------- */

static ssize_t take_one_and_pause(struct recorder *recorder, const uint8_t *bytes, size_t len)
{
    (void)bytes, (void)len;
    INSIDE(recorder, conn_pause(recorder->conn));
    return 1;
}

TEST(what_a_pause_left_over_comes_after_resuming_without_new_input)
{
    cleanup(net_rig_free_p) struct net_rig *rig = net_rig_new();
    cleanup(recorder_done) struct recorder recorder = {.take = take_one_and_pause};
    cleanup(fd_close_p) int raw = net_pair(rig, &recorder);
    raw_write(raw, "abc", 3);
    for (unsigned i = 1; i <= 3; i++) {
        net_turn(rig);
        CHECK_INT(recorder.received, i);
        CHECK_INT((int64_t)recorder.len, i);
        INSIDE(&recorder, conn_resume(recorder.conn));
    }
    net_turn(rig);
    CHECK_INT(recorder.received, 3);
    CHECK_MEM(recorder.bytes, recorder.len, "abc", 3);
}

TEST(a_whole_read_may_be_left_over_by_a_pause)
{
    cleanup(net_rig_free_p) struct net_rig *rig = net_rig_new();
    cleanup(recorder_done) struct recorder recorder = {.take = take_one_and_pause};
    cleanup(fd_close_p) int raw = net_pair(rig, &recorder);
    pattern(buffer, 150000, 2);
    raw_write(raw, buffer, 150000);
    net_turn(rig);
    CHECK_INT((int64_t)recorder.len, 1);
    recorder.take = NULL;
    conn_resume(recorder.conn);
    net_turn(rig);
    CHECK_MEM(recorder.bytes, recorder.len, buffer, 150000);
}

TEST(as_many_resumes_as_pauses)
{
    cleanup(net_rig_free_p) struct net_rig *rig = net_rig_new();
    cleanup(recorder_done) struct recorder recorder = {0};
    cleanup(fd_close_p) int raw = net_pair(rig, &recorder);
    conn_pause(recorder.conn);
    conn_pause(recorder.conn);
    raw_write(raw, "x", 1);
    net_turn(rig);
    conn_resume(recorder.conn);
    net_turn(rig);
    CHECK_INT(recorder.received, 0);
    conn_resume(recorder.conn);
    net_turn(rig);
    CHECK_INT(recorder.received, 1);
}

static ssize_t take_one_with_a_short_pause(struct recorder *recorder, const uint8_t *bytes, size_t len)
{
    (void)bytes, (void)len;
    conn_pause(recorder->conn);
    conn_resume(recorder->conn);
    return 1;
}

TEST(a_pause_that_is_over_before_received_returns_is_none)
{
    cleanup(net_rig_free_p) struct net_rig *rig = net_rig_new();
    cleanup(recorder_done) struct recorder recorder = {.take = take_one_with_a_short_pause};
    cleanup(fd_close_p) int raw = net_pair(rig, &recorder);
    raw_write(raw, "ab", 2);
    net_turn(rig);
    CHECK_INT(recorder.received, 1); /* the b is the beginning of something */
    raw_write(raw, "c", 1);
    net_turn(rig);
    CHECK_MEM(recorder.bytes, recorder.len, "ab", 2);
}

static ssize_t take_a_packet_and_pause(struct recorder *recorder, const uint8_t *bytes, size_t len)
{
    ssize_t used = take_packets(recorder, bytes, len);
    if (used)
        conn_pause(recorder->conn);
    return used;
}

TEST(what_comes_behind_a_gathered_packet_waits_while_its_user_pauses)
{
    cleanup(net_rig_free_p) struct net_rig *rig = net_rig_new();
    cleanup(recorder_done) struct recorder recorder = {.take = take_a_packet_and_pause};
    cleanup(fd_close_p) int raw = net_pair(rig, &recorder);
    size_t total = stream_of((size_t[]){10000, 5, 6}, 3);
    raw_write(raw, buffer, 100);
    net_turn(rig);
    raw_write(raw, buffer + 100, total - 100);
    net_turn(rig);
    CHECK_MEM(recorder.bytes, recorder.len, buffer, 10004);
    conn_resume(recorder.conn);
    net_turn(rig);
    CHECK_MEM(recorder.bytes, recorder.len, buffer, total);
}

static ssize_t take_half_and_pause(struct recorder *recorder, const uint8_t *bytes, size_t len)
{
    (void)bytes;
    if (len < 10000) {
        conn_expect(recorder->conn, 10000);
        return 0;
    }
    conn_pause(recorder->conn);
    return 5000;
}

TEST(a_gathered_packet_may_be_left_half_by_a_pause)
{
    cleanup(net_rig_free_p) struct net_rig *rig = net_rig_new();
    cleanup(recorder_done) struct recorder recorder = {.take = take_half_and_pause};
    cleanup(fd_close_p) int raw = net_pair(rig, &recorder);
    pattern(buffer, 12000, 4);
    raw_write(raw, buffer, 100);
    net_turn(rig);
    raw_write(raw, buffer + 100, 11900);
    net_turn(rig);
    CHECK_INT((int64_t)recorder.len, 5000);
    CHECK_INT(recorder.received, 2); /* and not again while he pauses */
    recorder.take = NULL;
    conn_resume(recorder.conn);
    net_turn(rig);
    CHECK_INT((int64_t)recorder.offered, 7000);
    CHECK_MEM(recorder.bytes, recorder.len, buffer, 12000);
}

TEST(nothing_is_read_during_a_pause)
{
    cleanup(net_rig_free_p) struct net_rig *rig = net_rig_new();
    cleanup(recorder_done) struct recorder recorder = {0};
    cleanup(fd_close_p) int raw = net_pair(rig, &recorder);
    conn_pause(recorder.conn);
    size_t taken = 0;
    for (ssize_t n; (n = send(raw, buffer, 65536, MSG_NOSIGNAL)) > 0; taken += (size_t)n)
        net_turn(rig);
    CHECK_INT(errno, EAGAIN); /* the sender feels it */
    CHECK_INT(recorder.received, 0);
    conn_resume(recorder.conn);
    net_turn(rig);
    CHECK_INT((int64_t)recorder.len, (int64_t)taken);
}

/* ---- another user -------------------------------------------------------------------------------------------------- */

static ssize_t take_one_and_hand_over(struct recorder *recorder, const uint8_t *bytes, size_t len)
{
    (void)bytes, (void)len;
    recorder->another->conn = steal(recorder->conn);
    INSIDE(recorder, conn_set_user(recorder->another->conn, &recorder->another->user));
    return 1;
}

TEST(another_user_gets_the_rest_at_once)
{
    cleanup(net_rig_free_p) struct net_rig *rig = net_rig_new();
    cleanup(recorder_done) struct recorder another = {0};
    recorder_init(&another);
    cleanup(recorder_done) struct recorder recorder = {.take = take_one_and_hand_over, .another = &another};
    cleanup(fd_close_p) int raw = net_pair(rig, &recorder);
    raw_write(raw, "abc", 3);
    CHECK_INT(loop_turn(rig->loop, 0), 1);
    CHECK_MEM(recorder.bytes, recorder.len, "a", 1);
    CHECK_MEM(another.bytes, another.len, "bc", 2);
    raw_write(raw, "d", 1);
    net_turn(rig);
    CHECK_MEM(another.bytes, another.len, "bcd", 3);
    (void)shutdown(raw, SHUT_WR);
    net_turn(rig);
    CHECK_INT(recorder.closed, 0);
    CHECK_INT(another.closed, 1);
}

TEST(another_user_who_cannot_do_with_the_rest_yet_gets_it_with_what_follows)
{
    cleanup(net_rig_free_p) struct net_rig *rig = net_rig_new();
    cleanup(recorder_done) struct recorder another = {.take = take_packets};
    recorder_init(&another);
    cleanup(recorder_done) struct recorder recorder = {.take = take_one_and_hand_over, .another = &another};
    cleanup(fd_close_p) int raw = net_pair(rig, &recorder);
    size_t len = packet_put(buffer + 1, 10000);
    raw_write(raw, buffer, 1000);
    net_turn(rig);
    raw_write(raw, buffer + 1000, len + 1 - 1000);
    net_turn(rig);
    CHECK_MEM(another.bytes, another.len, buffer + 1, len);
}

static ssize_t take_one_hand_over_and_pause(struct recorder *recorder, const uint8_t *bytes, size_t len)
{
    conn_pause(recorder->conn);
    return take_one_and_hand_over(recorder, bytes, len);
}

TEST(another_user_gets_the_rest_after_a_pause)
{
    cleanup(net_rig_free_p) struct net_rig *rig = net_rig_new();
    cleanup(recorder_done) struct recorder another = {0};
    recorder_init(&another);
    cleanup(recorder_done) struct recorder recorder = {.take = take_one_hand_over_and_pause,
                                                       .another = &another};
    cleanup(fd_close_p) int raw = net_pair(rig, &recorder);
    raw_write(raw, "abc", 3);
    net_turn(rig);
    CHECK_INT(another.received, 0);
    conn_resume(another.conn);
    net_turn(rig);
    CHECK_MEM(another.bytes, another.len, "bc", 2);
}
