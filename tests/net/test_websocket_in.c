/* Frames that come: what is in them arrives, whatever they look like. */
#include "net/web_rig.h"

#include <errno.h>

enum { BUFFER = 1024 * 1024 };

static uint8_t stream[2 * BUFFER], plain[BUFFER];

/* ---- data ---------------------------------------------------------------------------------------------------------- */

/* A message in fragments with control frames between them, and another behind it; what is in them goes to `plain`. */
static size_t small_stream(size_t *plain_len)
{
    static const size_t sizes[] = {3, 0, 1, 9, 16, 126, 0};
    size_t len = 0, at = 0;
    for (size_t i = 0; i < array_size(sizes); i++) {
        bool last = i + 1 == array_size(sizes);
        pattern(plain + at, sizes[i], (uint32_t)i);
        len += web_frame(stream + len, last ? WEB_LAST : i ? WEB_FRAGMENT : WEB_BEGIN, plain + at, sizes[i]);
        at += sizes[i];
        if (i % 2)
            len += web_frame(stream + len, i % 4 == 1 ? WEB_PING : WEB_PONG, "0123456789", i);
    }
    pattern(plain + at, 20, 99);
    len += web_frame(stream + len, WEB_BINARY, plain + at, 20);
    *plain_len = at + 20;
    return len;
}

TEST(frames_may_be_cut_anywhere)
{
    size_t plain_len, len = small_stream(&plain_len);
    for (size_t split = 0; split <= len; split++) {
        cleanup(web_done) struct web web = {0};
        web_up(&web);
        web_send_raw(&web, stream, split);
        web_send_raw(&web, stream + split, len - split);
        CHECK_MEM(web.recorder.bytes, web.recorder.len, plain, plain_len);
        CHECK_INT(web.recorder.closed, 0);
    }
}

TEST(frames_may_come_byte_by_byte)
{
    size_t plain_len, len = small_stream(&plain_len);
    cleanup(web_done) struct web web = {0};
    web_up(&web);
    for (size_t i = 0; i < len; i++)
        web_send_raw(&web, stream + i, 1);
    CHECK_MEM(web.recorder.bytes, web.recorder.len, plain, plain_len);
}

TEST(what_comes_together_is_given_together)
{
    cleanup(web_done) struct web web = {0};
    web_up(&web);
    size_t len = 0;
    for (size_t i = 0; i < 100; i++)
        len += web_frame(stream + len, WEB_BINARY, "0123456789", 10);
    raw_write(web.raw, stream, len);
    net_turn(web.rig);
    CHECK_INT((int64_t)web.recorder.len, 1000);
    CHECK_INT(web.recorder.received, 1);
}

/* Packets in frames that know nothing of them. */
static void check_packets(const size_t *sizes, size_t count, size_t frame_size, size_t piece)
{
    cleanup(web_done) struct web web = {.recorder.take = take_packets};
    web_up(&web);
    size_t total = 0, len = 0;
    for (size_t i = 0; i < count; i++)
        total += packet_put(plain + total, sizes[i]);
    for (size_t at = 0; at < total; at += frame_size)
        len += web_frame(stream + len, WEB_BINARY, plain + at, size_min(frame_size, total - at));
    for (size_t at = 0; at < len; at += piece)
        web_send_raw(&web, stream + at, size_min(piece, len - at));
    CHECK_MEM(web.recorder.bytes, web.recorder.len, plain, total);
    CHECK_INT(web.recorder.closed, 0);
}

TEST(packets_and_frames_need_not_be_aligned)
{
    static const size_t sizes[] = {0, 5, 100, 4090, 4100, 1, 20000, 70000, 3, 100000, 7};
    static const size_t frames[] = {1, 3, 126, 4097, 65535, 65536, 300000};
    static const size_t pieces[] = {61, 1000, 65536, BUFFER};
    for (size_t i = 0; i < array_size(frames); i++)
        for (size_t k = 0; k < array_size(pieces); k++)
            if (frames[i] * pieces[k] > 1000) /* the rest would only be slow */
                check_packets(sizes, array_size(sizes), frames[i], pieces[k]);
}

TEST(a_packet_in_tiny_frames_arrives)
{
    check_packets((size_t[]){3000}, 1, 1, 7);
}

TEST(one_frame_may_hold_more_than_any_buffer_and_packet)
{
    static const size_t sizes[] = {300000, 100, 300000, 50000, 200000};
    check_packets(sizes, array_size(sizes), BUFFER, 65536);
}

/* ---- control ------------------------------------------------------------------------------------------------------- */

