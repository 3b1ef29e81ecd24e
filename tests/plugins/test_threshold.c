#include "threshold/alarm.h"
#include "threshold/rule.h"

#include "rig/test.h"

#include <math.h>

static const struct rule high = {.above = 30, .below = -HUGE_VAL, .hysteresis = 1};
static const struct rule both = {.above = 30, .below = 5, .hysteresis = 1};
static const struct rule slow = {.above = 30, .below = -HUGE_VAL, .for_ms = 10000};

/* A source that lives by a rule; feed() takes the verdict over. */
struct life {
    const struct rule *rule;
    struct rule_state state;
    enum rule_side side; /* of the last event */
};

static enum rule_event take(struct life *life, struct rule_verdict verdict)
{
    life->state = verdict.state;
    life->side = verdict.side;
    return verdict.event;
}

static enum rule_event feed(struct life *life, double value, uint64_t now)
{
    return take(life, rule_judge(life->rule, life->state, value, now));
}

TEST(an_alarm_is_raised_once_per_crossing)
{
    struct life life = {&high};
    CHECK_INT(feed(&life, 30, 0), RULE_NOTHING);
    CHECK_INT(feed(&life, 30.1, 1), RULE_RAISED);
    CHECK_INT(life.side, RULE_ABOVE);
    CHECK_INT(feed(&life, 35, 2), RULE_NOTHING);
    CHECK_INT(feed(&life, 31, 3), RULE_NOTHING);
}

TEST(an_alarm_is_cleared_only_beyond_the_hysteresis)
{
    struct life life = {&high};
    CHECK_INT(feed(&life, 31, 0), RULE_RAISED);
    CHECK_INT(feed(&life, 29.5, 1), RULE_NOTHING);
    CHECK_INT(feed(&life, 30.5, 2), RULE_NOTHING);
    CHECK_INT(feed(&life, 29, 3), RULE_CLEARED);
    CHECK_INT(life.side, RULE_ABOVE);
    CHECK_INT(feed(&life, 28, 4), RULE_NOTHING);
    CHECK_INT(feed(&life, 31, 5), RULE_RAISED);
}

TEST(below_is_a_limit_too)
{
    struct life life = {&both};
    CHECK_INT(feed(&life, 4.9, 0), RULE_RAISED);
    CHECK_INT(life.side, RULE_BELOW);
    CHECK_INT(feed(&life, 5.5, 1), RULE_NOTHING);
    CHECK_INT(feed(&life, 6, 2), RULE_CLEARED);
    CHECK_INT(life.side, RULE_BELOW);
}

TEST(from_too_high_to_too_low_is_another_alarm)
{
    struct life life = {&both};
    CHECK_INT(feed(&life, 40, 0), RULE_RAISED);
    CHECK_INT(feed(&life, 0, 1), RULE_RAISED);
    CHECK_INT(life.side, RULE_BELOW);
    CHECK_INT(feed(&life, 20, 2), RULE_CLEARED);
    CHECK_INT(life.side, RULE_BELOW);
}

TEST(a_short_peak_is_no_alarm_when_it_must_last)
{
    struct life life = {&slow};
    CHECK_INT(feed(&life, 31, 0), RULE_NOTHING);
    CHECK_INT(feed(&life, 32, 9999), RULE_NOTHING);
    CHECK_INT(feed(&life, 30, 9999), RULE_NOTHING);
    CHECK_INT(feed(&life, 31, 10000), RULE_NOTHING); /* counts anew */
    CHECK_INT(feed(&life, 31, 19999), RULE_NOTHING);
    CHECK_INT(feed(&life, 31, 20000), RULE_RAISED);
    CHECK_INT(feed(&life, 30, 20001), RULE_CLEARED);
}

TEST(the_last_value_holds_while_none_comes)
{
    struct life life = {&slow};
    CHECK_INT(feed(&life, 31, 0), RULE_NOTHING);
    CHECK_INT(take(&life, rule_wait(life.rule, life.state, 9999)), RULE_NOTHING);
    CHECK_INT(take(&life, rule_wait(life.rule, life.state, 10000)), RULE_RAISED);
    CHECK_INT(take(&life, rule_wait(life.rule, life.state, 30000)), RULE_NOTHING);
}

