/* Keys of a provider ("tpm2", "pkcs11") that signs in a device. For key.c. */
#pragma once

#include "base/base.h"

struct evp_pkey_st;

bool key_far_is_there(const char *provider);
/* name: what OpenSSL's store opens; pin: of the object, or "". */
int key_far_load(struct evp_pkey_st **ret, const char *provider, const char *name, const char *pin,
                 char **why) must_check;
