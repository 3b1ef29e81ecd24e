/* An answer of the credential provider. What is taken has all its parts and an end; what is not has a sentence. */
#include "cloud/credentials_answer.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void must(bool is_so)
{
    if (!is_so)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct credentials got;
    char why[CREDENTIALS_WHY_BYTES] = "";
    char *body = str_copy_n((const char *)data, len);
    if (credentials_parse(&got, body, len, why) == 0) {
        must(*got.access_key && *got.secret_key && *got.token && got.ends >= 0);
        must(credentials_time(got.expiration, strlen(got.expiration)) == got.ends);
        credentials_done(&got);
        must(!got.secret_key);
    } else {
        must(strncmp(why, "expected ", 9) == 0);
    }
    credentials_refusal(why, body, len);
    for (const char *c = why; *c; c++)
        must(*c >= ' ' && *c <= '~');
    free(body);
    return 0;
}
