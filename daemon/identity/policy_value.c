#include "identity/policy_value.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

/* ---- moments -------------------------------------------------------------------------------------------------------- */

/* Exactly that many digits; moves on behind them. */
static bool digits(const char **at, const char *end, int count, int *ret)
{
    int value = 0;
    if (end - *at < count)
        return false;
    for (int i = 0; i < count; i++, ++*at) {
        if (**at < '0' || **at > '9')
            return false;
        value = value * 10 + (**at - '0');
    }
    *ret = value;
    return true;
}

static bool letter(const char **at, const char *end, char c)
{
    if (*at == end || **at != c)
        return false;
    ++*at;
    return true;
}

/* Days since 1970-01-01 of the Gregorian calendar; years begin in March, so that the leap day is the last. */
static int64_t days_of(int year, int month, int day)
{
    int64_t y = month > 2 ? year : year - 1;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return 365 * y + y / 4 - y / 100 + y / 400 + of_year - 719468;
}

static int days_in(int year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return days[month - 1] + (month == 2 && leap);
}

static bool epoch(const char *text, size_t len, int64_t *ret_ms)
{
    if (!len || len > 12)
        return false;
    int64_t seconds = 0;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        seconds = seconds * 10 + (text[i] - '0');
    }
    *ret_ms = seconds * 1000;
    return true;
}

/* Behind the seconds: ".123", and then "Z" or "+01:00". */
static bool rest_of_time(const char **at, const char *end, int *ms, int *offset_minutes)
{
    *ms = *offset_minutes = 0;
    if (letter(at, end, '.')) {
        const char *begin = *at;
        for (int weight = 100; *at < end && **at >= '0' && **at <= '9'; ++*at, weight /= 10)
            *ms += (**at - '0') * weight;
        if (*at == begin)
            return false;
    }
    if (letter(at, end, 'Z'))
        return true;
    int hours, minutes, sign = letter(at, end, '+') ? 1 : (letter(at, end, '-') ? -1 : 0);
    if (!sign || !digits(at, end, 2, &hours) || !letter(at, end, ':') || !digits(at, end, 2, &minutes) ||
        hours > 23 || minutes > 59)
        return false;
    *offset_minutes = sign * (hours * 60 + minutes);
    return true;
}

bool policy_moment(const char *text, size_t len, int64_t *ret_ms)
{
    const char *at = text, *end = text + len;
    int year, month, day, hour = 0, minute = 0, second = 0, ms = 0, offset = 0;
    if (epoch(text, len, ret_ms))
        return true;
    if (!digits(&at, end, 4, &year) || !letter(&at, end, '-') || !digits(&at, end, 2, &month) ||
        !letter(&at, end, '-') || !digits(&at, end, 2, &day))
        return false;
    if (month < 1 || month > 12 || day < 1 || day > days_in(year, month))
        return false;
    if (at < end) {
        if (!letter(&at, end, 'T') || !digits(&at, end, 2, &hour) || !letter(&at, end, ':') ||
            !digits(&at, end, 2, &minute))
            return false;
        if (letter(&at, end, ':') && !digits(&at, end, 2, &second))
            return false;
        if (!rest_of_time(&at, end, &ms, &offset) || at != end || hour > 23 || minute > 59 || second > 60)
            return false;
    }
    *ret_ms = (((days_of(year, month, day) * 24 + hour) * 60 + minute - offset) * 60 + second) * 1000 + ms;
    return true;
}

void policy_moment_text(int64_t ms, char text[POLICY_MOMENT_SIZE])
{
    /* The way back of days_of(), by eras of 400 years. */
    int64_t day_ms = 86400000, z = (ms >= 0 ? ms : ms - day_ms + 1) / day_ms, of_day = ms - z * day_ms;
    z += 719468;
    int64_t era = (z >= 0 ? z : z - 146096) / 146097, doe = z - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
    int month = (int)(mp < 10 ? mp + 3 : mp - 9), day = (int)(doy - (153 * mp + 2) / 5 + 1);
    int year = (int)((yoe + era * 400 + (month <= 2)) % 10000), seconds = (int)(of_day / 1000);
    (void)snprintf(text, POLICY_MOMENT_SIZE, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", year, month, day,
                   seconds / 3600, seconds / 60 % 60, seconds % 60, (int)(of_day % 1000));
}

/* ---- addresses ------------------------------------------------------------------------------------------------------ */

bool policy_network(const char *text, size_t len, struct policy_network *ret)
{
    char address[INET6_ADDRSTRLEN];
    const char *slash = memchr(text, '/', len);
    size_t address_len = slash ? (size_t)(slash - text) : len;
    if (address_len >= sizeof address || memchr(text, '\0', address_len))
        return false;
    memcpy(address, text, address_len);
    address[address_len] = '\0';
    struct policy_network network = {.bytes = {[10] = 0xFF, [11] = 0xFF}};
    unsigned base = 96;
    if (inet_pton(AF_INET, address, network.bytes + 12) != 1) {
        base = 0;
        if (inet_pton(AF_INET6, address, network.bytes) != 1)
            return false;
    }
    network.bits = 128;
    if (slash) {
        size_t count = len - address_len - 1;
        if (!count || count > 3)
            return false;
        network.bits = 0;
        for (const char *at = slash + 1; at < text + len; at++) {
            if (*at < '0' || *at > '9')
                return false;
            network.bits = network.bits * 10 + (unsigned)(*at - '0');
        }
        network.bits += base;
        if (network.bits > 128)
            return false;
    }
    *ret = network;
    return true;
}

bool policy_network_contains(const struct policy_network *network, const struct policy_network *address)
{
    unsigned whole = network->bits / 8, rest = network->bits % 8;
    if (address->bits < network->bits || memcmp(network->bytes, address->bytes, whole) != 0)
        return false;
    return !rest || ((network->bytes[whole] ^ address->bytes[whole]) >> (8 - rest)) == 0;
}

/* ---- numbers -------------------------------------------------------------------------------------------------------- */

static const char *skip_digits(const char *at, const char *end)
{
    while (at < end && *at >= '0' && *at <= '9')
        at++;
    return at;
}

bool policy_is_number(const char *text, size_t len)
{
    const char *at = text, *end = text + len;
    at += at < end && *at == '-';
    const char *first = at;
    at = skip_digits(at, end);
    if (at == first || (*first == '0' && at > first + 1))
        return false;
    if (at < end && *at == '.') {
        const char *behind = ++at;
        at = skip_digits(at, end);
        if (at == behind)
            return false;
    }
    if (at < end && (*at == 'e' || *at == 'E')) {
        at++;
        at += at < end && (*at == '+' || *at == '-');
        const char *behind = at;
        at = skip_digits(at, end);
        if (at == behind)
            return false;
    }
    return at == end;
}
