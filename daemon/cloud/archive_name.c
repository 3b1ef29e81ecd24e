#include "cloud/archive_name.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { HASHED = 2 + 16 };

static uint64_t hash_of(const char *text, size_t len) /* FNV-1a */
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ (uint8_t)text[i]) * UINT64_C(0x100000001b3);
    return hash;
}

static bool is_plain(unsigned char c, bool first)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c >= 0x80 || (c == '.' && !first);
}

/* Writes at most 3 * len + 2 bytes, or HASHED more than ARCHIVE_LEVEL_MAX. */
static char *put_level(char *to, const char *text, size_t len)
{
    char *begin = to;
    if (!len) {
        *to++ = '%';
        *to++ = '-';
    }
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        if (is_plain(c, i == 0))
            *to++ = (char)c;
        else
            to += snprintf(to, 4, "%%%02X", c);
    }
    if (to - begin <= ARCHIVE_LEVEL_MAX)
        return to;
    to = begin + ARCHIVE_LEVEL_MAX - HASHED;
    while (to > begin && ((unsigned char)*to & 0xC0) == 0x80) /* not in the middle of a character */
        to--;
    if (to > begin && to[-1] == '%')
        to--;
    else if (to - begin > 1 && to[-2] == '%')
        to -= 2;
    return to + snprintf(to, HASHED + 1, "%%~%016" PRIx64, hash_of(text, len));
}

char *archive_name(struct arena *arena, const char *text)
{
    size_t len = strlen(text);
    /* An empty level becomes two bytes, and has a slash that is one. */
    char *name = arena_alloc(arena, 3 * len + 3 + HASHED), *to = name;
    for (const char *level = text;; level++) {
        size_t n = strcspn(level, "/");
        to = put_level(to, level, n);
        level += n;
        if (!*level)
            break;
        *to++ = '/';
    }
    if (to - name > ARCHIVE_NAME_MAX)
        to = name + snprintf(name, HASHED + 1, "%%~%016" PRIx64, hash_of(text, len));
    *to = '\0';
    return name;
}

const char *archive_pattern_check(const char *pattern)
{
    static const char expected[] = "a path below the folder, without empty levels, . and ..";
    for (const char *level = pattern;; level++) {
        size_t n = strcspn(level, "/");
        if (n == 0 || (n == 1 && *level == '.') || (n == 2 && strncmp(level, "..", 2) == 0) || n > 100)
            return expected;
        level += n;
        if (!*level)
            return NULL;
    }
}
