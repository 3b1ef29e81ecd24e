/* What an HTTP server's answer means for the records that were posted. Pure: every byte is the server's.
 *
 *      2xx                                   taken; 200 and 207 may say for each record: {"results":[{"status":200},…]}
 *      408 425 429 5xx, no answer            again, not before Retry-After
 *      400 415 422                           never: this content is not wanted
 *      413                                   never, and nothing of that size
 *      1xx 3xx and every other 4xx           stuck: somebody has to change something
 */
#pragma once

#include "cloud/outbox.h"

enum {
    POST_RESULTS_MAX = 1024 * 1024, /* bytes of an answer that are looked at */
    POST_RETRY_AFTER_MAX = 3600 * 1000,
};

enum outbox_verdict post_verdict(int status);

/* How long to wait, ms, for "120" or one of HTTP's three forms of a date [RFC 9110, 10.2.3 and 5.6.7]; at most
 * POST_RETRY_AFTER_MAX. 0 when it is neither, or over. */
int64_t post_retry_after(const char *text, size_t len, int64_t now);

enum post_results {
    POST_NO_RESULTS, /* the answer says nothing of single records */
    POST_RESULTS,    /* verdicts has been filled */
    POST_BAD_RESULTS /* it does, but not of these: *why says */
};
/* `why` has room for 200 bytes; for POST_RESULTS it says what was first wrong with a record, or nothing. */
enum post_results post_results(const char *body, size_t len, enum outbox_verdict *verdicts, unsigned count,
                               char *why);
