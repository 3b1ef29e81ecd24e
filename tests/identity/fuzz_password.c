/* What is kept of a password, from an imported file: it is read without looking anywhere else, what is taken can be written and
 * is read again as the same, and costs no more than it may. */
#include "identity/password.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct password password, again;
    char text[PASSWORD_TEXT_MAX];
    if (!password_parse(&password, (const char *)data, size))
        return 0;
    password_write(&password, text);
    if (!password_parse(&again, text, strlen(text)) || memcmp(&password, &again, sizeof again) != 0)
        abort();
    if (password.kind == PASSWORD_SCRYPT && (password.cost.log_n > 16 || password.cost.r > 8))
        abort();
    if (password.kind == PASSWORD_PBKDF2_SHA512 && password.rounds > 1000000)
        abort();
    return 0;
}
