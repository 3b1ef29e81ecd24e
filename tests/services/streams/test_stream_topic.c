/* Templates of topics at the cloud. */
#include "rig/test.h"
#include "services/streams/stream_topic.h"

#include <errno.h>
#include <stdlib.h>

/* The topic of a message on `topic` that became record 42 of stream "telemetry". */
static const char *made(const char *pattern, const char *topic)
{
    static char result[1024];
    char stored[1024];
    int len = stream_topic_make(stored, sizeof stored, pattern, topic, strlen(topic), "telemetry");
    CHECK(len >= 0);
    int final_len = stream_topic_final(result, sizeof result, stored, (size_t)len, 42);
    CHECK_INT(final_len, (int64_t)strlen(result));
    return result;
}

TEST(words_are_replaced_and_the_rest_stays)
{
    CHECK_STR(made("${topic}", "dt/p1/env"), "dt/p1/env");
    CHECK_STR(made("plant-1/${topic}/${seq}", "dt/p1/env"), "plant-1/dt/p1/env/42");
    CHECK_STR(made("${stream}", "x"), "telemetry");
    CHECK_STR(made("${stream}${stream}${seq}${seq}", "x"), "telemetrytelemetry4242");
    CHECK_STR(made("fixed", "x"), "fixed");
    CHECK_STR(made("$aws/rules/${topic}", "x"), "$aws/rules/x");
}

TEST(what_looks_like_a_word_in_a_topic_is_not_one)
{
    CHECK_STR(made("a/${topic}", "${seq}/${stream}"), "a/${seq}/${stream}");
}

TEST(the_largest_number_has_room)
{
    char stored[8], topic[32];
    int len = stream_topic_make(stored, sizeof stored, "${seq}", "x", 1, "s");
    CHECK_INT(len, 1);
    CHECK_INT(stream_topic_final(topic, sizeof topic, stored, 1, UINT64_MAX), 20);
    CHECK_STR(topic, "18446744073709551615");
}

TEST(a_topic_that_does_not_fit_is_refused)
{
    char small[8];
    CHECK_INT(stream_topic_make(small, sizeof small, "${topic}", "12345678", 8, "s"), 8);
    CHECK_INT(stream_topic_make(small, sizeof small, "${topic}", "123456789", 9, "s"), -EMSGSIZE);
    CHECK_INT(stream_topic_final(small, sizeof small, "1234567", 7, 1), 7);
    CHECK_INT(stream_topic_final(small, sizeof small, "12345678", 8, 1), -EMSGSIZE); /* no room for the end */
    CHECK_INT(stream_topic_final(small, sizeof small, "123456\0", 7, 10), -EMSGSIZE);
}

TEST(a_topic_is_stored_up_to_its_limit_whatever_the_buffer)
{
    static char buffer[65536], topic[STREAM_TOPIC_MAX + 1];
    memset(topic, 'x', sizeof topic);
    CHECK_INT(stream_topic_make(buffer, sizeof buffer, "${topic}", topic, STREAM_TOPIC_MAX, "s"),
              STREAM_TOPIC_MAX);
    CHECK_INT(stream_topic_make(buffer, sizeof buffer, "${topic}", topic, STREAM_TOPIC_MAX + 1, "s"),
              -EMSGSIZE);
}

TEST(what_the_longest_template_makes_has_room_with_its_numbers)
{
    static char stored[65536], final[65000], topic[65536];
    char pattern[STREAM_PATTERN_MAX + 1] = "";
    while (strlen(pattern) + 6 + 8 <= STREAM_PATTERN_MAX)
        memcpy(pattern + strlen(pattern), "${seq}", 7);
    size_t numbers = strlen(pattern) / 6;
    memcpy(pattern + strlen(pattern), "${topic}", 9);
    CHECK(!stream_topic_check(pattern));
    memset(topic, 'x', sizeof topic);
    int len = stream_topic_make(stored, sizeof stored, pattern, topic, STREAM_TOPIC_MAX - numbers, "s");
    CHECK_INT(len, STREAM_TOPIC_MAX);
    CHECK(stream_topic_final(final, sizeof final, stored, (size_t)len, UINT64_MAX) > 0);
}

TEST(a_template_that_is_wrong_is_told_what_was_expected)
{
    char longest[STREAM_PATTERN_MAX + 2];
    memset(longest, 'x', sizeof longest);
    longest[STREAM_PATTERN_MAX + 1] = '\0';
    CHECK_STR(stream_topic_check(longest), "at most 1000 characters");
    longest[STREAM_PATTERN_MAX] = '\0';
    CHECK(!stream_topic_check(longest));
    CHECK_STR(stream_topic_check(""), "a topic with ${topic}, ${stream} or ${seq}");
    CHECK_STR(stream_topic_check("a/#"), "a topic without the wildcards + and #");
    CHECK_STR(stream_topic_check("+/a"), "a topic without the wildcards + and #");
    CHECK_STR(stream_topic_check("a/${tpoic}"), "${topic}, ${stream} or ${seq}");
    CHECK_STR(stream_topic_check("${"), "${topic}, ${stream} or ${seq}");
    CHECK_STR(stream_topic_check("${topic"), "${topic}, ${stream} or ${seq}");
    CHECK(!stream_topic_check("$aws/$/${topic}"));
}

TEST(how_often_a_message_was_republished_is_behind_its_topic_and_not_in_it)
{
    char topic[16] = "a/b";
    size_t len = stream_topic_add_hops(topic, 3, 0);
    CHECK_INT(len, 3);
    CHECK_INT(stream_topic_hops(topic, &len), 0);
    CHECK_INT(len, 3);
    for (int hops = 1; hops <= UINT8_MAX; hops += 127) {
        len = stream_topic_add_hops(topic, 3, (uint8_t)hops);
        char final[16];
        CHECK_INT(stream_topic_final(final, sizeof final, topic, len, 7), 3);
        CHECK_STR(final, "a/b");
        CHECK_INT(stream_topic_hops(topic, &len), hops);
        CHECK_INT(len, 3);
    }
}
