#include "schedule/simulate_text.h"

#include "base/value.h"
#include "schedule/schedule_text.h"

#include <string.h>

enum { RECORD_MAX = 16 * 1024 * 1024 };

#define TIB(n) ((int64_t)(n) << 40)

/* ---- streams ----------------------------------------------------------------------------------------------------- */

struct simulate_stream simulate_stream_default(void)
{
    return (struct simulate_stream){
        .rules = {.priority = 5}, .segment_bytes = 4ull << 20, .max_bytes = 256ull << 20};
}

static const char *set_bytes(uint64_t *into, const char *text)
{
    int64_t value;
    if (!value_parse(VALUE_BYTES, text, &value) || value > TIB(8))
        return "a size (in bytes, or with K, M, G or T) up to 8T";
    *into = (uint64_t)value;
    return NULL;
}

static const char *set_ttl(struct simulate_stream *stream, const char *text)
{
    int64_t value;
    if (!value_parse(VALUE_TIME, text, &value) || value > 3153600000)
        return "a time (in seconds, or with s, m, h or d) up to 36500d, or 0 for ever";
    stream->ttl = value * 1000;
    return NULL;
}

static const char *set_choice(bool *into, const char *text, const char *no, const char *yes,
                              const char *expected)
{
    if (strcmp(text, no) != 0 && strcmp(text, yes) != 0)
        return expected;
    *into = strcmp(text, yes) == 0;
    return NULL;
}

static const char *set_sync(struct simulate_stream *stream, const char *text)
{
    static const char expected[] = "always, or an interval from 10ms to 60s";
    char number[16];
    int64_t value;
    size_t digits = strspn(text, "0123456789");
    if (strcmp(text, "always") == 0) {
        stream->sync_every = 0;
        return NULL;
    }
    bool seconds = strcmp(text + digits, "s") == 0;
    if (digits >= sizeof number || (!seconds && strcmp(text + digits, "ms") != 0))
        return expected;
    memcpy(number, text, digits);
    number[digits] = '\0';
    if (!value_parse(VALUE_NUMBER, number, &value) || value > 60000)
        return expected;
    value *= seconds ? 1000 : 1;
    if (value < 10 || value > 60000)
        return expected;
    stream->sync_every = value;
    return NULL;
}

static const char *const own_keys[] = {"segment-size", "max-size", "ttl", "on-full",
                                       "persistence",  "sync",     "keep"};

bool simulate_stream_has(const char *key)
{
    for (size_t i = 0; i < array_size(own_keys); i++)
        if (strcmp(own_keys[i], key) == 0)
            return true;
    return schedule_rules_has(key);
}

const char *simulate_stream_set(struct simulate_stream *stream, const char *key, const char *text)
{
    if (schedule_rules_has(key))
        return schedule_rules_set(&stream->rules, key, text);
    if (strcmp(key, "segment-size") == 0)
        return set_bytes(&stream->segment_bytes, text);
    if (strcmp(key, "max-size") == 0)
        return set_bytes(&stream->max_bytes, text);
    if (strcmp(key, "ttl") == 0)
        return set_ttl(stream, text);
    if (strcmp(key, "on-full") == 0)
        return set_choice(&stream->overwrite, text, "reject", "overwrite", "reject or overwrite");
    if (strcmp(key, "persistence") == 0)
        return set_choice(&stream->memory, text, "file", "memory", "file or memory");
    if (strcmp(key, "sync") == 0)
        return set_sync(stream, text);
    if (strcmp(key, "keep") == 0)
        return set_choice(&stream->keep, text, "no", "yes", "yes or no");
    return "priority, weight, deadline, day-budget, window, live-share, segment-size, max-size, ttl, on-full, "
           "persistence, sync or keep";
}

/* ---- traffic ----------------------------------------------------------------------------------------------------- */

/* A whole number at the beginning; false when there is none, or it is beyond `max`. */
static bool take_number(const char **at, const char *end, uint64_t max, uint64_t *ret)
{
    const char *p = *at;
    uint64_t number = 0;
    for (; p < end && *p >= '0' && *p <= '9'; p++) {
        number = number * 10 + (uint64_t)(*p - '0');
        if (number > max)
            return false;
    }
    if (p == *at)
        return false;
    *at = p;
    *ret = number;
    return true;
}

