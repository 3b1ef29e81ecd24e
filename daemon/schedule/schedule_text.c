#include "schedule/schedule_text.h"

#include "base/value.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* One row a key. Those without a function are values of a type, and their text is made to one number. */

struct row {
    const char *key;
    enum value_type type;
    int64_t min, max;
    void (*take)(void *into, int64_t value);
    bool (*read)(void *into, const char *text);
    const char *expected;
};

#define TIB(n) ((int64_t)(n) << 40)

/* ---- texts of their own ------------------------------------------------------------------------------------------ */

static bool digit(char c)
{
    return c >= '0' && c <= '9';
}

/* HH:MM at the beginning of the text. */
static bool read_time(const char **text, unsigned *ret)
{
    const char *t = *text;
    for (unsigned i = 0; i < 5; i++)
        if (i == 2 ? t[i] != ':' : !digit(t[i]))
            return false;
    unsigned hour = (unsigned)(t[0] - '0') * 10 + (unsigned)(t[1] - '0');
    unsigned minute = (unsigned)(t[3] - '0') * 10 + (unsigned)(t[4] - '0');
    if (hour > 23 || minute > 59)
        return false;
    *ret = hour * 60 + minute;
    *text = t + 5;
    return true;
}

static bool read_windows(void *into, const char *text)
{
    struct schedule_rules *rules = into;
    struct schedule_window windows[SCHEDULE_WINDOWS] = {0};
    size_t count = 0;
    for (;;) {
        text += strspn(text, " \t");
        if (!*text)
            break;
        struct schedule_window window;
        if (count == SCHEDULE_WINDOWS || !read_time(&text, &window.from) || *text++ != '-' ||
            !read_time(&text, &window.to) || window.from == window.to || (*text && !strchr(" \t", *text)))
            return false;
        windows[count++] = window;
    }
    memcpy(rules->windows, windows, sizeof windows);
    rules->window_count = count;
    return true;
}

static bool read_budget(const char *text, size_t len, unsigned *priority, int64_t *bytes)
{
    char word[32];
    *priority = 0;
    if (len >= sizeof word)
        return false;
    memcpy(word, text, len);
    word[len] = '\0';
    char *size = strchr(word, ':');
    if (size) {
        int64_t class;
        *size++ = '\0';
        if (!value_parse(VALUE_NUMBER, word, &class) || class < 1 || class > SCHEDULE_PRIORITIES)
            return false;
        *priority = (unsigned)class;
    }
    return value_parse(VALUE_BYTES, size ? size : word, bytes) && *bytes <= TIB(8) && (*bytes > 0 || !size);
}

/* SIZE and PRIORITY:SIZE; none of them twice. */
static bool read_budgets(void *into, const char *text)
{
    struct schedule_link *link = into;
    uint64_t budgets[SCHEDULE_PRIORITIES + 1] = {0};
    bool seen[SCHEDULE_PRIORITIES + 1] = {0};
    for (;;) {
        text += strspn(text, " \t");
        if (!*text)
            break;
        size_t len = strcspn(text, " \t");
        unsigned priority;
        int64_t bytes;
        if (!read_budget(text, len, &priority, &bytes) || seen[priority])
            return false;
        seen[priority] = true;
        budgets[priority] = (uint64_t)bytes;
        text += len;
    }
    link->day_bytes = budgets[0];
    memcpy(link->class_day_bytes, budgets, sizeof budgets);
    link->class_day_bytes[0] = 0;
    return true;
}

static bool read_day_begins(void *into, const char *text)
{
    unsigned minute;
    if (!read_time(&text, &minute) || *text)
        return false;
    ((struct schedule_link *)into)->day_begins = minute;
    return true;
}

/* ---- numbers ----------------------------------------------------------------------------------------------------- */

#define TAKE(name, type, member, factor)                                                                     \
    static void name(void *into, int64_t value)                                                              \
    {                                                                                                        \
        ((struct type *)into)->member = (__typeof__(((struct type *)into)->member))(value * (factor));       \
    }

TAKE(take_priority, schedule_rules, priority, 1)
TAKE(take_weight, schedule_rules, weight, 1)
TAKE(take_deadline, schedule_rules, deadline, 1000)
TAKE(take_day_bytes, schedule_rules, day_bytes, 1)
TAKE(take_live_share, schedule_rules, live_share, 1)
TAKE(take_rate, schedule_link, rate, 1)
TAKE(take_burst, schedule_link, burst_bytes, 1)
TAKE(take_floor, schedule_link, floor, 1)
TAKE(take_live, schedule_link, live, 1)