TEST(a_ping_is_answered_with_what_was_in_it)
{
    static const size_t sizes[] = {0, 1, 4, 125};
    for (size_t i = 0; i < array_size(sizes); i++) {
        cleanup(web_done) struct web web = {0};
        web_up(&web);
        pattern(plain, sizes[i], 5);
        web_send(&web, WEB_PING, plain, sizes[i]);
        web_expect(&web, WEB_PONG, plain, sizes[i]);
        web_expect_nothing(&web);
        CHECK_INT(web.recorder.received, 0);
    }
}

TEST(of_many_pings_that_come_together_the_last_is_answered)
{
    cleanup(web_done) struct web web = {0};
    web_up(&web);
    size_t len = 0;
    for (uint8_t i = 0; i < 200; i++)
        len += web_frame(stream + len, WEB_PING, &i, 1);
    raw_write(web.raw, stream, len);
    web_expect(&web, WEB_PONG, "\xc7", 1);
    web_expect_nothing(&web);
}

TEST(a_pong_means_nothing)
{
    cleanup(web_done) struct web web = {0};
    web_up(&web);
    web_send(&web, WEB_PONG, "unasked", 7);
    web_expect_nothing(&web);
    CHECK_INT(web.recorder.received, 0);
    CHECK_INT(web.recorder.closed, 0);
}

TEST(while_the_user_pauses_pings_wait_like_everything_else)
{
    cleanup(web_done) struct web web = {0};
    web_up(&web);
    conn_pause(web.recorder.conn);
    web_send(&web, WEB_PING, "?", 1);
    web_send(&web, WEB_BINARY, "hello", 5);
    web_expect_nothing(&web);
    conn_resume(web.recorder.conn);
    web_expect(&web, WEB_PONG, "?", 1);
    CHECK_MEM(web.recorder.bytes, web.recorder.len, "hello", 5);
}

/* ---- good-byes of the peer ----------------------------------------------------------------------------------------- */

TEST(a_good_bye_is_returned_and_ends_the_connection)
{
    static const struct {
        const char *said, *answered;
        size_t len;
    } cases[] = {{"", "\x03\xe8", 0},
                 {"\x03\xe8", "\x03\xe8", 2},
                 {"\x03\xe9gone", "\x03\xe9", 6},
                 {"\x0f\xa0", "\x0f\xa0", 2}};
    for (size_t i = 0; i < array_size(cases); i++) {
        cleanup(web_done) struct web web = {0};
        web_up(&web);
        web_send(&web, WEB_CLOSE, cases[i].said, cases[i].len);
        web_expect(&web, WEB_CLOSE, cases[i].answered, 2);
        web_expect_end(&web);
        CHECK_INT(web.recorder.why, 0);
        CHECK_INT(log_lines.count, 0);
    }
}

TEST(what_came_before_a_good_bye_counts_and_what_comes_behind_it_does_not)
{
    cleanup(web_done) struct web web = {0};
    web_up(&web);
    size_t len = web_frame(stream, WEB_BINARY, "hello", 5);
    len += web_frame(stream + len, WEB_CLOSE, "\x03\xe8", 2);
    len += web_frame(stream + len, WEB_BINARY, "again", 5);
    web_send_raw(&web, stream, len);
    CHECK_MEM(web.recorder.bytes, web.recorder.len, "hello", 5);
    web_expect(&web, WEB_CLOSE, "\x03\xe8", 2);
    web_expect_end(&web);
    CHECK_INT(web.recorder.why, 0);
}

static ssize_t take_and_answer(struct recorder *recorder, const uint8_t *bytes, size_t len)
{
    conn_write(recorder->conn, bytes, len);
    return (ssize_t)len;
}

TEST(what_the_user_answered_goes_out_before_the_good_bye)
{
    cleanup(web_done) struct web web = {.recorder.take = take_and_answer};
    web_up(&web);
    size_t len = web_frame(stream, WEB_BINARY, "hello", 5);
    len += web_frame(stream + len, WEB_PING, "?", 1);
    len += web_frame(stream + len, WEB_CLOSE, "\x03\xe8", 2);
    web_send_raw(&web, stream, len);
    web_expect(&web, WEB_PONG, "?", 1);
    web_expect(&web, WEB_BINARY, "hello", 5);
    web_expect(&web, WEB_CLOSE, "\x03\xe8", 2);
    web_expect_end(&web);
}

static ssize_t take_and_pause(struct recorder *recorder, const uint8_t *bytes, size_t len)
{
    (void)bytes;
    conn_pause(recorder->conn);
    return (ssize_t)len;
}

