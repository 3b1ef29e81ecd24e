#include "cli/print.h"

#include "base/json_write.h"
#include "base/utf8.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

enum { COLUMNS_MAX = 24 };

/* ---- values --------------------------------------------------------------------------------------------------------- */

char *text_of_size(struct arena *arena, uint64_t bytes)
{
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB"};
    if (bytes < 1024)
        return arena_printf(arena, "%" PRIu64 " B", bytes);
    double value = (double)bytes / 1024;
    size_t unit = 0;
    for (; value >= 1024 && unit + 1 < array_size(units); unit++)
        value /= 1024;
    return arena_printf(arena, "%.1f %s", value, units[unit]);
}

char *text_of_span(struct arena *arena, int64_t seconds)
{
    int64_t minutes = seconds / 60, hours = minutes / 60, days = hours / 24;
    if (days)
        return arena_printf(arena, "%" PRId64 " d %" PRId64 " h", days, hours % 24);
    if (hours)
        return arena_printf(arena, "%" PRId64 " h %" PRId64 " min", hours, minutes % 60);
    if (minutes)
        return arena_printf(arena, "%" PRId64 " min %" PRId64 " s", minutes, seconds % 60);
    return arena_printf(arena, "%" PRId64 " s", seconds);
}

const char *text_of_time(struct arena *arena, int64_t wall_ms)
{
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm local;
    char text[32];
    if (!localtime_r(&seconds, &local) || !strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &local))
        return "-";
    return arena_copy(arena, text, strlen(text));
}

char *text_of_base64(struct arena *arena, const uint8_t *bytes, size_t len)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char *text = arena_alloc(arena, (len + 2) / 3 * 4 + 1), *at = text;
    for (size_t i = 0; i < len; i += 3) {
        size_t left = len - i;
        uint32_t group = (uint32_t)bytes[i] << 16 | (uint32_t)(left > 1 ? bytes[i + 1] : 0) << 8 |
                         (left > 2 ? bytes[i + 2] : 0);
        *at++ = digits[group >> 18];
        *at++ = digits[group >> 12 & 63];
        *at++ = left > 1 ? digits[group >> 6 & 63] : '=';
        *at++ = left > 2 ? digits[group & 63] : '=';
    }
    *at = '\0';
    return text;
}

/* ---- bytes ---------------------------------------------------------------------------------------------------------- */

/* C0, DEL, and C1 in its two-byte form: what a terminal would obey. */
static bool is_control(const uint8_t *bytes, size_t n)
{
    return n == 1 ? bytes[0] < ' ' || bytes[0] == 0x7f : n == 2 && bytes[0] == 0xc2 && bytes[1] < 0xa0;
}

void print_bytes(FILE *out, const uint8_t *bytes, size_t len)
{
    const uint8_t *end = bytes + len;
    while (bytes < end) {
        size_t n = utf8_sequence((const char *)bytes, (const char *)end);
        if (n && !is_control(bytes, n)) {
            (void)fwrite(bytes, 1, n, out);
            bytes += n;
        } else {
            for (size_t i = 0; i < (n ? n : 1); i++)
                (void)fprintf(out, "\\x%02x", *bytes++);
        }
    }
}

void print_text(FILE *out, const char *text)
{
    print_bytes(out, (const uint8_t *)text, strlen(text));
}

static char *printable(struct arena *arena, const char *text)
{
    char *line = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&line, &len);
    if (!out)
        abort(); /* out of memory for one line, as mem_new() */
    print_text(out, text);
    (void)fclose(out);
    char *copy = arena_copy(arena, line, len);
    free(line);
    return copy;
}

/* ---- tables --------------------------------------------------------------------------------------------------------- */

static const char *cell(struct arena *arena, const struct json *row, const struct column *column)
{
    const struct json *value = json_get(row, column->key);
    const char *text;
    int64_t number;
    if (!value || json_is(value, JSON_NULL))
        return "-";
    if (column->kind == COLUMN_SIZE && json_int(value, 0, INT64_MAX, &number))
        return text_of_size(arena, (uint64_t)number);
    if (column->kind == COLUMN_TIME && json_int(value, 0, INT64_MAX, &number))
        return text_of_time(arena, number);
    return printable(arena, json_text(value, arena, &text) ? text : json_write(arena, value, NULL));
}

/* Characters, not bytes: a name may be UTF-8. */
static int width(const char *text)
{
    int n = 0;
    for (; *text; text++)
        n += ((uint8_t)*text & 0xC0) != 0x80;
    return n;
}

static void print_cell(FILE *out, const char *text, int columns, bool right, bool last)
{
    int gap = columns - width(text);
    if (right)
        (void)fprintf(out, "%*s%s", gap, "", text);
    else
        (void)fprintf(out, "%s%*s", text, last ? 0 : gap, "");
    (void)fputs(last ? "\n" : "  ", out);
}

void print_table(FILE *out, const struct json *rows, const struct column *columns, const char *none)
{
    if (!json_first(rows)) {
        (void)fprintf(out, "%s\n", none);
        return;
    }
    struct arena arena;
    arena_init(&arena);
    int widths[COLUMNS_MAX], count = 0;
    for (; columns[count].title && count < COLUMNS_MAX; count++) {
        widths[count] = width(columns[count].title);
        json_for_each (row, rows) {
            int n = width(cell(&arena, row, &columns[count]));
            widths[count] = n > widths[count] ? n : widths[count];
        }
    }
    for (int i = 0; i < count; i++)
        print_cell(out, columns[i].title, widths[i],
                   columns[i].kind == COLUMN_NUMBER || columns[i].kind == COLUMN_SIZE, i + 1 == count);
    json_for_each (row, rows)
        for (int i = 0; i < count; i++)
            print_cell(out, cell(&arena, row, &columns[i]), widths[i],
                       columns[i].kind == COLUMN_NUMBER || columns[i].kind == COLUMN_SIZE, i + 1 == count);
    arena_done(&arena);
}

/* ---- documents ------------------------------------------------------------------------------------------------------ */

static void print_level(FILE *out, struct arena *arena, const struct json *json, int depth)
{
    bool is_object = json_is(json, JSON_OBJECT);
    if (!json_first(json)) {
        print_text(out, json_write(arena, json, NULL));
        return;
    }
    (void)fputs(is_object ? "{\n" : "[\n", out);
    json_for_each (at, json) {
        (void)fprintf(out, "%*s", 2 * depth + 2, "");
        if (is_object) {
            print_text(out, json_write(arena, json_new_string(arena, at->key, at->key_len), NULL));
            (void)fputs(": ", out);
        }
        print_level(out, arena, at, depth + 1);
        (void)fputs(at->next ? ",\n" : "\n", out);
    }
    (void)fprintf(out, "%*s%c", 2 * depth, "", is_object ? '}' : ']');
}

void print_pretty(FILE *out, const struct json *json)
{
    struct arena arena;
    arena_init(&arena);
    print_level(out, &arena, json, 0);
    (void)fputc('\n', out);
    arena_done(&arena);
}
