/* Values as an administrator writes them: numbers, sizes (1M), times (7d), rates (20kbit), yes and no.
 *
 * Pure functions.
 */
#pragma once

#include "base/base.h"

enum value_type {
    VALUE_TEXT,   /* its limits are those of its length in bytes */
    VALUE_NUMBER, /* 12 */
    VALUE_BYTES,  /* 4096, 64K, 1M, 2G, 8T: powers of 1024 */
    VALUE_TIME,   /* 30, 30s, 5m, 12h, 7d: in seconds */
    VALUE_DELAY,  /* 250, 250ms, 2s, 5m, 1h: in milliseconds */
    VALUE_RATE,   /* 0, 500bit, 20kbit, 10mbit, 1gbit: powers of 1000; in bits a second */
    VALUE_SWITCH, /* yes, no: 1, 0 */
};

/* False when the text is no value of that type. Not for VALUE_TEXT. */
bool value_parse(enum value_type type, const char *text, int64_t *ret) must_check;

/* "a size (in bytes, or with K, M, G or T) from 64K to 1G": what was expected. Free it. */
char *value_expected(enum value_type type, int64_t min, int64_t max) must_check;