static const struct row rules_rows[] = {
    {"priority", VALUE_NUMBER, 1, SCHEDULE_PRIORITIES, take_priority, NULL, "a whole number from 1 to 10"},
    {"weight", VALUE_NUMBER, 1, SCHEDULE_WEIGHT_MAX, take_weight, NULL, "a whole number from 1 to 100"},
    {"deadline", VALUE_TIME, 0, 30 * 86400, take_deadline, NULL,
     "a time (in seconds, or with s, m, h or d) up to 30d, or 0 for none"},
    {"day-budget", VALUE_BYTES, 0, TIB(8), take_day_bytes, NULL,
     "a size (in bytes, or with K, M, G or T) up to 8T, or 0 for no limit"},
    {"window", VALUE_TEXT, 0, 0, NULL, read_windows,
     "at most 4 times of the day like 22:00-06:00, with blanks between them"},
    {"live-share", VALUE_NUMBER, 0, 90, take_live_share, NULL,
     "a whole number from 1 to 90 (percent), or 0 for strictly in order"},
};

static const struct row link_rows[] = {
    {"rate", VALUE_RATE, 0, 1000000000000, take_rate, NULL,
     "a rate like 20kbit (bit, kbit, mbit or gbit a second) up to 1000gbit, or 0 for no limit"},
    {"burst", VALUE_BYTES, 0, (int64_t)1 << 30, take_burst, NULL,
     "a size (in bytes, or with K, M or G) up to 1G, or 0 for a quarter of a second"},
    {"floor", VALUE_NUMBER, 1, 50, take_floor, NULL, "a whole number from 1 to 50 (percent)"},
    {"live-share", VALUE_NUMBER, 1, 99, take_live, NULL, "a whole number from 1 to 99 (percent)"},
    {"day-budget", VALUE_TEXT, 0, 0, NULL, read_budgets,
     "a size for all (200M) and sizes for priorities (9:20M), with blanks between them, each once"},
    {"day-begins", VALUE_TEXT, 0, 0, NULL, read_day_begins, "a time of the day from 00:00 to 23:59"},
};

static const struct row *row_of(const struct row *rows, size_t count, const char *key)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(rows[i].key, key) == 0)
            return &rows[i];
    return NULL;
}

static const char *set(const struct row *row, void *into, const char *text)
{
    int64_t value;
    if (row->read)
        return row->read(into, text) ? NULL : row->expected;
    if (!value_parse(row->type, text, &value) || value < row->min || value > row->max)
        return row->expected;
    row->take(into, value);
    return NULL;
}

const char *schedule_rules_set(struct schedule_rules *rules, const char *key, const char *text)
{
    const struct row *row = row_of(rules_rows, array_size(rules_rows), key);
    return row ? set(row, rules, text) : "priority, weight, deadline, day-budget, window or live-share";
}

const char *schedule_link_set(struct schedule_link *link, const char *key, const char *text)
{
    const struct row *row = row_of(link_rows, array_size(link_rows), key);
    return row ? set(row, link, text) : "rate, burst, floor, live-share, day-budget or day-begins";
}

bool schedule_rules_has(const char *key)
{
    return row_of(rules_rows, array_size(rules_rows), key) != NULL;
}

bool schedule_link_has(const char *key)
{
    return row_of(link_rows, array_size(link_rows), key) != NULL;
}

void schedule_windows_write(const struct schedule_rules *rules, char buffer[SCHEDULE_WINDOWS_TEXT])
{
    size_t at = 0;
    buffer[0] = '\0';
    for (size_t i = 0; i < rules->window_count; i++) {
        const struct schedule_window *window = &rules->windows[i];
        int n = snprintf(buffer + at, SCHEDULE_WINDOWS_TEXT - at, "%s%02u:%02u-%02u:%02u", i ? " " : "",
                         window->from / 60 % 24, window->from % 60, window->to / 60 % 24, window->to % 60);
        at += (size_t)n;
    }
}

static void put_number(struct json_writer *writer, const char *key, uint64_t value)
{
    json_key(writer, key);
    json_put_uint(writer, value);
}

void schedule_link_put(const struct schedule_link *link, struct json_writer *writer)
{
    enum { BUDGET_TEXT = 24 };
    char budgets[(SCHEDULE_PRIORITIES + 1) * BUDGET_TEXT], begins[16];
    size_t at = (size_t)snprintf(budgets, sizeof budgets, "%" PRIu64, link->day_bytes);
    for (unsigned i = 1; i <= SCHEDULE_PRIORITIES; i++)
        if (link->class_day_bytes[i])
            at += (size_t)snprintf(budgets + at, sizeof budgets - at, " %u:%" PRIu64, i,
                                   link->class_day_bytes[i]);
    (void)snprintf(begins, sizeof begins, "%02u:%02u", link->day_begins / 60 % 24, link->day_begins % 60);
    put_number(writer, "rate", link->rate);
    put_number(writer, "burst", link->burst_bytes);
    put_number(writer, "floor", link->floor ? link->floor : SCHEDULE_FLOOR);
    put_number(writer, "liveShare", link->live ? link->live : SCHEDULE_LIVE);
    json_key(writer, "dayBudget");
    json_put_string(writer, budgets);
    json_key(writer, "dayBegins");
    json_put_string(writer, begins);
    json_key(writer, "tls");
    json_put_bool(writer, link->tls);
}
