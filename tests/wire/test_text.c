/* Strings, topic names and reason codes. */
#include "rig/test.h"
#include "wire/mqtt.h"
#include "wire/notation.h"

#include <stdlib.h>

static bool is_utf8(const char *notation)
{
    uint8_t bytes[256];
    return wire_utf8_is_valid((const char *)bytes, notation_bytes(notation, bytes, sizeof bytes));
}

TEST(a_string_is_utf8_without_nul_surrogates_and_overlong_forms)
{
    static const struct {
        const char *bytes;
        bool valid;
    } strings[] = {
        {"", true},
        {"'pump 1'", true},
        {"c3a4", true},     /* U+00E4 */
        {"c2a0", true},     /* U+00A0: the first that is no control character */
        {"dfbf", true},     /* U+07FF */
        {"e0a080", true},   /* U+0800 */
        {"e282ac", true},   /* U+20AC */
        {"ed9fbf", true},   /* U+D7FF: the last in front of the surrogates */
        {"ee8080", true},   /* U+E000: the first behind them */
        {"efbbbf", true},   /* a byte order mark is not stripped: 311: 1.5.3-3, 5: 1.5.4-3 */
        {"efbfbd", true},   /* U+FFFD */
        {"f0908080", true}, /* U+10000 */
        {"f09f9882", true}, /* U+1F602 */
        {"f48fbfbd", true}, /* U+10FFFD */
        {"00", false},      /* 311: 1.5.3-2, 5: 1.5.4-2 */
        {"'a' 00 'b'", false},
        {"c080", false}, /* U+0000, overlong */
        {"c1bf", false},
        {"e08080", false},
        {"e09fbf", false}, /* U+07FF, overlong */
        {"f0808080", false},
        {"f08fbfbf", false}, /* U+FFFF, overlong */
        {"eda080", false},   /* 311: 1.5.3-1, 5: 1.5.4-1 */
        {"edbfbf", false},
        {"eda080edb080", false}, /* a pair of them */
        {"f4908080", false},     /* U+110000 */
        {"f5808080", false},
        {"f8888080 80", false}, /* five bytes */
        {"fe", false},
        {"ff", false},
        {"80", false}, /* continuation alone */
        {"bf", false},
        {"c3", false}, /* cut */
        {"e282", false},
        {"e2", false},
        {"f09f98", false},
        {"c3 'a'", false},
        {"e2 'a' ac", false},
        {"e282 'a'", false},
        {"f09f98 'a'", false},
        {"c3a4 a4", false}, /* one more than it takes */
        {"01", false},      /* control characters: 5: 1.5.4, "should not"; here refused */
        {"1f", false},
        {"7f", false},
        {"c280", false},
        {"c29f", false},
        {"efbfbe", false}, /* non-characters */
        {"efbfbf", false},
        {"efb790", false}, /* U+FDD0 */
        {"efb7af", false},
        {"efb78f", true},
        {"efb7b0", true},
        {"f09fbfbe", false}, /* U+1FFFE */
        {"f48fbfbf", false},
    };
    for (size_t i = 0; i < sizeof strings / sizeof strings[0]; i++)
        if (is_utf8(strings[i].bytes) != strings[i].valid)
            FAIL("%s is%s taken for UTF-8", strings[i].bytes, strings[i].valid ? " not" : "");
}

/* Eight bytes are looked at together: what is wrong must be found wherever it stands in a string of any length. */
TEST(a_bad_byte_is_found_at_every_place_of_a_string_of_every_length)
{
    static const uint8_t bad[] = {0x00, 0x01, 0x1F, 0x7F, 0x80, 0xBF, 0xC0, 0xFF};
    for (size_t len = 1; len <= 40; len++) {
        char *text = malloc(len); /* exactly: the sanitizer sees what is read beyond */
        CHECK(text != NULL);
        memset(text, '~', len);
        CHECK(wire_utf8_is_valid(text, len));
        memset(text, ' ', len);
        CHECK(wire_utf8_is_valid(text, len));
        for (size_t at = 0; at < len; at++)
            for (size_t i = 0; i < sizeof bad; i++) {
                text[at] = (char)bad[i];
                bool valid = wire_utf8_is_valid(text, len);
                text[at] = ' ';
                if (valid)
                    FAIL("%02x at %zu of %zu", bad[i], at, len);
            }
        for (size_t at = 0; at + 2 <= len; at++) { /* and what is not plain but fine is not refused */
            memcpy(text + at, "\xC3\xA4", 2);
            CHECK(wire_utf8_is_valid(text, len));
            memset(text, 'a', len);
        }
        free(text);
    }
}

