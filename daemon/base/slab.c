#include "base/slab.h"

#include <string.h>

enum {
    CHUNK_BYTES = SLAB_IS_WATCHED ? 0 : 8 * 1024,
    CHUNK_THINGS_MIN = SLAB_IS_WATCHED ? 1 : 4,
    WORD = sizeof(uint64_t),
};

struct slot {
    struct slab_chunk *chunk;
    union {
        struct slot *next; /* when it is free */
        uint64_t thing[1];
    } is;
};

struct slab_chunk {
    struct list link;  /* in slab->roomy or slab->full */
    struct slab *slab; /* NULL: it has ended */
    struct slot *free;
    unsigned count, used, live; /* slots; used so far; that have a thing now */
    uint64_t slots[];
};

void slab_init(struct slab *slab, size_t size)
{
    list_init(&slab->roomy);
    list_init(&slab->full);
    slab->size = size;
}

void slab_done(struct slab *slab)
{
    list_splice(&slab->full, &slab->roomy);
    for (struct list *link; (link = list_pop(&slab->full));) {
        struct slab_chunk *chunk = list_entry(link, struct slab_chunk, link);
        chunk->slab = NULL;
        if (!chunk->live)
            free(chunk);
    }
}

static size_t slot_words(const struct slab *slab)
{
    return 1 + (size_max(slab->size, WORD) + WORD - 1) / WORD;
}

static struct slab_chunk *add_chunk(struct slab *slab)
{
    size_t slot = slot_words(slab) * WORD, count = size_max(CHUNK_BYTES / slot, CHUNK_THINGS_MIN);
    struct slab_chunk *chunk = malloc(sizeof *chunk + count * slot);
    if (!chunk)
        abort(); /* the rule of mem_new() */
    *chunk = (struct slab_chunk){.slab = slab, .count = (unsigned)count};
    list_append(&slab->roomy, &chunk->link);
    return chunk;
}

void *slab_take(struct slab *slab)
{
    struct slab_chunk *chunk =
        list_is_empty(&slab->roomy) ? add_chunk(slab) : list_entry(slab->roomy.next, struct slab_chunk, link);
    struct slot *slot = chunk->free;
    if (slot) {
        chunk->free = slot->is.next;
    } else {
        slot = (struct slot *)(chunk->slots + chunk->used++ * slot_words(slab));
        slot->chunk = chunk;
    }
    if (++chunk->live == chunk->count) {
        list_remove(&chunk->link);
        list_append(&slab->full, &chunk->link);
    }
    return memset(&slot->is, 0, slab->size);
}

static bool is_only_one_with_room(const struct slab_chunk *chunk)
{
    return chunk->slab && chunk->slab->roomy.next == &chunk->link && chunk->slab->roomy.prev == &chunk->link;
}

void slab_give(void *thing)
{
    if (!thing)
        return;
    struct slot *slot = container_of(thing, struct slot, is);
    struct slab_chunk *chunk = slot->chunk;
    if (chunk->live-- == chunk->count && chunk->slab) {
        list_remove(&chunk->link);
        list_append(&chunk->slab->roomy, &chunk->link);
    }
    slot->is.next = chunk->free;
    chunk->free = slot;
    if (chunk->live)
        return;
    if (!SLAB_IS_WATCHED && is_only_one_with_room(chunk)) { /* from its beginning again */
        chunk->free = NULL;
        chunk->used = 0;
        return;
    }
    list_remove(&chunk->link);
    free(chunk);
}
