/* What an authorizer answers: whatever it is, it is a yes with a principal and compiled policies, or a no with a reason. */
#include "identity/login_private.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct login_answer answer;
    bool is_no;
    const char *why = login_read_answer(&answer, (const char *)data, size, 1000, &is_no);
    if (is_no && !why)
        abort();
    if (why ? !*why || answer.policy_count
            : !answer.principal[0] || answer.lasts_s < 1 || answer.until > 1000 + answer.lasts_s * 1000)
        abort();
    login_forget_answer(&answer);
    return 0;
}
