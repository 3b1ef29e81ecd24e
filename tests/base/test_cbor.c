#include "base/cbor.h"
#include "base/json_write.h"

#include "rig/test.h"

#include <stdio.h>

/* "A2 61 61 01" to bytes. */
static size_t unhex(const char *hex, uint8_t *bytes)
{
    size_t n = 0;
    for (unsigned byte; *hex; hex += strspn(hex, " ")) {
        CHECK_INT(sscanf(hex, "%2x", &byte), 1);
        bytes[n++] = (uint8_t)byte;
        hex += 2;
    }
    return n;
}

static const char *hex(struct arena *arena, const uint8_t *bytes, size_t len)
{
    char *text = arena_alloc(arena, 2 * len + 1);
    text[0] = '\0';
    for (size_t i = 0; i < len; i++)
        (void)snprintf(text + 2 * i, 3, "%02X", bytes[i]);
    return text;
}

/* The examples of RFC 8949, appendix A, that JSON has a word for; and whether the bytes are those that are written. */
static const struct {
    const char *cbor, *json;
    bool is_written;
} examples[] = {
    {"00", "0", true},
    {"01", "1", true},
    {"0A", "10", true},
    {"17", "23", true},
    {"1818", "24", true},
    {"1819", "25", true},
    {"1864", "100", true},
    {"1903E8", "1000", true},
    {"1A000F4240", "1000000", true},
    {"1B000000E8D4A51000", "1000000000000", true},
    {"1BFFFFFFFFFFFFFFFF", "18446744073709551615", true},
    {"3BFFFFFFFFFFFFFFFF", "-18446744073709551616", true},
    {"20", "-1", true},
    {"29", "-10", true},
    {"3863", "-100", true},
    {"3903E7", "-1000", true},
    {"F90000", "0.0", false},
    {"F93C00", "1.0", false},
    {"FB3FF199999999999A", "1.1", true},
    {"F93E00", "1.5", false},
    {"F97BFF", "65504.0", false},
    {"FA47C35000", "100000.0", false},
    {"FA7F7FFFFF", "3.4028234663852886e+38", false},
    {"FB7E37E43C8800759C", "1.0e+300", true},
    {"F90001", "5.9604644775390625e-8", false},
    {"F90400", "0.00006103515625", false},
    {"F9C400", "-4.0", false},
    {"FBC010666666666666", "-4.1", true},
    {"F4", "false", true},
    {"F5", "true", true},
    {"F6", "null", true},
    {"C074323031332D30332D32315432303A30343A30305A", "\"2013-03-21T20:04:00Z\"", false},
    {"C11A514B67B0", "1363896240", false},
    {"60", "\"\"", true},
    {"6161", "\"a\"", true},
    {"6449455446", "\"IETF\"", true},
    {"62225C", "\"\\\"\\\\\"", true},
    {"62C3BC", "\"\\u00fc\"", true},
    {"63E6B0B4", "\"\\u6c34\"", true},
    {"64F0908591", "\"\\ud800\\udd51\"", true},
    {"80", "[]", true},
    {"83010203", "[1,2,3]", true},
    {"8301820203820405", "[1,[2,3],[4,5]]", true},
    {"98190102030405060708090A0B0C0D0E0F101112131415161718181819",
     "[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25]", true},
    {"A0", "{}", true},
    {"A26161016162820203", "{\"a\":1,\"b\":[2,3]}", true},
    {"826161A161626163", "[\"a\",{\"b\":\"c\"}]", true},
    {"7F657374726561646D696E67FF", "\"streaming\"", false},
    {"7FFF", "\"\"", false},
    {"9FFF", "[]", false},
    {"9F018202039F0405FFFF", "[1,[2,3],[4,5]]", false},
    {"83018202039F0405FF", "[1,[2,3],[4,5]]", false},
    {"BF61610161629F0203FFFF", "{\"a\":1,\"b\":[2,3]}", false},
    {"BF6346756EF563416D7421FF", "{\"Fun\":true,\"Amt\":-2}", false},
};

TEST(the_examples_of_the_standard_are_read_and_written)
{
    struct arena arena = {0};
    for (size_t i = 0; i < array_size(examples); i++) {
        uint8_t bytes[256];
        size_t len = unhex(examples[i].cbor, bytes), written_len;
        struct json *json, *expected;
        struct cbor_error error;
        if (cbor_parse(&json, &arena, bytes, len, &error) != 0)
            FAIL("%s: byte %zu: expected %s", examples[i].cbor, error.offset, error.expected);
        CHECK_INT(json_parse(&expected, &arena, examples[i].json, strlen(examples[i].json), NULL), 0);
        if (!json_equal(json, expected))
            FAIL("%s is read as %s", examples[i].cbor, json_write(&arena, json, NULL));
        if (examples[i].is_written) {
            uint8_t *written = cbor_write(&arena, expected, &written_len);
            CHECK_STR(hex(&arena, written, written_len), examples[i].cbor);
        }
    }
    arena_done(&arena);
}

