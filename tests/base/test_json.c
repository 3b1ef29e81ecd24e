#include "base/json_write.h"

#include "rig/test.h"

#include <stdio.h>

static struct json *parse(struct arena *arena, const char *text)
{
    struct json *json = NULL;
    struct json_error error;
    int r = json_parse(&json, arena, text, strlen(text), &error);
    if (r != 0)
        FAIL("%s: line %u, column %u: expected %s", text, error.line, error.column, error.expected);
    return json;
}

#define CHECK_ERROR(text, at_line, at_column, what)                                                          \
    do {                                                                                                     \
        struct json *json_;                                                                                  \
        struct json_error error_;                                                                            \
        CHECK_INT(json_parse(&json_, &arena, (text), strlen(text), &error_), JSON_INVALID);                  \
        CHECK_INT(error_.line, (at_line));                                                                   \
        CHECK_INT(error_.column, (at_column));                                                               \
        CHECK_STR(error_.expected, (what));                                                                  \
    } while (0)

TEST(a_parsed_document_is_a_tree_over_its_input)
{
    struct arena arena;
    arena_init(&arena);
    const char *text = " {\"rpm\": 900, \"axes\": [1, 2.50], \"on\": true, \"off\": false, \"none\": null} ";
    struct json *json = parse(&arena, text);
    CHECK_INT(json->type, JSON_OBJECT);
    CHECK_INT(json->len, 5);
    struct json *rpm = json_get(json, "rpm");
    CHECK_INT(rpm->type, JSON_NUMBER);
    CHECK_MEM(rpm->text, rpm->len, "900", 3);
    CHECK(rpm->text > text && rpm->text < text + strlen(text));
    struct json *axes = json_get(json, "axes");
    CHECK_INT(axes->len, 2);
    CHECK_MEM(axes->first->next->text, axes->first->next->len, "2.50", 4);
    CHECK(axes->first->next == axes->last && !axes->last->next);
    bool on = false, off = true;
    CHECK(json_bool(json_get(json, "on"), &on) && on);
    CHECK(json_bool(json_get(json, "off"), &off) && !off);
    CHECK(json_is(json_get(json, "none"), JSON_NULL));
    CHECK(!json_get(json, "nothing"));
    CHECK(!json_get(axes, "rpm"));
    CHECK(!json_get(NULL, "rpm"));
    arena_done(&arena);
}

TEST(strings_are_unescaped_when_they_are_read)
{
    struct arena arena;
    arena_init(&arena);
    static const char expected[] = "A\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80\"\\/\b\f\n\r\t\0end";
    struct json *json =
        parse(&arena, "\"\\u0041\\u00e9\\u20AC\\uD83D\\uDE00\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0000end\"");
    CHECK_MEM(json->text, json->len, expected, sizeof expected - 1);
    const char *text = "untouched";
    CHECK(!json_text(json, &arena, &text));
    CHECK_STR(text, "untouched");
    CHECK(json_text(parse(&arena, "\"pump\\u0031\""), &arena, &text));
    CHECK_STR(text, "pump1");
    CHECK(json_text_is(parse(&arena, "\"pump\\u0031\""), "pump1"));
    CHECK(!json_text_is(parse(&arena, "\"pump11\""), "pump1"));
    CHECK(!json_text_is(NULL, "pump1"));
    CHECK(json_get(parse(&arena, "{\"\\u0061\\n\":1}"), "a\n") != NULL);
    arena_done(&arena);
}

TEST(an_error_names_line_column_and_what_was_expected)
{
    struct arena arena;
    arena_init(&arena);
    CHECK_ERROR("", 1, 1, "a value");
    CHECK_ERROR("{\n  \"a\": 1,\n  b: 2\n}", 3, 3, "a member's name in quotes");
    CHECK_ERROR("{b", 1, 2, "a member's name in quotes or '}'");
    CHECK_ERROR("{\"a\" 1}", 1, 6, "':'");
    CHECK_ERROR("{\"a\":1;}", 1, 7, "',' or '}'");
    CHECK_ERROR("[1 2]", 1, 4, "',' or ']'");
    CHECK_ERROR("[\n\n1,]", 3, 3, "a value");
    CHECK_ERROR("{\"\xC3\xA9\":x}", 1, 6, "a value"); /* the column counts characters */
    CHECK_ERROR("1.x", 1, 3, "a digit");
    CHECK_ERROR("-", 1, 2, "a digit");
    CHECK_ERROR("1e+", 1, 4, "a digit");
    CHECK_ERROR("NaN", 1, 1, "a value");
    CHECK_ERROR("01", 1, 2, "nothing after the value");
    CHECK_ERROR("\"abc", 1, 5, "the end of the string");
    CHECK_ERROR("\"a\\", 1, 4, "the end of the string");
    CHECK_ERROR("\"a\\x\"", 1, 4, "one of \\\" \\\\ \\/ \\b \\f \\n \\r \\t \\u");
    CHECK_ERROR("\"\\u12x4\"", 1, 6, "four hexadecimal digits");
    CHECK_ERROR("\"\\ud800 \"", 1, 8, "the low half of a surrogate pair");
    CHECK_ERROR("\"\\udc00\"", 1, 2, "a high surrogate before a low one");
    CHECK_ERROR("\"a\nb\"", 1, 3, "an escape for a control character");
    CHECK_ERROR("\"\\n\x01\"", 1, 4, "an escape for a control character");
    CHECK_ERROR("\"\xC3(\"", 1, 2, "well-formed UTF-8");
    CHECK_ERROR("\"\\n\xFF\"", 1, 4, "well-formed UTF-8");
    arena_done(&arena);
}

