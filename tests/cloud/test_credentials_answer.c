#include "cloud/credentials_answer.h"

#include "rig/test.h"

#include <errno.h>
#include <string.h>

#define ANSWER(key, secret, token, ends)                                                                     \
    "{\"credentials\":{\"accessKeyId\":" key ",\"secretAccessKey\":" secret ",\"sessionToken\":" token       \
    ",\"expiration\":" ends "}}"
#define ENDS "\"2026-01-18T09:18:06Z\""

TEST(credentials_come_with_their_end)
{
    static const char body[] = ANSWER("\"ASIAX\"", "\"a\\/b+c\"", "\"FwoG==\"", ENDS);
    cleanup(credentials_done) struct credentials got = {0};
    char why[CREDENTIALS_WHY_BYTES];
    CHECK_INT(credentials_parse(&got, body, strlen(body), why), 0);
    CHECK_STR(got.access_key, "ASIAX");
    CHECK_STR(got.secret_key, "a/b+c");
    CHECK_STR(got.token, "FwoG==");
    CHECK_STR(got.expiration, "2026-01-18T09:18:06Z");
    CHECK_INT(got.ends, INT64_C(1768727886000));
}

TEST(what_is_not_credentials_is_refused_with_what_was_expected)
{
    static const struct {
        const char *body, *expected;
    } cases[] = {
        {"", "an object in JSON"},
        {"<html>", "an object in JSON"},
        {"{}", "\"accessKeyId\""},
        {"{\"credentials\":[]}", "\"accessKeyId\""},
        {ANSWER("1", "\"b\"", "\"c\"", ENDS), "\"accessKeyId\""},
        {ANSWER("\"a\"", "\"\"", "\"c\"", ENDS), "\"secretAccessKey\""},
        {ANSWER("\"a\"", "\"b\\n\"", "\"c\"", ENDS), "\"secretAccessKey\""},
        {ANSWER("\"a\"", "\"b\"", "\"c\"", "\"tomorrow\""), "\"expiration\""},
        {ANSWER("\"a\"", "\"b\"", "\"c\"", "\"2026-02-30T09:18:06Z\""), "\"expiration\""},
        {ANSWER("\"a\"", "\"b\"", "\"c\"", "1768727886"), "\"expiration\""},
    };
    for (size_t i = 0; i < array_size(cases); i++) {
        struct credentials got;
        char why[CREDENTIALS_WHY_BYTES];
        CHECK_INT(credentials_parse(&got, cases[i].body, strlen(cases[i].body), why), -EINVAL);
        if (!strstr(why, cases[i].expected))
            FAIL("%s: %s", cases[i].body, why);
    }
}

TEST(a_refusal_has_the_servers_sentence_and_nothing_that_does_not_print)
{
    static const char body[] = "{\"message\":\"Access\\nDenied\"}";
    char why[CREDENTIALS_WHY_BYTES];
    credentials_refusal(why, body, strlen(body));
    CHECK_STR(why, "Access?Denied");
    credentials_refusal(why, "no JSON", 7);
    CHECK_STR(why, "");
}

TEST(they_are_renewed_when_a_tenth_or_five_minutes_are_left)
{
    enum { MINUTE = 60 * 1000 };
    CHECK_INT(credentials_renew_after(60 * MINUTE, 0), 54 * MINUTE);
    CHECK_INT(credentials_renew_after(60 * MINUTE, UINT32_MAX), 51 * MINUTE);
    CHECK_INT(credentials_renew_after(15 * MINUTE, 0), 10 * MINUTE);
    CHECK_INT(credentials_renew_after(720 * MINUTE, 0), 648 * MINUTE);
    CHECK_INT(credentials_renew_after(2 * MINUTE, UINT32_MAX), 1 * MINUTE);
    CHECK_INT(credentials_renew_after(2, 0), 1);
}
