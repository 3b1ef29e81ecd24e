/* Attempts that failed: who has had too many lately, an address or a user, has to wait.
 *
 *      failure ─▶ slot[hash] = max(slot, now) + step        too many: slot − now > burst × step
 *
 * A fixed table of moments: whoever comes from ever new addresses only makes it forget the oldest. It owns no memory before the
 * first failure.
 */
#pragma once

#include "base/base.h"

struct attempt;
struct attempts {
    struct attempt *slots; /* NULL: nobody has failed yet */
    int64_t step;          /* ms after which one of them is forgotten */
    unsigned burst;        /* so many at once */
};

void attempts_init(struct attempts *attempts, unsigned burst, int64_t step);
void attempts_done(struct attempts *attempts);
void attempts_failed(struct attempts *attempts, const char *who, size_t len, int64_t now);
bool attempts_are_too_many(const struct attempts *attempts, const char *who, size_t len, int64_t now);
