#include "base/json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A number is taken apart into sign, digits without zeros at either end, and where its point is:
 *
 *      -0.00120e5   ─▶   negative, "12", point 3        0.12 × 10^3, a digit at a time
 *
 * Two numbers are equal when all three are. The digits stay in the text, where a '.' may stand between them.
 *
 * An exponent of more than 17 digits is cut off there: 1e999999999999999999 and 1e9999999999999999999 compare as equal.
 * Nothing else is rounded. */

struct decimal {
    bool negative;
    const char *digits; /* the first that is not 0; NULL for zero */
    size_t count;       /* digits up to the last that is not 0 */
    int64_t point;      /* value = 0.DIGITS × 10^point */
};

static const int64_t exponent_max = 100000000000000000;

static int64_t parse_exponent(const char *at, const char *end)
{
    bool negative = false;
    if (*at == '+' || *at == '-')
        negative = *at++ == '-';
    int64_t value = 0;
    for (; at < end && value < exponent_max; at++)
        value = value * 10 + (*at - '0');
    if (value > exponent_max)
        value = exponent_max;
    return negative ? -value : value;
}

static struct decimal take_apart(const struct json *number)
{
    struct decimal d = {0};
    const char *at = number->text, *end = at + number->len;
    if (*at == '-') {
        d.negative = true;
        at++;
    }
    int64_t before_point =
        0; /* digits before the point, from the first that is not 0; below 0: zeros behind it */
    bool behind_point = false;
    size_t seen = 0; /* digits from the first that is not 0 */
    for (; at < end && *at != 'e' && *at != 'E'; at++) {
        if (*at == '.') {
            behind_point = true;
            continue;
        }
        if (!d.digits && *at == '0') {
            before_point -= behind_point;
            continue;
        }
        if (!d.digits)
            d.digits = at;
        seen++;
        before_point += !behind_point;
        if (*at != '0')
            d.count = seen;
    }
    if (!d.digits)
        return (struct decimal){0};
    d.point = before_point + (at < end ? parse_exponent(at + 1, end) : 0);
    return d;
}

/* The digit at *at; moves on to the next. */
static char next_digit(const char **at)
{
    if (**at == '.')
        (*at)++;
    return *(*at)++;
}

static int compare_size(const struct decimal *a, const struct decimal *b)
{
    if (!a->digits || !b->digits)
        return (a->digits != NULL) - (b->digits != NULL);
    if (a->point != b->point)
        return a->point < b->point ? -1 : 1;
    const char *x = a->digits, *y = b->digits;
    for (size_t i = 0; i < a->count && i < b->count; i++) {
        char p = next_digit(&x), q = next_digit(&y);
        if (p != q)
            return p < q ? -1 : 1;
    }
    return a->count == b->count ? 0 : (a->count < b->count ? -1 : 1);
}

int json_number_compare(const struct json *a, const struct json *b)
{
    if (a->len == b->len && memcmp(a->text, b->text, a->len) == 0)
        return 0;
    struct decimal x = take_apart(a), y = take_apart(b);
    if (x.negative != y.negative)
        return x.negative ? -1 : 1;
    return x.negative ? compare_size(&y, &x) : compare_size(&x, &y);
}

bool json_int(const struct json *json, int64_t min, int64_t max, int64_t *ret)
{
    if (!json_is(json, JSON_NUMBER))
        return false;
    struct decimal d = take_apart(json);
    if (d.point > 19 || (d.digits && (d.point < 0 || (uint64_t)d.point < d.count)))
        return false;
    /* Counted downwards: the smallest integer has no positive counterpart. */
    int64_t value = 0;
    const char *at = d.digits;
    for (int64_t i = 0; i < d.point; i++) {
        int digit = (size_t)i < d.count ? next_digit(&at) - '0' : 0;
        if (__builtin_mul_overflow(value, 10, &value) || __builtin_sub_overflow(value, digit, &value))
            return false;
    }
    if (!d.negative && __builtin_sub_overflow(0, value, &value))
        return false;
    if (value < min || value > max)
        return false;
    *ret = value;
    return true;
}

bool json_double(const struct json *json, double *ret)
{
    if (!json_is(json, JSON_NUMBER))
        return false;
    char few[64];
    cleanup_free char *many = json->len < sizeof few ? NULL : malloc(json->len + 1);
    char *text = json->len < sizeof few ? few : many;
    if (!text)
        return false;
    memcpy(text, json->text, json->len);
    text[json->len] = '\0';
    double value = strtod(text, NULL);
    if (!isfinite(value))
        return false;
    *ret = value;
    return true;
}

struct json *json_new_number(struct arena *arena, const char *text, size_t len)
{
    struct json *json;
    if (!len || (*text != '-' && (*text < '0' || *text > '9')) ||
        (text[len - 1] < '0' || text[len - 1] > '9') || json_parse(&json, arena, text, len, NULL) != 0)
        return NULL;
    return json;
}
