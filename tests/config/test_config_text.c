/* The pure parts: lines of an INI text, and values. */
#include "config/ini_text.h"
#include "base/value.h"
#include "rig/test.h"

#include <stdio.h>

/* All items of a text, one a line: what is parsed is compared as text. */
static const char *lines_of(const char *bytes, size_t len)
{
    static const char *const names[] = {"section", "entry", "more", "wrong"};
    static char shown[4096];
    struct ini_text text;
    struct ini_item item;
    size_t at = 0;
    shown[0] = '\0';
    ini_text_init(&text, bytes, len);
    while (ini_text_next(&text, &item)) {
        const struct ini_piece *first = item.type == INI_SECTION ? &item.kind : &item.key;
        const struct ini_piece *second = item.type == INI_SECTION ? &item.name : &item.value;
        at += (size_t)snprintf(shown + at, sizeof shown - at, "%d %s <%.*s> <%.*s>\n", item.line,
                               names[item.type], (int)first->len, first->text ? first->text : "",
                               (int)second->len, second->text ? second->text : "");
    }
    return shown;
}

static const char *lines(const char *text)
{
    return lines_of(text, strlen(text));
}

TEST(sections_and_entries_are_taken_apart)
{
    CHECK_STR(lines("[stream  telemetry]\nuplink=cloud\n\tmax-size  =  1G  \n"),
              "1 section <stream> <telemetry>\n2 entry <uplink> <cloud>\n3 more <> <max-size  =  1G>\n");
    CHECK_STR(lines("[ gateway ]\nname = a b = c"), "1 section <gateway> <>\n2 entry <name> <a b = c>\n");
    CHECK_STR(lines("[a]\nempty =\n"), "1 section <a> <>\n2 entry <empty> <>\n");
}

TEST(comments_and_empty_lines_say_nothing)
{
    CHECK_STR(lines("# one\n; two\n\n   # three\n \t \n"), "");
    CHECK_STR(lines("[a]\nb = 1\n   # not a part of b\n   2\n"),
              "1 section <a> <>\n2 entry <b> <1>\n4 more <> <2>\n");
}

TEST(a_value_is_everything_behind_the_equals_sign)
{
    CHECK_STR(lines("[a]\nfilter = x/#\nalarm = a ; b # c \"d\"\n"),
              "1 section <a> <>\n2 entry <filter> <x/#>\n3 entry <alarm> <a ; b # c \"d\">\n");
}

TEST(lines_may_end_as_on_other_systems)
{
    CHECK_STR(lines("\xEF\xBB\xBF[a]\r\nb = 1\r\n  2\r\n"),
              "1 section <a> <>\n2 entry <b> <1>\n3 more <> <2>\n");
}

TEST(what_is_wrong_is_told_with_its_line_and_the_rest_is_taken)
{
    CHECK_STR(lines("[a\nb\n[a] x\n= 1\n[]\nc = 2\n"),
              "1 wrong <> <[a>\n2 wrong <> <b>\n3 wrong <> <[a] x>\n"
              "4 wrong <> <= 1>\n5 wrong <> <[]>\n6 entry <c> <2>\n");
}

TEST(an_indented_line_goes_on_with_a_value_only)
{
    CHECK_STR(lines("  a = 1\n[b]\n  c = 1\n"), "1 wrong <> <a = 1>\n2 section <b> <>\n3 wrong <> <c = 1>\n");
    CHECK_STR(lines("wrong\n  and more of it\n  and more\nc = 1\n"), "1 wrong <> <wrong>\n4 entry <c> <1>\n");
}

TEST(bytes_that_are_no_text_are_wrong_except_in_comments)
{
    CHECK_STR(lines("# f\xFCr\n[a]\nb = f\xFCr\nc = \x01\nd = f\xC3\xBCr\n"),
              "2 section <a> <>\n3 wrong <> <b = f\xFCr>\n4 wrong <> <c = \x01>\n5 entry <d> <f\xC3\xBCr>\n");
}

TEST(a_zero_byte_ends_the_text)
{
    static const char bytes[] = "[a]\nb\0c\nd = 1\n";
    CHECK_STR(lines_of(bytes, sizeof bytes - 1), "1 section <a> <>\n2 wrong <> <b>\n");
}

