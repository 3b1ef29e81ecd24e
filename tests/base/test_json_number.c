#include "base/json.h"

#include "rig/test.h"

static struct json *number(struct arena *arena, const char *text)
{
    struct json *json = json_new_number(arena, text, strlen(text));
    if (!json)
        FAIL("%s is no number", text);
    return json;
}

static void check_order(const char *a, const char *b, int expected)
{
    struct arena arena;
    arena_init(&arena);
    struct json *x = number(&arena, a), *y = number(&arena, b);
    if (json_number_compare(x, y) != expected || json_number_compare(y, x) != -expected)
        FAIL("%s and %s compare as %d", a, b, json_number_compare(x, y));
    arena_done(&arena);
}

TEST(spellings_of_one_number_are_equal)
{
    static const char *const same[][2] = {
        {"1", "1.0"},
        {"1", "1e0"},
        {"1", "0.1e1"},
        {"100", "1e2"},
        {"0", "-0"},
        {"0", "0.000e99"},
        {"10", "1.0E+1"},
        {"0.001", "1e-3"},
        {"-2.50", "-25e-1"},
        {"12345678901234567890123", "1234567890123456789012.3e1"},
        {"0.00120", "12e-4"},
        {"1e100000000000000000", "10e99999999999999999"},
        {"1e00000000000000000000000000002", "100"},
        {"9007199254740993", "9007199254740993.000"},
    };
    for (size_t i = 0; i < array_size(same); i++)
        check_order(same[i][0], same[i][1], 0);
}

TEST(numbers_are_ordered_exactly_however_many_digits_they_have)
{
    static const char *const rising[] = {
        "-1e400",
        "-9007199254740993",
        "-9007199254740992",
        "-1.5",
        "-1",
        "-0.1",
        "-1e-400",
        "0",
        "1e-400",
        "0.1",
        "0.10000000000000000000000000000001",
        "0.2",
        "1",
        "1.5",
        "2",
        "10",
        "9007199254740992",
        "9007199254740993",
        "9223372036854775807",
        "9223372036854775808",
        "1e400",
        "1.1e400",
    };
    for (size_t i = 0; i < array_size(rising); i++)
        for (size_t k = i + 1; k < array_size(rising); k++)
            check_order(rising[i], rising[k], -1);
}

static bool reads_as(const char *text, int64_t min, int64_t max, int64_t expected)
{
    struct arena arena;
    arena_init(&arena);
    int64_t value = 4711;
    bool read = json_int(number(&arena, text), min, max, &value);
    arena_done(&arena);
    return read ? value == expected : value != 4711;
}

TEST(integers_are_read_by_value_within_their_range)
{
    CHECK(reads_as("0", 0, 0, 0));
    CHECK(reads_as("-0", 0, 0, 0));
    CHECK(reads_as("5.0", 0, 9, 5));
    CHECK(reads_as("50e-1", 0, 9, 5));
    CHECK(reads_as("1.2e3", 0, 9999, 1200));
    CHECK(reads_as("-12", -20, 0, -12));
    CHECK(reads_as("9007199254740993", 0, INT64_MAX, 9007199254740993));
    CHECK(reads_as("9223372036854775807", INT64_MIN, INT64_MAX, INT64_MAX));
    CHECK(reads_as("-9223372036854775808", INT64_MIN, INT64_MAX, INT64_MIN));
    CHECK(reads_as("1e18", 0, INT64_MAX, 1000000000000000000));
}

TEST(what_is_no_integer_or_out_of_range_is_not_read)
{
    static const char *const texts[] = {
        "1.5",
        "0.1",
        "1e-1",
        "9223372036854775808",
        "-9223372036854775809",
        "1e19",
        "1e400",
        "99999999999999999999",
        "-1e19",
        "0.1e0",
    };
    struct arena arena;
    arena_init(&arena);
    int64_t value = 4711;
    for (size_t i = 0; i < array_size(texts); i++)
        CHECK(!json_int(number(&arena, texts[i]), INT64_MIN, INT64_MAX, &value));
    CHECK(!json_int(number(&arena, "10"), 0, 9, &value));
    CHECK(!json_int(number(&arena, "-1"), 0, 9, &value));
    CHECK(!json_int(json_new_string(&arena, "1", 1), 0, 9, &value));
    CHECK(!json_int(NULL, 0, 9, &value));
    CHECK_INT(value, 4711);
    arena_done(&arena);
}

TEST(doubles_are_the_nearest_and_never_infinite)
{
    struct arena arena;
    arena_init(&arena);
    double value = 0;
    CHECK(json_double(number(&arena, "0.1"), &value) && value == 0.1);
    CHECK(json_double(number(&arena, "-1e3"), &value) && value == -1000);
    CHECK(json_double(number(&arena, "1e-400"), &value) && value == 0);
    CHECK(json_double(
              number(&arena, "1.0000000000000000000000000000000000000000000000000000000000000000000000001"),
              &value) &&
          value == 1);
    CHECK(!json_double(number(&arena, "1e400"), &value));
    CHECK(!json_double(json_new(&arena, JSON_TRUE), &value));
    CHECK(!json_double(NULL, &value));
    arena_done(&arena);
}

TEST(only_a_number_alone_becomes_a_number)
{
    static const char *const texts[] = {"",   " 1", "1 ", "1,2",  "+1",  "01", "1.",
                                        ".1", "1e", "-",  "true", "[1]", "0x1"};
    struct arena arena;
    arena_init(&arena);
    for (size_t i = 0; i < array_size(texts); i++)
        CHECK(!json_new_number(&arena, texts[i], strlen(texts[i])));
    arena_done(&arena);
}
