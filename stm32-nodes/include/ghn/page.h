/* What a node keeps over a power cut: pages of 256 bytes, each with a check sum at its end.
 *
 *      identity page      written once, on the bench: who it is, and the key that the code on its sticker stands for
 *      credential pages   two: the key that the gateway gave it, and the next or the former one (keys.h)
 *
 * Pure functions from and to bytes. All numbers are little-endian.
 */
#pragma once

#include "ghn/result.h"

#include <stddef.h>
#include <stdint.h>

enum {
    GHN_PAGE_SIZE = 256,
    GHN_SERIAL_MAX = 24,
    GHN_KEY_SIZE = 32,
    GHN_MODEL_MAX = 16,
    GHN_PAGE_THING_MAX = 64,
    GHN_PAGE_HOST_MAX = 63,
};

/*      0  "GHID"   4  version 1   5  flags   6  length of the serial   7  0
 *      8  serial (24)   32  pairing key (32)   64  seed (32)   96  model (16)   112  key for images (32)
 *      252  CRC-32 of what is before it; unused bytes are 0xFF */
typedef struct ghn_identity {
    char serial[GHN_SERIAL_MAX + 1];
    char model[GHN_MODEL_MAX + 1];
    uint8_t flags;
    uint8_t pairing_key[GHN_KEY_SIZE];
    uint8_t seed[GHN_KEY_SIZE];
    uint8_t image_key[GHN_KEY_SIZE];
} ghn_identity;

/* 0, or GHN_INVALID: no identity, of another version, or damaged. */
int ghn_identity_read(ghn_identity *ret, const uint8_t page[GHN_PAGE_SIZE]);
/* The serial must be 1 to 24 of [a-zA-Z0-9_-]: else GHN_INVALID. */
int ghn_identity_write(const ghn_identity *identity, uint8_t page[GHN_PAGE_SIZE]);

/*      0  "GHKY"   4  version 1   5  length of thing   6  length of host   7  0
 *      8  order (4)   12  generation (4)   16  key (32)   48  port (2)   50  thing (64)   114  host (63)   252  CRC-32 */
typedef struct ghn_credentials {
    uint32_t order;      /* of two pages, the one with the higher order was written later */
    uint32_t generation; /* of the key */
    uint8_t key[GHN_KEY_SIZE];
    uint16_t port;                      /* 0: as configured */
    char thing[GHN_PAGE_THING_MAX + 1]; /* 1 to 64 characters */
    char host[GHN_PAGE_HOST_MAX + 1];   /* "": as configured */
} ghn_credentials;

int ghn_credentials_read(ghn_credentials *ret, const uint8_t page[GHN_PAGE_SIZE]);
int ghn_credentials_write(const ghn_credentials *credentials, uint8_t page[GHN_PAGE_SIZE]);

/* IEEE 802.3, reflected. */
uint32_t ghn_crc32(const uint8_t *bytes, size_t len);
/* Zeros that the compiler does not leave out. */
void ghn_wipe(void *bytes, size_t len);
