#include "ghn/json.h"

#include "rig/test.h"

#include <stdlib.h>

static int parse(ghn_json *ret, const char *text)
{
    return ghn_json_parse(ret, text, strlen(text));
}

static bool is_json(const char *text)
{
    ghn_json ignored;
    return parse(&ignored, text) == 0;
}

/* The bytes in a block of their own, so that the address sanitizer sees a read past their end. */
static bool is_json_bytes(const char *text, size_t len)
{
    char *copy = malloc(len ? len : 1);
    ghn_json ignored;
    memcpy(copy, text, len);
    bool r = ghn_json_parse(&ignored, copy, len) == 0;
    free(copy);
    return r;
}

TEST(every_kind_of_value_is_recognised)
{
    static const struct {
        const char *text;
        ghn_json_kind kind;
    } values[] = {
        {"null", GHN_JSON_NULL},    {" true\n", GHN_JSON_BOOL},  {"false", GHN_JSON_BOOL},
        {"0", GHN_JSON_INT},        {"-17", GHN_JSON_INT},       {"1.0", GHN_JSON_NUMBER},
        {"1e3", GHN_JSON_NUMBER},   {"0.5E-2", GHN_JSON_NUMBER}, {"\"a\"", GHN_JSON_STRING},
        {"[1, 2]", GHN_JSON_ARRAY}, {"{ }", GHN_JSON_OBJECT},    {"[]", GHN_JSON_ARRAY},
    };
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        ghn_json value;
        CHECK_INT(parse(&value, values[i].text), 0);
        CHECK_INT(value.kind, values[i].kind);
    }
}

