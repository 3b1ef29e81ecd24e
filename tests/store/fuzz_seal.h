/* A seal that can be made by anybody, for fuzz targets: its tag is a sum, so that what is behind it is reached and not guessed. */
#pragma once

#include "store/seal.h"

/* It is ready. */
extern struct seal_vault fuzz_vault;

void fuzz_put_sum(uint8_t *bytes, uint32_t crc);
/* The first four bytes of the tag; the others are not looked at. */
uint32_t fuzz_tag(const uint8_t *nonce, const void *aad, size_t aad_len, const uint8_t *bytes, size_t len);
