#include "services/pairing/pair_text.h"

#include "net/tls.h"
#include "rig/test.h"

#include <stdio.h>

static const char sticker[] = "QTH5-GKR5-WXFC-1V1A"; /* the last is right: see below */

TEST(a_code_is_read_as_people_type_it)
{
    static const char *const spellings[] = {"QTH5-GKR5-WXFC-1V1A", "qth5gkr5wxfc1v1a",
                                            " QTH5 GKR5 WXFC 1V1A ", "qth5-gkr5-wxfc-ivla",
                                            "QTH5GKR5WXFCLVIA"};
    for (size_t i = 0; i < array_size(spellings); i++) {
        char code[PAIR_CODE_CHARS + 1], check;
        CHECK(pair_code_read(spellings[i], strlen(spellings[i]), code, &check));
        CHECK_STR(code, "QTH5GKR5WXFC1V1");
        CHECK_INT(check, 'A');
    }
    char code[PAIR_CODE_CHARS + 1], check;
    CHECK(pair_code_read("OOOOOOOOOOOOOOOo", 16, code, &check));
    CHECK_STR(code, "000000000000000");
}

TEST(what_is_not_sixteen_letters_of_the_alphabet_is_no_code)
{
    static const char *const wrong[] = {"",
                                        "QTH5GKR5WXFC1V1",
                                        "QTH5GKR5WXFC1V1AA",
                                        "QTH5GKR5WXFC1V1U",
                                        "QTH5_GKR5WXFC1V1A",
                                        "QTH5GKR5WXFC1V1\xc3"};
    for (size_t i = 0; i < array_size(wrong); i++) {
        char code[PAIR_CODE_CHARS + 1], check;
        CHECK(!pair_code_read(wrong[i], strlen(wrong[i]), code, &check));
    }
    char code[PAIR_CODE_CHARS + 1], check;
    CHECK(!pair_code_read("QTH5GKR5WXFC1V\0A", 16, code, &check));
}

TEST(one_character_checks_the_others)
{
    char code[PAIR_CODE_CHARS + 1], check, hashed[PAIR_CODE_HASHED + 1];
    uint8_t digest[32];
    CHECK(pair_code_read(sticker, strlen(sticker), code, &check));
    pair_code_hashed(code, hashed);
    CHECK_STR(hashed, "gh-code|QTH5GKR5WXFC1V1");
    CHECK(tls_sha256(hashed, PAIR_CODE_HASHED, digest));
    CHECK_INT(pair_code_check(digest[0]), check);
}

/* hashlib.scrypt(b"QTH5GKR5WXFC1V1", salt=b"gh-pair-v1|A7", n=32768, r=8, p=1, maxmem=64<<20, dklen=32) */
TEST(a_code_and_a_serial_make_a_key)
{
    static const uint8_t expected[32] = {0xba, 0x2d, 0x6c, 0x7e, 0xc9, 0x49, 0x99, 0x2f, 0xa0, 0x51, 0xfb,
                                         0x41, 0xaa, 0xed, 0x34, 0x43, 0x1d, 0x76, 0xf8, 0x21, 0x84, 0x56,
                                         0x8c, 0x6b, 0x8f, 0x07, 0x6d, 0x68, 0x3b, 0xbd, 0xbc, 0xf0};
    char salt[PAIR_SALT_MAX + 1];
    uint8_t key[32];
    CHECK_INT((int64_t)pair_salt("A7", salt), 13);
    CHECK(tls_scrypt("QTH5GKR5WXFC1V1", salt, key));
    CHECK_MEM(key, sizeof key, expected, sizeof expected);
}

TEST(a_qr_text_has_four_parts)
{
    static const char good[] = "GHN1:A7:QTH5GKR5WXFC1V1A:stm32f405";
    struct pair_qr qr;
    CHECK(pair_qr_read(good, strlen(good), &qr));
    CHECK_MEM(qr.serial, qr.serial_len, "A7", 2);
    CHECK_MEM(qr.code, qr.code_len, "QTH5GKR5WXFC1V1A", 16);
    CHECK_MEM(qr.model, qr.model_len, "stm32f405", 9);
    static const char *const wrong[] = {
        "", "GHN1:", "GHN1::x:m", "GHN1:A7", "GHN1:A 7:x:m", "GHN2:A7:x:m", "GHN1:A7:x:m:n"};
    for (size_t i = 0; i < array_size(wrong); i++)
        CHECK(!pair_qr_read(wrong[i], strlen(wrong[i]), &qr));
}

