/* An arena: memory for one piece of work, given back all at once.
 *
 *      chunk ──▶ chunk ──▶ NULL          allocating moves a pointer in the first; what does not fit begins a new one
 *
 * JSON trees, composed answers and scratch come from the turn's arena; what must live longer is copied out. Nothing is
 * freed alone. arena_reset() keeps one ordinary chunk for the next turn and gives the rest of a peak back.
 *
 * Allocating does not fail: like mem_new(), the process ends when there is no memory at all. So whoever lets a peer
 * decide how much is needed limits that first (json.h says what a document may cost).
 *
 * Under AddressSanitizer what is not handed out is poisoned: running over the end of a piece, or using it after the
 * reset, is found.
 */
#pragma once

#include "base/base.h"

struct arena_chunk;

/* Zero is an empty arena. */
struct arena {
    char *at, *end; /* what is free in the first chunk */
    struct arena_chunk *chunks;
};

enum { ARENA_ALIGN = 8 };

static inline void arena_init(struct arena *arena)
{
    *arena = (struct arena){0};
}

/* Frees everything. */
void arena_done(struct arena *arena);
/* Forgets everything that was allocated. */
void arena_reset(struct arena *arena);

/* Memory aligned for pointers and integers of 64 bits, not cleared. */
void *arena_alloc(struct arena *arena, size_t size);
#define arena_new(arena, type) ((type *)arena_zero((arena), sizeof(type)))
void *arena_zero(struct arena *arena, size_t size);

/* Makes a piece larger, in place when it was the last one allocated; p may be NULL. The old piece is gone. */
void *arena_grow(struct arena *arena, void *p, size_t old_size, size_t new_size);

/* A copy with a NUL behind it. */
char *arena_copy(struct arena *arena, const void *bytes, size_t len);
char *arena_printf(struct arena *arena, const char *format, ...) printf_like(2, 3);