TEST(what_is_not_json_is_refused)
{
    static const char *const texts[] = {
        "",
        " ",
        "{",
        "}",
        "[1,]",
        "{\"a\":1,}",
        "{a:1}",
        "{'a':1}",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\" 1}",
        "{1:2}",
        "[1 2]",
        "[,1]",
        "{,}",
        "01",
        "-",
        "+1",
        "1.",
        ".5",
        "1e",
        "1e+",
        "0x10",
        "NaN",
        "Infinity",
        "tru",
        "truE",
        "nul",
        "\"a",
        "\"\\x\"",
        "\"\\u12g4\"",
        "\"\\u12\"",
        "\"\\",
        "\"\n\"",
        "1 2",
        "{} {}",
        "[1}",
        "{\"a\":1]",
        "// x\n1",
        "\"\\ud800\"",
        "\"\\udc00\"",
        "\"\\ud800\\u0041\"",
        "\xEF\xBB\xBF{}",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (is_json(texts[i]))
            FAIL("taken for JSON: %s", texts[i]);
}

TEST(no_beginning_of_a_text_is_a_text_and_none_is_read_past_its_end)
{
    static const char text[] =
        "{\"a\":[1,-2.5e+3,true,false,null,\"x\\u00e4\\ud83d\\ude00\\n\xC3\xA4\"],\"b\":{\"c\":{}}}";
    for (size_t len = 0; len < sizeof text - 1; len++)
        CHECK(!is_json_bytes(text, len));
    CHECK(is_json_bytes(text, sizeof text - 1));
}

TEST(a_number_ends_with_the_text)
{
    CHECK(is_json_bytes("12", 2));
    CHECK(is_json_bytes("-0", 2));
    CHECK(!is_json_bytes("1.", 2));
}

TEST(utf_8_is_checked)
{
    CHECK(is_json("\"\xC3\xA4 \xE2\x82\xAC \xF0\x9F\x98\x80\""));
    CHECK(!is_json("\"\x80\""));
    CHECK(!is_json("\"\xC0\xAF\""));         /* longer than it need be */
    CHECK(!is_json("\"\xE0\x80\xAF\""));     /* the same in three bytes */
    CHECK(!is_json("\"\xED\xA0\x80\""));     /* a surrogate */
    CHECK(!is_json("\"\xF4\x90\x80\x80\"")); /* past U+10FFFF */
    CHECK(!is_json("\"\xC3\""));
}

TEST(nesting_is_bounded)
{
    char text[2 * (GHN_JSON_DEPTH_MAX + 1)];
    for (size_t depth = 1; depth <= GHN_JSON_DEPTH_MAX + 1; depth++) {
        memset(text, '[', depth);
        memset(text + depth, ']', depth);
        CHECK_INT(is_json_bytes(text, 2 * depth), depth <= GHN_JSON_DEPTH_MAX);
    }
}

TEST(brothers_do_not_count_as_depth)
{
    ghn_json value;
    CHECK_INT(parse(&value, "[[],{},[],{},[],{},[],{},[],{},[],{},[],{},[[]],[{}],{\"a\":[]},{\"a\":{}}]"),
              0);
}

TEST(the_members_of_an_object_come_in_order)
{
    ghn_json doc, name, value;
    int64_t n;
    size_t at = 0;
    CHECK_INT(parse(&doc, " { \"a\" : 1 , \"b\":[1,{\"a\":2}],\"c\":\"}\" } "), 0);

    CHECK(ghn_json_next(&doc, &at, &name, &value));
    CHECK(ghn_json_is(&name, "a"));
    CHECK_INT(ghn_json_int(&value, &n), 0);
    CHECK_INT(n, 1);
    CHECK(ghn_json_next(&doc, &at, &name, &value));
    CHECK(ghn_json_is(&name, "b"));
    CHECK_MEM(value.text, value.len, "[1,{\"a\":2}]", 11);
    CHECK(ghn_json_next(&doc, &at, &name, &value));
    CHECK(ghn_json_is(&name, "c"));
    CHECK(ghn_json_is(&value, "}"));
    CHECK(!ghn_json_next(&doc, &at, &name, &value));
    CHECK(!ghn_json_next(&doc, &at, &name, &value));
}

TEST(the_elements_of_an_array_come_in_order)
{
    ghn_json doc, value;
    size_t at = 0;
    int64_t sum = 0, n;
    CHECK_INT(parse(&doc, "[ 1,20 , 300 ]"), 0);
    while (ghn_json_next(&doc, &at, NULL, &value)) {
        CHECK_INT(ghn_json_int(&value, &n), 0);
        sum += n;
    }
    CHECK_INT(sum, 321);
}

TEST(a_value_without_members_has_none)
{
    ghn_json doc, name, value;
    size_t at = 0;
    CHECK_INT(parse(&doc, "\"text\""), 0);
    CHECK(!ghn_json_next(&doc, &at, &name, &value));
    CHECK(!ghn_json_member(&doc, "text", &value));
}

TEST(of_two_members_with_one_name_the_last_counts)
{
    ghn_json doc, value;
    int64_t n;
    CHECK_INT(parse(&doc, "{\"a\":1,\"b\":{\"a\":3},\"\\u0061\":2}"), 0);
    CHECK(ghn_json_member(&doc, "a", &value));
    CHECK_INT(ghn_json_int(&value, &n), 0);
    CHECK_INT(n, 2);
    CHECK(!ghn_json_member(&doc, "aa", &value));
    CHECK(!ghn_json_member(&doc, "", &value));
}

TEST(integers_keep_their_64_bits)
{
    static const struct {
        const char *text;
        int r;
        int64_t value;
    } cases[] = {
        {"0", 0, 0},
        {"-0", 0, 0},
        {"-1", 0, -1},
        {"9223372036854775807", 0, INT64_MAX},
        {"-9223372036854775808", 0, INT64_MIN},
        {"9223372036854775808", GHN_RANGE, 0},
        {"-9223372036854775809", GHN_RANGE, 0},
        {"99999999999999999999999999", GHN_RANGE, 0},
        {"1.0", GHN_INVALID, 0},
        {"true", GHN_INVALID, 0},
        {"\"1\"", GHN_INVALID, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ghn_json value;
        int64_t n = 0;
        CHECK_INT(parse(&value, cases[i].text), 0);
        CHECK_INT(ghn_json_int(&value, &n), cases[i].r);
        CHECK_INT(n, cases[i].value);
    }
}

TEST(booleans_are_booleans_only)
{
    ghn_json value;
    bool b = false;
    CHECK_INT(parse(&value, "true"), 0);
    CHECK_INT(ghn_json_bool(&value, &b), 0);
    CHECK(b);
    CHECK_INT(parse(&value, "1"), 0);
    CHECK_INT(ghn_json_bool(&value, &b), GHN_INVALID);
}

TEST(strings_are_copied_with_their_escapes_resolved)
{
    ghn_json value;
    char text[32];
    CHECK_INT(parse(&value, "\"\\\"\\\\\\/\\b\\f\\n\\r\\t \\u00e4\\u20ac\\ud83d\\ude00\""), 0);
    CHECK_INT(ghn_json_string(&value, text, sizeof text), 0);
    CHECK_STR(text, "\"\\/\b\f\n\r\t \xC3\xA4\xE2\x82\xAC\xF0\x9F\x98\x80");
    CHECK(ghn_json_is(&value, text));
}

TEST(a_string_that_does_not_fit_is_not_cut)
{
    ghn_json value;
    char text[4] = "old";
    CHECK_INT(parse(&value, "\"abcd\""), 0);
    CHECK_INT(ghn_json_string(&value, text, sizeof text), GHN_TOO_LONG);
    CHECK_INT(ghn_json_string(&value, text, 0), GHN_TOO_LONG);
    CHECK_INT(parse(&value, "\"abc\""), 0);
    CHECK_INT(ghn_json_string(&value, text, sizeof text), 0);
    CHECK_STR(text, "abc");
}

TEST(a_string_with_a_nul_in_it_is_no_c_string)
{
    ghn_json value;
    char text[8];
    CHECK_INT(parse(&value, "\"a\\u0000b\""), 0);
    CHECK_INT(ghn_json_string(&value, text, sizeof text), GHN_INVALID);
    CHECK(!ghn_json_is(&value, "a"));
}

TEST(an_object_is_written_with_commas_where_they_belong)
{
    char text[128];
    ghn_json_out out;
    ghn_json_begin(&out, text, sizeof text);
    ghn_json_put_int(&out, "min", INT64_MIN);
    ghn_json_put_object(&out, "empty");
    ghn_json_end(&out);
    ghn_json_put_object(&out, "in");
    ghn_json_put_bool(&out, "on", true);
    ghn_json_put_string(&out, "{", "{");
    ghn_json_end(&out);
    ghn_json_put_raw(&out, "raw", "[1]", 3);
    ghn_json_put_int(&out, "zero", 0);
    int len = ghn_json_finish(&out);
    CHECK_STR(
        text,
        "{\"min\":-9223372036854775808,\"empty\":{},\"in\":{\"on\":true,\"{\":\"{\"},\"raw\":[1],\"zero\":0}");
    CHECK_INT(len, strlen(text));
}

TEST(what_is_written_as_a_string_is_read_as_the_same_string)
{
    static const char original[] = "\"quoted\" \\ \x01\x1f\n\t\x7f \xC3\xA4";
    char text[128], back[64];
    ghn_json_out out;
    ghn_json doc, value;
    ghn_json_begin(&out, text, sizeof text);
    ghn_json_put_string(&out, "s", original);
    int len = ghn_json_finish(&out);
    CHECK(len > 0);
    CHECK_INT(ghn_json_parse(&doc, text, (size_t)len), 0);
    CHECK(ghn_json_member(&doc, "s", &value));
    CHECK_INT(ghn_json_string(&value, back, sizeof back), 0);
    CHECK_STR(back, original);
}

TEST(a_text_that_does_not_fit_says_so_and_stays_in_its_buffer)
{
    static const char whole[] = "{\"a\":1,\"b\":{\"c\":\"x\"}}";
    for (size_t size = 0; size <= sizeof whole; size++) {
        char *text = malloc(size ? size : 1);
        ghn_json_out out;
        ghn_json_begin(&out, text, size);
        ghn_json_put_int(&out, "a", 1);
        ghn_json_put_object(&out, "b");
        ghn_json_put_string(&out, "c", "x");
        ghn_json_end(&out);
        int r = ghn_json_finish(&out);
        if (size < sizeof whole)
            CHECK_INT(r, GHN_TOO_LONG);
        else
            CHECK_STR(text, whole);
        free(text);
    }
}

TEST(an_object_left_open_is_not_finished)
{
    char text[64];
    ghn_json_out out;
    ghn_json_begin(&out, text, sizeof text);
    ghn_json_put_object(&out, "a");
    CHECK_INT(ghn_json_finish(&out), GHN_INVALID);
}
