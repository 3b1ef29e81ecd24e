/* What a node reads that may be anything: its pages, and offers of keys. The first byte says which. */
#include "ghn/pair.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int condition)
{
    if (!condition)
        abort();
}

/* The check sum is made right, or nothing behind it is ever reached. */
static void seal(uint8_t page[GHN_PAGE_SIZE])
{
    uint32_t crc = ghn_crc32(page, GHN_PAGE_SIZE - 4);
    for (int i = 0; i < 4; i++)
        page[GHN_PAGE_SIZE - 4 + i] = (uint8_t)(crc >> 8 * i);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t page[GHN_PAGE_SIZE] = {0}, again[GHN_PAGE_SIZE];
    ghn_identity identity;
    ghn_credentials credentials;
    if (!size)
        return 0;
    memcpy(page, data + 1, size - 1 < sizeof page ? size - 1 : sizeof page);
    switch (*data % 3) {
    case 0:
        memcpy(page, "GHID\1", 5);
        seal(page);
        if (ghn_identity_read(&identity, page) == 0)
            must(ghn_identity_write(&identity, again) == 0);
        break;
    case 1:
        memcpy(page, "GHKY\1", 5);
        seal(page);
        if (ghn_credentials_read(&credentials, page) == 0)
            must(ghn_credentials_write(&credentials, again) == 0);
        break;
    default: {
        char *text = malloc(size); /* exactly as long */
        if (!text)
            return 0;
        memcpy(text, data + 1, size - 1);
        memset(&credentials, 0, sizeof credentials);
        if (ghn_offer_read(&credentials, "A7", text, size - 1) == 0)
            must(credentials.generation > 0);
        free(text);
        break;
    }
    }
    return 0;
}
