/* Private keys from where they are (key_uri.h), with OpenSSL: in PKCS#11 tokens through its engine, or its provider where there
 * is no engine; in a TPM 2.0 through the provider tpm2. Neither ever gives the key away: what is to be signed goes there.
 *
 * Signing costs what the device takes: 0.1 ms in SoftHSM, 5 to 10 ms in a software TPM, 50 to 200 ms in many real ones, and
 * whoever asks waits for it. A listener with such a key stands still that long for each full handshake.
 *
 * Every part that is loaded later (lazy/) has its own copy of this.
 */
#pragma once

#include "keys/key_uri.h"

struct evp_pkey_st;

/* Free *ret with EVP_PKEY_free(). -EINVAL and *why (free it), a sentence with what was expected and what OpenSSL or the device
 * says; the PIN is neither in it nor kept. */
int key_load(struct evp_pkey_st **ret, const char *text, char **why) must_check;
