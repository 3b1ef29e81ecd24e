/* Telemetry that waits for the link: records of any length, one behind the other, in a ring of bytes of the caller's.
 *
 *      ┌───────────────────────────────────────────────────────┐
 *      │ …tail of B │ C           │ (free)   │ A      │ head of B… │      first = A, used = A + B + C
 *      └───────────────────────────────────────────────────────┘
 *
 * When it is full, either the oldest records make room (the newest are kept) or the new one is refused (the oldest are
 * kept), as the owner wants it. A ring of size 0 holds nothing and refuses everything.
 */
#pragma once

#include "ghn/result.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct ghn_ring {
    uint8_t *bytes;
    size_t size;
    size_t first; /* where the oldest record begins */
    size_t used;
    uint32_t dropped; /* records that made room for newer ones */
    bool keep_newest;
} ghn_ring;

/* A piece of a record to come. */
typedef struct ghn_piece {
    const void *bytes;
    size_t len;
} ghn_piece;

void ghn_ring_init(ghn_ring *ring, uint8_t *bytes, size_t size, bool keep_newest);

/* Appends a record made of pieces. 0, GHN_BUSY (full, and the oldest are kept) or GHN_TOO_LONG (would not fit in the empty
 * ring, or is longer than 65535 bytes). */
int ghn_ring_put(ghn_ring *ring, const ghn_piece *pieces, size_t count);

/* Length of the oldest record, 0 when there is none. (No record is empty.) */
size_t ghn_ring_first(const ghn_ring *ring);

/* Copies len bytes of the oldest record, from `offset` on; the caller stays within its length. */
void ghn_ring_copy(const ghn_ring *ring, size_t offset, void *to, size_t len);

/* Forgets the oldest record. */
void ghn_ring_drop(ghn_ring *ring);