TEST(nesting_ends_at_the_limit_with_a_refusal_of_its_own)
{
    struct arena arena;
    arena_init(&arena);
    char text[2 * JSON_DEPTH_MAX + 2];
    memset(text, '[', JSON_DEPTH_MAX);
    memset(text + JSON_DEPTH_MAX, ']', JSON_DEPTH_MAX);
    struct json *json;
    CHECK_INT(json_parse(&json, &arena, text, 2 * JSON_DEPTH_MAX, NULL), 0);
    CHECK_INT(json_depth(json), JSON_DEPTH_MAX);
    memset(text, '[', JSON_DEPTH_MAX + 1);
    memset(text + JSON_DEPTH_MAX + 1, ']', JSON_DEPTH_MAX + 1);
    CHECK_INT(json_parse(&json, &arena, text, 2 * JSON_DEPTH_MAX + 2, NULL), JSON_TOO_DEEP);
    arena_done(&arena);
}

TEST(the_input_is_not_read_beyond_its_length)
{
    struct arena arena;
    arena_init(&arena);
    static const char text[] = "{\"a\":[true,\"x\\n\\u0041\xC3\xA9\",-1.5e3,null]}";
    for (size_t len = 0; len < sizeof text; len++) {
        char *exact = malloc(len ? len : 1); /* the sanitizer sees a step too far */
        memcpy(exact, text, len);
        struct json *json;
        CHECK_INT(json_parse(&json, &arena, exact, len, NULL), len == sizeof text - 1 ? 0 : JSON_INVALID);
        free(exact);
    }
    arena_done(&arena);
}

TEST(of_members_with_one_name_the_last_counts_at_the_place_of_the_first)
{
    struct arena arena;
    arena_init(&arena);
    struct json *json = parse(&arena, "{\"a\":{\"x\":1},\"b\":2,\"\\u0061\":[3],\"c\":4,\"b\":\"five\"}");
    CHECK_STR(json_write(&arena, json, NULL), "{\"a\":[3],\"b\":\"five\",\"c\":4}");
    CHECK_INT(json->len, 3);

    struct json_writer writer; /* large enough that a hash table finds them */
    json_writer_init(&writer, &arena);
    json_begin_object(&writer);
    for (int i = 0; i < 500; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "k%d", i % 300);
        json_key(&writer, key);
        json_put_int(&writer, i);
    }
    json_end_object(&writer);
    json = parse(&arena, json_writer_text(&writer, NULL));
    CHECK_INT(json->len, 300);
    int64_t value = 0, count = 0;
    CHECK(json_int(json_get(json, "k0"), 0, 1000, &value) && value == 300);
    CHECK(json_int(json_get(json, "k250"), 0, 1000, &value) && value == 250);
    CHECK(json_key_is(json->first, "k0", 2) && json_key_is(json->last, "k299", 4));
    json_for_each (member, json)
        count++;
    CHECK_INT(count, 300);
    arena_done(&arena);
}

TEST(an_index_finds_every_member_and_no_other)
{
    struct arena arena;
    arena_init(&arena);
    struct json *object = json_new(&arena, JSON_OBJECT);
    for (int i = 0; i < 1000; i++) {
        const char *key = arena_printf(&arena, "k%d", i);
        json_append(object, key, strlen(key), json_new_int(&arena, i));
    }
    struct json_index index;
    json_index_init_from(&index, &arena, object);
    json_for_each (member, object)
        CHECK(json_index_get(&index, member->key, member->key_len) == member);
    CHECK(!json_index_get(&index, "k1000", 5));
    CHECK(!json_index_get(&index, "", 0));
    json_index_init_from(&index, &arena, NULL);
    CHECK(!json_index_get(&index, "a", 1));
    arena_done(&arena);
}

