#include "store/fuzz_seal.h"

#include "store/crc32c.h"

#include <stdlib.h>
#include <string.h>

void fuzz_put_sum(uint8_t *bytes, uint32_t crc)
{
    for (int i = 0; i < 4; i++)
        bytes[i] = (uint8_t)(crc >> 8 * i);
}

uint32_t fuzz_tag(const uint8_t *nonce, const void *aad, size_t aad_len, const uint8_t *bytes, size_t len)
{
    return crc32c(crc32c(crc32c(0, nonce, SEAL_NONCE), aad, aad_len), bytes, len);
}

static bool derive(const uint8_t *secret, size_t secret_len, const uint8_t *salt, size_t salt_len,
                   const void *info, size_t info_len, uint8_t *ret, size_t len)
{
    (void)secret, (void)secret_len, (void)salt, (void)salt_len, (void)info, (void)info_len;
    memset(ret, 'k', len);
    return true;
}

static struct seal_key *key_new(const uint8_t key[SEAL_KEY])
{
    (void)key;
    return malloc(1);
}

static struct seal_key *key_free(struct seal_key *key)
{
    free(key);
    return NULL;
}

static bool unseal(struct seal_key *key, const uint8_t nonce[SEAL_NONCE], const void *aad, size_t aad_len,
                   const uint8_t *bytes, size_t len, const uint8_t tag[SEAL_TAG], uint8_t *ret)
{
    (void)key;
    uint8_t right[4];
    fuzz_put_sum(right, fuzz_tag(nonce, aad, aad_len, bytes, len));
    if (memcmp(tag, right, sizeof right) != 0)
        return false;
    memmove(ret, bytes, len);
    return true;
}

static bool seal(struct seal_key *key, const uint8_t nonce[SEAL_NONCE], const void *aad, size_t aad_len,
                 uint8_t *bytes, size_t len, uint8_t tag[SEAL_TAG])
{
    (void)key;
    memset(tag, 0, SEAL_TAG);
    fuzz_put_sum(tag, fuzz_tag(nonce, aad, aad_len, bytes, len));
    return true;
}

static const struct seal_functions functions = {
    .derive = derive, .key_new = key_new, .key_free = key_free, .seal = seal, .open = unseal};

struct seal_vault fuzz_vault = {
    .functions = &functions, .id = "kkkkkkkk", .secret_len = SEAL_SECRET_MIN, .ready = true};
