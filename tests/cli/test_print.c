#include "cli/print.h"

#include "rig/test.h"

#include <stdlib.h>

static struct arena arena;
static char *text;
static size_t text_len;
static FILE *out;

static FILE *begin(void)
{
    arena_init(&arena);
    return out = open_memstream(&text, &text_len);
}

static void end(const char *expected)
{
    (void)fclose(out);
    arena_done(&arena);
    cleanup_free char *printed = steal(text);
    CHECK_STR(printed, expected);
}

static struct json *json(const char *source)
{
    struct json *tree = NULL;
    CHECK_INT(json_parse(&tree, &arena, source, strlen(source), NULL), 0);
    return tree;
}

static void check_bytes(const char *bytes, size_t len, const char *expected)
{
    print_bytes(begin(), (const uint8_t *)bytes, len);
    end(expected);
}

TEST(printable_text_is_shown_as_it_is)
{
    check_bytes("{\"t\":21.5,\"where\":\"K\xc3\xbc"
                "che \xe2\x82\xac\"}",
                31,
                "{\"t\":21.5,\"where\":\"K\xc3\xbc"
                "che \xe2\x82\xac\"}");
    check_bytes("", 0, "");
}

TEST(what_a_terminal_would_obey_is_not)
{
    check_bytes("a\x1b[31mb\n\r\x07\x7f", 11, "a\\x1b[31mb\\x0a\\x0d\\x07\\x7f");
    check_bytes("\xc2\x9b"
                "31m",
                5, "\\xc2\\x9b31m"); /* C1's CSI */
    check_bytes("a\0b", 3, "a\\x00b");
}

TEST(bytes_that_are_not_utf8_are_hexadecimal_and_their_neighbours_are_not)
{
    check_bytes("\xff\xc3\xbc\xc3", 4, "\\xff\xc3\xbc\\xc3");
    check_bytes("\xed\xa0\x80", 3, "\\xed\\xa0\\x80"); /* a surrogate */
}

TEST(a_table_is_as_wide_as_its_widest_cells)
{
    static const struct column columns[] = {
        {"NAME", "name", COLUMN_TEXT},
        {"N", "n", COLUMN_NUMBER},
        {"SIZE", "size", COLUMN_SIZE},
        {"WHY", "why", COLUMN_TEXT},
        {0},
    };
    begin();
    print_table(out,
                json("[{\"name\":\"\xc3\xa4rger\",\"n\":7,\"size\":1536,\"why\":\"a\\nb\"},"
                     "{\"name\":\"x\",\"n\":1234567890123456789012,\"why\":null}]"),
                columns, "none");
    end("NAME                        N     SIZE  WHY\n"
        "\xc3\xa4rger                       7  1.5 KiB  a\\x0ab\n"
        "x      1234567890123456789012        -  -\n");
}

TEST(an_empty_table_says_so)
{
    static const struct column columns[] = {{"NAME", "name", COLUMN_TEXT}, {0}};
    begin();
    print_table(out, json("[]"), columns, "nothing is here");
    end("nothing is here\n");
}

TEST(times_are_local)
{
    static const struct column columns[] = {{"SINCE", "since", COLUMN_TIME}, {0}};
    CHECK_INT(setenv("TZ", "UTC-1", 1), 0);
    begin();
    print_table(out, json("[{\"since\":1760000000999}]"), columns, "");
    end("SINCE\n2025-10-09 09:53:20\n");
}

TEST(a_document_is_indented_and_its_numbers_are_left_alone)
{
    begin();
    print_pretty(out, json("{\"a\":[1.0,{}],\"\xc3\xbc\\n\":{\"b\":12345678901234567890},\"c\":[]}"));
    end("{\n"
        "  \"a\": [\n"
        "    1.0,\n"
        "    {}\n"
        "  ],\n"
        "  \"\xc3\xbc\\n\": {\n"
        "    \"b\": 12345678901234567890\n"
        "  },\n"
        "  \"c\": []\n"
        "}\n");
}

TEST(a_document_cannot_talk_to_the_terminal_either)
{
    begin();
    print_pretty(out, json("{\"a\\u001b\":\"\xc2\x9b\\u001b[2J\"}"));
    end("{\n  \"a\\u001b\": \"\\xc2\\x9b\\u001b[2J\"\n}\n");
}

TEST(sizes_and_spans_have_one_or_two_units)
{
    struct arena scratch = {0};
    CHECK_STR(text_of_size(&scratch, 0), "0 B");
    CHECK_STR(text_of_size(&scratch, 1023), "1023 B");
    CHECK_STR(text_of_size(&scratch, 1024), "1.0 KiB");
    CHECK_STR(text_of_size(&scratch, 5ull << 40), "5.0 TiB");
    CHECK_STR(text_of_size(&scratch, UINT64_MAX), "16777216.0 TiB");
    CHECK_STR(text_of_span(&scratch, 59), "59 s");
    CHECK_STR(text_of_span(&scratch, 61), "1 min 1 s");
    CHECK_STR(text_of_span(&scratch, 7325), "2 h 2 min");
    CHECK_STR(text_of_span(&scratch, 90000), "1 d 1 h");
    arena_done(&scratch);
}

TEST(base64_is_rfc_4648s)
{
    static const char *const pairs[][2] = {{"", ""},
                                           {"f", "Zg=="},
                                           {"fo", "Zm8="},
                                           {"foo", "Zm9v"},
                                           {"foob", "Zm9vYg=="},
                                           {"fooba", "Zm9vYmE="},
                                           {"foobar", "Zm9vYmFy"}};
    struct arena scratch = {0};
    for (size_t i = 0; i < array_size(pairs); i++)
        CHECK_STR(text_of_base64(&scratch, (const uint8_t *)pairs[i][0], strlen(pairs[i][0])), pairs[i][1]);
    CHECK_STR(text_of_base64(&scratch, (const uint8_t *)"\xff\xfe\x00", 3), "//4A");
    arena_done(&scratch);
}
