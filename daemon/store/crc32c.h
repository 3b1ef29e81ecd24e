/* CRC-32C (Castagnoli), as in RFC 3720 and the processors' own instruction.
 *
 * crc32c(0, …) of the whole equals crc32c(crc32c(0, head), tail): a record is summed piece by piece.
 */
#pragma once

#include "base/base.h"

uint32_t crc32c(uint32_t crc, const void *bytes, size_t len);

/* The same without the processor's instruction; for tests, and for processors without it. */
uint32_t crc32c_by_table(uint32_t crc, const void *bytes, size_t len);
