/* The few words every file uses: scope-owned pointers, checked results, small memory.
 *
 * The compiler extensions of the house live here and nowhere else: cleanup, must_check, and the statement expression
 * in steal().
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#define must_check               __attribute__((warn_unused_result))
#define printf_like(text, first) __attribute__((format(printf, text, first)))

/* cleanup(x_free_p) struct x *x = NULL;   calls x_free_p(&x) when the scope ends. */
#define cleanup(function) __attribute__((cleanup(function)))

/* Defines x_p() for cleanup() from x(). */
#define define_cleanup(type, function)                                                                       \
    static inline void function##_p(type *p)                                                                 \
    {                                                                                                        \
        if (*p)                                                                                              \
            (void)function(*p);                                                                              \
    }

/* Hands a scope-owned pointer over: the scope forgets it. */
#define steal(pointer)                                                                                       \
    (__extension__({                                                                                         \
        __typeof__(pointer) stolen_ = (pointer);                                                             \
        (pointer) = NULL;                                                                                    \
        stolen_;                                                                                             \
    }))

#define container_of(pointer, type, member) ((type *)((char *)(pointer)-offsetof(type, member)))
#define array_size(array)                   (sizeof(array) / sizeof((array)[0]))

static inline size_t size_min(size_t a, size_t b)
{
    return a < b ? a : b;
}

static inline size_t size_max(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* Zeroed memory for small fixed things. Does not return NULL: out of memory for a few hundred bytes ends the process,
 * and what was acknowledged is on disk. Sizes that a peer chose go through malloc() and are refused politely. */
void *mem_new_bytes(size_t size);
#define mem_new(type) ((type *)mem_new_bytes(sizeof(type)))

/* Same rule, with anything in it: a large buffer's pages cost nothing before they are used. */
void *mem_new_buffer(size_t size);

/* Copies of strings, same rule as mem_new(). NULL stays NULL. */
char *str_copy(const char *s);
char *str_copy_n(const char *s, size_t len);
char *str_printf(const char *format, ...) printf_like(1, 2) must_check;

static inline void mem_free_p(void *p)
{
    free(*(void **)p);
}
#define cleanup_free cleanup(mem_free_p)

/* Closes *fd if it is open; for cleanup(fd_close_p). Keeps errno. */
void fd_close_p(int *fd);
