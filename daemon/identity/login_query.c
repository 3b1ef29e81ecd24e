#include "identity/login_query.h"

#include <errno.h>
#include <string.h>

static int digit_of(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* A + stays one: clients that forget to write %2B in base64 mean it so. */
static int decode(char *ret, size_t size, size_t *len, const char *text, size_t text_len)
{
    *len = 0;
    for (size_t i = 0; i < text_len; i++) {
        char c = text[i];
        if (c == '%') {
            int high = text_len - i > 2 ? digit_of(text[i + 1]) : -1,
                low = high >= 0 ? digit_of(text[i + 2]) : -1;
            if (low < 0 || (high == 0 && low == 0))
                return -EINVAL;
            c = (char)(high << 4 | low);
            i += 2;
        }
        if (*len + 1 >= size)
            return -EINVAL;
        ret[(*len)++] = c;
    }
    ret[*len] = '\0';
    return 1;
}

int login_query_find(const char *user, const char *key, char *ret, size_t size, size_t *len)
{
    const char *at = strchr(user, '?'), *found = NULL;
    size_t key_len = strlen(key), found_len = 0;
    while (at && *at) {
        at++;
        size_t part = strcspn(at, "&");
        if (part > key_len && at[key_len] == '=' && memcmp(at, key, key_len) == 0) {
            if (found)
                return -EINVAL;
            found = at + key_len + 1;
            found_len = part - key_len - 1;
        }
        at += part;
    }
    return found ? decode(ret, size, len, found, found_len) : 0;
}