TEST(a_verdict_that_is_not_taken_over_is_given_again)
{
    struct rule_state state = {0};
    CHECK_INT(rule_judge(&high, state, 31, 0).event, RULE_RAISED);
    CHECK_INT(rule_judge(&high, state, 31, 1).event, RULE_RAISED);
}

static bool has_number(const char *field, const char *payload, double expected)
{
    struct arena arena = {0};
    double value = NAN;
    bool found = json_double(alarm_number(&arena, field, payload, strlen(payload)), &value);
    arena_done(&arena);
    return found && value == expected;
}

TEST(the_number_is_found_along_the_dots)
{
    CHECK(has_number("temp", "{\"temp\":21.5}", 21.5));
    CHECK(has_number("env.temp", "{\"env\":{\"temp\":-3}}", -3));
    CHECK(has_number("", "42", 42));
}

TEST(what_is_no_number_there_is_not_found)
{
    CHECK(!has_number("temp", "{\"temp\":\"21\"}", 21));
    CHECK(!has_number("temp", "{\"temperature\":21}", 21));
    CHECK(!has_number("env.temp", "{\"env\":21}", 21));
    CHECK(!has_number("temp", "{\"temp\":21", 21));
    CHECK(!has_number("temp", "", 21));
    CHECK(!has_number("temp", "{\"temp\":1e999}", HUGE_VAL));
}

static void check_expanded(const char *pattern, const char *filter, const char *topic, const char *expected)
{
    struct arena arena = {0};
    CHECK_STR(alarm_expand(&arena, pattern, filter, topic, strlen(topic)), expected);
    arena_done(&arena);
}

TEST(patterns_take_what_the_wildcards_stand_for)
{
    check_expanded("alarm/${1}", "dt/+/env", "dt/b1/env", "alarm/b1");
    check_expanded("${2}-${1}-${2}", "+/+", "a/b", "b-a-b");
    check_expanded("alarm/${1}", "dt/#", "dt/b1/env", "alarm/b1/env");
    check_expanded("alarm/${topic}", "dt/+/env", "dt/b1/env", "alarm/dt/b1/env");
    check_expanded("alarm", "dt/+/env", "dt/b1/env", "alarm");
    check_expanded("", "dt/+/env", "dt/b1/env", "");
    check_expanded("$1 {1}", "dt/+/env", "dt/b1/env", "$1 {1}");
}

TEST(patterns_for_wildcards_that_are_not_there_are_refused)
{
    const char *bad = NULL;
    CHECK(alarm_pattern_is_valid("a/${1}/${topic}", "dt/+/env", &bad));
    CHECK(alarm_pattern_is_valid("no pattern, $ {1}", "dt/env", &bad));
    CHECK(!alarm_pattern_is_valid("a/${2}", "dt/+/env", &bad));
    CHECK_STR(bad, "${2}");
    CHECK(!alarm_pattern_is_valid("a/${0}", "dt/+/env", &bad));
    CHECK(!alarm_pattern_is_valid("a/${", "dt/+/env", &bad));
    CHECK(!alarm_pattern_is_valid("a/${1", "dt/+/env", &bad));
    CHECK(!alarm_pattern_is_valid("${name}", "dt/+/env", &bad));
}

TEST(an_alarm_says_all_that_is_known)
{
    struct arena arena = {0};
    struct alarm_text text = {"dt/+/env", "temp", "alarm/${1}", "boiler \"${1}\""};
    struct rule_verdict verdict = {.event = RULE_RAISED, .side = RULE_ABOVE};
    size_t len;
    const char *said = alarm_payload(&arena, &text, &high, &verdict, "dt/b1/env", 9, "31.50", &len);
    CHECK_STR(said, "{\"state\":\"raised\",\"side\":\"above\",\"topic\":\"dt/b1/env\",\"field\":\"temp\","
                    "\"value\":31.50,\"limit\":30,\"message\":\"boiler \\\"b1\\\"\"}");
    CHECK_INT((int64_t)len, (int64_t)strlen(said));
    arena_done(&arena);
}
