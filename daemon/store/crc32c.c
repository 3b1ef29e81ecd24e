/* Eight tables of 256 entries take eight bytes a step ("slicing by eight", Kounavis and Berry, 2005). SSE 4.2 and ARMv8
 * have an instruction for exactly this polynomial; on x86 it is asked for at run time, since a build for all does not
 * include it.
 */
#include "store/crc32c.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>
#include <nmmintrin.h>
#elif defined(__ARM_FEATURE_CRC32)
#include <arm_acle.h>
#endif

enum { POLYNOMIAL = 0x82f63b78 }; /* 0x1edc6f41, least significant bit first */

static uint32_t tables[8][256];

static void make_tables(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t crc = i;
        for (int bit = 0; bit < 8; bit++)
            crc = crc & 1 ? crc >> 1 ^ (uint32_t)POLYNOMIAL : crc >> 1;
        tables[0][i] = crc;
    }
    for (uint32_t i = 0; i < 256; i++)
        for (int t = 1; t < 8; t++)
            tables[t][i] = tables[t - 1][i] >> 8 ^ tables[0][tables[t - 1][i] & 0xff];
}

static uint32_t little_endian(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

uint32_t crc32c_by_table(uint32_t crc, const void *bytes, size_t len)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, make_tables);

    const uint8_t *p = bytes;
    crc = ~crc;
    for (; len >= 8; p += 8, len -= 8) {
        uint32_t low = crc ^ little_endian(p), high = little_endian(p + 4);
        crc = tables[7][low & 0xff] ^ tables[6][low >> 8 & 0xff] ^ tables[5][low >> 16 & 0xff] ^
              tables[4][low >> 24] ^ tables[3][high & 0xff] ^ tables[2][high >> 8 & 0xff] ^
              tables[1][high >> 16 & 0xff] ^ tables[0][high >> 24];
    }
    for (; len; p++, len--)
        crc = crc >> 8 ^ tables[0][(crc ^ *p) & 0xff];
    return ~crc;
}

#if defined(__x86_64__) || defined(__ARM_FEATURE_CRC32)

#if defined(__x86_64__)
#define WITH_INSTRUCTION __attribute__((target("sse4.2")))
WITH_INSTRUCTION static inline uint32_t step8(uint32_t crc, const uint8_t *p)
{
    uint64_t word;
    memcpy(&word, p, sizeof word);
    return (uint32_t)_mm_crc32_u64(crc, word);
}
WITH_INSTRUCTION static inline uint32_t step1(uint32_t crc, uint8_t byte)
{
    return _mm_crc32_u8(crc, byte);
}
/* Not __builtin_cpu_supports(): that asks for everything before main(), and in a virtual machine each question is expensive. */
static bool has_instruction(void)
{
    enum { UNKNOWN, NO, YES };
    static atomic_int known;
    int has = atomic_load_explicit(&known, memory_order_relaxed);
    if (has == UNKNOWN) {
        unsigned a, b, c, d;
        has = __get_cpuid(1, &a, &b, &c, &d) && (c & bit_SSE4_2) ? YES : NO;
        atomic_store_explicit(&known, has, memory_order_relaxed);
    }
    return has == YES;
}
#else
#define WITH_INSTRUCTION
static inline uint32_t step8(uint32_t crc, const uint8_t *p)
{
    return __crc32cw(__crc32cw(crc, little_endian(p)), little_endian(p + 4));
}
static inline uint32_t step1(uint32_t crc, uint8_t byte)
{
    return __crc32cb(crc, byte);
}
static bool has_instruction(void)
{
    return true;
}
#endif

/* The instruction can begin every cycle and takes three, so of much there are three sums at a time, of neighbouring pieces. A sum is
 * linear: that of the first piece goes on over the second as over zeros, and theirs is added. */
enum { PIECE = 512 };

static uint32_t over_piece[4][256]; /* what becomes of each byte of a sum over a piece of zeros */

static void make_over_piece(void)
{
    static const uint8_t zeros[PIECE];
    uint32_t of_bit[32];
    for (unsigned bit = 0; bit < 32; bit++)
        of_bit[bit] = ~crc32c_by_table(~(UINT32_C(1) << bit), zeros, PIECE);
    for (unsigned byte = 0; byte < 4; byte++)
        for (unsigned value = 0; value < 256; value++) {
            over_piece[byte][value] = 0;
            for (unsigned bit = 0; bit < 8; bit++)
                over_piece[byte][value] ^= value >> bit & 1 ? of_bit[8 * byte + bit] : 0;
        }
}

static uint32_t go_over_piece(uint32_t crc)
{
    return over_piece[0][crc & 0xff] ^ over_piece[1][crc >> 8 & 0xff] ^ over_piece[2][crc >> 16 & 0xff] ^
           over_piece[3][crc >> 24];
}

WITH_INSTRUCTION static uint32_t three_pieces(uint32_t a, const uint8_t *p)
{
    uint32_t b = 0, c = 0;
    for (size_t i = 0; i < PIECE; i += 8) {
        a = step8(a, p + i);
        b = step8(b, p + PIECE + i);
        c = step8(c, p + 2 * (size_t)PIECE + i);
    }
    return go_over_piece(go_over_piece(a) ^ b) ^ c;
}

WITH_INSTRUCTION static uint32_t by_instruction(uint32_t crc, const uint8_t *p, size_t len)
{
    crc = ~crc;
    if (len >= 3 * (size_t)PIECE) {
        static pthread_once_t once = PTHREAD_ONCE_INIT;
        (void)pthread_once(&once, make_over_piece);
        for (; len >= 3 * (size_t)PIECE; p += 3 * (size_t)PIECE, len -= 3 * (size_t)PIECE)
            crc = three_pieces(crc, p);
    }
    for (; len >= 8; p += 8, len -= 8)
        crc = step8(crc, p);
    for (; len; p++, len--)
        crc = step1(crc, *p);
    return ~crc;
}

uint32_t crc32c(uint32_t crc, const void *bytes, size_t len)
{
    return has_instruction() ? by_instruction(crc, bytes, len) : crc32c_by_table(crc, bytes, len);
}

#else

uint32_t crc32c(uint32_t crc, const void *bytes, size_t len)
{
    return crc32c_by_table(crc, bytes, len);
}

#endif
