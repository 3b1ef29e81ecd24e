/* What we accept, reject and write, against another library's opinion: on a list of documents, on random ones, and on
 * random ones with bytes changed. The random numbers are the same in every run. */
#include "base/json_write.h"

#include "oracle.h"
#include "rig/test.h"

#include <stdio.h>

/* Both accept or both reject; what we write means to the other what the original meant. A NUL byte is never JSON, which
 * the oracle does not see behind a document. */
static void compare(const char *text, size_t len)
{
    struct arena arena;
    arena_init(&arena);
    struct json *json = NULL;
    int r = json_parse(&json, &arena, text, len, NULL);
    cleanup_free char *theirs = NULL, *ours = NULL;
    enum oracle oracle = oracle_read(text, len, &theirs);
    if (memchr(text, '\0', len))
        oracle = ORACLE_REJECTS;
    if (oracle != ORACLE_CANNOT && (r == 0) != (oracle == ORACLE_ACCEPTS))
        FAIL("we %s, the oracle %s: %.*s", r == 0 ? "accept" : "reject",
             oracle == ORACLE_ACCEPTS ? "accepts" : "rejects", (int)len, text);
    if (r == 0 && theirs) {
        size_t written_len;
        char *written = json_write(&arena, json, &written_len);
        CHECK_INT((int64_t)json_size(json), (int64_t)written_len);
        CHECK_INT(oracle_read(written, written_len, &ours), ORACLE_ACCEPTS);
        CHECK_STR(ours, theirs);
    }
    arena_done(&arena);
}

TEST(a_list_of_documents_is_judged_as_by_the_oracle)
{
    static const char *const documents[] = {
        "null",
        "true",
        "false",
        "0",
        "-0",
        "1",
        "-1",
        "1.5",
        "1e5",
        "1E+5",
        "1e-5",
        "0.1",
        "-0.0",
        "123456789012345678",
        "\"\"",
        "\"a\"",
        "[]",
        "{}",
        "[1]",
        "[1,2]",
        "{\"a\":1}",
        "{\"a\":{\"b\":[{}]}}",
        " [ 1 , 2 ] ",
        "\t\r\n1 ",
        "{\"a\":1,\"a\":2}",
        "{\"a\":1,\"b\":2,\"a\":{\"c\":3}}",
        "{\"\":0}",
        "\"\\u0041\"",
        "\"\\u00e9\"",
        "\"\\ud83d\\ude00\"",
        "\"\\u0000\"",
        "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"",
        "\"\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80\"",
        "\"\x7F\"",
        "{\"a\\nb\":1}",
        /* not JSON */
        "",
        " ",
        "nul",
        "nulll",
        "True",
        "NaN",
        "Infinity",
        "-Infinity",
        "+1",
        "01",
        "-",
        "-a",
        "1.",
        ".5",
        "1e",
        "1e+",
        "0x10",
        "1 2",
        "1,",
        "\"",
        "\"a",
        "\"\\",
        "\"\\\"",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\u123g\"",
        "\"\\ud83d\"",
        "\"\\ud83dx\"",
        "\"\\ud83d\\n\"",
        "\"\\ud83d\\u0041\"",
        "\"\\ude00\"",
        "\"\n\"",
        "\"\x01\"",
        "'a'",
        "[",
        "]",
        "[1",
        "[1,",
        "[1,]",
        "[,1]",
        "[1 2]",
        "[1,,2]",
        "{",
        "}",
        "{1:2}",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{,}",
        "{\"a\" 1}",
        "{\"a\":1 \"b\":2}",
        "{a:1}",
        "[1}",
        "{\"a\":1]",
        "// c\n1",
        "/* c */ 1",
        "1 // c",
        "\xEF\xBB\xBF"
        "1",
        "\xA0",
        "\"\x80\"",
        "\"\xC0\x80\"",
        "\"\xC3\"",
        "\"\xC3(\"",
        "\"\xE2\x82\"",
        "\"\xED\xA0\x80\"",
        "\"\xE0\x80\x80\"",
        "\"\xF4\x90\x80\x80\"",
        "\"\xF5\x80\x80\x80\"",
        "\"\xF0\x80\x80\x80\"",
        "\"\xF0\x9F\x98\"",
        "\"\xFF\"",
        "[\"\\u00\"]",
    };
    for (size_t i = 0; i < array_size(documents); i++)
        compare(documents[i], strlen(documents[i]));
    compare("1\0", 2);
    compare("\"a\0b\"", 5);
    compare("[1]\0", 4);
}

