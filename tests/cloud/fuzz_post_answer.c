/* An HTTP server's words from any bytes: the first is how many records there were, then Retry-After up to a newline, then
 * the body. No pause is negative or longer than allowed, and results are those of all records or none. */
#include "cloud/post_answer.h"

#include <string.h>

enum { WHY_SIZE = 200 };

static void must(bool holds)
{
    if (!holds)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (!len)
        return 0;
    unsigned count = data[0];
    const char *text = (const char *)data + 1, *end = memchr(text, '\n', len - 1);
    size_t head = end ? (size_t)(end - text) : len - 1;
    static const int64_t times[] = {0, INT64_C(784111687000), INT64_C(1760000000000), INT64_MAX / 2};
    for (size_t i = 0; i < array_size(times); i++) {
        int64_t pause = post_retry_after(text, head, times[i]);
        must(pause >= 0 && pause <= POST_RETRY_AFTER_MAX);
    }
    if (!end)
        return 0;
    enum outbox_verdict verdicts[UINT8_MAX + 1];
    char why[WHY_SIZE];
    for (unsigned i = 0; i <= UINT8_MAX; i++)
        verdicts[i] = OUTBOX_EACH; /* none of a record */
    enum post_results r = post_results(end + 1, len - 2 - head, verdicts, count, why);
    must(memchr(why, '\0', sizeof why) != NULL);
    must((r == POST_BAD_RESULTS) <= (*why != '\0'));
    for (unsigned i = 0; i <= UINT8_MAX; i++)
        must(i < count ? r != POST_RESULTS || verdicts[i] < OUTBOX_EACH : verdicts[i] == OUTBOX_EACH);
    return 0;
}
