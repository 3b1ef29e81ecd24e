/* AES-256-GCM and HKDF-SHA256 by OpenSSL, for what the store seals (store/seal.h). Loaded with the first stream that is
 * encrypted (lazy/). */
#pragma once

#include "store/seal.h"

/* Never NULL here; in the daemon NULL when the part cannot be loaded: *why (free it). */
const struct seal_functions *aead_functions(char **why);