TEST(an_identity_has_one_spelling)
{
    struct pair_identity identity;
    CHECK(pair_identity_read("pair:A7", 7, &identity));
    CHECK_INT(identity.role, PAIR_ROLE_PAIRING);
    CHECK_STR(identity.serial, "A7");
    CHECK(pair_identity_read("n:A-7_b:12", 10, &identity));
    CHECK_INT(identity.role, PAIR_ROLE_NODE);
    CHECK_STR(identity.serial, "A-7_b");
    CHECK_INT(identity.generation, 12);
    CHECK(pair_identity_read("cable:A7", 8, &identity));
    CHECK_INT(identity.role, PAIR_ROLE_CABLE);
    static const char *const wrong[] = {"",
                                        "A7",
                                        "pair",
                                        "pair:",
                                        "pair:A7:",
                                        "pair:A7:1",
                                        "n:A7",
                                        "n:A7:",
                                        "n:A7:0",
                                        "n:A7:01",
                                        "n:A7:-1",
                                        "n:A7:+1",
                                        "n:A7:1:",
                                        "n:A7:1x",
                                        "n::1",
                                        "N:A7:1",
                                        "n:A/7:1",
                                        "n:A7:1234567890",
                                        "pair:1234567890123456789012345"};
    for (size_t i = 0; i < array_size(wrong); i++)
        if (pair_identity_read(wrong[i], strlen(wrong[i]), &identity))
            FAIL("%s is an identity", wrong[i]);
}

static const char *hello(const char *text, struct pair_hello *ret)
{
    *ret = (struct pair_hello){0};
    return pair_hello_read(text, strlen(text), ret);
}

TEST(of_a_hello_what_is_known_is_taken)
{
    struct pair_hello said;
    CHECK(!hello("{\"v\":1,\"model\":\"stm32f405\",\"fw\":\"1.0.0\",\"slots\":[\"a\"],\"caps\":[]}", &said));
    CHECK_STR(said.model, "stm32f405");
    CHECK_STR(said.firmware, "1.0.0");
    CHECK(!hello("{\"v\":1,\"model\":\"\\u001b[31m\",\"fw\":7}", &said)); /* nothing that a terminal obeys */
    CHECK_STR(said.model, "");
    CHECK_STR(said.firmware, "");
    CHECK(hello("{\"v\":2}", &said) != NULL);
    CHECK(hello("[]", &said) != NULL);
    CHECK(hello("", &said) != NULL);
    static char long_one[PAIR_DOCUMENT_MAX + 2];
    memset(long_one, ' ', sizeof long_one - 1);
    memcpy(long_one, "{\"v\":1}", 7);
    CHECK(hello(long_one, &said) != NULL);
}

TEST(a_commit_is_a_generation_and_a_refusal_a_word)
{
    CHECK_INT(pair_commit_read("{\"gen\":3}", 9), 3);
    CHECK_INT(pair_commit_read("{\"gen\":0}", 9), 0);
    CHECK_INT(pair_commit_read("{\"gen\":\"3\"}", 11), 0);
    CHECK_INT(pair_commit_read("x", 1), 0);
    char reason[PAIR_WORD_MAX + 1];
    pair_refuse_read("{\"reason\":\"storage\"}", 20, reason);
    CHECK_STR(reason, "storage");
    pair_refuse_read("{}", 2, reason);
    CHECK_STR(reason, "");
}

TEST(a_topic_has_a_serial)
{
    char serial[PAIR_SERIAL_MAX + 1];
    CHECK(pair_topic_serial("gh/pair/A7/hello", 16, serial));
    CHECK_STR(serial, "A7");
    CHECK(!pair_topic_serial("gh/pair//hello", 14, serial));
    CHECK(!pair_topic_serial("gh/pair/A7", 10, serial));
    CHECK(!pair_topic_serial("gh/pair/", 8, serial));
    CHECK(!pair_topic_serial("gh/nodes/A7/x", 13, serial));
}
