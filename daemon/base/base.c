#include "base/base.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void *mem_new_bytes(size_t size)
{
    void *p = calloc(1, size ? size : 1);
    if (!p)
        abort();
    return p;
}

void *mem_new_buffer(size_t size)
{
    void *p = malloc(size ? size : 1);
    if (!p)
        abort();
    return p;
}

char *str_copy(const char *s)
{
    return s ? str_copy_n(s, strlen(s)) : NULL;
}

char *str_copy_n(const char *s, size_t len)
{
    char *copy = mem_new_bytes(len + 1);
    memcpy(copy, s, len);
    return copy;
}

char *str_printf(const char *format, ...)
{
    char *text = NULL;
    va_list args;
    va_start(args, format);
    int n = vasprintf(&text, format, args);
    va_end(args);
    if (n < 0)
        abort();
    return text;
}

void fd_close_p(int *fd)
{
    int saved = errno;
    if (*fd >= 0)
        (void)close(*fd);
    *fd = -1;
    errno = saved;
}
