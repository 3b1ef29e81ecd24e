/* A connector's answer from any bytes: correlation data up to a newline, then the payload. */
#include "services/uplink/plugin_answer.h"

#include "base/utf8.h"

#include <string.h>

static void must(bool holds)
{
    if (!holds)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    const char *text = (const char *)data, *end = memchr(text, '\n', len);
    size_t head = end ? (size_t)(end - text) : len;
    struct plugin_answer answer;
    if (!plugin_answer_parse(&answer, text, head, end ? end + 1 : text, end ? len - head - 1 : 0))
        return 0;
    must(answer.id <= INT64_MAX);
    must(answer.verdict == OUTBOX_TAKEN || answer.verdict == OUTBOX_AGAIN || answer.verdict == OUTBOX_NEVER);
    size_t reason = strnlen(answer.reason, sizeof answer.reason);
    must(reason < sizeof answer.reason && utf8_is_valid(answer.reason, reason));
    for (size_t i = 0; i < reason; i++)
        must((unsigned char)answer.reason[i] >= ' ');
    return 0;
}
