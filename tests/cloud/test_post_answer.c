#include "cloud/post_answer.h"

#include "rig/test.h"

TEST(every_status_has_its_verdict)
{
    static const struct {
        int status;
        enum outbox_verdict verdict;
    } rows[] = {
        {200, OUTBOX_TAKEN}, {201, OUTBOX_TAKEN}, {202, OUTBOX_TAKEN},     {204, OUTBOX_TAKEN},
        {207, OUTBOX_TAKEN}, {299, OUTBOX_TAKEN}, {408, OUTBOX_AGAIN},     {425, OUTBOX_AGAIN},
        {429, OUTBOX_AGAIN}, {500, OUTBOX_AGAIN}, {502, OUTBOX_AGAIN},     {503, OUTBOX_AGAIN},
        {504, OUTBOX_AGAIN}, {599, OUTBOX_AGAIN}, {400, OUTBOX_NEVER},     {415, OUTBOX_NEVER},
        {422, OUTBOX_NEVER}, {401, OUTBOX_STUCK}, {413, OUTBOX_TOO_LARGE}, {403, OUTBOX_STUCK},
        {404, OUTBOX_STUCK}, {405, OUTBOX_STUCK}, {407, OUTBOX_STUCK},     {409, OUTBOX_STUCK},
        {410, OUTBOX_STUCK}, {301, OUTBOX_STUCK}, {304, OUTBOX_STUCK},     {100, OUTBOX_STUCK},
        {418, OUTBOX_STUCK}, {0, OUTBOX_STUCK},
    };
    for (size_t i = 0; i < array_size(rows); i++)
        CHECK_INT(post_verdict(rows[i].status), rows[i].verdict);
}

TEST(retry_after_is_seconds_or_a_date_in_any_of_three_forms)
{
    /* 784111777 is Sun, 06 Nov 1994 08:49:37 GMT [RFC 9110, 5.6.7] */
    static const int64_t now = (784111777 - 90) * INT64_C(1000);
    static const struct {
        const char *text;
        int64_t pause;
    } rows[] = {
        {"0", 0},
        {"7", 7000},
        {" 120\t", 120000},
        {"3600", 3600000},
        {"99999999999999999999999999", 3600000},
        {"Sun, 06 Nov 1994 08:49:37 GMT", 90000},
        {"Sunday, 06-Nov-94 08:49:37 GMT", 90000},
        {"Sun Nov  6 08:49:37 1994", 90000},
        {"Sun Nov 16 08:49:37 1994", 3600000},
        {"Sun, 06 Nov 1994 08:48:07 GMT", 0},
        {"Sat, 05 Nov 1994 08:49:37 GMT", 0},
        {"Tue, 29 Feb 2028 00:00:00 GMT", 3600000},
        {"", 0},
        {"soon", 0},
        {"-5", 0},
        {"7s", 0},
        {"1.5", 0},
        {"Sun, 06 Nov 1994 08:49:37", 0},
        {"Sun, 06 Nov 1994 08:49:37 GMT and more", 0},
        {"Sun, 06 Nov 1994 25:49:37 GMT", 0},
        {"Sun, 00 Nov 1994 08:49:37 GMT", 0},
        {"Sun, 06 Foo 1994 08:49:37 GMT", 0},
        {"Sun, ", 0},
        {"Sun ", 0},
    };
    for (size_t i = 0; i < array_size(rows); i++)
        CHECK_INT(post_retry_after(rows[i].text, strlen(rows[i].text), now), rows[i].pause);
}

static enum post_results read_results(const char *body, enum outbox_verdict *verdicts, char *why)
{
    return post_results(body, strlen(body), verdicts, 3, why);
}

TEST(results_are_taken_by_their_place)
{
    enum outbox_verdict verdicts[3];
    char why[200];
    CHECK_INT(
        read_results(
            "{\"results\":[{\"status\":200},{\"status\":429},{\"status\":422,\"message\":\"no unit\"}]}",
            verdicts, why),
        POST_RESULTS);
    CHECK_INT(verdicts[0], OUTBOX_TAKEN);
    CHECK_INT(verdicts[1], OUTBOX_AGAIN);
    CHECK_INT(verdicts[2], OUTBOX_NEVER);
    CHECK_STR(why, "the server answers 429 to record 2 of a batch");
    CHECK_INT(
        read_results(
            "{\"results\":[{\"status\":200},{\"status\":200},{\"status\":422,\"message\":\"no unit\"}]}",
            verdicts, why),
        POST_RESULTS);
    CHECK_STR(why, "the server answers 422 to record 3 of a batch: no unit");
}

TEST(answers_that_say_nothing_of_records_are_no_results)
{
    static const char *const bodies[] = {
        "", "OK", "{}", "[]", "{\"results\":3}", "<html>", "{\"results\":[", "\xff"};
    enum outbox_verdict verdicts[3];
    char why[200];
    for (size_t i = 0; i < array_size(bodies); i++)
        CHECK_INT(read_results(bodies[i], verdicts, why), POST_NO_RESULTS);
}

TEST(results_of_something_else_are_not_believed)
{
    enum outbox_verdict verdicts[3];
    char why[200];
    CHECK_INT(read_results("{\"results\":[]}", verdicts, why), POST_BAD_RESULTS);
    CHECK_STR(why, "the server's answer has 0 results for 3 records");
    CHECK_INT(
        read_results("{\"results\":[{\"status\":200},{\"status\":200},{\"status\":\"200\"}]}", verdicts, why),
        POST_BAD_RESULTS);
    CHECK_STR(why, "result 3 in the server's answer: expected a \"status\" from 100 to 599");
    CHECK_INT(read_results("{\"results\":[1,2,3]}", verdicts, why), POST_BAD_RESULTS);
    CHECK_INT(
        read_results("{\"results\":[{\"status\":99},{\"status\":200},{\"status\":200}]}", verdicts, why),
        POST_BAD_RESULTS);
}