/* ---- random documents ------------------------------------------------------------------------------------------- */

struct random {
    uint64_t state;
    char text[4096];
    size_t len;
};

static unsigned pick(struct random *random, unsigned below)
{
    random->state = random->state * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(random->state >> 33) % below;
}

static void say(struct random *random, const char *text)
{
    size_t n = strlen(text);
    if (random->len + n < sizeof random->text) {
        memcpy(random->text + random->len, text, n);
        random->len += n;
    }
}

static void say_space(struct random *random)
{
    static const char *const spaces[] = {"", "", "", "", " ", "\n", "\t ", "\r\n"};
    say(random, spaces[pick(random, array_size(spaces))]);
}

static void say_string(struct random *random)
{
    static const char *const pieces[] = {"a",
                                         "b",
                                         "key",
                                         "\\n",
                                         "\\\"",
                                         "\\\\",
                                         "\\u0041",
                                         "\\u20ac",
                                         "\\ud83d\\ude00",
                                         "\xC3\xA9",
                                         "\xE2\x82\xAC",
                                         "\xF0\x9F\x98\x80",
                                         "/",
                                         "\\/",
                                         "\x7F",
                                         " "};
    say(random, "\"");
    for (unsigned n = pick(random, 4); n; n--)
        say(random, pieces[pick(random, array_size(pieces))]);
    say(random, "\"");
}

static void say_number(struct random *random)
{
    static const char *const fractions[] = {"", "", "", ".0", ".5", ".125", "e1", "E-2", ".25e+3"};
    char digits[32];
    (void)snprintf(digits, sizeof digits, "%s%u%s", pick(random, 3) ? "" : "-", pick(random, 100000),
                   fractions[pick(random, array_size(fractions))]);
    say(random, digits);
}

static void say_value(struct random *random, unsigned depth)
{
    static const char *const words[] = {"null", "true", "false"};
    unsigned kind = pick(random, depth ? 8 : 5);
    say_space(random);
    if (kind < 1) {
        say(random, words[pick(random, array_size(words))]);
    } else if (kind < 3) {
        say_number(random);
    } else if (kind < 5) {
        say_string(random);
    } else {
        bool object = kind > 5;
        unsigned n = pick(random, pick(random, 8) ? 5 : 40); /* sometimes many: names come twice */
        say(random, object ? "{" : "[");
        for (unsigned i = 0; i < n; i++) {
            say(random, i ? "," : "");
            if (object) {
                say_space(random);
                say_string(random);
                say_space(random);
                say(random, ":");
            }
            say_value(random, depth - 1);
        }
        say_space(random);
        say(random, object ? "}" : "]");
    }
    say_space(random);
}

TEST(random_documents_are_judged_as_by_the_oracle)
{
    struct random random = {.state = 1};
    for (int i = 0; i < 4000; i++) {
        random.len = 0;
        say_value(&random, 5);
        compare(random.text, random.len);
    }
}

TEST(damaged_documents_are_judged_as_by_the_oracle)
{
    static const char bytes[] = "{}[]\",:\\0123456789.eE+-tfnu \n\x00\x1F\x80\xC3\xE2\xED\xF0\xFF";
    struct random random = {.state = 2};
    for (int i = 0; i < 8000; i++) {
        random.len = 0;
        say_value(&random, 3);
        for (unsigned n = 1 + pick(&random, 3); n && random.len; n--) {
            unsigned at = pick(&random, (unsigned)random.len);
            switch (pick(&random, 3)) {
            case 0: random.text[at] = bytes[pick(&random, sizeof bytes)]; break;
            case 1: random.len = at; break;
            default:
                memmove(random.text + at, random.text + at + 1, random.len - at - 1);
                random.len--;
                break;
            }
        }
        compare(random.text, random.len);
    }
}
