/* Each record is its length in two bytes, then its bytes. Both may run over the end of the ring into its beginning:
 * read_at() and write_at() are the only functions that know. */
#include "ghn/ring.h"

#include <string.h>

enum { LENGTH_BYTES = 2 };

/* Where the byte number `offset` behind the first record's beginning stands. */
static size_t place(const ghn_ring *ring, size_t offset)
{
    size_t left = ring->size - ring->first;
    return offset < left ? ring->first + offset : offset - left;
}

static void read_at(const ghn_ring *ring, size_t offset, uint8_t *to, size_t len)
{
    size_t at = place(ring, offset);
    size_t straight = len < ring->size - at ? len : ring->size - at;
    memcpy(to, ring->bytes + at, straight);
    memcpy(to + straight, ring->bytes, len - straight);
}

static void write_at(ghn_ring *ring, size_t offset, const uint8_t *from, size_t len)
{
    size_t at = place(ring, offset);
    size_t straight = len < ring->size - at ? len : ring->size - at;
    memcpy(ring->bytes + at, from, straight);
    memcpy(ring->bytes, from + straight, len - straight);
}

void ghn_ring_init(ghn_ring *ring, uint8_t *bytes, size_t size, bool keep_newest)
{
    *ring = (ghn_ring){.bytes = bytes, .size = size, .keep_newest = keep_newest};
}

int ghn_ring_put(ghn_ring *ring, const ghn_piece *pieces, size_t count)
{
    size_t len = 0;
    for (size_t i = 0; i < count; i++)
        len += pieces[i].len;
    if (len > UINT16_MAX || len + LENGTH_BYTES > ring->size)
        return GHN_TOO_LONG;
    while (len + LENGTH_BYTES > ring->size - ring->used) {
        if (!ring->keep_newest)
            return GHN_BUSY;
        ghn_ring_drop(ring);
        ring->dropped++;
    }

    uint8_t head[LENGTH_BYTES] = {(uint8_t)(len & 0xFF), (uint8_t)(len >> 8)};
    write_at(ring, ring->used, head, sizeof head);
    ring->used += sizeof head;
    for (size_t i = 0; i < count; i++) {
        if (!pieces[i].len)
            continue;
        write_at(ring, ring->used, pieces[i].bytes, pieces[i].len);
        ring->used += pieces[i].len;
    }
    return 0;
}

size_t ghn_ring_first(const ghn_ring *ring)
{
    uint8_t head[LENGTH_BYTES];
    if (!ring->used)
        return 0;
    read_at(ring, 0, head, sizeof head);
    return (size_t)(head[0] | head[1] << 8);
}

void ghn_ring_copy(const ghn_ring *ring, size_t offset, void *to, size_t len)
{
    read_at(ring, LENGTH_BYTES + offset, to, len);
}

void ghn_ring_drop(ghn_ring *ring)
{
    size_t len = LENGTH_BYTES + ghn_ring_first(ring);
    ring->first = place(ring, len);
    ring->used -= len;
}