TEST(values_are_equal_by_value_and_type)
{
    static const struct {
        const char *a, *b;
        bool equal;
    } pairs[] = {
        {"1", "1.0", true},
        {"1", "\"1\"", false},
        {"1", "true", false},
        {"null", "false", false},
        {"null", "null", true},
        {"\"\\u0041\"", "\"A\"", true},
        {"\"a\"", "\"a\\u0000\"", false},
        {"[1,2]", "[1.0,2e0]", true},
        {"[1,2]", "[2,1]", false},
        {"[1,2]", "[1]", false},
        {"{}", "[]", false},
        {"{\"a\":1,\"b\":2}", "{\"b\":2.0,\"a\":1}", true},
        {"{\"a\":1}", "{\"a\":1,\"b\":2}", false},
        {"{\"a\":1,\"b\":2}", "{\"a\":1,\"c\":2}", false},
        {"[{\"id\":1,\"pos\":{\"x\":[]}}]", "[{\"pos\":{\"x\":[]},\"id\":1}]", true},
        {"[{\"id\":1,\"pos\":{\"x\":[]}}]", "[{\"pos\":{\"x\":{}},\"id\":1}]", false},
    };
    struct arena arena;
    arena_init(&arena);
    for (size_t i = 0; i < array_size(pairs); i++) {
        struct json *a = parse(&arena, pairs[i].a), *b = parse(&arena, pairs[i].b);
        if (json_equal(a, b) != pairs[i].equal || json_equal(b, a) != pairs[i].equal)
            FAIL("%s and %s are said to be %s", pairs[i].a, pairs[i].b,
                 pairs[i].equal ? "different" : "equal");
    }
    arena_done(&arena);
}

TEST(members_are_set_in_place_and_removed_from_anywhere)
{
    struct arena arena;
    arena_init(&arena);
    struct json *json = parse(&arena, "{\"a\":1,\"b\":2,\"c\":3}");
    json_set(json, "b", 1, json_new_string(&arena, "two", 3));
    json_set(json, "c", 1, json_new(&arena, JSON_NULL));
    json_set(json, "d", 1, json_new_int(&arena, INT64_MIN));
    CHECK_STR(json_write(&arena, json, NULL),
              "{\"a\":1,\"b\":\"two\",\"c\":null,\"d\":-9223372036854775808}");
    CHECK(json_remove(json, "a", 1) && json_remove(json, "c", 1) && json_remove(json, "d", 1));
    CHECK(!json_remove(json, "d", 1));
    CHECK_STR(json_write(&arena, json, NULL), "{\"b\":\"two\"}");
    struct json *list = json_new(&arena, JSON_ARRAY);
    json_push(list, json_new_number(&arena, "1.50", 4));
    json_push(list, json_new(&arena, JSON_TRUE));
    json_set(json, "e", 1, list);
    CHECK_STR(json_write(&arena, json, NULL), "{\"b\":\"two\",\"e\":[1.50,true]}");
    CHECK_INT(json->len, 2);
    CHECK(json_remove(json, "b", 1) && json_remove(json, "e", 1));
    CHECK_STR(json_write(&arena, json, NULL), "{}");
    json_set(json, "f", 1, json_new(&arena, JSON_OBJECT));
    CHECK_STR(json_write(&arena, json, NULL), "{\"f\":{}}");
    arena_done(&arena);
}

TEST(a_copy_outlives_its_input_and_a_share_has_a_life_of_its_own)
{
    struct arena arena;
    arena_init(&arena);
    char text[] = "{\"a\":[1,{\"b\":\"c\"}],\"d\":null}";
    struct json *json = parse(&arena, text);
    struct json *copy = json_copy(&arena, json);
    struct json *array = json_new(&arena, JSON_ARRAY);
    json_push(array, json_share(&arena, json));
    json_push(array, json_share(&arena, json));
    CHECK_STR(json_write(&arena, array, NULL),
              "[{\"a\":[1,{\"b\":\"c\"}],\"d\":null},{\"a\":[1,{\"b\":\"c\"}],\"d\":null}]");
    memset(text, 'x', sizeof text - 1);
    CHECK_STR(json_write(&arena, copy, NULL), "{\"a\":[1,{\"b\":\"c\"}],\"d\":null}");
    arena_done(&arena);
}
