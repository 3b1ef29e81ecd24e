/* Passwords as they are kept, and base64, which they are written in. */
#include "identity/password.h"

#include "base/base64.h"
#include "identity/attempts.h"
#include "rig/test.h"

static bool parses(const char *text)
{
    struct password password;
    return password_parse(&password, text, strlen(text));
}

TEST(a_hash_is_written_as_it_was_read)
{
    static const char *const texts[] = {
        "$scrypt$ln=13,r=8,p=1$AAECAwQFBgcICQoLDA0ODw==$AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
        "$7$101$dHdlbHZlIGJ5dGVz$AAECAwQFBgcICQoLDA0ODw==",
    };
    for (size_t i = 0; i < array_size(texts); i++) {
        struct password password;
        char again[PASSWORD_TEXT_MAX];
        CHECK(password_parse(&password, texts[i], strlen(texts[i])));
        password_write(&password, again);
        CHECK_STR(again, texts[i]);
    }
}

TEST(what_is_no_hash_or_costs_too_much_is_refused)
{
    static const char *const texts[] = {
        "",
        "secret",
        "$7$",
        "$7$0$AAAA$AAECAwQFBgcICQoLDA0ODw==",
        "$7$0101$AAAA$AAECAwQFBgcICQoLDA0ODw==",
        "$7$1000001$AAAA$AAECAwQFBgcICQoLDA0ODw==",
        "$7$99999999999999999999$AAAA$AAECAwQFBgcICQoLDA0ODw==",
        "$7$101$$AAECAwQFBgcICQoLDA0ODw==",
        "$7$101$AAAA$",
        "$7$101$AAAA$AAAA",
        "$7$101$AA!A$AAECAwQFBgcICQoLDA0ODw==",
        "$7$101$AAAA$AAECAwQFBgcICQoLDA0ODw==$",
        "$6$AAAA$AAECAwQFBgcICQoLDA0ODw==",
        "$scrypt$ln=17,r=8,p=1$AAAA$AAECAwQFBgcICQoLDA0ODw==",
        "$scrypt$ln=13,r=9,p=1$AAAA$AAECAwQFBgcICQoLDA0ODw==",
        "$scrypt$ln=13,r=8,p=5$AAAA$AAECAwQFBgcICQoLDA0ODw==",
        "$scrypt$ln=13,r=8$AAAA$AAECAwQFBgcICQoLDA0ODw==",
    };
    for (size_t i = 0; i < array_size(texts); i++)
        if (parses(texts[i]))
            FAIL("%s is taken for a hash", texts[i]);
}

TEST(a_password_is_the_one_that_it_was_made_of)
{
    struct password password, other;
    CHECK(password_make(&password, "secret", 6));
    CHECK(password_is(&password, "secret", 6));
    CHECK(!password_is(&password, "secreT", 6));
    CHECK(!password_is(&password, "", 0));
    CHECK(password_make(&other, "secret", 6));
    CHECK(memcmp(password.hash, other.hash, PASSWORD_HASH_BYTES) != 0); /* another salt */
    CHECK(!password_is_weak(&password));
}

/* RFC 7914, section 12. */
TEST(scrypt_is_the_one_of_the_standard)
{
    static const uint8_t expected[] = {0xfd, 0xba, 0xbe, 0x1c, 0x9d, 0x34, 0x72, 0x00,
                                       0x78, 0x56, 0xe7, 0x19, 0x0d, 0x01, 0xe9, 0xfe};
    uint8_t found[64];
    CHECK(secret_scrypt((struct secret_cost){10, 8, 16}, "password", 8, (const uint8_t *)"NaCl", 4, found,
                        sizeof found));
    CHECK_MEM(found, sizeof expected, expected, sizeof expected);
}

TEST(mosquittos_hashes_are_understood)
{
    struct password password;
    static const char text[] = /* mosquitto_passwd 2.0, "swordfish" */
        "$7$101$rLOnz6BCcqvp0A8I$"
        "eO5ND0g2raXTTH3gnCb4/GONB07et7scsPTvL1wweuU5mo/aDOQJvzT2/L8/GSIK0OjkBMLm8FtIPwkEP/pppg==";
    CHECK(password_parse(&password, text, strlen(text)));
    CHECK(password_is_weak(&password));
    CHECK(password_is(&password, "swordfish", 9));
    CHECK(!password_is(&password, "swordfisj", 9));
}

TEST(base64_is_strict)
{
    static const struct {
        const char *text;
        int len; /* -1: it is none */
        bool url;
    } cases[] = {{"", 0, false},      {"QQ==", 1, false},   {"QQ", 1, false},    {"QUI=", 2, false},
                 {"QUJD", 3, false},  {"Q", -1, false},     {"QR==", -1, false}, {"QUJ=", -1, false},
                 {"Q===", -1, false}, {"QU JD", -1, false}, {"+/+/", 3, false},  {"-_-_", -1, false},
                 {"-_-_", 3, true},   {"+/+/", -1, true},   {"QQ==", -1, true},  {"=", -1, false},
                 {"====", -1, false}, {"QQ", 1, true}};
    for (size_t i = 0; i < array_size(cases); i++) {
        uint8_t bytes[8];
        size_t len = 0, n = strlen(cases[i].text);
        bool good = cases[i].url ? base64url_read(bytes, sizeof bytes, &len, cases[i].text, n)
                                 : base64_read(bytes, sizeof bytes, &len, cases[i].text, n);
        if (good != (cases[i].len >= 0) || (good && (int)len != cases[i].len))
            FAIL("\"%s\": %d, %zu bytes", cases[i].text, good, len);
    }
    uint8_t two[2];
    size_t len;
    CHECK(!base64_read(two, sizeof two, &len, "QUJD", 4)); /* three bytes */
    CHECK(base64_read(two, sizeof two, &len, "QUI=", 4));
    CHECK_MEM(two, len, "AB", 2);
}

TEST(attempts_are_forgotten_one_by_one)
{
    struct attempts attempts;
    attempts_init(&attempts, 3, 1000);
    CHECK(!attempts_are_too_many(&attempts, "a", 1, 5000));
    for (int i = 0; i < 3; i++) {
        CHECK(!attempts_are_too_many(&attempts, "a", 1, 5000));
        attempts_failed(&attempts, "a", 1, 5000);
    }
    CHECK(attempts_are_too_many(&attempts, "a", 1, 5000));
    CHECK(!attempts_are_too_many(&attempts, "b", 1, 5000));
    CHECK(attempts_are_too_many(&attempts, "a", 1, 5999));
    CHECK(!attempts_are_too_many(&attempts, "a", 1, 6000));
    for (int i = 0; i < 100; i++) /* who goes on does not wait for ever */
        attempts_failed(&attempts, "a", 1, 6000);
    CHECK(attempts_are_too_many(&attempts, "a", 1, 7999));
    CHECK(!attempts_are_too_many(&attempts, "a", 1, 8000));
    attempts_done(&attempts);
}
