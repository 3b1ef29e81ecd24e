/* The keys that the gateway gave this node, in two pages: always written into the page that does not hold the newest one, so
 * that a power cut in the middle of it costs nothing.
 *
 *      page 0   generation 1   (wiped when generation 2 has worked)
 *      page 1   generation 2   newest: tried three times, then the other once, and so on
 *
 * Nothing that a network can do makes a node forget a key: who is refused tries again.
 */
#pragma once

#include "ghn/page.h"

#include <stdbool.h>

typedef struct ghn_pages {
    int (*read)(void *ctx, unsigned page, uint8_t *bytes, size_t n); /* 0, negative: cannot */
    /* Erases the page, programs it and reads it back: 0, negative: it does not hold what it should. */
    int (*write)(void *ctx, unsigned page, const uint8_t *bytes, size_t n);
    void *ctx;
} ghn_pages;

enum { GHN_NEW_TRIES = 3 };

/* All fields are the library's. */
typedef struct ghn_keys {
    const ghn_pages *pages;
    ghn_credentials use; /* of the present attempt to connect */
    uint8_t have;        /* bits of pages that are good */
    uint8_t newest, in_use;
    uint8_t tries; /* since the newest was written, or has worked */
} ghn_keys;

/* Reads both pages. */
void ghn_keys_open(ghn_keys *keys, const ghn_pages *pages);
bool ghn_keys_are_there(const ghn_keys *keys);

/* Stores a key: it is the newest from now on. Its order is chosen here. 0, GHN_INVALID, or GHN_STORAGE: it is not stored, and
 * what was there before is. */
int ghn_keys_put(ghn_keys *keys, ghn_credentials *credentials);

/* The key for the next attempt, in keys->use; false: there is none. */
bool ghn_keys_next(ghn_keys *keys);
/* With it the gateway took us. The newest's success wipes the other page. */
void ghn_keys_worked(ghn_keys *keys);

/* "n:SERIAL:GENERATION". */
enum { GHN_KEY_ID_SIZE = 2 + GHN_SERIAL_MAX + 12 };
void ghn_key_id(char *ret, const char *serial, uint32_t generation);
