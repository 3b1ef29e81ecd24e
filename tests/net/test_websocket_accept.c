#include "net/websocket_accept.h"

#include "rig/test.h"

#include <openssl/evp.h>

static void check(const char *key, const char *expected)
{
    char accept[WEBSOCKET_ACCEPT_LEN + 1];
    memset(accept, '?', sizeof accept);
    websocket_accept_of(key, accept);
    CHECK_STR(accept, expected);
}

TEST(the_key_of_rfc_6455_gives_its_answer)
{
    check("dGhlIHNhbXBsZSBub25jZQ==", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

TEST(every_key_gives_what_openssl_gives)
{
    uint32_t random = 1;
    for (int i = 0; i < 2000; i++) {
        char text[WEBSOCKET_KEY_LEN + 37], expected[WEBSOCKET_ACCEPT_LEN + 1];
        for (int k = 0; k < WEBSOCKET_KEY_LEN; k++) {
            random = random * 1664525 + 1013904223;
            text[k] = (char)(random >> 24);
        }
        memcpy(text + WEBSOCKET_KEY_LEN, "258EAFA5-E914-47DA-95CA-C5AB0DC85B11", 37);
        unsigned char hash[20];
        CHECK_INT(EVP_Digest(text, sizeof text - 1, hash, NULL, EVP_sha1(), NULL), 1);
        CHECK_INT(EVP_EncodeBlock((unsigned char *)expected, hash, sizeof hash), WEBSOCKET_ACCEPT_LEN);
        check(text, expected);
    }
}
