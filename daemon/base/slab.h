/* Things of one size that come by the thousand and go a moment later: acknowledgements that wait, records on their way.
 *
 * They lie side by side in chunks, so that taking one and giving it back is a few instructions. What was given back is taken again before there
 * is another chunk, and a chunk goes back to the allocator with its last thing, unless it is the only one with room.
 *
 *      roomy ⇄ [thing][free ][thing][never used …] ⇄ …        full ⇄ [thing][thing][thing] ⇄ …
 *
 * A slab may end before its things: their chunks then go with the last of them.
 */
#pragma once

#include "base/list.h"

/* Under the address sanitizer each thing is a piece of memory of its own, so that who uses one that was given back is found. */
#ifndef __has_feature
#define __has_feature(x) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
#define SLAB_IS_WATCHED 1
#else
#define SLAB_IS_WATCHED 0
#endif

struct slab {
    struct list roomy, full; /* chunks */
    size_t size;             /* of a thing */
};

void slab_init(struct slab *slab, size_t size);
void slab_done(struct slab *slab);
/* Zeroed; does not return NULL, as mem_new() does not. Aligned for pointers and 64-bit numbers. */
void *slab_take(struct slab *slab);
void slab_give(void *thing); /* NULL: nothing */
