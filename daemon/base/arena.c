#include "base/arena.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_POISONS
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define ARENA_POISONS
#endif

#ifdef ARENA_POISONS
#include <sanitizer/asan_interface.h>
#define poison(p, size)   __asan_poison_memory_region((p), (size))
#define unpoison(p, size) __asan_unpoison_memory_region((p), (size))
enum { REDZONE = 16 };
#else
#define poison(p, size)   ((void)(p), (void)(size))
#define unpoison(p, size) ((void)(p), (void)(size))
enum { REDZONE = 0 };
#endif

/* What does not fit a quarter of an ordinary chunk gets a chunk of its own, behind the first: the first keeps its free
 * rest. Pages that nobody touched cost nothing, so an ordinary chunk may be larger than most turns need. */
enum { CHUNK_SIZE = 64 * 1024, OWN_CHUNK = CHUNK_SIZE / 4 };

struct arena_chunk {
    struct arena_chunk *next;
    size_t size; /* of bytes */
    _Alignas(16) char bytes[];
};

static size_t round_up(size_t size)
{
    if (size > SIZE_MAX / 2)
        abort();
    return (size + ARENA_ALIGN - 1) & ~(size_t)(ARENA_ALIGN - 1);
}

static struct arena_chunk *new_chunk(size_t size)
{
    struct arena_chunk *chunk = malloc(sizeof *chunk + size);
    if (!chunk)
        abort();
    chunk->size = size;
#ifdef ARENA_POISONS
    memset(chunk->bytes, 0xA5, size); /* what is used before it was set is seen to be nonsense */
#endif
    poison(chunk->bytes, size);
    return chunk;
}

static void free_chunk(struct arena_chunk *chunk)
{
    unpoison(chunk->bytes, chunk->size);
    free(chunk);
}

void arena_done(struct arena *arena)
{
    while (arena->chunks) {
        struct arena_chunk *chunk = arena->chunks;
        arena->chunks = chunk->next;
        free_chunk(chunk);
    }
    *arena = (struct arena){0};
}

void arena_reset(struct arena *arena)
{
    struct arena_chunk *kept = NULL;
    while (arena->chunks) {
        struct arena_chunk *chunk = arena->chunks;
        arena->chunks = chunk->next;
        if (!kept && chunk->size == CHUNK_SIZE)
            kept = chunk;
        else
            free_chunk(chunk);
    }
    *arena = (struct arena){0};
    if (!kept)
        return;
    kept->next = NULL;
    poison(kept->bytes, kept->size);
    arena->chunks = kept;
    arena->at = kept->bytes;
    arena->end = kept->bytes + kept->size;
}

static void *alloc_chunk(struct arena *arena, size_t size)
{
    if (size > OWN_CHUNK && arena->chunks) {
        struct arena_chunk *own = new_chunk(size);
        own->next = arena->chunks->next;
        arena->chunks->next = own;
        return own->bytes;
    }
    struct arena_chunk *chunk = new_chunk(size_max(size, CHUNK_SIZE));
    chunk->next = arena->chunks;
    arena->chunks = chunk;
    arena->at = chunk->bytes + size;
    arena->end = chunk->bytes + chunk->size;
    return chunk->bytes;
}

void *arena_alloc(struct arena *arena, size_t size)
{
    size_t room = round_up(size) + REDZONE;
    void *p;
    if (room <= (size_t)(arena->end - arena->at)) {
        p = arena->at;
        arena->at += room;
    } else {
        p = alloc_chunk(arena, room);
    }
    unpoison(p, size);
    return p;
}

void *arena_zero(struct arena *arena, size_t size)
{
    return memset(arena_alloc(arena, size), 0, size);
}

void *arena_grow(struct arena *arena, void *p, size_t old_size, size_t new_size)
{
    size_t old_room = round_up(old_size) + REDZONE, new_room = round_up(new_size) + REDZONE;
    bool is_last = p && (char *)p + old_room == arena->at;
    if (is_last && new_room - old_room <= (size_t)(arena->end - arena->at)) {
        arena->at += new_room - old_room;
        unpoison(p, new_size);
        return p;
    }
    void *larger = arena_alloc(arena, new_size);
    if (old_size)
        memcpy(larger, p, old_size);
    if (p)
        poison(p, old_size);
    return larger;
}

char *arena_copy(struct arena *arena, const void *bytes, size_t len)
{
    char *copy = arena_alloc(arena, len + 1);
    if (len)
        memcpy(copy, bytes, len);
    copy[len] = '\0';
    return copy;
}

char *arena_printf(struct arena *arena, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (n < 0)
        abort();
    char *text = arena_alloc(arena, (size_t)n + 1);
    (void)vsnprintf(text, (size_t)n + 1, format, again);
    va_end(again);
    return text;
}
