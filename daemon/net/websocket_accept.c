#include "net/websocket_accept.h"

#include <stdint.h>
#include <string.h>

/* SHA-1 (FIPS 180-4) of one message that fills two blocks: 24 bytes of key, 36 of text, the padding, and its length. */

enum { BLOCK = 64, BLOCKS = 2, HASH_BYTES = 20, ROUNDS = 80 };

static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
enum { TEXT_LEN = WEBSOCKET_KEY_LEN + sizeof guid - 1 };

static uint32_t rotated(uint32_t x, unsigned n)
{
    return x << n | x >> (32 - n);
}

static uint32_t big_endian(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* The round's function of b, c and d, with its constant. */
static uint32_t mixed(int round, uint32_t b, uint32_t c, uint32_t d)
{
    if (round < 20)
        return ((b & c) | (~b & d)) + 0x5a827999;
    if (round < 40)
        return (b ^ c ^ d) + 0x6ed9eba1;
    if (round < 60)
        return ((b & c) | (b & d) | (c & d)) + 0x8f1bbcdc;
    return (b ^ c ^ d) + 0xca62c1d6;
}

static void take_block(uint32_t h[5], const uint8_t *block)
{
    uint32_t w[ROUNDS];
    for (int i = 0; i < 16; i++)
        w[i] = big_endian(block + 4 * i);
    for (int i = 16; i < ROUNDS; i++)
        w[i] = rotated(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
    uint32_t a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];
    for (int i = 0; i < ROUNDS; i++) {
        uint32_t next = rotated(a, 5) + mixed(i, b, c, d) + e + w[i];
        e = d;
        d = c;
        c = rotated(b, 30);
        b = a;
        a = next;
    }
    h[0] += a;
    h[1] += b;
    h[2] += c;
    h[3] += d;
    h[4] += e;
}

/* 20 bytes are six threes and a two. */
static void to_base64(char *text, const uint8_t hash[HASH_BYTES])
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (int i = 0; i < HASH_BYTES; i += 3) {
        uint32_t three = (uint32_t)hash[i] << 16 | (uint32_t)hash[i + 1] << 8 |
                         (i + 2 < HASH_BYTES ? hash[i + 2] : 0);
        for (int shift = 18; shift >= 0; shift -= 6)
            *text++ = digits[three >> shift & 63];
    }
    text[-1] = '=';
    *text = '\0';
}

void websocket_accept_of(const char key[WEBSOCKET_KEY_LEN], char accept[WEBSOCKET_ACCEPT_LEN + 1])
{
    uint8_t message[BLOCK * BLOCKS] = {0};
    memcpy(message, key, WEBSOCKET_KEY_LEN);
    memcpy(message + WEBSOCKET_KEY_LEN, guid, sizeof guid - 1);
    message[TEXT_LEN] = 0x80;
    message[sizeof message - 2] = TEXT_LEN * 8 >> 8;
    message[sizeof message - 1] = TEXT_LEN * 8 & 0xff;

    uint32_t h[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
    for (int i = 0; i < BLOCKS; i++)
        take_block(h, message + BLOCK * i);
    uint8_t hash[HASH_BYTES];
    for (int i = 0; i < HASH_BYTES; i++)
        hash[i] = (uint8_t)(h[i / 4] >> (24 - 8 * (i % 4)));
    to_base64(accept, hash);
}
