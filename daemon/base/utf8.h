/* UTF-8 as RFC 3629 has it: no overlong forms, no surrogates, nothing above U+10FFFF. */
#pragma once

#include "base/base.h"

/* Length of the well-formed sequence that begins at p, 1 to 4; 0 when there is none. p < end. */
static inline size_t utf8_sequence(const char *p, const char *end)
{
    const uint8_t *b = (const uint8_t *)p;
    size_t left = (size_t)(end - p);
    if (b[0] < 0x80)
        return 1;
    if (b[0] < 0xC2 || b[0] > 0xF4 || left < 2)
        return 0;
    if (b[0] < 0xE0)
        return (b[1] & 0xC0) == 0x80 ? 2 : 0;
    /* The second byte's range rules out overlong forms, surrogates and what is above U+10FFFF. */
    uint8_t low = b[0] == 0xE0 ? 0xA0 : (b[0] == 0xF0 ? 0x90 : 0x80);
    uint8_t high = b[0] == 0xED ? 0x9F : (b[0] == 0xF4 ? 0x8F : 0xBF);
    if (b[1] < low || b[1] > high || left < 3 || (b[2] & 0xC0) != 0x80)
        return 0;
    if (b[0] < 0xF0)
        return 3;
    return left >= 4 && (b[3] & 0xC0) == 0x80 ? 4 : 0;
}

static inline bool utf8_is_valid(const char *text, size_t len)
{
    const char *end = text + len;
    while (text < end) {
        size_t n = utf8_sequence(text, end);
        if (!n)
            return false;
        text += n;
    }
    return true;
}

/* The largest length of at most max bytes that does not cut a character of a valid text. */
static inline size_t utf8_cut(const char *text, size_t len, size_t max)
{
    if (len <= max)
        return len;
    while (max && ((uint8_t)text[max] & 0xC0) == 0x80)
        max--;
    return max;
}