TEST(no_string_at_all_is_an_empty_string)
{
    CHECK(wire_utf8_is_valid(NULL, 0));
    CHECK(!wire_topic_is_valid(NULL, 0));
    CHECK(!wire_filter_is_valid(NULL, 0));
    struct wire_text name, inner;
    CHECK(!wire_filter_is_shared(NULL, 0, &name, &inner));
}

TEST(a_topic_name_has_a_character_and_no_wildcard)
{
    static const struct {
        const char *topic;
        bool valid;
    } topics[] = {
        {"a", true},          {"/", true},    {"//", true},   {"a/b c", true}, {"$SYS/a", true},
        {"$share/g/a", true}, {" ", true},    {"", false},    {"+", false},    {"#", false},
        {"a/+", false},       {"a/#", false}, {"a+b", false}, {"a#b", false},
    };
    for (size_t i = 0; i < sizeof topics / sizeof topics[0]; i++)
        if (wire_topic_is_valid(topics[i].topic, strlen(topics[i].topic)) != topics[i].valid)
            FAIL("%s", topics[i].topic);
    CHECK(!wire_topic_is_valid("a\0b", 3)); /* [MQTT-4.7.3-2] */
}

TEST(a_filter_has_no_nul)
{
    CHECK(!wire_filter_is_valid("a\0b", 3)); /* [MQTT-4.7.3-2] */
    CHECK(!wire_filter_is_valid("$share/g/a\0", 11));
}

TEST(a_topic_name_or_filter_has_at_most_65535_bytes)
{
    char *text = malloc(65536); /* [MQTT-4.7.3-3] */
    CHECK(text != NULL);
    memset(text, 'a', 65536);
    CHECK(wire_topic_is_valid(text, 65535));
    CHECK(!wire_topic_is_valid(text, 65536));
    CHECK(wire_filter_is_valid(text, 65535));
    CHECK(!wire_filter_is_valid(text, 65536));
    memcpy(text, "$share/g/", 9);
    CHECK(wire_filter_is_valid(text, 65535));
    CHECK(!wire_filter_is_valid(text, 65536));
    free(text);
}

TEST(a_refusal_in_version_5_has_a_connack_code_in_3_1_1_and_back)
{
    static const struct {
        uint8_t reason, code, back;
    } codes[] = {
        {WIRE_SUCCESS, 0, WIRE_SUCCESS},
        {WIRE_UNSUPPORTED_VERSION, 1, WIRE_UNSUPPORTED_VERSION},
        {WIRE_CLIENT_ID_INVALID, 2, WIRE_CLIENT_ID_INVALID},
        {WIRE_SERVER_UNAVAILABLE, 3, WIRE_SERVER_UNAVAILABLE},
        {WIRE_SERVER_BUSY, 3, WIRE_SERVER_UNAVAILABLE},
        {WIRE_QUOTA_EXCEEDED, 3, WIRE_SERVER_UNAVAILABLE},
        {WIRE_BAD_CREDENTIALS, 4, WIRE_BAD_CREDENTIALS},
        {WIRE_NOT_AUTHORIZED, 5, WIRE_NOT_AUTHORIZED},
        {WIRE_BANNED, 5, WIRE_NOT_AUTHORIZED},
    };
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        CHECK_INT(wire_connack_code(codes[i].reason), codes[i].code);
        CHECK_INT(wire_connack_reason(codes[i].code), codes[i].back);
    }
    for (unsigned reason = 1; reason < 256; reason++)
        CHECK(wire_connack_code((uint8_t)reason) >= 1 && wire_connack_code((uint8_t)reason) <= 5);
    CHECK_INT(wire_connack_reason(6), WIRE_UNSPECIFIED);
    CHECK_INT(wire_connack_reason(255), WIRE_UNSPECIFIED);
}

TEST(every_reason_has_a_name_of_its_own)
{
    unsigned known = 0;
    for (unsigned reason = 0; reason < 256; reason++) {
        const char *text = wire_reason_text((uint8_t)reason);
        if (strcmp(text, "unknown reason") == 0)
            continue;
        known++;
        for (unsigned other = 0; other < reason; other++)
            CHECK(strcmp(text, wire_reason_text((uint8_t)other)) != 0);
    }
    CHECK_INT(known, 8 + 35); /* MQTT 5, table 2-6: 0x00 to 0x19 and 0x80 to 0xA2 */
    CHECK_STR(wire_reason_text(WIRE_PROTOCOL_ERROR), "protocol error");
    CHECK_STR(wire_reason_text(0x7F), "unknown reason");
}
