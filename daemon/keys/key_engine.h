/* Keys in PKCS#11 tokens through OpenSSL's engine pkcs11 (libp11). For key.c. */
#pragma once

#include "base/base.h"

struct evp_pkey_st;

bool key_engine_is_there(void);
/* module: the token's library, or NULL. -EACCES: the token does not take the PIN. */
int key_engine_load(struct evp_pkey_st **ret, const char *name, const char *module, const char *pin,
                    char **why) must_check;
