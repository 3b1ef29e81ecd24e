/* Base64 as RFC 4648 has it, with padding. Pure. */
#pragma once

#include "base/base.h"

static inline size_t base64_size(size_t len)
{
    return (len + 2) / 3 * 4;
}

/* Writes base64_size(len) bytes and no NUL. */
void base64_write(char *to, const void *bytes, size_t len);

/* Of len characters, with or without their padding; strict: no other characters, and no bits behind the last byte. false: it
 * is none, or longer than size bytes. */
bool base64_read(uint8_t *ret, size_t size, size_t *ret_len, const char *text, size_t len) must_check;
/* The same with - and _ in place of + and / and without padding, as tokens have it (base64url). */
bool base64url_read(uint8_t *ret, size_t size, size_t *ret_len, const char *text, size_t len) must_check;
