#include "base/json_write.h"

#include "rig/test.h"

#include <float.h>
#include <math.h>

TEST(an_answer_is_written_piece_by_piece)
{
    struct arena arena;
    arena_init(&arena);
    struct json_writer w;
    json_writer_init(&w, &arena);
    json_begin_object(&w);
    json_key(&w, "a");
    json_put_int(&w, -5);
    json_key(&w, "b");
    json_begin_array(&w);
    json_put_null(&w);
    json_put_bool(&w, true);
    json_put_string(&w, "x\"y");
    json_begin_object(&w);
    json_end_object(&w);
    json_begin_array(&w);
    json_end_array(&w);
    json_put_uint(&w, UINT64_MAX);
    json_end_array(&w);
    json_key(&w, "c");
    json_put_raw(&w, "{\"raw\":1}", 9);
    json_key(&w, "d");
    json_put_string(&w, NULL);
    json_end_object(&w);
    size_t len;
    const char *text = json_writer_text(&w, &len);
    CHECK_STR(
        text,
        "{\"a\":-5,\"b\":[null,true,\"x\\\"y\",{},[],18446744073709551615],\"c\":{\"raw\":1},\"d\":null}");
    CHECK_INT((int64_t)len, (int64_t)strlen(text));
    arena_done(&arena);
}

TEST(only_what_must_be_escaped_is)
{
    struct arena arena;
    arena_init(&arena);
    static const char text[] = "\"\\/\b\f\n\r\t\x01\x1F\x7F \xC3\xA9\xF0\x9F\x98\x80\0.";
    struct json *json = json_new_string(&arena, text, sizeof text - 1);
    static const char expected[] =
        "\"\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\\u001f\x7F \xC3\xA9\xF0\x9F\x98\x80\\u0000.\"";
    size_t len;
    char *written = json_write(&arena, json, &len);
    CHECK_STR(written, expected);
    CHECK_INT((int64_t)json_size(json), (int64_t)len);
    arena_done(&arena);
}

TEST(bytes_that_are_not_utf8_are_replaced)
{
    struct arena arena;
    arena_init(&arena);
    struct json *json = json_new(&arena, JSON_OBJECT);
    json_set(json, "\xFF", 1, json_new_string(&arena, "a\xC3(\xED\xA0\x80z\xE2\x82", 9));
    size_t len;
    char *written = json_write(&arena, json, &len);
#define R "\xEF\xBF\xBD"
    CHECK_STR(written, "{\"" R "\":\"a" R "(" R R R "z" R R "\"}");
    CHECK_INT((int64_t)json_size(json), (int64_t)len);
    arena_done(&arena);
}

TEST(every_byte_string_is_written_as_valid_json)
{
    struct arena arena;
    arena_init(&arena);
    uint32_t state = 7;
    for (int i = 0; i < 3000; i++) {
        char bytes[24];
        size_t n = (size_t)i % sizeof bytes;
        for (size_t k = 0; k < n; k++)
            bytes[k] = (char)((state = state * 1664525 + 1013904223) >> 24);
        struct json_writer w;
        json_writer_init(&w, &arena);
        json_begin_object(&w);
        json_key_n(&w, bytes, n);
        json_put_string_n(&w, bytes, n);
        json_end_object(&w);
        size_t len;
        const char *text = json_writer_text(&w, &len);
        struct json *json;
        CHECK_INT(json_parse(&json, &arena, text, len, NULL), 0);
        CHECK_INT(json->len, 1);
        CHECK_MEM(json->first->key, json->first->key_len, json->first->text, json->first->len);
        arena_reset(&arena);
    }
    arena_done(&arena);
}

TEST(a_byte_that_cannot_stand_as_it_is_is_found_wherever_it_stands)
{
    struct arena arena;
    arena_init(&arena);
    char bytes[20];
    for (size_t n = 1; n <= sizeof bytes; n++)
        for (size_t at = 0; at < n; at++)
            for (int byte = 0; byte < 256; byte++) {
                memset(bytes, 'a', n);
                bytes[at] = (char)byte;
                const struct json *json = json_new_string(&arena, bytes, n);
                size_t len;
                const char *text = json_write(&arena, json, &len);
                bool plain = byte >= ' ' && byte < 0x80 && byte != '"' && byte != '\\';
                CHECK_INT((int64_t)json_size(json), (int64_t)len);
                CHECK((len == n + 2) == plain);
                if (plain)
                    CHECK_MEM(text + 1, n, bytes, n);
                arena_reset(&arena);
            }
    arena_done(&arena);
}

TEST(numbers_leave_as_they_came)
{
    struct arena arena;
    arena_init(&arena);
    static const char text[] = "[1.0,1e0,-0,9007199254740993,123456789012345678901234567890,0.10,1E+400]";
    struct json *json;
    CHECK_INT(json_parse(&json, &arena, text, sizeof text - 1, NULL), 0);
    CHECK_STR(json_write(&arena, json, NULL), text);
    arena_done(&arena);
}

static const char *double_text(struct arena *arena, double value)
{
    struct json_writer w;
    json_writer_init(&w, arena);
    json_put_double(&w, value);
    return json_writer_text(&w, NULL);
}

TEST(a_double_is_written_as_short_as_it_reads_back)
{
    struct arena arena;
    arena_init(&arena);
    CHECK_STR(double_text(&arena, 0.1), "0.1");
    CHECK_STR(double_text(&arena, 41.5), "41.5");
    CHECK_STR(double_text(&arena, -3), "-3");
    CHECK_STR(double_text(&arena, NAN), "null");
    CHECK_STR(double_text(&arena, -INFINITY), "null");
    static const double values[] = {1.0 / 3, DBL_MAX, DBL_MIN, 5e-324, 1e23, 123456789.123456789};
    for (size_t i = 0; i < array_size(values); i++) {
        const char *text = double_text(&arena, values[i]);
        double back;
        CHECK(json_double(json_new_number(&arena, text, strlen(text)), &back) && back == values[i]);
    }
    arena_done(&arena);
}