TEST(a_good_bye_waits_for_a_user_who_pauses_and_may_go_on_writing)
{
    cleanup(web_done) struct web web = {.recorder.take = take_and_pause};
    web_up(&web);
    size_t len = web_frame(stream, WEB_BINARY, "hello", 5);
    len += web_frame(stream + len, WEB_CLOSE, "\x03\xe8", 2);
    web_send_raw(&web, stream, len);
    web_expect_nothing(&web);
    conn_write(web.recorder.conn, "one", 3);
    web_expect(&web, WEB_BINARY, "one", 3);
    conn_write(web.recorder.conn, "two", 3);
    conn_resume(web.recorder.conn);
    web_expect(&web, WEB_BINARY, "two", 3);
    web_expect(&web, WEB_CLOSE, "\x03\xe8", 2);
    web_expect_end(&web);
}

TEST(a_good_bye_in_the_middle_of_a_packet_is_not_meant_well)
{
    cleanup(web_done) struct web web = {.recorder.take = take_packets};
    web_up(&web);
    web_send(&web, WEB_BINARY, "\0\0\0\5hel", 7);
    web_send(&web, WEB_CLOSE, "", 0);
    web_expect(&web, WEB_CLOSE, "\x03\xe8", 2);
    web_expect_end(&web);
    CHECK_INT(web.recorder.why, -ECONNRESET);
}

TEST(an_end_without_a_good_bye_is_an_end)
{
    cleanup(web_done) struct web web = {0};
    web_up(&web);
    web_send(&web, WEB_BINARY, "hello", 5);
    fd_close_p(&web.raw);
    net_turn(web.rig);
    CHECK_INT(web.recorder.closed, 1);
    CHECK_INT(web.recorder.why, 0);
}

/* ---- broken rules -------------------------------------------------------------------------------------------------- */

#define MASK "\1\2\3\4"

static const struct {
    const char *bytes;
    size_t len;
    const char *code, *why;
} broken[] = {
    {"\x81\x80" MASK, 6, "\x03\xeb", "a text frame, expected binary ones"},
    {"\x01\x80" MASK, 6, "\x03\xeb", "a text frame, expected binary ones"},
    {"\x82\x01x", 3, "\x03\xea", "a frame without a mask"},
    {"\xc2\x80" MASK, 6, "\x03\xea", "reserved bits are set, and no extension was agreed on"},
    {"\x83\x80" MASK, 6, "\x03\xea", "a frame with a reserved opcode"},
    {"\x80\x80" MASK, 6, "\x03\xea", "a continuation of nothing"},
    {"\x00\x80" MASK, 6, "\x03\xea", "a continuation of nothing"},
    {"\x02\x80" MASK "\x82\x80" MASK, 12, "\x03\xea", "a message within another"},
    {"\x02\x80" MASK "\x80\x80" MASK "\x80\x80" MASK, 18, "\x03\xea", "a continuation of nothing"},
    {"\x09\x80" MASK, 6, "\x03\xea", "a control frame in fragments"},
    {"\x89\xfe\0\x7e" MASK, 8, "\x03\xea", "a control frame of more than 125 bytes"},
    {"\x82\xff\x80\0\0\0\0\0\0\0" MASK, 14, "\x03\xea", "a length with its highest bit set"},
    {"\x88\x81" MASK "x", 7, "\x03\xea", "a close frame with no code that there is"},
    {"\x88\x82\0\0\0\0\x03\xee", 8, "\x03\xea", "a close frame with no code that there is"}, /* 1006 */
};

TEST(who_breaks_the_rules_is_told_the_code_and_what_came_before_counts)
{
    for (size_t i = 0; i < array_size(broken); i++)
        for (size_t split = 0; split <= broken[i].len; split++) {
            cleanup(web_done) struct web web = {0};
            web_up(&web);
            size_t len = web_frame(stream, WEB_BINARY, "hello", 5);
            memcpy(stream + len, broken[i].bytes, broken[i].len);
            web_send_raw(&web, stream, len + split);
            if (!web.recorder.closed)
                web_send_raw(&web, stream + len + split, broken[i].len - split);
            CHECK_MEM(web.recorder.bytes, web.recorder.len, "hello", 5);
            web_expect(&web, WEB_CLOSE, broken[i].code, 2);
            web_expect_end(&web);
            CHECK_INT(web.recorder.why, -EPROTO);
            CHECK_INT(log_lines.count, 1);
            CHECK(strstr(log_lines.last, broken[i].why));
        }
}
