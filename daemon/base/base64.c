#include "base/base64.h"

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_write(char *to, const void *bytes, size_t len)
{
    const uint8_t *at = bytes;
    for (size_t i = 0; i < len; i += 3) {
        size_t left = len - i;
        uint32_t group = (uint32_t)at[i] << 16;
        group |= left > 1 ? (uint32_t)at[i + 1] << 8 : 0;
        group |= left > 2 ? at[i + 2] : 0;
        *to++ = digits[group >> 18];
        *to++ = digits[group >> 12 & 63];
        *to++ = left > 1 ? digits[group >> 6 & 63] : '=';
        *to++ = left > 2 ? digits[group & 63] : '=';
    }
}

static int value_of(char c, bool url)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == (url ? '-' : '+'))
        return 62;
    return c == (url ? '_' : '/') ? 63 : -1;
}

static bool decode(uint8_t *ret, size_t size, size_t *ret_len, const char *text, size_t len, bool url)
{
    if (len % 4 == 1 || len / 4 * 3 + (len % 4 * 3) / 4 > size)
        return false;
    uint32_t bits = 0;
    unsigned count = 0;
    size_t n = 0;
    for (size_t i = 0; i < len; i++) {
        int value = value_of(text[i], url);
        if (value < 0)
            return false;
        bits = (bits << 6 | (uint32_t)value) & 0xfff;
        count += 6;
        if (count >= 8) {
            count -= 8;
            ret[n++] = (uint8_t)(bits >> count);
        }
    }
    *ret_len = n;
    return (bits & ((1U << count) - 1)) == 0;
}

bool base64_read(uint8_t *ret, size_t size, size_t *ret_len, const char *text, size_t len)
{
    if (len && len % 4 == 0)
        for (int i = 0; i < 2 && text[len - 1] == '='; i++)
            len--;
    return decode(ret, size, ret_len, text, len, false);
}

bool base64url_read(uint8_t *ret, size_t size, size_t *ret_len, const char *text, size_t len)
{
    return decode(ret, size, ret_len, text, len, true);
}