TEST(a_line_may_be_as_long_as_the_text)
{
    static char text[100000] = "[a]\nb = ";
    struct ini_text at;
    struct ini_item item;
    memset(text + 8, 'x', sizeof text - 8);
    ini_text_init(&at, text, sizeof text);
    CHECK(ini_text_next(&at, &item) && ini_text_next(&at, &item));
    CHECK_INT(item.type, INI_ENTRY);
    CHECK_INT((int64_t)item.value.len, (int64_t)sizeof text - 8);
}

/* ---- values ------------------------------------------------------------------------------------------------------ */

TEST(values_are_numbers_sizes_times_and_switches)
{
    static const struct {
        enum value_type type;
        const char *text;
        int64_t value;
    } good[] = {
        {VALUE_NUMBER, "0", 0},
        {VALUE_NUMBER, "007", 7},
        {VALUE_NUMBER, "9223372036854775807", INT64_MAX},
        {VALUE_BYTES, "1023", 1023},
        {VALUE_BYTES, "4K", 4096},
        {VALUE_BYTES, "1M", 1048576},
        {VALUE_BYTES, "3G", 3221225472},
        {VALUE_BYTES, "8T", 8796093022208},
        {VALUE_TIME, "30", 30},
        {VALUE_TIME, "30s", 30},
        {VALUE_TIME, "5m", 300},
        {VALUE_TIME, "12h", 43200},
        {VALUE_TIME, "7d", 604800},
        {VALUE_RATE, "0", 0},
        {VALUE_RATE, "500bit", 500},
        {VALUE_RATE, "20kbit", 20000},
        {VALUE_RATE, "3mbit", 3000000},
        {VALUE_RATE, "1gbit", 1000000000},
        {VALUE_SWITCH, "yes", 1},
        {VALUE_SWITCH, "no", 0},
    };
    for (size_t i = 0; i < array_size(good); i++) {
        int64_t value = -1;
        if (!value_parse(good[i].type, good[i].text, &value))
            FAIL("\"%s\" is refused", good[i].text);
        CHECK_INT(value, good[i].value);
    }
}

TEST(everything_else_is_no_value)
{
    static const struct {
        enum value_type type;
        const char *text;
    } bad[] = {
        {VALUE_NUMBER, ""},
        {VALUE_NUMBER, "high"},
        {VALUE_NUMBER, "-1"},
        {VALUE_NUMBER, "+1"},
        {VALUE_NUMBER, " 1"},
        {VALUE_NUMBER, "1 "},
        {VALUE_NUMBER, "1.5"},
        {VALUE_NUMBER, "0x10"},
        {VALUE_NUMBER, "1K"},
        {VALUE_NUMBER, "9223372036854775808"},
        {VALUE_BYTES, "M"},
        {VALUE_BYTES, "1m"},
        {VALUE_BYTES, "1MB"},
        {VALUE_BYTES, "1 M"},
        {VALUE_BYTES, "1.5M"},
        {VALUE_BYTES, "9000000T"}, /* more than 63 bits */
        {VALUE_TIME, "d"},
        {VALUE_TIME, "7D"},
        {VALUE_TIME, "7w"},
        {VALUE_TIME, "1h30m"},
        {VALUE_TIME, "200000000000000d"},
        {VALUE_RATE, "20k"},
        {VALUE_RATE, "20Kbit"},
        {VALUE_RATE, "20 kbit"},
        {VALUE_SWITCH, ""},
        {VALUE_SWITCH, "true"},
        {VALUE_SWITCH, "Yes"},
        {VALUE_SWITCH, "1"},
    };
    for (size_t i = 0; i < array_size(bad); i++) {
        int64_t value = -1;
        if (value_parse(bad[i].type, bad[i].text, &value))
            FAIL("\"%s\" is taken for %lld", bad[i].text, (long long)value);
        CHECK_INT(value, -1);
    }
}

TEST(what_was_expected_is_said_in_the_units_one_writes)
{
    cleanup_free char *size = value_expected(VALUE_BYTES, 65536, 1 << 30);
    CHECK_STR(size, "a size (in bytes, or with K, M, G or T) from 64K to 1G");
    cleanup_free char *time = value_expected(VALUE_TIME, 0, 90);
    CHECK_STR(time, "a time (in seconds, or with s, m, h or d) from 0 to 90s");
    cleanup_free char *number = value_expected(VALUE_NUMBER, 1, 10);
    CHECK_STR(number, "a whole number from 1 to 10");
    cleanup_free char *yes = value_expected(VALUE_SWITCH, 0, 1);
    CHECK_STR(yes, "yes or no");
}
