/* A user name with whatever behind its ?: what is found fits, ends, and is the same whoever asks. */
#include "identity/login_query.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char small[8], large[4096];
    size_t small_len = 0, large_len = 0;
    if (size > 2048)
        return 0;
    cleanup_free char *user = str_copy_n((const char *)data, size);
    int a = login_query_find(user, "tok", small, sizeof small, &small_len);
    int b = login_query_find(user, "tok", large, sizeof large, &large_len);
    if (a > 1 || b > 1 || (a == 1 && (b != 1 || strcmp(small, large) != 0 || strlen(small) != small_len)))
        abort();
    if (b == 1 && (strlen(large) != large_len || large_len > strlen(user)))
        abort();
    if (b == 1 && a < 0 && large_len < sizeof small)
        abort();
    return 0;
}