/* The provision request of the embedded library, as tinycbor writes it. */
TEST(a_fleet_provisioning_request_is_read)
{
    struct arena arena = {0};
    uint8_t bytes[256];
    size_t len = unhex(
        "A2 78 19 63 65 72 74 69 66 69 63 61 74 65 4F 77 6E 65 72 73 68 69 70 54 6F 6B 65 6E 66 74 6F 6B "
        "31 32 33 6A 70 61 72 61 6D 65 74 65 72 73 A1 6C 53 65 72 69 61 6C 4E 75 6D 62 65 72 64 30 30 34 32",
        bytes);
    struct json *json;
    CHECK_INT(cbor_parse(&json, &arena, bytes, len, NULL), 0);
    CHECK_STR(json_write(&arena, json, NULL),
              "{\"certificateOwnershipToken\":\"tok123\",\"parameters\":{\"SerialNumber\":\"0042\"}}");
    size_t written_len;
    uint8_t *written = cbor_write(&arena, json, &written_len);
    CHECK_MEM(written, written_len, bytes, len);
    arena_done(&arena);
}

TEST(byte_strings_are_told_from_text)
{
    struct arena arena = {0};
    uint8_t bytes[64];
    struct json *json;
    size_t len = unhex("82 43 13 00 80 5F 42 01 02 43 03 04 05 FF", bytes), written_len;
    CHECK_INT(cbor_parse(&json, &arena, bytes, len, NULL), 0);
    CHECK_INT(json->first->tag, CBOR_BYTES);
    CHECK(!cbor_is_text(json->first));
    CHECK_MEM(json->first->text, json->first->len, "\x13\0\x80", 3);
    CHECK_MEM(json->last->text, json->last->len, "\x01\x02\x03\x04\x05", 5);
    uint8_t *written = cbor_write(&arena, json, &written_len);
    CHECK_STR(hex(&arena, written, written_len), "8243130080450102030405");
    arena_done(&arena);
}

TEST(what_is_not_well_formed_or_not_sayable_is_refused_with_the_place)
{
    static const struct {
        const char *cbor;
        size_t offset;
        const char *expected;
    } cases[] = {
        {"", 0, "an item"},
        {"18", 1, "more bytes"},
        {"19 01", 2, "more bytes"},
        {"1C", 0, "an item"},
        {"1F", 0, "an item"},
        {"DF 00", 0, "an item"},
        {"FF", 0, "an item"},
        {"61", 1, "more bytes"},
        {"7B FF FF FF FF FF FF FF FF 61", 10, "more bytes"},
        {"61 FF", 1, "UTF-8"},
        {"7F 61", 2, "more bytes"},
        {"7F 41 61 FF", 1, "a piece of the string, of definite length"},
        {"7F 7F 61 61 FF FF", 1, "a piece of the string, of definite length"},
        {"81", 1, "an item"},
        {"9F 01", 2, "an item"},
        {"9B FF FF FF FF FF FF FF FF 01", 10, "an item"},
        {"A1 01 02", 1, "a text string as key"},
        {"A1 41 61 02", 1, "a text string as key"},
        {"BF 61 61 FF", 3, "an item"},
        {"A2 61 61 01 61 61 02", 7, "every key once in a map"},
        {"F7", 0, "a value that JSON has"},
        {"F8 20", 0, "a value that JSON has"},
        {"E0", 0, "a value that JSON has"},
        {"F9 7C 00", 0, "a finite number"},
        {"F9 7E 00", 0, "a finite number"},
        {"FB FF F0 00 00 00 00 00 00", 0, "a finite number"},
        {"01 02", 1, "the end"},
        {"C0", 1, "an item"},
    };
    for (size_t i = 0; i < array_size(cases); i++) {
        struct arena arena = {0};
        uint8_t bytes[64];
        size_t len = unhex(cases[i].cbor, bytes);
        struct json *json;
        struct cbor_error error = {0};
        CHECK_INT(cbor_parse(&json, &arena, bytes, len, &error), CBOR_INVALID);
        if (error.offset != cases[i].offset || strcmp(error.expected, cases[i].expected) != 0)
            FAIL("%s: byte %zu: expected %s", cases[i].cbor, error.offset, error.expected);
        arena_done(&arena);
    }
}

TEST(depth_is_limited)
{
    struct arena arena = {0};
    uint8_t bytes[CBOR_DEPTH_MAX + 2];
    struct json *json;
    static const uint8_t heads[] = {0x81, 0x9F, 0xC1};
    for (size_t i = 0; i < sizeof heads; i++) {
        memset(bytes, heads[i], sizeof bytes);
        CHECK_INT(cbor_parse(&json, &arena, bytes, sizeof bytes, NULL), CBOR_TOO_DEEP);
    }
    memset(bytes, 0x81, sizeof bytes);
    bytes[CBOR_DEPTH_MAX] = 0xF6;
    CHECK_INT(cbor_parse(&json, &arena, bytes, CBOR_DEPTH_MAX + 1, NULL), 0);
    arena_done(&arena);
}
