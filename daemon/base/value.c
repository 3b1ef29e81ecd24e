#include "base/value.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct unit {
    const char *suffix;
    int64_t factor;
};

/* Largest first: how a limit is written. */
static const struct unit no_units[] = {{"", 1}, {0}};
static const struct unit byte_units[] = {{"T", 1ll << 40}, {"G", 1 << 30}, {"M", 1 << 20},
                                         {"K", 1 << 10},   {"", 1},        {0}};
static const struct unit time_units[] = {{"d", 86400}, {"h", 3600}, {"m", 60}, {"s", 1}, {"", 1}, {0}};
static const struct unit delay_units[] = {{"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}, {"", 1}, {0}};
static const struct unit rate_units[] = {
    {"gbit", 1000 * 1000 * 1000}, {"mbit", 1000 * 1000}, {"kbit", 1000}, {"bit", 1}, {"", 1}, {0}};

static const struct unit *units_of(enum value_type type)
{
    switch (type) {
    case VALUE_BYTES: return byte_units;
    case VALUE_TIME: return time_units;
    case VALUE_DELAY: return delay_units;
    case VALUE_RATE: return rate_units;
    case VALUE_TEXT:
    case VALUE_NUMBER:
    case VALUE_SWITCH: break;
    }
    return no_units;
}

static bool parse_switch(const char *text, int64_t *ret)
{
    if (strcmp(text, "yes") != 0 && strcmp(text, "no") != 0)
        return false;
    *ret = strcmp(text, "yes") == 0;
    return true;
}

bool value_parse(enum value_type type, const char *text, int64_t *ret)
{
    if (type == VALUE_SWITCH)
        return parse_switch(text, ret);
    if (*text < '0' || *text > '9') /* strtoll() would take blanks and signs */
        return false;
    char *end;
    errno = 0;
    long long number = strtoll(text, &end, 10);
    if (errno)
        return false;
    for (const struct unit *unit = units_of(type); unit->suffix; unit++) {
        int64_t value;
        if (strcmp(end, unit->suffix) != 0)
            continue;
        if (__builtin_mul_overflow(number, unit->factor, &value))
            return false;
        *ret = value;
        return true;
    }
    return false;
}

static char *written(enum value_type type, int64_t value)
{
    const struct unit *unit = units_of(type);
    while (*unit->suffix && (value == 0 || value % unit->factor != 0))
        unit++;
    return str_printf("%lld%s", (long long)(value / unit->factor), unit->suffix);
}

static const char *shape_of(enum value_type type)
{
    switch (type) {
    case VALUE_TEXT: return "a text of a length in bytes";
    case VALUE_BYTES: return "a size (in bytes, or with K, M, G or T)";
    case VALUE_TIME: return "a time (in seconds, or with s, m, h or d)";
    case VALUE_DELAY: return "a time (in milliseconds, or with ms, s, m or h)";
    case VALUE_RATE: return "a rate (in bits a second, or with kbit, mbit or gbit)";
    case VALUE_NUMBER:
    case VALUE_SWITCH: break;
    }
    return "a whole number";
}

char *value_expected(enum value_type type, int64_t min, int64_t max)
{
    if (type == VALUE_SWITCH)
        return str_copy("yes or no");
    cleanup_free char *from = written(type, min);
    cleanup_free char *to = written(type, max);
    return str_printf("%s from %s to %s", shape_of(type), from, to);
}
