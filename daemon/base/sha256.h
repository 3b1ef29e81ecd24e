/* SHA-256 as FIPS 180-4 has it, for telling things apart where no library is loaded. Pure. */
#pragma once

#include "base/base.h"

enum { SHA256_BYTES = 32, SHA256_TEXT = 65 };

void sha256(uint8_t ret[SHA256_BYTES], const void *bytes, size_t len);
/* The same in hexadecimal digits, terminated. */
void sha256_text(char ret[SHA256_TEXT], const void *bytes, size_t len);