const char *simulate_traffic_set(struct simulate_stream *stream, const char *text)
{
    static const char expected[] = "records a second, minute or hour, and bytes of each: 10/s*200, 6/m*1000";
    enum { PER_SECOND_MAX = 1000000 };
    const char *at = text, *end = text + strlen(text);
    uint64_t rate, bytes, unit_us;
    if (!take_number(&at, end, PER_SECOND_MAX, &rate) || rate == 0 || at[0] != '/')
        return expected;
    switch (at[1]) {
    case 's': unit_us = 1000000; break;
    case 'm': unit_us = 60ull * 1000000; break;
    case 'h': unit_us = 3600ull * 1000000; break;
    default: return expected;
    }
    if (at[2] != '*')
        return expected;
    at += 3;
    if (!take_number(&at, end, RECORD_MAX, &bytes) || at != end)
        return expected;
    stream->interval_us = unit_us / rate;
    stream->bytes = (uint32_t)bytes;
    return NULL;
}

/* ---- cuts -------------------------------------------------------------------------------------------------------- */

static bool take_time(const char *text, size_t len, int64_t *ret)
{
    char word[24];
    if (len == 0 || len >= sizeof word)
        return false;
    bool is_ms = len > 2 && memcmp(text + len - 2, "ms", 2) == 0;
    len -= is_ms ? 2 : 0;
    memcpy(word, text, len);
    word[len] = '\0';
    if (!value_parse(is_ms ? VALUE_NUMBER : VALUE_TIME, word, ret) || *ret > 10ll * 366 * 86400)
        return false;
    *ret *= is_ms ? 1 : 1000;
    return true;
}

int simulate_cuts_parse(struct simulate_cut cuts[SIMULATE_CUTS_MAX], const char *text, const char **expected)
{
    int count = 0;
    *expected =
        "times like 6h, or 30s@10m for one that begins after 10 minutes, in order and with blanks between them";
    for (;;) {
        text += strspn(text, " \t");
        if (!*text)
            return count;
        size_t len = strcspn(text, " \t");
        const char *at = memchr(text, '@', len);
        size_t lasts_len = at ? (size_t)(at - text) : len;
        int64_t lasts, from = 0;
        if (count == SIMULATE_CUTS_MAX || !take_time(text, lasts_len, &lasts) || lasts == 0 ||
            (at && !take_time(at + 1, len - lasts_len - 1, &from)) || (count && from <= cuts[count - 1].to))
            return -1;
        cuts[count++] = (struct simulate_cut){from, from + lasts};
        text += len;
    }
}

/* ---- traces ------------------------------------------------------------------------------------------------------ */

void simulate_trace_init(struct simulate_trace *trace, const char *text, size_t len)
{
    *trace = (struct simulate_trace){.at = text, .end = text + len, .begins = -1};
}

static bool is_name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
}

static void skip_blanks(const char **at, const char *end)
{
    while (*at < end && (**at == ' ' || **at == '\t' || **at == '\r'))
        ++*at;
}

static const char *take_line(struct simulate_trace *trace, const char *at, const char *end,
                             struct simulate_trace_item *ret)
{
    enum { NAME_MAX_LEN = 64 };
    uint64_t time, bytes;
    if (!take_number(&at, end, (uint64_t)INT64_MAX / 2, &time) || at == end || (*at != ' ' && *at != '\t'))
        return "a time in milliseconds, a blank, a stream, a blank, and a number of bytes";
    if (trace->begins >= 0 && (int64_t)time < trace->last)
        return "a time that is not before the line above";
    skip_blanks(&at, end);
    ret->stream = at;
    while (at < end && is_name_char(*at))
        at++;
    ret->stream_len = (size_t)(at - ret->stream);
    if (ret->stream_len == 0 || ret->stream_len > NAME_MAX_LEN || at == end || (*at != ' ' && *at != '\t'))
        return "the name of a stream behind the time: 1 to 64 letters, digits, _ or -";
    skip_blanks(&at, end);
    if (!take_number(&at, end, RECORD_MAX, &bytes))
        return "a number of bytes behind the stream, at most 16777216";
    skip_blanks(&at, end);
    if (at != end)
        return "nothing behind the number of bytes";
    if (trace->begins < 0)
        trace->begins = (int64_t)time;
    trace->last = (int64_t)time;
    ret->record = (struct simulate_record){trace->last - trace->begins, (uint32_t)bytes};
    return NULL;
}

int simulate_trace_next(struct simulate_trace *trace, struct simulate_trace_item *ret, const char **expected)
{
    while (trace->at < trace->end) {
        const char *at = trace->at, *end = memchr(at, '\n', (size_t)(trace->end - at));
        trace->at = end ? end + 1 : trace->end;
        end = end ? end : trace->end;
        trace->line++;
        skip_blanks(&at, end);
        if (at == end || *at == '#')
            continue;
        *expected = take_line(trace, at, end, ret);
        return *expected ? -1 : 1;
    }
    return 0;
}
