/* Questions to the beacon: whatever is taken for one is one. */
#include "net/beacon.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *bytes = malloc(size ? size : 1); /* exactly as long */
    if (!bytes)
        return 0;
    memcpy(bytes, data, size);
    if (beacon_is_question(bytes, size) &&
        (size < 6 || size > 5 + BEACON_SERIAL_MAX || memchr(bytes, 0, size)))
        abort();
    free(bytes);
    return 0;
}
